//===- DeviceHeaders.cpp - What texts include, as part of the binary ------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Target/Cuda/CudaBackend.h"

namespace lathe::cuda {

ArrayRef<DeviceHeader> getDeviceHeaders() {
  static const DeviceHeader headers[] = {
#include "DeviceHeaders.inc"
  };
  return headers;
}

} // namespace lathe::cuda
