//===- NonFinite.cpp - Where a value that is not finite comes from --------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "NonFinite.h"

#include "ExposedRun.h"
#include "dialects/Lathe/Lathe.h"
#include "lathe/Pipelines/Training.h"
#include "lathe/Support/Error.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>
#include <map>
#include <set>

namespace lathe {

static func::FuncOp findStep(ModuleOp module) {
  return module.lookupSymbol<func::FuncOp>("train_step");
}

/// The trip counts of the scans around a value, the outermost first.
static SmallVector<int64_t> tripsAround(Value value) {
  SmallVector<int64_t> trips;
  for (Operation *op = value.getParentBlock()->getParentOp(); op;
       op = op->getParentOp())
    if (auto scan = dyn_cast<ScanOp>(op))
      trips.insert(trips.begin(), scan.computeTripCount());
  return trips;
}

namespace {
/// A value in one iteration of each scan around it, the outermost first.
struct Node {
  Value value;
  SmallVector<int64_t> iteration;

  /// Among the iterations that are stacked, in row-major order.
  int64_t position() const {
    int64_t result = 0;
    for (auto [trip, i] : llvm::zip_equal(tripsAround(value), iteration))
      result = result * trip + i;
    return result;
  }
  bool operator<(const Node &other) const {
    return value == other.value
               ? iteration < other.iteration
               : value.getAsOpaquePointer() < other.value.getAsOpaquePointer();
  }
};

class Search {
public:
  Search(const NonFiniteSearch &options, ArrayRef<TensorView> inputs)
      : options(options), inputs(inputs), function(findStep(options.module)),
        values(listValues(function)) {
    for (auto [place, value] : llvm::enumerate(values))
      places[value] = place;
  }
  llvm::Expected<train::Explanation> run();

private:
  llvm::Error measure();
  std::optional<Node> findRoot();
  Node follow(Node node);
  llvm::Expected<std::string> describe(const Node &node);
  std::string describeSpoilt();
  /// What to do where the root is the mean of nothing; "" where it is not.
  std::string describeEmptyMean(const Node &root);

  double largestOf(const Node &node);
  bool isNan(const Node &node) { return std::isnan(largestOf(node)); }
  bool isInfinite(const Node &node) { return std::isinf(largestOf(node)); }
  /// Infinite, and not only because a constant or parameter is: a mask.
  bool isAccident(const Node &node, unsigned depth = 0);
  SmallVector<Node> operandsOf(const Node &node);
  void addArgument(BlockArgument argument, const Node &node,
                   SmallVectorImpl<Node> &result);
  int64_t findIteration(ScanOp scan, Value yielded, const Node &node);
  Node at(Value value, ArrayRef<int64_t> iteration);
  static unsigned scansAround(Value value);

  const NonFiniteSearch &options;
  ArrayRef<TensorView> inputs;
  func::FuncOp function;
  SmallVector<Value> values;
  DenseMap<Value, unsigned> places;
  DenseMap<unsigned, std::vector<double>> largest; ///< by place
  std::map<Node, bool> accidents;
  CompileOptions compile;
};
} // namespace

static std::vector<double> numbersOf(const TensorView &tensor) {
  std::vector<double> result(tensor.numElements());
  const char *data = static_cast<const char *>(tensor.data());
  for (size_t i = 0; i < result.size(); ++i)
    result[i] =
        loadAsDouble(tensor.dtype(), data + i * dtypeSize(tensor.dtype()));
  return result;
}

unsigned Search::scansAround(Value value) { return tripsAround(value).size(); }

Node Search::at(Value value, ArrayRef<int64_t> iteration) {
  return {value,
          SmallVector<int64_t>(iteration.take_front(scansAround(value)))};
}

llvm::Error Search::measure() {
  SmallVector<unsigned> wanted;
  for (auto [place, value] : llvm::enumerate(values))
    if (isa<FloatType>(getElementTypeOrSelf(value.getType())))
      wanted.push_back(place);
  largest.clear();
  accidents.clear();
  auto run =
      runExposed(options.module, "train_step", wanted, ExposedForm::Largest,
                 compile, *options.weights, options.session, inputs);
  if (!run)
    return run.takeError();
  for (auto [place, tensor] : llvm::zip_equal(wanted, run->values))
    largest[place] = numbersOf(tensor);
  return llvm::Error::success();
}

double Search::largestOf(const Node &node) {
  auto place = places.find(node.value);
  if (place == places.end())
    return 0;
  auto found = largest.find(place->second);
  if (found == largest.end())
    return 0;
  return found->second[node.position()];
}

/// The first iteration, in the order in which they run, that yields what is not
/// finite.
int64_t Search::findIteration(ScanOp scan, Value yielded, const Node &node) {
  int64_t trips = scan.computeTripCount();
  for (int64_t step = 0; step < trips; ++step) {
    SmallVector<int64_t> iteration(node.iteration);
    iteration.push_back(scan.getReverse() ? trips - 1 - step : step);
    if (!std::isfinite(largestOf(at(yielded, iteration))))
      return iteration.back();
  }
  return scan.getReverse() ? 0 : trips - 1;
}

/// What the argument of a loop's body is in this iteration.
void Search::addArgument(BlockArgument argument, const Node &node,
                         SmallVectorImpl<Node> &result) {
  Operation *parent = argument.getOwner()->getParentOp();
  unsigned number = argument.getArgNumber();
  if (auto scan = dyn_cast<ScanOp>(parent)) {
    SmallVector<int64_t> outer(node.iteration);
    int64_t slice = outer.pop_back_val();
    int64_t trips = scan.computeTripCount();
    if (number >= scan.getNumCarried()) {
      result.push_back(
          at(scan.getInputs()[number - scan.getNumCarried()], outer));
    } else if (slice == (scan.getReverse() ? trips - 1 : 0)) {
      result.push_back(at(scan.getInits()[number], outer));
    } else {
      outer.push_back(scan.getReverse() ? slice + 1 : slice - 1);
      result.push_back(
          at(argument.getOwner()->getTerminator()->getOperand(number), outer));
    }
  } else if (auto loop = dyn_cast<WhileOp>(parent)) {
    result.push_back(at(loop.getInits()[number], node.iteration));
    result.push_back(
        at(loop.getBody().front().getTerminator()->getOperand(number),
           node.iteration));
  }
}

SmallVector<Node> Search::operandsOf(const Node &node) {
  SmallVector<Node> result;
  auto add = [&](Value value, ArrayRef<int64_t> iteration) {
    Node one = at(value, iteration);
    auto argument = dyn_cast<BlockArgument>(value);
    if (argument && argument.getOwner()->getParentOp() != function)
      addArgument(argument, one, result);
    else
      result.push_back(std::move(one));
  };
  auto argument = dyn_cast<BlockArgument>(node.value);
  if (argument) {
    addArgument(argument, node, result);
    return result;
  }
  Operation *op = node.value.getDefiningOp();
  unsigned number = cast<OpResult>(node.value).getResultNumber();
  if (auto scan = dyn_cast<ScanOp>(op)) {
    Value yielded = scan.getBody().front().getTerminator()->getOperand(number);
    SmallVector<int64_t> iteration(node.iteration);
    int64_t last = scan.getReverse() ? 0 : scan.computeTripCount() - 1;
    iteration.push_back(number < scan.getNumCarried()
                            ? last
                            : findIteration(scan, yielded, node));
    add(yielded, iteration);
  } else if (auto loop = dyn_cast<WhileOp>(op)) {
    add(loop.getBody().front().getTerminator()->getOperand(number),
        node.iteration);
    add(loop.getInits()[number], node.iteration);
  } else if (auto branch = dyn_cast<IfOp>(op)) {
    for (Region *region : {&branch.getThenRegion(), &branch.getElseRegion()})
      add(region->front().getTerminator()->getOperand(number), node.iteration);
  } else {
    for (Value operand : op->getOperands())
      add(operand, node.iteration);
  }
  return result;
}

bool Search::isAccident(const Node &node, unsigned depth) {
  if (!isInfinite(node) || depth > 1000)
    return false;
  auto [known, isNew] = accidents.try_emplace(node, false);
  if (!isNew)
    return known->second;
  Operation *op = node.value.getDefiningOp();
  bool result = op && !isa<ConstantOp, GetParameterOp>(op);
  if (result) {
    SmallVector<Node> operands = operandsOf(node);
    llvm::erase_if(operands, [&](const Node &n) { return !isInfinite(n); });
    result = operands.empty() || llvm::any_of(operands, [&](const Node &n) {
               return isAccident(n, depth + 1);
             });
  }
  accidents[node] = result;
  return result;
}

/// Back to the op that made a NaN of numbers, or an infinity of finite ones.
Node Search::follow(Node node) {
  std::set<Node> seen;
  auto step = [&](auto isWanted) {
    for (Node &operand : operandsOf(node))
      if (isWanted(operand) && seen.insert(operand).second) {
        node = std::move(operand);
        return true;
      }
    return false;
  };
  while (step([&](const Node &n) { return isNan(n); })) {
  }
  while (step([&](const Node &n) { return isAccident(n); })) {
  }
  return node;
}

std::optional<Node> Search::findRoot() {
  Block &body = function.getBody().front();
  auto bad = [&](Value value) {
    return !std::isfinite(largestOf({value, {}}));
  };
  for (Value figure : body.getTerminator()->getOperands())
    if (bad(figure))
      return Node{figure, {}};
  for (auto set : body.getOps<SetParameterOp>())
    if (bad(set.getValue()))
      return Node{set.getValue(), {}};
  // Overflow that the program takes care of itself, by its loss scale.
  for (Value value : values) {
    if (scansAround(value))
      continue;
    Node node{value, {}};
    if (isNan(node) || isAccident(node))
      return node;
  }
  return std::nullopt;
}

/// The elements of one iteration.
static ArrayRef<double> sliceOf(ArrayRef<double> numbers, const Node &node) {
  int64_t size = cast<RankedTensorType>(node.value.getType()).getNumElements();
  return numbers.slice(node.position() * size, size);
}

/// The element of an operand that element `index` of an elementwise result is
/// computed from; none where the shapes do not say.
static std::optional<int64_t> broadcastIndex(ArrayRef<int64_t> index,
                                             ArrayRef<int64_t> result,
                                             ArrayRef<int64_t> operand) {
  if (operand.size() > result.size())
    return std::nullopt;
  int64_t place = 0;
  size_t skip = result.size() - operand.size();
  for (size_t d = 0; d < operand.size(); ++d) {
    if (operand[d] != 1 && operand[d] != result[skip + d])
      return std::nullopt;
    place = place * operand[d] + (operand[d] == 1 ? 0 : index[skip + d]);
  }
  return place;
}

llvm::Expected<std::string> Search::describe(const Node &node) {
  Operation *op = node.value.getDefiningOp();
  if (!op) {
    auto name = function.getArgAttrOfType<StringAttr>(
        cast<BlockArgument>(node.value).getArgNumber(), "lathe.name");
    return "the input '" + (name ? name.str() : "") + "' is not finite";
  }
  // The value and what it is made of, whole.
  llvm::SmallSetVector<unsigned, 4> wanted;
  wanted.insert(places[node.value]);
  SmallVector<Node> operands = operandsOf(node);
  for (const Node &operand : operands)
    if (auto it = places.find(operand.value); it != places.end())
      wanted.insert(it->second);
  SmallVector<unsigned> sorted(wanted.begin(), wanted.end());
  llvm::sort(sorted);
  auto run =
      runExposed(options.module, "train_step", sorted, ExposedForm::Whole,
                 compile, *options.weights, options.session, inputs);
  if (!run)
    return run.takeError();
  DenseMap<unsigned, std::vector<double>> numbers;
  for (auto [place, tensor] : llvm::zip_equal(sorted, run->values))
    numbers[place] = numbersOf(tensor);

  ArrayRef<double> own = sliceOf(numbers[places[node.value]], node);
  auto type = cast<RankedTensorType>(node.value.getType());
  const double *first = llvm::find_if(own, [&](double x) {
    return isNan(node) ? std::isnan(x) : std::isinf(x);
  });
  if (first == own.end()) // of a while: in an iteration before the last
    return describeOp(op) + " gives " + formatNumber(largestOf(node));
  int64_t rest = first - own.begin();
  SmallVector<int64_t> index(type.getRank());
  for (int64_t d = type.getRank(); d-- > 0; rest /= type.getDimSize(d))
    index[d] = rest % type.getDimSize(d);
  auto count = llvm::count_if(own, [](double x) { return !std::isfinite(x); });
  std::string what = isa<GetParameterOp>(op)
                         ? "the parameter '" +
                               cast<GetParameterOp>(op).getName().str() +
                               "' holds "
                         : describeOp(op) + " gives ";
  std::string text = llvm::formatv("{0}{1} at {2}, in {3} of {4} elements",
                                   what, formatNumber(*first),
                                   formatIndex(index), count, own.size());
  std::string from;
  auto fusible = dyn_cast<FusibleOpInterface>(op);
  if (fusible && fusible.getFusionKind() == FusionKind::Elementwise)
    for (const Node &operand : operands) {
      auto shape = cast<RankedTensorType>(operand.value.getType()).getShape();
      std::optional<int64_t> place =
          broadcastIndex(index, type.getShape(), shape);
      auto it = numbers.find(places.lookup(operand.value));
      if (!place || !places.count(operand.value) || it == numbers.end() ||
          !isa<FloatType>(getElementTypeOrSelf(operand.value.getType()))) {
        from.clear();
        break;
      }
      from += (from.empty() ? "" : " and ") +
              formatNumber(sliceOf(it->second, operand)[*place]);
    }
  if (!from.empty())
    text += ", of " + from;
  auto part = op->getAttrOfType<StringAttr>(kPartMark);
  if (isa<GetParameterOp>(op))
    return text;
  if (!node.iteration.empty())
    text += ", in iteration " + formatIndex(node.iteration) + " of its loops";
  return part ? text : text + ", in the update of the parameters";
}

/// Which parameters it spoils, where the loss is finite.
std::string Search::describeSpoilt() {
  Block &body = function.getBody().front();
  if (!std::isfinite(largestOf({body.getTerminator()->getOperand(0), {}})))
    return "";
  std::vector<std::string> names;
  for (auto set : body.getOps<SetParameterOp>())
    if (!isTrainingState(set.getName()) &&
        !std::isfinite(largestOf({set.getValue(), {}})))
      names.push_back("'" + set.getName().str() + "'");
  if (names.empty())
    return "";
  std::string text = "; it reaches the new value of " + names[0];
  if (names.size() > 1)
    text += llvm::formatv(" and of {0} more parameters", names.size() - 1);
  return text;
}

/// A mean of no elements is nan, and so is that of a loss which ignores all its
/// labels; then no learning rate helps. Of finite logits a loss is nan in no
/// other way.
std::string Search::describeEmptyMean(const Node &root) {
  Operation *op = root.value.getDefiningOp();
  if (!op || !isNan(root))
    return "";
  auto isEmpty = [](Value value) {
    return cast<RankedTensorType>(value.getType()).getNumElements() == 0;
  };
  constexpr const char *kNothing =
      "its input has no element, and the mean of nothing is nan: the sizes of "
      "the batch leave nothing to learn from";
  if (auto mean = dyn_cast<ReduceMeanOp>(op))
    return isEmpty(mean.getInput()) ? kNothing : "";
  Value labels;
  std::optional<int64_t> ignored;
  if (auto loss = dyn_cast<CrossEntropyOp>(op)) {
    labels = loss.getLabels();
    ignored = loss.getIgnoreIndex();
  } else if (auto loss = dyn_cast<LinearCrossEntropyOp>(op)) {
    labels = loss.getLabels();
    ignored = loss.getIgnoreIndex();
  } else {
    return "";
  }
  if (isEmpty(labels))
    return kNothing;
  for (const Node &operand : operandsOf(root))
    if (!std::isfinite(largestOf(operand)))
      return "";
  if (!ignored)
    return "";
  return llvm::formatv(
      "all {0} labels are {1}, which the loss ignores, and the mean of nothing "
      "is "
      "nan: leave such examples out, or take a larger --batch",
      cast<RankedTensorType>(labels.getType()).getNumElements(), *ignored);
}

llvm::Expected<train::Explanation> Search::run() {
  // Each op by itself; and if that is finite, the program as it ran.
  for (bool alone : {true, false}) {
    compile = options.compile;
    if (alone)
      compile.fuse = compile.optimize = false, compile.recompute.reset();
    if (llvm::Error error = measure())
      return std::move(error);
    std::optional<Node> root = findRoot();
    if (!root)
      continue;
    Node origin = follow(*root);
    auto text = describe(origin);
    if (!text)
      return text.takeError();
    return train::Explanation{*text + describeSpoilt(),
                              describeEmptyMean(origin)};
  }
  return train::Explanation();
}

llvm::Expected<train::Explanation>
findNonFiniteOp(const NonFiniteSearch &search,
                llvm::ArrayRef<TensorView> inputs) {
  return Search(search, inputs).run();
}

} // namespace lathe
