//===- KernelFile.cpp - The frame of a kernel's text ----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelFile.h"
#include "Printer.h"

#include "lathe/Conversion/ScalarBody.h"
#include "lathe/Target/ProgramBuilder.h"
#include "llvm/Support/MathExtras.h"

namespace lathe::cuda {

/// "model.mlir:12", or nothing where the op does not come from a file.
static std::string place(Location loc) {
  std::string text;
  loc->walk([&](Location part) {
    if (auto line = dyn_cast<FileLineColLoc>(part)) {
      StringRef file = line.getFilename().strref();
      text = (file.substr(file.rfind('/') + 1) + ":" + Twine(line.getLine()))
                 .str();
      return WalkResult::interrupt();
    }
    if (auto name = dyn_cast<NameLoc>(part)) {
      text = name.getName().str();
      return WalkResult::interrupt();
    }
    return WalkResult::advance();
  });
  // A name from a model must not end the comment, or be broken by one.
  std::replace_if(
      text.begin(), text.end(),
      [](unsigned char c) { return c < 32 || c >= 127 || c == '\\'; }, '?');
  return text;
}

static std::string shapeText(Type type) {
  std::string text;
  llvm::raw_string_ostream(text) << type;
  StringRef shape = text;
  shape.consume_front("tensor<");
  shape.consume_back(">");
  return shape.str();
}

KernelFile::KernelFile(KernelOp kernel, StringRef symbol,
                       ArrayRef<StringRef> headers)
    : kernel(kernel), symbol(symbol.str()) {
  writer.line("// " + symbol);
  Block &body = kernel.getBody().front();
  auto isLarge = [](Type type) {
    return cast<RankedTensorType>(type).getNumElements() > INT32_MAX;
  };
  if (llvm::any_of(body.getArgumentTypes(), isLarge) ||
      llvm::any_of(kernel.getResultTypes(), isLarge))
    writer.indexType = "i64";
  for (Operation &op : body.without_terminator()) {
    std::string from = place(op.getLoc());
    writer.line("//   " + op.getName().getStringRef() +
                (from.empty() ? "" : "  " + from));
  }
  for (auto [i, argument] : llvm::enumerate(body.getArguments()))
    writer.line("// " + input(i) + ": " + shapeText(argument.getType()));
  for (auto [i, type] : llvm::enumerate(kernel.getResultTypes()))
    writer.line("// " + output(i) + ": " + shapeText(type));
  writer.line("#include \"lathe/device.cuh\"");
  for (StringRef header : headers)
    writer.line("#include \"lathe/" + header + "\"");
}

void KernelFile::openGrid(GridLaunch launch, StringRef comment,
                          int64_t minBlocks) {
  launch.symbol =
      grids.empty() ? symbol : symbol + "_" + std::to_string(grids.size());
  writer.forgetNames();
  writer.line();
  writer.line("// " + comment);
  int64_t threads = launch.block[0] * launch.block[1] * launch.block[2];
  std::string head = "extern \"C\" __global__ void __launch_bounds__(" +
                     std::to_string(threads) +
                     (minBlocks ? ", " + std::to_string(minBlocks) : "") +
                     ")\n" + launch.symbol + "(";
  std::string separator;
  // An input that is overwritten and the result that does it are one piece of
  // memory.
  auto inPlace = kernel->getAttrOfType<DenseI64ArrayAttr>("lathe.in_place");
  auto isShared = [&](bool isInput, unsigned number) {
    for (unsigned i = isInput; inPlace && i < inPlace.size(); i += 2)
      if (inPlace[i] == int64_t(number))
        return true;
    return false;
  };
  auto argument = [&](Type type, bool isInput, unsigned number,
                      const std::string &name) {
    Type element =
        getStorageType(cast<RankedTensorType>(type).getElementType());
    head += separator + (isInput ? "const " : "") + typeName(element) +
            (isShared(isInput, number) ? " *" : " *__restrict__ ") + name;
    separator = ", ";
    (void)writer.unique(name);
  };
  for (auto [i, type] : llvm::enumerate(kernel.getBody().getArgumentTypes()))
    argument(type, true, i, input(i));
  for (auto [i, type] : llvm::enumerate(kernel.getResultTypes()))
    argument(type, false, i, output(i));
  head += scratchMark;
  for (const GridTensorMap &map : launch.tensorMaps)
    head += ", const __grid_constant__ TensorMap " + map.name;
  writer.open(head + ")");
  grids.push_back(std::move(launch));
}

void KernelFile::closeGrid() {
  writer.close();
  writer.settleDeclarations();
}

KernelText KernelFile::take(int64_t scratchBytes) {
  KernelText result;
  result.text = writer.take();
  StringRef argument = ", u8 *__restrict__ scratch";
  for (size_t at = 0;
       (at = result.text.find(scratchMark, at)) != std::string::npos;)
    result.text.replace(at, strlen(scratchMark),
                        scratchBytes ? argument.str() : "");
  result.grids = std::move(grids);
  result.scratchBytes = scratchBytes;
  return result;
}

int64_t getArgumentAlignment(RankedTensorType type) {
  int64_t bytes =
      type.getNumElements() * getStorageBytes(type.getElementType());
  return int64_t(llvm::MinAlign(uint64_t(bytes), 256));
}

GridLaunch flatLaunch(int64_t items, int64_t threads) {
  GridLaunch launch;
  launch.block[0] = std::min(
      threads, int64_t(llvm::PowerOf2Ceil(std::max<int64_t>(items, 32))));
  launch.grid[0] =
      std::max<int64_t>(1, llvm::divideCeil(items, launch.block[0]));
  return launch;
}

} // namespace lathe::cuda
