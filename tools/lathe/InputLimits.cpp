//===- InputLimits.cpp - Which integers the inputs of a loss may hold -----===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "InputLimits.h"

#include "dialects/Lathe/Lathe.h"
#include "llvm/ADT/STLExtras.h"

#include <algorithm>

using namespace mlir;

namespace lathe {

/// One integer input is what the logits are compared with: its values are
/// classes, of which the logits' type says how many there are.
static void addLabels(std::map<std::string, InputLimit> &limits,
                      const TrainOptions &options,
                      llvm::ArrayRef<TensorSpec> inputs, func::FuncOp loss) {
  for (unsigned i = 0; i < loss.getNumResults(); ++i) {
    auto name = loss.getResultAttrOfType<StringAttr>(i, "lathe.name");
    auto type = cast<RankedTensorType>(loss.getResultTypes()[i]);
    if (!name || name != options.logits || type.getRank() < 2 ||
        type.isDynamicDim(type.getRank() - 1) || type.getShape().back() < 2)
      continue;
    std::string labels = options.labels;
    if (labels.empty())
      for (const TensorSpec &spec : inputs)
        if (!isFloat(spec.dtype) && spec.name != train::kRandomKey &&
            static_cast<int64_t>(spec.shape.size()) + 1 == type.getRank())
          labels = spec.name;
    if (!labels.empty()) {
      limits[labels] = {type.getShape().back(), /*isIndex=*/false};
      return;
    }
  }
}

namespace {
/// Finds the arguments of a function whose elements a value holds, one by one
/// and unchanged, through views, calls and the slices of loops.
class ArgumentSearch {
public:
  ArgumentSearch(const Model &model) : entry(model.entry()) {
    model.module().walk(
        [&](func::CallOp call) { calls[call.getCallee()].push_back(call); });
  }

  llvm::SmallVector<unsigned> find(Value value) {
    found.clear();
    seen.clear();
    visit(value);
    return found;
  }

private:
  void visit(Value value) {
    if (!seen.insert(value).second)
      return;
    if (auto argument = dyn_cast<BlockArgument>(value))
      return visitArgument(argument);
    Operation *op = value.getDefiningOp();
    if (isa<SliceOp, DynamicSliceOp, ReshapeOp, SqueezeOp, UnsqueezeOp,
            TransposeOp>(op) ||
        (isa<CastOp>(op) && isWidening(op)))
      visit(op->getOperand(0));
  }

  static bool isWidening(Operation *op) {
    Type from = getElementTypeOrSelf(op->getOperand(0).getType());
    Type to = getElementTypeOrSelf(op->getResult(0).getType());
    return isa<IntegerType>(from) && isa<IntegerType>(to) &&
           from.getIntOrFloatBitWidth() <= to.getIntOrFloatBitWidth();
  }

  void visitArgument(BlockArgument argument) {
    Operation *parent = argument.getOwner()->getParentOp();
    unsigned index = argument.getArgNumber();
    if (parent == entry) {
      found.push_back(index);
    } else if (auto function = dyn_cast<func::FuncOp>(parent)) {
      for (func::CallOp call : calls.lookup(function.getSymName()))
        visit(call.getOperand(index));
    } else if (auto scan = dyn_cast<ScanOp>(parent)) {
      if (index >= scan.getNumCarried())
        visit(scan.getInputs()[index - scan.getNumCarried()]);
    }
  }

  func::FuncOp entry;
  llvm::DenseMap<StringRef, llvm::SmallVector<func::CallOp>> calls;
  llvm::SmallVector<unsigned> found;
  llvm::DenseSet<Value> seen;
};
} // namespace

/// What chooses rows of a table is no more than there are rows.
static void addIndices(std::map<std::string, InputLimit> &limits,
                       const Model &model) {
  ArgumentSearch search(model);
  auto add = [&](Value table, int64_t axis, Value indices) {
    auto type = dyn_cast<RankedTensorType>(table.getType());
    if (!type || axis < -type.getRank() || axis >= type.getRank())
      return;
    int64_t rows = type.getDimSize(axis < 0 ? axis + type.getRank() : axis);
    if (ShapedType::isDynamic(rows) || rows == 0)
      return;
    for (unsigned index : search.find(indices)) {
      const std::string &name = model.inputs()[index].name;
      auto [known, isNew] = limits.try_emplace(name, InputLimit{rows, true});
      if (!isNew)
        known->second = {std::min(known->second.values, rows), true};
    }
  };
  model.module().walk([&](Operation *op) {
    if (auto embedding = dyn_cast<EmbeddingOp>(op))
      add(embedding.getTable(), 0, embedding.getIds());
    else if (auto gather = dyn_cast<GatherOp>(op))
      add(gather.getInput(), int64_t(gather.getAxis()), gather.getIndices());
  });
}

std::map<std::string, InputLimit>
findInputLimits(const TrainOptions &options, llvm::ArrayRef<TensorSpec> inputs,
                const Model &model) {
  std::map<std::string, InputLimit> limits;
  addLabels(limits, options, inputs, model.entry());
  addIndices(limits, model);
  return limits;
}

} // namespace lathe
