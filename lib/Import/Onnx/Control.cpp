//===- Control.cpp - ONNX If, Loop, Scan ----------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Importer.h"
#include "Loops.h"

#include "lathe/Support/Error.h"

namespace lathe::onnx_import {
namespace {

/// A body of an inner graph: its block, and the values it yields.
struct Body {
  std::unique_ptr<Region> region = std::make_unique<Region>();
  SmallVector<Value> values;
};

/// Imports `graph` into a block of its own with arguments of `types`;
/// `bind` names them in the scope.
bool importBody(Node &n, const onnx::GraphProto &graph, TypeRange types,
                Body &body, function_ref<void(Scope &, ValueRange)> bind) {
  if (!n.ok())
    return false;
  OpBuilder::InsertionGuard guard(n.b);
  Block *block = new Block;
  body.region->push_back(block);
  for (Type type : types)
    block->addArgument(type, n.loc);
  n.b.setInsertionPointToStart(block);
  Scope scope;
  scope.parent = &n.scope;
  bind(scope, block->getArguments());
  auto results = n.importer.importGraph(graph, scope);
  if (failed(results)) {
    (void)n.fail("its inner graph cannot be imported");
    return false;
  }
  body.values = *results;
  return true;
}

void yield(Node &n, Body &body, ValueRange values) {
  OpBuilder::InsertionGuard guard(n.b);
  n.b.setInsertionPointToEnd(&body.region->front());
  n.b.create<YieldOp>(n.loc, values);
}

/// Imports `graph` in place: its condition or trip count is known.
FailureOr<SmallVector<Value>>
inlineGraph(Node &n, const onnx::GraphProto &graph, ValueRange inputs) {
  Scope scope;
  scope.parent = &n.scope;
  if (size_t(graph.input_size()) != inputs.size())
    return n.fail("its inner graph has " + Twine(graph.input_size()) +
                  " inputs, expected " + Twine(inputs.size()));
  for (auto [i, v] : llvm::enumerate(inputs))
    scope.values[graph.input(i).name()] = v;
  auto results = n.importer.importGraph(graph, scope);
  if (failed(results))
    (void)n.fail("its inner graph cannot be imported");
  return results;
}

/// The type both branches give: open where their sizes differ.
Type join(Node &n, Type a, Type b) {
  auto x = cast<RankedTensorType>(a), y = cast<RankedTensorType>(b);
  if (x.getElementType() != y.getElementType() || x.getRank() != y.getRank()) {
    (void)n.fail("its branches give different types");
    return a;
  }
  SmallVector<int64_t> shape(x.getShape());
  for (auto [i, size] : llvm::enumerate(y.getShape()))
    if (size != shape[i])
      shape[i] = ShapedType::kDynamic;
  return RankedTensorType::get(shape, x.getElementType());
}

LogicalResult ifOp(Node &n) {
  Val condition = n.in(0);
  const auto *thenGraph = n.graph("then_branch");
  const auto *elseGraph = n.graph("else_branch");
  if (!n.ok())
    return failure();
  if (auto known = n.knownInts(condition); known && !known->empty()) {
    auto results = inlineGraph(n, known->front() ? *thenGraph : *elseGraph, {});
    if (failed(results))
      return failure();
    for (auto [i, v] : llvm::enumerate(*results))
      n.out(i, v);
    return n.status();
  }
  Body thenBody, elseBody;
  auto nothing = [](Scope &, ValueRange) {};
  if (!importBody(n, *thenGraph, {}, thenBody, nothing) ||
      !importBody(n, *elseGraph, {}, elseBody, nothing)) {
    // A branch that cannot be imported may be one that is never taken.
    n.needsValue(condition);
    return failure();
  }
  if (thenBody.values.size() != elseBody.values.size())
    return n.fail("its branches give different numbers of values");
  SmallVector<Type> types;
  for (auto [a, b] : llvm::zip_equal(thenBody.values, elseBody.values))
    types.push_back(join(n, a.getType(), b.getType()));
  if (!n.ok()) {
    n.needsValue(condition);
    return failure();
  }
  yield(n, thenBody, thenBody.values);
  yield(n, elseBody, elseBody.values);
  OperationState state(n.loc, IfOp::getOperationName());
  state.addOperands(n.reshape(condition, ArrayRef<Dim>()).value);
  state.addTypes(types);
  state.addRegion(std::move(thenBody.region));
  state.addRegion(std::move(elseBody.region));
  for (auto [i, v] : llvm::enumerate(n.b.create(state)->getResults()))
    n.out(i, v);
  return n.status();
}

/// A lathe.scan over `inputs` with `trips` steps. `fill` builds the body from
/// (carried..., slices...) and returns (carried..., stacked...).
SmallVector<Value> scan(Node &n, ValueRange inits, ValueRange inputs,
                        int64_t trips, bool reverse,
                        function_ref<bool(Body &)> fill) {
  Body body;
  if (!n.ok() || !fill(body))
    return {};
  if (body.values.size() < inits.size()) {
    (void)n.fail("its inner graph gives too few values");
    return {};
  }
  SmallVector<Type> types;
  for (auto [i, v] : llvm::enumerate(body.values)) {
    auto type = cast<RankedTensorType>(v.getType());
    if (i < inits.size()) {
      if (!areCompatibleTypes(inits[i].getType(), type)) {
        (void)n.fail("a value it carries changes its type from step to step");
        return {};
      }
      types.push_back(inits[i].getType());
      continue;
    }
    SmallVector<int64_t> shape(type.getShape());
    shape.insert(shape.begin(), trips);
    types.push_back(RankedTensorType::get(shape, type.getElementType()));
  }
  yield(n, body, body.values);
  OperationState state(n.loc, ScanOp::getOperationName());
  state.addOperands(inits);
  state.addOperands(inputs);
  state.addTypes(types);
  auto &properties = state.getOrAddProperties<ScanOp::Properties>();
  properties.operandSegmentSizes = {int32_t(inits.size()),
                                    int32_t(inputs.size())};
  if (inputs.empty())
    properties.trip_count = n.b.getI64IntegerAttr(trips);
  if (reverse)
    properties.reverse = n.b.getUnitAttr();
  state.addRegion(std::move(body.region));
  return SmallVector<Value>(n.b.create(state)->getResults());
}

} // namespace

SmallVector<Value>
scanLoop(Node &n, ValueRange inits, ValueRange inputs, bool reverse,
         function_ref<SmallVector<Value>(ArrayRef<Val>)> step) {
  if (!n.ok() || inputs.empty())
    return {};
  return scan(
      n, inits, inputs, Node::size(inputs[0], 0), reverse, [&](Body &body) {
        OpBuilder::InsertionGuard guard(n.b);
        Block *block = new Block;
        body.region->push_back(block);
        for (Value v : inits)
          block->addArgument(v.getType(), n.loc);
        for (Value v : inputs)
          block->addArgument(RankedTensorType::get(
                                 n.type(v).getShape().drop_front(), n.elem(v)),
                             n.loc);
        n.b.setInsertionPointToStart(block);
        SmallVector<Val> args;
        for (Value v : block->getArguments())
          args.push_back(n.wrap(v));
        body.values = step(args);
        return n.ok();
      });
}

namespace {

/// Whether the loop's condition is its own first value, or a constant true.
bool alwaysTrue(Value condition, Value argument) {
  DenseElementsAttr attr;
  if (condition == argument)
    return true;
  auto op = condition.getDefiningOp<ConstantOp>();
  attr = op ? dyn_cast<DenseElementsAttr>(op.getValue()) : nullptr;
  return attr && attr.getElementType().isInteger(1) && attr.isSplat() &&
         attr.getSplatValue<bool>();
}

/// Whether a size in `body` depends on what the loop carries.
bool sizesChange(Region &body) {
  SmallVector<Value> work;
  body.walk([&](Operation *op) {
    if (isa<DynamicReshapeOp, DynamicBroadcastOp, DynamicPadOp, DynamicTileOp,
            DynamicSliceOp>(op))
      work.append(op->operand_begin() + 1, op->operand_end());
    else if (isa<DynamicRangeOp>(op))
      work.append(op->operand_begin(), op->operand_end());
  });
  llvm::DenseSet<Value> seen;
  while (!work.empty()) {
    Value v = work.pop_back_val();
    if (!seen.insert(v).second)
      continue;
    if (auto arg = dyn_cast<BlockArgument>(v)) {
      if (arg.getOwner() == &body.front())
        return true;
    } else if (Operation *op = v.getDefiningOp(); !isa<ShapeOfOp>(op)) {
      work.append(op->operand_begin(), op->operand_end());
    }
  }
  return false;
}

/// Loops of so few steps are written out where their values change shape.
constexpr int64_t kUnroll = 64;

/// Writes the steps one after the other, as long as the condition is known.
LogicalResult unroll(Node &n, const onnx::GraphProto &graph, int64_t trips,
                     SmallVector<Value> carried, unsigned stacked) {
  SmallVector<SmallVector<Value>> slices(stacked);
  for (int64_t step = 0; step < trips; ++step) {
    SmallVector<Value> inputs{
        n.constant(DenseElementsAttr::get(
            RankedTensorType::get({}, n.b.getI64Type()), step)),
        n.scalar(n.b.getI1Type(), 1)};
    inputs.append(carried);
    auto results = inlineGraph(n, graph, inputs);
    if (failed(results))
      return failure();
    auto go = n.knownInts(results->front());
    if (!go) {
      n.needsValue(results->front());
      return n.fail("the end of a loop whose values change shape has to be "
                    "known before the run");
    }
    for (size_t i = 0; i < carried.size(); ++i)
      carried[i] = (*results)[1 + i];
    for (unsigned i = 0; i < stacked; ++i)
      slices[i].push_back(n.unsqueeze((*results)[1 + carried.size() + i], {0}));
    if (!go->empty() && !go->front())
      break;
  }
  for (auto [i, v] : llvm::enumerate(carried))
    n.out(i, v);
  for (auto [i, parts] : llvm::enumerate(slices)) {
    if (parts.empty())
      return n.fail("a loop of no steps that stacks values is not supported");
    n.out(carried.size() + i, n.concat(parts, 0));
  }
  return n.status();
}

LogicalResult loop(Node &n) {
  const auto *graph = n.graph("body");
  if (!n.ok())
    return failure();
  SmallVector<Value> carried;
  for (unsigned i = 2; i < n.numInputs(); ++i)
    carried.push_back(n.in(i));
  if (!n.ok())
    return failure();
  size_t count = carried.size();
  if (size_t(graph->input_size()) != count + 2 ||
      size_t(graph->output_size()) < count + 1)
    return n.fail("its inner graph does not fit its inputs");
  unsigned stacked = graph->output_size() - 1 - count;
  Type i64 = n.b.getI64Type(), i1 = n.b.getI1Type();
  auto scalarOf = [&](Val v) { return n.reshape(v, ArrayRef<Dim>()); };
  std::optional<int64_t> trips;
  Val limit = n.wrap(Value()), start = n.scalar(i1, 1);
  if (n.has(0)) {
    limit = scalarOf(n.in(0));
    if (auto known = n.knownInts(limit); known && !known->empty())
      trips = std::max<int64_t>(0, known->front());
  }
  if (n.has(1))
    start = scalarOf(n.in(1));
  auto go = n.knownInts(start);
  if (go && !go->empty() && !go->front())
    trips = 0;

  // The body once, to see whether it ends early and keeps its types.
  auto bind = [&](Scope &scope, ValueRange args) {
    for (auto [i, arg] : llvm::enumerate(args))
      scope.values[graph->input(i).name()] = arg;
  };
  SmallVector<Type> types{RankedTensorType::get({}, i64),
                          RankedTensorType::get({}, i1)};
  for (Value v : carried)
    types.push_back(v.getType());
  size_t problems = n.importer.problems.size();
  Body body;
  if (!importBody(n, *graph, types, body, bind))
    return failure();
  bool sameTypes = true;
  for (auto [i, v] : llvm::enumerate(carried))
    sameTypes &= areCompatibleTypes(v.getType(), body.values[1 + i].getType());
  bool whole = alwaysTrue(body.values[0], body.region->getArgument(1)) && go;

  if (trips && *trips <= kUnroll && go &&
      (!sameTypes || !whole || sizesChange(*body.region))) {
    body.region.reset();
    n.importer.problems.resize(problems, {"", "", "", n.loc});
    return unroll(n, *graph, *trips, carried, stacked);
  }
  if (!sameTypes) {
    if (n.has(0))
      n.needsValue(limit);
    n.needsValue(start);
    return n.fail("a value it carries changes its type from step to step");
  }
  if (trips && whole) {
    // The step number is carried as well.
    SmallVector<Value> inits{n.scalar(i64, 0)};
    inits.append(carried);
    SmallVector<Value> results =
        scan(n, inits, {}, *trips, false, [&](Body &out) {
          Region &region = *body.region;
          Block &block = region.front();
          OpBuilder::InsertionGuard guard(n.b);
          n.b.setInsertionPointToStart(&block);
          block.getArgument(1).replaceAllUsesWith(n.scalar(i1, 1));
          block.eraseArgument(1);
          n.b.setInsertionPointToEnd(&block);
          SmallVector<Value> values{n.wrap(block.getArgument(0)) + 1};
          values.append(body.values.begin() + 1, body.values.end());
          out.region = std::move(body.region);
          out.values = values;
          return true;
        });
    for (size_t i = 1; i < results.size(); ++i)
      n.out(i - 1, results[i]);
    return n.status();
  }
  if (stacked) {
    if (n.has(0))
      n.needsValue(limit);
    n.needsValue(start);
    return n.fail("a loop that stacks values needs its trip count to be known "
                  "before the run");
  }
  // lathe.while: carried are the step, the condition, and the loop's values.
  SmallVector<Value> inits{n.scalar(i64, 0), start};
  inits.append(carried);
  Region condition;
  auto &test = condition.emplaceBlock();
  {
    OpBuilder::InsertionGuard guard(n.b);
    n.b.setInsertionPointToStart(&test);
    for (Type type : types)
      test.addArgument(type, n.loc);
    Val go = n.wrap(test.getArgument(1));
    if (limit)
      go = n.make<AndOp>(
          go, n.compare(ComparePredicate::lt, test.getArgument(0), limit));
    n.b.create<YieldOp>(n.loc, ValueRange{go});
    n.b.setInsertionPointToEnd(&body.region->front());
    SmallVector<Value> next{n.wrap(body.region->getArgument(0)) + 1};
    next.append(body.values);
    next[1] = scalarOf(n.wrap(next[1]));
    n.b.create<YieldOp>(n.loc, next);
  }
  OperationState state(n.loc, WhileOp::getOperationName());
  state.addOperands(inits);
  state.addTypes(types);
  state.addRegion()->takeBody(condition);
  state.addRegion(std::move(body.region));
  auto results = n.b.create(state)->getResults();
  for (size_t i = 2; i < results.size(); ++i)
    n.out(i - 2, results[i]);
  return n.status();
}

/// Scan since operator set 9; `inputs` may stand in for the node's own.
SmallVector<Value> scanOver(Node &n, ArrayRef<Value> operands,
                            SmallVector<int64_t> inputAxes,
                            SmallVector<int64_t> inputDirections,
                            SmallVector<int64_t> outputAxes,
                            SmallVector<int64_t> outputDirections) {
  const auto *graph = n.graph("body");
  if (!n.ok())
    return {};
  size_t scanned = n.i("num_scan_inputs");
  if (scanned == 0 || scanned > operands.size() ||
      size_t(graph->input_size()) != operands.size() ||
      size_t(graph->output_size()) < operands.size() - scanned) {
    (void)n.fail("its inner graph does not fit its inputs");
    return {};
  }
  size_t carried = operands.size() - scanned;
  size_t stacked = graph->output_size() - carried;
  inputAxes.resize(scanned, 0);
  inputDirections.resize(scanned, 0);
  outputAxes.resize(stacked, 0);
  outputDirections.resize(stacked, 0);
  SmallVector<Value> inits(operands.take_front(carried)), inputs;
  SmallVector<Type> types;
  for (Value v : inits)
    types.push_back(v.getType());
  for (size_t i = 0; i < scanned; ++i) {
    Val x = n.wrap(operands[carried + i]);
    int64_t rank = Node::rank(x), axis = n.axis(inputAxes[i], rank);
    if (!n.ok())
      return {};
    SmallVector<int64_t> order{axis};
    for (int64_t d = 0; d < rank; ++d)
      if (d != axis)
        order.push_back(d);
    if (axis != 0)
      x = n.transpose(x, order);
    if (inputDirections[i])
      x = n.flip(x, {0});
    if (!n.ok())
      return {};
    inputs.push_back(x);
    types.push_back(
        RankedTensorType::get(n.type(x).getShape().drop_front(), n.elem(x)));
  }
  SmallVector<Value> results =
      scan(n, inits, inputs, Node::size(inputs[0], 0), false, [&](Body &body) {
        return importBody(n, *graph, types, body,
                          [&](Scope &scope, ValueRange args) {
                            for (auto [i, arg] : llvm::enumerate(args))
                              scope.values[graph->input(i).name()] = arg;
                          });
      });
  if (!n.ok())
    return {};
  for (size_t i = 0; i < stacked; ++i) {
    Val y = n.wrap(results[carried + i]);
    if (outputDirections[i])
      y = n.flip(y, {0});
    int64_t rank = Node::rank(y), axis = n.axis(outputAxes[i], rank);
    if (axis != 0) {
      SmallVector<int64_t> order;
      for (int64_t d = 1; d < rank; ++d)
        order.push_back(d);
      order.insert(order.begin() + axis, 0);
      y = n.transpose(y, order);
    }
    results[carried + i] = y;
  }
  return results;
}

LogicalResult scanOp(Node &n) {
  SmallVector<Value> operands = n.ins();
  auto results = scanOver(
      n, operands, n.ints("scan_input_axes"), n.ints("scan_input_directions"),
      n.ints("scan_output_axes"), n.ints("scan_output_directions"));
  for (auto [i, v] : llvm::enumerate(results))
    n.out(i, v);
  return n.status();
}

/// Scan-8 has a batch dim in front of everything: one scan per sequence.
LogicalResult scanBatched(Node &n) {
  if (n.has(0))
    return n.fail("sequence lengths are not supported");
  SmallVector<Value> operands;
  for (unsigned i = 1; i < n.numInputs(); ++i)
    operands.push_back(n.in(i));
  if (!n.ok() || operands.empty())
    return n.fail("expected an input");
  int64_t batch = Node::size(operands[0], 0);
  if (ShapedType::isDynamic(batch) || batch < 1 || batch > kUnroll)
    return n.fail("expected a known, small batch");
  SmallVector<SmallVector<Value>> parts;
  for (int64_t i = 0; i < batch; ++i) {
    SmallVector<Value> own;
    for (Value v : operands)
      own.push_back(n.squeeze(n.slice(v, 0, i, i + 1), {0}));
    auto results = scanOver(n, own, {}, n.ints("directions"), {}, {});
    if (!n.ok())
      return failure();
    parts.resize(results.size());
    for (auto [j, v] : llvm::enumerate(results))
      parts[j].push_back(n.unsqueeze(v, {0}));
  }
  for (auto [i, list] : llvm::enumerate(parts))
    n.out(i, n.concat(list, 0));
  return n.status();
}

constexpr OpRow rows[] = {
    {"If", 1, 0, ifOp},
    {"Loop", 1, 0, loop},
    {"Scan", 9, 0, scanOp},
    {"Scan", 8, 8, scanBatched},
};

} // namespace

ArrayRef<OpRow> controlOps() { return rows; }

} // namespace lathe::onnx_import
