//===- CpuBackend.cpp - A session on the processor ------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SessionBackend.h"
#include "Steps.h"
#include "lathe/Runtime/ThreadPool.h"
#include "lathe/Support/Error.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/Support/MathExtras.h"

#include <cstring>
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

namespace {
class CpuBackend : public SessionBackend {
public:
  Error prepare() override;
  Error run(ArrayRef<TensorView> inputs, ArrayRef<TensorView> outputs) override;
  Expected<StringRef> readPersistent(uint32_t buffer) override {
    return StringRef(machine.buffers[buffer], program->buffers(buffer).bytes());
  }

private:
  Error placeBuffers();
  Error allocateScratch();
  Error load();
  Error acquireWeights(ArrayRef<uint32_t> buffers);

  Block arena, loadArena, persistent, scratch;
  StepList steps;
  Machine machine;
};
} // namespace

std::unique_ptr<SessionBackend> makeCpuBackend() {
  return std::make_unique<CpuBackend>();
}

Error CpuBackend::prepare() {
  machine.model = model.get();
  machine.pool = pool.get();
  machine.maxWhileIterations = maxWhileIterations;
  machine.progress = progress;
  if (Error error = placeBuffers())
    return error;
  if (Error error = allocateScratch())
    return error;
  return load();
}

Error CpuBackend::placeBuffers() {
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
    case exec::STATE:
      base = reinterpret_cast<char *>(addressOfState(buffer));
      break;
    default:
      break; // INPUT, OUTPUT and WEIGHT come later
    }
  }
  return Error::success();
}

Error CpuBackend::allocateScratch() {
  uint64_t each = 0;
  for (const exec::Kernel &kernel : executable().kernels())
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

Error CpuBackend::acquireWeights(ArrayRef<uint32_t> buffers) {
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

Error CpuBackend::load() {
  const exec::Executable &exe = executable();
  DenseMap<uint32_t, unsigned> loopSlots;
  StepList loadSteps = StepList::resolve(program->load_steps(), exe, loopSlots);
  steps = StepList::resolve(program->steps(), exe, loopSlots);
  machine.loops.assign(loopSlots.size(), 0);

  WeightUses uses(*program);
  auto weightOf = [&](uint32_t number) -> int {
    const exec::Buffer &buffer = program->buffers(number);
    return buffer.kind() == exec::WEIGHT ? static_cast<int>(buffer.index())
                                         : -1;
  };
  for (int i = 0; i < program->load_steps_size(); ++i) {
    if (Error error = acquireWeights(uses.loadSteps[i]))
      return error;
    if (Error error = loadSteps.runStep(i, machine))
      return prefixError("preparing the weights", std::move(error));
    for (uint32_t number : uses.loadSteps[i]) {
      int weight = weightOf(number);
      if (weight < 0 || uses.lastUse[weight] != i || !machine.buffers[number])
        continue;
      weights.release(weight);
      // Several buffers may stand for one weight.
      for (int n = 0; n < program->buffers_size(); ++n)
        if (weightOf(n) == weight)
          machine.buffers[n] = nullptr;
    }
  }
  loadArena.reset();
  for (const exec::Prepared &prepared : program->prepared()) {
    Expected<StringRef> bytes = preparedBytes(prepared);
    if (!bytes)
      return bytes.takeError();
    // A copy, because it lies in huge pages, which a file cannot.
    std::memcpy(machine.buffers[prepared.buffer()], bytes->data(),
                bytes->size());
    const MappedFile &file = *model->data().file;
    file.dropPages(bytes->data() - file.data(), bytes->size());
  }
  if (Error error = acquireWeights(uses.run))
    return error;
  DenseSet<int> counted;
  for (uint32_t number : uses.run)
    if (int weight = weightOf(number);
        weight >= 0 && counted.insert(weight).second)
      memory.weights += program->buffers(number).bytes();
  if (profiling)
    machine.profile = &profile;
  return Error::success();
}

Error CpuBackend::run(ArrayRef<TensorView> inputs,
                      ArrayRef<TensorView> outputs) {
  for (int i = 0; i < program->buffers_size(); ++i) {
    const exec::Buffer &buffer = program->buffers(i);
    if (buffer.kind() == exec::INPUT)
      machine.buffers[i] = static_cast<char *>(inputs[buffer.index()].data());
    else if (buffer.kind() == exec::OUTPUT)
      machine.buffers[i] = static_cast<char *>(outputs[buffer.index()].data());
  }
  return steps.run(machine);
}

} // namespace lathe
