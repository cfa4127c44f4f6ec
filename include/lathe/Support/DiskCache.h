//===- DiskCache.h - Content-addressed cache on disk ------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_SUPPORT_DISKCACHE_H
#define LATHE_SUPPORT_DISKCACHE_H

#include "llvm/ADT/StringRef.h"

#include <cstdint>
#include <optional>
#include <string>

namespace lathe {

/// SHA-256 as 64 lower-case hexadecimal digits.
std::string sha256Hex(llvm::StringRef bytes);

/// Bytes by key, one file per entry. Never in the way: what cannot be read is
/// absent, what cannot be written is not kept. Several processes and threads
/// may use one folder at once.
class DiskCache {
public:
  /// LATHE_CACHE_DIR, else XDG_CACHE_HOME/lathe, else ~/.cache/lathe; empty
  /// where none of the three is set.
  static std::string defaultDirectory();

  /// An empty `directory` makes a cache that keeps nothing.
  explicit DiskCache(std::string directory = defaultDirectory(),
                     uint64_t capacityBytes = uint64_t(2) << 30)
      : folder(std::move(directory)), capacity(capacityBytes) {}

  /// The bytes stored under `key`, if they are there and their checksum holds.
  /// A damaged entry is removed. `key` is any text; its SHA-256 names the file.
  std::optional<std::string> get(llvm::StringRef key);
  /// Keeps `bytes`; true if they are on disk now. Oldest-used entries go when
  /// the folder exceeds the capacity, a tenth of which is then free.
  bool put(llvm::StringRef key, llvm::StringRef bytes);

  const std::string &directory() const { return folder; }

private:
  std::string entryPath(llvm::StringRef key) const;
  /// Counts `incoming` bytes; lists the folder only if by the count they do not
  /// fit, or if nobody has counted yet.
  void makeRoom(uint64_t incoming);
  /// Lists the folder, removes entries until `incoming` bytes fit with a tenth
  /// to spare, and returns the bytes that stay.
  uint64_t trim(uint64_t incoming);

  std::string folder;
  uint64_t capacity;
};

} // namespace lathe

#endif // LATHE_SUPPORT_DISKCACHE_H
