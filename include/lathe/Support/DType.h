//===- DType.h - Element types of host tensors ------------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The element types Lathe stores, with their names in IR, npy and safetensors.
// The numbers are those of `ElementType` in Executable.proto.
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_SUPPORT_DTYPE_H
#define LATHE_SUPPORT_DTYPE_H

#include "llvm/ADT/StringRef.h"

#include <cstddef>
#include <cstdint>
#include <optional>

namespace lathe {

enum class DType : uint8_t {
  F64 = 1,
  F32 = 2,
  F16 = 3,
  BF16 = 4,
  I64 = 5,
  I32 = 6,
  I16 = 7,
  I8 = 8,
  I1 = 9, ///< one byte per element, 0 or 1
  U64 = 10,
  U32 = 11,
  U16 = 12,
  U8 = 13,
  F8E4M3 = 14, ///< e4m3fn: no infinities, up to 448, one NaN of each sign
};

inline constexpr DType kAllDTypes[] = {
    DType::F64, DType::F32, DType::F16, DType::BF16,  DType::I64,
    DType::I32, DType::I16, DType::I8,  DType::I1,    DType::U64,
    DType::U32, DType::U16, DType::U8,  DType::F8E4M3};

/// Bytes of one element: 1, 2, 4 or 8.
size_t dtypeSize(DType type);

/// Name as MLIR spells it, unsigned ones with "ui": f32, bf16, i1, ui8,
/// f8E4M3FN.
llvm::StringRef dtypeName(DType type);

/// NumPy's `descr`: "<f4", "|b1". NumPy has no bfloat16 and no 8-bit floats;
/// "<V2" and "<V1" are what numpy with ml_dtypes writes for them (it writes the
/// latter for all 8-bit floats).
llvm::StringRef dtypeNpyDescr(DType type);

/// Name in a safetensors header: F32, BOOL, BF16, F8_E4M3.
llvm::StringRef dtypeSafetensorsName(DType type);

bool isFloat(DType type);
bool isUnsignedInteger(DType type); ///< U64 ... U8; I1 is neither

std::optional<DType> parseSafetensorsDType(llvm::StringRef name);
/// Little-endian descriptors only ("<", "|", "=").
std::optional<DType> parseNpyDescr(llvm::StringRef descr);

/// The element at `data` as a number; I1 is 0 or 1. I64 and U64 beyond 2^53
/// are rounded.
double loadAsDouble(DType type, const void *data);
/// Rounds to nearest even for floats (F8E4M3 saturates), truncates and
/// saturates for integers (NaN becomes 0), I1 is value != 0.
void storeFromDouble(DType type, void *data, double value);

float halfToFloat(uint16_t bits);
float bfloatToFloat(uint16_t bits);
uint16_t doubleToHalf(double value);   ///< one rounding, nearest even
uint16_t doubleToBfloat(double value); ///< one rounding, nearest even
float e4m3ToFloat(uint8_t bits);
uint8_t doubleToE4m3(double value); ///< one rounding, nearest even; saturates

} // namespace lathe

#endif // LATHE_SUPPORT_DTYPE_H
