//===- Issue.cpp - Launches and copies into a stream ----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Issue.h"

#include "lathe/Support/Error.h"
#include "llvm/ADT/SmallVector.h"

#include <algorithm>

using namespace llvm;

namespace lathe::cuda {

static uint64_t largestReadBack(const Plan::Steps &steps) {
  uint64_t bytes = 1; // a condition
  for (const exec::Step &step : steps) {
    for (const Plan::Steps *nested :
         {&step.if_step().then_steps(), &step.if_step().else_steps(),
          &step.while_step().condition_steps(), &step.while_step().body_steps(),
          &step.loop().body_steps()})
      if (!nested->empty())
        bytes = std::max(bytes, largestReadBack(*nested));
    bytes = std::max<uint64_t>(bytes, step.check().values().bytes());
  }
  return bytes;
}

uint64_t largestReadBack(const exec::Program &program) {
  return std::max(largestReadBack(program.load_steps()),
                  largestReadBack(program.steps()));
}

Issuer::~Issuer() {
  for (Event event : events)
    (void)model.driver().eventDestroy(event);
}

DeviceAddress Issuer::addressOf(const Window &window) const {
  DeviceAddress address = buffers[window.buffer] + window.offset;
  for (auto [slot, stride] : window.terms)
    address += loops[slot] * stride;
  return address;
}

// Windows of one buffer may overlap, and the driver's copies must not: such a
// copy goes in pieces as long as the way it moves, from the end it moves to.
Result Issuer::copy(DeviceAddress from, DeviceAddress to, uint64_t bytes) {
  if (from == to)
    return kSuccess;
  uint64_t way = to < from ? from - to : to - from;
  Result result = kSuccess;
  for (uint64_t done = 0; done < bytes && result == kSuccess;) {
    uint64_t part = std::min(bytes - done, way);
    uint64_t at = to < from ? done : bytes - done - part;
    result = model.driver().memcpyOnDevice(to + at, from + at, part, stream);
    done += part;
  }
  return result;
}

Error Issuer::issue(ArrayRef<Op> ops) {
  const Driver &driver = model.driver();
  for (const Op &op : ops) {
    Result result = kSuccess;
    DeviceAddress first =
        op.windows.empty() ? 0 : addressOf(op.windows.front());
    uint64_t bytes = op.windows.empty() ? 0 : op.windows.front().bytes;
    switch (op.kind) {
    case Op::Launch:
      if (Error error = launch(op))
        return error;
      continue;
    case Op::Copy:
      result = copy(first, addressOf(op.windows[1]), bytes);
      break;
    case Op::Upload:
      result = driver.memcpyToDevice(first, inputs[op.tensor], bytes, stream);
      break;
    case Op::Download:
      result = driver.memcpyToHost(outputs[op.tensor], first, bytes, stream);
      break;
    }
    if (Error error = driver.check(result, "cannot copy"))
      return error;
  }
  return Error::success();
}

Error Issuer::record(size_t index) {
  while (events.size() <= index) {
    Event event = nullptr;
    if (Error error = model.driver().check(
            model.driver().eventCreate(&event, 0), "cannot create an event"))
      return error;
    events.push_back(event);
  }
  return model.driver().check(model.driver().eventRecord(events[index], stream),
                              "cannot time a launch");
}

Error Issuer::launch(const Op &op) {
  const exec::Kernel &kernel = exe.kernels(op.kernel);
  if (!profile && !synchronous)
    return launchGrids(op, kernel);
  // A loop may launch more often than anyone wants events for.
  constexpr size_t kMaxTimed = 4096;
  if (timed.size() == kMaxTimed) {
    if (Error error =
            model.driver().check(model.driver().streamSynchronize(stream),
                                 "kernel " + quote(kernel.name())))
      return error;
    if (Error error = collectProfile())
      return error;
  }
  size_t at = timed.size() * 2;
  if (profile)
    if (Error error = record(at))
      return error;
  if (Error error = launchGrids(op, kernel))
    return error;
  if (profile) {
    if (Error error = record(at + 1))
      return error;
    timed.push_back(op.kernel);
  }
  if (!synchronous)
    return Error::success();
  return model.driver().check(model.driver().streamSynchronize(stream),
                              "kernel " + quote(kernel.name()) +
                                  " failed on the device");
}

Error Issuer::collectProfile() {
  for (auto [i, kernel] : enumerate(timed)) {
    float milliseconds = 0;
    if (Error error = model.driver().check(
            model.driver().eventElapsedTime(&milliseconds, events[2 * i],
                                            events[2 * i + 1]),
            "cannot read a time"))
      return error;
    Profile::Entry &entry = profile->kernels[kernel];
    ++entry.launches;
    entry.seconds += milliseconds * 1e-3;
  }
  timed.clear();
  return Error::success();
}

/// CUtensorMapDataType; the schema allows no other types.
static int tensorMapType(exec::ElementType type) {
  switch (type) {
  case exec::I8:
  case exec::U8:
  case exec::I1:
    return 0;
  case exec::I16:
  case exec::U16:
    return 1;
  case exec::U32:
    return 2;
  case exec::I32:
    return 3;
  case exec::U64:
    return 4;
  case exec::I64:
    return 5;
  case exec::F16:
    return 6;
  case exec::F32:
    return 7;
  case exec::F64:
    return 8;
  default:
    return 9; // bf16
  }
}

static Result encode(const Driver &driver, const exec::TensorMap &map,
                     DeviceAddress address, TensorMap &encoded) {
  constexpr int kNoInterleave = 0, kPromoteTo128Bytes = 2, kZerosOutside = 0;
  uint32_t ones[5] = {1, 1, 1, 1, 1};
  int swizzle = map.swizzle() == 0    ? 0
                : map.swizzle() == 32 ? 1
                : map.swizzle() == 64 ? 2
                                      : 3;
  return driver.tensorMapEncodeTiled(
      &encoded, tensorMapType(map.element()), map.dims_size(),
      reinterpret_cast<void *>(address), map.dims().data(),
      map.strides().data(), map.box().data(), ones, kNoInterleave, swizzle,
      kPromoteTo128Bytes, kZerosOutside);
}

Error Issuer::launchGrids(const Op &op, const exec::Kernel &kernel) {
  const Driver &driver = model.driver();
  SmallVector<DeviceAddress, 16> addresses;
  for (const Window &window : op.windows)
    addresses.push_back(addressOf(window));
  if (kernel.scratch_bytes())
    addresses.push_back(scratch);
  for (int i = 0; i < kernel.grids_size(); ++i) {
    const exec::Grid &grid = kernel.grids(i);
    if (grid.grid_x() == 0)
      continue;
    auto where = [&] { return "kernel " + quote(kernel.name()); };
    std::vector<TensorMap> maps(grid.tensor_maps_size());
    SmallVector<void *, 16> parameters;
    for (DeviceAddress &address : addresses)
      parameters.push_back(&address);
    for (auto [map, encoded] : zip(grid.tensor_maps(), maps)) {
      Result result = encode(driver, map,
                             addresses[map.argument()] + map.offset(), encoded);
      if (result != kSuccess)
        return driver.check(result,
                            where() + ": the driver refuses its tensor map");
      parameters.push_back(&encoded);
    }
    LaunchConfig config = {};
    config.grid[0] = grid.grid_x();
    config.grid[1] = grid.grid_y();
    config.grid[2] = grid.grid_z();
    config.block[0] = grid.block_x();
    config.block[1] = grid.block_y();
    config.block[2] = grid.block_z();
    config.sharedBytes = grid.dynamic_shared_bytes();
    config.stream = stream;
    LaunchAttribute cluster = {};
    if (grid.cluster_x() > 1) {
      cluster.id = kClusterDimension;
      cluster.cluster[0] = grid.cluster_x();
      cluster.cluster[1] = cluster.cluster[2] = 1;
      config.attributes = &cluster;
      config.attributeCount = 1;
    }
    Result result = driver.launchKernel(&config, model.grid(op.kernel, i),
                                        parameters.data(), nullptr);
    if (result != kSuccess)
      return driver.check(result, where() + " cannot be launched");
  }
  return Error::success();
}

} // namespace lathe::cuda
