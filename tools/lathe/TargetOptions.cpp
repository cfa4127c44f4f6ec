//===- TargetOptions.cpp - Where to run, and what schedules are told ------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ModelOptions.h"

#include "lathe/Runtime/CudaDriver.h"

namespace lathe {

void addTargetOptions(CLI::App &verb, std::string &target, std::string &arch,
                      bool &noSimChecks) {
  verb.add_option(
          "--target", target,
          "Where to run: auto, cpu, cuda, or cuda-sim (the CUDA kernels' "
          "text on the CPU, with checks)")
      ->check(CLI::IsMember({"auto", "cpu", "cuda", "cuda-sim"}))
      ->capture_default_str();
  verb.add_option(
          "--arch", arch,
          "Architecture for --target cuda and cuda-sim: sm_80, sm_90a, ...")
      ->default_str("of the device, else sm_90a");
  verb.add_flag("--no-sim-checks", noSimChecks,
                "Run cuda-sim without looking for races and accesses out of "
                "bounds: faster");
}

std::string chooseArch(const std::string &given) {
  if (!given.empty())
    return given;
  auto driver = cuda::Driver::load();
  if (driver)
    return (*driver)->devices().front().arch();
  llvm::consumeError(driver.takeError());
  return "sm_90a";
}

Target parseTarget(llvm::StringRef name) {
  return name == "cuda"       ? Target::Cuda
         : name == "cuda-sim" ? Target::CudaSim
                              : Target::Cpu;
}

void addScheduleOptions(CLI::App &verb, std::vector<std::string> &tiles,
                        bool &tf32) {
  verb.add_option("--tile", tiles,
                  "KERNEL=MxNxDEPTHxSTAGES[xPARTS]: the tile of a product on "
                  "the CUDA targets, and the parts its k is cut into "
                  "(repeatable)")
      ->check([](const std::string &text) {
        auto tile = parseTile(text);
        return tile ? "" : llvm::toString(tile.takeError());
      });
  verb.add_flag("--tf32", tf32,
                "On the CUDA targets: f32 products on tensor cores, which "
                "take 11 bits of each operand");
}

} // namespace lathe
