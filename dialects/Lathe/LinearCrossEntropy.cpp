//===- LinearCrossEntropy.cpp - A loss without its logits -----------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Vjp.h"

namespace lathe {

/// What gradients are computed in: f32 for 16-bit floats.
static Type getWide(Type element) {
  return element.getIntOrFloatBitWidth() < 32
             ? Type(Float32Type::get(element.getContext()))
             : element;
}

LogicalResult LinearCrossEntropyOp::inferReturnTypes(
    MLIRContext *, std::optional<Location> location, Adaptor adaptor,
    SmallVectorImpl<Type> &results) {
  Site site{location, getOperationName()};
  auto input = rankedOperand(site, adaptor.getInput(), "an input", 1);
  auto weight = rankedOperand(site, adaptor.getWeight(), "a weight", 2,
                              /*exactly=*/true);
  auto labels = rankedOperand(site, adaptor.getLabels(), "labels", 0);
  if (failed(input) || failed(weight) || failed(labels))
    return failure();
  if (failed(verifyCompatibleShape(input->getShape().drop_back(),
                                   labels->getShape())))
    return inferenceError(site,
                          "expected labels of shape " +
                              shapeText(input->getShape().drop_back()) +
                              ", as the input without its last dim, got " +
                              shapeText(labels->getShape()));
  if (!sizesAgree(input->getShape().back(), weight->getDimSize(1)))
    return inferenceError(site, "expected a weight of shape [classes, " +
                                    Twine(input->getShape().back()) +
                                    "], got " + shapeText(weight->getShape()));
  Type wide = getWide(input->getElementType());
  results.push_back(RankedTensorType::get({}, wide));
  results.push_back(RankedTensorType::get(input->getShape(), wide));
  results.push_back(RankedTensorType::get(weight->getShape(), wide));
  if (Value bias = adaptor.getBias()) {
    auto type = rankedOperand(site, bias, "a bias", 1, /*exactly=*/true);
    if (failed(type))
      return failure();
    if (!sizesAgree(type->getDimSize(0), weight->getDimSize(0)))
      return inferenceError(site, "expected a bias of shape " +
                                      shapeText({weight->getDimSize(0)}) +
                                      ", got " + shapeText(type->getShape()));
    results.push_back(RankedTensorType::get(type->getShape(), wide));
  }
  return success();
}

LogicalResult LinearCrossEntropyOp::verify() {
  Type element = getTensorType(getInput()).getElementType();
  for (Value operand : {getWeight(), getBias()})
    if (operand && getTensorType(operand).getElementType() != element)
      return emitOpError("expected weight and bias of the input's elements ")
             << element << ", got " << getTensorType(operand).getElementType();
  if (getChunk() < 1)
    return emitOpError("expected a chunk of 1 row or more, got ") << getChunk();
  double smoothing = getLabelSmoothing().convertToDouble();
  if (!(smoothing >= 0.0 && smoothing <= 1.0))
    return emitOpError("expected label_smoothing from 0 to 1, got ")
           << smoothing;
  return success();
}

FusionKind LinearCrossEntropyOp::getFusionKind() { return FusionKind::Opaque; }

/// The gradient of the sum of the rows' losses by `logits` [rows, classes], as
/// in the rule of cross_entropy: softmax - target, 0 in rows that are not
/// `counted` (null where all are).
static Value buildLogitsGradient(VjpBuilder &b, LinearCrossEntropyOp op,
                                 Value softmax, Value labels, Value counted) {
  int64_t classes = getTensorType(softmax).getDimSize(1);
  Value index = b.make<IotaOp>(ArrayRef(classes), /*axis=*/0,
                               getTensorType(labels).getElementType());
  Value isLabel =
      b.compare(ComparePredicate::eq,
                b.make<UnsqueezeOp>(labels, ArrayRef<int64_t>(1)), index);
  double smoothing = op.getLabelSmoothing().convertToDouble();
  double floor = smoothing / double(classes);
  Value target = b.select(isLabel, b.number(1.0 - smoothing + floor, softmax),
                          b.number(floor, softmax));
  Value d = b.sub(softmax, target);
  if (counted)
    d = b.select(b.make<UnsqueezeOp>(counted, ArrayRef<int64_t>(1)), d,
                 b.number(0, d));
  return d;
}

/// Which of `labels` count; null where all do.
static Value buildCounted(VjpBuilder &b, LinearCrossEntropyOp op,
                          Value labels) {
  std::optional<int64_t> ignored = op.getIgnoreIndex();
  if (!ignored)
    return Value();
  return b.compare(
      ComparePredicate::ne, labels,
      b.constant(getTensorType(labels).getElementType(), *ignored));
}

/// How many rows count, as a rank-0 float; `counted` may be null.
static Value buildCount(VjpBuilder &b, LinearCrossEntropyOp op, Value counted) {
  Type wide = getWide(getTensorType(op.getInput()).getElementType());
  if (counted)
    return b.make<ReduceSumOp>(b.cast(counted, wide), ArrayRef<int64_t>());
  return b.constant(wide,
                    double(getTensorType(op.getLabels()).getNumElements()));
}

/// 1 / count, by which the gradients of the rows' losses are those of their
/// mean. Where no row counts they are 0, as those of cross_entropy.
static Value buildShare(VjpBuilder &b, LinearCrossEntropyOp op, Value count) {
  int64_t numRows = getTensorType(op.getLabels()).getNumElements();
  if (!op.getIgnoreIndex())
    return b.number(1.0 / double(std::max<int64_t>(1, numRows)), count);
  return b.div(b.number(1, count), b.make<MaxOp>(count, b.number(1, count)));
}

namespace {
/// Builds the loop over chunks of rows.
class ChunkedLoss {
public:
  ChunkedLoss(LinearCrossEntropyOp op, OpBuilder &builder)
      : op(op), builder(builder), b(builder, op),
        element(getTensorType(op.getInput()).getElementType()),
        wide(getWide(element)),
        width(getTensorType(op.getInput()).getShape().back()),
        classes(getTensorType(op.getWeight()).getDimSize(0)),
        numRows(getTensorType(op.getLabels()).getNumElements()),
        chunk(std::min<int64_t>(op.getChunk(), numRows)),
        trips((numRows + chunk - 1) / chunk),
        wantsGradients(llvm::any_of(op->getResults().drop_front(),
                                    [](Value v) { return !v.use_empty(); })) {}

  SmallVector<Value> build();

private:
  struct Part {
    Value loss, dInput, dWeight, dBias;
  };
  Part buildChunk(OpBuilder &inner, Value input, Value labels, Value counted,
                  Value share);
  /// `x` with its leading rows as chunks; rows of zeros fill the last one.
  Value cut(Value x);
  Value zeros(ArrayRef<int64_t> shape) {
    auto type = RankedTensorType::get(shape, wide);
    return b.make<ConstantOp>(
        type, DenseElementsAttr::get(type, builder.getFloatAttr(wide, 0.0)));
  }

  LinearCrossEntropyOp op;
  OpBuilder &builder;
  VjpBuilder b;
  Type element, wide;
  int64_t width, classes, numRows, chunk, trips;
  bool wantsGradients;
};
} // namespace

Value ChunkedLoss::cut(Value x) {
  auto type = getTensorType(x);
  SmallVector<int64_t> rest(type.getShape().drop_front());
  int64_t missing = trips * chunk - numRows;
  if (missing) {
    SmallVector<int64_t> low(type.getRank(), 0), high(type.getRank(), 0);
    high[0] = missing;
    x = b.make<PadOp>(x, Value(), low, high);
  }
  SmallVector<int64_t> shape{trips, chunk};
  llvm::append_range(shape, rest);
  return b.reshape(x, shape);
}

/// The sum of the losses of one chunk's rows, and `share` of its gradients:
/// that is a factor behind the products, as f16 may not hold a share of the
/// logits' gradients.
ChunkedLoss::Part ChunkedLoss::buildChunk(OpBuilder &inner, Value input,
                                          Value labels, Value counted,
                                          Value share) {
  VjpBuilder c(inner, op.getLoc());
  Part part;
  Value logits = c.widen(c.make<LinearOp>(input, op.getWeight(), op.getBias()));
  Value losses = c.make<CrossEntropyOp>(logits, labels, LossReduction::none,
                                        IntegerAttr(), op.getLabelSmoothing());
  if (counted)
    losses = c.select(counted, losses, c.number(0, losses));
  part.loss = c.make<ReduceSumOp>(losses, ArrayRef<int64_t>());
  if (!wantsGradients)
    return part;
  Value d = buildLogitsGradient(c, op, c.make<SoftmaxOp>(logits, /*axis=*/1),
                                labels, counted);
  Value narrow = c.cast(d, element);
  auto product = [&](Value x, Value y, bool transposeLhs) {
    return c.mul(c.cast(c.make<MatmulOp>(x, y, transposeLhs,
                                         /*transpose_rhs=*/false),
                        wide),
                 share);
  };
  part.dInput = product(narrow, op.getWeight(), /*transposeLhs=*/false);
  if (!op.getDWeight().use_empty())
    part.dWeight = product(narrow, input, /*transposeLhs=*/true);
  if (op.getBias() && !op.getDBias().use_empty())
    part.dBias = c.mul(c.sum(d, {0}, /*keepdims=*/false), share);
  return part;
}

SmallVector<Value> ChunkedLoss::build() {
  Location loc = op.getLoc();
  Value rows = b.reshape(op.getInput(), {numRows, width});
  Value labels = b.reshape(op.getLabels(), {numRows});
  Value counted = buildCounted(b, op, labels);
  Value count = buildCount(b, op, counted), share = buildShare(b, op, count);
  if (!counted && trips * chunk != numRows)
    counted = b.make<ConstantOp>(
        RankedTensorType::get({numRows}, builder.getI1Type()),
        DenseElementsAttr::get(
            RankedTensorType::get({numRows}, builder.getI1Type()), true));

  SmallVector<Value> inputs{cut(rows), cut(labels)}, inits;
  if (counted)
    inputs.push_back(cut(counted));
  bool hasWeight = !op.getDWeight().use_empty();
  bool hasBias = op.getBias() && !op.getDBias().use_empty();
  SmallVector<int64_t> weightShape{classes, width};
  if (hasWeight)
    inits.push_back(zeros(weightShape));
  if (hasBias)
    inits.push_back(zeros({classes}));

  Region region;
  Block *body = new Block();
  region.push_back(body);
  for (Value init : inits)
    body->addArgument(init.getType(), loc);
  for (Value input : inputs) {
    auto type = getTensorType(input);
    body->addArgument(type.clone(type.getShape().drop_front()), loc);
  }
  // The region has no op yet, from which a builder could take the context.
  OpBuilder inner(builder.getContext());
  inner.setInsertionPointToEnd(body);
  auto slices = body->getArguments().drop_front(inits.size());
  Part part = buildChunk(inner, slices[0], slices[1],
                         counted ? slices[2] : Value(), share);
  VjpBuilder c(inner, loc);
  SmallVector<Value> yields;
  if (hasWeight)
    yields.push_back(c.add(body->getArgument(0), part.dWeight));
  if (hasBias)
    yields.push_back(c.add(body->getArgument(hasWeight), part.dBias));
  yields.push_back(part.loss);
  if (part.dInput)
    yields.push_back(part.dInput);
  inner.create<YieldOp>(loc, yields);

  SmallVector<Type> types;
  for (auto [i, value] : llvm::enumerate(yields)) {
    auto type = getTensorType(value);
    SmallVector<int64_t> shape(type.getShape());
    if (i >= inits.size())
      shape.insert(shape.begin(), trips);
    types.push_back(type.clone(shape));
  }
  auto scan = builder.create<ScanOp>(loc, types, inits, inputs, IntegerAttr(),
                                     /*reverse=*/false);
  scan.getBody().takeBody(region);

  auto stacked = scan.getResults().drop_front(inits.size());
  Value loss =
      b.div(b.make<ReduceSumOp>(stacked[0], ArrayRef<int64_t>()), count);
  SmallVector<Value> results{loss};
  if (part.dInput) {
    Value dRows = b.reshape(stacked[1], {trips * chunk, width});
    if (trips * chunk != numRows)
      dRows = b.make<SliceOp>(dRows, ArrayRef<int64_t>(0), ArrayRef(numRows),
                              ArrayRef<int64_t>(0), ArrayRef<int64_t>());
    results.push_back(
        b.reshape(dRows, getTensorType(op.getInput()).getShape()));
  } else {
    results.push_back(zeros(getTensorType(op.getInput()).getShape()));
  }
  results.push_back(hasWeight ? scan.getResult(0) : zeros(weightShape));
  if (op.getBias())
    results.push_back(hasBias ? scan.getResult(hasWeight) : zeros({classes}));
  return results;
}

/// Without rows or classes: what cross_entropy gives (NaN, a mean of none), and
/// gradients of 0.
static SmallVector<Value> buildWithoutRows(LinearCrossEntropyOp op,
                                           OpBuilder &builder) {
  VjpBuilder b(builder, op);
  Value logits =
      b.widen(b.make<LinearOp>(op.getInput(), op.getWeight(), op.getBias()));
  SmallVector<Value> results{
      b.make<CrossEntropyOp>(logits, op.getLabels(), LossReduction::mean,
                             op.getIgnoreIndexAttr(), op.getLabelSmoothing())};
  for (Value gradient : op->getResults().drop_front())
    results.push_back(b.zerosLike(gradient));
  return results;
}

FailureOr<SmallVector<Value>>
LinearCrossEntropyOp::decompose(OpBuilder &builder) {
  for (Value operand : getOperands())
    if (!getTensorType(operand).hasStaticShape())
      return failure();
  if (getTensorType(getLabels()).getNumElements() == 0 ||
      getTensorType(getWeight()).getDimSize(0) == 0)
    return buildWithoutRows(*this, builder);
  return ChunkedLoss(*this, builder).build();
}

/// What flows to the gradients d_... flows on, as in a second derivative. They
/// are d weight, d^T input and the sum of d's rows, for the loss's gradient d
/// by the logits, which depends on them through softmax alone. All logits are
/// in memory here.
static void addSecondOrder(VjpBuilder &b, OpBuilder &builder,
                           LinearCrossEntropyOp op, ValueRange cotangents,
                           Value &gInput, Value &gWeight, Value &gBias) {
  auto inputType = getTensorType(op.getInput());
  int64_t width = inputType.getShape().back();
  int64_t numRows = getTensorType(op.getLabels()).getNumElements();
  auto plus = [&](Value sum, Value term) {
    return sum ? b.add(sum, term) : term;
  };
  auto product = [&](Value x, Value y, bool transposeLhs) {
    return b.make<MatmulOp>(x, y, transposeLhs, /*transpose_rhs=*/false);
  };
  Value x = b.reshape(b.widen(op.getInput()), {numRows, width});
  Value w = b.widen(op.getWeight());
  Value bias = op.getBias() ? b.widen(op.getBias()) : Value();
  Value labels = b.reshape(op.getLabels(), {numRows});
  Value counted = buildCounted(b, op, labels);
  auto softmax = builder.create<SoftmaxOp>(
      op.getLoc(), b.make<LinearOp>(x, w, bias), /*axis=*/1);
  Value share = buildShare(b, op, buildCount(b, op, counted));
  Value d = b.mul(buildLogitsGradient(b, op, softmax, labels, counted), share);

  Value ofInput, ofRows; // of the gradient d_input, by row; of d
  if (cotangents[1]) {
    ofInput = b.reshape(cotangents[1], {numRows, width});
    ofRows = b.make<LinearOp>(ofInput, w, Value());
  }
  if (cotangents[2])
    ofRows = plus(ofRows, b.make<LinearOp>(x, cotangents[2], Value()));
  if (op.getBias() && cotangents[3])
    ofRows =
        plus(ofRows, b.broadcast(cotangents[3], getTensorType(d).getShape()));
  if (counted)
    ofRows = b.select(b.make<UnsqueezeOp>(counted, ArrayRef<int64_t>(1)),
                      ofRows, b.number(0, ofRows));
  Value ofLogits = (*softmax.buildVjp(builder, b.mul(ofRows, share)))[0];

  Value byInput = product(ofLogits, w, /*transposeLhs=*/false);
  if (cotangents[2])
    byInput = b.add(byInput, product(d, cotangents[2], /*transposeLhs=*/false));
  gInput = plus(gInput, b.reshape(byInput, inputType.getShape()));
  gWeight = plus(gWeight, product(ofLogits, x, /*transposeLhs=*/true));
  if (ofInput)
    gWeight = b.add(gWeight, product(d, ofInput, /*transposeLhs=*/true));
  if (bias)
    gBias = plus(gBias, b.sum(ofLogits, {0}, /*keepdims=*/false));
}

// The gradients are there already; the cotangent, 1 where nothing is behind the
// loss, scales them.
Gradients LinearCrossEntropyOp::buildVjp(OpBuilder &builder,
                                         ValueRange cotangents) {
  VjpBuilder b(builder, *this);
  Value gInput, gWeight, gBias;
  if (Value g = cotangents[0]) {
    gInput = b.mul(getDInput(), g);
    gWeight = b.mul(getDWeight(), g);
    if (getBias())
      gBias = b.mul(getDBias(), g);
  }
  if (llvm::any_of(cotangents.drop_front(),
                   [](Value g) { return g != nullptr; }))
    addSecondOrder(b, builder, *this, cotangents, gInput, gWeight, gBias);
  SmallVector<Value> gradients{b.gradientOf(getInput(), gInput),
                               b.gradientOf(getWeight(), gWeight), Value()};
  if (getBias())
    gradients.push_back(b.gradientOf(getBias(), gBias));
  return gradients;
}

} // namespace lathe
