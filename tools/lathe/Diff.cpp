//===- Diff.cpp - lathe diff ----------------------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DiffSide.h"
#include "InputData.h"
#include "Report.h"
#include "ValueMatch.h"
#include "Verbs.h"
#include "dialects/Lathe/Lathe.h"
#include "lathe/Support/Compare.h"
#include "lathe/Support/Error.h"
#include "lathe/Target/Cpu/CompileObject.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>
#include <map>
#include <set>

namespace lathe {

namespace {
struct DiffOptions : ModelOptions {
  std::string against, json, plant;
  std::vector<std::string> againstWeights;
  std::optional<unsigned> recompute;
  double rtol = 1e-3, atol = 1e-5;
  bool passes = false, gradients = false;
};

/// The first value that differs.
struct Difference {
  std::string what; ///< "'lathe.exp' at m.mlir:3:8", "the output 'y'"
  std::optional<unsigned> place;
  Comparison comparison;
  std::string note;
};

class Diff {
public:
  explicit Diff(const DiffOptions &options)
      : options(options), here(options, options.gradients),
        there(options, options.gradients) {}
  int run();

private:
  llvm::Error parseAgainst();
  llvm::Error compareCompiled();
  llvm::Error bisectPasses();
  llvm::Error compareAll();
  llvm::Expected<std::optional<Difference>>
  compareValues(ArrayRef<MatchedValue> chosen);
  std::optional<Difference> compareResults(ArrayRef<Tensor> mine,
                                           ArrayRef<Tensor> theirs,
                                           ArrayRef<std::string> theirNames);
  Comparison compare(const TensorView &a, const TensorView &b) const;
  void note(const Comparison &comparison, const std::string &what);
  void describeKernel(Difference &difference, const KernelContent &kernel);
  int finish();

  const DiffOptions &options;
  CompilerContext context;
  DiffSide here, there;
  std::string otherWay; ///< "no-optimize", a file
  bool isCompiled = false;
  SmallVector<Value> values; ///< of `here`
  SmallVector<MatchedValue> matches;
  std::optional<Difference> found;
  std::string pass; ///< that changes the answer
  std::set<unsigned> seen;
  unsigned outputs = 0; ///< that both have
  double largest = -1;  ///< difference, in units of the tolerance
  std::string largestWhat;
};
} // namespace

/// How much is exposed in one run.
static constexpr uint64_t kGroupBytes = uint64_t(512) << 20;

llvm::Error Diff::parseAgainst() {
  std::string text = options.against;
  if (options.passes && !text.empty())
    return makeError("--passes compares the passes of one compilation with "
                     "each other, expected no --against beside it, got {0}",
                     quote(text));
  if (!options.againstWeights.empty() && !llvm::sys::fs::exists(text))
    return makeError("--against-weights are those of a file in --against; to "
                     "compare two sets of weights give the model's own file "
                     "there");
  if (text.empty())
    text = !options.cudaSourceFolder.empty()               ? "generated"
           : StringRef(options.target).starts_with("cuda") ? "cpu"
                                                           : "no-optimize";
  otherWay = text;
  here.recompute = there.recompute = options.recompute;
  ModelOptions &other = there.options;
  other.cudaSourceFolder.clear();
  if (llvm::sys::fs::exists(text)) {
    other.file = text;
    other.weights = options.againstWeights;
    auto compiled = isCompiledFile(text);
    if (!compiled)
      return compiled.takeError();
    isCompiled = *compiled;
    if (isCompiled && options.gradients)
      return makeError("a compiled file has outputs and no gradients: "
                       "expected --against to be a model, .mlir or .onnx, "
                       "beside --gradients, got {0}",
                       quote(text));
    return llvm::Error::success();
  }
  for (StringRef way : llvm::split(text, ',')) {
    auto [name, value] = way.split('=');
    if (way == "cpu" || way == "cuda" || way == "cuda-sim") {
      other.target = way.str();
      if (way == "cuda")
        other.arch = chooseArch(other.arch);
    } else if (way == "no-fuse") {
      other.noFuse = true;
    } else if (way == "no-optimize") {
      other.noFuse = other.noOptimize = true;
      there.recompute.reset();
    } else if (way == "no-layout") {
      other.noLayout = true;
    } else if (way == "no-quantize") {
      other.quantization = {};
    } else if (std::optional<Precision> precision;
               name == "precision" && (precision = precisionFromName(value))) {
      other.precision = *precision;
    } else if (name == "isa" &&
               llvm::is_contained(cpu::CpuTarget::getIsaNames(), value)) {
      other.isa = value.str();
    } else if (name == "threads" && llvm::to_integer(value, other.threads) &&
               other.threads > 0) {
    } else if (unsigned level; name == "recompute" && options.gradients &&
                               llvm::to_integer(value, level) &&
                               level <= kMostRecompute) {
      there.recompute = level;
    } else if (way != "generated") {
      return makeError(
          "--against expects cpu, cuda, cuda-sim, no-fuse, "
          "no-optimize, no-layout, no-quantize, precision=f32|tf32|bf16|f16, "
          "isa=ISA, threads=N, generated (without "
          "--cuda-source-dir), "
          "recompute=0 to 4 (beside --gradients) or a file, got "
          "{0}",
          quote(way));
    }
  }
  return llvm::Error::success();
}

/// Numbers are rounded in proportion to what they are summed from: the
/// tolerance follows the root mean square of the tensor where an element is
/// smaller.
Comparison Diff::compare(const TensorView &a, const TensorView &b) const {
  double squares = 0;
  int64_t count = 0;
  if (isFloat(b.dtype()))
    for (int64_t i = 0, e = b.numElements(); i < e; ++i) {
      double x = loadAsDouble(b.dtype(), static_cast<const char *>(b.data()) +
                                             i * dtypeSize(b.dtype()));
      if (std::isfinite(x)) {
        squares += x * x;
        ++count;
      }
    }
  double typical = count ? std::sqrt(squares / count) : 0;
  return compareTensors(a, b, options.rtol,
                        options.atol + options.rtol * typical);
}

void Diff::note(const Comparison &comparison, const std::string &what) {
  if (comparison.maxAbsError <= largest)
    return;
  largest = comparison.maxAbsError;
  largestWhat = what;
}

static std::vector<std::string> resultNames(func::FuncOp function) {
  std::vector<std::string> names;
  for (unsigned i = 0; i < function.getNumResults(); ++i) {
    auto name = function.getResultAttrOfType<StringAttr>(i, "lathe.name");
    names.push_back(name ? name.str() : "output" + std::to_string(i));
  }
  return names;
}

std::optional<Difference>
Diff::compareResults(ArrayRef<Tensor> mine, ArrayRef<Tensor> theirs,
                     ArrayRef<std::string> theirNames) {
  for (auto [name, tensor] :
       llvm::zip_first(resultNames(here.function()), mine)) {
    const std::string *other = llvm::find(theirNames, name);
    if (other == theirNames.end())
      continue;
    Comparison comparison = compare(tensor, theirs[other - theirNames.begin()]);
    std::string what = "the output '" + name + "'";
    note(comparison, what);
    ++outputs;
    if (!comparison.ok)
      return Difference{what, std::nullopt, comparison, ""};
  }
  return std::nullopt;
}

/// In several runs where they are large; the first that differs.
llvm::Expected<std::optional<Difference>>
Diff::compareValues(ArrayRef<MatchedValue> chosen) {
  auto bytesOf = [&](const MatchedValue &one) {
    auto type = cast<RankedTensorType>(values[one.here].getType());
    uint64_t bytes = type.getNumElements() * 8;
    for (Operation *op = values[one.here].getDefiningOp()->getParentOp(); op;
         op = op->getParentOp())
      if (auto scan = dyn_cast<ScanOp>(op))
        bytes *= scan.computeTripCount();
    return bytes;
  };
  while (!chosen.empty()) {
    size_t count = 0;
    uint64_t bytes = 0;
    while (count < chosen.size() &&
           (count == 0 || bytes + bytesOf(chosen[count]) <= kGroupBytes))
      bytes += bytesOf(chosen[count++]);
    ArrayRef<MatchedValue> group = chosen.take_front(count);
    chosen = chosen.drop_front(count);
    SmallVector<unsigned> mine, theirs;
    for (const MatchedValue &one : group) {
      mine.push_back(one.here);
      theirs.push_back(one.there);
    }
    llvm::sort(theirs);
    theirs.erase(std::unique(theirs.begin(), theirs.end()), theirs.end());
    auto a = here.run(mine);
    if (!a)
      return a.takeError();
    auto b = there.run(theirs);
    if (!b)
      return b.takeError();
    for (auto [i, one] : llvm::enumerate(group)) {
      const Tensor &other =
          b->values[llvm::lower_bound(theirs, one.there) - theirs.begin()];
      Comparison comparison = compare(a->values[i], other);
      seen.insert(one.here);
      std::string what = describeOp(values[one.here].getDefiningOp());
      note(comparison, what);
      if (!comparison.ok)
        return Difference{what, one.here, comparison, ""};
    }
  }
  return std::nullopt;
}

void Diff::describeKernel(Difference &difference, const KernelContent &kernel) {
  difference.note += "; the kernel '" + kernel.name + "' computes it";
  std::string others;
  for (unsigned place : kernel.inside)
    if (place != kernel.output)
      others += (others.empty() ? " from " : ", ") +
                describeOp(values[place].getDefiningOp());
  difference.note += others;
}

/// What kernels write can be looked at without changing them. Where that
/// differs, the values inside of the kernel are looked at, too, which takes it
/// apart.
llvm::Error Diff::compareAll() {
  auto a = here.run({});
  if (!a)
    return a.takeError();
  auto b = there.run({});
  if (!b)
    return b.takeError();
  std::optional<Difference> result =
      compareResults(a->results, b->results, resultNames(there.function()));

  std::map<unsigned, KernelContent> kernels;
  for (KernelContent &kernel : here.findKernels())
    kernels.emplace(kernel.output, std::move(kernel));
  SmallVector<MatchedValue> written, all = matches;
  llvm::copy_if(
      matches, std::back_inserter(written),
      [&](const MatchedValue &one) { return kernels.count(one.here); });
  auto difference = compareValues(written);
  if (!difference)
    return difference.takeError();
  // Edited kernels write what they write, and nothing more.
  bool mayChangeKernels = here.options.cudaSourceFolder.empty();
  if (*difference) {
    const KernelContent &kernel = kernels[*(*difference)->place];
    SmallVector<MatchedValue> inside;
    llvm::copy_if(matches, std::back_inserter(inside),
                  [&](const MatchedValue &one) {
                    return llvm::is_contained(kernel.inside, one.here) &&
                           one.here < kernel.output;
                  });
    found = std::move(*difference);
    if (mayChangeKernels && !inside.empty()) {
      auto first = compareValues(inside);
      if (!first)
        return first.takeError();
      if (*first)
        found = std::move(*first);
      else
        found->note = ", though what its kernel computes on the way agrees";
    }
    describeKernel(*found, kernel);
    return llvm::Error::success();
  }
  if (mayChangeKernels) {
    auto first = compareValues(all);
    if (!first)
      return first.takeError();
    if (*first) {
      found = std::move(*first);
      return llvm::Error::success();
    }
  }
  found = std::move(result);
  if (found)
    found->note = "; all values that can be seen agree";
  return llvm::Error::success();
}

/// Leaves in the sides the pipeline up to the first pass that changes the
/// answer, and up to the one before it.
llvm::Error Diff::bisectPasses() {
  std::vector<std::string> names = graphPassNames(here.compile);
  there.compile = here.compile;
  if (!options.plant.empty())
    here.compile.afterPass = there.compile.afterPass = [&](StringRef name,
                                                           ModuleOp module) {
      if (name != options.plant)
        return;
      func::FuncOp function = module.lookupSymbol<func::FuncOp>(here.entry());
      for (Operation &op : function.getBody().front())
        if (!isa<ConstantOp, GetParameterOp>(op) && op.getNumResults() &&
            isa<FloatType>(getElementTypeOrSelf(op.getResult(0)))) {
          OpBuilder builder(op.getContext());
          builder.setInsertionPointAfter(&op);
          Value right = op.getResult(0);
          Value wrong = builder.create<NegOp>(op.getLoc(), right);
          right.replaceAllUsesExcept(wrong, wrong.getDefiningOp());
          return;
        }
    };
  there.compile.graphPasses = 0;
  auto base = there.run({});
  if (!base)
    return base.takeError();
  auto differs = [&](unsigned count) -> llvm::Expected<bool> {
    here.compile.graphPasses = count;
    auto run = here.run({});
    if (!run)
      return run.takeError();
    return compareResults(run->results, base->results,
                          resultNames(there.function()))
        .has_value();
  };
  unsigned good = 0, bad = names.size();
  auto any = differs(bad);
  if (!any)
    return any.takeError();
  if (!*any)
    return llvm::Error::success();
  while (bad - good > 1) {
    unsigned middle = (good + bad) / 2;
    auto wrong = differs(middle);
    if (!wrong)
      return wrong.takeError();
    (*wrong ? bad : good) = middle;
  }
  pass = names[bad - 1];
  here.compile.graphPasses = bad;
  there.compile.graphPasses = good;
  otherWay = llvm::formatv("the {0} passes before it", good);
  if (llvm::Error error = compareAll())
    return error;
  if (found)
    found->note +=
        llvm::formatv("; the pass '{0}', number {1} of {2}, changes it", pass,
                      bad, names.size());
  return llvm::Error::success();
}

/// Of a compiled model the outputs alone can be seen.
llvm::Error Diff::compareCompiled() {
  ModelOptions other = there.options;
  other.dims.clear();
  other.verb = nullptr; // its options are those of the other side
  PreparedModel prepared;
  if (prepareModel(other, prepared))
    return makeError("");
  WeightSource weights;
  if (llvm::Error error = openWeights(other, weights))
    return error;
  auto session = startSession(other, prepared, weights);
  if (!session)
    return session.takeError();
  std::vector<TensorView> inputs(prepared.inputs.begin(),
                                 prepared.inputs.end());
  auto theirs = (*session)->run(inputs);
  if (!theirs)
    return theirs.takeError();
  auto mine = here.run({});
  if (!mine)
    return mine.takeError();
  std::vector<std::string> names;
  for (const TensorSpec &spec : (*session)->outputs())
    names.push_back(spec.name);
  found = compareResults(mine->results, *theirs, names);
  if (found)
    found->note = "; of a compiled model the outputs alone can be seen";
  return llvm::Error::success();
}

static std::string countOf(size_t count, const char *what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

int Diff::finish() {
  std::string name = found ? found->what : "";
  if (!options.json.empty()) {
    nlohmann::json report{{"agree", !found},
                          {"values", seen.size()},
                          {"against", otherWay},
                          {"pass", pass},
                          {"largest_difference", std::isfinite(largest)
                                                     ? std::max(largest, 0.0)
                                                     : 1e300}};
    if (found) {
      const Comparison &c = found->comparison;
      report["first"] = {{"what", found->what},
                         {"note", found->note},
                         {"index", std::vector<int64_t>(c.worstIndex.begin(),
                                                        c.worstIndex.end())},
                         {"here", formatNumber(c.worstActual)},
                         {"there", formatNumber(c.worstExpected)},
                         {"mismatches", c.mismatches},
                         {"elements", c.elements}};
      if (found->place) {
        Operation *op = values[*found->place].getDefiningOp();
        report["first"]["op"] = op->getName().getStringRef().str();
        report["first"]["location"] = placeOf(op);
      }
    }
    if (llvm::Error error = writeJson(options.json, report))
      return fail(std::move(error));
  }
  if (!found && options.passes) {
    llvm::outs()
        << "diff: no graph pass changes the answer, largest difference "
        << formatNumber(std::max(largest, 0.0)) << "\n";
    return kDone;
  }
  if (!found && outputs == 0 && seen.empty())
    return fail("the two have no value and no output in common");
  if (!found) {
    llvm::outs() << llvm::formatv(
        "diff: {0} {1}, largest difference {2}{3}\n",
        isCompiled ? countOf(outputs, "output") : countOf(seen.size(), "value"),
        ((isCompiled ? outputs : seen.size()) == 1 ? "agrees with "
                                                   : "agree with ") +
            otherWay,
        formatNumber(std::max(largest, 0.0)),
        largest > 0 ? " in " + largestWhat : "");
    return kDone;
  }
  const Comparison &c = found->comparison;
  if (c.mismatches < 0)
    fail(found->what + " differs: " + c.message);
  else
    fail(llvm::Twine(llvm::formatv(
        "{0} differs at {1}: {2} here, {3} with {4}; {5} of {6} elements "
        "differ{7}",
        found->what, formatIndex(c.worstIndex), formatNumber(c.worstActual),
        formatNumber(c.worstExpected), otherWay, c.mismatches, c.elements,
        found->note)));
  llvm::outs() << "diff: " << countOf(seen.size(), "value")
               << " compared, the first that differs is " << name << "\n";
  return kFailed;
}

int Diff::run() {
  if (llvm::Error error = parseAgainst())
    return fail(std::move(error));
  if (auto compiled = isCompiledFile(options.file); !compiled)
    return fail(compiled.takeError());
  else if (*compiled)
    return fail("expected a model, .mlir or .onnx: a compiled one has no ops "
                "to look at");
  auto given = loadInputFiles(options.inputs);
  if (!given)
    return fail(given.takeError());
  StringRef plant = options.passes ? "" : StringRef(options.plant);
  if (!here.load(context.get(), *given, plant))
    return kFailed;
  values = listValues(here.function());
  if (!isCompiled && !there.load(context.get(), *given, "", here.notes))
    return kFailed;
  if (!here.makeInputTensors(std::move(*given)))
    return kFailed;
  if (!isCompiled) {
    matches = matchValues(here.function(), there.function());
    if (!there.shareInputs(here))
      return kFailed;
  }
  llvm::Error error = isCompiled       ? compareCompiled()
                      : options.passes ? bisectPasses()
                                       : compareAll();
  if (error) {
    std::string text = llvm::toString(std::move(error));
    return text.empty() ? kFailed : fail(text);
  }
  return finish();
}

void addDiffVerb(CLI::App &app, int &exitCode) {
  auto options = std::make_shared<DiffOptions>();
  CLI::App *verb = app.add_subcommand(
      "diff",
      "Run the model in two ways and name the first op whose value differs\n\n"
      "  lathe diff model.mlir                            optimized, and not\n"
      "  lathe diff model.mlir --passes                   which pass changes "
      "the answer\n"
      "  lathe diff model.onnx --target cuda-sim --against cpu\n"
      "  lathe diff model.mlir --target cuda-sim --cuda-source-dir edited\n"
      "  lathe diff net.mlir --gradients --against isa=sse\n"
      "  lathe diff model.onnx --against model.mlir       two files of a "
      "model\n\n"
      "Every value that both have is compared, what kernels write first; a "
      "value is known\n"
      "by how it is computed, or by its place in the model. Exit code 1: they "
      "differ.\n");
  options->add(*verb, /*takesCompiled=*/false);
  verb->add_option("--against", options->against,
                   "The other way: cpu, cuda, cuda-sim, no-fuse, no-optimize, "
                   "no-layout, no-quantize, precision=f32|tf32|bf16|f16, "
                   "isa=ISA, threads=N, generated "
                   "(kernels without --cuda-source-dir), recompute=N, several "
                   "with commas between; or another model file")
      ->default_str("no-optimize; cpu for the CUDA targets");
  verb->add_option("--against-weights", options->againstWeights,
                   "Weights of the other file (repeatable)");
  verb->add_flag("--passes", options->passes,
                 "Find the graph pass that first changes the answer");
  CLI::Option *gradients = verb->add_flag(
      "--gradients", options->gradients,
      "The gradients of @loss, too: what the backward part computes");
  verb->add_option("--recompute", options->recompute,
                   "How many values are computed again for the backward part, "
                   "as lathe train does")
      ->check(CLI::Range(0u, kMostRecompute))
      ->needs(gradients)
      ->default_str("1; with --no-optimize 0");
  verb->add_option("--rtol", options->rtol,
                   "Relative tolerance, of the element or of the root mean "
                   "square of its tensor if that is larger")
      ->check(kFiniteNotNegative)
      ->capture_default_str();
  verb->add_option("--atol", options->atol, "Absolute tolerance")
      ->check(kFiniteNotNegative)
      ->capture_default_str();
  verb->add_option("--json", options->json,
                   "Write the figures for programs to read");
  // For tests: a mistake in a derivative rule, KIND:PLACE, or after a pass.
  verb->add_option("--plant", options->plant)->group("");
  verb->callback([options, &exitCode] { exitCode = Diff(*options).run(); });
}

} // namespace lathe
