//===- ReductionGrid.cpp - Rows by warps and blocks, columns by lanes -----===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A team of threads does an item. The steps run in passes over the item's row:
// a pass does what depends on no later reduction, then the team joins its
// accumulators, which every thread of it knows afterwards. What a thread needs
// of its elements in a later pass stays in registers, where they suffice.
//
//===----------------------------------------------------------------------===//

#include "StepGrids.h"

#include "llvm/Support/MathExtras.h"

namespace lathe::cuda {

/// Threads that keep a GPU busy without more than one per column.
static constexpr int64_t manyColumns = 1 << 17;

namespace {

/// How threads are dealt to items.
struct Team {
  enum Kind {
    /// `lanes` neighbouring threads of a warp; several teams in a block.
    Warp,
    /// All threads of a block.
    Block,
    /// Threads of a block with the same x, each block 32 items.
    Columns,
  } kind = Warp;
  int64_t lanes = 32;
  /// Items of a block.
  int64_t perBlock = 1;
};

class ReductionEmitter {
public:
  ReductionEmitter(const RowProgram &program, const RowPhases &plan,
                   const Phase &phase, KernelFile &file)
      : program(program), plan(plan), phase(phase), file(file),
        writer(file.writer), text(program, plan, phase, file) {}

  LogicalResult emit();
  const std::string &getWhyNot() const { return text.whyNot; }

private:
  bool isRow(unsigned s) const {
    return llvm::any_of(phase.inner,
                        [&](int c) { return program.steps[s].has(c); });
  }
  /// Each thread has one element or pack of a row.
  bool isOneStep() const { return count == 1 && phase.chunks == 1; }
  bool isReduction(unsigned s) const { return reduces(program, s); }
  unsigned numLevels() const {
    unsigned count = 1;
    for (auto &[s, level] : phase.level)
      count = std::max(count, level + 1);
    return count;
  }
  Team chooseTeam() const;
  SmallVector<unsigned> stepsOfPass(unsigned level) const;
  void chooseKept();
  void openTeam(StringRef comment, int64_t chunks);
  void declarePartials();
  void finishReduction(unsigned s);
  std::string reduceCall(unsigned s, StringRef x) const;
  LogicalResult emitScalars(unsigned level);
  LogicalResult emitPass(unsigned level);
  void openLoop(bool usesRegisters);
  void closeLoop();
  void openFirstLane();
  void storePartials();
  void storeScalars();
  LogicalResult emitSecondStage();
  std::string typeOf(unsigned s) const {
    std::string name =
        typeName(program.values[program.steps[s].results.front()].element);
    return plan.combiners.at(s).isSearch ? "Best<" + name + ">" : name;
  }
  std::string startOf(unsigned s) const {
    std::string start = literal(program.steps[s].inits.front());
    return plan.combiners.at(s).isSearch ? "{" + start + ", -1}" : start;
  }
  LogicalResult emitOrder(unsigned s);

  const RowProgram &program;
  const RowPhases &plan;
  const Phase &phase;
  KernelFile &file;
  CodeWriter &writer;
  ElementText text;
  Team team;
  std::string lane, item, column;
  /// Columns take part in barriers even where there is no item for them: what
  /// holds for those that have one.
  std::string guard;
  /// Elements or packs of a thread.
  int64_t count = 1;
  std::map<std::string, Type> keptTypes;
  int openScopes = 0;
};

} // namespace

//===----------------------------------------------------------------------===//
// Choices
//===----------------------------------------------------------------------===//

Team ReductionEmitter::chooseTeam() const {
  Team team;
  int64_t packs = llvm::divideCeil(phase.chunkSize, text.width);
  if (phase.isColumns) {
    if (packs <= 16 || phase.numItems >= manyColumns) {
      team.lanes = 1;
      team.perBlock = 128;
      return team;
    }
    team.kind = Team::Columns;
    team.lanes = std::min<int64_t>(16, llvm::PowerOf2Ceil(packs / 8));
    team.perBlock = 32;
    return team;
  }
  // A warp needs no barrier; a block has more threads for a long row, and more
  // loads on their way where rows are few.
  bool isShort = packs * text.width <= 1024 && packs <= 32 * 8;
  bool areMany = phase.numItems >= 1024;
  if (isShort && (areMany || packs * text.width <= 256)) {
    team.lanes = std::min<int64_t>(32, llvm::PowerOf2Ceil(packs));
    int64_t threads = areMany ? 128 : 64;
    team.perBlock = std::min<int64_t>(
        threads / team.lanes,
        llvm::PowerOf2Ceil(std::max<int64_t>(1, phase.numItems)));
    return team;
  }
  team.kind = Team::Block;
  int64_t perThread = std::max<int64_t>(1, 8 / text.width);
  team.lanes = std::clamp<int64_t>(
      llvm::PowerOf2Ceil(llvm::divideCeil(packs, perThread)), 64, 1024);
  return team;
}

/// What a pass computes: its own rows, and what they are made of unless that is
/// kept in registers.
SmallVector<unsigned> ReductionEmitter::stepsOfPass(unsigned level) const {
  SmallVector<unsigned> steps;
  auto isKept = [&](unsigned s) {
    return llvm::any_of(program.steps[s].results, [&](unsigned value) {
      return text.keptValues.count(value) != 0;
    });
  };
  for (unsigned s : phase.steps)
    if (isRow(s) && phase.level.at(s) == level &&
        (llvm::is_contained(phase.roots, s) || isKept(s)))
      steps.push_back(s);
  for (size_t i = 0; i < steps.size(); ++i)
    for (const RowProgram::Operand &read : program.steps[steps[i]].inputs) {
      if (read.kind != RowProgram::Operand::Computed)
        continue;
      unsigned maker = program.values[read.value].step;
      if (!phase.has(maker) || isReduction(maker) || !isRow(maker) ||
          llvm::is_contained(steps, maker) ||
          (isKept(maker) && phase.level.at(maker) < level))
        continue;
      steps.push_back(maker);
    }
  llvm::sort(steps);
  return steps;
}

void ReductionEmitter::chooseKept() {
  int64_t elements = count * text.width;
  if (team.kind == Team::Columns || phase.chunks > 1 || elements > 32)
    return;
  int64_t threads = team.lanes * team.perBlock;
  // Registers of a thread beside those for addresses and expressions.
  int64_t budget = threads <= 256 ? 96 : threads == 512 ? 64 : 32;
  auto take = [&](Type type) {
    int64_t cost = llvm::divideCeil(elements * getBytes(type), 4);
    if (cost > budget)
      return false;
    budget -= cost;
    return true;
  };
  for (unsigned s : phase.steps) {
    const RowProgram::Step &step = program.steps[s];
    bool isWhole =
        llvm::all_of(phase.inner, [&](int c) { return step.has(c); });
    if (isReduction(s) || !isWhole)
      continue;
    for (unsigned value : step.results) {
      bool isNeeded = llvm::any_of(phase.steps, [&](unsigned later) {
        return isRow(later) && phase.level.at(later) > phase.level.at(s) &&
               llvm::any_of(program.steps[later].inputs, [&](auto &read) {
                 return read.kind == RowProgram::Operand::Computed &&
                        read.value == value;
               });
      });
      Type type = program.values[value].element;
      if (!isNeeded || !take(type))
        continue;
      linalg::GenericOp op = step.op;
      std::string name = writer.unique(
          ElementText::wishFor(op.getBody()->getTerminator()->getOperand(
              program.values[value].index)));
      text.keptValues[value] = name;
      keptTypes[name] = type;
    }
  }
  std::map<std::string, std::pair<unsigned, Type>> uses;
  for (unsigned level = 0, e = numLevels(); level < e; ++level) {
    std::set<std::string> seen;
    for (const MemoryAccess &access : text.readsOf(stepsOfPass(level))) {
      bool isWhole = llvm::all_of(
          phase.inner, [&](int c) { return access.form.coefficients[c] != 0; });
      bool isLoadable = text.width == 1 || phase.unitClass < 0 ||
                        access.form.coefficients[phase.unitClass] == 1;
      if (isWhole && isLoadable && seen.insert(access.key()).second) {
        auto &use = uses[access.key()];
        ++use.first;
        use.second = access.element;
      }
    }
  }
  for (auto &[key, use] : uses)
    if (use.first > 1 && take(use.second)) {
      std::string name = writer.unique("x");
      text.keptReads[key] = name;
      keptTypes[name] = use.second;
    }
}

//===----------------------------------------------------------------------===//
// Threads
//===----------------------------------------------------------------------===//

void ReductionEmitter::openTeam(StringRef comment, int64_t chunks) {
  GridLaunch launch;
  launch.isCooperative = team.lanes > 1;
  launch.grid[0] = llvm::divideCeil(phase.numItems, team.perBlock);
  launch.grid[1] = chunks;
  bool isColumns = team.kind == Team::Columns;
  launch.block[0] = isColumns ? 32 : team.lanes * team.perBlock;
  launch.block[1] = isColumns ? team.lanes : 1;
  text.openGrid(launch, comment);
  item = writer.unique(phase.isColumns ? "column" : "row");
  std::string block = blockNumber(writer);
  lane = "threadIdx.x";
  bool isPartial = phase.numItems % team.perBlock != 0;
  if (isColumns) {
    std::string place = block + " * 32 + threadIdx.x";
    if (isPartial) {
      // Threads beyond the last column do it once more and write nothing.
      guard = writer.unique("place");
      writer.declareIndex(guard, place);
      place = "smaller<" + writer.indexType + ">(" + guard + ", " +
              std::to_string(phase.numItems - 1) + ")";
      guard += " < " + std::to_string(phase.numItems);
    }
    writer.declareIndex(item, place);
    lane = "threadIdx.y";
  } else if (team.kind == Team::Block) {
    writer.declareIndex(item, block);
  } else {
    std::string lanes = std::to_string(team.lanes);
    std::string inBlock =
        team.lanes == 1 ? "threadIdx.x" : "threadIdx.x / " + lanes;
    writer.declareIndex(item, team.perBlock == 1
                                  ? block
                                  : block + " * " + Twine(team.perBlock) +
                                        " + " + inBlock);
    if (isPartial) {
      writer.line("if (" + item + " >= " + Twine(phase.numItems) + ")");
      writer.line("  return;");
    }
    lane = "0";
    if (team.lanes > 1) {
      lane = writer.unique("lane");
      writer.declare("int", lane, "threadIdx.x % " + lanes);
    }
  }
  text.openSpace(text.items, phase.items, item);
  text.inner = IndexSpace();
}

std::string ReductionEmitter::reduceCall(unsigned s, StringRef x) const {
  const char *function = team.kind == Team::Warp    ? "warpReduce"
                         : team.kind == Team::Block ? "blockReduce"
                                                    : "columnReduce";
  std::string join = plan.combiners.at(s).name.str();
  if (plan.combiners.at(s).isSearch)
    join += "<Order" + std::to_string(s) + ">";
  return function + ("<" + join + ", ") + std::to_string(team.lanes) + ">(" +
         x.str() + ")";
}

/// When a search takes a value, as a struct for `Search`.
LogicalResult ReductionEmitter::emitOrder(unsigned s) {
  const RowProgram::Step &step = program.steps[s];
  const Combiner &combiner = plan.combiners.at(s);
  linalg::GenericOp op = step.op;
  writer.line();
  writer.open("struct Order" + Twine(s));
  std::string type = typeName(program.values[step.results.front()].element);
  writer.open("static __device__ bool better(" + type + " x, " + type +
              " best)");
  CodeWriter::NameScope scope(writer);
  Printer printer(writer);
  printer.bind(combiner.incoming, "x");
  printer.bind(op.getBody()->getArgument(step.inputs.size()), "best");
  for (Operation *part : combiner.conditionOps)
    if (failed(printer.print(*part))) {
      text.whyNot = printer.whyNot;
      return failure();
    }
  writer.line("return " + printer.get(combiner.condition) + ";");
  writer.close();
  writer.close(";");
  return success();
}

//===----------------------------------------------------------------------===//
// Passes
//===----------------------------------------------------------------------===//

/// Opens a loop over the thread's elements or packs.
void ReductionEmitter::openLoop(bool usesRegisters) {
  int64_t size = phase.innerSize, width = text.width;
  text.slot = "";
  openScopes = 0;
  if (!isOneStep())
    column = writer.unique(phase.isColumns ? "row" : "column");
  auto open = [&](const Twine &head) {
    writer.open(head);
    ++openScopes;
  };
  if (!guard.empty())
    open("if (" + guard + ")");
  std::string first = lane == "0" ? "0" : product(lane, width);
  if (phase.chunks > 1) {
    std::string begin = product(blockNumber(writer, "y"), phase.chunkSize);
    std::string end = writer.unique("end");
    writer.line("const " + writer.indexType + " " + end + " = smaller<" +
                writer.indexType + ">(" +
                sum(begin, std::to_string(phase.chunkSize)) + ", " +
                Twine(size) + ");");
    open("for (" + writer.indexType + " " + column + " = " + sum(begin, first) +
         "; " + column + " < " + end + "; " + column +
         " += " + Twine(team.lanes * width) + ")");
  } else if (isOneStep()) {
    if (count * team.lanes * width != size)
      open("if (" + column + " < " + Twine(size) + ")");
    return;
  } else if (usesRegisters) {
    std::string k = writer.unique("k");
    writer.line("#pragma unroll");
    open("for (int " + k + " = 0; " + k + " < " + Twine(count) + "; ++" + k +
         ")");
    text.slot = "[" + k + "]";
    writer.declareIndex(column,
                        product(sum(product(k, team.lanes), lane), width));
    if (count * team.lanes * width != size)
      open("if (" + column + " < " + Twine(size) + ")");
  } else {
    open("for (" + writer.indexType + " " + column + " = " + first + "; " +
         column + " < " + Twine(size) + "; " + column +
         " += " + Twine(team.lanes * width) + ")");
  }
  text.openSpace(text.inner, phase.inner, column);
}

void ReductionEmitter::closeLoop() {
  for (; openScopes > 0; --openScopes)
    writer.close();
}

LogicalResult ReductionEmitter::emitPass(unsigned level) {
  SmallVector<unsigned> steps = stepsOfPass(level);
  if (steps.empty())
    return success();
  bool usesRegisters = false;
  for (const MemoryAccess &access : text.readsOf(steps))
    usesRegisters |= text.keptReads.count(access.key()) != 0;
  for (unsigned s : steps) {
    const RowProgram::Step &step = program.steps[s];
    for (unsigned value : step.results)
      usesRegisters |= text.keptValues.count(value) != 0;
    for (const RowProgram::Operand &read : step.inputs)
      usesRegisters |= read.kind == RowProgram::Operand::Computed &&
                       text.keptValues.count(read.value) != 0;
    if (!isReduction(s))
      continue;
    std::string name = writer.unique(plan.combiners.at(s).wish());
    writer.line(typeOf(s) + " " + name + " = " + startOf(s) + ";");
    text.accumulators[s] = name;
  }
  std::optional<CodeWriter::NameScope> scope;
  if (!isOneStep())
    scope.emplace(writer);
  openLoop(usesRegisters);
  LogicalResult result = text.emitElements(steps, level);
  closeLoop();
  scope.reset();
  if (failed(result))
    return failure();
  for (unsigned s : steps)
    if (isReduction(s))
      finishReduction(s);
  return success();
}

/// All threads of the team learn the result.
void ReductionEmitter::finishReduction(unsigned s) {
  const std::string &name = text.accumulators[s];
  if (team.lanes > 1)
    writer.line(name + " = " + reduceCall(s, name) + ";");
  const RowProgram::Step &step = program.steps[s];
  if (!plan.combiners.at(s).isSearch) {
    text.scalars[step.results.front()] = name;
    return;
  }
  text.scalars[step.results[0]] = name + ".value";
  std::string index = writer.unique("index");
  writer.declare("i64", index,
                 name + ".index < 0 ? " + literal(step.inits[1]) + " : " +
                     name + ".index");
  text.scalars[step.results[1]] = index;
}

LogicalResult ReductionEmitter::emitScalars(unsigned level) {
  SmallVector<unsigned> steps;
  for (unsigned s : phase.steps)
    if (!isRow(s) && phase.level.at(s) == level)
      steps.push_back(s);
  if (steps.empty())
    return success();
  return text.emitScalars(steps);
}

/// One thread of a team writes.
void ReductionEmitter::openFirstLane() {
  std::string condition = lane == "0" ? "" : lane + " == 0";
  if (!guard.empty())
    condition += (condition.empty() ? "" : " && ") + guard;
  if (condition.empty())
    return;
  writer.open("if (" + condition + ")");
  ++openScopes;
}

void ReductionEmitter::storeScalars() {
  SmallVector<unsigned> values;
  for (unsigned s : phase.roots)
    if (isReduction(s) || !isRow(s))
      for (unsigned value : program.steps[s].results)
        if (!text.writesOf(value).empty())
          values.push_back(value);
  if (values.empty())
    return;
  openFirstLane();
  for (unsigned value : values)
    text.storeScalar(value);
  closeLoop();
}

//===----------------------------------------------------------------------===//
// Two stages
//===----------------------------------------------------------------------===//

void ReductionEmitter::storePartials() {
  openFirstLane();
  for (auto &[s, name] : text.accumulators)
    writer.line("partial" + Twine(s) + "[" +
                sum(product(blockNumber(writer, "y"), phase.numItems), item) +
                "] = " + name + ";");
  closeLoop();
}

void ReductionEmitter::declarePartials() {
  for (auto [s, offset] : plan.partials)
    if (phase.has(s))
      text.declareScratch("partial" + std::to_string(s),
                          program.values[program.steps[s].results[0]].element,
                          offset);
}

/// Joins what the chunks left, in the order of the chunks.
LogicalResult ReductionEmitter::emitSecondStage() {
  team = Team();
  if (phase.isColumns && phase.chunks <= 64) {
    team.lanes = 1;
    team.perBlock = 128;
  }
  guard = "";
  openTeam("joins the parts", /*chunks=*/1);
  declarePartials();
  text.readUniform(phase.steps);
  if (failed(emitScalars(0)))
    return failure();
  for (auto &[s, name] : text.accumulators) {
    name = writer.unique(plan.combiners.at(s).wish());
    writer.line(typeOf(s) + " " + name + " = " + startOf(s) + ";");
  }
  {
    CodeWriter::NameScope scope(writer);
    std::string part = writer.unique("part");
    writer.open("for (int " + part + " = " + lane + "; " + part + " < " +
                Twine(phase.chunks) + "; " + part + " += " + Twine(team.lanes) +
                ")");
    for (auto &[s, name] : text.accumulators)
      writer.line(plan.combiners.at(s).statement(
          name, "partial" + std::to_string(s) + "[" +
                    sum(product(part, phase.numItems), item) + "]"));
    writer.close();
  }
  for (auto &[s, name] : text.accumulators)
    finishReduction(s);
  if (failed(emitScalars(1)))
    return failure();
  storeScalars();
  file.closeGrid();
  return success();
}

//===----------------------------------------------------------------------===//
// The whole
//===----------------------------------------------------------------------===//

LogicalResult ReductionEmitter::emit() {
  text.moving = phase.inner;
  text.width = phase.isColumns ? 1 : text.widestPack();
  team = chooseTeam();
  int64_t step = team.lanes * text.width;
  count = llvm::divideCeil(phase.innerSize, step);
  for (unsigned s : phase.roots)
    if (isReduction(s) && plan.combiners.at(s).isSearch && failed(emitOrder(s)))
      return failure();
  std::string lanes = std::to_string(team.lanes);
  openTeam(team.kind == Team::Columns
               ? "blocks of 32 columns, each by " + lanes + " threads"
           : phase.isColumns          ? "a thread per column"
           : team.kind == Team::Block ? "a block per row"
           : team.lanes == 32         ? "a warp per row"
           : team.lanes == 1          ? "a thread per row"
                                      : lanes + " threads per row",
           phase.chunks);
  if (phase.chunks > 1)
    declarePartials();
  chooseKept();
  for (auto &[name, type] : keptTypes)
    writer.line(text.packType(type) + " " + name +
                (count > 1 ? "[" + Twine(count) + "]" : Twine()) + ";");
  text.readUniform(phase.steps);
  if (isOneStep()) {
    column = writer.unique(phase.isColumns ? "row" : "column");
    writer.declareIndex(column, product(lane, text.width));
    text.openSpace(text.inner, phase.inner, column);
  }
  if (phase.chunks > 1) {
    if (failed(emitPass(0)))
      return failure();
    storePartials();
    file.closeGrid();
    return emitSecondStage();
  }
  for (unsigned level = 0, e = numLevels(); level < e; ++level)
    if (failed(emitScalars(level)) || failed(emitPass(level)))
      return failure();
  storeScalars();
  file.closeGrid();
  return success();
}

LogicalResult emitReduction(const RowProgram &program, const RowPhases &plan,
                            const Phase &phase, KernelFile &file,
                            std::string &whyNot) {
  ReductionEmitter emitter(program, plan, phase, file);
  if (succeeded(emitter.emit()))
    return success();
  whyNot = emitter.getWhyNot();
  return failure();
}

} // namespace lathe::cuda
