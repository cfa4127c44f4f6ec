//===- Session.cpp - Running a compiled model -----------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Session.h"

#include "SessionBackend.h"
#include "Steps.h"
#include "lathe/Runtime/ThreadPool.h"
#include "lathe/Support/Error.h"

#include <chrono>

using namespace llvm;

namespace lathe {

SessionBackend::~SessionBackend() = default;

const exec::Executable &SessionBackend::executable() const {
  return model->executable();
}

Expected<StringRef>
SessionBackend::preparedBytes(const exec::Prepared &prepared) const {
  const EmbeddedData &data = model->data();
  uint64_t offset = data.offset + prepared.data().offset();
  uint64_t bytes = program->buffers(prepared.buffer()).bytes();
  if (data.file->digest(offset, bytes) != prepared.data().digest())
    return makeError("{0} is damaged: its prepared weights are not those that "
                     "were written",
                     quote(data.file->path()));
  return StringRef(data.file->data() + offset, bytes);
}

WeightUses::WeightUses(const exec::Program &program)
    : loadSteps(program.load_steps_size()),
      lastUse(program.weights_size(), kNever) {
  auto note = [&](ArrayRef<uint32_t> buffers, int when) {
    for (uint32_t number : buffers)
      if (const exec::Buffer &buffer = program.buffers(number);
          buffer.kind() == exec::WEIGHT)
        lastUse[buffer.index()] = when;
  };
  for (int i = 0; i < program.load_steps_size(); ++i) {
    collectBuffers(program.load_steps(i), loadSteps[i]);
    note(loadSteps[i], i);
  }
  for (const exec::Step &step : program.steps())
    collectBuffers(step, run);
  note(run, program.load_steps_size());
}

Session::Session() = default;
Session::~Session() = default;

static Error
describe(const google::protobuf::RepeatedPtrField<exec::Signature> &signatures,
         std::vector<TensorSpec> &specs) {
  for (const exec::Signature &entry : signatures) {
    Expected<DType> dtype = fromElementType(entry.type().element());
    if (!dtype)
      return dtype.takeError();
    specs.push_back(
        {entry.name(), *dtype,
         Shape(entry.type().shape().begin(), entry.type().shape().end())});
  }
  return Error::success();
}

uint64_t SessionBackend::addressOfState(const exec::Buffer &buffer) const {
  return states->find(program->states(buffer.index()).name())->address;
}

/// Finds the parameters, and makes the states that the store has not yet.
static Error bindParameters(SessionBackend &backend, WeightSource &source,
                            const SessionOptions &options) {
  if (!backend.states->isFor(*backend.model))
    return makeError("the states lie in the memory of another device than the "
                     "model");
  std::vector<const exec::Weight *> parameters;
  for (const exec::Weight &weight : backend.program->weights())
    parameters.push_back(&weight);
  size_t numWeights = parameters.size();
  std::vector<TensorSpec> made;
  for (const exec::Weight &state : backend.program->states()) {
    Expected<DType> dtype = fromElementType(state.type().element());
    if (!dtype)
      return dtype.takeError();
    TensorSpec spec{
        state.name(), *dtype,
        Shape(state.type().shape().begin(), state.type().shape().end())};
    const StateStore::State *known = backend.states->find(state.name());
    if (!known) {
      parameters.push_back(&state);
      made.push_back(std::move(spec));
    } else if (known->spec.dtype != spec.dtype ||
               known->spec.shape != spec.shape) {
      return makeError("state {0} is {1} in the store, expected {2}",
                       quote(state.name()),
                       formatType(known->spec.dtype, known->spec.shape),
                       formatType(spec.dtype, spec.shape));
    }
  }
  backend.weights.embedded = backend.model->data();
  if (Error error = backend.weights.bind(parameters, source, options))
    return error;
  for (size_t i = 0; i < made.size(); ++i) {
    Expected<char *> value =
        backend.weights.acquire(numWeights + i, *backend.pool);
    if (!value)
      return value.takeError();
    if (Error error = backend.states->add(made[i], *value))
      return error;
    backend.weights.release(numWeights + i);
  }
  for (const exec::Weight &state : backend.program->states())
    backend.memory.states += backend.states->find(state.name())->bytes;
  return Error::success();
}

static Error setUp(SessionBackend &backend, unsigned index,
                   WeightSource &source, const SessionOptions &options) {
  const exec::Executable &exe = backend.executable();
  if (index >= static_cast<unsigned>(exe.programs_size()))
    return makeError("the compiled model has {0} programs, number {1} is not "
                     "one of them",
                     exe.programs_size(), index);
  backend.program = &exe.programs(index);
  if (Error error = describe(backend.program->inputs(), backend.inputs))
    return error;
  if (Error error = describe(backend.program->outputs(), backend.outputs))
    return error;
  backend.pool = options.pool ? options.pool
                              : std::make_shared<ThreadPool>(options.threads);
  backend.states =
      options.states ? options.states : StateStore::create(backend.model);
  if (Error error = bindParameters(backend, source, options))
    return error;
  backend.notes = backend.weights.notes;
  backend.profiling = options.profile;
  if (options.profile)
    backend.profile.kernels.resize(exe.kernels_size());
  backend.maxWhileIterations = options.maxWhileIterations;
  backend.progress = options.progress;
  return backend.prepare();
}

Expected<std::unique_ptr<Session>>
Session::create(std::shared_ptr<LoadedModel> model, unsigned program,
                WeightSource &weights, const SessionOptions &options) {
  std::unique_ptr<Session> session(new Session());
  session->backend = model->onDevice() ? makeCudaBackend() : makeCpuBackend();
  session->backend->model = std::move(model);
  if (Error error = setUp(*session->backend, program, weights, options))
    return std::move(error);
  return session;
}

ArrayRef<TensorSpec> Session::inputs() const { return backend->inputs; }
ArrayRef<TensorSpec> Session::outputs() const { return backend->outputs; }
const std::shared_ptr<StateStore> &Session::states() const {
  return backend->states;
}
Profile &Session::profile() { return backend->profile; }
ArrayRef<std::string> Session::notes() const { return backend->notes; }
Session::Memory Session::memory() const { return backend->memory; }

static Error checkTensor(const TensorSpec &spec, const TensorView &tensor,
                         const char *role) {
  if (tensor.dtype() != spec.dtype ||
      tensor.shape() != ArrayRef<int64_t>(spec.shape))
    return makeError("{0} {1} is {2}, expected {3}", role, quote(spec.name),
                     formatType(tensor.dtype(), tensor.shape()),
                     formatType(spec.dtype, spec.shape));
  if (reinterpret_cast<uintptr_t>(tensor.data()) % dtypeSize(spec.dtype))
    return makeError("the memory of {0} {1} is not aligned to its elements",
                     role, quote(spec.name));
  return Error::success();
}

static Error checkInput(const TensorSpec &spec, const TensorView &tensor) {
  if (Error error = checkTensor(spec, tensor, "input"))
    return error;
  if (spec.dtype == DType::I1)
    for (uint8_t element : tensor.as<uint8_t>())
      if (element > 1)
        return makeError("input {0} holds the byte {1}, expected 0 or 1 for "
                         "each boolean",
                         quote(spec.name), element);
  return Error::success();
}

Error Session::run(ArrayRef<TensorView> inputs, ArrayRef<TensorView> outputs) {
  SessionBackend &self = *backend;
  if (inputs.size() != self.inputs.size())
    return makeError("the model takes {0} inputs, found {1}",
                     self.inputs.size(), inputs.size());
  if (outputs.size() != self.outputs.size())
    return makeError("the model gives {0} outputs, found room for {1}",
                     self.outputs.size(), outputs.size());
  for (size_t i = 0; i < inputs.size(); ++i)
    if (Error error = checkInput(self.inputs[i], inputs[i]))
      return error;
  for (size_t i = 0; i < outputs.size(); ++i)
    if (Error error = checkTensor(self.outputs[i], outputs[i], "output"))
      return error;
  auto start = std::chrono::steady_clock::now();
  if (Error error = self.run(inputs, outputs))
    return error;
  if (self.profiling) {
    ++self.profile.runs;
    self.profile.seconds +=
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
            .count();
  }
  return Error::success();
}

Expected<std::vector<Tensor>> Session::run(ArrayRef<TensorView> inputs) {
  std::vector<Tensor> results;
  std::vector<TensorView> views;
  for (const TensorSpec &spec : backend->outputs) {
    Expected<Tensor> tensor = Tensor::create(spec.dtype, spec.shape);
    if (!tensor)
      return tensor.takeError();
    views.push_back(*tensor);
    results.push_back(std::move(*tensor));
  }
  if (Error error = run(inputs, views))
    return std::move(error);
  return results;
}

} // namespace lathe
