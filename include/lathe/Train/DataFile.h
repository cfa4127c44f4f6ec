//===- DataFile.h - Arrays and token streams in files -*- C++ -* ----------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_TRAIN_DATAFILE_H
#define LATHE_TRAIN_DATAFILE_H

#include "lathe/Support/Tensor.h"
#include "lathe/Train/Vocabulary.h"

#include <vector>

namespace lathe::train {

/// A file of training data, mapped into memory where its format allows (npy,
/// safetensors, .bin, bytes of text), else read (npz, IDX, gzip).
struct DataFile {
  std::string path;
  /// By name. npy, IDX, .bin and text hold one array without a name.
  std::vector<NamedView> arrays;
  /// One stream of tokens, rank 1, not examples one after the other.
  bool tokens = false;
  std::vector<std::shared_ptr<const void>> keep; ///< owners of the memory
};

/// The format is told by the file's first bytes (npy, npz, IDX, gzip) and by
/// its extension: .safetensors; .bin, tokens of type `tokenType` (U8, U16 or
/// U32, little-endian); .txt, a token per byte. Errors: what is damaged, a .bin
/// file that is no whole number of tokens.
llvm::Expected<std::shared_ptr<const DataFile>>
openDataFile(llvm::StringRef path, DType tokenType = DType::U16);

/// The characters of a text file as tokens. An empty `vocabulary` becomes that
/// of the text. Errors: characters that are not in it, no UTF-8.
llvm::Expected<std::shared_ptr<const DataFile>>
openCharacters(llvm::StringRef path, Vocabulary &vocabulary);

} // namespace lathe::train

#endif // LATHE_TRAIN_DATAFILE_H
