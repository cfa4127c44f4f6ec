//===- Nvrtc.cpp - CUDA C++ to machine code in place ----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/CudaNvrtc.h"

#include "CompileLog.h"
#include "Library.h"
#include "lathe/Runtime/ThreadPool.h"
#include "lathe/Support/DiskCache.h"
#include "lathe/Support/Error.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"

#include <atomic>
#include <chrono>
#include <optional>
#include <thread>

using namespace llvm;

namespace lathe::cuda {

// The few of NVRTC's declarations that are needed, so that no toolkit is.
namespace {
using Program = struct OpaqueProgram *;
enum Status : int { kSuccess = 0, kInvalidOption = 5 };
} // namespace

struct Nvrtc::Table {
  const char *(*getErrorString)(Status);
  Status (*version)(int *major, int *minor);
  Status (*getNumSupportedArchs)(int *count);
  Status (*getSupportedArchs)(int *archs);
  Status (*createProgram)(Program *program, const char *text, const char *name,
                          int headerCount, const char *const *headerTexts,
                          const char *const *headerNames);
  Status (*destroyProgram)(Program *program);
  Status (*compileProgram)(Program program, int optionCount,
                           const char *const *options);
  Status (*getCubinSize)(Program program, size_t *size);
  Status (*getCubin)(Program program, char *bytes);
  Status (*getProgramLogSize)(Program program, size_t *size);
  Status (*getProgramLog)(Program program, char *text);

  bool resolve(const Library &library) {
    return library.get("nvrtcGetErrorString", getErrorString) &&
           library.get("nvrtcVersion", version) &&
           library.get("nvrtcGetNumSupportedArchs", getNumSupportedArchs) &&
           library.get("nvrtcGetSupportedArchs", getSupportedArchs) &&
           library.get("nvrtcCreateProgram", createProgram) &&
           library.get("nvrtcDestroyProgram", destroyProgram) &&
           library.get("nvrtcCompileProgram", compileProgram) &&
           library.get("nvrtcGetCUBINSize", getCubinSize) &&
           library.get("nvrtcGetCUBIN", getCubin) &&
           library.get("nvrtcGetProgramLogSize", getProgramLogSize) &&
           library.get("nvrtcGetProgramLog", getProgramLog);
  }
};

Nvrtc::Nvrtc() : table(std::make_unique<Table>()) {}
Nvrtc::~Nvrtc() = default;

Error Nvrtc::open(const std::string &path) {
  Expected<Library> library = Library::open(path);
  if (!library)
    return library.takeError();
  if (!table->resolve(*library))
    return makeError("it lacks functions that NVRTC 12 has");
  if (table->version(&major, &minor) != kSuccess)
    return makeError("it does not tell its version");
  if (major < 12)
    return makeError("it is version {0}.{1}, expected 12 or newer", major,
                     minor);
  file = library->path("nvrtcVersion");
  (void)sys::fs::file_size(file, fileBytes);
  // NVRTC opens its second half by name at the first compilation, and finds it
  // outside of the system's search path only if it is already open.
  StringRef folder = sys::path::parent_path(file);
  Expected<Library> builtins = Library::open(
      formatv("{0}/libnvrtc-builtins.so.{1}.{2}", folder, major, minor));
  if (!builtins)
    consumeError(builtins.takeError());
  return Error::success();
}

Expected<std::shared_ptr<Nvrtc>> Nvrtc::load() {
  // A failure is not kept: tests and long-lived programs may set things right.
  static std::mutex mutex;
  static std::shared_ptr<Nvrtc> loaded;
  static std::string loadedFor;
  std::lock_guard<std::mutex> lock(mutex);
  constexpr const char *names[] = {"libnvrtc.so.13", "libnvrtc.so.12"};
  std::string chosen = environment("LATHE_NVRTC");
  if (loaded && loadedFor == chosen)
    return loaded;
  std::vector<std::string> candidates;
  if (chosen.empty())
    candidates = toolkitCandidates(names);
  else if (sys::fs::is_directory(chosen))
    for (const char *name : names)
      candidates.push_back(chosen + "/" + name);
  else
    candidates.push_back(chosen);
  std::string failures;
  for (const std::string &path : candidates) {
    std::shared_ptr<Nvrtc> nvrtc(new Nvrtc());
    Error error = nvrtc->open(path);
    if (!error) {
      loaded = nvrtc;
      loadedFor = chosen;
      return nvrtc;
    }
    failures += "\n  " + path + ": " + toString(std::move(error));
  }
  return makeError("no NVRTC is found, which compiles CUDA kernels; install "
                   "the CUDA toolkit 12 or 13 or the wheel nvidia-cuda-nvrtc, "
                   "or set LATHE_NVRTC to its folder" +
                   failures);
}

std::string Nvrtc::version() const {
  return formatv("{0}.{1}", major, minor).str();
}

std::vector<std::string> Nvrtc::architectures() const {
  int count = 0;
  if (table->getNumSupportedArchs(&count) != kSuccess || count <= 0)
    return {};
  std::vector<int> numbers(count);
  if (table->getSupportedArchs(numbers.data()) != kSuccess)
    return {};
  std::vector<std::string> result;
  for (int number : numbers)
    result.push_back("sm_" + std::to_string(number));
  return result;
}

std::vector<std::string> Nvrtc::optionsFor(const CubinRequest &request) const {
  std::vector<std::string> options = {
      "--gpu-architecture=" + request.arch,
      "--std=c++17",
      // For the resources; costs nothing measurable.
      "--ptxas-options=-v",
  };
  if (request.lineInfo)
    options.push_back("--generate-line-info");
  // NVRTC's own cache lives in the driver, starts it, and cannot be relied on.
  if (major > 12 || minor >= 9)
    options.push_back("--no-cache");
  // No textures and no types of the runtime library: 10 ms less per program.
  if (major > 12 || minor >= 4)
    options.push_back("--minimal");
  options.insert(options.end(), request.options.begin(), request.options.end());
  return options;
}

std::string Nvrtc::cacheKey(const CubinRequest &request) const {
  std::string key = "lathe cubin 1";
  auto add = [&](StringRef part) {
    key += formatv("\n{0}\n", part.size()).str();
    key += part;
  };
  add(version());
  add(std::to_string(fileBytes));
  for (const std::string &option : optionsFor(request))
    add(option);
  // Lines and errors carry it.
  add(request.name);
  add(request.text);
  for (const TextHeader &header : request.headers) {
    add(header.name);
    add(header.text);
  }
  return key;
}

// An entry is the length of the log, the log, the machine code.
static std::string pack(const Cubin &cubin) {
  std::string entry(8, '\0');
  support::endian::write64le(entry.data(), cubin.log.size());
  return entry + cubin.log + cubin.bytes;
}

static std::optional<Cubin> unpack(StringRef entry) {
  if (entry.size() < 8)
    return std::nullopt;
  uint64_t logSize = support::endian::read64le(entry.data());
  entry = entry.drop_front(8);
  // An empty cubin is none.
  if (logSize >= entry.size())
    return std::nullopt;
  Cubin cubin;
  cubin.log = entry.take_front(logSize).str();
  cubin.bytes = entry.drop_front(logSize).str();
  cubin.fromCache = true;
  return cubin;
}

Expected<Cubin> Nvrtc::build(const CubinRequest &request) {
  std::string subject = quote(request.name);
  if (!request.origin.empty())
    subject += " (made from " + request.origin + ")";
  std::vector<const char *> names, texts;
  std::vector<std::string> storage; // views need not end in a zero
  storage.reserve(request.headers.size() * 2);
  for (const TextHeader &header : request.headers) {
    names.push_back(storage.emplace_back(header.name.str()).c_str());
    texts.push_back(storage.emplace_back(header.text.str()).c_str());
  }
  Program program = nullptr;
  Status status =
      table->createProgram(&program, request.text.c_str(), request.name.c_str(),
                           names.size(), texts.data(), names.data());
  if (status != kSuccess)
    return makeError("the kernel text {0} does not reach NVRTC {1}: {2}",
                     subject, version(), table->getErrorString(status));
  auto destroy = make_scope_exit([&] { table->destroyProgram(&program); });
  std::vector<std::string> options = optionsFor(request);
  std::vector<const char *> pointers;
  for (const std::string &option : options)
    pointers.push_back(option.c_str());
  status = table->compileProgram(program, pointers.size(), pointers.data());
  Cubin cubin;
  // Sizes count the zero at the end.
  size_t size = 0;
  if (table->getProgramLogSize(program, &size) == kSuccess && size > 1) {
    cubin.log.resize(size);
    table->getProgramLog(program, cubin.log.data());
    // Some logs hold further zeros at their end.
    cubin.log.resize(StringRef(cubin.log).rtrim('\0').size());
  }
  if (status == kInvalidOption)
    return makeError("the kernel text {0} cannot be compiled by NVRTC {1} for "
                     "{2}: {3}",
                     subject, version(), quote(request.arch),
                     StringRef(cubin.log).trim());
  if (status != kSuccess)
    return makeError("the kernel text {0} is refused by NVRTC {1} for {2}{3}",
                     subject, version(), request.arch,
                     explainErrors(cubin.log, request));
  size = 0;
  status = table->getCubinSize(program, &size);
  if (status == kSuccess && size) {
    cubin.bytes.resize(size);
    status = table->getCubin(program, cubin.bytes.data());
  }
  if (status != kSuccess || !size)
    return makeError("the kernel text {0} gave no machine code by NVRTC {1} "
                     "for {2}",
                     subject, version(), quote(request.arch));
  return cubin;
}

Expected<Cubin> Nvrtc::compile(const CubinRequest &request, DiskCache *cache) {
  auto start = std::chrono::steady_clock::now();
  std::optional<Cubin> cubin;
  std::string key;
  if (cache) {
    key = cacheKey(request);
    if (std::optional<std::string> entry = cache->get(key))
      cubin = unpack(*entry);
  }
  if (!cubin) {
    Expected<Cubin> built = build(request);
    if (!built)
      return built.takeError();
    cubin = std::move(*built);
    if (cache) {
      std::lock_guard<std::mutex> lock(cacheMutex);
      cache->put(key, pack(*cubin));
    }
  }
  parseCompileLog(cubin->log, cubin->functions, cubin->warnings);
  cubin->seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
  return std::move(*cubin);
}

Expected<std::vector<Cubin>>
Nvrtc::compileAll(ArrayRef<CubinRequest> requests, unsigned threads,
                  DiskCache *cache,
                  function_ref<void(unsigned, unsigned)> progress) {
  std::vector<Cubin> cubins(requests.size());
  std::vector<std::string> errors(requests.size());
  std::atomic<size_t> next{0};
  std::mutex progressMutex;
  unsigned done = 0;
  // Programs differ in length by a factor of ten: each thread takes the next.
  auto work = [&] {
    for (size_t i; (i = next++) < requests.size();) {
      Expected<Cubin> cubin = compile(requests[i], cache);
      if (cubin)
        cubins[i] = std::move(*cubin);
      else
        errors[i] = toString(cubin.takeError());
      std::lock_guard<std::mutex> lock(progressMutex);
      ++done;
      if (progress)
        progress(done, requests.size());
    }
  };
  if (!threads)
    threads = ThreadPool::availableThreads();
  std::vector<std::thread> others;
  for (size_t i = 1; i < std::min<size_t>(threads, requests.size()); ++i)
    others.emplace_back(work);
  work();
  for (std::thread &thread : others)
    thread.join();
  std::string all;
  for (const std::string &error : errors)
    if (!error.empty())
      all += (all.empty() ? "" : "\n") + error;
  if (!all.empty())
    return makeError(all);
  return cubins;
}

} // namespace lathe::cuda
