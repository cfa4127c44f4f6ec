#include "TestHelpers.h"
#include "lathe/Support/Compare.h"
#include "lathe/Support/Error.h"
#include "lathe/Support/KeyPattern.h"
#include "lathe/Support/Progress.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <thread>

using namespace lathe;
using namespace lathe::test;

// Asking for more memory than there is must be an error here, too, where the
// address sanitizer would rather stop.
extern "C" const char *__asan_default_options();
extern "C" __attribute__((visibility("default"))) const char *
__asan_default_options() {
  return "allocator_may_return_null=1";
}

TEST(Error, FormatsAndKeepsPlainTextAsItIs) {
  EXPECT_EQ(message(makeError("{0} of {1}", 3, "x")), "3 of x");
  EXPECT_EQ(message(makeError("a {0} b")), "a {0} b");
  EXPECT_EQ(message(prefixError("reading", makeError("no"))), "reading: no");
}

TEST(Error, QuotesUntrustedNames) {
  EXPECT_EQ(quote("a\nb"), "'a\\0Ab'");
  EXPECT_LT(quote(std::string(100000, 'x')).size(), 200u);
}

TEST(DType, NamesRoundTrip) {
  for (DType type : kAllDTypes) {
    EXPECT_EQ(parseNpyDescr(dtypeNpyDescr(type)), type);
    EXPECT_EQ(parseSafetensorsDType(dtypeSafetensorsName(type)), type);
  }
  EXPECT_FALSE(parseNpyDescr(">f4"));
  EXPECT_FALSE(parseNpyDescr("<c8"));
}

TEST(DType, HalfMatchesTheHardwareTypeForEveryPattern) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    uint16_t pattern = static_cast<uint16_t>(bits);
    _Float16 half;
    std::memcpy(&half, &pattern, 2);
    float expected = static_cast<float>(half), found = halfToFloat(pattern);
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(found));
      EXPECT_TRUE(std::isnan(halfToFloat(doubleToHalf(found))));
      continue;
    }
    ASSERT_EQ(expected, found) << bits;
    ASSERT_EQ(doubleToHalf(found), pattern) << bits;
    // Halfway to the next value, and just beside it.
    double up = halfToFloat(pattern + 1);
    if (!std::isfinite(up) || !std::isfinite(expected))
      continue;
    double middle = (static_cast<double>(expected) + up) / 2;
    for (double value :
         {middle, std::nextafter(middle, 1e9), std::nextafter(middle, -1e9)}) {
      _Float16 want = static_cast<_Float16>(value);
      uint16_t wantBits;
      std::memcpy(&wantBits, &want, 2);
      ASSERT_EQ(doubleToHalf(value), wantBits) << value;
    }
  }
  EXPECT_EQ(doubleToHalf(65519.99), 0x7BFF);
  EXPECT_EQ(doubleToHalf(65520.0), 0x7C00);
  EXPECT_EQ(doubleToHalf(-1e300), 0xFC00);
}

TEST(DType, BfloatRoundsToNearestEven) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    float value = bfloatToFloat(static_cast<uint16_t>(bits));
    if (std::isnan(value))
      EXPECT_TRUE(std::isnan(bfloatToFloat(doubleToBfloat(value))));
    else
      ASSERT_EQ(doubleToBfloat(value), bits);
  }
  EXPECT_EQ(doubleToBfloat(1.0 + 0x1p-8), 0x3F80); // tie goes to even
  EXPECT_EQ(doubleToBfloat(1.0 + 3 * 0x1p-8), 0x3F82);
  EXPECT_EQ(doubleToBfloat(1.0 + 0x1p-8 + 0x1p-40), 0x3F81);
  EXPECT_EQ(doubleToBfloat(3.4e38), 0x7F80);
}

TEST(DType, Float8RoundsToNearestEvenAndSaturates) {
  for (int bits = 0; bits < 256; ++bits) {
    float value = e4m3ToFloat(uint8_t(bits));
    if ((bits & 0x7F) == 0x7F) {
      EXPECT_TRUE(std::isnan(value));
      EXPECT_EQ(doubleToE4m3(value) & 0x7F, 0x7F);
      continue;
    }
    ASSERT_EQ(doubleToE4m3(value), bits);
    if (bits & 0x80 || bits == 0x7E)
      continue;
    // Between two neighbours the middle is the even one's.
    double next = e4m3ToFloat(uint8_t(bits + 1)), middle = (value + next) / 2;
    EXPECT_EQ(doubleToE4m3(middle), bits + bits % 2);
    EXPECT_EQ(doubleToE4m3(std::nextafter(middle, 0)), bits);
    EXPECT_EQ(doubleToE4m3(std::nextafter(middle, 1e9)), bits + 1);
  }
  EXPECT_EQ(e4m3ToFloat(0x01), 0x1p-9f);
  EXPECT_EQ(e4m3ToFloat(0x08), 0x1p-6f);
  EXPECT_EQ(e4m3ToFloat(0x7E), 448);
  EXPECT_EQ(doubleToE4m3(465), 0x7E);
  EXPECT_EQ(doubleToE4m3(-1e300), 0xFE);
  EXPECT_EQ(doubleToE4m3(HUGE_VAL), 0x7E);
  EXPECT_EQ(doubleToE4m3(0x1p-10), 0); // tie goes to even
  EXPECT_EQ(doubleToE4m3(-0.0), 0x80);
}

TEST(DType, IntegersSaturate) {
  char bytes[8];
  storeFromDouble(DType::I8, bytes, 1e9);
  EXPECT_EQ(loadAsDouble(DType::I8, bytes), 127);
  storeFromDouble(DType::I64, bytes, -1e300);
  EXPECT_EQ(loadAsDouble(DType::I64, bytes), -0x1p63);
  storeFromDouble(DType::U64, bytes, 0x1p64);
  EXPECT_EQ(loadAsDouble(DType::U64, bytes), 0x1p64);
  storeFromDouble(DType::U8, bytes, -3);
  EXPECT_EQ(loadAsDouble(DType::U8, bytes), 0);
  storeFromDouble(DType::I32, bytes, NAN);
  EXPECT_EQ(loadAsDouble(DType::I32, bytes), 0);
  storeFromDouble(DType::I1, bytes, 0.5);
  EXPECT_EQ(loadAsDouble(DType::I1, bytes), 1);
}

TEST(Tensor, SizesAreChecked) {
  EXPECT_EQ(must(checkedBytes({}, DType::F32)), 4u);
  EXPECT_EQ(must(checkedBytes({2, 0, 3}, DType::F64)), 0u);
  EXPECT_EQ(must(checkedBytes({3, 5}, DType::BF16)), 30u);
  EXPECT_ERROR(checkedBytes({-1}, DType::F32), "negative extent -1");
  EXPECT_ERROR(checkedBytes({int64_t(1) << 62, 4}, DType::I8), "too large");
  EXPECT_ERROR(checkedBytes({int64_t(1) << 61}, DType::F64), "too large");
  // An extent of 0 does not make the overflow of the others harmless.
  EXPECT_ERROR(checkedBytes({0, int64_t(1) << 40, int64_t(1) << 40}, DType::I8),
               "too large");
  EXPECT_ERROR(Tensor::create(DType::F32, {int64_t(1) << 58}),
               "not enough memory");
}

TEST(Tensor, IsAlignedAndOwnsItsBytes) {
  Tensor a = tensor<float>(DType::F32, {2, 2}, {1, 2, 3, 4});
  EXPECT_EQ(reinterpret_cast<uintptr_t>(a.data()) % 64, 0u);
  Tensor b = must(Tensor::clone(a));
  b.as<float>()[0] = 9;
  EXPECT_EQ(a.as<float>()[0], 1);
  EXPECT_EQ(formatType(a.dtype(), a.shape()), "f32[2,2]");
  Tensor z = must(Tensor::zeros(DType::I64, {0}));
  EXPECT_EQ(z.numElements(), 0);
  EXPECT_NE(z.data(), nullptr);
}

TEST(Compare, FollowsNumpysRule) {
  Tensor e = tensor<double>(DType::F32, {3}, {1, 100, 0});
  EXPECT_TRUE(compareTensors(e, e, 0, 0).ok);
  Tensor a = tensor<double>(DType::F32, {3}, {1.0001, 100.5, 1e-7});
  EXPECT_TRUE(compareTensors(a, e, 1e-2, 1e-6).ok);
  Comparison c = compareTensors(a, e, 1e-3, 1e-6);
  EXPECT_FALSE(c.ok);
  EXPECT_EQ(c.mismatches, 1);
  EXPECT_EQ(c.worstIndex, Shape({1}));
  EXPECT_DOUBLE_EQ(c.maxAbsError, 0.5);
  EXPECT_NE(c.message.find("worst at [1]: found 100.5, expected 100"),
            std::string::npos)
      << c.message;
  // atol alone decides beside zero.
  EXPECT_EQ(compareTensors(a, e, 1e-2, 1e-8).mismatches, 1);
}

TEST(Compare, SpecialValues) {
  double inf = INFINITY, nan = NAN;
  Tensor e = tensor<double>(DType::F64, {4}, {nan, inf, -inf, 1});
  EXPECT_TRUE(compareTensors(e, e, 0, 0).ok);
  Tensor a = tensor<double>(DType::F64, {4}, {nan, -inf, -inf, 1});
  Comparison c = compareTensors(a, e, 1e9, 1e9);
  EXPECT_EQ(c.mismatches, 1);
  EXPECT_EQ(c.worstIndex, Shape({1}));
  EXPECT_EQ(c.maxAbsError, inf);
  Tensor b = tensor<double>(DType::F64, {4}, {1, inf, -inf, nan});
  EXPECT_EQ(compareTensors(b, e, 1e9, 1e9).mismatches, 2);
  // A different NaN is a NaN all the same.
  Tensor n = tensor<double>(DType::F64, {4}, {-nan, inf, -inf, 1});
  EXPECT_TRUE(compareTensors(n, e, 0, 0).ok);
}

TEST(Compare, IntegersAreExactBeyondDoubles) {
  Tensor e = must(Tensor::zeros(DType::I64, {2}));
  Tensor a = must(Tensor::zeros(DType::I64, {2}));
  e.as<int64_t>()[1] = INT64_MAX;
  a.as<int64_t>()[1] = INT64_MAX - 1; // the same double
  Comparison c = compareTensors(a, e, 1, 1);
  EXPECT_EQ(c.mismatches, 1);
  EXPECT_EQ(c.worstIndex, Shape({1}));
}

TEST(Compare, TypesAndShapesMustAgree) {
  Tensor a = must(Tensor::zeros(DType::F32, {2}));
  Tensor b = must(Tensor::zeros(DType::F32, {2, 1}));
  Tensor c = must(Tensor::zeros(DType::F64, {2}));
  EXPECT_EQ(compareTensors(a, b, 1, 1).mismatches, -1);
  EXPECT_EQ(compareTensors(a, c, 1, 1).message,
            "found f32[2], expected f64[2]");
  Tensor z = must(Tensor::zeros(DType::F32, {0}));
  EXPECT_TRUE(compareTensors(z, z, 0, 0).ok);
}

TEST(SignalToNoise, ByHand) {
  SignalToNoise ratio;
  EXPECT_EQ(ratio.decibels(), INFINITY);
  for (DType type : {DType::F32, DType::F64})
    ratio.add(tensor<double>(type, {2}, {3, 4}),
              tensor<double>(type, {2}, {3, 4}));
  EXPECT_EQ(ratio.signal, 50);
  EXPECT_EQ(ratio.decibels(), INFINITY);
  ratio = {};
  ratio.add(tensor<double>(DType::F64, {2}, {3, 4.5}),
            tensor<double>(DType::F64, {2}, {3, 4}));
  EXPECT_DOUBLE_EQ(ratio.decibels(), 20); // 25 / 0.25
  ratio.add(tensor<float>(DType::F32, {2}, {INFINITY, NAN}),
            tensor<float>(DType::F32, {2}, {INFINITY, NAN}));
  EXPECT_DOUBLE_EQ(ratio.decibels(), 20);
  ratio.add(tensor<float>(DType::F32, {1}, {NAN}),
            tensor<float>(DType::F32, {1}, {1}));
  EXPECT_EQ(ratio.decibels(), -INFINITY);
}

TEST(Progress, SaysNothingForTwoSecondsThenALine) {
  testing::internal::CaptureStderr();
  {
    Progress quick("quick", 10);
    quick.update(5);
    quick.update(10);
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  testing::internal::CaptureStderr();
  {
    Progress slow("reading", 10);
    std::this_thread::sleep_for(std::chrono::milliseconds(2050));
    slow.update(5, "note");
    slow.update(6); // too soon for another line
  }
  std::string text = testing::internal::GetCapturedStderr();
  EXPECT_EQ(text, "reading: 50 %, 2 s, about 2 s left note\n");
}

TEST(KeyPattern, CountsFromItsFirstIndex) {
  using Keys = std::vector<std::string>;
  EXPECT_EQ(KeyPattern("h.{}.w").keys(2), (Keys{"h.0.w", "h.1.w"}));
  EXPECT_EQ(KeyPattern("layer3.{1}.w").keys(2),
            (Keys{"layer3.1.w", "layer3.2.w"}));
  EXPECT_EQ(KeyPattern("{9}").keys(2), (Keys{"9", "10"}));
  // What is no index is part of the name.
  for (const char *name : {"", "w", "{", "a{x}b", "{-1}", "{1", "{1234567}"}) {
    EXPECT_FALSE(KeyPattern(name).isStacked()) << name;
    EXPECT_EQ(KeyPattern(name).keys(2), Keys{name});
  }
  EXPECT_EQ(KeyPattern("a.{}.{2}").holes(), 2u);
  EXPECT_EQ(KeyPattern("a.{}.{2}").keys(1), Keys{"a.0.{2}"});
}
