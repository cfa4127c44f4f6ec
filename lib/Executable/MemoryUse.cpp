//===- MemoryUse.cpp - Where the memory of a program goes -----------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Executable/MemoryUse.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Format.h"

#include <algorithm>
#include <tuple>

namespace lathe {

namespace {
struct Life {
  size_t first = ~size_t(0), last = 0;
  std::string maker;
};

class Lifetimes {
public:
  Lifetimes(const exec::Executable &executable, const exec::Program &program)
      : executable(executable), lives(program.buffers_size()) {}

  template <typename Steps> void visit(const Steps &steps) {
    for (const exec::Step &step : steps)
      visitStep(step);
  }
  std::vector<Life> &get() { return lives; }
  void extendOverLoops();
  size_t numSteps() const { return now; }

private:
  void visitStep(const exec::Step &step);
  void touch(const exec::BufferRef &ref, llvm::StringRef maker = "") {
    Life &life = lives[ref.buffer()];
    if (life.maker.empty())
      life.maker = maker.str();
    life.first = std::min(life.first, now);
    life.last = std::max(life.last, now);
  }
  std::string describe(const exec::Kernel &kernel) const;

  const exec::Executable &executable;
  std::vector<Life> lives;
  std::vector<std::pair<size_t, size_t>> loops; // inner before outer ones
  size_t now = 0;
};
} // namespace

/// What is alive where a loop begins or ends and used in it is alive in all of
/// it: the next iteration needs it, or the last one made it.
void Lifetimes::extendOverLoops() {
  for (auto [begin, end] : loops)
    for (Life &life : lives) {
      if (life.first > life.last || life.last < begin || life.first >= end)
        continue;
      if (life.first < begin)
        life.last = std::max(life.last, end - 1);
      else if (life.last >= end)
        life.first = begin;
    }
}

/// The kernel, and the place in the model of its last op.
std::string Lifetimes::describe(const exec::Kernel &kernel) const {
  std::string text = kernel.name();
  if (kernel.ops_size() == 0)
    return text;
  // As MLIR writes it: ... "model.mlir":7:3 ...
  llvm::StringRef op = kernel.ops(kernel.ops_size() - 1);
  size_t end = op.find("\":");
  size_t begin = op.rfind('"', end);
  if (end == llvm::StringRef::npos || begin == llvm::StringRef::npos)
    return text;
  llvm::StringRef place = op.substr(end + 1).take_while(
      [](char c) { return c == ':' || (c >= '0' && c <= '9'); });
  return text + " at " + op.slice(begin + 1, end).str() + place.str();
}

void Lifetimes::visitStep(const exec::Step &step) {
  switch (step.kind_case()) {
  case exec::Step::kLaunch: {
    std::string maker = describe(executable.kernels(step.launch().kernel()));
    for (const exec::BufferRef &ref : step.launch().inputs())
      touch(ref);
    for (const exec::BufferRef &ref : step.launch().outputs())
      touch(ref, maker);
    ++now;
    return;
  }
  case exec::Step::kCopy:
    touch(step.copy().from());
    touch(step.copy().to(), "copy");
    ++now;
    return;
  case exec::Step::kCheck:
    touch(step.check().values());
    ++now;
    return;
  case exec::Step::kIfStep:
    touch(step.if_step().condition());
    ++now;
    visit(step.if_step().then_steps());
    visit(step.if_step().else_steps());
    return;
  case exec::Step::kWhileStep: {
    size_t begin = now;
    visit(step.while_step().condition_steps());
    touch(step.while_step().condition());
    ++now;
    visit(step.while_step().body_steps());
    loops.push_back({begin, now});
    return;
  }
  case exec::Step::kLoop: {
    size_t begin = now;
    visit(step.loop().body_steps());
    loops.push_back({begin, now});
    return;
  }
  case exec::Step::KIND_NOT_SET:
    return;
  }
}

MemoryUse measureMemory(const exec::Executable &executable, size_t number,
                        unsigned threads) {
  const exec::Program &program = executable.programs(number);
  MemoryUse use;
  use.arena = program.arena_bytes();
  Lifetimes lifetimes(executable, program);
  lifetimes.visit(program.steps());
  lifetimes.extendOverLoops();
  std::vector<int64_t> change(lifetimes.numSteps() + 1);
  for (auto [buffer, life] :
       llvm::zip_equal(program.buffers(), lifetimes.get())) {
    switch (buffer.kind()) {
    case exec::STATE:
      use.states += buffer.bytes();
      break;
    case exec::WEIGHT:
    case exec::PERSISTENT:
      use.weights += buffer.bytes();
      break;
    case exec::INPUT:
    case exec::OUTPUT:
      use.signature += buffer.bytes();
      break;
    case exec::ARENA:
      if (life.first > life.last)
        break;
      change[life.first] += buffer.bytes();
      change[life.last + 1] -= buffer.bytes();
      break;
    default:
      break;
    }
  }
  int64_t live = 0;
  for (size_t step = 0; step < lifetimes.numSteps(); ++step) {
    live += change[step];
    use.live.push_back(live);
    if (use.live[step] > use.live[use.peak])
      use.peak = step;
  }
  for (auto [buffer, life] :
       llvm::zip_equal(program.buffers(), lifetimes.get()))
    if (buffer.kind() == exec::ARENA && life.first <= use.peak &&
        life.last >= use.peak)
      use.atPeak.push_back(
          {buffer.bytes(), life.first, life.last, std::move(life.maker)});
  llvm::sort(use.atPeak, [](const auto &a, const auto &b) {
    return std::tie(b.bytes, a.first, a.last, a.maker) <
           std::tie(a.bytes, b.first, b.last, b.maker);
  });
  for (const exec::Kernel &kernel : executable.kernels())
    use.scratch = std::max<uint64_t>(use.scratch, kernel.scratch_bytes());
  use.scratch *= threads;
  return use;
}

std::string formatBytes(uint64_t bytes) {
  static constexpr const char *units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  double value = bytes;
  unsigned unit = 0;
  for (; value >= 1024 && unit < 4; ++unit)
    value /= 1024;
  std::string text;
  llvm::raw_string_ostream os(text);
  os << llvm::format(unit ? "%.1f" : "%.0f", value) << ' ' << units[unit];
  return text;
}

/// Rows of the chart, each with the most of some steps.
static constexpr size_t kRows = 24, kWidth = 40;

void printMemoryTimeline(const MemoryUse &use, llvm::StringRef program,
                         unsigned count, llvm::raw_ostream &os) {
  os << "memory of " << program << ": " << formatBytes(use.total()) << " = "
     << formatBytes(use.arena) << " values in between + "
     << formatBytes(use.states) << " states + " << formatBytes(use.weights)
     << " weights + " << formatBytes(use.signature) << " inputs and outputs";
  if (use.scratch)
    os << " + " << formatBytes(use.scratch) << " workspace";
  os << "\n";
  if (use.live.empty())
    return;
  uint64_t most = std::max<uint64_t>(1, use.live[use.peak]);
  size_t rows = std::min(kRows, use.live.size());
  for (size_t row = 0; row < rows; ++row) {
    size_t begin = use.live.size() * row / rows;
    size_t end = use.live.size() * (row + 1) / rows;
    uint64_t here =
        *std::max_element(use.live.begin() + begin, use.live.begin() + end);
    os << llvm::format("  step %5zu %12s  ", begin, formatBytes(here).c_str())
       << std::string(here * kWidth / most, '#')
       << (begin <= use.peak && use.peak < end ? " <- peak" : "") << "\n";
  }
  os << "  alive at the peak, step " << use.peak << " of " << use.live.size()
     << ":\n";
  uint64_t rest = 0;
  for (const auto &[i, value] : llvm::enumerate(use.atPeak))
    if (i < count)
      os << llvm::format("  %12s  steps %zu to %zu  ",
                         formatBytes(value.bytes).c_str(), value.first,
                         value.last)
         << value.maker << "\n";
    else
      rest += value.bytes;
  if (rest)
    os << llvm::format("  %12s  in %zu smaller ones\n",
                       formatBytes(rest).c_str(), use.atPeak.size() - count);
}

} // namespace lathe
