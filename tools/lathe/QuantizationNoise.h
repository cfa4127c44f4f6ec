//===- QuantizationNoise.h - What quantization costs, by layer --*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_TOOLS_QUANTIZATIONNOISE_H
#define LATHE_TOOLS_QUANTIZATIONNOISE_H

#include "ModelData.h"
#include "lathe/Support/Compare.h"

namespace lathe {

/// What the quantization of one product does to its result, in one layer.
struct ProductNoise {
  std::string name; ///< as option 'keep' and the ranges file have it
  std::string op;   ///< "linear"
  int64_t layer;    ///< of `layers`: an iteration of the scans around
  int64_t layers;
  /// With the operands of the float model, this product alone quantized: what
  /// it would cost to quantize it, and gain to keep it.
  SignalToNoise alone;
  /// In the quantized model, where what comes before it is quantized, too.
  SignalToNoise within;
};

/// An output of the model, quantized against float.
struct OutputNoise {
  std::string name;
  SignalToNoise within;
};

struct NoiseTable {
  std::vector<ProductNoise> products; ///< in program order, layers by number
  std::vector<OutputNoise> outputs;   ///< those of floats
};

/// Compares the model as `compile.quantization` says with the float one over
/// all of `data`. `module` is from Model::recognize. Three programs run on each
/// batch: the float one, the quantized one, and, within the float one, a
/// quantized copy of each product on the same operands. `step` is called before
/// each batch; `steps` gets their number. Errors: a program does not compile
/// (the message is empty after a diagnostic), or run.
llvm::Expected<NoiseTable>
measureNoise(ModuleOp module, StringRef entry, const CompileOptions &compile,
             const ModelOptions &options, ModelData &data,
             llvm::function_ref<void(uint64_t steps)> step);

} // namespace lathe

#endif // LATHE_TOOLS_QUANTIZATIONNOISE_H
