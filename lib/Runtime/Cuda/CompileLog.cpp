//===- CompileLog.cpp - What NVRTC says -----------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A log mixes two writers. The front end:
//
//   softmax.cu(7): error: identifier "x" is undefined
//     a = x;
//         ^
//
// and ptxas, of whom every function gets four lines:
//
//   ptxas info    : Compiling entry function 'softmax' for 'sm_90a'
//   ptxas info    : Function properties for softmax
//   ptxas         .     0 bytes stack frame, 0 bytes spill stores, 0 bytes ...
//   ptxas info    : Used 10 registers, used 1 barriers, 1024 bytes smem
//
//===----------------------------------------------------------------------===//

#include "CompileLog.h"

#include "lathe/Support/Error.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"

using namespace llvm;

namespace lathe::cuda {

/// The number before ` unit` in "2368 bytes stack frame, 12 bytes smem"; 0
/// where there is none.
static uint64_t numberBefore(StringRef line, StringRef unit) {
  for (size_t at = line.find(unit); at != StringRef::npos;
       at = line.find(unit, at + 1)) {
    StringRef before = line.take_front(at).rtrim();
    size_t digits = before.size();
    while (digits && isDigit(before[digits - 1]))
      --digits;
    uint64_t value;
    if (!before.substr(digits).getAsInteger(10, value))
      return value;
  }
  return 0;
}

static StringRef quoted(StringRef line) {
  return line.split('\'').second.split('\'').first;
}

namespace {
/// "name(7): error: text" or "name(7): warning #177-D: text".
struct Message {
  StringRef file, text;
  unsigned line = 0;
  bool error = false;
};
} // namespace

static bool parseMessage(StringRef line, Message &message) {
  for (StringRef kind : {"): error", "): catastrophic error", "): warning"}) {
    size_t at = line.find(kind);
    if (at == StringRef::npos)
      continue;
    auto [file, number] = line.take_front(at).rsplit('(');
    if (number.getAsInteger(10, message.line))
      continue;
    message.file = file;
    message.error = kind != "): warning";
    // What follows may be a number of the front end, and always a colon.
    message.text = line.substr(at + kind.size()).split(':').second.trim();
    return true;
  }
  return false;
}

void parseCompileLog(StringRef log, std::vector<KernelResources> &functions,
                     std::vector<CubinWarning> &warnings) {
  using Kind = CubinWarning::Kind;
  auto find = [&](StringRef symbol) -> KernelResources & {
    for (KernelResources &known : functions)
      if (known.symbol == symbol)
        return known;
    functions.emplace_back();
    functions.back().symbol = symbol.str();
    return functions.back();
  };
  std::string entry, properties; // whom the next lines are about
  while (!log.empty()) {
    StringRef line;
    std::tie(line, log) = log.split('\n');
    line = line.rtrim();
    Message message;
    if (parseMessage(line, message)) {
      if (!message.error)
        warnings.push_back({Kind::Source, formatv("{0}:{1}: {2}", message.file,
                                                  message.line, message.text)});
      continue;
    }
    if (line.contains("bytes stack frame") && !properties.empty()) {
      KernelResources &function = find(properties);
      function.stackBytes = numberBefore(line, " bytes stack frame");
      function.spillStoreBytes = numberBefore(line, " bytes spill stores");
      function.spillLoadBytes = numberBefore(line, " bytes spill loads");
      continue;
    }
    if (!line.starts_with("ptxas"))
      continue;
    StringRef text = line.split(':').second.trim();
    if (text.starts_with("Compiling entry function ")) {
      entry = quoted(text).str();
      find(entry).entry = true;
    } else if (text.consume_front("Function properties for ")) {
      properties = text.str();
    } else if (text.starts_with("Used ") && !entry.empty()) {
      KernelResources &function = find(entry);
      function.registers = numberBefore(text, " registers");
      function.barriers = numberBefore(text, " barriers");
      function.sharedBytes = numberBefore(text, " bytes smem");
      SmallVector<StringRef> parts;
      text.split(parts, ", ");
      for (StringRef part : parts)
        if (part.contains(" bytes cmem["))
          function.constantBytes += numberBefore(part, " bytes cmem");
    } else if (text.starts_with("Compile time = ") && !entry.empty()) {
      (void)to_float(text.split("= ").second.split(' ').first,
                     find(entry).milliseconds);
    } else if (text.contains("Potential Performance Loss")) {
      warnings.push_back({Kind::Serialized, "ptxas: " + text.str()});
    } else if (line.starts_with("ptxas warning")) {
      warnings.push_back({Kind::Assembler, "ptxas: " + text.str()});
    }
  }
  for (const KernelResources &function : functions)
    if (function.spillStoreBytes || function.spillLoadBytes)
      warnings.push_back(
          {Kind::Spill,
           formatv("{0} has too few registers: {1} bytes of spill stores, {2} "
                   "of loads",
                   quote(function.symbol), function.spillStoreBytes,
                   function.spillLoadBytes)});
}

/// Some lines around number `at`, which begins with a mark.
static std::string excerpt(StringRef text, unsigned at) {
  constexpr unsigned kAround = 2;
  SmallVector<StringRef> lines;
  text.split(lines, '\n');
  std::string result;
  unsigned first = at > kAround ? at - kAround : 1;
  unsigned last = std::min<unsigned>(at + kAround, lines.size());
  for (unsigned n = first; n <= last; ++n)
    result += formatv("\n  {0}{1,5} | {2}", n == at ? ">" : " ", n,
                      lines[n - 1].rtrim().take_front(160))
                  .str();
  return result;
}

std::string explainErrors(StringRef log, const CubinRequest &request) {
  constexpr unsigned kShown = 5;
  std::string result;
  unsigned count = 0;
  for (StringRef rest = log; !rest.empty();) {
    StringRef line;
    std::tie(line, rest) = rest.split('\n');
    line = line.rtrim();
    Message message;
    bool aboutLine = parseMessage(line, message) && message.error;
    bool assembler = line.starts_with("ptxas") &&
                     (line.contains("error") || line.contains("fatal"));
    if (!aboutLine && !assembler && !line.starts_with("nvrtc: error"))
      continue;
    if (++count > kShown)
      continue;
    if (!aboutLine) {
      result += "\n  " + line.str();
      continue;
    }
    result +=
        formatv("\n  {0}:{1}: {2}", message.file, message.line, message.text)
            .str();
    if (message.file == request.name)
      result += excerpt(request.text, message.line);
    for (const TextHeader &header : request.headers)
      if (message.file == header.name)
        result += excerpt(header.text, message.line);
  }
  if (count > kShown)
    result += formatv("\n  and {0} more errors", count - kShown).str();
  return result.empty() ? "\n  " + log.trim().str() : result;
}

} // namespace lathe::cuda
