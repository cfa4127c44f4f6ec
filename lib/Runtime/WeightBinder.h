//===- WeightBinder.h - Parameters to files ------------------- -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Binds a program's parameters to files, model data or initializers, and brings
// each into memory only for as long as it is needed.
#ifndef LATHE_LIB_RUNTIME_WEIGHTBINDER_H
#define LATHE_LIB_RUNTIME_WEIGHTBINDER_H

#include "lathe/Executable/Executable.h"
#include "lathe/Runtime/Session.h"

namespace lathe {

class WeightBinder {
public:
  /// Finds every one of `parameters`, which are counted in this order from here
  /// on; the error lists all that are missing or do not fit. Reads headers
  /// only, no weights.
  llvm::Error bind(llvm::ArrayRef<const exec::Weight *> parameters,
                   WeightSource &source, const SessionOptions &options);

  /// Brings parameter `index` into memory: a pointer into the mapped file, or a
  /// block of its own where it has to be gathered, aligned or made.
  llvm::Expected<char *> acquire(size_t index, ThreadPool &pool);
  /// Gives its memory back. Reading it again takes another `acquire`.
  void release(size_t index);

  std::vector<std::string> notes;
  /// Where parameters lie that the compiled model itself holds.
  EmbeddedData embedded;

private:
  struct Piece {
    std::shared_ptr<Safetensors> keepSafetensors;
    std::shared_ptr<MappedFile> file;
    uint64_t offset = 0, bytes = 0;
  };
  struct Binding {
    const exec::Weight *weight = nullptr;
    DType dtype = DType::F32;
    Shape shape;
    std::vector<Piece> pieces; // empty: made by the initializer
    bool fromInitializer = false;
    bool fromModel =
        false;            // one piece, of the file the model names, or its own
    bool checked = false; // its bytes are the ones the model was compiled for
    Tensor block;         // where a copy is held
    char *address = nullptr;
  };

  void bindFromFiles(Binding &binding, const WeightSource &source,
                     std::vector<std::string> &missing,
                     std::vector<std::string> &wrong);
  void bindFromModel(Binding &binding, WeightSource &source,
                     std::vector<std::string> &wrong);
  void choosePrefix(llvm::ArrayRef<const exec::Weight *> parameters,
                    const WeightSource &source);
  std::string rename(llvm::StringRef key) const;

  std::vector<Binding> bindings;
  uint64_t seed = 0;
  // How keys of the files differ from the model's, where all do alike.
  std::string addPrefix, dropPrefix;
};

} // namespace lathe

#endif // LATHE_LIB_RUNTIME_WEIGHTBINDER_H
