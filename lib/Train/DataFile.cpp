//===- DataFile.cpp - Arrays and token streams in files -------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Train/DataFile.h"

#include "lathe/Support/Error.h"
#include "lathe/Support/Idx.h"
#include "lathe/Support/Npy.h"
#include "lathe/Support/Safetensors.h"
#include "llvm/Support/Path.h"

using namespace llvm;

namespace lathe::train {

static Error openTokens(DataFile &file, DType type,
                        std::shared_ptr<MappedFile> mapped) {
  size_t size = dtypeSize(type);
  if (mapped->size() % size)
    return makeError("{0} holds {1} bytes, which is no whole number of tokens "
                     "of type {2}",
                     quote(file.path), mapped->size(), dtypeName(type));
  file.tokens = true;
  file.arrays.push_back(
      {"", TensorView(type, {static_cast<int64_t>(mapped->size() / size)},
                      const_cast<char *>(mapped->data()))});
  file.keep.push_back(std::move(mapped));
  return Error::success();
}

static Error keepTensor(DataFile &file, std::string name,
                        Expected<Tensor> tensor) {
  if (!tensor)
    return tensor.takeError();
  auto owner = std::make_shared<Tensor>(std::move(*tensor));
  file.arrays.push_back({std::move(name), owner->view()});
  file.keep.push_back(owner);
  return Error::success();
}

static Error openNpy(DataFile &file, std::shared_ptr<MappedFile> mapped) {
  auto view = viewNpy(mapped->bytes(), file.path);
  if (!view)
    return view.takeError();
  if (!*view)
    return keepTensor(file, "", parseNpy(mapped->bytes(), file.path));
  file.arrays.push_back({"", **view});
  file.keep.push_back(std::move(mapped));
  return Error::success();
}

static Error openAny(DataFile &file, DType tokenType) {
  StringRef extension = sys::path::extension(file.path);
  if (extension == ".safetensors") {
    auto opened = Safetensors::open(file.path);
    if (!opened)
      return opened.takeError();
    for (const Safetensors::Entry &entry : (*opened)->entries())
      file.arrays.push_back({entry.name, (*opened)->view(entry)});
    file.keep.push_back(*opened);
    return Error::success();
  }
  auto mapped = MappedFile::open(file.path);
  if (!mapped)
    return mapped.takeError();
  if (extension == ".bin")
    return openTokens(file, tokenType, std::move(*mapped));
  if (extension == ".txt")
    return openTokens(file, DType::U8, std::move(*mapped));
  StringRef bytes = (*mapped)->bytes();
  if (bytes.starts_with("\x93NUMPY"))
    return openNpy(file, std::move(*mapped));
  if (bytes.starts_with("PK")) {
    auto arrays = parseNpz(bytes, file.path);
    if (!arrays)
      return arrays.takeError();
    for (NamedTensor &array : *arrays)
      if (Error error =
              keepTensor(file, std::move(array.name), std::move(array.tensor)))
        return error;
    return Error::success();
  }
  if (isGzip(bytes) || bytes.starts_with(StringRef("\0\0", 2)))
    return keepTensor(file, "", parseIdx(bytes, file.path));
  return makeError("{0} is no data file: npy, npz, safetensors, IDX, .bin "
                   "(tokens) or .txt expected",
                   quote(file.path));
}

Expected<std::shared_ptr<const DataFile>> openDataFile(StringRef path,
                                                       DType tokenType) {
  auto file = std::make_shared<DataFile>();
  file->path = path.str();
  if (Error error = openAny(*file, tokenType))
    return error;
  return file;
}

Expected<std::shared_ptr<const DataFile>>
openCharacters(StringRef path, Vocabulary &vocabulary) {
  auto mapped = MappedFile::open(path);
  if (!mapped)
    return mapped.takeError();
  auto fail = [&](Error error) {
    return prefixError("cannot read " + quote(path), std::move(error));
  };
  if (vocabulary.size() == 0) {
    auto made = Vocabulary::of((*mapped)->bytes());
    if (!made)
      return fail(made.takeError());
    vocabulary = std::move(*made);
  }
  auto tokens = vocabulary.encode((*mapped)->bytes());
  if (!tokens)
    return fail(tokens.takeError());
  auto file = std::make_shared<DataFile>();
  file->path = path.str();
  file->tokens = true;
  auto owner = std::make_shared<std::vector<uint32_t>>(std::move(*tokens));
  file->arrays.push_back(
      {"", TensorView(DType::U32, {static_cast<int64_t>(owner->size())},
                      owner->data())});
  file->keep.push_back(owner);
  return file;
}

} // namespace lathe::train
