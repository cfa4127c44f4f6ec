//===- ProgramBuilder.cpp - The entry function as steps over buffers ------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Walks the entry function once. Every tensor value gets a window on a buffer;
// ops become steps. Time counts steps; a buffer lives from the step that writes
// it first to the one that reads it last, and to the end of a loop when it was
// made before the loop and is used inside.
//
//===----------------------------------------------------------------------===//

#include "lathe/Target/ProgramBuilder.h"

#include "lathe/Support/MappedFile.h"
#include "lathe/Target/BufferPlan.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace lathe {

int64_t getStorageBytes(Type type) {
  unsigned bits = type.getIntOrFloatBitWidth();
  return bits < 8 ? 1 : bits / 8;
}

FailureOr<exec::TensorType> toExecutableType(RankedTensorType type) {
  exec::TensorType result;
  Type element = type.getElementType();
  auto kind = TypeSwitch<Type, exec::ElementType>(element)
                  .Case<Float64Type>([](Type) { return exec::F64; })
                  .Case<Float32Type>([](Type) { return exec::F32; })
                  .Case<Float16Type>([](Type) { return exec::F16; })
                  .Case<BFloat16Type>([](Type) { return exec::BF16; })
                  .Case<Float8E4M3FNType>([](Type) { return exec::F8E4M3; })
                  .Case<IntegerType>([](IntegerType integer) {
                    bool isUnsigned = integer.isUnsigned();
                    switch (integer.getWidth()) {
                    case 1:
                      return exec::I1;
                    case 8:
                      return isUnsigned ? exec::U8 : exec::I8;
                    case 16:
                      return isUnsigned ? exec::U16 : exec::I16;
                    case 32:
                      return isUnsigned ? exec::U32 : exec::I32;
                    case 64:
                      return isUnsigned ? exec::U64 : exec::I64;
                    }
                    return exec::ELEMENT_TYPE_INVALID;
                  })
                  .Default([](Type) { return exec::ELEMENT_TYPE_INVALID; });
  if (kind == exec::ELEMENT_TYPE_INVALID || !type.hasStaticShape())
    return failure();
  result.set_element(kind);
  for (int64_t size : type.getShape())
    result.add_shape(size);
  return result;
}

static int64_t getBytes(RankedTensorType type) {
  return type.getNumElements() * getStorageBytes(type.getElementType());
}

static int64_t getBytes(Value value) {
  return getBytes(cast<RankedTensorType>(value.getType()));
}

static std::string nameOf(DictionaryAttr attributes, StringRef fallback,
                          unsigned index) {
  if (attributes)
    if (auto name = attributes.getAs<StringAttr>("lathe.name"))
      return name.str();
  return (fallback + Twine(index)).str();
}

/// Bytes of a splat constant that stand in the executable at most.
static constexpr uint64_t kSplatPiece = 1 << 16;

namespace {

using StepList = google::protobuf::RepeatedPtrField<exec::Step>;

class ProgramBuilder {
public:
  ProgramBuilder(func::FuncOp entry, exec::Executable &executable,
                 KernelResolver resolveKernel)
      : entry(entry), executable(executable),
        program(*executable.add_programs()), resolveKernel(resolveKernel) {}

  LogicalResult build();

private:
  LogicalResult buildLoad(func::FuncOp load);
  LogicalResult declareSignature();
  LogicalResult finish(func::ReturnOp op, StepList &steps);
  LogicalResult buildBlock(Block &block, StepList &steps);
  LogicalResult buildOp(Operation &op, StepList &steps);
  LogicalResult buildKernel(KernelOp op, StepList &steps);
  LogicalResult buildScan(ScanOp op, StepList &steps);
  LogicalResult buildIf(IfOp op, StepList &steps);
  LogicalResult buildWhile(WhileOp op, StepList &steps);
  LogicalResult buildConstant(ConstantOp op, StepList &steps);
  void fill(const exec::BufferRef &piece, const exec::BufferRef &whole,
            StepList &steps);
  exec::BufferRef startCarried(ScanOp op, Value init, StepList &steps);
  LogicalResult buildWeight(GetParameterOp op);
  FailureOr<exec::BufferRef> getParameterBuffer(Operation *op,
                                                FlatSymbolRefAttr name);
  LogicalResult preferStates(Block &block);
  LogicalResult writeStates(Block &block, StepList &steps);
  uint64_t digestOf(const exec::Weight &weight);

  exec::BufferRef newBuffer(exec::BufferKind kind, uint64_t bytes,
                            uint32_t index = 0);
  exec::BufferRef newArena(uint64_t bytes) {
    return newBuffer(loading ? exec::LOAD_ARENA : exec::ARENA, bytes);
  }
  /// The window a value stands in; marks its use now.
  exec::BufferRef use(Value value);
  /// Where `value` is to be written: a window asked for by its consumer, or a
  /// new block of the arena. Marks it as written now.
  exec::BufferRef define(Value value);
  /// Asks that `value`, computed in `block`, be written to `ref`.
  bool prefer(Value value, Block *block, const exec::BufferRef &ref);
  void copy(const exec::BufferRef &from, const exec::BufferRef &to,
            StepList &steps);
  void touch(const exec::BufferRef &ref);
  /// Moves values into carried buffers at the end of a body, as if at once.
  void assign(ValueRange values, ArrayRef<exec::BufferRef> carried,
              StepList &steps);
  void endLoop(int64_t begin);
  void planArenas();

  func::FuncOp entry;
  exec::Executable &executable;
  exec::Program &program;
  KernelResolver resolveKernel;
  DenseMap<Value, exec::BufferRef> windows;
  DenseMap<Value, exec::BufferRef> preferred;
  llvm::StringMap<exec::BufferRef> weights;
  llvm::StringMap<std::shared_ptr<MappedFile>> weightFiles; // null: not there
  StepList inputChecks;            // first of all steps
  std::vector<Lifetime> lifetimes; // one per buffer
  SmallVector<exec::BufferRef> persistent;
  int64_t now = 0;
  uint32_t nextLoop = 0;
  bool loading = false;
};

} // namespace

exec::BufferRef ProgramBuilder::newBuffer(exec::BufferKind kind, uint64_t bytes,
                                          uint32_t index) {
  exec::Buffer *buffer = program.add_buffers();
  buffer->set_kind(kind);
  buffer->set_index(index);
  buffer->set_bytes(bytes);
  lifetimes.push_back({bytes, now, now, 0});
  exec::BufferRef ref;
  ref.set_buffer(program.buffers_size() - 1);
  ref.set_bytes(bytes);
  return ref;
}

void ProgramBuilder::touch(const exec::BufferRef &ref) {
  lifetimes[ref.buffer()].last = std::max(lifetimes[ref.buffer()].last, now);
}

exec::BufferRef ProgramBuilder::use(Value value) {
  exec::BufferRef ref = windows.lookup(value);
  touch(ref);
  return ref;
}

exec::BufferRef ProgramBuilder::define(Value value) {
  auto it = preferred.find(value);
  exec::BufferRef ref =
      it != preferred.end() ? it->second : newArena(getBytes(value));
  windows[value] = ref;
  touch(ref);
  return ref;
}

/// Whether the step that makes `value` writes wherever it is told to: an alias,
/// a carried value or a value from outside has its place already.
static bool canRedirect(Value value) {
  auto result = dyn_cast<OpResult>(value);
  if (!result)
    return false;
  if (auto scan = dyn_cast<ScanOp>(result.getOwner()))
    return result.getResultNumber() >= scan.getNumCarried();
  return isa<KernelOp, IfOp>(result.getOwner());
}

bool ProgramBuilder::prefer(Value value, Block *block,
                            const exec::BufferRef &ref) {
  // Only in this very block: elsewhere it may be written at another time.
  if (!canRedirect(value) || value.getDefiningOp()->getBlock() != block)
    return false;
  return preferred.try_emplace(value, ref).second;
}

void ProgramBuilder::copy(const exec::BufferRef &from,
                          const exec::BufferRef &to, StepList &steps) {
  if (from.SerializeAsString() == to.SerializeAsString())
    return;
  ++now;
  touch(from);
  touch(to);
  exec::Copy *step = steps.Add()->mutable_copy();
  *step->mutable_from() = from;
  *step->mutable_to() = to;
}

void ProgramBuilder::assign(ValueRange values,
                            ArrayRef<exec::BufferRef> carried,
                            StepList &steps) {
  // A value that stands in another carried buffer would be overwritten before
  // it is read: such values take a detour.
  SmallVector<exec::BufferRef> sources;
  for (auto it : llvm::enumerate(values)) {
    size_t index = it.index();
    Value value = it.value();
    exec::BufferRef source = use(value);
    bool clash = llvm::any_of(llvm::enumerate(carried), [&](auto other) {
      return other.index() != index &&
             other.value().buffer() == source.buffer();
    });
    if (clash) {
      exec::BufferRef detour = newArena(source.bytes());
      copy(source, detour, steps);
      source = detour;
    }
    sources.push_back(source);
  }
  for (auto [source, target] : llvm::zip_equal(sources, carried))
    copy(source, target, steps);
}

void ProgramBuilder::endLoop(int64_t begin) {
  for (Lifetime &lifetime : lifetimes)
    if (lifetime.first <= begin && lifetime.last > begin)
      lifetime.last = std::max(lifetime.last, now);
}

/// A large splat is written when the program runs: a piece of it, over and
/// over. In the executable it would take as many bytes as in memory.
void ProgramBuilder::fill(const exec::BufferRef &piece,
                          const exec::BufferRef &whole, StepList &steps) {
  ++now;
  touch(piece);
  touch(whole);
  exec::Loop *loop = steps.Add()->mutable_loop();
  loop->set_id(nextLoop++);
  loop->set_trip_count(whole.bytes() / kSplatPiece);
  exec::Copy *repeated = loop->add_body_steps()->mutable_copy();
  *repeated->mutable_from() = piece;
  *repeated->mutable_to() = whole;
  repeated->mutable_to()->set_bytes(kSplatPiece);
  exec::LoopTerm *term = repeated->mutable_to()->add_terms();
  term->set_loop(loop->id());
  term->set_stride(kSplatPiece);
  if (uint64_t rest = whole.bytes() % kSplatPiece) {
    exec::Copy *last = steps.Add()->mutable_copy();
    *last->mutable_from() = piece;
    last->mutable_from()->set_bytes(rest);
    *last->mutable_to() = whole;
    last->mutable_to()->set_offset(whole.bytes() - rest);
    last->mutable_to()->set_bytes(rest);
  }
}

/// Where a value that a loop carries stands: where its start was computed, if
/// nothing else reads that, else in a copy of it.
exec::BufferRef ProgramBuilder::startCarried(ScanOp op, Value init,
                                             StepList &steps) {
  exec::BufferRef start = windows.lookup(init);
  if (start.bytes() < uint64_t(getBytes(init))) {
    exec::BufferRef whole = newArena(getBytes(init));
    fill(start, whole, steps);
    return whole;
  }
  auto kind = program.buffers(start.buffer()).kind();
  auto kernel = init.getDefiningOp<KernelOp>();
  if (kernel && kernel->getBlock() == op->getBlock() && init.hasOneUse() &&
      kind == (loading ? exec::LOAD_ARENA : exec::ARENA) &&
      start.terms().empty()) {
    touch(start);
    return start;
  }
  exec::BufferRef ref = newArena(getBytes(init));
  copy(use(init), ref, steps);
  return ref;
}

LogicalResult ProgramBuilder::buildConstant(ConstantOp op, StepList &steps) {
  auto attr = dyn_cast<DenseElementsAttr>(op.getValue());
  std::string bytes;
  bool isLargeSplat = false;
  auto type = cast<RankedTensorType>(op.getType());
  int64_t elementBytes = getStorageBytes(type.getElementType());
  // Constants stand in the executable, whose format ends at 2 GiB. A splat of
  // any size is a few letters of text.
  constexpr int64_t kMaxConstantBytes = int64_t(1) << 30;
  if (type.getNumElements() > kMaxConstantBytes / elementBytes)
    return op.emitOpError("of type ")
           << type << " is too large for a constant, at most "
           << kMaxConstantBytes
           << " bytes are allowed: a lathe.parameter has no such limit";
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(op.getValue())) {
    ArrayRef<char> data;
    if (AsmResourceBlob *blob = resource.getRawHandle().getBlob())
      data = blob->getData();
    if (int64_t(data.size()) != type.getNumElements() * elementBytes)
      return op.emitOpError("expected ")
             << type.getNumElements() * elementBytes << " bytes of data, got "
             << data.size();
    bytes.assign(data.begin(), data.end());
  } else if (attr && type.getElementType().isInteger(1)) {
    for (bool value : attr.getValues<bool>())
      bytes.push_back(value ? 1 : 0);
  } else if (attr && attr.isSplat()) {
    ArrayRef<char> one = attr.getRawData();
    isLargeSplat = uint64_t(type.getNumElements()) * elementBytes > kSplatPiece;
    int64_t count =
        isLargeSplat ? kSplatPiece / elementBytes : type.getNumElements();
    for (int64_t i = 0; i < count; ++i)
      bytes.append(one.begin(), one.begin() + elementBytes);
  } else if (attr) {
    ArrayRef<char> data = attr.getRawData();
    bytes.assign(data.begin(), data.end());
  } else {
    return op.emitOpError("has a value of a kind that cannot be stored");
  }
  std::string &constants = *executable.mutable_constants();
  constants.resize((constants.size() + 63) / 64 * 64);
  exec::BufferRef ref = newBuffer(exec::CONSTANT, bytes.size());
  program.mutable_buffers(ref.buffer())->set_offset(constants.size());
  constants += bytes;
  windows[op.getResult()] = ref;
  // Loops write it where they carry it.
  auto isStart = [](OpOperand &use) {
    auto scan = dyn_cast<ScanOp>(use.getOwner());
    return scan && use.getOperandNumber() < scan.getNumCarried();
  };
  if (isLargeSplat && !llvm::all_of(op->getUses(), isStart)) {
    windows[op.getResult()] = newArena(getBytes(op.getResult()));
    fill(ref, windows[op.getResult()], steps);
  }
  return success();
}

/// 0 where the file is not there or too short, which the Runtime will say.
uint64_t ProgramBuilder::digestOf(const exec::Weight &weight) {
  auto [it, isNew] = weightFiles.try_emplace(weight.file());
  if (isNew) {
    llvm::Expected<std::shared_ptr<MappedFile>> file =
        MappedFile::open(weight.file());
    if (file)
      it->second = std::move(*file);
    else
      llvm::consumeError(file.takeError());
  }
  uint64_t size = it->second ? it->second->size() : 0;
  if (weight.file_offset() > size ||
      weight.file_bytes() > size - weight.file_offset())
    return 0;
  return it->second->digest(weight.file_offset(), weight.file_bytes());
}

/// The buffer of a parameter: one of the program's weights, or of its states.
FailureOr<exec::BufferRef>
ProgramBuilder::getParameterBuffer(Operation *op, FlatSymbolRefAttr name) {
  auto parameter = SymbolTable::lookupNearestSymbolFrom<ParameterOp>(op, name);
  if (!parameter)
    return op->emitOpError("names no parameter");
  auto [it, isNew] = weights.try_emplace(name.getValue());
  if (!isNew)
    return it->second;
  bool isState = parameter.isMutable();
  exec::Weight *weight = isState ? program.add_states() : program.add_weights();
  auto type = toExecutableType(cast<RankedTensorType>(parameter.getType()));
  if (failed(type))
    return parameter.emitOpError("has a type that cannot be stored: ")
           << parameter.getType();
  weight->set_name(name.getValue().str());
  *weight->mutable_type() = *type;
  if (auto key = parameter.getKey())
    weight->set_key(key->str());
  if (auto init = parameter.getInit()) {
    weight->mutable_initializer()->set_kind(
        stringifyInitializerKind(init->getKind()).str());
    if (FloatAttr a = init->getA())
      weight->mutable_initializer()->set_a(a.getValueAsDouble());
    if (FloatAttr b = init->getB())
      weight->mutable_initializer()->set_b(b.getValueAsDouble());
  }
  if (auto file = parameter.getFile()) {
    weight->set_file(file->str());
    weight->set_file_offset(parameter.getFileOffset().value_or(0));
    weight->set_file_bytes(parameter.getFileBytes().value_or(0));
    weight->set_file_digest(digestOf(*weight));
  }
  uint64_t bytes = getBytes(cast<RankedTensorType>(parameter.getType()));
  it->second = isState
                   ? newBuffer(exec::STATE, bytes, program.states_size() - 1)
                   : newBuffer(exec::WEIGHT, bytes, program.weights_size() - 1);
  return it->second;
}

LogicalResult ProgramBuilder::buildWeight(GetParameterOp op) {
  FailureOr<exec::BufferRef> buffer = getParameterBuffer(op, op.getNameAttr());
  if (failed(buffer))
    return failure();
  if (loading && program.buffers(buffer->buffer()).kind() == exec::STATE)
    return op.emitOpError("reads a mutable parameter while weights are loaded");
  windows[op.getResult()] = *buffer;
  return success();
}

/// Kernels that compute a new value over the old one write to the state.
LogicalResult ProgramBuilder::preferStates(Block &block) {
  for (auto set : block.getOps<SetParameterOp>()) {
    if (!set.getInPlace())
      continue;
    FailureOr<exec::BufferRef> state =
        getParameterBuffer(set, set.getNameAttr());
    if (failed(state))
      return failure();
    prefer(set.getValue(), &block, *state);
  }
  return success();
}

/// The other new values are moved when everything has run, as if at once.
LogicalResult ProgramBuilder::writeStates(Block &block, StepList &steps) {
  SmallVector<Value> values;
  SmallVector<exec::BufferRef> states;
  for (auto set : block.getOps<SetParameterOp>()) {
    FailureOr<exec::BufferRef> state =
        getParameterBuffer(set, set.getNameAttr());
    if (failed(state))
      return failure();
    values.push_back(set.getValue());
    states.push_back(*state);
  }
  assign(values, states, steps);
  return success();
}

/// "lathe.gelu at model.mlir:7:3"
static std::string describe(Operation &op) {
  std::string text = op.getName().getStringRef().str();
  Location loc = op.getLoc();
  std::string where;
  llvm::raw_string_ostream os(where);
  loc.print(os);
  StringRef trimmed = StringRef(where).trim();
  trimmed.consume_front("loc(");
  trimmed.consume_back(")");
  if (!trimmed.empty() && trimmed != "unknown")
    text += (" at " + trimmed).str();
  return text;
}

LogicalResult ProgramBuilder::buildKernel(KernelOp op, StepList &steps) {
  FailureOr<ResolvedKernel> kernel = resolveKernel(op);
  if (failed(kernel))
    return failure();
  // Indices that come from outside are checked before the kernel, which clamps
  // them: a wrong index is an error a user sees, and never a wild read.
  for (Operation &inner : op.getBody().front()) {
    Value indices, data;
    int64_t axis = 0;
    if (auto gather = dyn_cast<GatherOp>(inner)) {
      indices = gather.getIndices();
      data = gather.getInput();
      axis = gather.getAxis();
    } else if (auto gather = dyn_cast<GatherElementsOp>(inner)) {
      indices = gather.getIndices();
      data = gather.getInput();
      axis = gather.getAxis();
    }
    auto argument = dyn_cast_or_null<BlockArgument>(indices);
    if (!argument)
      continue;
    auto type = cast<RankedTensorType>(data.getType());
    int64_t size = type.getDimSize(axis < 0 ? axis + type.getRank() : axis);
    exec::BufferRef values = use(op.getInputs()[argument.getArgNumber()]);
    // Wrong inputs are found before anything else, and so before a state is
    // written.
    bool isInput = !loading && values.terms().empty() &&
                   program.buffers(values.buffer()).kind() == exec::INPUT;
    exec::Check *check = (isInput ? inputChecks : steps).Add()->mutable_check();
    ++now;
    *check->mutable_values() = values;
    check->set_element(getElementTypeOrSelf(indices).isInteger(32) ? exec::I32
                                                                   : exec::I64);
    check->set_low(-size);
    check->set_high(size - 1);
    check->set_message("index of " + describe(inner));
  }
  // Only schedules that make one loop of it, or finish a tile of a product
  // before they go on with it, read each element before they write it; the
  // others write to the arena.
  if (auto pairs = op->getAttrOfType<DenseI64ArrayAttr>("lathe.in_place")) {
    if (!llvm::is_contained({"rows", "pointwise", "contraction"},
                            StringRef(kernel->schedule)))
      for (int64_t i = 0; i < pairs.size(); i += 2)
        preferred.erase(op.getResult(pairs[i]));
  }
  ++now;
  exec::Launch *launch = steps.Add()->mutable_launch();
  launch->set_kernel(kernel->number);
  for (Value input : op.getInputs())
    *launch->add_inputs() = use(input);
  for (Value result : op.getResults())
    *launch->add_outputs() = define(result);
  return success();
}

LogicalResult ProgramBuilder::buildScan(ScanOp op, StepList &steps) {
  int64_t tripCount = op.computeTripCount();
  if (ShapedType::isDynamic(tripCount))
    return op.emitOpError("has a trip count that depends on data");
  Block &body = op.getBody().front();
  unsigned numCarried = op.getNumCarried();
  SmallVector<exec::BufferRef> carried;
  for (auto [init, argument] :
       llvm::zip(op.getInits(), body.getArguments().take_front(numCarried))) {
    carried.push_back(startCarried(op, init, steps));
    windows[argument] = carried.back();
  }
  uint32_t id = nextLoop++;
  for (auto [input, argument] :
       llvm::zip(op.getInputs(), body.getArguments().drop_front(numCarried))) {
    exec::BufferRef ref = use(input);
    exec::LoopTerm *term = ref.add_terms();
    term->set_loop(id);
    term->set_stride(getBytes(argument));
    ref.set_bytes(getBytes(argument));
    windows[argument] = ref;
  }
  auto yield = cast<YieldOp>(body.getTerminator());
  SmallVector<exec::BufferRef> slots;
  for (auto [result, value] :
       llvm::zip(op.getResults().drop_front(numCarried),
                 yield.getValues().drop_front(numCarried))) {
    exec::BufferRef whole = define(result);
    exec::BufferRef slot = whole;
    exec::LoopTerm *term = slot.add_terms();
    term->set_loop(id);
    term->set_stride(getBytes(value));
    slot.set_bytes(getBytes(value));
    prefer(value, &body, slot);
    slots.push_back(slot);
  }
  if (auto inPlace = op->getAttrOfType<DenseI64ArrayAttr>("lathe.in_place"))
    for (int64_t i : inPlace.asArrayRef())
      prefer(yield.getValues()[i], &body, carried[i]);
  int64_t begin = now;
  exec::Loop *loop = steps.Add()->mutable_loop();
  loop->set_id(id);
  loop->set_trip_count(tripCount);
  loop->set_reverse(op.getReverse());
  if (failed(buildBlock(body, *loop->mutable_body_steps())))
    return failure();
  StepList &bodySteps = *loop->mutable_body_steps();
  for (auto [value, slot] :
       llvm::zip(yield.getValues().drop_front(numCarried), slots))
    copy(use(value), slot, bodySteps);
  assign(yield.getValues().take_front(numCarried), carried, bodySteps);
  ++now;
  for (auto [ref, result] :
       llvm::zip(carried, op.getResults().take_front(numCarried))) {
    windows[result] = ref;
    touch(ref);
  }
  endLoop(begin);
  return success();
}

LogicalResult ProgramBuilder::buildIf(IfOp op, StepList &steps) {
  ++now;
  exec::If *step = steps.Add()->mutable_if_step();
  *step->mutable_condition() = use(op.getCondition());
  SmallVector<exec::BufferRef> results;
  for (Value result : op.getResults())
    results.push_back(define(result));
  for (bool isThen : {true, false}) {
    Block &block = (isThen ? op.getThenRegion() : op.getElseRegion()).front();
    StepList &branch =
        isThen ? *step->mutable_then_steps() : *step->mutable_else_steps();
    auto yield = cast<YieldOp>(block.getTerminator());
    for (auto [value, ref] : llvm::zip(yield.getValues(), results))
      prefer(value, &block, ref);
    if (failed(buildBlock(block, branch)))
      return failure();
    for (auto [value, ref] : llvm::zip(yield.getValues(), results))
      copy(use(value), ref, branch);
  }
  ++now;
  for (const exec::BufferRef &ref : results)
    touch(ref);
  return success();
}

LogicalResult ProgramBuilder::buildWhile(WhileOp op, StepList &steps) {
  SmallVector<exec::BufferRef> carried;
  Block &condition = op.getCondition().front();
  Block &body = op.getBody().front();
  for (auto [index, init] : llvm::enumerate(op.getInits())) {
    exec::BufferRef ref = newArena(getBytes(init));
    copy(use(init), ref, steps);
    carried.push_back(ref);
    windows[condition.getArgument(index)] = ref;
    windows[body.getArgument(index)] = ref;
  }
  int64_t begin = now;
  exec::While *loop = steps.Add()->mutable_while_step();
  loop->set_name(describe(*op));
  if (failed(buildBlock(condition, *loop->mutable_condition_steps())))
    return failure();
  ++now;
  *loop->mutable_condition() =
      use(cast<YieldOp>(condition.getTerminator()).getValues().front());
  if (failed(buildBlock(body, *loop->mutable_body_steps())))
    return failure();
  assign(cast<YieldOp>(body.getTerminator()).getValues(), carried,
         *loop->mutable_body_steps());
  ++now;
  for (auto [ref, result] : llvm::zip(carried, op.getResults())) {
    windows[result] = ref;
    touch(ref);
  }
  touch(loop->condition());
  endLoop(begin);
  return success();
}

LogicalResult ProgramBuilder::buildOp(Operation &op, StepList &steps) {
  return TypeSwitch<Operation *, LogicalResult>(&op)
      .Case<KernelOp>([&](auto o) { return buildKernel(o, steps); })
      .Case<ScanOp>([&](auto o) { return buildScan(o, steps); })
      .Case<IfOp>([&](auto o) { return buildIf(o, steps); })
      .Case<WhileOp>([&](auto o) { return buildWhile(o, steps); })
      .Case<ConstantOp>([&](auto o) { return buildConstant(o, steps); })
      .Case<GetParameterOp>([&](auto o) { return buildWeight(o); })
      .Case<SetParameterOp>([&](auto o) { return success(); }) // at the end
      .Case<ReshapeOp>([&](ReshapeOp o) {
        windows[o.getResult()] = windows.lookup(o.getInput());
        return success();
      })
      .Default([&](Operation *o) {
        return o->emitOpError("cannot stand outside of a kernel here");
      });
}

LogicalResult ProgramBuilder::buildBlock(Block &block, StepList &steps) {
  for (Operation &op : block.without_terminator())
    if (failed(buildOp(op, steps)))
      return failure();
  return success();
}

LogicalResult ProgramBuilder::declareSignature() {
  for (BlockArgument argument : entry.getArguments()) {
    unsigned index = argument.getArgNumber();
    if (auto slot =
            entry.getArgAttrOfType<IntegerAttr>(index, "lathe.persistent")) {
      if (slot.getInt() < 0 || slot.getInt() >= int64_t(persistent.size()))
        return entry.emitOpError("argument ")
               << index << " has no value made at load";
      windows[argument] = persistent[slot.getInt()];
      continue;
    }
    auto type = toExecutableType(cast<RankedTensorType>(argument.getType()));
    if (failed(type))
      return entry.emitOpError("argument ")
             << index
             << " has a type that cannot be stored: " << argument.getType();
    exec::Signature *input = program.add_inputs();
    input->set_name(nameOf(entry.getArgAttrDict(index), "input", index));
    *input->mutable_type() = *type;
    windows[argument] =
        newBuffer(exec::INPUT, getBytes(argument), program.inputs_size() - 1);
  }
  auto ret = cast<func::ReturnOp>(entry.getBody().front().getTerminator());
  for (auto [index, value] : llvm::enumerate(ret.getOperands())) {
    auto type = toExecutableType(cast<RankedTensorType>(value.getType()));
    if (failed(type))
      return entry.emitOpError("result ")
             << index
             << " has a type that cannot be stored: " << value.getType();
    exec::Signature *output = program.add_outputs();
    output->set_name(nameOf(entry.getResultAttrDict(index), "output", index));
    *output->mutable_type() = *type;
  }
  return success();
}

LogicalResult ProgramBuilder::finish(func::ReturnOp op, StepList &steps) {
  for (auto [index, value] : llvm::enumerate(op.getOperands())) {
    exec::BufferRef source = use(value);
    const exec::Buffer &buffer = program.buffers(source.buffer());
    if (buffer.kind() == exec::OUTPUT && buffer.index() == index)
      continue;
    copy(source, newBuffer(exec::OUTPUT, getBytes(value), index), steps);
  }
  return success();
}

/// The value whose kernel may write straight into the output: looks through
/// aliases, which have one use each.
static Value skipAliases(Value value) {
  while (auto reshape = value.getDefiningOp<ReshapeOp>())
    value = reshape.getInput();
  return value;
}

LogicalResult ProgramBuilder::buildLoad(func::FuncOp load) {
  loading = true;
  Block &block = load.getBody().front();
  auto ret = cast<func::ReturnOp>(block.getTerminator());
  for (Value value : ret.getOperands()) {
    exec::BufferRef ref = newBuffer(exec::PERSISTENT, getBytes(value));
    persistent.push_back(ref);
    prefer(skipAliases(value), &block, ref);
  }
  if (failed(buildBlock(block, *program.mutable_load_steps())))
    return failure();
  for (auto [value, ref] : llvm::zip(ret.getOperands(), persistent))
    copy(use(value), ref, *program.mutable_load_steps());
  loading = false;
  return success();
}

void ProgramBuilder::planArenas() {
  for (exec::BufferKind kind : {exec::ARENA, exec::LOAD_ARENA}) {
    std::vector<Lifetime> blocks;
    std::vector<int> owners;
    for (int i = 0; i < program.buffers_size(); ++i)
      if (program.buffers(i).kind() == kind) {
        blocks.push_back(lifetimes[i]);
        owners.push_back(i);
      }
    uint64_t total = planArena(blocks);
    for (auto [block, owner] : llvm::zip(blocks, owners))
      program.mutable_buffers(owner)->set_offset(block.offset);
    if (kind == exec::ARENA)
      program.set_arena_bytes(total);
    else
      program.set_load_arena_bytes(total);
  }
}

LogicalResult ProgramBuilder::build() {
  program.set_entry(entry.getSymName().str());
  auto module = entry->getParentOfType<ModuleOp>();
  for (auto load : module.getOps<func::FuncOp>()) {
    auto target = load->getAttrOfType<FlatSymbolRefAttr>("lathe.load_for");
    if (target && target.getValue() == entry.getSymName() &&
        failed(buildLoad(load)))
      return failure();
  }
  if (failed(declareSignature()))
    return failure();
  Block &block = entry.getBody().front();
  if (failed(preferStates(block)))
    return failure();
  auto ret = cast<func::ReturnOp>(block.getTerminator());
  for (auto [index, value] : llvm::enumerate(ret.getOperands())) {
    Value source = skipAliases(value);
    if (canRedirect(source) && !preferred.count(source))
      prefer(source, &block, newBuffer(exec::OUTPUT, getBytes(value), index));
  }
  StepList steps;
  if (failed(buildBlock(block, steps)) || failed(finish(ret, steps)) ||
      failed(writeStates(block, steps)))
    return failure();
  program.mutable_steps()->Swap(&inputChecks);
  for (exec::Step &step : steps)
    program.mutable_steps()->Add()->Swap(&step);
  planArenas();
  return success();
}

LogicalResult buildProgram(func::FuncOp entry, exec::Executable &executable,
                           KernelResolver resolveKernel) {
  return ProgramBuilder(entry, executable, resolveKernel).build();
}

} // namespace lathe
