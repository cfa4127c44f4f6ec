//===- DeviceMemory.cpp - Blocks of device and of pinned memory -----------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DeviceMemory.h"

#include "lathe/Support/Error.h"

#include <algorithm>
#include <cstring>

using namespace llvm;

namespace lathe::cuda {

DeviceBlock &DeviceBlock::operator=(DeviceBlock &&other) {
  std::swap(driver, other.driver);
  std::swap(base, other.base);
  std::swap(bytes, other.bytes);
  return *this;
}

Error DeviceBlock::allocate(const Driver &from, uint64_t size,
                            const Twine &what) {
  reset();
  Result result =
      from.memAlloc(&base, std::max<uint64_t>(size, kDeviceAlignment));
  if (result == kOutOfMemory) {
    size_t free = 0, total = 0;
    from.memGetInfo(&free, &total);
    return makeError("not enough memory on the device for {0}: {1} bytes "
                     "needed, {2} free",
                     what.str(), size, free);
  }
  if (Error error = from.check(result, "cannot allocate " + what))
    return error;
  driver = &from;
  bytes = size;
  return Error::success();
}

void DeviceBlock::reset() {
  if (driver)
    (void)driver->memFree(base);
  driver = nullptr;
  base = 0;
  bytes = 0;
}

Error PinnedBlock::allocate(const Driver &from, uint64_t size) {
  reset();
  void *memory = nullptr;
  if (Error error = from.check(
          from.memAllocHost(&memory, std::max<uint64_t>(size, 64)),
          "cannot allocate " + Twine(size) + " bytes of pinned memory"))
    return error;
  base = static_cast<char *>(memory);
  driver = &from;
  return Error::success();
}

void PinnedBlock::reset() {
  if (driver)
    (void)driver->memFreeHost(base);
  driver = nullptr;
  base = nullptr;
}

void Uploader::start(const Driver &from, Stream on) {
  driver = &from;
  stream = on;
}

Error Uploader::allocate() {
  for (int i = 0; i < 2; ++i) {
    if (Error error = chunks[i].allocate(*driver, kChunk))
      return error;
    constexpr unsigned kNoTiming = 2;
    if (Error error = driver->check(driver->eventCreate(&events[i], kNoTiming),
                                    "cannot create an event"))
      return error;
  }
  return Error::success();
}

Error Uploader::upload(DeviceAddress to, const char *from, uint64_t bytes) {
  if (!events[1])
    if (Error error = allocate())
      return error;
  while (bytes) {
    uint64_t part = std::min(bytes, kChunk);
    unsigned i = next;
    next ^= 1;
    if (busy[i])
      if (Error error = driver->check(driver->eventSynchronize(events[i]),
                                      "copying to the device failed"))
        return error;
    std::memcpy(chunks[i].data(), from, part);
    Result result = driver->memcpyToDevice(to, chunks[i].data(), part, stream);
    if (result == kSuccess)
      result = driver->eventRecord(events[i], stream);
    if (Error error = driver->check(result, "cannot copy to the device"))
      return error;
    busy[i] = true;
    to += part;
    from += part;
    bytes -= part;
  }
  return Error::success();
}

Error Uploader::finish() {
  if (!driver)
    return Error::success();
  Error error = driver->check(driver->streamSynchronize(stream),
                              "copying to the device failed");
  for (int i = 0; i < 2; ++i) {
    if (events[i])
      (void)driver->eventDestroy(events[i]);
    events[i] = nullptr;
    busy[i] = false;
    chunks[i].reset();
  }
  driver = nullptr;
  return error;
}

Uploader::~Uploader() { consumeError(finish()); }

} // namespace lathe::cuda
