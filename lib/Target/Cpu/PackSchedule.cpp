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
// that are packed four by four, and bf16 packed two by two, move as numbers of
// 32 bits; where they are rows apart ([k, n]), rows are zipped.
//
//===----------------------------------------------------------------------===//

#include "KernelFrame.h"
#include "lathe/Target/Cpu/Schedule.h"
#include "mlir/Dialect/Vector/Transforms/LoweringPatterns.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;

namespace lathe::cpu {

namespace {

/// A matrix of units, which are floats, or 4 bytes or 2 bf16 along k.
struct PackShape {
  int64_t batch = 1, k = 0, n = 0, panel = 0;
  bool transposed = false;
  /// Elements of the buffers in a unit, and their type.
  int64_t unit = 1;
  Type element;
  int64_t numPanels() const { return (n + panel - 1) / panel; }

  Type getUnitType(Builder &b) const {
    return unit == 1 ? Type(b.getF32Type()) : b.getI32Type();
  }
  /// `count` units from element `index` on.
  Value load(ImplicitLocOpBuilder &b, int64_t count, Value buffer,
             Value index) const {
    if (unit == 1)
      return loadVector(b, buffer, index, count);
    return b.create<vector::BitCastOp>(
        VectorType::get(count, getUnitType(b)),
        loadElements(b, count * unit, buffer, index));
  }
  /// From unit `index` on.
  void store(ImplicitLocOpBuilder &b, Value units, Value buffer,
             Value index) const {
    if (unit == 1)
      return storeVector(b, units, buffer, index);
    int64_t count = cast<VectorType>(units.getType()).getNumElements();
    units = b.create<vector::BitCastOp>(VectorType::get(count * unit, element),
                                        units);
    b.create<vector::StoreOp>(units, buffer, mulIndex(b, index, unit));
  }
  Value loadElements(ImplicitLocOpBuilder &b, int64_t count, Value buffer,
                     Value index) const {
    return b.create<vector::LoadOp>(VectorType::get(count, element), buffer,
                                    index);
  }
};

} // namespace

/// Element by element, for edges: result[kk][c] for kk in [kBegin, k).
static void emitScalars(ImplicitLocOpBuilder &b, const PackShape &shape,
                        Value input, Value output, Value source, Value target,
                        Value valid, int64_t kBegin) {
  Value zero = b.create<arith::ConstantOp>(b.getZeroAttr(shape.element));
  Value first = indexConstant(b, 0);
  emitFor(
      b, indexConstant(b, kBegin), indexConstant(b, shape.k), 1, [&](Value kk) {
        emitFor(b, first, indexConstant(b, shape.panel), 1, [&](Value c) {
          Value to = mulIndex(
              b,
              addIndex(b, target, addIndex(b, mulIndex(b, kk, shape.panel), c)),
              shape.unit);
          Value row = mulIndex(b, kk, shape.unit);
          Value from =
              shape.transposed
                  ? addIndex(b, mulIndex(b, c, shape.k * shape.unit), row)
                  : addIndex(b, mulIndex(b, row, shape.n), c);
          from = addIndex(b, source, from);
          int64_t step = shape.transposed ? 1 : shape.n;
          auto store = [&](function_ref<Value(int64_t)> get) {
            for (int64_t i = 0; i < shape.unit; ++i)
              b.create<memref::StoreOp>(get(i), output, addIndex(b, to, i));
          };
          emitIf(
              b, lessThan(b, c, valid),
              [&] {
                store([&](int64_t i) {
                  return b.create<memref::LoadOp>(input,
                                                  addIndex(b, from, i * step));
                });
              },
              [&] { store([&](int64_t) { return zero; }); });
        });
      });
}

/// a0 b0 ... a1 b1 ... of rows a, b, ...
static Value zipRows(ImplicitLocOpBuilder &b, ArrayRef<Value> rows) {
  if (rows.size() == 1)
    return rows[0];
  SmallVector<Value> even, odd;
  for (auto [i, row] : llvm::enumerate(rows))
    (i % 2 ? odd : even).push_back(row);
  Value first = zipRows(b, even), second = zipRows(b, odd);
  int64_t count = cast<VectorType>(first.getType()).getNumElements();
  SmallVector<int64_t> order;
  for (int64_t i = 0; i < count; ++i)
    order.append({i, count + i});
  return b.create<vector::ShuffleOp>(first, second, order);
}

/// A whole panel in vectors; what is left of k goes element by element.
static void emitFullPanel(ImplicitLocOpBuilder &b, const PackShape &shape,
                          Value input, Value output, Value source, Value target,
                          int64_t width) {
  Value first = indexConstant(b, 0);
  Value valid = indexConstant(b, shape.panel);
  if (!shape.transposed && shape.unit > 1) {
    emitFor(b, first, indexConstant(b, shape.k), 1, [&](Value kk) {
      Value line = addIndex(b, source, mulIndex(b, kk, shape.unit * shape.n));
      Value to = mulIndex(b, addIndex(b, target, mulIndex(b, kk, shape.panel)),
                          shape.unit);
      for (int64_t c = 0; c < shape.panel; c += width) {
        SmallVector<Value> rows;
        for (int64_t i = 0; i < shape.unit; ++i)
          rows.push_back(shape.loadElements(
              b, width, input, addIndex(b, line, i * shape.n + c)));
        b.create<vector::StoreOp>(zipRows(b, rows), output,
                                  addIndex(b, to, c * shape.unit));
      }
    });
    return;
  }
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
        Value from = addIndex(
            b, source,
            mulIndex(b, addIndex(b, kk, (c + i) * shape.k), shape.unit));
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
  Type element = type.getElementType();
  int64_t together = element.isInteger(8) ? 4 : element.isBF16() ? 2 : 1;
  shape.unit = pack.getInterleave();
  bool isKnown = shape.unit == 1
                     ? isFloatUpTo32(element)
                     : shape.unit == together && shape.k % shape.unit == 0;
  shape.k /= shape.unit;
  if (!isKnown || pack.getBits() || shape.panel % width != 0 ||
      shape.batch * shape.k * shape.n == 0) {
    whyNot = "expected floats of at most 32 bits, bytes in whole fours or bf16 "
             "in whole twos, and panels of whole vectors";
    return failure();
  }

  ImplicitLocOpBuilder b(kernel.getLoc(), kernel.getContext());
  KernelFrame frame = KernelFrame::create(b, kernel, module, symbol);
  Value input = frame.inputs[0], output = frame.outputs[0];
  // ui8 is i8 in memory.
  shape.element = cast<MemRefType>(input.getType()).getElementType();
  int64_t panels = shape.numPanels();
  emitFor(b, frame.begin, frame.end, 1, [&](Value item) {
    Value batch = divIndex(b, item, panels);
    Value panel = remIndex(b, item, panels);
    int64_t depth = shape.k * shape.unit;
    Value source = addIndex(
        b, mulIndex(b, batch, depth * shape.n),
        mulIndex(b, panel,
                 shape.panel * (shape.transposed ? depth : int64_t(1))));
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
