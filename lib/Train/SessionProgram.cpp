//===- SessionProgram.cpp - A compiled model as a training program --------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Train/SessionProgram.h"

#include "lathe/Executable/Executable.h"
#include "lathe/Runtime/StateStore.h"
#include "lathe/Support/Error.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSet.h"

using namespace llvm;

namespace lathe::train {

static Expected<size_t> findLoss(ArrayRef<TensorSpec> outputs,
                                 const char *program) {
  for (const auto &[i, spec] : enumerate(outputs))
    if (spec.name == "loss") {
      if (!spec.shape.empty() || !isFloat(spec.dtype))
        return makeError("the loss of the program '{0}' is {1}, expected a "
                         "float of rank 0",
                         program, formatType(spec.dtype, spec.shape));
      return i;
    }
  return makeError("the program '{0}' has no result 'loss'", program);
}

/// The states of both programs. What training adds has a prefix of its own
/// (lathe/Autodiff/TrainStep.h).
static std::vector<StateSpec> listStates(const exec::Executable &executable,
                                         unsigned trainStep, unsigned eval,
                                         const StateStore &store) {
  std::vector<StateSpec> result;
  StringSet<> seen;
  for (unsigned program : {trainStep, eval})
    for (const exec::Weight &weight : executable.programs(program).states()) {
      const StateStore::State *state = store.find(weight.name());
      if (!state || !seen.insert(weight.name()).second)
        continue;
      StringRef name = weight.name();
      bool ofModel =
          !name.starts_with("train.") && !name.starts_with("optimizer.");
      result.push_back({weight.name(), state->spec.dtype, state->spec.shape,
                        weight.key(), ofModel});
    }
  return result;
}

Expected<std::unique_ptr<SessionProgram>>
SessionProgram::create(std::shared_ptr<LoadedModel> model, unsigned trainStep,
                       unsigned eval, WeightSource &weights,
                       SessionOptions options) {
  std::unique_ptr<SessionProgram> result(new SessionProgram());
  result->loaded = model;
  if (!options.states)
    options.states = StateStore::create(model);
  result->store = options.states;
  auto trainer = Session::create(model, trainStep, weights, options);
  if (!trainer)
    return trainer.takeError();
  result->trainer = std::move(*trainer);
  auto evaluator = Session::create(model, eval, weights, options);
  if (!evaluator)
    return evaluator.takeError();
  result->evaluator = std::move(*evaluator);

  auto trainLoss = findLoss(result->trainer->outputs(), "train_step");
  if (!trainLoss)
    return trainLoss.takeError();
  result->trainLoss = *trainLoss;
  auto evalLoss = findLoss(result->evaluator->outputs(), "eval");
  if (!evalLoss)
    return evalLoss.takeError();
  result->evalLoss = *evalLoss;
  for (const auto &[i, spec] : enumerate(result->evaluator->outputs()))
    if (i != *evalLoss)
      result->evalOutputs.push_back(spec);

  ArrayRef<TensorSpec> inputs = result->inputs();
  for (const TensorSpec &spec : result->evaluator->inputs()) {
    const auto *same = find_if(
        inputs, [&](const TensorSpec &s) { return s.name == spec.name; });
    if (same == inputs.end() || same->dtype != spec.dtype ||
        same->shape != spec.shape)
      return makeError("the program 'eval' takes {0} of type {1}, which is no "
                       "input of 'train_step'",
                       quote(spec.name), formatType(spec.dtype, spec.shape));
    result->evalInputs.push_back(same - inputs.begin());
  }
  result->stateSpecs =
      listStates(model->executable(), trainStep, eval, *result->store);
  return result;
}

ArrayRef<TensorSpec> SessionProgram::inputs() const {
  return trainer->inputs();
}

Expected<Scalars> SessionProgram::step(ArrayRef<TensorView> inputs) {
  auto outputs = trainer->run(inputs);
  if (!outputs)
    return outputs.takeError();
  Scalars scalars(1);
  for (auto [i, spec, tensor] : enumerate(trainer->outputs(), *outputs)) {
    if (!spec.shape.empty())
      continue;
    double value = loadAsDouble(spec.dtype, tensor.data());
    if (i == trainLoss)
      scalars[0] = {spec.name, value};
    else
      scalars.emplace_back(spec.name, value);
  }
  return scalars;
}

Expected<TrainProgram::Evaluation>
SessionProgram::evaluate(ArrayRef<TensorView> inputs) {
  SmallVector<TensorView> chosen;
  for (size_t index : evalInputs)
    chosen.push_back(inputs[index]);
  auto outputs = evaluator->run(chosen);
  if (!outputs)
    return outputs.takeError();
  Evaluation result;
  for (auto [i, tensor] : enumerate(*outputs)) {
    if (i == evalLoss)
      result.loss = loadAsDouble(tensor.dtype(), tensor.data());
    else
      result.outputs.push_back(std::move(tensor));
  }
  return std::move(result);
}

Expected<Tensor> SessionProgram::state(size_t index) {
  return store->get(stateSpecs[index].name);
}

Error SessionProgram::setState(size_t index, const TensorView &value) {
  return store->set(stateSpecs[index].name, value);
}

} // namespace lathe::train
