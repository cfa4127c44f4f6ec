//===- Contraction.cpp - Matrix products ----------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Inference.h"

namespace lathe {

/// The dims of an iteration space `(batch..., m, n, k)`.
namespace {
struct ContractionSpace {
  ContractionSpace(int64_t batch, MLIRContext *context)
      : batch(batch), context(context) {}

  AffineExpr m() const { return getAffineDimExpr(batch, context); }
  AffineExpr n() const { return getAffineDimExpr(batch + 1, context); }
  AffineExpr k() const { return getAffineDimExpr(batch + 2, context); }

  /// A map whose leading results are `leading`'s, then `trailing`.
  AffineMap map(AffineMap leading, ArrayRef<AffineExpr> trailing) const {
    SmallVector<AffineExpr> exprs(leading.getResults());
    llvm::append_range(exprs, trailing);
    return AffineMap::get(batch + 3, 0, exprs, context);
  }

  int64_t batch;
  MLIRContext *context;
};
} // namespace

//===----------------------------------------------------------------------===//
// matmul
//===----------------------------------------------------------------------===//

LogicalResult MatmulOp::inferReturnTypes(MLIRContext *,
                                         std::optional<Location> location,
                                         Adaptor adaptor,
                                         SmallVectorImpl<Type> &results) {
  auto lhs = dyn_cast<RankedTensorType>(adaptor.getLhs().getType());
  auto rhs = dyn_cast<RankedTensorType>(adaptor.getRhs().getType());
  if (!lhs || !rhs || lhs.getRank() < 2 || rhs.getRank() < 2)
    return inferenceError<MatmulOp>(
        location, "expected operands of rank 2 or more, got ranks " +
                      Twine(lhs ? lhs.getRank() : -1) + " and " +
                      Twine(rhs ? rhs.getRank() : -1));
  ArrayRef<int64_t> a = lhs.getShape(), b = rhs.getShape();
  auto [m, k] = std::pair(a[a.size() - 2], a[a.size() - 1]);
  if (adaptor.getTransposeLhs())
    std::swap(m, k);
  auto [rhsK, n] = std::pair(b[b.size() - 2], b[b.size() - 1]);
  if (adaptor.getTransposeRhs())
    std::swap(rhsK, n);
  if (!sizesAgree(k, rhsK))
    return inferenceError<MatmulOp>(
        location, "expected equal contraction sizes, got " + Twine(k) +
                      " on the left and " + Twine(rhsK) + " on the right");
  FailureOr<SmallVector<int64_t>> shape =
      broadcastShapes(a.drop_back(2), b.drop_back(2));
  if (failed(shape))
    return inferenceError<MatmulOp>(location,
                                    "expected batch dims that broadcast, got " +
                                        shapeText(a.drop_back(2)) + " and " +
                                        shapeText(b.drop_back(2)));
  FailureOr<Type> element = productElementType(
      {location, getOperationName()}, adaptor.getLhs(), adaptor.getRhs());
  if (failed(element))
    return failure();
  shape->append({m, n});
  results.push_back(RankedTensorType::get(*shape, *element));
  return success();
}

FusionKind MatmulOp::getFusionKind() { return FusionKind::Contraction; }

SmallVector<AffineMap> MatmulOp::getFusionMaps() {
  ArrayRef<int64_t> batch = getTensorType(getResult()).getShape().drop_back(2);
  ContractionSpace space(batch.size(), getContext());
  auto operandMap = [&](Value operand, AffineExpr row, AffineExpr column,
                        bool transpose) {
    if (transpose)
      std::swap(row, column);
    return space.map(
        broadcastMap(getTensorType(operand).getShape().drop_back(2), batch,
                     getContext()),
        {row, column});
  };
  return {operandMap(getLhs(), space.m(), space.k(), getTransposeLhs()),
          operandMap(getRhs(), space.k(), space.n(), getTransposeRhs()),
          operandMap(getResult(), space.m(), space.n(), false)};
}

//===----------------------------------------------------------------------===//
// linear
//===----------------------------------------------------------------------===//

LogicalResult LinearOp::inferReturnTypes(MLIRContext *,
                                         std::optional<Location> location,
                                         Adaptor adaptor,
                                         SmallVectorImpl<Type> &results) {
  Site site{location, getOperationName()};
  auto input = rankedOperand(site, adaptor.getInput(), "an input", 1);
  if (failed(input))
    return failure();
  auto weight = rankedOperand(site, adaptor.getWeight(), "a weight", 2,
                              /*exactly=*/true);
  if (failed(weight))
    return failure();
  int64_t k = input->getShape().back(), n = weight->getDimSize(0);
  if (!sizesAgree(k, weight->getDimSize(1)))
    return inferenceError<LinearOp>(
        location, "expected a weight with " + Twine(k) +
                      " columns, as the input's last dim, got " +
                      Twine(weight->getDimSize(1)));
  if (Value bias = adaptor.getBias()) {
    auto type = dyn_cast<RankedTensorType>(bias.getType());
    if (!type || type.getRank() != 1 || !sizesAgree(type.getDimSize(0), n))
      return inferenceError<LinearOp>(
          location, "expected a bias of shape " + shapeText({n}) + ", got " +
                        (type ? shapeText(type.getShape()) : "no tensor"));
    n = mergeSizes(n, type.getDimSize(0));
  }
  SmallVector<int64_t> shape(input->getShape());
  FailureOr<Type> element =
      productElementType(site, adaptor.getInput(), adaptor.getWeight());
  if (failed(element) ||
      failed(checkBiasElementType(site, adaptor.getBias(), *element)))
    return failure();
  shape.back() = n;
  results.push_back(RankedTensorType::get(shape, *element));
  return success();
}

FusionKind LinearOp::getFusionKind() { return FusionKind::Contraction; }

SmallVector<AffineMap> LinearOp::getFusionMaps() {
  // (leading..., n, k): the last leading dim is what `m` is for a matmul.
  MLIRContext *context = getContext();
  int64_t leading = getTensorType(getInput()).getRank() - 1;
  AffineExpr n = getAffineDimExpr(leading, context);
  AffineExpr k = getAffineDimExpr(leading + 1, context);
  auto map = [&](bool withLeading, ArrayRef<AffineExpr> trailing) {
    SmallVector<AffineExpr> exprs;
    for (int64_t i = 0; withLeading && i < leading; ++i)
      exprs.push_back(getAffineDimExpr(i, context));
    llvm::append_range(exprs, trailing);
    return AffineMap::get(leading + 2, 0, exprs, context);
  };
  SmallVector<AffineMap> maps{map(true, {k}), map(false, {n, k})};
  if (getBias())
    maps.push_back(map(false, {n}));
  maps.push_back(map(true, {n}));
  return maps;
}

//===----------------------------------------------------------------------===//
// pack, packed_matmul
//===----------------------------------------------------------------------===//

LogicalResult PackOp::inferReturnTypes(MLIRContext *,
                                       std::optional<Location> location,
                                       Adaptor adaptor,
                                       SmallVectorImpl<Type> &results) {
  auto input = rankedOperand({location, getOperationName()}, adaptor.getInput(),
                             "an input", 2);
  if (failed(input))
    return failure();
  int64_t panel = adaptor.getPanel();
  if (panel < 1)
    return inferenceError<PackOp>(
        location, "expected a panel of at least 1 column, got " + Twine(panel));
  int64_t k = input->getShape().drop_back().back();
  int64_t n = input->getShape().back();
  if (adaptor.getTransposed())
    std::swap(k, n);
  int64_t interleave = adaptor.getInterleave(), bits = adaptor.getBits();
  if (interleave < 1)
    return inferenceError<PackOp>(location,
                                  "expected 'interleave' of 1 or more, got " +
                                      Twine(interleave));
  Type element = input->getElementType();
  if (bits != 0 && (bits != 4 || !element.isSignlessInteger(8)))
    return inferenceError<PackOp>(
        location,
        "expected 'bits' of 0, or of 4 and an input of i8, got " + Twine(bits));
  if (bits == 4) {
    if (interleave != 1)
      return inferenceError<PackOp>(
          location,
          "expected 'interleave' of 1 beside 'bits', got " + Twine(interleave));
    k = ShapedType::isDynamic(k) ? k : llvm::divideCeil(k, 2);
    element = IntegerType::get(element.getContext(), 8, IntegerType::Unsigned);
  }
  SmallVector<int64_t> shape(input->getShape().drop_back(2));
  shape.push_back(ShapedType::isDynamic(n) ? n : llvm::divideCeil(n, panel));
  if (!ShapedType::isDynamic(k))
    k = llvm::divideCeil(k, interleave);
  shape.append({k, panel});
  if (interleave > 1)
    shape.push_back(interleave);
  results.push_back(RankedTensorType::get(shape, element));
  return success();
}

FusionKind PackOp::getFusionKind() { return FusionKind::Opaque; }

namespace {
/// How a packed matrix holds the depth: `perRow` elements of a column in each
/// of `rows` rows of a panel.
struct PackedDepth {
  int64_t rows, perRow;
};
} // namespace

static PackedDepth packedDepth(RankedTensorType packed, bool hasScale) {
  if (packed.getRank() == 4)
    return {packed.getDimSize(1), std::max<int64_t>(packed.getDimSize(3), 1)};
  // Two of 4 bits to a byte.
  bool halves = hasScale && packed.getElementType().isUnsignedInteger();
  return {packed.getDimSize(1), halves ? 2 : 1};
}

LogicalResult PackedMatmulOp::inferReturnTypes(MLIRContext *,
                                               std::optional<Location> location,
                                               Adaptor adaptor,
                                               SmallVectorImpl<Type> &results) {
  Site site{location, getOperationName()};
  auto lhs = rankedOperand(site, adaptor.getLhs(), "a left-hand side", 1);
  if (failed(lhs))
    return failure();
  auto packed =
      rankedOperand(site, adaptor.getPacked(), "a packed right-hand side", 3);
  if (failed(packed))
    return failure();
  if (packed->getRank() > 4)
    return inferenceError<PackedMatmulOp>(
        location, "expected a packed right-hand side of rank 3 or 4, got " +
                      Twine(packed->getRank()));
  int64_t k = lhs->getShape().back(), n = adaptor.getN();
  PackedDepth depth = packedDepth(*packed, bool(adaptor.getScale()));
  if (!ShapedType::isDynamic(k) &&
      !sizesAgree(llvm::divideCeil(k, depth.perRow), depth.rows))
    return inferenceError<PackedMatmulOp>(
        location, "expected equal contraction sizes, got " + Twine(k) +
                      " on the left and " + Twine(depth.rows * depth.perRow) +
                      " on the right");
  int64_t panels = packed->getDimSize(0), panel = packed->getDimSize(2);
  if (n < 0)
    return inferenceError<PackedMatmulOp>(
        location, "expected n of at least 0, got " + Twine(n));
  if (!ShapedType::isDynamic(panels) && !ShapedType::isDynamic(panel) &&
      (panel < 1 || int64_t(llvm::divideCeil(n, panel)) != panels))
    return inferenceError<PackedMatmulOp>(
        location, "expected n to need " + Twine(panels) + " panels of " +
                      Twine(panel) + " columns, got " + Twine(n));
  FailureOr<Type> element = lhs->getElementType();
  if (!adaptor.getScale())
    element = productElementType(site, adaptor.getLhs(), adaptor.getPacked());
  if (failed(element))
    return failure();
  SmallVector<int64_t> shape(lhs->getShape());
  shape.back() = n;
  results.push_back(RankedTensorType::get(shape, *element));
  return success();
}

LogicalResult PackedMatmulOp::verify() {
  int64_t group = getGroup();
  if (!getScale()) {
    if (group != 0)
      return emitOpError("expected 'group' beside a scale only, got ") << group;
    return success();
  }
  auto lhs = getTensorType(getLhs()), packed = getTensorType(getPacked());
  Type element = packed.getElementType();
  if (!lhs.getElementType().isF32() ||
      !(element.isInteger(8) || element.isFloat8E4M3FN()) ||
      packed.getRank() != 3)
    return emitOpError("expected a left-hand side of f32 and a right-hand side "
                       "of 8-bit numbers in panels of rank 3 beside a scale, "
                       "got ")
           << lhs << " and " << packed;
  if (group < 0)
    return emitOpError("expected 'group' of 0 or more, got ") << group;
  int64_t k = lhs.getShape().back();
  int64_t groups = group == 0                 ? 1
                   : ShapedType::isDynamic(k) ? k
                                              : llvm::divideCeil(k, group);
  int64_t expected[] = {packed.getDimSize(0), groups, packed.getDimSize(2)};
  auto scale = getTensorType(getScale());
  if (scale.getRank() != 3 ||
      !llvm::all_of(llvm::zip_equal(scale.getShape(), expected), [](auto pair) {
        return sizesAgree(std::get<0>(pair), std::get<1>(pair));
      }))
    return emitOpError("expected a scale of shape ")
           << shapeText(expected) << ", got " << shapeText(scale.getShape());
  return success();
}

FusionKind PackedMatmulOp::getFusionKind() { return FusionKind::Contraction; }

} // namespace lathe

#define GET_OP_CLASSES
#include "dialects/Lathe/Contraction.cpp.inc"

void lathe::LatheDialect::addContractionOps() {
  addOperations<
#define GET_OP_LIST
#include "dialects/Lathe/Contraction.cpp.inc"
      >();
}
