//===- ScanSchedule.cpp - Running sums ------------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A kernel of one `cumsum` along rows, by warps or blocks (scan.cuh). Along
// columns, and along short rows, a thread for each sum does as well; the
// schedule `loops` has that.
//
//===----------------------------------------------------------------------===//

#include "AnchorText.h"
#include "KernelFile.h"
#include "Printer.h"

#include "lathe/Conversion/ScalarBody.h"
#include "lathe/Target/Cuda/Schedule.h"
#include "lathe/Target/ProgramBuilder.h"
#include "llvm/Support/MathExtras.h"

namespace lathe::cuda {

/// Below this a thread per row is as quick, and rows are many.
static constexpr int64_t kShortRow = 64;

FailureOr<KernelText> scheduleScan(KernelOp kernel, StringRef symbol,
                                   const GpuFeatures &, std::string &whyNot) {
  Block &body = kernel.getBody().front();
  auto op = dyn_cast<CumSumOp>(&body.front());
  if (!op || op->getNextNode() != body.getTerminator() ||
      kernel.getNumResults() != 1 || body.getNumArguments() != 1) {
    whyNot = "the kernel is not one running sum";
    return failure();
  }
  auto type = cast<RankedTensorType>(op.getInput().getType());
  int64_t axis = op.getAxis();
  if (axis < 0)
    axis += type.getRank();
  ArrayRef<int64_t> shape = type.getShape();
  int64_t length = shape[axis], rows = 1, behind = 1;
  for (int64_t size : shape.take_front(axis))
    rows *= size;
  for (int64_t size : shape.drop_front(axis + 1))
    behind *= size;
  if (behind != 1) {
    whyNot = "the sum does not run along rows";
    return failure();
  }
  if (rows == 0 || length < kShortRow || length > (int64_t(1) << 30) ||
      rows > INT32_MAX) {
    whyNot = "the rows are too short or too long";
    return failure();
  }
  constexpr int64_t items = 4;
  int64_t threads = llvm::PowerOf2Ceil(llvm::divideCeil(length, items));
  // A warp is enough for a few chunks where rows are many.
  threads = rows >= 1024 && length <= 1024
                ? 32
                : std::clamp<int64_t>(threads, 32, 1024);
  Type element = getStorageType(type.getElementType());
  bool hasPacks = length % items == 0 && getStorageBytes(element) <= 4 &&
                  getElementAlignment(kernel, 0) % items == 0;
  KernelFile file(kernel, symbol, StringRef("scan.cuh"));
  CodeWriter &writer = file.writer;
  auto word = [](bool value) { return value ? "true" : "false"; };
  writer.line();
  writer.line("// rows, their length; threads of a row; elements read at once; "
              "exclusive, reverse");
  writer.line("using Scan = RowScan<" + typeName(element) + ", " +
              std::to_string(rows) + ", " + std::to_string(length) + ", " +
              std::to_string(threads) + ", " +
              std::to_string(hasPacks ? items : 1) + ", " +
              word(op.getExclusive()) + ", " + word(op.getReverse()) + ">;");
  GridLaunch launch;
  launch.isCooperative = true;
  bool isWarp = threads == 32;
  launch.block[0] = isWarp ? 256 : threads;
  launch.grid[0] = isWarp ? llvm::divideCeil(rows, 8) : rows;
  file.openGrid(launch, isWarp ? "a warp per row" : "a block per row");
  writer.line("scanRows<Scan>(in0, out0);");
  file.closeGrid();
  return file.take(0);
}

} // namespace lathe::cuda
