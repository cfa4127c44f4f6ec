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
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/SHA256.h"

#include <algorithm>
#include <cstdlib>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
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
  makeRoom(size);
  std::string header = (kEntryMagic + sha256Hex(bytes) + "\n").str();
  // The checksum finds what a crash tore: no need to wait for the disk.
  Error error = writeFileAtomically(entryPath(key), {header, bytes},
                                    /*durable=*/false);
  bool ok = !error;
  consumeError(std::move(error));
  return ok;
}

// A file in the folder has a byte for every KiB stored since the folder was
// listed. Files are made longer without a lock, and their length is known
// without reading them. What is replaced, or removed by others, stays in the
// count, so the folder is listed too early rather than too late.
static constexpr StringLiteral kCountName = "kib-stored";
static constexpr uint64_t kCountUnit = 1024;

void DiskCache::makeRoom(uint64_t incoming) {
  std::string path = folder + "/" + kCountName.str();
  int count =
      ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  struct stat info;
  bool counts = count >= 0 && ::fstat(count, &info) == 0;
  uint64_t units = counts ? info.st_size : 0;
  // An empty file is new: what was in the folder before it is not in it.
  if (units == 0 || units > (capacity - incoming) / kCountUnit)
    units = divideCeil(trim(incoming), kCountUnit);
  if (counts) {
    // A file that does not grow is listed for once more, which does no harm.
    if (units != static_cast<uint64_t>(info.st_size))
      (void)!::ftruncate(count, units);
    std::string more(divideCeil(incoming, kCountUnit), '\0');
    (void)!::write(count, more.data(), more.size());
  }
  if (count >= 0)
    ::close(count);
}

uint64_t DiskCache::trim(uint64_t incoming) {
  struct File {
    sys::TimePoint<> used;
    uint64_t size;
    std::string path;
  };
  std::vector<File> files;
  uint64_t total = 0;
  std::error_code ec;
  auto now = std::chrono::system_clock::now();
  for (sys::fs::directory_iterator it(folder, ec), end; it != end && !ec;
       it.increment(ec)) {
    StringRef name = sys::path::filename(it->path());
    bool entry = name.ends_with(kEntrySuffix);
    bool temporary = !entry && name.contains(".entry.tmp");
    if (!entry && !temporary)
      continue;
    ErrorOr<sys::fs::basic_file_status> status = it->status();
    if (!status || status->type() != sys::fs::file_type::regular_file)
      continue;
    if (entry) {
      total += status->getSize();
      files.push_back(
          {status->getLastModificationTime(), status->getSize(), it->path()});
    } else if (now - status->getLastModificationTime() > std::chrono::hours(1))
      // Its writer was killed.
      (void)sys::fs::remove(it->path());
  }
  // Some slack, so that not every `put` into a full folder lists it.
  uint64_t goal = capacity - std::max(capacity / 10, incoming);
  if (total <= goal)
    return total;
  std::sort(files.begin(), files.end(),
            [](const File &a, const File &b) { return a.used < b.used; });
  for (const File &file : files) {
    if (total <= goal)
      break;
    if (!sys::fs::remove(file.path))
      total -= file.size;
  }
  return total;
}

} // namespace lathe
