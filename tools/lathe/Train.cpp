//===- Train.cpp - lathe train -*- C++ -* ---------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ExecutableCache.h"
#include "InputLimits.h"
#include "ModelMetric.h"
#include "NonFinite.h"
#include "RecipeFile.h"
#include "Report.h"
#include "TrainOptions.h"
#include "Verbs.h"
#include "dialects/Lathe/Lathe.h"
#include "lathe/Autodiff/TrainStep.h"
#include "lathe/Executable/MemoryUse.h"
#include "lathe/Pipelines/Training.h"
#include "lathe/Support/AtomicFile.h"
#include "lathe/Support/Error.h"
#include "lathe/Support/Progress.h"
#include "lathe/Train/Logs.h"
#include "lathe/Train/SessionProgram.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"

#include <chrono>
#include <map>
#include <set>

namespace lathe {

using namespace train;

static void printNote(const std::string &text) {
  llvm::errs() << "lathe: note: " << text << "\n";
}

static std::string inFolder(StringRef folder, const llvm::Twine &name) {
  SmallString<256> path(folder);
  llvm::sys::path::append(path, name);
  return path.str().str();
}

/// The recipe the user names, or the one that stands beside the model.
static llvm::Error takeRecipe(TrainOptions &options, CLI::App &verb) {
  if (options.recipe.empty()) {
    SmallString<256> beside(options.file);
    llvm::sys::path::replace_extension(beside, "yaml");
    if (!llvm::sys::fs::exists(beside))
      return llvm::Error::success();
    options.recipe = beside.str().str();
    printNote("the recipe " + quote(beside) +
              " is used (--recipe none: without it)");
  } else if (options.recipe == "none") {
    return llvm::Error::success();
  }
  auto recipe = readRecipe(options.recipe);
  if (!recipe)
    return recipe.takeError();
  return applyRecipe(verb, *recipe, TrainOptions::notInRecipes);
}

/// The label that every loss of the model ignores, or --ignore-label.
static std::optional<int64_t> ignoredLabel(const TrainOptions &options,
                                           const Model &model) {
  if (options.verb->count("--ignore-label"))
    return options.ignoreLabel;
  return findIgnoredLabel(model);
}

/// The inputs of @loss for the batch and the sizes that the user names.
static llvm::Expected<std::vector<TensorSpec>>
chooseInputs(const TrainOptions &options, const Model &model) {
  ModelOptions sizes = options;
  std::set<std::string> named;
  for (StringRef text : options.dims)
    named.insert(text.split('=').first.str());
  for (const InputDeclaration &input : model.inputs())
    if (!input.shape.empty() && input.shape[0] < 0 &&
        !input.dimNames[0].empty() && named.insert(input.dimNames[0]).second)
      sizes.dims.push_back(input.dimNames[0] + "=" +
                           std::to_string(options.batch));
  std::vector<std::string> notes;
  auto shapes = resolveShapes(model.inputs(), sizes, {}, notes);
  if (!shapes)
    return shapes.takeError();
  for (const std::string &note : notes)
    printNote(note);
  std::vector<TensorSpec> inputs;
  for (auto [input, shape] : llvm::zip_equal(model.inputs(), *shapes)) {
    if (!shape.empty() && input.shape[0] < 0 && input.dimNames[0].empty())
      shape[0] = options.batch;
    inputs.push_back({input.name, input.dtype, Shape(shape)});
  }
  // Augmentation draws its numbers from a key that the model may not have.
  if (!options.optimizer.augment.empty() &&
      llvm::none_of(inputs, [](const TensorSpec &spec) {
        return spec.name == kRandomKey;
      }))
    inputs.push_back({kRandomKey.str(), DType::I64, {2}});
  return inputs;
}

/// The classes' figures as a table.
static void printReport(const Report &report, raw_ostream &os) {
  for (const auto &[name, value] : report.scalars)
    os << llvm::formatv("{0}: {1:f4}\n", name, value);
  if (report.classes.empty() || report.classes.size() > 100)
    return;
  os << "class  precision  recall      f1  support\n";
  for (auto [i, one] : llvm::enumerate(report.classes))
    os << llvm::formatv("{0,5}  {1,9:f4}  {2,6:f4}  {3,6:f4}  {4,7}\n", i,
                        one.precision, one.recall, one.f1, one.support);
}

/// The figure of the last line: what is watched, else the one that says most.
static std::optional<std::pair<std::string, double>>
headline(const TrainOptions &options, const std::optional<Report> &report) {
  if (!report)
    return std::nullopt;
  for (std::string name :
       {options.loop.watch == "loss" ? "" : options.loop.watch,
        std::string("accuracy"), std::string("bits_per_character")})
    if (auto value = report->find(name))
      return std::make_pair(name, *value);
  return std::make_pair(std::string("validation_loss"),
                        report->find("loss").value_or(0));
}

/// What would be noticed at the end of the training otherwise, or not at all.
static llvm::Error checkOptions(const TrainOptions &options,
                                const Model &model) {
  StringRef batch;
  for (StringRef text : options.dims)
    for (const InputDeclaration &input : model.inputs())
      if (!input.shape.empty() && input.shape[0] < 0 &&
          text.split('=').first == input.dimNames[0])
        batch = text.split('=').second;
  if (options.verb->count("--batch") && !batch.empty() &&
      batch != std::to_string(options.batch))
    printNote(llvm::formatv("--batch {0} has no effect beside --dim, which "
                            "makes it {1}",
                            options.batch, batch));
  func::FuncOp loss = model.entry();
  bool hasLogits = false;
  for (unsigned i = 0; i < loss.getNumResults(); ++i) {
    auto name = loss.getResultAttrOfType<StringAttr>(i, "lathe.name");
    hasLogits |= name && name == options.logits;
  }
  if (options.logits != TrainOptions().logits && !hasLogits)
    return makeError("--logits expects the name of an output of @loss, got {0}",
                     quote(options.logits));
  // A recipe of an earlier training holds defaults, too: those mean nothing.
  if (options.eval.empty() && options.validation == 0 &&
      (options.loop.patience || options.loop.watch != LoopOptions().watch))
    options.noteUnused({"--patience", "--watch"},
                       "without --eval or --validation");
  // A pipe is not opened twice.
  for (const std::string &path : {options.saveModel, options.json})
    if (!path.empty() &&
        (!llvm::sys::fs::exists(path) || llvm::sys::fs::is_regular_file(path) ||
         llvm::sys::fs::is_directory(path)))
      if (auto file = AtomicFile::create(path); !file)
        return file.takeError();
  return llvm::Error::success();
}

/// The files that the training reads.
static std::vector<std::string> inputFiles(const TrainOptions &options,
                                           const Model &model) {
  std::vector<std::string> files = {options.file};
  if (!options.recipe.empty() && options.recipe != "none")
    files.push_back(options.recipe);
  for (const auto *texts : {&options.data, &options.eval})
    for (StringRef text : *texts)
      files.push_back(text.contains('=') ? text.split('=').second.str()
                                         : text.str());
  WeightSource weights;
  if (llvm::Error error = openWeights(options, weights))
    llvm::consumeError(std::move(error)); // said when they are needed
  files.insert(files.end(), options.weights.begin(), options.weights.end());
  for (StringRef key : weights.keys())
    files.push_back(weights.find(key).file->file()->path());
  for (auto parameter : model.module().getOps<ParameterOp>())
    if (std::optional<StringRef> file = parameter.getFile())
      files.push_back(
          inFolder(llvm::sys::path::parent_path(options.file), *file));
  return files;
}

/// An error where --save or --json would write over what the run reads.
static llvm::Error checkOverwriting(const TrainOptions &options,
                                    const Model &model) {
  for (const auto &[option, path] : {std::pair("--save", options.saveModel),
                                     std::pair("--json", options.json)}) {
    if (path.empty() || !llvm::sys::fs::is_regular_file(path))
      continue;
    for (const std::string &file : inputFiles(options, model))
      if (llvm::sys::fs::equivalent(path, file))
        return makeError("{0} would overwrite {1}, which this training reads",
                         option, quote(file));
  }
  if (!options.saveModel.empty() && options.saveModel == options.json)
    return makeError("--save and --json both write {0}", quote(options.json));
  return llvm::Error::success();
}

static llvm::Error writeFigures(const TrainOptions &options,
                                const LoopResult &result, double seconds,
                                uint64_t steps, const PreparedModel &prepared,
                                const MemoryUse &memory) {
  nlohmann::json json = {
      {"step", result.state.step},
      {"loss", result.loss},
      {"seconds", seconds},
      {"steps_per_second", seconds > 0 ? steps / seconds : 0},
      {"compile_seconds", prepared.compileSeconds},
      {"from_cache", prepared.fromCache},
      {"ending", result.ending == Ending::Finished   ? "finished"
                 : result.ending == Ending::NoBetter ? "no better"
                                                     : "interrupted"}};
  json["step_memory"] = {
      {"values", memory.arena},      {"states", memory.states},
      {"weights", memory.weights},   {"inputs_and_outputs", memory.signature},
      {"workspace", memory.scratch}, {"total", memory.total()}};
  for (const auto &[name, value] : result.state.scalars)
    json["training"][name] = value;
  if (result.state.bestStep) {
    json["best"] = result.state.best;
    json["best_step"] = *result.state.bestStep;
  }
  if (result.report) {
    for (const auto &[name, value] : result.report->scalars)
      json["evaluation"][name] = value;
    for (const ClassReport &one : result.report->classes)
      json["classes"].push_back({{"precision", one.precision},
                                 {"recall", one.recall},
                                 {"f1", one.f1},
                                 {"support", one.support}});
  }
  return writeJson(options.json, json);
}

/// What a step takes, and what is computed again so that it takes no more.
static void explainMemory(const exec::Executable &executable,
                          const CompileStatistics &statistics,
                          unsigned threads) {
  raw_ostream &os = llvm::outs();
  printMemoryTimeline(measureMemory(executable, 0, threads), "a train step",
                      /*count=*/12, os);
  MemoryUse evaluation = measureMemory(executable, 1, threads);
  os << "evaluation needs " << formatBytes(evaluation.arena) << " besides\n";
  if (statistics.recomputed.empty()) {
    os << "nothing is computed again for the backward part\n";
    return;
  }
  os << llvm::formatv("computed again for the backward part, with {0:f1} "
                      "million operations: {1} less is kept\n",
                      statistics.recomputeFlops * 1e-6,
                      formatBytes(statistics.bytesSaved));
  // The ops of a place in the model stand together.
  std::map<std::string, unsigned> count;
  for (const std::string &op : statistics.recomputed)
    ++count[op];
  for (const auto &[op, times] : count)
    os << "  " << op
       << (times > 1 ? ", " + std::to_string(times) + " times" : "") << "\n";
}

/// Compiles the model for batches of these types, unless that was done before;
/// null after a diagnostic.
static std::shared_ptr<exec::Executable>
compileProgram(const TrainOptions &options, const Model &model,
               llvm::ArrayRef<TensorSpec> inputs, PreparedModel &prepared) {
  SmallVector<SmallVector<int64_t>> shapes;
  std::string details = "training\n";
  for (const TensorSpec &spec : inputs.take_front(model.inputs().size())) {
    shapes.emplace_back(spec.shape);
    details += spec.name + " " + formatType(spec.dtype, spec.shape) + "\n";
  }
  for (const auto &[name, value] : listRecipeFields(options.optimizer.recipe))
    details += name + " " + value + "\n";
  // How much fits depends on the threads, which have memory of their own.
  if (!options.maxMemory.empty())
    details += "memory " + options.maxMemory + " " +
               std::to_string(options.compileOptions().threads) + "\n";
  unsigned recompute =
      options.recompute.value_or(defaultRecompute(!options.noOptimize));
  details += "recompute " + std::to_string(recompute) + "\n";
  ExecutableCache cache(options, details);
  std::vector<std::string> notes;
  // To be explained, it must be made.
  if (!options.explain && (prepared.executable = cache.get(notes))) {
    prepared.fromCache = true;
    return prepared.executable;
  }
  prepared.executable = std::make_shared<exec::Executable>();
  CompileOptions compile = options.compileOptions();
  Progress bar("compiling kernels", 0);
  if (!options.quiet)
    compile.progress = [&bar](unsigned done, unsigned) { bar.update(done); };
  compile.explain = options.explain;
  compile.recompute = recompute;
  if (!options.maxMemory.empty())
    compile.maxMemory = llvm::cantFail(parseSize(options.maxMemory));
  CompileStatistics statistics;
  if (failed(compileTraining(model, shapes, shapes, options.optimizer.recipe,
                             compile, *prepared.executable, &statistics))) {
    noteSizes(model.inputs(), shapes);
    return nullptr;
  }
  if (options.explain)
    explainMemory(*prepared.executable, statistics, compile.threads);
  cache.put(prepared);
  return prepared.executable;
}

/// The compiled model with its weights; null after a diagnostic.
static llvm::Expected<std::unique_ptr<SessionProgram>>
makeProgram(const TrainOptions &options,
            std::shared_ptr<exec::Executable> executable) {
  if (!executable)
    return nullptr;
  if (llvm::Error error = verifyExecutable(*executable))
    return error;
  WeightSource weights;
  if (llvm::Error error = openWeights(options, weights))
    return error;
  auto loaded = LoadedModel::load(executable);
  if (!loaded)
    return loaded.takeError();
  SessionOptions session = options.sessionOptions();
  session.progress = false;
  session.profile = options.profile;
  return SessionProgram::create(*loaded, 0, 1, weights, session);
}

/// Which op makes a step's first value that is not finite.
static Explanation explainStep(const TrainOptions &options, const Model &model,
                               const SessionProgram &program,
                               llvm::ArrayRef<TensorView> inputs) {
  SmallVector<SmallVector<int64_t>> shapes;
  for (const TensorView &input : inputs.take_front(model.inputs().size()))
    shapes.emplace_back(input.shape());
  OwningOpRef<ModuleOp> module = buildTrainingModule(
      model, shapes, options.optimizer.recipe, /*markParts=*/true);
  WeightSource weights;
  llvm::Error error = openWeights(options, weights);
  if (!module || error) {
    llvm::consumeError(std::move(error));
    return {};
  }
  NonFiniteSearch search{*module, options.compileOptions(), &weights,
                         options.sessionOptions()};
  search.session.states = program.stateStore();
  auto found = findNonFiniteOp(search, inputs);
  if (found)
    return *found;
  std::string why = llvm::toString(found.takeError());
  return {why.empty() ? "" : "the op cannot be found: " + why, ""};
}

/// Whether a training in float16 skipped all of its updates.
static llvm::Expected<bool> hasNoUpdate(SessionProgram &program) {
  for (auto [i, state] : llvm::enumerate(program.states()))
    if (state.name == updatesState) {
      auto updates = program.state(i);
      if (!updates)
        return updates.takeError();
      return updates->as<int64_t>()[0] == 0;
    }
  return false;
}

static int run(TrainOptions &options, CLI::App &verb) {
  if (llvm::Error error = takeRecipe(options, verb))
    return fail(std::move(error));
  // The number of steps is known when the data is open.
  if (llvm::Error error = options.optimizer.finish(/*totalSteps=*/1))
    return fail(std::move(error));
  if (options.target == "cuda") // a recipe may have said so
    options.arch = chooseArch(options.arch);
  options.loop.seed = options.seed;
  options.loop.moreIsBetter = moreIsBetter(options.loop.watch);
  options.loop.showProgress = !options.quiet;
  options.loop.leastSecondsBetween = 10;
  if (options.loop.folder.empty())
    options.loop.folder = llvm::sys::path::stem(options.file).str() + "-train";

  auto begin = std::chrono::steady_clock::now();
  CompilerContext context;
  options.entry = "loss";
  PreparedModel prepared;
  std::unique_ptr<Model> model =
      loadModel(context.get(), options, {}, prepared);
  if (!model)
    return kFailed; // the diagnostics have said why
  if (llvm::Error error = checkOptions(options, *model))
    return fail(std::move(error));
  if (llvm::Error error = checkOverwriting(options, *model))
    return fail(std::move(error));
  auto inputs = chooseInputs(options, *model);
  if (!inputs)
    return fail(inputs.takeError());
  std::optional<int64_t> ignored = ignoredLabel(options, *model);
  auto data = openTrainData(options, *inputs,
                            findInputLimits(options, *inputs, *model), ignored);
  if (!data)
    return fail(data.takeError());
  uint64_t steps = totalSteps(options.loop, *data->trainingLoader);
  if (llvm::Error error = options.optimizer.finish(steps))
    return fail(std::move(error));
  // A folder that was made for nothing goes again; one with files stays.
  bool isNew = !llvm::sys::fs::exists(options.loop.folder);
  auto tidy = llvm::make_scope_exit([&] {
    if (isNew)
      (void)llvm::sys::fs::remove(options.loop.folder);
  });
  if (llvm::Error error =
          CheckpointFolder(options.loop.folder).prepare(options.loop.resume))
    return fail(std::move(error));
  auto executable = compileProgram(options, *model, *inputs, prepared);
  prepared.compileSeconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
          .count();
  auto program = makeProgram(options, std::move(executable));
  if (!program)
    return fail(program.takeError());
  if (!*program)
    return kFailed;

  MetricOptions metrics =
      chooseMetrics(options, (*program)->inputs(), (*program)->outputs(),
                    data->training->stride() > 0);
  metrics.ignore = ignored;
  nlohmann::ordered_json recipe = makeRecipe(verb, TrainOptions::notInRecipes);
  if (!options.loop.epochs && !options.loop.steps)
    recipe["epochs"] = 1;
  options.loop.extra = {{"recipe.json", recipe.dump(2) + "\n"}};
  if (data->vocabulary.size())
    options.loop.extra.push_back(
        {"vocabulary.json", data->vocabulary.toJson()});
  std::vector<std::unique_ptr<Listener>> owned;
  owned.push_back(makeJsonLog(inFolder(options.loop.folder, "log.jsonl")));
  if (!options.noTensorBoard)
    owned.push_back(makeEventFile(options.loop.folder));
  std::vector<Listener *> listeners;
  for (auto &listener : owned)
    listeners.push_back(listener.get());

  options.loop.explain = [&](llvm::ArrayRef<TensorView> inputs) {
    return explainStep(options, *model, **program, inputs);
  };
  begin = std::chrono::steady_clock::now();
  auto result = runTraining(**program, *data->trainingLoader,
                            data->evaluationLoader.get(), metrics, options.loop,
                            listeners, printNote);
  if (!result)
    return fail(result.takeError());
  std::chrono::duration<double> elapsed =
      std::chrono::steady_clock::now() - begin;
  if (result->ending == Ending::NoBetter)
    printNote(llvm::formatv("stopped after {0} evaluations that were no better",
                            result->state.evaluationsSinceBest));
  if (result->ending == Ending::Interrupted)
    printNote("interrupted after step " + std::to_string(result->state.step) +
              "; --resume goes on from there");
  auto isIdle = hasNoUpdate(**program);
  if (!isIdle)
    return fail(isIdle.takeError());
  if (*isIdle && result->state.step > 0)
    printNote("no step changed the weights: gradients overflowed in each, "
              "however far the loss scale fell; a lower --initial-scale is "
              "wanted, or more steps");
  if (!options.saveModel.empty())
    if (llvm::Error error = writeModel(options.saveModel, **program, {}))
      return fail(std::move(error));
  if (!options.quiet && result->report)
    printReport(*result->report, llvm::outs());
  if (options.profile)
    printProfile((*program)->executable(), (*program)->trainSession().profile(),
                 llvm::outs());
  if (!options.json.empty())
    if (llvm::Error error =
            writeFigures(options, *result, elapsed.count(),
                         result->state.step - result->firstStep, prepared,
                         measureMemory((*program)->executable(), 0,
                                       options.compileOptions().threads)))
      return fail(std::move(error));
  llvm::outs() << llvm::formatv("train: step {0}, loss {1:f4}",
                                result->state.step, result->loss);
  if (auto figure = headline(options, result->report))
    llvm::outs() << llvm::formatv(", {0} {1:f4}", figure->first,
                                  figure->second);
  llvm::outs() << "\n";
  return kDone;
}

void addTrainVerb(CLI::App &app, int &exitCode) {
  auto options = std::make_shared<TrainOptions>();
  CLI::App *verb = app.add_subcommand(
      "train",
      "Train the model's @loss on data; keep checkpoints, the best weights and "
      "logs\n\n"
      "  lathe train mlp.mlir --data image=train-images.gz --data "
      "label=train-labels.gz\n"
      "      --validation 0.1 --epochs 5\n"
      "  lathe train gpt.mlir --data tokens=book.txt --dim window=129 "
      "--validation 0.05\n"
      "      --learning-rate 1e-3 --warmup-steps 100\n"
      "  lathe train mlp.mlir --recipe mlp-train/step-9000/recipe.json "
      "--resume\n\n"
      "The names are those of @loss's arguments ('lathe info' lists them). "
      "Figures and\n"
      "weights are in MODEL-train/ (--output-dir): log.jsonl, event files for "
      "TensorBoard,\n"
      "step-N/, from which --resume goes on, also after Ctrl-C, and, with "
      "--eval or\n"
      "--validation, best.safetensors; without them the last "
      "step-N/model.safetensors is\n"
      "what was learnt: 'lathe run MODEL --weights FILE' uses it.\n");
  options->add(*verb);
  verb->callback(
      [options, verb, &exitCode] { exitCode = run(*options, *verb); });
}

} // namespace lathe
