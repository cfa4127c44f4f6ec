#include "TrainHelpers.h"
#include "lathe/Support/Safetensors.h"
#include "llvm/Support/FileSystem.h"

#include <cmath>
#include <csignal>
#include <sys/resource.h>

using namespace lathe;
using namespace lathe::test;
using namespace lathe::train;

namespace {
/// A training over 13 examples in batches of 2.
struct Job {
  explicit Job(const TempFolder &folder) {
    options.folder = folder / "run";
    options.epochs = 3;
    options.checkpointEvery = 2;
    options.seed = 5;
  }
  llvm::Expected<LoopResult> start() {
    LoaderOptions loader;
    loader.seed = 5;
    auto training = countingLoader(program, 13, loader);
    loader.training = false;
    auto validation = countingLoader(program, 4, loader);
    return runTraining(program, *training,
                       validate ? validation.get() : nullptr, {}, options, {},
                       [&](const std::string &text) {
                         expectSentence(text);
                         notes += text + "\n";
                       });
  }
  FakeProgram program{2};
  LoopOptions options;
  bool validate = true;
  std::string notes;
};
} // namespace

TEST(TrainLoop, RunsAllEpochsAndEveryEpochOnce) {
  TempFolder folder;
  Job run(folder);
  LoopResult result = must(run.start());
  EXPECT_EQ(result.state.step, 18u);
  EXPECT_EQ(result.ending, Ending::Finished);
  EXPECT_EQ(result.loss, 1.0 / 19);
  EXPECT_EQ(result.report->find("loss"), 1.0 / 19);
  ASSERT_EQ(run.program.seen.size(), 36u);
  for (int epoch = 0; epoch < 3; ++epoch) {
    std::set<int64_t> once(run.program.seen.begin() + 12 * epoch,
                           run.program.seen.begin() + 12 * (epoch + 1));
    EXPECT_EQ(once.size(), 12u);
  }
  EXPECT_NE(std::vector<int64_t>(run.program.seen.begin(),
                                 run.program.seen.begin() + 12),
            std::vector<int64_t>(run.program.seen.begin() + 12,
                                 run.program.seen.begin() + 24));
  // Two evaluation batches of two after each epoch.
  EXPECT_EQ(run.program.evaluations, 6);
  EXPECT_EQ(CheckpointFolder(folder / "run").steps(),
            (std::vector<uint64_t>{18, 16}));
}

TEST(TrainLoop, InterruptedAtEveryStepAndResumedIsTheSame) {
  TempFolder folder;
  Job whole(folder);
  must(whole.start());
  for (int64_t step = 1; step < 18; ++step) {
    TempFolder other;
    Job first(other), second(other);
    first.program.interruptAt = step;
    // What is saved waits for the disk: no more than needed.
    first.options.checkpointEvery = second.options.checkpointEvery = 100;
    first.validate = second.validate = false;
    LoopResult result = must(first.start());
    EXPECT_EQ(result.ending, Ending::Interrupted);
    EXPECT_EQ(result.state.step, uint64_t(step));
    second.options.resume = true;
    result = must(second.start());
    EXPECT_EQ(result.state.step, 18u);
    EXPECT_EQ(second.program.w(), whole.program.w()) << step;
    std::vector<int64_t> seen = first.program.seen;
    seen.insert(seen.end(), second.program.seen.begin(),
                second.program.seen.end());
    EXPECT_EQ(seen, whole.program.seen) << step;
    EXPECT_EQ(second.notes, "");
  }
}

TEST(TrainLoop, KilledAtEveryStepAndResumedIsTheSame) {
  TempFolder folder;
  Job whole(folder);
  LoopResult reference = must(whole.start());
  for (int64_t step = 1; step <= 18; ++step) {
    TempFolder other;
    Job first(other), second(other);
    first.program.failAt = step;
    first.options.checkpointEvery = second.options.checkpointEvery = 7;
    EXPECT_ERROR(first.start(), "the power went out");
    second.options.resume = true;
    LoopResult result = must(second.start());
    EXPECT_EQ(second.program.w(), whole.program.w()) << step;
    EXPECT_EQ(result.state.best, reference.state.best);
    EXPECT_EQ(result.state.bestStep, reference.state.bestStep);
    EXPECT_EQ(
        slurp(CheckpointFolder(other / "run").pathOf(18) + "/checkpoint.json"),
        slurp(CheckpointFolder(folder / "run").pathOf(18) +
              "/checkpoint.json"));
  }
}

// What the two tests above would miss if they could: state without the place
// in the data, and without the step that random_key is made of.
TEST(TrainLoop, WithoutThePositionItIsNotTheSame) {
  TempFolder folder, other;
  Job whole(folder), first(other), second(other);
  must(whole.start());
  first.program.interruptAt = 7;
  must(first.start());
  for (size_t i = 0; i < 2; ++i)
    second.program.values[i] = must(first.program.state(i));
  second.options.folder = other / "fresh";
  second.options.epochs = 0; // as many as that takes
  second.options.steps = 11;
  must(second.start());
  EXPECT_NE(second.program.w(), whole.program.w());
  EXPECT_EQ(second.program.values[1].as<int64_t>()[0], 18);
}

TEST(TrainLoop, AnEvaluationCutShortIsDoneAgain) {
  TempFolder folder, other;
  Job whole(folder), first(other), second(other);
  must(whole.start());
  first.program.interruptInEvaluationAt = 12;
  LoopResult result = must(first.start());
  EXPECT_EQ(result.state.step, 12u);
  EXPECT_EQ(result.state.evaluatedAt, 6u);
  second.options.resume = true;
  result = must(second.start());
  EXPECT_EQ(result.state.bestStep, 18u);
  EXPECT_EQ(second.program.evaluations, 4);
  EXPECT_EQ(second.program.w(), whole.program.w());
}

TEST(TrainLoop, SignalsEndItWithACheckpoint) {
  for (int signal : {SIGINT, SIGTERM}) {
    TempFolder folder;
    Job run(folder);
    struct Raise : Listener {
      int signal;
      llvm::Error trained(uint64_t step, uint64_t, const Scalars &) override {
        if (step == 3)
          std::raise(signal);
        return llvm::Error::success();
      }
    } listener;
    listener.signal = signal;
    run.options.logEvery = 1;
    auto training = countingLoader(run.program, 13, {});
    LoopResult result =
        must(runTraining(run.program, *training, nullptr, {}, run.options,
                         {&listener}, [](const std::string &) {}));
    EXPECT_EQ(result.ending, Ending::Interrupted);
    EXPECT_EQ(result.state.step, 3u);
    EXPECT_EQ(CheckpointFolder(folder / "run").steps().front(), 3u);
  }
}

TEST(TrainLoop, CheckpointsOfItsOwnAccordAreNotTooMany) {
  for (double seconds : {0.0, 1000.0}) {
    TempFolder folder;
    Job run(folder);
    run.options.checkpointEvery = 0;
    run.options.leastSecondsBetween = seconds;
    must(run.start());
    EXPECT_EQ(CheckpointFolder(folder / "run").steps(),
              seconds ? (std::vector<uint64_t>{18})
                      : (std::vector<uint64_t>{18, 12}));
  }
}

TEST(TrainLoop, EarlyStoppingKeepsTheBest) {
  TempFolder folder;
  Job run(folder);
  run.options.evaluateEvery = 1;
  run.options.patience = 3;
  run.options.epochs = 100;
  run.program.losses = {5, 4, 3, 3.5, 2, 2.5, 2.1, 2.0, 1, 0.5};
  LoopResult result = must(run.start());
  EXPECT_EQ(result.ending, Ending::NoBetter);
  EXPECT_EQ(result.state.step, 8u);
  EXPECT_EQ(result.state.bestStep, 5u);
  EXPECT_EQ(result.state.best, 2);
  auto best = must(Safetensors::open(folder / "run/best.safetensors"));
  EXPECT_EQ(best->metadata().at("step"), "5");
  EXPECT_NE(best->find("w"), nullptr);
  EXPECT_EQ(best->find("train.step"), nullptr);
  // Taken up again, it is still over.
  Job again(folder);
  again.options = run.options;
  again.options.resume = true;
  result = must(again.start());
  EXPECT_EQ(result.ending, Ending::NoBetter);
  EXPECT_EQ(result.state.step, 8u);
}

TEST(TrainLoop, ALossThatIsNotFiniteLosesNothing) {
  TempFolder folder;
  Job run(folder);
  run.validate = false;
  run.program.losses = {1, 1, 1, 1, NAN};
  EXPECT_ERROR(run.start(), "the loss is nan at step 5 (epoch 1, ");
  EXPECT_EQ(CheckpointFolder(folder / "run").steps(),
            (std::vector<uint64_t>{4, 2}));
}

// The loss of step 9 is the first that tells, but step 7 did it: all is as
// before that step when it is explained, and what it was then is saved.
TEST(TrainLoop, GoesBackToTheStepThatSpoiltAParameter) {
  TempFolder folder, other;
  Job run(folder), reference(other);
  reference.validate = false;
  reference.options.epochs = 0;
  reference.options.steps = 6;
  must(reference.start());
  run.validate = false;
  run.options.checkpointEvery = 1000;
  run.program.losses = {1, 1, 1, 1, 1, 1, 1, 1, NAN};
  run.program.spoilAt = 7;
  std::vector<float> inputs;
  int64_t key = -1;
  run.options.explain = [&](llvm::ArrayRef<TensorView> given) {
    inputs = std::vector<float>(given[0].as<float>());
    key = given[1].as<int64_t>()[1];
    EXPECT_EQ(run.program.w(), reference.program.w());
    return Explanation{"an op overflows", ""};
  };
  EXPECT_ERROR(run.start(),
               "the loss is nan at step 9 (epoch 2, the batch of example ");
  EXPECT_EQ(key, 6);
  ASSERT_EQ(inputs.size(), 2u);
  EXPECT_EQ(inputs[0], run.program.seen[12]);
  EXPECT_EQ(inputs[1], run.program.seen[13]);
  EXPECT_EQ(CheckpointFolder(folder / "run").steps(),
            (std::vector<uint64_t>{6}));
  EXPECT_NE(run.notes.find("the state before step 7 is in "), std::string::npos)
      << run.notes;
  EXPECT_NE(run.notes.find("all of it is finite, the loss of its last step was "
                           "1, its largest weight is "),
            std::string::npos)
      << run.notes;
  EXPECT_EQ(
      slurp(CheckpointFolder(folder / "run").pathOf(6) + "/model.safetensors"),
      slurp(CheckpointFolder(other / "run").pathOf(6) + "/model.safetensors"));
}

TEST(TrainLoop, SaysWhatHappenedInTheStep) {
  TempFolder folder;
  Job run(folder);
  run.validate = false;
  run.program.losses = {1, 1, 1, 1, 1, 1, 1, 1, NAN};
  run.program.spoilAt = 7;
  run.options.checkpointEvery = 1000;
  run.options.explain = [](llvm::ArrayRef<TensorView>) {
    return Explanation{"an op did", ""};
  };
  std::string message = llvm::toString(run.start().takeError());
  expectSentence(message);
  EXPECT_NE(message.find(": the parameter 'w' holds inf at [1] at step 7"),
            std::string::npos)
      << message;
  EXPECT_NE(message.find(" already: an op did; a lower"), std::string::npos)
      << message;
}

// Nobody's loss tells of it, but a checkpoint would hold it.
TEST(TrainLoop, SavesNoParameterThatIsNotFinite) {
  TempFolder folder;
  Job run(folder);
  run.validate = false;
  run.options.checkpointEvery = 4;
  run.program.spoilAt = 7;
  EXPECT_ERROR(run.start(),
               "the parameter 'w' holds inf at [1] and 1 more of its "
               "f64[3] elements after step 8: ");
  EXPECT_EQ(CheckpointFolder(folder / "run").steps(),
            (std::vector<uint64_t>{6, 4}));
}

TEST(TrainLoop, RefusesNanBeforeTheFirstStep) {
  TempFolder folder;
  Job run(folder);
  run.program.values[0].as<double>()[2] = NAN;
  EXPECT_ERROR(run.start(),
               "the parameter 'w' holds nan at [2] before the first step");
  // An infinity may be meant: a mask.
  Job mask(folder);
  mask.program.values[0].as<double>()[2] = INFINITY;
  must(mask.start());
}

TEST(TrainLoop, ALossScaleThatFallsToNothingIsAnError) {
  TempFolder folder;
  Job run(folder);
  run.validate = false;
  run.program.scaleAfter = [](int64_t step) {
    return std::pow(0.5, double(3 * step));
  };
  EXPECT_ERROR(run.start(), "the loss scale fell to 4.7683");
  EXPECT_EQ(CheckpointFolder(folder / "run").steps(),
            (std::vector<uint64_t>{6, 4}));
}

TEST(TrainLoop, RefusesWhatDoesNotBelongTogether) {
  TempFolder folder;
  Job run(folder);
  must(run.start());
  Job again(folder);
  EXPECT_ERROR(again.start(), "holds checkpoints of an earlier training");
  Job otherSeed(folder);
  otherSeed.options.resume = true;
  otherSeed.options.seed = 6;
  EXPECT_ERROR(otherSeed.start(), "made with the seed 5, and 6 is given");
  Job otherFigure(folder);
  otherFigure.options.folder = folder / "other";
  otherFigure.options.watch = "beauty";
  EXPECT_ERROR(otherFigure.start(), "no figure 'beauty' to watch; there are "
                                    "'loss'");
  Job otherModel(folder);
  otherModel.options.resume = true;
  otherModel.program.stateSpecs[0] = {"v", DType::F64, {3}, "", true};
  EXPECT_ERROR(otherModel.start(), "2 tensors do not fit");
  EXPECT_ERROR(otherModel.start(), "'v' f64[3] is not in the checkpoint");
  EXPECT_ERROR(otherModel.start(), "'w' is not in the model");
  Job otherShape(folder);
  otherShape.options.resume = true;
  otherShape.program.stateSpecs[0].shape = {4};
  EXPECT_ERROR(otherShape.start(), "'w' f64[4] is f64[3] in the checkpoint");
}

TEST(Checkpoint, AnyFlippedBitIsFoundAndThePreviousOneUsed) {
  TempFolder folder;
  FakeProgram program(2);
  CheckpointFolder checkpoints(folder / "c");
  TrainingState state;
  auto saveAt = [&](uint64_t step) {
    state.step = step;
    state.scalars = {{"loss", 0.1 * step}};
    for (double &w : program.values[0].as<double>())
      w = static_cast<double>(step);
    ASSERT_EQ(message(checkpoints.save(program, state)), "");
  };
  saveAt(1);
  saveAt(2);
  saveAt(3);
  ASSERT_EQ(checkpoints.steps(), (std::vector<uint64_t>{3, 2}));
  unsigned found = 0;
  for (const char *name :
       {"model.safetensors", "optimizer.safetensors", "checkpoint.json"}) {
    std::string path = checkpoints.pathOf(3) + "/" + name;
    std::string whole = slurp(path);
    for (size_t at = 0; at < whole.size(); ++at) {
      std::string damaged = whole;
      damaged[at] ^= 1 << (at % 8);
      spill(path, damaged);
      FakeProgram reader(2);
      std::string notes;
      auto loaded = must(checkpoints.load(
          reader, [&](const std::string &note) { notes += note; }));
      ASSERT_TRUE(loaded);
      // A space that became a tab is no damage.
      uint64_t expected = notes.empty() ? 3 : 2;
      found += !notes.empty();
      EXPECT_EQ(loaded->step, expected) << name << " byte " << at;
      EXPECT_EQ(reader.w(), std::vector<double>(3, double(expected)));
      if (!notes.empty()) {
        expectSentence(notes);
        EXPECT_NE(notes.find("; the one before it is used"), std::string::npos);
      }
    }
    spill(path, whole);
  }
  EXPECT_GT(found, 500u);
  // Both damaged: a sentence, and the program is as it was.
  for (uint64_t step : {3, 2})
    spill(checkpoints.pathOf(step) + "/model.safetensors", "x");
  FakeProgram reader(2);
  EXPECT_ERROR(checkpoints.load(reader, [](const std::string &) {}),
               "cannot resume from the checkpoint");
  EXPECT_EQ(reader.w(), (std::vector<double>{1, 2, 3}));
}

TEST(Checkpoint, AFullDiskLosesNothing) {
  TempFolder folder;
  FakeProgram program(2);
  program.stateSpecs[0].shape = {4096};
  program.values[0] = countUp(DType::F64, {4096});
  CheckpointFolder checkpoints(folder / "c");
  TrainingState state;
  state.step = 1;
  ASSERT_EQ(message(checkpoints.save(program, state)), "");
  // Each file may have so many bytes: the tensors, or the JSON, do not fit.
  auto old = std::signal(SIGXFSZ, SIG_IGN);
  struct rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  state.step = 2;
  for (rlim_t bytes : {0, 100, 5000, 32768}) {
    struct rlimit limit = {bytes, before.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
    std::string text = message(checkpoints.save(program, state));
    setrlimit(RLIMIT_FSIZE, &before);
    EXPECT_NE(text.find("file too large"), std::string::npos) << text;
    EXPECT_EQ(checkpoints.steps(), std::vector<uint64_t>{1});
    FakeProgram reader(2);
    reader.stateSpecs = program.stateSpecs;
    auto loaded = must(checkpoints.load(
        reader, [](const std::string &note) { ADD_FAILURE() << note; }));
    EXPECT_EQ(loaded->step, 1u);
  }
  std::signal(SIGXFSZ, old);
  // Nothing temporary is left, and there is room again.
  size_t entries = 0;
  std::error_code ec;
  for (llvm::sys::fs::directory_iterator it(folder / "c", ec), end;
       it != end && !ec; it.increment(ec))
    ++entries;
  EXPECT_EQ(entries, 1u);
  EXPECT_EQ(message(checkpoints.save(program, state)), "");
  EXPECT_EQ(checkpoints.steps(), (std::vector<uint64_t>{2, 1}));
}

TEST(Checkpoint, StackedTensorsGoUnderTheNamesOfTheirLayers) {
  TempFolder folder;
  FakeProgram program(2);
  program.stateSpecs[0] = {"h.w", DType::F32, {3, 2}, "h.{}.w", true};
  program.values[0] = countUp(DType::F32, {3, 2});
  CheckpointFolder checkpoints(folder / "c");
  ASSERT_EQ(message(checkpoints.save(program, {})), "");
  auto file =
      must(Safetensors::open(checkpoints.pathOf(0) + "/model.safetensors"));
  EXPECT_EQ(file->find("h.w"), nullptr);
  ASSERT_NE(file->find("h.1.w"), nullptr);
  EXPECT_EQ(integers(file->view(*file->find("h.1.w"))),
            (std::vector<int64_t>{2, 3}));
  FakeProgram reader(2);
  reader.stateSpecs = program.stateSpecs;
  ASSERT_TRUE(must(checkpoints.load(reader, [](const std::string &) {})));
  EXPECT_EQ(integers(reader.values[0]), integers(program.values[0]));
  reader.stateSpecs[0].shape = {2, 2};
  EXPECT_ERROR(checkpoints.load(reader, [](const std::string &) {}),
               "'h.2.w' is not in the model");
}

TEST(Checkpoint, TheSameStepAgainReplacesIt) {
  TempFolder folder;
  FakeProgram program(2);
  CheckpointFolder checkpoints(folder / "c");
  TrainingState state;
  state.step = 4;
  ASSERT_EQ(message(checkpoints.save(program, state)), "");
  state.evaluatedAt = 4;
  ASSERT_EQ(message(checkpoints.save(program, state)), "");
  auto loaded = must(checkpoints.load(program, [](const std::string &) {}));
  EXPECT_EQ(loaded->evaluatedAt, 4u);
  EXPECT_EQ(checkpoints.steps(), std::vector<uint64_t>{4});
  // A folder that a killed process left behind is no checkpoint.
  ASSERT_FALSE(llvm::sys::fs::create_directory(folder / "c/.step-9"));
  EXPECT_EQ(checkpoints.steps(), std::vector<uint64_t>{4});
  ASSERT_EQ(message(checkpoints.save(program, state)), "");
  EXPECT_FALSE(llvm::sys::fs::exists(folder / "c/.step-9"));
}
