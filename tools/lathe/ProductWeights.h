//===- ProductWeights.h - Weights of products, and their data ---*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_TOOLS_PRODUCTWEIGHTS_H
#define LATHE_TOOLS_PRODUCTWEIGHTS_H

#include "DataRun.h"
#include "lathe/Transforms/QuantizationSites.h"

namespace lathe {

/// What flows into products, [..., depth], and what is made of it in the model
/// itself, by its own kernels: x^T x [depth, depth] and the sum of x [depth]
/// over all rows of a batch.
struct ProductInput {
  Value value;
  int64_t depth = 0, rows = 0;
  SmallVector<ScanOp> scans; ///< findLayerScans(value)
  Value moments, sum;
  /// In listValues of the instrumented function.
  unsigned momentsPlace = 0, sumPlace = 0;

  int64_t numRanges() const { return countRanges(scans); }
  /// Of the results of one run.
  uint64_t bytes() const {
    return countExposedBytes(moments) + countExposedBytes(sum);
  }
};

/// A product of an input and a parameter, or of each layer's slice of one.
struct WeightedProduct {
  std::string name; ///< as in QuantizationSite::opName
  std::string op;   ///< "linear"
  unsigned input = 0;
  std::string weight, bias;  ///< parameters; no bias: ""
  std::string noBias;        ///< why there is none
  int64_t width = 0;         ///< of the result
  bool isTransposed = false; ///< the weight is [depth, width]
  int64_t layers = 1;
  ScanOp scan; ///< over the layers; null where there is one
};

struct ProductList {
  std::vector<ProductInput> inputs;
  std::vector<WeightedProduct> products;
  /// Name of an op that could be quantized, and why it is left alone.
  std::vector<std::pair<std::string, std::string>> refused;
};

/// Lists the products of a function from Model::recognize, and adds the ops
/// that make `moments` and `sum` to it. `keep` are patterns of names to leave
/// alone.
ProductList instrumentProducts(func::FuncOp function,
                               ArrayRef<std::string> keep);

/// The values of all parameters of a model, by name, as its program gets them.
llvm::Expected<std::map<std::string, Tensor>>
readParameters(ModuleOp module, const CompileOptions &compile,
               const ModelOptions &options);

/// Writes them under the keys of weights files, a tensor per layer where they
/// are stacked.
llvm::Error writeParameters(StringRef path, ModuleOp module,
                            const std::map<std::string, Tensor> &values,
                            const std::map<std::string, std::string> &metadata);

} // namespace lathe

#endif // LATHE_TOOLS_PRODUCTWEIGHTS_H
