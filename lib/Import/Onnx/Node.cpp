//===- Node.cpp - One ONNX node on its way into the dialect ---------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Node.h"

#include "Importer.h"
#include "dialects/Lathe/Inference.h"
#include "lathe/Support/Error.h"
#include "mlir/IR/Matchers.h"

namespace lathe::onnx_import {

//===----------------------------------------------------------------------===//
// Inputs, outputs, attributes
//===----------------------------------------------------------------------===//

Val Node::in(unsigned i) {
  if (!has(i))
    return failVal("expected an input number " + Twine(i));
  Value v = importer.lookup(proto.input(i), scope);
  if (!v)
    return failVal("reads " + quote(proto.input(i)) +
                   ", which is not defined before it");
  return {this, v};
}

SmallVector<Value> Node::ins() {
  SmallVector<Value> values;
  for (unsigned i = 0; i < numInputs(); ++i)
    values.push_back(in(i));
  return values;
}

void Node::out(unsigned i, Value value) {
  if (!value)
    (void)fail("an output could not be computed");
  else if (ok())
    outputValues[i] = value;
}

LogicalResult Node::fail(const Twine &message) {
  if (error.empty())
    error = message.str();
  return failure();
}

const onnx::AttributeProto *Node::attr(StringRef name) const {
  for (const auto &a : proto.attribute()) {
    if (a.name() != name)
      continue;
    if (a.ref_attr_name().empty())
      return &a;
    // Inside a function: the attribute of the call.
    for (Scope *s = &scope; s; s = s->parent)
      if (auto it = s->attributes.find(a.ref_attr_name());
          it != s->attributes.end())
        return it->second;
    return nullptr;
  }
  return nullptr;
}

int64_t Node::i(StringRef name, int64_t otherwise) const {
  const auto *a = attr(name);
  return a ? a->i() : otherwise;
}
double Node::f(StringRef name, double otherwise) const {
  const auto *a = attr(name);
  return a ? a->f() : otherwise;
}
std::string Node::s(StringRef name, StringRef otherwise) const {
  const auto *a = attr(name);
  return a ? a->s() : otherwise.str();
}
SmallVector<int64_t> Node::ints(StringRef name) const {
  const auto *a = attr(name);
  return a ? SmallVector<int64_t>(a->ints().begin(), a->ints().end())
           : SmallVector<int64_t>();
}
SmallVector<double> Node::floats(StringRef name) const {
  const auto *a = attr(name);
  return a ? SmallVector<double>(a->floats().begin(), a->floats().end())
           : SmallVector<double>();
}
SmallVector<std::string> Node::strings(StringRef name) const {
  const auto *a = attr(name);
  return a ? SmallVector<std::string>(a->strings().begin(), a->strings().end())
           : SmallVector<std::string>();
}
const onnx::GraphProto *Node::graph(StringRef name) {
  const auto *a = attr(name);
  if (a && a->has_g())
    return &a->g();
  (void)fail("expected a graph in the attribute " + quote(name));
  return nullptr;
}

//===----------------------------------------------------------------------===//
// Types and constants
//===----------------------------------------------------------------------===//

int64_t Node::rank(Value v) {
  return v ? ::mlir::cast<RankedTensorType>(v.getType()).getRank() : 0;
}
int64_t Node::size(Value v, int64_t i) {
  return i >= 0 && i < rank(v)
             ? ::mlir::cast<RankedTensorType>(v.getType()).getDimSize(i)
             : 0;
}
Type Node::elem(Value v) const {
  return v ? ::mlir::cast<RankedTensorType>(v.getType()).getElementType()
           : Type(Float32Type::get(loc.getContext()));
}
int64_t Node::axis(int64_t axis, int64_t rank) {
  if (FailureOr<int64_t> normal = normalizeAxis(axis, rank); succeeded(normal))
    return *normal;
  (void)fail("axis " + Twine(axis) + " is not in a tensor of rank " +
             Twine(rank));
  return 0;
}
SmallVector<int64_t> Node::axes(ArrayRef<int64_t> list, int64_t rank) {
  SmallVector<int64_t> result;
  for (int64_t a : list)
    result.push_back(axis(a, rank));
  return result;
}
bool Node::expectRank(Value v, int64_t low, int64_t high, StringRef what) {
  if (!ok())
    return false;
  if (rank(v) >= low && rank(v) <= high)
    return true;
  (void)fail("expected " + what + " of rank " + Twine(low) +
             (low == high ? Twine("") : " to " + Twine(high)) + ", got rank " +
             Twine(rank(v)));
  return false;
}

Type Node::elementType(int64_t onnxType) {
  switch (onnxType) {
  case onnx::TensorProto::FLOAT:
    return b.getF32Type();
  case onnx::TensorProto::DOUBLE:
    return b.getF64Type();
  case onnx::TensorProto::FLOAT16:
    return b.getF16Type();
  case onnx::TensorProto::BFLOAT16:
    return b.getBF16Type();
  case 17: // FLOAT8E4M3FN, which older schemas do not name
    return b.getFloat8E4M3FNType();
  case onnx::TensorProto::INT64:
    return b.getI64Type();
  case onnx::TensorProto::INT32:
    return b.getI32Type();
  case onnx::TensorProto::INT16:
    return b.getIntegerType(16);
  case onnx::TensorProto::INT8:
    return b.getIntegerType(8);
  case onnx::TensorProto::BOOL:
    return b.getI1Type();
  case onnx::TensorProto::UINT64:
    return b.getIntegerType(64, false);
  case onnx::TensorProto::UINT32:
    return b.getIntegerType(32, false);
  case onnx::TensorProto::UINT16:
    return b.getIntegerType(16, false);
  case onnx::TensorProto::UINT8:
    return b.getIntegerType(8, false);
  default:
    (void)fail("element type " +
               (onnx::TensorProto_DataType_IsValid(onnxType)
                    ? onnx::TensorProto_DataType_Name(
                          onnx::TensorProto_DataType(onnxType))
                    : std::to_string(onnxType)) +
               " is not supported");
    return nullptr;
  }
}

Val Node::constant(DenseElementsAttr value) {
  if (!ok())
    return {this, Value()};
  return {this,
          b.create<ConstantOp>(loc,
                               RankedTensorType::get(value.getType().getShape(),
                                                     value.getElementType()),
                               value)};
}

Val Node::scalar(Type elementType, double value) {
  if (!ok() || !elementType)
    return {this, Value()};
  Attribute attr;
  if (auto type = dyn_cast<FloatType>(elementType))
    attr = FloatAttr::get(type, value);
  else
    attr = IntegerAttr::get(elementType,
                            APInt(elementType.getIntOrFloatBitWidth(),
                                  uint64_t(int64_t(value)), /*isSigned=*/true));
  return constant(DenseElementsAttr::get(RankedTensorType::get({}, elementType),
                                         ArrayRef<Attribute>(attr)));
}

Val Node::ints(ArrayRef<int64_t> values) {
  return constant(DenseElementsAttr::get(
      RankedTensorType::get({int64_t(values.size())}, b.getI64Type()), values));
}

std::optional<DenseElementsAttr> Node::known(Value v) {
  DenseElementsAttr attr;
  if (v && matchPattern(v, m_Constant(&attr)))
    return attr;
  return std::nullopt;
}

std::optional<SmallVector<int64_t>> Node::knownInts(Value v) {
  auto attr = known(v);
  if (!attr || !isa<IntegerType>(attr->getElementType()))
    return std::nullopt;
  bool isUnsigned = attr->getElementType().isUnsignedInteger() ||
                    attr->getElementType().isInteger(1);
  SmallVector<int64_t> result;
  for (const APInt &x : attr->getValues<APInt>())
    result.push_back(isUnsigned ? x.getZExtValue() : x.getSExtValue());
  return result;
}

std::optional<SmallVector<double>> Node::knownFloats(Value v) {
  auto attr = known(v);
  if (!attr)
    return std::nullopt;
  SmallVector<double> result;
  if (!isa<FloatType>(attr->getElementType())) {
    auto integers = knownInts(v);
    return SmallVector<double>(integers->begin(), integers->end());
  }
  for (APFloat x : attr->getValues<APFloat>()) {
    bool loses;
    x.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven, &loses);
    result.push_back(x.convertToDouble());
  }
  return result;
}

void Node::needsValue(Value v) { importer.noteValueInputs(v); }

SmallVector<int64_t> Node::requireInts(unsigned i, StringRef what) {
  Val v = in(i);
  if (!ok())
    return {};
  if (auto known = knownInts(v))
    return *known;
  needsValue(v);
  (void)fail("needs " + what + " (" + quote(proto.input(i)) +
             ") to be known before the run");
  return {};
}

SmallVector<double> Node::requireFloats(unsigned i, StringRef what) {
  Val v = in(i);
  if (!ok())
    return {};
  if (auto known = knownFloats(v))
    return *known;
  needsValue(v);
  (void)fail("needs " + what + " (" + quote(proto.input(i)) +
             ") to be known before the run");
  return {};
}

//===----------------------------------------------------------------------===//
// Ops
//===----------------------------------------------------------------------===//

SmallVector<Value> Node::finish(OperationState &state, unsigned results) {
  SmallVector<Value> nothing(results);
  // An absent optional operand is not added, so a null one is a failure.
  if (llvm::any_of(state.operands, [](Value v) { return !v; })) {
    (void)fail("an input could not be computed");
    return nothing;
  }
  MLIRContext *context = b.getContext();
  const auto *inference = state.name.getInterface<InferTypeOpInterface>();
  SmallVector<Type> types;
  std::string why;
  {
    ScopedDiagnosticHandler handler(context, [&](Diagnostic &diagnostic) {
      why += (why.empty() ? "" : "; ") + diagnostic.str();
    });
    if (failed(inference->inferReturnTypes(
            context, loc, state.operands,
            state.attributes.getDictionary(context), state.getRawProperties(),
            RegionRange(state.regions), types))) {
      (void)fail(why.empty() ? "the operands of '" + state.name.getStringRef() +
                                   "' do not fit each other"
                             : Twine(why));
      return nothing;
    }
  }
  state.types.assign(types.begin(), types.end());
  Operation *op = b.create(state);
  SmallVector<Value> folded;
  if (succeeded(b.tryFold(op, folded)) && !folded.empty()) {
    op->erase();
    return folded;
  }
  return SmallVector<Value>(op->getResults());
}

Val Node::convert(Value v, Type elementType) {
  if (!v || !elementType || elem(v) == elementType)
    return {this, elementType ? v : Value()};
  return make<CastOp>(v, elementType);
}
Val Node::compare(ComparePredicate p, Value a, Value b) {
  return make<CompareOp>(p, a, b);
}
Val Node::select(Value c, Value a, Value b) { return make<SelectOp>(c, a, b); }
Val Node::sum(Value v, ArrayRef<int64_t> axes, bool keep) {
  return make<ReduceSumOp>(v, axes, keep);
}
Val Node::mean(Value v, ArrayRef<int64_t> axes, bool keep) {
  return make<ReduceMeanOp>(v, axes, keep);
}
Val Node::squeeze(Value v, ArrayRef<int64_t> axes) {
  return axes.empty() ? wrap(v) : make<SqueezeOp>(v, axes);
}
Val Node::unsqueeze(Value v, ArrayRef<int64_t> axes) {
  return axes.empty() ? wrap(v) : make<UnsqueezeOp>(v, axes);
}
Val Node::transpose(Value v, ArrayRef<int64_t> permutation) {
  bool identity = rank(v) == int64_t(permutation.size());
  for (auto [i, p] : llvm::enumerate(permutation))
    identity &= p == int64_t(i);
  if (identity)
    return wrap(v);
  return make<TransposeOp>(v, permutation);
}
Val Node::slice(Value v, int64_t axis, int64_t start, int64_t end) {
  return make<SliceOp>(v, ArrayRef<int64_t>{start}, ArrayRef<int64_t>{end},
                       ArrayRef<int64_t>{axis}, ArrayRef<int64_t>{1});
}
Val Node::concat(ArrayRef<Value> values, int64_t axis) {
  return values.size() == 1 ? wrap(values.front())
                            : make<ConcatOp>(ValueRange(values), axis);
}
Val Node::flip(Value v, ArrayRef<int64_t> axes) {
  return make<ReverseOp>(v, axes);
}
Val Node::clamp(Value v, double low, double high) {
  return min(max(wrap(v), low), high);
}
Val Node::perChannel(Value v, int64_t spatial) {
  SmallVector<int64_t> axes;
  for (int64_t i = 0; i < spatial; ++i)
    axes.push_back(i + 1);
  return unsqueeze(v, axes);
}

//===----------------------------------------------------------------------===//
// Sizes
//===----------------------------------------------------------------------===//

Dim Node::dim(Value v, int64_t i) {
  Dim result(size(v, i));
  result.source = v;
  result.index = i;
  return result;
}

SmallVector<Dim> Node::dims(Value v) {
  SmallVector<Dim> result;
  for (int64_t i = 0, e = rank(v); i < e; ++i)
    result.push_back(dim(v, i));
  return result;
}

Val Node::shapeOf(Value v) { return make<ShapeOfOp>(v); }

Value Node::toValue(const Dim &dim) {
  if (dim.isStatic())
    return ints({dim.size});
  if (dim.value)
    return dim.value;
  return slice(shapeOf(dim.source), 0, dim.index, dim.index + 1);
}

Dim Node::product(ArrayRef<Dim> list) {
  Dim result(1);
  for (const Dim &dim : list) {
    if (result.isStatic() && dim.isStatic()) {
      bool overflow = llvm::MulOverflow(result.size, dim.size, result.size);
      if (overflow)
        (void)fail("a size overflows 64 bits");
    } else if (result.isStatic() && result.size == 1) {
      result = dim;
    } else if (!(dim.isStatic() && dim.size == 1)) {
      Dim next;
      next.value = wrap(toValue(result)) * wrap(toValue(dim));
      result = next;
    }
  }
  return result;
}

Val Node::shapeValue(ArrayRef<Dim> list) {
  if (llvm::all_of(list, [](const Dim &d) { return d.isStatic(); })) {
    SmallVector<int64_t> sizes;
    for (const Dim &d : list)
      sizes.push_back(d.size);
    return ints(sizes);
  }
  SmallVector<Value> parts;
  for (const Dim &d : list)
    parts.push_back(toValue(d));
  return concat(parts, 0);
}

Val Node::reshape(Value v, ArrayRef<Dim> list) {
  SmallVector<int64_t> sizes;
  unsigned open = 0;
  bool copies = false, empty = false;
  for (auto [i, d] : llvm::enumerate(list)) {
    bool copy =
        !d.isStatic() && d.source == v && d.index == int64_t(i) && !d.value;
    copies |= copy;
    empty |= d.size == 0;
    open += !d.isStatic() && !copy;
    sizes.push_back(copy ? 0 : d.isStatic() ? d.size : -1);
  }
  if (v && open == 0 && !copies && type(v).getShape() == ArrayRef(sizes))
    return wrap(v);
  // With allow_zero a 0 is a size; without it is "copy".
  if (open == 0 && !(copies && empty))
    return make<ReshapeOp>(v, sizes, /*allow_zero=*/empty);
  if (open == 1 && !empty)
    return make<ReshapeOp>(v, sizes, /*allow_zero=*/false);
  return make<DynamicReshapeOp>(v, shapeValue(list), /*allow_zero=*/true);
}

Val Node::broadcast(Value v, ArrayRef<Dim> list) {
  if (llvm::all_of(list, [](const Dim &d) { return d.isStatic(); })) {
    SmallVector<int64_t> sizes;
    for (const Dim &d : list)
      sizes.push_back(d.size);
    return make<BroadcastOp>(v, sizes);
  }
  return make<DynamicBroadcastOp>(v, shapeValue(list));
}

Val Node::range(const Dim &size, int64_t axis, int64_t rank) {
  Val line;
  if (size.isStatic()) {
    line = make<IotaOp>(ArrayRef<int64_t>{size.size}, 0, b.getI64Type());
  } else {
    Type i64 = b.getI64Type();
    line = make<DynamicRangeOp>(scalar(i64, 0), squeeze(toValue(size), {0}),
                                scalar(i64, 1));
  }
  SmallVector<int64_t> others;
  for (int64_t i = 0; i < rank; ++i)
    if (i != axis)
      others.push_back(i);
  return unsqueeze(line, others);
}

//===----------------------------------------------------------------------===//
// Formulas
//===----------------------------------------------------------------------===//

Val operator+(Val a, Val b) { return a.node->make<AddOp>(a, b); }
Val operator-(Val a, Val b) { return a.node->make<SubOp>(a, b); }
Val operator*(Val a, Val b) { return a.node->make<MulOp>(a, b); }
Val operator/(Val a, Val b) { return a.node->make<DivOp>(a, b); }
static Val like(Val a, double b) { return a.node->scalar(a.node->elem(a), b); }
Val operator+(Val a, double b) { return a + like(a, b); }
Val operator-(Val a, double b) { return a - like(a, b); }
Val operator*(Val a, double b) { return a * like(a, b); }
Val operator/(Val a, double b) { return a / like(a, b); }
Val operator-(double a, Val b) { return like(b, a) - b; }
Val operator-(Val a) { return a.node->make<NegOp>(a); }
Val max(Val a, double b) { return a.node->make<MaxOp>(a, like(a, b)); }
Val min(Val a, double b) { return a.node->make<MinOp>(a, like(a, b)); }
Val exp(Val a) { return a.node->make<ExpOp>(a); }
Val log(Val a) { return a.node->make<LogOp>(a); }
Val sqrt(Val a) { return a.node->make<SqrtOp>(a); }
Val tanh(Val a) { return a.node->make<TanhOp>(a); }
Val sigmoid(Val a) { return a.node->make<SigmoidOp>(a); }
Val abs(Val a) { return a.node->make<AbsOp>(a); }
Val pow(Val a, double b) { return a.node->make<PowOp>(a, like(a, b)); }
Val greater(Val a, double b) {
  return a.node->compare(ComparePredicate::gt, a, like(a, b));
}
Val less(Val a, double b) {
  return a.node->compare(ComparePredicate::lt, a, like(a, b));
}

} // namespace lathe::onnx_import
