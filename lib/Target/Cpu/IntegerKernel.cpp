//===- IntegerKernel.cpp - Products of bytes on the microkernel -----------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "IntegerKernel.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace lathe;
using namespace lathe::cpu;

Value cpu::callIntrinsic(ImplicitLocOpBuilder &b, StringRef name, Type result,
                         ValueRange operands) {
  return b
      .create<LLVM::CallIntrinsicOp>(result, b.getStringAttr(name), operands)
      ->getResult(0);
}

Value cpu::splatConstant(ImplicitLocOpBuilder &b, VectorType type,
                         int64_t value) {
  return b.create<arith::ConstantOp>(DenseElementsAttr::get(
      type, b.getIntegerAttr(type.getElementType(), value)));
}

namespace {
/// Reads bytes as lanes of 4.
class ByteArithmetic : public Arithmetic {
public:
  ByteArithmetic(bool lhsUnsigned, bool rhsUnsigned)
      : lhsUnsigned(lhsUnsigned), rhsUnsigned(rhsUnsigned) {}
  int64_t getStep() const override { return byteStep; }
  Type getSumType(Builder &b) const override { return b.getI32Type(); }

protected:
  /// `width` lanes of 4 bytes that lie together.
  Value loadLanes(ImplicitLocOpBuilder &b, int64_t width, Value buffer,
                  Value index) const {
    Value bytes = b.create<vector::LoadOp>(
        VectorType::get(width * byteStep, b.getI8Type()), buffer, index);
    return b.create<vector::BitCastOp>(VectorType::get(width, b.getI32Type()),
                                       bytes);
  }
  /// 4 bytes as one number; those behind `valid` are 0, and not read.
  Value loadStep(ImplicitLocOpBuilder &b, Value buffer, Value index,
                 int64_t valid) const {
    if (valid == byteStep)
      return b.create<vector::ExtractOp>(loadLanes(b, 1, buffer, index), 0);
    Value result;
    for (int64_t i = 0; i < valid; ++i) {
      Value byte = b.create<memref::LoadOp>(buffer, addIndex(b, index, i));
      byte = b.create<arith::ExtUIOp>(b.getI32Type(), byte);
      if (i == 0) {
        result = byte;
        continue;
      }
      Value by = b.create<arith::ConstantOp>(b.getI32IntegerAttr(8 * i));
      byte = b.create<arith::ShLIOp>(byte, by);
      result = b.create<arith::OrIOp>(result, byte);
    }
    return result;
  }
  Value broadcastStep(ImplicitLocOpBuilder &b, int64_t width, Value buffer,
                      Value index, int64_t valid) const {
    return b.create<vector::BroadcastOp>(VectorType::get(width, b.getI32Type()),
                                         loadStep(b, buffer, index, valid));
  }

  bool lhsUnsigned, rhsUnsigned;
};

/// vpdpbusd: to every lane, 4 products of an unsigned and a signed byte. Where
/// both sides are of one kind, B is read as the other kind, 128 more or less.
class VnniArithmetic : public ByteArithmetic {
public:
  using ByteArithmetic::ByteArithmetic;

  SmallVector<Value> loadB(ImplicitLocOpBuilder &b, int64_t width, Value buffer,
                           Value index, Value) const override {
    Value lanes = loadLanes(b, width, buffer, index);
    if (movesRhs()) {
      Value flip =
          splatConstant(b, cast<VectorType>(lanes.getType()), 0x80808080);
      lanes = b.create<arith::XOrIOp>(lanes, flip);
    }
    return {lanes};
  }
  SmallVector<Value> loadA(ImplicitLocOpBuilder &b, int64_t width, Value buffer,
                           Value index, int64_t valid) const override {
    return {broadcastStep(b, width, buffer, index, valid)};
  }
  Value multiplyAdd(ImplicitLocOpBuilder &b, ArrayRef<Value> lhs,
                    ArrayRef<Value> rhs, Value sum) const override {
    return multiplyAdd(b, lhs[0], rhs[0], sum);
  }
  int64_t getRowSumFactor() const override {
    return !movesRhs() ? 0 : lhsUnsigned ? 128 : -128;
  }
  Value addElements(ImplicitLocOpBuilder &b, Value buffer, Value index,
                    Value sum) const override {
    auto type = cast<VectorType>(sum.getType());
    Value lanes = loadLanes(b, type.getDimSize(0), buffer, index);
    return multiplyAdd(b, lanes, splatConstant(b, type, 0x01010101), sum);
  }
  Value addStep(ImplicitLocOpBuilder &b, Value buffer, Value index,
                int64_t valid, Value sum) const override {
    auto type = cast<VectorType>(sum.getType());
    Value lanes = broadcastStep(b, type.getDimSize(0), buffer, index, valid);
    SmallVector<int32_t> ones(type.getDimSize(0), 0);
    ones[0] = 0x01010101;
    Value first = b.create<arith::ConstantOp>(
        DenseElementsAttr::get(type, ArrayRef<int32_t>(ones)));
    return multiplyAdd(b, lanes, first, sum);
  }

private:
  bool movesRhs() const { return lhsUnsigned == rhsUnsigned; }
  Value multiplyAdd(ImplicitLocOpBuilder &b, Value lhs, Value rhs,
                    Value sum) const {
    if (!lhsUnsigned)
      std::swap(lhs, rhs);
    auto type = cast<VectorType>(sum.getType());
    StringRef name = type.getDimSize(0) == 16 ? "llvm.x86.avx512.vpdpbusd.512"
                                              : "llvm.x86.avx512.vpdpbusd.256";
    return callIntrinsic(b, name, type, {sum, lhs, rhs});
  }
};

/// pmaddwd: to every lane, 2 products of 16-bit numbers, which bytes are
/// widened to: those at even places and those at odd ones.
class WordArithmetic : public ByteArithmetic {
public:
  using ByteArithmetic::ByteArithmetic;
  int64_t getRegisters(int64_t vectors) const override {
    return 2 * vectors + 3;
  }

  SmallVector<Value> loadB(ImplicitLocOpBuilder &b, int64_t width, Value buffer,
                           Value index, Value) const override {
    return widen(b, loadLanes(b, width, buffer, index), rhsUnsigned);
  }
  SmallVector<Value> loadA(ImplicitLocOpBuilder &b, int64_t width, Value buffer,
                           Value index, int64_t valid) const override {
    return widen(b, broadcastStep(b, width, buffer, index, valid), lhsUnsigned);
  }
  Value multiplyAdd(ImplicitLocOpBuilder &b, ArrayRef<Value> lhs,
                    ArrayRef<Value> rhs, Value sum) const override {
    int64_t width = cast<VectorType>(sum.getType()).getDimSize(0);
    StringRef name = width == 16  ? "llvm.x86.avx512.pmaddw.d.512"
                     : width == 8 ? "llvm.x86.avx2.pmadd.wd"
                                  : "llvm.x86.sse2.pmadd.wd";
    for (auto [l, r] : llvm::zip_equal(lhs, rhs))
      sum = b.create<arith::AddIOp>(
          sum, callIntrinsic(b, name, sum.getType(), {l, r}));
    return sum;
  }

private:
  static SmallVector<Value> widen(ImplicitLocOpBuilder &b, Value lanes,
                                  bool isUnsigned) {
    int64_t width = cast<VectorType>(lanes.getType()).getDimSize(0);
    auto type = VectorType::get(2 * width, b.getI16Type());
    Value pairs = b.create<vector::BitCastOp>(type, lanes);
    Value eight = splatConstant(b, type, 8);
    if (isUnsigned)
      return {b.create<arith::AndIOp>(pairs, splatConstant(b, type, 255)),
              b.create<arith::ShRUIOp>(pairs, eight)};
    Value high = b.create<arith::ShLIOp>(pairs, eight);
    return {b.create<arith::ShRSIOp>(high, eight),
            b.create<arith::ShRSIOp>(pairs, eight)};
  }
};
} // namespace

std::unique_ptr<Arithmetic> cpu::getByteArithmetic(const CpuFeatures &features,
                                                   bool lhsUnsigned,
                                                   bool rhsUnsigned) {
  switch (features.byteProducts) {
  case ByteProducts::None:
    return nullptr;
  case ByteProducts::Words:
    return std::make_unique<WordArithmetic>(lhsUnsigned, rhsUnsigned);
  case ByteProducts::Vnni:
    return std::make_unique<VnniArithmetic>(lhsUnsigned, rhsUnsigned);
  }
  return nullptr;
}
