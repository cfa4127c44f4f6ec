//===- CodeWriter.cpp - Indented text -------------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CodeWriter.h"

#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"

using namespace llvm;

namespace lathe::cuda {

static void noteWords(StringRef text, llvm::StringSet<> &words) {
  auto isPart = [](char c) { return isAlnum(c) || c == '_'; };
  while (!text.empty()) {
    text = text.drop_until(isPart);
    StringRef word = text.take_while(isPart);
    words.insert(word);
    text = text.drop_front(word.size());
  }
}

void CodeWriter::settleDeclarations() {
  SmallVector<StringRef> lines, kept;
  StringRef(buffer).drop_front(settled).split(lines, '\n');
  // The words below a line, per block that it stands in: from the end upwards,
  // a closing brace begins a block.
  SmallVector<llvm::StringSet<>> words(1);
  for (StringRef line : llvm::reverse(lines)) {
    auto [text, name] = line.split(optionalMark);
    if (!name.empty() && !words.back().contains(name))
      continue;
    if (text.ends_with("{") && words.size() > 1) {
      llvm::StringSet<> inner = words.pop_back_val();
      for (auto &entry : inner)
        words.back().insert(entry.getKey());
    }
    if (text.ltrim().starts_with("}"))
      words.emplace_back();
    noteWords(text, words.back());
    kept.push_back(text);
  }
  std::string result = join(llvm::reverse(kept), "\n");
  buffer.resize(settled);
  buffer += result;
  settled = buffer.size();
}

} // namespace lathe::cuda
