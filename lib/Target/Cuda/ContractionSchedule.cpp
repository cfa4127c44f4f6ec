//===- ContractionSchedule.cpp - Matrix products --------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A kernel of one `matmul` or `linear`, views before it and elementwise ops
// behind it, by the skeletons gemm_*.cuh.
//
//===----------------------------------------------------------------------===//

#include "ProductText.h"

namespace lathe::cuda {

namespace {
/// The product as sizes and digits; access is over {batch, row, k}.
struct Contraction {
  ProductSizes sizes;
  Access a, b;
  /// Of a weight in bytes, the scale's and the zero point's.
  Access scale, zeroPoint;
};
} // namespace

static int64_t count(ArrayRef<int64_t> sizes) {
  int64_t result = 1;
  for (int64_t size : sizes)
    result *= size;
  return result;
}

/// Scale and zero point of a right-hand side in bytes, read as that is by
/// `side`.
static bool
readParameters(const KernelViews &views,
               function_ref<std::optional<Access>(const StridedView &)> side,
               Contraction &c) {
  const ExprPtr &dequantize = views.operands[1].dequantize;
  if (!dequantize)
    return true;
  auto scale = side(dequantize->operands[1]->view),
       zeroPoint = side(dequantize->operands[2]->view);
  if (!scale || !zeroPoint)
    return false;
  c.scale = *scale;
  c.zeroPoint = *zeroPoint;
  return true;
}

static bool readLinear(const KernelViews &views, Contraction &c,
                       std::string &whyNot) {
  const StridedView &input = views.operands[0].view,
                    &weight = views.operands[1].view;
  c.sizes.m = count(ArrayRef(input.sizes).drop_back());
  c.sizes.k = input.sizes.back();
  c.sizes.n = weight.sizes[0];
  auto side = [&](const StridedView &view) {
    return view.split({1, c.sizes.n, c.sizes.k});
  };
  auto a = input.split({1, c.sizes.m, c.sizes.k});
  auto b = side(weight);
  if (!a || !b || !readParameters(views, side, c)) {
    whyNot = "an operand of the product has no strides";
    return false;
  }
  c.a = *a;
  c.b = *b;
  return true;
}

/// The operand over {batch of the result, its own last two dims}.
/// Whether the operand is its whole buffer, in order.
static bool isPlain(const AnchorOperand &operand) {
  auto digits = operand.view.split({operand.view.getNumElements()});
  return operand.view.offset == 0 && digits && digits->front().size() <= 1 &&
         (digits->front().empty() || digits->front()[0].stride <= 1);
}

/// f32 by weights of 4 bits: their text reads them as `lathe.pack` laid them.
static bool readPacked(const KernelViews &views, Contraction &c,
                       std::string &whyNot) {
  auto op = cast<PackedMatmulOp>(views.anchor);
  const StridedView &input = views.operands[0].view;
  c.sizes.m = count(ArrayRef(input.sizes).drop_back());
  c.sizes.k = input.sizes.back();
  c.sizes.n = op.getN();
  auto a = input.split({1, c.sizes.m, c.sizes.k});
  if (!a) {
    whyNot = "an operand of the product has no strides";
    return false;
  }
  c.a = *a;
  if (!op.getScale() || !views.operands[1].elementType.isUnsignedInteger(8)) {
    whyNot = "only packed weights of 4 bits are read";
    return false;
  }
  if (!isPlain(views.operands[1]) || !isPlain(views.operands[2])) {
    whyNot = "packed weights or scales are not whole buffers";
    return false;
  }
  return true;
}

static std::optional<Access> readSide(const StridedView &view,
                                      ArrayRef<int64_t> result, bool swap) {
  SmallVector<int64_t> sizes(result.drop_back(2));
  int64_t batch = count(sizes);
  llvm::append_range(sizes, ArrayRef(view.sizes).take_back(2));
  auto wide = view.broadcastTo(sizes);
  auto digits = wide ? wide->split({batch, sizes[sizes.size() - 2],
                                    sizes[sizes.size() - 1]})
                     : std::nullopt;
  if (digits && swap)
    std::swap((*digits)[1], (*digits)[2]);
  return digits;
}

static bool readMatmul(const KernelViews &views, Contraction &c,
                       std::string &whyNot) {
  auto op = cast<MatmulOp>(views.anchor);
  ArrayRef<int64_t> result = cast<RankedTensorType>(op.getType()).getShape();
  const StridedView &lhs = views.operands[0].view,
                    &rhs = views.operands[1].view;
  if (lhs.sizes.size() < 2 || rhs.sizes.size() < 2) {
    whyNot = "the product has a vector operand";
    return false;
  }
  // B's rows are its columns: the second side is read transposed.
  auto a = readSide(lhs, result, op.getTransposeLhs());
  auto side = [&](const StridedView &view) {
    return readSide(view, result, !op.getTransposeRhs());
  };
  auto b = side(rhs);
  if (!a || !b || !readParameters(views, side, c)) {
    whyNot = "an operand of the product has no strides";
    return false;
  }
  c.a = *a;
  c.b = *b;
  c.sizes.batch = count(result.drop_back(2));
  c.sizes.m = result[result.size() - 2];
  c.sizes.n = result.back();
  c.sizes.k = lhs.sizes[lhs.sizes.size() - (op.getTransposeLhs() ? 2 : 1)];
  auto isShared = [](const Access &access) {
    return access.empty() ||
           llvm::all_of(access[0], [](Factor f) { return f.stride == 0; });
  };
  if (isShared(c.b) && isShared(c.scale) && isShared(c.zeroPoint)) {
    // One right-hand side for all: the batch is only more rows.
    SmallVector<Factor> rows = c.a[0];
    for (Access *parameter : {&c.scale, &c.zeroPoint})
      if (!parameter->empty())
        (*parameter)[0].clear();
    for (Factor digit : c.a[1]) {
      if (!rows.empty() && rows.back().stride == digit.stride * digit.size)
        rows.back() = {rows.back().size * digit.size, digit.stride};
      else
        rows.push_back(digit);
    }
    c.a[0].clear();
    c.a[1] = rows;
    c.b[0].clear();
    c.sizes.m *= c.sizes.batch;
    c.sizes.batch = 1;
  }
  return true;
}

FailureOr<KernelText> scheduleContraction(KernelOp kernel, StringRef symbol,
                                          const GpuFeatures &features,
                                          std::string &whyNot) {
  FailureOr<KernelViews> views = KernelViews::get(
      kernel,
      [](Operation *op) { return isa<LinearOp, MatmulOp, PackedMatmulOp>(op); },
      whyNot, /*takesDequantize=*/true);
  if (failed(views))
    return failure();
  if (auto linear = dyn_cast<LinearOp>(views->anchor))
    if (linear.getBias())
      views->foldBias(2);
  Contraction c;
  auto packed = dyn_cast<PackedMatmulOp>(views->anchor);
  auto read = packed                         ? readPacked
              : isa<LinearOp>(views->anchor) ? readLinear
                                             : readMatmul;
  if (!read(*views, c, whyNot))
    return failure();
  Type elementType = views->operands[0].elementType;
  FailureOr<EpilogueText> epilogue =
      EpilogueText::get(kernel, *views, {c.sizes.batch, c.sizes.m, c.sizes.n},
                        {"batch", "m", "n"}, getSumType(elementType), whyNot);
  if (failed(epilogue))
    return failure();
  const AnchorOperand &rhs = views->operands[1];
  FailureOr<OperandText> b =
      packed
          ? OperandText::fromNibbles("B", "n", rhs, views->operands[2],
                                     packed.getGroup(), c.sizes.k, elementType)
      : rhs.dequantize
          ? OperandText::fromDequantize(kernel, "B", "n", rhs, c.b, c.scale,
                                        c.zeroPoint, whyNot)
          : OperandText::fromAccess(kernel, "B", "n", rhs, c.b);
  if (failed(b))
    return failure();
  return writeProduct(
      kernel, symbol, features, c.sizes,
      OperandText::fromAccess(kernel, "A", "m", views->operands[0], c.a), *b,
      *epilogue, whyNot);
}

} // namespace lathe::cuda
