//===- FormKernels.cpp - Fuse ops into kernels ----------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelGroups.h"
#include "KernelRules.h"
#include "lathe/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/SmallPtrSet.h"

namespace lathe {
#define GEN_PASS_DEF_FORMKERNELS
#include "lathe/Transforms/Passes.h.inc"
} // namespace lathe

using namespace lathe;

/// A kernel's name is shown in profiles: long ones are cut.
static constexpr size_t kMaxNameLength = 48;

/// The composite op an op was expanded from (lathe-decompose leaves its name in
/// the location), or the op's own name, without the dialect.
static std::pair<StringRef, Location> getPart(Operation *op) {
  if (auto fused = dyn_cast<FusedLoc>(op->getLoc()))
    if (auto composite = dyn_cast_or_null<StringAttr>(fused.getMetadata()))
      return {composite.getValue(), op->getLoc()};
  return {op->getName().stripDialect(), op->getLoc()};
}

static std::string nameKernel(const KernelGroup &group) {
  SmallVector<StringRef> parts;
  llvm::SmallDenseSet<Location> composites;
  for (Operation *op : group.ops) {
    auto fusible = dyn_cast<FusibleOpInterface>(op);
    bool isView = fusible && fusible.getFusionKind() == FusionKind::View;
    auto [part, location] = getPart(op);
    bool isComposite = part != op->getName().stripDialect();
    // Views say little, and a composite is named once.
    if ((isView && group.ops.size() > 1) ||
        (isComposite && !composites.insert(location).second))
      continue;
    parts.push_back(part);
  }
  if (parts.empty())
    parts.push_back("view");
  std::string name;
  for (auto [index, part] : llvm::enumerate(parts)) {
    if (!name.empty() && name.size() + part.size() > kMaxNameLength)
      return name + "_x" + std::to_string(parts.size() - index);
    name += (name.empty() ? "" : "_") + part.str();
  }
  return name;
}

namespace {
class FormKernels : public lathe::impl::FormKernelsBase<FormKernels> {
  using FormKernelsBase::FormKernelsBase;

  void runOnOperation() override {
    normalizeViews();
    SmallVector<Block *> blocks;
    getOperation()->walk([&](Operation *op) {
      if (!isa<KernelOp>(op) && !op->getParentOfType<KernelOp>())
        for (Region &region : op->getRegions())
          for (Block &block : region)
            blocks.push_back(&block);
    });
    for (Block *block : blocks)
      formKernels(*block);
  }

  /// Dims of size 1 come and go without moving data: as reshapes they are
  /// aliases outside of kernels.
  void normalizeViews() {
    getOperation()->walk([](Operation *op) {
      if (!isa<SqueezeOp, UnsqueezeOp>(op))
        return;
      auto type = cast<RankedTensorType>(op->getResult(0).getType());
      if (!type.hasStaticShape())
        return;
      OpBuilder builder(op);
      auto reshape = builder.create<ReshapeOp>(
          op->getLoc(), type, op->getOperand(0),
          builder.getDenseI64ArrayAttr(type.getShape()),
          llvm::is_contained(type.getShape(), 0) ? builder.getUnitAttr()
                                                 : UnitAttr());
      op->replaceAllUsesWith(reshape->getResults());
      op->erase();
    });
  }

  void formKernels(Block &block);
  KernelOp buildKernel(OpBuilder &builder, const KernelGroup &group);

  struct Edge {
    const KernelGroup *group;
    Operation *producer, *consumer;
    bool isBefore;
  };
};
} // namespace

KernelOp FormKernels::buildKernel(OpBuilder &builder,
                                  const KernelGroup &group) {
  llvm::SmallPtrSet<Operation *, 32> members(group.ops.begin(),
                                             group.ops.end());
  llvm::SetVector<Value> inputs;
  SmallVector<Value> outputs;
  SmallVector<Location> locations;
  for (Operation *op : group.ops) {
    locations.push_back(op->getLoc());
    for (Value operand : op->getOperands())
      if (!members.contains(operand.getDefiningOp()) &&
          !isSmallConstant(operand))
        inputs.insert(operand);
    for (Value result : op->getResults())
      if (llvm::any_of(result.getUsers(), [&](Operation *user) {
            return !members.contains(user);
          }))
        outputs.push_back(result);
  }
  // An op without uses still is a kernel: this pass deletes nothing.
  if (outputs.empty())
    outputs.push_back(group.ops.back()->getResult(0));

  auto kernel = builder.create<KernelOp>(
      builder.getFusedLoc(locations), ValueRange(outputs).getTypes(),
      inputs.getArrayRef(), builder.getStringAttr(nameKernel(group)),
      builder.getStringAttr(group.schedule));
  Block &body = kernel.getBody().emplaceBlock();
  DenseMap<Value, Value> inner;
  for (Value input : inputs)
    inner[input] = body.addArgument(input.getType(), input.getLoc());

  OpBuilder bodyBuilder = OpBuilder::atBlockEnd(&body);
  DenseMap<Attribute, Value> constants;
  for (Operation *op : group.ops) {
    op->moveBefore(&body, body.end());
    for (OpOperand &operand : op->getOpOperands()) {
      if (Value argument = inner.lookup(operand.get())) {
        operand.set(argument);
      } else if (!members.contains(operand.get().getDefiningOp())) {
        Operation *constant = operand.get().getDefiningOp();
        Attribute value = constant->getAttr("value");
        auto [it, isNew] = constants.try_emplace(value);
        if (isNew) {
          bodyBuilder.setInsertionPointToStart(&body);
          it->second = bodyBuilder.clone(*constant)->getResult(0);
        }
        operand.set(it->second);
      }
    }
  }
  for (auto [output, result] : llvm::zip(outputs, kernel.getResults()))
    output.replaceUsesWithIf(result, [&](OpOperand &use) {
      return use.getOwner()->getBlock() != &body;
    });
  bodyBuilder.setInsertionPointToEnd(&body);
  bodyBuilder.create<YieldOp>(kernel.getLoc(), outputs);
  ++numKernels;
  numFused += group.ops.size() - 1;
  return kernel;
}

void FormKernels::formKernels(Block &block) {
  KernelGroupOptions groupOptions;
  groupOptions.fuse = fuse;
  groupOptions.explain = explain;
  groupOptions.maxOps = maxOps;
  groupOptions.maxInputs = maxInputs;
  KernelGroups groups(block, groupOptions);

  // The edges between units are gone once ops have moved into kernels.
  SmallVector<Edge> edges;
  if (explain)
    for (const KernelGroups::Unit &unit : groups.getOrder()) {
      if (!unit.group)
        continue;
      for (Operation *op : unit.group->ops) {
        for (Value operand : op->getOperands())
          if (Operation *producer = operand.getDefiningOp())
            if (producer->getBlock() == &block &&
                groups.getGroup(producer) != unit.group &&
                !producer->hasTrait<OpTrait::ConstantLike>() &&
                !isa<GetParameterOp>(producer))
              edges.push_back({unit.group, producer, op, /*isBefore=*/true});
        SmallVector<Operation *> users(op->user_begin(), op->user_end());
        for (Operation *user : llvm::reverse(users))
          if (user->getBlock() == &block &&
              groups.getGroup(user) != unit.group &&
              !user->hasTrait<OpTrait::IsTerminator>())
            edges.push_back({unit.group, op, user, /*isBefore=*/false});
      }
    }

  Operation *end = block.empty() ? nullptr : &block.back();
  if (!end || !end->hasTrait<OpTrait::IsTerminator>())
    return;
  OpBuilder builder(end);
  DenseMap<const KernelGroup *, KernelOp> kernels;
  for (const KernelGroups::Unit &unit : groups.getOrder()) {
    if (unit.group)
      kernels[unit.group] = buildKernel(builder, *unit.group);
    else
      unit.op->moveBefore(end);
  }
  for (Operation &op : llvm::make_early_inc_range(block))
    if (op.hasTrait<OpTrait::ConstantLike>() && op.use_empty())
      op.erase();

  // One entry per kernel and neighbour, in the order of the ops.
  llvm::DenseSet<std::tuple<const KernelGroup *, Operation *, unsigned>> seen;
  DenseMap<const KernelGroup *, SmallVector<Attribute>> leftOut;
  for (const Edge &edge : edges) {
    Operation *neighbour = edge.isBefore ? edge.producer : edge.consumer;
    if (!seen.insert({edge.group, neighbour, edge.isBefore}).second)
      continue;
    NamedAttrList entry;
    entry.append("op",
                 builder.getStringAttr(neighbour->getName().getStringRef()));
    if (KernelOp kernel = kernels.lookup(groups.getGroup(neighbour)))
      entry.append("kernel", kernel.getNameAttr());
    entry.append("where",
                 builder.getStringAttr(edge.isBefore ? "before" : "after"));
    entry.append("why", builder.getStringAttr(
                            groups.getReason(edge.producer, edge.consumer)));
    leftOut[edge.group].push_back(entry.getDictionary(&getContext()));
  }
  if (explain)
    for (auto &[group, kernel] : kernels)
      kernel->setAttr("lathe.left_out", builder.getArrayAttr(leftOut[group]));
}
