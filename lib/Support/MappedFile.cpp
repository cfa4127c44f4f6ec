//===- MappedFile.cpp - Read-only memory-mapped files ---------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Support/MappedFile.h"

#include "lathe/Support/Error.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/xxhash.h"

#include <cerrno>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace llvm;

namespace lathe {

Expected<std::shared_ptr<MappedFile>> MappedFile::open(StringRef path) {
  std::string name = path.str();
  // Not blocking: opening a pipe nobody writes to would hang otherwise.
  int fd = ::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return makeErrnoError("cannot open " + quote(path), errno);
  struct stat info;
  if (::fstat(fd, &info)) {
    int reason = errno;
    ::close(fd);
    return makeErrnoError("cannot read " + quote(path), reason);
  }
  if (!S_ISREG(info.st_mode)) {
    ::close(fd);
    return makeError("{0} is {1}, expected a file", quote(path),
                     S_ISDIR(info.st_mode) ? "a folder" : "a device or a pipe");
  }
  std::shared_ptr<MappedFile> file(new MappedFile());
  file->fileName = std::move(name);
  if (info.st_size > 0) {
    void *base = ::mmap(nullptr, info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (base == MAP_FAILED) {
      int reason = errno;
      ::close(fd);
      return makeErrnoError("cannot map " + quote(path), reason);
    }
    file->base = static_cast<const char *>(base);
    file->length = info.st_size;
  }
  ::close(fd);
  return file;
}

MappedFile::~MappedFile() {
  if (base)
    ::munmap(const_cast<char *>(base), length);
}

/// A digest of digests: pieces can be forgotten once they are counted, so that
/// a look at large weights does not fill the memory.
static uint64_t digestInPieces(StringRef bytes,
                               function_ref<void(uint64_t, uint64_t)> done) {
  constexpr uint64_t piece = uint64_t(4) << 20;
  SmallVector<uint64_t> parts{bytes.size()};
  for (uint64_t at = 0; at < bytes.size(); at += piece) {
    StringRef part = bytes.substr(at, piece);
    parts.push_back(xxh3_64bits(part));
    done(at, part.size());
  }
  uint64_t result =
      xxh3_64bits(ArrayRef(reinterpret_cast<const uint8_t *>(parts.data()),
                           parts.size() * sizeof(uint64_t)));
  return result ? result : 1;
}

uint64_t MappedFile::digestOf(StringRef bytes) {
  return digestInPieces(bytes, [](uint64_t, uint64_t) {});
}

uint64_t MappedFile::digest(uint64_t offset, uint64_t bytes) const {
  assert(offset <= length && bytes <= length - offset);
  return digestInPieces(
      StringRef(base + offset, bytes),
      [&](uint64_t at, uint64_t size) { dropPages(offset + at, size); });
}

void MappedFile::dropPages(uint64_t offset, uint64_t bytes) const {
  if (!base || offset >= length)
    return;
  static const uint64_t page = ::sysconf(_SC_PAGESIZE);
  uint64_t begin = alignTo(offset, page);
  uint64_t end = std::min(length, SaturatingAdd(offset, bytes));
  // The file's last, partial page counts as whole when the range reaches it.
  if (end != length)
    end = alignDown(end, page);
  if (begin < end)
    ::madvise(const_cast<char *>(base) + begin, end - begin, MADV_DONTNEED);
}

} // namespace lathe
