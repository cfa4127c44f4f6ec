//===- Safetensors.h - Strict memory-mapped safetensors ---------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Format: https://github.com/huggingface/safetensors (README, "Format").
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_SUPPORT_SAFETENSORS_H
#define LATHE_SUPPORT_SAFETENSORS_H

#include "lathe/Support/MappedFile.h"
#include "lathe/Support/Tensor.h"
#include "llvm/ADT/StringMap.h"

#include <map>
#include <vector>

namespace lathe {

/// A safetensors file, mapped. Opening checks the whole header: at most 100 MB,
/// no duplicate key, every tensor's size equal to shape times type, the tensors
/// covering the data part without overlap or hole.
class Safetensors {
public:
  struct Entry {
    std::string name;
    DType dtype;
    Shape shape;
    uint64_t offset; ///< of its first byte in the file
    uint64_t bytes;
  };

  static llvm::Expected<std::shared_ptr<Safetensors>>
  open(llvm::StringRef path);

  const std::vector<Entry> &entries() const { return list; } ///< by offset
  /// Null if there is none of this name.
  const Entry *find(llvm::StringRef name) const;
  /// Points into the mapping; do not write to it.
  TensorView view(const Entry &entry) const;
  const std::map<std::string, std::string> &metadata() const { return meta; }
  const std::shared_ptr<MappedFile> &file() const { return mapped; }

private:
  std::shared_ptr<MappedFile> mapped;
  std::vector<Entry> list;
  llvm::StringMap<size_t> byName;
  std::map<std::string, std::string> meta;
};

/// Atomic. Tensors are written in the order given, the data part 64-byte
/// aligned in the file.
llvm::Error
writeSafetensors(llvm::StringRef path, llvm::ArrayRef<NamedView> tensors,
                 const std::map<std::string, std::string> &metadata = {});

} // namespace lathe

#endif // LATHE_SUPPORT_SAFETENSORS_H
