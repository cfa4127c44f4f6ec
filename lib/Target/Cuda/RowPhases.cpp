//===- RowPhases.cpp - A row program cut into grids -----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RowPhases.h"

#include "llvm/Support/MathExtras.h"

namespace lathe::cuda {

/// Multiprocessors of the GPUs in mind: an H100 has 132.
static constexpr int64_t multiprocessors = 132;

int64_t getBytes(Type element) {
  if (element.isIndex())
    return 8;
  return llvm::divideCeil(element.getIntOrFloatBitWidth(), 8u);
}

bool reduces(const RowProgram &program, unsigned s) {
  const RowProgram::Step &step = program.steps[s];
  return llvm::any_of(step.classes, [&](int c) {
    return c >= 0 && program.isReducedIn(step, c);
  });
}

namespace {

class Planner {
public:
  Planner(const RowProgram &program, std::string &whyNot)
      : program(program), whyNot(whyNot) {}

  std::optional<RowPhases> run();

private:
  void findRoots();
  bool isRoot(unsigned step) const { return llvm::is_contained(roots, step); }
  const Place &place(unsigned value) const { return plan.places[value]; }
  SmallVector<unsigned> collectSteps(ArrayRef<unsigned> from,
                                     function_ref<void(unsigned)> outside);
  std::optional<Phase> makePhase(SmallVector<unsigned> from);
  bool fits(Phase &phase);
  void orderClasses(Phase &phase);
  void cutIntoChunks(Phase &phase);
  void placeValues();
  bool isContraction(const RowProgram::Step &step) const;
  int64_t size(ArrayRef<int> classes) const {
    int64_t result = 1;
    for (int c : classes)
      result *= program.classes[c].size;
    return result;
  }
  SmallVector<int> classesOf(unsigned step) const {
    SmallVector<int> result;
    for (int c : program.steps[step].classes)
      if (c >= 0 && !program.classes[c].isGone && program.classes[c].size != 1)
        result.push_back(c);
    return result;
  }

  const RowProgram &program;
  std::string &whyNot;
  RowPhases plan;
  SmallVector<unsigned> roots;
};

} // namespace

void Planner::findRoots() {
  for (auto [s, step] : llvm::enumerate(program.steps)) {
    auto isUsed = [&](unsigned value) {
      return program.values[value].isRead ||
             !program.values[value].outputs.empty();
    };
    auto isOutput = [&](unsigned value) {
      return !program.values[value].outputs.empty();
    };
    if (llvm::any_of(step.results, isOutput) ||
        (reduces(program, s) && llvm::any_of(step.results, isUsed)))
      roots.push_back(s);
  }
}

/// `from` and what they are made of, up to other roots; those go to `outside`.
SmallVector<unsigned>
Planner::collectSteps(ArrayRef<unsigned> from,
                      function_ref<void(unsigned)> outside) {
  SmallVector<unsigned> found(from);
  for (size_t i = 0; i < found.size(); ++i)
    for (const RowProgram::Operand &read : program.steps[found[i]].inputs) {
      if (read.kind != RowProgram::Operand::Computed)
        continue;
      unsigned maker = program.values[read.value].step;
      if (llvm::is_contained(found, maker))
        continue;
      if (isRoot(maker))
        outside(maker);
      else
        found.push_back(maker);
    }
  llvm::sort(found);
  return found;
}

/// Whether all steps run over the same items and reduce along the same classes;
/// fills in both.
bool Planner::fits(Phase &phase) {
  auto contains = [](ArrayRef<int> list, int c) {
    return llvm::is_contained(list, c);
  };
  for (unsigned s : phase.roots)
    for (int c : classesOf(s))
      if (program.isReducedIn(program.steps[s], c) && !contains(phase.inner, c))
        phase.inner.push_back(c);
  auto split = [&](unsigned s, SmallVector<int> &outer,
                   SmallVector<int> &inner) {
    for (int c : classesOf(s))
      (contains(phase.inner, c) ? inner : outer).push_back(c);
  };
  SmallVector<int> ignored;
  split(phase.roots.front(), phase.items, ignored);
  for (unsigned s : phase.steps) {
    SmallVector<int> outer, inner;
    split(s, outer, inner);
    for (int c : outer)
      if (!contains(phase.items, c))
        return false;
    if (!llvm::is_contained(phase.roots, s))
      continue;
    // What goes to memory is written once, by one thread.
    if (outer.size() != phase.items.size() ||
        (!inner.empty() && inner.size() != phase.inner.size()))
      return false;
    const RowProgram::Step &step = program.steps[s];
    unsigned reduced = 0;
    for (int c : classesOf(s))
      reduced += program.isReducedIn(step, c);
    if (reduced && reduced != phase.inner.size())
      return false;
  }
  return true;
}

/// Finds the class along which most of the traffic is contiguous.
void Planner::orderClasses(Phase &phase) {
  SmallVector<int64_t> unit(program.classes.size(), 0);
  const LinearForm *written = nullptr, *largest = nullptr;
  int64_t most = 0;
  // Elements that are touched, each as often as `weight` says.
  auto count = [&](const LinearForm &form, int64_t weight) {
    int64_t footprint = weight;
    for (int c : llvm::concat<int>(phase.items, phase.inner))
      if (form.coefficients[c])
        footprint *= program.classes[c].size;
    for (auto [c, coefficient] : llvm::enumerate(form.coefficients))
      if (coefficient == 1)
        unit[c] += footprint;
    if (footprint > most) {
      most = footprint;
      largest = &form;
    }
  };
  for (unsigned s : phase.steps) {
    const RowProgram::Step &step = program.steps[s];
    for (const RowProgram::Operand &read : step.inputs)
      if (read.kind == RowProgram::Operand::Memory)
        count(read.position, 1);
      else if (read.kind == RowProgram::Operand::Computed &&
               !phase.has(program.values[read.value].step))
        count(place(read.value).form, 1);
    for (unsigned value : step.results)
      for (auto &output : program.values[value].outputs) {
        if (!written)
          written = &output.second;
        // What is written must not be scattered.
        count(output.second, 4);
      }
  }
  int64_t best = 0;
  for (int c : llvm::concat<int>(phase.items, phase.inner))
    if (unit[c] > best) {
      best = unit[c];
      phase.unitClass = c;
    }
  auto sort = [&](SmallVector<int> &classes, const LinearForm *by) {
    if (by)
      llvm::stable_sort(classes, [&](int a, int b) {
        return by->coefficients[a] > by->coefficients[b];
      });
    if (llvm::is_contained(classes, phase.unitClass)) {
      llvm::erase(classes, phase.unitClass);
      classes.push_back(phase.unitClass);
    }
  };
  sort(phase.items, written ? written : largest);
  sort(phase.inner, largest);
  phase.isColumns = phase.isReduction() && phase.unitClass >= 0 &&
                    llvm::is_contained(phase.items, phase.unitClass);
}

/// Reductions of few items take all of the GPU by two stages.
void Planner::cutIntoChunks(Phase &phase) {
  phase.chunkSize = phase.innerSize;
  if (!phase.isReduction())
    return;
  int64_t blocks =
      phase.isColumns ? llvm::divideCeil(phase.numItems, 32) : phase.numItems;
  // What a block does must be worth its start; elements of a row are read in
  // packs.
  int64_t smallest = phase.isColumns ? 128 : 4096;
  bool isFew =
      phase.isColumns ? blocks < multiprocessors : blocks < multiprocessors / 2;
  bool isSearch = llvm::any_of(phase.roots, [&](unsigned s) {
    return reduces(program, s) && plan.combiners.at(s).isSearch;
  });
  if (!isFew || isSearch || phase.innerSize < 4 * smallest)
    return;
  int64_t wanted = llvm::divideCeil(2 * multiprocessors, blocks);
  phase.chunkSize = llvm::alignTo(
      std::max<int64_t>(smallest, llvm::divideCeil(phase.innerSize, wanted)),
      16);
  phase.chunks = llvm::divideCeil(phase.innerSize, phase.chunkSize);
}

std::optional<Phase> Planner::makePhase(SmallVector<unsigned> from) {
  Phase phase;
  phase.roots = from;
  llvm::sort(phase.roots);
  phase.steps = collectSteps(phase.roots, [](unsigned) {});
  if (!fits(phase))
    return std::nullopt;
  orderClasses(phase);
  phase.numItems = size(phase.items);
  phase.innerSize = size(phase.inner);
  cutIntoChunks(phase);
  for (unsigned s : phase.steps) {
    unsigned &level = phase.level[s];
    for (const RowProgram::Operand &read : program.steps[s].inputs) {
      if (read.kind != RowProgram::Operand::Computed)
        continue;
      unsigned maker = program.values[read.value].step;
      if (phase.has(maker))
        level = std::max(level, phase.level[maker] + reduces(program, maker));
    }
    // The second stage has no rows any more.
    bool isRow = llvm::any_of(classesOf(s), [&](int c) {
      return llvm::is_contained(phase.inner, c);
    });
    if (phase.chunks > 1 && isRow && level > 0)
      return std::nullopt;
  }
  return phase;
}

/// Gives what later phases read a place.
void Planner::placeValues() {
  auto allocate = [&](int64_t elements, Type element) {
    int64_t offset = plan.scratchBytes;
    plan.scratchBytes += llvm::alignTo(elements * getBytes(element), 256);
    return offset;
  };
  for (const Phase &phase : plan.phases) {
    for (unsigned s : phase.steps)
      for (const RowProgram::Operand &read : program.steps[s].inputs) {
        if (read.kind != RowProgram::Operand::Computed)
          continue;
        const RowProgram::Computed &value = program.values[read.value];
        Place &place = plan.places[read.value];
        if (phase.has(value.step) || place.kind != Place::Scratch ||
            place.offset >= 0)
          continue;
        place.offset = allocate(size(value.classes), value.element);
      }
    if (phase.chunks == 1)
      continue;
    for (unsigned s : phase.roots)
      if (reduces(program, s))
        plan.partials[s] =
            allocate(phase.numItems * phase.chunks,
                     program.values[program.steps[s].results.front()].element);
  }
}

/// No operand has all classes of `step`: each element is used again and again.
bool Planner::isContraction(const RowProgram::Step &step) const {
  bool hasOperand = false;
  for (const RowProgram::Operand &read : step.inputs) {
    if (read.kind == RowProgram::Operand::Constant)
      continue;
    hasOperand = true;
    bool hasAll = llvm::all_of(step.classes, [&](int c) {
      return c < 0 || (read.kind == RowProgram::Operand::Memory
                           ? read.position.coefficients[c] != 0
                           : program.values[read.value].has(c));
    });
    if (hasAll)
      return false;
  }
  return hasOperand;
}

std::optional<RowPhases> Planner::run() {
  findRoots();
  for (const RowProgram::Computed &value : program.values) {
    Place place;
    if (!value.outputs.empty()) {
      place.kind = Place::Output;
      place.output = value.outputs.front().first;
      place.form = value.outputs.front().second;
    } else {
      place.kind = Place::Scratch;
      place.offset = -1;
      place.form.coefficients.assign(program.classes.size(), 0);
      int64_t stride = 1;
      for (int c : llvm::reverse(value.classes)) {
        place.form.coefficients[c] = stride;
        stride *= program.classes[c].size;
      }
    }
    plan.places.push_back(place);
  }
  std::map<unsigned, unsigned> phaseOf;
  for (unsigned root : roots) {
    if (reduces(program, root)) {
      std::optional<Combiner> combiner =
          Combiner::match(program.steps[root], whyNot);
      if (!combiner)
        return std::nullopt;
      if (isContraction(program.steps[root])) {
        whyNot = "a contraction uses its operands again and again";
        return std::nullopt;
      }
      plan.combiners.emplace(root, *combiner);
    }
    unsigned first = 0;
    collectSteps({root}, [&](unsigned maker) {
      first = std::max(first, phaseOf[maker]);
    });
    unsigned number = first;
    for (; number < plan.phases.size(); ++number) {
      SmallVector<unsigned> joined = plan.phases[number].roots;
      joined.push_back(root);
      if (std::optional<Phase> phase = makePhase(joined)) {
        plan.phases[number] = *phase;
        break;
      }
    }
    if (number == plan.phases.size()) {
      std::optional<Phase> phase = makePhase({root});
      if (!phase) {
        whyNot = "an op reduces along a part of what it is made of";
        return std::nullopt;
      }
      plan.phases.push_back(*phase);
    }
    phaseOf[root] = number;
  }
  placeValues();
  return std::move(plan);
}

std::optional<RowPhases> RowPhases::plan(const RowProgram &program,
                                         std::string &whyNot) {
  return Planner(program, whyNot).run();
}

} // namespace lathe::cuda
