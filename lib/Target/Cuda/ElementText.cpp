//===- ElementText.cpp - Steps of a row program for a few elements --------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ElementText.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/StringExtras.h"

namespace lathe::cuda {

//===----------------------------------------------------------------------===//
// Positions
//===----------------------------------------------------------------------===//

std::string IndexSpace::position(const LinearForm &form) const {
  // Positions that follow each other are the flat number times a stride.
  int64_t stride = 1, count = 1;
  bool isFlat = !classes.empty() && !flat.empty();
  for (size_t i = classes.size(); i-- > 0;) {
    int64_t coefficient = form.coefficients[classes[i]];
    if (i + 1 == classes.size())
      stride = coefficient;
    isFlat &= coefficient != 0 && coefficient == stride * count;
    count *= sizes[i];
  }
  if (isFlat)
    return product(flat, stride);
  std::string text = "0";
  for (auto [c, name] : llvm::zip_equal(classes, names))
    if (int64_t coefficient = form.coefficients[c])
      text = sum(text, product(name, coefficient));
  return text;
}

std::string MemoryAccess::key() const {
  std::string text = base + "@" + std::to_string(form.offset);
  for (int64_t coefficient : form.coefficients)
    text += "," + std::to_string(coefficient);
  return text;
}

static MemoryAccess outputAccess(const RowProgram &program, unsigned output,
                                 const LinearForm &form) {
  func::FuncOp function = program.function;
  auto type =
      cast<RankedTensorType>(function.getFunctionType().getResult(output));
  return {KernelFile::output(output), type.getElementType(), form,
          getArgumentAlignment(type)};
}

static MemoryAccess accessOfPlace(const RowProgram &program, const Place &place,
                                  unsigned value) {
  Type element = program.values[value].element;
  if (place.kind == Place::Output)
    return outputAccess(program, place.output, place.form);
  return {"stored" + std::to_string(value), element, place.form};
}

void ElementText::openGrid(GridLaunch launch, StringRef comment) {
  file.openGrid(std::move(launch), comment);
  uniformLoads.clear();
  scalars.clear();
  for (auto [value, place] : llvm::enumerate(plan.places))
    if (place.kind == Place::Scratch && place.offset >= 0)
      declareScratch(accessOfPlace(program, place, value).base,
                     program.values[value].element, place.offset);
}

void ElementText::declareScratch(StringRef name, Type element, int64_t offset) {
  std::string type = typeName(element);
  writer.optionalLine(type + " *const " + name + " = (" + type +
                          " *)(scratch + " + Twine(offset) + ");",
                      name);
}

void ElementText::openSpace(IndexSpace &space, ArrayRef<int> classes,
                            StringRef flat) {
  space.classes.assign(classes.begin(), classes.end());
  space.sizes.clear();
  for (int c : classes)
    space.sizes.push_back(program.classes[c].size);
  space.flat = flat.str();
  space.names = unflatten(writer, flat, space.sizes);
}

std::string ElementText::position(const LinearForm &form,
                                  bool ofElement) const {
  std::string text = sum(items.position(form), inner.position(form));
  if (form.offset)
    text = sum(text, std::to_string(form.offset));
  if (ofElement && width > 1 && phase.unitClass >= 0)
    if (int64_t coefficient = form.coefficients[phase.unitClass])
      text = sum(text, product("e", coefficient));
  return text;
}

std::string ElementText::classIndex(int c) const {
  for (const IndexSpace *space : {&items, &inner})
    for (auto [other, name] : llvm::zip_equal(space->classes, space->names))
      if (other == c)
        return c == phase.unitClass && inElementLoop ? name + " + e" : name;
  return "0";
}

bool ElementText::isUniform(const LinearForm &form) const {
  return llvm::all_of(moving, [&](int c) { return !form.coefficients[c]; });
}
bool ElementText::isPacked(const LinearForm &form) const {
  return width > 1 && form.coefficients[phase.unitClass] == 1;
}
bool ElementText::isPerPack(const LinearForm &form) const {
  return width == 1 || form.coefficients[phase.unitClass] == 0 ||
         form.coefficients[phase.unitClass] == 1;
}

int64_t ElementText::widestPack() const {
  int unit = phase.unitClass;
  if (unit < 0)
    return 1;
  SmallVector<MemoryAccess> accesses = readsOf(phase.steps);
  for (unsigned s : phase.steps)
    for (unsigned value : program.steps[s].results)
      llvm::append_range(accesses, writesOf(value));
  int64_t bytes = 0;
  for (const MemoryAccess &access : accesses)
    if (access.form.coefficients[unit] == 1)
      bytes = std::max(bytes, getBytes(access.element));
  if (bytes == 0)
    return 1;
  int64_t result = std::min<int64_t>(8, 16 / bytes);
  auto fits = [&](int64_t width) {
    if (program.classes[unit].size % width)
      return false;
    for (const MemoryAccess &access : accesses) {
      if (access.form.coefficients[unit] != 1)
        continue;
      bool aligned = access.form.offset % width == 0 &&
                     width * getBytes(access.element) <= access.alignment;
      for (auto [c, coefficient] : llvm::enumerate(access.form.coefficients))
        aligned &= int(c) == unit || coefficient % width == 0;
      if (!aligned)
        return false;
    }
    return true;
  };
  while (result > 1 && !fits(result))
    result /= 2;
  return result;
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

std::optional<MemoryAccess>
ElementText::accessOf(const RowProgram::Operand &read) const {
  if (read.kind == RowProgram::Operand::Memory) {
    func::FuncOp function = program.function;
    auto type =
        cast<RankedTensorType>(function.getArgumentTypes()[read.argument]);
    return MemoryAccess{KernelFile::input(read.argument), type.getElementType(),
                        read.position, getArgumentAlignment(type)};
  }
  if (read.kind == RowProgram::Operand::Computed &&
      !phase.has(program.values[read.value].step))
    return accessOfPlace(program, plan.places[read.value], read.value);
  return std::nullopt;
}

SmallVector<MemoryAccess> ElementText::readsOf(ArrayRef<unsigned> steps) const {
  SmallVector<MemoryAccess> accesses;
  for (unsigned s : steps) {
    const RowProgram::Step &step = program.steps[s];
    linalg::GenericOp op = step.op;
    for (auto [i, read] : llvm::enumerate(step.inputs))
      if (!op.getBody()->getArgument(i).use_empty())
        if (std::optional<MemoryAccess> access = accessOf(read))
          accesses.push_back(*access);
  }
  return accesses;
}

SmallVector<MemoryAccess> ElementText::writesOf(unsigned value) const {
  SmallVector<MemoryAccess> accesses;
  const RowProgram::Computed &info = program.values[value];
  const Place &place = plan.places[value];
  if (place.kind == Place::Scratch && place.offset >= 0 &&
      llvm::is_contained(phase.roots, info.step))
    accesses.push_back(accessOfPlace(program, place, value));
  for (auto &[output, form] : info.outputs)
    accesses.push_back(outputAccess(program, output, form));
  return accesses;
}

std::string ElementText::packType(Type element) const {
  std::string name = typeName(element);
  return width == 1 ? name
                    : "Pack<" + name + ", " + std::to_string(width) + ">";
}

std::string ElementText::load(const MemoryAccess &access, bool ofElement) {
  std::string at = position(access.form, ofElement);
  if (!ofElement && isPacked(access.form))
    return "loadPack<" + std::to_string(width) + ">(" + sum(access.base, at) +
           ")";
  return access.base + "[" + at + "]";
}

void ElementText::readUniform(ArrayRef<unsigned> steps) {
  for (const MemoryAccess &access : readsOf(steps)) {
    if (!isUniform(access.form) || uniformLoads.count(access.key()))
      continue;
    std::string name = writer.unique("s");
    writer.declare(typeName(access.element), name, load(access, false));
    uniformLoads[access.key()] = name;
  }
}

/// Loads what belongs to this pack, unless it is at hand.
void ElementText::readPack(const MemoryAccess &access) {
  std::string key = access.key();
  if (uniformLoads.count(key) || packLoads.count(key) ||
      !isPerPack(access.form))
    return;
  auto kept = keptReads.find(key);
  if (kept != keptReads.end()) {
    std::string name = kept->second + slot;
    if (loadedReads.insert(key).second)
      writer.line(name + " = " + load(access, false) + ";");
    packLoads[key] = name;
    return;
  }
  std::string name = writer.unique("x");
  bool isPack = isPacked(access.form);
  writer.line("const " +
              (isPack ? packType(access.element) : typeName(access.element)) +
              " " + name + " = " + load(access, false) + ";");
  packLoads[key] = name;
}

std::string ElementText::operandText(const RowProgram::Operand &read) {
  if (read.kind == RowProgram::Operand::Constant)
    return literal(read.constant);
  std::optional<MemoryAccess> access = accessOf(read);
  if (!access) {
    for (auto *names : {&locals, &scalars})
      if (auto found = names->find(read.value); found != names->end())
        return found->second;
    auto kept = keptValues.find(read.value);
    if (kept != keptValues.end())
      return kept->second + slot + (width > 1 ? ".at[e]" : "");
    if (whyNot.empty())
      whyNot = "a value is read where it is not known";
    return "0";
  }
  if (auto found = uniformLoads.find(access->key());
      found != uniformLoads.end())
    return found->second;
  if (auto found = packLoads.find(access->key()); found != packLoads.end())
    return found->second + (isPacked(access->form) ? ".at[e]" : "");
  return load(*access, /*ofElement=*/inElementLoop);
}

//===----------------------------------------------------------------------===//
// Bodies
//===----------------------------------------------------------------------===//

bool ElementText::isRow(unsigned step) const {
  return llvm::any_of(moving,
                      [&](int c) { return program.steps[step].has(c); });
}

LogicalResult ElementText::printExtract(Operation &op, Printer &printer) {
  auto extract = cast<tensor::ExtractOp>(op);
  BlockArgument source = getReshapedArgument(extract.getTensor());
  auto type = cast<RankedTensorType>(extract.getTensor().getType());
  std::string at = "0";
  for (auto [index, stride] :
       llvm::zip_equal(extract.getIndices(), getStrides(type.getShape())))
    at = sum(at, product(printer.get(index), stride));
  std::string name = writer.unique("x");
  writer.declare(typeName(type.getElementType()), name,
                 KernelFile::input(source.getArgNumber()) + "[" + at + "]");
  printer.bind(extract.getResult(), name);
  return success();
}

std::string ElementText::wishFor(Value value) {
  Operation *op = value.getDefiningOp();
  if (isa_and_nonnull<math::ExpOp>(op))
    return "exponential";
  if (isa_and_nonnull<arith::SubFOp>(op))
    return "difference";
  if (auto quotient = dyn_cast_or_null<arith::DivFOp>(op)) {
    if (isa<BlockArgument>(quotient.getLhs()) &&
        matchPattern(quotient.getRhs(), m_Constant()))
      return "mean";
    if (matchPattern(quotient.getLhs(), m_OneFloat()))
      return "inverse";
  }
  return "value";
}

LogicalResult ElementText::emitBody(unsigned s, bool isScalar) {
  const RowProgram::Step &step = program.steps[s];
  linalg::GenericOp op = step.op;
  Block &body = *op.getBody();
  Printer printer(writer);
  const Combiner *combiner = nullptr;
  if (reduces(program, s))
    combiner = &plan.combiners.at(s);
  if (combiner && combiner->isSearch)
    printer.bind(body.getArgument(step.inputs.size()),
                 accumulators.at(s) + ".value");
  if (!combiner && step.isReduction)
    for (auto [argument, start] : llvm::zip_equal(
             body.getArguments().drop_front(step.inputs.size()), step.inits))
      if (start)
        printer.bind(argument, literal(start));
  for (auto [i, read] : llvm::enumerate(step.inputs)) {
    BlockArgument argument = body.getArgument(i);
    if (argument.use_empty())
      continue;
    std::string text = operandText(read);
    bool isName =
        llvm::all_of(text, [](char c) { return llvm::isAlnum(c) || c == '_'; });
    bool isJoined = combiner && combiner->incoming == argument;
    if (!argument.hasOneUse() && !isName && !isJoined) {
      std::string name = writer.unique("a");
      writer.line("const " + typeName(argument.getType()) + " " + name + " = " +
                  text + ";");
      text = name;
    }
    printer.bind(argument, text);
  }
  for (Operation &inner : body.without_terminator()) {
    if (combiner && llvm::is_contained(combiner->ops, &inner))
      continue;
    LogicalResult result = success();
    if (auto index = dyn_cast<linalg::IndexOp>(inner)) {
      int c = step.classes[index.getDim()];
      printer.bind(index.getResult(), c < 0 ? "0" : classIndex(c));
    } else if (isa<tensor::ExtractOp>(inner)) {
      result = printExtract(inner, printer);
    } else {
      result = printer.print(inner);
    }
    if (failed(result)) {
      whyNot = printer.whyNot;
      return failure();
    }
  }
  if (combiner && combiner->isSearch) {
    writer.line("if (" + printer.get(combiner->condition) + ")");
    writer.line("  " + accumulators.at(s) + " = {" +
                printer.get(combiner->incoming) + ", " +
                printer.get(combiner->position) + "};");
  } else if (combiner) {
    std::string x = printer.get(combiner->incoming);
    writer.line(combiner->statement(accumulators.at(s), x));
  } else {
    for (auto [value, yielded] :
         llvm::zip_equal(step.results, body.getTerminator()->getOperands())) {
      std::string text = printer.get(yielded);
      std::string element = width > 1 ? ".at[e]" : "";
      auto kept = keptValues.find(value);
      if (!isScalar && kept != keptValues.end()) {
        locals[value] = kept->second + slot + element;
        writer.line(locals[value] + " = " + text + ";");
        continue;
      }
      // An output that nothing else reads needs no name.
      auto pack = outputPacks.find(value);
      if (!program.values[value].isRead && pack != outputPacks.end()) {
        locals[value] = pack->second + element;
        writer.line(locals[value] + " = " + text + ";");
        continue;
      }
      bool isStored = !writesOf(value).empty();
      if (!program.values[value].isRead && isStored && !isScalar) {
        locals[value] = text;
        continue;
      }
      std::string name = writer.unique(wishFor(yielded));
      writer.declare(typeName(yielded.getType()), name, text);
      (isScalar ? scalars : locals)[value] = name;
    }
  }
  if (!printer.whyNot.empty()) {
    whyNot = printer.whyNot;
    return failure();
  }
  return success();
}

LogicalResult ElementText::emitScalars(ArrayRef<unsigned> steps) {
  for (unsigned s : steps)
    if (failed(emitBody(s, /*isScalar=*/true)))
      return failure();
  return success(whyNot.empty());
}

LogicalResult ElementText::emitElements(ArrayRef<unsigned> steps,
                                        unsigned level) {
  locals.clear();
  packLoads.clear();
  outputPacks.clear();
  for (const MemoryAccess &access : readsOf(steps))
    readPack(access);
  // Stores that are packs happen behind the loop over the elements.
  SmallVector<std::pair<unsigned, MemoryAccess>> packStores, stores;
  for (unsigned s : steps) {
    if (!llvm::is_contained(phase.roots, s) || reduces(program, s) ||
        phase.level.at(s) != level)
      continue;
    for (unsigned value : program.steps[s].results)
      for (const MemoryAccess &access : writesOf(value)) {
        bool isPack = isPacked(access.form);
        (isPack ? packStores : stores).push_back({value, access});
        if (isPack && !keptValues.count(value) && !outputPacks.count(value)) {
          outputPacks[value] = writer.unique("result");
          writer.line(packType(access.element) + " " + outputPacks[value] +
                      ";");
        }
      }
  }
  if (width > 1) {
    writer.line("#pragma unroll");
    writer.open("for (int e = 0; e < " + Twine(width) + "; ++e)");
    inElementLoop = true;
  }
  for (unsigned s : steps)
    if (failed(emitBody(s, /*isScalar=*/false)))
      return failure();
  for (auto &[value, name] : outputPacks)
    if (locals[value] != name + ".at[e]")
      writer.line(name + ".at[e] = " + locals[value] + ";");
  for (auto &[value, access] : stores)
    writer.line(load(access, inElementLoop) + " = " + locals[value] + ";");
  if (width > 1) {
    inElementLoop = false;
    writer.close();
  }
  for (auto &[value, access] : packStores) {
    auto kept = keptValues.find(value);
    std::string pack =
        kept != keptValues.end() ? kept->second + slot : outputPacks[value];
    writer.line("storePack(" + sum(access.base, position(access.form)) + ", " +
                pack + ");");
  }
  return success(whyNot.empty());
}

void ElementText::storeScalar(unsigned value) {
  for (const MemoryAccess &access : writesOf(value))
    writer.line(access.base + "[" + position(access.form) +
                "] = " + scalars.at(value) + ";");
}

} // namespace lathe::cuda
