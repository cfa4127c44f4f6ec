//===- RangesTest.cpp - Files of ranges -----------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Support/Ranges.h"

#include "TestHelpers.h"

#include <cmath>

using namespace lathe;
using namespace lathe::test;

static Ranges example() {
  Ranges ranges;
  ranges.model = "net.mlir";
  ranges.method = "percentile 99.99";
  ranges.samples = 12;
  ranges.sites.push_back({"net.mlir:7:3#0",
                          {-1.5, 0.1f},
                          {2, 0x1.fffffep-2f},
                          {2, 1e-30},
                          {-1.75, 0.1f},
                          {2.5, 1e30},
                          {0.001, 0},
                          {}});
  ranges.sites.push_back({"a \"node\"\n#1", {0}, {0}, {0}, {}, {}, {}, {}});
  return ranges;
}

static std::string wrap(const std::string &sites) {
  return R"({"format": "lathe-ranges", "version": 1, "sites": )" + sites + "}";
}

TEST(Ranges, RoundTrip) {
  TempFolder folder;
  ASSERT_EQ(message(writeRanges(folder / "r.json", example())), "");
  Ranges read = must(readRanges(folder / "r.json"));
  EXPECT_EQ(read.model, "net.mlir");
  EXPECT_EQ(read.method, "percentile 99.99");
  EXPECT_EQ(read.samples, 12);
  ASSERT_EQ(read.sites.size(), 2u);
  EXPECT_EQ(read.find("net.mlir:7:3#1"), nullptr);
  ASSERT_NE(read.find("a \"node\"\n#1"), nullptr);
  const SiteRanges *site = read.find("net.mlir:7:3#0");
  ASSERT_NE(site, nullptr);
  Ranges wanted = example();
  EXPECT_EQ(site->high[0], 2);
  // Numbers are shortened to what gives the same f32.
  for (auto [list, before] :
       {std::pair(&site->low, &wanted.sites[0].low),
        std::pair(&site->high, &wanted.sites[0].high),
        std::pair(&site->magnitude, &wanted.sites[0].magnitude),
        std::pair(&site->seenLow, &wanted.sites[0].seenLow),
        std::pair(&site->seenHigh, &wanted.sites[0].seenHigh),
        std::pair(&site->clipped, &wanted.sites[0].clipped)}) {
    ASSERT_EQ(list->size(), 2u);
    for (int i = 0; i < 2; ++i)
      EXPECT_EQ(float((*list)[i]), float((*before)[i]));
  }
  EXPECT_NE(slurp(folder / "r.json").find("[-1.5,0.1]"), std::string::npos);
  // Names that are no UTF-8 do not stop the file.
  wanted.sites[0].name = "\xff#0";
  EXPECT_EQ(must(parseRanges(formatRanges(wanted))).sites.size(), 2u);
}

TEST(Ranges, ReadsTheLeast) {
  Ranges read = must(parseRanges(
      wrap(R"({"x#0": {"low": [-3], "high": [2], "more": {"a": [[[1]]]}}})")));
  EXPECT_EQ(read.sites[0].magnitude, std::vector<double>{3});
  EXPECT_TRUE(read.sites[0].clipped.empty());
  EXPECT_TRUE(must(parseRanges(wrap("{}"))).sites.empty());
}

TEST(Ranges, Keeps) {
  Ranges wanted;
  wanted.keep = {"a.mlir:1:2", "x \"y\"*"};
  std::string text = formatRanges(wanted);
  EXPECT_EQ(must(parseRanges(text)).keep, wanted.keep);
  // A file that keeps nothing says nothing of it.
  wanted.keep.clear();
  EXPECT_EQ(formatRanges(wanted).find("keep"), std::string::npos);
  EXPECT_TRUE(must(parseRanges(wrap("{}"))).keep.empty());
  EXPECT_TRUE(must(parseRanges(wrap("{}, \"keep\": []"))).keep.empty());
}

TEST(Ranges, Refuses) {
  auto refuse = [](const std::string &text, const char *words) {
    EXPECT_ERROR(parseRanges(text), words);
  };
  refuse("", "it is not valid JSON");
  refuse("{", "it is not valid JSON");
  refuse("[1]", "expected an object with \"format\": \"lathe-ranges\"");
  refuse("{}", "expected an object with \"format\"");
  refuse(R"({"format": 7})", "expected an object with \"format\"");
  refuse(R"({"format": "lathe-ranges"})", "expected version 1, got none");
  refuse(R"({"format": "lathe-ranges", "version": 2})",
         "expected version 1, got 2");
  refuse(R"({"format": "lathe-ranges", "version": 1})",
         "expected an object 'sites'");
  refuse(wrap("[]"), "expected an object 'sites'");
  refuse(wrap(R"({"x#0": 1})"),
         "site 'x#0': expected an object with 'low' and 'high'");
  refuse(wrap(R"({"x#0": {}})"), "site 'x#0': expected lists 'low' and 'high'");
  refuse(wrap(R"({"x#0": {"low": [1]}})"), "expected lists 'low' and 'high'");
  refuse(wrap(R"({"x#0": {"high": [1]}})"),
         "expected as many numbers in 'high' as in 'low', got 1 and 0");
  refuse(wrap(R"({"x#0": {"low": [], "high": []}})"),
         "expected 'low' to be a list of numbers");
  refuse(wrap(R"({"x#0": {"low": 1, "high": [2]}})"),
         "expected 'low' to be a list of numbers");
  refuse(wrap(R"({"x#0": {"low": ["1"], "high": [2]}})"),
         "expected finite numbers in 'low', at most half the largest f32, got "
         "\"1\"");
  refuse(wrap(R"({"x#0": {"low": [1, 2], "high": [3]}})"),
         "expected as many numbers in 'high' as in 'low', got 1 and 2");
  refuse(wrap(R"({"x#0": {"low": [3], "high": [2]}})"),
         "expected 'low' to be at most 'high', got 3 and 2");
  refuse(wrap(R"({"x#0": {"low": [1], "high": [2], "magnitude": [-1]}})"),
         "expected 'magnitude' to be 0 or more, got -1");
  refuse(wrap(R"({"x#0": {"low": [1e999], "high": [2]}})"),
         "it holds a number that no f64 can hold");
  refuse(wrap(R"({"x#0": {"low": [1], "high": [1e300]}})"),
         "at most half the largest f32, got 1e+300");
  // What is no part of a range may be as large as numbers get.
  EXPECT_EQ(must(parseRanges(wrap(R"({"x#0": {"low": [1], "high": [2],
                                              "seen_high": [3e38]}})")))
                .sites.size(),
            1u);
  refuse(wrap(R"({"x#0": {"low": [1], "high": [2], "seen_high": [1e39]}})"),
         "expected finite numbers in 'seen_high', at most the largest f32");
  refuse(wrap(R"({"x#0": {"low": [null], "high": [2]}})"),
         "expected finite numbers in 'low', at most half the largest f32, got "
         "null");
  refuse(wrap(R"({"x#0": {"low": [1], "high": [2]},
                  "y#0": {"low": [1], "high": [2]},
                  "x#0": {"low": [1], "high": [3]}})"),
         "it holds the key 'x#0' more than once");
  refuse(wrap(R"({}, "keep": "a")"),
         "expected 'keep' to be a list of names, got \"a\"");
  refuse(wrap(R"({}, "keep": {"a": 1})"),
         "expected 'keep' to be a list of names, got {\"a\":1}");
  refuse(wrap(R"({}, "keep": null)"),
         "expected 'keep' to be a list of names, got null");
  refuse(wrap(R"({}, "keep": ["a", 7])"),
         "expected names of products in 'keep', got 7");
  refuse(wrap(R"({}, "keep": [["a"]])"),
         "expected names of products in 'keep', got [\"a\"]");
  refuse(wrap(R"({}, "keep": [""])"),
         "expected names of products in 'keep', got \"\"");
  refuse(wrap(R"({"x#0": {"low": [1], "high": [2], "smooth": [1]}})"),
         "expected 'smooth' to be a list of numbers");
  refuse(wrap(R"({"x#0": {"low": [1], "high": [2], "smooth": [[1], [1]]}})"),
         "expected 'smooth' to have a list for each number of 'low'");
  refuse(wrap(R"({"x#0": {"low": [1, 1], "high": [2, 2],
                          "smooth": [[1, 2], [1]]}})"),
         "expected lists of one length in 'smooth', got 2 and 1");
  refuse(wrap(R"({"x#0": {"low": [1], "high": [2], "smooth": [[1, 0]]}})"),
         "expected numbers above 0 in 'smooth', got 0");
}

TEST(Ranges, Smooth) {
  Ranges ranges = example();
  ranges.sites[0].smooth = {{1, 0.5, 3}, {2, 7, 0.25}};
  Ranges read = must(parseRanges(formatRanges(ranges)));
  const SiteRanges *site = read.find(ranges.sites[0].name);
  ASSERT_NE(site, nullptr);
  EXPECT_EQ(site->smooth, ranges.sites[0].smooth);
  EXPECT_TRUE(read.find(ranges.sites[1].name)->smooth.empty());
}

// What would take much memory or time.
TEST(Ranges, Hostile) {
  EXPECT_ERROR(parseRanges(std::string(10 << 20, '[')),
               "it nests lists and objects more than 16 deep");
  std::string nested = std::string(1 << 20, '[') + std::string(1 << 20, ']');
  EXPECT_ERROR(parseRanges(wrap("{}, \"deep\": " + nested)), "nests");
  EXPECT_EQ(must(parseRanges(wrap("{}, \"text\": \"" + nested + "\\\"\"")))
                .sites.size(),
            0u);
  EXPECT_ERROR(parseRanges(std::string((16 << 20) + 1, ' ')),
               "it holds 16777217 bytes, more than the 16777216");
  std::string many = "{";
  for (int i = 0; i <= 65536; ++i)
    many += (i ? ",\"" : "\"") + std::to_string(i) + "\":{}";
  EXPECT_ERROR(parseRanges(wrap(many + "}")), "it holds 65537 sites");
  many = "[\"a\"";
  for (int i = 0; i < 65536; ++i)
    many += ",\"a\"";
  EXPECT_ERROR(parseRanges(wrap("{}, \"keep\": " + many + "]")),
               "it keeps 65537 products");
  std::string list = "[0";
  for (int i = 0; i < 1 << 17; ++i)
    list += ",0";
  list += "]";
  EXPECT_ERROR(
      parseRanges(wrap("{\"x\":{\"low\":" + list + ",\"high\":" + list + "}}")),
      "it holds more than the 131072 ranges");
  EXPECT_ERROR(readRanges("/no/such/file"), "/no/such/file");
  EXPECT_ERROR(readRanges("/dev/zero"), "expected a file");
}
