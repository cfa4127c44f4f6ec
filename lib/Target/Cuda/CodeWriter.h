//===- CodeWriter.h - Indented text -----------------------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TARGET_CUDA_CODEWRITER_H
#define LATHE_LIB_TARGET_CUDA_CODEWRITER_H

#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/Twine.h"

#include <string>

namespace lathe::cuda {

/// Text in the making, two blanks per level, with names that are used once.
class CodeWriter {
public:
  /// A line at the present level; an empty one has no blanks.
  void line(const llvm::Twine &text = "") {
    std::string rendered = text.str();
    if (!rendered.empty())
      buffer.append(2 * level, ' ');
    buffer += rendered + '\n';
  }
  /// `text {`, and a level more until `close`.
  void open(const llvm::Twine &text) {
    line(text + " {");
    ++level;
  }
  void close(const llvm::Twine &after = "") {
    --level;
    line("}" + after);
  }
  /// `const TYPE name = value;`, left out where nothing below mentions `name`:
  /// compilers warn of what is not used.
  void declare(const llvm::Twine &type, llvm::StringRef name,
               const llvm::Twine &value) {
    optionalLine("const " + type + " " + name + " = " + value + ";", name);
  }
  void optionalLine(const llvm::Twine &text, llvm::StringRef name) {
    line(text + llvm::Twine(optionalMark) + name);
  }
  /// The same for an index.
  void declareIndex(llvm::StringRef name, const llvm::Twine &value) {
    declare(indexType, name, value);
  }
  /// Decides which of the declarations since the last call stay.
  void settleDeclarations();

  /// `wish`, or `wish` with a number behind it where it is taken.
  std::string unique(llvm::StringRef wish) {
    unsigned &count = used[wish];
    ++count;
    return count == 1 ? wish.str() : (wish + llvm::Twine(count - 1)).str();
  }
  /// Names start over: what follows is another function.
  void forgetNames() { used.clear(); }
  /// Names taken within its life are free again afterwards.
  class NameScope {
  public:
    NameScope(CodeWriter &writer) : writer(writer), outer(writer.used) {}
    ~NameScope() { writer.used = std::move(outer); }

  private:
    CodeWriter &writer;
    llvm::StringMap<unsigned> outer;
  };

  /// The type of positions: i64 where a buffer has 2^31 elements or more.
  std::string indexType = "int";

  std::string take() { return std::move(buffer); }

private:
  static constexpr char optionalMark = '\x01';
  std::string buffer;
  size_t settled = 0;
  unsigned level = 0;
  llvm::StringMap<unsigned> used;
};

} // namespace lathe::cuda

#endif // LATHE_LIB_TARGET_CUDA_CODEWRITER_H
