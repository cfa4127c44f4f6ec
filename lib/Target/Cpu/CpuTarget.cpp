//===- CpuTarget.cpp - Instruction sets by their names --------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Support/Error.h"
#include "lathe/Support/HostCpu.h"
#include "lathe/Target/Cpu/CompileObject.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/TargetParser/Host.h"
#include "llvm/TargetParser/Triple.h"
#include "llvm/TargetParser/X86TargetParser.h"

using namespace mlir;

namespace lathe::cpu {

namespace {
struct Isa {
  /// LLVM's processor that has the least of it, and what else it takes.
  StringRef name, cpu, title;
  bool isAvx512, isAvx2, isVnni;
  TileRegisters tiles = TileRegisters::None;
  std::vector<std::string> features = {};
};
} // namespace

/// From the least on.
static const std::vector<Isa> &getIsas() {
  using Tiles = TileRegisters;
  static const std::vector<Isa> isas = {
      {"sse", "x86-64-v2", "SSE", false, false, false},
      {"avx2", "x86-64-v3", "AVX2 with FMA", false, true, false},
      {"avx2-vnni",
       "x86-64-v3",
       "AVX-VNNI",
       false,
       true,
       true,
       Tiles::None,
       {"avxvnni"}},
      {"avx512", "x86-64-v4", "AVX-512", true, true, false},
      {"avx512-vnni",
       "x86-64-v4",
       "AVX512-VNNI",
       true,
       true,
       true,
       Tiles::None,
       {"avx512vnni"}},
      {kBfloatIsa,
       "x86-64-v4",
       "AVX512-BF16",
       true,
       true,
       true,
       Tiles::None,
       {"avx512vnni", "avx512bf16"}},
      {"amx",
       "x86-64-v4",
       "AMX",
       true,
       true,
       true,
       Tiles::Amx,
       {"avx512vnni", "avx512bf16", "amx-bf16", "amx-int8", "amx-tile"}},
  };
  return isas;
}

constexpr StringLiteral kEmulated = "amx-emulated";

std::vector<std::string> CpuTarget::getPortableIsaNames() {
  std::vector<std::string> names;
  for (const Isa &isa : getIsas())
    names.push_back(isa.name.str());
  return names;
}

std::vector<std::string> CpuTarget::getIsaNames() {
  std::vector<std::string> names = getPortableIsaNames();
  names.push_back(kEmulated.str());
  return names;
}

static llvm::Expected<const Isa *> findIsa(StringRef name,
                                           ArrayRef<std::string> known) {
  for (const Isa &isa : getIsas())
    if (isa.name == name)
      return &isa;
  return makeError("unknown instruction set '" + name + "', expected one of " +
                   llvm::join(known, ", "));
}

/// What schedules may count on, of a target with its features.
static void setSchedule(CpuTarget &target, const Isa &isa) {
  auto uses = [&](StringRef feature) {
    return llvm::is_contained(target.features, feature);
  };
  target.schedule.vectorWidth = isa.isAvx512 ? 16 : isa.isAvx2 ? 8 : 4;
  target.schedule.vectorRegisters = isa.isAvx512 ? 32 : 16;
  if (uses("sse2"))
    target.schedule.byteProducts =
        isa.isVnni ? ByteProducts::Vnni : ByteProducts::Words;
  // With AMX, modelled or not, tiles multiply, and what they leave is widened.
  if (isa.name == kBfloatIsa && isa.tiles == TileRegisters::None)
    target.schedule.bfloatProducts = BfloatProducts::Pairs;
  target.schedule.tiles = isa.tiles;
  target.schedule.convertsBfloat = uses("avx512bf16");
  target.schedule.convertsHalf = uses("f16c");
}

llvm::Expected<CpuTarget> CpuTarget::portable(StringRef name) {
  CpuTarget target;
  target.triple = llvm::sys::getProcessTriple();
  if (!llvm::Triple(target.triple).isX86())
    return makeError("instruction sets have names on x86-64 alone");
  llvm::Expected<const Isa *> isa = findIsa(name, getPortableIsaNames());
  if (!isa)
    return isa.takeError();
  target.cpu = (*isa)->cpu.str();
  SmallVector<StringRef> features;
  llvm::X86::getFeaturesForCPU(target.cpu, features);
  // Those that a processor can be asked for.
  llvm::StringMap<bool> known = llvm::sys::getHostCPUFeatures();
  for (StringRef feature : features)
    if (known.contains(feature))
      target.features.push_back(feature.str());
  llvm::append_range(target.features, (*isa)->features);
  llvm::sort(target.features);
  setSchedule(target, **isa);
  return target;
}

llvm::Expected<CpuTarget> CpuTarget::host(StringRef name, bool toLookAt) {
  CpuTarget target;
  target.triple = llvm::sys::getProcessTriple();
  target.cpu = llvm::sys::getHostCPUName().str();
  llvm::StringMap<bool> features = llvm::sys::getHostCPUFeatures();
  auto has = [&](StringRef feature) { return features.lookup(feature); };
  bool avx512 =
      has("avx512f") && has("avx512bw") && has("avx512dq") && has("avx512vl");
  bool avx2 = has("avx2") && has("fma");
  auto present = [&](const Isa &isa) {
    return (!isa.isAvx512 || avx512) && (!isa.isAvx2 || avx2) &&
           llvm::all_of(isa.features, has);
  };
  // The best there is: the last that is present.
  Isa chosen = getIsas().front();
  for (const Isa &isa : getIsas())
    if (present(isa) && isFastHere(isa.name))
      chosen = isa;
  if (name == kEmulated) {
    chosen.tiles = TileRegisters::Emulated;
    llvm::erase_if(chosen.features, [](StringRef feature) {
      return feature.starts_with("amx");
    });
  } else if (!name.empty()) {
    llvm::Expected<const Isa *> isa = findIsa(name, getIsaNames());
    if (!isa)
      return isa.takeError();
    if (!present(**isa) && !toLookAt)
      return makeError("this processor has no " + (*isa)->title);
    chosen = **isa;
    target.cpu = chosen.cpu.str();
  }
  target.features = chosen.features;
  for (const auto &feature : features) {
    StringRef name = feature.getKey();
    if (!feature.getValue())
      continue;
    // In the list above where it is used: whoever runs such code must ask the
    // system for the registers first.
    if (name.starts_with("amx"))
      continue;
    if (!chosen.isAvx512 && (name.starts_with("avx512") ||
                             name.starts_with("avx10") || name == "evex512"))
      continue;
    if (!chosen.isAvx2 &&
        (name.starts_with("avx") || name == "fma" || name == "f16c" ||
         name == "vaes" || name == "vpclmulqdq"))
      continue;
    if (!chosen.isVnni && (name == "avx512vnni" || name.starts_with("avxvnni")))
      continue;
    if (!llvm::is_contained(chosen.features, name))
      target.features.push_back(name.str());
  }
  llvm::sort(target.features);
  setSchedule(target, chosen);
  return target;
}

} // namespace lathe::cpu
