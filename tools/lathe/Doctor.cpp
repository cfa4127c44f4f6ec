//===- Doctor.cpp - lathe doctor -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ModelOptions.h"
#include "Report.h"
#include "Verbs.h"
#include "lathe/Runtime/CudaDriver.h"
#include "lathe/Runtime/CudaNvrtc.h"
#include "lathe/Runtime/Sim.h"
#include "lathe/Support/DiskCache.h"
#include "lathe/Target/Cpu/CompileObject.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"

#include <thread>

using namespace mlir;

namespace lathe {

/// False where something that should work does not.
static bool examineCache(llvm::raw_ostream &os) {
  DiskCache cache;
  std::string probe = "probe of lathe doctor";
  if (cache.directory().empty()) {
    os << "cache     none: set LATHE_CACHE_DIR, XDG_CACHE_HOME or HOME to keep "
          "compiled kernels\n";
    return true;
  }
  if (cache.put(probe, probe) && cache.get(probe) == probe) {
    os << "cache     " << cache.directory() << "\n";
    return true;
  }
  os << "cache     " << cache.directory()
     << " cannot be written: kernels are compiled every time\n";
  return false;
}

/// What each CUDA target needs; a machine without any is not ill. Returns the
/// targets there are.
static std::string examineCuda(llvm::raw_ostream &os) {
  std::string targets = "cpu (default)";
  auto nvrtc = cuda::Nvrtc::load();
  if (nvrtc) {
    auto archs = (*nvrtc)->architectures();
    os << "nvrtc     " << (*nvrtc)->version() << ", "
       << (archs.empty() ? "" : archs.front() + " to " + archs.back() + ", ")
       << (*nvrtc)->path() << "\n";
  } else {
    // The places that were tried are in an error of their own.
    std::string reason = llvm::toString(nvrtc.takeError());
    os << "nvrtc     missing: " << StringRef(reason).split('\n').first << "\n";
  }
  auto driver = cuda::Driver::load();
  if (driver) {
    os << "driver    CUDA " << (*driver)->version() << ", " << (*driver)->path()
       << "\n";
    for (const cuda::DeviceInfo &device : (*driver)->devices())
      os << llvm::formatv("device {0}  {1}, {2}, {3:f1} GiB, {4} "
                          "multiprocessors\n",
                          device.ordinal, device.name, device.arch(),
                          device.memoryBytes / double(1 << 30),
                          device.multiprocessors);
    targets += ", cuda";
  } else {
    os << "driver    missing: " << llvm::toString(driver.takeError()) << "\n";
    if (nvrtc)
      targets += ", cuda (compile only)";
  }
  auto compiler = findHostCompiler();
  if (compiler) {
    os << "simulator " << *compiler << "\n";
    targets += ", cuda-sim";
  } else {
    os << "simulator missing: " << llvm::toString(compiler.takeError()) << "\n";
  }
  return targets;
}

/// {"cpu": "...", "cache": "...", "device": ["...", ...]}: what the lines say.
static nlohmann::json toJson(StringRef lines) {
  nlohmann::json report;
  for (StringRef line : llvm::split(lines.trim(), '\n')) {
    auto [key, value] = line.split(' ');
    if (key == "device")
      report["device"].push_back(value.trim().str());
    else
      report[key.str()] = value.trim().str();
  }
  return report;
}

static int doctor(const std::string &json) {
  std::string text;
  llvm::raw_string_ostream os(text);
  llvm::Expected<cpu::CpuTarget> target = cpu::CpuTarget::host();
  if (!target)
    return fail(target.takeError());
  os << "cpu       " << target->cpu << ", f32 vectors of "
     << target->schedule.vectorWidth << ", "
     << std::thread::hardware_concurrency() << " threads\n";
  std::vector<std::string> isas;
  for (const std::string &name : cpu::CpuTarget::getPortableIsaNames()) {
    auto isa = cpu::CpuTarget::host(name);
    if (isa)
      isas.push_back(name);
    else
      llvm::consumeError(isa.takeError());
  }
  os << "isa       " << llvm::join(isas, ", ") << "\n";
  os << "compiler  LLVM " << LATHE_LLVM_VERSION << ", " << target->triple
     << "\n";
  bool well = examineCache(os);
  std::string targets = examineCuda(os);
  os << "targets   " << targets << "\n";
  llvm::outs() << text;
  if (!json.empty())
    if (llvm::Error error = writeJson(json, toJson(text)))
      return fail(std::move(error));
  return well ? kDone : kFailed;
}

void addDoctorVerb(CLI::App &app, int &exitCode) {
  CLI::App *verb = app.add_subcommand(
      "doctor", "What this machine offers, and what is amiss\n");
  auto json = std::make_shared<std::string>();
  verb->add_option("--json", *json, "Write the findings for programs to read");
  verb->callback([json, &exitCode] { exitCode = doctor(*json); });
}

} // namespace lathe
