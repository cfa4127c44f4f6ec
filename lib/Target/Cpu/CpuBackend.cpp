//===- CpuBackend.cpp - A module of kernels to an Executable for the CPU -*- C++
//-*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Target/Cpu/CpuBackend.h"
#include "lathe/Support/DiskCache.h"
#include "lathe/Target/KernelIdentity.h"
#include "lathe/Target/ProgramBuilder.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/ThreadPool.h"

#include <mutex>

using namespace mlir;

namespace lathe::cpu {

namespace {

struct NamedSchedule {
  StringRef name;
  ScheduleFn lower;
};

/// One kernel to be compiled, with its own module so that several can go
/// through LLVM at once.
struct Job {
  std::string key;
  std::string symbol;
  OwningOpRef<ModuleOp> module;
  LoweredKernel lowered;
  exec::Kernel info;
  std::string code;
  std::string error;
};

} // namespace

/// In the order they are tried; the last takes whatever lowers to linalg.
static ArrayRef<NamedSchedule> getSchedules() {
  static const NamedSchedule schedules[] = {
      {"attention", scheduleAttention},
      {"contraction", scheduleContraction},
      {"convolution", scheduleConvolution},
      {"pack", schedulePack},
      {"rows", scheduleRows},
      {"opaque", scheduleOpaque},
  };
  return schedules;
}

static std::string getTargetText(const CpuTarget &target) {
  std::string text = target.triple + "\n" + target.cpu + "\n" +
                     std::to_string(target.schedule.vectorWidth);
  for (const std::string &feature : target.features)
    text += "," + feature;
  return text + "\n" + getCompilerIdentity() + "\n";
}

/// Whether the kernel reads a tensor without elements, such as a matmul over an
/// inner dim of 0: the fast schedules are made for at least one.
static bool readsNothing(KernelOp kernel) {
  return llvm::any_of(kernel.getInputs().getTypes(), [](Type type) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    return tensor && tensor.hasStaticShape() && tensor.getNumElements() == 0;
  });
}

static LogicalResult lowerKernel(KernelOp kernel, const CpuTarget &target,
                                 Job &job) {
  job.module = ModuleOp::create(kernel.getLoc());
  std::string reasons;
  for (const NamedSchedule &schedule : getSchedules()) {
    if (readsNothing(kernel) && schedule.name != getSchedules().back().name)
      continue;
    std::string whyNot;
    FailureOr<LoweredKernel> lowered = schedule.lower(
        kernel, *job.module, job.symbol, target.schedule, whyNot);
    if (succeeded(lowered)) {
      job.lowered = *lowered;
      job.info.set_schedule(schedule.name.str());
      job.info.set_work_items(lowered->workItems);
      job.info.set_scratch_bytes(lowered->scratchBytes);
      return success();
    }
    reasons += ("\n  " + schedule.name + ": " + whyNot).str();
    job.module->getBody()->clear();
  }
  InFlightDiagnostic diagnostic =
      kernel.emitError("no CPU schedule takes kernel '")
      << kernel.getName() << "'";
  diagnostic.attachNote() << "refused:" << reasons;
  return diagnostic;
}

/// A cached kernel is an Executable with one kernel and one object.
static bool loadFromCache(Job &job, DiskCache *cache) {
  if (!cache)
    return false;
  std::optional<std::string> bytes = cache->get(job.key);
  exec::Executable entry;
  if (!bytes || !entry.ParseFromString(*bytes) || entry.kernels_size() != 1 ||
      entry.objects_size() != 1)
    return false;
  job.info.set_work_items(entry.kernels(0).work_items());
  job.info.set_scratch_bytes(entry.kernels(0).scratch_bytes());
  job.info.set_schedule(entry.kernels(0).schedule());
  job.code = entry.objects(0).code();
  return true;
}

static void keepInCache(const Job &job, DiskCache *cache) {
  if (!cache)
    return;
  exec::Executable entry;
  *entry.add_kernels() = job.info;
  entry.add_objects()->set_code(job.code);
  cache->put(job.key, entry.SerializeAsString());
}

static void compileJob(Job &job, const CpuTarget &target) {
  if (failed(lowerToLLVM(*job.module, job.lowered, job.symbol))) {
    job.error = "lowering to LLVM failed";
    return;
  }
  llvm::Expected<std::string> code =
      emitCode(*job.module, target, CodeKind::Object);
  if (code)
    job.code = std::move(*code);
  else
    job.error = llvm::toString(code.takeError());
}

LogicalResult compileForCpu(func::FuncOp entry, const BackendOptions &options,
                            exec::Executable &executable,
                            BackendStatistics *statistics) {
  std::string targetText = getTargetText(options.target);
  llvm::StringMap<uint32_t> known;
  std::vector<std::unique_ptr<Job>> jobs;
  std::vector<Job *> toCompile;
  uint32_t firstKernel = executable.kernels_size();
  unsigned numKernels = 0;

  auto resolve = [&](KernelOp kernel) -> FailureOr<uint32_t> {
    ++numKernels;
    std::string text = getKernelText(kernel);
    auto [it, isNew] = known.try_emplace(text, firstKernel + jobs.size());
    if (!isNew)
      return it->second;
    auto job = std::make_unique<Job>();
    // The symbol is part of the code, so it must not depend on the model.
    job->symbol = "k_" + sha256Hex(text).substr(0, 24);
    job->key = "cpu-kernel\n" + targetText + text;
    describeKernel(kernel, job->info);
    if (!loadFromCache(*job, options.cache)) {
      if (failed(lowerKernel(kernel, options.target, *job)))
        return failure();
      toCompile.push_back(job.get());
    }
    job->info.set_symbol(job->symbol);
    jobs.push_back(std::move(job));
    return it->second;
  };
  if (failed(buildProgram(entry, executable, resolve)))
    return failure();

  std::mutex mutex;
  unsigned done = 0;
  {
    llvm::DefaultThreadPool pool(
        llvm::hardware_concurrency(std::max(1u, options.threads)));
    for (Job *job : toCompile)
      pool.async([&, job] {
        compileJob(*job, options.target);
        std::lock_guard<std::mutex> lock(mutex);
        if (options.progress)
          options.progress(++done, toCompile.size());
      });
    pool.wait();
  }
  for (Job *job : toCompile) {
    if (!job->error.empty())
      return entry.emitError("kernel '")
             << job->info.name() << "' could not be compiled: " << job->error;
    keepInCache(*job, options.cache);
  }
  for (auto &job : jobs) {
    job->info.set_object(executable.objects_size());
    exec::Object *object = executable.add_objects();
    object->set_digest(sha256Hex(job->code));
    object->set_code(std::move(job->code));
    *executable.add_kernels() = job->info;
  }
  executable.set_format_version(kFormatVersion);
  executable.set_producer("lathe 0.1.0");
  executable.set_target("cpu");
  executable.set_triple(options.target.triple);
  executable.set_cpu(options.target.cpu);
  executable.clear_cpu_features();
  for (const std::string &feature : options.target.features)
    executable.add_cpu_features(feature);
  if (statistics)
    *statistics = {numKernels, unsigned(jobs.size()),
                   unsigned(jobs.size() - toCompile.size())};
  return success();
}

LogicalResult printKernelCode(ModuleOp module, const BackendOptions &options,
                              StringRef stage, raw_ostream &os) {
  llvm::StringMap<bool> seen;
  WalkResult result = module.walk([&](KernelOp kernel) {
    std::string text = getKernelText(kernel);
    if (!seen.try_emplace(text, true).second)
      return WalkResult::advance();
    Job job;
    job.symbol = "k_" + sha256Hex(text).substr(0, 24);
    if (failed(lowerKernel(kernel, options.target, job)))
      return WalkResult::interrupt();
    os << (stage == "asm"    ? "# "
           : stage == "llvm" ? "; "
                             : "// ")
       << "kernel " << kernel.getName() << " (" << job.info.schedule() << ", "
       << job.lowered.workItems << " work items, " << job.lowered.scratchBytes
       << " bytes of scratch)\n";
    if (stage == "memref") {
      job.module->print(os);
      os << "\n";
      return WalkResult::advance();
    }
    if (failed(lowerToLLVM(*job.module, job.lowered, job.symbol)))
      return WalkResult::interrupt();
    llvm::Expected<std::string> code =
        emitCode(*job.module, options.target,
                 stage == "asm" ? CodeKind::Assembly : CodeKind::LLVM);
    if (!code) {
      kernel.emitError(llvm::toString(code.takeError()));
      return WalkResult::interrupt();
    }
    os << *code << "\n";
    return WalkResult::advance();
  });
  return failure(result.wasInterrupted());
}

} // namespace lathe::cpu
