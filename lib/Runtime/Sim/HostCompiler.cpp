//===- HostCompiler.cpp - CUDA texts through the host's clang -------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Sim.h"

#include "lathe/Support/Error.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FileUtilities.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/raw_ostream.h"

#include <cstdlib>

using namespace llvm;

namespace lathe {

static std::string findProgram(StringRef name) {
  ErrorOr<std::string> found = sys::findProgramByName(name);
  return found && sys::fs::can_execute(*found) ? *found : "";
}

Expected<std::string> findHostCompiler() {
  if (const char *chosen = std::getenv("LATHE_HOST_CXX"); chosen && *chosen) {
    if (std::string found = findProgram(chosen); !found.empty())
      return found;
    return makeError("LATHE_HOST_CXX names {0}, which is not a program",
                     quote(chosen));
  }
  for (StringRef name : {StringRef(LATHE_BUILD_CXX), StringRef("clang++-19"),
                         StringRef("clang++")})
    if (name.contains("clang"))
      if (std::string found = findProgram(name); !found.empty())
        return found;
  return makeError("the target cuda-sim compiles kernels with clang and finds "
                   "none: install clang-19, or name one in LATHE_HOST_CXX");
}

namespace {
/// Headers are put in place of their includes: there is no folder to make and
/// none to clean up.
class Preprocessor {
public:
  Preprocessor(ArrayRef<SimHeader> headers) : headers(headers) {}

  Error append(StringRef name, StringRef text) {
    out += "#line 1 \"" + name.str() + "\"\n";
    size_t number = 0;
    while (!text.empty()) {
      auto [line, rest] = text.split('\n');
      text = rest;
      ++number;
      StringRef directive = line.ltrim();
      if (directive.starts_with("#pragma once")) {
        out += '\n';
        continue;
      }
      if (!directive.consume_front("#include")) {
        (out += line) += '\n';
        continue;
      }
      StringRef wanted = directive.trim();
      if (!wanted.consume_front("\"") || !wanted.consume_back("\""))
        return makeError("{0}:{1}: expected #include \"lathe/...\"", name,
                         number);
      if (Error error = include(wanted, name, number))
        return error;
      out +=
          "#line " + std::to_string(number + 1) + " \"" + name.str() + "\"\n";
    }
    return Error::success();
  }

  std::string out;

private:
  Error include(StringRef wanted, StringRef from, size_t line) {
    if (!seen.insert(wanted).second)
      return Error::success();
    StringRef file = wanted;
    file.consume_front("lathe/");
    for (const SimHeader &header : headers)
      if (header.name == file)
        return append(wanted, header.text);
    return makeError("{0}:{1}: there is no header {2}", from, line,
                     quote(wanted));
  }

  ArrayRef<SimHeader> headers;
  StringSet<> seen;
};

/// A file in the system's temporary folder, gone when this goes.
struct TemporaryFile {
  SmallString<128> path;
  FileRemover remover;
  Error create(StringRef suffix) {
    int descriptor;
    if (std::error_code code =
            sys::fs::createTemporaryFile("lathe-sim", suffix, descriptor, path))
      return makeError("cannot make a temporary file: {0}", code.message());
    remover.setFile(path);
    sys::fs::closeFile(descriptor);
    return Error::success();
  }
  Error write(StringRef text) {
    std::error_code code;
    raw_fd_ostream stream(path, code);
    if (!code) {
      stream << text;
      stream.close();
      code = stream.error();
      stream.clear_error();
    }
    if (code)
      return makeError("cannot write {0}: {1}", quote(path), code.message());
    return Error::success();
  }
  std::string read() const {
    auto buffer = MemoryBuffer::getFile(path);
    return buffer ? (*buffer)->getBuffer().str() : std::string();
  }
};
} // namespace

Expected<std::string> compileForHost(const SimText &text) {
  Expected<std::string> compiler = findHostCompiler();
  if (!compiler)
    return compiler.takeError();
  Preprocessor source(text.headers);
  if (Error error = source.append(text.name, text.text))
    return std::move(error);
  TemporaryFile input, object, messages;
  for (auto [file, suffix] : {std::pair(&input, "cu"), std::pair(&object, "o"),
                              std::pair(&messages, "txt")})
    if (Error error = file->create(suffix))
      return std::move(error);
  if (Error error = input.write(source.out))
    return std::move(error);

  SmallVector<StringRef> arguments = {
      *compiler, "-x", "c++", "-std=c++17", "-c", "-", "-o", object.path,
      // The loader gives addresses anywhere; __shared__ is the simulator's.
      "-fPIC", "-femulated-tls", "-nostdinc",
      // The device fuses multiply and add where it pleases; here only fmaf
      // does.
      "-ffp-contract=off", "-fno-math-errno", "-fno-exceptions", "-fno-rtti",
      "-fno-stack-protector", "-fno-asynchronous-unwind-tables",
      "-fno-strict-aliasing", "-O1", "-gline-tables-only",
      "-fdebug-compilation-dir=.", "-fno-color-diagnostics",
      "-fno-caret-diagnostics", "-ferror-limit=5", "-Wno-everything"};
  if (text.checked)
    arguments.append(
        {"-fsanitize=thread", "-mllvm", "-tsan-instrument-read-before-write=1",
         // Indices of arrays with a known size, which may leave a
         // row without leaving the array.
         "-fsanitize=array-bounds", "-fno-sanitize-recover=array-bounds"});
  std::string failure;
  std::optional<StringRef> redirects[] = {StringRef(input.path), StringRef(""),
                                          StringRef(messages.path)};
  int code = sys::ExecuteAndWait(*compiler, arguments, /*Env=*/std::nullopt,
                                 redirects, /*SecondsToWait=*/0,
                                 /*MemoryLimit=*/0, &failure);
  if (code != 0) {
    std::string said = messages.read();
    StringRef trimmed = StringRef(said).trim();
    return makeError("{0} does not compile {1}: {2}", *compiler,
                     quote(text.name),
                     trimmed.empty() ? StringRef(failure) : trimmed);
  }
  std::string bytes = object.read();
  if (bytes.empty())
    return makeError("{0} gave no object for {1}", *compiler, quote(text.name));
  return bytes;
}

} // namespace lathe
