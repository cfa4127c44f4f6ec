//===- Compile.cpp - lathe compile -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "EmitCubin.h"
#include "InputData.h"
#include "ModelOptions.h"
#include "Report.h"
#include "Verbs.h"
#include "lathe/Support/AtomicFile.h"
#include "lathe/Target/Cpu/CpuBackend.h"
#include "lathe/Target/Cuda/CudaBackend.h"
#include "lathe/Transforms/ExplainKernels.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"

using namespace mlir;

namespace lathe {

namespace {
struct CompileVerbOptions : ModelOptions {
  std::string output, emit = "executable", json;
  bool explain = false, embedWeights = false;

  bool makesArtifact() const {
    return emit == "executable" && (!explain || !output.empty());
  }
};
} // namespace

static int writeText(const std::string &path, StringRef text) {
  if (path.empty() || path == "-") {
    llvm::outs() << text;
    return kDone;
  }
  if (llvm::Error error = writeFileAtomically(path, StringRef(text)))
    return fail(std::move(error));
  return kDone;
}

/// One file after the other, or, into a folder, one file per kernel and the
/// headers they include.
static int emitCuda(const CompileVerbOptions &options, ModuleOp kernels) {
  llvm::Expected<cuda::GpuFeatures> features =
      cuda::GpuFeatures::forArchitecture(options.arch);
  if (!features)
    return fail(features.takeError());
  auto texts =
      cuda::getKernelTexts(kernels, *features, options.cudaSourceFolder);
  if (failed(texts))
    return kFailed;
  if (options.output.empty() || options.output == "-") {
    for (const cuda::NamedText &text : *texts)
      llvm::outs() << text.kernel.text << "\n";
    return kDone;
  }
  auto write = [&](StringRef name, StringRef text) {
    SmallString<256> path(options.output);
    llvm::sys::path::append(path, name);
    if (std::error_code error = llvm::sys::fs::create_directories(
            llvm::sys::path::parent_path(path)))
      return fail("cannot create the folder of '" + path +
                  "': " + error.message());
    if (llvm::Error error = writeFileAtomically(path, text))
      return fail(std::move(error));
    return kDone + 0;
  };
  for (const cuda::NamedText &text : *texts)
    if (int code = write(text.name + ".cu", text.kernel.text))
      return code;
  for (const cuda::DeviceHeader &header : cuda::getDeviceHeaders())
    if (int code = write(header.name, header.text))
      return code;
  llvm::outs() << "compile: wrote " << texts->size() << " kernels to "
               << options.output
               << "; edit them and give the folder to --cuda-source-dir\n";
  return kDone;
}

static int emitText(const CompileVerbOptions &options, const Model &model,
                    ArrayRef<SmallVector<int64_t>> shapes) {
  CompileOptions compile = options.compileOptions();
  std::string text;
  llvm::raw_string_ostream os(text);
  if (options.emit == "lathe") {
    model.module()->print(os);
    os << "\n";
    return writeText(options.output, text);
  }
  OwningOpRef<ModuleOp> kernels = model.lowerToKernels(shapes, compile);
  if (!kernels)
    return kFailed;
  if (options.emit == "kernels") {
    kernels->print(os);
    os << "\n";
    return writeText(options.output, text);
  }
  if (options.emit == "cuda")
    return emitCuda(options, *kernels);
  if (options.emit == "cubin")
    return emitCubins(*kernels, options.arch, options.cudaSourceFolder,
                      options.output, options.threads, !options.noCache,
                      options.json);
  if (compile.portableIsas.size() > 1)
    return fail("--emit " + options.emit +
                " shows the code of one instruction set, got --isa " +
                options.isa);
  llvm::Expected<cpu::CpuTarget> target =
      cpu::CpuTarget::host(options.isa, /*toLookAt=*/true);
  if (!target)
    return fail(target.takeError());
  cpu::BackendOptions backend;
  backend.target = *target;
  if (failed(cpu::printKernelCode(*kernels, backend, options.emit, os)))
    return kFailed;
  return writeText(options.output, text);
}

/// Prints the kernels and why they are what they are.
static int explain(const CompileVerbOptions &options, const Model &model,
                   ArrayRef<SmallVector<int64_t>> shapes) {
  CompileOptions compile = options.compileOptions();
  compile.explain = true;
  OwningOpRef<ModuleOp> kernels = model.lowerToKernels(shapes, compile);
  if (!kernels)
    return kFailed;
  printKernelsAsText(*kernels, llvm::outs());
  StringRef entry = model.entry().getSymName();
  auto use = planMemory(kernels->lookupSymbol<func::FuncOp>(entry));
  if (failed(use))
    return kFailed;
  printMemoryTimeline(*use, "@" + entry.str(), /*count=*/8, llvm::outs());
  return kDone;
}

/// --explain and every --emit but the executable.
static int show(const CompileVerbOptions &options) {
  auto given = loadInputFiles(options.inputs);
  if (!given)
    return fail(given.takeError());
  CompilerContext context;
  PreparedModel prepared;
  std::unique_ptr<Model> model =
      loadModel(context.get(), options, *given, prepared);
  if (!model)
    return kFailed;
  auto shapes = resolveShapes(model->inputs(), options, *given, prepared.notes);
  if (!shapes)
    return fail(shapes.takeError());
  if (options.trainStep && !takeTrainStep(model, *shapes, options.precision))
    return kFailed;
  // With an artifact they come with that.
  if (!options.makesArtifact())
    prepared.printNotes();
  if (options.explain)
    if (int code = explain(options, *model, *shapes))
      return code;
  return options.emit == "executable" ? kDone + 0
                                      : emitText(options, *model, *shapes);
}

/// Prepares the weights as a run would, and writes them into the artifact.
static int writeWithWeights(const CompileVerbOptions &options,
                            const PreparedModel &prepared) {
  WeightSource weights;
  if (llvm::Error error = openWeights(options, weights))
    return fail(std::move(error));
  auto session = startSession(options, prepared, weights);
  if (!session)
    return fail(session.takeError());
  for (const std::string &note : (*session)->notes())
    llvm::errs() << "lathe: note: " << note << "\n";
  auto whole = std::make_unique<exec::Executable>(*prepared.executable);
  std::vector<StringRef> pieces;
  if (llvm::Error error = (*session)->embedWeights(
          *whole->mutable_programs(prepared.program), pieces))
    return fail(std::move(error));
  uint64_t bytes = 0;
  for (StringRef piece : pieces)
    bytes += piece.size();
  whole->set_data_bytes(bytes);
  if (llvm::Error error = writeExecutable(options.output, *whole, pieces))
    return fail(std::move(error));
  llvm::outs() << llvm::formatv("compile: the artifact holds {0:f1} MiB of "
                                "weights, prepared for runs\n",
                                bytes / 1048576.0);
  return kDone;
}

static int compile(CompileVerbOptions &options) {
  // The text is the same for cuda and cuda-sim.
  if (options.emit == "cuda" || options.emit == "cubin") {
    if (options.target != "cuda-sim")
      options.target = "cuda";
    options.arch = chooseArch(options.arch);
  }
  llvm::Expected<bool> isCompiled = isCompiledFile(options.file);
  if (!isCompiled)
    return fail(isCompiled.takeError());
  if (*isCompiled)
    return fail("'" + options.file +
                "' is compiled already, expected a model: .mlir or .onnx");
  if (options.trainStep) {
    if (!options.entry.empty() && options.entry != "loss")
      return fail("--train is made of @loss, not of '" + options.entry + "'");
    options.entry = "loss";
  }
  if (llvm::sys::fs::equivalent(options.file, options.output))
    return fail("-o names the model itself, '" + options.output + "'");
  options.embedWeights |= !options.weights.empty();
  if (!options.embedWeights)
    options.noteUnused({"--seed", "--threads", "--max-loop-iterations"},
                       "on compile: it is for runs");
  else if (!options.makesArtifact())
    return fail("--weights and --embed-weights are for an artifact, and none "
                "is made");
  // The explanation goes to standard output; the artifact is made, too, where
  // it is asked for.
  if (options.explain || !options.makesArtifact()) {
    if (!options.makesArtifact() && options.emit != "cubin" &&
        !options.json.empty())
      return fail("--json has the figures of an artifact or of cubins, and "
                  "neither is made");
    if (int code = show(options))
      return code;
    if (!options.makesArtifact())
      return kDone;
  }
  if (options.output == "-")
    return fail("an artifact is not text: name a file with -o");
  PreparedModel prepared;
  if (int code = prepareModel(options, prepared))
    return code;
  if (options.output.empty()) {
    SmallString<256> path(options.file);
    llvm::sys::path::replace_extension(path, "lathe");
    options.output = path.str().str();
    if (llvm::sys::fs::equivalent(options.file, options.output))
      return fail("the artifact would replace the model '" + options.file +
                  "': name another file with -o");
  }
  if (options.embedWeights) {
    if (int code = writeWithWeights(options, prepared))
      return code;
  } else if (llvm::Error error =
                 writeExecutable(options.output, *prepared.executable)) {
    return fail(std::move(error));
  }
  printKernels(*prepared.executable, llvm::outs());
  if (!options.json.empty()) {
    nlohmann::json report;
    report["compile_ms"] = prepared.compileSeconds * 1e3;
    report["from_cache"] = prepared.fromCache;
    report["kernels"] = prepared.executable->kernels_size();
    report["output"] = options.output;
    if (llvm::Error error = writeJson(options.json, report))
      return fail(std::move(error));
  }
  llvm::outs() << llvm::formatv(
      "compile: {0} kernels, {1:f1} ms{2}, wrote {3}\n",
      prepared.executable->kernels_size(), prepared.compileSeconds * 1e3,
      prepared.fromCache ? " (from the cache)" : "", options.output);
  return kDone;
}

void addCompileVerb(CLI::App &app, int &exitCode) {
  auto options = std::make_shared<CompileVerbOptions>();
  CLI::App *verb = app.add_subcommand(
      "compile",
      "Compile to a file, or show any stage on the way\n\n"
      "  lathe compile model.onnx --dim batch=8 -o model.lathe\n"
      "  lathe compile model.mlir --weights w.safetensors -o model.lathe\n"
      "                                                   one file with all "
      "in it\n"
      "  lathe compile model.mlir --isa all               for every processor, "
      "not this one\n"
      "  lathe compile model.mlir --emit kernels          the fusion groups\n"
      "  lathe compile model.mlir --emit asm | less       machine code per "
      "kernel\n"
      "  lathe compile model.mlir --train --emit lathe    the graph of a train "
      "step\n"
      "  lathe compile model.mlir --explain               why kernels hold "
      "what they hold\n"
      "  lathe compile model.mlir --emit cuda -o kernels  CUDA C++, a file per "
      "kernel\n");
  options->makesArtifacts = true;
  options->add(*verb, /*takesCompiled=*/false);
  verb->add_option("-o,--output", options->output,
                   "Output file (default: FILE with .lathe; text: standard "
                   "output)");
  verb->add_option("--emit", options->emit,
                   "lathe: the imported model; kernels: after graph passes; "
                   "memref: loops of each "
                   "kernel; llvm; asm; cuda: CUDA C++ (with -o a folder of "
                   "files); cubin: what each kernel takes on the device (with "
                   "-o a folder of machine code); executable")
      ->check(CLI::IsMember({"lathe", "kernels", "memref", "llvm", "asm",
                             "cuda", "cubin", "executable"}))
      ->capture_default_str();
  verb->add_flag("--explain", options->explain,
                 "Print each kernel's ops and why neighbours were left out, "
                 "and where memory goes over time; the artifact is written, "
                 "too, where -o names it");
  verb->add_flag("--embed-weights", options->embedWeights,
                 "Write the weights into the artifact, prepared for runs, so "
                 "that it needs no other file; --weights does so, too");
  verb->add_flag("--train", options->trainStep,
                 "The train step of @loss, with AdamW, in the model's place: "
                 "gradients and updates");
  verb->add_option("--json", options->json,
                   "Write the figures for programs to read");
  verb->callback([options, &exitCode] { exitCode = compile(*options); });
}

} // namespace lathe
