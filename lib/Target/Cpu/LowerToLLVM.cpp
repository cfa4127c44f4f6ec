//===- LowerToLLVM.cpp - A kernel over memory to the LLVM dialect ---------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Target/Cpu/CompileObject.h"

#include "lathe/Target/Cpu/ExpandMath.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace lathe::cpu {

/// The scratch argument is memref<?xi8>; bare-pointer calls need static shapes,
/// so it becomes memref<Nxi8> and is cast back inside.
static void makeScratchStatic(func::FuncOp function, int64_t bytes) {
  unsigned index = function.getNumArguments() - 3;
  BlockArgument scratch = function.getArgument(index);
  Type dynamicType = scratch.getType();
  auto staticType = MemRefType::get({std::max<int64_t>(bytes, 1)},
                                    IntegerType::get(function.getContext(), 8));
  if (dynamicType == staticType)
    return;
  scratch.setType(staticType);
  OpBuilder builder = OpBuilder::atBlockBegin(&function.getBody().front());
  auto cast =
      builder.create<memref::CastOp>(function.getLoc(), dynamicType, scratch);
  scratch.replaceAllUsesExcept(cast, cast);
  SmallVector<Type> inputs(function.getArgumentTypes());
  inputs[index] = staticType;
  function.setFunctionType(FunctionType::get(function.getContext(), inputs,
                                             function.getResultTypes()));
}

/// Lets the back end contract a * b + c in 32-bit code; f64 keeps every
/// rounding, because it is what other results are checked against.
static void allowContraction(func::FuncOp function) {
  function.walk([](arith::ArithFastMathInterface op) {
    if (!op->getNumResults() || !getElementTypeOrSelf(op->getResult(0)).isF32())
      return;
    if (!isa<arith::MulFOp, arith::AddFOp, arith::SubFOp>(op.getOperation()))
      return;
    auto flags =
        op.getFastMathFlagsAttr().getValue() | arith::FastMathFlags::contract;
    op->setAttr(op.getFastMathAttrName(),
                arith::FastMathFlagsAttr::get(op->getContext(), flags));
  });
}

/// void symbol(ptr args, ptr scratch, i64 begin, i64 end) around the body.
static void addEntry(ModuleOp module, LLVM::LLVMFuncOp body, StringRef symbol) {
  MLIRContext *context = module.getContext();
  Location loc = body.getLoc();
  body.setLinkage(LLVM::Linkage::Internal);
  OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
  auto pointer = LLVM::LLVMPointerType::get(context);
  auto i64 = builder.getI64Type();
  auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(context),
                                          {pointer, pointer, i64, i64});
  auto entry = builder.create<LLVM::LLVMFuncOp>(loc, symbol, type);
  Block *block = entry.addEntryBlock(builder);
  builder.setInsertionPointToStart(block);
  unsigned count = body.getNumArguments() - 3;
  SmallVector<Value> arguments;
  for (unsigned i = 0; i < count; ++i) {
    Value slot = builder.create<LLVM::GEPOp>(
        loc, pointer, pointer, block->getArgument(0),
        ArrayRef<LLVM::GEPArg>{int32_t(i)});
    arguments.push_back(builder.create<LLVM::LoadOp>(loc, pointer, slot));
  }
  for (unsigned i = 1; i < 4; ++i)
    arguments.push_back(block->getArgument(i));
  builder.create<LLVM::CallOp>(loc, body, arguments);
  builder.create<LLVM::ReturnOp>(loc, ValueRange{});
}

LogicalResult lowerToLLVM(ModuleOp module, const LoweredKernel &kernel,
                          StringRef symbol, const CpuFeatures &features) {
  func::FuncOp function = kernel.function;
  std::string bodyName = (symbol + ".body").str();
  function.setSymName(bodyName);
  makeScratchStatic(function, kernel.scratchBytes);
  // No two windows of a launch overlap where one of them is written.
  for (unsigned i = 0, e = function.getNumArguments() - 2; i < e; ++i)
    function.setArgAttr(i, LLVM::LLVMDialect::getNoAliasAttrName(),
                        UnitAttr::get(module.getContext()));
  // Before what it replaces is folded.
  expandBytes(function);
  if (failed(expandMath(function)))
    return failure();
  expandFloats(function, features);
  allowContraction(function);

  PassManager pm(module.getContext(), ModuleOp::getOperationName());
  pm.enableVerifier(false);
  pm.addNestedPass<func::FuncOp>(createConvertVectorToSCFPass(
      VectorTransferToSCFOptions().enableFullUnroll()));
  pm.addPass(createLowerAffinePass());
  pm.addPass(createConvertSCFToCFPass());
  pm.addPass(memref::createExpandStridedMetadataPass());
  pm.addPass(createLowerAffinePass());
  pm.addNestedPass<func::FuncOp>(arith::createArithExpandOpsPass());
  pm.addPass(createConvertMathToLLVMPass());
  pm.addPass(createConvertMathToLibmPass());
  pm.addPass(createConvertVectorToLLVMPass());
  pm.addPass(createFinalizeMemRefToLLVMConversionPass());
  ConvertFuncToLLVMPassOptions funcOptions;
  funcOptions.useBarePtrCallConv = true;
  pm.addPass(createConvertFuncToLLVMPass(funcOptions));
  pm.addPass(createConvertIndexToLLVMPass());
  pm.addPass(createArithToLLVMConversionPass());
  pm.addPass(createConvertControlFlowToLLVMPass());
  pm.addPass(createUBToLLVMConversionPass());
  pm.addPass(createReconcileUnrealizedCastsPass());
  if (failed(pm.run(module)))
    return failure();
  auto body = module.lookupSymbol<LLVM::LLVMFuncOp>(bodyName);
  if (!body)
    return module.emitError("kernel function was lost while lowering to LLVM");
  addEntry(module, body, symbol);
  return success();
}

} // namespace lathe::cpu
