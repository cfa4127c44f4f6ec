//===- LoadedModel.cpp - An Executable with its code in memory ------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Cuda/DeviceModel.h"
#include "lathe/Executable/Executable.h"
#include "lathe/Runtime/ObjectLoader.h"
#include "lathe/Runtime/Session.h"
#include "lathe/Support/Error.h"
#include "llvm/TargetParser/Host.h"

#include <cstring>

using namespace llvm;

namespace lathe {

LoadedModel::LoadedModel() = default;
LoadedModel::~LoadedModel() = default;

Expected<std::shared_ptr<LoadedModel>>
LoadedModel::load(std::shared_ptr<const exec::Executable> executable,
                  EmbeddedData data) {
  if (executable->more_code_size()) {
    auto chosen = std::make_shared<exec::Executable>(*executable);
    if (Error error = chooseCode(*chosen))
      return std::move(error);
    executable = std::move(chosen);
  }
  const exec::Executable &exe = *executable;
  if (exe.data_bytes() && !data.file)
    return makeError("the model's weights are in a file that is not at hand");
  if (exe.target() == "cuda") {
    std::shared_ptr<LoadedModel> model(new LoadedModel());
    Expected<std::shared_ptr<cuda::DeviceModel>> device =
        cuda::DeviceModel::load(exe);
    if (!device)
      return device.takeError();
    model->device = std::move(*device);
    model->embedded = std::move(data);
    model->exe = std::move(executable);
    return model;
  }
  if (exe.target() != "cpu" && exe.target() != "cuda-sim")
    return makeError("the model is compiled for the target {0}, this runtime "
                     "has cpu, cuda and cuda-sim",
                     quote(exe.target()));
  std::vector<std::string> features(exe.cpu_features().begin(),
                                    exe.cpu_features().end());
  if (Error error = checkCpuFeatures(features))
    return std::move(error);
  std::shared_ptr<LoadedModel> model(new LoadedModel());
  model->loader = std::make_unique<ObjectLoader>();
  // An object is called after the first kernel in it.
  std::vector<StringRef> names(exe.objects_size(), "object");
  for (int i = exe.kernels_size(); i-- > 0;)
    names[exe.kernels(i).object()] = exe.kernels(i).name();
  for (int i = 0; i < exe.objects_size(); ++i)
    if (Error error = model->loader->add(exe.objects(i).code(), names[i]))
      return std::move(error);
  for (const exec::Kernel &kernel : exe.kernels()) {
    void *address = model->loader->lookup(kernel.object(), kernel.symbol());
    if (!address)
      return makeError("the code of kernel {0} does not define {1}",
                       quote(kernel.name()), quote(kernel.symbol()));
    model->kernels.push_back(reinterpret_cast<KernelFunction>(address));
  }
  // Protobuf aligns its strings to 16 bytes at most.
  int64_t bytes = static_cast<int64_t>(exe.constants().size());
  Expected<Tensor> constants = Tensor::create(DType::U8, {bytes});
  if (!constants)
    return constants.takeError();
  std::memcpy(constants->data(), exe.constants().data(), bytes);
  model->constantBytes = std::move(*constants);
  model->embedded = std::move(data);
  model->exe = std::move(executable);
  return model;
}

} // namespace lathe
