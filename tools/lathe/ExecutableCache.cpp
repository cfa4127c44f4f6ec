//===- ExecutableCache.cpp - Compiled models by what they were made of ----===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ExecutableCache.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"

namespace lathe {

/// Identifies a model file without reading a large one: small files by content.
static std::string identifyFile(StringRef path) {
  llvm::sys::fs::file_status status;
  // What is read without end, or blocks, is for its reader to refuse.
  if (llvm::sys::fs::status(path, status) ||
      !llvm::sys::fs::is_regular_file(status))
    return "";
  if (status.getSize() <= (4u << 20)) {
    auto buffer = llvm::MemoryBuffer::getFile(path);
    return buffer ? sha256Hex((*buffer)->getBuffer()) : "";
  }
  SmallString<256> real;
  (void)llvm::sys::fs::real_path(path, real);
  return (real + "\n" + Twine(status.getSize()) + "\n" +
          Twine(status.getLastModificationTime().time_since_epoch().count()))
      .str();
}

/// Everything the compiled form depends on.
static std::string cacheKey(const ModelOptions &options, StringRef details) {
  std::string key =
      "executable\n" + identifyFile(options.file) + "\n" +
      identifyFile("/proc/self/exe") + "\n" + options.entry + " " +
      options.target + " " + options.arch + " " + options.isa +
      (options.compileOptions().portableIsas.empty() ? "" : " portable") +
      (options.noSimChecks ? " no-sim-checks" : "") + " " +
      precisionName(options.precision).str() +
      (options.noFuse ? " no-fuse" : "") +
      (options.noOptimize ? " no-optimize" : "") +
      (options.noLayout ? " no-layout" : "") +
      (options.trainStep ? " train-step" : "") + "\n";
  // External data of a model is named by the model's own path, as it was given.
  SmallString<256> real;
  (void)llvm::sys::fs::real_path(options.file, real);
  key += real.str().str() + "\n" + options.file + "\n";
  for (const std::string &dim : options.dims)
    key += "dim " + dim + "\n";
  const QuantizationOptions &quantization = options.quantization;
  key += "quantize " + quantization.scheme.text() + "\n";
  if (!quantization.ranges.empty())
    key += "ranges " + identifyFile(quantization.ranges) + "\n";
  for (const std::string &name : quantization.keep)
    key += "keep " + name + "\n";
  for (const std::string &tile : options.tiles)
    key += "tile " + tile + "\n";
  return key + details.str();
}

/// Small tensors of a file beside the model become constants of the program,
/// and larger ones must be there: the program is good for these files alone.
static std::string withSources(std::string key, ArrayRef<std::string> sources) {
  for (const std::string &path : sources)
    key += "file " + path + "\n" + identifyFile(path) + "\n";
  return key;
}

ExecutableCache::ExecutableCache(const ModelOptions &options, StringRef details)
    // Edited kernels must be seen, whatever the cache holds, and a reproducer
    // is asked for to see passes run.
    : enabled(!options.noCache && options.cudaSourceFolder.empty() &&
              options.reproducer.empty()),
      key(enabled ? cacheKey(options, details) : "") {}

std::shared_ptr<exec::Executable>
ExecutableCache::get(std::vector<std::string> &notes) {
  std::optional<std::string> list;
  if (enabled)
    list = cache.get("sources\n" + key);
  if (!list)
    return nullptr;
  std::vector<std::string> sources;
  for (StringRef line : llvm::split(*list, '\n'))
    if (line.consume_front("file "))
      sources.push_back(line.str());
    else if (line.consume_front("note "))
      notes.push_back(line.str());
  std::optional<std::string> bytes = cache.get(withSources(key, sources));
  if (!bytes) {
    notes.clear();
    return nullptr;
  }
  auto executable = parseExecutable(*bytes, "the cached model");
  if (executable)
    return std::move(*executable);
  llvm::consumeError(executable.takeError());
  notes.clear();
  return nullptr;
}

void ExecutableCache::put(const PreparedModel &prepared) {
  if (!enabled || prepared.holdsInputValues)
    return;
  auto bytes = serializeExecutable(*prepared.executable);
  if (!bytes)
    return llvm::consumeError(bytes.takeError());
  std::string list = "\n";
  for (const std::string &note : prepared.notes)
    list += "note " + note + "\n";
  for (const std::string &path : prepared.sources)
    list += "file " + path + "\n";
  if (llvm::StringRef(list).count('\n') !=
      1 + prepared.notes.size() + prepared.sources.size())
    return; // a name with a line end
  cache.put("sources\n" + key, list);
  cache.put(withSources(key, prepared.sources), *bytes);
}

} // namespace lathe
