//===- Library.cpp - Shared libraries opened at run time ------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Library.h"

#include "lathe/Support/Error.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

#include <algorithm>
#include <cstdlib>
#include <dlfcn.h>

using namespace llvm;

namespace lathe::cuda {

Expected<Library> Library::open(const std::string &path) {
  Library library;
  library.handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library.handle) {
    const char *text = ::dlerror();
    StringRef reason = text ? text : "it cannot be opened";
    reason.consume_front(path + ": "); // the caller names it
    return makeError(Twine(reason));
  }
  return library;
}

void *Library::find(const char *symbol) const {
  return ::dlsym(handle, symbol);
}

std::string Library::path(const char *anySymbol) const {
  Dl_info info;
  void *address = find(anySymbol);
  return address && ::dladdr(address, &info) && info.dli_fname ? info.dli_fname
                                                               : "";
}

std::string environment(const char *name) {
  const char *value = std::getenv(name);
  return value ? value : "";
}

/// Folders in `parent` whose names begin with `prefix`, the highest version
/// first: 13.10 comes before 13.9.
static std::vector<std::string> foldersIn(const Twine &parent,
                                          StringRef prefix) {
  std::vector<std::string> found;
  std::error_code ec;
  for (sys::fs::directory_iterator it(parent, ec), end; it != end && !ec;
       it.increment(ec))
    if (sys::path::filename(it->path()).starts_with(prefix) &&
        sys::fs::is_directory(it->path()))
      found.push_back(it->path());
  std::sort(found.begin(), found.end(),
            [](const std::string &a, const std::string &b) {
              return StringRef(a).compare_numeric(b) > 0;
            });
  return found;
}

/// The wheels of the source tree that this program was built in, if it was.
static std::vector<std::string> wheelFolders() {
  std::vector<std::string> result;
  SmallString<256> exe;
  if (sys::fs::real_path("/proc/self/exe", exe))
    return result;
  StringRef top = exe;
  for (int i = 0; i < 3; ++i) // build/bin/lathe
    top = sys::path::parent_path(top);
  for (const std::string &python : foldersIn(top + "/.venv/lib", "python3"))
    for (const std::string &package :
         foldersIn(python + "/site-packages/nvidia", ""))
      result.push_back(package + "/lib");
  return result;
}

std::vector<std::string> toolkitCandidates(ArrayRef<const char *> names) {
  std::vector<std::string> folders, files;
  for (const char *variable : {"CUDA_HOME", "CUDA_PATH"}) {
    std::string home = environment(variable);
    if (home.empty())
      continue;
    folders.push_back(home + "/lib64");
    folders.push_back(home + "/lib");
  }
  folders.push_back("/usr/local/cuda/lib64");
  for (const std::string &folder : foldersIn("/usr/local", "cuda-"))
    folders.push_back(folder + "/lib64");
  auto add = [&](const std::string &folder) {
    for (const char *name : names)
      if (sys::fs::exists(folder + "/" + name))
        files.push_back(folder + "/" + name);
  };
  for (const std::string &folder : folders)
    add(folder);
  files.insert(files.end(), names.begin(), names.end());
  for (const std::string &folder : wheelFolders())
    add(folder);
  return files;
}

} // namespace lathe::cuda
