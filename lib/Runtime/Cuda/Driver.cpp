//===- Driver.cpp - NVIDIA's driver, opened at run time -------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/CudaDriver.h"

#include "Library.h"
#include "lathe/Support/Error.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"

#include <mutex>

using namespace llvm;

namespace lathe::cuda {

static std::string versionText(int number) {
  return formatv("{0}.{1}", number / 1000, number % 1000 / 10).str();
}

std::string DeviceInfo::arch() const {
  return formatv("sm_{0}{1}{2}", major, minor,
                 major == 9 && minor == 0 ? "a" : "")
      .str();
}

bool runsOn(StringRef arch, const DeviceInfo &device) {
  if (!arch.consume_front("sm_") || arch.empty())
    return false;
  char last = arch.back();
  StringRef digits = isDigit(last) ? arch : arch.drop_back();
  unsigned number;
  if (digits.getAsInteger(10, number))
    return false;
  int major = number / 10, minor = number % 10;
  if (device.major != major)
    return false;
  // 'a' is for one device alone, 'f' for its family from there on.
  return last == 'a' ? device.minor == minor : device.minor >= minor;
}

Error Driver::open(const std::string &path) {
  Expected<Library> library = Library::open(path);
  if (!library)
    return makeError("no NVIDIA driver found ({0}): {1}", path,
                     toString(library.takeError()));
  file = library->path("cuInit");
  std::string missing;
#define LATHE_CUDA_RESOLVE(member, symbol, ...)                                \
  if (!library->get(symbol, member))                                           \
    missing += (missing.empty() ? "" : ", ") + std::string(symbol);
  LATHE_CUDA_FUNCTIONS(LATHE_CUDA_RESOLVE)
#undef LATHE_CUDA_RESOLVE
  // All of them are in the driver of CUDA 12.0 and newer ones.
  constexpr int kOldest = 12000;
  if (driverGetVersion && driverGetVersion(&number) != kSuccess)
    number = 0;
  if (number >= kOldest && missing.empty())
    return Error::success();
  if (number >= kOldest || !number)
    return makeError("the NVIDIA driver at {0} cannot be used: it lacks {1}",
                     file, missing.empty() ? "its version" : missing);
  return makeError("the NVIDIA driver is too old: it knows CUDA {0}, expected "
                   "{1} or newer",
                   versionText(number), versionText(kOldest));
}

Error Driver::discover() {
  Result result = init(0);
  if (result == kNoDevice)
    return makeError("the NVIDIA driver finds no device");
  if (result == kDriverMismatch)
    return makeError("the NVIDIA driver's library and kernel module are of "
                     "different versions; restart the machine");
  if (Error error = check(result, "the NVIDIA driver does not start"))
    return error;
  int count = 0;
  if (Error error = check(deviceGetCount(&count), "cannot count devices"))
    return error;
  if (count == 0)
    return makeError("the NVIDIA driver finds no device");
  for (int i = 0; i < count; ++i) {
    DeviceInfo device;
    device.ordinal = i;
    char name[256] = {};
    size_t bytes = 0;
    int l2 = 0, shared = 0;
    std::string what = "cannot ask device " + std::to_string(i);
    if (Error error = check(deviceGet(&device.handle, i), what))
      return error;
    if (Error error =
            check(deviceGetName(name, sizeof(name) - 1, device.handle), what))
      return error;
    if (Error error = check(deviceTotalMem(&bytes, device.handle), what))
      return error;
    for (auto [value, attribute] :
         {std::pair(&device.major, kComputeMajor),
          std::pair(&device.minor, kComputeMinor),
          std::pair(&device.multiprocessors, kMultiprocessorCount),
          std::pair(&l2, kL2CacheBytes), std::pair(&shared, kMaxDynamicShared)})
      if (Error error =
              check(deviceGetAttribute(value, attribute, device.handle), what))
        return error;
    device.name = name;
    device.memoryBytes = bytes;
    device.l2Bytes = l2;
    device.maxSharedBytes = shared;
    found.push_back(std::move(device));
  }
  return Error::success();
}

Expected<std::shared_ptr<Driver>> Driver::load() {
  static std::mutex mutex;
  static std::shared_ptr<Driver> loaded;
  static std::string loadedFrom;
  std::lock_guard<std::mutex> lock(mutex);
  std::string path = environment("LATHE_LIBCUDA");
  if (path.empty())
    path = "libcuda.so.1";
  if (loaded && loadedFrom == path)
    return loaded;
  std::shared_ptr<Driver> driver(new Driver());
  if (Error error = driver->open(path))
    return std::move(error);
  if (Error error = driver->discover())
    return std::move(error);
  loaded = driver;
  loadedFrom = path;
  return driver;
}

std::string Driver::version() const { return versionText(number); }

std::string Driver::describe(Result result) const {
  const char *name = nullptr, *text = nullptr;
  if (getErrorName(result, &name) != kSuccess || !name)
    name = "an unknown error";
  if (getErrorString(result, &text) != kSuccess || !text)
    text = "error";
  return formatv("{0} ({1})", text, name).str();
}

Error Driver::check(Result result, const Twine &what) const {
  if (result == kSuccess)
    return Error::success();
  return makeError("{0}: {1}", what.str(), describe(result));
}

} // namespace lathe::cuda
