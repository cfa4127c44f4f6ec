//===- TileKernel.cpp - Products of bytes in AMX's tiles ------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TileKernel.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace lathe;
using namespace lathe::cpu;

/// Rows of a register, and bytes of all its rows.
static constexpr int64_t registerRows = 16, registerBytes = 1024;
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

Value TileUnit::emitPointer(Value buffer, Value byteIndex) {
  Value base = b.create<memref::ExtractAlignedPointerAsIndexOp>(buffer);
  Value address = b.create<arith::IndexCastOp>(
      b.getI64Type(), b.create<arith::AddIOp>(base, byteIndex));
  return b.create<LLVM::IntToPtrOp>(LLVM::LLVMPointerType::get(b.getContext()),
                                    address);
}

void TileUnit::emitConfigure(int64_t rows) {
  int64_t first = std::min(rows, registerRows);
  for (int64_t block = 0; block < 2; ++block) {
    int64_t size = block == 0 ? first : rows - first;
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
  std::string name = symbol + ".tiles" + std::to_string(rows);
  auto type = MemRefType::get({64}, b.getI8Type());
  if (!module.lookupSymbol(name)) {
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
  if (!registers)
    return call(
        "llvm.x86.tileloadd64",
        {number(tile, 8), emitPointer(buffer, index), number(stride, 64)});
  auto bytes = VectorType::get(tileBytes, b.getI8Type());
  auto lanes = VectorType::get(registerRows, b.getI32Type());
  emitFor(b, indexConstant(b, 0), indexConstant(b, rowsOf[tile]), 1,
          [&](Value row) {
            Value line = b.create<vector::LoadOp>(
                bytes, buffer, addIndex(b, index, mulIndex(b, row, stride)));
            b.create<vector::StoreOp>(
                b.create<vector::BitCastOp>(lanes, line), registers,
                addIndex(b, mulIndex(b, row, registerRows),
                         tile * registerRows * registerRows));
          });
}

void TileUnit::dot(int64_t sum, int64_t a, int64_t right, bool unsignedA,
                   bool unsignedB) {
  if (!registers) {
    StringRef name =
        unsignedA ? (unsignedB ? "llvm.x86.tdpbuud" : "llvm.x86.tdpbusd")
                  : (unsignedB ? "llvm.x86.tdpbsud" : "llvm.x86.tdpbssd");
    return call(name, {number(sum, 8), number(a, 8), number(right, 8)});
  }
  // sum[m][n] += A[m][k][i] * B[k][n][i], as the manual says it.
  auto lanes = VectorType::get(registerRows, b.getI32Type());
  auto at = [&](int64_t tile, Value row, Value column) {
    return addIndex(b, addIndex(b, mulIndex(b, row, registerRows), column),
                    tile * registerRows * registerRows);
  };
  auto extract = [&](Value number, int64_t i, bool isUnsigned) -> Value {
    auto shift = [&](int64_t by) {
      return b.create<arith::ConstantOp>(
          DenseElementsAttr::get(lanes, int32_t(by)));
    };
    Value high = b.create<arith::ShLIOp>(number, shift(24 - 8 * i));
    if (isUnsigned)
      return b.create<arith::ShRUIOp>(high, shift(24));
    return b.create<arith::ShRSIOp>(high, shift(24));
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
                  Value result = carried[0];
                  for (int64_t i = 0; i < 4; ++i)
                    result = b.create<arith::AddIOp>(
                        result,
                        b.create<arith::MulIOp>(extract(x, i, unsignedA),
                                                extract(y, i, unsignedB)));
                  return SmallVector<Value>{result};
                })
            .front();
    b.create<vector::StoreOp>(total, registers, at(sum, m, zero));
  });
}

void TileUnit::store(int64_t tile, Value buffer, int64_t index,
                     int64_t stride) {
  if (!registers)
    return call("llvm.x86.tilestored64",
                {number(tile, 8),
                 emitPointer(buffer, indexConstant(b, index * 4)),
                 number(stride * 4, 64)});
  auto lanes = VectorType::get(registerRows, b.getI32Type());
  for (int64_t row = 0; row < rowsOf[tile]; ++row)
    b.create<vector::StoreOp>(
        b.create<vector::LoadOp>(
            lanes, registers,
            indexConstant(b, (tile * registerRows + row) * registerRows)),
        buffer, indexConstant(b, index + row * stride));
}

void TileUnit::emitProduct(int64_t rows, int64_t steps, Value a, Value aIndex,
                           int64_t aStride, bool unsignedA, Value bBuffer,
                           Value bIndex, bool unsignedB, Value result) {
  int64_t blocks = llvm::divideCeil(rows, registerRows);
  int64_t bStride = panelColumns * 4;
  for (int64_t row = 0; row < blocks; ++row)
    for (int64_t column = 0; column < 2; ++column)
      zero(sumTile(row, column));
  emitFor(b, indexConstant(b, 0), indexConstant(b, steps), 1, [&](Value step) {
    Value from = addIndex(b, aIndex, mulIndex(b, step, tileBytes));
    Value panel =
        addIndex(b, bIndex, mulIndex(b, step, registerRows * bStride));
    for (int64_t column = 0; column < 2; ++column)
      load(bTile + column, bBuffer, addIndex(b, panel, column * tileBytes),
           bStride);
    for (int64_t row = 0; row < blocks; ++row) {
      load(aTile + row, a, addIndex(b, from, row * registerRows * aStride),
           aStride);
      for (int64_t column = 0; column < 2; ++column)
        dot(sumTile(row, column), aTile + row, bTile + column, unsignedA,
            unsignedB);
    }
  });
  for (int64_t row = 0; row < blocks; ++row)
    for (int64_t column = 0; column < 2; ++column)
      store(sumTile(row, column), result,
            row * registerRows * panelColumns + column * registerRows,
            panelColumns);
}
