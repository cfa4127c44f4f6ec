//===- Sources.h - Examples out of arrays and token streams -*- C++ -* ----===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_LIB_TRAIN_SOURCES_H
#define LATHE_LIB_TRAIN_SOURCES_H

#include "lathe/Train/Dataset.h"

namespace lathe::train {

/// The examples of the input `spec` out of `array`, which lies in `file`.
/// `overlap`: windows of a stream share a token. Errors: type or shape do not
/// fit, no examples.
llvm::Expected<std::unique_ptr<Source>>
makeSource(const TensorSpec &spec, std::shared_ptr<const DataFile> file,
           const TensorView &array, const FieldOptions &options, bool overlap);

/// Sequences of their own length in a file; see FieldOptions::pad.
struct Sequences {
  std::shared_ptr<const DataFile> file;
  TensorView values;            ///< rank 1
  std::vector<int64_t> offsets; ///< of each, and the end

  int64_t size() const { return static_cast<int64_t>(offsets.size()) - 1; }
};

/// `array` of `file` as sequences. Errors: no offsets, or wrong ones.
llvm::Expected<Sequences> findSequences(std::shared_ptr<const DataFile> file,
                                        const NamedView &array);
/// Examples of `spec` out of sequences. Errors: types or shapes do not fit.
llvm::Expected<std::unique_ptr<Source>>
makePadded(const TensorSpec &spec, std::shared_ptr<const Sequences> sequences,
           const FieldOptions &options);
/// The mask (`spec` of rank 2) or the lengths (rank 1) that go with sequences
/// of `length`.
llvm::Expected<std::unique_ptr<Source>>
makeCompanion(const TensorSpec &spec,
              std::shared_ptr<const Sequences> sequences, int64_t length);

/// The element at `data` as its type has it: all digits of an integer.
std::string formatElement(DType type, const void *data);

/// From one window to the next; the second dimension of `spec` is the window.
int64_t streamStrideOf(const TensorSpec &spec, bool overlap);

} // namespace lathe::train

#endif // LATHE_LIB_TRAIN_SOURCES_H
