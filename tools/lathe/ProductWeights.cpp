//===- ProductWeights.cpp - Weights of products, and their data -----------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ProductWeights.h"

#include "lathe/Analysis/LoadTime.h"
#include "lathe/Support/Error.h"
#include "lathe/Support/KeyPattern.h"
#include "lathe/Support/Recipe.h"

#include <numeric>

namespace lathe {

namespace {
/// Where an operand that is known at load comes from.
struct Origin {
  StringRef parameter;
  ScanOp scan;               ///< that slices it; null: none
  bool isTransposed = false; ///< of two dims
  bool isShared = false;     ///< something else reads it, too
};

class Lister {
public:
  explicit Lister(func::FuncOp function)
      : function(function), loadTime(function) {
    function.walk([&](GetParameterOp get) { ++reads[get.getName()]; });
  }
  void add(const QuantizationSite &site);
  void instrument();
  void refuse(const QuantizationSite &site, const Twine &why) {
    list.refused.push_back({site.opName().str(), why.str()});
  }
  ProductList list;

private:
  std::optional<Origin> trace(Value value, std::string &whyNot) const;
  void findBias(WeightedProduct &product, Operation *op) const;

  func::FuncOp function;
  LoadTime loadTime;
  llvm::StringMap<unsigned> reads;
  DenseMap<Value, unsigned> inputOf;
};
} // namespace

std::optional<Origin> Lister::trace(Value value, std::string &whyNot) const {
  Origin result;
  while (true) {
    result.isShared |= !value.hasOneUse();
    if (auto argument = dyn_cast<BlockArgument>(value)) {
      auto scan = dyn_cast<ScanOp>(argument.getOwner()->getParentOp());
      if (!scan || argument.getArgNumber() < scan.getNumCarried() ||
          result.scan) {
        whyNot = "its weight is no parameter";
        return std::nullopt;
      }
      result.scan = scan;
      value = scan.getInputs()[argument.getArgNumber() - scan.getNumCarried()];
      continue;
    }
    Operation *op = value.getDefiningOp();
    if (auto get = dyn_cast<GetParameterOp>(op)) {
      result.parameter = get.getName();
      result.isShared |= reads.lookup(get.getName()) > 1;
      return result;
    }
    auto turn = dyn_cast<TransposeOp>(op);
    if (!turn || turn.getPermutation().size() != 2 || result.scan) {
      whyNot = ("its weight is made of others by '" +
                op->getName().stripDialect() + "'")
                   .str();
      return std::nullopt;
    }
    result.isTransposed ^= turn.getPermutation()[0] == 1;
    value = turn.getInput();
  }
}

/// A parameter that is added to the result, by the op itself or behind it.
void Lister::findBias(WeightedProduct &product, Operation *op) const {
  Value result = op->getResult(0), bias;
  if (auto linear = dyn_cast<LinearOp>(op); linear && linear.getBias())
    bias = linear.getBias();
  else if (result.hasOneUse())
    if (auto sum = dyn_cast<AddOp>(*result.user_begin()))
      bias = sum.getLhs() == result ? sum.getRhs() : sum.getLhs();
  if (!bias || cast<RankedTensorType>(bias.getType()).getShape() !=
                   ArrayRef<int64_t>(product.width)) {
    product.noBias = "no bias";
    return;
  }
  std::string whyNot;
  std::optional<Origin> origin = trace(bias, whyNot);
  if (!origin || origin->isShared || origin->scan != product.scan)
    product.noBias = "no bias of its own";
  else
    product.bias = origin->parameter.str();
}

void Lister::add(const QuantizationSite &site) {
  std::string whyNot;
  auto places =
      cast<QuantizableOpInterface>(site.op).getQuantizableOperands(whyNot);
  const QuantizableOperand *weight = nullptr, *input = nullptr;
  for (const QuantizableOperand &place : places)
    (place.index == site.operand ? input : weight) = &place;
  if (!input || !weight ||
      !loadTime.isKnownOrSlice(site.op->getOperand(weight->index)))
    return refuse(site, "it has no weight");
  if (!getElementTypeOrSelf(site.value.getType()).isF32())
    return refuse(site, "it is not of f32");
  if (site.op->getParentOfType<WhileOp>())
    return refuse(site, "it is in a 'while'");
  Value value = site.op->getOperand(weight->index);
  auto type = cast<RankedTensorType>(value.getType());
  if (weight->reducedAxes.size() != 1 || input->reducedAxes.size() != 1)
    return refuse(site, "it sums over windows");
  if (type.getRank() != 2)
    return refuse(site, "its weight has " + Twine(type.getRank()) +
                            " dims, expected 2");
  std::optional<Origin> origin = trace(value, whyNot);
  if (!origin)
    return refuse(site, whyNot);
  if (origin->isShared)
    return refuse(site, "something else reads its weight '" +
                            origin->parameter + "', too");
  WeightedProduct product;
  product.name = site.opName().str();
  product.op = site.op->getName().stripDialect().str();
  product.weight = origin->parameter.str();
  product.isTransposed =
      (weight->reducedAxes.front() == 0) != origin->isTransposed;
  product.width = type.getDimSize(1 - weight->reducedAxes.front());
  product.scan = origin->scan;
  if (product.scan)
    product.layers = product.scan.computeTripCount();
  if (site.numRanges() != product.layers)
    return refuse(site, "several layers share its weight");
  findBias(product, site.op);
  auto [number, isNew] = inputOf.try_emplace(site.value, list.inputs.size());
  if (isNew) {
    ProductInput one;
    one.value = site.value;
    auto shape = cast<RankedTensorType>(site.value.getType()).getShape();
    one.depth = shape[input->reducedAxes.front()];
    one.scans = findLayerScans(site.value);
    // The dim of the sum comes last.
    OpBuilder builder(site.op);
    builder.setInsertionPointAfterValue(site.value);
    Value rows = site.value;
    Location loc = rows.getLoc();
    if (input->reducedAxes.front() != int64_t(shape.size()) - 1) {
      SmallVector<int64_t> order(shape.size());
      std::iota(order.begin(), order.end(), 0);
      order.erase(order.begin() + input->reducedAxes.front());
      order.push_back(input->reducedAxes.front());
      rows = builder.create<TransposeOp>(loc, rows, order);
    }
    one.rows = one.depth ? ShapedType::getNumElements(shape) / one.depth : 0;
    rows = builder.create<ReshapeOp>(loc, rows,
                                     ArrayRef<int64_t>{one.rows, one.depth});
    one.moments = builder.create<MatmulOp>(loc, rows, rows,
                                           /*transpose_lhs=*/true,
                                           /*transpose_rhs=*/false);
    one.sum = builder.create<ReduceSumOp>(loc, rows, ArrayRef<int64_t>(0),
                                          /*keepdims=*/false);
    list.inputs.push_back(one);
  }
  product.input = number->second;
  list.products.push_back(std::move(product));
}

ProductList instrumentProducts(func::FuncOp function,
                               ArrayRef<std::string> keep) {
  Lister lister(function);
  std::vector<QuantizationSite> sites;
  for (QuantizationSite &site : listQuantizationSites(function))
    sites.push_back(std::move(site));
  Operation *last = nullptr;
  for (const QuantizationSite &site : sites) {
    // Both operands of a product of activations are sites.
    if (std::exchange(last, site.op) == site.op)
      continue;
    if (llvm::any_of(keep, [&](const std::string &pattern) {
          return matchesPattern(pattern, site.opName());
        }))
      lister.refuse(site, "option 'keep' names it");
    else
      lister.add(site);
  }
  DenseMap<Value, unsigned> places;
  for (auto [place, value] : llvm::enumerate(listValues(function)))
    places[value] = place;
  for (ProductInput &input : lister.list.inputs) {
    input.momentsPlace = places.lookup(input.moments);
    input.sumPlace = places.lookup(input.sum);
  }
  return std::move(lister.list);
}

llvm::Expected<std::map<std::string, Tensor>>
readParameters(ModuleOp module, const CompileOptions &compile,
               const ModelOptions &options) {
  OwningOpRef<ModuleOp> copy(cast<ModuleOp>(module->clone()));
  for (auto function : llvm::make_early_inc_range(copy->getOps<func::FuncOp>()))
    function.erase();
  SmallVector<Type> types;
  SmallVector<ParameterOp> parameters(copy->getOps<ParameterOp>());
  for (ParameterOp parameter : parameters)
    types.push_back(parameter.getType());
  std::map<std::string, Tensor> result;
  if (parameters.empty())
    return std::move(result);
  auto builder = OpBuilder::atBlockEnd(copy->getBody());
  auto function = builder.create<func::FuncOp>(
      copy->getLoc(), "parameters", builder.getFunctionType({}, types));
  builder.setInsertionPointToStart(function.addEntryBlock());
  SmallVector<Value> values;
  for (ParameterOp parameter : parameters)
    values.push_back(builder.create<GetParameterOp>(
        parameter.getLoc(), parameter.getType(), parameter.getSymName()));
  builder.create<func::ReturnOp>(copy->getLoc(), values);
  auto program = makeExposed(*copy, "parameters", {}, compile, options);
  if (!program)
    return program.takeError();
  auto run = program->run({});
  if (!run)
    return run.takeError();
  for (auto [parameter, tensor] : llvm::zip_equal(parameters, run->results))
    result[parameter.getSymName().str()] = std::move(tensor);
  return std::move(result);
}

llvm::Error
writeParameters(StringRef path, ModuleOp module,
                const std::map<std::string, Tensor> &values,
                const std::map<std::string, std::string> &metadata) {
  std::vector<NamedView> tensors;
  for (ParameterOp parameter : module.getOps<ParameterOp>()) {
    auto value = values.find(parameter.getSymName().str());
    if (value == values.end())
      continue;
    const Tensor &tensor = value->second;
    KeyPattern pattern(parameter.getKey().value_or(parameter.getSymName()));
    if (!parameter.getKey() || !pattern.isStacked()) {
      tensors.push_back(
          {parameter.getKey().value_or(parameter.getSymName()).str(), tensor});
      continue;
    }
    int64_t slices = tensor.shape().front();
    std::vector<std::string> keys = pattern.keys(slices);
    for (int64_t i = 0; i < slices; ++i)
      tensors.push_back(
          {keys[i], TensorView(tensor.dtype(), tensor.shape().drop_front(),
                               static_cast<char *>(tensor.data()) +
                                   i * (tensor.numBytes() / slices))});
  }
  return writeSafetensors(path, tensors, metadata);
}

} // namespace lathe
