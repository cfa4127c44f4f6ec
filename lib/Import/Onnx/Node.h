//===- Node.h - One ONNX node on its way into the dialect -------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What the functions of the family files work with. A failure anywhere in a
// formula is remembered by the node and makes every later value null, so
// formulas read as formulas; accessors of a null value give rank 0.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_IMPORT_ONNX_NODE_H
#define LATHE_IMPORT_ONNX_NODE_H

#include "dialects/Lathe/Lathe.h"
#include "mlir/IR/Builders.h"
#include "onnx/onnx_pb.h"
#include "llvm/ADT/StringMap.h"

#include <map>

namespace lathe::onnx_import {

class Importer;
class Node;
struct TensorBytes;

/// The names visible in a graph; an inner graph sees its outer ones.
struct Scope {
  Scope *parent = nullptr;
  llvm::StringMap<Value> values;
  llvm::StringMap<const onnx::TensorProto *> initializers;
  Block *block = nullptr;
  /// Attributes of the call, in a function's body.
  llvm::StringMap<const onnx::AttributeProto *> attributes;
  std::map<std::string, int64_t> opsets;
};

/// A value in a formula: + - * / build ops, and broadcast.
struct Val {
  Node *node = nullptr;
  Value value;
  operator Value() const { return value; }
  explicit operator bool() const { return bool(value); }
};

/// A size: static, or dim `index` of `source`, or computed (`value`, a
/// tensor<1xi64>).
struct Dim {
  int64_t size = ShapedType::kDynamic;
  Value source;
  int64_t index = 0;
  Value value;

  Dim() = default;
  Dim(int64_t size) : size(size) {}
  bool isStatic() const { return !ShapedType::isDynamic(size); }
};

class Node {
public:
  Node(Importer &importer, Scope &scope, OpBuilder &builder,
       const onnx::NodeProto &proto, int64_t opset, Location loc)
      : proto(proto), opset(opset), loc(loc), b(builder), scope(scope),
        importer(importer) {}

  const onnx::NodeProto &proto;
  const int64_t opset; ///< version of the op's domain
  const Location loc;
  OpBuilder &b;
  Scope &scope;
  Importer &importer;

  //===--- inputs and outputs ---------------------------------------------===//
  unsigned numInputs() const { return proto.input_size(); }
  unsigned numOutputs() const { return proto.output_size(); }
  bool has(unsigned i) const {
    return i < numInputs() && !proto.input(i).empty();
  }
  bool wants(unsigned i) const {
    return i < numOutputs() && !proto.output(i).empty();
  }
  /// Input i; an absent one is a failure.
  Val in(unsigned i);
  /// All inputs, each present.
  SmallVector<Value> ins();

  /// Sets output i.
  void out(unsigned i, Value value);
  LogicalResult result(Value value) {
    out(0, value);
    return status();
  }
  const std::map<unsigned, Value> &outputs() const { return outputValues; }

  //===--- failure
  //----------------------------------------------------------===//
  bool ok() const { return error.empty(); }
  LogicalResult status() const { return success(ok()); }
  /// Remembers the first message: what was expected and what was found.
  LogicalResult fail(const Twine &message);
  Val failVal(const Twine &message) {
    (void)fail(message);
    return {this, Value()};
  }
  LogicalResult expect(bool condition, const Twine &message) {
    return condition ? success() : fail(message);
  }
  const std::string &message() const { return error; }

  //===--- attributes
  //-------------------------------------------------------===//
  const onnx::AttributeProto *attr(StringRef name) const;
  int64_t i(StringRef name, int64_t otherwise = 0) const;
  double f(StringRef name, double otherwise = 0) const;
  std::string s(StringRef name, StringRef otherwise = "") const;
  SmallVector<int64_t> ints(StringRef name) const;
  SmallVector<double> floats(StringRef name) const;
  SmallVector<std::string> strings(StringRef name) const;
  /// A graph-valued attribute, or null and a failure.
  const onnx::GraphProto *graph(StringRef name);

  //===--- types
  //------------------------------------------------------------===//
  static int64_t rank(Value v);
  /// Static size or kDynamic; 0 for a dim that does not exist.
  static int64_t size(Value v, int64_t i);
  Type elem(Value v) const;
  bool isFloat(Value v) const { return isa<FloatType>(elem(v)); }
  bool isBool(Value v) const { return elem(v).isInteger(1); }
  RankedTensorType type(Value v) const {
    return ::mlir::cast<RankedTensorType>(v.getType());
  }
  /// `axis` in [0, rank), or a failure and 0.
  int64_t axis(int64_t axis, int64_t rank);
  SmallVector<int64_t> axes(ArrayRef<int64_t> axes, int64_t rank);
  bool expectRank(Value v, int64_t low, int64_t high, StringRef what);
  /// The dialect's type of an ONNX data_type, or a failure and null.
  Type elementType(int64_t onnxType);

  //===--- constants
  //--------------------------------------------------------===//
  Val constant(DenseElementsAttr value);
  Val scalar(Type elementType, double value);
  Val ints(ArrayRef<int64_t> values); ///< tensor<Nxi64>
  /// The value of `v` where it is known now.
  std::optional<DenseElementsAttr> known(Value v);
  std::optional<SmallVector<int64_t>> knownInts(Value v);
  std::optional<SmallVector<double>> knownFloats(Value v);
  /// Input i, which has to be known; `what` names it in the message.
  SmallVector<int64_t> requireInts(unsigned i, StringRef what);
  SmallVector<double> requireFloats(unsigned i, StringRef what);
  /// Notes that `v` decides a size, so its graph inputs must be known.
  void needsValue(Value v);

  //===--- sizes
  //------------------------------------------------------------===//
  Dim dim(Value v, int64_t i);
  SmallVector<Dim> dims(Value v);
  Dim product(ArrayRef<Dim> dims);
  Value toValue(const Dim &dim); ///< tensor<1xi64>
  Val shapeValue(ArrayRef<Dim> dims);
  Val shapeOf(Value v);
  Val reshape(Value v, ArrayRef<Dim> dims);
  Val broadcast(Value v, ArrayRef<Dim> dims);
  /// 0, 1, ... as i64, along dim `axis` of `rank` dims.
  Val range(const Dim &size, int64_t axis = 0, int64_t rank = 1);

  //===--- ops
  //--------------------------------------------------------------===//
  /// Builds OpTy with inferred result types and folds it.
  template <typename OpTy, typename... Args>
  SmallVector<Value> makeAll(unsigned results, Args &&...args) {
    if (!ok())
      return SmallVector<Value>(results);
    OperationState state(loc, OpTy::getOperationName());
    SmallVector<Type> placeholders(results, b.getNoneType());
    OpTy::build(b, state, TypeRange(placeholders), std::forward<Args>(args)...);
    return finish(state, results);
  }
  template <typename OpTy, typename... Args> Val make(Args &&...args) {
    return {this, makeAll<OpTy>(1, std::forward<Args>(args)...).front()};
  }
  Val wrap(Value v) { return {this, v}; }

  Val convert(Value v, Type elementType);
  Val compare(ComparePredicate p, Value a, Value b);
  Val select(Value c, Value a, Value b);
  Val sum(Value v, ArrayRef<int64_t> axes, bool keep = true);
  Val mean(Value v, ArrayRef<int64_t> axes, bool keep = true);
  Val squeeze(Value v, ArrayRef<int64_t> axes);
  Val unsqueeze(Value v, ArrayRef<int64_t> axes);
  Val transpose(Value v, ArrayRef<int64_t> permutation);
  /// [start, end) of one axis.
  Val slice(Value v, int64_t axis, int64_t start, int64_t end);
  Val concat(ArrayRef<Value> values, int64_t axis);
  Val flip(Value v, ArrayRef<int64_t> axes);
  Val clamp(Value v, double low, double high);
  /// `v` of shape [C] as [C, 1, 1...], to broadcast along dim 1 of a tensor
  /// with `spatial` dims behind it.
  Val perChannel(Value v, int64_t spatial);

private:
  SmallVector<Value> finish(OperationState &state, unsigned results);

  std::map<unsigned, Value> outputValues;
  std::string error;
};

Val operator+(Val a, Val b);
Val operator-(Val a, Val b);
Val operator*(Val a, Val b);
Val operator/(Val a, Val b);
Val operator+(Val a, double b);
Val operator-(Val a, double b);
Val operator*(Val a, double b);
Val operator/(Val a, double b);
Val operator-(double a, Val b);
Val operator-(Val a);
Val max(Val a, double b);
Val min(Val a, double b);
Val exp(Val a);
Val log(Val a);
Val sqrt(Val a);
Val tanh(Val a);
Val sigmoid(Val a);
Val abs(Val a);
Val pow(Val a, double b);
/// a > b and the like, with a number on the right.
Val greater(Val a, double b);
Val less(Val a, double b);

/// A function that imports one op.
using ImportFn = LogicalResult (*)(Node &);

/// One row of a family's table: the op, the first and last operator set the
/// function reads (0: no last one), and the function.
struct OpRow {
  const char *name;
  int64_t first, last;
  ImportFn fn;
  const char *domain = "";
};

ArrayRef<OpRow> elementwiseOps();
ArrayRef<OpRow> activationOps();
ArrayRef<OpRow> reductionOps();
ArrayRef<OpRow> attentionOps();
ArrayRef<OpRow> contractionOps();
ArrayRef<OpRow> convolutionOps();
ArrayRef<OpRow> poolingOps();
ArrayRef<OpRow> resizeOps();
ArrayRef<OpRow> shapeOps();
ArrayRef<OpRow> indexingOps();
ArrayRef<OpRow> normalizationOps();
ArrayRef<OpRow> lossOps();
ArrayRef<OpRow> randomOps();
ArrayRef<OpRow> quantizationOps();
ArrayRef<OpRow> controlOps();
ArrayRef<OpRow> recurrentOps();
ArrayRef<OpRow> trainingOps();
ArrayRef<OpRow> signalOps();

/// The row for an op of `domain` at version `opset`; null where there is none.
const OpRow *findOp(StringRef domain, StringRef name, int64_t opset);

} // namespace lathe::onnx_import

#endif // LATHE_IMPORT_ONNX_NODE_H
