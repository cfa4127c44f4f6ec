//===- Spatial.h - Kernels, strides, padding of ONNX ops ------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_IMPORT_ONNX_SPATIAL_H
#define LATHE_IMPORT_ONNX_SPATIAL_H

#include "Node.h"

namespace lathe::onnx_import {

/// The attributes that convolutions and pools share, one entry per spatial dim.
struct Window {
  SmallVector<int64_t> kernel, strides, dilations, low, high;
  /// Padding that depends on an open size (SAME with a stride): apply `padSame`
  /// to the input first; `low` and `high` are zero then.
  bool same = false, sameLower = false;

  int64_t extent(size_t i) const { return (kernel[i] - 1) * dilations[i] + 1; }
};

/// Reads them for an input [n, c, spatial...]; `kernel` overrides the attribute
/// where given. False after a failure.
bool readWindow(Node &n, Val x, ArrayRef<int64_t> kernel, Window &window);

/// `x` with SAME padding of computed amounts, filled with `value`.
Val padSame(Node &n, Val x, const Window &window, double value);

} // namespace lathe::onnx_import

#endif // LATHE_IMPORT_ONNX_SPATIAL_H
