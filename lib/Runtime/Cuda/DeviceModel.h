//===- DeviceModel.h - A compiled model on a CUDA device ------ -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What the sessions of one compiled model share: context, code, constants.
#ifndef LATHE_LIB_RUNTIME_CUDA_DEVICEMODEL_H
#define LATHE_LIB_RUNTIME_CUDA_DEVICEMODEL_H

#include "DeviceMemory.h"
#include "lathe/Executable/Executable.h"

namespace lathe::cuda {

class DeviceModel {
public:
  static llvm::Expected<std::shared_ptr<DeviceModel>>
  load(const exec::Executable &executable);
  ~DeviceModel();
  DeviceModel(const DeviceModel &) = delete;

  const Driver &driver() const { return *driverPtr; }
  const DeviceInfo &device() const { return info; }
  /// Makes the device the present thread's; every entry into a session does.
  llvm::Error enter() const;
  /// Whether an address of the one means the same to the other.
  bool sharesMemory(const DeviceModel &other) const {
    return context == other.context;
  }
  Function grid(size_t kernel, size_t grid) const {
    return functions[kernel][grid];
  }
  DeviceAddress constants() const { return constantBlock.address(); }
  llvm::ArrayRef<std::string> notes() const { return noteList; }

private:
  DeviceModel() = default;
  llvm::Error start();
  llvm::Error loadModules(const exec::Executable &exe);
  llvm::Error recompile(const exec::Executable &exe,
                        std::vector<std::string> &codes);
  llvm::Error findGrids(const exec::Executable &exe, size_t kernel);
  llvm::Error uploadConstants(const exec::Executable &exe);

  std::shared_ptr<Driver> driverPtr;
  DeviceInfo info;
  Context context = nullptr;
  std::vector<Module> modules; // by object
  std::vector<std::vector<Function>> functions;
  DeviceBlock constantBlock;
  std::vector<std::string> noteList;
};

} // namespace lathe::cuda

#endif // LATHE_LIB_RUNTIME_CUDA_DEVICEMODEL_H
