// Mutable parameters: kept between runs, shared between sessions.
#include "ModelBuilder.h"
#include "lathe/Runtime/Session.h"
#include "lathe/Support/Safetensors.h"

using namespace lathe;
using namespace lathe::test;

static int64_t run(Session &session) {
  return must(session.run({}))[0].as<int64_t>()[0];
}

TEST(State, IsKeptBetweenRunsAndSharedByPrograms) {
  Model m = countingModel();
  ASSERT_EQ(message(verifyExecutable(*m.exe)), "");
  auto model = must(LoadedModel::load(m.exe));
  WeightSource none;
  SessionOptions options;
  options.threads = 1;
  options.states = StateStore::create(model);
  auto count = must(Session::create(model, 0, none, options));
  auto read = must(Session::create(model, 1, none, options));
  EXPECT_EQ(run(*read), 0);
  EXPECT_EQ(run(*count), 1);
  EXPECT_EQ(run(*count), 2);
  EXPECT_EQ(run(*read), 2);
  EXPECT_EQ(count->memory().states, 8u);

  StateStore &states = *count->states();
  ASSERT_EQ(states.states().size(), 1u);
  EXPECT_EQ(states.states()[0].spec.name, "train.step");
  EXPECT_EQ(states.totalBytes(), 8u);
  EXPECT_EQ(must(states.get("train.step")).as<int64_t>()[0], 2);
  EXPECT_EQ(
      message(states.set("train.step", tensor<int64_t>(DType::I64, {}, {40}))),
      "");
  EXPECT_EQ(run(*count), 41);
  EXPECT_EQ(run(*read), 41);

  // Without a store to share, each session has its own.
  options.states = nullptr;
  auto alone = must(Session::create(model, 0, none, options));
  EXPECT_EQ(run(*alone), 1);
  EXPECT_EQ(run(*read), 41);
}

TEST(State, RefusesWhatDoesNotFit) {
  Model m = countingModel();
  auto model = must(LoadedModel::load(m.exe));
  WeightSource none;
  SessionOptions options;
  options.threads = 1;
  options.states = StateStore::create(model);
  auto session = must(Session::create(model, 0, none, options));
  StateStore &states = *session->states();
  EXPECT_ERROR(states.get("step"), "the model has no state 'step'");
  EXPECT_ERROR(states.set("step", tensor<int>(DType::I64, {}, {1})),
               "the model has no state 'step'");
  EXPECT_ERROR(states.set("train.step", tensor<int>(DType::I64, {1}, {1})),
               "state 'train.step' is i64[1], expected i64[]");
  EXPECT_ERROR(states.set("train.step", tensor<int>(DType::I32, {}, {1})),
               "state 'train.step' is i32[], expected i64[]");
  // A model with another idea of the state.
  Model other;
  other.state("train.step", DType::F32, {2});
  EXPECT_ERROR(
      Session::create(must(LoadedModel::load(other.exe)), 0, none, options),
      "state 'train.step' is i64[] in the store, expected f32[2]");
}

TEST(State, IsFilledAsParametersAre) {
  Model m;
  uint32_t w = m.state("w", DType::F32, {2}, "ones");
  uint32_t v = m.state("v", DType::F32, {2}, "");
  m.copy(m.steps(), w, m.output("w", DType::F32, {2}));
  m.copy(m.steps(), v, m.output("v", DType::F32, {2}));
  ASSERT_EQ(message(verifyExecutable(*m.exe)), "");
  auto model = must(LoadedModel::load(m.exe));
  WeightSource none;
  SessionOptions options;
  options.threads = 1;
  EXPECT_ERROR(Session::create(model, 0, none, options),
               "1 parameters without values, such as 'v'");
  // What is in the store needs no file.
  options.states = StateStore::create(model);
  Tensor given = tensor<int>(DType::F32, {2}, {5, 6});
  ASSERT_EQ(
      message(options.states->add({"v", DType::F32, {2}},
                                  static_cast<const char *>(given.data()))),
      "");
  auto session = must(Session::create(model, 0, none, options));
  auto out = must(session->run({}));
  EXPECT_EQ(out[0].as<float>()[1], 1);
  EXPECT_EQ(out[1].as<float>()[1], 6);
}

// Fine-tuning: the model's states are in the file, those of training in none.
TEST(State, WhatTrainingAddsIsInNoFile) {
  TempFolder folder;
  Tensor w = tensor<int>(DType::F32, {2}, {5, 6});
  ASSERT_EQ(
      message(writeSafetensors(folder / "w.safetensors", {NamedView{"w", w}})),
      "");
  WeightSource file;
  ASSERT_EQ(message(file.add(folder / "w.safetensors")), "");
  SessionOptions options;
  options.threads = 1;
  Model m;
  m.state("w", DType::F32, {2});
  m.state("train.step", DType::I64, {});
  m.state("optimizer.exp_avg.w", DType::F32, {2});
  auto session =
      must(Session::create(must(LoadedModel::load(m.exe)), 0, file, options));
  EXPECT_EQ(must(session->states()->get("w")).as<float>()[1], 6);
  EXPECT_EQ(must(session->states()->get("optimizer.exp_avg.w")).as<float>()[1],
            0);
  EXPECT_TRUE(session->notes().empty());
  m.state("v", DType::F32, {2});
  EXPECT_ERROR(
      Session::create(must(LoadedModel::load(m.exe)), 0, file, options),
      "'v' is missing");
}
