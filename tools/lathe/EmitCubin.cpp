//===- EmitCubin.cpp - lathe compile --emit cubin -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "EmitCubin.h"

#include "ModelOptions.h"
#include "Report.h"
#include "Verbs.h"
#include "lathe/Runtime/CudaNvrtc.h"
#include "lathe/Support/AtomicFile.h"
#include "lathe/Support/DiskCache.h"
#include "lathe/Target/Cuda/CudaBackend.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"

#include <chrono>

using namespace mlir;

namespace lathe {

static const char *nameOf(cuda::CubinWarning::Kind kind) {
  switch (kind) {
  case cuda::CubinWarning::Kind::Source:
    return "source";
  case cuda::CubinWarning::Kind::Assembler:
    return "assembler";
  case cuda::CubinWarning::Kind::Serialized:
    return "serialized";
  case cuda::CubinWarning::Kind::Spill:
    return "spill";
  }
  return "";
}

static nlohmann::json describe(const cuda::NamedText &text,
                               const cuda::Cubin &cubin) {
  nlohmann::json result = {
      {"name", text.name},           {"schedule", text.schedule},
      {"seconds", cubin.seconds},    {"from_cache", cubin.fromCache},
      {"bytes", cubin.bytes.size()}, {"warnings", nlohmann::json::array()}};
  for (const cuda::KernelResources &function : cubin.functions)
    result["functions"].push_back({{"symbol", function.symbol},
                                   {"registers", function.registers},
                                   {"shared", function.sharedBytes},
                                   {"stack", function.stackBytes},
                                   {"spill_stores", function.spillStoreBytes},
                                   {"spill_loads", function.spillLoadBytes},
                                   {"ms", function.milliseconds}});
  for (const cuda::CubinWarning &warning : cubin.warnings)
    result["warnings"].push_back(
        {{"kind", nameOf(warning.kind)}, {"text", warning.text}});
  return result;
}

static void print(const cuda::NamedText &text, const cuda::Cubin &cubin) {
  // In the order of the launches; ptxas goes its own way.
  for (const cuda::GridLaunch &grid : text.kernel.grids) {
    auto function =
        llvm::find_if(cubin.functions, [&](const cuda::KernelResources &found) {
          return found.symbol == grid.symbol;
        });
    if (function == cubin.functions.end())
      continue;
    // Dynamic shared memory is the launch's: ptxas does not see it.
    llvm::outs() << llvm::formatv(
        "{0,5}  {1,7}  {2,6}  {3,7:f1}  {4,-12}  {5}\n", function->registers,
        function->sharedBytes + grid.dynamicSharedBytes,
        function->spillStoreBytes + function->spillLoadBytes,
        function->milliseconds, text.schedule, function->symbol);
  }
  for (const cuda::CubinWarning &warning : cubin.warnings)
    llvm::outs() << "       warning (" << nameOf(warning.kind)
                 << "): " << warning.text << "\n";
}

static int write(const std::string &folder, const std::string &name,
                 const std::string &bytes) {
  if (std::error_code error = llvm::sys::fs::create_directories(folder))
    return fail("cannot create the folder '" + folder +
                "': " + error.message());
  SmallString<256> path(folder);
  llvm::sys::path::append(path, name + ".cubin");
  if (llvm::Error error = writeFileAtomically(path, StringRef(bytes)))
    return fail(std::move(error));
  return kDone;
}

int emitCubins(ModuleOp module, const std::string &arch,
               const std::string &sourceFolder, const std::string &folder,
               unsigned threads, bool useCache, const std::string &json) {
  llvm::Expected<cuda::GpuFeatures> features =
      cuda::GpuFeatures::forArchitecture(arch);
  if (!features)
    return fail(features.takeError());
  auto texts = cuda::getKernelTexts(module, *features, sourceFolder);
  if (failed(texts))
    return kFailed;
  std::vector<cuda::CubinRequest> requests;
  for (const cuda::NamedText &text : *texts) {
    cuda::CubinRequest &request = requests.emplace_back();
    request.text = text.kernel.text;
    request.name = text.name + ".cu";
    request.arch = arch;
    for (const cuda::DeviceHeader &header : cuda::getDeviceHeaders())
      request.headers.push_back({header.name, header.text});
  }
  auto nvrtc = cuda::Nvrtc::load();
  if (!nvrtc)
    return fail(nvrtc.takeError());
  DiskCache cache;
  auto start = std::chrono::steady_clock::now();
  auto cubins =
      (*nvrtc)->compileAll(requests, threads, useCache ? &cache : nullptr);
  if (!cubins)
    return fail(cubins.takeError());
  std::chrono::duration<double> elapsed =
      std::chrono::steady_clock::now() - start;

  nlohmann::json report = {{"arch", arch},
                           {"nvrtc", (*nvrtc)->version()},
                           {"seconds", elapsed.count()}};
  unsigned warnings = 0, spills = 0;
  llvm::outs() << " regs   shared  spills ptxas ms  schedule      grid\n";
  for (auto [text, cubin] : llvm::zip(*texts, *cubins)) {
    print(text, cubin);
    report["kernels"].push_back(describe(text, cubin));
    for (const cuda::CubinWarning &warning : cubin.warnings)
      ++(warning.kind == cuda::CubinWarning::Kind::Spill ? spills : warnings);
    if (!folder.empty() && folder != "-")
      if (int code = write(folder, text.name, cubin.bytes))
        return code;
  }
  if (!json.empty())
    if (llvm::Error error = writeJson(json, report))
      return fail(std::move(error));
  llvm::outs() << llvm::formatv(
      "cubin: {0} kernels for {1}, {2} warnings, {3} spills, {4:f1} ms\n",
      texts->size(), arch, warnings, spills, elapsed.count() * 1e3);
  return kDone;
}

} // namespace lathe
