//===- DeviceModel.cpp - A compiled model on a CUDA device ----------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceModel.h"

#include "lathe/Runtime/CudaNvrtc.h"
#include "lathe/Support/DiskCache.h"
#include "lathe/Support/Error.h"
#include "llvm/Support/FormatVariadic.h"

using namespace llvm;

namespace lathe::cuda {

Expected<std::shared_ptr<DeviceModel>>
DeviceModel::load(const exec::Executable &exe) {
  std::shared_ptr<DeviceModel> model(new DeviceModel());
  if (Error error = model->start())
    return std::move(error);
  if (Error error = model->loadModules(exe))
    return std::move(error);
  if (Error error = model->uploadConstants(exe))
    return std::move(error);
  return model;
}

DeviceModel::~DeviceModel() {
  if (!context)
    return;
  consumeError(enter());
  constantBlock.reset();
  for (Module module : modules)
    if (module)
      (void)driver().moduleUnload(module);
  (void)driver().primaryContextRelease(info.handle);
}

Error DeviceModel::start() {
  Expected<std::shared_ptr<Driver>> loaded = Driver::load();
  if (!loaded)
    return prefixError("the target cuda needs a CUDA device",
                       loaded.takeError());
  driverPtr = std::move(*loaded);
  info = driver().devices().front();
  if (Error error =
          driver().check(driver().primaryContextRetain(&context, info.handle),
                         "cannot use device " + quote(info.name))) {
    context = nullptr;
    return error;
  }
  return enter();
}

Error DeviceModel::enter() const {
  return driver().check(driver().contextSetCurrent(context),
                        "cannot use device " + quote(info.name));
}

/// "the driver (CUDA 12.2) does not take ...": why machine code is refused.
static Error codeRefused(const Driver &driver, Result result, StringRef name,
                         StringRef arch) {
  if (result == kOutOfMemory)
    return makeError("not enough memory on the device for the code of kernel "
                     "{0}",
                     quote(name));
  return makeError("the driver, which knows CUDA {0}, does not take the code "
                   "of kernel {1} for {2}; update the driver, or compile the "
                   "model again here: {3}",
                   driver.version(), quote(name), quote(arch),
                   driver.describe(result));
}

Error DeviceModel::loadModules(const exec::Executable &exe) {
  std::vector<std::string> codes; // empty: those of the executable
  std::string arch = exe.arch();
  if (!runsOn(arch, info)) {
    if (Error error = recompile(exe, codes))
      return prefixError(
          formatv("the model is compiled for {0}, and {1} is {2}", quote(arch),
                  quote(info.name), info.arch()),
          std::move(error));
    arch = info.arch();
  }
  // An object is called after the first kernel in it.
  std::vector<StringRef> names(exe.objects_size(), "object");
  for (int i = exe.kernels_size(); i-- > 0;)
    names[exe.kernels(i).object()] = exe.kernels(i).name();
  for (int i = 0; i < exe.objects_size(); ++i) {
    const std::string &code = codes.empty() ? exe.objects(i).code() : codes[i];
    Module module = nullptr;
    Result result = driver().moduleLoadData(&module, code.data());
    if (result != kSuccess)
      return codeRefused(driver(), result, names[i], arch);
    modules.push_back(module);
  }
  for (int i = 0; i < exe.kernels_size(); ++i)
    if (Error error = findGrids(exe, i))
      return error;
  return Error::success();
}

Error DeviceModel::recompile(const exec::Executable &exe,
                             std::vector<std::string> &codes) {
  std::vector<CubinRequest> requests(exe.objects_size());
  for (int i = 0; i < exe.objects_size(); ++i) {
    if (exe.objects(i).source().empty())
      return makeError("its text is not in the file; compile it again here");
    requests[i].text = exe.objects(i).source();
    requests[i].arch = info.arch();
    for (const exec::Header &header : exe.headers())
      requests[i].headers.push_back({header.name(), header.text()});
  }
  for (int i = exe.kernels_size(); i-- > 0;) {
    CubinRequest &request = requests[exe.kernels(i).object()];
    request.name = exe.kernels(i).symbol() + ".cu";
    request.origin = exe.kernels(i).name();
  }
  Expected<std::shared_ptr<Nvrtc>> nvrtc = Nvrtc::load();
  if (!nvrtc)
    return nvrtc.takeError();
  DiskCache cache;
  Expected<std::vector<Cubin>> cubins =
      (*nvrtc)->compileAll(requests, /*threads=*/0, &cache);
  // Texts of sm_90a may use what no other architecture has.
  if (!cubins)
    return prefixError("compile it again here, its texts do not compile",
                       cubins.takeError());
  for (Cubin &cubin : *cubins)
    codes.push_back(std::move(cubin.bytes));
  noteList.push_back(formatv("the model is compiled for {0}; its {1} kernels "
                             "are compiled again for {2}",
                             exe.arch(), exe.kernels_size(), info.arch()));
  return Error::success();
}

Error DeviceModel::findGrids(const exec::Executable &exe, size_t index) {
  // A kernel may have this much without being asked.
  constexpr uint64_t kSharedWithoutAsking = 48 << 10;
  constexpr uint32_t kPortableCluster = 8;
  const exec::Kernel &kernel = exe.kernels(index);
  functions.emplace_back();
  for (const exec::Grid &grid : kernel.grids()) {
    std::string what = "kernel " + quote(kernel.name());
    Function function = nullptr;
    Result result = driver().moduleGetFunction(
        &function, modules[kernel.object()], grid.symbol().c_str());
    if (result == kNotFound)
      return makeError("the code of {0} does not define {1}", what,
                       quote(grid.symbol()));
    if (Error error = driver().check(result, what))
      return error;
    uint64_t shared = grid.dynamic_shared_bytes();
    if (shared > info.maxSharedBytes)
      return makeError("{0} needs {1} bytes of shared memory per block, {2} "
                       "has {3}",
                       what, shared, quote(info.name), info.maxSharedBytes);
    if (shared > kSharedWithoutAsking)
      if (Error error = driver().check(
              driver().functionSetAttribute(function, kMaxDynamicSharedBytes,
                                            static_cast<int>(shared)),
              what + " cannot have its shared memory"))
        return error;
    if (grid.cluster_x() > kPortableCluster)
      if (Error error = driver().check(
              driver().functionSetAttribute(function, kNonPortableClusters, 1),
              what + " cannot have its clusters"))
        return error;
    functions.back().push_back(function);
  }
  return Error::success();
}

Error DeviceModel::uploadConstants(const exec::Executable &exe) {
  const std::string &bytes = exe.constants();
  if (Error error = constantBlock.allocate(driver(), bytes.size(), "constants"))
    return error;
  if (bytes.empty())
    return Error::success();
  Stream stream = nullptr; // the default one
  Result result = driver().memcpyToDevice(constantBlock.address(), bytes.data(),
                                          bytes.size(), stream);
  if (result == kSuccess)
    result = driver().streamSynchronize(stream);
  return driver().check(result, "cannot copy the constants to the device");
}

} // namespace lathe::cuda
