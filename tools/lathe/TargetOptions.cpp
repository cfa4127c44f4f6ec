//===- TargetOptions.cpp - Where to run, and what schedules are told ------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ModelOptions.h"

#include "lathe/Runtime/CudaDriver.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"

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

void addTileOption(CLI::App &verb, std::vector<std::string> &tiles) {
  verb.add_option("--tile", tiles,
                  "KERNEL=MxNxDEPTHxSTAGES[xPARTS]: the tile of a product on "
                  "the CUDA targets, and the parts its k is cut into "
                  "(repeatable)")
      ->check([](const std::string &text) {
        auto tile = parseTile(text);
        return tile ? "" : llvm::toString(tile.takeError());
      });
}

void addPrecisionOption(CLI::App &verb, Precision &precision,
                        const std::string &help,
                        QuantizationOptions *quantization) {
  bool takesFloat8 = quantization != nullptr;
  verb.add_option_function<std::string>(
          "--precision",
          [&precision, quantization](const std::string &text) {
            if (text != "fp8") {
              precision = *precisionFromName(text);
              return;
            }
            if (quantization->scheme)
              throw CLI::ValidationError(
                  "--precision",
                  "expected no --quantize beside fp8, which is short for "
                  "--quantize fp8, got --quantize " +
                      quantization->scheme.text());
            quantization->scheme.name = "fp8";
          },
          help)
      ->check(CLI::Validator(
          [takesFloat8](std::string &text) -> std::string {
            if (precisionFromName(text) || (takesFloat8 && text == "fp8"))
              return "";
            if (text == "fp8")
              return "expected f32, tf32, bf16 or f16; --quantize fp8 rounds "
                     "to 8-bit floats";
            return (takesFloat8 ? "expected f32, tf32, bf16, f16 or fp8, got '"
                                : "expected f32, tf32, bf16 or f16, got '") +
                   text + "'";
          },
          takesFloat8 ? "{f32,tf32,bf16,f16,fp8}" : "{f32,tf32,bf16,f16}"))
      ->default_str(precisionName(precision).str());
}

const CLI::Validator kQuantizationScheme(
    [](std::string &text) {
      std::string whyNot;
      parseQuantizationScheme(text, &whyNot);
      return whyNot;
    },
    "SCHEME[:GROUP]");

void addQuantizationOptions(CLI::App &verb, QuantizationOptions &options) {
  verb.add_option_function<std::string>(
          "--quantize",
          [&options](const std::string &text) {
            options.scheme = *parseQuantizationScheme(text);
          },
          "Round operands of products to few bits: int8-dynamic, int8-static "
          "(with --ranges), int8 (either), int8-weights[:GROUP], "
          "int4-weights[:GROUP], fp8[:GROUP], fp8-weights[:GROUP]")
      ->check(kQuantizationScheme);
  verb.add_option("--ranges", options.ranges,
                  "Ranges of activations, from lathe calibrate")
      ->check(CLI::Validator(
          [](std::string &path) -> std::string {
            if (!llvm::sys::fs::exists(path))
              return "expected a file that is there, got '" + path + "'";
            return llvm::sys::fs::is_directory(path)
                       ? "expected a file, '" + path + "' is a folder"
                       : "";
          },
          "FILE"));
  verb.add_option("--keep", options.keep,
                  "Leave a product in floats: its name, as compile --explain "
                  "prints it, with * for any letters "
                  "(repeatable)");
}

} // namespace lathe
