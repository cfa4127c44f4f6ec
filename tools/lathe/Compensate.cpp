//===- Compensate.cpp - lathe compensate ----------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Weights that lose less when they are rounded. The result is a weights file
// like any other: its numbers lie on the grid that lathe-quantize finds again,
// so programs need nothing new.
//
//===----------------------------------------------------------------------===//

#include "ProductWeights.h"
#include "Report.h"
#include "Verbs.h"
#include "lathe/Runtime/ThreadPool.h"
#include "lathe/Support/Error.h"
#include "lathe/Support/ErrorCompensation.h"
#include "lathe/Support/Progress.h"
#include "lathe/Support/Recipe.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

#include <chrono>
#include <cmath>

namespace lathe {

namespace {
struct CompensateOptions : ModelOptions, ModelDataOptions {
  std::string output, json, order = "together";
  double damping = 0.01;
  bool keepWeights = false, keepBiases = false, quiet = false;
};

/// One layer of what flows into products.
struct InputLayer {
  unsigned input;
  int64_t range;
};

/// Sums over the calibration data.
struct Moments {
  std::vector<double> products, sum;
  uint64_t rows = 0;
};

/// Square errors of a product's results, by each way to round, and of nothing.
struct ProductFigures {
  double nearest = 0, compensated = 0, signal = 0;
  bool biasIsCorrected = false;
};

class Compensation {
public:
  Compensation(CompensateOptions &options, CLI::App &verb)
      : options(options), verb(verb),
        pool(std::make_shared<ThreadPool>(options.threads)) {}
  int run();

private:
  llvm::Error compensateAll(ModelData &data);
  std::vector<SmallVector<InputLayer>> listStages() const;
  llvm::Error gather(ArrayRef<InputLayer> stage, ModelData &data,
                     std::vector<Moments> &found);
  llvm::Error compensate(const WeightedProduct &product, int64_t layer,
                         const ErrorCompensation &rounding,
                         const Moments &moments, ProductFigures &figures);
  void step() {
    if (progress)
      progress->update(done);
    ++done;
  }
  void print() const;
  llvm::Error writeFigures(const ModelData &data) const;
  ModuleOp module() const { return ModuleOp(*opened.module); }
  WeightGrid grid() const {
    const QuantizationScheme &scheme = options.quantization.scheme;
    const QuantizationMethod &method = *findQuantizationMethod(scheme.name);
    return {method.weightBits, scheme.group ? scheme.group : method.group};
  }

  CompensateOptions &options;
  CLI::App &verb;
  std::shared_ptr<ThreadPool> pool;
  ModelOnData opened;
  std::string entry;
  CompileOptions compile;
  ProductList list;
  std::map<std::string, Tensor> parameters;
  std::vector<ProductFigures> figures;
  /// The weights of the stages done so far, for the next one's run.
  std::string interim;
  std::optional<Progress> progress;
  uint64_t done = 0;
  double seconds = 0;
};
} // namespace

/// What is gathered at once may take so much, in f64, and the results of one
/// batch that it is made of, in f32.
static constexpr uint64_t kMomentBytes = uint64_t(1) << 30;
static constexpr uint64_t kResultBytes = uint64_t(512) << 20;

std::vector<SmallVector<InputLayer>> Compensation::listStages() const {
  bool isTogether = options.order == "together";
  // Iteration by iteration through a scan, as the model runs; what comes from
  // outside of it before. Where the order is of no matter, one run over the
  // data is to do for all iterations.
  std::vector<InputLayer> order;
  llvm::SmallDenseSet<unsigned> isListed;
  for (unsigned i = 0; i < list.inputs.size(); ++i) {
    SmallVector<unsigned> together;
    for (unsigned j = i; j < list.inputs.size(); ++j)
      if (j == i || (!isTogether && !list.inputs[i].scans.empty() &&
                     list.inputs[j].scans == list.inputs[i].scans))
        together.push_back(j);
    for (unsigned j = i; j < together.back(); ++j)
      if (list.inputs[j].scans.empty() && isListed.insert(j).second)
        order.push_back({j, 0});
    if (isListed.contains(i))
      continue;
    isListed.insert(together.begin(), together.end());
    for (int64_t range = 0; range < list.inputs[i].numRanges(); ++range)
      for (unsigned j : together)
        order.push_back({j, range});
  }
  std::vector<SmallVector<InputLayer>> stages;
  uint64_t bytes = 0, exposed = 0;
  for (const InputLayer &next : order) {
    const ProductInput &input = list.inputs[next.input];
    uint64_t more = sizeof(double) * input.depth * (input.depth + 1);
    // All iterations of a loop are in the results of one run.
    uint64_t results = input.bytes();
    if (!stages.empty() && llvm::any_of(stages.back(), [&](InputLayer one) {
          return one.input == next.input;
        }))
      results = 0;
    bool isNew = stages.empty() || bytes + more > kMomentBytes ||
                 exposed + results > kResultBytes;
    if (!isNew && !isTogether) {
      const InputLayer &last = stages.back().back();
      isNew = options.order == "products" || input.scans.empty() ||
              next.range != last.range ||
              input.scans != list.inputs[last.input].scans;
    }
    if (isNew) {
      stages.emplace_back();
      bytes = exposed = 0;
      results = input.bytes();
    }
    bytes += more;
    exposed += results;
    stages.back().push_back(next);
  }
  return stages;
}

/// Runs the model, with the weights as they are now, over the data.
llvm::Error Compensation::gather(ArrayRef<InputLayer> stage, ModelData &data,
                                 std::vector<Moments> &found) {
  SmallVector<unsigned> wanted;
  found.clear();
  for (const InputLayer &one : stage) {
    const ProductInput &input = list.inputs[one.input];
    wanted.push_back(input.momentsPlace);
    wanted.push_back(input.sumPlace);
    found.emplace_back();
    found.back().products.assign(input.depth * input.depth, 0);
    found.back().sum.assign(input.depth, 0);
  }
  llvm::sort(wanted);
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  ModelOptions from = options;
  if (!interim.empty())
    from.weights = {interim};
  auto program = makeExposed(module(), entry, wanted, compile, from);
  if (!program)
    return program.takeError();
  auto addBatch = [&](ArrayRef<TensorView> inputs) -> llvm::Error {
    auto result = program->run(inputs);
    if (!result)
      return result.takeError();
    auto valueAt = [&](unsigned place) -> const Tensor & {
      return result->values[llvm::lower_bound(wanted, place) - wanted.begin()];
    };
    for (auto [one, moments] : llvm::zip_equal(stage, found)) {
      const ProductInput &input = list.inputs[one.input];
      auto addTo = [&, range = one.range](Value value, unsigned place,
                                          std::vector<double> &sum) {
        splitByRange(value, input.scans, valueAt(place),
                     [&](int64_t at, const TensorView &part) {
                       if (at != range)
                         return;
                       for (auto [to, from] : llvm::zip(sum, part.as<float>()))
                         to += from;
                     });
      };
      addTo(input.moments, input.momentsPlace, moments.products);
      addTo(input.sum, input.sumPlace, moments.sum);
      moments.rows += input.rows * (countRanges(findScansAround(input.value)) /
                                    input.numRanges());
    }
    return llvm::Error::success();
  };
  return forEachBatch(data, [&] { step(); }, addBatch);
}

/// [rows, columns] to [columns, rows].
static std::vector<float> transpose(ArrayRef<float> from, int64_t rows,
                                    int64_t columns) {
  std::vector<float> to(from.size());
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j)
      to[j * rows + i] = from[i * columns + j];
  return to;
}

llvm::Error Compensation::compensate(const WeightedProduct &product,
                                     int64_t layer,
                                     const ErrorCompensation &rounding,
                                     const Moments &moments,
                                     ProductFigures &figures) {
  int64_t depth = rounding.depth(), width = product.width;
  MutableArrayRef<float> stored =
      parameters.find(product.weight)
          ->second.as<float>()
          .slice(layer * width * depth, width * depth);
  std::vector<float> before =
      product.isTransposed ? transpose(stored, depth, width) : stored.vec();
  if (!llvm::all_of(before, [](float x) { return std::isfinite(x); }))
    return makeError("the weights in {0} are not all finite",
                     quote(product.weight));
  auto roundAll = [&](const ErrorCompensation &how) {
    std::vector<float> after = before;
    pool->run(width, [&](unsigned, int64_t begin, int64_t end) {
      how.round(
          MutableArrayRef(after).slice(begin * depth, (end - begin) * depth),
          grid());
    });
    return after;
  };
  std::vector<float> after = roundAll(rounding);
  // Some rows tell how much it is worth.
  ErrorCompensation plain = ErrorCompensation::none(depth);
  int64_t shown = std::min<int64_t>(width, 32);
  std::vector<float> nearest(before.begin(), before.begin() + shown * depth),
      zeros(shown * depth, 0);
  plain.round(nearest, grid());
  ArrayRef<float> exact(before.data(), shown * depth);
  figures.nearest += productError(nearest, exact, moments.products, depth);
  figures.compensated += productError(ArrayRef(after).take_front(shown * depth),
                                      exact, moments.products, depth);
  figures.signal += productError(zeros, exact, moments.products, depth);
  if (options.keepWeights)
    after = roundAll(plain);
  if (!product.bias.empty() && !options.keepBiases && moments.rows) {
    MutableArrayRef<float> bias = parameters.find(product.bias)
                                      ->second.as<float>()
                                      .slice(layer * width, width);
    for (int64_t i = 0; i < width; ++i) {
      double off = 0;
      for (int64_t j = 0; j < depth; ++j)
        off += (double(before[i * depth + j]) - after[i * depth + j]) *
               moments.sum[j];
      bias[i] += float(off / moments.rows);
    }
    figures.biasIsCorrected = true;
  }
  if (!options.keepWeights)
    llvm::copy(product.isTransposed ? transpose(after, width, depth) : after,
               stored.begin());
  return llvm::Error::success();
}

llvm::Error Compensation::compensateAll(ModelData &data) {
  std::vector<SmallVector<InputLayer>> stages = listStages();
  size_t numInputs = 0;
  for (const SmallVector<InputLayer> &stage : stages)
    numInputs += stage.size();
  if (!options.quiet)
    progress.emplace("compensating",
                     stages.size() * data.batches() + numInputs);
  SmallString<128> path;
  auto removeInterim = llvm::make_scope_exit([&] {
    if (!path.empty())
      (void)llvm::sys::fs::remove(path);
  });
  if (stages.size() > 1 && options.order != "together")
    if (std::error_code error = llvm::sys::fs::createTemporaryFile(
            "lathe-weights", "safetensors", path))
      return makeError("cannot make a temporary file: {0}", error.message());
  figures.resize(list.products.size());
  std::vector<Moments> found;
  for (const SmallVector<InputLayer> &stage : stages) {
    if (llvm::Error error = gather(stage, data, found))
      return error;
    for (auto [one, moments] : llvm::zip_equal(stage, found)) {
      step();
      auto rounding = ErrorCompensation::create(
          moments.products, list.inputs[one.input].depth, options.damping);
      for (auto [product, figures] : llvm::zip_equal(list.products, figures)) {
        if (product.input != one.input)
          continue;
        if (!rounding)
          return prefixError(product.name, rounding.takeError());
        // What flows in from outside of a loop is the same for all layers.
        bool isForAll = list.inputs[one.input].numRanges() == 1;
        for (int64_t layer = isForAll ? 0 : one.range,
                     end = isForAll ? product.layers : one.range + 1;
             layer < end; ++layer)
          if (llvm::Error error =
                  compensate(product, layer, *rounding, moments, figures))
            return error;
      }
    }
    if (path.empty() || &stage == &stages.back())
      continue;
    if (llvm::Error error = writeParameters(path, module(), parameters, {}))
      return error;
    interim = path.str();
  }
  return llvm::Error::success();
}

static std::string formatDecibels(double signal, double noise) {
  return noise > 0 && signal > 0
             ? llvm::formatv("{0:f1} dB", 10 * std::log10(signal / noise)).str()
             : "exact";
}

void Compensation::print() const {
  size_t width = 7;
  for (const WeightedProduct &product : list.products)
    width = std::max(width, product.name.size());
  for (auto &[name, why] : list.refused)
    width = std::max(width, name.size());
  llvm::raw_ostream &os = llvm::outs();
  os << llvm::left_justify("product", width)
     << "  layers     nearest  compensated  bias\n";
  for (auto [product, one] : llvm::zip_equal(list.products, figures))
    os << llvm::left_justify(product.name, width)
       << llvm::format("  %6lld", (long long)product.layers)
       << llvm::right_justify(formatDecibels(one.signal, one.nearest), 12)
       << llvm::right_justify(formatDecibels(one.signal, one.compensated), 13)
       << "  "
       << (one.biasIsCorrected      ? StringRef("corrected")
           : product.noBias.empty() ? StringRef("kept")
                                    : StringRef(product.noBias))
       << "\n";
  for (auto &[name, why] : list.refused)
    os << llvm::left_justify(name, width) << "  is left alone: " << why << "\n";
}

llvm::Error Compensation::writeFigures(const ModelData &data) const {
  nlohmann::ordered_json report{{"weights", options.output},
                                {"scheme", options.quantization.scheme.text()},
                                {"samples", data.samples()},
                                {"order", options.order},
                                {"seconds", seconds}};
  report["products"] = nlohmann::ordered_json::array();
  for (auto [product, one] : llvm::zip_equal(list.products, figures))
    report["products"].push_back({{"name", product.name},
                                  {"op", product.op},
                                  {"layers", product.layers},
                                  {"nearest", one.nearest},
                                  {"compensated", one.compensated},
                                  {"signal", one.signal},
                                  {"bias_corrected", one.biasIsCorrected}});
  report["refused"] = nlohmann::ordered_json::object();
  for (auto &[name, why] : list.refused)
    report["refused"][name] = why;
  return writeJson(options.json, report);
}

int Compensation::run() {
  auto start = std::chrono::steady_clock::now();
  if (!options.quantization.scheme)
    return fail("expected --quantize with the scheme that the weights are for");
  if (options.keepWeights && options.keepBiases)
    return fail("with --keep-weights and --keep-biases nothing is left to "
                "change");
  if (findQuantizationMethod(options.quantization.scheme.name)->isFloat)
    return fail("expected a scheme of integers, got " +
                quote(options.quantization.scheme.text()));
  options.noteUnused({"--ranges", "--precision"}, "on weights");
  options.precision = Precision::F32;
  if (options.output.empty())
    options.output =
        llvm::sys::path::stem(options.file).str() + ".compensated.safetensors";
  if (int code = opened.open(options, options, verb))
    return code;
  entry = opened.model->entry().getSymName().str();
  compile = options.compileOptions();
  compile.quantization = {};
  list = instrumentProducts(module().lookupSymbol<func::FuncOp>(entry),
                            options.quantization.keep);
  for (StringRef pattern : options.quantization.keep)
    if (llvm::none_of(list.products,
                      [&](const auto &product) {
                        return matchesPattern(pattern, product.name);
                      }) &&
        llvm::none_of(list.refused, [&](const auto &refused) {
          return matchesPattern(pattern, refused.first);
        }))
      return fail("--keep: no product is called " + quote(pattern) +
                  (list.products.empty()
                       ? ""
                       : ", one is " + quote(list.products.front().name)));
  if (list.products.empty())
    return fail(list.refused.empty()
                    ? "the model has no op that could be quantized"
                    : "no product has weights to compensate; " +
                          quote(list.refused.front().first) + ": " +
                          list.refused.front().second);
  auto read = readParameters(module(), compile, options);
  if (!read)
    return failOnce(read.takeError());
  parameters = std::move(*read);
  if (llvm::Error error = compensateAll(*opened.data))
    return failOnce(std::move(error));
  progress.reset();
  if (llvm::Error error = writeParameters(
          options.output, module(), parameters,
          {{kCompensatedFor.str(), options.quantization.scheme.text()}}))
    return failOnce(std::move(error));
  seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
          .count();
  if (!options.json.empty())
    if (llvm::Error error = writeFigures(*opened.data))
      return fail(std::move(error));
  if (!options.quiet)
    print();
  llvm::outs() << llvm::formatv(
      "compensate: {0} products for {1} with {2} samples in {3}\n",
      list.products.size(), options.quantization.scheme.text(),
      opened.data->samples(), options.output);
  return kDone;
}

void addCompensateVerb(CLI::App &app, int &exitCode) {
  auto options = std::make_shared<CompensateOptions>();
  CLI::App *verb = app.add_subcommand(
      "compensate",
      "Make weights lose less when they are rounded to few bits\n\n"
      "  lathe compensate minilm.mlir --weights DIR --data sentences/ "
      "--quantize int4-weights -o w.safetensors\n"
      "  lathe run minilm.mlir --weights w.safetensors --quantize "
      "int4-weights\n\n"
      "The model runs on some hundred examples of what it is meant for. The "
      "weights of each\n"
      "product are rounded one after the other, and what that changes in the "
      "product's results\n"
      "is made up for by the weights that are still to be rounded (GPTQ); what "
      "is left of it\n"
      "on the average goes into the bias. The weights that are written lie on "
      "the numbers that\n"
      "--quantize SCHEME rounds to: run and compile take them like any "
      "others, with that scheme.\n"
      "For int8 and int8-static, calibrate ranges with the new weights.\n");
  options->ModelOptions::add(*verb, /*takesCompiled=*/false);
  options->ModelDataOptions::add(*verb);
  verb->add_option("-o,--output", options->output, "Where the weights go")
      ->default_str("MODEL.compensated.safetensors");
  verb->add_option("--order", options->order,
                   "What earlier products are while the data for the next ones "
                   "is gathered. together: all in floats, one run over the "
                   "data; layers: those of earlier layers are rounded; "
                   "products: all earlier ones are")
      ->check(CLI::IsMember({"together", "layers", "products"}))
      ->capture_default_str();
  verb->add_option("--damping", options->damping,
                   "How little to trust the data: part of the mean square of "
                   "what flows in that every weight counts at least")
      ->check(CLI::Range(1e-6, 1e6))
      ->capture_default_str();
  verb->add_flag("--keep-weights", options->keepWeights,
                 "Correct biases alone, for weights rounded to the nearest");
  verb->add_flag("--keep-biases", options->keepBiases, "Correct no biases");
  verb->add_option("--json", options->json,
                   "Write the figures for programs to read");
  verb->add_flag("--quiet", options->quiet, "No progress and no table");
  verb->callback([options, verb, &exitCode] {
    exitCode = Compensation(*options, *verb).run();
  });
}

} // namespace lathe
