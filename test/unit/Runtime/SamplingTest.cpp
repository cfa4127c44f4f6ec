//===- SamplingTest.cpp - The next token from logits ----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Sampling.h"
#include "gtest/gtest.h"

#include <cmath>
#include <limits>
#include <vector>

using namespace lathe;

namespace {
constexpr float kInf = std::numeric_limits<float>::infinity();

int64_t draw(const std::vector<float> &logits, SamplingOptions options,
             uint64_t position = 0) {
  llvm::Expected<int64_t> token = sampleToken(logits, options, position);
  if (!token) {
    ADD_FAILURE() << llvm::toString(token.takeError());
    return -1;
  }
  return *token;
}

std::vector<double> shares(const std::vector<float> &logits,
                           SamplingOptions options, int draws = 20000) {
  std::vector<double> result(logits.size());
  for (int i = 0; i < draws; ++i)
    result[draw(logits, options, i)] += 1.0 / draws;
  return result;
}

std::string errorOf(const std::vector<float> &logits) {
  llvm::Expected<int64_t> token = sampleToken(logits, {}, 3);
  return token ? "" : llvm::toString(token.takeError());
}

TEST(Sampling, GreedyTakesTheFirstOfTheLargest) {
  SamplingOptions greedy;
  greedy.temperature = 0;
  EXPECT_EQ(draw({1, 5, 5, 2}, greedy), 1);
  EXPECT_EQ(draw({-kInf, -kInf, -7}, greedy), 2);
}

TEST(Sampling, SharesAreTheSoftmaxOverTheTemperature) {
  std::vector<float> logits = {std::log(1.f), std::log(2.f), std::log(5.f)};
  SamplingOptions options;
  std::vector<double> plain = shares(logits, options);
  // Three standard deviations of 20,000 draws are at most 0.011.
  EXPECT_NEAR(plain[0], 1 / 8.0, 0.011);
  EXPECT_NEAR(plain[1], 2 / 8.0, 0.011);
  EXPECT_NEAR(plain[2], 5 / 8.0, 0.011);
  options.temperature = 0.5; // squares the odds: 1, 4, 25
  std::vector<double> cold = shares(logits, options);
  EXPECT_NEAR(cold[0], 1 / 30.0, 0.011);
  EXPECT_NEAR(cold[1], 4 / 30.0, 0.011);
  EXPECT_NEAR(cold[2], 25 / 30.0, 0.011);
}

TEST(Sampling, TopKKeepsTheFirstOfEquals) {
  SamplingOptions options;
  options.topK = 2;
  std::vector<double> found = shares({0, 1, 1, 1}, options);
  EXPECT_EQ(found[0], 0);
  EXPECT_NEAR(found[1], 0.5, 0.011);
  EXPECT_NEAR(found[2], 0.5, 0.011);
  EXPECT_EQ(found[3], 0);
  options.topK = 1000;
  EXPECT_GT(shares({0, 1, 1, 1}, options)[0], 0);
}

TEST(Sampling, TopPKeepsTheFewestThatReachIt) {
  // Shares 0.5, 0.3, 0.2.
  std::vector<float> logits = {std::log(2.f), std::log(5.f), std::log(3.f)};
  SamplingOptions options;
  options.topP = 0.6;
  std::vector<double> found = shares(logits, options);
  EXPECT_EQ(found[0], 0);
  EXPECT_NEAR(found[1], 5 / 8.0, 0.011);
  EXPECT_NEAR(found[2], 3 / 8.0, 0.011);
  options.topP = 0.3;
  found = shares(logits, options);
  EXPECT_EQ(found[0] + found[2], 0);
  // At least one token is left.
  options.topP = 0;
  found = shares(logits, options);
  EXPECT_EQ(found[0] + found[2], 0);
}

TEST(Sampling, SeedAndPositionDecide) {
  std::vector<float> logits(100, 0);
  SamplingOptions one, other;
  other.seed = 1;
  int same = 0, asBefore = 0;
  for (int i = 0; i < 200; ++i) {
    EXPECT_EQ(draw(logits, one, i), draw(logits, one, i));
    same += draw(logits, one, i) == draw(logits, other, i);
    asBefore += draw(logits, one, i) == draw(logits, one, i + 1);
  }
  // Two expected by chance.
  EXPECT_LT(same, 12);
  EXPECT_LT(asBefore, 12);
}

TEST(Sampling, WhatCannotBeIsNeverDrawn) {
  std::vector<double> found = shares({-kInf, 0, -kInf, 0, -kInf}, {});
  EXPECT_EQ(found[0] + found[2] + found[4], 0);
}

TEST(Sampling, Refuses) {
  EXPECT_EQ(errorOf({}), "there are no tokens to choose from");
  EXPECT_EQ(errorOf({0, NAN}),
            "the logit of token 1 at position 3 is not a number");
  EXPECT_EQ(errorOf({0, 1, kInf}),
            "the logit of token 2 at position 3 is infinite");
  EXPECT_EQ(errorOf({-kInf, -kInf}),
            "every logit at position 3 is minus infinity");
}
} // namespace
