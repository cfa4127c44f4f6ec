#include "TrainHelpers.h"
#include "lathe/Train/Logs.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FileSystem.h"

#include <cmath>
#include <random>

using namespace lathe;
using namespace lathe::test;
using namespace lathe::train;

namespace {
/// Batches of logits and labels through Metrics.
Report measure(MetricOptions options, llvm::ArrayRef<int64_t> logitShape,
               std::vector<std::vector<double>> logits,
               std::vector<std::vector<double>> labels,
               std::vector<int64_t> rows, std::vector<double> losses) {
  Shape labelShape(logitShape.begin(), logitShape.end());
  if (labelShape.size() > 1)
    labelShape.pop_back();
  options.labels = "label";
  Metrics metrics = must(Metrics::create(
      options, {{"label", DType::I64, labelShape}},
      {{"logits", DType::F64, Shape(logitShape.begin(), logitShape.end())}}));
  for (size_t i = 0; i < logits.size(); ++i) {
    std::vector<Tensor> inputs;
    inputs.push_back(
        must(Tensor::from<double>(DType::I64, labelShape, labels[i])));
    TrainProgram::Evaluation evaluation;
    evaluation.loss = losses[i];
    evaluation.outputs.push_back(
        must(Tensor::from<double>(DType::F64, logitShape, logits[i])));
    EXPECT_EQ(message(metrics.add(evaluation, inputs, rows[i])), "");
  }
  return metrics.report();
}
} // namespace

// Worked by hand. Three classes, labels 0 0 1 2 | 1, answers 0 1 1 2 | 2: of
// the second batch only the first row counts.
TEST(Metrics, ThreeClassesByHand) {
  auto row = [](int c) {
    std::vector<double> logits(3, 0.0);
    logits[c] = std::log(2.0); // probabilities 1/2, 1/4, 1/4
    return logits;
  };
  std::vector<double> first, second;
  for (int c : {0, 1, 1, 2})
    for (double v : row(c))
      first.push_back(v);
  for (int c : {2, 0, 0, 0})
    for (double v : row(c))
      second.push_back(v);
  Report report = measure({}, {4, 3}, {first, second},
                          {{0, 0, 1, 2}, {1, 0, 0, 0}}, {4, 1}, {1, 6});
  EXPECT_EQ(report.rows, 5u);
  EXPECT_DOUBLE_EQ(*report.find("loss"), (4 * 1 + 1 * 6) / 5.0);
  EXPECT_DOUBLE_EQ(*report.find("accuracy"), 3.0 / 5);
  // Three rows at probability 1/2, two at 1/4: (3 + 2 * 2) bits over 5.
  EXPECT_DOUBLE_EQ(*report.find("cross_entropy"), 7.0 / 5 * std::log(2.0));
  ASSERT_EQ(report.classes.size(), 3u);
  EXPECT_EQ(report.classes[0].support, 2u);
  EXPECT_DOUBLE_EQ(report.classes[0].precision, 1);
  EXPECT_DOUBLE_EQ(report.classes[0].recall, 0.5);
  EXPECT_DOUBLE_EQ(report.classes[0].f1, 2.0 / 3);
  EXPECT_DOUBLE_EQ(report.classes[1].precision, 0.5);
  EXPECT_DOUBLE_EQ(report.classes[1].recall, 0.5);
  EXPECT_DOUBLE_EQ(report.classes[2].precision, 0.5);
  EXPECT_DOUBLE_EQ(report.classes[2].recall, 1);
  EXPECT_DOUBLE_EQ(*report.find("precision"), 2.0 / 3);
  EXPECT_DOUBLE_EQ(*report.find("recall"), 2.0 / 3);
  EXPECT_DOUBLE_EQ(*report.find("f1"), (2.0 / 3 + 0.5 + 2.0 / 3) / 3);
}

TEST(Metrics, LanguageByHand) {
  MetricOptions options;
  options.language = true;
  options.ignore = 9;
  // Two classes would be 0 and 1: four tokens, one of which is padding.
  Report report = measure(options, {1, 4, 2}, {{0, 0, 0, 0, 0, 0, 5, 0}},
                          {{0, 1, 0, 9}}, {1}, {1});
  EXPECT_EQ(report.rows, 3u);
  EXPECT_DOUBLE_EQ(*report.find("perplexity"), 2);
  EXPECT_DOUBLE_EQ(*report.find("bits_per_character"), 1);
  // Without logits: from the loss.
  Metrics metrics = must(Metrics::create(options, {}, {}));
  TrainProgram::Evaluation evaluation;
  evaluation.loss = std::log(8.0);
  ASSERT_EQ(message(metrics.add(evaluation, {}, 2)), "");
  EXPECT_DOUBLE_EQ(*metrics.report().find("bits_per_character"), 3);
  EXPECT_DOUBLE_EQ(*metrics.report().find("perplexity"), 8);
}

TEST(Metrics, AreaUnderRocIsTheShareOfPairsInOrder) {
  std::mt19937 random(3);
  for (int round = 0; round < 50; ++round) {
    std::vector<float> scores;
    llvm::SmallVector<bool> positive;
    for (int i = 0; i < 40; ++i) {
      scores.push_back(static_cast<float>(random() % 10)); // many are equal
      positive.push_back(random() % 3 == 0);
    }
    double pairs = 0, right = 0;
    for (int i = 0; i < 40; ++i)
      for (int j = 0; j < 40; ++j)
        if (positive[i] && !positive[j]) {
          ++pairs;
          right += scores[i] > scores[j] ? 1 : scores[i] == scores[j] ? 0.5 : 0;
        }
    EXPECT_NEAR(*areaUnderRoc(scores, positive), right / pairs, 1e-12);
  }
  EXPECT_FALSE(areaUnderRoc({1, 2}, {true, true}));
}

TEST(Metrics, TwoClassesFromOneLogit) {
  MetricOptions options;
  options.rocAuc = true;
  // Above 0 means class 1: answers 1 0 1 1, labels 1 0 0 1.
  Report report =
      measure(options, {4}, {{2, -1, 1, 3}}, {{1, 0, 0, 1}}, {4}, {0.5});
  EXPECT_DOUBLE_EQ(*report.find("accuracy"), 0.75);
  EXPECT_DOUBLE_EQ(*report.find("precision"), 2.0 / 3);
  EXPECT_DOUBLE_EQ(*report.find("recall"), 1);
  EXPECT_DOUBLE_EQ(*report.find("f1"), 0.8);
  EXPECT_DOUBLE_EQ(*report.find("roc_auc"), 1);
  EXPECT_NEAR(*report.find("cross_entropy"),
              (std::log1p(std::exp(-2)) + std::log1p(std::exp(-1)) +
               std::log1p(std::exp(1)) + std::log1p(std::exp(-3))) /
                  4,
              1e-15);
}

TEST(Metrics, OneAgainstTheRest) {
  MetricOptions options;
  options.rocAuc = true;
  std::mt19937 random(8);
  std::normal_distribution<double> normal;
  std::vector<double> logits, labels;
  for (int i = 0; i < 60; ++i) {
    labels.push_back(random() % 3);
    for (int c = 0; c < 3; ++c)
      logits.push_back(normal(random) + (c == labels.back()));
  }
  Report report = measure(options, {60, 3}, {logits}, {labels}, {60}, {0});
  double sum = 0;
  for (int c = 0; c < 3; ++c) {
    double pairs = 0, right = 0;
    auto probability = [&](int i) {
      double total = 0;
      for (int k = 0; k < 3; ++k)
        total += std::exp(logits[i * 3 + k]);
      return static_cast<float>(std::exp(logits[i * 3 + c]) / total);
    };
    for (int i = 0; i < 60; ++i)
      for (int j = 0; j < 60; ++j)
        if (labels[i] == c && labels[j] != c) {
          ++pairs;
          right += probability(i) > probability(j);
        }
    sum += right / pairs;
  }
  EXPECT_NEAR(*report.find("roc_auc"), sum / 3, 1e-9);
}

TEST(Metrics, RefusesWhatDoesNotFit) {
  MetricOptions options;
  options.labels = "label";
  TensorSpec logits = {"logits", DType::F32, {4, 10}},
             label = {"label", DType::I64, {4}};
  EXPECT_ERROR(Metrics::create(options, {label}, {}),
               "no output 'logits' to make figures of; it has none");
  EXPECT_ERROR(Metrics::create(options, {}, {logits}), "no input 'label'");
  label.shape = {5};
  EXPECT_ERROR(Metrics::create(options, {label}, {logits}),
               "'logits' of type f32[4,10] does not fit the labels 'label' of "
               "type i64[5]");
  label.shape = {4};
  Metrics metrics = must(Metrics::create(options, {label}, {logits}));
  std::vector<Tensor> inputs;
  inputs.push_back(tensor<int>(DType::I64, {4}, {0, 1, 10, 3}));
  TrainProgram::Evaluation evaluation;
  evaluation.outputs.push_back(must(Tensor::zeros(DType::F32, {4, 10})));
  EXPECT_ERROR(metrics.add(evaluation, inputs, 4),
               "a label is 10, where 0 to 9 are expected");
}

TEST(Logs, ChecksumAndRecord) {
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u); // RFC 3720's check value
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62A8AB43u);
  std::string record = tfRecord("abc");
  ASSERT_EQ(record.size(), 8u + 4 + 3 + 4);
  EXPECT_EQ(record.substr(0, 8), std::string("\3\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(record.substr(12, 3), "abc");
  uint32_t crc = crc32c("abc");
  EXPECT_EQ(llvm::support::endian::read32le(record.data() + 15),
            (crc >> 15 | crc << 17) + 0xA282EAD8);
}

TEST(Logs, ResumingTakesOutWhatIsDoneAgain) {
  TempFolder folder;
  std::string path = folder / "deep/log.jsonl";
  auto run = [&](uint64_t from, uint64_t to) {
    auto log = makeJsonLog(path);
    ASSERT_EQ(message(log->begin(from)), "");
    for (uint64_t step = from + 1; step <= to; ++step)
      ASSERT_EQ(message(log->trained(step, 1, {{"loss", 0.5 * step}})), "");
    Report report;
    report.scalars = {{"loss", NAN}};
    ASSERT_EQ(message(log->evaluated(to, report)), "");
    ASSERT_EQ(message(log->flush()), "");
  };
  run(0, 4);
  spill(path, slurp(path) + "{\"step\": 3, \"lo"); // killed in the middle
  run(2, 3);
  std::string text = slurp(path), line;
  std::vector<std::string> heads;
  std::istringstream lines(text);
  while (std::getline(lines, line))
    heads.push_back(line.substr(0, line.find(",\"time\"")));
  EXPECT_EQ(heads, (std::vector<std::string>{
                       R"({"step":1,"epoch":1,"loss":0.5)",
                       R"({"step":2,"epoch":1,"loss":1.0)",
                       R"({"step":3,"epoch":1,"loss":1.5)",
                       R"({"step":3,"validation":{"loss":null})"}));
}

TEST(Logs, ALogThatFailsDoesNotEndTheTraining) {
  TempFolder folder;
  FakeProgram program(2);
  auto training = countingLoader(program, 8, {});
  LoopOptions options;
  options.logEvery = 1;
  spill(folder / "file", "");
  auto log = makeJsonLog(folder / "file/log.jsonl");
  auto events = makeEventFile(folder / "events");
  std::vector<std::string> notes;
  LoopResult result = must(runTraining(
      program, *training, nullptr, {}, options, {log.get(), events.get()},
      [&](const std::string &note) { notes.push_back(note); }));
  EXPECT_EQ(result.state.step, 4u);
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_NE(notes[0].find("nothing more goes there"), std::string::npos);
}
