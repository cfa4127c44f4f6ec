//===- GradientCheck.cpp - Gradients against central differences ----------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "GradientCheck.h"

#include "lathe/Executable/MemoryUse.h"
#include "lathe/Support/Error.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>

namespace lathe {

/// Up to here every element of the inputs, or of the outputs, is taken alone.
static constexpr int64_t kWhole = 64;
/// Random directions above, and halvings of the step.
static constexpr unsigned kDirections = 8, kSteps = 9;
static constexpr double kFirstStep = 1e-2;
/// Bytes of directions and cotangents.
static constexpr uint64_t kMostBytes = uint64_t(8) << 30;

static llvm::Error diagnosed() { return makeError(""); }

llvm::Expected<std::unique_ptr<GradientChecker>>
GradientChecker::create(CheckCase &check, const GradientCheckOptions &options) {
  std::unique_ptr<GradientChecker> checker(new GradientChecker(check, options));
  GradientChecker &c = *checker;
  c.function = check.module->lookupSymbol<func::FuncOp>("forward");
  c.arguments = floatArguments(c.function);
  c.results = floatResults(c.function);
  auto count = [](Type type) {
    return cast<RankedTensorType>(type).getNumElements();
  };
  for (unsigned i : c.arguments) {
    c.sizes.push_back(count(c.function.getArgumentTypes()[i]));
    c.inputs += c.sizes.back();
  }
  for (unsigned i : c.results)
    c.outputs += count(c.function.getResultTypes()[i]);
  double directions = options.isModel ? double(c.sizes.size()) : kDirections;
  double bytes = 8.0 * (double(c.inputs) * directions + 3.0 * c.outputs);
  if (bytes > double(kMostBytes))
    return makeError("it has {0} inputs and outputs, for which directions take "
                     "{1} GiB, expected sizes (--dim) that take at most {2}",
                     c.inputs + c.outputs,
                     llvm::formatv("{0:f1}", bytes / (1 << 30)).str(),
                     formatBytes(kMostBytes));
  auto session = c.compile("forward");
  if (!session)
    return session.takeError();
  c.session = std::move(*session);
  if (llvm::Error error = c.findPoint())
    return std::move(error);
  return std::move(checker);
}

llvm::Expected<std::unique_ptr<Session>>
GradientChecker::compile(StringRef name) {
  OwningOpRef<ModuleOp> module(check.module->clone());
  for (auto other : llvm::make_early_inc_range(module->getOps<func::FuncOp>()))
    if (other.getSymName() != name)
      other.erase();
  auto model = Model::fromModule(std::move(module), name);
  if (!model)
    return diagnosed();
  std::vector<SmallVector<int64_t>> shapes;
  for (const InputDeclaration &input : model->inputs())
    shapes.emplace_back(input.shape.begin(), input.shape.end());
  auto executable = std::make_shared<exec::Executable>();
  CompileOptions compile = options.compile;
  compile.progress = [this](unsigned, unsigned) { options.tick(); };
  if (failed(model->compile(shapes, compile, *executable, nullptr)))
    return diagnosed();
  if (llvm::Error error = verifyExecutable(*executable))
    return std::move(error);
  auto loaded = LoadedModel::load(executable);
  if (!loaded)
    return loaded.takeError();
  WeightSource none;
  SessionOptions sessionOptions;
  sessionOptions.threads = options.compile.threads;
  return Session::create(*loaded, 0, none, sessionOptions);
}

//===----------------------------------------------------------------------===//
// The point
//===----------------------------------------------------------------------===//

namespace {
/// Where the arguments of an op are drawn from: both signs, then only small
/// positive numbers (logarithms, arc functions), then those above 1.
struct Range {
  double low, high;
  bool bothSigns;
};
} // namespace
static constexpr Range kRanges[] = {
    {0.2, 1.7, true}, {0.25, 0.9, false}, {1.15, 2.5, false}};
static constexpr unsigned kTries = 3;

/// All floats are different by `gap` at least, and none is near 0: maxima have
/// no ties, and relu no kink.
llvm::Error GradientChecker::drawPoint(unsigned attempt) {
  random.seed(options.seed * 1000003 + attempt);
  std::uniform_real_distribution<double> unit(0.0, 1.0);
  std::normal_distribution<double> normal;
  Range range = kRanges[attempt / kTries % std::size(kRanges)];
  Numbers pool(inputs);
  gap = (range.high - range.low) / double(inputs + 1);
  double offset = unit(random);
  for (int64_t i = 0; i < inputs; ++i) {
    pool[i] = range.low + gap * (double(i) + offset);
    if (range.bothSigns && random() % 2)
      pool[i] = -pool[i];
  }
  std::shuffle(pool.begin(), pool.end(), random);

  point.clear();
  const double *next = pool.data();
  for (auto [i, type] : llvm::enumerate(function.getArgumentTypes())) {
    auto tensorType = cast<RankedTensorType>(type);
    auto name = function.getArgAttrOfType<StringAttr>(i, "lathe.name");
    DType dtype = DType::F64;
    Type element = tensorType.getElementType();
    if (!element.isF64()) {
      auto stored = session->inputs()[i].dtype;
      dtype = stored;
    }
    auto tensor = Tensor::create(dtype, tensorType.getShape());
    if (!tensor)
      return tensor.takeError();
    const NamedTensor *given = nullptr;
    if (options.inputs && name)
      for (const NamedTensor &input : *options.inputs)
        if (input.name == name.getValue())
          given = &input;
    char *out = static_cast<char *>(tensor->data());
    int64_t bound = element.isF64() ? 0 : indexBound(function, i);
    bool isVector = tensorType.getRank() < 2;
    double spread = isVector ? 0.1 : 0.5;
    if (!isVector && tensorType.getDimSize(tensorType.getRank() - 1) > 4)
      spread =
          1.0 /
          std::sqrt(double(tensorType.getDimSize(tensorType.getRank() - 1)));
    for (int64_t k = 0, e = tensor->numElements(); k < e;
         ++k, out += dtypeSize(dtype)) {
      double value;
      if (given) {
        value = loadAsDouble(given->tensor.dtype(),
                             static_cast<const char *>(given->tensor.data()) +
                                 k * dtypeSize(given->tensor.dtype()));
        next += element.isF64();
      } else if (!element.isF64()) {
        value = double(random() % uint64_t(bound));
      } else if (options.isModel) {
        value = normal(random) * spread + (isVector ? 1.0 : 0.0);
      } else {
        value = *next++;
      }
      storeFromDouble(dtype, out, value);
    }
    point.push_back(std::move(*tensor));
  }
  return llvm::Error::success();
}

llvm::Error GradientChecker::findPoint() {
  if (inputs == 0) {
    if (llvm::Error error = drawPoint(0))
      return error;
    if (!options.isModel) // an op of nothing has nothing that can be wrong
      return llvm::Error::success();
    auto value = forward(nullptr, 0);
    if (!value)
      return value.takeError();
    std::string bad = notFinite(*value);
    return bad.empty() ? llvm::Error::success() : makeError(bad);
  }
  bool anyFinite = false;
  std::string bad;
  for (unsigned attempt = 0; attempt < kTries * std::size(kRanges); ++attempt) {
    if (llvm::Error error = drawPoint(attempt))
      return error;
    auto value = forward(nullptr, 0);
    if (!value)
      return value.takeError();
    std::string here = notFinite(*value);
    if (!here.empty()) {
      bad = std::move(here);
      continue;
    }
    anyFinite = true;
    chooseDirections();
    chooseCotangents();
    // Smaller steps where values are close to each other.
    for (double step : {kFirstStep, std::min(kFirstStep / 16, gap / 4)}) {
      auto smooth = measure(step);
      if (!smooth)
        return smooth.takeError();
      if (*smooth)
        return llvm::Error::success();
    }
  }
  if (!anyFinite)
    return makeError(bad);
  return makeError("no smooth point was found to check the gradient at");
}

std::string GradientChecker::notFinite(const Numbers &value) {
  auto bad =
      llvm::find_if_not(value, [](double v) { return std::isfinite(v); });
  if (bad == value.end())
    return {};
  int64_t place = bad - value.begin();
  size_t i = 0;
  auto count = [&] {
    auto type = function.getResultTypes()[results[i]];
    return cast<RankedTensorType>(type).getNumElements();
  };
  while (place >= count()) {
    place -= count();
    ++i;
  }
  std::string text = llvm::formatv(
      "the function's value is {0} (result {1}, element {2}), expected a "
      "finite one",
      std::isnan(*bad) ? "nan" : "infinite", results[i], place);
  for (auto [i, type] : llvm::enumerate(function.getArgumentTypes())) {
    if (cast<RankedTensorType>(type).getNumElements() != 0)
      continue;
    auto name = function.getArgAttrOfType<StringAttr>(i, "lathe.name");
    text += llvm::formatv("; {0} has no elements",
                          name ? "'" + name.str() + "'"
                               : "operand " + std::to_string(i));
  }
  return text;
}

//===----------------------------------------------------------------------===//
// Differences
//===----------------------------------------------------------------------===//

void GradientChecker::chooseDirections() {
  directions.clear();
  std::uniform_real_distribution<double> unit(-1.0, 1.0);
  bool whole = inputs <= kWhole;
  // Of a model, every weight is looked at by itself.
  bool apart = !whole && options.isModel;
  int64_t count = whole ? inputs : apart ? int64_t(sizes.size()) : kDirections;
  int64_t start = 0;
  for (int64_t i = 0; i < count; ++i) {
    Direction direction;
    direction.step.assign(inputs, 0.0);
    if (whole) {
      direction.step[i] = 1.0;
    } else {
      int64_t end = apart ? start + sizes[i] : inputs;
      for (int64_t k = apart ? start : 0; k < end; ++k)
        direction.step[k] = unit(random);
      start = end;
    }
    directions.push_back(std::move(direction));
  }
}

void GradientChecker::chooseCotangents() {
  cotangents.clear();
  std::uniform_real_distribution<double> unit(-1.0, 1.0);
  bool whole = outputs <= kWhole;
  for (int64_t i = 0, e = whole ? outputs : 3; i < e; ++i) {
    Numbers cotangent(outputs, 0.0);
    if (whole)
      cotangent[i] = 1.0;
    else
      for (double &value : cotangent)
        value = unit(random);
    cotangents.push_back(std::move(cotangent));
  }
}

/// The floats of `tensors`, in one row.
static Numbers gather(ArrayRef<Tensor> tensors, ArrayRef<unsigned> indices) {
  Numbers result;
  for (unsigned i : indices)
    llvm::append_range(result, tensors[i].as<double>());
  return result;
}

llvm::Expected<Numbers> GradientChecker::forward(const Direction *direction,
                                                 double factor) {
  options.tick();
  Point moved;
  std::vector<TensorView> views(point.begin(), point.end());
  if (direction) {
    const double *step = direction->step.data();
    for (unsigned i : arguments) {
      auto copy = Tensor::clone(point[i]);
      if (!copy)
        return copy.takeError();
      for (double &value : copy->as<double>())
        value += factor * *step++;
      views[i] = *copy;
      moved.push_back(std::move(*copy));
    }
  }
  auto outputs = session->run(views);
  if (!outputs)
    return outputs.takeError();
  return gather(*outputs, results);
}

llvm::Expected<bool> GradientChecker::measure(double step) {
  for (Direction &direction : directions) {
    direction.slopes.clear();
    double h = step;
    for (unsigned i = 0; i < kSteps; ++i, h /= 2) {
      auto above = forward(&direction, h);
      if (!above)
        return above.takeError();
      auto below = forward(&direction, -h);
      if (!below)
        return below.takeError();
      for (auto [a, b] : llvm::zip_equal(*above, *below)) {
        if (!std::isfinite(a) || !std::isfinite(b))
          return false;
        a = (a - b) / (2 * h);
      }
      direction.slopes.push_back({h, std::move(*above)});
    }
  }
  expected.clear();
  for (const Numbers &cotangent : cotangents) {
    Numbers row;
    for (const Direction &direction : directions) {
      std::optional<double> derivative = extrapolate(direction, cotangent);
      if (!derivative)
        return false;
      row.push_back(*derivative);
    }
    expected.push_back(std::move(row));
  }
  return true;
}

static double dot(const Numbers &a, const Numbers &b) {
  double sum = 0;
  for (auto [x, y] : llvm::zip_equal(a, b))
    sum += x * y;
  return sum;
}

std::optional<double> GradientChecker::extrapolate(const Direction &direction,
                                                   const Numbers &cotangent) {
  // Row k: the differences at h, h/2, ..., h/2^k with the error's powers of
  // h^2 taken out one after the other.
  Numbers last;
  double best = 0, error = std::numeric_limits<double>::infinity();
  for (const auto &[h, slopes] : direction.slopes) {
    Numbers row{dot(slopes, cotangent)};
    double power = 4;
    for (size_t j = 0; j < last.size(); ++j, power *= 4) {
      row.push_back(row[j] + (row[j] - last[j]) / (power - 1));
      double estimate = std::max(std::abs(row[j + 1] - row[j]),
                                 std::abs(row[j + 1] - last[j]));
      if (estimate < error) {
        error = estimate;
        best = row[j + 1];
      }
    }
    last = std::move(row);
  }
  if (error > 0.1 * kGradientTolerance * (std::abs(best) + 0.1))
    return std::nullopt;
  return best;
}

//===----------------------------------------------------------------------===//
// Comparison
//===----------------------------------------------------------------------===//

llvm::Expected<GradientCheckResult>
GradientChecker::run(const GradientOptions &autograd) {
  if (auto old = check.module->lookupSymbol<func::FuncOp>("vjp_grad"))
    old.erase();
  if (failed(addVjp(check, autograd)))
    return diagnosed();
  auto backward = compile("vjp_grad");
  if (!backward)
    return backward.takeError();

  GradientCheckResult result;
  result.inputs = inputs;
  result.outputs = outputs;
  result.isWholeJacobian = inputs <= kWhole && outputs <= kWhole;
  SmallVector<unsigned> gradients;
  for (size_t i = 0; i < arguments.size(); ++i)
    gradients.push_back(1 + i);
  if (cotangents.empty()) { // no outputs: all gradients are 0
    cotangents.emplace_back(outputs, 0.0);
    expected.emplace_back(directions.size(), 0.0);
  }
  for (auto [row, cotangent] : llvm::enumerate(cotangents)) {
    std::vector<TensorView> views(point.begin(), point.end());
    std::vector<Tensor> parts;
    const double *next = cotangent.data();
    for (unsigned i : results) {
      auto type = cast<RankedTensorType>(function.getResultTypes()[i]);
      auto part = Tensor::create(DType::F64, type.getShape());
      if (!part)
        return part.takeError();
      for (double &value : part->as<double>())
        value = *next++;
      views.push_back(*part);
      parts.push_back(std::move(*part));
    }
    auto outputs = (*backward)->run(views);
    if (!outputs)
      return outputs.takeError();
    Numbers gradient = gather(*outputs, gradients);
    for (auto [column, direction] : llvm::enumerate(directions)) {
      double found = dot(gradient, direction.step);
      double right = expected[row][column];
      double error = std::abs(found - right) / (std::abs(right) + 0.1);
      // NaN is an error, too.
      if (error <= result.error && !result.worst.empty())
        continue;
      if (!(error >= 0))
        error = std::numeric_limits<double>::infinity();
      result.error = error;
      size_t first = 0;
      while (first < direction.step.size() && direction.step[first] == 0)
        ++first;
      size_t argument = 0;
      int64_t place = first;
      while (place >= sizes[argument])
        place -= sizes[argument++];
      auto name = function.getArgAttrOfType<StringAttr>(arguments[argument],
                                                        "lathe.name");
      result.worst = llvm::formatv(
          "{0} element {1}, cotangent {2}: gradient {3:e}, "
          "difference {4:e}",
          name ? name.str() : "operand " + std::to_string(arguments[argument]),
          place, row, found, right);
    }
  }
  return result;
}

} // namespace lathe
