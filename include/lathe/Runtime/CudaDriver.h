//===- CudaDriver.h - NVIDIA's driver, opened at run time -------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The part of CUDA's driver interface that the Runtime uses, declared here and
// found in libcuda.so.1 at run time, so that one binary runs with and without.
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_RUNTIME_CUDADRIVER_H
#define LATHE_RUNTIME_CUDADRIVER_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/Twine.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace lathe::cuda {

//===----------------------------------------------------------------------===//
// What cuda.h declares, by its values and layouts (CUDA 12 and 13).
//===----------------------------------------------------------------------===//

using Device = int;
using DeviceAddress = uint64_t;
using Context = struct OpaqueContext *;
using Module = struct OpaqueModule *;
using Function = struct OpaqueFunction *;
using Stream = struct OpaqueStream *;
using Event = struct OpaqueEvent *;
using Graph = struct OpaqueGraph *;
using GraphExec = struct OpaqueGraphExec *;

enum Result : int {
  kSuccess = 0,
  kInvalidValue = 1,
  kOutOfMemory = 2,
  kStubLibrary = 34,
  kNoDevice = 100,
  kInvalidImage = 200,
  kNoBinaryForGpu = 209,
  kUnsupportedVersion = 222,
  kNotFound = 500,
  kIllegalAddress = 700,
  kOutOfResources = 701,
  kMisalignedAddress = 716,
  kLaunchFailed = 719,
  kDriverMismatch = 803,
};

enum DeviceAttribute : int {
  kMultiprocessorCount = 16,
  kL2CacheBytes = 38,
  kComputeMajor = 75,
  kComputeMinor = 76,
  kMaxDynamicShared = 97,
};

enum FunctionAttribute : int {
  kMaxDynamicSharedBytes = 8,
  kNonPortableClusters = 14,
};

struct LaunchAttribute {
  int id; // 4: cluster dimensions
  char padding[4];
  union {
    char bytes[64];
    uint32_t cluster[3];
  };
};
static_assert(sizeof(LaunchAttribute) == 72);
inline constexpr int kClusterDimension = 4;

struct LaunchConfig {
  uint32_t grid[3], block[3];
  uint32_t sharedBytes;
  Stream stream;
  LaunchAttribute *attributes;
  uint32_t attributeCount;
};
static_assert(sizeof(LaunchConfig) == 56);

/// CUtensorMap: what a TMA instruction reads; a kernel takes it by value. CUDA
/// 13 aligns it so, CUDA 12 to 64 bytes.
struct alignas(128) TensorMap {
  uint64_t words[16];
};

/// Functions by the names that libcuda exports them under; "_v2" is part of
/// them. LATHE_CUDA_FUNCTIONS(X) calls X(member, symbol, parameters...).
#define LATHE_CUDA_FUNCTIONS(X)                                                \
  X(init, "cuInit", unsigned flags)                                            \
  X(driverGetVersion, "cuDriverGetVersion", int *version)                      \
  X(getErrorName, "cuGetErrorName", Result result, const char **text)          \
  X(getErrorString, "cuGetErrorString", Result result, const char **text)      \
  X(deviceGetCount, "cuDeviceGetCount", int *count)                            \
  X(deviceGet, "cuDeviceGet", Device *device, int ordinal)                     \
  X(deviceGetName, "cuDeviceGetName", char *name, int length, Device device)   \
  X(deviceGetAttribute, "cuDeviceGetAttribute", int *value,                    \
    DeviceAttribute attribute, Device device)                                  \
  X(deviceTotalMem, "cuDeviceTotalMem_v2", size_t *bytes, Device device)       \
  X(primaryContextRetain, "cuDevicePrimaryCtxRetain", Context *context,        \
    Device device)                                                             \
  X(primaryContextRelease, "cuDevicePrimaryCtxRelease_v2", Device device)      \
  X(contextSetCurrent, "cuCtxSetCurrent", Context context)                     \
  X(memGetInfo, "cuMemGetInfo_v2", size_t *free, size_t *total)                \
  X(memAlloc, "cuMemAlloc_v2", DeviceAddress *address, size_t bytes)           \
  X(memFree, "cuMemFree_v2", DeviceAddress address)                            \
  X(memAllocHost, "cuMemAllocHost_v2", void **address, size_t bytes)           \
  X(memFreeHost, "cuMemFreeHost", void *address)                               \
  X(memcpyToDevice, "cuMemcpyHtoDAsync_v2", DeviceAddress to,                  \
    const void *from, size_t bytes, Stream stream)                             \
  X(memcpyToHost, "cuMemcpyDtoHAsync_v2", void *to, DeviceAddress from,        \
    size_t bytes, Stream stream)                                               \
  X(memcpyOnDevice, "cuMemcpyDtoDAsync_v2", DeviceAddress to,                  \
    DeviceAddress from, size_t bytes, Stream stream)                           \
  X(memset, "cuMemsetD8Async", DeviceAddress to, unsigned char value,          \
    size_t bytes, Stream stream)                                               \
  X(moduleLoadData, "cuModuleLoadData", Module *module, const void *image)     \
  X(moduleUnload, "cuModuleUnload", Module module)                             \
  X(moduleGetFunction, "cuModuleGetFunction", Function *function,              \
    Module module, const char *name)                                           \
  X(functionSetAttribute, "cuFuncSetAttribute", Function function,             \
    FunctionAttribute attribute, int value)                                    \
  X(launchKernel, "cuLaunchKernelEx", const LaunchConfig *config,              \
    Function function, void **parameters, void **extra)                        \
  X(streamCreate, "cuStreamCreate", Stream *stream, unsigned flags)            \
  X(streamDestroy, "cuStreamDestroy_v2", Stream stream)                        \
  X(streamSynchronize, "cuStreamSynchronize", Stream stream)                   \
  X(streamBeginCapture, "cuStreamBeginCapture_v2", Stream stream, int mode)    \
  X(streamEndCapture, "cuStreamEndCapture", Stream stream, Graph *graph)       \
  X(graphInstantiate, "cuGraphInstantiateWithFlags", GraphExec *exec,          \
    Graph graph, unsigned long long flags)                                     \
  X(graphUpload, "cuGraphUpload", GraphExec exec, Stream stream)               \
  X(graphLaunch, "cuGraphLaunch", GraphExec exec, Stream stream)               \
  X(graphExecDestroy, "cuGraphExecDestroy", GraphExec exec)                    \
  X(graphDestroy, "cuGraphDestroy", Graph graph)                               \
  X(eventCreate, "cuEventCreate", Event *event, unsigned flags)                \
  X(eventDestroy, "cuEventDestroy_v2", Event event)                            \
  X(eventRecord, "cuEventRecord", Event event, Stream stream)                  \
  X(eventSynchronize, "cuEventSynchronize", Event event)                       \
  X(eventElapsedTime, "cuEventElapsedTime", float *milliseconds, Event start,  \
    Event end)                                                                 \
  X(tensorMapEncodeTiled, "cuTensorMapEncodeTiled", TensorMap *map,            \
    int elementType, uint32_t rank, void *address, const uint64_t *dims,       \
    const uint64_t *strides, const uint32_t *box,                              \
    const uint32_t *elementStrides, int interleave, int swizzle, int promote,  \
    int fill)

struct DeviceInfo {
  int ordinal = 0;
  Device handle = 0;
  std::string name; ///< "NVIDIA H100 80GB HBM3"
  int major = 0, minor = 0;
  uint64_t memoryBytes = 0;
  int multiprocessors = 0;
  uint64_t l2Bytes = 0;
  uint64_t maxSharedBytes = 0; ///< dynamic, per block

  /// What to compile for: "sm_90a" on Hopper, whose tensor cores and TMA need
  /// the "a"; elsewhere the number alone.
  std::string arch() const;
};

/// Whether machine code for `arch` ("sm_80", "sm_90a") runs on a device: code
/// with a letter on exactly its own, other code on later ones of its
/// generation, too.
bool runsOn(llvm::StringRef arch, const DeviceInfo &device);

class Driver {
public:
  /// Opens LATHE_LIBCUDA, else libcuda.so.1, and starts it; once per process.
  /// Errors, each a sentence: no driver, one older than CUDA 12, one that does
  /// not start (no device, a kernel module of another version).
  static llvm::Expected<std::shared_ptr<Driver>> load();

  /// The newest CUDA it knows: "13.0".
  std::string version() const;
  const std::string &path() const { return file; }
  llvm::ArrayRef<DeviceInfo> devices() const { return found; }

  /// "WHAT: out of memory (CUDA_ERROR_OUT_OF_MEMORY)"; success for kSuccess.
  llvm::Error check(Result result, const llvm::Twine &what) const;
  /// "out of memory (CUDA_ERROR_OUT_OF_MEMORY)".
  std::string describe(Result result) const;

#define LATHE_CUDA_MEMBER(member, symbol, ...) Result (*member)(__VA_ARGS__);
  LATHE_CUDA_FUNCTIONS(LATHE_CUDA_MEMBER)
#undef LATHE_CUDA_MEMBER

private:
  Driver() = default;
  llvm::Error open(const std::string &path);
  llvm::Error discover();

  std::string file;
  int number = 0; // 13000
  std::vector<DeviceInfo> found;
};

} // namespace lathe::cuda

#endif // LATHE_RUNTIME_CUDADRIVER_H
