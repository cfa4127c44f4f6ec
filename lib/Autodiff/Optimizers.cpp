//===- Optimizers.cpp - One update of one parameter -----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The formulas of PyTorch's documentation, in its notation, and LAMB's of
// arXiv 1904.00962; sources in Recipe.h.
//
//===----------------------------------------------------------------------===//

#include "Optimizers.h"

#include <cmath>

namespace lathe {

void addCorrections(GraphMath &math, const TrainRecipe &recipe,
                    StepValues &step) {
  auto oneMinusPower = [&](double beta) {
    return math.rsub(1, math.pow(math.like(beta, step.update), step.update));
  };
  switch (recipe.optimizer) {
  case Optimizer::Sgd:
    return;
  case Optimizer::Adafactor:
    step.correction2 =
        math.pow(step.update, math.like(recipe.beta2Decay, step.update));
    return;
  case Optimizer::Adam:
  case Optimizer::AdamW:
  case Optimizer::Lamb:
    step.correction1 = oneMinusPower(recipe.beta1);
    step.correction2 = oneMinusPower(recipe.beta2);
    return;
  }
}

/// Whether Adafactor keeps rows and columns of the second moment alone.
static bool isFactored(RankedTensorType type, int64_t stacked) {
  return type.getRank() - stacked >= 2;
}

SmallVector<OptimizerState, 2> declareStates(const TrainRecipe &recipe,
                                             RankedTensorType type,
                                             int64_t stacked) {
  SmallVector<OptimizerState, 2> states;
  auto declare = [&](StringRef name, RankedTensorType stateType) {
    states.push_back({name.str(), stateType, {}, {}});
  };
  switch (recipe.optimizer) {
  case Optimizer::Sgd:
    if (recipe.momentum != 0)
      declare("momentum", type);
    break;
  case Optimizer::Adam:
  case Optimizer::AdamW:
  case Optimizer::Lamb:
    declare("exp_avg", type);
    declare("exp_avg_sq", type);
    break;
  case Optimizer::Adafactor: {
    if (!isFactored(type, stacked)) {
      declare("variance", type);
      break;
    }
    SmallVector<int64_t> rows(type.getShape()), columns(type.getShape());
    rows.back() = 1;
    columns[columns.size() - 2] = 1;
    declare("row_var", type.clone(rows));
    declare("col_var", type.clone(columns));
    break;
  }
  }
  return states;
}

namespace {

/// The update of one parameter, by optimizer.
class UpdateBuilder {
public:
  UpdateBuilder(GraphMath &math, const TrainRecipe &recipe,
                const StepValues &step, ParameterUpdate &update)
      : math(math), recipe(recipe), step(step), update(update),
        w(update.before), g(update.gradient), type(GraphMath::elementOf(w)) {
    learningRate = math.to(step.learningRate, type);
    if (recipe.optimizer == Optimizer::Adafactor) {
      correction2 = math.to(step.correction2, type);
      // The rate is relative to the parameter's size.
      relativeRate = math.to(
          math.min(step.learningRate,
                   math.div(math.like(1, step.update), math.sqrt(step.update))),
          type);
    }
  }

  void build() {
    switch (recipe.optimizer) {
    case Optimizer::Sgd:
      return sgd();
    case Optimizer::Adam:
    case Optimizer::AdamW:
      return adam();
    case Optimizer::Adafactor:
      return adafactor();
    case Optimizer::Lamb:
      return lamb();
    }
  }

private:
  double epsilon(double otherwise) const {
    return recipe.epsilon.value_or(otherwise);
  }
  /// beta * old + (1 - beta) * value
  Value average(OptimizerState &state, double beta, Value value) {
    return state.after = math.add(math.mul(state.before, beta),
                                  math.mul(value, 1 - beta));
  }
  /// w * (1 - rate * decay)
  Value decayed() {
    if (update.weightDecay == 0)
      return w;
    return math.mul(w,
                    math.rsub(1, math.mul(learningRate, update.weightDecay)));
  }
  Value withDecay(Value gradient) {
    if (update.weightDecay == 0)
      return gradient;
    return math.add(gradient, math.mul(w, update.weightDecay));
  }

  void sgd() {
    Value gradient = withDecay(g);
    if (recipe.momentum != 0) {
      OptimizerState &momentum = update.states[0];
      momentum.after =
          math.add(math.mul(momentum.before, recipe.momentum), gradient);
      gradient =
          recipe.nesterov
              ? math.add(gradient, math.mul(momentum.after, recipe.momentum))
              : momentum.after;
    }
    update.after = math.sub(w, math.mul(gradient, learningRate));
  }

  /// sqrt(v / (1 - beta2^t)) + epsilon, after both moments took the gradient.
  Value denominator(Value gradient, double smallest) {
    average(update.states[0], recipe.beta1, gradient);
    average(update.states[1], recipe.beta2, math.square(gradient));
    // The factor is one number for all elements: products cost less than
    // quotients.
    Value factor = math.to(
        math.div(math.like(1, step.correction2), math.sqrt(step.correction2)),
        type);
    return math.add(math.mul(math.sqrt(update.states[1].after), factor),
                    smallest);
  }

  void adam() {
    bool isDecoupled = recipe.optimizer == Optimizer::AdamW;
    Value start = isDecoupled ? decayed() : w;
    Value below = denominator(isDecoupled ? g : withDecay(g), epsilon(1e-8));
    Value rate = math.to(math.div(step.learningRate, step.correction1), type);
    update.after = math.sub(
        start, math.mul(rate, math.div(update.states[0].after, below)));
  }

  void lamb() {
    Value below = denominator(g, epsilon(1e-6));
    Value inverse = math.to(
        math.div(math.like(1, step.correction1), step.correction1), type);
    Value ratio = math.div(math.mul(update.states[0].after, inverse), below);
    Value direction = withDecay(ratio);
    Value size = math.norm(w, update.stacked);
    Value length = math.norm(direction, update.stacked);
    // 1 where either is 0: a parameter of zeros must be able to leave them.
    Value zero = math.like(0, w), one = math.like(1, w);
    Value trust = math.select(
        math.compare(ComparePredicate::gt, size, zero),
        math.select(math.compare(ComparePredicate::gt, length, zero),
                    math.div(size, length), one),
        one);
    update.after =
        math.sub(w, math.mul(math.mul(learningRate, trust), direction));
  }

  /// Root mean square over a parameter, a layer of it where it is stacked.
  Value rootMeanSquare(Value value) {
    auto shape = GraphMath::typeOf(value).getShape();
    int64_t count = 1;
    for (int64_t size : shape.drop_front(update.stacked))
      count *= size;
    return math.div(math.norm(value, update.stacked), std::sqrt(double(count)));
  }

  void adafactor() {
    const llvm::fltSemantics &semantics =
        cast<FloatType>(type).getFloatSemantics();
    double rounding =
        std::ldexp(1.0, 1 - int(APFloat::semanticsPrecision(semantics)));
    double smallest = epsilon(rounding);
    Value rate =
        math.mul(math.max(rootMeanSquare(w), recipe.leastScale), relativeRate);
    Value start = decayed();
    // old + (new - old) * t^beta2Decay
    auto follow = [&](OptimizerState &state, Value value) {
      return state.after =
                 math.add(state.before,
                          math.mul(math.sub(value, state.before), correction2));
    };
    auto mean = [&](Value value, int64_t axis) {
      return math.make<ReduceMeanOp>(value,
                                     math.builder.getDenseI64ArrayAttr(axis),
                                     math.builder.getBoolAttr(true));
    };
    Value estimate, square = math.square(g);
    if (isFactored(GraphMath::typeOf(w), update.stacked)) {
      int64_t rank = GraphMath::typeOf(w).getRank();
      Value rows = follow(update.states[0], mean(square, rank - 1));
      Value columns = follow(update.states[1], mean(square, rank - 2));
      estimate = math.div(math.mul(rows, columns),
                          math.max(mean(rows, rank - 2), smallest));
    } else {
      estimate = follow(update.states[0], square);
    }
    Value direction =
        math.div(g, math.sqrt(math.max(estimate, smallest * smallest)));
    Value length = math.max(
        math.div(rootMeanSquare(direction), recipe.updateThreshold), 1.0);
    update.after = math.sub(start, math.mul(math.div(rate, length), direction));
  }

  GraphMath &math;
  const TrainRecipe &recipe;
  const StepValues &step;
  ParameterUpdate &update;
  Value w, g;
  Type type;
  Value learningRate, correction2, relativeRate;
};

} // namespace

void buildUpdate(GraphMath &math, const TrainRecipe &recipe,
                 const StepValues &step, ParameterUpdate &update) {
  UpdateBuilder(math, recipe, step, update).build();
}

} // namespace lathe
