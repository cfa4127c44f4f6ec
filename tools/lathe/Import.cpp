//===- Import.cpp - lathe import and lathe info -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ModelOptions.h"
#include "Report.h"
#include "Verbs.h"
#include "dialects/Lathe/Lathe.h"
#include "lathe/Support/AtomicFile.h"
#include "lathe/Support/Error.h"
#include "llvm/Support/FileSystem.h"

using namespace mlir;

namespace lathe {

/// Inputs, outputs, parameters and ops.
static void describeModel(const Model &model, nlohmann::json &report) {
  for (const InputDeclaration &input : model.inputs())
    report["inputs"].push_back({{"name", input.name},
                                {"dtype", dtypeName(input.dtype).str()},
                                {"shape", input.shape}});
  for (unsigned i = 0, e = model.entry().getNumResults(); i < e; ++i) {
    auto name = model.entry().getResultAttrOfType<StringAttr>(i, "lathe.name");
    report["outputs"].push_back(name ? name.str()
                                     : "output" + std::to_string(i));
  }
  int64_t parameters = 0, elements = 0;
  for (auto parameter : model.module().getOps<ParameterOp>()) {
    ++parameters;
    elements += cast<RankedTensorType>(parameter.getType()).getNumElements();
  }
  std::map<std::string, unsigned> ops;
  model.entry().walk([&](Operation *op) {
    if (isa<LatheDialect>(op->getDialect()))
      ++ops[op->getName().getStringRef().str()];
  });
  report["parameters"] = parameters;
  report["parameter_elements"] = elements;
  report["ops"] = ops;
}

static int importModel(const std::string &file, const std::string &output,
                       const std::string &json) {
  if (llvm::sys::fs::equivalent(file, output))
    return fail("-o names the model itself, '" + output + "'");
  CompilerContext context;
  std::unique_ptr<Model> model = Model::load(context.get(), file);
  if (!model)
    return kFailed;
  nlohmann::json report;
  describeModel(*model, report);
  if (!json.empty())
    if (llvm::Error error = writeJson(json, report))
      return fail(std::move(error));
  std::string text;
  llvm::raw_string_ostream os(text);
  model->module()->print(os);
  os << "\n";
  if (output.empty() || output == "-") {
    llvm::outs() << text;
    return kDone;
  }
  if (llvm::Error error = writeFileAtomically(output, StringRef(text)))
    return fail(std::move(error));
  return kDone;
}

void addImportVerb(CLI::App &app, int &exitCode) {
  auto file = std::make_shared<std::string>(),
       output = std::make_shared<std::string>(),
       json = std::make_shared<std::string>();
  CLI::App *verb =
      app.add_subcommand("import", "ONNX to the lathe dialect, as text\n\n  "
                                   "lathe import model.onnx -o model.mlir\n");
  verb->add_option("file", *file, "ONNX model")->required();
  verb->add_option("-o,--output", *output,
                   "Output file (default: standard output)");
  verb->add_option("--json", *json, "Write the figures for programs to read");
  verb->callback([file, output, json, &exitCode] {
    exitCode = importModel(*file, *output, *json);
  });
}

static std::string formatDeclaration(const InputDeclaration &input) {
  std::string text =
      quote(input.name) + ": " + dtypeName(input.dtype).str() + "[";
  for (size_t i = 0; i < input.shape.size(); ++i) {
    text += i ? "," : "";
    text += input.shape[i] >= 0         ? std::to_string(input.shape[i])
            : input.dimNames[i].empty() ? "?"
                                        : input.dimNames[i];
  }
  return text + "]";
}

static int infoOfExecutable(const std::string &file, const std::string &json) {
  auto executable = readExecutable(file);
  if (!executable)
    return fail(executable.takeError());
  auto &os = llvm::outs();
  os << file << ": compiled by " << (*executable)->producer() << " for "
     << (*executable)->target();
  // What cuda-sim compiles for has no name.
  for (const std::string *made :
       {&(*executable)->cpu(), &(*executable)->arch()})
    if (!made->empty())
      os << " (" << *made << ")";
  os << "\n";
  nlohmann::json report;
  for (const exec::CpuCode &code : (*executable)->more_code()) {
    os << "has code for " << code.isa() << ", too\n";
    report["more_code"].push_back(code.isa());
  }
  report["producer"] = (*executable)->producer();
  report["target"] = (*executable)->target();
  report["cpu"] = (*executable)->cpu();
  report["kernels"] = (*executable)->kernels_size();
  report["embedded_bytes"] = (*executable)->data_bytes();
  if (uint64_t bytes = (*executable)->data_bytes())
    os << "holds its weights: " << bytes << " bytes\n";
  for (const exec::Program &program : (*executable)->programs()) {
    nlohmann::json &about = report["programs"].emplace_back();
    about["entry"] = program.entry();
    about["arena_bytes"] = program.arena_bytes();
    about["parameters"] = program.weights_size();
    os << "program @" << program.entry() << ", " << program.arena_bytes()
       << " bytes of arena\n";
    auto describe = [&](StringRef kind, const exec::Signature &signature) {
      llvm::Expected<DType> dtype = fromElementType(signature.type().element());
      if (!dtype) {
        llvm::consumeError(dtype.takeError());
        return;
      }
      ArrayRef<int64_t> shape(signature.type().shape().data(),
                              signature.type().shape_size());
      os << "  " << kind << " " << quote(signature.name()) << ": "
         << formatType(*dtype, shape) << "\n";
      about[(kind + "s").str()].push_back(
          {{"name", signature.name()},
           {"dtype", dtypeName(*dtype).str()},
           {"shape", std::vector<int64_t>(shape.begin(), shape.end())}});
    };
    for (const exec::Signature &input : program.inputs())
      describe("input", input);
    for (const exec::Signature &output : program.outputs())
      describe("output", output);
    about["states"] = program.states_size();
    os << "  " << program.weights_size() << " parameters\n";
    if (program.states_size())
      os << "  " << program.states_size() << " states\n";
  }
  printKernels(**executable, os);
  if (!json.empty())
    if (llvm::Error error = writeJson(json, report))
      return fail(std::move(error));
  return kDone;
}

static int info(const std::string &file, const std::string &json) {
  llvm::Expected<bool> isCompiled = isCompiledFile(file);
  if (!isCompiled)
    return fail(isCompiled.takeError());
  if (*isCompiled)
    return infoOfExecutable(file, json);
  CompilerContext context;
  std::unique_ptr<Model> model = Model::load(context.get(), file);
  if (!model)
    return kFailed;
  auto &os = llvm::outs();
  os << file << ": @" << model->entry().getSymName() << "\n";
  nlohmann::json report;
  describeModel(*model, report);
  for (const InputDeclaration &input : model->inputs())
    os << "  input " << formatDeclaration(input) << "\n";
  for (unsigned i = 0, e = model->entry().getNumResults(); i < e; ++i)
    os << "  output " << quote(report["outputs"][i].get<std::string>()) << ": "
       << model->entry().getResultTypes()[i] << "\n";
  auto ops = report["ops"].get<std::map<std::string, unsigned>>();
  os << "  " << report["parameters"].get<int64_t>() << " parameters, "
     << report["parameter_elements"].get<int64_t>() << " elements\n  ops:";
  for (auto &[name, count] : ops)
    os << " " << StringRef(name).drop_front(6) << " " << count
       << (name == ops.rbegin()->first ? "" : ",");
  os << "\n";
  if (!json.empty())
    if (llvm::Error error = writeJson(json, report))
      return fail(std::move(error));
  return kDone;
}

void addInfoVerb(CLI::App &app, int &exitCode) {
  auto file = std::make_shared<std::string>(),
       json = std::make_shared<std::string>();
  CLI::App *verb = app.add_subcommand(
      "info", "What goes in, what comes out, parameters and ops of a model\n");
  verb->add_option("file", *file, "Model: .mlir, .onnx or .lathe")->required();
  verb->add_option("--json", *json, "Write the figures for programs to read");
  verb->callback([file, json, &exitCode] { exitCode = info(*file, *json); });
}

} // namespace lathe
