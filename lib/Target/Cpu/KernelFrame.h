//===- KernelFrame.h - The frame every schedule emits into ------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Index arithmetic that folds, buffers as flat memrefs, and balanced tiles.
// Schedules compute addresses themselves: one flat index per access keeps the
// constant parts in the instructions.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TARGET_CPU_KERNELFRAME_H
#define LATHE_LIB_TARGET_CPU_KERNELFRAME_H

#include "lathe/Target/Cpu/Schedule.h"
#include "lathe/Target/KernelViews.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace lathe::cpu {

//===----------------------------------------------------------------------===//
// Index arithmetic
//===----------------------------------------------------------------------===//

Value indexConstant(ImplicitLocOpBuilder &b, int64_t value);
Value addIndex(ImplicitLocOpBuilder &b, Value lhs, Value rhs);
Value addIndex(ImplicitLocOpBuilder &b, Value lhs, int64_t rhs);
Value mulIndex(ImplicitLocOpBuilder &b, Value lhs, int64_t rhs);
Value divIndex(ImplicitLocOpBuilder &b, Value lhs, int64_t rhs);
Value remIndex(ImplicitLocOpBuilder &b, Value lhs, int64_t rhs);
Value minIndex(ImplicitLocOpBuilder &b, Value lhs, Value rhs);
Value lessThan(ImplicitLocOpBuilder &b, Value lhs, Value rhs);

/// The distance in elements that `coordinate` moves along `factors`.
Value emitOffset(ImplicitLocOpBuilder &b, ArrayRef<Factor> factors,
                 Value coordinate);

/// a * b + sum: in one instruction where the processor has it (everywhere but
/// with 4 lanes, where it would become a call for every lane).
Value emitMultiplyAdd(ImplicitLocOpBuilder &b, Value lhs, Value rhs, Value sum);

/// Lanes [0, valid) of a vector of `width`, as its mask.
Value emitMask(ImplicitLocOpBuilder &b, Value valid, int64_t width);

/// `lanes` elements of `buffer` from `index` on, smaller floats as f32; where
/// `mask` is given, 0 in lanes that it leaves out.
Value loadVector(ImplicitLocOpBuilder &b, Value buffer, Value index,
                 int64_t lanes, Value mask = {});
/// One element, a smaller float as f32, in all lanes.
Value loadSplat(ImplicitLocOpBuilder &b, Value buffer, Value index,
                int64_t lanes);
/// An element or vector of f32 into `buffer`, rounded where that holds 16-bit
/// floats.
void storeVector(ImplicitLocOpBuilder &b, Value value, Value buffer,
                 Value index);
void storeElement(ImplicitLocOpBuilder &b, Value value, Value buffer,
                  Value index);
/// 16-bit floats as f32, f32 as `element`: no op where they are so.
Value widenFloat(ImplicitLocOpBuilder &b, Value value);
Value roundFloat(ImplicitLocOpBuilder &b, Value value, Type element);
/// f32, bf16, f16 or 8-bit floats: what schedules read as f32.
inline bool isFloatUpTo32(Type element) {
  return element.isF32() || element.isBF16() || element.isF16() ||
         element.isFloat8E4M3FN();
}

/// `for (iv = begin; iv < end; iv += step) body`; without carried values.
void emitFor(ImplicitLocOpBuilder &b, Value begin, Value end, int64_t step,
             function_ref<void(Value)> body);
/// The same with carried values: `body` returns the next ones.
SmallVector<Value>
emitFor(ImplicitLocOpBuilder &b, Value begin, Value end, int64_t step,
        ArrayRef<Value> init,
        function_ref<SmallVector<Value>(Value, ValueRange)> body);
void emitIf(ImplicitLocOpBuilder &b, Value condition, function_ref<void()> then,
            function_ref<void()> otherwise = nullptr);
/// For what is kept from one iteration to the next while a key stays the same:
/// emits `make` where `key` is not the next one of `carried`, and appends it to
/// `next`, the keys that this iteration hands on.
void emitOnChange(ImplicitLocOpBuilder &b, Value key, ValueRange carried,
                  SmallVectorImpl<Value> &next, function_ref<void()> make);

//===----------------------------------------------------------------------===//
// Tiles
//===----------------------------------------------------------------------===//

/// `total` in `count` tiles of nearly the same size: the first `numBig` have
/// `big` elements, the others one less.
struct Tiling {
  int64_t count = 0, big = 0, numBig = 0;

  static Tiling balanced(int64_t total, int64_t largest);
  bool isUniform() const { return numBig == count; }
  /// The first element of tile `tile`.
  Value emitStart(ImplicitLocOpBuilder &b, Value tile) const;
  /// Emits `body` once for each of the two sizes, behind a branch on `tile`.
  void emitSwitch(ImplicitLocOpBuilder &b, Value tile,
                  function_ref<void(int64_t size)> body) const;
};

//===----------------------------------------------------------------------===//
// The function
//===----------------------------------------------------------------------===//

/// The function of a kernel under construction; see LoweredKernel for its
/// signature. Buffers are flat: memref<elements x storage type>.
struct KernelFrame {
  func::FuncOp function;
  SmallVector<Value> inputs, outputs;
  Value scratch, begin, end;
  int64_t scratchBytes = 0;

  /// Appends an empty function to `module` and puts `b` into its body.
  /// `constants` (rank 1) become globals and follow the inputs.
  static KernelFrame create(ImplicitLocOpBuilder &b, KernelOp kernel,
                            ModuleOp module, StringRef symbol,
                            ArrayRef<DenseElementsAttr> constants = {});
  /// Takes `elements` of this thread's scratch, of f32 or of another type of 32
  /// bits, aligned to 64 bytes.
  Value allocate(ImplicitLocOpBuilder &b, int64_t elements, Type element = {});
  LoweredKernel finish(ImplicitLocOpBuilder &b, int64_t workItems);
};

} // namespace lathe::cpu

#endif // LATHE_LIB_TARGET_CPU_KERNELFRAME_H
