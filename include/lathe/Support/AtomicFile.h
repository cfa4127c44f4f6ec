//===- AtomicFile.h - Files that appear whole or not at all -----*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_SUPPORT_ATOMICFILE_H
#define LATHE_SUPPORT_ATOMICFILE_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <string>

namespace lathe {

/// Writes to a temporary file beside `path` and renames it over `path` in
/// `commit`. Until then, and after any error (a full disk included), whatever
/// was at `path` is untouched and the temporary file is gone. A path that
/// exists and is no regular file (a pipe, /dev/stdout) is written directly.
class AtomicFile {
public:
  /// `durable`: `commit` waits until the disk has it.
  static llvm::Expected<AtomicFile> create(llvm::StringRef path,
                                           bool durable = true);
  AtomicFile(AtomicFile &&other);
  AtomicFile &operator=(AtomicFile &&) = delete;
  ~AtomicFile(); ///< discards what was not committed

  llvm::Error write(llvm::StringRef bytes);
  /// Bytes written so far.
  uint64_t offset() const { return written; }
  /// Flushes to the disk, renames, flushes the folder.
  llvm::Error commit();

private:
  AtomicFile() = default;
  llvm::Error flush();
  llvm::Error fail(int errnoValue);
  void discard();

  std::string path, temporary; // `temporary` is empty when writing directly
  std::string buffer;
  int fd = -1;
  uint64_t written = 0;
  bool durable = true;
};

/// One call for the usual case: the pieces, one after the other.
llvm::Error writeFileAtomically(llvm::StringRef path,
                                llvm::ArrayRef<llvm::StringRef> pieces,
                                bool durable = true);

} // namespace lathe

#endif // LATHE_SUPPORT_ATOMICFILE_H
