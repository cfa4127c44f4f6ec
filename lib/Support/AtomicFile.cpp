//===- AtomicFile.cpp - Files that appear whole or not at all -------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Support/AtomicFile.h"

#include "lathe/Support/Error.h"
#include "llvm/Support/Path.h"

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace llvm;

namespace lathe {

static constexpr size_t kBufferBytes = 1 << 16;

Expected<AtomicFile> AtomicFile::create(StringRef path, bool durable) {
  AtomicFile file;
  file.durable = durable;
  file.path = path.str();
  struct stat info;
  bool exists = ::stat(file.path.c_str(), &info) == 0;
  if (exists && S_ISDIR(info.st_mode))
    return makeError("cannot write {0}: it is a folder", quote(path));
  if (exists && !S_ISREG(info.st_mode)) {
    file.fd = ::open(file.path.c_str(), O_WRONLY | O_CLOEXEC);
    if (file.fd < 0)
      return makeErrnoError("cannot write " + quote(path), errno);
    return file;
  }
  static std::atomic<unsigned> counter{0};
  for (int attempt = 0; attempt < 100; ++attempt) {
    std::string name = file.path + ".tmp" + std::to_string(::getpid()) + "-" +
                       std::to_string(counter++);
    file.fd = ::open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC,
                     exists ? info.st_mode & 0777 : 0666);
    if (file.fd >= 0) {
      file.temporary = std::move(name);
      return file;
    }
    if (errno != EEXIST)
      break;
  }
  return makeErrnoError("cannot write " + quote(path), errno);
}

AtomicFile::AtomicFile(AtomicFile &&other)
    : path(std::move(other.path)), temporary(std::move(other.temporary)),
      buffer(std::move(other.buffer)), fd(other.fd), written(other.written),
      durable(other.durable) {
  other.fd = -1;
  other.temporary.clear();
}

AtomicFile::~AtomicFile() { discard(); }

void AtomicFile::discard() {
  if (fd >= 0)
    ::close(fd);
  fd = -1;
  if (!temporary.empty())
    ::unlink(temporary.c_str());
  temporary.clear();
}

Error AtomicFile::fail(int errnoValue) {
  discard();
  return makeErrnoError("cannot write " + quote(path), errnoValue);
}

static int writeAll(int fd, StringRef bytes) {
  while (!bytes.empty()) {
    ssize_t count =
        ::write(fd, bytes.data(), std::min<size_t>(bytes.size(), 1 << 30));
    if (count < 0 && errno == EINTR)
      continue;
    if (count <= 0)
      return count < 0 ? errno : EIO;
    bytes = bytes.drop_front(count);
  }
  return 0;
}

Error AtomicFile::flush() {
  if (int reason = writeAll(fd, buffer))
    return fail(reason);
  buffer.clear();
  return Error::success();
}

Error AtomicFile::write(StringRef bytes) {
  if (fd < 0)
    return makeError("cannot write {0} any more", quote(path));
  written += bytes.size();
  if (buffer.size() + bytes.size() <= kBufferBytes) {
    buffer.append(bytes.data(), bytes.size());
    return Error::success();
  }
  if (Error error = flush())
    return error;
  if (bytes.size() > kBufferBytes) {
    if (int reason = writeAll(fd, bytes))
      return fail(reason);
    return Error::success();
  }
  buffer.append(bytes.data(), bytes.size());
  return Error::success();
}

Error AtomicFile::commit() {
  if (fd < 0)
    return makeError("cannot write {0} any more", quote(path));
  if (Error error = flush())
    return error;
  if (temporary.empty()) {
    int reason = ::close(fd) ? errno : 0;
    fd = -1;
    return reason ? fail(reason) : Error::success();
  }
  // Without this a crash soon after the rename can leave an empty file: the
  // name may reach the disk before the bytes do.
  if (durable && ::fsync(fd))
    return fail(errno);
  int closing = ::close(fd);
  fd = -1;
  if (closing)
    return fail(errno);
  if (::rename(temporary.c_str(), path.c_str()))
    return fail(errno);
  temporary.clear();
  if (!durable)
    return Error::success();
  StringRef folder = sys::path::parent_path(path);
  int dir = ::open(folder.empty() ? "." : folder.str().c_str(),
                   O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (dir >= 0) {
    // Some file systems cannot; the file itself is complete either way.
    (void)::fsync(dir);
    ::close(dir);
  }
  return Error::success();
}

Error writeFileAtomically(StringRef path, ArrayRef<StringRef> pieces,
                          bool durable) {
  Expected<AtomicFile> file = AtomicFile::create(path, durable);
  if (!file)
    return file.takeError();
  for (StringRef piece : pieces)
    if (Error error = file->write(piece))
      return error;
  return file->commit();
}

} // namespace lathe
