//===- KernelViews.h - Kernel bodies as one anchor op and index maps ------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A kernel with a tiled schedule has one anchor op (a contraction, convolution
// or attention), views of its arguments before it, and elementwise ops and
// views after it. Views move no data: each becomes strides over the buffer
// below it, so that nothing but the anchor's loops and one epilogue per output
// remain.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TARGET_KERNELVIEWS_H
#define LATHE_TARGET_KERNELVIEWS_H

#include "dialects/Lathe/Lathe.h"
#include "mlir/IR/BuiltinAttributes.h"
#include <memory>
#include <optional>

namespace lathe {

/// One digit of a mixed-radix coordinate and the distance it moves in memory,
/// in elements.
struct Factor {
  int64_t size, stride;
};

/// A tensor's elements in row-major order as mixed-radix digits over a flat
/// buffer. Digits need not match dims, so every reshape is free. Broadcast
/// digits have stride 0.
struct StridedView {
  SmallVector<int64_t> sizes;
  SmallVector<Factor> factors;
  int64_t offset = 0;

  static StridedView contiguous(ArrayRef<int64_t> sizes);
  int64_t getNumElements() const;

  /// Broadcast as NumPy does, aligned at the last dim; nothing where a digit
  /// spans dims.
  std::optional<StridedView> broadcastTo(ArrayRef<int64_t> newSizes) const;
  std::optional<StridedView> permuted(ArrayRef<int64_t> permutation) const;
  /// What the view op `op` makes of it, or nothing where it is not a view op or
  /// has no strided form.
  std::optional<StridedView> through(Operation *op) const;

  /// The digits of row-major coordinates with sizes `groups` (products of
  /// consecutive dims, or parts of dims), merged where strides allow. Nothing
  /// where a digit spans two groups and cannot be split.
  std::optional<SmallVector<SmallVector<Factor>>>
  split(ArrayRef<int64_t> groups) const;
};

/// An epilogue as a tree: leaves read the anchor's result, an argument of the
/// kernel or a splat constant; inner nodes are elementwise ops, or the sum of
/// two operands that an anchor with a bias implies, in f32.
struct Expr {
  enum class Kind { Anchor, Argument, Splat, Op, Sum };
  Kind kind;
  /// Argument number (constants of the kernel count on behind the arguments),
  /// or result number of the anchor.
  unsigned index = 0;
  /// The elementwise op of an inner node.
  Operation *op = nullptr;
  /// The value of a splat.
  TypedAttr splat;
  Type elementType;
  StridedView view;
  SmallVector<std::shared_ptr<Expr>> operands;
};
using ExprPtr = std::shared_ptr<Expr>;

/// One output of the kernel over the index space of one of the anchor's
/// results: leaf views and `destination` go through the elements in that
/// result's order.
struct KernelOutput {
  ExprPtr value;
  StridedView destination;
  Type elementType;
  /// Which of the anchor's results it is made of.
  unsigned result = 0;
};

/// An operand of the anchor: which argument of the kernel it reads, and how.
struct AnchorOperand {
  unsigned argument;
  StridedView view;
  Type elementType;
  /// Where it is the `dequantize` of that argument, whose element type is then
  /// the result's: a node with the views of bytes, scale and zero point over
  /// the operand's elements.
  ExprPtr dequantize = nullptr;
};

/// What a schedule needs to know about a kernel's body.
struct KernelViews {
  Operation *anchor = nullptr;
  SmallVector<AnchorOperand> operands;
  SmallVector<KernelOutput> outputs;
  /// What `lathe.constant`s in the kernel hold, each as a row of elements.
  SmallVector<DenseElementsAttr> constants;

  /// Reads `kernel`, whose body must be one op for which `isAnchor` holds,
  /// views and elementwise ops; else fails with the reason in `whyNot`. The
  /// operands and results of an attention with heads third are seen as views
  /// [batch, head, row, place], so that layouts are strides to schedules.
  /// With `takesDequantize` operand 1 may be the result of a `dequantize`.
  static FailureOr<KernelViews> get(KernelOp kernel,
                                    function_ref<bool(Operation *)> isAnchor,
                                    std::string &whyNot,
                                    bool takesDequantize = false);
  /// Adds operand `operand` of the anchor, broadcast, to its result, and drops
  /// it from the operands: the bias of `linear` and `conv`.
  void foldBias(unsigned operand);
};

/// Calls `fn` for every leaf of `expr`.
void forEachLeaf(Expr &expr, function_ref<void(Expr &)> fn);

} // namespace lathe

#endif // LATHE_TARGET_KERNELVIEWS_H
