//===- KernelFrame.cpp - The frame every schedule emits into --------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "KernelFrame.h"
#include "lathe/Conversion/ScalarBody.h"

using namespace lathe;
using namespace lathe::cpu;

//===----------------------------------------------------------------------===//
// Index arithmetic
//===----------------------------------------------------------------------===//

Value cpu::indexConstant(ImplicitLocOpBuilder &b, int64_t value) {
  return b.create<arith::ConstantIndexOp>(value);
}

Value cpu::addIndex(ImplicitLocOpBuilder &b, Value lhs, Value rhs) {
  return b.createOrFold<arith::AddIOp>(lhs, rhs);
}

Value cpu::addIndex(ImplicitLocOpBuilder &b, Value lhs, int64_t rhs) {
  return rhs == 0 ? lhs : addIndex(b, lhs, indexConstant(b, rhs));
}

Value cpu::mulIndex(ImplicitLocOpBuilder &b, Value lhs, int64_t rhs) {
  return rhs == 1 ? lhs
                  : b.createOrFold<arith::MulIOp>(lhs, indexConstant(b, rhs));
}

// Indices are not negative, so the unsigned forms say the same and cost less.
Value cpu::divIndex(ImplicitLocOpBuilder &b, Value lhs, int64_t rhs) {
  return rhs == 1 ? lhs
                  : b.createOrFold<arith::DivUIOp>(lhs, indexConstant(b, rhs));
}

Value cpu::remIndex(ImplicitLocOpBuilder &b, Value lhs, int64_t rhs) {
  return rhs == 1 ? indexConstant(b, 0)
                  : b.createOrFold<arith::RemUIOp>(lhs, indexConstant(b, rhs));
}

Value cpu::minIndex(ImplicitLocOpBuilder &b, Value lhs, Value rhs) {
  return b.createOrFold<arith::MinSIOp>(lhs, rhs);
}

Value cpu::lessThan(ImplicitLocOpBuilder &b, Value lhs, Value rhs) {
  return b.createOrFold<arith::CmpIOp>(arith::CmpIPredicate::slt, lhs, rhs);
}

Value cpu::emitOffset(ImplicitLocOpBuilder &b, ArrayRef<Factor> factors,
                      Value coordinate) {
  Value offset = indexConstant(b, 0);
  int64_t inner = 1;
  for (size_t i = factors.size(); i-- > 0;) {
    if (factors[i].stride != 0) {
      Value digit = divIndex(b, coordinate, inner);
      if (i != 0)
        digit = remIndex(b, digit, factors[i].size);
      offset = addIndex(b, offset, mulIndex(b, digit, factors[i].stride));
    }
    inner *= factors[i].size;
  }
  return offset;
}

Value cpu::emitMultiplyAdd(ImplicitLocOpBuilder &b, Value lhs, Value rhs,
                           Value sum) {
  if (cast<VectorType>(sum.getType()).getNumElements() > 4)
    return b.create<vector::FMAOp>(lhs, rhs, sum);
  return b.create<arith::AddFOp>(b.create<arith::MulFOp>(lhs, rhs), sum);
}

Value cpu::emitMask(ImplicitLocOpBuilder &b, Value valid, int64_t width) {
  SmallVector<int32_t> lanes;
  for (int64_t lane = 0; lane < width; ++lane)
    lanes.push_back(lane);
  auto type = VectorType::get(width, b.getI32Type());
  Value iota = b.create<arith::ConstantOp>(
      DenseElementsAttr::get(type, ArrayRef<int32_t>(lanes)));
  Value bound = b.create<arith::IndexCastOp>(b.getI32Type(), valid);
  bound = b.create<vector::BroadcastOp>(type, bound);
  return b.create<arith::CmpIOp>(arith::CmpIPredicate::slt, iota, bound);
}

static Type getElementType(Value buffer) {
  return cast<MemRefType>(buffer.getType()).getElementType();
}

Value cpu::widenFloat(ImplicitLocOpBuilder &b, Value value) {
  Type type = value.getType(), f32 = b.getF32Type();
  if (getElementTypeOrSelf(type) == f32)
    return value;
  if (auto vector = dyn_cast<VectorType>(type))
    f32 = vector.clone(f32);
  return b.create<arith::ExtFOp>(f32, value);
}

Value cpu::roundFloat(ImplicitLocOpBuilder &b, Value value, Type element) {
  Type type = value.getType();
  if (getElementTypeOrSelf(type) == element)
    return value;
  if (auto vector = dyn_cast<VectorType>(type))
    element = vector.clone(element);
  return b.create<arith::TruncFOp>(element, value);
}

Value cpu::loadVector(ImplicitLocOpBuilder &b, Value buffer, Value index,
                      int64_t lanes, Value mask) {
  auto type = VectorType::get(lanes, getElementType(buffer));
  if (!mask)
    return widenFloat(b, b.create<vector::LoadOp>(type, buffer, index));
  Value padding = b.create<arith::ConstantOp>(b.getZeroAttr(type));
  return widenFloat(
      b, b.create<vector::MaskedLoadOp>(type, buffer, index, mask, padding));
}

Value cpu::loadSplat(ImplicitLocOpBuilder &b, Value buffer, Value index,
                     int64_t lanes) {
  Value element = widenFloat(b, b.create<memref::LoadOp>(buffer, index));
  return b.create<vector::BroadcastOp>(VectorType::get(lanes, b.getF32Type()),
                                       element);
}

void cpu::storeVector(ImplicitLocOpBuilder &b, Value value, Value buffer,
                      Value index) {
  b.create<vector::StoreOp>(roundFloat(b, value, getElementType(buffer)),
                            buffer, index);
}

void cpu::storeElement(ImplicitLocOpBuilder &b, Value value, Value buffer,
                       Value index) {
  b.create<memref::StoreOp>(roundFloat(b, value, getElementType(buffer)),
                            buffer, index);
}

void cpu::emitFor(ImplicitLocOpBuilder &b, Value begin, Value end, int64_t step,
                  function_ref<void(Value)> body) {
  auto loop = b.create<scf::ForOp>(begin, end, indexConstant(b, step));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPoint(loop.getBody()->getTerminator());
  body(loop.getInductionVar());
}

SmallVector<Value>
cpu::emitFor(ImplicitLocOpBuilder &b, Value begin, Value end, int64_t step,
             ArrayRef<Value> init,
             function_ref<SmallVector<Value>(Value, ValueRange)> body) {
  if (init.empty()) {
    emitFor(b, begin, end, step, [&](Value iv) { body(iv, {}); });
    return {};
  }
  auto loop = b.create<scf::ForOp>(begin, end, indexConstant(b, step), init);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToEnd(loop.getBody());
  b.create<scf::YieldOp>(
      body(loop.getInductionVar(), loop.getRegionIterArgs()));
  return SmallVector<Value>(loop.getResults());
}

void cpu::emitIf(ImplicitLocOpBuilder &b, Value condition,
                 function_ref<void()> then, function_ref<void()> otherwise) {
  auto branch =
      b.create<scf::IfOp>(condition, /*withElseRegion=*/bool(otherwise));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  then();
  if (!otherwise)
    return;
  b.setInsertionPointToStart(branch.elseBlock());
  otherwise();
}

void cpu::emitOnChange(ImplicitLocOpBuilder &b, Value key, ValueRange carried,
                       SmallVectorImpl<Value> &next,
                       function_ref<void()> make) {
  Value changed = b.create<arith::CmpIOp>(arith::CmpIPredicate::ne, key,
                                          carried[next.size()]);
  emitIf(b, changed, make);
  next.push_back(key);
}

//===----------------------------------------------------------------------===//
// Tiles
//===----------------------------------------------------------------------===//

Tiling Tiling::balanced(int64_t total, int64_t largest) {
  Tiling tiling;
  if (total == 0)
    return tiling;
  tiling.count = (total + largest - 1) / largest;
  tiling.big = (total + tiling.count - 1) / tiling.count;
  tiling.numBig = total - (tiling.big - 1) * tiling.count;
  return tiling;
}

Value Tiling::emitStart(ImplicitLocOpBuilder &b, Value tile) const {
  if (isUniform())
    return mulIndex(b, tile, big);
  return addIndex(b, mulIndex(b, tile, big - 1),
                  minIndex(b, tile, indexConstant(b, numBig)));
}

void Tiling::emitSwitch(ImplicitLocOpBuilder &b, Value tile,
                        function_ref<void(int64_t)> body) const {
  if (isUniform())
    return body(big);
  emitIf(
      b, lessThan(b, tile, indexConstant(b, numBig)), [&] { body(big); },
      [&] { body(big - 1); });
}

//===----------------------------------------------------------------------===//
// The function
//===----------------------------------------------------------------------===//

static MemRefType getBufferType(Type type) {
  RankedTensorType storage = getStorageType(cast<RankedTensorType>(type));
  return MemRefType::get(storage.getShape(), storage.getElementType());
}

static Value flatten(ImplicitLocOpBuilder &b, Value buffer) {
  auto type = cast<MemRefType>(buffer.getType());
  int64_t elements = type.getNumElements();
  auto flat = MemRefType::get({elements}, type.getElementType());
  return b.create<memref::ReinterpretCastOp>(flat, buffer, /*offset=*/0,
                                             ArrayRef<int64_t>{elements},
                                             ArrayRef<int64_t>{1});
}

KernelFrame KernelFrame::create(ImplicitLocOpBuilder &b, KernelOp kernel,
                                ModuleOp module, StringRef symbol,
                                ArrayRef<DenseElementsAttr> constants) {
  SmallVector<Type> types;
  for (Type type : kernel.getInputs().getTypes())
    types.push_back(getBufferType(type));
  for (Type type : kernel.getResultTypes())
    types.push_back(getBufferType(type));
  types.push_back(MemRefType::get({ShapedType::kDynamic}, b.getI8Type()));
  types.append(2, b.getIndexType());

  KernelFrame result;
  b.setInsertionPointToEnd(module.getBody());
  SmallVector<memref::GlobalOp> globals;
  for (auto [i, constant] : llvm::enumerate(constants)) {
    auto type =
        MemRefType::get({constant.getNumElements()}, constant.getElementType());
    globals.push_back(b.create<memref::GlobalOp>(
        (symbol + ".constant" + Twine(i)).str(),
        /*sym_visibility=*/b.getStringAttr("private"), type, constant,
        /*constant=*/true, /*alignment=*/b.getI64IntegerAttr(64)));
  }
  result.function =
      b.create<func::FuncOp>(symbol, b.getFunctionType(types, {}));
  Block *entry = result.function.addEntryBlock();
  b.setInsertionPointToStart(entry);
  unsigned next = 0;
  for (size_t i = 0; i < kernel.getInputs().size(); ++i)
    result.inputs.push_back(flatten(b, entry->getArgument(next++)));
  for (memref::GlobalOp global : globals)
    result.inputs.push_back(b.create<memref::GetGlobalOp>(
        cast<MemRefType>(global.getType()), global.getSymName()));
  for (size_t i = 0; i < kernel.getNumResults(); ++i)
    result.outputs.push_back(flatten(b, entry->getArgument(next++)));
  result.scratch = entry->getArgument(next++);
  result.begin = entry->getArgument(next++);
  result.end = entry->getArgument(next++);
  return result;
}

Value KernelFrame::allocate(ImplicitLocOpBuilder &b, int64_t elements,
                            Type element) {
  auto type =
      MemRefType::get({elements}, element ? element : Type(b.getF32Type()));
  Value place = b.create<memref::ViewOp>(
      type, scratch, indexConstant(b, scratchBytes), ValueRange());
  // What no machine has must not wrap round to what one has.
  constexpr uint64_t tooMuch = uint64_t(1) << 60;
  uint64_t bytes = llvm::SaturatingMultiply<uint64_t>(elements, 4);
  scratchBytes =
      std::min(tooMuch, uint64_t(scratchBytes) +
                            llvm::alignTo(std::min(bytes, tooMuch), 64));
  return place;
}

LoweredKernel KernelFrame::finish(ImplicitLocOpBuilder &b, int64_t workItems) {
  b.setInsertionPointToEnd(&function.getBody().front());
  b.create<func::ReturnOp>();
  return {function, workItems, scratchBytes};
}
