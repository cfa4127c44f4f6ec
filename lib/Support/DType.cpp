//===- DType.cpp - Element types of host tensors --------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Support/DType.h"

#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/ErrorHandling.h"

#include <cmath>
#include <cstring>
#include <limits>

using namespace llvm;

namespace lathe {

namespace {
struct Names {
  size_t size;
  const char *ir, *npy, *safetensors;
};
// Indexed by the enum's value.
constexpr Names kNames[] = {
    {0, "", "", ""},
    {8, "f64", "<f8", "F64"},
    {4, "f32", "<f4", "F32"},
    {2, "f16", "<f2", "F16"},
    {2, "bf16", "<V2", "BF16"},
    {8, "i64", "<i8", "I64"},
    {4, "i32", "<i4", "I32"},
    {2, "i16", "<i2", "I16"},
    {1, "i8", "|i1", "I8"},
    {1, "i1", "|b1", "BOOL"},
    {8, "ui64", "<u8", "U64"},
    {4, "ui32", "<u4", "U32"},
    {2, "ui16", "<u2", "U16"},
    {1, "ui8", "|u1", "U8"},
    {1, "f8E4M3FN", "<V1", "F8_E4M3"},
};
const Names &names(DType type) { return kNames[static_cast<size_t>(type)]; }
} // namespace

size_t dtypeSize(DType type) { return names(type).size; }
StringRef dtypeName(DType type) { return names(type).ir; }
StringRef dtypeNpyDescr(DType type) { return names(type).npy; }
StringRef dtypeSafetensorsName(DType type) { return names(type).safetensors; }

bool isFloat(DType type) {
  return type <= DType::BF16 || type == DType::F8E4M3;
}
bool isUnsignedInteger(DType type) {
  return type >= DType::U64 && type <= DType::U8;
}

std::optional<DType> parseSafetensorsDType(StringRef name) {
  for (DType type : kAllDTypes)
    if (name == dtypeSafetensorsName(type))
      return type;
  return std::nullopt;
}

std::optional<DType> parseNpyDescr(StringRef descr) {
  if (descr.size() != 3 || !StringRef("<|=").contains(descr[0]))
    return std::nullopt;
  for (DType type : kAllDTypes)
    if (descr.drop_front() == dtypeNpyDescr(type).drop_front())
      return type;
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Conversions
//===----------------------------------------------------------------------===//

namespace {
template <typename To, typename From> To bitCast(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof(to));
  return to;
}

// Rounds a double to a 16-bit format with `mantissa` explicit bits and an
// exponent bias; one rounding to nearest even, subnormals included.
uint16_t roundTo16(double value, int mantissa, int bias) {
  uint64_t bits = bitCast<uint64_t>(value);
  uint16_t sign = static_cast<uint16_t>(bits >> 48 & 0x8000);
  int maxExponent = 2 * bias + 1; // all ones
  uint16_t infinity = static_cast<uint16_t>(maxExponent << mantissa);
  if (std::isnan(value)) {
    // Keep the top of the payload and make it quiet.
    uint16_t payload =
        static_cast<uint16_t>((bits & 0xFFFFFFFFFFFFFull) >> (52 - mantissa));
    return sign | infinity | payload | uint16_t(1) << (mantissa - 1);
  }
  if (std::isinf(value))
    return sign | infinity;
  if (value == 0)
    return sign;
  int exponent;
  double fraction = std::frexp(std::fabs(value), &exponent); // [0.5, 1)
  int biased = exponent - 1 + bias;
  // A subnormal result has fewer bits; its last bit is worth
  // 2^(1-bias-mantissa).
  int kept = biased >= 1 ? mantissa + 1 : mantissa + biased;
  if (kept < 0)
    return sign; // below half of the smallest subnormal
  // |value| = scaled * 2^(exponent - kept); a double holds `scaled` exactly.
  double scaled = std::ldexp(fraction, kept);
  double floored = std::floor(scaled);
  double rest = scaled - floored;
  uint64_t integer = static_cast<uint64_t>(floored);
  if (rest > 0.5 || (rest == 0.5 && (integer & 1)))
    ++integer;
  // Adding lets a carry move into the exponent, up to infinity.
  uint64_t result =
      biased >= 1 ? (uint64_t(biased - 1) << mantissa) + integer : integer;
  return sign | static_cast<uint16_t>(std::min<uint64_t>(result, infinity));
}

template <typename T> T saturate(double value) {
  if (std::isnan(value))
    return 0;
  // max of the 64-bit types rounds up as a double: compare with >=.
  if (value >= static_cast<double>(std::numeric_limits<T>::max()))
    return std::numeric_limits<T>::max();
  if (value <= static_cast<double>(std::numeric_limits<T>::min()))
    return std::numeric_limits<T>::min();
  return static_cast<T>(value);
}

template <typename T> double load(const void *data) {
  T value;
  std::memcpy(&value, data, sizeof(T));
  return static_cast<double>(value);
}
template <typename T> void store(void *data, T value) {
  std::memcpy(data, &value, sizeof(T));
}
uint16_t load16(const void *data) {
  uint16_t bits;
  std::memcpy(&bits, data, sizeof(bits));
  return bits;
}
} // namespace

float halfToFloat(uint16_t bits) {
  uint32_t sign = uint32_t(bits & 0x8000) << 16;
  uint32_t exponent = bits >> 10 & 0x1F;
  uint32_t fraction = bits & 0x3FF;
  if (exponent == 0x1F)
    return bitCast<float>(sign | 0x7F800000u | fraction << 13);
  if (exponent)
    return bitCast<float>(sign | (exponent + 112) << 23 | fraction << 13);
  float magnitude = static_cast<float>(fraction) * 0x1p-24f;
  return sign ? -magnitude : magnitude;
}

float bfloatToFloat(uint16_t bits) {
  return bitCast<float>(uint32_t(bits) << 16);
}

float e4m3ToFloat(uint8_t bits) {
  int exponent = bits >> 3 & 0xF, fraction = bits & 7;
  float size = (bits & 0x7F) == 0x7F ? std::numeric_limits<float>::quiet_NaN()
               : exponent == 0       ? std::ldexp(float(fraction), -9)
                               : std::ldexp(float(8 + fraction), exponent - 10);
  return bits & 0x80 ? -size : size;
}

uint8_t doubleToE4m3(double value) {
  uint8_t sign = std::signbit(value) ? 0x80 : 0;
  if (std::isnan(value))
    return sign | 0x7F;
  double size = std::min(std::fabs(value), 448.0);
  if (size == 0)
    return sign;
  // The last bit is worth 2^-9 up to 2^-5, then twice as much from every power
  // of two on. A carry moves into the exponent.
  int exponent;
  std::frexp(size, &exponent);
  exponent = std::max(exponent - 4, -9);
  double scaled = std::ldexp(size, -exponent), floored = std::floor(scaled);
  int last = int(floored);
  if (scaled - floored > 0.5 || (scaled - floored == 0.5 && (last & 1)))
    ++last;
  return sign | uint8_t((exponent + 9) * 8 + last);
}

uint16_t doubleToHalf(double value) { return roundTo16(value, 10, 15); }
uint16_t doubleToBfloat(double value) { return roundTo16(value, 7, 127); }

double loadAsDouble(DType type, const void *data) {
  switch (type) {
  case DType::F64:
    return load<double>(data);
  case DType::F32:
    return load<float>(data);
  case DType::F16:
    return halfToFloat(load16(data));
  case DType::BF16:
    return bfloatToFloat(load16(data));
  case DType::I64:
    return load<int64_t>(data);
  case DType::I32:
    return load<int32_t>(data);
  case DType::I16:
    return load<int16_t>(data);
  case DType::I8:
    return load<int8_t>(data);
  case DType::I1:
    return load<uint8_t>(data) != 0;
  case DType::U64:
    return load<uint64_t>(data);
  case DType::U32:
    return load<uint32_t>(data);
  case DType::U16:
    return load<uint16_t>(data);
  case DType::U8:
    return load<uint8_t>(data);
  case DType::F8E4M3:
    return e4m3ToFloat(static_cast<uint8_t>(load<uint8_t>(data)));
  }
  llvm_unreachable("no such element type");
}

void storeFromDouble(DType type, void *data, double value) {
  switch (type) {
  case DType::F64:
    return store<double>(data, value);
  case DType::F32:
    return store<float>(data, static_cast<float>(value));
  case DType::F16:
    return store<uint16_t>(data, doubleToHalf(value));
  case DType::BF16:
    return store<uint16_t>(data, doubleToBfloat(value));
  case DType::I64:
    return store<int64_t>(data, saturate<int64_t>(value));
  case DType::I32:
    return store<int32_t>(data, saturate<int32_t>(value));
  case DType::I16:
    return store<int16_t>(data, saturate<int16_t>(value));
  case DType::I8:
    return store<int8_t>(data, saturate<int8_t>(value));
  case DType::I1:
    return store<uint8_t>(data, value != 0);
  case DType::U64:
    return store<uint64_t>(data, saturate<uint64_t>(value));
  case DType::U32:
    return store<uint32_t>(data, saturate<uint32_t>(value));
  case DType::U16:
    return store<uint16_t>(data, saturate<uint16_t>(value));
  case DType::U8:
    return store<uint8_t>(data, saturate<uint8_t>(value));
  case DType::F8E4M3:
    return store<uint8_t>(data, doubleToE4m3(value));
  }
  llvm_unreachable("no such element type");
}

} // namespace lathe
