//===- MappedFile.h - Read-only memory-mapped files -------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_SUPPORT_MAPPEDFILE_H
#define LATHE_SUPPORT_MAPPEDFILE_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <memory>
#include <string>

namespace lathe {

/// A regular file mapped read-only. The mapping lives as long as the object,
/// which is always held by shared_ptr because tensors point into it. Somebody
/// who truncates the file meanwhile makes reads of it fail with SIGBUS, as with
/// every memory-mapped file.
class MappedFile {
public:
  /// Errors: missing, unreadable, or not a regular file (a directory, a pipe).
  static llvm::Expected<std::shared_ptr<MappedFile>> open(llvm::StringRef path);
  ~MappedFile();
  MappedFile(const MappedFile &) = delete;
  MappedFile &operator=(const MappedFile &) = delete;

  const char *data() const { return base; }
  uint64_t size() const { return length; }
  llvm::StringRef bytes() const { return {base, length}; }
  const std::string &path() const { return fileName; }
  bool contains(const void *p) const {
    const char *c = static_cast<const char *>(p);
    return c >= base && c < base + length;
  }

  /// A number that differs, but for chance, where the bytes of
  /// [offset, offset + length), which must lie in the file, differ. Against
  /// mistakes, not against malice. Reads them once (about 0.15 s per GB where
  /// the file is in memory) and gives their pages back as it goes. Never 0.
  uint64_t digest(uint64_t offset, uint64_t length) const;
  /// The same of bytes in memory.
  static uint64_t digestOf(llvm::StringRef bytes);
  /// Gives the pages wholly inside [offset, offset + length) back; reading them
  /// again reads the file again.
  void dropPages(uint64_t offset, uint64_t length) const;

private:
  MappedFile() = default;
  const char *base = nullptr;
  uint64_t length = 0;
  std::string fileName;
};

} // namespace lathe

#endif // LATHE_SUPPORT_MAPPEDFILE_H
