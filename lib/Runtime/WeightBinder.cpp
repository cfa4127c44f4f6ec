//===- WeightBinder.cpp - Parameters to files -----------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "WeightBinder.h"

#include "Initializer.h"
#include "lathe/Runtime/ThreadPool.h"
#include "lathe/Support/Error.h"
#include "lathe/Support/KeyPattern.h"
#include "lathe/Support/Recipe.h"
#include "llvm/ADT/STLExtras.h"

#include <algorithm>
#include <cstring>
#include <set>

using namespace llvm;

namespace lathe {

/// The keys of a parameter in a weights file: one, or one per layer.
static std::vector<std::string> keysOf(const exec::Weight &weight) {
  if (weight.key().empty())
    return {weight.name()};
  KeyPattern pattern(weight.key());
  return pattern.keys(pattern.isStacked() ? weight.type().shape(0) : 1);
}

static bool isStacked(const exec::Weight &weight) {
  return KeyPattern(weight.key()).isStacked();
}

/// The key of `names` that a user most likely meant by `key`.
static std::string nearest(StringRef key, ArrayRef<StringRef> names) {
  StringRef best;
  unsigned bestDistance = std::max<size_t>(key.size() / 3, 2) + 1;
  for (StringRef name : names) {
    // A longer or shorter path to the same leaf is the usual difference.
    unsigned distance = name.ends_with(key) || key.ends_with(name)
                            ? 1
                            : name.edit_distance(key, true, bestDistance);
    if (distance < bestDistance) {
      bestDistance = distance;
      best = name;
    }
  }
  return best.empty() ? "" : " (did you mean " + quote(best) + "?)";
}

std::string WeightBinder::rename(StringRef key) const {
  StringRef rest = key;
  rest.consume_front(dropPrefix);
  return addPrefix + rest.str();
}

// Checkpoints of one model often differ by a leading "bert." or "model.". One
// prefix that makes every missing key fit is taken; two that would are a
// question for the user, so neither is.
void WeightBinder::choosePrefix(ArrayRef<const exec::Weight *> parameters,
                                const WeightSource &source) {
  std::vector<std::string> missing;
  for (const exec::Weight *weight : parameters) {
    if (!weight->file().empty() || weight->has_embedded())
      continue;
    for (std::string &key : keysOf(*weight))
      if (!source.find(key))
        missing.push_back(std::move(key));
  }
  if (missing.empty() || source.empty())
    return;
  StringRef first = missing.front();
  std::set<std::pair<std::string, std::string>> candidates; // add, drop
  for (StringRef name : source.keys())
    if (name.ends_with(first) && name.drop_back(first.size()).ends_with("."))
      candidates.insert({name.drop_back(first.size()).str(), ""});
  for (size_t dot = first.find('.'); dot != StringRef::npos;
       dot = first.find('.', dot + 1))
    if (source.find(first.drop_front(dot + 1)))
      candidates.insert({"", first.take_front(dot + 1).str()});
  std::vector<std::pair<std::string, std::string>> fitting;
  for (const auto &candidate : candidates) {
    auto fits = [&](StringRef key) {
      return (candidate.second.empty() ||
              key.consume_front(candidate.second)) &&
             source.find(candidate.first + key.str());
    };
    if (all_of(missing, fits))
      fitting.push_back(candidate);
  }
  if (fitting.size() == 1) {
    std::tie(addPrefix, dropPrefix) = fitting.front();
    notes.push_back(addPrefix.empty()
                        ? "the weights files leave out the prefix " +
                              quote(dropPrefix)
                        : "the keys of the weights files carry the prefix " +
                              quote(addPrefix));
  } else if (fitting.size() > 1) {
    notes.push_back("several prefixes would make the missing keys fit");
  }
}

void WeightBinder::bindFromFiles(Binding &binding, const WeightSource &source,
                                 std::vector<std::string> &missing,
                                 std::vector<std::string> &wrong) {
  ArrayRef<int64_t> shape = binding.shape;
  if (isStacked(*binding.weight))
    shape = shape.drop_front();
  for (const std::string &key : keysOf(*binding.weight)) {
    WeightSource::Found found = source.find(key);
    if (!found)
      found = source.find(rename(key));
    if (!found) {
      missing.push_back(key);
      continue;
    }
    if (found.entry->dtype != binding.dtype ||
        ArrayRef<int64_t>(found.entry->shape) != shape) {
      wrong.push_back(quote(found.entry->name) + " is " +
                      formatType(found.entry->dtype, found.entry->shape) +
                      " in the file, expected " +
                      formatType(binding.dtype, shape));
      continue;
    }
    binding.pieces.push_back({found.file, found.file->file(),
                              found.entry->offset, found.entry->bytes});
  }
}

void WeightBinder::bindFromModel(Binding &binding, WeightSource &source,
                                 std::vector<std::string> &wrong) {
  const exec::Weight &weight = *binding.weight;
  Expected<std::shared_ptr<MappedFile>> file = source.modelFile(weight.file());
  if (!file) {
    wrong.push_back(quote(weight.name()) + ": " +
                    llvm::toString(file.takeError()));
    return;
  }
  uint64_t size = (*file)->size();
  if (weight.file_offset() > size ||
      weight.file_bytes() > size - weight.file_offset()) {
    wrong.push_back(formatv("{0} lies at [{1}, {1} + {2}) of {3}, which has "
                            "{4} bytes",
                            quote(weight.name()), weight.file_offset(),
                            weight.file_bytes(), quote(weight.file()), size));
    return;
  }
  binding.fromModel = true;
  binding.pieces.push_back(
      {nullptr, *file, weight.file_offset(), weight.file_bytes()});
}

Error WeightBinder::bind(ArrayRef<const exec::Weight *> parameters,
                         WeightSource &source, const SessionOptions &options) {
  seed = options.seed;
  choosePrefix(parameters, source);
  std::vector<std::string> missing, wrong;
  size_t initialized = 0;
  for (const exec::Weight *parameter : parameters) {
    const exec::Weight &weight = *parameter;
    Binding binding;
    binding.weight = &weight;
    Expected<DType> dtype = fromElementType(weight.type().element());
    if (!dtype)
      return dtype.takeError();
    binding.dtype = *dtype;
    binding.shape.assign(weight.type().shape().begin(),
                         weight.type().shape().end());
    if (weight.has_embedded()) {
      binding.fromModel = true;
      Expected<uint64_t> bytes = checkedBytes(binding.shape, binding.dtype);
      if (!bytes)
        return bytes.takeError();
      binding.pieces.push_back({nullptr, embedded.file,
                                embedded.offset + weight.embedded().offset(),
                                *bytes});
      bindings.push_back(std::move(binding));
      continue;
    }
    std::vector<std::string> absent;
    bindFromFiles(binding, source, absent, wrong);
    // None of its keys anywhere: it may come from the model file or start anew.
    bool nowhere = absent.size() == keysOf(weight).size();
    if (nowhere && !weight.file().empty()) {
      bindFromModel(binding, source, wrong);
    } else if (nowhere && !weight.initializer().kind().empty() &&
               (source.empty() || options.initializeMissing ||
                isTrainingState(weight.name()))) {
      binding.fromInitializer = true;
      initialized += !isTrainingState(weight.name());
    } else {
      missing.insert(missing.end(), absent.begin(), absent.end());
    }
    bindings.push_back(std::move(binding));
  }
  if (initialized && !source.empty())
    notes.push_back(std::to_string(initialized) +
                    " parameters are in none of the weights files and start "
                    "from their initializers");
  bool allEmbedded = all_of(bindings, [](const Binding &binding) {
    return binding.weight->has_embedded();
  });
  if (!source.empty() && allEmbedded)
    notes.push_back(embedded.file
                        ? "the compiled model holds its weights: the weights "
                          "files have no effect"
                        : "the model has no parameters: the weights files have "
                          "no effect");
  bool anyFromFiles = any_of(bindings, [](const Binding &binding) {
    return !binding.pieces.empty() && !binding.fromModel;
  });
  if (missing.empty() && wrong.empty() && !source.empty() && !anyFromFiles &&
      !allEmbedded && !options.initializeMissing)
    return makeError("the weights files hold none of the model's {0} "
                     "parameters, such as {1}",
                     bindings.size(), quote(bindings.front().weight->name()));
  if (missing.empty() && wrong.empty())
    return Error::success();
  if (source.empty() && wrong.empty())
    return makeError("the model has {0} parameters without values, such as "
                     "{1}; name a weights file",
                     missing.size(), quote(missing.front()));
  std::string text = "the weights do not fit the model";
  std::vector<StringRef> names = source.keys();
  for (const std::string &key : missing)
    text += "\n  " + quote(key) + " is missing" + nearest(key, names);
  for (const std::string &line : wrong)
    text += "\n  " + line;
  return makeError(text);
}

/// Another file may have come in the place of the one the model was compiled
/// from, with other weights at the same offsets.
static Error checkDigest(const exec::Weight &weight, const MappedFile &file,
                         uint64_t offset, uint64_t bytes) {
  if (weight.has_embedded()) {
    if (file.digest(offset, bytes) == weight.embedded().digest())
      return Error::success();
    return makeError("{0} is damaged: the bytes of parameter {1} are not those "
                     "that were written",
                     quote(file.path()), quote(weight.name()));
  }
  if (!weight.file_digest() ||
      file.digest(offset, bytes) == weight.file_digest())
    return Error::success();
  return makeError("{0} is not the file that the model was compiled from: "
                   "parameter {1} has other bytes; compile the model again",
                   quote(file.path()), quote(weight.name()));
}

Expected<char *> WeightBinder::acquire(size_t index, ThreadPool &pool) {
  Binding &binding = bindings[index];
  if (binding.address)
    return binding.address;
  if (binding.fromModel && !binding.checked) {
    const Piece &piece = binding.pieces.front();
    if (Error error = checkDigest(*binding.weight, *piece.file, piece.offset,
                                  piece.bytes))
      return std::move(error);
    binding.checked = true;
  }
  size_t elementSize = dtypeSize(binding.dtype);
  bool inPlace = !binding.pieces.empty();
  for (size_t i = 0; inPlace && i < binding.pieces.size(); ++i) {
    const Piece &piece = binding.pieces[i], &first = binding.pieces[0];
    inPlace = piece.file == first.file &&
              piece.offset == first.offset + i * first.bytes;
  }
  if (inPlace) {
    const Piece &first = binding.pieces[0];
    const char *at = first.file->data() + first.offset;
    // Kernels may count on whole elements being aligned. Booleans other than 0
    // and 1 are undefined for them.
    inPlace = reinterpret_cast<uintptr_t>(at) % elementSize == 0 &&
              binding.dtype != DType::I1;
    if (inPlace)
      return binding.address = const_cast<char *>(at);
  }
  Expected<Tensor> block = Tensor::create(binding.dtype, binding.shape);
  if (!block)
    return prefixError("parameter " + quote(binding.weight->name()),
                       block.takeError());
  if (binding.fromInitializer) {
    const exec::Initializer &init = binding.weight->initializer();
    if (Error error =
            initialize(*block, binding.weight->name(), init.kind(), init.a(),
                       init.b(), isStacked(*binding.weight), seed, pool))
      return prefixError("parameter " + quote(binding.weight->name()),
                         std::move(error));
  }
  char *to = static_cast<char *>(block->data());
  for (const Piece &piece : binding.pieces) {
    std::memcpy(to, piece.file->data() + piece.offset, piece.bytes);
    to += piece.bytes;
    // Now there are two copies of it; one is enough.
    piece.file->dropPages(piece.offset, piece.bytes);
  }
  if (binding.dtype == DType::I1)
    for (uint8_t &element : block->as<uint8_t>())
      element = element != 0;
  binding.block = std::move(*block);
  return binding.address = static_cast<char *>(binding.block.data());
}

void WeightBinder::release(size_t index) {
  Binding &binding = bindings[index];
  binding.address = nullptr;
  binding.block = Tensor();
  for (const Piece &piece : binding.pieces)
    piece.file->dropPages(piece.offset, piece.bytes);
}

} // namespace lathe
