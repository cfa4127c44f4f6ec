//===- KernelIdentity.cpp - What makes two kernels the same ---------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Target/KernelIdentity.h"

#include "lathe/Analysis/Cost.h"

#include <sys/stat.h>

namespace lathe {

std::string getKernelText(KernelOp kernel) {
  OwningOpRef<Operation *> clone(kernel->cloneWithoutRegions());
  std::string text;
  llvm::raw_string_ostream os(text);
  os << kernel.getSchedule() << '\n';
  // Code may read an input before it writes over it, and not after.
  if (Attribute inPlace = kernel->getAttr("lathe.in_place"))
    os << inPlace << '\n';
  for (StringRef choice : {"lathe.tile", "lathe.tf32"})
    if (Attribute attribute = kernel->getAttr(choice))
      os << choice << ' ' << attribute << '\n';
  Block &block = kernel.getBody().front();
  for (BlockArgument argument : block.getArguments())
    os << argument.getType() << ' ';
  DenseMap<Value, unsigned> numbers;
  for (BlockArgument argument : block.getArguments())
    numbers[argument] = numbers.size();
  for (Operation &op : block) {
    os << '\n' << op.getName().getStringRef();
    for (Value operand : op.getOperands())
      os << ' ' << numbers.lookup(operand);
    os << ' ' << op.getAttrDictionary();
    for (Value result : op.getResults()) {
      os << ' ' << result.getType();
      numbers[result] = numbers.size();
    }
  }
  return text;
}

std::string getCompilerIdentity() {
  struct stat info;
  if (stat("/proc/self/exe", &info) != 0)
    return "unknown";
  return std::to_string(info.st_size) + "." +
         std::to_string(info.st_mtim.tv_sec) + "." +
         std::to_string(info.st_mtim.tv_nsec);
}

void describeKernel(KernelOp kernel, exec::Kernel &info) {
  info.set_name(kernel.getName().str());
  Cost cost = getCost(kernel);
  info.set_flops(cost.flops);
  info.set_bytes(cost.bytes);
  for (Operation &op : kernel.getBody().front().without_terminator()) {
    std::string text;
    llvm::raw_string_ostream os(text);
    os << op.getName() << ' ' << op.getLoc();
    info.add_ops(text);
  }
}

} // namespace lathe
