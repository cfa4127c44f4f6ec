//===- EmitCode.cpp - LLVM's optimizer and code generator -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Target/Cpu/CompileObject.h"

#include "mlir/Target/LLVMIR/Export.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Analysis/TargetTransformInfo.h"
#include "llvm/IR/LLVMContext.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/TargetParser/Host.h"

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

std::vector<std::string> CpuTarget::getIsaNames() {
  return {"sse",         "avx2", "avx2-vnni",   "avx512",
          "avx512-vnni", "amx",  "amx-emulated"};
}

llvm::Expected<CpuTarget> CpuTarget::host(StringRef isa, bool toLookAt) {
  CpuTarget target;
  target.triple = llvm::sys::getProcessTriple();
  target.cpu = llvm::sys::getHostCPUName().str();
  llvm::StringMap<bool> features = llvm::sys::getHostCPUFeatures();
  auto has = [&](StringRef feature) { return features.lookup(feature); };
  bool avx512 =
      has("avx512f") && has("avx512bw") && has("avx512dq") && has("avx512vl");
  bool avx2 = has("avx2") && has("fma");
  bool vnni512 = avx512 && has("avx512vnni"), vnni = avx2 && has("avxvnni");
  bool amx = vnni512 && has("amx-tile") && has("amx-int8");
  bool bestVnni = avx512 ? vnni512 : vnni;
  using Tiles = TileRegisters;
  struct Isa {
    StringRef name, cpu, title;
    bool present, isAvx512, isAvx2, isVnni;
    Tiles tiles = Tiles::None;
    /// Beyond what `cpu` has.
    std::vector<std::string> features = {};
  };
  const Isa isas[] = {
      {"sse", "x86-64-v2", "SSE", true, false, false, false},
      {"avx2", "x86-64-v3", "AVX2 with FMA", avx2, false, true, false},
      {"avx2-vnni",
       "x86-64-v3",
       "AVX-VNNI",
       vnni,
       false,
       true,
       true,
       Tiles::None,
       {"avxvnni"}},
      {"avx512", "x86-64-v4", "AVX-512", avx512, true, true, false},
      {"avx512-vnni",
       "x86-64-v4",
       "AVX512-VNNI",
       vnni512,
       true,
       true,
       true,
       Tiles::None,
       {"avx512vnni"}},
      {"amx",
       "sapphirerapids",
       "AMX",
       amx,
       true,
       true,
       true,
       Tiles::Amx,
       {"amx-int8", "amx-tile"}},
      {"amx-emulated", target.cpu, "", true, avx512, avx2, bestVnni,
       Tiles::Emulated},
  };
  Isa chosen{"", target.cpu, "", true, avx512, avx2, bestVnni};
  if (amx) {
    chosen.tiles = Tiles::Amx;
    chosen.features = {"amx-int8", "amx-tile"};
  }
  if (!isa.empty()) {
    const Isa *found =
        llvm::find_if(isas, [&](const Isa &i) { return i.name == isa; });
    if (found == std::end(isas))
      return llvm::createStringError("unknown instruction set '" + isa +
                                     "', expected one of " +
                                     llvm::join(getIsaNames(), ", "));
    if (!found->present && !toLookAt)
      return llvm::createStringError("this processor has no " + found->title);
    chosen = *found;
    target.cpu = chosen.cpu.str();
  }
  target.schedule.vectorWidth = chosen.isAvx512 ? 16 : chosen.isAvx2 ? 8 : 4;
  target.schedule.vectorRegisters = chosen.isAvx512 ? 32 : 16;
  if (has("sse2"))
    target.schedule.byteProducts =
        chosen.isVnni ? ByteProducts::Vnni : ByteProducts::Words;
  target.schedule.tiles = chosen.tiles;
  target.features = chosen.features;
  for (const auto &feature : features) {
    StringRef name = feature.getKey();
    if (!feature.getValue())
      continue;
    // In the list above where it is used: whoever runs such code must ask the
    // system for the registers first.
    if (name.starts_with("amx"))
      continue;
    if (!chosen.isAvx512 && (name.starts_with("avx512") ||
                             name.starts_with("avx10") || name == "evex512"))
      continue;
    if (!chosen.isAvx2 &&
        (name.starts_with("avx") || name == "fma" || name == "f16c" ||
         name == "vaes" || name == "vpclmulqdq"))
      continue;
    if (!chosen.isVnni && (name == "avx512vnni" || name.starts_with("avxvnni")))
      continue;
    if (!llvm::is_contained(chosen.features, name))
      target.features.push_back(name.str());
  }
  llvm::sort(target.features);
  auto uses = [&](StringRef feature) {
    return llvm::is_contained(target.features, feature);
  };
  target.schedule.convertsBfloat = uses("avx512bf16");
  target.schedule.convertsHalf = uses("f16c");
  return target;
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
