//===- Attention.cpp - Attention, forward and backward --------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Composer.h"

#include "mlir/IR/PatternMatch.h"

namespace lathe {

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

/// Sizes or types of [batch, head, row, ...] where heads stand second, from
/// what is stored in `layout`; or the other way round.
template <typename T>
static SmallVector<T> turnHeads(ArrayRef<T> list, HeadLayout layout) {
  SmallVector<T> result(list);
  if (layout == HeadLayout::heads_third)
    std::swap(result[1], result[2]);
  return result;
}

/// The sizes of `OpTy`'s result [b, h, s, e], heads second, and its element
/// type, from operands that all three ops have.
template <typename OpTy>
static FailureOr<RankedTensorType>
inferAttention(MaybeLoc location, typename OpTy::Adaptor adaptor) {
  auto query = dyn_cast<RankedTensorType>(adaptor.getQuery().getType());
  auto key = dyn_cast<RankedTensorType>(adaptor.getKey().getType());
  auto value = dyn_cast<RankedTensorType>(adaptor.getValue().getType());
  if (!query || !key || !value || query.getRank() != 4 || key.getRank() != 4 ||
      value.getRank() != 4)
    return inferenceError<OpTy>(
        location, "expected query, key and value of rank 4, got ranks " +
                      Twine(query ? query.getRank() : -1) + ", " +
                      Twine(key ? key.getRank() : -1) + " and " +
                      Twine(value ? value.getRank() : -1));
  HeadLayout layout = adaptor.getLayout();
  SmallVector<int64_t> q = turnHeads(query.getShape(), layout),
                       k = turnHeads(key.getShape(), layout),
                       v = turnHeads(value.getShape(), layout);
  if (!sizesAgree(q[0], k[0]) || !sizesAgree(q[0], v[0]) ||
      !sizesAgree(k[0], v[0]))
    return inferenceError<OpTy>(
        location, "expected equal batch sizes, got query " + shapeText(q) +
                      ", key " + shapeText(k) + " and value " + shapeText(v));
  if (!sizesAgree(k[1], v[1]) || !sizesAgree(k[2], v[2]))
    return inferenceError<OpTy>(
        location, "expected key and value with equal heads and length, got " +
                      shapeText(k) + " and " + shapeText(v));
  if (!sizesAgree(q[3], k[3]))
    return inferenceError<OpTy>(
        location, "expected query and key with equal last dims, got " +
                      shapeText(q) + " and " + shapeText(k));
  int64_t heads = q[1], groups = mergeSizes(k[1], v[1]);
  if (!ShapedType::isDynamic(heads) && !ShapedType::isDynamic(groups) &&
      (groups == 0 ? heads != 0 : heads % groups != 0))
    return inferenceError<OpTy>(
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
      return inferenceError<OpTy>(
          location, "expected a mask that broadcasts to " + shapeText(scores) +
                        ", got " +
                        (type ? shapeText(type.getShape()) : "no tensor"));
  }
  return RankedTensorType::get({batch, heads, q[2], v[3]},
                               query.getElementType());
}

template <typename OpTy> static LogicalResult verifyElements(OpTy op) {
  Type query = getTensorType(op.getQuery()).getElementType();
  for (Value other : {op.getKey(), op.getValue()}) {
    Type type = getTensorType(other).getElementType();
    if (type != query)
      return op.emitOpError(
                 "expected key and value of the query's element type ")
             << query << ", got " << type;
  }
  if (op.getMask()) {
    Type mask = getTensorType(op.getMask()).getElementType();
    if (mask != query && !mask.isInteger(1))
      return op.emitOpError("expected a mask of ")
             << query << " or i1, got " << mask;
  }
  return success();
}

static RankedTensorType storeHeads(RankedTensorType type, HeadLayout layout) {
  return type.clone(turnHeads(type.getShape(), layout));
}

/// What scores are held in: f32 for 16-bit floats.
static Type getScoreType(Type element) {
  return element.getIntOrFloatBitWidth() < 32
             ? Float32Type::get(element.getContext())
             : element;
}

LogicalResult AttentionOp::inferReturnTypes(MLIRContext *, MaybeLoc location,
                                            Adaptor adaptor,
                                            SmallVectorImpl<Type> &results) {
  auto result = inferAttention<AttentionOp>(location, adaptor);
  if (failed(result))
    return failure();
  results.push_back(storeHeads(*result, adaptor.getLayout()));
  return success();
}

LogicalResult
AttentionTrainingOp::inferReturnTypes(MLIRContext *, MaybeLoc location,
                                      Adaptor adaptor,
                                      SmallVectorImpl<Type> &results) {
  auto result = inferAttention<AttentionTrainingOp>(location, adaptor);
  if (failed(result))
    return failure();
  results.push_back(storeHeads(*result, adaptor.getLayout()));
  results.push_back(RankedTensorType::get(
      result->getShape().drop_back(), getScoreType(result->getElementType())));
  return success();
}

LogicalResult
AttentionBackwardOp::inferReturnTypes(MLIRContext *, MaybeLoc location,
                                      Adaptor adaptor,
                                      SmallVectorImpl<Type> &results) {
  auto result = inferAttention<AttentionBackwardOp>(location, adaptor);
  if (failed(result))
    return failure();
  auto expect = [&](Value operand, StringRef what, ArrayRef<int64_t> shape) {
    auto type = dyn_cast<RankedTensorType>(operand.getType());
    bool fits = type && type.getRank() == int64_t(shape.size());
    for (size_t i = 0; fits && i < shape.size(); ++i)
      fits = sizesAgree(type.getShape()[i], shape[i]);
    if (fits)
      return success();
    return inferenceError<AttentionBackwardOp>(
        location, "expected a " + what + " of shape " + shapeText(shape) +
                      ", got " +
                      (type ? shapeText(type.getShape()) : "no tensor"));
  };
  HeadLayout layout = adaptor.getLayout();
  ArrayRef<int64_t> rows = result->getShape().drop_back();
  if (failed(expect(adaptor.getCotangent(), "cotangent",
                    turnHeads(result->getShape(), layout))) ||
      failed(expect(adaptor.getLogSumExp(), "log_sum_exp", rows)) ||
      failed(expect(adaptor.getDelta(), "delta", turnHeads(rows, layout))))
    return failure();
  for (Value operand :
       {adaptor.getQuery(), adaptor.getKey(), adaptor.getValue()})
    results.push_back(operand.getType());
  return success();
}

LogicalResult AttentionOp::verify() { return verifyElements(*this); }

LogicalResult AttentionTrainingOp::verify() { return verifyElements(*this); }

LogicalResult AttentionBackwardOp::verify() {
  if (failed(verifyElements(*this)))
    return failure();
  Type query = getTensorType(getQuery()).getElementType(),
       cotangent = getTensorType(getCotangent()).getElementType();
  if (cotangent != query)
    return emitOpError("expected a cotangent of the query's element type ")
           << query << ", got " << cotangent;
  Type scores = getScoreType(query);
  for (Value row : {getLogSumExp(), getDelta()}) {
    Type type = getTensorType(row).getElementType();
    if (type != scores)
      return emitOpError("expected log_sum_exp and delta of ")
             << scores << ", got " << type;
  }
  return success();
}

FusionKind AttentionOp::getFusionKind() { return FusionKind::Contraction; }
FusionKind AttentionTrainingOp::getFusionKind() {
  return FusionKind::Contraction;
}
FusionKind AttentionBackwardOp::getFusionKind() {
  return FusionKind::Contraction;
}

//===----------------------------------------------------------------------===//
// Layout
//===----------------------------------------------------------------------===//

/// [batch, row, head, ...] of [batch, head, row, ...].
static AffineMap getHeadsThird(unsigned rank, MLIRContext *context) {
  const unsigned order[] = {0, 2, 1, 3};
  return AffineMap::getPermutationMap(ArrayRef(order).take_front(rank),
                                      context);
}

/// Schedules take either layout at the same speed. What pays is to be without
/// the transposes around, which projections and models bring along.
template <typename OpTy>
static SmallVector<LayoutPreference> preferHeadsThird(OpTy op) {
  if (op.getLayout() == HeadLayout::heads_third)
    return {};
  return {{getHeadsThird(4, op.getContext()), /*gain=*/0}};
}

/// The first `count` operands and `results` results with heads third.
template <typename OpTy>
static FailureOr<ValueLayouts> headLayouts(OpTy op, unsigned count,
                                           unsigned results, Value value,
                                           AffineMap layout) {
  AffineMap third = getHeadsThird(4, op.getContext());
  bool hasHeads =
      llvm::is_contained(op->getOperands().take_front(count), value) ||
      llvm::is_contained(op->getResults().take_front(results), value);
  if (op.getLayout() == HeadLayout::heads_third || !hasHeads || layout != third)
    return failure();
  ValueLayouts layouts;
  layouts.operands.assign(op->getNumOperands(), AffineMap());
  layouts.results.assign(op->getNumResults(), AffineMap());
  std::fill_n(layouts.operands.begin(), count, third);
  std::fill_n(layouts.results.begin(), results, third);
  return layouts;
}

SmallVector<LayoutPreference> AttentionOp::getPreferredLayouts(LayoutTarget) {
  return preferHeadsThird(*this);
}
FailureOr<ValueLayouts> AttentionOp::getLayouts(Value value, AffineMap layout) {
  return headLayouts(*this, 3, 1, value, layout);
}
void AttentionOp::applyLayouts(const ValueLayouts &) {
  setLayout(HeadLayout::heads_third);
}

SmallVector<LayoutPreference>
AttentionTrainingOp::getPreferredLayouts(LayoutTarget) {
  return preferHeadsThird(*this);
}
FailureOr<ValueLayouts> AttentionTrainingOp::getLayouts(Value value,
                                                        AffineMap layout) {
  return headLayouts(*this, 3, 1, value, layout);
}
void AttentionTrainingOp::applyLayouts(const ValueLayouts &) {
  setLayout(HeadLayout::heads_third);
}

SmallVector<LayoutPreference>
AttentionBackwardOp::getPreferredLayouts(LayoutTarget) {
  return preferHeadsThird(*this);
}
FailureOr<ValueLayouts> AttentionBackwardOp::getLayouts(Value value,
                                                        AffineMap layout) {
  FailureOr<ValueLayouts> layouts = headLayouts(*this, 4, 3, value, layout);
  if (succeeded(layouts))
    layouts->operands[5] = getHeadsThird(3, getContext()); // delta
  return layouts;
}
void AttentionBackwardOp::applyLayouts(const ValueLayouts &) {
  setLayout(HeadLayout::heads_third);
}

//===----------------------------------------------------------------------===//
// In terms of smaller ops
//===----------------------------------------------------------------------===//

namespace {
/// What the decompositions of the three ops share; in here heads stand second.
/// Heads that share a key head are rows of one product: h = g * (h / g) makes
/// this a reshape.
template <typename OpTy> struct Parts {
  Composer c;
  OpTy op;
  Value query, key, value; ///< widened, query as [b, g, h / g * s, d]
  int64_t b, h, s, d, g, t, e, rows;
  double scale;
  /// Whether a row may see nothing.
  bool maySeeNothing;

  Parts(OpBuilder &builder, OpTy op) : c(builder, op), op(op) {
    HeadLayout layout = op.getLayout();
    SmallVector<int64_t> q = turnHeads(getTensorType(op.getQuery()).getShape(),
                                       layout),
                         v = turnHeads(getTensorType(op.getValue()).getShape(),
                                       layout);
    b = q[0], h = q[1], s = q[2], d = q[3], g = v[1], t = v[2], e = v[3];
    rows = g ? h / g * s : s;
    scale = op.getScale() ? op.getScale()->convertToDouble()
                          : 1.0 / std::sqrt(double(std::max<int64_t>(d, 1)));
    maySeeNothing = op.getMask() || (op.getCausal() && s > t) || t == 0;
    query = reshape(c.widen(turn(op.getQuery())), {b, g, rows, d});
    key = c.widen(turn(op.getKey()));
    value = c.widen(turn(op.getValue()));
  }

  /// From the op's layout to heads second, or back.
  Value turn(Value x) {
    if (op.getLayout() == HeadLayout::heads_second)
      return x;
    auto order =
        llvm::to_vector(llvm::seq<int64_t>(0, getTensorType(x).getRank()));
    return c.template make<TransposeOp>(
        x, turnHeads<int64_t>(order, op.getLayout()));
  }

  static bool areStatic(OpTy op) {
    return getTensorType(op.getQuery()).hasStaticShape() &&
           getTensorType(op.getKey()).hasStaticShape() &&
           getTensorType(op.getValue()).hasStaticShape();
  }

  Value reshape(Value x, ArrayRef<int64_t> to) {
    if (getTensorType(x).getShape() == to)
      return x;
    Value result = c.template make<ReshapeOp>(x, to);
    result.getDefiningOp<ReshapeOp>().setAllowZero(llvm::is_contained(to, 0));
    return result;
  }
  Value number(double value) {
    return c.constant(getTensorType(query).getElementType(), value);
  }
  Value matmul(Value lhs, Value rhs, bool transposeLhs, bool transposeRhs) {
    return c.template make<MatmulOp>(lhs, rhs, transposeLhs, transposeRhs);
  }
  Value infinity() { return number(-std::numeric_limits<double>::infinity()); }

  /// Scores [b, h, s, t], with -infinity where a row may not look.
  Value scores() {
    Value scores = reshape(matmul(query, key, false, true), {b, h, s, t});
    scores = c.template make<MulOp>(scores, number(scale));
    if (Value mask = op.getMask()) {
      if (getTensorType(mask).getElementType().isInteger(1))
        scores = c.template make<SelectOp>(mask, scores, infinity());
      else
        scores = c.template make<AddOp>(scores, c.widen(mask));
    }
    if (!op.getCausal())
      return scores;
    Type i64 = IntegerType::get(op.getContext(), 64);
    Value row = c.template make<IotaOp>(ArrayRef<int64_t>{s, 1}, 0, i64);
    Value column = c.template make<IotaOp>(ArrayRef<int64_t>{1, t}, 1, i64);
    Value lastSeen = c.template make<AddOp>(row, c.constant(i64, t - s));
    Value sees =
        c.template make<CompareOp>(ComparePredicate::le, column, lastSeen);
    return c.template make<SelectOp>(sees, scores, infinity());
  }

  /// weights x values, as the op's result.
  Value result(Value weights) {
    Value result =
        matmul(reshape(weights, {b, g, rows, t}), value, false, false);
    return c.cast(turn(reshape(result, {b, h, s, e})),
                  getTensorType(op.getQuery()).getElementType());
  }

  /// A value per row, [b, h, s, 1], of one that is [b, h, s].
  Value perRow(Value value) {
    return c.template make<UnsqueezeOp>(value, ArrayRef<int64_t>{3});
  }
};

/// A softmax over the last dim that gives zeros where all scores are -infinity.
struct SoftmaxOrZero {
  Value seesNothing, shift, sum, weights; ///< the first where it may happen

  template <typename OpTy> SoftmaxOrZero(Parts<OpTy> &p, Value scores) {
    Composer &c = p.c;
    SmallVector<int64_t> axes{3};
    shift = c.make<ReduceMaxOp>(scores, axes, /*keepdims=*/true);
    if (p.maySeeNothing) {
      seesNothing =
          c.make<CompareOp>(ComparePredicate::eq, shift, p.infinity());
      shift = c.make<SelectOp>(seesNothing, p.number(0), shift);
    }
    Value exp = c.make<ExpOp>(c.make<SubOp>(scores, shift));
    sum = c.make<ReduceSumOp>(exp, axes, /*keepdims=*/true);
    if (p.maySeeNothing)
      sum = c.make<SelectOp>(seesNothing, p.number(1), sum);
    weights = c.make<DivOp>(exp, sum);
  }
};

/// The weights, and the gradient of the scores: [b, h, s, t].
struct ScoreGradient {
  Value weights, scores, cotangent; ///< the last as [b, g, h / g * s, e]

  explicit ScoreGradient(Parts<AttentionBackwardOp> &p) {
    Composer &c = p.c;
    Value logSumExp = p.perRow(p.op.getLogSumExp()),
          delta = p.perRow(p.turn(p.op.getDelta()));
    weights = c.make<ExpOp>(c.make<SubOp>(p.scores(), logSumExp));
    cotangent = p.reshape(c.widen(p.turn(p.op.getCotangent())),
                          {p.b, p.g, p.rows, p.e});
    Value inner = p.reshape(p.matmul(cotangent, p.value, false, true),
                            {p.b, p.h, p.s, p.t});
    scores = c.make<MulOp>(weights, c.make<SubOp>(inner, delta));
  }
};
} // namespace

FailureOr<SmallVector<Value>> AttentionOp::decompose(OpBuilder &builder) {
  using P = Parts<AttentionOp>;
  if (!P::areStatic(*this))
    return failure();
  P p(builder, *this);
  Value scores = p.scores();
  Value weights = p.maySeeNothing ? SoftmaxOrZero(p, scores).weights
                                  : p.c.make<SoftmaxOp>(scores);
  return SmallVector<Value>{p.result(weights)};
}

FailureOr<SmallVector<Value>>
AttentionOp::decomposeForGradient(OpBuilder &builder) {
  auto training = builder.create<AttentionTrainingOp>(
      getLoc(), getQuery(), getKey(), getValue(), getMask(), getScaleAttr(),
      getCausalAttr(), getLayoutAttr());
  return SmallVector<Value>{training.getResult()};
}

LogicalResult AttentionTrainingOp::canonicalize(AttentionTrainingOp op,
                                                PatternRewriter &rewriter) {
  if (!op.getLogSumExp().use_empty())
    return rewriter.notifyMatchFailure(op, "its log_sum_exp is read");
  auto attention = rewriter.create<AttentionOp>(
      op.getLoc(), op.getQuery(), op.getKey(), op.getValue(), op.getMask(),
      op.getScaleAttr(), op.getCausalAttr(), op.getLayoutAttr());
  rewriter.replaceAllUsesWith(op.getResult(), attention.getResult());
  rewriter.eraseOp(op);
  return success();
}

FailureOr<SmallVector<Value>>
AttentionTrainingOp::decompose(OpBuilder &builder) {
  using P = Parts<AttentionTrainingOp>;
  if (!P::areStatic(*this))
    return failure();
  P p(builder, *this);
  SoftmaxOrZero softmax(p, p.scores());
  Value logSumExp =
      p.c.make<AddOp>(softmax.shift, p.c.make<LogOp>(softmax.sum));
  logSumExp = p.reshape(logSumExp, {p.b, p.h, p.s});
  return SmallVector<Value>{p.result(softmax.weights), logSumExp};
}

Value AttentionBackwardOp::buildScoreGradient(OpBuilder &builder) {
  Parts<AttentionBackwardOp> p(builder, *this);
  return ScoreGradient(p).scores;
}

FailureOr<SmallVector<Value>>
AttentionBackwardOp::decompose(OpBuilder &builder) {
  using P = Parts<AttentionBackwardOp>;
  if (!P::areStatic(*this))
    return failure();
  P p(builder, *this);
  Composer &c = p.c;
  ScoreGradient gradient(p);
  Value weights = p.reshape(gradient.weights, {p.b, p.g, p.rows, p.t});
  Value scaled = c.make<MulOp>(gradient.scores, p.number(p.scale));
  scaled = p.reshape(scaled, {p.b, p.g, p.rows, p.t});
  Type element = getTensorType(getQuery()).getElementType();
  Value dQuery =
      p.reshape(p.matmul(scaled, p.key, false, false), {p.b, p.h, p.s, p.d});
  Value dKey = p.matmul(scaled, p.query, true, false);
  Value dValue = p.matmul(weights, gradient.cotangent, true, false);
  SmallVector<Value> results;
  for (Value gradient : {dQuery, dKey, dValue})
    results.push_back(p.turn(c.cast(gradient, element)));
  return results;
}

} // namespace lathe

#define GET_OP_CLASSES
#include "dialects/Lathe/Attention.cpp.inc"

void lathe::LatheDialect::addAttentionOps() {
  addOperations<
#define GET_OP_LIST
#include "dialects/Lathe/Attention.cpp.inc"
      >();
}
