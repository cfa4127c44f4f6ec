//===- JsonTest.cpp - JSON of files nobody vouches for --------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Support/Json.h"

#include "TestHelpers.h"

#include <nlohmann/json.hpp>

using namespace lathe;
using namespace lathe::test;

TEST(Json, WhatItReads) {
  nlohmann::ordered_json value = must(parseJson(
      R"({"a": [1, -2, 0.5, null, true], "b": {"a": "x"}, "c": {"a": {}}})",
      {3}));
  EXPECT_EQ(value["a"].size(), 5u);
  EXPECT_EQ(value["a"][2], 0.5);
  EXPECT_EQ(value["b"]["a"], "x");
  // In brackets of a text nothing nests, and lists are as deep as objects.
  EXPECT_EQ(must(parseJson("\"[[[[\"", {1})), "[[[[");
  EXPECT_EQ(must(parseJson("7", {0})), 7);
}

TEST(Json, WhatItRefuses) {
  for (const char *text :
       {"", "{", "[1,]", "{} x", "\"\xff\"", "// x\n1", "{1: 2}", "nul"})
    EXPECT_ERROR(parseJson(text), "it is not valid JSON");
  EXPECT_ERROR(parseJson("[1, x]"), "at byte 5");
  EXPECT_ERROR(parseJson("[1e999]"), "it holds a number that no f64 can hold");
  EXPECT_EQ(must(parseJson("/* x */ 1 // y", {16, true})), 1);
  EXPECT_ERROR(parseJson(R"({"a": 1, "b": {"c": 1, "a": 2, "c": 3}})"),
               "it holds the key 'c' more than once");
  EXPECT_ERROR(parseJson("[{\"a\": []}]", {2}),
               "it nests lists and objects more than 2 deep");
  EXPECT_ERROR(parseJson(std::string(10 << 20, '[')), "more than 16 deep");
}

// A reader that looks through what it has at each value takes hours here.
TEST(Json, ManySmallValues) {
  std::string list = "[{}", object = "{\"\":[]";
  for (int i = 0; i < 500000; ++i) {
    list += ",{}";
    object += ",\"" + std::to_string(i) + "\":[]";
  }
  EXPECT_EQ(must(parseJson(list + "]")).size(), 500001u);
  EXPECT_EQ(must(parseJson(object + "}")).size(), 500001u);
}
