//===- Steps.cpp - The steps of a program, interpreted --------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Steps.h"

#include "SessionBackend.h"
#include "lathe/Runtime/Sim.h"
#include "lathe/Runtime/ThreadPool.h"
#include "lathe/Support/Error.h"
#include "lathe/Support/Progress.h"

#include <algorithm>
#include <cstring>

using namespace llvm;

namespace lathe {

// A launch that one thread finishes in less time than waking another costs is
// done by the caller alone. The rates are what one core reaches on easy and on
// memory-bound work; being wrong by a factor of two costs microseconds.
static bool isWorthThreads(const exec::Kernel &kernel) {
  constexpr double kFlopsPerSecond = 20e9, kBytesPerSecond = 10e9;
  constexpr double kWakeSeconds = 10e-6;
  double estimate = std::max(kernel.flops() / kFlopsPerSecond,
                             kernel.bytes() / kBytesPerSecond);
  // A kernel that says nothing of its size is taken for a large one.
  bool unknown = kernel.flops() <= 0 && kernel.bytes() <= 0;
  return kernel.work_items() > 1 && (unknown || estimate > kWakeSeconds);
}

StepList::Window StepList::resolve(const exec::BufferRef &ref,
                                   DenseMap<uint32_t, unsigned> &loopSlots) {
  Window window{ref.buffer(), ref.offset(), ref.bytes(), {}};
  for (const exec::LoopTerm &term : ref.terms())
    window.terms.push_back({loopSlots.lookup(term.loop()), term.stride()});
  return window;
}

StepList StepList::resolve(const Source &source, const exec::Executable &exe,
                           DenseMap<uint32_t, unsigned> &loopSlots) {
  StepList list;
  list.exe = &exe;
  for (const exec::Step &from : source) {
    Step step;
    step.kind = from.kind_case();
    switch (from.kind_case()) {
    case exec::Step::kLaunch:
      step.kernel = from.launch().kernel();
      step.parallel = isWorthThreads(exe.kernels(step.kernel));
      for (const exec::BufferRef &ref : from.launch().inputs())
        step.windows.push_back(resolve(ref, loopSlots));
      for (const exec::BufferRef &ref : from.launch().outputs())
        step.windows.push_back(resolve(ref, loopSlots));
      break;
    case exec::Step::kCopy:
      step.windows.push_back(resolve(from.copy().from(), loopSlots));
      step.windows.push_back(resolve(from.copy().to(), loopSlots));
      break;
    case exec::Step::kIfStep:
      step.windows.push_back(resolve(from.if_step().condition(), loopSlots));
      step.bodies.push_back(
          resolve(from.if_step().then_steps(), exe, loopSlots));
      step.bodies.push_back(
          resolve(from.if_step().else_steps(), exe, loopSlots));
      break;
    case exec::Step::kWhileStep:
      step.name = &from.while_step().name();
      step.windows.push_back(resolve(from.while_step().condition(), loopSlots));
      step.bodies.push_back(
          resolve(from.while_step().condition_steps(), exe, loopSlots));
      step.bodies.push_back(
          resolve(from.while_step().body_steps(), exe, loopSlots));
      break;
    case exec::Step::kLoop:
      step.slot = loopSlots.try_emplace(from.loop().id(), loopSlots.size())
                      .first->second;
      step.tripCount = from.loop().trip_count();
      step.reverse = from.loop().reverse();
      step.bodies.push_back(resolve(from.loop().body_steps(), exe, loopSlots));
      break;
    case exec::Step::kCheck:
      step.windows.push_back(resolve(from.check().values(), loopSlots));
      step.check = &from.check();
      break;
    case exec::Step::KIND_NOT_SET:
      llvm_unreachable("verifyExecutable refuses such steps");
    }
    list.steps.push_back(std::move(step));
  }
  return list;
}

Error StepList::launch(const Step &step, Machine &machine) const {
  using Clock = std::chrono::steady_clock;
  const exec::Kernel &kernel = exe->kernels(step.kernel);
  KernelFunction function = machine.model->kernel(step.kernel);
  SmallVector<void *, 16> args;
  for (const Window &window : step.windows)
    args.push_back(window.at(machine));
  Clock::time_point start;
  if (machine.profile)
    start = Clock::now();
  int64_t items = kernel.work_items();
  if (!step.parallel) {
    if (items > 0)
      function(args.data(), machine.scratch[0], 0, items);
  } else {
    machine.pool->run(items, [&](unsigned thread, int64_t begin, int64_t end) {
      function(args.data(), machine.scratch[thread], begin, end);
    });
  }
  if (machine.profile) {
    Profile::Entry &entry = machine.profile->kernels[step.kernel];
    ++entry.launches;
    entry.seconds +=
        std::chrono::duration<double>(Clock::now() - start).count();
  }
  // Kernels of the cpu target cannot fail, and never call the simulator.
  return takeSimError(args.data());
}

template <typename T>
static Error checkValues(const char *data, uint64_t bytes,
                         const exec::Check &check) {
  for (uint64_t at = 0; at < bytes; at += sizeof(T)) {
    T value;
    std::memcpy(&value, data + at, sizeof(T));
    if (value < check.low() || value > check.high())
      return makeError("{0}: found {1}, expected {2} to {3}", check.message(),
                       value, check.low(), check.high());
  }
  return Error::success();
}

Error checkWindow(const char *data, uint64_t bytes, const exec::Check &check) {
  return check.element() == exec::I64
             ? checkValues<int64_t>(data, bytes, check)
             : checkValues<int32_t>(data, bytes, check);
}

Error tooManyIterations(int64_t tripCount, uint64_t limit) {
  return makeError("a loop of {0} iterations is refused, expected at most {1}",
                   tripCount, limit);
}

Error givenUpAfter(uint64_t iterations, StringRef loop) {
  return makeError("{0} is given up after {1} iterations",
                   loop.empty() ? "a loop" : loop, iterations);
}

Error StepList::check(const Step &step, const Machine &machine) const {
  const Window &window = step.windows[0];
  return checkWindow(window.at(machine), window.bytes, *step.check);
}

Error StepList::loop(const Step &step, Machine &machine) const {
  if (uint64_t(step.tripCount) > machine.maxWhileIterations)
    return tooManyIterations(step.tripCount, machine.maxWhileIterations);
  for (int64_t i = 0; i < step.tripCount; ++i) {
    machine.loops[step.slot] = step.reverse ? step.tripCount - 1 - i : i;
    if (Error error = step.bodies[0].run(machine))
      return error;
  }
  return Error::success();
}

Error StepList::whileLoop(const Step &step, Machine &machine) const {
  Progress progress(*step.name + ", iterations", 0);
  for (uint64_t i = 0;; ++i) {
    if (machine.progress)
      progress.update(i);
    if (Error error = step.bodies[0].run(machine))
      return error;
    if (!*step.windows[0].at(machine))
      return Error::success();
    if (i == machine.maxWhileIterations)
      return givenUpAfter(i, *step.name);
    if (Error error = step.bodies[1].run(machine))
      return error;
  }
}

Error StepList::runStep(size_t index, Machine &machine) const {
  const Step &step = steps[index];
  switch (step.kind) {
  case exec::Step::kLaunch:
    return launch(step, machine);
  case exec::Step::kCopy:
    // Windows of one buffer may overlap.
    std::memmove(step.windows[1].at(machine), step.windows[0].at(machine),
                 step.windows[0].bytes);
    return Error::success();
  case exec::Step::kIfStep:
    return step.bodies[*step.windows[0].at(machine) ? 0 : 1].run(machine);
  case exec::Step::kWhileStep:
    return whileLoop(step, machine);
  case exec::Step::kLoop:
    return loop(step, machine);
  case exec::Step::kCheck:
    return check(step, machine);
  case exec::Step::KIND_NOT_SET:
    break;
  }
  llvm_unreachable("verifyExecutable refuses such steps");
}

Error StepList::run(Machine &machine) const {
  for (size_t i = 0; i < steps.size(); ++i)
    if (Error error = runStep(i, machine))
      return error;
  return Error::success();
}

void collectBuffers(const exec::Step &step, std::vector<uint32_t> &buffers) {
  auto add = [&](const exec::BufferRef &ref) {
    buffers.push_back(ref.buffer());
  };
  auto nested = [&](const StepList::Source &list) {
    for (const exec::Step &inner : list)
      collectBuffers(inner, buffers);
  };
  switch (step.kind_case()) {
  case exec::Step::kLaunch:
    std::for_each(step.launch().inputs().begin(), step.launch().inputs().end(),
                  add);
    std::for_each(step.launch().outputs().begin(),
                  step.launch().outputs().end(), add);
    break;
  case exec::Step::kCopy:
    add(step.copy().from());
    add(step.copy().to());
    break;
  case exec::Step::kIfStep:
    add(step.if_step().condition());
    nested(step.if_step().then_steps());
    nested(step.if_step().else_steps());
    break;
  case exec::Step::kWhileStep:
    add(step.while_step().condition());
    nested(step.while_step().condition_steps());
    nested(step.while_step().body_steps());
    break;
  case exec::Step::kLoop:
    nested(step.loop().body_steps());
    break;
  case exec::Step::kCheck:
    add(step.check().values());
    break;
  case exec::Step::KIND_NOT_SET:
    break;
  }
}

} // namespace lathe
