//===- train-steps.cpp - A train step over given batches ------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
//   train-steps MODEL.mlir OUT [key=value ...]
//
//   input.NAME=file.npy   the batches of all steps, [steps, batch...]
//   state.NAME=file.npy   what a state is before the first step
//   target=cpu|cuda-sim   threads=N   optimize=false
//   states=false          figures alone
//   turn=N                for benchmarks, see below
//   every other key       a field of the recipe
//
// Writes OUT/FIGURE.npy for every figure and OUT/STATE.npy for every state, one
// row per step, what it was after it.
//
// With `turn`, a line of standard input stands for N steps, over the batches in
// turn, and is answered by a line of JSON with their times and losses; nothing
// is written to OUT. The first line, before any step, and the last one have the
// memory of the process.
//
//===----------------------------------------------------------------------===//

#include "lathe/Pipelines/Training.h"
#include "lathe/Runtime/Profile.h"
#include "lathe/Runtime/Session.h"
#include "lathe/Support/Error.h"
#include "lathe/Support/Npy.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"

#include <chrono>
#include <cstring>
#include <iostream>

using namespace lathe;

namespace {

/// Rows of one tensor, gathered step by step.
struct Trace {
  std::string name;
  DType dtype = DType::F32;
  Shape shape;
  std::string bytes;

  void add(const TensorView &row) {
    dtype = row.dtype();
    shape.assign(row.shape().begin(), row.shape().end());
    bytes += row.rawBytes();
  }
  llvm::Error write(llvm::StringRef folder, int64_t steps) const {
    Shape whole = {steps};
    whole.append(shape);
    llvm::Expected<Tensor> tensor = Tensor::create(dtype, whole);
    if (!tensor)
      return tensor.takeError();
    std::memcpy(tensor->data(), bytes.data(), bytes.size());
    return writeNpy((folder + "/" + name + ".npy").str(), *tensor);
  }
};

struct Arguments {
  std::string model, folder;
  TrainRecipe recipe;
  CompileOptions compile;
  SessionOptions session;
  std::vector<NamedTensor> inputs, states;
  bool traceStates = true;
  unsigned turn = 0;
};

llvm::Error parse(int argc, char **argv, Arguments &arguments) {
  if (argc < 3)
    return makeError("usage: train-steps MODEL.mlir OUT [key=value ...]");
  arguments.model = argv[1];
  arguments.folder = argv[2];
  arguments.session.threads = 1;
  for (int i = 3; i < argc; ++i) {
    auto [key, value] = StringRef(argv[i]).split('=');
    auto tensor = [&, &key = key, &value = value](
                      std::vector<NamedTensor> &list) -> llvm::Error {
      llvm::Expected<Tensor> read = readNpy(value);
      if (!read)
        return read.takeError();
      list.push_back({key.str(), std::move(*read)});
      return llvm::Error::success();
    };
    llvm::Error error = llvm::Error::success();
    if (key.consume_front("input."))
      error = tensor(arguments.inputs);
    else if (key.consume_front("state."))
      error = tensor(arguments.states);
    else if (key == "target")
      arguments.compile.target = value == "cpu" ? Target::Cpu : Target::CudaSim;
    else if (key == "threads")
      error = value.getAsInteger(10, arguments.session.threads)
                  ? makeError("threads must be a number")
                  : llvm::Error::success();
    else if (key == "turn")
      error = value.getAsInteger(10, arguments.turn)
                  ? makeError("turn must be a number")
                  : llvm::Error::success();
    else if (key == "states")
      arguments.traceStates = value == "true";
    else if (key == "optimize")
      arguments.compile.optimize = value == "true";
    else
      error = setRecipeField(arguments.recipe, key, value);
    if (error)
      return error;
  }
  return llvm::Error::success();
}

/// The inputs of one step: a row of every list of batches.
std::vector<TensorView> batchOf(ArrayRef<const Tensor *> batches,
                                int64_t step) {
  std::vector<TensorView> inputs;
  for (const Tensor *all : batches) {
    int64_t steps = all->shape()[0];
    uint64_t bytes = all->numBytes() / steps;
    inputs.emplace_back(all->dtype(), all->shape().drop_front(),
                        static_cast<char *>(all->data()) +
                            step % steps * bytes);
  }
  return inputs;
}

void sayMemory(uint64_t before) {
  llvm::outs() << llvm::formatv(
      "{{\"before\": {0}, \"now\": {1}, \"peak\": {2}}\n", before,
      residentMemoryBytes(), peakMemoryBytes());
  llvm::outs().flush();
}

/// Steps when standard input says so.
llvm::Error takeTurns(Session &session, ArrayRef<const Tensor *> batches,
                      unsigned turn, uint64_t before) {
  sayMemory(before);
  int64_t step = 0;
  for (std::string line; std::getline(std::cin, line);) {
    std::string times, losses;
    for (unsigned i = 0; i < turn; ++i, ++step) {
      std::vector<TensorView> inputs = batchOf(batches, step);
      auto start = std::chrono::steady_clock::now();
      auto outputs = session.run(inputs);
      std::chrono::duration<double, std::milli> took =
          std::chrono::steady_clock::now() - start;
      if (!outputs)
        return outputs.takeError();
      times += llvm::formatv("{0}{1}", i ? ", " : "", took.count());
      losses += llvm::formatv("{0}{1}", i ? ", " : "",
                              outputs->front().as<float>()[0]);
    }
    llvm::outs() << "{\"ms\": [" << times << "], \"loss\": [" << losses
                 << "]}\n";
    llvm::outs().flush();
  }
  sayMemory(before);
  return llvm::Error::success();
}

llvm::Error run(const Arguments &arguments) {
  uint64_t before = residentMemoryBytes();
  DialectRegistry registry;
  registerAllLatheDialects(registry);
  MLIRContext context(registry);
  context.loadAllAvailableDialects();
  std::unique_ptr<Model> model = Model::load(context, arguments.model);
  func::FuncOp loss = model ? findLoss(*model) : nullptr;
  if (!loss)
    return makeError("the model cannot be trained");

  // One batch per input and step.
  std::vector<const Tensor *> batches;
  SmallVector<SmallVector<int64_t>> shapes;
  int64_t steps = -1;
  for (unsigned i = 0; i < loss.getNumArguments(); ++i) {
    auto name = loss.getArgAttrOfType<StringAttr>(i, "lathe.name");
    auto it = llvm::find_if(arguments.inputs, [&](const NamedTensor &input) {
      return name && input.name == name.getValue();
    });
    if (it == arguments.inputs.end())
      return makeError("no input for argument {0}", i);
    batches.push_back(&it->tensor);
    if (steps >= 0 && it->tensor.shape()[0] != steps)
      return makeError("inputs have different numbers of steps");
    steps = it->tensor.shape()[0];
    shapes.emplace_back(it->tensor.shape().drop_front());
  }
  auto executable = std::make_shared<exec::Executable>();
  if (failed(compileTraining(*model, shapes, {}, arguments.recipe,
                             arguments.compile, *executable)))
    return makeError("the train step cannot be compiled");
  if (llvm::Error error = verifyExecutable(*executable))
    return error;
  auto loaded = LoadedModel::load(executable);
  if (!loaded)
    return loaded.takeError();
  WeightSource none;
  auto session = Session::create(*loaded, 0, none, arguments.session);
  if (!session)
    return session.takeError();
  StateStore &states = *(*session)->states();
  for (const NamedTensor &state : arguments.states)
    if (llvm::Error error = states.set(state.name, state.tensor))
      return error;

  if (arguments.turn)
    return takeTurns(**session, batches, arguments.turn, before);
  std::vector<Trace> traces;
  for (const TensorSpec &spec : (*session)->outputs())
    traces.emplace_back().name = spec.name;
  if (arguments.traceStates)
    for (const StateStore::State &state : states.states())
      traces.emplace_back().name = state.spec.name;
  for (int64_t step = 0; step < steps; ++step) {
    auto outputs = (*session)->run(batchOf(batches, step));
    if (!outputs)
      return outputs.takeError();
    size_t next = 0;
    for (const Tensor &output : *outputs)
      traces[next++].add(output);
    for (const StateStore::State &state : states.states()) {
      if (!arguments.traceStates)
        break;
      auto value = states.get(state.spec.name);
      if (!value)
        return value.takeError();
      traces[next++].add(*value);
    }
  }
  if (std::error_code code =
          llvm::sys::fs::create_directories(arguments.folder))
    return llvm::errorCodeToError(code);
  for (const Trace &trace : traces)
    if (llvm::Error error = trace.write(arguments.folder, steps))
      return error;
  return llvm::Error::success();
}

} // namespace

int main(int argc, char **argv) {
  Arguments arguments;
  llvm::Error error = parse(argc, argv, arguments);
  if (!error)
    error = run(arguments);
  if (!error)
    return 0;
  llvm::errs() << "train-steps: " << llvm::toString(std::move(error)) << "\n";
  return 1;
}
