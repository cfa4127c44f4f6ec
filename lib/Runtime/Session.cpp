//===- Session.cpp - Running a compiled model -----------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Session.h"

#include "Steps.h"
#include "WeightBinder.h"
#include "lathe/Runtime/ThreadPool.h"
#include "lathe/Support/Error.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/Support/MathExtras.h"

#include <sys/mman.h>

using namespace llvm;

namespace lathe {

namespace {
constexpr uint64_t kAlignment = 64;

/// Zeroed memory straight from the system, so that giving it back is certain;
/// in huge pages where the system has them, because packed weights are read
/// from end to end in every run.
class Block {
public:
  Block() = default;
  Block(const Block &) = delete;
  Block &operator=(const Block &) = delete;
  ~Block() { reset(); }

  Error allocate(uint64_t size, const char *what) {
    reset();
    if (size == 0)
      return Error::success();
    void *memory = ::mmap(nullptr, size, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
      return makeError("not enough memory for {0} of {1} bytes", what, size);
    constexpr uint64_t hugePage = 2 << 20;
    if (size >= 2 * hugePage)
      ::madvise(memory, size, MADV_HUGEPAGE);
    base = static_cast<char *>(memory);
    bytes = size;
    return Error::success();
  }
  void reset() {
    if (base)
      ::munmap(base, bytes);
    base = nullptr;
    bytes = 0;
  }
  char *data() const { return base; }
  uint64_t size() const { return bytes; }

private:
  char *base = nullptr;
  uint64_t bytes = 0;
};
} // namespace

struct Session::Impl {
  std::shared_ptr<LoadedModel> model;
  const exec::Program *program = nullptr;
  std::vector<TensorSpec> inputs, outputs;
  std::shared_ptr<ThreadPool> pool;
  WeightBinder weights;
  Block arena, loadArena, persistent, scratch;
  StepList steps;
  Machine machine;
  Profile profile;
  bool profiling = false;
  Memory memory;

  Error setUp(unsigned index, WeightSource &source,
              const SessionOptions &options);
  Error placeBuffers();
  Error allocateScratch();
  Error load();
  Error checkInput(size_t index, const TensorView &tensor) const;
  Error acquireWeights(ArrayRef<uint32_t> buffers);
};

Session::Session() : impl(std::make_unique<Impl>()) {}
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

Expected<std::unique_ptr<Session>>
Session::create(std::shared_ptr<LoadedModel> model, unsigned program,
                WeightSource &weights, const SessionOptions &options) {
  std::unique_ptr<Session> session(new Session());
  session->impl->model = std::move(model);
  if (Error error = session->impl->setUp(program, weights, options))
    return std::move(error);
  return session;
}

Error Session::Impl::setUp(unsigned index, WeightSource &source,
                           const SessionOptions &options) {
  const exec::Executable &exe = model->executable();
  if (index >= static_cast<unsigned>(exe.programs_size()))
    return makeError("the compiled model has {0} programs, number {1} is not "
                     "one of them",
                     exe.programs_size(), index);
  program = &exe.programs(index);
  if (Error error = describe(program->inputs(), inputs))
    return error;
  if (Error error = describe(program->outputs(), outputs))
    return error;
  if (Error error = weights.bind(*program, source, options))
    return error;
  pool = options.pool ? options.pool
                      : std::make_shared<ThreadPool>(options.threads);
  profiling = options.profile;
  if (profiling)
    profile.kernels.resize(exe.kernels_size());
  machine.model = model.get();
  machine.pool = pool.get();
  machine.maxWhileIterations = options.maxWhileIterations;
  if (Error error = placeBuffers())
    return error;
  if (Error error = allocateScratch())
    return error;
  return load();
}

Error Session::Impl::placeBuffers() {
  uint64_t persistentBytes = 0;
  for (const exec::Buffer &buffer : program->buffers())
    if (buffer.kind() == exec::PERSISTENT)
      persistentBytes += alignTo(buffer.bytes(), kAlignment);
  if (Error error = arena.allocate(program->arena_bytes(), "an arena"))
    return error;
  if (Error error =
          loadArena.allocate(program->load_arena_bytes(), "a load arena"))
    return error;
  if (Error error = persistent.allocate(persistentBytes, "prepared weights"))
    return error;
  memory.arena = arena.size();
  memory.persistent = persistent.size();
  char *next = persistent.data();
  machine.buffers.assign(program->buffers_size(), nullptr);
  for (int i = 0; i < program->buffers_size(); ++i) {
    const exec::Buffer &buffer = program->buffers(i);
    char *&base = machine.buffers[i];
    switch (buffer.kind()) {
    case exec::CONSTANT:
      base = model->constants() + buffer.offset();
      break;
    case exec::ARENA:
      base = arena.data() + buffer.offset();
      break;
    case exec::LOAD_ARENA:
      base = loadArena.data() + buffer.offset();
      break;
    case exec::PERSISTENT:
      base = next;
      next += alignTo(buffer.bytes(), kAlignment);
      break;
    default:
      break; // INPUT, OUTPUT and WEIGHT come later
    }
  }
  return Error::success();
}

Error Session::Impl::allocateScratch() {
  uint64_t each = 0;
  for (const exec::Kernel &kernel : model->executable().kernels())
    each = std::max<uint64_t>(each, kernel.scratch_bytes());
  // Threads must not share cache lines or, worse, the prefetcher's pairs.
  each = alignTo(each, 4096);
  if (Error error = scratch.allocate(each * pool->size(), "scratch"))
    return error;
  memory.scratch = scratch.size();
  for (unsigned i = 0; i < pool->size(); ++i)
    machine.scratch.push_back(scratch.data() + i * each);
  return Error::success();
}

Error Session::Impl::acquireWeights(ArrayRef<uint32_t> buffers) {
  for (uint32_t number : buffers) {
    const exec::Buffer &buffer = program->buffers(number);
    if (buffer.kind() != exec::WEIGHT || machine.buffers[number])
      continue;
    Expected<char *> address = weights.acquire(buffer.index(), *pool);
    if (!address)
      return address.takeError();
    machine.buffers[number] = *address;
  }
  return Error::success();
}

// Each weight is in memory from the first load step that reads it to the last:
// preparing a model's weights takes little more than the prepared copy.
Error Session::Impl::load() {
  const exec::Executable &exe = model->executable();
  DenseMap<uint32_t, unsigned> loopSlots;
  StepList loadSteps = StepList::resolve(program->load_steps(), exe, loopSlots);
  steps = StepList::resolve(program->steps(), exe, loopSlots);
  machine.loops.assign(loopSlots.size(), 0);

  std::vector<std::vector<uint32_t>> uses(program->load_steps_size());
  constexpr int kNever = -1;
  std::vector<int> lastUse(program->weights_size(), kNever);
  auto weightOf = [&](uint32_t number) -> int {
    const exec::Buffer &buffer = program->buffers(number);
    return buffer.kind() == exec::WEIGHT ? static_cast<int>(buffer.index())
                                         : -1;
  };
  for (int i = 0; i < program->load_steps_size(); ++i) {
    collectBuffers(program->load_steps(i), uses[i]);
    for (uint32_t number : uses[i])
      if (int weight = weightOf(number); weight >= 0)
        lastUse[weight] = i;
  }
  std::vector<uint32_t> runUses;
  for (const exec::Step &step : program->steps())
    collectBuffers(step, runUses);
  for (uint32_t number : runUses)
    if (int weight = weightOf(number); weight >= 0)
      lastUse[weight] = program->load_steps_size();

  for (int i = 0; i < program->load_steps_size(); ++i) {
    if (Error error = acquireWeights(uses[i]))
      return error;
    if (Error error = loadSteps.runStep(i, machine))
      return prefixError("preparing the weights", std::move(error));
    for (uint32_t number : uses[i]) {
      int weight = weightOf(number);
      if (weight < 0 || lastUse[weight] != i || !machine.buffers[number])
        continue;
      weights.release(weight);
      // Several buffers may stand for one weight.
      for (int n = 0; n < program->buffers_size(); ++n)
        if (weightOf(n) == weight)
          machine.buffers[n] = nullptr;
    }
  }
  loadArena.reset();
  if (Error error = acquireWeights(runUses))
    return error;
  DenseSet<int> counted;
  for (uint32_t number : runUses)
    if (int weight = weightOf(number);
        weight >= 0 && counted.insert(weight).second)
      memory.weights += program->buffers(number).bytes();
  if (profiling)
    machine.profile = &profile;
  return Error::success();
}

ArrayRef<TensorSpec> Session::inputs() const { return impl->inputs; }
ArrayRef<TensorSpec> Session::outputs() const { return impl->outputs; }
Profile &Session::profile() { return impl->profile; }
ArrayRef<std::string> Session::notes() const { return impl->weights.notes; }
Session::Memory Session::memory() const { return impl->memory; }

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

Error Session::Impl::checkInput(size_t index, const TensorView &tensor) const {
  const TensorSpec &spec = inputs[index];
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
  Impl &self = *impl;
  if (inputs.size() != self.inputs.size())
    return makeError("the model takes {0} inputs, found {1}",
                     self.inputs.size(), inputs.size());
  if (outputs.size() != self.outputs.size())
    return makeError("the model gives {0} outputs, found room for {1}",
                     self.outputs.size(), outputs.size());
  for (size_t i = 0; i < inputs.size(); ++i)
    if (Error error = self.checkInput(i, inputs[i]))
      return error;
  for (size_t i = 0; i < outputs.size(); ++i)
    if (Error error = checkTensor(self.outputs[i], outputs[i], "output"))
      return error;
  for (int i = 0; i < self.program->buffers_size(); ++i) {
    const exec::Buffer &buffer = self.program->buffers(i);
    if (buffer.kind() == exec::INPUT)
      self.machine.buffers[i] =
          static_cast<char *>(inputs[buffer.index()].data());
    else if (buffer.kind() == exec::OUTPUT)
      self.machine.buffers[i] =
          static_cast<char *>(outputs[buffer.index()].data());
  }
  auto start = std::chrono::steady_clock::now();
  if (Error error = self.steps.run(self.machine))
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
  for (const TensorSpec &spec : impl->outputs) {
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
