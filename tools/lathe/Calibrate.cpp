//===- Calibrate.cpp - lathe calibrate ------------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "MaxDrop.h"
#include "Report.h"
#include "SiteObserver.h"
#include "Smoothing.h"
#include "Verbs.h"
#include "lathe/Support/AtomicFile.h"
#include "lathe/Support/Error.h"
#include "lathe/Support/Histogram.h"
#include "lathe/Support/Json.h"
#include "lathe/Support/Progress.h"
#include "lathe/Support/Ranges.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"

#include <chrono>

namespace lathe {

namespace {
struct CalibrateOptions : ModelOptions, ModelDataOptions {
  std::string output, json, method = "minmax";
  double percentile = 99.99;
  std::optional<double> smooth; ///< alpha of findSmoothing
  bool quiet = false;
  MaxDropOptions maxDrop;
};

class Calibration {
public:
  Calibration(CalibrateOptions &options, CLI::App &verb)
      : options(options), verb(verb) {}
  int run();

private:
  llvm::Error observe(SiteObserver &observer, ModelData &data);
  llvm::Error choose(const SiteObserver &observer, const ModelData &data);
  /// The products that --max-drop leaves in floats.
  llvm::Error keep(ModelOnData &opened, ModelData evaluation);
  void print() const;
  llvm::Error writeFigures(const ModelData &data) const;

  CalibrateOptions &options;
  CLI::App &verb;
  std::vector<std::vector<Histogram>> histograms; ///< of values, by range
  std::vector<Smoothing> smoothings; ///< of values; empty without --smooth
  Ranges ranges;
  /// What the user asks for; calibration itself runs the float model.
  QuantizationOptions quantization;
  std::optional<KeepDecision> decision;
  /// Of the ranges of each site, the least signal to noise ratio of 8 bits.
  std::vector<double> snr;
  double seconds = 0;
};
} // namespace

/// Histograms take 64 KiB each.
static constexpr int64_t kMaxRanges = 1 << 14;

llvm::Error Calibration::observe(SiteObserver &observer, ModelData &data) {
  int64_t count = 0;
  for (const SiteObserver::Observed &value : observer.values()) {
    count += value.numRanges();
    histograms.emplace_back(value.numRanges());
  }
  if (count > kMaxRanges)
    return makeError("the model has {0} values of layers to look at, more than "
                     "the {1} there is memory for",
                     count, kMaxRanges);
  unsigned passes = observer.passesOverData();
  if (options.smooth) {
    Progress progress("smoothing", data.batches());
    uint64_t runs = 0;
    auto found =
        findSmoothing(observer.function()->getParentOfType<ModuleOp>(),
                      observer.function().getSymName(), *options.smooth,
                      options.compileOptions(), options, data, [&] {
                        if (!options.quiet)
                          progress.update(runs++);
                      });
    if (!found)
      return found.takeError();
    smoothings = std::move(*found);
  }
  Progress progress("calibrating", passes * data.batches());
  uint64_t runs = 0;
  return observer.run(
      options.compileOptions(), options, data,
      [&](unsigned value, int64_t range, const TensorView &tensor) {
        if (smoothings.empty() || !smoothings[value])
          return histograms[value][range].add(tensor);
        std::vector<float> divided = smoothings[value].divide(range, tensor);
        histograms[value][range].add(
            TensorView(DType::F32, tensor.shape(), divided.data()));
      },
      [&] {
        if (!options.quiet && runs)
          progress.update(runs,
                          passes > 1
                              ? llvm::formatv("pass {0} of {1}",
                                              runs / data.batches() + 1, passes)
                                    .str()
                              : "");
        ++runs;
      });
}

llvm::Error Calibration::choose(const SiteObserver &observer,
                                const ModelData &data) {
  RangeMethod method = *rangeMethodFromName(options.method);
  ranges.model = llvm::sys::path::filename(options.file).str();
  ranges.method = options.method;
  if (method == RangeMethod::Percentile)
    ranges.method += " " + formatNumber(options.percentile);
  ranges.samples = data.samples();
  // Sites often share a value.
  std::vector<std::vector<Range>> chosen;
  for (const std::vector<Histogram> &list : histograms) {
    chosen.emplace_back();
    for (const Histogram &histogram : list)
      chosen.back().push_back(
          chooseRange(histogram, method, options.percentile));
  }
  uint64_t bad = 0;
  std::string firstBad;
  for (auto [i, site] : llvm::enumerate(observer.sites())) {
    SiteRanges result;
    result.name = site.name;
    double least = INFINITY;
    if (!smoothings.empty())
      smoothings[observer.valueOf(i)].list(
          [&, i = i](int64_t n) { return observer.rangeOf(i, n); },
          site.numRanges(), result.smooth);
    unsigned value = observer.valueOf(i);
    for (int64_t n = 0; n < site.numRanges(); ++n) {
      const Histogram &histogram = histograms[value][observer.rangeOf(i, n)];
      const Range &range = chosen[value][observer.rangeOf(i, n)];
      if (histogram.count() == 0)
        return makeError("no number that flows into {0} is finite",
                         quote(site.name));
      if (double reach = std::max(std::abs(range.low), std::abs(range.high));
          reach > Ranges::kMaxReach)
        return makeError("the numbers that flow into {0} reach {1}, more than "
                         "half the largest f32, which no scale can be made of; "
                         "--method percentile leaves a few of them out",
                         quote(site.name), formatNumber(reach));
      if (histogram.notFinite() && firstBad.empty())
        firstBad = site.name;
      bad += histogram.notFinite();
      result.low.push_back(range.low);
      result.high.push_back(range.high);
      result.magnitude.push_back(range.magnitude);
      result.seenLow.push_back(histogram.least());
      result.seenHigh.push_back(histogram.largest());
      result.clipped.push_back(histogram.shareOutside(range.low, range.high));
      least = std::min(
          least, quantizationSnr(histogram,
                                 Quantizer::asymmetric(range.low, range.high)));
    }
    ranges.sites.push_back(std::move(result));
    snr.push_back(least);
  }
  if (bad)
    llvm::errs() << llvm::formatv(
        "lathe: note: {0} numbers that are not finite are left out, the first "
        "at {1}\n",
        bad, quote(firstBad));
  return llvm::Error::success();
}

llvm::Error Calibration::keep(ModelOnData &opened, ModelData evaluation) {
  std::optional<MetricKind> kind;
  if (!options.maxDrop.metric.empty())
    kind = metricFromName(options.maxDrop.metric);
  auto metric =
      ModelMetric::create(*opened.model, std::move(evaluation), options, kind);
  if (!metric)
    return makeError("");
  SmallString<128> path;
  if (std::error_code error =
          llvm::sys::fs::createTemporaryFile("lathe-ranges", "json", path))
    return makeError("cannot make a temporary file: {0}", error.message());
  auto remove =
      llvm::make_scope_exit([&] { (void)llvm::sys::fs::remove(path); });
  if (llvm::Error error = writeRanges(path, ranges))
    return error;
  CompileOptions compile = options.compileOptions();
  compile.quantization = quantization;
  compile.quantization.ranges = path.str().str();
  auto decided = decideWhatToKeep(options.maxDrop, opened, *metric, options,
                                  compile, !options.quiet);
  if (!decided)
    return decided.takeError();
  decision = std::move(*decided);
  ranges.keep = quantization.keep;
  llvm::append_range(ranges.keep, decision->kept);
  return llvm::Error::success();
}

static std::string formatShare(double share) {
  return share == 0 ? "0" : llvm::formatv("{0:f3}%", share * 100).str();
}

void Calibration::print() const {
  size_t width = 4;
  for (const SiteRanges &site : ranges.sites)
    width = std::max(width, site.name.size());
  llvm::raw_ostream &os = llvm::outs();
  os << llvm::left_justify("site", width)
     << "  ranges         low        high     clipped  8 bits\n";
  for (auto [site, snr] : llvm::zip_equal(ranges.sites, snr)) {
    os << llvm::left_justify(site.name, width)
       << llvm::format("  %6zu  %10.4g  %10.4g  ", site.low.size(),
                       *llvm::min_element(site.low),
                       *llvm::max_element(site.high))
       << llvm::right_justify(formatShare(*llvm::max_element(site.clipped)),
                              10);
    if (std::isfinite(snr))
      os << llvm::format("  %3.0f dB", snr);
    os << "\n";
  }
}

llvm::Error Calibration::writeFigures(const ModelData &data) const {
  nlohmann::ordered_json report{{"ranges", options.output},
                                {"method", ranges.method},
                                {"samples", ranges.samples},
                                {"batch", data.batchSize()},
                                {"seconds", seconds}};
  auto &sites = report["sites"] = nlohmann::ordered_json::object();
  for (auto [site, snr] : llvm::zip_equal(ranges.sites, snr)) {
    auto &one = appendKey(sites, site.name,
                          {{"low", site.low},
                           {"high", site.high},
                           {"magnitude", site.magnitude},
                           {"clipped", site.clipped}});
    if (std::isfinite(snr))
      one["snr_db"] = snr;
  }
  if (decision) {
    report["max_drop"] = decision->toJson();
    report["max_drop"]["allowed"] = *options.maxDrop.points;
    report["max_drop"]["scheme"] = quantization.scheme.text();
  }
  return writeJson(options.json, report);
}

int Calibration::run() {
  auto start = std::chrono::steady_clock::now();
  quantization = options.quantization;
  options.quantization = {};
  bool isLimited = options.maxDrop.points.has_value();
  if (isLimited && !quantization.scheme)
    return fail("expected --quantize with the scheme that --max-drop is for");
  if (isLimited)
    options.noteUnused({"--ranges"}, "while ranges are looked for");
  else
    options.noteUnused({"--quantize", "--ranges", "--keep", "--metric",
                        "--eval", "--eval-samples", "--max-evaluations"},
                       "without --max-drop");
  if (options.output.empty())
    options.output = llvm::sys::path::stem(options.file).str() + ".ranges.json";
  ModelOnData opened;
  if (int code = opened.open(options, options, verb, isLimited))
    return code;
  ModelData &data = *opened.data;
  std::optional<ModelData> evaluation;
  if (isLimited) {
    auto other =
        openEvaluation(options.maxDrop, options, options, opened, verb);
    if (!other)
      return fail(other.takeError());
    evaluation.emplace(std::move(*other));
  }
  SiteObserver observer(
      OwningOpRef<ModuleOp>(cast<ModuleOp>((*opened.module)->clone())),
      opened.model->entry().getSymName());
  if (observer.numHidden())
    llvm::errs() << "lathe: note: " << observer.numHidden()
                 << " operands of ops in a 'while' get no ranges and stay "
                    "floats\n";
  if (observer.sites().empty())
    return fail("the model has no op that could be quantized");
  llvm::Error error = observe(observer, data);
  if (!error)
    error = choose(observer, data);
  if (!error && isLimited)
    error = keep(opened, std::move(*evaluation));
  if (!error)
    error = writeRanges(options.output, ranges);
  if (error)
    return failOnce(std::move(error));
  seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
  if (!options.json.empty())
    if (llvm::Error error = writeFigures(data))
      return fail(std::move(error));
  if (!options.quiet)
    print();
  if (decision)
    decision->print(options.maxDrop, quantization.scheme.text(), !options.quiet,
                    llvm::outs());
  size_t count = 0;
  for (const SiteRanges &site : ranges.sites)
    count += site.low.size();
  llvm::outs() << llvm::formatv(
      "calibrate: {0} sites, {1} ranges of {2} samples by {3} in {4}\n",
      ranges.sites.size(), count, ranges.samples, ranges.method,
      options.output);
  return kDone;
}

void addCalibrateVerb(CLI::App &app, int &exitCode) {
  auto options = std::make_shared<CalibrateOptions>();
  CLI::App *verb = app.add_subcommand(
      "calibrate",
      "Find the ranges of a model's activations, for 8-bit numbers\n\n"
      "  lathe calibrate fashion-cnn.mlir --weights best.safetensors -o "
      "ranges.json\n"
      "  lathe calibrate model.onnx --data images.npy --method percentile\n"
      "  lathe calibrate minilm.mlir --weights DIR --data sentences/\n"
      "      (a file NAME.npy per input, the leading dim counts the examples)\n"
      "  lathe calibrate model.onnx --input x=x.npy --input mask=ones "
      "--samples 64\n"
      "  lathe calibrate fashion-cnn.mlir --weights best.safetensors "
      "--quantize int8 --max-drop 0.5%\n"
      "      (looks for products that must stay in floats, and writes them "
      "into the file)\n\n"
      "The model runs on some hundred examples of what it is meant for, and "
      "the numbers that\n"
      "flow into products and convolutions are counted. The ranges go into a "
      "file of JSON,\n"
      "one per site and layer, which 'lathe compile --quantize int8 --ranges "
      "FILE' takes.\n\n"
      "  minmax      all numbers: outliers widen the steps for all others\n"
      "  percentile  all but the largest 0.01 % (--percentile)\n"
      "  entropy     what keeps most of the distribution (Kullback-Leibler)\n"
      "  mse         what rounding and clipping together change the least\n");
  options->ModelOptions::add(*verb, /*takesCompiled=*/false);
  options->ModelDataOptions::add(*verb);
  options->maxDrop.add(*verb, *options);
  verb->add_option("-o,--output", options->output, "Where the ranges go")
      ->default_str("MODEL.ranges.json");
  verb->add_option("--method", options->method, "How a range is chosen")
      ->check(CLI::IsMember({"minmax", "percentile", "entropy", "mse"}))
      ->capture_default_str();
  verb->add_option("--percentile", options->percentile,
                   "Percent of the numbers that are not clipped")
      ->check(kFiniteNotNegative & CLI::Range(50.0, 100.0))
      ->capture_default_str();
  verb->add_option_function<double>(
          "--smooth", [options](double alpha) { options->smooth = alpha; },
          "Divide each channel of what flows into a product by a number that "
          "its weights are multiplied by, so that channels of large numbers do "
          "not cost the others precision (SmoothQuant): from 0, which evens "
          "out the weights, to 1, which evens out the activations; 0.5 is good "
          "for transformers")
      ->check(CLI::Range(0.0, 1.0));
  verb->add_option("--json", options->json,
                   "Write the figures for programs to read");
  verb->add_flag("--quiet", options->quiet, "No progress and no table");
  verb->callback([options, verb, &exitCode] {
    exitCode = Calibration(*options, *verb).run();
  });
}

} // namespace lathe
