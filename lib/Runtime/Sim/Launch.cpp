//===- Launch.cpp - Grids of blocks, and what went wrong in them ----------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Checker.h"
#include "CodeMap.h"
#include "Worker.h"

#include "lathe/Support/Error.h"
#include "llvm/ADT/STLExtras.h"

#include <atomic>
#include <cstdlib>
#include <list>
#include <mutex>

using namespace llvm;
using namespace lathe;
using namespace lathe::sim;

namespace {
std::atomic<uint64_t> &seed() {
  static std::atomic<uint64_t> value{[] {
    const char *text = std::getenv("LATHE_SIM_SEED");
    uint64_t number = 1;
    if (text && StringRef(text).getAsInteger(10, number))
      number = 1;
    return number;
  }()};
  return value;
}

/// Errors that nobody took yet, by launch: a launch is known by the address of
/// its arguments.
struct Errors {
  std::atomic<bool> any{false};
  std::mutex mutex;
  std::vector<std::pair<const void *, std::string>> list;

  bool has(const void *args) {
    if (!any.load(std::memory_order_acquire))
      return false;
    std::lock_guard<std::mutex> lock(mutex);
    return llvm::any_of(list, [&](auto &entry) { return entry.first == args; });
  }
  void add(const void *args, std::string message) {
    std::lock_guard<std::mutex> lock(mutex);
    list.push_back({args, std::move(message)});
    any = true;
  }
  std::string take(const void *args) {
    if (!any.load(std::memory_order_acquire))
      return "";
    std::lock_guard<std::mutex> lock(mutex);
    std::string first;
    llvm::erase_if(list, [&](auto &entry) {
      if (args && entry.first != args)
        return false;
      if (first.empty())
        first = entry.second;
      return true;
    });
    any = !list.empty();
    return first;
  }
};
Errors &errors() {
  static Errors value;
  return value;
}

/// Launches with checks that are under way: threads of the host come with parts
/// of their blocks, one after the other, and a kernel's grids follow each
/// other.
struct Checked {
  std::mutex mutex;
  struct Entry {
    const void *args;
    uint32_t number;
    std::unique_ptr<Checker> checker;
  };
  std::list<Entry> entries;
};
Checked &checked() {
  static Checked value;
  return value;
}

std::string place(const Place &place) {
  std::string line = lineOf(place.addresses);
  return line.empty() ? "" : " at " + line;
}

std::string describe(const SimLaunch &launch, const Fault &fault) {
  return "kernel " + quote(launch.kernel) + ", block " + text(fault.block) +
         ", thread " + text(fault.thread) + ": " + fault.before +
         place(fault.place) + fault.middle + place(fault.second);
}

std::string refuse(const SimLaunch &launch) {
  auto text = [](const uint32_t *size) {
    return sim::text({size[0], size[1], size[2]});
  };
  constexpr uint32_t kMaxBlock[] = {1024, 1024, 64};
  constexpr uint32_t kMaxGrid[] = {0x7fffffff, 65535, 65535};
  uint64_t threads = 1;
  for (int i = 0; i < 3; ++i) {
    if (launch.block[i] < 1 || launch.block[i] > kMaxBlock[i])
      return "is launched with blocks of " + text(launch.block) +
             " threads, expected 1 to 1024, 1024 and 64";
    if (launch.grid[i] < 1 || launch.grid[i] > kMaxGrid[i])
      return "is launched with a grid of " + text(launch.grid) +
             " blocks, expected 1 to 2147483647, 65535 and 65535";
    threads *= launch.block[i];
  }
  if (threads > kMaxThreads)
    return "is launched with " + std::to_string(threads) +
           " threads per block, expected at most 1024";
  if (launch.dynamicShared > SharedMemory::kMaxBytes)
    return "is launched with " + std::to_string(launch.dynamicShared) +
           " bytes of dynamic shared memory, expected at most " +
           std::to_string(SharedMemory::kMaxBytes);
  for (uint32_t size : launch.cluster)
    if (size > 1)
      return "is launched with clusters of " + text(launch.cluster) +
             " blocks, which the simulator does not have";
  return "";
}

void launchPlain(const SimLaunch &launch, void (*kernel)(void **args),
                 void **args, void *scratch, int64_t begin, int64_t end) {
  SmallVector<void *, 16> all(args, args + launch.argumentCount);
  all.push_back(scratch);
  Worker &worker = Worker::get();
  if (!worker.run(launch, kernel, all.data(), nullptr, begin, end, seed()))
    errors().add(args, describe(launch, *worker.fault));
}

void launchChecked(const SimLaunch &launch, void (*kernel)(void **args),
                   void **args, void *scratch, int64_t begin, int64_t end) {
  Checked &state = checked();
  std::lock_guard<std::mutex> lock(state.mutex);
  if (errors().has(args))
    return;
  auto entry = llvm::find_if(state.entries, [&](const Checked::Entry &entry) {
    return entry.args == args;
  });
  if (entry == state.entries.end()) {
    state.entries.push_back(
        {args, 0, std::make_unique<Checker>(launch, args, scratch)});
    entry = std::prev(state.entries.end());
    entry->checker->beginGrid(launch, reinterpret_cast<void *>(kernel));
  } else if (entry->number != launch.number) {
    entry->number = launch.number;
    entry->checker->beginGrid(launch, reinterpret_cast<void *>(kernel));
  }
  Checker &checker = *entry->checker;
  Worker &worker = Worker::get();
  std::string message;
  if (!worker.run(launch, kernel, checker.arguments(), &checker, begin, end,
                  seed()))
    message = describe(launch, *worker.fault);
  checker.blocksDone += end - begin;
  int64_t blocks = int64_t(launch.grid[0]) * launch.grid[1] * launch.grid[2];
  bool last = launch.number + 1 >= launch.grids && checker.blocksDone >= blocks;
  if (message.empty() && last)
    if (std::string left = checker.finish(); !left.empty())
      message = "kernel " + quote(launch.kernel) + ": " + left;
  if (last || !message.empty())
    state.entries.erase(entry);
  if (!message.empty())
    errors().add(args, message);
}
} // namespace

void lathe::setSimSeed(uint64_t value) { seed() = value; }

Error lathe::takeSimError(const void *args) {
  std::string message = errors().take(args);
  return message.empty() ? Error::success() : makeError(Twine(message));
}

extern "C" void lathe_sim_launch(const SimLaunch *launch,
                                 void (*kernel)(void **args), void **args,
                                 void *scratch, int64_t begin, int64_t end) {
  if (errors().has(args))
    return;
  if (launch->structBytes != sizeof(SimLaunch)) {
    errors().add(args, "a kernel was compiled for another version of the "
                       "simulator: compile the model again");
    return;
  }
  if (std::string wrong = refuse(*launch); !wrong.empty()) {
    errors().add(args, "kernel " + quote(launch->kernel) + " " + wrong);
    return;
  }
  (launch->checked ? launchChecked : launchPlain)(*launch, kernel, args,
                                                  scratch, begin, end);
}
