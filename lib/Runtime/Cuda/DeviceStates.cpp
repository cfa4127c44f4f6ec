//===- DeviceStates.cpp - Mutable parameters on a CUDA device -------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "../SessionBackend.h"
#include "DeviceModel.h"
#include "lathe/Support/Error.h"

#include <cstring>

using namespace llvm;

namespace lathe {
using namespace cuda;

namespace {
class DeviceStates : public StateStore {
public:
  explicit DeviceStates(std::shared_ptr<LoadedModel> model)
      : model(std::move(model)) {}
  ~DeviceStates() override {
    consumeError(device().enter());
    blocks.clear();
    if (stream)
      (void)driver().streamDestroy(stream);
  }
  bool isFor(const LoadedModel &other) const override {
    return other.onDevice() && device().sharesMemory(*other.onDevice());
  }

protected:
  Expected<uint64_t> allocate(uint64_t bytes, StringRef name) override {
    if (Error error = device().enter())
      return std::move(error);
    DeviceBlock block;
    if (Error error = block.allocate(driver(), bytes, "state " + quote(name)))
      return std::move(error);
    blocks.push_back(std::move(block));
    return blocks.back().address();
  }
  Error read(char *to, uint64_t address, uint64_t bytes) const override {
    return inChunks(bytes, [&](char *chunk, uint64_t at, uint64_t part) {
      Result result = driver().memcpyToHost(chunk, address + at, part, stream);
      if (result == kSuccess)
        result = driver().streamSynchronize(stream);
      if (result == kSuccess)
        std::memcpy(to + at, chunk, part);
      return result;
    });
  }
  Error write(uint64_t address, const char *from, uint64_t bytes) override {
    return inChunks(bytes, [&](char *chunk, uint64_t at, uint64_t part) {
      std::memcpy(chunk, from + at, part);
      Result result =
          driver().memcpyToDevice(address + at, chunk, part, stream);
      return result == kSuccess ? driver().streamSynchronize(stream) : result;
    });
  }

private:
  const DeviceModel &device() const { return *model->onDevice(); }
  const Driver &driver() const { return device().driver(); }

  /// Runs `copy(pinned memory, offset, bytes)` over `bytes`, piece by piece.
  template <typename Copy> Error inChunks(uint64_t bytes, Copy copy) const {
    if (Error error = device().enter())
      return error;
    if (!stream)
      if (Error error = driver().check(driver().streamCreate(&stream, 1),
                                       "cannot create a stream"))
        return error;
    constexpr uint64_t kChunk = 8 << 20;
    PinnedBlock chunk;
    if (Error error = chunk.allocate(driver(), std::min(bytes, kChunk)))
      return error;
    for (uint64_t at = 0; at < bytes; at += kChunk)
      if (Error error = driver().check(
              copy(chunk.data(), at, std::min(bytes - at, kChunk)),
              "cannot copy from or to the device"))
        return error;
    return Error::success();
  }

  // Holds the driver and the context, so it goes last.
  std::shared_ptr<LoadedModel> model;
  mutable Stream stream = nullptr;
  std::vector<DeviceBlock> blocks;
};
} // namespace

std::shared_ptr<StateStore>
makeDeviceStates(std::shared_ptr<LoadedModel> model) {
  return std::make_shared<DeviceStates>(std::move(model));
}

} // namespace lathe
