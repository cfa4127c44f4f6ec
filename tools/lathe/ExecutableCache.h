//===- ExecutableCache.h - Compiled models by what they were made of ------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TOOLS_EXECUTABLECACHE_H
#define LATHE_TOOLS_EXECUTABLECACHE_H

#include "ModelOptions.h"
#include "lathe/Support/DiskCache.h"

namespace lathe {

/// Compiled models by what they were made of. Which files besides the model
/// those are is known after an import only, so it is kept, too, beside what
/// there was to say.
class ExecutableCache {
public:
  /// `details`: what the compiled form depends on besides the options: types of
  /// inputs, the recipe of a training.
  ExecutableCache(const ModelOptions &options, StringRef details);

  /// Null where there is none. `notes` gets what was said when it was made.
  std::shared_ptr<exec::Executable> get(std::vector<std::string> &notes);
  void put(const PreparedModel &prepared);

private:
  bool enabled;
  std::string key;
  DiskCache cache;
};

} // namespace lathe

#endif // LATHE_TOOLS_EXECUTABLECACHE_H
