//===- PackSchedule.cpp - Weights into panels of columns ------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Packing reads every weight once and runs at every start of a program, so it
// has to go at the speed of memory. The transposed form ([n, k] to panels of
// [k, panel]) moves squares of vectorWidth elements through registers: rows are
// read and written as whole vectors, and the square is turned in between. Bytes
// that are packed four by four move as numbers of 32 bits.
//
//===----------------------------------------------------------------------===//

#include "KernelFrame.h"
#include "lathe/Target/Cpu/Schedule.h"
#include "mlir/Dialect/Vector/Transforms/LoweringPatterns.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;

namespace lathe::cpu {

namespace {

/// A matrix of units, which are floats or 4 bytes along k.
struct PackShape {
  int64_t batch = 1, k = 0, n = 0, panel = 0;
  bool transposed = false;
  /// Elements of the buffers in a unit.
  int64_t unit = 1;
  int64_t numPanels() const { return (n + panel - 1) / panel; }

  Type getUnitType(Builder &b) const {
    return unit == 1 ? Type(b.getF32Type()) : b.getI32Type();
  }
  /// `count` units from unit `index` on.
  Value load(ImplicitLocOpBuilder &b, int64_t count, Value buffer,
             Value index) const {
    if (unit == 1)
      return loadVector(b, buffer, index, count);
    auto type = VectorType::get(count, getUnitType(b));
    Value bytes =
        b.create<vector::LoadOp>(VectorType::get(count * unit, b.getI8Type()),
                                 buffer, mulIndex(b, index, unit));
    return b.create<vector::BitCastOp>(type, bytes);
  }
  void store(ImplicitLocOpBuilder &b, Value units, Value buffer,
             Value index) const {
    if (unit == 1)
      return storeVector(b, units, buffer, index);
    int64_t count = cast<VectorType>(units.getType()).getNumElements();
    units = b.create<vector::BitCastOp>(
        VectorType::get(count * unit, b.getI8Type()), units);
    b.create<vector::StoreOp>(units, buffer, mulIndex(b, index, unit));
  }
};

} // namespace

/// Unit by unit, for edges: result[kk][c] for kk in [kBegin, k).
static void emitScalars(ImplicitLocOpBuilder &b, const PackShape &shape,
                        Value input, Value output, Value source, Value target,
                        Value valid, int64_t kBegin) {
  auto one = VectorType::get(1, shape.getUnitType(b));
  Value zero = b.create<arith::ConstantOp>(b.getZeroAttr(one));
  Value first = indexConstant(b, 0);
  emitFor(
      b, indexConstant(b, kBegin), indexConstant(b, shape.k), 1, [&](Value kk) {
        emitFor(b, first, indexConstant(b, shape.panel), 1, [&](Value c) {
          Value to =
              addIndex(b, target, addIndex(b, mulIndex(b, kk, shape.panel), c));
          emitIf(
              b, lessThan(b, c, valid),
              [&] {
                Value from = shape.transposed
                                 ? addIndex(b, mulIndex(b, c, shape.k), kk)
                                 : addIndex(b, mulIndex(b, kk, shape.n), c);
                Value units =
                    shape.load(b, 1, input, addIndex(b, source, from));
                shape.store(b, units, output, to);
              },
              [&] { shape.store(b, zero, output, to); });
        });
      });
}

/// A whole panel in vectors; what is left of k goes element by element.
static void emitFullPanel(ImplicitLocOpBuilder &b, const PackShape &shape,
                          Value input, Value output, Value source, Value target,
                          int64_t width) {
  Value first = indexConstant(b, 0);
  Value valid = indexConstant(b, shape.panel);
  if (!shape.transposed) {
    emitFor(b, first, indexConstant(b, shape.k), 1, [&](Value kk) {
      for (int64_t c = 0; c < shape.panel; c += width) {
        Value from =
            addIndex(b, addIndex(b, source, mulIndex(b, kk, shape.n)), c);
        Value to =
            addIndex(b, addIndex(b, target, mulIndex(b, kk, shape.panel)), c);
        shape.store(b, shape.load(b, width, input, from), output, to);
      }
    });
    return;
  }
  int64_t whole = shape.k / width * width;
  auto square = VectorType::get({width, width}, shape.getUnitType(b));
  emitFor(b, first, indexConstant(b, whole), width, [&](Value kk) {
    for (int64_t c = 0; c < shape.panel; c += width) {
      Value block = b.create<arith::ConstantOp>(b.getZeroAttr(square));
      for (int64_t i = 0; i < width; ++i) {
        Value from = addIndex(b, addIndex(b, source, kk), (c + i) * shape.k);
        Value line = shape.load(b, width, input, from);
        block = b.create<vector::InsertOp>(line, block, i);
      }
      Value turned =
          b.create<vector::TransposeOp>(block, ArrayRef<int64_t>{1, 0});
      for (int64_t i = 0; i < width; ++i) {
        Value line = b.create<vector::ExtractOp>(turned, i);
        Value to =
            addIndex(b, addIndex(b, target, mulIndex(b, kk, shape.panel)),
                     i * shape.panel + c);
        shape.store(b, line, output, to);
      }
    }
  });
  emitScalars(b, shape, input, output, source, target, valid, whole);
}

FailureOr<LoweredKernel> schedulePack(KernelOp kernel, ModuleOp module,
                                      StringRef symbol,
                                      const CpuFeatures &features,
                                      std::string &whyNot) {
  Block &body = kernel.getBody().front();
  auto pack = dyn_cast<PackOp>(body.front());
  if (!pack || body.getOperations().size() != 2 ||
      pack.getInput() != body.getArgument(0)) {
    whyNot = "expected one lathe.pack and nothing else";
    return failure();
  }
  auto type = cast<RankedTensorType>(pack.getInput().getType());
  PackShape shape;
  shape.panel = pack.getPanel();
  shape.transposed = pack.getTransposed();
  int64_t rank = type.getRank();
  for (int64_t size : type.getShape().drop_back(2))
    shape.batch *= size;
  shape.k = type.getDimSize(shape.transposed ? rank - 1 : rank - 2);
  shape.n = type.getDimSize(shape.transposed ? rank - 2 : rank - 1);
  int64_t width = features.vectorWidth;
  bool bytes = type.getElementType().isInteger(8) && shape.transposed &&
               pack.getInterleave() == 4 && shape.k % 4 == 0;
  if (bytes) {
    shape.unit = 4;
    shape.k /= 4;
  }
  if ((!bytes &&
       (!isFloatUpTo32(type.getElementType()) || pack.getInterleave() != 1)) ||
      shape.panel % width != 0 || shape.batch * shape.k * shape.n == 0) {
    whyNot = "expected floats of at most 32 bits, or transposed bytes in "
             "whole fours, and panels of whole vectors";
    return failure();
  }

  ImplicitLocOpBuilder b(kernel.getLoc(), kernel.getContext());
  KernelFrame frame = KernelFrame::create(b, kernel, module, symbol);
  Value input = frame.inputs[0], output = frame.outputs[0];
  int64_t panels = shape.numPanels();
  emitFor(b, frame.begin, frame.end, 1, [&](Value item) {
    Value batch = divIndex(b, item, panels);
    Value panel = remIndex(b, item, panels);
    Value source = addIndex(
        b, mulIndex(b, batch, shape.k * shape.n),
        mulIndex(b, panel,
                 shape.panel * (shape.transposed ? shape.k : int64_t(1))));
    Value target = mulIndex(b, item, shape.k * shape.panel);
    int64_t rest = shape.n % shape.panel;
    auto full = [&] {
      emitFullPanel(b, shape, input, output, source, target, width);
    };
    if (rest == 0) {
      full();
      return;
    }
    Value isWhole = lessThan(b, panel, indexConstant(b, panels - 1));
    emitIf(b, isWhole, full, [&] {
      emitScalars(b, shape, input, output, source, target,
                  indexConstant(b, rest), 0);
    });
  });
  LoweredKernel lowered = frame.finish(b, shape.batch * panels);

  // By default a transpose becomes one extract and insert per element.
  RewritePatternSet patterns(kernel.getContext());
  vector::populateVectorTransposeLoweringPatterns(
      patterns, vector::VectorTransformsOptions().setVectorTransposeLowering(
                    width == 16 ? vector::VectorTransposeLowering::Shuffle16x16
                                : vector::VectorTransposeLowering::Shuffle1D));
  if (failed(applyPatternsAndFoldGreedily(lowered.function,
                                          std::move(patterns)))) {
    whyNot = "the transposes could not be lowered";
    return failure();
  }
  return lowered;
}

} // namespace lathe::cpu
