//===- Registry.cpp - Which function imports which ONNX op ----------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Node.h"

namespace lathe::onnx_import {

const OpRow *findOp(StringRef domain, StringRef name, int64_t opset) {
  using Table = llvm::StringMap<SmallVector<const OpRow *, 1>>;
  static const Table table = [] {
    Table table;
    for (ArrayRef<OpRow> family :
         {elementwiseOps(), activationOps(), reductionOps(), contractionOps(),
          attentionOps(), convolutionOps(), poolingOps(), resizeOps(),
          shapeOps(), indexingOps(), normalizationOps(), lossOps(), randomOps(),
          quantizationOps(), controlOps(), recurrentOps(), trainingOps(),
          signalOps()})
      for (const OpRow &row : family)
        table[row.name].push_back(&row);
    return table;
  }();
  auto it = table.find(name);
  if (it == table.end())
    return nullptr;
  for (const OpRow *row : it->second)
    if (domain == row->domain && opset >= row->first &&
        (row->last == 0 || opset <= row->last))
      return row;
  return nullptr;
}

} // namespace lathe::onnx_import
