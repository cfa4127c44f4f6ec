//===- AttentionText.cpp - What both attention schedules write ------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AttentionText.h"
#include "KernelFile.h"
#include "Printer.h"

#include "lathe/Conversion/ScalarBody.h"

namespace lathe::cuda {

std::optional<Access> AttentionAccess::readOperand(const StridedView &view,
                                                   int64_t repeats) {
  auto digits = view.split(view.sizes);
  if (!digits)
    return std::nullopt;
  SmallVector<Factor> batch = (*digits)[0];
  llvm::append_range(batch, (*digits)[1]);
  if (repeats != 1)
    batch.push_back({repeats, 0});
  return Access{batch, (*digits)[2], (*digits)[3]};
}

bool AttentionAccess::read(const KernelViews &views, unsigned maskIndex,
                           std::string &whyNot) {
  ArrayRef<AnchorOperand> operands = views.operands;
  static_cast<AttentionSizes &>(*this) = AttentionSizes::get(views);
  elementType = operands[0].elementType;
  if (elementType.isF64()) {
    whyNot = "attention in f64 has no skeleton";
    return false;
  }
  if (depth < 1 || depth > 128 || width > 128) {
    whyNot = "the heads are empty or have more than 128 places";
    return false;
  }
  int64_t repeats = groups ? heads / groups : 1;
  auto query = readOperand(operands[0].view, 1),
       key = readOperand(operands[1].view, repeats),
       value = readOperand(operands[2].view, repeats);
  if (!query || !key || !value) {
    whyNot = "an operand of the attention has no strides";
    return false;
  }
  q = *query;
  k = *key;
  v = *value;
  if (operands.size() <= maskIndex)
    return true;
  maskOperand = operands[maskIndex];
  Type element = maskOperand.elementType;
  if (!isa<Float32Type, Float16Type, BFloat16Type>(element) &&
      !element.isInteger(1)) {
    whyNot = "the mask is neither Boolean nor a float of up to 32 bits";
    return false;
  }
  auto wide = maskOperand.view.broadcastTo({batch, heads, queries, keys});
  auto digits = wide ? readOperand(*wide, 1) : std::nullopt;
  if (!digits) {
    whyNot = "the mask has no strides";
    return false;
  }
  mask = *digits;
  return true;
}

void AttentionAccess::printScore(CodeWriter &writer) const {
  writer.line();
  writer.open("struct Score");
  std::string text = "score";
  if (mask) {
    Type element = maskOperand.elementType;
    std::string name = KernelFile::input(maskOperand.argument);
    writer.line("const " + typeName(getStorageType(element)) + " *" + name +
                ";");
    std::string at =
        name + "[" +
        offsetText(*mask, {"batch", "query", "key"}, maskOperand.view.offset) +
        "]";
    if (element.isInteger(1))
      text = at + " ? score : hiddenScore()";
    else
      text = "score + " + (element.isF32() ? at : "toFloat(" + at + ")");
  }
  writer.line("__device__ __forceinline__ float");
  writer.open("operator()(int batch, int query, int key, float score) const");
  writer.line("return " + text + ";");
  writer.close();
  writer.close(";");
}

std::string AttentionAccess::constructScore() const {
  return mask ? "Score{" + KernelFile::input(maskOperand.argument) + "}"
              : "Score{}";
}

} // namespace lathe::cuda
