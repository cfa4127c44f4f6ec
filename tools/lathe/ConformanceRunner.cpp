//===- ConformanceRunner.cpp - ONNX's backend test cases ------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ConformanceRunner.h"
#include "ModelOptions.h"

#include "lathe/Import/Onnx.h"
#include "lathe/Pipelines/Compiler.h"
#include "lathe/Runtime/Session.h"
#include "lathe/Support/AtomicFile.h"
#include "lathe/Support/Compare.h"
#include "lathe/Support/Error.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

#include <chrono>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace mlir;
namespace fs = llvm::sys::fs;

namespace lathe {

//===----------------------------------------------------------------------===//
// One case
//===----------------------------------------------------------------------===//

namespace {

/// What a case says in the end; thrown up through returns.
struct Outcome {
  CaseStatus status;
  std::string message;
};

Outcome wrong(const llvm::Twine &message) {
  return {CaseStatus::Wrong, message.str()};
}
Outcome unsupported(const llvm::Twine &message) {
  return {CaseStatus::Unsupported, message.str()};
}

/// DIR/input_0.pb, input_1.pb ... as long as there is one.
llvm::Expected<std::vector<Tensor>> readTensors(const std::string &folder,
                                                llvm::StringRef kind) {
  std::vector<Tensor> tensors;
  for (unsigned i = 0;; ++i) {
    std::string path =
        (folder + "/" + kind + "_" + llvm::Twine(i) + ".pb").str();
    if (!fs::exists(path))
      return std::move(tensors);
    auto tensor = readOnnxTensor(path);
    if (!tensor)
      return tensor.takeError();
    tensors.push_back(std::move(tensor->tensor));
  }
}

/// ONNX's older cases keep bfloat16 as numbers of 16 bits.
TensorView readAs(const TensorView &tensor, DType type) {
  bool sameBits = type == DType::BF16 && tensor.dtype() == DType::U16;
  return sameBits ? TensorView(type, tensor.shape(), tensor.data()) : tensor;
}

Outcome runDataSet(const ConformanceOptions &options, const std::string &model,
                   const std::string &folder) {
  MLIRContext context(MLIRContext::Threading::DISABLED);
  context.printOpOnDiagnostic(false);
  DialectRegistry registry;
  registerAllLatheDialects(registry);
  context.appendDialectRegistry(registry);
  context.loadAllAvailableDialects();
  std::string said;
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
    if (diagnostic.getSeverity() != DiagnosticSeverity::Error || !said.empty())
      return;
    said = diagnostic.str();
    for (Diagnostic &note : diagnostic.getNotes())
      said += "; " + note.str();
  });

  // Read late: cases with sequences are refused for the model's sake.
  auto inputs = readTensors(folder, "input");
  OnnxImportOptions import;
  if (inputs)
    import.valueOf = [&](llvm::StringRef,
                         unsigned index) -> std::optional<DenseElementsAttr> {
      if (index >= inputs->size())
        return std::nullopt;
      return toElementsAttr(context, (*inputs)[index]);
    };
  OnnxImportInfo info;
  std::unique_ptr<Model> loaded = Model::load(context, model, import, &info);
  if (!loaded) {
    if (!inputs)
      llvm::consumeError(inputs.takeError());
    return unsupported(
        info.unsupported.empty() ? said : llvm::join(info.unsupported, "; "));
  }
  if (info.random) {
    if (!inputs)
      llvm::consumeError(inputs.takeError());
    return unsupported("random numbers: values cannot be compared");
  }
  if (!inputs)
    return wrong(llvm::toString(inputs.takeError()));
  auto outputs = readTensors(folder, "output");
  if (!outputs)
    return wrong(llvm::toString(outputs.takeError()));

  if (inputs->size() != loaded->inputs().size())
    return wrong("the case has " + llvm::Twine(inputs->size()) +
                 " inputs, the model " + llvm::Twine(loaded->inputs().size()));
  // A few cases bring tensors of another shape than their model declares.
  bool again = false;
  for (auto [input, tensor] : llvm::zip_equal(loaded->inputs(), *inputs)) {
    bool fits = input.shape.size() == tensor.shape().size();
    for (auto [declared, found] : llvm::zip(input.shape, tensor.shape()))
      fits &= declared < 0 || declared == found;
    if (!fits) {
      import.shapes[input.name] = SmallVector<int64_t>(tensor.shape());
      again = true;
    }
  }
  if (again && !(loaded = Model::load(context, model, import, &info)))
    return unsupported(said);
  std::vector<SmallVector<int64_t>> shapes;
  for (const Tensor &tensor : *inputs)
    shapes.emplace_back(tensor.shape().begin(), tensor.shape().end());
  auto executable = std::make_shared<exec::Executable>();
  CompileOptions compile;
  compile.fuse = options.fuse;
  compile.optimize = options.optimize;
  compile.threads = options.threads;
  compile.useCache = options.useCache;
  compile.target = options.target;
  compile.arch =
      compile.target == Target::Cuda ? chooseArch(options.arch) : options.arch;
  compile.simChecks = options.simChecks;
  if (failed(loaded->compile(shapes, compile, *executable, nullptr)))
    return unsupported("not compiled: " + said);
  if (options.compileOnly) {
    for (const exec::Object &object : executable->objects())
      if (object.warnings_size())
        return wrong("a kernel compiles with a warning: " + object.warnings(0));
    return {CaseStatus::Passed, ""};
  }

  auto code = LoadedModel::load(executable);
  if (!code)
    return wrong(llvm::toString(code.takeError()));
  WeightSource weights;
  weights.setModelFolder(llvm::sys::path::parent_path(model));
  SessionOptions sessionOptions;
  sessionOptions.threads = options.threads;
  auto session = Session::create(*code, 0, weights, sessionOptions);
  if (!session)
    return wrong(llvm::toString(session.takeError()));
  std::vector<TensorView> views;
  for (auto [input, tensor] : llvm::zip_equal(loaded->inputs(), *inputs))
    views.push_back(readAs(tensor, input.dtype));
  auto results = (*session)->run(views);
  if (!results)
    return wrong(llvm::toString(results.takeError()));
  if (results->size() < outputs->size())
    return wrong("the case has " + llvm::Twine(outputs->size()) +
                 " outputs, the model " + llvm::Twine(results->size()));
  for (auto [i, expected] : llvm::enumerate(*outputs)) {
    const Tensor &found = (*results)[i];
    Comparison c = compareTensors(found, readAs(expected, found.dtype()),
                                  options.rtol, options.atol);
    if (!c.ok)
      return wrong("output " + llvm::Twine(i) + ": " + c.message);
  }
  return {CaseStatus::Passed, ""};
}

/// All data sets of a case; the first that does not pass decides.
Outcome runCase(const ConformanceOptions &options, const std::string &name) {
  std::string folder = options.folder + "/" + name;
  for (unsigned i = 0;; ++i) {
    std::string set = folder + "/test_data_set_" + std::to_string(i);
    if (!fs::is_directory(set))
      return i ? Outcome{CaseStatus::Passed, ""}
               : wrong("it has no test_data_set_0");
    Outcome outcome = runDataSet(options, folder + "/model.onnx", set);
    if (outcome.status != CaseStatus::Passed)
      return outcome;
  }
}

/// A case that is running in a process of its own.
struct Child {
  pid_t pid;
  int pipe;
  size_t index;
  std::chrono::steady_clock::time_point deadline;
  std::string said;
};

Child start(const ConformanceOptions &options, const std::string &name,
            size_t index) {
  Child child{-1, -1, index, {}, ""};
  int ends[2];
  if (pipe(ends))
    return child;
  child.pid = fork();
  if (child.pid == 0) {
    close(ends[0]);
    int nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, STDERR_FILENO);
    dup2(nowhere, STDOUT_FILENO);
    Outcome outcome = runCase(options, name);
    std::string text = "PWU"[int(outcome.status)] + outcome.message;
    for (size_t at = 0; at < text.size();) {
      ssize_t n = write(ends[1], text.data() + at, text.size() - at);
      if (n <= 0)
        break;
      at += n;
    }
    _exit(0);
  }
  close(ends[1]);
  if (child.pid < 0) {
    close(ends[0]);
    return child;
  }
  child.pipe = ends[0];
  child.deadline = std::chrono::steady_clock::now() +
                   std::chrono::seconds(options.timeoutSeconds);
  return child;
}

/// One line, of a length people read.
std::string tidy(llvm::StringRef message) {
  std::string text;
  for (char c : message.take_front(300))
    text.push_back(c == '\n' ? ' ' : c);
  return StringRef(text).trim().str();
}

CaseResult finish(Child &child, const std::string &name, bool late,
                  unsigned seconds) {
  CaseResult result{name, CaseStatus::Wrong, ""};
  if (late)
    kill(child.pid, SIGKILL);
  int status = 0;
  waitpid(child.pid, &status, 0);
  close(child.pipe);
  if (late)
    result.message = "no answer within " + std::to_string(seconds) + " s";
  else if (WIFSIGNALED(status))
    result.message = "crashed with signal " + std::to_string(WTERMSIG(status));
  else if (!WIFEXITED(status) || WEXITSTATUS(status) || child.said.empty())
    result.message = "ended without an answer";
  else {
    result.status = child.said[0] == 'P'   ? CaseStatus::Passed
                    : child.said[0] == 'U' ? CaseStatus::Unsupported
                                           : CaseStatus::Wrong;
    result.message = tidy(StringRef(child.said).drop_front());
  }
  return result;
}

} // namespace

//===----------------------------------------------------------------------===//
// All cases
//===----------------------------------------------------------------------===//

llvm::Expected<std::vector<std::string>>
findConformanceCases(const ConformanceOptions &options) {
  if (!fs::is_directory(options.folder))
    return makeError("{0} is not a folder", quote(options.folder));
  std::vector<std::string> cases;
  std::error_code error;
  for (fs::recursive_directory_iterator it(options.folder, error), end;
       it != end && !error; it.increment(error)) {
    if (llvm::sys::path::filename(it->path()) != "model.onnx")
      continue;
    StringRef name = llvm::sys::path::parent_path(it->path());
    if (!fs::is_directory(name + "/test_data_set_0"))
      continue;
    name.consume_front(options.folder);
    name = name.ltrim('/');
    if (name.contains(options.filter))
      cases.push_back(name.str());
  }
  if (error)
    return makeError("cannot read {0}: {1}", quote(options.folder),
                     error.message());
  llvm::sort(cases);
  return cases;
}

std::vector<CaseResult>
runConformanceCases(const ConformanceOptions &options,
                    const std::vector<std::string> &cases,
                    const std::function<void(const CaseResult &)> &progress) {
  std::vector<CaseResult> results(cases.size());
  std::vector<Child> running;
  size_t next = 0;
  while (next < cases.size() || !running.empty()) {
    while (next < cases.size() && running.size() < std::max(1u, options.jobs)) {
      Child child = start(options, cases[next], next);
      if (child.pid < 0) {
        results[next] = {cases[next], CaseStatus::Wrong,
                         "no process could be started"};
        progress(results[next]);
      } else {
        running.push_back(std::move(child));
      }
      ++next;
    }
    std::vector<pollfd> waits;
    for (const Child &child : running)
      waits.push_back({child.pipe, POLLIN, 0});
    poll(waits.data(), waits.size(), 200);
    auto now = std::chrono::steady_clock::now();
    for (size_t i = running.size(); i-- > 0;) {
      Child &child = running[i];
      bool ended = false;
      if (waits[i].revents) {
        char buffer[4096];
        ssize_t n = read(child.pipe, buffer, sizeof(buffer));
        if (n > 0)
          child.said.append(buffer, n);
        else
          ended = true;
      }
      bool late = !ended && now > child.deadline;
      if (!ended && !late)
        continue;
      results[child.index] =
          finish(child, cases[child.index], late, options.timeoutSeconds);
      progress(results[child.index]);
      running.erase(running.begin() + i);
    }
  }
  return results;
}

//===----------------------------------------------------------------------===//
// Expectations
//===----------------------------------------------------------------------===//

llvm::Expected<Expectations> Expectations::read(StringRef path) {
  auto buffer = llvm::MemoryBuffer::getFile(path);
  if (!buffer)
    return makeError("cannot read {0}: {1}", quote(path),
                     buffer.getError().message());
  Expectations result;
  SmallVector<StringRef> lines;
  (*buffer)->getBuffer().split(lines, '\n');
  for (auto [i, raw] : llvm::enumerate(lines)) {
    StringRef line = raw.trim();
    if (line.empty() || line.starts_with("#"))
      continue;
    auto [name, reason] = line.split(": ");
    bool good = !reason.empty();
    if (name == "total")
      good = !reason.getAsInteger(10, result.total);
    else if (good)
      good = result.unsupported.emplace(name.str(), reason.str()).second;
    if (!good)
      return makeError("{0} line {1}: expected 'total: N' or a new "
                       "'CASE: REASON', got {2}",
                       quote(path), i + 1, quote(line));
  }
  return result;
}

llvm::Error Expectations::write(StringRef path) const {
  std::string text =
      "# Backend test cases of ONNX that Lathe does not support, and why.\n"
      "# Written by `lathe conformance DIR --expect FILE --update`. A case "
      "listed here\n# that passes fails the run; so does running fewer cases "
      "than `total`. Lines with\n# \"data at fault\" are written by hand, and "
      "stay.\n";
  text += "total: " + std::to_string(total) + "\n";
  for (const auto &[name, reason] : unsupported)
    text += name + ": " + reason + "\n";
  return writeFileAtomically(path, {StringRef(text)});
}

void excuseFaultyCases(std::vector<CaseResult> &results,
                       const Expectations &expected) {
  for (CaseResult &result : results) {
    auto listed = expected.unsupported.find(result.name);
    if (result.status != CaseStatus::Wrong ||
        listed == expected.unsupported.end() ||
        !StringRef(listed->second).starts_with("data at fault: "))
      continue;
    result.status = CaseStatus::Unsupported;
    result.message = listed->second;
  }
}

std::vector<std::string> judge(const std::vector<CaseResult> &results,
                               const Expectations &expected, bool partial) {
  std::vector<std::string> faults;
  std::map<std::string, CaseStatus> seen;
  for (const CaseResult &result : results) {
    seen[result.name] = result.status;
    bool listed = expected.unsupported.count(result.name);
    if (result.status == CaseStatus::Wrong)
      faults.push_back("wrong: " + result.name + ": " + result.message);
    else if (result.status == CaseStatus::Unsupported && !listed)
      faults.push_back("unsupported and not listed: " + result.name + ": " +
                       result.message);
    else if (result.status == CaseStatus::Passed && listed)
      faults.push_back("listed as unsupported, but passes: " + result.name);
  }
  if (partial)
    return faults;
  for (const auto &[name, reason] : expected.unsupported)
    if (!seen.count(name))
      faults.push_back("listed, but there is no such case: " + name);
  if (results.size() < expected.total)
    faults.push_back(
        "fewer cases than recorded: " + std::to_string(results.size()) +
        " of " + std::to_string(expected.total));
  return faults;
}

} // namespace lathe
