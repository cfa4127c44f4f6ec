//===- InlineCalls.cpp - Calls of a model, copied into its entry ----------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Transforms/Specialize.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/SymbolTable.h"
#include "llvm/ADT/SetVector.h"

namespace lathe {
namespace {

/// Inlines every call below a function, callees first, so that each body is
/// copied flat.
class CallInliner {
public:
  explicit CallInliner(func::FuncOp entry) : entry(entry) {}

  LogicalResult run() {
    if (failed(flatten(entry)))
      return failure();
    // Callees that nothing names any more go.
    auto module = entry->getParentOfType<ModuleOp>();
    if (!module || flat.size() < 2)
      return success();
    auto uses = SymbolTable::getSymbolUses(&module.getBodyRegion());
    if (!uses)
      return success();
    llvm::DenseSet<StringAttr> named;
    for (SymbolTable::SymbolUse use : *uses)
      named.insert(use.getSymbolRef().getRootReference());
    for (func::FuncOp function : flat)
      if (function != entry && function.isPrivate() &&
          !named.contains(function.getSymNameAttr()))
        function.erase();
    return success();
  }

private:
  LogicalResult flatten(func::FuncOp function) {
    SmallVector<func::CallOp> calls;
    function.walk([&](func::CallOp call) { calls.push_back(call); });
    // Far beyond what a model has, and short of what the stack holds.
    if (active.size() >= 1000)
      return function.emitError("expected calls at most 1000 deep");
    active.insert(function);
    for (func::CallOp call : calls) {
      auto callee = symbols.lookupNearestSymbolFrom<func::FuncOp>(
          call, call.getCalleeAttr());
      if (!callee || callee.isExternal())
        return call.emitError("expected a function with a body to call, got '@")
               << call.getCallee() << "'";
      if (active.contains(callee))
        return call.emitError("expected calls without recursion, got '@")
               << call.getCallee() << "' inside itself";
      if (!llvm::hasSingleElement(callee.getBody()))
        return call.emitError("expected a function of one block, got '@")
               << call.getCallee() << "'";
      if (!flat.contains(callee) && failed(flatten(callee)))
        return failure();
      if (failed(inlineCall(call, callee)))
        return failure();
    }
    active.erase(function);
    flat.insert(function);
    return success();
  }

  LogicalResult inlineCall(func::CallOp call, func::FuncOp callee) {
    Block &body = callee.getBody().front();
    IRMapping mapping;
    mapping.map(body.getArguments(), call.getOperands());
    OpBuilder builder(call);
    for (Operation &op : body.without_terminator()) {
      // Calls of calls may double the size at every level.
      op.walk([&](Operation *) { ++copied; });
      if (copied > kMaxCopied)
        return call.emitError("expected calls that come to at most ")
               << kMaxCopied << " ops once inlined";
      builder.clone(op, mapping);
    }
    SmallVector<Value> results;
    for (Value value : body.getTerminator()->getOperands())
      results.push_back(mapping.lookupOrDefault(value));
    call.replaceAllUsesWith(results);
    call.erase();
    return success();
  }

  static constexpr int64_t kMaxCopied = 200'000;
  func::FuncOp entry;
  SymbolTableCollection symbols;
  llvm::DenseSet<Operation *> active;
  llvm::SetVector<func::FuncOp> flat;
  int64_t copied = 0;
};

} // namespace

LogicalResult inlineCalls(func::FuncOp entry) {
  return CallInliner(entry).run();
}

} // namespace lathe
