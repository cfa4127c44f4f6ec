//===- LoopsSchedule.cpp - The schedule that takes everything -------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// linalg on tensors -> buffers -> one grid per linalg op with a thread per
// element of its parallel space. What is no linalg op (loops that carry state
// from one element to the next) runs in a grid of its own: with a thread per
// iteration where its outermost loops are independent, else in one thread.
// Temporaries stand in scratch.
//
//===----------------------------------------------------------------------===//

#include "IndexText.h"
#include "KernelFile.h"
#include "RaiseBf16.h"

#include "lathe/Target/BufferPlan.h"
#include "lathe/Target/KernelFunction.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Transforms/CSE.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

namespace lathe::cuda {

namespace {

/// A piece of the function that runs as one grid.
struct Stage {
  linalg::LinalgOp op;
  SmallVector<Operation *> others;
};

class LoopsEmitter {
public:
  LoopsEmitter(KernelFile &file, func::FuncOp function, unsigned numInputs)
      : file(file), function(function), numInputs(numInputs) {}

  LogicalResult emit();
  int64_t scratchBytes = 0;
  std::string whyNot;

private:
  bool readsInput(Operation *op);
  LogicalResult collectStages();
  void declareTables();
  void placeTemporaries();
  void bindMemory(Printer &printer);
  LogicalResult emitStage(Stage &stage);
  LogicalResult emitLinalg(linalg::LinalgOp op);
  LogicalResult emitLinalgBody(linalg::LinalgOp op, Printer &printer);
  LogicalResult emitOthers(Stage &stage);
  /// Prints what is computed between stages and used in this one.
  LogicalResult printPrelude(Printer &printer, Operation *user);

  KernelFile &file;
  func::FuncOp function;
  unsigned numInputs;
  SmallVector<Stage> stages;
  /// Ops without side effects that every stage may repeat.
  SmallVector<Operation *> prelude;
  SmallVector<std::pair<memref::AllocOp, Lifetime>> temporaries;
  DenseMap<Operation *, std::string> tables;
  SmallVector<std::pair<Value, std::string>> tableOf;
};

} // namespace

/// Whether iterations of `loop` may run in any order: they carry nothing, and
/// wherever they touch memory that they write, the same index is the loop's
/// own variable.
static bool isParallel(scf::ForOp loop) {
  if (!loop.getInitArgs().empty())
    return false;
  // Position of the loop's variable in accesses to each memory that is written.
  llvm::DenseMap<Value, int> written;
  bool parallel = true;
  auto positions = [&](ValueRange indices) {
    for (auto [i, index] : llvm::enumerate(indices))
      if (index == loop.getInductionVar())
        return int(i);
    return -1;
  };
  loop.walk([&](memref::StoreOp store) {
    int position = positions(store.getIndices());
    auto [it, isNew] = written.try_emplace(store.getMemRef(), position);
    parallel &= position >= 0 && it->second == position &&
                !store.getMemRef().getDefiningOp<memref::SubViewOp>();
  });
  loop.walk([&](Operation *op) {
    if (auto load = dyn_cast<memref::LoadOp>(op)) {
      auto it = written.find(load.getMemRef());
      parallel &=
          it == written.end() || positions(load.getIndices()) == it->second;
    } else if (isa<memref::AllocOp, memref::CopyOp, linalg::LinalgOp>(op)) {
      parallel = false;
    } else if (auto view = dyn_cast<ViewLikeOpInterface>(op)) {
      parallel &= !written.contains(view.getViewSource());
    }
  });
  // Views of written memory made outside of the loop are other names for it.
  for (auto &[memory, position] : written)
    parallel &= llvm::all_of(memory.getUsers(),
                             [&](Operation *user) {
                               return !isa<ViewLikeOpInterface>(user);
                             }) &&
                !memory.getDefiningOp<memref::ExpandShapeOp>() &&
                !memory.getDefiningOp<memref::CollapseShapeOp>();
  return parallel;
}

/// A scalar of an input may be read anew by every stage: nobody writes there.
bool LoopsEmitter::readsInput(Operation *op) {
  auto load = dyn_cast<memref::LoadOp>(op);
  if (!load)
    return false;
  Value memory = load.getMemRef();
  while (auto view = memory.getDefiningOp<ViewLikeOpInterface>())
    memory = view.getViewSource();
  auto argument = dyn_cast<BlockArgument>(memory);
  return argument && argument.getArgNumber() < numInputs;
}

LogicalResult LoopsEmitter::collectStages() {
  Block &body = function.getBody().front();
  for (Operation &op : body.without_terminator()) {
    if (isa<memref::DeallocOp>(op))
      continue;
    if (auto alloc = dyn_cast<memref::AllocOp>(op)) {
      if (!alloc.getType().hasStaticShape()) {
        whyNot = "a temporary has an open size";
        return failure();
      }
      temporaries.push_back({alloc, {}});
      prelude.push_back(&op);
      continue;
    }
    if (isa<memref::GetGlobalOp>(op))
      continue;
    if (isPure(&op) || isa<ViewLikeOpInterface>(op) || readsInput(&op)) {
      prelude.push_back(&op);
      continue;
    }
    if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op)) {
      // A result that was computed in place.
      if (isa<linalg::CopyOp>(op) && op.getOperand(0) == op.getOperand(1))
        continue;
      stages.push_back({linalgOp, {}});
      continue;
    }
    if (auto copy = dyn_cast<memref::CopyOp>(op)) {
      OpBuilder builder(copy);
      auto made = builder.create<linalg::CopyOp>(
          copy.getLoc(), copy.getSource(), copy.getTarget());
      stages.push_back({made, {}});
      continue;
    }
    auto loop = dyn_cast<scf::ForOp>(op);
    bool startsStage =
        stages.empty() || stages.back().op || (loop && isParallel(loop));
    if (!stages.empty() && !stages.back().op)
      if (auto last = dyn_cast<scf::ForOp>(stages.back().others.front()))
        startsStage |= isParallel(last);
    if (startsStage)
      stages.push_back({});
    stages.back().others.push_back(&op);
  }
  return success();
}

/// Temporaries live from the first stage that touches them, or a view of them,
/// to the last.
void LoopsEmitter::placeTemporaries() {
  DenseMap<Operation *, int64_t> stageOf;
  for (auto [i, stage] : llvm::enumerate(stages)) {
    if (stage.op)
      stageOf[stage.op] = i;
    for (Operation *op : stage.others)
      stageOf[op] = i;
  }
  std::vector<Lifetime> blocks;
  for (auto &[alloc, lifetime] : temporaries) {
    MemRefType type = alloc.getType();
    lifetime.bytes =
        llvm::alignTo(type.getNumElements() *
                          llvm::divideCeil(type.getElementTypeBitWidth(), 8),
                      256);
    lifetime.first = stages.size();
    lifetime.last = 0;
    SmallVector<Value> names = {alloc.getResult()};
    for (size_t i = 0; i < names.size(); ++i)
      for (Operation *user : names[i].getUsers()) {
        if (isa<ViewLikeOpInterface>(user))
          llvm::append_range(names, user->getResults());
        Operation *top = function.getBody().findAncestorOpInRegion(*user);
        if (auto it = stageOf.find(top); it != stageOf.end()) {
          lifetime.first = std::min(lifetime.first, it->second);
          lifetime.last = std::max(lifetime.last, it->second);
        }
      }
    lifetime.last = std::max(lifetime.first, lifetime.last);
    blocks.push_back(lifetime);
  }
  scratchBytes = planArena(blocks);
  for (auto [temporary, block] : llvm::zip_equal(temporaries, blocks))
    temporary.second.offset = block.offset;
}

/// `static __device__ const float name[2] = {1.0f, 2.0f};`
static void declareTable(CodeWriter &writer, StringRef name,
                         DenseElementsAttr values) {
  std::string line = "   ";
  writer.line("static __device__ const " + typeName(values.getElementType()) +
              " " + name + "[" +
              Twine(std::max<int64_t>(1, values.getNumElements())) + "] = {");
  for (Attribute value : values.getValues<Attribute>()) {
    std::string text = " " + literal(cast<TypedAttr>(value)) + ",";
    if (line.size() + text.size() > 80) {
      writer.line(line);
      line = "   ";
    }
    line += text;
  }
  writer.line(line + "};");
}

/// Constants of several elements become tables at the head of the text.
void LoopsEmitter::declareTables() {
  function.walk([&](memref::GetGlobalOp get) {
    auto global = SymbolTable::lookupNearestSymbolFrom<memref::GlobalOp>(
        get, get.getNameAttr());
    auto values = cast<DenseElementsAttr>(*global.getInitialValue());
    std::string &name = tables[global];
    if (name.empty()) {
      name = "table" + std::to_string(tables.size() - 1);
      // Nobody reads one without elements.
      if (!values.empty())
        declareTable(file.writer, name, values);
    }
    tableOf.push_back({get.getResult(), name});
  });
}

void LoopsEmitter::bindMemory(Printer &printer) {
  for (auto &[value, name] : tableOf)
    printer.bind(value, MemoryName{name});
  unsigned numArguments = function.getNumArguments();
  for (unsigned i = 0; i < numArguments; ++i)
    printer.bind(function.getArgument(i),
                 MemoryName{i < numInputs ? KernelFile::input(i)
                                          : KernelFile::output(i - numInputs)});
}

LogicalResult LoopsEmitter::printPrelude(Printer &printer, Operation *user) {
  // What the stage reads, and what that is made of.
  llvm::SmallPtrSet<Operation *, 16> needed;
  SmallVector<Operation *> work;
  auto need = [&](Value value) {
    Operation *def = value.getDefiningOp();
    if (def && def->getBlock() == &function.getBody().front() &&
        needed.insert(def).second)
      work.push_back(def);
  };
  user->walk([&](Operation *op) {
    auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
    for (OpOperand &operand : op->getOpOperands())
      // An operand that only says how large a loop is.
      if (!linalgOp || !linalgOp.isDpsInput(&operand) ||
          !linalgOp.getMatchingBlockArgument(&operand).use_empty())
        need(operand.get());
  });
  while (!work.empty()) {
    Operation *op = work.pop_back_val();
    op->walk(
        [&](Operation *inner) { llvm::for_each(inner->getOperands(), need); });
  }
  for (Operation *op : prelude) {
    if (!needed.contains(op))
      continue;
    if (auto alloc = dyn_cast<memref::AllocOp>(op)) {
      auto *found = llvm::find_if(
          temporaries, [&](auto &entry) { return entry.first == alloc; });
      std::string type = typeName(alloc.getType().getElementType());
      std::string name = file.writer.unique("temp");
      file.writer.line(type + " *const " + name + " = (" + type +
                       " *)(scratch + " + Twine(found->second.offset) + ");");
      printer.bind(alloc.getResult(), MemoryName{name});
      continue;
    }
    if (failed(printer.print(*op)))
      return failure();
  }
  return success();
}

LogicalResult LoopsEmitter::emitLinalgBody(linalg::LinalgOp op,
                                           Printer &printer) {
  CodeWriter &writer = file.writer;
  SmallVector<int64_t> sizes = op.getStaticLoopRanges();
  auto iterators = op.getIteratorTypesArray();
  SmallVector<unsigned> parallel, reduced;
  SmallVector<int64_t> parallelSizes;
  int64_t items = 1;
  for (auto [d, type] : llvm::enumerate(iterators)) {
    if (type == utils::IteratorType::parallel) {
      parallel.push_back(d);
      parallelSizes.push_back(sizes[d]);
      items *= sizes[d];
    } else {
      reduced.push_back(d);
    }
  }
  GridLaunch launch = flatLaunch(items);
  file.openGrid(
      launch, (op->getName().getStringRef() + ": a thread per element").str());
  std::string item = openItem(writer, items, launch);
  if (items != 0) {
    if (failed(printPrelude(printer, op)))
      return failure();
    SmallVector<std::string> dims(sizes.size(), "0");
    for (auto [d, text] :
         llvm::zip_equal(parallel, unflatten(writer, item, parallelSizes)))
      dims[d] = text;

    auto access = [&](OpOperand &operand) {
      SmallVector<std::string> indices;
      for (AffineExpr expr : op.getMatchingIndexingMap(&operand).getResults())
        indices.push_back(affineText(expr, dims));
      return printer.element(operand.get(), indices);
    };
    // Sums run in variables where their place does not depend on the loops.
    Block &body = *op.getBlock();
    SmallVector<std::string> accumulators, places;
    for (OpOperand &init : op.getDpsInitsMutable()) {
      BlockArgument argument = op.getMatchingBlockArgument(&init);
      std::string type = typeName(getElementTypeOrSelf(init.get().getType()));
      places.push_back(access(init));
      accumulators.push_back("");
      if (reduced.empty()) {
        if (!argument.use_empty())
          printer.bind(argument, places.back());
        continue;
      }
      accumulators.back() = writer.unique("acc");
      writer.line(type + " " + accumulators.back() + " = " + places.back() +
                  ";");
      printer.bind(argument, accumulators.back());
    }
    for (unsigned d : reduced) {
      if (sizes[d] == 1)
        continue;
      dims[d] = writer.unique("k");
      writer.open("for (" + writer.indexType + " " + dims[d] + " = 0; " +
                  dims[d] + " < " + Twine(sizes[d]) + "; ++" + dims[d] + ")");
    }
    for (OpOperand *input : op.getDpsInputOperands()) {
      BlockArgument argument = op.getMatchingBlockArgument(input);
      if (!isa<MemRefType>(input->get().getType())) {
        printer.bind(argument, printer.get(input->get()));
        continue;
      }
      if (argument.use_empty())
        continue;
      std::string name = writer.unique("x");
      writer.line("const " + typeName(argument.getType()) + " " + name + " = " +
                  access(*input) + ";");
      printer.bind(argument, name);
    }
    for (Operation &inner : body.without_terminator()) {
      if (auto index = dyn_cast<linalg::IndexOp>(inner)) {
        printer.bind(index.getResult(), dims[index.getDim()]);
        continue;
      }
      if (failed(printer.print(inner)))
        return failure();
    }
    SmallVector<std::string> values;
    for (Value value : body.getTerminator()->getOperands())
      values.push_back(printer.get(value));
    if (values.size() > 1)
      for (auto [i, value] : llvm::enumerate(values)) {
        std::string name = writer.unique("next");
        writer.line("const " +
                    typeName(body.getTerminator()->getOperand(i).getType()) +
                    " " + name + " = " + value + ";");
        value = name;
      }
    for (auto [i, value] : llvm::enumerate(values))
      writer.line((reduced.empty() ? places[i] : accumulators[i]) + " = " +
                  value + ";");
    for (unsigned d : reduced)
      if (sizes[d] != 1)
        writer.close();
    if (!reduced.empty())
      for (auto [place, accumulator] : llvm::zip_equal(places, accumulators))
        writer.line(place + " = " + accumulator + ";");
  }
  file.closeGrid();
  return success();
}

LogicalResult LoopsEmitter::emitLinalg(linalg::LinalgOp op) {
  Printer printer(file.writer);
  bindMemory(printer);
  if (succeeded(emitLinalgBody(op, printer)) && printer.whyNot.empty())
    return success();
  whyNot = printer.whyNot;
  return failure();
}

LogicalResult LoopsEmitter::emitOthers(Stage &stage) {
  CodeWriter &writer = file.writer;
  Printer printer(writer);
  bindMemory(printer);
  auto fail = [&]() {
    whyNot = printer.whyNot;
    return failure();
  };
  // Of loops right inside of each other the independent ones give a thread per
  // iteration, wherever they stand: no two of their iterations touch the same
  // element, whatever the others are at.
  SmallVector<scf::ForOp> nest;
  SmallVector<bool> isThread;
  SmallVector<int64_t> sizes;
  int64_t items = 1;
  Operation *only = stage.others.size() == 1 ? stage.others.front() : nullptr;
  while (auto loop = dyn_cast_or_null<scf::ForOp>(only)) {
    std::optional<int64_t> lower = getConstantIntValue(loop.getLowerBound()),
                           upper = getConstantIntValue(loop.getUpperBound()),
                           step = getConstantIntValue(loop.getStep());
    if (!loop.getInitArgs().empty() || !lower || !upper || !step ||
        *lower != 0 || *step != 1 || *upper <= 0)
      break;
    nest.push_back(loop);
    isThread.push_back(isParallel(loop));
    if (isThread.back()) {
      sizes.push_back(*upper);
      items *= *upper;
    }
    Block *body = loop.getBody();
    only = body->getOperations().size() == 2 ? &body->front() : nullptr;
  }
  // What follows the last of them is printed as it is.
  while (!nest.empty() && !isThread.back()) {
    nest.pop_back();
    isThread.pop_back();
  }
  GridLaunch launch = flatLaunch(items);
  file.openGrid(launch, nest.empty()
                            ? "one element after the other, in one thread"
                        : llvm::is_contained(isThread, false)
                            ? "a thread per iteration of the independent loops"
                            : "a thread per iteration of the outer loops");
  std::string item = openItem(writer, items, launch);
  for (Operation *op : stage.others)
    if (failed(printPrelude(printer, op)))
      return fail();
  SmallVector<std::string> indices = unflatten(writer, item, sizes);
  unsigned thread = 0, open = 0;
  for (auto [loop, isIndex] : llvm::zip_equal(nest, isThread)) {
    if (isIndex) {
      printer.bind(loop.getInductionVar(), indices[thread++]);
      continue;
    }
    std::string name = writer.unique("i");
    writer.open("for (" + writer.indexType + " " + name + " = 0; " + name +
                " < " + Twine(*getConstantIntValue(loop.getUpperBound())) +
                "; ++" + name + ")");
    printer.bind(loop.getInductionVar(), name);
    ++open;
  }
  if (nest.empty()) {
    for (Operation *op : stage.others)
      if (failed(printer.print(*op)))
        return fail();
  } else if (failed(printer.print(*nest.back().getBody()))) {
    return fail();
  }
  for (; open; --open)
    writer.close();
  if (!printer.whyNot.empty())
    return fail();
  file.closeGrid();
  return success();
}

LogicalResult LoopsEmitter::emit() {
  if (failed(collectStages()))
    return failure();
  declareTables();
  placeTemporaries();
  for (auto &[alloc, lifetime] : temporaries)
    if (alloc.getType().getNumElements() > INT32_MAX)
      file.writer.indexType = "i64";
  for (Stage &stage : stages)
    if (failed(stage.op ? emitLinalg(stage.op) : emitOthers(stage)))
      return failure();
  if (stages.empty()) {
    file.openGrid({}, "nothing to compute");
    file.closeGrid();
  }
  return success();
}

/// What bufferization leaves behind: memory carried around loops unchanged,
/// views of views, values computed twice.
static void tidy(func::FuncOp function) {
  MLIRContext *context = function.getContext();
  RewritePatternSet patterns(context);
  for (RegisteredOperationName name : context->getRegisteredOperations())
    if (llvm::is_contained({"scf", "memref"}, name.getDialectNamespace()))
      name.getCanonicalizationPatterns(patterns, context);
  (void)applyPatternsAndFoldGreedily(function, std::move(patterns));
  IRRewriter rewriter(context);
  DominanceInfo dominance(function);
  eliminateCommonSubExpressions(rewriter, dominance, function);
  // A temporary of an iteration is as good for all iterations.
  Block &body = function.getBody().front();
  function.walk([&](memref::AllocOp alloc) {
    if (alloc->getBlock() != &body && alloc.getType().hasStaticShape())
      alloc->moveBefore(&body, body.begin());
  });
}

/// Everything inside of loops becomes loops itself.
static LogicalResult lowerNestedLinalg(func::FuncOp function) {
  IRRewriter rewriter(function.getContext());
  SmallVector<Operation *> nested;
  function.walk([&](Operation *op) {
    if (op->getBlock() != &function.getBody().front() &&
        isa<linalg::LinalgOp, memref::CopyOp>(op))
      nested.push_back(op);
  });
  for (Operation *op : nested) {
    rewriter.setInsertionPoint(op);
    auto linalgOp = dyn_cast<linalg::LinalgOp>(op);
    if (auto copy = dyn_cast<memref::CopyOp>(op))
      linalgOp = rewriter.create<linalg::CopyOp>(op->getLoc(), copy.getSource(),
                                                 copy.getTarget());
    if (isa<linalg::CopyOp>(linalgOp) &&
        linalgOp->getOperand(0) == linalgOp->getOperand(1)) {
      rewriter.eraseOp(linalgOp);
      continue;
    }
    if (failed(linalg::linalgOpToLoops(rewriter, linalgOp)))
      return failure();
    rewriter.eraseOp(linalgOp);
    if (linalgOp != op)
      rewriter.eraseOp(op);
  }
  return success();
}

FailureOr<KernelText> scheduleLoops(KernelOp kernel, StringRef symbol,
                                    const GpuFeatures &, std::string &whyNot) {
  OwningOpRef<ModuleOp> module = ModuleOp::create(kernel.getLoc());
  FailureOr<func::FuncOp> function =
      buildTensorFunction(kernel, *module, symbol, whyNot);
  if (failed(function))
    return failure();
  raiseBf16Casts(*function);
  unsigned numInputs = function->getNumArguments();
  if (failed(bufferizeKernel(*function, {})) ||
      failed(lowerNestedLinalg(*function))) {
    whyNot = "its linalg form cannot be brought to memory";
    return failure();
  }
  tidy(*function);
  KernelFile file(kernel, symbol);
  LoopsEmitter emitter(file, *function, numInputs);
  if (failed(emitter.emit())) {
    whyNot = emitter.whyNot;
    return failure();
  }
  return file.take(emitter.scratchBytes);
}

} // namespace lathe::cuda
