//===- CudaCode.cpp - From CUDA text to code, by target -------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CudaCode.h"

#include "lathe/Runtime/CudaNvrtc.h"
#include "lathe/Runtime/Sim.h"

namespace lathe {

static llvm::Expected<CudaCodeMaker> createSim(StringRef arch, bool checked) {
  llvm::Expected<cuda::GpuFeatures> features =
      cuda::GpuFeatures::forArchitecture(arch.empty() ? "sm_90a" : arch);
  if (!features)
    return features.takeError();
  llvm::Expected<std::string> compiler = findHostCompiler();
  if (!compiler)
    return compiler.takeError();
  CudaCodeMaker maker;
  maker.features = *features;
  maker.identity = (*compiler + " " + arch + (checked ? " checked" : "")).str();
  maker.make = [checked](StringRef name,
                         StringRef text) -> llvm::Expected<cuda::KernelCode> {
    std::vector<SimHeader> headers;
    for (const cuda::DeviceHeader &header : cuda::getDeviceHeaders()) {
      StringRef file = header.name;
      file.consume_front("lathe/");
      headers.push_back({file, header.text});
    }
    SimText request;
    request.name = name;
    request.text = text;
    request.headers = headers;
    request.checked = checked;
    llvm::Expected<std::string> object = compileForHost(request);
    if (!object)
      return object.takeError();
    cuda::KernelCode code;
    code.bytes = std::move(*object);
    return code;
  };
  return maker;
}

static llvm::Expected<CudaCodeMaker> createCuda(StringRef arch) {
  llvm::Expected<cuda::GpuFeatures> features =
      cuda::GpuFeatures::forArchitecture(arch);
  if (!features)
    return features.takeError();
  llvm::Expected<std::shared_ptr<cuda::Nvrtc>> nvrtc = cuda::Nvrtc::load();
  if (!nvrtc)
    return nvrtc.takeError();
  CudaCodeMaker maker;
  maker.features = *features;
  maker.arch = arch.str();
  maker.identity = "nvrtc " + (*nvrtc)->version();
  maker.make = [nvrtc = *nvrtc, arch = arch.str()](
                   StringRef name,
                   StringRef text) -> llvm::Expected<cuda::KernelCode> {
    cuda::CubinRequest request;
    request.text = text.str();
    request.name = name.str();
    request.arch = arch;
    for (const cuda::DeviceHeader &header : cuda::getDeviceHeaders())
      request.headers.push_back({header.name, header.text});
    // Kernels are kept in the cache with everything else there is to them.
    llvm::Expected<cuda::Cubin> cubin = nvrtc->compile(request, nullptr);
    if (!cubin)
      return cubin.takeError();
    cuda::KernelCode code;
    code.bytes = std::move(cubin->bytes);
    for (const cuda::CubinWarning &warning : cubin->warnings)
      code.warnings.push_back(warning.text);
    for (const cuda::KernelResources &function : cubin->functions)
      code.resources[function.symbol] = {
          function.registers, function.sharedBytes,
          function.spillStoreBytes + function.spillLoadBytes};
    return code;
  };
  return maker;
}

llvm::Expected<CudaCodeMaker>
CudaCodeMaker::create(const CompileOptions &options) {
  return options.target == Target::CudaSim
             ? createSim(options.arch, options.simChecks)
             : createCuda(options.arch);
}

} // namespace lathe
