//===- RowEmit.cpp - Loops and vectors of a row program -------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Per work item the steps run one after the other over rows in the scratch. The
// order of every sum is fixed by the sizes alone, so the bits do not depend on
// how items are dealt to threads.
//
//===----------------------------------------------------------------------===//

#include "RowPlan.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

#include <numeric>

namespace lathe::cpu {

namespace {

using Step = RowProgram::Step;

/// Vectors of columns that are reduced side by side.
constexpr int64_t columnVectors = 4;

/// The part of a reduction's body that joins the accumulator with a new value:
/// ops that depend on the accumulator, fed by one value from outside of them.
struct Combiner {
  SmallVector<Operation *> ops;
  Value incoming, accumulator, result;
};

std::optional<Combiner> findCombiner(const Step &step) {
  if (step.results.size() != 1)
    return std::nullopt;
  linalg::GenericOp generic = step.op;
  Combiner combiner;
  combiner.accumulator = generic.getBody()->getArguments().back();
  combiner.result = generic.getBody()->getTerminator()->getOperand(0);
  DenseSet<Value> dependent{combiner.accumulator};
  for (Operation &op : generic.getBody()->without_terminator()) {
    if (llvm::none_of(op.getOperands(),
                      [&](Value v) { return dependent.contains(v); }))
      continue;
    combiner.ops.push_back(&op);
    dependent.insert(op.result_begin(), op.result_end());
    for (Value operand : op.getOperands()) {
      if (dependent.contains(operand) || operand == combiner.incoming ||
          matchPattern(operand, m_Constant()))
        continue;
      if (combiner.incoming)
        return std::nullopt;
      combiner.incoming = operand;
    }
  }
  if (!combiner.incoming || !dependent.contains(combiner.result))
    return std::nullopt;
  return combiner;
}

class Emitter {
public:
  Emitter(const RowProgram &program, const RowPlan &plan, func::FuncOp target)
      : program(program), plan(plan), target(target),
        b(target.getLoc(), target.getContext()), v(plan.vectorClass),
        lanes(plan.lanes), indices(program.classes.size()),
        rows(program.values.size()) {}

  /// Writes the loop over the items from `begin` to `end`, at the end of
  /// `block`.
  int64_t run(Block *block, Value begin, Value end);

private:
  struct Row {
    Value buffer, scalar;
    /// Inner classes, the vector class last.
    SmallVector<int> classes;
  };

  Value index(int64_t value) { return b.create<arith::ConstantIndexOp>(value); }
  Value add(Value x, Value y) { return b.create<arith::AddIOp>(x, y); }
  Value scale(Value x, int64_t factor) {
    return factor == 1 ? x : b.create<arith::MulIOp>(x, index(factor));
  }
  Type lanesOf(Type element) { return VectorType::get({lanes}, element); }
  Value splat(Value scalar) {
    return b.create<vector::BroadcastOp>(lanesOf(scalar.getType()), scalar);
  }
  int64_t localSize(int c) const {
    return c == v && plan.block ? plan.block : program.classes[c].size;
  }

  void makeMemory();
  void placeRows();
  void emitItem(Value item);
  void emitStep(const Step &step);
  void emitLanes(const Step &step);
  void emitPoint(const Step &step, Value local, bool isVector,
                 int64_t count = 1);
  void emitVectorReduction(const Step &step, const Combiner &combiner);
  void emitScalarReduction(const Step &step, Value local);

  bool isVectorizable(const Step &step) const;
  bool isPlainOp(Operation &op) const;
  /// Nested loops over `classes`; `body` runs inside with their indices set.
  SmallVector<Value> loops(ArrayRef<int> classes, ValueRange inits,
                           function_ref<SmallVector<Value>(ValueRange)> body);
  SmallVector<Value>
  loop(Value lower, Value upper, int64_t step, ValueRange inits,
       function_ref<SmallVector<Value>(Value, ValueRange)> body);

  Value address(const LinearForm &form, Value local);
  Value rowAddress(const Row &row, Value local);
  Value load(Value memory, Value at, int64_t laneStride, bool isVector);
  void store(Value x, Value memory, Value at, int64_t laneStride);
  Value read(const Step &step, const RowProgram::Operand &operand, Value local,
             bool isVector);
  void write(unsigned value, Value x, Value local);
  Value initial(const Step &step, unsigned i, bool isVector);
  SmallVector<Value> evaluate(const Step &step, ValueRange accumulators,
                              Value local, bool isVector);
  Value cloneOp(const Step &step, Operation &op, IRMapping &mapping,
                Value local, bool isVector);
  Value combine(const Combiner &combiner, Value x, Value y);
  Value reduceLanes(const Combiner &combiner, Value x);
  Value classIndex(int c, Value local);

  const RowProgram &program;
  const RowPlan &plan;
  func::FuncOp target;
  ImplicitLocOpBuilder b;
  int v;
  int64_t lanes;
  SmallVector<Value> indices;
  SmallVector<Value> memory;
  SmallVector<Row> rows;
  Value blockStart, extent;
  int64_t scratchBytes = 0;
};

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

void Emitter::makeMemory() {
  for (BlockArgument argument : target.getArguments().drop_back(3)) {
    auto type = cast<MemRefType>(argument.getType());
    int64_t size = type.getNumElements();
    auto flat = MemRefType::get({size}, type.getElementType());
    memory.push_back(b.create<memref::ReinterpretCastOp>(
        flat, argument, /*offset=*/0, ArrayRef<int64_t>{size},
        ArrayRef<int64_t>{1}));
  }
}

void Emitter::placeRows() {
  // What no machine has must not wrap round to what one has.
  constexpr int64_t tooMuch = int64_t(1) << 58;
  Value scratch = target.getArgument(target.getNumArguments() - 3);
  for (auto [value, row] : llvm::zip_equal(program.values, rows)) {
    int64_t size = 1;
    for (int c : value.classes)
      if (!plan.isOuter(c) && c != v)
        row.classes.push_back(c);
    if (value.has(v))
      row.classes.push_back(v);
    for (int c : row.classes)
      size = std::min<int64_t>(
          llvm::SaturatingMultiply<uint64_t>(size, localSize(c)), tooMuch);
    if (row.classes.empty() || !value.isRead)
      continue;
    auto type = MemRefType::get({size}, value.element);
    row.buffer = b.create<memref::ViewOp>(type, scratch, index(scratchBytes),
                                          ValueRange{});
    int64_t bytes =
        size * llvm::divideCeil(value.element.getIntOrFloatBitWidth(), 8u);
    scratchBytes =
        std::min<int64_t>(scratchBytes + llvm::alignTo(bytes, 64), tooMuch);
  }
}

Value Emitter::classIndex(int c, Value local) {
  if (c < 0)
    return index(0);
  if (c != v)
    return indices[c];
  return blockStart ? add(blockStart, local) : local;
}

Value Emitter::address(const LinearForm &form, Value local) {
  Value at = index(form.offset);
  for (int c = 0, e = program.classes.size(); c < e; ++c)
    if (int64_t coefficient = form.coefficients[c])
      at = add(at, scale(classIndex(c, local), coefficient));
  return at;
}

Value Emitter::rowAddress(const Row &row, Value local) {
  Value at = index(0);
  for (int c : row.classes)
    at = add(scale(at, localSize(c)), c == v ? local : indices[c]);
  return at;
}

Value Emitter::load(Value memory, Value at, int64_t laneStride, bool isVector) {
  Type element = cast<MemRefType>(memory.getType()).getElementType();
  if (isVector && laneStride == 1)
    return b.create<vector::LoadOp>(cast<VectorType>(lanesOf(element)), memory,
                                    ValueRange{at});
  if (!isVector || laneStride == 0) {
    Value x = b.create<memref::LoadOp>(memory, ValueRange{at});
    return isVector ? splat(x) : x;
  }
  Type type = lanesOf(element);
  Value gathered = b.create<arith::ConstantOp>(b.getZeroAttr(type));
  for (int64_t i = 0; i < lanes; ++i) {
    Value x = b.create<memref::LoadOp>(
        memory, ValueRange{add(at, index(i * laneStride))});
    gathered = b.create<vector::InsertOp>(x, gathered, i);
  }
  return gathered;
}

void Emitter::store(Value x, Value memory, Value at, int64_t laneStride) {
  if (!isa<VectorType>(x.getType())) {
    b.create<memref::StoreOp>(x, memory, ValueRange{at});
    return;
  }
  if (laneStride == 1) {
    b.create<vector::StoreOp>(x, memory, ValueRange{at});
    return;
  }
  for (int64_t i = 0; i < lanes; ++i)
    b.create<memref::StoreOp>(b.create<vector::ExtractOp>(x, i), memory,
                              ValueRange{add(at, index(i * laneStride))});
}

Value Emitter::read(const Step &step, const RowProgram::Operand &operand,
                    Value local, bool isVector) {
  switch (operand.kind) {
  case RowProgram::Operand::Constant: {
    Value x = b.create<arith::ConstantOp>(operand.constant);
    return isVector ? splat(x) : x;
  }
  case RowProgram::Operand::Memory: {
    int64_t stride = v >= 0 ? operand.position.coefficients[v] : 0;
    return load(memory[operand.argument], address(operand.position, local),
                stride, isVector);
  }
  case RowProgram::Operand::Computed: {
    const Row &row = rows[operand.value];
    if (row.scalar)
      return isVector ? splat(row.scalar) : row.scalar;
    bool hasLanes = program.values[operand.value].has(v);
    return load(row.buffer, rowAddress(row, local), hasLanes, isVector);
  }
  }
  return {};
}

void Emitter::write(unsigned value, Value x, Value local) {
  const RowProgram::Computed &info = program.values[value];
  Row &row = rows[value];
  if (row.classes.empty())
    row.scalar = x;
  else if (row.buffer)
    store(x, row.buffer, rowAddress(row, local), 1);
  for (auto &[output, form] : info.outputs)
    store(x, memory[program.numInputs + output], address(form, local),
          v >= 0 ? form.coefficients[v] : 0);
}

//===----------------------------------------------------------------------===//
// Bodies
//===----------------------------------------------------------------------===//

bool Emitter::isPlainOp(Operation &op) const {
  if (isa<linalg::IndexOp, linalg::YieldOp>(op) ||
      op.hasTrait<OpTrait::ConstantLike>())
    return true;
  return op.getNumRegions() == 0 && OpTrait::hasElementwiseMappableTraits(&op);
}

bool Emitter::isVectorizable(const Step &step) const {
  if (v < 0 || !step.has(v) ||
      (!plan.block && program.classes[v].size < lanes) ||
      (plan.block && plan.block < lanes))
    return false;
  linalg::GenericOp generic = step.op;
  return llvm::all_of(*generic.getBody(),
                      [&](Operation &op) { return isPlainOp(op); });
}

Value Emitter::cloneOp(const Step &step, Operation &op, IRMapping &mapping,
                       Value local, bool isVector) {
  if (auto indexOp = dyn_cast<linalg::IndexOp>(op)) {
    int c = step.classes[indexOp.getDim()];
    Value at = classIndex(c, local);
    if (!isVector)
      return at;
    at = splat(at);
    if (c != v)
      return at;
    SmallVector<int64_t> steps(lanes);
    std::iota(steps.begin(), steps.end(), 0);
    return add(at, b.create<arith::ConstantOp>(b.getIndexVectorAttr(steps)));
  }
  auto operandOf = [&](Value operand) -> Value {
    if (Value mapped = mapping.lookupOrNull(operand))
      return mapped;
    // A constant from outside of the body.
    Value x = b.clone(*operand.getDefiningOp())->getResult(0);
    return isVector ? splat(x) : x;
  };
  if (auto extract = dyn_cast<tensor::ExtractOp>(op)) {
    BlockArgument source = getReshapedArgument(extract.getTensor());
    auto type = cast<RankedTensorType>(extract.getTensor().getType());
    Value at = index(0);
    for (auto [i, stride] :
         llvm::zip_equal(extract.getIndices(), getStrides(type.getShape())))
      at = add(at, scale(operandOf(i), stride));
    return b.create<memref::LoadOp>(memory[source.getArgNumber()],
                                    ValueRange{at});
  }
  if (!isVector) {
    // Constants may stand outside of the body, also those of nested regions.
    op.walk([&](Operation *nested) {
      for (Value operand : nested->getOperands()) {
        Operation *def = operand.getDefiningOp();
        if (def && !mapping.contains(operand) && !op.isProperAncestor(def))
          mapping.map(operand, operandOf(operand));
      }
    });
    return b.clone(op, mapping)->getResult(0);
  }
  if (op.hasTrait<OpTrait::ConstantLike>())
    return splat(b.clone(op)->getResult(0));
  OperationState state(b.getLoc(), op.getName());
  for (Value operand : op.getOperands())
    state.operands.push_back(operandOf(operand));
  for (Type type : op.getResultTypes())
    state.types.push_back(lanesOf(type));
  state.addAttributes(op.getAttrs());
  return b.create(state)->getResult(0);
}

SmallVector<Value> Emitter::evaluate(const Step &step, ValueRange accumulators,
                                     Value local, bool isVector) {
  linalg::GenericOp generic = step.op;
  Block *body = generic.getBody();
  IRMapping mapping;
  for (auto [i, operand] : llvm::enumerate(step.inputs))
    if (!body->getArgument(i).use_empty())
      mapping.map(body->getArgument(i), read(step, operand, local, isVector));
  for (auto [i, accumulator] : llvm::enumerate(accumulators))
    mapping.map(body->getArgument(step.inputs.size() + i), accumulator);
  for (Operation &op : body->without_terminator())
    mapping.map(op.getResult(0), cloneOp(step, op, mapping, local, isVector));
  SmallVector<Value> results;
  for (Value result : body->getTerminator()->getOperands()) {
    Value mapped = mapping.lookupOrNull(result);
    if (!mapped) {
      mapped = b.clone(*result.getDefiningOp())->getResult(0);
      if (isVector)
        mapped = splat(mapped);
    }
    results.push_back(mapped);
  }
  return results;
}

Value Emitter::combine(const Combiner &combiner, Value x, Value y) {
  // Accumulates y into x at whatever width they have.
  IRMapping mapping;
  mapping.map(combiner.accumulator, x);
  mapping.map(combiner.incoming, y);
  auto vector = dyn_cast<VectorType>(x.getType());
  for (Operation *op : combiner.ops) {
    OperationState state(b.getLoc(), op->getName());
    for (Value operand : op->getOperands()) {
      Value mapped = mapping.lookupOrNull(operand);
      if (!mapped) {
        mapped = b.clone(*operand.getDefiningOp())->getResult(0);
        if (vector)
          mapped = b.create<vector::BroadcastOp>(
              VectorType::get(vector.getShape(), mapped.getType()), mapped);
      }
      state.operands.push_back(mapped);
    }
    for (Type type : op->getResultTypes())
      state.types.push_back(
          vector ? Type(VectorType::get(vector.getShape(), type)) : type);
    state.addAttributes(op->getAttrs());
    mapping.map(op->getResult(0), b.create(state)->getResult(0));
  }
  return mapping.lookup(combiner.result);
}

/// Halves the vector until one lane is left.
Value Emitter::reduceLanes(const Combiner &combiner, Value x) {
  if (isa<IntegerType>(getElementTypeOrSelf(x))) {
    // At full width: LLVM 19 finds vpdpbusd in sums of products of bytes, and
    // forgets the steps to the last lane where vectors get narrower on the way.
    for (int64_t width = lanes / 2; width >= 1; width /= 2) {
      SmallVector<int64_t> turned(lanes);
      for (int64_t i = 0; i < lanes; ++i)
        turned[i] = (i + width) % lanes;
      x = combine(combiner, x, b.create<vector::ShuffleOp>(x, x, turned));
    }
    return b.create<vector::ExtractOp>(x, 0);
  }
  for (int64_t width = lanes / 2; width >= 1; width /= 2) {
    SmallVector<int64_t> low(width), high(width);
    std::iota(low.begin(), low.end(), 0);
    std::iota(high.begin(), high.end(), width);
    Value a = b.create<vector::ShuffleOp>(x, x, low);
    Value c = b.create<vector::ShuffleOp>(x, x, high);
    x = combine(combiner, a, c);
  }
  return b.create<vector::ExtractOp>(x, 0);
}

Value Emitter::initial(const Step &step, unsigned i, bool isVector) {
  Value x = b.create<arith::ConstantOp>(step.inits[i]);
  return isVector ? splat(x) : x;
}

//===----------------------------------------------------------------------===//
// Loops
//===----------------------------------------------------------------------===//

SmallVector<Value>
Emitter::loop(Value lower, Value upper, int64_t step, ValueRange inits,
              function_ref<SmallVector<Value>(Value, ValueRange)> body) {
  auto op = b.create<scf::ForOp>(lower, upper, index(step), inits);
  OpBuilder::InsertionGuard guard(b);
  if (!op.getBody()->empty())
    op.getBody()->back().erase();
  b.setInsertionPointToEnd(op.getBody());
  SmallVector<Value> next = body(op.getInductionVar(), op.getRegionIterArgs());
  b.create<scf::YieldOp>(next);
  return SmallVector<Value>(op.getResults());
}

SmallVector<Value>
Emitter::loops(ArrayRef<int> classes, ValueRange inits,
               function_ref<SmallVector<Value>(ValueRange)> body) {
  if (classes.empty())
    return body(inits);
  int c = classes.front();
  return loop(index(0), index(program.classes[c].size), 1, inits,
              [&](Value i, ValueRange carried) {
                indices[c] = i;
                return loops(classes.drop_front(), carried, body);
              });
}

/// One element of a step's results, or `count` vectors of elements side by
/// side, whose accumulators go through the reduced elements together.
void Emitter::emitPoint(const Step &step, Value local, bool isVector,
                        int64_t count) {
  SmallVector<int> reduced;
  for (int c : step.classes)
    if (c >= 0 && c != v && program.isReducedIn(step, c))
      reduced.push_back(c);
  SmallVector<Value> locals{local};
  for (int64_t u = 1; u < count; ++u)
    locals.push_back(add(local, index(u * lanes)));
  size_t width = step.results.size();
  auto evaluateAll = [&](ValueRange carried) {
    SmallVector<Value> all;
    for (int64_t u = 0; u < count; ++u)
      llvm::append_range(
          all,
          evaluate(step,
                   carried.empty() ? carried : carried.slice(u * width, width),
                   locals[u], isVector));
    return all;
  };
  SmallVector<Value> results;
  if (step.isReduction) {
    SmallVector<Value> inits;
    for (int64_t u = 0; u < count; ++u)
      for (unsigned i = 0; i < width; ++i)
        inits.push_back(initial(step, i, isVector));
    results = loops(reduced, inits, evaluateAll);
  } else {
    results = evaluateAll({});
  }
  for (int64_t u = 0; u < count; ++u)
    for (auto [i, value] : llvm::enumerate(step.results))
      write(value, results[u * width + i], locals[u]);
}

void Emitter::emitScalarReduction(const Step &step, Value local) {
  SmallVector<int> reduced;
  for (int c : step.classes)
    if (c >= 0 && c != v && program.isReducedIn(step, c))
      reduced.push_back(c);
  SmallVector<Value> inits;
  for (unsigned i = 0; i < step.results.size(); ++i)
    inits.push_back(initial(step, i, false));
  SmallVector<Value> results = loops(reduced, inits, [&](ValueRange outer) {
    return loop(index(0), extent, 1, outer, [&](Value i, ValueRange carried) {
      return evaluate(step, carried, i, false);
    });
  });
  for (auto [value, x] : llvm::zip_equal(step.results, results))
    write(value, x, local);
}

/// A reduction along the lanes: several vectors accumulate side by side, and
/// what does not fill a vector goes into a scalar.
void Emitter::emitVectorReduction(const Step &step, const Combiner &combiner) {
  SmallVector<int> reduced;
  for (int c : step.classes)
    if (c >= 0 && c != v && program.isReducedIn(step, c))
      reduced.push_back(c);
  int64_t size = program.classes[v].size;
  int64_t unroll = size >= 4 * lanes ? 4 : 1;
  int64_t wide = size / (unroll * lanes) * (unroll * lanes);
  int64_t narrow = size / lanes * lanes;
  SmallVector<Value> inits(unroll, initial(step, 0, true));
  inits.push_back(initial(step, 0, false));
  SmallVector<Value> results = loops(reduced, inits, [&](ValueRange outer) {
    SmallVector<Value> state(outer);
    MutableArrayRef<Value> vectors = MutableArrayRef<Value>(state).drop_back();
    SmallVector<Value> next =
        loop(index(0), index(wide), unroll * lanes, vectors,
             [&](Value i, ValueRange carried) {
               SmallVector<Value> sums;
               for (int64_t u = 0; u < unroll; ++u)
                 sums.push_back(evaluate(step, carried[u],
                                         add(i, index(u * lanes)), true)[0]);
               return sums;
             });
    llvm::copy(next, vectors.begin());
    if (narrow > wide)
      state[0] = loop(index(wide), index(narrow), lanes, state[0],
                      [&](Value i, ValueRange carried) {
                        return evaluate(step, carried, i, true);
                      })[0];
    if (size > narrow)
      state.back() = loop(index(narrow), index(size), 1, state.back(),
                          [&](Value i, ValueRange carried) {
                            return evaluate(step, carried, i, false);
                          })[0];
    return state;
  });
  for (int64_t width = unroll / 2; width >= 1; width /= 2)
    for (int64_t i = 0; i < width; ++i)
      results[i] = combine(combiner, results[i], results[i + width]);
  Value x = reduceLanes(combiner, results[0]);
  if (size > narrow)
    x = combine(combiner, x, results.back());
  write(step.results[0], x, Value());
}

void Emitter::emitLanes(const Step &step) {
  bool isVector = isVectorizable(step);
  if (v < 0 || !step.has(v))
    return emitPoint(step, Value(), false);
  if (program.isReducedIn(step, v)) {
    std::optional<Combiner> combiner = findCombiner(step);
    if (isVector && combiner)
      return emitVectorReduction(step, *combiner);
    return emitScalarReduction(step, Value());
  }
  Value start = index(0);
  auto emitVectors = [&](int64_t count) {
    Value rest = b.create<arith::RemUIOp>(extent, index(count * lanes));
    Value end = b.create<arith::SubIOp>(extent, rest);
    loop(start, end, count * lanes, {}, [&](Value i, ValueRange) {
      emitPoint(step, i, true, count);
      return SmallVector<Value>();
    });
    start = end;
  };
  if (isVector) {
    // Down columns, several vectors of a row at once: every row is a stretch
    // of memory of its own.
    if (step.isReduction && localSize(v) >= columnVectors * lanes)
      emitVectors(columnVectors);
    emitVectors(1);
  }
  loop(start, extent, 1, {}, [&](Value i, ValueRange) {
    emitPoint(step, i, false);
    return SmallVector<Value>();
  });
}

void Emitter::emitStep(const Step &step) {
  SmallVector<int> parallel;
  for (int c : step.classes)
    if (c >= 0 && c != v && !plan.isOuter(c) && !program.isReducedIn(step, c))
      parallel.push_back(c);
  loops(parallel, {}, [&](ValueRange) {
    emitLanes(step);
    return SmallVector<Value>();
  });
}

void Emitter::emitItem(Value item) {
  auto takeLast = [&](int64_t size, bool isOnly) -> Value {
    if (isOnly)
      return item;
    Value last = b.create<arith::RemUIOp>(item, index(size));
    item = b.create<arith::DivUIOp>(item, index(size));
    return last;
  };
  Value block;
  int64_t size = v >= 0 ? program.classes[v].size : 1;
  int64_t blocks = plan.block ? llvm::divideCeil(size, plan.block) : 1;
  if (plan.block && !plan.blockFirst)
    block = blocks == 1 ? index(0) : takeLast(blocks, plan.itemClasses.empty());
  bool blockRemains = plan.block && plan.blockFirst && blocks > 1;
  for (size_t i = plan.itemClasses.size(); i-- > 0;) {
    int c = plan.itemClasses[i];
    indices[c] = takeLast(program.classes[c].size, i == 0 && !blockRemains);
  }
  if (plan.block && plan.blockFirst)
    block = blocks == 1 ? index(0) : item;
  extent = index(size);
  if (plan.block) {
    blockStart = scale(block, plan.block);
    extent = index(plan.block);
    if (size % plan.block)
      extent = b.create<arith::MinUIOp>(
          extent, b.create<arith::SubIOp>(index(size), blockStart));
  }
  loops(plan.grainClasses, {}, [&](ValueRange) {
    for (const Step &step : program.steps)
      emitStep(step);
    return SmallVector<Value>();
  });
}

int64_t Emitter::run(Block *block, Value begin, Value end) {
  b.setInsertionPointToEnd(block);
  makeMemory();
  placeRows();
  loop(begin, end, 1, {}, [&](Value item, ValueRange) {
    emitItem(item);
    return SmallVector<Value>();
  });
  return scratchBytes;
}

} // namespace

int64_t emitRows(ArrayRef<PlannedRows> parts, func::FuncOp target) {
  Block *entry = target.addEntryBlock();
  auto b = ImplicitLocOpBuilder::atBlockEnd(target.getLoc(), entry);
  unsigned count = entry->getNumArguments();
  Value begin = entry->getArgument(count - 2);
  Value end = entry->getArgument(count - 1);
  int64_t scratchBytes = 0, before = 0;
  for (const PlannedRows &part : parts) {
    Value from = begin, to = end;
    int64_t items = part.plan.getWorkItems(part.program);
    if (parts.size() > 1) {
      b.setInsertionPointToEnd(entry);
      Value first = b.create<arith::ConstantIndexOp>(before);
      Value last = b.create<arith::ConstantIndexOp>(before + items);
      from = b.create<arith::SubIOp>(b.create<arith::MaxSIOp>(begin, first),
                                     first);
      to = b.create<arith::SubIOp>(b.create<arith::MinSIOp>(end, last), first);
    }
    before += items;
    scratchBytes =
        std::max(scratchBytes,
                 Emitter(part.program, part.plan, target).run(entry, from, to));
  }
  b.setInsertionPointToEnd(entry);
  b.create<func::ReturnOp>();
  return scratchBytes;
}

} // namespace lathe::cpu
