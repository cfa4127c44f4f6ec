//===- QuantizationNoise.cpp - What quantization costs, by layer ----------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "QuantizationNoise.h"

#include "DataRun.h"
#include "lathe/Support/Error.h"
#include "lathe/Support/Ranges.h"
#include "lathe/Transforms/QuantizationSites.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"

namespace lathe {

namespace {
/// A product in a copy of the model, and where its result is in listValues.
struct Product {
  std::string name;
  Operation *op;
  unsigned place = 0;
};

class NoiseMeter {
public:
  NoiseMeter(ModuleOp module, StringRef entry, const CompileOptions &compile,
             const ModelOptions &options)
      : module(module), entry(entry), compile(compile), options(options) {}
  llvm::Error prepare();
  llvm::Error run(ModelData &data, llvm::function_ref<void(uint64_t)> step);
  NoiseTable table;

private:
  llvm::Error addCopies();
  void addRows();
  llvm::Error runGroup(ArrayRef<unsigned> group, ModelData &data,
                       llvm::function_ref<void()> step, bool isFirst);

  ModuleOp module;
  StringRef entry;
  const CompileOptions &compile;
  const ModelOptions &options;
  std::vector<Product> products; ///< in `module`
  /// The float model with a quantized copy in front of each product, and what
  /// that takes.
  OwningOpRef<ModuleOp> doubled;
  std::vector<Product> originals, copies;
  CompileOptions doubledCompile;
  std::vector<unsigned> firstRow; ///< by product
};
} // namespace

/// The ops that have sites, but those in a `while`, whose values cannot be
/// seen.
static std::vector<Product> listProducts(func::FuncOp function) {
  std::vector<Product> result;
  for (const QuantizationSite &site : listQuantizationSites(function))
    if ((result.empty() || result.back().op != site.op) &&
        !site.op->getParentOfType<WhileOp>())
      result.push_back({site.opName().str(), site.op});
  return result;
}

static void findPlaces(func::FuncOp function, std::vector<Product> &products) {
  DenseMap<Value, unsigned> places;
  for (auto [place, value] : llvm::enumerate(listValues(function)))
    places[value] = place;
  for (Product &product : products)
    product.place = places.lookup(product.op->getResult(0));
}

/// Names go by order: the copies in front take over those of the originals. The
/// originals are called something else then, and kept in floats by that name;
/// ranges are found anew for the copies, and what the user keeps is kept.
llvm::Error NoiseMeter::addCopies() {
  doubled = OwningOpRef<ModuleOp>(cast<ModuleOp>(module->clone()));
  auto function = doubled->lookupSymbol<func::FuncOp>(entry);
  originals = listProducts(function);
  for (const Product &original : originals) {
    OpBuilder builder(original.op);
    copies.push_back({original.name, builder.clone(*original.op)});
  }
  findPlaces(function, originals);
  findPlaces(function, copies);

  doubledCompile = compile;
  QuantizationOptions &quantization = doubledCompile.quantization;
  quantization.keep.clear();
  Ranges given, renamed;
  if (!quantization.ranges.empty()) {
    auto read = readRanges(quantization.ranges);
    if (!read)
      return read.takeError();
    given = std::move(*read);
  }
  DenseMap<Operation *, StringRef> nameOfCopy;
  for (const Product &copy : copies)
    nameOfCopy[copy.op] = copy.name;
  for (const QuantizationSite &site : listQuantizationSites(function)) {
    auto copy = nameOfCopy.find(site.op);
    if (copy == nameOfCopy.end()) {
      if (!llvm::is_contained(quantization.keep, site.opName()))
        quantization.keep.push_back(site.opName().str());
      continue;
    }
    if (const SiteRanges *ranges =
            given.find((copy->second + "#" + Twine(site.operand)).str())) {
      renamed.sites.push_back(*ranges);
      renamed.sites.back().name = site.name;
    }
  }
  if (quantization.ranges.empty())
    return llvm::Error::success();
  SmallString<128> path;
  if (std::error_code error =
          llvm::sys::fs::createTemporaryFile("lathe-ranges", "json", path))
    return makeError("cannot make a temporary file: {0}", error.message());
  quantization.ranges = path.str().str();
  return writeRanges(path, renamed);
}

void NoiseMeter::addRows() {
  for (const Product &product : products) {
    firstRow.push_back(table.products.size());
    int64_t layers = countRanges(findLayerScans(product.op->getResult(0)));
    for (int64_t layer = 0; layer < layers; ++layer)
      table.products.push_back({product.name,
                                product.op->getName().stripDialect().str(),
                                layer,
                                layers,
                                {},
                                {}});
  }
}

llvm::Error NoiseMeter::prepare() {
  auto function = module.lookupSymbol<func::FuncOp>(entry);
  products = listProducts(function);
  if (products.empty())
    return makeError("the model has no op that could be quantized");
  findPlaces(function, products);
  addRows();
  for (unsigned i = 0; i < function.getNumResults(); ++i) {
    auto name = function.getResultAttrOfType<StringAttr>(i, "lathe.name");
    table.outputs.push_back(
        {name ? name.str() : "output" + std::to_string(i), {}});
  }
  return addCopies();
}

/// `from` and `reference` are stacked alike; adds them up in the rows from
/// `first`, a layer in each.
static void addNoise(Value value, ArrayRef<ScanOp> layers, const Tensor &from,
                     const Tensor &reference,
                     llvm::function_ref<SignalToNoise &(int64_t)> rowOf) {
  splitByRange(
      value, layers, reference, [&](int64_t range, const TensorView &part) {
        ptrdiff_t at = static_cast<const char *>(part.data()) -
                       static_cast<const char *>(reference.data());
        rowOf(range).add(TensorView(part.dtype(), part.shape(),
                                    static_cast<char *>(from.data()) + at),
                         part);
      });
}

llvm::Error NoiseMeter::runGroup(ArrayRef<unsigned> group, ModelData &data,
                                 llvm::function_ref<void()> step,
                                 bool isFirst) {
  auto placesIn = [&](const std::vector<Product> &list) {
    SmallVector<unsigned> places;
    for (unsigned i : group)
      places.push_back(list[i].place);
    return places;
  };
  // A copy stands in front of its original.
  SmallVector<unsigned> both = placesIn(copies);
  llvm::append_range(both, placesIn(originals));
  llvm::sort(both);
  SmallVector<unsigned> wanted = placesIn(products);
  llvm::sort(wanted);
  // First, so that errors are of the user's ranges.
  auto quantized = makeExposed(module, entry, wanted, compile, options);
  if (!quantized)
    return quantized.takeError();
  auto floats = makeExposed(*doubled, entry, both, doubledCompile, options);
  if (!floats)
    return floats.takeError();
  auto valueAt = [](const ExposedRun &run, ArrayRef<unsigned> places,
                    unsigned place) -> const Tensor & {
    return run.values[llvm::lower_bound(places, place) - places.begin()];
  };
  return forEachBatch(
      data, step, [&](ArrayRef<TensorView> inputs) -> llvm::Error {
        auto here = floats->run(inputs);
        if (!here)
          return here.takeError();
        auto there = quantized->run(inputs);
        if (!there)
          return there.takeError();
        for (unsigned i : group) {
          Value value = products[i].op->getResult(0);
          SmallVector<ScanOp> layers = findLayerScans(value);
          const Tensor &reference = valueAt(*here, both, originals[i].place);
          auto *rows = &table.products[firstRow[i]];
          addNoise(value, layers, valueAt(*here, both, copies[i].place),
                   reference, [&](int64_t layer) -> SignalToNoise & {
                     return rows[layer].alone;
                   });
          addNoise(value, layers, valueAt(*there, wanted, products[i].place),
                   reference, [&](int64_t layer) -> SignalToNoise & {
                     return rows[layer].within;
                   });
        }
        if (isFirst)
          for (auto [output, mine, theirs] :
               llvm::zip_equal(table.outputs, there->results, here->results))
            if (isFloat(mine.dtype()))
              output.within.add(mine, theirs);
        return llvm::Error::success();
      });
}

llvm::Error NoiseMeter::run(ModelData &data,
                            llvm::function_ref<void(uint64_t)> step) {
  auto removeRanges = llvm::make_scope_exit([&] {
    if (!compile.quantization.ranges.empty())
      (void)llvm::sys::fs::remove(doubledCompile.quantization.ranges);
  });
  // Each result is there three times.
  std::vector<uint64_t> bytes;
  for (const Product &product : products)
    bytes.push_back(3 * countExposedBytes(product.op->getResult(0)));
  std::vector<SmallVector<unsigned>> groups = groupByBytes(bytes);
  for (const SmallVector<unsigned> &group : groups)
    if (llvm::Error error = runGroup(
            group, data, [&] { step(groups.size() * data.batches()); },
            &group == &groups.front()))
      return error;
  llvm::erase_if(table.outputs, [](const OutputNoise &output) {
    return output.within.signal == 0 && output.within.noise == 0;
  });
  return llvm::Error::success();
}

llvm::Expected<NoiseTable>
measureNoise(ModuleOp module, StringRef entry, const CompileOptions &compile,
             const ModelOptions &options, ModelData &data,
             llvm::function_ref<void(uint64_t)> step) {
  NoiseMeter meter(module, entry, compile, options);
  if (llvm::Error error = meter.prepare())
    return std::move(error);
  if (llvm::Error error = meter.run(data, step))
    return std::move(error);
  return std::move(meter.table);
}

} // namespace lathe
