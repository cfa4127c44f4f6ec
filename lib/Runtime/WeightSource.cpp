//===- WeightSource.cpp - Where parameters come from ----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/WeightSource.h"

#include "lathe/Support/Error.h"
#include "lathe/Support/Json.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

using namespace llvm;

namespace lathe {

Error WeightSource::addFile(StringRef path) {
  Expected<std::shared_ptr<Safetensors>> file = Safetensors::open(path);
  if (!file)
    return file.takeError();
  for (const Safetensors::Entry &entry : (*file)->entries()) {
    auto [it, inserted] = byKey.try_emplace(entry.name, Found{*file, &entry});
    if (!inserted)
      return makeError("both {0} and {1} hold {2}",
                       quote(it->second.file->file()->path()), quote(path),
                       quote(entry.name));
  }
  files.push_back(std::move(*file));
  return Error::success();
}

// {"metadata": {...}, "weight_map": {KEY: FILE, ...}}, files beside the index.
Error WeightSource::addIndex(StringRef path) {
  constexpr uint64_t maxIndex = 100'000'000;
  Expected<std::shared_ptr<MappedFile>> file = MappedFile::open(path);
  if (!file)
    return file.takeError();
  if ((*file)->size() > maxIndex)
    return makeError("{0} is too large for an index of weights", quote(path));
  auto index = parseJson((*file)->bytes());
  if (!index)
    return prefixError(quote(path) + " is not an index of weights",
                       index.takeError());
  auto map = index->find("weight_map");
  if (map == index->end() || !map->is_object())
    return makeError("{0} is not an index of weights: it has no weight_map",
                     quote(path));
  std::set<std::string> names;
  for (const auto &[key, value] : map->items()) {
    if (!value.is_string())
      return makeError("{0} names no file for {1}", quote(path), quote(key));
    names.insert(value.get<std::string>());
  }
  for (const std::string &name : names) {
    // Shards lie beside their index; anything else is not ours to open.
    if (sys::path::filename(name) != name || name == "..")
      return makeError("{0} names the file {1}, which is not beside it",
                       quote(path), quote(name));
    SmallString<128> shard(sys::path::parent_path(path));
    sys::path::append(shard, name);
    if (Error error = addFile(shard))
      return error;
  }
  return Error::success();
}

Error WeightSource::add(StringRef path) {
  if (sys::fs::is_directory(path)) {
    std::vector<std::string> names;
    std::error_code ec;
    for (sys::fs::directory_iterator it(path, ec), end; it != end && !ec;
         it.increment(ec))
      if (StringRef(it->path()).ends_with(".safetensors"))
        names.push_back(it->path());
    if (names.empty())
      return makeError("the folder {0} holds no .safetensors file",
                       quote(path));
    std::sort(names.begin(), names.end());
    for (const std::string &name : names)
      if (Error error = addFile(name))
        return error;
    return Error::success();
  }
  return path.ends_with(".json") ? addIndex(path) : addFile(path);
}

WeightSource::Found WeightSource::find(StringRef key) const {
  return byKey.lookup(key);
}

std::vector<StringRef> WeightSource::keys() const {
  std::vector<StringRef> list;
  for (const auto &entry : byKey)
    list.push_back(entry.first());
  std::sort(list.begin(), list.end());
  return list;
}

Expected<std::shared_ptr<MappedFile>> WeightSource::modelFile(StringRef path) {
  auto it = modelFiles.find(path);
  if (it != modelFiles.end())
    return it->second;
  Expected<std::shared_ptr<MappedFile>> file = MappedFile::open(path);
  if (!file) {
    // An empty folder is the working folder: append() adds no slash to it.
    SmallString<128> beside(modelFolder);
    sys::path::append(beside, sys::path::filename(path));
    Expected<std::shared_ptr<MappedFile>> second = MappedFile::open(beside);
    if (second) {
      consumeError(file.takeError());
      file = std::move(second);
    } else {
      consumeError(second.takeError());
    }
  }
  if (!file)
    return file.takeError();
  modelFiles[path] = *file;
  return *file;
}

} // namespace lathe
