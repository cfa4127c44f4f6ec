//===- AnchorText.cpp - Operands and epilogue of an anchor op as text -----===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AnchorText.h"
#include "KernelFile.h"
#include "Printer.h"
#include "RaiseBf16.h"

#include "lathe/Conversion/ScalarBody.h"
#include "lathe/Target/ProgramBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Dominance.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Transforms/CSE.h"

namespace lathe::cuda {

//===----------------------------------------------------------------------===//
// Places
//===----------------------------------------------------------------------===//

/// Adds what `coordinate` contributes to `text`.
static void addDigits(std::string &text, ArrayRef<Factor> digits,
                      StringRef coordinate) {
  int64_t inner = 1;
  SmallVector<std::string> terms;
  for (size_t i = digits.size(); i-- > 0;) {
    std::string digit = coordinate.str();
    if (inner != 1)
      digit = asOperand(digit) + " / " + std::to_string(inner);
    if (i != 0)
      digit = asOperand(digit) + " % " + std::to_string(digits[i].size);
    inner *= digits[i].size;
    if (digits[i].stride != 0)
      terms.push_back(product(digit, digits[i].stride));
  }
  for (const std::string &term : llvm::reverse(terms))
    text = sum(text, term);
}

std::string offsetText(const Access &access, ArrayRef<std::string> coordinates,
                       int64_t offset) {
  std::string text = "0";
  for (auto [digits, coordinate] : llvm::zip_equal(access, coordinates))
    addDigits(text, digits, coordinate);
  return sum(text, std::to_string(offset));
}

static bool isFlat(ArrayRef<Factor> digits) {
  return llvm::all_of(digits, [](Factor f) { return f.stride == 0; });
}

int64_t getVector(const Access &access, unsigned along, int64_t offset,
                  int64_t alignment, int64_t limit) {
  ArrayRef<Factor> lanes = access[along];
  if (lanes.empty() || lanes.back().stride != 1)
    return 1;
  auto fits = [&](int64_t vector) {
    if (offset % vector || alignment % vector || lanes.back().size % vector)
      return false;
    for (auto [i, digits] : llvm::enumerate(access))
      for (size_t d = 0; d < digits.size(); ++d)
        if ((i != along || d + 1 != digits.size()) &&
            digits[d].stride % vector != 0)
          return false;
    return true;
  };
  int64_t vector = 1;
  while (vector * 2 <= limit && fits(vector * 2))
    vector *= 2;
  return vector;
}

/// The type of input `argument`, or of output `argument` - inputs.
static RankedTensorType getArgumentType(KernelOp kernel, unsigned argument) {
  unsigned inputs = kernel.getBody().getNumArguments();
  return cast<RankedTensorType>(
      argument < inputs ? kernel.getBody().getArgument(argument).getType()
                        : kernel.getResult(argument - inputs).getType());
}

int64_t getElementAlignment(KernelOp kernel, unsigned argument) {
  RankedTensorType type = getArgumentType(kernel, argument);
  return std::max<int64_t>(1, getArgumentAlignment(type) /
                                  getStorageBytes(type.getElementType()));
}

//===----------------------------------------------------------------------===//
// Operands
//===----------------------------------------------------------------------===//

/// The operand as a tensor for TMA, or nothing: one digit per coordinate, lines
/// that begin at multiples of 16 bytes.
static std::optional<GridTensorMap> getTensor(const Access &access, bool alongK,
                                              Type elementType, int64_t offset,
                                              int64_t alignment) {
  int64_t bytes = getStorageBytes(elementType);
  ArrayRef<Factor> inner = access[alongK ? 2 : 1],
                   lines = access[alongK ? 1 : 2], batch = access[0];
  if (inner.size() != 1 || inner[0].stride != 1 || lines.size() != 1 ||
      lines[0].stride < inner[0].size || alignment * bytes % 16 ||
      offset * bytes % 16)
    return std::nullopt;
  GridTensorMap map;
  map.elementType = elementType;
  map.offset = offset * bytes;
  map.dims = {inner[0].size, lines[0].size};
  map.strides = {lines[0].stride * bytes};
  if (!isFlat(batch)) {
    if (batch.size() != 1 || batch[0].stride < 0)
      return std::nullopt;
    map.dims.push_back(batch[0].size);
    map.strides.push_back(batch[0].stride * bytes);
  }
  if (llvm::any_of(map.strides, [](int64_t stride) { return stride % 16; }))
    return std::nullopt;
  return map;
}

OperandText OperandText::fromAccess(KernelOp kernel, StringRef name,
                                    StringRef rowName,
                                    const AnchorOperand &operand,
                                    const Access &access) {
  OperandText text;
  text.name = name;
  text.rowName = rowName;
  text.argument = operand.argument;
  text.elementType = operand.elementType;
  text.offset = operand.view.offset;
  int64_t limit = 16 / getStorageBytes(operand.elementType);
  int64_t alignment = getElementAlignment(kernel, operand.argument);
  auto isUnit = [&](unsigned coordinate) {
    return !access[coordinate].empty() && access[coordinate].back().stride == 1;
  };
  text.alongK = isUnit(2);
  text.vector = getVector(access, text.alongK ? 2 : 1, operand.view.offset,
                          alignment, limit);
  text.tensor = getTensor(access, text.alongK, text.elementType,
                          operand.view.offset, alignment);
  if (text.tensor) {
    text.tensor->argument = text.argument;
    text.tensor->name = ("tensor" + name).str();
  }
  text.body.push_back(
      "return base + " +
      offsetText(access, {"batch", text.rowName, "k"}, operand.view.offset) +
      ";");
  return text;
}

/// Products tell signed from unsigned bytes; buffers are of signless ones.
static std::string getProductType(Type elementType) {
  return elementType.isUnsignedInteger(8)
             ? "u8"
             : typeName(getStorageType(elementType));
}

OperandText OperandText::widened() const {
  OperandText text(*this);
  text.storedType = elementType;
  text.elementType = Float16Type::get(elementType.getContext());
  text.isComputed = true;
  text.tensor.reset();
  text.vector = std::min<int64_t>(vector, 8);
  std::string stored = typeName(storedType ? storedType : elementType);
  text.body = {"const auto find = [&]() -> const " + stored + " * {"};
  for (const std::string &line : body)
    text.body.push_back("  " + line);
  text.body.push_back("};");
  text.body.push_back("Pack<f16, N> x = {};");
  text.body.push_back("if (const " + stored + " *from = find()) {");
  text.body.push_back("  const Pack<" + stored + ", N> q = loadPack<N>(from);");
  text.body.push_back("  #pragma unroll");
  text.body.push_back("  for (int i = 0; i < N; ++i)");
  text.body.push_back("    x.at[i] = toF16(toFloat(q.at[i]));");
  text.body.push_back("}");
  text.body.push_back("return x;");
  return text;
}

void OperandText::print(CodeWriter &writer) const {
  std::string type = getProductType(elementType);
  writer.line();
  writer.open("struct " + name);
  writer.line("using Element = " + type + ";");
  writer.line("static constexpr bool alongK = " +
              Twine(alongK ? "true" : "false") + ";");
  writer.line("static constexpr int vector = " + Twine(vector) + ";");
  std::string stored = storedType ? getProductType(storedType) : type;
  writer.line("const " + stored + " *base;");
  for (const Parameter &parameter : parameters)
    writer.line("const " + getProductType(parameter.elementType) + " *" +
                parameter.name + ";");
  std::string coordinates = "(int batch, int " + rowName + ", int k) const";
  if (isComputed) {
    writer.line("template <int N>");
    writer.line("__device__ __forceinline__ Pack<" + type + ", N>");
    writer.open("get" + coordinates);
  } else {
    writer.line("__device__ __forceinline__ const " + type);
    writer.open("*at" + coordinates);
  }
  for (const std::string &line : body)
    writer.line(line);
  writer.close();
  writer.close(";");
}

void OperandText::printTensor(CodeWriter &writer) const {
  writer.line();
  writer.open("struct " + name);
  writer.line("using Element = " + typeName(getStorageType(elementType)) + ";");
  writer.line("static constexpr bool alongK = " +
              Twine(alongK ? "true" : "false") + ";");
  writer.line("static constexpr bool hasBatch = " +
              Twine(tensor->dims.size() > 2 ? "true" : "false") + ";");
  writer.line("static constexpr int vector = " + Twine(vector) + ";");
  writer.line("const TensorMap &tensor;");
  writer.close(";");
}

std::string OperandText::construct() const {
  auto input = [](unsigned argument, Type type) {
    std::string text = KernelFile::input(argument);
    return type.isUnsignedInteger(8) ? "(const u8 *)" + text : text;
  };
  std::string text = input(argument, storedType ? storedType : elementType);
  for (const Parameter &parameter : parameters)
    text += ", " + input(parameter.argument, parameter.elementType);
  return name + "{" + text + "}";
}

//===----------------------------------------------------------------------===//
// Epilogue
//===----------------------------------------------------------------------===//

Type getSumType(Type elementType) {
  MLIRContext *context = elementType.getContext();
  if (isa<FloatType>(elementType))
    return elementType.isF64() ? elementType : Float32Type::get(context);
  return IntegerType::get(context,
                          std::max(32u, elementType.getIntOrFloatBitWidth()));
}

static bool sameAccess(const Access &a, const Access &b) {
  return llvm::equal(a, b, [](ArrayRef<Factor> x, ArrayRef<Factor> y) {
    return llvm::equal(x, y, [](Factor f, Factor g) {
      return f.size == g.size && f.stride == g.stride;
    });
  });
}

bool EpilogueText::addLeaf(const Expr &expr, std::string &whyNot) {
  auto access = expr.view.split(coordinates);
  if (!access) {
    whyNot = "an epilogue operand has no strides over the product";
    return false;
  }
  if (findLeaf(expr) == leaves.size())
    leaves.push_back({expr.index, expr.elementType, *access, expr.view.offset});
  return true;
}

unsigned EpilogueText::findLeaf(const Expr &expr) const {
  Access access = *expr.view.split(coordinates);
  for (auto [i, leaf] : llvm::enumerate(leaves))
    if (leaf.argument == expr.index && leaf.offset == expr.view.offset &&
        sameAccess(leaf.access, access))
      return i;
  return leaves.size();
}

FailureOr<EpilogueText>
EpilogueText::get(KernelOp kernel, const KernelViews &views,
                  ArrayRef<int64_t> coordinates, ArrayRef<StringRef> names,
                  Type sumType, std::string &whyNot, const EpiloguePart &part) {
  if (!views.constants.empty()) {
    whyNot = "the kernel reads a constant that is not one number";
    return failure();
  }
  for (unsigned i = 0;
       i < kernel.getBody().getNumArguments() + kernel.getNumResults(); ++i)
    if (getArgumentType(kernel, i).getNumElements() > INT32_MAX) {
      whyNot = "a tensor has more elements than an int counts";
      return failure();
    }
  EpilogueText result;
  result.kernel = kernel;
  result.name = part.name;
  result.sumType = sumType;
  result.anchorType =
      cast<RankedTensorType>(views.anchor->getResult(part.result).getType())
          .getElementType();
  result.coordinates.assign(coordinates.begin(), coordinates.end());
  for (StringRef name : names)
    result.names.push_back(name.str());
  for (auto [place, output] : llvm::enumerate(views.outputs))
    if (output.result == part.result) {
      result.outputs.push_back(output);
      result.places.push_back(place);
    }
  unsigned inputs = kernel.getBody().getNumArguments();
  // Lanes are columns that every output has side by side, 16 bytes at most.
  int64_t lanes = std::min(
      part.lanes, 16 / std::max<int64_t>(2, getStorageBytes(sumType) / 2));
  while (coordinates.back() % lanes)
    lanes /= 2;
  for (auto [i, output] : llvm::enumerate(result.outputs)) {
    bool ok = true;
    forEachLeaf(*output.value, [&](Expr &leaf) {
      if (leaf.kind == Expr::Kind::Argument && ok)
        ok = result.addLeaf(leaf, whyNot);
    });
    if (!ok)
      return failure();
    auto access = output.destination.split(coordinates);
    if (!access) {
      whyNot = "an output has no strides over the product";
      return failure();
    }
    int64_t limit = std::min(lanes, 16 / getStorageBytes(output.elementType));
    int64_t vector = getVector(
        *access, access->size() - 1, output.destination.offset,
        getElementAlignment(kernel, inputs + result.places[i]), limit);
    // Outputs that are no rows are written one by one, whatever the lanes.
    lanes = vector > 1 ? std::min(lanes, vector) : std::min<int64_t>(lanes, 4);
    result.destinations.push_back(std::move(*access));
  }
  for (const Leaf &leaf : result.leaves)
    lanes = std::min(lanes, 16 / getStorageBytes(leaf.elementType));
  result.lanes = std::max<int64_t>(lanes, 1);
  return result;
}

namespace {
/// What an epilogue does to one element, as a function of the sum and the
/// leaves.
class BodyBuilder {
public:
  BodyBuilder(ImplicitLocOpBuilder &b, Type anchorType, Value sum,
              std::function<Value(const Expr &)> getLeaf)
      : b(b), anchorType(anchorType), sum(sum), getLeaf(getLeaf) {}

  Value build(const Expr &expr) {
    switch (expr.kind) {
    case Expr::Kind::Anchor:
      return narrow(sum);
    case Expr::Kind::Argument:
      return fromStorage(b, b.getLoc(), getLeaf(expr), expr.elementType);
    case Expr::Kind::Splat:
      return buildSplat(expr);
    case Expr::Kind::Sum: {
      // A bias is added before the sum is rounded.
      Value bias = build(*expr.operands[1]);
      if (isa<IntegerType>(bias.getType()))
        return b.create<arith::AddIOp>(build(*expr.operands[0]), bias);
      if (bias.getType() != sum.getType())
        bias = b.create<arith::ExtFOp>(sum.getType(), bias);
      return narrow(b.create<arith::AddFOp>(sum, bias));
    }
    case Expr::Kind::Op:
      SmallVector<Value> operands;
      for (const ExprPtr &operand : expr.operands)
        operands.push_back(build(*operand));
      return buildScalarBody(b, b.getLoc(), expr.op, operands);
    }
    llvm_unreachable("all kinds are listed");
  }

private:
  Value narrow(Value value) {
    Type type = getStorageType(anchorType);
    if (value.getType() == type)
      return value;
    if (isa<FloatType>(type))
      return b.create<arith::TruncFOp>(type, value);
    return b.create<arith::TruncIOp>(type, value);
  }
  Value buildSplat(const Expr &expr) {
    TypedAttr splat = expr.splat;
    if (auto number = dyn_cast<IntegerAttr>(splat))
      if (!expr.elementType.isSignlessInteger())
        splat = IntegerAttr::get(getStorageType(expr.elementType),
                                 number.getValue());
    return b.create<arith::ConstantOp>(splat);
  }

  ImplicitLocOpBuilder &b;
  Type anchorType;
  Value sum;
  std::function<Value(const Expr &)> getLeaf;
};
} // namespace

LogicalResult EpilogueText::print(CodeWriter &writer,
                                  std::string &whyNot) const {
  KernelOp kernel = this->kernel;
  // The body, as a function (sum, leaves...) -> values in storage form.
  ImplicitLocOpBuilder b(kernel.getLoc(), kernel.getContext());
  OwningOpRef<ModuleOp> module = ModuleOp::create(kernel.getLoc());
  b.setInsertionPointToEnd(module->getBody());
  SmallVector<Type> types = {sumType};
  for (const Leaf &leaf : leaves)
    types.push_back(getStorageType(leaf.elementType));
  SmallVector<Type> results;
  for (const KernelOutput &output : outputs)
    results.push_back(getStorageType(output.elementType));
  auto function =
      b.create<func::FuncOp>("epilogue", b.getFunctionType(types, results));
  Block &block = *function.addEntryBlock();
  b.setInsertionPointToStart(&block);
  BodyBuilder body(b, anchorType, block.getArgument(0), [&](const Expr &expr) {
    return Value(block.getArgument(1 + findLeaf(expr)));
  });
  SmallVector<Value> values;
  for (const KernelOutput &output : outputs) {
    Value value = body.build(*output.value);
    if (!value) {
      whyNot = "an op of the epilogue has no body for one element";
      return failure();
    }
    values.push_back(toStorage(b, b.getLoc(), value, output.elementType));
  }
  b.create<func::ReturnOp>(values);
  raiseBf16Casts(function);
  IRRewriter rewriter(kernel.getContext());
  DominanceInfo dominance(function);
  eliminateCommonSubExpressions(rewriter, dominance, function);

  writer.forgetNames();
  std::string sumName = typeName(sumType);
  writer.line();
  writer.open("struct " + name);
  writer.line("using Sum = " + sumName + ";");
  writer.line("static constexpr int lanes = " + Twine(lanes) + ";");
  SmallVector<unsigned> arguments;
  for (const Leaf &leaf : leaves)
    if (!llvm::is_contained(arguments, leaf.argument)) {
      arguments.push_back(leaf.argument);
      writer.line("const " + typeName(getStorageType(leaf.elementType)) + " *" +
                  KernelFile::input(leaf.argument) + ";");
    }
  for (auto [i, output] : llvm::enumerate(outputs))
    writer.line(typeName(getStorageType(output.elementType)) + " *" +
                KernelFile::output(places[i]) + ";");
  writer.line("__device__ __forceinline__ void");
  std::string head = "operator()(";
  for (const std::string &name : names)
    head += "int " + name + ", ";
  writer.open(head + "const Pack<" + sumName + ", " + std::to_string(lanes) +
              "> &sums) const");

  Printer printer(writer);
  unsigned last = names.size() - 1;
  SmallVector<std::string> laneNames(names);
  std::string lane = "0";
  if (lanes > 1) {
    lane = "i";
    laneNames[last] = "(" + names[last] + " + i)";
  }
  std::string at = "at[" + lane + "]";
  printer.bind(block.getArgument(0), "sums." + at);
  unsigned inputs = kernel.getBody().getNumArguments();
  SmallVector<std::string> perLane;
  for (auto [i, leaf] : llvm::enumerate(leaves)) {
    std::string type = typeName(getStorageType(leaf.elementType));
    std::string name = writer.unique("x"),
                base = KernelFile::input(leaf.argument);
    std::string place = offsetText(leaf.access, names, leaf.offset);
    int64_t vector =
        getVector(leaf.access, last, leaf.offset,
                  getElementAlignment(kernel, leaf.argument), lanes);
    ArrayRef<Factor> columns = leaf.access[last];
    std::string text = name;
    if (lanes > 1 && vector == lanes) {
      std::string pack = std::to_string(lanes);
      writer.line("const Pack<" + type + ", " + pack + "> " + name +
                  " = loadPack<" + pack + ">(" + sum(base, place) + ");");
      text += "." + at;
    } else if (lanes == 1 || isFlat(columns)) {
      writer.line("const " + type + " " + name + " = " + base + "[" + place +
                  "];");
    } else {
      perLane.push_back("const " + type + " " + name + " = " + base + "[" +
                        offsetText(leaf.access, laneNames, leaf.offset) + "];");
    }
    printer.bind(block.getArgument(1 + i), text);
  }
  SmallVector<bool> isPacked;
  for (auto [i, output] : llvm::enumerate(outputs)) {
    isPacked.push_back(
        lanes > 1 && getVector(destinations[i], last, output.destination.offset,
                               getElementAlignment(kernel, inputs + places[i]),
                               lanes) == lanes);
    if (isPacked.back())
      writer.line("Pack<" + typeName(getStorageType(output.elementType)) +
                  ", " + Twine(lanes) + "> y" + Twine(i) + ";");
  }
  if (lanes > 1) {
    writer.line("#pragma unroll");
    writer.open("for (int i = 0; i < " + Twine(lanes) + "; ++i)");
  }
  for (const std::string &line : perLane)
    writer.line(line);
  if (failed(printer.print(block))) {
    whyNot = printer.whyNot;
    return failure();
  }
  Operation *end = block.getTerminator();
  for (auto [i, output] : llvm::enumerate(outputs)) {
    std::string value = printer.get(end->getOperand(i));
    if (isPacked[i])
      writer.line("y" + Twine(i) + "." + at + " = " + value + ";");
    else
      writer.line(KernelFile::output(places[i]) + "[" +
                  offsetText(destinations[i], lanes > 1 ? laneNames : names,
                             output.destination.offset) +
                  "] = " + value + ";");
  }
  if (lanes > 1)
    writer.close();
  for (auto [i, output] : llvm::enumerate(outputs))
    if (isPacked[i])
      writer.line(
          "storePack(" +
          sum(KernelFile::output(places[i]),
              offsetText(destinations[i], names, output.destination.offset)) +
          ", y" + Twine(i) + ");");
  writer.close();
  writer.close(";");
  whyNot = printer.whyNot;
  return success(whyNot.empty());
}

std::string EpilogueText::construct() const {
  std::string text;
  SmallVector<unsigned> arguments;
  for (const Leaf &leaf : leaves)
    if (!llvm::is_contained(arguments, leaf.argument)) {
      arguments.push_back(leaf.argument);
      text += KernelFile::input(leaf.argument) + ", ";
    }
  for (unsigned i = 0; i < outputs.size(); ++i)
    text += (i ? ", " : "") + KernelFile::output(places[i]);
  return name + "{" + text + "}";
}

} // namespace lathe::cuda
