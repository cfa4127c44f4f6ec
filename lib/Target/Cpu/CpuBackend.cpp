//===- CpuBackend.cpp - A module of kernels to an Executable for the CPU --===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Target/Cpu/CpuBackend.h"
#include "lathe/Support/DiskCache.h"
#include "lathe/Support/Error.h"

using namespace mlir;

namespace lathe::cpu {

namespace {

struct NamedSchedule {
  StringRef name;
  ScheduleFn lower;
};

/// A kernel's loops, in a module of their own so that several can go through
/// LLVM at once.
struct LoweredModule {
  std::string symbol;
  OwningOpRef<ModuleOp> module;
  LoweredKernel lowered;
  StringRef schedule;
};

} // namespace

/// In the order they are tried; the last takes whatever lowers to linalg.
static ArrayRef<NamedSchedule> getSchedules() {
  static const NamedSchedule schedules[] = {
      {"attention", scheduleAttention},
      {"attention", scheduleAttentionBackward},
      {"contraction", scheduleContraction},
      {"convolution", scheduleConvolution},
      {"pack", schedulePack},
      {"rows", scheduleRows},
      {"opaque", scheduleOpaque},
  };
  return schedules;
}

static std::string getTargetText(const CpuTarget &target) {
  std::string text = target.triple + "\n" + target.cpu + "\n" +
                     std::to_string(target.schedule.vectorWidth) + " " +
                     std::to_string(int(target.schedule.byteProducts)) + " " +
                     std::to_string(int(target.schedule.bfloatProducts)) + " " +
                     std::to_string(int(target.schedule.tiles));
  for (const std::string &feature : target.features)
    text += "," + feature;
  return text;
}

/// Whether the kernel reads a tensor without elements, such as a matmul over an
/// inner dim of 0: the fast schedules are made for at least one.
static bool readsNothing(KernelOp kernel) {
  return llvm::any_of(kernel.getInputs().getTypes(), [](Type type) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    return tensor && tensor.hasStaticShape() && tensor.getNumElements() == 0;
  });
}

static FailureOr<LoweredModule> lowerKernel(KernelOp kernel, StringRef text,
                                            const CpuTarget &target) {
  LoweredModule result;
  // The symbol is part of the code, so it must not depend on the model.
  result.symbol = "k_" + sha256Hex(text).substr(0, 24);
  result.module = ModuleOp::create(kernel.getLoc());
  std::string reasons;
  for (const NamedSchedule &schedule : getSchedules()) {
    if (readsNothing(kernel) && schedule.name != getSchedules().back().name)
      continue;
    std::string whyNot;
    FailureOr<LoweredKernel> lowered = schedule.lower(
        kernel, *result.module, result.symbol, target.schedule, whyNot);
    if (succeeded(lowered)) {
      result.lowered = *lowered;
      result.schedule = schedule.name;
      return result;
    }
    reasons += ("\n  " + schedule.name + ": " + whyNot).str();
    result.module->getBody()->clear();
  }
  return refuseKernel(kernel, "CPU", reasons);
}

LogicalResult compileForCpu(func::FuncOp entry, const BackendOptions &options,
                            exec::Executable &executable,
                            BackendStatistics *statistics) {
  const CpuTarget &target = options.target;
  auto lower = [&](KernelOp kernel, StringRef text,
                   exec::Kernel &info) -> FailureOr<MakeObjectFn> {
    FailureOr<LoweredModule> lowered = lowerKernel(kernel, text, target);
    if (failed(lowered))
      return failure();
    info.set_schedule(lowered->schedule.str());
    info.set_work_items(lowered->lowered.workItems);
    info.set_scratch_bytes(lowered->lowered.scratchBytes);
    info.set_symbol(lowered->symbol);
    // Functions that are copied, as std::function is, cannot own the module.
    auto shared = std::make_shared<LoweredModule>(std::move(*lowered));
    return MakeObjectFn(
        [shared, &target](exec::Kernel &, exec::Object &object) -> llvm::Error {
          if (failed(lowerToLLVM(*shared->module, shared->lowered,
                                 shared->symbol, target.schedule)))
            return makeError("lowering to LLVM failed");
          llvm::Expected<std::string> code =
              emitCode(*shared->module, target, CodeKind::Object);
          if (!code)
            return code.takeError();
          object.set_code(std::move(*code));
          return llvm::Error::success();
        });
  };
  if (failed(compileKernels(entry, options, "cpu\n" + getTargetText(target),
                            lower, executable, statistics)))
    return failure();
  executable.set_target("cpu");
  executable.set_triple(target.triple);
  executable.set_cpu(target.cpu);
  executable.clear_cpu_features();
  for (const std::string &feature : target.features)
    executable.add_cpu_features(feature);
  return success();
}

LogicalResult printKernelCode(ModuleOp module, const BackendOptions &options,
                              StringRef stage, raw_ostream &os) {
  return forEachDistinctKernel(
      module, [&](KernelOp kernel, StringRef text) -> LogicalResult {
        FailureOr<LoweredModule> lowered =
            lowerKernel(kernel, text, options.target);
        if (failed(lowered))
          return failure();
        os << (stage == "asm"    ? "# "
               : stage == "llvm" ? "; "
                                 : "// ")
           << "kernel " << kernel.getName() << " (" << lowered->schedule << ", "
           << lowered->lowered.workItems << " work items, "
           << lowered->lowered.scratchBytes << " bytes of scratch)\n";
        if (stage == "memref") {
          lowered->module->print(os);
          os << "\n";
          return success();
        }
        if (failed(lowerToLLVM(*lowered->module, lowered->lowered,
                               lowered->symbol, options.target.schedule)))
          return failure();
        llvm::Expected<std::string> code =
            emitCode(*lowered->module, options.target,
                     stage == "asm" ? CodeKind::Assembly : CodeKind::LLVM);
        if (!code)
          return kernel.emitError(llvm::toString(code.takeError()));
        os << *code << "\n";
        return success();
      });
}

} // namespace lathe::cpu
