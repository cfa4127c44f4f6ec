//===- Quantization.cpp - Quantize and dequantize -------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/LayoutRules.h"
#include "dialects/Lathe/QuantizedProduct.h"
#include "dialects/Lathe/Vjp.h"

#include "mlir/Dialect/Quant/QuantTypes.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"

namespace lathe {

//===----------------------------------------------------------------------===//
// Shapes and types
//===----------------------------------------------------------------------===//

/// Checks scale and zero point: of one shape, which goes with the input's.
template <typename OpTy>
static LogicalResult inferQuantization(std::optional<Location> location,
                                       typename OpTy::Adaptor adaptor,
                                       Type element,
                                       SmallVectorImpl<Type> &results) {
  auto input = dyn_cast<RankedTensorType>(adaptor.getInput().getType());
  auto scale = dyn_cast<RankedTensorType>(adaptor.getScale().getType());
  auto zero = dyn_cast<RankedTensorType>(adaptor.getZeroPoint().getType());
  if (!input || !scale || !zero)
    return inferenceError<OpTy>(location, "expected ranked tensors");
  int64_t rank = input.getRank(), group = adaptor.getGroup();
  ArrayRef<int64_t> sizes = scale.getShape();
  if (zero.getRank() != scale.getRank() ||
      !llvm::all_of(llvm::zip_equal(sizes, zero.getShape()), [](auto pair) {
        return sizesAgree(std::get<0>(pair), std::get<1>(pair));
      }))
    return inferenceError<OpTy>(
        location, "expected scale and zero point of one shape, got " +
                      shapeText(sizes) + " and " + shapeText(zero.getShape()));
  if (group < 0)
    return inferenceError<OpTy>(
        location, "expected 'group' of 0 or more, got " + Twine(group));
  if (group > 0 ? scale.getRank() != rank
                : scale.getRank() > 1 && scale.getRank() != rank)
    return inferenceError<OpTy>(
        location, "expected a scale of rank " +
                      (group > 0 ? Twine(rank) + ", as the input, with 'group'"
                                 : "0, 1 or " + Twine(rank) + ", as the input")
                          .str() +
                      ", got rank " + Twine(scale.getRank()));
  SmallVector<int64_t> shape(input.getShape());
  int64_t axis = 0;
  if (scale.getRank() == 1 || group > 0) {
    FailureOr<int64_t> normal = normalizeAxis(adaptor.getAxis(), rank);
    if (failed(normal))
      return axisError<OpTy>(location, rank, adaptor.getAxis());
    axis = *normal;
  }
  auto mismatch = [&](ArrayRef<int64_t> expected, const Twine &why) {
    return inferenceError<OpTy>(
        location, "expected scale and zero point of shape " +
                      shapeText(expected) + why + ", got " + shapeText(sizes));
  };
  if (scale.getRank() == 1 && group == 0) {
    // Of an input of rank 1, either form.
    if (!sizesAgree(sizes[0], shape[axis]) && !(rank == 1 && sizes[0] == 1))
      return mismatch(shape[axis],
                      ", as axis " + Twine(axis) + " of the input");
    if (sizes[0] != 1)
      shape[axis] = mergeSizes(shape[axis], sizes[0]);
  } else if (scale.getRank() != 0) {
    SmallVector<int64_t> expected(shape);
    if (group > 0 && !ShapedType::isDynamic(shape[axis]))
      expected[axis] = llvm::divideCeil(shape[axis], group);
    else if (group > 0)
      expected[axis] = ShapedType::kDynamic;
    for (int64_t i = 0; i < rank; ++i)
      if (!sizesAgree(sizes[i], expected[i]) &&
          (sizes[i] != 1 || (group > 0 && i == axis)))
        return mismatch(expected, " (or 1 in dims without 'group')");
  }
  results.push_back(RankedTensorType::get(shape, element));
  return success();
}

/// The numbers that `storage` names must be numbers of `element`.
static LogicalResult checkStorage(Operation *op, Type element,
                                  std::optional<Type> storage) {
  if (element.isInteger(1))
    return op->emitOpError("expected a zero point of an integer type, got i1");
  if (!storage)
    return success();
  auto type = dyn_cast<quant::AnyQuantizedType>(*storage);
  if (!type)
    return op->emitOpError("expected 'storage' of a type !quant.any, got ")
           << *storage;
  if (isa<FloatType>(element))
    return op->emitOpError("expected no 'storage' beside a zero point of ")
           << element << ", got " << *storage;
  StorageRange all = getStorageRange(element, TypeAttr());
  if (type.isSigned() == element.isUnsignedInteger() ||
      type.getStorageTypeMin() < all.low || type.getStorageTypeMax() > all.high)
    return op->emitOpError("expected 'storage' of numbers that are ")
           << element << ", got " << *storage;
  return success();
}

template <typename OpTy> static LogicalResult verifyFloatInput(OpTy op) {
  Type input = getTensorType(op.getInput()).getElementType();
  Type scale = getTensorType(op.getScale()).getElementType();
  if (input != scale)
    return op.emitOpError("expected a scale of the input's element type ")
           << input << ", got " << scale;
  return checkStorage(op, getTensorType(op.getZeroPoint()).getElementType(),
                      op.getStorage());
}

LogicalResult QuantizeOp::inferReturnTypes(MLIRContext *,
                                           std::optional<Location> location,
                                           Adaptor adaptor,
                                           SmallVectorImpl<Type> &results) {
  return inferQuantization<QuantizeOp>(
      location, adaptor, getElementTypeOrSelf(adaptor.getZeroPoint().getType()),
      results);
}
LogicalResult QuantizeOp::verify() { return verifyFloatInput(*this); }

LogicalResult DequantizeOp::inferReturnTypes(MLIRContext *,
                                             std::optional<Location> location,
                                             Adaptor adaptor,
                                             SmallVectorImpl<Type> &results) {
  return inferQuantization<DequantizeOp>(
      location, adaptor, getElementTypeOrSelf(adaptor.getScale().getType()),
      results);
}
LogicalResult DequantizeOp::verify() {
  Type input = getTensorType(getInput()).getElementType();
  Type zero = getTensorType(getZeroPoint()).getElementType();
  if (input != zero)
    return emitOpError("expected a zero point of the input's element type ")
           << input << ", got " << zero;
  if (input.isInteger(1))
    return emitOpError("expected an input of an integer type, got i1");
  return checkStorage(*this, input, getStorage());
}

LogicalResult FakeQuantizeOp::inferReturnTypes(MLIRContext *,
                                               std::optional<Location> location,
                                               Adaptor adaptor,
                                               SmallVectorImpl<Type> &results) {
  return inferQuantization<FakeQuantizeOp>(
      location, adaptor, getElementTypeOrSelf(adaptor.getInput().getType()),
      results);
}
LogicalResult FakeQuantizeOp::verify() { return verifyFloatInput(*this); }

FusionKind QuantizeOp::getFusionKind() { return FusionKind::Opaque; }
// Bytes are read twice as well as once.
bool DequantizeOp::isCheapToRepeat() { return true; }
SmallVector<SmallVector<unsigned, 2>> DequantizeOp::getScalableOperands() {
  return {{getScaleMutable().getOperandNumber()}};
}

FusionKind DequantizeOp::getFusionKind() { return FusionKind::Opaque; }
FusionKind FakeQuantizeOp::getFusionKind() { return FusionKind::Opaque; }

//===----------------------------------------------------------------------===//
// Layout: the axis moves with the dims, and so do scales of the input's rank
//===----------------------------------------------------------------------===//

template <typename OpTy>
static FailureOr<ValueLayouts> followLayout(OpTy op, Value value,
                                            AffineMap layout) {
  int64_t rank = getTensorType(op.getInput()).getRank();
  bool isWhole = getTensorType(op.getScale()).getRank() == rank;
  if (!isWhole && (value == op.getScale() || value == op.getZeroPoint()))
    return failure();
  return sameLayouts(op, isWhole ? 3 : 1, layout);
}

template <typename OpTy>
static void moveAxis(OpTy op, const ValueLayouts &layouts) {
  int64_t rank = getTensorType(op.getInput()).getRank();
  if (succeeded(normalizeAxis(op.getAxis(), rank)))
    op.setAxis(storedAxis(layouts.results[0], op.getAxis()));
}

#define LATHE_QUANTIZATION_LAYOUT(OP)                                          \
  FailureOr<ValueLayouts> OP::getLayouts(Value value, AffineMap layout) {      \
    return followLayout(*this, value, layout);                                 \
  }                                                                            \
  void OP::applyLayouts(const ValueLayouts &layouts) {                         \
    moveAxis(*this, layouts);                                                  \
  }
LATHE_QUANTIZATION_LAYOUT(QuantizeOp)
LATHE_QUANTIZATION_LAYOUT(DequantizeOp)
LATHE_QUANTIZATION_LAYOUT(FakeQuantizeOp)
#undef LATHE_QUANTIZATION_LAYOUT

//===----------------------------------------------------------------------===//
// Meaning
//===----------------------------------------------------------------------===//

/// A scale or zero point that broadcasts against an input of `shape`.
template <typename OpTy>
static Value spread(Composer &c, OpTy op, Value parameter) {
  ArrayRef<int64_t> shape = getTensorType(op.getInput()).getShape();
  int64_t rank = shape.size(), group = op.getGroup();
  auto type = getTensorType(parameter);
  if (type.getRank() == 0 || (group == 0 && type.getRank() == rank))
    return parameter;
  int64_t axis = *normalizeAxis(op.getAxis(), rank);
  // A group may be larger than all there is.
  group = std::min(group, std::max<int64_t>(shape[axis], 1));
  if (group == 0)
    return c.alongAxis(parameter, axis, rank);
  // Every element of a group gets its own copy; the last group may be short.
  SmallVector<int64_t> repeated(type.getShape());
  int64_t groups = repeated[axis];
  repeated.insert(repeated.begin() + axis + 1, group);
  Value copies = c.make<BroadcastOp>(
      c.make<UnsqueezeOp>(parameter, ArrayRef<int64_t>(axis + 1)), repeated);
  SmallVector<int64_t> joined(type.getShape());
  joined[axis] = groups * group;
  copies = c.make<ReshapeOp>(copies, joined);
  if (joined[axis] == shape[axis])
    return copies;
  return c.make<SliceOp>(copies, ArrayRef<int64_t>(0),
                         ArrayRef<int64_t>(shape[axis]),
                         ArrayRef<int64_t>(axis));
}

// The cast to the zero point's type saturates, and rounds where that is of
// floats.
template <typename OpTy> static Value quantize(Composer &c, OpTy op) {
  Value x = c.widen(op.getInput());
  Type element = getTensorType(x).getElementType(),
       stored = getTensorType(op.getZeroPoint()).getElementType();
  Value scale = spread(c, op, c.widen(op.getScale()));
  Value zero = spread(c, op, c.cast(op.getZeroPoint(), element));
  Value quotient = c.make<DivOp>(x, scale);
  if (isa<FloatType>(stored))
    return c.cast(isZeroConstant(op.getZeroPoint())
                      ? quotient
                      : c.make<AddOp>(quotient, zero),
                  stored);
  Value rounded = c.make<AddOp>(c.make<RoundOp>(quotient), zero);
  if (op.getStorage()) {
    StorageRange range = getStorageRange(stored, op.getStorageAttr());
    rounded = c.make<MaxOp>(rounded, c.constant(element, double(range.low)));
    rounded = c.make<MinOp>(rounded, c.constant(element, double(range.high)));
  }
  return c.cast(rounded, stored);
}

template <typename OpTy>
static Value dequantize(Composer &c, OpTy op, Value stored) {
  auto type = getTensorType(stored);
  Value scale = c.widen(op.getScale());
  Type element = getTensorType(scale).getElementType();
  // Below 32 bits the difference is exact in floats; above it is taken in i64.
  Type difference = type.getElementTypeBitWidth() < 32
                        ? element
                        : IntegerType::get(type.getContext(), 64);
  Value zero;
  if (!isa<FloatType>(type.getElementType()) ||
      !isZeroConstant(op.getZeroPoint()))
    zero = spread(c, op, c.cast(op.getZeroPoint(), difference));
  Value shifted = c.cast(stored, difference);
  if (zero)
    shifted = c.make<SubOp>(shifted, zero);
  shifted = c.cast(shifted, element);
  Value result = c.make<MulOp>(shifted, spread(c, op, scale));
  return c.cast(result, getTensorType(op.getScale()).getElementType());
}

FailureOr<SmallVector<Value>> QuantizeOp::decompose(OpBuilder &builder) {
  Composer c(builder, *this);
  return SmallVector<Value>{quantize(c, *this)};
}
FailureOr<SmallVector<Value>> DequantizeOp::decompose(OpBuilder &builder) {
  Composer c(builder, *this);
  return SmallVector<Value>{dequantize(c, *this, getInput())};
}
FailureOr<SmallVector<Value>> FakeQuantizeOp::decompose(OpBuilder &builder) {
  Composer c(builder, *this);
  return SmallVector<Value>{dequantize(c, *this, quantize(c, *this))};
}

LogicalResult quantizeBeforeMaximum(QuantizeOp op) {
  auto pool = op.getInput().getDefiningOp<MaxPoolOp>();
  DenseFPElementsAttr scale;
  if (!pool || op.getStorage() ||
      !getTensorType(op.getResult()).getElementType().isInteger(8) ||
      !matchPattern(op.getScale(), m_Constant(&scale)) || !scale.isSplat() ||
      op.getScale().getType().getRank() != 0 ||
      scale.getSplatValue<APFloat>().isNegative() ||
      !scale.getSplatValue<APFloat>().isFiniteNonZero())
    return failure();
  auto isQuantize = [](Operation *user) { return isa<QuantizeOp>(user); };
  if (!llvm::all_of(pool->getUsers(), isQuantize) ||
      !llvm::all_of(pool.getInput().getUsers(), [&](Operation *user) {
        return user == pool || isQuantize(user);
      }))
    return failure();
  OpBuilder builder(op);
  IRMapping mapping;
  mapping.map(op.getInput(), pool.getInput());
  auto moved = cast<QuantizeOp>(builder.clone(*op, mapping));
  Type element = getTensorType(op.getResult()).getElementType();
  moved.getResult().setType(getTensorType(pool.getInput()).clone(element));
  mapping.map(pool.getInput(), moved.getResult());
  auto result = cast<MaxPoolOp>(builder.clone(*pool, mapping));
  result.getResult().setType(op.getType());
  op.replaceAllUsesWith(result.getResult());
  op.erase();
  if (pool->use_empty())
    pool.erase();
  return success();
}

//===----------------------------------------------------------------------===//
// Gradient
//===----------------------------------------------------------------------===//

namespace {
/// fake_quantize without the rounding: (clamp(x / scale + zero) - zero) *
/// scale.
struct Clamped {
  Clamped(VjpBuilder &b, FakeQuantizeOp op) {
    Type element = getTensorType(op.getInput()).getElementType();
    scale = spread(b, op, op.getScale());
    zero = spread(b, op, b.cast(op.getZeroPoint(), element));
    place = b.add(b.div(op.getInput(), scale), zero);
    StorageRange range = getStorageRange(
        getTensorType(op.getZeroPoint()).getElementType(), op.getStorageAttr());
    low = b.constant(element, double(range.low));
    high = b.constant(element, double(range.high));
  }
  Value scale, zero, place, low, high;
};
} // namespace

/// The transpose of `spread`: the sum of what every number of `parameter` was
/// used for.
static Value sumBack(VjpBuilder &b, FakeQuantizeOp op, Value value,
                     Value parameter) {
  SmallVector<int64_t> shape(getTensorType(value).getShape());
  ArrayRef<int64_t> result = getTensorType(parameter).getShape();
  int64_t rank = shape.size(), group = op.getGroup();
  if (result.empty() || (group == 0 && int64_t(result.size()) == rank))
    return b.gradientOf(parameter, value);
  int64_t axis = *normalizeAxis(op.getAxis(), rank);
  SmallVector<int64_t> aligned(rank, 1);
  if (group == 0) {
    aligned[axis] = result[0];
    return b.reshape(b.sumTo(value, aligned), result);
  }
  aligned.assign(result.begin(), result.end());
  SmallVector<int64_t> low(rank, 0), high(rank, 0);
  high[axis] = result[axis] * group - shape[axis];
  if (high[axis] != 0)
    value = b.make<PadOp>(value, Value(), low, high);
  shape[axis] = result[axis];
  shape.insert(shape.begin() + axis + 1, group);
  aligned.insert(aligned.begin() + axis + 1, 1);
  return b.reshape(b.sumTo(b.reshape(value, shape), aligned), result);
}

bool FakeQuantizeOp::isInactiveOperand(unsigned index) { return index == 2; }

// x counts where it is inside of what the numbers reach, the scale where it is
// not: there the result is the last number times it.
Gradients FakeQuantizeOp::buildVjp(OpBuilder &builder, ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  Clamped c(b, *this);
  Value g = cotangents[0], none = b.number(0, g);
  Value isBelow = b.compare(ComparePredicate::lt, c.place, c.low),
        isAbove = b.compare(ComparePredicate::gt, c.place, c.high);
  Value forInput = b.select(isBelow, none, b.select(isAbove, none, g));
  auto end = [&](Value last) { return b.mul(g, b.sub(last, c.zero)); };
  Value forScale =
      b.select(isBelow, end(c.low), b.select(isAbove, end(c.high), none));
  return SmallVector<Value>{b.gradientOf(getInput(), forInput),
                            sumBack(b, *this, forScale, getScale()), Value()};
}

SmallVector<Value> FakeQuantizeOp::buildSurrogate(OpBuilder &builder) {
  VjpBuilder b(builder, *this);
  Clamped c(b, *this);
  Value inside = b.make<MinOp>(b.make<MaxOp>(c.place, c.low), c.high);
  return {b.mul(b.sub(inside, c.zero), c.scale)};
}

} // namespace lathe

#define GET_OP_CLASSES
#include "dialects/Lathe/Quantization.cpp.inc"

void lathe::LatheDialect::addQuantizationOps() {
  addOperations<
#define GET_OP_LIST
#include "dialects/Lathe/Quantization.cpp.inc"
      >();
}
