//===- Dataset.h - Examples for the inputs of a program -*- C++ -* --------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_TRAIN_DATASET_H
#define LATHE_TRAIN_DATASET_H

#include "lathe/Runtime/Session.h"
#include "lathe/Train/DataFile.h"

#include <map>
#include <optional>

namespace lathe::train {

/// What the user says of the data of one input.
struct FieldOptions {
  struct Normalization {
    double mean = 0, deviation = 1;
  };
  /// (x - mean) / deviation, of inputs of float type.
  std::optional<Normalization> normalize;
  /// Integers lie in [0, limit): classes of labels, entries of a vocabulary.
  std::optional<int64_t> limit;
  /// Of arrays and padded sequences -limit to -1 are allowed, too: entries
  /// counted from the end.
  bool fromEnd = false;
  /// The least and the largest integer; only where there is a limit.
  int64_t least() const { return fromEnd ? -*limit : 0; }
  int64_t largest() const { return *limit - 1; }
  /// The one integer beyond `limit` that labels may be: it does not count.
  std::optional<int64_t> ignored;
  /// Windows of a token stream begin so many tokens later: 1 for the targets
  /// of a language model.
  int64_t shift = 0;
  /// Sequences of their own length, one an example, cut off or filled up with
  /// `padding` to the length of the input, [batch, length]: the lines of a .txt
  /// file, or a flat array NAME with where each begins, and the end, in an
  /// integer array NAME.offsets. Inputs NAME_mask [batch, length] (1 where
  /// there is data, else 0) and NAME_length [batch] are made from it if they
  /// have no data of their own. Not `pad`: the sequences one after the other
  /// are one stream of tokens (packing).
  bool pad = false;
  double padding = 0;
};

/// Where the examples of one input come from.
class Source {
public:
  virtual ~Source();
  virtual int64_t size() const = 0;
  /// Whether examples are windows of a stream, which `phase` tokens move.
  virtual bool isStream() const = 0;
  /// Writes example `index` in the type and shape of the input. Errors: a value
  /// that is not finite, out of range.
  virtual llvm::Error copy(int64_t index, int64_t phase, char *out) const = 0;
};

/// For every input of a program (less its batch dimension) as many examples.
class Dataset {
public:
  /// A file per input; one that holds a single array, or an array of the
  /// input's name. An input without a file is looked for by its name in
  /// `unnamed`. `inputs` are the program's; of those, "random_key" needs none.
  /// Errors: what has no data, does not fit, is empty, or differs in number.
  static llvm::Expected<std::shared_ptr<Dataset>>
  create(llvm::ArrayRef<TensorSpec> inputs,
         const std::map<std::string, std::shared_ptr<const DataFile>> &files,
         llvm::ArrayRef<std::shared_ptr<const DataFile>> unnamed,
         const std::map<std::string, FieldOptions> &options);

  int64_t size() const { return count; }
  /// Tokens from one window to the next; 0 where there is no stream. As long as
  /// a window, or one less where no input is shifted: then a window holds its
  /// own targets, and its last token is the first of the next.
  int64_t stride() const { return streamStride; }
  llvm::ArrayRef<TensorSpec> inputs() const { return specs; }

  /// Fills row i of every batch with example indices[i]. `batch` is in the
  /// order of `inputs()`; what needs no data ("random_key") is left alone.
  llvm::Error fill(llvm::ArrayRef<int64_t> indices, int64_t phase,
                   llvm::ArrayRef<Tensor> batch) const;
  /// Reads every example once, so that bad values are found before training.
  llvm::Error check() const;
  /// Which data this is, as far as resuming needs: types, shapes, number.
  std::string description() const;

private:
  std::vector<TensorSpec> specs;
  std::vector<std::unique_ptr<Source>> sources; ///< null: needs none
  int64_t count = 0, streamStride = 0;
};

/// The name of the argument that the loop fills by itself.
inline constexpr llvm::StringLiteral kRandomKey = "random_key";

} // namespace lathe::train

#endif // LATHE_TRAIN_DATASET_H
