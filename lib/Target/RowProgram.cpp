//===- RowProgram.cpp - A kernel as ops over shared dims ------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Target/RowProgram.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/IntEqClasses.h"

namespace lathe {

SmallVector<int64_t> getStrides(ArrayRef<int64_t> shape) {
  SmallVector<int64_t> strides(shape.size(), 1);
  for (int64_t i = int64_t(shape.size()) - 2; i >= 0; --i)
    strides[i] = strides[i + 1] * shape[i + 1];
  return strides;
}

static Value skipReshapes(Value tensor) {
  while (Operation *op = tensor.getDefiningOp()) {
    if (!isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op))
      break;
    tensor = op->getOperand(0);
  }
  return tensor;
}

BlockArgument getReshapedArgument(Value tensor) {
  return dyn_cast<BlockArgument>(skipReshapes(tensor));
}

/// Coefficients of an affine expression over dims, or failure.
static LogicalResult addLinear(AffineExpr expr, int64_t factor,
                               MutableArrayRef<int64_t> dims, int64_t &offset) {
  if (auto dim = dyn_cast<AffineDimExpr>(expr)) {
    dims[dim.getPosition()] += factor;
    return success();
  }
  if (auto constant = dyn_cast<AffineConstantExpr>(expr)) {
    offset += factor * constant.getValue();
    return success();
  }
  auto binary = dyn_cast<AffineBinaryOpExpr>(expr);
  if (binary && expr.getKind() == AffineExprKind::Add)
    return success(
        succeeded(addLinear(binary.getLHS(), factor, dims, offset)) &&
        succeeded(addLinear(binary.getRHS(), factor, dims, offset)));
  if (binary && expr.getKind() == AffineExprKind::Mul)
    if (auto constant = dyn_cast<AffineConstantExpr>(binary.getRHS()))
      return addLinear(binary.getLHS(), factor * constant.getValue(), dims,
                       offset);
  return failure();
}

bool RowProgram::isReducedIn(const Step &step, int c) const {
  linalg::GenericOp op = step.op;
  auto types = op.getIteratorTypesArray();
  for (auto [dim, type] : llvm::zip_equal(step.classes, types))
    if (dim == c)
      return type == utils::IteratorType::reduction;
  return false;
}

int64_t RowProgram::space(const Step &step,
                          function_ref<bool(int)> which) const {
  int64_t size = 1;
  for (int c : step.classes)
    if (c >= 0 && !classes[c].isGone && which(c))
      size *= classes[c].size;
  return size;
}

SmallVector<RowProgram, 0> RowProgram::split() const {
  llvm::IntEqClasses sets(steps.size());
  SmallVector<int> firstWith(classes.size(), -1);
  for (auto [s, step] : llvm::enumerate(steps)) {
    for (const Operand &read : step.inputs)
      if (read.kind == Operand::Computed)
        sets.join(s, values[read.value].step);
    for (int c : step.classes) {
      if (c < 0 || classes[c].isGone)
        continue;
      if (firstWith[c] < 0)
        firstWith[c] = s;
      sets.join(s, firstWith[c]);
    }
  }
  sets.compress();
  SmallVector<RowProgram, 0> parts(sets.getNumClasses());
  if (parts.size() <= 1)
    return {*this};
  SmallVector<unsigned> stepIn(steps.size()), valueIn(values.size());
  for (RowProgram &part : parts) {
    part.function = function;
    part.numInputs = numInputs;
    part.classes = classes;
    for (Class &c : part.classes)
      c.isGone = true;
  }
  for (auto [s, step] : llvm::enumerate(steps)) {
    RowProgram &part = parts[sets[s]];
    stepIn[s] = part.steps.size();
    part.steps.push_back(step);
    for (int c : step.classes)
      if (c >= 0)
        part.classes[c].isGone = classes[c].isGone;
    for (unsigned &v : part.steps.back().results) {
      valueIn[v] = part.values.size();
      part.values.push_back(values[v]);
      part.values.back().step = stepIn[s];
      v = valueIn[v];
    }
    for (Operand &read : part.steps.back().inputs)
      if (read.kind == Operand::Computed)
        read.value = valueIn[read.value];
  }
  return parts;
}

namespace {

class Analyzer {
public:
  Analyzer(func::FuncOp function, std::string &whyNot) : whyNot(whyNot) {
    program.function = function;
    program.numInputs = function.getNumArguments();
  }

  std::optional<RowProgram> run();

private:
  bool refuse(const Twine &reason) {
    whyNot = reason.str();
    return false;
  }
  bool collectSteps();
  bool checkBody(RowProgram::Step &step);
  bool readOperand(RowProgram::Step &step, OpOperand &operand);
  bool readInit(RowProgram::Step &step, OpOperand &operand);
  void noteRead(Value tensor, AffineMap map);
  std::optional<SmallVector<int>> partition(ArrayRef<std::pair<int, int>> also);
  bool unifyOutputs();
  bool nameClasses();
  bool makeForms();
  void mergeClasses();
  void merge(int kept, int gone);

  int node(unsigned step, unsigned dim) { return firstNode[step] + dim; }
  /// Dims of `value` (as its generic makes it) that are larger than 1.
  SmallVector<unsigned> largeDims(ArrayRef<int64_t> shape) {
    SmallVector<unsigned> dims;
    for (auto [i, size] : llvm::enumerate(shape))
      if (size != 1)
        dims.push_back(i);
    return dims;
  }
  /// Loop dim of the step that makes value `v` along its dim.
  unsigned loopDim(const RowProgram::Computed &v, unsigned dim) {
    linalg::GenericOp op = program.steps[v.step].op;
    AffineMap map = op.getMatchingIndexingMap(op.getDpsInitOperand(v.index));
    return map.getDimPosition(dim);
  }

  RowProgram program;
  std::string &whyNot;
  SmallVector<int> firstNode;
  int numNodes = 0;
  SmallVector<std::pair<int, int>> equal;
  /// Loops that read the same argument alike: tied where nothing speaks
  /// against.
  SmallVector<std::pair<int, int>> alike;
  DenseMap<Value, SmallVector<int>> firstRead;
  DenseMap<Value, unsigned> valueOf;
};

/// Bodies hold arithmetic, constants, indices and reads of arguments.
bool Analyzer::checkBody(RowProgram::Step &step) {
  for (Operation &op : step.op.getBody()->without_terminator()) {
    if (isa<linalg::IndexOp>(op))
      continue;
    if (auto extract = dyn_cast<tensor::ExtractOp>(op)) {
      if (!getReshapedArgument(extract.getTensor()))
        return refuse("a body reads a computed tensor at computed indices");
      continue;
    }
    if (op.getNumResults() == 0)
      return refuse("a body holds an op without result");
    bool isClosed = true;
    op.walk([&](Operation *nested) {
      for (Value operand : nested->getOperands()) {
        Operation *def = operand.getDefiningOp();
        bool isInside =
            def ? step.op->isProperAncestor(def)
                : step.op->isAncestor(operand.getParentBlock()->getParentOp());
        isClosed &= isInside || (def && def->hasTrait<OpTrait::ConstantLike>());
      }
    });
    if (!isClosed)
      return refuse("a body uses a value from outside");
  }
  return true;
}

bool Analyzer::readInit(RowProgram::Step &step, OpOperand &operand) {
  unsigned index = operand.getOperandNumber() - step.op.getNumDpsInputs();
  if (!step.op.getMatchingBlockArgument(&operand).use_empty()) {
    auto fill = operand.get().getDefiningOp<linalg::FillOp>();
    TypedAttr start;
    if (!fill || !matchPattern(fill.getInputs()[0], m_Constant(&start)))
      return refuse("an accumulator does not start at a constant");
    step.inits.push_back(start);
  } else {
    step.inits.push_back({});
  }
  AffineMap map = step.op.getMatchingIndexingMap(&operand);
  if (!map.isProjectedPermutation() ||
      llvm::any_of(map.getResults(),
                   [](AffineExpr e) { return !isa<AffineDimExpr>(e); }))
    return refuse("a result is not written along plain dims");
  RowProgram::Computed value;
  value.step = program.steps.size();
  value.index = index;
  value.element = getElementTypeOrSelf(operand.get().getType());
  step.results.push_back(program.values.size());
  valueOf[step.op.getResult(index)] = program.values.size();
  program.values.push_back(value);
  return true;
}

void Analyzer::noteRead(Value tensor, AffineMap map) {
  SmallVector<int> nodes;
  for (AffineExpr expr : map.getResults()) {
    auto dim = dyn_cast<AffineDimExpr>(expr);
    nodes.push_back(dim ? firstNode.back() + int(dim.getPosition()) : -1);
  }
  auto [it, isNew] = firstRead.try_emplace(tensor, nodes);
  if (isNew)
    return;
  for (auto [a, b] : llvm::zip_equal(it->second, nodes))
    if (a >= 0 && b >= 0)
      alike.push_back({a, b});
}

/// The classes that `equal` and `also` make, or nothing where two loops of one
/// op would fall together or sizes differ.
std::optional<SmallVector<int>>
Analyzer::partition(ArrayRef<std::pair<int, int>> also) {
  llvm::IntEqClasses sets(numNodes);
  for (auto [a, b] : equal)
    sets.join(a, b);
  for (auto [a, b] : also)
    sets.join(a, b);
  sets.compress();
  SmallVector<int64_t> sizes(sets.getNumClasses(), 0);
  SmallVector<int> classes;
  for (auto [s, step] : llvm::enumerate(program.steps)) {
    SmallVector<int> own;
    auto ranges = step.op.getStaticLoopRanges();
    for (unsigned d = 0; d < ranges.size(); ++d) {
      int c = sets[node(s, d)];
      classes.push_back(c);
      if (ranges[d] == 1)
        continue;
      if (llvm::is_contained(own, c) || (sizes[c] && sizes[c] != ranges[d]))
        return std::nullopt;
      sizes[c] = ranges[d];
      own.push_back(c);
    }
  }
  return classes;
}

bool Analyzer::readOperand(RowProgram::Step &step, OpOperand &operand) {
  RowProgram::Operand read;
  Value source = skipReshapes(operand.get());
  auto type = cast<RankedTensorType>(operand.get().getType());
  AffineMap map = step.op.getMatchingIndexingMap(&operand);
  DenseElementsAttr dense;
  TypedAttr scalar;
  if (auto argument = dyn_cast<BlockArgument>(source)) {
    read.kind = RowProgram::Operand::Memory;
    read.argument = argument.getArgNumber();
    noteRead(operand.get(), map);
  } else if (auto fill = source.getDefiningOp<linalg::FillOp>();
             fill && matchPattern(fill.getInputs()[0], m_Constant(&scalar))) {
    read.kind = RowProgram::Operand::Constant;
    read.constant = scalar;
  } else if (matchPattern(source, m_Constant(&dense)) && dense.isSplat()) {
    read.kind = RowProgram::Operand::Constant;
    read.constant = cast<TypedAttr>(dense.getSplatValue<Attribute>());
  } else if (auto found = valueOf.find(source); found != valueOf.end()) {
    read.kind = RowProgram::Operand::Computed;
    read.value = found->second;
    const RowProgram::Computed &value = program.values[read.value];
    auto made = cast<RankedTensorType>(source.getType());
    SmallVector<unsigned> from = largeDims(made.getShape());
    SmallVector<unsigned> to = largeDims(type.getShape());
    if (from.size() != to.size())
      return refuse("a computed value is reshaped");
    for (auto [madeDim, readDim] : llvm::zip_equal(from, to)) {
      if (made.getDimSize(madeDim) != type.getDimSize(readDim))
        return refuse("a computed value is reshaped");
      auto dim = dyn_cast<AffineDimExpr>(map.getResult(readDim));
      if (!dim)
        return refuse("a computed value is read at shifted positions");
      equal.push_back({node(value.step, loopDim(value, madeDim)),
                       firstNode.back() + int(dim.getPosition())});
    }
    program.values[read.value].isRead = true;
  } else if (isa_and_nonnull<tensor::EmptyOp>(source.getDefiningOp())) {
    if (!step.op.getMatchingBlockArgument(&operand).use_empty())
      return refuse("a body reads an uninitialized tensor");
    read.kind = RowProgram::Operand::Constant;
    read.constant =
        cast<TypedAttr>(Builder(step.op).getZeroAttr(type.getElementType()));
  } else {
    return refuse("an operand is neither an argument nor computed here");
  }
  step.inputs.push_back(read);
  return true;
}

bool Analyzer::collectSteps() {
  for (Operation &op : program.function.getBody().front()) {
    if (isa<tensor::EmptyOp, tensor::ExpandShapeOp, tensor::CollapseShapeOp,
            linalg::FillOp, arith::ConstantOp, func::ReturnOp>(op))
      continue;
    auto generic = dyn_cast<linalg::GenericOp>(op);
    if (!generic)
      return refuse("it holds " + op.getName().getStringRef());
    RowProgram::Step step;
    step.op = generic;
    step.isReduction = generic.getNumReductionLoops() > 0;
    firstNode.push_back(numNodes);
    numNodes += generic.getNumLoops();
    if (llvm::is_contained(generic.getStaticLoopRanges(), 0))
      return refuse("it has an empty loop");
    if (!checkBody(step))
      return false;
    for (OpOperand *operand : generic.getDpsInputOperands())
      if (!readOperand(step, *operand))
        return false;
    for (OpOperand &operand : generic.getDpsInitsMutable())
      if (!readInit(step, operand))
        return false;
    program.steps.push_back(step);
  }
  return !program.steps.empty() || refuse("it computes nothing");
}

/// Outputs that nothing else connects run over the same items where they have
/// the same shape.
bool Analyzer::unifyOutputs() {
  Operation *terminator = program.function.getBody().front().getTerminator();
  std::optional<std::pair<unsigned, SmallVector<unsigned>>> first;
  for (auto [i, returned] : llvm::enumerate(terminator->getOperands())) {
    Value source = skipReshapes(returned);
    auto found = valueOf.find(source);
    if (found == valueOf.end())
      return refuse("an output is not computed by a generic");
    RowProgram::Computed &value = program.values[found->second];
    value.outputs.push_back({unsigned(i), LinearForm()});
    auto shape = cast<RankedTensorType>(source.getType()).getShape();
    SmallVector<unsigned> dims = largeDims(shape);
    if (!first) {
      first = {found->second, dims};
      continue;
    }
    auto firstShape = cast<RankedTensorType>(
                          program.steps[program.values[first->first].step]
                              .op.getResult(program.values[first->first].index)
                              .getType())
                          .getShape();
    if (first->second.size() != dims.size())
      continue;
    bool same = true;
    for (auto [a, b] : llvm::zip_equal(first->second, dims))
      same &= firstShape[a] == shape[b];
    if (!same)
      continue;
    for (auto [a, b] : llvm::zip_equal(first->second, dims)) {
      const RowProgram::Computed &other = program.values[first->first];
      equal.push_back({node(other.step, loopDim(other, a)),
                       node(value.step, loopDim(value, b))});
    }
  }
  return true;
}

bool Analyzer::nameClasses() {
  std::optional<SmallVector<int>> sets = partition({});
  if (!sets)
    return refuse("two loops of one op are tied to each other");
  for (std::pair<int, int> pair : alike)
    if (auto joined = partition(pair)) {
      equal.push_back(pair);
      sets = joined;
    }
  if (numNodes)
    program.classes.resize(*llvm::max_element(*sets) + 1);
  for (auto [s, step] : llvm::enumerate(program.steps)) {
    auto sizes = step.op.getStaticLoopRanges();
    linalg::GenericOp op = step.op;
    auto types = op.getIteratorTypesArray();
    for (unsigned d = 0; d < sizes.size(); ++d) {
      if (sizes[d] == 1) {
        step.classes.push_back(-1);
        continue;
      }
      int c = (*sets)[node(s, d)];
      RowProgram::Class &info = program.classes[c];
      info.size = sizes[d];
      info.isReduced |= types[d] == utils::IteratorType::reduction;
      step.classes.push_back(c);
    }
    step.op.getBody()->walk([&, &step = step](linalg::IndexOp op) {
      if (int c = step.classes[op.getDim()]; c >= 0)
        program.classes[c].isIndexed = true;
    });
  }
  for (RowProgram::Computed &value : program.values) {
    RowProgram::Step &step = program.steps[value.step];
    auto type =
        cast<RankedTensorType>(step.op.getResult(value.index).getType());
    SmallVector<int64_t> strides = getStrides(type.getShape());
    LinearForm form;
    form.coefficients.assign(program.classes.size(), 0);
    for (int64_t d = 0; d < type.getRank(); ++d)
      if (int c = step.classes[loopDim(value, d)]; c >= 0) {
        value.classes.push_back(c);
        form.coefficients[c] = strides[d];
      }
    for (auto &output : value.outputs)
      output.second = form;
  }
  return true;
}

bool Analyzer::makeForms() {
  for (RowProgram::Step &step : program.steps)
    for (auto [operand, read] :
         llvm::zip_equal(step.op.getDpsInputOperands(), step.inputs)) {
      if (read.kind != RowProgram::Operand::Memory)
        continue;
      auto type = cast<RankedTensorType>(operand->get().getType());
      SmallVector<int64_t> strides = getStrides(type.getShape());
      SmallVector<int64_t> dims(step.classes.size(), 0);
      AffineMap map = step.op.getMatchingIndexingMap(operand);
      for (auto [expr, stride] : llvm::zip_equal(map.getResults(), strides))
        if (failed(addLinear(expr, stride, dims, read.position.offset)))
          return refuse("an argument is read at positions that are not affine");
      read.position.coefficients.assign(program.classes.size(), 0);
      for (auto [d, c] : llvm::enumerate(step.classes))
        if (c >= 0)
          read.position.coefficients[c] += dims[d];
    }
  return true;
}

void Analyzer::merge(int kept, int gone) {
  int64_t size = program.classes[gone].size;
  program.classes[kept].size *= size;
  program.classes[gone].isGone = true;
  auto fix = [&](LinearForm &form) {
    form.coefficients[kept] = form.coefficients[gone];
    form.coefficients[gone] = 0;
  };
  for (RowProgram::Step &step : program.steps) {
    for (RowProgram::Operand &read : step.inputs)
      if (read.kind == RowProgram::Operand::Memory)
        fix(read.position);
    for (int &c : step.classes)
      if (c == gone)
        c = -1;
  }
  for (RowProgram::Computed &value : program.values) {
    for (auto &output : value.outputs)
      fix(output.second);
    llvm::erase(value.classes, gone);
  }
}

/// Two classes that are next to each other in memory everywhere become one.
void Analyzer::mergeClasses() {
  auto mergeable = [&](int outer, int inner) {
    const RowProgram::Class &a = program.classes[outer],
                            &b = program.classes[inner];
    if (a.isGone || b.isGone || a.isIndexed || b.isIndexed ||
        a.isReduced != b.isReduced || a.size == 1 || b.size == 1)
      return false;
    auto adjacent = [&](const LinearForm &form) {
      return form.coefficients[outer] == form.coefficients[inner] * b.size;
    };
    for (const RowProgram::Step &step : program.steps) {
      if (step.has(outer) != step.has(inner) ||
          (step.has(outer) && program.isReducedIn(step, outer) !=
                                  program.isReducedIn(step, inner)))
        return false;
      for (const RowProgram::Operand &read : step.inputs) {
        if (read.kind == RowProgram::Operand::Memory &&
            !adjacent(read.position))
          return false;
        if (read.kind == RowProgram::Operand::Computed) {
          const RowProgram::Computed &value = program.values[read.value];
          if (value.has(outer) != value.has(inner))
            return false;
        }
      }
    }
    for (const RowProgram::Computed &value : program.values) {
      if (value.has(outer) != value.has(inner))
        return false;
      for (auto &output : value.outputs)
        if (!adjacent(output.second))
          return false;
    }
    return true;
  };
  bool changed = true;
  int count = program.classes.size();
  while (changed) {
    changed = false;
    for (int a = 0; a < count; ++a)
      for (int b = 0; b < count; ++b)
        if (a != b && mergeable(a, b)) {
          merge(a, b);
          changed = true;
        }
  }
}

std::optional<RowProgram> Analyzer::run() {
  if (!collectSteps() || !unifyOutputs() || !nameClasses() || !makeForms())
    return std::nullopt;
  mergeClasses();
  return std::move(program);
}

} // namespace

std::optional<RowProgram> RowProgram::analyze(func::FuncOp function,
                                              std::string &whyNot) {
  return Analyzer(function, whyNot).run();
}

} // namespace lathe
