//===- Recurrent.cpp - ONNX RNN, GRU, LSTM --------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

//
// The input's part of every gate is one matrix product over the whole
// sequence; the loop over time has the recurrent part alone.
//
//===----------------------------------------------------------------------===//

#include "Loops.h"

namespace lathe::onnx_import {
namespace {

/// One of ONNX's activation functions with its parameters.
struct Activation {
  std::string name;
  double alpha = 0, beta = 0;

  Val operator()(Val x) const {
    Node &n = *x.node;
    if (name == "Sigmoid")
      return sigmoid(x);
    if (name == "Tanh")
      return tanh(x);
    if (name == "Relu")
      return n.make<ReluOp>(x);
    if (name == "Affine")
      return x * alpha + beta;
    if (name == "LeakyRelu")
      return n.select(less(x, 0), x * alpha, x);
    if (name == "ThresholdedRelu")
      return n.select(greater(x, alpha), x, n.scalar(n.elem(x), 0));
    if (name == "ScaledTanh")
      return tanh(x * beta) * alpha;
    if (name == "HardSigmoid")
      return n.clamp(x * alpha + beta, 0, 1);
    if (name == "Elu")
      return n.select(greater(x, 0), x, (exp(min(x, 0)) - 1) * alpha);
    if (name == "Softsign")
      return x / (abs(x) + 1);
    if (name == "Softplus")
      return n.make<SoftplusOp>(x);
    return n.failVal("the activation '" + name + "' is not supported");
  }
};

/// What the three ops share: operands by direction, lengths, layout.
class Recurrence {
public:
  Recurrence(Node &n, unsigned gates, ArrayRef<const char *> defaults)
      : n(n), gates(gates) {
    x = n.in(0);
    weight = n.in(1);
    recurrent = n.in(2);
    if (!n.expectRank(x, 3, 3, "an input [sequence, batch, features]") ||
        !n.expectRank(weight, 3, 3, "weights [directions, gates, features]") ||
        !n.expectRank(recurrent, 3, 3, "recurrent weights"))
      return;
    batchFirst = n.i("layout");
    if (batchFirst)
      x = n.transpose(x, {1, 0, 2});
    hidden = Node::size(recurrent, 2);
    directions = Node::size(weight, 0);
    std::string direction = n.s("direction", "forward");
    backward = direction == "reverse";
    if (direction != "forward" && direction != "reverse" &&
        direction != "bidirectional")
      (void)n.fail("the direction '" + direction + "' is not supported");
    int64_t declared = directions;
    directions = direction == "bidirectional" ? 2 : 1;
    if (ShapedType::isDynamic(hidden) || hidden <= 0 ||
        declared != directions ||
        Node::size(recurrent, 1) != int64_t(gates) * hidden)
      (void)n.fail("the weights do not fit its direction and hidden size");
    clip = n.f("clip");
    readActivations(defaults);
  }

  /// Runs `step(direction, input part, carried...)` over time; `carried`
  /// states start at input `firstState` and following, or at zero. The first
  /// carried value is the output.
  LogicalResult
  run(unsigned states, unsigned firstState,
      function_ref<SmallVector<Val>(int64_t, Val, ArrayRef<Val>)> step) {
    SmallVector<SmallVector<Value>> last(states);
    SmallVector<Value> all;
    Val mask = n.wrap(Value());
    if (n.has(4) && n.ok()) {
      Val lengths = n.unsqueeze(n.convert(n.in(4), n.b.getI64Type()), {0, 2});
      mask =
          n.compare(ComparePredicate::lt, n.range(n.dim(x, 0), 0, 3), lengths);
    }
    for (int64_t d = 0; d < directions && n.ok(); ++d) {
      Val projected = n.make<LinearOp>(x, part(weight, d),
                                       inputBias ? inputBias(d) : Value());
      SmallVector<Value> inits, inputs{projected};
      if (mask)
        inputs.push_back(mask);
      for (unsigned s = 0; s < states; ++s)
        inits.push_back(initial(firstState + s, d));
      bool reverse = d == 1 || backward;
      auto results =
          scanLoop(n, inits, inputs, reverse, [&](ArrayRef<Val> args) {
            SmallVector<Val> next = step(d, args[states], args);
            Val zero = n.scalar(n.elem(x), 0);
            SmallVector<Value> out;
            for (unsigned s = 0; s < states; ++s)
              out.push_back(mask ? n.select(args[states + 1], next[s], args[s])
                                 : next[s]);
            out.push_back(mask ? n.select(args[states + 1], next[0], zero)
                               : next[0]);
            return out;
          });
      if (!n.ok())
        break;
      for (unsigned s = 0; s < states; ++s)
        last[s].push_back(n.unsqueeze(results[s], {0}));
      all.push_back(n.unsqueeze(results[states], {1}));
    }
    if (!n.ok())
      return failure();
    // [sequence, directions, batch, hidden], or with the batch in front.
    Val y = n.concat(all, 1);
    n.out(0, batchFirst ? n.transpose(y, {2, 0, 1, 3}) : y);
    for (unsigned s = 0; s < states; ++s) {
      Val h = n.concat(last[s], 0);
      n.out(1 + s, batchFirst ? n.transpose(h, {1, 0, 2}) : h);
    }
    return n.status();
  }

  /// Direction d of a [directions, ...] tensor.
  Val part(Val v, int64_t d) { return n.squeeze(n.slice(v, 0, d, d + 1), {0}); }
  /// Gate g (of width `hidden`) of the last dim.
  Val gate(Val v, int64_t g, int64_t count = 1) {
    return n.slice(v, -1, g * hidden, (g + count) * hidden);
  }
  /// Rows of gate g of direction d's recurrent matrix.
  Val recurrentRows(int64_t d, int64_t g, int64_t count) {
    return n.slice(part(recurrent, d), 0, g * hidden, (g + count) * hidden);
  }
  Val clipped(Val v) { return clip > 0 ? n.clamp(v, -clip, clip) : v; }
  const Activation &activation(int64_t d, unsigned i) {
    return activations[d * perDirection + i];
  }
  /// Half `h` (0: input, 1: recurrent) of direction d's bias.
  Val bias(int64_t d, int64_t h) {
    return n.slice(part(n.in(3), d), 0, h * gates * hidden,
                   (h + 1) * gates * hidden);
  }

  Node &n;
  const int64_t gates;
  Val x, weight, recurrent;
  int64_t hidden = 0, directions = 0;
  /// What is added to the input part before the loop; none where empty.
  std::function<Value(int64_t)> inputBias;

private:
  Val initial(unsigned input, int64_t d) {
    if (!n.has(input))
      return n.broadcast(n.scalar(n.elem(x), 0), {n.dim(x, 1), Dim(hidden)});
    Val h = n.in(input);
    return part(batchFirst ? n.transpose(h, {1, 0, 2}) : h, d);
  }

  void readActivations(ArrayRef<const char *> defaults) {
    perDirection = defaults.size();
    SmallVector<std::string> names = n.strings("activations");
    SmallVector<double> alphas = n.floats("activation_alpha"),
                        betas = n.floats("activation_beta");
    if (names.empty())
      for (int64_t d = 0; d < directions; ++d)
        names.append(defaults.begin(), defaults.end());
    if (names.size() != size_t(directions) * perDirection) {
      (void)n.fail("expected " + Twine(perDirection) +
                   " activations per direction");
      names.resize(directions * perDirection);
    }
    size_t a = 0, b = 0;
    // The lists have entries for the functions that take parameters only, but
    // exporters also write one for each.
    bool dense = alphas.size() == names.size();
    for (auto [i, name] : llvm::enumerate(names)) {
      Activation f{name};
      auto take = [&, i = i](ArrayRef<double> list, size_t &at,
                             double otherwise) {
        if (dense)
          return i < list.size() ? list[i] : otherwise;
        return at < list.size() ? list[at++] : otherwise;
      };
      if (name == "Affine" || name == "LeakyRelu" || name == "Elu" ||
          name == "ThresholdedRelu" || name == "ScaledTanh" ||
          name == "HardSigmoid")
        f.alpha = take(alphas, a,
                       name == "LeakyRelu"     ? 0.01
                       : name == "HardSigmoid" ? 0.2
                                               : 1.0);
      if (name == "Affine" || name == "ScaledTanh" || name == "HardSigmoid")
        f.beta = take(betas, b,
                      name == "HardSigmoid" ? 0.5
                      : name == "Affine"    ? 0.0
                                            : 1.0);
      activations.push_back(f);
    }
  }

  bool batchFirst = false, backward = false;
  double clip = 0;
  size_t perDirection = 0;
  std::vector<Activation> activations;
};

LogicalResult rnn(Node &n) {
  Recurrence r(n, 1, {"Tanh"});
  if (n.has(3))
    r.inputBias = [&](int64_t d) { return r.bias(d, 0) + r.bias(d, 1); };
  return r.run(1, 5, [&](int64_t d, Val in, ArrayRef<Val> s) {
    Val h = in + n.make<LinearOp>(s[0], r.part(r.recurrent, d), Value());
    return SmallVector<Val>{r.activation(d, 0)(r.clipped(h))};
  });
}

LogicalResult gru(Node &n) {
  Recurrence r(n, 3, {"Sigmoid", "Tanh"});
  bool biasInside = n.i("linear_before_reset"), hasBias = n.has(3);
  // The hidden gate's recurrent bias is reset with the state, or is not.
  if (hasBias)
    r.inputBias = [&](int64_t d) -> Value {
      Val recurrent = r.bias(d, 1);
      if (biasInside) {
        Val zero = n.broadcast(n.scalar(n.elem(recurrent), 0), {Dim(r.hidden)});
        recurrent = n.concat({r.gate(recurrent, 0, 2), zero}, 0);
      }
      return r.bias(d, 0) + recurrent;
    };
  return r.run(1, 5, [&](int64_t d, Val in, ArrayRef<Val> s) {
    Val h = s[0];
    auto f = r.activation(d, 0);
    auto g = r.activation(d, 1);
    Val zr =
        f(r.clipped(r.gate(in, 0, 2) +
                    n.make<LinearOp>(h, r.recurrentRows(d, 0, 2), Value())));
    Val z = r.gate(zr, 0), reset = r.gate(zr, 1);
    Val rows = r.recurrentRows(d, 2, 1), candidate;
    if (biasInside) {
      Val bias = n.wrap(Value());
      if (hasBias)
        bias = r.gate(r.bias(d, 1), 2);
      candidate = reset * n.make<LinearOp>(h, rows, bias);
    } else {
      candidate = n.make<LinearOp>(reset * h, rows, Value());
    }
    candidate = g(r.clipped(r.gate(in, 2) + candidate));
    return SmallVector<Val>{(1 - z) * candidate + z * h};
  });
}

LogicalResult lstm(Node &n) {
  Recurrence r(n, 4, {"Sigmoid", "Tanh", "Tanh"});
  bool coupled = n.i("input_forget"), peephole = n.has(7);
  if (n.has(3))
    r.inputBias = [&](int64_t d) { return r.bias(d, 0) + r.bias(d, 1); };
  return r.run(2, 5, [&](int64_t d, Val in, ArrayRef<Val> s) {
    Val h = s[0], c = s[1];
    Val gates = in + n.make<LinearOp>(h, r.part(r.recurrent, d), Value());
    Val peep = n.wrap(Value());
    if (peephole)
      peep = r.part(n.in(7), d);
    auto f = r.activation(d, 0);
    auto g = r.activation(d, 1);
    auto last = r.activation(d, 2);
    // Gates: input, output, forget, cell; peepholes: input, output, forget.
    auto pre = [&](int64_t gate, int64_t at, Val cell) {
      Val v = r.gate(gates, gate);
      return r.clipped(peephole && at >= 0 ? v + r.gate(peep, at) * cell : v);
    };
    Val input = f(pre(0, 0, c));
    Val forget = coupled ? 1 - input : f(pre(2, 2, c));
    Val next = forget * c + input * g(pre(3, -1, c));
    Val output = f(pre(1, 1, next));
    return SmallVector<Val>{output * last(next), next};
  });
}

constexpr OpRow rows[] = {
    {"RNN", 7, 0, rnn},
    {"GRU", 7, 0, gru},
    {"LSTM", 7, 0, lstm},
};

} // namespace

ArrayRef<OpRow> recurrentOps() { return rows; }

} // namespace lathe::onnx_import
