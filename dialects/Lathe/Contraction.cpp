//===- Contraction.cpp - Matrix products and attention --------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Composer.h"

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
  shape->append({m, n});
  results.push_back(RankedTensorType::get(*shape, lhs.getElementType()));
  return success();
}

FusionKind MatmulOp::getFusionKind() { return FusionKind::Contraction; }

SmallVector<AffineMap> MatmulOp::getFusionMaps() {
  ArrayRef<int64_t> batch = tensorType(getResult()).getShape().drop_back(2);
  ContractionSpace space(batch.size(), getContext());
  auto operandMap = [&](Value operand, AffineExpr row, AffineExpr column,
                        bool transpose) {
    if (transpose)
      std::swap(row, column);
    return space.map(broadcastMap(tensorType(operand).getShape().drop_back(2),
                                  batch, getContext()),
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
  shape.back() = n;
  results.push_back(RankedTensorType::get(shape, input->getElementType()));
  return success();
}

FusionKind LinearOp::getFusionKind() { return FusionKind::Contraction; }

SmallVector<AffineMap> LinearOp::getFusionMaps() {
  // (leading..., n, k): the last leading dim is what `m` is for a matmul.
  MLIRContext *context = getContext();
  int64_t leading = tensorType(getInput()).getRank() - 1;
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
  SmallVector<int64_t> shape(input->getShape().drop_back(2));
  shape.push_back(ShapedType::isDynamic(n) ? n : llvm::divideCeil(n, panel));
  shape.append({k, panel});
  results.push_back(RankedTensorType::get(shape, input->getElementType()));
  return success();
}

FusionKind PackOp::getFusionKind() { return FusionKind::Opaque; }

LogicalResult PackedMatmulOp::inferReturnTypes(MLIRContext *,
                                               std::optional<Location> location,
                                               Adaptor adaptor,
                                               SmallVectorImpl<Type> &results) {
  Site site{location, getOperationName()};
  auto lhs = rankedOperand(site, adaptor.getLhs(), "a left-hand side", 1);
  if (failed(lhs))
    return failure();
  auto packed = rankedOperand(site, adaptor.getPacked(),
                              "a packed right-hand side", 3, /*exactly=*/true);
  if (failed(packed))
    return failure();
  int64_t k = lhs->getShape().back(), n = adaptor.getN();
  if (!sizesAgree(k, packed->getDimSize(1)))
    return inferenceError<PackedMatmulOp>(
        location, "expected equal contraction sizes, got " + Twine(k) +
                      " on the left and " + Twine(packed->getDimSize(1)) +
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
  SmallVector<int64_t> shape(lhs->getShape());
  shape.back() = n;
  results.push_back(RankedTensorType::get(shape, lhs->getElementType()));
  return success();
}

LogicalResult PackedMatmulOp::verify() {
  Type lhs = tensorType(getLhs()).getElementType();
  Type packed = tensorType(getPacked()).getElementType();
  if (lhs != packed)
    return emitOpError("expected operands of one element type, got ")
           << lhs << " and " << packed;
  return success();
}

FusionKind PackedMatmulOp::getFusionKind() { return FusionKind::Contraction; }

//===----------------------------------------------------------------------===//
// attention
//===----------------------------------------------------------------------===//

LogicalResult AttentionOp::inferReturnTypes(MLIRContext *,
                                            std::optional<Location> location,
                                            Adaptor adaptor,
                                            SmallVectorImpl<Type> &results) {
  auto query = dyn_cast<RankedTensorType>(adaptor.getQuery().getType());
  auto key = dyn_cast<RankedTensorType>(adaptor.getKey().getType());
  auto value = dyn_cast<RankedTensorType>(adaptor.getValue().getType());
  if (!query || !key || !value || query.getRank() != 4 || key.getRank() != 4 ||
      value.getRank() != 4)
    return inferenceError<AttentionOp>(
        location, "expected query, key and value of rank 4, got ranks " +
                      Twine(query ? query.getRank() : -1) + ", " +
                      Twine(key ? key.getRank() : -1) + " and " +
                      Twine(value ? value.getRank() : -1));
  ArrayRef<int64_t> q = query.getShape(), k = key.getShape(),
                    v = value.getShape();
  if (!sizesAgree(q[0], k[0]) || !sizesAgree(q[0], v[0]) ||
      !sizesAgree(k[0], v[0]))
    return inferenceError<AttentionOp>(
        location, "expected equal batch sizes, got query " + shapeText(q) +
                      ", key " + shapeText(k) + " and value " + shapeText(v));
  if (!sizesAgree(k[1], v[1]) || !sizesAgree(k[2], v[2]))
    return inferenceError<AttentionOp>(
        location, "expected key and value with equal heads and length, got " +
                      shapeText(k) + " and " + shapeText(v));
  if (!sizesAgree(q[3], k[3]))
    return inferenceError<AttentionOp>(
        location, "expected query and key with equal last dims, got " +
                      shapeText(q) + " and " + shapeText(k));
  int64_t heads = q[1], groups = mergeSizes(k[1], v[1]);
  if (!ShapedType::isDynamic(heads) && !ShapedType::isDynamic(groups) &&
      (groups == 0 ? heads != 0 : heads % groups != 0))
    return inferenceError<AttentionOp>(
        location, "expected query heads that are a multiple of the " +
                      Twine(groups) + " key heads, got " + Twine(heads));
  int64_t batch = mergeSizes(q[0], mergeSizes(k[0], v[0]));
  if (Value mask = adaptor.getMask()) {
    auto type = dyn_cast<RankedTensorType>(mask.getType());
    SmallVector<int64_t> scores{batch, heads, q[2], mergeSizes(k[2], v[2])};
    FailureOr<SmallVector<int64_t>> both =
        type ? broadcastShapes(type.getShape(), scores)
             : FailureOr<SmallVector<int64_t>>(failure());
    bool fits = succeeded(both) && both->size() == scores.size();
    for (size_t i = 0; fits && i < scores.size(); ++i)
      fits = sizesAgree((*both)[i], scores[i]);
    if (!fits)
      return inferenceError<AttentionOp>(
          location, "expected a mask that broadcasts to " + shapeText(scores) +
                        ", got " +
                        (type ? shapeText(type.getShape()) : "no tensor"));
  }
  results.push_back(RankedTensorType::get({batch, heads, q[2], v[3]},
                                          query.getElementType()));
  return success();
}

LogicalResult AttentionOp::verify() {
  Type query = tensorType(getQuery()).getElementType();
  for (Value other : {getKey(), getValue()}) {
    Type type = tensorType(other).getElementType();
    if (type != query)
      return emitOpError("expected key and value of the query's element type ")
             << query << ", got " << type;
  }
  if (getMask()) {
    Type mask = tensorType(getMask()).getElementType();
    if (mask != query && !mask.isInteger(1))
      return emitOpError("expected a mask of ")
             << query << " or i1, got " << mask;
  }
  return success();
}

FusionKind AttentionOp::getFusionKind() { return FusionKind::Contraction; }

/// Scores with -infinity where a row may not look.
static Value maskScores(Composer &c, AttentionOp op, Value scores) {
  auto type = tensorType(scores);
  Type element = type.getElementType();
  Value minusInfinity =
      c.constant(element, -std::numeric_limits<double>::infinity());
  if (Value mask = op.getMask()) {
    if (tensorType(mask).getElementType().isInteger(1))
      scores = c.make<SelectOp>(mask, scores, minusInfinity);
    else
      scores = c.make<AddOp>(scores, c.widen(mask));
  }
  if (op.getCausal()) {
    int64_t s = type.getDimSize(2), t = type.getDimSize(3);
    Type i64 = IntegerType::get(op.getContext(), 64);
    Value row = c.make<IotaOp>(ArrayRef<int64_t>{s, 1}, /*axis=*/0, i64);
    Value column = c.make<IotaOp>(ArrayRef<int64_t>{1, t}, /*axis=*/1, i64);
    Value lastSeen = c.make<AddOp>(row, c.constant(i64, t - s));
    Value sees = c.make<CompareOp>(ComparePredicate::le, column, lastSeen);
    scores = c.make<SelectOp>(sees, scores, minusInfinity);
  }
  return scores;
}

/// Softmax over the last dim that gives zeros where all scores are -infinity.
static Value softmaxOrZero(Composer &c, Value scores) {
  Type element = tensorType(scores).getElementType();
  Value zero = c.constant(element, 0.0), one = c.constant(element, 1.0);
  Value minusInfinity =
      c.constant(element, -std::numeric_limits<double>::infinity());
  SmallVector<int64_t> axes{tensorType(scores).getRank() - 1};
  Value max = c.make<ReduceMaxOp>(scores, axes, /*keepdims=*/true);
  Value seesNothing =
      c.make<CompareOp>(ComparePredicate::eq, max, minusInfinity);
  Value shift = c.make<SelectOp>(seesNothing, zero, max);
  Value exp = c.make<ExpOp>(c.make<SubOp>(scores, shift));
  Value sum = c.make<ReduceSumOp>(exp, axes, /*keepdims=*/true);
  return c.make<DivOp>(exp, c.make<SelectOp>(seesNothing, one, sum));
}

FailureOr<SmallVector<Value>> AttentionOp::decompose(OpBuilder &builder) {
  auto type = tensorType(getQuery());
  auto keyType = tensorType(getKey());
  if (!type.hasStaticShape() || !keyType.hasStaticShape() ||
      !tensorType(getValue()).hasStaticShape())
    return failure();
  Composer c(builder, *this);
  ArrayRef<int64_t> shape = type.getShape();
  int64_t b = shape[0], h = shape[1], s = shape[2], d = shape[3];
  int64_t g = keyType.getDimSize(1), t = keyType.getDimSize(2);
  int64_t e = tensorType(getValue()).getDimSize(3);
  Value query = c.widen(getQuery()), key = c.widen(getKey()),
        value = c.widen(getValue());
  // Query heads that share a key head are rows of one product: h = g * (h / g)
  // makes this a reshape.
  auto reshape = [&](Value x, ArrayRef<int64_t> to) -> Value {
    if (tensorType(x).getShape() == to)
      return x;
    auto op = builder.create<ReshapeOp>(getLoc(), x, to);
    op.setAllowZero(llvm::is_contained(to, 0));
    return op;
  };
  int64_t rows = g ? h / g * s : s;
  query = reshape(query, {b, g, rows, d});
  Value scores = c.make<MatmulOp>(query, key, /*transpose_lhs=*/false,
                                  /*transpose_rhs=*/true);
  scores = reshape(scores, {b, h, s, t});
  Type element = tensorType(scores).getElementType();
  double scale = getScale() ? getScale()->convertToDouble()
                            : 1.0 / std::sqrt(double(std::max<int64_t>(d, 1)));
  scores = c.make<MulOp>(scores, c.constant(element, scale));
  scores = maskScores(c, *this, scores);
  bool rowsMaySeeNothing = getMask() || (getCausal() && s > t) || t == 0;
  Value weights =
      rowsMaySeeNothing ? softmaxOrZero(c, scores) : c.make<SoftmaxOp>(scores);
  weights = reshape(weights, {b, g, rows, t});
  Value result = c.make<MatmulOp>(weights, value);
  result = reshape(result, {b, h, s, e});
  return SmallVector<Value>{c.cast(result, type.getElementType())};
}

} // namespace lathe

#define GET_OP_CLASSES
#include "dialects/Lathe/Contraction.cpp.inc"
