//===- ExpandGradients.cpp - Backward parts inside of a model -------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Backward.h"
#include "dialects/Lathe/Gradient.h"
#include "dialects/Lathe/Vjp.h"
#include "lathe/Autodiff/Passes.h"

namespace lathe {
#define GEN_PASS_DEF_EXPANDGRADIENTS
#include "lathe/Autodiff/Passes.h.inc"

namespace {

LogicalResult expand(func::FuncOp function, GradientOp op) {
  Block &block = *op->getBlock();
  if (&block != &function.getBody().front())
    return op.emitOpError("expected to stand in the top block of a function");
  // Of what an op is replaced by, the operands tell.
  auto findActivity = [&] {
    return Activity(block, op.getBy(), op.getValue());
  };
  if (failed(prepareForGradients(function, findActivity)))
    return failure();
  Activity activity = findActivity();
  OpBuilder builder(op);
  VjpBuilder b(builder, op);
  Cotangents cotangents;
  Value one = b.number(1.0, op.getValue());
  auto type = cast<RankedTensorType>(op.getValue().getType());
  if (type.getRank())
    one = b.reshape(one, type.getShape());
  cotangents.add(builder, op.getValue(), one);
  {
    GradientOptions options;
    Backward backward(activity, options);
    if (failed(backward.run(block, cotangents, builder)))
      return failure();
  }
  for (auto [result, by] : llvm::zip_equal(op.getResults(), op.getBy())) {
    Value gradient = cotangents.get(by);
    result.replaceAllUsesWith(gradient ? gradient : b.zerosLike(by));
  }
  op.erase();
  return success();
}

struct ExpandGradients : impl::ExpandGradientsBase<ExpandGradients> {
  using ExpandGradientsBase::ExpandGradientsBase;

  void runOnOperation() override {
    // In order: a gradient of a gradient finds the first one expanded.
    SmallVector<GradientOp> ops;
    getOperation().walk([&](GradientOp op) { ops.push_back(op); });
    for (GradientOp op : ops) {
      for (Type type : op->getOperandTypes())
        if (!cast<ShapedType>(type).hasStaticShape()) {
          op.emitOpError("expected static shapes, got ")
              << type << ": lathe-specialize makes them so";
          return signalPassFailure();
        }
      if (failed(expand(getOperation(), op)))
        return signalPassFailure();
    }
    numExpanded += ops.size();
  }
};

} // namespace
} // namespace lathe
