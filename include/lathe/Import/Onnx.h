//===- Onnx.h - ONNX models into the lathe dialect --------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_IMPORT_ONNX_H
#define LATHE_IMPORT_ONNX_H

#include "lathe/Support/Tensor.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace lathe {
using namespace mlir;

struct OnnxImportOptions {
  /// Shapes of graph inputs by name; they replace the declared ones. For models
  /// that leave a rank open, or a size that some op has to know.
  llvm::StringMap<SmallVector<int64_t>> shapes;
  /// Asked for the shape of an input (by name) whose rank is not declared and
  /// that is not in `shapes`.
  std::function<std::optional<SmallVector<int64_t>>(StringRef)> shapeOf;
  /// Values of graph inputs by name, known before the run: sizes, axes, trip
  /// counts. Such an input stays in the signature, and its uses become
  /// constants.
  llvm::StringMap<DenseElementsAttr> values;
  /// Asked for the value of an input (by name, and by its number among the
  /// inputs that are not weights) that turns out to decide a size and is not in
  /// `values`; the import then starts again with what it gives.
  std::function<std::optional<DenseElementsAttr>(StringRef, unsigned)> valueOf;
  /// Initializers that are graph inputs, too (IR version 3), are weights; the
  /// ones named here stay inputs.
  llvm::StringSet<> fedInitializers;
};

/// What an import found out beside the module; filled in on failure, too.
struct OnnxImportInfo {
  /// Graph inputs that decide a size, an axis or a trip count and whose values
  /// were not given. Where there is any, compiling the module needs them.
  std::vector<std::string> valueInputs;
  /// "OP: reason" for each distinct thing that is not supported; empty on
  /// success.
  std::vector<std::string> unsupported;
  /// Files beside the model that hold tensors of it ("external data").
  std::vector<std::string> files;
  /// Whether an op draws random numbers, so that outputs are not comparable.
  bool random = false;
};

/// Reads the ONNX model at `path` (operator set 7 and up) into a module with
/// the function @main: one argument per graph input, one result per graph
/// output, named by `lathe.name`, sizes by `lathe.dims`. Initializers above
/// 1 KiB (integers: 64 KiB) become `lathe.parameter` ops that point into the
/// model's files; nothing is read from those here.
///
/// Errors: null, after one diagnostic that lists every node that is not
/// supported, each with its name as location. Files are untrusted: damaged
/// ones, sizes beyond the file and external data outside of the model's
/// folder are refused.
OwningOpRef<ModuleOp> importOnnx(MLIRContext &context, StringRef path,
                                 const OnnxImportOptions &options = {},
                                 OnnxImportInfo *info = nullptr);

/// Reads a serialized TensorProto (`input_0.pb` of ONNX's test cases).
/// Errors: damaged file, element type without equivalent, wrong size.
llvm::Expected<NamedTensor> readOnnxTensor(StringRef path);

/// The constant with the bytes of `view`.
DenseElementsAttr toElementsAttr(MLIRContext &context, const TensorView &view);

/// lathe's element type (f32, i1, ui8 ...) for a host type.
Type toElementType(MLIRContext &context, DType type);

} // namespace lathe

#endif // LATHE_IMPORT_ONNX_H
