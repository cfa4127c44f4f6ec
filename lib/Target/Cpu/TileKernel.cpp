//===- TileKernel.cpp - Products in AMX's tiles ---------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TileKernel.h"
#include "IntegerKernel.h"
#include "lathe/Conversion/ElementBuilder.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace lathe;
using namespace lathe::cpu;

/// Bytes of all rows of a register.
static constexpr int64_t registerBytes = registerRows * tileBytes;
/// Which registers hold sums (by block of rows, then of columns), A and B.
static int64_t sumTile(int64_t row, int64_t column) { return row * 2 + column; }
static constexpr int64_t aTile = 4, bTile = 6;

TileUnit::TileUnit(ImplicitLocOpBuilder &b, KernelFrame &frame, ModuleOp module,
                   StringRef symbol, bool emulated)
    : b(b), module(module), symbol(symbol) {
  if (emulated)
    registers = frame.allocate(b, 8 * registerBytes / 4, b.getI32Type());
}

Value TileUnit::number(int64_t value, unsigned bits) {
  return b.create<LLVM::ConstantOp>(
      b.getIntegerType(bits), b.getIntegerAttr(b.getIntegerType(bits), value));
}

void TileUnit::call(StringRef name, ValueRange operands) {
  b.create<LLVM::CallIntrinsicOp>(Type(), name, operands);
}

static int64_t getElementBytes(Value buffer) {
  return cast<MemRefType>(buffer.getType()).getElementTypeBitWidth() / 8;
}

Value TileUnit::emitPointer(Value buffer, Value index) {
  Value base = b.create<memref::ExtractAlignedPointerAsIndexOp>(buffer);
  Value byteIndex = mulIndex(b, index, getElementBytes(buffer));
  Value address = b.create<arith::IndexCastOp>(
      b.getI64Type(), b.create<arith::AddIOp>(base, byteIndex));
  return b.create<LLVM::IntToPtrOp>(LLVM::LLVMPointerType::get(b.getContext()),
                                    address);
}

void TileUnit::emitConfigure(int64_t first, int64_t second) {
  blocks = second ? 2 : 1;
  for (int64_t block = 0; block < 2; ++block) {
    int64_t size = block == 0 ? first : second;
    rowsOf[sumTile(block, 0)] = rowsOf[sumTile(block, 1)] = size;
    rowsOf[aTile + block] = size;
    rowsOf[bTile + block] = registerRows;
  }
  if (registers)
    return;
  // Palette 1: bytes of a row, 16 bits each, from byte 16 on; rows from 48 on.
  SmallVector<int8_t> bytes(64, 0);
  bytes[0] = 1;
  for (int64_t tile = 0; tile < 8; ++tile)
    if (rowsOf[tile]) {
      bytes[16 + 2 * tile] = tileBytes;
      bytes[48 + tile] = rowsOf[tile];
    }
  std::string name = symbol + ".tiles";
  assert(!module.lookupSymbol(name) && "configured once in a function");
  auto type = MemRefType::get({64}, b.getI8Type());
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(module.getBody());
    auto tensor = RankedTensorType::get({64}, b.getI8Type());
    b.create<memref::GlobalOp>(
        name, b.getStringAttr("private"), type,
        DenseElementsAttr::get(tensor, ArrayRef<int8_t>(bytes)),
        /*constant=*/true, b.getI64IntegerAttr(64));
  }
  Value shape = b.create<memref::GetGlobalOp>(type, name);
  call("llvm.x86.ldtilecfg", emitPointer(shape, indexConstant(b, 0)));
}

void TileUnit::emitRelease() {
  if (!registers)
    call("llvm.x86.tilerelease", {});
}

void TileUnit::zero(int64_t tile) {
  if (!registers)
    return call("llvm.x86.tilezero", number(tile, 8));
  auto type = VectorType::get(registerRows, b.getI32Type());
  Value none = b.create<arith::ConstantOp>(b.getZeroAttr(type));
  for (int64_t row = 0; row < rowsOf[tile]; ++row)
    b.create<vector::StoreOp>(
        none, registers,
        indexConstant(b, (tile * registerRows + row) * registerRows));
}

void TileUnit::load(int64_t tile, Value buffer, Value index, int64_t stride) {
  int64_t size = getElementBytes(buffer);
  if (!registers)
    return call("llvm.x86.tileloadd64",
                {number(tile, 8), emitPointer(buffer, index),
                 number(stride * size, 64)});
  auto elements = VectorType::get(
      tileBytes / size, cast<MemRefType>(buffer.getType()).getElementType());
  auto lanes = VectorType::get(registerRows, b.getI32Type());
  emitFor(b, indexConstant(b, 0), indexConstant(b, rowsOf[tile]), 1,
          [&](Value row) {
            Value line = b.create<vector::LoadOp>(
                elements, buffer, addIndex(b, index, mulIndex(b, row, stride)));
            b.create<vector::StoreOp>(
                b.create<vector::BitCastOp>(lanes, line), registers,
                addIndex(b, mulIndex(b, row, registerRows),
                         tile * registerRows * registerRows));
          });
}

/// sum[m][n] += A[m][k] * B[k][n], where `add` does it for numbers of 32 bits.
void TileUnit::dotInMemory(
    int64_t sum, int64_t a, int64_t right,
    function_ref<Value(Value x, Value y, Value sum)> add) {
  auto lanes = VectorType::get(registerRows, b.getI32Type());
  auto at = [&](int64_t tile, Value row, Value column) {
    return addIndex(b, addIndex(b, mulIndex(b, row, registerRows), column),
                    tile * registerRows * registerRows);
  };
  Value zero = indexConstant(b, 0);
  emitFor(b, zero, indexConstant(b, rowsOf[sum]), 1, [&](Value m) {
    Value start = b.create<vector::LoadOp>(lanes, registers, at(sum, m, zero));
    Value total =
        emitFor(b, zero, indexConstant(b, registerRows), 1, start,
                [&](Value k, ValueRange carried) {
                  Value x = b.create<vector::BroadcastOp>(
                      lanes, b.create<memref::LoadOp>(registers, at(a, m, k)));
                  Value y = b.create<vector::LoadOp>(lanes, registers,
                                                     at(right, k, zero));
                  return SmallVector<Value>{add(x, y, carried[0])};
                })
            .front();
    b.create<vector::StoreOp>(total, registers, at(sum, m, zero));
  });
}

/// As the manual says it: four products of bytes, or two of bf16.
void TileUnit::dot(int64_t sum, int64_t a, int64_t right, Type left,
                   Type rightElement) {
  bool isFloat = left.isBF16();
  bool unsignedA = isUnsignedElement(left),
       unsignedB = isUnsignedElement(rightElement);
  if (!registers) {
    StringRef name =
        isFloat     ? "llvm.x86.tdpbf16ps"
        : unsignedA ? (unsignedB ? "llvm.x86.tdpbuud" : "llvm.x86.tdpbusd")
                    : (unsignedB ? "llvm.x86.tdpbsud" : "llvm.x86.tdpbssd");
    return call(name, {number(sum, 8), number(a, 8), number(right, 8)});
  }
  auto lanes = VectorType::get(registerRows, b.getI32Type());
  auto floats = VectorType::get(registerRows, b.getF32Type());
  auto asFloats = [&](Value bits) -> Value {
    return b.create<arith::BitcastOp>(floats, bits);
  };
  // The k'th bf16 of a lane, which is the upper half of an f32.
  auto widen = [&](Value number, int64_t k) {
    return asFloats(
        k == 0 ? b.create<arith::ShLIOp>(number, splatConstant(b, lanes, 16))
                     .getResult()
               : b.create<arith::AndIOp>(
                      number, splatConstant(b, lanes, int32_t(0xffff0000)))
                     .getResult());
  };
  auto extract = [&](Value number, int64_t i, bool isUnsigned) -> Value {
    Value high =
        b.create<arith::ShLIOp>(number, splatConstant(b, lanes, 24 - 8 * i));
    Value by = splatConstant(b, lanes, 24);
    if (isUnsigned)
      return b.create<arith::ShRUIOp>(high, by);
    return b.create<arith::ShRSIOp>(high, by);
  };
  dotInMemory(sum, a, right, [&](Value x, Value y, Value result) -> Value {
    if (isFloat) {
      result = asFloats(result);
      for (int64_t k = 0; k < 2; ++k)
        result = emitMultiplyAdd(b, widen(x, k), widen(y, k), result);
      return b.create<arith::BitcastOp>(lanes, result);
    }
    for (int64_t i = 0; i < 4; ++i)
      result = b.create<arith::AddIOp>(
          result, b.create<arith::MulIOp>(extract(x, i, unsignedA),
                                          extract(y, i, unsignedB)));
    return result;
  });
}

void TileUnit::store(int64_t tile, Value buffer, Value index, int64_t stride) {
  if (!registers)
    return call(
        "llvm.x86.tilestored64",
        {number(tile, 8), emitPointer(buffer, index), number(stride * 4, 64)});
  auto lanes = VectorType::get(registerRows, b.getI32Type());
  auto result = VectorType::get(
      registerRows, cast<MemRefType>(buffer.getType()).getElementType());
  for (int64_t row = 0; row < rowsOf[tile]; ++row) {
    Value line = b.create<vector::LoadOp>(
        lanes, registers,
        indexConstant(b, (tile * registerRows + row) * registerRows));
    if (result != lanes)
      line = b.create<arith::BitcastOp>(result, line);
    b.create<vector::StoreOp>(line, buffer, addIndex(b, index, row * stride));
  }
}

void TileUnit::forEachSum(
    function_ref<void(int64_t tile, int64_t offset)> visit) {
  for (int64_t row = 0; row < blocks; ++row)
    for (int64_t column = 0; column < 2; ++column)
      visit(sumTile(row, column),
            row * rowsOf[aTile] * panelColumns + column * registerRows);
}

void TileUnit::emitZero() {
  forEachSum([&](int64_t tile, int64_t) { zero(tile); });
}

void TileUnit::emitLoad(Value sums, Value index) {
  forEachSum([&](int64_t tile, int64_t offset) {
    load(tile, sums, addIndex(b, index, offset), panelColumns);
  });
}

void TileUnit::emitSteps(Value steps, const Rows &a, const Operand &panel) {
  // Elements of a row of a tile of A, and of B: those of 16 columns.
  int64_t rowElements = tileBytes / getElementBytes(a.operand.buffer);
  int64_t bStride = 2 * rowElements;
  emitFor(b, indexConstant(b, 0), steps, 1, [&](Value step) {
    Value from = addIndex(b, a.operand.index, mulIndex(b, step, rowElements));
    Value lines =
        addIndex(b, panel.index, mulIndex(b, step, registerRows * bStride));
    for (int64_t column = 0; column < 2; ++column)
      load(bTile + column, panel.buffer,
           addIndex(b, lines, column * rowElements), bStride);
    for (int64_t row = 0; row < blocks; ++row) {
      load(aTile + row, a.operand.buffer,
           addIndex(b, from, row * a.blockDistance), a.stride);
      for (int64_t column = 0; column < 2; ++column)
        dot(sumTile(row, column), aTile + row, bTile + column,
            a.operand.element, panel.element);
    }
  });
}

void TileUnit::emitStore(Value result, Value index) {
  forEachSum([&](int64_t tile, int64_t offset) {
    store(tile, result, addIndex(b, index, offset), panelColumns);
  });
}
