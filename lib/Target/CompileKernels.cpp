//===- CompileKernels.cpp - What targets share on the way to code ---------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Target/CompileKernels.h"

#include "lathe/Support/DiskCache.h"
#include "lathe/Target/KernelIdentity.h"
#include "lathe/Target/ProgramBuilder.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/ThreadPool.h"

#include <mutex>

using namespace mlir;

namespace lathe {

namespace {
/// One kernel to be compiled.
struct Job {
  explicit Job(Location at) : at(at) {}
  Location at;
  std::string key;
  exec::Kernel info;
  exec::Object object;
  MakeObjectFn make;
  std::string error;
};
} // namespace

/// A cached kernel is an Executable with one kernel and one object.
static bool loadFromCache(Job &job, DiskCache *cache) {
  if (!cache)
    return false;
  std::optional<std::string> bytes = cache->get(job.key);
  exec::Executable entry;
  if (!bytes || !entry.ParseFromString(*bytes) || entry.kernels_size() != 1 ||
      entry.objects_size() != 1)
    return false;
  // Its name and ops are those of the model it was compiled for.
  exec::Kernel &kept = *entry.mutable_kernels(0);
  kept.set_name(job.info.name());
  kept.mutable_ops()->Swap(job.info.mutable_ops());
  job.info.Swap(&kept);
  job.object.Swap(entry.mutable_objects(0));
  return true;
}

static void keepInCache(const Job &job, DiskCache *cache) {
  if (!cache)
    return;
  exec::Executable entry;
  *entry.add_kernels() = job.info;
  *entry.add_objects() = job.object;
  cache->put(job.key, entry.SerializeAsString());
}

static void runJobs(ArrayRef<Job *> jobs, const KernelCompileOptions &options) {
  std::mutex mutex;
  unsigned done = 0;
  llvm::DefaultThreadPool pool(
      llvm::hardware_concurrency(std::max(1u, options.threads)));
  for (Job *job : jobs)
    pool.async([&, job] {
      if (llvm::Error error = job->make(job->info, job->object))
        job->error = llvm::toString(std::move(error));
      std::lock_guard<std::mutex> lock(mutex);
      if (options.progress)
        options.progress(++done, jobs.size());
    });
  pool.wait();
}

LogicalResult compileKernels(func::FuncOp entry,
                             const KernelCompileOptions &options,
                             StringRef identity, LowerKernelFn lower,
                             exec::Executable &executable,
                             BackendStatistics *statistics) {
  std::string prefix =
      ("kernel\n" + identity + "\n" + getCompilerIdentity() + "\n").str();
  llvm::StringMap<uint32_t> known;
  std::vector<std::unique_ptr<Job>> jobs;
  std::vector<Job *> toCompile;
  uint32_t firstKernel = executable.kernels_size();
  unsigned numKernels = 0;

  auto resolve = [&](KernelOp kernel) -> FailureOr<ResolvedKernel> {
    ++numKernels;
    std::string text = getKernelText(kernel);
    auto [it, isNew] = known.try_emplace(text, uint32_t(jobs.size()));
    auto resolved = [&, job = it->second] {
      return ResolvedKernel{firstKernel + job, jobs[job]->info.schedule()};
    };
    if (!isNew)
      return resolved();
    auto job = std::make_unique<Job>(kernel.getLoc());
    job->key = prefix + text;
    describeKernel(kernel, job->info);
    if (!loadFromCache(*job, options.cache)) {
      FailureOr<MakeObjectFn> make = lower(kernel, text, job->info);
      if (failed(make))
        return failure();
      job->make = std::move(*make);
      toCompile.push_back(job.get());
    }
    jobs.push_back(std::move(job));
    return resolved();
  };
  if (failed(buildProgram(entry, executable, resolve)))
    return failure();

  runJobs(toCompile, options);
  for (Job *job : toCompile) {
    if (!job->error.empty())
      return emitError(job->at, "kernel '")
             << job->info.name() << "' could not be compiled: " << job->error;
    job->object.set_digest(sha256Hex(job->object.code()));
    keepInCache(*job, options.cache);
  }
  for (auto &job : jobs) {
    job->info.set_object(executable.objects_size());
    executable.add_objects()->Swap(&job->object);
    executable.add_kernels()->Swap(&job->info);
  }
  executable.set_format_version(kFormatVersion);
  executable.set_producer("lathe 0.1.0");
  if (statistics)
    *statistics = {numKernels, unsigned(jobs.size()),
                   unsigned(jobs.size() - toCompile.size())};
  return success();
}

LogicalResult forEachDistinctKernel(
    ModuleOp module, function_ref<LogicalResult(KernelOp, StringRef text)> fn) {
  llvm::StringMap<bool> seen;
  WalkResult result = module.walk([&](KernelOp kernel) {
    std::string text = getKernelText(kernel);
    if (!seen.try_emplace(text, true).second)
      return WalkResult::advance();
    return WalkResult(fn(kernel, text));
  });
  return failure(result.wasInterrupted());
}

LogicalResult refuseKernel(KernelOp kernel, StringRef target,
                           StringRef reasons) {
  InFlightDiagnostic diagnostic = kernel.emitError("no ")
                                  << target << " schedule takes kernel '"
                                  << kernel.getName() << "'";
  diagnostic.attachNote() << "refused:" << reasons;
  return diagnostic;
}

} // namespace lathe
