//===- Decompose.cpp - Expand composite ops -------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Lathe.h"
#include "lathe/Analysis/StoredWeights.h"
#include "lathe/Interfaces/Interfaces.h"
#include "lathe/Transforms/Passes.h"

#include "mlir/IR/PatternMatch.h"
#include "llvm/ADT/StringSet.h"

namespace lathe {
#define GEN_PASS_DEF_DECOMPOSE
#include "lathe/Transforms/Passes.h.inc"

namespace {
/// What a decomposition built, so that one that fails midway leaves nothing.
struct Created : RewriterBase::Listener {
  void notifyOperationInserted(Operation *op, OpBuilder::InsertPoint) override {
    ops.push_back(op);
  }
  SmallVector<Operation *> ops;
};

struct Decompose : impl::DecomposeBase<Decompose> {
  using DecomposeBase::DecomposeBase;

  // Names in the options are looked up even where the model has no lathe op.
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<LatheDialect>();
  }

  LogicalResult initialize(MLIRContext *context) override {
    return success(areComposites(keep, "keep", context) &&
                   areComposites(only, "only", context));
  }

  void runOnOperation() override {
    llvm::StringSet<> kept, wanted;
    for (const std::string &name : keep)
      kept.insert(name);
    for (const std::string &name : only)
      wanted.insert(name);
    // A decomposition may contain composites: a new one stands in the worklist
    // of the next round. What failed once fails again, and stays.
    DenseSet<Operation *> refused;
    while (true) {
      SmallVector<DecomposableOpInterface> worklist;
      getOperation()->walk([&](DecomposableOpInterface op) {
        StringRef name = op->getName().getStringRef();
        // Bytes that no product reads are fused as elementwise ops.
        bool isKept = kept.contains(name) &&
                      (!isa<DequantizeOp>(*op) || isStoredWeight(op));
        if (!isKept && (wanted.empty() || wanted.contains(name)) &&
            !refused.contains(op))
          worklist.push_back(op);
      });
      if (worklist.empty())
        return;
      for (DecomposableOpInterface op : worklist)
        if (succeeded(expand(op)))
          ++numDecomposed;
        else
          refused.insert(op);
    }
  }

  static bool areComposites(ArrayRef<std::string> names, StringRef option,
                            MLIRContext *context) {
    for (const std::string &name : names) {
      auto info = RegisteredOperationName::lookup(name, context);
      if (!info || !info->hasInterface<DecomposableOpInterface>()) {
        emitError(UnknownLoc::get(context))
            << "expected names of composite ops in '" << option << "', got '"
            << name << "'";
        return false;
      }
    }
    return true;
  }

  LogicalResult expand(DecomposableOpInterface op) {
    Created created;
    IRRewriter rewriter(op->getContext(), &created);
    rewriter.setInsertionPoint(op);
    FailureOr<SmallVector<Value>> values = op.decompose(rewriter);
    if (failed(values) ||
        TypeRange(ValueRange(*values)) != op->getResultTypes()) {
      for (Operation *half : llvm::reverse(created.ops))
        half->erase();
      return failure();
    }
    // The name of the composite stays visible in the names of kernels.
    auto name = StringAttr::get(op->getContext(), op->getName().stripDialect());
    for (Operation *part : created.ops)
      if (auto fused = dyn_cast<FusedLoc>(part->getLoc());
          !fused || !fused.getMetadata())
        part->setLoc(FusedLoc::get(op->getContext(), part->getLoc(), name));
    rewriter.replaceOp(op, *values);
    return success();
  }
};
} // namespace
} // namespace lathe
