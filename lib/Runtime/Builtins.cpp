//===- Builtins.cpp - The functions kernels may call ----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Builtins.h"

#include "Sim/Functions.h"
#include "lathe/Support/DType.h"
#include "llvm/ADT/StringMap.h"

#include <cmath>
#include <cstdlib>
#include <cstring>

using namespace lathe;

//===----------------------------------------------------------------------===//
// What LLVM calls for types the processor lacks and Debian 12's libgcc does not
// have. Half and bfloat16 values travel in the low 16 bits of xmm0; GCC 12
// knows no __bf16, so both are written as _Float16, which travels the same way.
//===----------------------------------------------------------------------===//

namespace {
_Float16 asRegister(uint16_t bits) {
  _Float16 value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}
uint16_t fromRegister(_Float16 value) {
  uint16_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

_Float16 truncateToHalf(float value) { return asRegister(doubleToHalf(value)); }
_Float16 truncateDoubleToHalf(double value) {
  return asRegister(doubleToHalf(value));
}
float extendHalf(_Float16 value) { return halfToFloat(fromRegister(value)); }
double extendHalfToDouble(_Float16 value) {
  return halfToFloat(fromRegister(value));
}
// Called once per element where AVX512-BF16 is missing, so without branches
// but for NaN.
_Float16 truncateToBfloat(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  if ((bits & 0x7FFFFFFF) > 0x7F800000)
    return asRegister(static_cast<uint16_t>(bits >> 16 | 0x40));
  return asRegister(
      static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16));
}
_Float16 truncateDoubleToBfloat(double value) {
  return asRegister(doubleToBfloat(value));
}
float extendBfloat(_Float16 value) {
  return bfloatToFloat(fromRegister(value));
}
float halfBitsToFloat(uint16_t bits) { return halfToFloat(bits); }
uint16_t floatToHalfBits(float value) { return doubleToHalf(value); }

// The same products in the same order as compiler-rt.
template <typename T> T powerOfInteger(T base, int exponent) {
  bool reciprocal = exponent < 0;
  T result = 1;
  while (true) {
    if (exponent & 1)
      result *= base;
    exponent /= 2;
    if (!exponent)
      break;
    base *= base;
  }
  return reciprocal ? 1 / result : result;
}

using Int128 = __int128;
using UInt128 = unsigned __int128;
Int128 divide128(Int128 a, Int128 b) { return a / b; }
Int128 remainder128(Int128 a, Int128 b) { return a % b; }
UInt128 divideUnsigned128(UInt128 a, UInt128 b) { return a / b; }
UInt128 remainderUnsigned128(UInt128 a, UInt128 b) { return a % b; }

llvm::StringMap<void *> makeTable() {
  llvm::StringMap<void *> table;
  auto add = [&](const char *name, auto *function) {
    table[name] = reinterpret_cast<void *>(function);
  };
  add("memcpy", &std::memcpy);
  add("memmove", &std::memmove);
  add("memset", &std::memset);
  add("memcmp", &std::memcmp);
  add("malloc", &std::malloc);
  add("calloc", &std::calloc);
  add("aligned_alloc", &std::aligned_alloc);
  add("free", &std::free);

#define LATHE_MATH(name, ...)                                                  \
  add(#name, static_cast<double (*)(__VA_ARGS__)>(&::name))
#define LATHE_MATHF(name, ...)                                                 \
  add(#name, static_cast<float (*)(__VA_ARGS__)>(&::name))
#define LATHE_UNARY(name)                                                      \
  LATHE_MATH(name, double);                                                    \
  LATHE_MATHF(name##f, float)
#define LATHE_BINARY(name)                                                     \
  LATHE_MATH(name, double, double);                                            \
  LATHE_MATHF(name##f, float, float)
  LATHE_UNARY(exp);
  LATHE_UNARY(exp2);
  LATHE_UNARY(exp10);
  LATHE_UNARY(expm1);
  LATHE_UNARY(log);
  LATHE_UNARY(log2);
  LATHE_UNARY(log10);
  LATHE_UNARY(log1p);
  LATHE_UNARY(sin);
  LATHE_UNARY(cos);
  LATHE_UNARY(tan);
  LATHE_UNARY(asin);
  LATHE_UNARY(acos);
  LATHE_UNARY(atan);
  LATHE_UNARY(sinh);
  LATHE_UNARY(cosh);
  LATHE_UNARY(tanh);
  LATHE_UNARY(asinh);
  LATHE_UNARY(acosh);
  LATHE_UNARY(atanh);
  LATHE_UNARY(erf);
  LATHE_UNARY(erfc);
  LATHE_UNARY(lgamma);
  LATHE_UNARY(tgamma);
  LATHE_UNARY(sqrt);
  LATHE_UNARY(cbrt);
  LATHE_UNARY(fabs);
  LATHE_UNARY(floor);
  LATHE_UNARY(ceil);
  LATHE_UNARY(trunc);
  LATHE_UNARY(round);
  LATHE_UNARY(rint);
  LATHE_UNARY(nearbyint);
  LATHE_UNARY(roundeven);
  LATHE_BINARY(pow);
  LATHE_BINARY(atan2);
  LATHE_BINARY(fmod);
  LATHE_BINARY(remainder);
  LATHE_BINARY(hypot);
  LATHE_BINARY(fmin);
  LATHE_BINARY(fmax);
  LATHE_BINARY(fdim);
  LATHE_BINARY(copysign);
  LATHE_MATH(fma, double, double, double);
  LATHE_MATHF(fmaf, float, float, float);
  LATHE_MATH(ldexp, double, int);
  LATHE_MATHF(ldexpf, float, int);
  LATHE_MATH(frexp, double, int *);
  LATHE_MATHF(frexpf, float, int *);
#undef LATHE_MATH
#undef LATHE_MATHF
#undef LATHE_UNARY
#undef LATHE_BINARY
  add("sincos", &::sincos);
  add("sincosf", &::sincosf);
  add("lround", static_cast<long (*)(double)>(&::lround));
  add("lroundf", static_cast<long (*)(float)>(&::lroundf));
  add("lrint", static_cast<long (*)(double)>(&::lrint));
  add("lrintf", static_cast<long (*)(float)>(&::lrintf));

  add("__truncsfhf2", &truncateToHalf);
  add("__truncdfhf2", &truncateDoubleToHalf);
  add("__extendhfsf2", &extendHalf);
  add("__extendhfdf2", &extendHalfToDouble);
  add("__truncsfbf2", &truncateToBfloat);
  add("__truncdfbf2", &truncateDoubleToBfloat);
  add("__extendbfsf2", &extendBfloat);
  add("__gnu_h2f_ieee", &halfBitsToFloat);
  add("__gnu_f2h_ieee", &floatToHalfBits);
  add("__powisf2", &powerOfInteger<float>);
  add("__powidf2", &powerOfInteger<double>);
  add("__divti3", &divide128);
  add("__modti3", &remainder128);
  add("__udivti3", &divideUnsigned128);
  add("__umodti3", &remainderUnsigned128);
  addSimFunctions(
      [&](const char *name, void *function) { table[name] = function; });
  return table;
}
} // namespace

void *lathe::findBuiltin(llvm::StringRef name) {
  static const llvm::StringMap<void *> table = makeTable();
  return table.lookup(name);
}
