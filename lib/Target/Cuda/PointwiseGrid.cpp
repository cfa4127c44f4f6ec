//===- PointwiseGrid.cpp - A thread per element or pack of elements -------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "StepGrids.h"

namespace lathe::cuda {

LogicalResult emitPointwise(const RowProgram &program, const RowPhases &plan,
                            const Phase &phase, KernelFile &file,
                            std::string &whyNot) {
  ElementText text(program, plan, phase, file);
  CodeWriter &writer = file.writer;
  text.moving = phase.items;
  text.width = text.widestPack();
  int64_t threads = phase.numItems / text.width;
  GridLaunch launch = flatLaunch(threads);
  text.openGrid(launch, text.width == 1
                            ? "a thread per element"
                            : "a thread per " + std::to_string(text.width) +
                                  " elements");
  std::string item = openItem(writer, threads, launch);
  std::string first = item;
  if (text.width > 1 && threads > 1) {
    first = writer.unique("first");
    writer.declareIndex(first, product(item, text.width));
  }
  text.openSpace(text.items, phase.items, first);
  text.readUniform(phase.steps);
  if (failed(text.emitElements(phase.steps, 0))) {
    whyNot = text.whyNot;
    return failure();
  }
  file.closeGrid();
  return success();
}

} // namespace lathe::cuda
