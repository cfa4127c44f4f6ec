//===- CheckGrad.cpp - lathe check-grad -*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GradientCheck.h"
#include "InputData.h"
#include "ModelOptions.h"
#include "Report.h"
#include "Verbs.h"
#include "lathe/Autodiff/PlantFault.h"
#include "lathe/Support/Error.h"
#include "lathe/Support/Progress.h"
#include "lathe/Transforms/RetypeFloats.h"
#include "lathe/Transforms/Specialize.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"

#include <set>

namespace lathe {

namespace {
struct CheckGradOptions : ModelOptions {
  std::string function, json, plant;
  std::vector<std::string> only;
  bool opsOnly = false;
};

/// What is known of the cases of one name.
struct Line {
  unsigned cases = 0;
  double worst = 0;
};

class CheckGrad {
public:
  explicit CheckGrad(const CheckGradOptions &options) : options(options) {}
  int run();

private:
  func::FuncOp load();
  void checkCase(CheckCase &check, bool isModel);
  void plantFaults(CheckCase &check, GradientCheckOptions checkOptions);
  struct FaultPoint {
    std::unique_ptr<GradientChecker> checker;
    unsigned places; ///< where the fault can be planted
  };
  llvm::Expected<FaultPoint> faultPoint(CheckCase &check,
                                        const GradientCheckOptions &options);
  llvm::Expected<double> errorWith(GradientChecker &checker,
                                   FaultPlanter &planter);
  int finish();

  const CheckGradOptions &options;
  CompilerContext context;
  std::vector<NamedTensor> given;
  std::unique_ptr<Model> model;
  OwningOpRef<ModuleOp> module;
  std::optional<Progress> progress;
  unsigned done = 0, total = 0; ///< cases
  std::map<std::string, Line> lines;
  std::string worstName = "none";
  double worst = 0;
  unsigned ops = 0, failures = 0, planted = 0, caught = 0, refused = 0;
  nlohmann::json cases = nlohmann::json::array();
};
} // namespace

/// What is trained by is one number, here as for lathe train; other functions
/// may return anything.
static LogicalResult checkLoss(func::FuncOp loss) {
  TypeRange results = loss.getResultTypes();
  auto type =
      results.empty() ? nullptr : dyn_cast<RankedTensorType>(results[0]);
  if (type && type.getRank() == 0 && isa<FloatType>(type.getElementType()))
    return success();
  auto error = loss.emitError("expected a rank-0 float, the loss, as first "
                              "result of '@loss', got ");
  if (results.empty())
    return error << "none";
  return error << results[0];
}

/// The function to check, specialized, in f64; null after a message.
func::FuncOp CheckGrad::load() {
  auto files = loadInputFiles(options.inputs);
  if (!files) {
    fail(files.takeError());
    return {};
  }
  given = std::move(*files);
  PreparedModel prepared;
  model = loadModel(context.get(), options, given, prepared);
  if (!model)
    return {};
  std::string name = options.function;
  if (name.empty())
    name = model->module().lookupSymbol<func::FuncOp>("loss")
               ? "loss"
               : model->entry().getSymName().str();
  OwningOpRef<ModuleOp> copy(model->module().clone());
  auto chosen = Model::fromModule(std::move(copy), name);
  if (!chosen)
    return {};
  if (name == "loss" && failed(checkLoss(chosen->entry())))
    return {};
  auto shapes = resolveShapes(chosen->inputs(), options, given, prepared.notes);
  if (!shapes) {
    fail(shapes.takeError());
    return {};
  }
  prepared.printNotes();
  if (failed(specialize(chosen->entry(), *shapes)) ||
      failed(retypeFloats(chosen->module(), Float64Type::get(&context.get()))))
    return {};
  module = OwningOpRef<ModuleOp>(chosen->module().clone());
  return module->lookupSymbol<func::FuncOp>(name);
}

void CheckGrad::checkCase(CheckCase &check, bool isModel) {
  GradientCheckOptions checkOptions;
  checkOptions.compile = options.compileOptions();
  checkOptions.compile.target = Target::Cpu;
  checkOptions.seed = options.seed;
  checkOptions.isModel = isModel;
  checkOptions.inputs = isModel ? &given : nullptr;
  checkOptions.tick = [&] {
    progress->update(done,
                     llvm::formatv("of {0}, {1}", total, check.name).str());
  };
  nlohmann::json entry{{"name", check.name}, {"model", isModel}};
  auto reject = [&](llvm::Error error) {
    ++failures;
    std::string message = llvm::toString(std::move(error));
    entry["failed"] = message;
    cases.push_back(entry);
    if (!message.empty())
      emitError(check.location) << "the gradient of '" << check.name
                                << "' cannot be checked: " << message;
  };
  if (!options.plant.empty())
    return plantFaults(check, checkOptions);
  auto checker = GradientChecker::create(check, checkOptions);
  if (!checker)
    return reject(checker.takeError());
  GradientOptions autograd;
  autograd.parameters = false;
  autograd.inputs = true;
  auto result = (*checker)->run(autograd);
  if (!result)
    return reject(result.takeError());

  std::string name = isModel ? "@" + check.name : check.name;
  ops += !isModel;
  Line &line = lines[name];
  ++line.cases;
  line.worst = std::max(line.worst, result->error);
  if (result->error > worst || worstName == "none") {
    worst = result->error;
    worstName = name;
  }
  entry["error"] = std::isfinite(result->error) ? result->error : 1e300;
  entry["inputs"] = result->inputs;
  entry["outputs"] = result->outputs;
  entry["whole_jacobian"] = result->isWholeJacobian;
  cases.push_back(entry);
  if (result->error <= kGradientTolerance)
    return;
  ++failures;
  emitError(check.location)
      << "the gradient of '" << check.name << "' is wrong: " << result->worst;
}

llvm::Expected<double> CheckGrad::errorWith(GradientChecker &checker,
                                            FaultPlanter &planter) {
  GradientOptions autograd;
  autograd.parameters = false;
  autograd.inputs = true;
  autograd.afterRule = [&](Operation *op, ArrayRef<Operation *> built,
                           MutableArrayRef<Value> gradients) {
    if (!op->hasAttr(kCheckMark))
      planter(op, built, gradients);
  };
  auto result = checker.run(autograd);
  if (!result)
    return result.takeError();
  return result->error;
}

/// What is right without a mistake, at another point than those before it, and
/// in how many places the mistake can be made.
llvm::Expected<CheckGrad::FaultPoint>
CheckGrad::faultPoint(CheckCase &check,
                      const GradientCheckOptions &checkOptions) {
  auto checker = GradientChecker::create(check, checkOptions);
  if (!checker)
    return checker.takeError();
  FaultPlanter none(*faultFromName(options.plant));
  auto error = errorWith(**checker, none);
  if (!error)
    return error.takeError();
  if (*error > kGradientTolerance)
    return makeError("it is wrong before a fault is planted");
  return FaultPoint{std::move(*checker), none.places()};
}

/// Every place where the mistake can be made, one after the other. At one point
/// a mistake may change nothing (the smaller operand of a maximum): then others
/// are tried. A gradient that cannot be built, compiled or run is refused: that
/// says nothing about the comparison.
void CheckGrad::plantFaults(CheckCase &check,
                            GradientCheckOptions checkOptions) {
  constexpr unsigned kPoints = 8;
  FaultKind kind = *faultFromName(options.plant);
  std::vector<FaultPoint> points;
  auto pointAt = [&](unsigned i) {
    if (i < points.size())
      return true;
    checkOptions.seed = options.seed + i;
    auto point = faultPoint(check, checkOptions);
    if (point) {
      points.push_back(std::move(*point));
      return true;
    }
    ++failures;
    std::string message = llvm::toString(point.takeError());
    if (!message.empty()) // else a diagnostic was printed
      emitError(check.location) << "the gradient of '" << check.name
                                << "' cannot be checked: " << message;
    return false;
  };
  if (!pointAt(0))
    return;
  for (unsigned site = 0; site < points[0].places; ++site) {
    std::string outcome = "missed", reason;
    for (unsigned i = 0; i < kPoints && outcome == "missed"; ++i) {
      if (!pointAt(i))
        return;
      FaultPlanter planter(kind, site);
      auto error = errorWith(*points[i].checker, planter);
      if (!error) {
        outcome = "refused";
        reason = llvm::toString(error.takeError());
      } else if (*error > kGradientTolerance) {
        outcome = "caught";
      }
    }
    ++planted;
    caught += outcome == "caught";
    refused += outcome == "refused";
    cases.push_back({{"name", check.name},
                     {"site", site},
                     {"caught", outcome == "caught"},
                     {"refused", outcome == "refused"}});
    if (outcome == "caught")
      continue;
    auto diagnostic = emitError(check.location)
                      << "a planted fault is "
                      << (outcome == "missed" ? "not found" : "refused") << ": "
                      << options.plant << " at place " << site
                      << " of the rule of '" << check.name << "'";
    if (!reason.empty())
      diagnostic << " (" << reason << ")";
  }
}

int CheckGrad::finish() {
  if (!options.json.empty()) {
    nlohmann::json report{{"ops", ops},
                          {"failures", failures},
                          {"worst", std::isfinite(worst) ? worst : 1e300},
                          {"worst_name", worstName},
                          {"tolerance", kGradientTolerance},
                          {"planted", planted},
                          {"caught", caught},
                          {"refused", refused},
                          {"cases", cases}};
    if (llvm::Error error = writeJson(options.json, report))
      return fail(std::move(error));
  }
  if (!options.plant.empty()) {
    llvm::outs() << llvm::formatv("check-grad: {0} faults of kind {1} planted, "
                                  "{2} caught, {3} refused\n",
                                  planted, options.plant, caught, refused);
    if (planted == 0 && failures == 0)
      return fail("nothing to plant: no rule of the ops that were checked has "
                  "a place for '" +
                  options.plant + "'");
    return caught == planted && failures == 0 ? kDone : kFailed;
  }
  for (const auto &[name, line] : lines)
    llvm::outs() << llvm::formatv(
        "{0,-28} {1,4} {2}  worst {3:e1}\n", name, line.cases,
        line.cases == 1 ? "case " : "cases", line.worst);
  llvm::outs() << llvm::formatv(
      "check-grad: {0} ops, worst relative error {1:e1} ({2})\n", ops, worst,
      worstName);
  return failures == 0 ? kDone : kFailed;
}

int CheckGrad::run() {
  if (!options.plant.empty() && !faultFromName(options.plant))
    return fail("--plant expects sign, factor, transpose, no-broadcast-sum, "
                "drop-term or wrong-type, got '" +
                options.plant + "'");
  func::FuncOp function = load();
  if (!function)
    return kFailed;
  std::vector<CheckCase> all = extractOpCases(function);
  std::set<std::string> names;
  for (const CheckCase &check : all)
    names.insert(check.name);
  for (const std::string &name : options.only)
    if (!names.empty() && !names.count(name))
      return fail("--op expects one of the function's ops, '" +
                  llvm::join(names, "', '") + "', got '" + name + "'");
  if (!options.only.empty())
    llvm::erase_if(all, [&](const CheckCase &check) {
      return !llvm::is_contained(options.only, check.name);
    });
  bool withModel =
      !options.opsOnly && options.plant.empty() && options.only.empty();
  total = all.size() + withModel;
  if (total == 0)
    return fail("nothing to check: '@" + function.getSymName() +
                "' has no op that takes and gives floats");
  progress.emplace("checking gradients", 0);
  for (CheckCase &check : all) {
    checkCase(check, /*isModel=*/false);
    ++done;
  }
  if (withModel) {
    CheckCase whole = extractFunctionCase(function);
    checkCase(whole, /*isModel=*/true);
  }
  progress.reset();
  return finish();
}

void addCheckGradVerb(CLI::App &app, int &exitCode) {
  auto options = std::make_shared<CheckGradOptions>();
  CLI::App *verb = app.add_subcommand(
      "check-grad",
      "Compare gradients with central differences in f64: each op of the model "
      "alone, then the whole function\n\n"
      "  lathe check-grad model.mlir --dim batch=2\n"
      "  lathe check-grad model.mlir --op lathe.softmax --seed 3\n");
  verb->add_option("file", options->file, "The model (.mlir, .onnx)")
      ->required();
  verb->add_option("--function", options->function,
                   "The function to check (@loss, or the entry)");
  verb->add_option("--op", options->only,
                   "Check these ops alone: lathe.NAME (repeatable)");
  verb->add_flag("--ops-only", options->opsOnly,
                 "Do not check the whole function");
  verb->add_option("--dim", options->dims, "Size of a named dim: batch=8");
  verb->add_option("--input", options->inputs,
                   "Input of the whole function: name=file.npy (repeatable)");
  verb->add_option("--seed", options->seed, "Of the point and the directions");
  verb->add_flag("--no-cache", options->noCache,
                 "Do not use or fill the cache of compiled kernels");
  verb->add_flag("--no-optimize", options->noOptimize,
                 "Check the program without passes that make it faster");
  verb->add_option("--json", options->json,
                   "Write the figures for programs to read");
  // For tests: rules with mistakes, which must be found.
  verb->add_option("--plant", options->plant)->group("");
  options->verb = verb;
  options->threads = 1;
  verb->callback(
      [options, &exitCode] { exitCode = CheckGrad(*options).run(); });
}

} // namespace lathe
