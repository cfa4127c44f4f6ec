//===- SimWrapper.cpp - The simulator's way into a kernel -----------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SimWrapper.h"

#include "CodeWriter.h"
#include "KernelFile.h"
#include "Printer.h"

#include "lathe/Conversion/ScalarBody.h"
#include "lathe/Target/ProgramBuilder.h"

namespace lathe::cuda {

namespace {
struct Argument {
  std::string type;
  int64_t bytes, elementBytes, alignment;
  bool isOutput;
};
} // namespace

static SmallVector<Argument> getArguments(KernelOp kernel,
                                          const KernelText &text) {
  SmallVector<Argument> arguments;
  auto add = [&](Type type, bool isOutput) {
    auto tensor = cast<RankedTensorType>(type);
    Type element = getStorageType(tensor.getElementType());
    arguments.push_back(
        {(isOutput ? "" : "const ") + typeName(element) + " *",
         tensor.getNumElements() * getStorageBytes(tensor.getElementType()),
         getStorageBytes(tensor.getElementType()), getArgumentAlignment(tensor),
         isOutput});
  };
  for (Type type : kernel.getBody().getArgumentTypes())
    add(type, false);
  for (Type type : kernel.getResultTypes())
    add(type, true);
  return arguments;
}

static std::string list(ArrayRef<int64_t> values) {
  std::string text;
  for (int64_t value : values)
    text += (text.empty() ? "" : ", ") + std::to_string(value);
  return "{" + text + "}";
}

/// LatheSimTensorMap of sim.cuh.
static std::string tensorText(const GridTensorMap &map) {
  return "TensorMap{(const char *)args[" + std::to_string(map.argument) +
         "] + " + std::to_string(map.offset) + ", " +
         std::to_string(getStorageBytes(map.elementType)) + ", " +
         std::to_string(map.dims.size()) + ", " + list(map.dims) + ", " +
         list(map.strides) + ", " + list(map.box) + ", " +
         std::to_string(map.swizzle) + "}";
}

SimWrapper makeSimWrapper(KernelOp kernel, const KernelText &text) {
  SmallVector<Argument> arguments = getArguments(kernel, text);
  CodeWriter writer;
  writer.line();
  writer.line("// For the simulator.");
  writer.line("#if __has_feature(thread_sanitizer)");
  writer.line("#define LATHE_CHECKED 1");
  writer.line("#else");
  writer.line("#define LATHE_CHECKED 0");
  writer.line("#endif");
  writer.line("static const LatheSimArgument latheArguments[] = {");
  for (const Argument &argument : arguments)
    writer.line("    {" + Twine(argument.bytes) + ", " +
                Twine(argument.elementBytes) + ", " +
                Twine(argument.alignment) + ", " +
                (argument.isOutput ? "1" : "0") + ", 0},");
  writer.line("    {}};");
  bool isParallel = text.grids.size() == 1 && text.scratchBytes == 0;
  SimWrapper wrapper;
  wrapper.symbol = text.grids.front().symbol + "_sim";
  for (auto [i, grid] : llvm::enumerate(text.grids)) {
    std::string call = grid.symbol + "(";
    for (auto [a, argument] : llvm::enumerate(arguments))
      call += (a ? ", (" : "(") + argument.type + ")args[" + std::to_string(a) +
              "]";
    if (text.scratchBytes)
      call += ", (u8 *)args[" + std::to_string(arguments.size()) + "]";
    for (const GridTensorMap &map : grid.tensorMaps)
      call += ", " + tensorText(map);
    writer.open("static void latheCall" + Twine(i) + "(void **args)");
    writer.line(call + ");");
    writer.close();
    auto triple = [](const int64_t *values) {
      return "{" + std::to_string(values[0]) + ", " +
             std::to_string(values[1]) + ", " + std::to_string(values[2]) + "}";
    };
    writer.line("static const LatheSimLaunch latheLaunch" + Twine(i) +
                " = {sizeof(LatheSimLaunch), LATHE_CHECKED, \"" + grid.symbol +
                "\", " + triple(grid.grid) + ", " + triple(grid.block) + ", {" +
                Twine(grid.cluster) + ", 1, 1}, " +
                Twine(grid.dynamicSharedBytes) + ", " +
                (grid.isCooperative ? "1" : "0") + ", " + Twine(i) + ", " +
                Twine(text.grids.size()) + ", " + Twine(arguments.size()) +
                ", latheArguments, " + Twine(text.scratchBytes) + "};");
    if (isParallel)
      wrapper.workItems = grid.grid[0] * grid.grid[1] * grid.grid[2];
  }
  writer.open("extern \"C\" void " + wrapper.symbol +
              "(void **args, void *scratch, long long begin, long long end)");
  if (isParallel) {
    writer.line("lathe_sim_launch(&latheLaunch0, latheCall0, args, scratch, "
                "begin, end);");
  } else {
    writer.line("if (begin != 0 || end != 1)");
    writer.line("  return;");
    for (auto [i, grid] : llvm::enumerate(text.grids))
      writer.line("lathe_sim_launch(&latheLaunch" + Twine(i) + ", latheCall" +
                  Twine(i) + ", args, scratch, 0, " +
                  Twine(grid.grid[0] * grid.grid[1] * grid.grid[2]) + ");");
  }
  writer.close();
  wrapper.text = writer.take();
  return wrapper;
}

} // namespace lathe::cuda
