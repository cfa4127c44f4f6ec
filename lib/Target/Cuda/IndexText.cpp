//===- IndexText.cpp - Threads, items and positions as text ---------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "IndexText.h"

namespace lathe::cuda {

std::string blockNumber(const CodeWriter &writer, StringRef axis) {
  std::string text = ("blockIdx." + axis).str();
  return writer.indexType == "int" ? text : "(" + writer.indexType + ")" + text;
}

std::string openItem(CodeWriter &writer, int64_t items,
                     const GridLaunch &launch) {
  if (items == 0)
    return "0";
  std::string name = writer.unique("item");
  if (items == 1) {
    writer.line("if (threadIdx.x != 0)");
    writer.line("  return;");
    return "0";
  }
  writer.declareIndex(name, blockNumber(writer) + " * " +
                                Twine(launch.block[0]) + " + threadIdx.x");
  if (items % launch.block[0] != 0) {
    writer.line("if (" + name + " >= " + Twine(items) + ")");
    writer.line("  return;");
  }
  return name;
}

SmallVector<std::string> unflatten(CodeWriter &writer, StringRef flat,
                                   ArrayRef<int64_t> sizes,
                                   ArrayRef<std::string> names) {
  SmallVector<std::string> indices(sizes.size(), "0");
  int64_t inner = 1;
  int64_t total = 1;
  for (int64_t size : sizes)
    total *= size;
  for (int64_t d = int64_t(sizes.size()) - 1; d >= 0; --d) {
    if (sizes[d] != 1) {
      std::string text = flat.str();
      if (inner != 1)
        text += " / " + std::to_string(inner);
      if (inner * sizes[d] != total)
        text = asOperand(text) + " % " + std::to_string(sizes[d]);
      if (text == flat) {
        indices[d] = flat.str();
      } else {
        indices[d] =
            writer.unique(names.empty() ? "d" + std::to_string(d) : names[d]);
        writer.declareIndex(indices[d], text);
      }
    }
    inner *= sizes[d];
  }
  return indices;
}

std::string affineText(AffineExpr expr, ArrayRef<std::string> dims) {
  if (auto dim = dyn_cast<AffineDimExpr>(expr))
    return dims[dim.getPosition()];
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return std::to_string(constant.getValue());
  auto binary = cast<AffineBinaryOpExpr>(expr);
  std::string a = affineText(binary.getLHS(), dims);
  std::string b = affineText(binary.getRHS(), dims);
  int64_t number;
  switch (expr.getKind()) {
  case AffineExprKind::Add:
    return sum(a, b);
  case AffineExprKind::Mul:
    if (!StringRef(b).getAsInteger(10, number))
      return product(a, number);
    return asOperand(a) + " * " + asOperand(b);
  case AffineExprKind::FloorDiv:
    return asOperand(a) + " / " + asOperand(b);
  case AffineExprKind::Mod:
    return asOperand(a) + " % " + asOperand(b);
  default:
    return "(" + asOperand(a) + " + " + b + " - 1) / " + asOperand(b);
  }
}

} // namespace lathe::cuda
