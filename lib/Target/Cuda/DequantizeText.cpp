//===- DequantizeText.cpp - Weights that are dequantized where read -------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The right-hand side of a product as bytes in memory: they become floats on
// their way to shared memory, as `lathe.dequantize` says, rounding included. Of
// 4 bits two are in a byte, in the panels of `lathe.pack`.
//
//===----------------------------------------------------------------------===//

#include "AnchorText.h"
#include "KernelFile.h"
#include "Printer.h"

#include "lathe/Conversion/ScalarBody.h"
#include "lathe/Target/ProgramBuilder.h"

namespace lathe::cuda {

/// Whether all of `vector` neighbours along `along` read one element.
static bool isUniform(const Access &access, unsigned along, int64_t vector) {
  ArrayRef<Factor> digits = access[along];
  while (!digits.empty() && digits.back().stride == 0) {
    if (digits.back().size % vector == 0)
      return true;
    vector = vector % digits.back().size == 0 ? vector / digits.back().size : 1;
    if (vector == 1)
      return false;
    digits = digits.drop_back();
  }
  return digits.empty() || vector == 1;
}

/// A float, or a 16-bit float's value, as f32.
static std::string toF32(StringRef text, Type type) {
  return type.isF32() ? text.str() : ("toFloat(" + text + ")").str();
}

static std::string toResult(StringRef text, Type type) {
  if (type.isF32())
    return text.str();
  return ((type.isF16() ? "toF16(" : "toBF16(") + text + ")").str();
}

/// The number of a splat in f32.
static std::string splatText(TypedAttr splat) {
  if (auto integer = dyn_cast<IntegerAttr>(splat)) {
    bool isUnsigned = cast<IntegerType>(integer.getType()).isUnsigned();
    return std::to_string(isUnsigned
                              ? int64_t(integer.getValue().getZExtValue())
                              : integer.getValue().getSExtValue()) +
           ".0f";
  }
  llvm::APFloat value = cast<FloatAttr>(splat).getValue();
  if (value.isPosZero())
    return "0.0f";
  bool lost;
  value.convert(llvm::APFloat::IEEEsingle(), llvm::APFloat::rmNearestTiesToEven,
                &lost);
  return "floatFromBits(" +
         std::to_string(value.bitcastToAPInt().getZExtValue()) + "u)";
}

FailureOr<OperandText>
OperandText::fromDequantize(KernelOp kernel, StringRef name, StringRef rowName,
                            const AnchorOperand &operand, const Access &access,
                            const Access &scale, const Access &zeroPoint,
                            std::string &whyNot) {
  Type type = operand.elementType;
  ArrayRef<ExprPtr> sources = operand.dequantize->operands;
  Type stored = sources[0]->elementType;
  if (!(stored.isInteger(8) || stored.isFloat8E4M3FN()) ||
      !(type.isF32() || type.isF16() || type.isBF16())) {
    llvm::raw_string_ostream(whyNot)
        << "dequantizes " << stored << " to " << type
        << ", expected 8-bit numbers and floats of 16 or 32 bits";
    return failure();
  }
  AnchorOperand bytes{operand.argument, operand.view, stored};
  OperandText text = fromAccess(kernel, name, rowName, bytes, access);
  text.tensor.reset();
  text.elementType = type;
  text.isComputed = true;
  // As many as fill 16 bytes of shared memory.
  text.vector = std::min<int64_t>(text.vector, 16 / getStorageBytes(type));
  unsigned along = text.alongK ? 2 : 1;
  SmallVector<std::string> coordinates = {"batch", text.rowName, "k"};
  SmallVector<std::string> lanes(coordinates);
  lanes[along] = "(" + lanes[along] + " + i)";

  std::string typeText = typeName(getStorageType(type));
  std::vector<std::string> before, inside;
  std::string storedText =
      stored.isUnsignedInteger() ? "u8" : typeName(getStorageType(stored));
  before.push_back("const Pack<" + storedText + ", N> q = loadPack<N>(base + " +
                   offsetText(access, coordinates, text.offset) + ");");
  /// One number per element, or for all N of them.
  auto parameter = [&](StringRef called, const Expr &source,
                       const Access &where) -> std::string {
    if (source.kind == Expr::Kind::Splat)
      return splatText(source.splat);
    std::string field = called == "s" ? "scale" : "zero";
    text.parameters.push_back({field, source.index, source.elementType});
    bool isOne = isUniform(where, along, text.vector);
    std::string element =
        field + "[" +
        offsetText(where, isOne ? coordinates : lanes, source.view.offset) +
        "]";
    element = isa<FloatType>(source.elementType)
                  ? toF32(element, source.elementType)
                  : "(float)" + element;
    (isOne ? before : inside)
        .push_back(("const float " + called + " = " + element + ";").str());
    return called.str();
  };
  std::string s = parameter("s", *sources[1], scale),
              z = parameter("z", *sources[2], zeroPoint);
  std::string value =
      isa<FloatType>(stored) ? "toFloat(q.at[i])" : "(float)q.at[i]";
  if (z != "0.0f")
    value = "(" + value + " - " + z + ")";
  text.body = std::move(before);
  text.body.push_back("Pack<" + typeText + ", N> x;");
  text.body.push_back("#pragma unroll");
  text.body.push_back("for (int i = 0; i < N; ++i) {");
  for (std::string &line : inside)
    text.body.push_back("  " + line);
  text.body.push_back("  x.at[i] = " + toResult(value + " * " + s, type) + ";");
  text.body.push_back("}");
  text.body.push_back("return x;");
  text.storedType = stored;
  return text;
}

OperandText OperandText::fromNibbles(StringRef name, StringRef rowName,
                                     const AnchorOperand &packed,
                                     const AnchorOperand &scale, int64_t group,
                                     int64_t depth, Type elementType) {
  OperandText text;
  text.name = name;
  text.rowName = rowName;
  text.argument = packed.argument;
  text.elementType = elementType;
  text.storedType = packed.elementType;
  text.isComputed = true;
  // Columns of a panel are neighbours; panels are whole, whatever n is.
  text.vector = 4;
  text.parameters.push_back({"scale", scale.argument, scale.elementType});
  std::string panel = std::to_string(packed.view.sizes[2]);
  auto at = [&](int64_t rows, const std::string &row) {
    return "(column / " + panel + " * " + std::to_string(rows) +
           (row.empty() ? "" : " + " + row) + ") * " + panel + " + column % " +
           panel + ");";
  };
  bool hasGroups = group > 0 && group < depth;
  // Quotients of unsigned numbers take fewer registers.
  text.body = {"const u32 column = " + text.rowName + ", row = k;",
               "const Pack<u8, N> q = loadPack<N>(base + " +
                   at(packed.view.sizes[1], "row / 2"),
               "const Pack<" + typeName(getStorageType(scale.elementType)) +
                   ", N> s = loadPack<N>(scale + " +
                   at(scale.view.sizes[1],
                      hasGroups ? "row / " + std::to_string(group) : ""),
               "Pack<float, N> x;",
               "#pragma unroll",
               "for (int i = 0; i < N; ++i)",
               "  x.at[i] = (float)((q.at[i] >> row % 2 * 4 & 15) - 8) * " +
                   toF32("s.at[i]", scale.elementType) + ";",
               "return x;"};
  return text;
}

} // namespace lathe::cuda
