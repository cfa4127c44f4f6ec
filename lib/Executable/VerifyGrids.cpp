//===- VerifyGrids.cpp - What CUDA allows of a grid -----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The limits are those of the CUDA C++ Programming Guide, "Compute
// Capabilities", which are the same for all devices from sm_80 on, and of
// cuTensorMapEncodeTiled in the driver's reference.

#include "VerifyGrids.h"

#include "lathe/Support/Error.h"

#include <algorithm>

using namespace llvm;

namespace lathe {

static Error verifyTensorMap(const exec::TensorMap &map) {
  Expected<DType> dtype = fromElementType(map.element());
  if (!dtype)
    return dtype.takeError();
  uint64_t size = dtypeSize(*dtype);
  int rank = map.dims_size();
  if (rank < 1 || rank > 5)
    return makeError("it has {0} dims, expected 1 to 5", rank);
  if (map.strides_size() != rank - 1 || map.box_size() != rank)
    return makeError("it has {0} dims, {1} strides and a box of {2}", rank,
                     map.strides_size(), map.box_size());
  for (uint64_t dim : map.dims())
    if (dim < 1 || dim > uint64_t(1) << 32)
      return makeError("it has a dim of {0}, expected 1 to 2^32", dim);
  for (uint64_t stride : map.strides())
    if (stride % 16 || stride >= uint64_t(1) << 40)
      return makeError("it has a stride of {0} bytes, expected a multiple of "
                       "16 below 2^40",
                       stride);
  for (uint32_t box : map.box())
    if (box < 1 || box > 256)
      return makeError("it has a box of {0}, expected 1 to 256", box);
  if (map.offset() % 16)
    return makeError("it begins at byte {0}, expected a multiple of 16",
                     map.offset());
  uint64_t row = map.box(0) * size;
  if (row % 16)
    return makeError("its box is {0} bytes wide, expected a multiple of 16",
                     row);
  uint32_t swizzle = map.swizzle();
  if (swizzle != 0 && swizzle != 32 && swizzle != 64 && swizzle != 128)
    return makeError("its swizzle is {0}, expected 0, 32, 64 or 128", swizzle);
  if (swizzle && row > swizzle)
    return makeError("its box is {0} bytes wide, and its swizzle {1}", row,
                     swizzle);
  return Error::success();
}

static Error verifyGrid(const exec::Grid &grid) {
  struct {
    const char *what;
    uint32_t value, least, most;
  } limits[] = {
      {"grid_x", grid.grid_x(), 0, 0x7FFFFFFF},
      {"grid_y", grid.grid_y(), 1, 65535},
      {"grid_z", grid.grid_z(), 1, 65535},
      {"block_x", grid.block_x(), 1, 1024},
      {"block_y", grid.block_y(), 1, 1024},
      {"block_z", grid.block_z(), 1, 64},
      {"dynamic_shared_bytes", grid.dynamic_shared_bytes(), 0, 227 << 10},
      {"cluster_x", grid.cluster_x(), 0, 16},
  };
  for (const auto &[what, value, least, most] : limits)
    if (value < least || value > most)
      return makeError("its {0} is {1}, expected {2} to {3}", what, value,
                       least, most);
  uint64_t threads = uint64_t(grid.block_x()) * grid.block_y() * grid.block_z();
  if (threads > 1024)
    return makeError("its blocks have {0} threads, expected at most 1024",
                     threads);
  if (grid.cluster_x() > 1 && grid.grid_x() % grid.cluster_x())
    return makeError("its {0} blocks are no whole number of clusters of {1}",
                     grid.grid_x(), grid.cluster_x());
  for (const exec::TensorMap &map : grid.tensor_maps())
    if (Error error = verifyTensorMap(map))
      return prefixError("a tensor map", std::move(error));
  return Error::success();
}

Error verifyGrids(const exec::Executable &executable,
                  const exec::Kernel &kernel) {
  std::string name = "kernel " + quote(kernel.name());
  bool cuda = executable.target() == "cuda";
  if (!cuda && executable.target() != "cuda-sim") {
    if (kernel.grids_size())
      return makeError("{0} has grids, which the target {1} does not run", name,
                       quote(executable.target()));
    return Error::success();
  }
  if (kernel.grids_size() == 0)
    return makeError("{0} has no grids", name);
  for (const exec::Grid &grid : kernel.grids()) {
    if (grid.symbol().empty())
      return makeError("{0} has a grid without a symbol", name);
    if (Error error = verifyGrid(grid))
      return prefixError(name + ", grid " + quote(grid.symbol()),
                         std::move(error));
  }
  // The simulator's work items are the blocks of a grid, or all grids at once.
  const exec::Grid &first = kernel.grids(0);
  uint64_t blocks = uint64_t(first.grid_x()) * first.grid_y() * first.grid_z();
  uint64_t items = kernel.work_items();
  if (!cuda && items != 1 && (items != blocks || kernel.grids_size() > 1))
    return makeError("{0} has {1} work items, expected as many as blocks, {2}, "
                     "or 1",
                     name, items, blocks);
  const std::string &code = executable.objects(kernel.object()).code();
  // The driver takes the header's word for the sizes that follow.
  if (cuda && (code.size() < 64 || !StringRef(code).starts_with("\x7f"
                                                                "ELF")))
    return makeError("the code of {0} is no ELF file", name);
  return Error::success();
}

Error verifyTensorMaps(const exec::Kernel &kernel, const exec::Launch &launch) {
  for (const exec::Grid &grid : kernel.grids()) {
    for (const exec::TensorMap &map : grid.tensor_maps()) {
      int inputs = launch.inputs_size();
      int count = inputs + launch.outputs_size();
      if (map.argument() >= static_cast<uint32_t>(count))
        return makeError("kernel {0} has a tensor map of argument {1}, and a "
                         "step gives it {2}",
                         quote(kernel.name()), map.argument(), count);
      int argument = static_cast<int>(map.argument());
      const exec::BufferRef &ref = argument < inputs
                                       ? launch.inputs(argument)
                                       : launch.outputs(argument - inputs);
      // verifyTensorMap holds: no factor is above 2^40, and five sums fit.
      unsigned __int128 bytes =
          map.dims(0) * dtypeSize(cantFail(fromElementType(map.element())));
      bytes += map.offset();
      for (int i = 1; i < map.dims_size(); ++i)
        bytes += static_cast<unsigned __int128>(map.dims(i) - 1) *
                 map.strides(i - 1);
      if (bytes > ref.bytes())
        return makeError("kernel {0} has a tensor map that leaves argument {1} "
                         "of {2} bytes",
                         quote(kernel.name()), map.argument(), ref.bytes());
    }
  }
  return Error::success();
}

} // namespace lathe
