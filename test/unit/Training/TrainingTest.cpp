// A model file to a trained model, through compiler and Runtime.
#include "lathe/Pipelines/Training.h"
#include "TestHelpers.h"
#include "lathe/Runtime/CudaNvrtc.h"
#include "lathe/Runtime/Session.h"

#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"

#include <cmath>

using namespace lathe;
using namespace lathe::test;

namespace {

// With everything that training does otherwise: batch norm, dropout, a key.
constexpr const char *kModel = R"(
lathe.parameter @"hidden.weight" : tensor<16x8xf32> {init = #lathe.init<kaiming_uniform>}
lathe.parameter @"hidden.bias" : tensor<16xf32> {init = #lathe.init<zeros>}
lathe.parameter @"norm.weight" : tensor<16xf32> {init = #lathe.init<ones>}
lathe.parameter @"norm.bias" : tensor<16xf32> {init = #lathe.init<zeros>}
lathe.parameter @"norm.mean" : tensor<16xf32> {init = #lathe.init<zeros>, mutable}
lathe.parameter @"norm.var" : tensor<16xf32> {init = #lathe.init<ones>, mutable}
lathe.parameter @"output.weight" : tensor<3x16xf32> {init = #lathe.init<xavier_uniform>}
func.func private @classify(%x: tensor<?x8xf32>, %key: tensor<2xi64>) -> tensor<?x3xf32> {
  %w = lathe.get_parameter @"hidden.weight" : tensor<16x8xf32>
  %b = lathe.get_parameter @"hidden.bias" : tensor<16xf32>
  %scale = lathe.get_parameter @"norm.weight" : tensor<16xf32>
  %bias = lathe.get_parameter @"norm.bias" : tensor<16xf32>
  %mean = lathe.get_parameter @"norm.mean" : tensor<16xf32>
  %var = lathe.get_parameter @"norm.var" : tensor<16xf32>
  %v = lathe.get_parameter @"output.weight" : tensor<3x16xf32>
  %0 = lathe.linear %x, %w, %b : (tensor<?x8xf32>, tensor<16x8xf32>, tensor<16xf32>) -> tensor<?x16xf32>
  %1, %m2, %v2 = lathe.batch_norm_training %0, %scale, %bias, %mean, %var : (tensor<?x16xf32>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>, tensor<16xf32>) -> (tensor<?x16xf32>, tensor<16xf32>, tensor<16xf32>)
  lathe.set_parameter @"norm.mean", %m2 : tensor<16xf32>
  lathe.set_parameter @"norm.var", %v2 : tensor<16xf32>
  %2 = lathe.relu %1 : (tensor<?x16xf32>) -> tensor<?x16xf32>
  %3 = lathe.dropout %2, %key {rate = 0.1 : f64, stream = 0 : i64} : (tensor<?x16xf32>, tensor<2xi64>) -> tensor<?x16xf32>
  %4 = lathe.linear %3, %v : (tensor<?x16xf32>, tensor<3x16xf32>) -> tensor<?x3xf32>
  return %4 : tensor<?x3xf32>
}
func.func @main(%x: tensor<?x8xf32> {lathe.name = "x"}) -> tensor<?x3xf32> {
  %key = lathe.constant dense<0> : tensor<2xi64>
  %0 = call @classify(%x, %key) : (tensor<?x8xf32>, tensor<2xi64>) -> tensor<?x3xf32>
  return %0 : tensor<?x3xf32>
}
func.func @loss(%x: tensor<?x8xf32> {lathe.name = "x"}, %label: tensor<?xi64> {lathe.name = "label"},
                %key: tensor<2xi64> {lathe.name = "random_key"})
    -> (tensor<f32> {lathe.name = "loss"}, tensor<?x3xf32> {lathe.name = "logits"}) {
  %0 = call @classify(%x, %key) : (tensor<?x8xf32>, tensor<2xi64>) -> tensor<?x3xf32>
  %1 = lathe.cross_entropy %0, %label : (tensor<?x3xf32>, tensor<?xi64>) -> tensor<f32>
  return %1, %0 : tensor<f32>, tensor<?x3xf32>
}
)";

constexpr int64_t kBatch = 32;

/// Points and the largest of three fixed linear functions of them.
struct Batch {
  Tensor x = must(Tensor::create(DType::F32, {kBatch, 8}));
  Tensor label = must(Tensor::create(DType::I64, {kBatch}));
  Tensor key = must(Tensor::create(DType::I64, {2}));

  explicit Batch(int64_t step) {
    uint32_t seed = 17 + 977 * step;
    auto next = [&] {
      seed = seed * 1664525 + 1013904223;
      return static_cast<float>(seed >> 8) * 0x1p-23f - 1.0f;
    };
    for (int64_t i = 0; i < kBatch; ++i) {
      float *row = x.as<float>().data() + 8 * i;
      float score[3] = {0, 0, 0};
      for (int j = 0; j < 8; ++j) {
        row[j] = next();
        for (int c = 0; c < 3; ++c)
          score[c] += row[j] * float((j * 7 + c * 5) % 11 - 5);
      }
      label.as<int64_t>()[i] = std::max_element(score, score + 3) - score;
    }
    key.as<int64_t>()[0] = 5;
    key.as<int64_t>()[1] = step;
  }
  std::vector<TensorView> inputs() const { return {x, label, key}; }
};

class Training : public ::testing::Test {
protected:
  Training() {
    DialectRegistry registry;
    registerAllLatheDialects(registry);
    context.appendDialectRegistry(registry);
    context.loadAllAvailableDialects();
    context.getDiagEngine().registerHandler([this](Diagnostic &diagnostic) {
      errors += diagnostic.str() + "\n";
      return success();
    });
    options.useCache = false;
    recipe.learningRate = 0.02;
    recipe.totalSteps = 100;
    recipe.warmupSteps = 5;
  }

  std::unique_ptr<lathe::Model> load(llvm::StringRef text = kModel) {
    spill(folder / "model.mlir", text);
    return lathe::Model::load(context, folder / "model.mlir");
  }

  std::shared_ptr<exec::Executable> compile(const lathe::Model &model,
                                            int64_t batch = kBatch) {
    SmallVector<SmallVector<int64_t>> shapes = {{batch, 8}, {batch}, {2}};
    auto executable = std::make_shared<exec::Executable>();
    if (failed(compileTraining(model, shapes, shapes, recipe, options,
                               *executable)))
      return nullptr;
    EXPECT_EQ(message(verifyExecutable(*executable)), "");
    return executable;
  }

  struct Run {
    std::vector<float> losses;
    std::string states;
    float evaluated = 0, before = 0;
  };
  /// Trains for `steps`, and evaluates before and after it.
  Run train(std::shared_ptr<exec::Executable> executable, unsigned threads,
            int64_t steps) {
    auto model = must(LoadedModel::load(executable));
    WeightSource none;
    SessionOptions session;
    session.threads = threads;
    session.seed = 3;
    session.states = StateStore::create(model);
    auto step = must(Session::create(model, 0, none, session));
    auto eval = must(Session::create(model, 1, none, session));
    auto evaluate = [&] {
      return must(eval->run(Batch(1000).inputs()))[0].as<float>()[0];
    };
    Run result;
    result.before = evaluate();
    for (int64_t i = 0; i < steps; ++i)
      result.losses.push_back(
          must(step->run(Batch(i).inputs()))[0].as<float>()[0]);
    result.evaluated = evaluate();
    EXPECT_EQ(evaluate(), result.evaluated);
    for (const StateStore::State &state : session.states->states())
      result.states +=
          TensorView(must(session.states->get(state.spec.name))).rawBytes();
    EXPECT_EQ(must(session.states->get("train.step")).as<int64_t>()[0], steps);
    return result;
  }

  TempFolder folder;
  MLIRContext context;
  std::string errors;
  TrainRecipe recipe;
  CompileOptions options;
};

TEST_F(Training, TheLossFallsWithTheSameBitsForAnyNumberOfThreads) {
  auto model = load();
  ASSERT_TRUE(model) << errors;
  auto executable = compile(*model);
  ASSERT_TRUE(executable) << errors;
  ASSERT_EQ(executable->programs_size(), 2);
  EXPECT_EQ(executable->programs(0).outputs(0).name(), "loss");
  EXPECT_EQ(executable->programs(1).outputs(1).name(), "logits");
  // Inference knows nothing of the optimizer.
  EXPECT_EQ(executable->programs(1).states_size(), 7);
  Run one = train(executable, 1, 100), two = train(executable, 2, 100);
  EXPECT_LT(one.losses.back(), 0.5f * one.losses.front());
  EXPECT_LT(one.evaluated, 0.5f * one.before);
  EXPECT_EQ(one.losses, two.losses);
  EXPECT_TRUE(one.states == two.states);
}

// A vector's update is in the kernel that sums its gradient up, and is copied;
// it is small.
TEST_F(Training, EveryMatrixIsUpdatedInPlace) {
  auto model = load();
  auto executable = compile(*model);
  ASSERT_TRUE(executable) << errors;
  const exec::Program &program = executable->programs(0);
  std::vector<std::string> copied;
  int matrices = 0;
  for (const exec::Weight &state : program.states())
    matrices += state.type().shape_size() > 1;
  EXPECT_EQ(matrices, 6); // two weights and their moments
  for (const exec::Step &step : program.steps())
    if (step.has_copy())
      if (const exec::Buffer &to = program.buffers(step.copy().to().buffer());
          to.kind() == exec::STATE &&
          program.states(to.index()).type().shape_size() > 1)
        copied.push_back(program.states(to.index()).name());
  EXPECT_EQ(copied, std::vector<std::string>());
}

TEST_F(Training, PartsOfABatchAndLowPrecisionLearnAsWell) {
  auto model = load();
  for (Precision precision :
       {Precision::F32, Precision::BF16, Precision::F16}) {
    recipe.precision = precision;
    recipe.accumulate = 4;
    recipe.clipNorm = 5;
    auto executable = compile(*model);
    ASSERT_TRUE(executable) << errors;
    Run run = train(executable, 2, 100);
    EXPECT_LT(run.losses.back(), 0.6f * run.losses.front())
        << precisionName(precision).str();
  }
}

TEST_F(Training, LabelSmoothingIsInTheLoss) {
  auto model = load(R"(
lathe.parameter @b : tensor<3xf32> {init = #lathe.init<zeros>}
func.func @loss(%x: tensor<?x3xf32> {lathe.name = "x"}, %label: tensor<?xi64> {lathe.name = "label"}) -> (tensor<f32> {lathe.name = "loss"}) {
  %b = lathe.get_parameter @b : tensor<3xf32>
  %0 = lathe.add %x, %b : (tensor<?x3xf32>, tensor<3xf32>) -> tensor<?x3xf32>
  %1 = lathe.cross_entropy %0, %label : (tensor<?x3xf32>, tensor<?xi64>) -> tensor<f32>
  return %1 : tensor<f32>
}
)");
  ASSERT_TRUE(model) << errors;
  const float logits[] = {1, -2, 0.5f};
  float sum = 0, mean = 0;
  for (float logit : logits)
    sum += std::exp(logit);
  for (float logit : logits)
    mean += (std::log(sum) - logit) / 3;
  for (double smoothing : {0.0, 0.3}) {
    recipe.labelSmoothing = smoothing;
    auto executable = std::make_shared<exec::Executable>();
    ASSERT_TRUE(succeeded(compileTraining(*model, {{1, 3}, {1}}, {{1, 3}, {1}},
                                          recipe, options, *executable)))
        << errors;
    auto loaded = must(LoadedModel::load(executable));
    Tensor x = must(Tensor::from<float>(DType::F32, {1, 3}, logits));
    Tensor label = tensor<int>(DType::I64, {1}, {2});
    WeightSource none;
    // Evaluation reports the loss as it is.
    const float expected[] = {
        float((1 - smoothing) * (std::log(sum) - 0.5f) + smoothing * mean),
        std::log(sum) - 0.5f};
    for (unsigned program = 0; program < 2; ++program) {
      auto session =
          must(Session::create(loaded, program, none, SessionOptions()));
      EXPECT_NEAR(must(session->run({x, label}))[0].as<float>()[0],
                  expected[program], 1e-6f);
    }
  }
}

// An index out of range is found before anything is written.
TEST_F(Training, AWrongIndexLeavesTheStatesAsTheyWere) {
  auto model = load(R"(
lathe.parameter @table : tensor<10x4xf32> {init = #lathe.init<ones>}
lathe.parameter @scale : tensor<4xf32> {init = #lathe.init<ones>}
func.func @loss(%x: tensor<?xi64> {lathe.name = "x"}) -> (tensor<f32> {lathe.name = "loss"}) {
  %t = lathe.get_parameter @table : tensor<10x4xf32>
  %s = lathe.get_parameter @scale : tensor<4xf32>
  %0 = lathe.gather %t, %x {axis = 0 : i64} : (tensor<10x4xf32>, tensor<?xi64>) -> tensor<?x4xf32>
  %1 = lathe.mul %0, %s : (tensor<?x4xf32>, tensor<4xf32>) -> tensor<?x4xf32>
  %2 = lathe.reduce_mean %1 {axes = array<i64>} : (tensor<?x4xf32>) -> tensor<f32>
  return %2 : tensor<f32>
}
)");
  ASSERT_TRUE(model) << errors;
  auto executable = std::make_shared<exec::Executable>();
  ASSERT_TRUE(succeeded(
      compileTraining(*model, {{4}}, {}, recipe, options, *executable)))
      << errors;
  WeightSource none;
  auto session = must(Session::create(must(LoadedModel::load(executable)), 0,
                                      none, SessionOptions()));
  auto all = [&] {
    std::string bytes;
    for (const StateStore::State &state : session->states()->states())
      bytes +=
          TensorView(must(session->states()->get(state.spec.name))).rawBytes();
    return bytes;
  };
  must(session->run({tensor<int>(DType::I64, {4}, {1, 2, 3, 9})}));
  std::string before = all();
  EXPECT_ERROR(session->run({tensor<int>(DType::I64, {4}, {1, 2, 3, 10})}),
               "found 10, expected -10 to 9");
  EXPECT_TRUE(all() == before);
  must(session->run({tensor<int>(DType::I64, {4}, {1, 2, 3, 9})}));
  EXPECT_TRUE(all() != before);
}

// The sums of gradients start from zeros, which are made when the step runs.
TEST_F(Training, ZerosTakeNoRoomInTheExecutable) {
  auto model = load(R"(
lathe.parameter @w : tensor<300x400xf32> {init = #lathe.init<zeros>}
func.func @loss(%x: tensor<300x400xf32> {lathe.name = "x"}) -> (tensor<f32> {lathe.name = "loss"}) {
  %w = lathe.get_parameter @w : tensor<300x400xf32>
  %0 = lathe.mul %x, %w : (tensor<300x400xf32>, tensor<300x400xf32>) -> tensor<300x400xf32>
  %1 = lathe.reduce_sum %0 {axes = array<i64>} : (tensor<300x400xf32>) -> tensor<f32>
  return %1 : tensor<f32>
}
)");
  ASSERT_TRUE(model) << errors;
  recipe = TrainRecipe();
  recipe.optimizer = Optimizer::Sgd;
  recipe.momentum = recipe.weightDecay = 0;
  recipe.learningRate = 1;
  recipe.accumulate = 2;
  for (Target target : {Target::Cpu, Target::CudaSim}) {
    options.target = target;
    auto executable = std::make_shared<exec::Executable>();
    ASSERT_TRUE(succeeded(compileTraining(*model, {{600, 400}}, {}, recipe,
                                          options, *executable)))
        << errors;
    ASSERT_EQ(message(verifyExecutable(*executable)), "");
    EXPECT_LT(executable->constants().size(), 70000u);
    WeightSource none;
    auto session = must(Session::create(must(LoadedModel::load(executable)), 0,
                                        none, SessionOptions()));
    Tensor x = must(Tensor::create(DType::F32, {600, 400}));
    for (int64_t i = 0; i < x.numElements(); ++i)
      x.as<float>()[i] = float(i % 1000);
    // Twice, so that what is left in the arena shows.
    for (int run = 1; run <= 2; ++run) {
      must(session->run({x}));
      Tensor w = must(session->states()->get("w"));
      int wrong = 0;
      for (int64_t i = 0; i < w.numElements(); ++i)
        wrong += w.as<float>()[i] != -run * 0.5f * float(i % 1000 + i % 1000);
      EXPECT_EQ(wrong, 0);
    }
  }
}

TEST_F(Training, CompilesForAGpu) {
  if (auto nvrtc = cuda::Nvrtc::load(); !nvrtc)
    GTEST_SKIP() << message(nvrtc.takeError());
  options.target = Target::Cuda;
  auto model = load();
  for (Precision precision : {Precision::F32, Precision::BF16}) {
    recipe.precision = precision;
    recipe.clipNorm = 1;
    auto executable = compile(*model);
    ASSERT_TRUE(executable) << errors;
    for (const exec::Object &object : executable->objects())
      EXPECT_EQ(object.warnings_size(), 0) << object.warnings(0);
  }
}

TEST_F(Training, TheSimulatedGpuLearnsTheSame) {
  auto model = load();
  Run cpu = train(compile(*model), 2, 5);
  options.target = Target::CudaSim;
  auto executable = compile(*model);
  ASSERT_TRUE(executable) << errors;
  Run sim = train(executable, 2, 5);
  for (int i = 0; i < 5; ++i)
    EXPECT_NEAR(sim.losses[i], cpu.losses[i], 1e-4f * cpu.losses[i]);
}

TEST_F(Training, RefusesWhatCannotBeTrained) {
  auto expect = [&](const char *text) {
    EXPECT_NE(errors.find(text), std::string::npos) << errors;
    errors.clear();
  };
  auto model = load();
  recipe.freeze = {"nothing.*"};
  EXPECT_FALSE(compile(*model));
  expect("no parameter matches the pattern 'nothing.*' of what is frozen");
  recipe.freeze = {"*"};
  EXPECT_FALSE(compile(*model));
  expect("all 5 parameters of the loss are frozen");
  recipe.freeze.clear();
  recipe.accumulate = 5;
  EXPECT_FALSE(compile(*model));
  expect("expected a batch that can be divided by 5 to accumulate gradients, "
         "got 32");
  recipe.accumulate = 1;
  recipe.learningRate = -1;
  EXPECT_FALSE(compile(*model));
  expect("learning_rate must be above 0, got -1");
  recipe.learningRate = 1;
  model = load("func.func @main(%x: tensor<2xf32>) -> tensor<2xf32> {\n"
               "  return %x : tensor<2xf32>\n}\n");
  EXPECT_FALSE(compile(*model));
  expect("has no function '@loss' to train by");
}

} // namespace
