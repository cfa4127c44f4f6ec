//===- ContractionOperands.cpp - What a product reads, as strides ---------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ContractionOperands.h"
#include "MicroKernel.h"

using namespace lathe;
using namespace lathe::cpu;

/// The stride of a coordinate of one digit.
static std::optional<int64_t> getStride(ArrayRef<Factor> factors) {
  if (factors.size() > 1)
    return std::nullopt;
  return factors.empty() ? 0 : factors[0].stride;
}

/// Cuts A's leading coordinate into a batch and rows of one stride.
static void setRows(Contraction &c, SmallVector<Factor> factors, int64_t rows) {
  c.rows = rows;
  c.aRowStride = factors.empty() ? 0 : factors.back().stride;
  if (factors.size() < 2)
    return;
  c.rows = factors.back().size;
  c.batch = rows / c.rows;
  factors.pop_back();
  c.aBatch = factors;
}

static bool setDepthAndColumns(Contraction &c, ArrayRef<Factor> aDepth,
                               ArrayRef<Factor> bDepth,
                               ArrayRef<Factor> bColumns, std::string &whyNot) {
  auto a = getStride(aDepth), depth = getStride(bDepth),
       columns = getStride(bColumns);
  if (!a || !depth || !columns) {
    whyNot = "an operand's view has no stride along the depth or the columns";
    return false;
  }
  c.aDepthStride = *a;
  c.bDepthStride = *depth;
  c.bColumnStride = *columns;
  return true;
}

/// Reads `linear` and `packed_matmul`: the columns do not depend on A's leading
/// dims.
static bool readShared(Contraction &c, int64_t columns, ArrayRef<Factor> bDepth,
                       ArrayRef<Factor> bColumns, std::string &whyNot) {
  c.columns = columns;
  c.depth = c.a.view.sizes.back();
  int64_t rows = 1;
  for (int64_t size : ArrayRef(c.a.view.sizes).drop_back())
    rows *= size;
  auto a = c.a.view.split({rows, c.depth});
  if (!a) {
    whyNot = "the rows of the left-hand side have no strides";
    return false;
  }
  setRows(c, (*a)[0], rows);
  return setDepthAndColumns(c, (*a)[1], bDepth, bColumns, whyNot);
}

static bool readMatmul(Contraction &c, MatmulOp op, std::string &whyNot) {
  SmallVector<int64_t> shape(cast<RankedTensorType>(op.getType()).getShape());
  int64_t rank = shape.size();
  if (c.a.view.sizes.size() < 2 || c.b.view.sizes.size() < 2) {
    whyNot = "the product has a vector operand";
    return false;
  }
  auto viewAs =
      [&](const StridedView &view,
          bool transposed) -> std::optional<SmallVector<SmallVector<Factor>>> {
    // The operand over the result's batch, with its own last two dims.
    SmallVector<int64_t> sizes(shape);
    size_t operandRank = view.sizes.size();
    sizes[rank - 2] = view.sizes[operandRank - 2];
    sizes[rank - 1] = view.sizes[operandRank - 1];
    auto wide = view.broadcastTo(sizes);
    if (!wide)
      return std::nullopt;
    int64_t batch = 1;
    for (int64_t size : ArrayRef(shape).drop_back(2))
      batch *= size;
    auto digits = wide->split({batch, sizes[rank - 2], sizes[rank - 1]});
    if (digits && transposed)
      std::swap((*digits)[1], (*digits)[2]);
    return digits;
  };
  auto a = viewAs(c.a.view, op.getTransposeLhs());
  auto b = viewAs(c.b.view, op.getTransposeRhs());
  if (!a || !b) {
    whyNot = "the batch dims of an operand have no strides";
    return false;
  }
  int64_t batch = 1;
  for (int64_t size : ArrayRef(shape).drop_back(2))
    batch *= size;
  ArrayRef<int64_t> aSizes = c.a.view.sizes;
  c.depth = aSizes[aSizes.size() - (op.getTransposeLhs() ? 2 : 1)];
  c.columns = shape[rank - 1];
  int64_t rows = shape[rank - 2];
  if (!setDepthAndColumns(c, (*a)[2], (*b)[1], (*b)[2], whyNot))
    return false;
  if (llvm::all_of((*b)[0], [](Factor f) { return f.stride == 0; })) {
    // One right-hand side for all: the batch is only more rows.
    SmallVector<Factor> leading = (*a)[0];
    for (Factor factor : (*a)[1]) {
      if (!leading.empty() &&
          leading.back().stride == factor.stride * factor.size)
        leading.back() = {leading.back().size * factor.size, factor.stride};
      else
        leading.push_back(factor);
    }
    setRows(c, leading, batch * rows);
    return true;
  }
  auto rowStride = getStride((*a)[1]);
  if (!rowStride) {
    whyNot = "the rows of the left-hand side have no stride";
    return false;
  }
  c.batch = batch;
  c.rows = rows;
  c.aRowStride = *rowStride;
  c.aBatch = (*a)[0];
  c.bBatch = (*b)[0];
  return true;
}

/// Whether the operand is its whole buffer, in order.
static bool isPlain(const AnchorOperand &operand) {
  auto digits = operand.view.split({operand.view.getNumElements()});
  return operand.view.offset == 0 && digits && digits->front().size() <= 1 &&
         getStride(digits->front()).value_or(0) <= 1;
}

/// Reads the packed side and what its elements are.
static bool readPacked(Contraction &c, PackedMatmulOp op,
                       const KernelViews &views, std::string &whyNot) {
  using Kind = Contraction::Kind;
  ArrayRef<int64_t> sizes = c.b.view.sizes;
  Type a = c.a.elementType, b = c.b.elementType;
  int64_t depth = c.a.view.sizes.back();
  bool f32 = a.isF32(), bytes = a.isInteger(8) && b.isInteger(8);
  if (op.getScale() && f32 && (b.isInteger(8) || b.isFloat8E4M3FN())) {
    c.kind = b.isUnsignedInteger() ? Kind::Weights4 : Kind::Weights8;
    c.scale = views.operands[2];
    c.group = op.getGroup() ? op.getGroup() : depth;
  } else if (bytes) {
    c.kind = Kind::Bytes;
    c.interleave = 4;
  } else if (a.isBF16() && b.isBF16() && sizes.size() == 4) {
    c.interleave = 2;
  } else if (!isFloatUpTo32(a) || !isFloatUpTo32(b)) {
    whyNot = "only products of f32, bf16, f16, 8-bit floats, of bytes and of "
             "f32 by weights with scales have a tiled schedule";
    return false;
  }
  c.packed = true;
  size_t rank = c.interleave > 1 ? 4 : 3;
  if (sizes.size() != rank || sizes[2] != panelColumns || !isPlain(c.b) ||
      (rank == 4 && sizes[3] != c.interleave)) {
    whyNot = "the packed side is not whole panels of 32 columns" +
             (rank == 4 ? " with " + std::to_string(c.interleave) +
                              " rows side by side"
                        : std::string());
    return false;
  }
  if (c.kind == Kind::Weights4 && c.group % 2 && c.group != depth) {
    whyNot = "two weights in a byte have different scales";
    return false;
  }
  if (c.hasScales() && !isPlain(c.scale)) {
    whyNot = "the scales are not whole panels of 32 columns";
    return false;
  }
  c.panelSize = c.interleave * sizes[1] * panelColumns;
  if (!readShared(c, op.getN(), {}, {}, whyNot))
    return false;
  if (c.kind == Kind::Bytes && c.aDepthStride != 1 && c.depth != 1) {
    whyNot = "the bytes of a row do not lie side by side";
    return false;
  }
  return true;
}

bool Contraction::read(const KernelViews &views, std::string &whyNot) {
  Contraction &c = *this;
  c.a = views.operands[0];
  c.b = views.operands[1];
  if (auto op = dyn_cast<PackedMatmulOp>(views.anchor))
    return readPacked(c, op, views, whyNot);
  for (const AnchorOperand &operand : views.operands)
    if (!isFloatUpTo32(operand.elementType)) {
      whyNot = "only products of floats up to 32 bits have a tiled schedule "
               "where nothing is packed";
      return false;
    }
  if (isa<LinearOp>(views.anchor)) {
    auto digits = c.b.view.split(c.b.view.sizes);
    if (!digits) {
      whyNot = "the weight's view has no strides";
      return false;
    }
    return readShared(c, c.b.view.sizes[0], (*digits)[1], (*digits)[0], whyNot);
  }
  return readMatmul(c, cast<MatmulOp>(views.anchor), whyNot);
}
