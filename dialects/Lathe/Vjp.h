//===- Vjp.h - Builds derivative rules --------------------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Used by the family files and lib/Autodiff. Rules are written on static
// shapes: gradients are built after specialization. docs/autograd.md shows how
// to add one.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_DIALECT_VJP_H
#define LATHE_DIALECT_VJP_H

#include "dialects/Lathe/Composer.h"

namespace lathe {

/// What `buildVjp` returns: a gradient per operand, null where none flows.
using Gradients = FailureOr<SmallVector<Value>>;

/// Whether elements are floats, so that a gradient may flow.
inline bool hasFloatElements(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  return type && isa<FloatType>(type.getElementType());
}

/// A builder of rules; a, b, ... are tensors that broadcast.
class VjpBuilder : public Composer {
public:
  using Composer::Composer;

  Value add(Value a, Value b) { return make<AddOp>(a, b); }
  Value sub(Value a, Value b) { return make<SubOp>(a, b); }
  Value mul(Value a, Value b) { return make<MulOp>(a, b); }
  Value div(Value a, Value b) { return make<DivOp>(a, b); }
  Value neg(Value a) { return make<NegOp>(a); }
  Value select(Value condition, Value a, Value b) {
    return make<SelectOp>(condition, a, b);
  }
  Value compare(ComparePredicate predicate, Value a, Value b) {
    return make<CompareOp>(predicate, a, b);
  }
  /// `value` as a rank-0 tensor of the element type of `like`.
  Value number(double value, Value like) {
    return constant(getTensorType(like).getElementType(), value);
  }
  Value scale(Value a, double factor) { return mul(a, number(factor, a)); }
  Value sum(Value a, ArrayRef<int64_t> axes, bool keepdims = true) {
    return axes.empty() ? a : make<ReduceSumOp>(a, axes, keepdims);
  }
  Value mean(Value a, ArrayRef<int64_t> axes) {
    return axes.empty() ? a : make<ReduceMeanOp>(a, axes, /*keepdims=*/true);
  }

  Value reshape(Value a, ArrayRef<int64_t> shape);
  Value transpose(Value a, ArrayRef<int64_t> permutation);
  /// `a` with the axes `from` in front (or back, at `to`): their order stays.
  Value moveAxis(Value a, int64_t from, int64_t to);
  /// `a` stretched to `shape` by NumPy's rules.
  Value broadcast(Value a, ArrayRef<int64_t> shape);
  /// Zeros (or another number) of a static shape, as a stretched constant.
  Value splat(Type element, ArrayRef<int64_t> shape, double value);
  Value zerosLike(Value a) {
    return splat(getTensorType(a).getElementType(), getTensorType(a).getShape(),
                 0.0);
  }

  /// The transpose of a broadcast: `a` summed over the dims in which a tensor
  /// of `shape` was stretched to a's.
  Value sumTo(Value a, ArrayRef<int64_t> shape);
  /// The same, with the elements of `like`, whose gradient it is.
  Value gradientOf(Value like, Value a);
};

} // namespace lathe

#endif // LATHE_DIALECT_VJP_H
