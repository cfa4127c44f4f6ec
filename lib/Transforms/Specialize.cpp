//===- Specialize.cpp - A model for the shapes it meets -------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One pass forward over the ops: each has its types inferred and is folded
// after everything it reads. Loops are tried with the types of their first
// iteration; where an iteration changes a size, the body is taken from a copy
// and tried again with that size open. Shapes of arguments stand in
// SpecializeShapes.cpp.
//
//===----------------------------------------------------------------------===//

#include "lathe/Transforms/Specialize.h"

#include "dialects/Lathe/Lathe.h"
#include "lathe/Transforms/Passes.h"

#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Iterators.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Rewrite/FrozenRewritePatternSet.h"
#include "mlir/Rewrite/PatternApplicator.h"
#include "mlir/Transforms/FoldUtils.h"

namespace lathe {
#define GEN_PASS_DEF_SPECIALIZE
#include "lathe/Transforms/Passes.h.inc"

namespace {

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

/// The sizes both types have, open where they differ; null where the types
/// differ in more than that.
Type joinTypes(Type a, Type b) {
  auto ta = dyn_cast<RankedTensorType>(a), tb = dyn_cast<RankedTensorType>(b);
  if (!ta || !tb || ta.getRank() != tb.getRank() ||
      ta.getElementType() != tb.getElementType())
    return {};
  SmallVector<int64_t> shape(ta.getShape());
  for (auto [x, y] : llvm::zip_equal(shape, tb.getShape()))
    if (x != y)
      x = ShapedType::kDynamic;
  return RankedTensorType::get(shape, ta.getElementType());
}

/// The more precise of two types that must agree; null where they contradict.
Type refineType(Type inferred, Type written) {
  auto a = dyn_cast<RankedTensorType>(inferred),
       b = dyn_cast<RankedTensorType>(written);
  if (!a || !b)
    return inferred == written ? inferred : Type();
  if (!areCompatibleTypes(a, b))
    return {};
  SmallVector<int64_t> shape(a.getShape());
  for (auto [x, y] : llvm::zip_equal(shape, b.getShape()))
    if (ShapedType::isDynamic(x))
      x = y;
  return RankedTensorType::get(shape, a.getElementType());
}

LogicalResult setResultType(OpResult result, Type inferred) {
  Type type = refineType(inferred, result.getType());
  if (!type)
    return result.getOwner()->emitError("expected a result of type ")
           << result.getType() << " as written, got " << inferred;
  result.setType(type);
  return success();
}

bool isOpen(Value value) {
  auto type = dyn_cast<ShapedType>(value.getType());
  return type && !type.hasStaticShape();
}

//===----------------------------------------------------------------------===//
// Specializer
//===----------------------------------------------------------------------===//

enum class Progress { Kept, Replaced };

class Specializer {
public:
  explicit Specializer(func::FuncOp entry)
      : entry(entry), folder(entry.getContext()), rewriter(entry.getContext()),
        patterns(collectPatterns(entry.getContext())), applicator(patterns) {
    applicator.applyDefaultCostModel();
    entry.walk([&](Operation *) { rewritesLeft += 100; });
  }

  LogicalResult run() {
    if (failed(processBlock(entry.getBody().front())))
      return failure();
    entry.walk<WalkOrder::PostOrder, ReverseIterator>([&](Operation *op) {
      if (op != entry && isOpTriviallyDead(op))
        op->erase();
    });
    return refuseOpenSizes();
  }

private:
  static FrozenRewritePatternSet collectPatterns(MLIRContext *context) {
    RewritePatternSet patterns(context);
    for (RegisteredOperationName name : context->getRegisteredOperations())
      if (name.getDialectNamespace() == LatheDialect::getDialectNamespace())
        name.getCanonicalizationPatterns(patterns, context);
    return std::move(patterns);
  }

  /// Processes the ops from `op` to the end of its block, or up to `end`.
  LogicalResult processFrom(Operation *op, Operation *end) {
    while (op != end) {
      Block *block = op->getBlock();
      Operation *before = op->getPrevNode();
      FailureOr<Progress> progress = process(op);
      if (failed(progress))
        return failure();
      if (*progress == Progress::Kept)
        op = op->getNextNode();
      else
        op = before ? before->getNextNode() : &block->front();
    }
    return success();
  }
  LogicalResult processBlock(Block &block) {
    return processFrom(block.empty() ? nullptr : &block.front(), nullptr);
  }

  FailureOr<Progress> process(Operation *op);
  FailureOr<Progress> processIf(IfOp op);
  FailureOr<Progress> processScan(ScanOp op);
  FailureOr<Progress> processWhile(WhileOp op);
  FailureOr<Progress> processKernel(KernelOp op);
  LogicalResult processLoopBody(Operation *op, Region &body,
                                SmallVectorImpl<Type> &carried,
                                ArrayRef<Type> others);
  FailureOr<bool> neverRuns(WhileOp op);
  LogicalResult infer(Operation *op);
  LogicalResult refuseOpenSizes();

  func::FuncOp entry;
  OperationFolder folder;
  PatternRewriter rewriter;
  FrozenRewritePatternSet patterns;
  PatternApplicator applicator;
  /// Patterns that undo each other must not hang the compiler.
  int64_t rewritesLeft = 1000;
};

LogicalResult Specializer::infer(Operation *op) {
  auto inferable = dyn_cast<InferTypeOpInterface>(op);
  if (!inferable)
    return success();
  SmallVector<Type> types;
  if (failed(inferable.inferReturnTypes(
          op->getContext(), op->getLoc(), op->getOperands(),
          op->getAttrDictionary(), op->getPropertiesStorage(), op->getRegions(),
          types)))
    return failure();
  for (auto [result, type] : llvm::zip_equal(op->getResults(), types))
    if (failed(setResultType(result, type)))
      return failure();
  return success();
}

FailureOr<Progress> Specializer::process(Operation *op) {
  if (op->hasTrait<OpTrait::ConstantLike>())
    return Progress::Kept;
  if (auto branch = dyn_cast<IfOp>(op))
    return processIf(branch);
  if (auto scan = dyn_cast<ScanOp>(op))
    return processScan(scan);
  if (auto loop = dyn_cast<WhileOp>(op))
    return processWhile(loop);
  if (auto kernel = dyn_cast<KernelOp>(op))
    return processKernel(kernel);
  bool inPlace = true;
  for (int i = 0; i < 8 && inPlace; ++i) {
    if (failed(infer(op)))
      return failure();
    inPlace = false;
    if (succeeded(folder.tryToFold(op, &inPlace)) && !inPlace)
      return Progress::Replaced;
  }
  rewriter.setInsertionPoint(op);
  if (rewritesLeft > 0 && succeeded(applicator.matchAndRewrite(op, rewriter))) {
    --rewritesLeft;
    return Progress::Replaced;
  }
  return Progress::Kept;
}

//===----------------------------------------------------------------------===//
// Branches and loops
//===----------------------------------------------------------------------===//

/// The value of a constant rank-0 Boolean.
std::optional<bool> constantCondition(Value value) {
  DenseElementsAttr attr;
  if (!matchPattern(value, m_Constant(&attr)) || !attr.isSplat())
    return std::nullopt;
  return attr.getSplatValue<APInt>().getBoolValue();
}

FailureOr<Progress> Specializer::processIf(IfOp op) {
  if (std::optional<bool> condition = constantCondition(op.getCondition())) {
    Block &taken =
        (*condition ? op.getThenRegion() : op.getElseRegion()).front();
    SmallVector<Value> results(taken.getTerminator()->getOperands());
    op->getBlock()->getOperations().splice(op->getIterator(),
                                           taken.getOperations(), taken.begin(),
                                           std::prev(taken.end()));
    op.replaceAllUsesWith(results);
    op.erase();
    return Progress::Replaced;
  }
  Block &yes = op.getThenRegion().front(), &no = op.getElseRegion().front();
  if (failed(processBlock(yes)) || failed(processBlock(no)))
    return failure();
  for (auto [result, a, b] :
       llvm::zip(op.getResults(), yes.getTerminator()->getOperandTypes(),
                 no.getTerminator()->getOperandTypes())) {
    Type joined = joinTypes(a, b);
    if (!joined)
      return op.emitError("expected branches that yield like types, got ")
             << a << " and " << b;
    if (failed(setResultType(cast<OpResult>(result), joined)))
      return failure();
  }
  return Progress::Kept;
}

/// Finds the types of carried values that stay the same over an iteration of
/// `body`, starting from `carried`, and processes the body with them. The
/// body's other arguments have the types `others`.
LogicalResult Specializer::processLoopBody(Operation *op, Region &body,
                                           SmallVectorImpl<Type> &carried,
                                           ArrayRef<Type> others) {
  while (true) {
    // What was folded under types that do not hold must be undone.
    Region original;
    IRMapping mapping;
    body.cloneInto(&original, mapping);

    SmallVector<Type> types(carried.begin(), carried.end());
    llvm::append_range(types, others);
    for (auto [argument, type] : llvm::zip_equal(body.getArguments(), types))
      argument.setType(type);
    if (failed(processBlock(body.front())))
      return failure();
    bool same = true;
    TypeRange yielded = body.front().getTerminator()->getOperandTypes();
    for (auto [i, type] : llvm::enumerate(carried)) {
      Type joined = joinTypes(type, yielded[i]);
      if (!joined)
        return op->emitError("expected the body to yield values like the "
                             "carried ones, got ")
               << yielded[i] << " for " << type;
      same &= joined == type;
      type = joined;
    }
    if (same)
      return success();
    folder.clear();
    body.takeBody(original);
  }
}

FailureOr<Progress> Specializer::processScan(ScanOp op) {
  SmallVector<Type> carried(op.getInits().getTypes()), slices;
  for (Value input : op.getInputs()) {
    auto type = cast<RankedTensorType>(input.getType());
    slices.push_back(RankedTensorType::get(type.getShape().drop_front(),
                                           type.getElementType()));
  }
  int64_t trips = op.computeTripCount();
  for (Value input : op.getInputs()) {
    int64_t size = cast<RankedTensorType>(input.getType()).getDimSize(0);
    if (!ShapedType::isDynamic(size) && size != trips)
      return op.emitOpError("expected inputs with equal leading dims, got ")
             << trips << " and " << size;
  }
  if (failed(processLoopBody(op, op.getBody(), carried, slices)))
    return failure();
  Operation *yield = op.getBody().front().getTerminator();
  for (auto [i, result] : llvm::enumerate(op.getResults())) {
    Type type =
        i < carried.size() ? carried[i] : yield->getOperand(i).getType();
    if (i >= carried.size()) {
      SmallVector<int64_t> shape{trips};
      llvm::append_range(shape, cast<RankedTensorType>(type).getShape());
      type = RankedTensorType::get(
          shape, cast<RankedTensorType>(type).getElementType());
    }
    if (failed(setResultType(cast<OpResult>(result), type)))
      return failure();
  }
  if (trips != 0 || llvm::any_of(op.getResults(), isOpen))
    return Progress::Kept;
  SmallVector<Value> results(op.getInits());
  rewriter.setInsertionPoint(op);
  for (Value stacked : op.getResults().drop_front(carried.size()))
    results.push_back(rewriter.create<ConstantOp>(
        op.getLoc(),
        DenseElementsAttr::get(cast<RankedTensorType>(stacked.getType()),
                               ArrayRef<Attribute>())));
  op.replaceAllUsesWith(results);
  op.erase();
  return Progress::Replaced;
}

/// Whether the condition is false for the first values.
FailureOr<bool> Specializer::neverRuns(WhileOp op) {
  IRMapping mapping;
  Block &condition = op.getCondition().front();
  mapping.map(condition.getArguments(), op.getInits());
  OpBuilder builder(op);
  Operation *before = op->getPrevNode();
  SmallVector<Operation *> copies;
  for (Operation &inner : condition)
    copies.push_back(builder.clone(inner, mapping));
  Operation *yield = copies.back();
  if (failed(processFrom(copies.front(), yield)))
    return failure();
  bool never = constantCondition(yield->getOperand(0)) == false;
  // The copies were only asked; constants may be in use by now.
  Operation *last = yield->getPrevNode();
  yield->erase();
  while (last != before) {
    Operation *previous = last->getPrevNode();
    if (!last->hasTrait<OpTrait::ConstantLike>() && isOpTriviallyDead(last))
      last->erase();
    last = previous;
  }
  return never;
}

FailureOr<Progress> Specializer::processWhile(WhileOp op) {
  FailureOr<bool> never = neverRuns(op);
  if (failed(never))
    return failure();
  if (*never) {
    op.replaceAllUsesWith(op.getInits());
    op.erase();
    return Progress::Replaced;
  }
  SmallVector<Type> carried(op.getInits().getTypes());
  if (failed(processLoopBody(op, op.getBody(), carried, {})))
    return failure();
  for (auto [argument, type] :
       llvm::zip_equal(op.getCondition().getArguments(), carried))
    argument.setType(type);
  if (failed(processBlock(op.getCondition().front())))
    return failure();
  for (auto [result, type] : llvm::zip_equal(op.getResults(), carried))
    if (failed(setResultType(cast<OpResult>(result), type)))
      return failure();
  return Progress::Kept;
}

FailureOr<Progress> Specializer::processKernel(KernelOp op) {
  for (auto [argument, input] :
       llvm::zip_equal(op.getBody().getArguments(), op.getInputs()))
    argument.setType(input.getType());
  if (failed(processBlock(op.getBody().front())))
    return failure();
  Operation *yield = op.getBody().front().getTerminator();
  for (auto [result, type] :
       llvm::zip_equal(op.getResults(), yield->getOperandTypes()))
    if (failed(setResultType(cast<OpResult>(result), type)))
      return failure();
  return Progress::Kept;
}

//===----------------------------------------------------------------------===//
// What stays open
//===----------------------------------------------------------------------===//

LogicalResult Specializer::refuseOpenSizes() {
  // Ops where an open size begins; what follows from it is not worth a line.
  SmallVector<Operation *> origins, open;
  entry.walk([&](Operation *op) {
    bool result = llvm::any_of(op->getResults(), isOpen);
    bool nested = false;
    for (Region &region : op->getRegions())
      for (Block &block : region)
        nested |= op != entry && llvm::any_of(block.getArguments(), isOpen);
    if (!result && !nested)
      return;
    open.push_back(op);
    bool follows = llvm::any_of(op->getOperands(), isOpen);
    if (!follows && (nested || op->getNumRegions() == 0))
      origins.push_back(op);
  });
  if (open.empty())
    return success();
  if (origins.empty())
    origins = open;
  constexpr size_t kMost = 20;
  InFlightDiagnostic error =
      emitError(entry.getLoc(), "expected sizes that follow from the shapes of "
                                "the arguments, but in '@")
      << entry.getSymName() << "' " << origins.size()
      << (origins.size() == 1 ? " op has a size that depends on data"
                              : " ops have a size that depends on data");
  for (Operation *op : ArrayRef(origins).take_front(kMost)) {
    Diagnostic &note = error.attachNote(op->getLoc());
    note << "'" << op->getName().getStringRef() << "' op: size depends on data";
    for (Value result : op->getResults())
      note << (result == op->getResult(0) ? ", got " : " and ")
           << result.getType();
  }
  if (origins.size() > kMost)
    error.attachNote() << "and " << origins.size() - kMost << " more";
  return error;
}

} // namespace

LogicalResult specialize(func::FuncOp entry,
                         ArrayRef<SmallVector<int64_t>> argShapes) {
  if (entry.isExternal() || !llvm::hasSingleElement(entry.getBody()))
    return entry.emitError("expected an entry function of one block");
  if (failed(checkArgumentShapes(entry, argShapes)))
    return failure();
  for (auto [argument, shape] :
       llvm::zip_equal(entry.getArguments(), argShapes))
    if (auto type = dyn_cast<RankedTensorType>(argument.getType()))
      argument.setType(RankedTensorType::get(shape, type.getElementType()));
  LogicalResult result = success();
  if (failed(inlineCalls(entry)) || failed(Specializer(entry).run()))
    result = failure();
  // Also after an error, so that the function can be printed.
  entry.setType(FunctionType::get(
      entry.getContext(), entry.getBody().getArgumentTypes(),
      entry.getBody().front().getTerminator()->getOperandTypes()));
  return result;
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

namespace {
struct Specialize : impl::SpecializeBase<Specialize> {
  using SpecializeBase::SpecializeBase;

  void runOnOperation() override {
    func::FuncOp entry = findEntry();
    if (!entry)
      return signalPassFailure();
    llvm::StringMap<int64_t> sizes;
    DenseMap<unsigned, SmallVector<int64_t>> given;
    if (failed(readDims(sizes)) || failed(readShapes(given)))
      return signalPassFailure();
    auto resolved = resolveShapes(entry, sizes, given);
    if (failed(resolved) || failed(specialize(entry, *resolved)))
      signalPassFailure();
  }

private:
  func::FuncOp findEntry() {
    if (auto named = getOperation().lookupSymbol<func::FuncOp>("main"))
      return named;
    auto isEntry = [](func::FuncOp function) {
      return function.isPublic() && !function.isExternal();
    };
    auto functions =
        llvm::make_filter_range(getOperation().getOps<func::FuncOp>(), isEntry);
    if (llvm::hasSingleElement(functions))
      return *functions.begin();
    getOperation().emitError(
        "expected one public function or one called '@main'");
    return {};
  }

  /// "batch=8"
  LogicalResult readDims(llvm::StringMap<int64_t> &sizes) {
    for (const std::string &text : dims) {
      auto [name, number] = StringRef(text).split('=');
      int64_t size;
      if (name.empty() || number.getAsInteger(10, size) || size < 0)
        return getOperation().emitError(
                   "expected name=size in option 'dims', got '")
               << text << "'";
      sizes[name] = size;
    }
    return success();
  }

  /// "4x128", one after the other, or "argument=4x128", parted by ';'.
  LogicalResult readShapes(DenseMap<unsigned, SmallVector<int64_t>> &given) {
    unsigned next = 0;
    for (const std::string &list : shapes) {
      SmallVector<StringRef> texts;
      StringRef(list).split(texts, ';');
      for (StringRef text : texts) {
        StringRef sizes = text;
        if (text.contains('=')) {
          auto [index, rest] = text.split('=');
          if (index.getAsInteger(10, next))
            return getOperation().emitError(
                       "expected an argument's index in option 'shapes', got '")
                   << text << "'";
          sizes = rest;
        }
        SmallVector<int64_t> &shape = given[next++];
        SmallVector<StringRef> parts;
        if (!sizes.empty())
          sizes.split(parts, 'x');
        for (StringRef part : parts) {
          int64_t size = ShapedType::kDynamic;
          if (part != "?" && (part.getAsInteger(10, size) || size < 0))
            return getOperation().emitError(
                       "expected sizes like 4x128 in option 'shapes', got '")
                   << text << "'";
          shape.push_back(size);
        }
      }
    }
    return success();
  }
};
} // namespace

} // namespace lathe
