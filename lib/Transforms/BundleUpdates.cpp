//===- BundleUpdates.cpp - The updates of small states in one kernel ------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// An optimizer has a kernel per parameter, and most parameters are small: what
// such a kernel costs is its launch. Their kernels need nothing of each other,
// so they become one, which schedules deal out part by part. Large tensors stay
// alone: their gradients are freed as soon as they are used.
//
//===----------------------------------------------------------------------===//

#include "lathe/Transforms/Passes.h"

#include "dialects/Lathe/Lathe.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SetVector.h"

namespace lathe {
#define GEN_PASS_DEF_BUNDLEUPDATES
#include "lathe/Transforms/Passes.h.inc"
} // namespace lathe

using namespace lathe;

namespace {
struct BundleUpdates : lathe::impl::BundleUpdatesBase<BundleUpdates> {
  using BundleUpdatesBase::BundleUpdatesBase;

  void runOnOperation() override {
    func::FuncOp function = getOperation();
    if (function.isExternal())
      return;
    Block &block = function.getBody().front();
    SmallVector<KernelOp> group;
    size_t arguments = 0;
    for (auto kernel : llvm::to_vector(block.getOps<KernelOp>())) {
      if (!isSmallUpdate(kernel))
        continue;
      size_t more = kernel->getNumOperands() + kernel->getNumResults();
      if (arguments + more > size_t(maxArguments)) {
        bundle(group);
        group.clear();
        arguments = 0;
      }
      group.push_back(kernel);
      arguments += more;
    }
    bundle(group);
  }

  /// Whether the kernel runs over few elements alone, and computes nothing but
  /// new values of states.
  bool isSmallUpdate(KernelOp kernel) {
    for (Operation *user : kernel->getUsers())
      if (!isa<SetParameterOp>(user) || user->getBlock() != kernel->getBlock())
        return false;
    for (Operation &op : kernel.getBody().front().without_terminator()) {
      auto fusible = dyn_cast<FusibleOpInterface>(op);
      bool isPlain =
          op.hasTrait<OpTrait::ConstantLike>() ||
          (fusible && fusible.getFusionKind() == FusionKind::Elementwise);
      for (Type type : op.getResultTypes())
        isPlain &= cast<RankedTensorType>(type).getNumElements() <=
                   int64_t(maxElements);
      if (!isPlain)
        return false;
    }
    return !kernel->use_empty();
  }

  void bundle(ArrayRef<KernelOp> kernels);
};
} // namespace

void BundleUpdates::bundle(ArrayRef<KernelOp> kernels) {
  if (kernels.size() < 2)
    return;
  llvm::SetVector<Value> inputs;
  SmallVector<Type> types;
  SmallVector<Location> locations;
  for (KernelOp kernel : kernels) {
    inputs.insert(kernel.getInputs().begin(), kernel.getInputs().end());
    llvm::append_range(types, kernel->getResultTypes());
    locations.push_back(kernel.getLoc());
  }
  // Everything that the kernels read is there where the last one stands.
  OpBuilder builder(kernels.back());
  auto whole = builder.create<KernelOp>(
      builder.getFusedLoc(locations), types, inputs.getArrayRef(),
      builder.getStringAttr("updates_of_" + Twine(kernels.size())),
      builder.getStringAttr("rows"));
  Block &body = whole.getBody().emplaceBlock();
  builder.setInsertionPointToEnd(&body);
  DenseMap<Value, Value> argumentOf;
  for (Value input : inputs)
    argumentOf[input] = body.addArgument(input.getType(), input.getLoc());
  SmallVector<Value> yields;
  for (KernelOp kernel : kernels) {
    IRMapping mapping;
    Block &part = kernel.getBody().front();
    for (auto [argument, input] :
         llvm::zip_equal(part.getArguments(), kernel.getInputs()))
      mapping.map(argument, argumentOf.lookup(input));
    for (Operation &op : part.without_terminator())
      builder.clone(op, mapping);
    for (Value value : part.getTerminator()->getOperands())
      yields.push_back(mapping.lookupOrDefault(value));
  }
  builder.create<YieldOp>(whole.getLoc(), yields);

  Operation *last = whole;
  unsigned next = 0;
  for (KernelOp kernel : kernels)
    for (Value result : kernel->getResults()) {
      SmallVector<Operation *> users(result.user_begin(), result.user_end());
      for (Operation *user : users)
        if (user->isBeforeInBlock(last)) {
          user->moveAfter(last);
          last = user;
        }
      result.replaceAllUsesWith(whole->getResult(next++));
    }
  for (KernelOp kernel : kernels)
    kernel->erase();
  ++numBundles;
  numBundled += kernels.size();
}
