//===- Inference.cpp - Shared shape inference of the op families ----------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Inference.h"

#include "mlir/IR/Matchers.h"
#include "llvm/Support/raw_ostream.h"

namespace lathe {

bool areCompatibleTypes(TypeRange inferred, TypeRange written) {
  if (inferred.size() != written.size())
    return false;
  for (auto [a, b] : llvm::zip_equal(inferred, written)) {
    auto ta = dyn_cast<RankedTensorType>(a), tb = dyn_cast<RankedTensorType>(b);
    if (!ta || !tb || ta.getElementType() != tb.getElementType() ||
        failed(verifyCompatibleShape(ta, tb)))
      return false;
  }
  return true;
}

FailureOr<SmallVector<int64_t>> broadcastShapes(ArrayRef<int64_t> a,
                                                ArrayRef<int64_t> b) {
  if (a.size() < b.size())
    std::swap(a, b);
  SmallVector<int64_t> result(a);
  size_t shift = a.size() - b.size();
  for (size_t i = 0; i < b.size(); ++i) {
    int64_t x = a[i + shift], y = b[i];
    int64_t &r = result[i + shift];
    if (x == y || y == 1)
      r = x;
    else if (x == 1)
      r = y;
    else if (ShapedType::isDynamic(x))
      r = y;
    else if (ShapedType::isDynamic(y))
      r = x;
    else
      return failure();
  }
  return result;
}

FailureOr<int64_t> normalizeAxis(int64_t axis, int64_t rank) {
  if (axis < -rank || axis >= rank)
    return failure();
  return axis < 0 ? axis + rank : axis;
}

FailureOr<SmallVector<int64_t>> normalizeAxes(ArrayRef<int64_t> axes,
                                              int64_t rank) {
  SmallVector<int64_t> result;
  if (axes.empty()) {
    for (int64_t i = 0; i < rank; ++i)
      result.push_back(i);
    return result;
  }
  for (int64_t axis : axes) {
    FailureOr<int64_t> normal = normalizeAxis(axis, rank);
    if (failed(normal))
      return failure();
    result.push_back(*normal);
  }
  llvm::sort(result);
  if (std::unique(result.begin(), result.end()) != result.end())
    return failure();
  return result;
}

std::optional<SmallVector<int64_t>> getConstantIntegers(Value value) {
  DenseIntElementsAttr attr;
  if (!value || !matchPattern(value, m_Constant(&attr)) ||
      attr.getNumElements() > 4096)
    return std::nullopt;
  bool isUnsigned = attr.getElementType().isUnsignedInteger();
  SmallVector<int64_t> result;
  for (const APInt &v : attr.getValues<APInt>())
    result.push_back(isUnsigned ? v.getZExtValue() : v.getSExtValue());
  return result;
}

FailureOr<int64_t> multiplySizes(int64_t a, int64_t b) {
  int64_t r;
  if (ShapedType::isDynamic(a) || ShapedType::isDynamic(b))
    return ShapedType::kDynamic;
  if (llvm::MulOverflow(a, b, r) || r < 0)
    return failure();
  return r;
}

FailureOr<int64_t> addSizes(int64_t a, int64_t b) {
  int64_t r;
  if (ShapedType::isDynamic(a) || ShapedType::isDynamic(b))
    return ShapedType::kDynamic;
  if (llvm::AddOverflow(a, b, r) || r < 0)
    return failure();
  return r;
}

FailureOr<int64_t> elementCount(ArrayRef<int64_t> shape) {
  if (llvm::is_contained(shape, 0))
    return 0;
  if (ShapedType::isDynamicShape(shape))
    return ShapedType::kDynamic;
  FailureOr<int64_t> count = 1;
  for (int64_t size : shape) {
    count = multiplySizes(*count, size);
    if (failed(count))
      return failure();
  }
  return count;
}

LogicalResult inferenceError(std::optional<Location> location,
                             const Twine &message) {
  return emitOptionalError(location, message);
}

std::string shapeText(ArrayRef<int64_t> shape) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  stream << '[';
  llvm::interleaveComma(shape, stream, [&](int64_t size) {
    if (ShapedType::isDynamic(size))
      stream << '?';
    else
      stream << size;
  });
  stream << ']';
  return text;
}

LogicalResult sizeTooLarge(const Site &site, int64_t dim) {
  return inferenceError(site, "expected a size below 2^63 in dim " +
                                  Twine(dim) + " of the result");
}

static bool isByte(Type type) {
  return type.isInteger() && type.getIntOrFloatBitWidth() == 8;
}

FailureOr<Type> productElementType(const Site &site, Value lhs, Value rhs) {
  Type a = getElementTypeOrSelf(lhs.getType());
  Type b = getElementTypeOrSelf(rhs.getType());
  if (isByte(a) && isByte(b))
    return Type(IntegerType::get(a.getContext(), 32));
  if (a == b)
    return a.isFloat8E4M3FN() ? Type(Float32Type::get(a.getContext())) : a;
  std::string text;
  llvm::raw_string_ostream(text) << "'" << a << "' and '" << b << "'";
  return inferenceError(
      site, "expected operands of one element type, or both of 8-bit "
            "integers, got " +
                text);
}

LogicalResult checkBiasElementType(const Site &site, Value bias, Type element) {
  if (!bias)
    return success();
  Type own = getElementTypeOrSelf(bias.getType());
  if (own == element)
    return success();
  std::string text;
  llvm::raw_string_ostream(text) << "'" << element << "', got '" << own << "'";
  return inferenceError(site, "expected a bias of the product's element type " +
                                  text);
}

FailureOr<int64_t> vectorLength(const Site &site, Value operand,
                                StringRef what) {
  RankedTensorType type = getTensorType(operand);
  if (type.getRank() != 1)
    return inferenceError(site, "expected '" + what + "' of rank 1, got rank " +
                                    Twine(type.getRank()));
  // The length becomes a rank; a hostile model must not choose how much memory
  // a type takes.
  constexpr int64_t kMaxRank = 1024;
  if (type.getDimSize(0) > kMaxRank)
    return inferenceError(site, "expected at most " + Twine(kMaxRank) +
                                    " sizes in '" + what + "', got " +
                                    Twine(type.getDimSize(0)));
  return type.getDimSize(0);
}

FailureOr<RankedTensorType> rankedOperand(const Site &site, Value operand,
                                          StringRef what, int64_t least,
                                          bool exactly) {
  auto type = dyn_cast<RankedTensorType>(operand.getType());
  int64_t rank = type ? type.getRank() : -1;
  if (exactly ? rank != least : rank < least)
    return inferenceError(site, "expected " + what + " of rank " +
                                    Twine(least) + (exactly ? "" : " or more") +
                                    ", got rank " + Twine(rank));
  return type;
}

AffineMap broadcastMap(ArrayRef<int64_t> shape, ArrayRef<int64_t> result,
                       MLIRContext *context) {
  SmallVector<AffineExpr> exprs;
  size_t shift = result.size() - shape.size();
  for (size_t i = 0; i < shape.size(); ++i) {
    bool stretches = shape[i] == 1 && result[i + shift] != 1;
    exprs.push_back(stretches ? getAffineConstantExpr(0, context)
                              : getAffineDimExpr(i + shift, context));
  }
  return AffineMap::get(result.size(), 0, exprs, context);
}

} // namespace lathe
