//===- Compiler.cpp - From a model file to an Executable -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Pipelines/Compiler.h"

#include "CudaCode.h"

#include "dialects/Lathe/Lathe.h"
#include "lathe/Autodiff/Passes.h"
#include "lathe/Pipelines/Pipelines.h"
#include "lathe/Support/DiskCache.h"
#include "lathe/Support/MappedFile.h"
#include "lathe/Target/Cpu/CpuBackend.h"
#include "lathe/Target/Cuda/CudaBackend.h"
#include "lathe/Target/KernelIdentity.h"
#include "lathe/Target/ProgramBuilder.h"
#include "lathe/Transforms/Passes.h"
#include "lathe/Transforms/Specialize.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/SourceMgr.h"

#include <chrono>

using namespace mlir;

namespace lathe {

void registerAllLatheDialects(DialectRegistry &registry) {
  registry.insert<LatheDialect, func::FuncDialect>();
  cpu::registerCpuDialects(registry);
}

func::FuncOp findEntry(ModuleOp module, StringRef name) {
  if (name.empty())
    if (auto main = module.lookupSymbol<func::FuncOp>("main"))
      return main;
  SmallVector<func::FuncOp> candidates;
  for (auto func : module.getOps<func::FuncOp>())
    if (func.isPublic() && !func.isExternal())
      candidates.push_back(func);
  for (func::FuncOp func : candidates)
    if (func.getSymName() == name)
      return func;
  if (!name.empty()) {
    InFlightDiagnostic diagnostic =
        module.emitError("has no public function called '") << name << "'";
    for (func::FuncOp func : candidates)
      diagnostic.attachNote(func.getLoc()) << "@" << func.getSymName();
    return nullptr;
  }
  if (candidates.size() == 1)
    return candidates.front();
  if (candidates.empty()) {
    module.emitError("holds no public function to run");
    return nullptr;
  }
  InFlightDiagnostic diagnostic = module.emitError(
      "holds several public functions and none is called main");
  for (func::FuncOp func : candidates)
    diagnostic.attachNote(func.getLoc()) << "@" << func.getSymName();
  return nullptr;
}

/// What comes out must be tensors, and every name lead to one value: files and
/// options go by names.
static LogicalResult checkSignature(func::FuncOp entry) {
  llvm::StringSet<> names;
  for (unsigned i = 0, e = entry.getNumArguments(); i < e; ++i)
    if (auto name = entry.getArgAttrOfType<StringAttr>(i, "lathe.name"))
      if (!names.insert(name.getValue()).second)
        return entry.emitError("has two inputs called ") << name;
  names.clear();
  for (unsigned i = 0, e = entry.getNumResults(); i < e; ++i) {
    Type type = entry.getResultTypes()[i];
    if (!isa<RankedTensorType>(type))
      return entry.emitError("result ")
             << i << " must be a ranked tensor, got " << type;
    if (auto name = entry.getResultAttrOfType<StringAttr>(i, "lathe.name"))
      if (!names.insert(name.getValue()).second)
        return entry.emitError("has two outputs called ") << name;
  }
  return success();
}

static FailureOr<std::vector<InputDeclaration>>
declareInputs(func::FuncOp entry) {
  if (failed(checkSignature(entry)))
    return failure();
  std::vector<InputDeclaration> result;
  for (BlockArgument argument : entry.getArguments()) {
    unsigned index = argument.getArgNumber();
    auto type = dyn_cast<RankedTensorType>(argument.getType());
    if (!type)
      return entry.emitError("argument ")
             << index << " must be a ranked tensor, got " << argument.getType();
    auto element =
        toExecutableType(RankedTensorType::get({}, type.getElementType()));
    if (failed(element))
      return entry.emitError("argument ")
             << index << " has elements that cannot be stored: " << type;
    InputDeclaration declaration;
    llvm::Expected<DType> dtype = fromElementType(element->element());
    if (!dtype)
      return entry.emitError(llvm::toString(dtype.takeError()));
    declaration.dtype = *dtype;
    auto name = entry.getArgAttrOfType<StringAttr>(index, "lathe.name");
    declaration.name = name ? name.str() : ("input" + Twine(index)).str();
    auto dims = entry.getArgAttrOfType<ArrayAttr>(index, "lathe.dims");
    for (auto [i, size] : llvm::enumerate(type.getShape())) {
      declaration.shape.push_back(ShapedType::isDynamic(size) ? -1 : size);
      StringAttr dim = dims && i < dims.size() ? dyn_cast<StringAttr>(dims[i])
                                               : StringAttr();
      declaration.dimNames.push_back(dim ? dim.str() : "");
    }
    result.push_back(std::move(declaration));
  }
  return result;
}

/// Text that can be MLIR at all: no NUL byte in its beginning.
static bool looksLikeText(StringRef bytes) {
  return bytes.take_front(4096).find('\0') == StringRef::npos;
}

/// How deep brackets are nested. MLIR's parser and passes recurse into regions,
/// types and attributes: a hostile file must not exhaust the stack.
static unsigned measureNesting(StringRef text) {
  unsigned depth = 0, deepest = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '"') {
      for (++i; i < text.size() && text[i] != '"' && text[i] != '\n'; ++i)
        i += text[i] == '\\';
    } else if (c == '/' && text.substr(i).starts_with("//")) {
      i = std::min(text.find('\n', i), text.size());
    } else if (StringRef("([{<").contains(c)) {
      deepest = std::max(deepest, ++depth);
    } else if (StringRef(")]}>").contains(c)) {
      bool isArrow = c == '>' && i && text[i - 1] == '-';
      depth -= depth && !isArrow;
    }
  }
  return deepest;
}

static constexpr unsigned kMaxNesting = 256;

std::unique_ptr<Model> Model::load(MLIRContext &context, StringRef path,
                                   const OnnxImportOptions &onnx,
                                   OnnxImportInfo *info, StringRef entry) {
  Location loc = FileLineColLoc::get(&context, path, 0, 0);
  auto model = std::make_unique<Model>();
  model->file = path.str();
  if (llvm::sys::path::extension(path) == ".onnx") {
    model->moduleRef = importOnnx(context, path, onnx, info);
  } else {
    // Not MemoryBuffer::getFile: it waits for pipes and reads devices forever.
    auto mapped = MappedFile::open(path);
    if (!mapped) {
      emitError(UnknownLoc::get(&context))
          << llvm::toString(mapped.takeError());
      return nullptr;
    }
    StringRef text = (*mapped)->bytes();
    if (looksLikeExecutable(text)) {
      emitError(loc) << "is compiled already: expected MLIR text (.mlir) or an "
                        "ONNX model (.onnx)";
      return nullptr;
    }
    if (!looksLikeText(text)) {
      emitError(loc) << "is not a model: expected MLIR text (.mlir), an ONNX "
                        "model (.onnx) or a "
                        "compiled model (.lathe)";
      return nullptr;
    }
    if (measureNesting(text) > kMaxNesting) {
      emitError(loc) << "nests brackets more than " << kMaxNesting << " deep";
      return nullptr;
    }
    auto sources = std::make_shared<llvm::SourceMgr>();
    sources->AddNewSourceBuffer(
        llvm::MemoryBuffer::getMemBufferCopy(text, path), llvm::SMLoc());
    model->moduleRef =
        parseSourceFile<ModuleOp>(sources, ParserConfig(&context));
  }
  if (!model->moduleRef)
    return nullptr;
  model->entryFunc = findEntry(model->module(), entry);
  if (!model->entryFunc)
    return nullptr;
  auto declarations = declareInputs(model->entryFunc);
  if (failed(declarations))
    return nullptr;
  model->declarations = std::move(*declarations);
  return model;
}

std::unique_ptr<Model> Model::fromModule(OwningOpRef<ModuleOp> module,
                                         StringRef entry) {
  auto model = std::make_unique<Model>();
  model->moduleRef = std::move(module);
  model->entryFunc = model->module().lookupSymbol<func::FuncOp>(entry);
  if (!model->entryFunc || model->entryFunc.isExternal()) {
    model->module().emitError("expected a function '@") << entry << "'";
    return nullptr;
  }
  auto declarations = declareInputs(model->entryFunc);
  if (failed(declarations))
    return nullptr;
  model->declarations = std::move(*declarations);
  return model;
}

/// By level: operations, at most, to make a byte again of what loops stack. The
/// last is all but sums of thousands to one number: those would save nothing,
/// and fusion with other neighbours may add them up in another order.
static constexpr double kRecompute[] = {-1, 1, 24, 64, 4096};
static_assert(std::size(kRecompute) == kMostRecompute + 1);

namespace {
/// Shows the module to CompileOptions::afterPass.
struct CallAfterPass
    : public PassWrapper<CallAfterPass, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(CallAfterPass)
  CallAfterPass(std::string name,
                std::function<void(StringRef, ModuleOp)> function)
      : name(std::move(name)), function(std::move(function)) {}
  StringRef getArgument() const override { return "lathe-call-after-pass"; }
  void runOnOperation() override { function(name, getOperation()); }
  std::string name;
  std::function<void(StringRef, ModuleOp)> function;
};
} // namespace

static GraphPasses listGraphPasses(const CompileOptions &options) {
  GraphPipelineOptions graph;
  graph.fuse = options.fuse;
  graph.optimize = options.optimize;
  graph.layout = options.layout;
  graph.quantize = options.quantization.scheme.name;
  graph.quantizeGroup = options.quantization.scheme.group;
  graph.ranges = options.quantization.ranges;
  graph.keepFloat = options.quantization.keep;
  if (is16Bit(options.precision))
    graph.precision = precisionName(options.precision).str();
  graph.explain = options.explain;
  graph.recompute = kRecompute[options.recompute.value_or(0)];
  GraphPasses passes = options.target == Target::Cpu
                           ? listCpuGraphPasses(graph)
                           : listCudaGraphPasses(graph);
  if (options.graphPasses)
    passes.truncate(*options.graphPasses);
  if (options.afterPass) {
    std::vector<GraphPasses::GraphPass> list = std::move(passes.list);
    passes.list.clear();
    for (GraphPasses::GraphPass &one : list) {
      std::string name = one.pass->getArgument().str();
      passes.list.push_back(std::move(one));
      passes.onModule(std::make_unique<CallAfterPass>(name, options.afterPass));
    }
  }
  return passes;
}

std::vector<std::string> graphPassNames(const CompileOptions &options) {
  std::vector<std::string> names;
  for (const GraphPasses::GraphPass &one : listGraphPasses(options).list)
    names.push_back(one.pass->getArgument().str());
  return names;
}

/// A copy of the model for these shapes, with its entry alone; adds to `first`
/// what comes before all other passes.
OwningOpRef<ModuleOp>
Model::specializeCopy(ArrayRef<SmallVector<int64_t>> shapes,
                      OpPassManager &first) const {
  OwningOpRef<ModuleOp> copy(cast<ModuleOp>(module()->clone()));
  func::FuncOp specialized =
      copy->lookupSymbol<func::FuncOp>(entry().getSymName());
  if (failed(specialize(specialized, shapes)))
    return nullptr;
  // What can be trained says so with a loss; all else of it is for inference.
  if (entry().getSymName() == "main" && copy->lookupSymbol("loss"))
    first.addNestedPass<func::FuncOp>(createInferenceMode());
  first.addNestedPass<func::FuncOp>(createExpandGradients());
  // The sizes of the others are still open, and calls of them are inlined.
  for (auto other : llvm::make_early_inc_range(copy->getOps<func::FuncOp>()))
    if (other != specialized && !other->hasAttr("lathe.load_for"))
      other.erase();
  return copy;
}

OwningOpRef<ModuleOp>
Model::recognize(ArrayRef<SmallVector<int64_t>> shapes) const {
  PassManager pm(module()->getContext());
  OwningOpRef<ModuleOp> copy = specializeCopy(shapes, pm);
  if (!copy)
    return nullptr;
  listRecognitionPasses().addTo(pm);
  return succeeded(pm.run(*copy)) ? std::move(copy) : nullptr;
}

OwningOpRef<ModuleOp>
Model::lowerToKernels(ArrayRef<SmallVector<int64_t>> shapes,
                      const CompileOptions &options) const {
  PassManager pm(module()->getContext());
  if (!options.reproducer.empty()) {
    // MLIR cannot say which pass it was where several run at once.
    module()->getContext()->disableMultithreading();
    pm.enableCrashReproducerGeneration(options.reproducer,
                                       /*genLocalReproducer=*/true);
  }
  OwningOpRef<ModuleOp> copy = specializeCopy(shapes, pm);
  if (!copy)
    return nullptr;
  listGraphPasses(options).addTo(pm);
  if (failed(pm.run(*copy)))
    return nullptr;
  if (options.target != Target::Cpu &&
      failed(addScheduleChoices(*copy, options.tiles,
                                options.precision == Precision::TF32)))
    return nullptr;
  return copy;
}

FailureOr<MemoryUse> planMemory(func::FuncOp entry) {
  exec::Executable plan;
  auto resolve = [&](KernelOp kernel) -> FailureOr<ResolvedKernel> {
    describeKernel(kernel, *plan.add_kernels());
    return ResolvedKernel{uint32_t(plan.kernels_size() - 1),
                          kernel.getSchedule().str()};
  };
  if (failed(buildProgram(entry, plan, resolve)))
    return failure();
  return measureMemory(plan, 0, /*threads=*/1);
}

StringRef targetName(Target target) {
  switch (target) {
  case Target::Cpu:
    return "cpu";
  case Target::CudaSim:
    return "cuda-sim";
  case Target::Cuda:
    return "cuda";
  }
  llvm_unreachable("all targets are listed");
}

/// Takes what `other`, which is for `isa`, has of kernels. The steps around
/// them are to be the same.
static LogicalResult addCode(Location at, StringRef isa,
                             exec::Executable &other,
                             exec::Executable &executable) {
  auto sameSteps = [](const exec::Program &a, const exec::Program &b) {
    return a.SerializeAsString() == b.SerializeAsString();
  };
  if (!std::equal(other.programs().begin(), other.programs().end(),
                  executable.programs().begin(), executable.programs().end(),
                  sameSteps) ||
      other.constants() != executable.constants())
    return emitError(at) << "the steps for " << isa << " are not those for "
                         << executable.isa()
                         << "; compile a file for each of them";
  exec::CpuCode &code = *executable.add_more_code();
  code.set_isa(isa.str());
  code.set_cpu(other.cpu());
  code.mutable_cpu_features()->Swap(other.mutable_cpu_features());
  code.mutable_kernels()->Swap(other.mutable_kernels());
  code.mutable_objects()->Swap(other.mutable_objects());
  return success();
}

static LogicalResult compileCpu(func::FuncOp entry,
                                const CompileOptions &options,
                                const KernelCompileOptions &kernels,
                                exec::Executable &executable,
                                BackendStatistics *counts) {
  auto compileWith = [&](llvm::Expected<cpu::CpuTarget> target,
                         exec::Executable &to) -> LogicalResult {
    if (!target)
      return emitError(entry.getLoc()) << llvm::toString(target.takeError());
    cpu::BackendOptions backend{kernels, std::move(*target)};
    return cpu::compileForCpu(entry, backend, to, counts);
  };
  if (options.portableIsas.empty()) {
    executable.set_isa(options.isa);
    return compileWith(cpu::CpuTarget::host(options.isa), executable);
  }

  // The least demanding code is the executable's own.
  std::vector<std::string> isas;
  for (const std::string &isa : cpu::CpuTarget::getPortableIsaNames())
    if (llvm::is_contained(options.portableIsas, isa))
      isas.push_back(isa);
  if (failed(compileWith(cpu::CpuTarget::portable(isas.front()), executable)))
    return failure();
  executable.set_isa(isas.front());
  for (const std::string &isa : llvm::reverse(ArrayRef(isas).drop_front())) {
    exec::Executable other;
    if (failed(compileWith(cpu::CpuTarget::portable(isa), other)))
      return failure();
    if (failed(addCode(entry.getLoc(), isa, other, executable)))
      return failure();
  }
  return success();
}

static LogicalResult compileCuda(func::FuncOp entry,
                                 const CompileOptions &options,
                                 const KernelCompileOptions &kernels,
                                 exec::Executable &executable,
                                 BackendStatistics *counts) {
  llvm::Expected<CudaCodeMaker> maker = CudaCodeMaker::create(options);
  if (!maker)
    return emitError(entry.getLoc()) << llvm::toString(maker.takeError());
  cuda::BackendOptions backend;
  static_cast<KernelCompileOptions &>(backend) = kernels;
  backend.simulate = options.target == Target::CudaSim;
  backend.features = maker->features;
  backend.arch = maker->arch;
  backend.makeCode = maker->make;
  backend.codeIdentity = maker->identity;
  backend.sourceFolder = options.cudaSourceFolder;
  return cuda::compileForCuda(entry, backend, executable, counts);
}

/// What lathe-rematerialize has written on the function.
static void readRecomputed(func::FuncOp entry, CompileStatistics &statistics) {
  auto report = entry->getAttrOfType<DictionaryAttr>("lathe.recomputed");
  if (!report)
    return;
  statistics.bytesSaved = report.getAs<IntegerAttr>("bytes_saved").getInt();
  statistics.recomputeFlops = report.getAs<IntegerAttr>("flops").getInt();
  for (Attribute attribute : report.getAs<ArrayAttr>("ops")) {
    auto op = cast<DictionaryAttr>(attribute);
    std::string text = op.getAs<StringAttr>("op").str();
    if (auto at = op.getAs<LocationAttr>("at"))
      if (auto place = Location(at)->findInstanceOf<FileLineColLoc>())
        text += (" at " + place.getFilename().getValue() + ":" +
                 Twine(place.getLine()) + ":" + Twine(place.getColumn()))
                    .str();
    statistics.recomputed.push_back(std::move(text));
  }
}

LogicalResult Model::compile(ArrayRef<SmallVector<int64_t>> shapes,
                             const CompileOptions &options,
                             exec::Executable &executable,
                             CompileStatistics *statistics) const {
  auto start = std::chrono::steady_clock::now();
  OwningOpRef<ModuleOp> kernels = lowerToKernels(shapes, options);
  if (!kernels)
    return failure();
  auto entry = kernels->lookupSymbol<func::FuncOp>(this->entry().getSymName());
  DiskCache cache;
  KernelCompileOptions compile;
  compile.threads = options.threads;
  compile.cache = options.useCache ? &cache : nullptr;
  compile.progress = options.progress;
  BackendStatistics counts;
  auto compileFor = options.target == Target::Cpu ? compileCpu : compileCuda;
  if (failed(compileFor(entry, options, compile, executable, &counts)))
    return failure();
  std::chrono::duration<double> elapsed =
      std::chrono::steady_clock::now() - start;
  if (statistics) {
    statistics->seconds = elapsed.count();
    statistics->kernels = counts.kernels;
    statistics->distinct = counts.distinct;
    statistics->fromCache = counts.fromCache;
    readRecomputed(entry, *statistics);
  }
  return success();
}

} // namespace lathe
