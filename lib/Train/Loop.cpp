//===- Loop.cpp - The training loop ---------------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Train/Loop.h"

#include "Rollback.h"
#include "lathe/Support/Error.h"
#include "lathe/Support/Progress.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

#include <atomic>
#include <cmath>
#include <csignal>

using namespace llvm;

namespace lathe::train {

Listener::~Listener() = default;
Error Listener::begin(uint64_t) { return Error::success(); }
Error Listener::trained(uint64_t, uint64_t, const Scalars &) {
  return Error::success();
}
Error Listener::evaluated(uint64_t, const Report &) { return Error::success(); }
Error Listener::flush() { return Error::success(); }

static std::atomic<bool> interrupted{false};

void interruptTraining() { interrupted = true; }

namespace {
/// SIGINT and SIGTERM set `interrupted` while this lives, the first time.
class SignalGuard {
public:
  SignalGuard() {
    interrupted = false;
    struct sigaction action = {};
    action.sa_handler = [](int) { interrupted = true; };
    action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
    sigaction(SIGINT, &action, &oldInt);
    sigaction(SIGTERM, &action, &oldTerm);
  }
  ~SignalGuard() {
    sigaction(SIGINT, &oldInt, nullptr);
    sigaction(SIGTERM, &oldTerm, nullptr);
  }

private:
  struct sigaction oldInt, oldTerm;
};

class Loop {
public:
  Loop(TrainProgram &program, Loader &training, Loader *validation,
       const MetricOptions &metrics, const LoopOptions &options,
       ArrayRef<Listener *> listeners,
       const std::function<void(const std::string &)> &note)
      : program(program), training(training), validation(validation),
        metrics(metrics), options(options),
        listeners(listeners.begin(), listeners.end()), note(note),
        folder(options.folder), rollback(program) {}

  Expected<LoopResult> run();

private:
  Error start();
  Error resume();
  Error step();
  /// One step, without a look at what comes out.
  Error advance();
  /// The figure of the step that is not finite, "the loss is nan"; "" if all
  /// are.
  std::string findBadFigure() const;
  std::string describePlace() const;
  /// Goes back to the step where it began, saves the state before that step,
  /// and says what happened in it.
  Error diagnose(const std::string &message);
  Expected<bool> goBack();
  Expected<Explanation> findWhereItBegan(uint64_t end);
  /// Saves the state before the step that went wrong, and says what it is.
  void saveBefore();
  /// An error if a parameter is not finite: such a state is not worth keeping.
  Error checkStates();
  /// True: early stopping.
  Expected<bool> evaluateNow();
  Error keepBest(double value);
  Error save(bool mustSucceed);
  /// Calls `what` of every listener. One that fails is heard of no more: no log
  /// is worth the training.
  void tell(function_ref<Error(Listener &)> what);
  bool isDue(uint64_t period) const;
  uint64_t evaluatePeriod() const {
    return options.evaluateEvery ? options.evaluateEvery
                                 : training.batchesPerEpoch();
  }

  TrainProgram &program;
  Loader &training;
  Loader *validation;
  const MetricOptions &metrics;
  const LoopOptions &options;
  std::vector<Listener *> listeners;
  const std::function<void(const std::string &)> &note;
  CheckpointFolder folder;
  Rollback rollback;
  LoopResult result;
  TrainingState &state = result.state;
  uint64_t lastStep = 0; ///< at which training ends
};
} // namespace

/// Writes the seed and the step into the input that asks for them.
static void fillRandomKey(ArrayRef<TensorSpec> inputs, ArrayRef<Tensor> tensors,
                          uint64_t seed, uint64_t step) {
  for (auto [spec, tensor] : zip_equal(inputs, tensors))
    if (spec.name == kRandomKey) {
      tensor.as<uint64_t>()[0] = seed;
      tensor.as<uint64_t>()[1] = step;
    }
}

static std::vector<TensorView> views(ArrayRef<Tensor> tensors) {
  return std::vector<TensorView>(tensors.begin(), tensors.end());
}

static Expected<Report> evaluateAll(TrainProgram &program, Loader &data,
                                    const MetricOptions &options,
                                    uint64_t seed) {
  auto metrics = Metrics::create(options, program.inputs(), program.outputs());
  if (!metrics)
    return metrics.takeError();
  data.seek({});
  for (int64_t i = 0, e = data.batchesPerEpoch(); i < e && !interrupted; ++i) {
    auto batch = data.next();
    if (!batch)
      return batch.takeError();
    fillRandomKey(program.inputs(), batch->tensors, seed, i);
    auto evaluation = program.evaluate(views(batch->tensors));
    if (!evaluation)
      return evaluation.takeError();
    if (Error error = metrics->add(*evaluation, batch->tensors, batch->rows))
      return error;
  }
  return metrics->report();
}

Expected<Report> evaluate(TrainProgram &program, Loader &data,
                          const MetricOptions &metrics, uint64_t seed) {
  interrupted = false;
  return evaluateAll(program, data, metrics, seed);
}

uint64_t totalSteps(const LoopOptions &options, const Loader &training) {
  if (options.steps && !options.epochs)
    return options.steps;
  uint64_t epochs = std::max<uint64_t>(options.epochs, 1);
  uint64_t steps = epochs * training.batchesPerEpoch();
  return options.steps ? std::min(steps, options.steps) : steps;
}

bool Loop::isDue(uint64_t period) const {
  return state.step == lastStep || state.step % period == 0;
}

Error Loop::start() {
  for (const TensorSpec &spec : program.inputs())
    if (spec.name == kRandomKey &&
        (spec.shape != Shape{2} || dtypeSize(spec.dtype) != 8 ||
         isFloat(spec.dtype)))
      return makeError("the input 'random_key' is {0}, expected i64[2]",
                       formatType(spec.dtype, spec.shape));
  lastStep = totalSteps(options, training);
  state.seed = options.seed;
  state.data = training.dataset().description();
  if (validation) {
    auto check = Metrics::create(metrics, program.inputs(), program.outputs());
    if (!check)
      return check.takeError();
    std::vector<std::string> known = check->figures();
    if (!is_contained(known, options.watch))
      return makeError("there is no figure {0} to watch; there are '{1}'",
                       quote(options.watch), join(known, "', '"));
  }
  if (Error error = resume())
    return error;
  if (Error error = rollback.begin())
    return error;
  return rollback.keep(state);
}

Error Loop::resume() {
  if (options.folder.empty())
    return Error::success();
  if (Error error = folder.prepare(options.resume))
    return error;
  if (!options.resume)
    return Error::success();
  auto loaded = folder.load(program, note);
  if (!loaded)
    return loaded.takeError();
  if (!*loaded) {
    note("there is no checkpoint in " + quote(options.folder) +
         " yet: training starts from the beginning");
    return Error::success();
  }
  if ((*loaded)->seed != options.seed)
    return makeError("the checkpoint was made with the seed {0}, and {1} is "
                     "given",
                     (*loaded)->seed, options.seed);
  if ((*loaded)->data != state.data)
    return makeError("the checkpoint was made with other data: {0}; now: {1}",
                     (*loaded)->data, state.data);
  state = std::move(**loaded);
  training.seek(state.position);
  return Error::success();
}

Error Loop::advance() {
  auto batch = training.next();
  if (!batch)
    return batch.takeError();
  fillRandomKey(program.inputs(), batch->tensors, options.seed, state.step);
  auto scalars = program.step(views(batch->tensors));
  if (!scalars)
    return scalars.takeError();
  if (scalars->empty())
    return makeError("the program gives no loss");
  ++state.step;
  state.position = training.position();
  state.scalars = std::move(*scalars);
  return Error::success();
}

/// A loss scale that fell so far will not end an overflow: it began at 2^16.
static constexpr double kLeastLossScale = 1.0 / (1 << 20);

std::string Loop::findBadFigure() const {
  auto scale = find_if(state.scalars,
                       [](const auto &s) { return s.first == "loss_scale"; });
  // A program that scales the loss leaves out steps that overflow by itself.
  bool scales = scale != state.scalars.end();
  if (scales && scale->second < kLeastLossScale)
    return formatv(
        "the loss scale fell to {0}: gradients overflow at any scale",
        formatNumber(scale->second));
  for (const auto &[name, value] : state.scalars)
    if (!std::isfinite(value) &&
        !(scales && &value != &state.scalars[0].second))
      return formatv("the {0} is {1}", name, formatNumber(value));
  return "";
}

std::string Loop::describePlace() const {
  return formatv("at step {0} (epoch {1}, the batch of example {2} of the data "
                 "and {3} others)",
                 state.step, state.position.epoch + 1,
                 training.indices().front(), training.indices().size() - 1);
}

Error Loop::step() {
  if (Error error = advance())
    return error;
  result.loss = state.scalars.front().second;
  if (std::string bad = findBadFigure(); !bad.empty())
    return diagnose(bad + " " + describePlace());
  if (isDue(options.logEvery ? options.logEvery : 1))
    tell([&](Listener &listener) {
      return listener.trained(state.step, state.position.epoch + 1,
                              state.scalars);
    });
  return rollback.isDue() ? rollback.keep(state) : Error::success();
}

Error Loop::checkStates() {
  auto bad = rollback.describeBad();
  if (!bad)
    return bad.takeError();
  return bad->empty()
             ? Error::success()
             : diagnose(*bad + " after step " + std::to_string(state.step));
}

/// Does the steps up to `end` again, and stops before the first that makes
/// something which is not finite. What happens there; nothing where it does not
/// happen again.
Expected<Explanation> Loop::findWhereItBegan(uint64_t end) {
  while (state.step < end && !interrupted) {
    // Each state in turn may be the last good one.
    if (Error error = rollback.keep(state, /*evenIfLarge=*/true))
      return std::move(error);
    if (Error error = advance())
      return std::move(error);
    std::string bad = findBadFigure();
    // What no update has touched yet, no learning rate has spoilt.
    bool isFirst = !bad.empty() && state.step == 1;
    if (bad.empty()) {
      auto states = rollback.describeBad();
      if (!states)
        return states.takeError();
      bad = std::move(*states);
    }
    if (bad.empty())
      continue;
    std::string text =
        state.step == end ? "" : bad + " " + describePlace() + " already";
    auto before = rollback.restore();
    if (!before)
      return before.takeError();
    state = std::move(*before);
    training.seek(state.position);
    auto batch = training.next();
    if (!batch)
      return batch.takeError();
    fillRandomKey(program.inputs(), batch->tensors, options.seed, state.step);
    Explanation why;
    if (options.explain)
      why = options.explain(views(batch->tensors));
    if (why.advice.empty() && isFirst)
      why.advice = "no update came before: it is the model, its initial "
                   "weights or the data";
    why.text = text + (text.empty() || why.text.empty() ? "" : ": ") + why.text;
    return why;
  }
  return Explanation();
}

/// The state of the last copy, or of the newest checkpoint; false where there
/// is neither.
Expected<bool> Loop::goBack() {
  if (rollback.isKept()) {
    auto before = rollback.restore();
    if (!before)
      return before.takeError();
    state = std::move(*before);
    return true;
  }
  if (options.folder.empty() || folder.steps().empty())
    return false;
  auto loaded = folder.load(program, note);
  if (!loaded)
    return loaded.takeError();
  state = std::move(**loaded);
  return true;
}

Error Loop::diagnose(const std::string &message) {
  uint64_t end = state.step;
  auto before = goBack();
  if (!before)
    return makeError(message + "; " + toString(before.takeError()));
  if (!*before)
    return makeError(message);
  training.seek(state.position);
  auto why = findWhereItBegan(end);
  if (!why)
    return makeError(message + "; " + toString(why.takeError()));
  bool isFound = state.step < end;
  if (isFound && state.step > 0 && !options.folder.empty())
    saveBefore();
  if (why->advice.empty())
    why->advice = "a lower learning rate or gradient clipping may help";
  return makeError(message + (why->text.empty() ? "" : ": " + why->text) +
                   "; " + why->advice);
}

void Loop::saveBefore() {
  if (!is_contained(folder.steps(), state.step))
    if (Error error = folder.save(program, state, options.extra)) {
      note(toString(std::move(error)));
      return;
    }
  // All of it finite is not yet good: weights may have been growing for long.
  std::string text =
      formatv("the state before step {0} is in {1}: all of it is finite, the "
              "loss of its last step was {2}",
              state.step + 1, quote(folder.pathOf(state.step)),
              formatNumber(state.scalars.front().second));
  if (std::string largest = rollback.describeLargest(); !largest.empty())
    text += ", its largest weight is " + largest;
  for (uint64_t step : folder.steps())
    if (step < state.step) {
      text += "; the checkpoint before it is " + quote(folder.pathOf(step));
      break;
    }
  note(text);
}

Error Loop::keepBest(double value) {
  state.best = value;
  state.bestStep = state.step;
  state.evaluationsSinceBest = 0;
  if (options.folder.empty())
    return Error::success();
  if (std::error_code error = sys::fs::create_directories(options.folder))
    return makeErrnoError("cannot make the folder " + quote(options.folder),
                          error.value());
  SmallString<256> path(options.folder);
  sys::path::append(path, "best.safetensors");
  return writeModel(path, program,
                    {{"step", std::to_string(state.step)},
                     {options.watch, std::to_string(value)}});
}

Expected<bool> Loop::evaluateNow() {
  if (Error error = checkStates())
    return std::move(error);
  auto report = evaluateAll(program, *validation, metrics, options.seed);
  if (!report)
    return report.takeError();
  if (interrupted)
    return false; // not all was seen: it is done again when training goes on
  state.evaluatedAt = state.step;
  std::optional<double> value = report->find(options.watch);
  if (!value)
    return makeError("the evaluation gives no {0}: no label of its data counts",
                     quote(options.watch));
  double sign = options.moreIsBetter ? 1 : -1;
  if (!state.bestStep || sign * (*value - state.best) > options.minDelta) {
    if (Error error = keepBest(*value))
      note(toString(std::move(error)));
  } else {
    ++state.evaluationsSinceBest;
  }
  tell([&](Listener &listener) {
    return listener.evaluated(state.step, *report);
  });
  result.report = std::move(*report);
  return options.patience && state.evaluationsSinceBest >= options.patience;
}

void Loop::tell(function_ref<Error(Listener &)> what) {
  erase_if(listeners, [&](Listener *listener) {
    Error error = what(*listener);
    if (!error)
      return false;
    note(toString(std::move(error)) + "; nothing more goes there");
    return true;
  });
}

Error Loop::save(bool mustSucceed) {
  tell([](Listener &listener) { return listener.flush(); });
  if (Error error = checkStates())
    return error;
  if (options.folder.empty())
    return Error::success();
  Error error = folder.save(program, state, options.extra);
  if (!error || mustSucceed)
    return error;
  note(toString(std::move(error)) +
       "; training goes on, and the checkpoint before it is kept");
  return Error::success();
}

Expected<LoopResult> Loop::run() {
  if (Error error = start())
    return error;
  tell([&](Listener &listener) { return listener.begin(state.step); });
  uint64_t firstStep = result.firstStep = state.step;
  std::optional<lathe::Progress> bar;
  if (options.showProgress && lastStep > firstStep)
    bar.emplace("train", lastStep - firstStep);
  auto begin = std::chrono::steady_clock::now(), lastSaved = begin;

  bool stop =
      options.patience && state.evaluationsSinceBest >= options.patience;
  if (stop)
    result.ending = Ending::NoBetter;
  uint64_t saved = state.step;
  // An evaluation that was cut short is due again.
  bool evaluationDue = validation && state.step > 0 &&
                       isDue(evaluatePeriod()) &&
                       state.evaluatedAt != state.step;
  while (!stop) {
    if (!evaluationDue) {
      if (interrupted || state.step >= lastStep)
        break;
      if (Error error = step())
        return error;
      std::chrono::duration<double> elapsed =
          std::chrono::steady_clock::now() - begin;
      if (bar)
        bar->update(state.step - firstStep,
                    formatv("step {0}, {1:f1} steps/s, loss {2:f4}", state.step,
                            (state.step - firstStep) / elapsed.count(),
                            result.loss)
                        .str());
      evaluationDue = validation && isDue(evaluatePeriod());
    }
    bool evaluated = false;
    if (evaluationDue) {
      auto enough = evaluateNow();
      if (!enough)
        return enough.takeError();
      evaluationDue = false;
      evaluated = !interrupted;
      if (*enough) {
        result.ending = Ending::NoBetter;
        stop = true;
      }
    }
    auto now = std::chrono::steady_clock::now();
    std::chrono::duration<double> sinceSaved = now - lastSaved;
    bool due = options.checkpointEvery ? isDue(options.checkpointEvery)
               : sinceSaved.count() < options.leastSecondsBetween ? false
               : validation                                       ? evaluated
                            : isDue(training.batchesPerEpoch());
    if (due && !stop && !interrupted && state.step < lastStep) {
      if (Error error = save(/*mustSucceed=*/false))
        return error;
      saved = state.step;
      lastSaved = now;
    }
  }
  if (interrupted)
    result.ending = Ending::Interrupted;
  if (state.step > firstStep || saved != state.step || result.report)
    if (Error error = save(/*mustSucceed=*/true))
      return error;
  if (state.step == firstStep && !state.scalars.empty())
    result.loss = state.scalars.front().second;
  return std::move(result);
}

Expected<LoopResult>
runTraining(TrainProgram &program, Loader &training, Loader *validation,
            const MetricOptions &metrics, const LoopOptions &options,
            ArrayRef<Listener *> listeners,
            const std::function<void(const std::string &)> &note) {
  SignalGuard guard;
  return Loop(program, training, validation, metrics, options, listeners, note)
      .run();
}

} // namespace lathe::train
