//===- WeightSource.h - Where parameters come from --------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_RUNTIME_WEIGHTSOURCE_H
#define LATHE_RUNTIME_WEIGHTSOURCE_H

#include "lathe/Support/Safetensors.h"
#include "llvm/ADT/StringMap.h"

namespace lathe {

/// The weights files a user names, opened and indexed by key.
class WeightSource {
public:
  /// A .safetensors file, an index of shards (.json with "weight_map"), or a
  /// folder, of which every .safetensors file is taken. Errors: what the reader
  /// finds wrong, and two files with the same key.
  llvm::Error add(llvm::StringRef path);
  /// Also searched, besides the path as it stands, for the files that a model
  /// says hold its parameters: the model file's own folder.
  void setModelFolder(llvm::StringRef folder) { modelFolder = folder.str(); }

  struct Found {
    std::shared_ptr<Safetensors> file;
    const Safetensors::Entry *entry = nullptr;
    explicit operator bool() const { return entry != nullptr; }
  };
  Found find(llvm::StringRef key) const;
  /// All keys, sorted.
  std::vector<llvm::StringRef> keys() const;
  bool empty() const { return files.empty(); }
  const std::vector<std::shared_ptr<Safetensors>> &opened() const {
    return files;
  }
  /// Maps a file that a model names; each is opened once.
  llvm::Expected<std::shared_ptr<MappedFile>> modelFile(llvm::StringRef path);

private:
  llvm::Error addFile(llvm::StringRef path);
  llvm::Error addIndex(llvm::StringRef path);

  std::vector<std::shared_ptr<Safetensors>> files;
  llvm::StringMap<Found> byKey;
  llvm::StringMap<std::shared_ptr<MappedFile>> modelFiles;
  std::string modelFolder;
};

} // namespace lathe

#endif // LATHE_RUNTIME_WEIGHTSOURCE_H
