//===- Compiler.h - From a model file to an Executable -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_PIPELINES_COMPILER_H
#define LATHE_PIPELINES_COMPILER_H

#include "lathe/Executable/MemoryUse.h"
#include "lathe/Import/Onnx.h"
#include "lathe/Support/Precision.h"
#include "lathe/Support/QuantizationScheme.h"
#include "lathe/Support/Tensor.h"
#include "lathe/Target/ScheduleChoices.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"
#include "llvm/Support/Error.h"

#include <functional>
#include <map>

namespace mlir {
class OpPassManager;
} // namespace mlir

namespace lathe {
using namespace mlir;

/// Every dialect, external model and translation the compiler uses.
void registerAllLatheDialects(DialectRegistry &registry);

/// What a model's argument looks like before its open sizes are fixed.
struct InputDeclaration {
  std::string name;
  DType dtype;
  /// -1 where open.
  std::vector<int64_t> shape;
  /// Names of open sizes, "" where unnamed; one per dim.
  std::vector<std::string> dimNames;
};

/// What lathe-quantize does.
struct QuantizationOptions {
  QuantizationScheme scheme;
  /// A file of lathe calibrate, or "".
  std::string ranges;
  /// Ops to leave in floats: names, with * for any letters.
  std::vector<std::string> keep;
};

enum class Target { Cpu, CudaSim, Cuda };
/// "cpu", "cuda-sim", "cuda".
StringRef targetName(Target target);

/// The levels of CompileOptions::recompute: of what loops over layers or time
/// stack, elementwise ops but GELU (1), data movement and reductions (2),
/// products with a short inner side, as those of attention (3), everything (4).
constexpr unsigned kMostRecompute = 4;
constexpr unsigned kDefaultRecompute = 1;
/// Of a train step where nobody says: the pass is no matter of correctness.
constexpr unsigned defaultRecompute(bool optimize) {
  return optimize ? kDefaultRecompute : 0;
}

struct CompileOptions {
  Target target = Target::Cpu;
  /// Target cuda: "sm_80", "sm_90a", ...
  std::string arch = "sm_90a";
  /// The CUDA targets: a folder with edited kernel texts, NAME.cu.
  std::string cudaSourceFolder;
  /// Target cuda-sim: look for accesses out of bounds, races and the like.
  bool simChecks = true;
  /// The CUDA targets: what schedules are not to choose by themselves.
  std::vector<NamedTile> tiles;
  /// What products, convolutions and attention of f32 compute on; TF32 is for
  /// the CUDA targets alone. Of training the recipe says it.
  Precision precision = Precision::F32;
  /// Of a model that runs; training has none.
  QuantizationOptions quantization;
  bool fuse = true;
  /// Off: only what is needed for correctness (decompose, one op per kernel).
  bool optimize = true;
  /// Off: values are stored as the model says (no lathe-layout).
  bool layout = true;
  /// "avx512", "avx2", "sse", or "" for the best this machine has.
  std::string isa;
  /// Instead of for this machine: code for every processor that has one of
  /// these instruction sets, of which the Runtime chooses.
  std::vector<std::string> portableIsas;
  unsigned threads = 2;
  bool useCache = true;
  /// Record on every kernel why its neighbours are not in it
  /// (lathe/Transforms/ExplainKernels.h shows it).
  bool explain = false;
  /// How willing a train step is to compute values again for its backward part
  /// instead of keeping them: 0 (keep all) to kMostRecompute. None:
  /// defaultRecompute(), what costs no time. Other programs keep all.
  std::optional<unsigned> recompute;
  /// Training: bytes that tensors may take; 0 for no limit.
  uint64_t maxMemory = 0;
  /// Run so many of the graph passes alone (GraphPasses::truncate).
  std::optional<unsigned> graphPasses;
  /// Called after every graph pass, with its name. Only tests that plant faults
  /// use it.
  std::function<void(StringRef, ModuleOp)> afterPass;
  /// Where a pass reproducer goes when a pass fails; "" for none.
  std::string reproducer;
  std::function<void(unsigned, unsigned)> progress;
};

struct CompileStatistics {
  double seconds = 0;
  unsigned kernels = 0, distinct = 0, fromCache = 0;
  /// Of a train step that was compiled with `explain`: what is made again for
  /// the backward part ("exp at model.mlir:7:3"), the arithmetic of that, and
  /// the bytes that are not kept for it.
  std::vector<std::string> recomputed;
  int64_t recomputeFlops = 0, bytesSaved = 0;
};

/// Names of the graph passes that `options` ask for, in order.
std::vector<std::string> graphPassNames(const CompileOptions &options);

/// A model as parsed, before specialization.
class Model {
public:
  /// Reads an ONNX model, which must be called *.onnx, or MLIR text under any
  /// other name. Errors are diagnostics; null then. `onnx` and `info` are for
  /// ONNX models alone. `entry` is a public function of the model; "": the only
  /// one, or @main.
  static std::unique_ptr<Model> load(MLIRContext &context, StringRef path,
                                     const OnnxImportOptions &onnx = {},
                                     OnnxImportInfo *info = nullptr,
                                     StringRef entry = "");

  /// A model that is in memory already, with the entry function `entry`. Null
  /// after a diagnostic: no such function, or a signature that cannot be run.
  static std::unique_ptr<Model> fromModule(OwningOpRef<ModuleOp> module,
                                           StringRef entry);

  ModuleOp module() const { return *moduleRef; }
  func::FuncOp entry() const { return entryFunc; }
  const std::vector<InputDeclaration> &inputs() const { return declarations; }
  const std::string &path() const { return file; }

  /// A copy specialized to the shapes of its arguments and taken through the
  /// graph passes up to lathe.kernel regions; null after a diagnostic.
  OwningOpRef<ModuleOp> lowerToKernels(ArrayRef<SmallVector<int64_t>> shapes,
                                       const CompileOptions &options) const;

  /// A copy specialized to the shapes of its arguments with its composites
  /// recognized, as lathe-layout and lathe-quantize see it; the entry keeps its
  /// name. Null after a diagnostic.
  OwningOpRef<ModuleOp> recognize(ArrayRef<SmallVector<int64_t>> shapes) const;

  /// Adds a program for these shapes to `executable`.
  LogicalResult compile(ArrayRef<SmallVector<int64_t>> shapes,
                        const CompileOptions &options,
                        exec::Executable &executable,
                        CompileStatistics *statistics) const;

private:
  OwningOpRef<ModuleOp> specializeCopy(ArrayRef<SmallVector<int64_t>> shapes,
                                       OpPassManager &first) const;

  std::string file;
  OwningOpRef<ModuleOp> moduleRef;
  func::FuncOp entryFunc;
  std::vector<InputDeclaration> declarations;
};

/// What a program takes by the plan of its buffers, before its kernels are
/// compiled: all but their workspace. `entry` is from lowerToKernels.
FailureOr<MemoryUse> planMemory(func::FuncOp entry);

/// The public function `name`; where that is empty the only one, or @main. Null
/// after a diagnostic.
func::FuncOp findEntry(ModuleOp module, StringRef name = "");

} // namespace lathe

#endif // LATHE_PIPELINES_COMPILER_H
