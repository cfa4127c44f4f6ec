//===- ScheduleChoices.cpp - What a user chose for a schedule -------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Target/ScheduleChoices.h"

#include "lathe/Support/Error.h"
#include "llvm/ADT/SetVector.h"

namespace lathe {

static constexpr StringLiteral kTile = "lathe.tile", kTf32 = "lathe.tf32";

llvm::Expected<NamedTile> parseTile(StringRef text) {
  auto [name, numbers] = text.rsplit('=');
  SmallVector<StringRef> parts;
  numbers.split(parts, 'x');
  SmallVector<int64_t> values;
  for (StringRef part : parts) {
    int64_t value;
    if (part.getAsInteger(10, value) || value < 1 || value > INT32_MAX)
      break;
    values.push_back(value);
  }
  if (name.empty() || values.size() != parts.size() || parts.size() < 4 ||
      parts.size() > 5)
    return makeError("expected KERNEL=MxNxDEPTHxSTAGES or "
                     "KERNEL=MxNxDEPTHxSTAGESxPARTS with positive numbers, "
                     "got " +
                     quote(text));
  values.resize(5, 1);
  return NamedTile{name.str(),
                   {values[0], values[1], values[2], values[3], values[4]}};
}

std::string formatTile(const TileChoice &tile) {
  std::string text = std::to_string(tile.m);
  for (int64_t value : {tile.n, tile.depth, tile.stages, tile.parts})
    text += "x" + std::to_string(value);
  return text;
}

LogicalResult addScheduleChoices(ModuleOp module, ArrayRef<NamedTile> tiles,
                                 bool tf32) {
  Builder builder(module.getContext());
  llvm::SetVector<StringRef> names;
  module.walk([&](KernelOp kernel) {
    names.insert(kernel.getName());
    for (const NamedTile &named : tiles)
      if (named.kernel == kernel.getName()) {
        const TileChoice &tile = named.tile;
        kernel->setAttr(
            kTile, builder.getDenseI64ArrayAttr(
                       {tile.m, tile.n, tile.depth, tile.stages, tile.parts}));
      }
    if (tf32 && (kernel.getSchedule() == "contraction" ||
                 kernel.getSchedule() == "convolution"))
      kernel->setAttr(kTf32, builder.getUnitAttr());
  });
  for (const NamedTile &named : tiles)
    if (!names.contains(named.kernel)) {
      std::string known;
      for (StringRef name : names)
        known += (known.empty() ? "" : ", ") + quote(name);
      return module.emitError("--tile names no kernel: there is no ")
             << quote(named.kernel) << " among " << known;
    }
  return success();
}

FailureOr<std::optional<TileChoice>> getTileChoice(KernelOp kernel) {
  Attribute attribute = kernel->getAttr(kTile);
  if (!attribute)
    return std::optional<TileChoice>();
  auto array = dyn_cast<DenseI64ArrayAttr>(attribute);
  if (!array || array.size() != 5 ||
      llvm::any_of(array.asArrayRef(), [](int64_t v) { return v < 1; }))
    return kernel.emitError("expected lathe.tile to be five positive numbers, "
                            "array<i64: m, n, depth, stages, parts>, found ")
           << attribute;
  ArrayRef<int64_t> v = array;
  return std::optional<TileChoice>({v[0], v[1], v[2], v[3], v[4]});
}

bool isTf32Chosen(KernelOp kernel) { return kernel->hasAttr(kTf32); }

} // namespace lathe
