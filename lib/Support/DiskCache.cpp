//===- DiskCache.cpp - Content-addressed cache on disk --------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Support/DiskCache.h"

#include "lathe/Support/AtomicFile.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/SHA256.h"

#include <algorithm>
#include <cstdlib>
#include <fcntl.h>
#include <sys/stat.h>
#include <vector>

using namespace llvm;

namespace lathe {

std::string sha256Hex(StringRef bytes) {
  return toHex(SHA256::hash(arrayRefFromStringRef(bytes)),
               /*LowerCase=*/true);
}

// An entry is this line, the checksum of the bytes and a line end, the bytes.
static constexpr StringLiteral kEntryMagic = "lathe-cache-1\n";
static constexpr size_t kEntryHeader = kEntryMagic.size() + 64 + 1;
static constexpr StringLiteral kEntrySuffix = ".entry";

std::string DiskCache::defaultDirectory() {
  if (const char *dir = std::getenv("LATHE_CACHE_DIR"))
    return dir;
  const char *xdg = std::getenv("XDG_CACHE_HOME");
  if (xdg && *xdg)
    return std::string(xdg) + "/lathe";
  const char *home = std::getenv("HOME");
  if (home && *home)
    return std::string(home) + "/.cache/lathe";
  return "";
}

std::string DiskCache::entryPath(StringRef key) const {
  return folder + "/" + sha256Hex(key) + kEntrySuffix.str();
}

std::optional<std::string> DiskCache::get(StringRef key) {
  if (folder.empty())
    return std::nullopt;
  std::string path = entryPath(key);
  ErrorOr<std::unique_ptr<MemoryBuffer>> file = MemoryBuffer::getFile(
      path, /*IsText=*/false, /*RequiresNullTerminator=*/false,
      /*IsVolatile=*/true);
  if (!file)
    return std::nullopt;
  StringRef bytes = (*file)->getBuffer();
  if (bytes.size() < kEntryHeader || !bytes.starts_with(kEntryMagic) ||
      bytes.substr(kEntryMagic.size(), 64) !=
          sha256Hex(bytes.drop_front(kEntryHeader))) {
    (void)sys::fs::remove(path);
    return std::nullopt;
  }
  // The time of last use, for `trim`; access times are often switched off.
  (void)::utimensat(AT_FDCWD, path.c_str(), nullptr, 0);
  return bytes.drop_front(kEntryHeader).str();
}

bool DiskCache::put(StringRef key, StringRef bytes) {
  uint64_t size = kEntryHeader + bytes.size();
  if (folder.empty() || size > capacity)
    return false;
  if (sys::fs::create_directories(folder, /*IgnoreExisting=*/true,
                                  sys::fs::owner_all))
    return false;
  // The folder is listed once per process, and again when this process alone
  // would have filled it: other writers do the same for their share.
  if (!knownBytes || *knownBytes + size > capacity)
    knownBytes = trim(size);
  *knownBytes += size;
  std::string header = (kEntryMagic + sha256Hex(bytes) + "\n").str();
  // The checksum finds what a crash tore: no need to wait for the disk.
  Error error = writeFileAtomically(entryPath(key), {header, bytes},
                                    /*durable=*/false);
  bool ok = !error;
  consumeError(std::move(error));
  return ok;
}

uint64_t DiskCache::trim(uint64_t incoming) {
  struct File {
    sys::TimePoint<> used;
    uint64_t size;
    std::string path;
  };
  std::vector<File> files;
  uint64_t total = incoming;
  std::error_code ec;
  auto now = std::chrono::system_clock::now();
  for (sys::fs::directory_iterator it(folder, ec), end; it != end && !ec;
       it.increment(ec)) {
    ErrorOr<sys::fs::basic_file_status> status = it->status();
    if (!status || status->type() != sys::fs::file_type::regular_file)
      continue;
    StringRef name = sys::path::filename(it->path());
    bool entry = name.ends_with(kEntrySuffix);
    // Temporary files an hour old belong to a writer that was killed.
    if (!entry && name.contains(".entry.tmp") &&
        now - status->getLastModificationTime() > std::chrono::hours(1))
      (void)sys::fs::remove(it->path());
    if (!entry)
      continue;
    total += status->getSize();
    files.push_back(
        {status->getLastModificationTime(), status->getSize(), it->path()});
  }
  if (total <= capacity)
    return total - incoming;
  std::sort(files.begin(), files.end(),
            [](const File &a, const File &b) { return a.used < b.used; });
  // Some slack, so that not every `put` of a full cache has to remove.
  uint64_t goal = capacity - capacity / 10;
  for (const File &file : files) {
    if (total <= goal)
      break;
    if (!sys::fs::remove(file.path))
      total -= file.size;
  }
  return total - incoming;
}

} // namespace lathe
