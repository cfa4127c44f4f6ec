//===- ModelOptions.cpp - Options that verbs share ------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ModelOptions.h"

#include "ExecutableCache.h"
#include "ExposedRun.h"
#include "InputData.h"
#include "Verbs.h"
#include "lathe/Pipelines/Training.h"
#include "lathe/Support/Error.h"
#include "lathe/Support/MappedFile.h"
#include "lathe/Support/Progress.h"
#include "lathe/Target/Cpu/CompileObject.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

#include <chrono>
#include <cmath>
#include <set>
#include <thread>

using namespace mlir;

namespace lathe {

void ModelOptions::add(CLI::App &verb, bool takesCompiled) {
  addForTraining(verb, takesCompiled);
  addQuantizationOptions(verb, quantization);
  addPrecisionOption(verb, precision,
                     "What products, convolutions and attention of f32 compute "
                     "on; their sums, and everything else, stay f32. tf32: on "
                     "tensor cores of the CUDA targets; fp8: short for "
                     "--quantize fp8",
                     &quantization);
  verb.add_option("--entry", entry, "The model's function to run, such as loss")
      ->default_str("main, or the only one");
  verb.add_option("--input", inputs,
                  "name=file.npy, or "
                  "name=random|random:LOW:HIGH|zeros|ones|iota (repeatable; "
                  "without it inputs are random)");
}

/// LIST of 'compile --isa LIST', or "all"; empty where it is the name of what
/// only this machine's code can be limited to.
static std::vector<std::string> parsePortableIsas(StringRef text) {
  std::vector<std::string> known = cpu::CpuTarget::getPortableIsaNames();
  if (text == "all")
    return known;
  std::vector<std::string> result;
  for (StringRef name : llvm::split(text, ','))
    if (!llvm::is_contained(known, name))
      return {};
    else if (!llvm::is_contained(result, name))
      result.push_back(name.str());
  return result;
}

void ModelOptions::addIsaOption(CLI::App &verb) {
  std::vector<std::string> names = cpu::CpuTarget::getIsaNames();
  if (!makesArtifacts) {
    verb.add_option("--isa,--cpu-features", isa,
                    "Use less than this processor has: sse, avx2, avx2-vnni, "
                    "avx512 (without VNNI), avx512-vnni, avx512-bf16 or amx; "
                    "amx-emulated does in memory what AMX does")
        ->check(CLI::IsMember(names));
    return;
  }
  verb.add_option("--isa,--cpu-features", isa,
                  "Instead of for this very processor, compile for all that "
                  "have sse, avx2, avx2-vnni, avx512 (without VNNI), "
                  "avx512-vnni, avx512-bf16 or amx. Of several, such as "
                  "avx2,avx512-vnni, or of all, the best is taken where the "
                  "artifact is loaded. "
                  "amx-emulated does in memory what AMX does")
      ->check(CLI::Validator(
          [names](std::string &text) -> std::string {
            if (llvm::is_contained(names, text) ||
                !parsePortableIsas(text).empty())
              return "";
            return "expected " + llvm::join(ArrayRef(names).drop_back(), ", ") +
                   ", several with commas between them, all, or " +
                   names.back() + ", got '" + text + "'";
          },
          "LIST"));
}

void ModelOptions::addForTraining(CLI::App &verb, bool takesCompiled) {
  verb.add_option("file", file,
                  takesCompiled ? "Model: .mlir, .onnx or a compiled .lathe"
                                : "Model: .mlir or .onnx")
      ->required();
  verb.add_option("--weights", weights,
                  "Weights: .safetensors file, index or folder (repeatable)");
  verb.add_option("--dim", dims,
                  "Size of an open dimension: name=N (repeatable)");
  addTargetOptions(verb, target, arch, noSimChecks);
  // Not asked for in vain: starting the driver takes longer than a small model.
  verb.parse_complete_callback([this] {
    if (target == "cuda")
      arch = chooseArch(arch);
  });
  verb.add_option("--cuda-source-dir", cudaSourceFolder,
                  "Folder with edited kernels, NAME.cu, that are used in place "
                  "of the generated ones (see compile --emit cuda)")
      ->check(CLI::ExistingDirectory);
  addTileOption(verb, tiles);
  addIsaOption(verb);
  verb.add_option("--threads", threads,
                  "Threads (default: all this process may use)");
  verb.add_option("--seed", seed,
                  "Seed of random inputs and initialized parameters")
      ->capture_default_str();
  verb.add_flag("--no-fuse", noFuse, "One op per kernel");
  verb.add_flag("--no-optimize", noOptimize,
                "Only the passes that correctness needs");
  verb.add_flag("--no-layout", noLayout,
                "Store values as the model says: no lathe-layout");
  verb.add_flag("--no-cache", noCache, "Compile anew, keep nothing");
  verb.add_option("--reproducer", reproducer,
                  "Where a pass fails: write the IR before it and the command "
                  "into this file, for lathe-opt --run-reproducer");
  verb.add_option("--max-loop-iterations", maxLoopIterations,
                  "Give a loop up after N iterations")
      ->capture_default_str();
  this->verb = &verb;
}

void ModelOptions::noteUnused(std::initializer_list<const char *> names,
                              StringRef where) const {
  for (const char *name : names)
    if (const CLI::Option *option =
            verb ? verb->get_option_no_throw(name) : nullptr;
        option && option->count())
      llvm::errs() << "lathe: note: " << name << " has no effect " << where
                   << "\n";
}

SessionOptions ModelOptions::sessionOptions() const {
  SessionOptions result;
  result.threads = threads;
  result.seed = seed;
  result.maxWhileIterations = maxLoopIterations;
  result.progress = true;
  return result;
}

const CLI::Validator kFiniteNotNegative(
    [](std::string &text) -> std::string {
      double value;
      if (!llvm::to_float(text, value) || !std::isfinite(value) || value < 0)
        return "expected a finite number of 0 or more, got '" + text + "'";
      return "";
    },
    "");

CompileOptions ModelOptions::compileOptions() const {
  CompileOptions result;
  result.fuse = !noFuse;
  result.optimize = !noOptimize;
  result.layout = !noLayout;
  result.isa = isa;
  if (makesArtifacts)
    result.portableIsas = parsePortableIsas(isa);
  result.threads = std::max(1u, std::thread::hardware_concurrency());
  result.useCache = !noCache;
  result.target = parseTarget(target);
  result.arch = arch;
  result.cudaSourceFolder = cudaSourceFolder;
  result.simChecks = !noSimChecks;
  for (const std::string &text : tiles)
    result.tiles.push_back(llvm::cantFail(parseTile(text)));
  result.quantization = quantization;
  result.precision = precision;
  if (trainStep) {
    result.recompute = defaultRecompute(result.optimize);
    // takeTrainStep builds 16-bit floats into the step.
    if (is16Bit(precision))
      result.precision = Precision::F32;
  }
  result.reproducer = reproducer;
  return result;
}

void PreparedModel::printNotes() const {
  for (const std::string &note : notes)
    llvm::errs() << "lathe: note: " << note << "\n";
}

int fail(const llvm::Twine &message) {
  llvm::errs() << "lathe: error: " << message << "\n";
  return kFailed;
}

int fail(llvm::Error error) { return fail(llvm::toString(std::move(error))); }

static void printLocation(Location loc, raw_ostream &os) {
  if (std::string where = formatLocation(loc); !where.empty())
    os << where << ": ";
}

CompilerContext::CompilerContext() {
  DialectRegistry registry;
  registerAllLatheDialects(registry);
  context.appendDialectRegistry(registry);
  // Schedules build ops without being passes, so nothing declares what they
  // need.
  context.loadAllAvailableDialects();
  context.printOpOnDiagnostic(false);
  context.getDiagEngine().registerHandler([](Diagnostic &diagnostic) {
    auto &os = llvm::errs();
    bool isError = diagnostic.getSeverity() == DiagnosticSeverity::Error;
    os << "lathe: " << (isError ? "error: " : "note: ");
    printLocation(diagnostic.getLocation(), os);
    os << diagnostic << "\n";
    for (Diagnostic &note : diagnostic.getNotes()) {
      os << "  note: ";
      printLocation(note.getLocation(), os);
      os << note << "\n";
    }
    return success();
  });
}

llvm::Error openWeights(const ModelOptions &options, WeightSource &weights) {
  for (const std::string &path : options.weights)
    if (llvm::Error error = weights.add(path))
      return error;
  SmallString<256> folder(options.file);
  llvm::sys::path::remove_filename(folder);
  weights.setModelFolder(folder);
  return llvm::Error::success();
}

/// Compensated weights lie on the numbers of one scheme: any other rounds them
/// once more, and in floats the model's own are closer.
static void noteOtherScheme(const QuantizationScheme &scheme,
                            const WeightSource &weights) {
  for (const std::shared_ptr<Safetensors> &file : weights.opened()) {
    auto entry = file->metadata().find(kCompensatedFor.str());
    if (entry == file->metadata().end())
      continue;
    auto meant = parseQuantizationScheme(entry->second);
    if (!meant || (scheme && roundsWeightsAlike(*meant, scheme)))
      continue;
    llvm::errs() << "lathe: note: the weights in "
                 << quote(file->file()->path())
                 << " are compensated for --quantize " << meant->text()
                 << ", and lose more "
                 << (scheme ? "with " + scheme.text() : "in floats")
                 << ": give that scheme, or the weights that they were made "
                    "of\n";
  }
}

llvm::Expected<std::unique_ptr<Session>>
startSession(const ModelOptions &options, const PreparedModel &prepared,
             WeightSource &weights, bool profile) {
  if (!prepared.isArtifact)
    noteOtherScheme(options.quantization.scheme, weights);
  auto model = LoadedModel::load(prepared.executable, prepared.data);
  if (!model)
    return model.takeError();
  SessionOptions sessionOptions = options.sessionOptions();
  sessionOptions.profile = profile;
  return Session::create(*model, prepared.program, weights, sessionOptions);
}

/// The sizes that --dim gives; each must be an open size of some input.
static llvm::Expected<std::map<std::string, int64_t>>
parseDims(const ModelOptions &options,
          const std::vector<InputDeclaration> &declarations) {
  std::map<std::string, int64_t> result;
  std::set<std::string> known;
  for (const InputDeclaration &declaration : declarations)
    for (size_t i = 0; i < declaration.shape.size(); ++i)
      if (declaration.shape[i] < 0 && !declaration.dimNames[i].empty())
        known.insert(declaration.dimNames[i]);
  for (StringRef text : options.dims) {
    auto [name, value] = text.split('=');
    int64_t size;
    if (name.empty() || value.getAsInteger(10, size) || size < 0)
      return makeError("--dim expects name=N with N >= 0, got '" + text + "'");
    if (!known.count(name.str())) {
      std::string message = "the model has no open size " + quote(name);
      for (const std::string &other : known)
        message +=
            (other == *known.begin() ? "; it has " : ", ") + quote(other);
      return makeError(message);
    }
    auto [entry, isNew] = result.try_emplace(name.str(), size);
    if (!isNew && entry->second != size)
      return makeError("--dim gives " + quote(name) + " the sizes " +
                       Twine(entry->second) + " and " + Twine(size));
  }
  return result;
}

static std::string formatShape(const InputDeclaration &declaration) {
  std::string text = "[";
  for (size_t i = 0; i < declaration.shape.size(); ++i) {
    text += i ? "," : "";
    if (declaration.shape[i] >= 0)
      text += std::to_string(declaration.shape[i]);
    else
      text += declaration.dimNames[i].empty() ? "?" : declaration.dimNames[i];
  }
  return text + "]";
}

llvm::Expected<std::vector<SmallVector<int64_t>>>
resolveShapes(const std::vector<InputDeclaration> &declarations,
              const ModelOptions &options,
              const std::vector<NamedTensor> &given,
              std::vector<std::string> &notes) {
  auto sizes = parseDims(options, declarations);
  if (!sizes)
    return sizes.takeError();
  std::map<std::string, std::string> origin;
  for (auto &[name, size] : *sizes)
    origin[name] = "--dim";
  // Files fix sizes first, so that open sizes of the same name follow them.
  for (const NamedTensor &tensor : given) {
    auto it = llvm::find_if(declarations, [&](const InputDeclaration &d) {
      return d.name == tensor.name;
    });
    if (it == declarations.end())
      continue;
    ArrayRef<int64_t> shape = tensor.tensor.shape();
    bool fits =
        shape.size() == it->shape.size() && tensor.tensor.dtype() == it->dtype;
    for (size_t i = 0; fits && i < shape.size(); ++i)
      fits = it->shape[i] < 0 || it->shape[i] == shape[i];
    if (!fits)
      return makeError("input '" + tensor.name + "' is " +
                       formatType(tensor.tensor.dtype(), shape) +
                       ", expected " + dtypeName(it->dtype) + formatShape(*it));
    for (size_t i = 0; i < shape.size(); ++i) {
      const std::string &dim = it->dimNames[i];
      if (it->shape[i] >= 0 || dim.empty())
        continue;
      auto [entry, isNew] = sizes->try_emplace(dim, shape[i]);
      if (!isNew && entry->second != shape[i])
        return makeError("size '" + dim + "' is " + Twine(shape[i]) +
                         " in input '" + tensor.name + "' but " +
                         Twine(entry->second) + " in " + origin[dim]);
      origin.try_emplace(dim, "input '" + tensor.name + "'");
    }
  }
  std::vector<SmallVector<int64_t>> result;
  for (const InputDeclaration &declaration : declarations) {
    auto it = llvm::find_if(given, [&](const NamedTensor &t) {
      return t.name == declaration.name;
    });
    SmallVector<int64_t> shape(declaration.shape.begin(),
                               declaration.shape.end());
    for (size_t i = 0; i < shape.size(); ++i) {
      if (shape[i] >= 0)
        continue;
      if (it != given.end()) {
        shape[i] = it->tensor.shape()[i];
        continue;
      }
      const std::string &dim = declaration.dimNames[i];
      auto size = dim.empty() ? sizes->end() : sizes->find(dim);
      if (size != sizes->end()) {
        shape[i] = size->second;
        continue;
      }
      // A first open size is a batch nearly always; the others need some
      // extent.
      shape[i] = i == 0 ? 1 : 128;
      if (!dim.empty())
        (*sizes)[dim] = shape[i];
      notes.push_back(
          "open size " +
          (dim.empty() ? "dim " + std::to_string(i) : "'" + dim + "'") +
          " of input '" + declaration.name + "' is taken as " +
          std::to_string(shape[i]) +
          (dim.empty() ? "" : " (--dim " + dim + "=N sets it)"));
    }
    result.push_back(std::move(shape));
  }
  return result;
}

void noteSizes(const std::vector<InputDeclaration> &declarations,
               ArrayRef<SmallVector<int64_t>> shapes) {
  std::map<std::string, int64_t> sizes;
  for (auto [declaration, shape] : llvm::zip(declarations, shapes))
    for (size_t i = 0; i < shape.size(); ++i)
      if (declaration.shape[i] < 0 && !declaration.dimNames[i].empty())
        sizes[declaration.dimNames[i]] = shape[i];
  if (sizes.empty())
    return;
  std::string text;
  for (const auto &[name, size] : sizes)
    text += (text.empty() ? "" : ", ") + name + "=" + std::to_string(size);
  llvm::errs() << "lathe: note: the open sizes were " << text
               << " (--dim, or what stands for it); the model may take less\n";
}

std::unique_ptr<Model> loadModel(MLIRContext &context,
                                 const ModelOptions &options,
                                 const std::vector<NamedTensor> &given,
                                 PreparedModel &prepared) {
  const QuantizationOptions &quantization = options.quantization;
  const QuantizationMethod *method =
      findQuantizationMethod(quantization.scheme.name);
  if (method && method->needsRanges() && quantization.ranges.empty()) {
    fail("--quantize " + method->name.str() +
         " takes --ranges FILE, which 'lathe calibrate' "
         "writes; int8-dynamic needs none");
    return nullptr;
  }
  if (!quantization.scheme)
    options.noteUnused({"--ranges", "--keep"}, "without --quantize");
  // An ONNX input may decide a size: then the program is made for its value.
  OnnxImportOptions onnx;
  onnx.valueOf = [&](StringRef name,
                     unsigned) -> std::optional<DenseElementsAttr> {
    for (const NamedTensor &tensor : given)
      if (tensor.name == name) {
        prepared.holdsInputValues = true;
        return toElementsAttr(context, tensor.tensor);
      }
    return std::nullopt;
  };
  onnx.shapeOf = [&](StringRef name) -> std::optional<SmallVector<int64_t>> {
    for (const NamedTensor &tensor : given)
      if (tensor.name == name)
        return SmallVector<int64_t>(tensor.tensor.shape());
    return std::nullopt;
  };
  OnnxImportInfo info;
  std::unique_ptr<Model> model =
      Model::load(context, options.file, onnx, &info, options.entry);
  if (!model)
    return nullptr;
  prepared.sources = std::move(info.files);
  for (const NamedTensor &tensor : given)
    if (llvm::none_of(model->inputs(),
                      [&](auto &d) { return d.name == tensor.name; })) {
      fail(unknownInput(tensor.name, model->inputs()));
      return nullptr;
    }
  return model;
}

bool takeTrainStep(std::unique_ptr<Model> &model,
                   std::vector<SmallVector<int64_t>> &shapes,
                   Precision precision) {
  TrainRecipe recipe;
  recipe.precision = precision;
  OwningOpRef<ModuleOp> module = buildTrainingModule(*model, shapes, recipe);
  if (!module)
    return false;
  model = Model::fromModule(std::move(module), "train_step");
  if (!model)
    return false;
  shapes.clear();
  for (const InputDeclaration &input : model->inputs())
    shapes.emplace_back(input.shape.begin(), input.shape.end());
  return true;
}

/// Weights in files that the model names but the import does not read.
static void addWeightFiles(PreparedModel &prepared, StringRef modelFile) {
  std::set<std::string> all(prepared.sources.begin(), prepared.sources.end());
  for (const exec::Program &program : prepared.executable->programs())
    for (const auto *list : {&program.weights(), &program.states()})
      for (const exec::Weight &weight : *list)
        if (!weight.file().empty() && weight.file() != modelFile)
          all.insert(weight.file());
  prepared.sources.assign(all.begin(), all.end());
}

static int compileModel(const ModelOptions &options,
                        const std::vector<NamedTensor> &given,
                        PreparedModel &prepared) {
  CompilerContext context;
  std::unique_ptr<Model> model =
      loadModel(context.get(), options, given, prepared);
  if (!model)
    return kFailed;
  auto shapes = resolveShapes(model->inputs(), options, given, prepared.notes);
  if (!shapes)
    return fail(shapes.takeError());
  if (options.trainStep && !takeTrainStep(model, *shapes, options.precision))
    return kFailed;
  CompileOptions compile = options.compileOptions();
  Progress progress("compiling kernels", 0);
  compile.progress = [&](unsigned done, unsigned total) {
    progress.update(done, "of " + std::to_string(total));
  };
  prepared.executable = std::make_shared<exec::Executable>();
  if (failed(model->compile(*shapes, compile, *prepared.executable,
                            &prepared.statistics))) {
    if (!options.dims.empty())
      noteSizes(model->inputs(), *shapes);
    return kFailed;
  }
  addWeightFiles(prepared, options.file);
  return kDone;
}

/// The program of a compiled file whose shapes agree with the given inputs.
static llvm::Expected<unsigned>
chooseProgram(const exec::Executable &executable,
              const std::vector<NamedTensor> &given) {
  std::string known;
  for (int p = 0; p < executable.programs_size(); ++p) {
    const exec::Program &program = executable.programs(p);
    bool fits = true;
    for (const NamedTensor &tensor : given) {
      auto it = llvm::find_if(program.inputs(), [&](const exec::Signature &s) {
        return s.name() == tensor.name;
      });
      if (it == program.inputs().end()) {
        fits = false;
        continue;
      }
      ArrayRef<int64_t> shape(it->type().shape().data(),
                              it->type().shape_size());
      fits &= shape == tensor.tensor.shape();
    }
    if (fits)
      return p;
    for (const exec::Signature &input : program.inputs()) {
      ArrayRef<int64_t> shape(input.type().shape().data(),
                              input.type().shape_size());
      llvm::Expected<DType> dtype = fromElementType(input.type().element());
      if (!dtype)
        return dtype.takeError();
      known += " " + input.name() + "=" + formatType(*dtype, shape);
    }
    known += ";";
  }
  return makeError(
      "the compiled model has no program for these inputs; it has:" + known);
}

llvm::Expected<bool> isCompiledFile(StringRef path) {
  auto file = MappedFile::open(path);
  if (!file)
    return file.takeError();
  return looksLikeExecutable((*file)->bytes());
}

int prepareModel(const ModelOptions &options, PreparedModel &prepared) {
  auto start = std::chrono::steady_clock::now();
  llvm::Expected<bool> isCompiled = isCompiledFile(options.file);
  if (!isCompiled)
    return fail(isCompiled.takeError());
  llvm::Expected<std::vector<NamedTensor>> given =
      loadInputFiles(options.inputs);
  if (!given)
    return fail(given.takeError());

  if (*isCompiled) {
    auto executable = readExecutable(options.file, &prepared.data);
    if (!executable)
      return fail(executable.takeError());
    if (!options.dims.empty())
      return fail("--dim is of no use with '" + options.file +
                  "': the sizes of a compiled model are fixed");
    bool isCpu = (*executable)->target() == "cpu";
    if (!isCpu)
      options.noteUnused({"--isa"}, "on what is compiled for another target");
    if (llvm::Error error = chooseCode(**executable, isCpu ? options.isa : ""))
      return fail("'" + options.file +
                  "': " + llvm::toString(std::move(error)));
    options.noteUnused({"--entry", "--target", "--arch", "--no-fuse",
                        "--no-optimize", "--no-layout", "--no-cache",
                        "--cuda-source-dir", "--no-sim-checks", "--reproducer",
                        "--tile", "--precision", "--quantize", "--ranges",
                        "--keep"},
                       "on a compiled model");
    prepared.executable = std::move(*executable);
    prepared.isArtifact = true;
  } else {
    std::string types;
    for (const NamedTensor &tensor : *given)
      types += tensor.name + " " +
               formatType(tensor.tensor.dtype(), tensor.tensor.shape()) + "\n";
    // Here, so that they are said of what is in the cache, too.
    if (parseTarget(options.target) == Target::Cpu) {
      options.noteUnused({"--tile", "--cuda-source-dir"}, "on the CPU");
      if (options.precision == Precision::TF32)
        llvm::errs()
            << "lathe: note: --precision tf32 has no effect on the CPU\n";
    }
    ExecutableCache cache(options, types);
    prepared.executable = cache.get(prepared.notes);
    prepared.fromCache = prepared.executable != nullptr;
    if (!prepared.fromCache) {
      if (int code = compileModel(options, *given, prepared))
        return code;
      cache.put(prepared);
    }
    prepared.printNotes();
  }
  llvm::Expected<unsigned> program =
      chooseProgram(*prepared.executable, *given);
  if (!program)
    return fail(program.takeError());
  prepared.program = *program;
  std::chrono::duration<double> elapsed =
      std::chrono::steady_clock::now() - start;
  prepared.compileSeconds = elapsed.count();
  auto inputs = makeInputs(prepared.executable->programs(*program),
                           options.inputs, std::move(*given), options.seed);
  if (!inputs)
    return fail(inputs.takeError());
  prepared.inputs = std::move(*inputs);
  return kDone;
}

} // namespace lathe
