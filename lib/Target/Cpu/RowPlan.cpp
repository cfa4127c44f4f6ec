//===- RowPlan.cpp - How a row program is cut into work items -------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RowPlan.h"

#include "llvm/Support/MathExtras.h"

namespace lathe::cpu {

namespace {

/// Elements of a pure elementwise item: large enough to hide the call, small
/// enough that temporaries stay in the first cache.
constexpr int64_t elementwiseBlock = 4096;
/// Columns of an item where the vector class runs beside a strided loop.
constexpr int64_t columnBlock = 64;
/// Steps an item of several numbering classes should have before it is worth
/// a division each to find its indices.
constexpr int64_t grain = 2048;

struct Traffic {
  int64_t unit = 0, strided = 0;
};

/// How many elements of memory are touched with unit stride along `c`, and how
/// many along `c` with another. Writes count twice.
Traffic trafficAlong(const RowProgram &program, int c) {
  Traffic traffic;
  auto count = [&](const LinearForm &form, int64_t weight) {
    int64_t stride = form.coefficients[c];
    (stride == 1 ? traffic.unit
     : stride    ? traffic.strided
                 : traffic.strided) += stride == 0 ? 0 : weight;
  };
  for (const RowProgram::Step &step : program.steps) {
    int64_t space = program.space(step, [](int) { return true; });
    for (const RowProgram::Operand &read : step.inputs)
      if (read.kind == RowProgram::Operand::Memory)
        count(read.position, space);
  }
  for (const RowProgram::Computed &value : program.values)
    for (auto &output : value.outputs) {
      int64_t size = 2;
      for (int d : value.classes)
        size *= program.classes[d].size;
      count(output.second, size);
    }
  return traffic;
}

} // namespace

int64_t RowPlan::getWorkItems(const RowProgram &program) const {
  int64_t items = 1;
  for (int c : itemClasses)
    items *= program.classes[c].size;
  if (block)
    items *= llvm::divideCeil(program.classes[vectorClass].size, block);
  return items;
}

std::optional<RowPlan> planRows(const RowProgram &program,
                                const CpuFeatures &features,
                                std::string &whyNot) {
  RowPlan plan;
  plan.lanes = features.vectorWidth;
  int count = program.classes.size();

  // Items: parallel wherever they occur, and part of every output.
  SmallVector<int> parallel;
  for (int c = 0; c < count; ++c) {
    const RowProgram::Class &info = program.classes[c];
    if (info.isGone || info.size == 1 || info.isReduced)
      continue;
    bool inAllOutputs = true;
    for (const RowProgram::Computed &value : program.values)
      inAllOutputs &= value.outputs.empty() || value.has(c);
    if (inAllOutputs)
      parallel.push_back(c);
  }

  int64_t best = 0;
  for (int c = 0; c < count; ++c) {
    if (program.classes[c].isGone || program.classes[c].size == 1)
      continue;
    Traffic traffic = trafficAlong(program, c);
    if (traffic.unit > best) {
      best = traffic.unit;
      plan.vectorClass = c;
    }
  }
  int v = plan.vectorClass;
  bool blocked = llvm::is_contained(parallel, v);

  // The order of items is that of the first output in memory.
  llvm::erase(parallel, v);
  for (const RowProgram::Computed &value : program.values)
    if (!value.outputs.empty()) {
      const LinearForm &form = value.outputs.front().second;
      llvm::stable_sort(parallel, [&](int a, int b) {
        return form.coefficients[a] > form.coefficients[b];
      });
      break;
    }
  plan.itemClasses = parallel;

  auto isInner = [&](int c) { return c != v && !plan.isOuter(c); };
  int64_t inner = 0;
  for (const RowProgram::Step &step : program.steps)
    inner += program.space(step, isInner);
  if (blocked) {
    bool strided = trafficAlong(program, v).strided > 0;
    bool hasInner = inner > int64_t(program.steps.size());
    int64_t size = program.classes[v].size;
    plan.block = hasInner || strided ? columnBlock : elementwiseBlock;
    plan.block = std::min(plan.block, size);
    plan.blockFirst = strided;
    // Neighbouring items should read neighbouring elements.
    if (strided)
      llvm::stable_sort(plan.itemClasses, [&](int a, int b) {
        return trafficAlong(program, a).unit < trafficAlong(program, b).unit;
      });
    inner *= plan.block;
  } else {
    inner = 0;
    for (const RowProgram::Step &step : program.steps)
      inner += program.space(step, [&](int c) { return !plan.isOuter(c); });
  }

  // Ops that lack an item class are done again for every item.
  int64_t items = plan.getWorkItems(program), useful = 0;
  for (const RowProgram::Step &step : program.steps)
    useful += program.space(step, [](int) { return true; });
  if (items * inner > 8 * useful + (1 << 16)) {
    whyNot = "too much would be computed again for every item";
    return std::nullopt;
  }

  while (plan.itemClasses.size() > 1 && inner < grain) {
    int last = plan.itemClasses.back();
    int64_t size = program.classes[last].size;
    if (items / size < 32)
      break;
    plan.grainClasses.insert(plan.grainClasses.begin(), last);
    plan.itemClasses.pop_back();
    inner *= size;
    items /= size;
  }
  return plan;
}

} // namespace lathe::cpu
