//===- CudaBackend.cpp - A module of kernels to an Executable of CUDA text ===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Target/Cuda/CudaBackend.h"

#include "SimWrapper.h"

#include "lathe/Support/DiskCache.h"
#include "lathe/Support/Error.h"
#include "lathe/Target/KernelIdentity.h"
#include "lathe/Target/ProgramBuilder.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/ThreadPool.h"

#include <mutex>

using namespace mlir;

namespace lathe::cuda {

namespace {

struct NamedSchedule {
  StringRef name;
  ScheduleFn write;
};

/// One kernel to be compiled.
struct Job {
  std::string key;
  std::string text;
  exec::Kernel info;
  std::string code;
  std::vector<std::string> warnings;
  std::string error;
};

} // namespace

llvm::Expected<GpuFeatures> GpuFeatures::forArchitecture(StringRef name) {
  StringRef digits = name;
  GpuFeatures features;
  bool isFormed = digits.consume_front("sm_") &&
                  !digits.consumeInteger(10, features.architecture) &&
                  (digits.empty() || digits == "a" || digits == "f");
  if (!isFormed)
    return makeError(
        "expected an architecture such as sm_80 or sm_90a, got {0}",
        quote(name));
  if (features.architecture < 80)
    return makeError("architecture {0} is too old, expected sm_80 or newer",
                     quote(name));
  features.hasWarpGroupMma = features.architecture == 90 && digits == "a";
  return features;
}

/// In the order they are tried; the last takes whatever lowers to linalg.
static ArrayRef<NamedSchedule> getSchedules() {
  static const NamedSchedule schedules[] = {
      {"attention", scheduleAttention},
      {"contraction", scheduleContraction},
      {"convolution", scheduleConvolution},
      {"steps", scheduleSteps},
      {"loops", scheduleLoops},
  };
  return schedules;
}

/// A name for C++ and for files: what the kernel computes, and a part of its
/// digest that tells kernels of one name apart.
static std::string makeSymbol(KernelOp kernel, StringRef text) {
  std::string name;
  for (char c : kernel.getName().take_front(48))
    name += llvm::isAlnum(c) ? c : '_';
  if (name.empty() || llvm::isDigit(name.front()))
    name = "k" + name;
  return name + "_" + sha256Hex(text).substr(0, 6);
}

static FailureOr<KernelText> writeText(KernelOp kernel, StringRef symbol,
                                       const GpuFeatures &features,
                                       std::string &scheduleName) {
  std::string reasons;
  for (const NamedSchedule &schedule : getSchedules()) {
    std::string whyNot;
    FailureOr<KernelText> text =
        schedule.write(kernel, symbol, features, whyNot);
    if (succeeded(text)) {
      scheduleName =
          text->schedule.empty() ? schedule.name.str() : text->schedule;
      return text;
    }
    reasons += ("\n  " + schedule.name + ": " + whyNot).str();
  }
  InFlightDiagnostic diagnostic =
      kernel.emitError("no CUDA schedule takes kernel '")
      << kernel.getName() << "'";
  diagnostic.attachNote() << "refused:" << reasons;
  return diagnostic;
}

static void setGrids(const KernelText &text, exec::Kernel &info) {
  info.set_scratch_bytes(text.scratchBytes);
  for (const GridLaunch &from : text.grids) {
    exec::Grid *grid = info.add_grids();
    grid->set_symbol(from.symbol);
    grid->set_grid_x(from.grid[0]);
    grid->set_grid_y(from.grid[1]);
    grid->set_grid_z(from.grid[2]);
    grid->set_block_x(from.block[0]);
    grid->set_block_y(from.block[1]);
    grid->set_block_z(from.block[2]);
    grid->set_dynamic_shared_bytes(from.dynamicSharedBytes);
    grid->set_cluster_x(from.cluster);
  }
}

/// A text that the user edited, where there is one.
static LogicalResult readEdited(KernelOp kernel, StringRef folder,
                                StringRef symbol, std::string &text) {
  if (folder.empty())
    return success();
  SmallString<256> path(folder);
  llvm::sys::path::append(path, symbol + ".cu");
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/true);
  if (buffer)
    text = (*buffer)->getBuffer().str();
  else if (buffer.getError() != std::errc::no_such_file_or_directory)
    return kernel.emitError("cannot read ")
           << path << ": " << buffer.getError().message();
  return success();
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
  exec::Kernel &kept = *entry.mutable_kernels(0);
  kept.set_name(job.info.name());
  kept.mutable_ops()->Swap(job.info.mutable_ops());
  job.info.Swap(&kept);
  job.code = entry.objects(0).code();
  job.text = entry.objects(0).source();
  job.warnings.assign(entry.objects(0).warnings().begin(),
                      entry.objects(0).warnings().end());
  return true;
}

static void keepInCache(const Job &job, DiskCache *cache) {
  if (!cache)
    return;
  exec::Executable entry;
  *entry.add_kernels() = job.info;
  entry.add_objects()->set_code(job.code);
  entry.mutable_objects(0)->set_source(job.text);
  for (const std::string &warning : job.warnings)
    entry.mutable_objects(0)->add_warnings(warning);
  cache->put(job.key, entry.SerializeAsString());
}

/// Writes the text of `kernel` and what is launched into `job`.
static LogicalResult prepare(KernelOp kernel, StringRef identity,
                             const BackendOptions &options, Job &job) {
  std::string symbol = makeSymbol(kernel, identity);
  std::string scheduleName;
  FailureOr<KernelText> text =
      writeText(kernel, symbol, options.features, scheduleName);
  if (failed(text) ||
      failed(readEdited(kernel, options.sourceFolder, symbol, text->text)))
    return failure();
  job.info.set_schedule(scheduleName);
  job.info.set_symbol(symbol);
  setGrids(*text, job.info);
  job.text = std::move(text->text);
  if (!options.simulate)
    return success();
  SimWrapper wrapper = makeSimWrapper(kernel, *text);
  job.info.set_symbol(wrapper.symbol);
  job.info.set_work_items(wrapper.workItems);
  job.text += wrapper.text;
  return success();
}

static void makeCode(const BackendOptions &options, Job &job) {
  llvm::Expected<KernelCode> code =
      options.makeCode(job.info.symbol() + ".cu", job.text);
  if (!code) {
    job.error = llvm::toString(code.takeError());
    return;
  }
  job.code = std::move(code->bytes);
  job.warnings = std::move(code->warnings);
  for (exec::Grid &grid : *job.info.mutable_grids()) {
    KernelCode::Resources taken = code->resources.lookup(grid.symbol());
    grid.set_registers(taken.registers);
    grid.set_static_shared_bytes(taken.sharedBytes);
    grid.set_spill_bytes(taken.spillBytes);
  }
}

static void finish(const BackendOptions &options,
                   ArrayRef<std::unique_ptr<Job>> jobs,
                   exec::Executable &executable) {
  for (auto &job : jobs) {
    job->info.set_object(executable.objects_size());
    exec::Object *object = executable.add_objects();
    object->set_digest(sha256Hex(job->code));
    object->set_code(std::move(job->code));
    object->set_source(std::move(job->text));
    for (const std::string &warning : job->warnings)
      object->add_warnings(warning);
    *executable.add_kernels() = job->info;
  }
  executable.set_format_version(kFormatVersion);
  executable.set_producer("lathe 0.1.0");
  executable.set_target(options.simulate ? "cuda-sim" : "cuda");
  executable.set_arch(options.arch);
  // The Runtime may have to compile for another architecture.
  if (!options.simulate && executable.headers().empty())
    for (const DeviceHeader &from : getDeviceHeaders()) {
      exec::Header *header = executable.add_headers();
      header->set_name(from.name.str());
      header->set_text(from.text.str());
    }
}

LogicalResult compileForCuda(func::FuncOp entry, const BackendOptions &options,
                             exec::Executable &executable,
                             BackendStatistics *statistics) {
  std::string identity =
      std::string(options.simulate ? "cuda-sim" : "cuda") + "\n" +
      options.arch + "\n" + std::to_string(options.features.architecture) +
      "\n" + options.codeIdentity + "\n" + getCompilerIdentity() + "\n";
  llvm::StringMap<uint32_t> known;
  std::vector<std::unique_ptr<Job>> jobs;
  std::vector<Job *> toCompile;
  uint32_t firstKernel = executable.kernels_size();
  unsigned numKernels = 0;
  // Edited texts must be seen, whatever the cache holds.
  DiskCache *cache = options.sourceFolder.empty() ? options.cache : nullptr;

  auto resolve = [&](KernelOp kernel) -> FailureOr<uint32_t> {
    ++numKernels;
    std::string text = getKernelText(kernel);
    auto [it, isNew] = known.try_emplace(text, firstKernel + jobs.size());
    if (!isNew)
      return it->second;
    auto job = std::make_unique<Job>();
    job->key = "cuda-kernel\n" + identity + text;
    describeKernel(kernel, job->info);
    if (!loadFromCache(*job, cache)) {
      if (failed(prepare(kernel, text, options, *job)))
        return failure();
      toCompile.push_back(job.get());
    }
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
        makeCode(options, *job);
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
    keepInCache(*job, cache);
  }
  if (statistics)
    *statistics = {numKernels, unsigned(jobs.size()),
                   unsigned(jobs.size() - toCompile.size())};
  finish(options, jobs, executable);
  return success();
}

FailureOr<std::vector<NamedText>> getKernelTexts(ModuleOp module,
                                                 const GpuFeatures &features) {
  llvm::StringMap<bool> seen;
  std::vector<NamedText> texts;
  WalkResult result = module.walk([&](KernelOp kernel) {
    std::string identity = getKernelText(kernel);
    if (!seen.try_emplace(identity, true).second)
      return WalkResult::advance();
    NamedText named;
    named.name = makeSymbol(kernel, identity);
    FailureOr<KernelText> text =
        writeText(kernel, named.name, features, named.schedule);
    if (failed(text))
      return WalkResult::interrupt();
    named.kernel = std::move(*text);
    texts.push_back(std::move(named));
    return WalkResult::advance();
  });
  if (result.wasInterrupted())
    return failure();
  return texts;
}

} // namespace lathe::cuda
