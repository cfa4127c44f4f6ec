//===- EmitCode.cpp - LLVM's optimizer and code generator -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Target/Cpu/CompileObject.h"

#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/Analysis/TargetTransformInfo.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"

#include <mutex>

using namespace mlir;

namespace lathe::cpu {

static void initializeTargets() {
  static std::once_flag once;
  std::call_once(once, [] {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
  });
}

/// Whether kernels ask for VNNI by name.
static bool usesVnni(const llvm::Module &module) {
  return llvm::any_of(module.functions(), [](const llvm::Function &function) {
    return function.getName().contains("vpdpbus");
  });
}

static llvm::Expected<std::unique_ptr<llvm::TargetMachine>>
createTargetMachine(const CpuTarget &target, bool hasVnni) {
  initializeTargets();
  std::string error;
  const llvm::Target *backend =
      llvm::TargetRegistry::lookupTarget(target.triple, error);
  if (!backend)
    return llvm::createStringError(error);
  std::string features;
  for (const std::string &feature : target.features)
    features += (features.empty() ? "+" : ",+") + feature;
  // LLVM 19 makes vpdpbusd of a sum of 16 products by itself, and then takes
  // one of its four parts for the sum.
  if (!hasVnni && llvm::StringRef(target.triple).starts_with("x86_64"))
    features +=
        (features.empty() ? "" : ",") + std::string("-avx512vnni,-avxvnni");
  llvm::TargetOptions options;
  return std::unique_ptr<llvm::TargetMachine>(backend->createTargetMachine(
      target.triple, target.cpu, features, options, llvm::Reloc::PIC_,
      llvm::CodeModel::Small, llvm::CodeGenOptLevel::Default));
}

llvm::Expected<std::string> emitCode(ModuleOp module, const CpuTarget &target,
                                     CodeKind kind) {
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> llvmModule =
      translateModuleToLLVMIR(module, context);
  if (!llvmModule)
    return llvm::createStringError("translation to LLVM IR failed");
  auto machineOrError = createTargetMachine(target, usesVnni(*llvmModule));
  if (!machineOrError)
    return machineOrError.takeError();
  std::unique_ptr<llvm::TargetMachine> machine = std::move(*machineOrError);
  llvmModule->setDataLayout(machine->createDataLayout());
  llvmModule->setTargetTriple(target.triple);
  for (llvm::Function &function : *llvmModule) {
    if (function.isDeclaration())
      continue;
    // LLVM prefers 256-bit vectors on most AVX-512 machines; scalar loops lose
    // half their throughput that way here.
    if (target.schedule.vectorWidth == 16)
      function.addFnAttr("prefer-vector-width", "512");
    function.addFnAttr("no-trapping-math", "true");
    function.setUWTableKind(llvm::UWTableKind::None);
    function.addFnAttr(llvm::Attribute::NoUnwind);
  }

  llvm::LoopAnalysisManager loops;
  llvm::FunctionAnalysisManager functions;
  llvm::CGSCCAnalysisManager callGraph;
  llvm::ModuleAnalysisManager modules;
  llvm::PipelineTuningOptions tuning;
  tuning.LoopVectorization = true;
  tuning.SLPVectorization = false;
  llvm::PassBuilder builder(machine.get(), tuning);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(callGraph);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, callGraph, modules);
  builder.buildPerModuleDefaultPipeline(llvm::OptimizationLevel::O2)
      .run(*llvmModule, modules);

  if (kind == CodeKind::LLVM) {
    std::string text;
    llvm::raw_string_ostream os(text);
    llvmModule->print(os, nullptr);
    return text;
  }
  llvm::SmallVector<char, 0> buffer;
  llvm::raw_svector_ostream os(buffer);
  llvm::legacy::PassManager codegen;
  auto fileType = kind == CodeKind::Assembly
                      ? llvm::CodeGenFileType::AssemblyFile
                      : llvm::CodeGenFileType::ObjectFile;
  if (machine->addPassesToEmitFile(codegen, os, nullptr, fileType))
    return llvm::createStringError("the back end cannot emit code for " +
                                   target.triple);
  codegen.run(*llvmModule);
  return std::string(buffer.begin(), buffer.end());
}

} // namespace lathe::cpu
