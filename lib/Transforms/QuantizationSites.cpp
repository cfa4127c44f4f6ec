//===- QuantizationSites.cpp - Where ranges are needed --------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Transforms/QuantizationSites.h"

#include "lathe/Analysis/LoadTime.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Path.h"

namespace lathe {

int64_t countRanges(ArrayRef<ScanOp> scans) {
  int64_t count = 1;
  for (ScanOp scan : scans)
    count *= scan.computeTripCount();
  return count;
}

int64_t QuantizationSite::numRanges() const { return countRanges(scans); }

/// The name of an ONNX node or "file:line:column"; "" where nothing is known.
static std::string nameOf(Location loc) {
  if (auto fused = dyn_cast<FusedLoc>(loc)) {
    for (Location part : fused.getLocations())
      if (std::string name = nameOf(part); !name.empty())
        return name;
    return "";
  }
  if (auto call = dyn_cast<CallSiteLoc>(loc))
    return nameOf(call.getCallee());
  if (auto named = dyn_cast<NameLoc>(loc))
    return named.getName().empty() ? nameOf(named.getChildLoc())
                                   : named.getName().str();
  if (auto file = dyn_cast<FileLineColLoc>(loc); file && file.getLine())
    return (llvm::sys::path::filename(file.getFilename().getValue()) + ":" +
            Twine(file.getLine()) + ":" + Twine(file.getColumn()))
        .str();
  return "";
}

/// Whether iterations differ in something that is known at load: layers.
static bool isOverLayers(ScanOp scan, const LoadTime &loadTime) {
  return llvm::any_of(scan.getInputs(), [&](Value input) {
    return loadTime.isKnownOrSlice(input);
  });
}

static SmallVector<ScanOp> findLayerScans(Value value,
                                          const LoadTime &loadTime) {
  SmallVector<ScanOp> scans;
  for (Operation *op = value.getParentBlock()->getParentOp(); op;
       op = op->getParentOp())
    if (auto scan = dyn_cast<ScanOp>(op); scan && isOverLayers(scan, loadTime))
      scans.insert(scans.begin(), scan);
  return scans;
}

SmallVector<ScanOp> findLayerScans(Value value) {
  auto function = value.getParentRegion()->getParentOfType<func::FuncOp>();
  return findLayerScans(value, LoadTime(function));
}

static SmallVector<unsigned> getQuantizable(Operation *op) {
  SmallVector<unsigned> operands;
  std::string whyNot;
  auto quantizable = dyn_cast<QuantizableOpInterface>(op);
  if (!quantizable)
    return operands;
  auto places = quantizable.getQuantizableOperands(whyNot);
  // What is a weight or nothing, such as a table, needs no range.
  if (places.size() > 1)
    for (const QuantizableOperand &place : places)
      operands.push_back(place.index);
  return operands;
}

std::string getQuantizationName(Operation *op) {
  std::string name = nameOf(op->getLoc());
  return name.empty() ? op->getName().stripDialect().str() : name;
}

SmallVector<QuantizationSite> listQuantizationSites(func::FuncOp function) {
  LoadTime loadTime(function);
  llvm::StringSet<> names;
  SmallVector<QuantizationSite> sites;
  function.walk([&](Operation *op) {
    SmallVector<unsigned> operands;
    for (unsigned operand : getQuantizable(op)) {
      Value value = op->getOperand(operand);
      if (isa<FloatType>(getElementTypeOrSelf(value.getType())) &&
          !loadTime.isKnownOrSlice(value))
        operands.push_back(operand);
    }
    if (operands.empty())
      return;
    std::string base = getQuantizationName(op), name = base;
    for (unsigned i = 2; !names.insert(name).second; ++i)
      name = base + "@" + std::to_string(i);
    SmallVector<ScanOp> scans = findLayerScans(op->getResult(0), loadTime);
    for (unsigned operand : operands)
      sites.push_back({name + "#" + std::to_string(operand), op, operand,
                       op->getOperand(operand), scans});
  });
  return sites;
}

} // namespace lathe
