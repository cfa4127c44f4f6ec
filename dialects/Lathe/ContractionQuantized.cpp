//===- ContractionQuantized.cpp - Matrix products of quantized numbers ----===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/QuantizedProduct.h"

namespace lathe {

/// Whether the op computes in floats, so that there is something to quantize.
static bool isOfFloats(Operation *op, std::string &whyNot) {
  Type element = getTensorType(op->getResult(0)).getElementType();
  if (!isa<FloatType>(element)) {
    llvm::raw_string_ostream(whyNot)
        << "computes in '" << element << "', not in floats";
    return false;
  }
  return true;
}

/// The integers' sum over `axis`, which stays with size 1.
static Value sumOver(Composer &c, Value quantized, int64_t axis) {
  Type i32 = IntegerType::get(quantized.getContext(), 32);
  return c.make<ReduceSumOp>(c.cast(quantized, i32), ArrayRef<int64_t>(axis),
                             /*keepdims=*/true);
}

//===----------------------------------------------------------------------===//
// matmul
//===----------------------------------------------------------------------===//

/// The axis that `matmul` sums over.
static int64_t depthAxis(Value operand, bool isLast) {
  return getTensorType(operand).getRank() - (isLast ? 1 : 2);
}

SmallVector<QuantizableOperand>
MatmulOp::getQuantizableOperands(std::string &whyNot) {
  if (!isOfFloats(*this, whyNot))
    return {};
  return {{0, false, {depthAxis(getLhs(), !getTransposeLhs())}},
          {1, true, {depthAxis(getRhs(), getTransposeRhs())}}};
}

FailureOr<SmallVector<Value>>
MatmulOp::buildQuantized(OpBuilder &builder,
                         ArrayRef<QuantizedOperand> operands,
                         std::string &whyNot) {
  SmallVector<QuantizableOperand> places = getQuantizableOperands(whyNot);
  if (places.empty() || failed(checkBytes(operands, whyNot)))
    return failure();
  Composer c(builder, *this);
  bool turned[] = {getTransposeLhs(), getTransposeRhs()};
  // Along the sum the size is 1, so that turning moves no data.
  auto turn = [&](Value value, unsigned side) {
    SmallVector<int64_t> shape(getTensorType(value).getShape());
    if (shape.empty() || !turned[side])
      return value;
    std::swap(shape[shape.size() - 1], shape[shape.size() - 2]);
    return c.make<ReshapeOp>(value, shape);
  };
  Value scales[2], zeroPoints[2];
  if (failed(alignParameters(c, operands, places, scales, zeroPoints, whyNot)))
    return failure();
  for (unsigned i : {0, 1}) {
    scales[i] = turn(scales[i], i);
    zeroPoints[i] = turn(zeroPoints[i], i);
  }
  Value lhs = operands[0].quantized, rhs = operands[1].quantized;
  auto sumLhs = [&] {
    return turn(sumOver(c, lhs, places[0].reducedAxes[0]), 0);
  };
  auto sumRhs = [&] {
    return turn(sumOver(c, rhs, places[1].reducedAxes[0]), 1);
  };
  Value sum = c.make<MatmulOp>(lhs, rhs, turned[0], turned[1]);
  int64_t depth = getTensorType(lhs).getDimSize(places[0].reducedAxes[0]);
  return SmallVector<Value>{
      finishProduct(c, sum, {scales[0], zeroPoints[0], sumLhs},
                    {scales[1], zeroPoints[1], sumRhs}, depth,
                    getTensorType(getResult()).getElementType())};
}

//===----------------------------------------------------------------------===//
// linear
//===----------------------------------------------------------------------===//

SmallVector<QuantizableOperand>
LinearOp::getQuantizableOperands(std::string &whyNot) {
  if (!isOfFloats(*this, whyNot))
    return {};
  return {{0, false, {getTensorType(getInput()).getRank() - 1}},
          {1, true, {1}}};
}

FailureOr<SmallVector<Value>>
LinearOp::buildQuantized(OpBuilder &builder,
                         ArrayRef<QuantizedOperand> operands,
                         std::string &whyNot) {
  SmallVector<QuantizableOperand> places = getQuantizableOperands(whyNot);
  if (places.empty() || failed(checkBytes(operands, whyNot)))
    return failure();
  Composer c(builder, *this);
  Value input = operands[0].quantized, weight = operands[1].quantized;
  int64_t n = getTensorType(weight).getDimSize(0),
          k = getTensorType(weight).getDimSize(1);
  // [n, 1] becomes [n], as the result's last dim.
  auto flat = [&](Value value) {
    return getTensorType(value).getRank() == 2
               ? c.make<ReshapeOp>(value, ArrayRef<int64_t>(n))
               : value;
  };
  Value scales[2], zeroPoints[2];
  if (failed(alignParameters(c, operands, places, scales, zeroPoints, whyNot)))
    return failure();
  auto sumInput = [&] { return sumOver(c, input, places[0].reducedAxes[0]); };
  auto sumWeight = [&] { return flat(sumOver(c, weight, 1)); };
  Value sum = c.make<LinearOp>(input, weight, Value());
  Value result =
      finishProduct(c, sum, {scales[0], zeroPoints[0], sumInput},
                    {flat(scales[1]), flat(zeroPoints[1]), sumWeight}, k,
                    getTensorType(getResult()).getElementType());
  if (getBias())
    result = c.make<AddOp>(result, getBias());
  return SmallVector<Value>{result};
}

} // namespace lathe
