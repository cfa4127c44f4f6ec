//===- Printer.cpp - arith, math, scf and memref as CUDA C++ --------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Printer.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Utils/StaticValueUtils.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/Format.h"

#include <charconv>

namespace lathe::cuda {

//===----------------------------------------------------------------------===//
// Types, literals, expressions
//===----------------------------------------------------------------------===//

std::string typeName(Type type) {
  if (type.isIndex())
    return "int";
  if (type.isF64())
    return "double";
  if (type.isF32())
    return "float";
  if (type.isF16())
    return "f16";
  if (type.isBF16())
    return "bf16";
  if (type.isFloat8E4M3FN())
    return "e4m3";
  if (type.isInteger(1))
    return "bool";
  return "i" + std::to_string(type.getIntOrFloatBitWidth());
}

/// The unsigned twin of an integer type.
static std::string unsignedName(Type type) {
  if (type.isIndex())
    return "u32";
  if (type.isInteger(1))
    return "bool";
  return "u" + std::to_string(type.getIntOrFloatBitWidth());
}

static std::string floatLiteral(const APFloat &value, Type type) {
  bool isDouble = type.isF64();
  APInt bits = value.bitcastToAPInt();
  if (type.getIntOrFloatBitWidth() < 32)
    return (typeName(type) + "{" + Twine(bits.getZExtValue()) + "}").str();
  if (!value.isFinite())
    return ((isDouble ? "doubleFromBits(0x" : "floatFromBits(0x") +
            Twine::utohexstr(bits.getZExtValue()) + (isDouble ? "ull)" : "u)"))
        .str();
  // The shortest decimal that comes back as the same number.
  char text[64];
  auto [end, error] =
      isDouble ? std::to_chars(text, std::end(text), value.convertToDouble())
               : std::to_chars(text, std::end(text), value.convertToFloat());
  std::string result(text, end);
  if (result.find_first_of(".e") == std::string::npos)
    result += ".0";
  return isDouble ? result : result + "f";
}

std::string literal(TypedAttr attr) {
  if (auto number = dyn_cast<FloatAttr>(attr))
    return floatLiteral(number.getValue(), number.getType());
  auto number = cast<IntegerAttr>(attr);
  Type type = number.getType();
  if (type.isInteger(1))
    return number.getValue().isZero() ? "false" : "true";
  int64_t value = number.getValue().getSExtValue();
  if (type.isIndex() || type.isInteger(32)) {
    // The text -2147483648 is a minus before a number that is too large.
    return value == INT32_MIN ? "(-2147483647 - 1)" : std::to_string(value);
  }
  if (type.isInteger(64))
    return value == INT64_MIN ? "(-9223372036854775807ll - 1)"
                              : std::to_string(value) + "ll";
  return "(" + typeName(type) + ")" + std::to_string(value);
}

std::string asOperand(StringRef text) {
  if (!text.empty() && llvm::isDigit(text.front()) &&
      text.find(' ') == StringRef::npos)
    return text.str();
  // Names, numbers, members, elements, casts and calls: no operator outside of
  // brackets.
  int depth = 0;
  bool isWhole = llvm::all_of(text, [&](char c) {
    bool opens = StringRef("([{").contains(c);
    depth += opens;
    if (StringRef(")]}").contains(c))
      return --depth >= 0;
    return depth > 0 || opens || llvm::isAlnum(c) || c == '_' || c == '.';
  });
  return isWhole ? text.str() : ("(" + text + ")").str();
}

static bool isInteger(StringRef text, int64_t &value) {
  return !text.getAsInteger(10, value);
}

std::string product(StringRef a, int64_t b) {
  int64_t value;
  if (isInteger(a, value))
    return std::to_string(value * b);
  if (b == 0)
    return "0";
  if (b == 1)
    return a.str();
  return asOperand(a) + " * " + std::to_string(b);
}

/// `text` as an operand of +: in parentheses where an operator in it binds
/// less.
static std::string asSummand(StringRef text) {
  int depth = 0;
  for (char c : text) {
    depth += c == '(' || c == '[';
    depth -= c == ')' || c == ']';
    if (depth == 0 && StringRef("?<>=&|^").contains(c))
      return ("(" + text + ")").str();
  }
  return text.str();
}

std::string sum(StringRef a, StringRef b) {
  int64_t x, y;
  if (isInteger(a, x) && isInteger(b, y))
    return std::to_string(x + y);
  if (a == "0")
    return b.str();
  if (b == "0")
    return a.str();
  return asSummand(a) + " + " + asSummand(b);
}

/// Whether `value` compares `a` and `b` by `predicate`.
static bool compares(Value value, arith::CmpFPredicate predicate, Value a,
                     Value b) {
  auto op = value.getDefiningOp<arith::CmpFOp>();
  return op && op.getPredicate() == predicate && op.getLhs() == a &&
         op.getRhs() == b;
}

std::optional<Extreme> matchExtreme(arith::SelectOp select) {
  using P = arith::CmpFPredicate;
  Value a = select.getTrueValue();
  auto inner = select.getFalseValue().getDefiningOp<arith::SelectOp>();
  if (!a.getType().isF32() && !a.getType().isF64())
    return std::nullopt;
  if (!compares(select.getCondition(), P::UNO, a, a) || !inner ||
      inner.getTrueValue() != a)
    return std::nullopt;
  Value b = inner.getFalseValue();
  if (compares(inner.getCondition(), P::OGT, a, b))
    return Extreme{true, a, b};
  if (compares(inner.getCondition(), P::OLT, a, b))
    return Extreme{false, a, b};
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

std::string Printer::get(Value value) {
  auto found = texts.find(value);
  if (found != texts.end())
    return found->second;
  // Constants stand where they are used, wherever they are defined.
  if (auto constant = value.getDefiningOp<arith::ConstantOp>())
    return literal(constant.getValue());
  if (whyNot.empty())
    whyNot = "a value is used outside of the code that computes it";
  return "0";
}

LogicalResult Printer::refuse(Operation &op, StringRef reason) {
  if (whyNot.empty())
    whyNot = ("'" + op.getName().getStringRef() + "' " + reason).str();
  return failure();
}

void Printer::keep(Value result, const Twine &text, bool mayMove) {
  std::string rendered = text.str();
  Operation *user = result.hasOneUse() ? *result.getUsers().begin() : nullptr;
  bool isNear = user && user->getBlock() == result.getParentBlock();
  if (mayMove && isNear && rendered.size() < 48) {
    texts[result] = rendered;
    return;
  }
  std::string wish = result.getType().isIndex() ? "i" : "v";
  std::string name = writer.unique(wish);
  writer.line("const " + nameOf(result.getType()) + " " + name + " = " +
              rendered + ";");
  texts[result] = name;
}

/// "float", or "float *" for memory.
std::string Printer::variableType(Type type) {
  if (auto memory = dyn_cast<MemRefType>(type))
    return nameOf(memory.getElementType()) + " *";
  return nameOf(type);
}

std::string Printer::nameOf(Type type) {
  return type.isIndex() ? writer.indexType : typeName(type);
}

std::string Printer::unsignedNameOf(Type type) {
  return type.isIndex() && writer.indexType == "i64" ? "u64"
                                                     : unsignedName(type);
}

std::string Printer::declare(Value value, StringRef wish) {
  std::string name = writer.unique(wish);
  rename(value, name);
  return variableType(value.getType()) + " " + name;
}

void Printer::rename(Value value, StringRef name) {
  if (isa<MemRefType>(value.getType()))
    bind(value, MemoryName{name.str()});
  else
    bind(value, name);
}

std::string Printer::getAny(Value value) {
  if (!isa<MemRefType>(value.getType()))
    return get(value);
  const MemoryName &name = memory[value];
  return name.offset == "0" ? name.base : name.base + " + " + name.offset;
}

std::string Printer::unsignedOperand(Value value) {
  if (value.getType().isInteger(1))
    return asOperand(get(value));
  return "(" + unsignedNameOf(value.getType()) + ")" + asOperand(get(value));
}

/// Smaller floats are computed on as float.
std::string Printer::floatOperand(Value value) {
  Type type = value.getType();
  if (isa<FloatType>(type) && type.getIntOrFloatBitWidth() < 32)
    return "toFloat(" + get(value) + ")";
  return asOperand(get(value));
}

LogicalResult Printer::print(llvm::iterator_range<Block::iterator> ops) {
  for (Operation &op : ops)
    if (failed(print(op)))
      return failure();
  return success(whyNot.empty());
}

LogicalResult Printer::print(Operation &op) {
  if (printScalar(op) || printMemory(op))
    return success();
  bool known = true;
  LogicalResult result = printControl(op, known);
  return known ? result : refuse(op, "has no CUDA form");
}

//===----------------------------------------------------------------------===//
// Scalars
//===----------------------------------------------------------------------===//

/// The C function of a math op, without the f of the float form.
static StringRef mathFunction(Operation &op) {
  return llvm::StringSwitch<StringRef>(op.getName().getStringRef())
      .Case("math.absf", "fabs")
      .Case("math.acos", "acos")
      .Case("math.acosh", "acosh")
      .Case("math.asin", "asin")
      .Case("math.asinh", "asinh")
      .Case("math.atan", "atan")
      .Case("math.atan2", "atan2")
      .Case("math.atanh", "atanh")
      .Case("math.ceil", "ceil")
      .Case("math.copysign", "copysign")
      .Case("math.cos", "cos")
      .Case("math.cosh", "cosh")
      .Case("math.erf", "erf")
      .Case("math.exp", "exp")
      .Case("math.exp2", "exp2")
      .Case("math.expm1", "expm1")
      .Case("math.floor", "floor")
      .Case("math.fma", "fma")
      .Case("math.log", "log")
      .Case("math.log10", "log10")
      .Case("math.log1p", "log1p")
      .Case("math.log2", "log2")
      .Case("math.powf", "pow")
      .Case("math.round", "round")
      .Case("math.roundeven", "rint")
      .Case("math.rsqrt", "rsqrt")
      .Case("math.sin", "sin")
      .Case("math.sinh", "sinh")
      .Case("math.sqrt", "sqrt")
      .Case("math.tan", "tan")
      .Case("math.tanh", "tanh")
      .Case("math.trunc", "trunc")
      .Case("arith.remf", "fmod")
      .Default("");
}

static StringRef infix(Operation &op) {
  return llvm::StringSwitch<StringRef>(op.getName().getStringRef())
      .Case("arith.addf", "+")
      .Case("arith.subf", "-")
      .Case("arith.mulf", "*")
      .Case("arith.divf", "/")
      .Case("arith.divsi", "/")
      .Case("arith.remsi", "%")
      .Case("arith.andi", "&")
      .Case("arith.ori", "|")
      .Case("arith.xori", "^")
      .Case("arith.shrsi", ">>")
      .Default("");
}

static StringRef unsignedInfix(Operation &op) {
  return llvm::StringSwitch<StringRef>(op.getName().getStringRef())
      .Case("arith.divui", "/")
      .Case("arith.remui", "%")
      .Case("arith.shrui", ">>")
      .Case("arith.shli", "<<")
      .Default("");
}

/// Binary functions of device.cuh.
static StringRef binaryFunction(Operation &op) {
  return llvm::StringSwitch<StringRef>(op.getName().getStringRef())
      .Case("arith.maximumf", "maximum")
      .Case("arith.minimumf", "minimum")
      .Case("arith.maxnumf", "maxNumber")
      .Case("arith.minnumf", "minNumber")
      .Case("arith.maxsi", "larger")
      .Case("arith.minsi", "smaller")
      .Default("");
}

static std::string compareFloats(arith::CmpFPredicate predicate, StringRef a,
                                 StringRef b) {
  using P = arith::CmpFPredicate;
  auto plain = [&](StringRef op) { return (a + " " + op + " " + b).str(); };
  auto negated = [&](StringRef op) {
    return ("!(" + a + " " + op + " " + b + ")").str();
  };
  std::string unordered = (a + " != " + a).str();
  if (a != b)
    unordered += (" || " + b + " != " + b).str();
  switch (predicate) {
  case P::AlwaysFalse:
    return "false";
  case P::AlwaysTrue:
    return "true";
  case P::OEQ:
    return plain("==");
  case P::OGT:
    return plain(">");
  case P::OGE:
    return plain(">=");
  case P::OLT:
    return plain("<");
  case P::OLE:
    return plain("<=");
  case P::ONE:
    return (a + " < " + b + " || " + a + " > " + b).str();
  case P::ORD:
    return (a + " == " + a + " && " + b + " == " + b).str();
  case P::UEQ:
    return ("!(" + a + " < " + b + " || " + a + " > " + b + ")").str();
  case P::UGT:
    return negated("<=");
  case P::UGE:
    return negated("<");
  case P::ULT:
    return negated(">=");
  case P::ULE:
    return negated(">");
  case P::UNE:
    return plain("!=");
  case P::UNO:
    return unordered;
  }
  llvm_unreachable("all predicates are listed");
}

static StringRef compareSign(arith::CmpIPredicate predicate) {
  using P = arith::CmpIPredicate;
  switch (predicate) {
  case P::eq:
    return "==";
  case P::ne:
    return "!=";
  case P::slt:
  case P::ult:
    return "<";
  case P::sle:
  case P::ule:
    return "<=";
  case P::sgt:
  case P::ugt:
    return ">";
  case P::sge:
  case P::uge:
    return ">=";
  }
  llvm_unreachable("all predicates are listed");
}

bool Printer::printScalar(Operation &op) {
  if (isa<arith::ConstantOp>(op))
    return true;
  if (op.getNumResults() != 1 || op.getNumRegions() != 0 ||
      !op.getResult(0).getType().isIntOrIndexOrFloat())
    return false;
  Value result = op.getResult(0);
  Type type = result.getType();
  bool isSmall = isa<FloatType>(type) && type.getIntOrFloatBitWidth() < 32;
  auto number = [&](const Twine &text) {
    keep(result, isSmall ? Twine("to" + StringRef(typeName(type)).upper() +
                                 "(" + text + ")")
                               .str()
                         : text.str());
    return true;
  };
  auto operand = [&](unsigned i) {
    return isa<FloatType>(op.getOperand(i).getType())
               ? floatOperand(op.getOperand(i))
               : asOperand(get(op.getOperand(i)));
  };

  if (StringRef function = mathFunction(op); !function.empty()) {
    std::string arguments;
    for (Value value : op.getOperands())
      arguments += (arguments.empty() ? "" : ", ") +
                   (value.getType().isF64() || value.getType().isF32()
                        ? get(value)
                        : floatOperand(value));
    return number(function + (type.isF64() ? "(" : "f(") + arguments + ")");
  }
  if (StringRef sign = infix(op); !sign.empty()) {
    std::string text = operand(0) + " " + sign.str() + " " + operand(1);
    // Small integers are computed on as int.
    if (type.isInteger(8) || type.isInteger(16))
      text = "(" + nameOf(type) + ")(" + text + ")";
    return number(text);
  }
  if (StringRef sign = unsignedInfix(op); !sign.empty())
    return number("(" + nameOf(type) + ")(" +
                  unsignedOperand(op.getOperand(0)) + " " + sign + " " +
                  unsignedOperand(op.getOperand(1)) + ")");
  if (StringRef function = binaryFunction(op); !function.empty())
    return number(function + "(" + operand(0) + ", " + operand(1) + ")");

  return TypeSwitch<Operation *, bool>(&op)
      .Case<arith::AddIOp, arith::SubIOp, arith::MulIOp>([&](auto arithmetic) {
        bool isAdd = isa<arith::AddIOp>(op), isSub = isa<arith::SubIOp>(op);
        if (type.isInteger(1))
          return number(operand(0) + (isa<arith::MulIOp>(op) ? " & " : " ^ ") +
                        operand(1));
        if (type.isIndex())
          return number(operand(0) +
                        (isAdd   ? " + "
                         : isSub ? " - "
                                 : " * ") +
                        operand(1));
        StringRef name = isAdd ? "wrapAdd" : isSub ? "wrapSub" : "wrapMul";
        return number(name + "(" + get(op.getOperand(0)) + ", " +
                      get(op.getOperand(1)) + ")");
      })
      .Case<arith::MaxUIOp, arith::MinUIOp>([&](auto) {
        return number("(" + nameOf(type) + ")" +
                      (isa<arith::MaxUIOp>(op) ? "larger(" : "smaller(") +
                      unsignedOperand(op.getOperand(0)) + ", " +
                      unsignedOperand(op.getOperand(1)) + ")");
      })
      .Case<arith::CeilDivSIOp>([&](auto) {
        return number("(" + operand(0) + " + " + operand(1) + " - 1) / " +
                      operand(1));
      })
      .Case<arith::NegFOp>([&](auto) { return number("-" + operand(0)); })
      .Case<math::AbsIOp>([&](auto) {
        return number(operand(0) + " < 0 ? wrapSub((" + nameOf(type) + ")0, " +
                      get(op.getOperand(0)) + ") : " + operand(0));
      })
      .Case<arith::CmpFOp>([&](arith::CmpFOp compare) {
        return number(
            compareFloats(compare.getPredicate(), operand(0), operand(1)));
      })
      .Case<arith::CmpIOp>([&](arith::CmpIOp compare) {
        arith::CmpIPredicate p = compare.getPredicate();
        bool isUnsigned = p >= arith::CmpIPredicate::ult &&
                          !compare.getLhs().getType().isInteger(1);
        // A Boolean true is -1 where it is signed.
        bool swap = p >= arith::CmpIPredicate::slt &&
                    p < arith::CmpIPredicate::ult &&
                    compare.getLhs().getType().isInteger(1);
        unsigned first = swap ? 1 : 0;
        std::string a =
            isUnsigned ? unsignedOperand(op.getOperand(0)) : operand(first);
        std::string b =
            isUnsigned ? unsignedOperand(op.getOperand(1)) : operand(1 - first);
        return number(a + " " + compareSign(p) + " " + b);
      })
      .Case<arith::SelectOp>([&](arith::SelectOp select) {
        if (std::optional<Extreme> extreme = matchExtreme(select)) {
          keep(result, Twine(extreme->isMax ? "maximum(" : "minimum(") +
                           get(extreme->a) + ", " + get(extreme->b) + ")");
          return true;
        }
        // The branches keep their type: no arithmetic happens here.
        keep(result, asOperand(get(op.getOperand(0))) + " ? " +
                         asOperand(get(op.getOperand(1))) + " : " +
                         asOperand(get(op.getOperand(2))));
        return true;
      })
      .Case<arith::ExtFOp, arith::TruncFOp>([&](auto) {
        if (isSmall)
          return number(op.getOperand(0).getType().isF64()
                            ? "(float)" + operand(0)
                            : operand(0));
        if (type.isF32() && !op.getOperand(0).getType().isF64())
          return number(operand(0));
        return number("(" + nameOf(type) + ")" + operand(0));
      })
      .Case<arith::SIToFPOp, arith::FPToSIOp, arith::IndexCastOp,
            arith::TruncIOp, arith::ExtSIOp>([&](auto) {
        Type from = op.getOperand(0).getType();
        if (isa<arith::TruncIOp>(op) && type.isInteger(1))
          return number("(" + operand(0) + " & 1) != 0");
        // i1 is 0 or -1 where it is signed.
        std::string text = from.isInteger(1) && !isa<arith::IndexCastOp>(op)
                               ? "-(int)" + operand(0)
                               : operand(0);
        if (from.isInteger(1))
          text = asOperand(text);
        return number("(" + (isSmall ? "float" : nameOf(type)) + ")" + text);
      })
      .Case<arith::UIToFPOp, arith::ExtUIOp, arith::IndexCastUIOp>([&](auto) {
        return number("(" + (isSmall ? "float" : nameOf(type)) + ")" +
                      unsignedOperand(op.getOperand(0)));
      })
      .Case<arith::FPToUIOp>([&](auto) {
        return number("(" + nameOf(type) + ")(" + unsignedNameOf(type) + ")" +
                      operand(0));
      })
      .Case<arith::BitcastOp>([&](auto) {
        Type from = op.getOperand(0).getType();
        std::string text = get(op.getOperand(0));
        if (from == type)
          keep(result, text);
        else
          keep(result, "bitCast<" + nameOf(type) + ">(" + text + ")");
        return true;
      })
      .Default([](Operation *) { return false; });
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

std::string Printer::element(Value memref, ArrayRef<std::string> indices) {
  const MemoryName &name = memory[memref];
  auto [strides, ignored] =
      getStridesAndOffset(cast<MemRefType>(memref.getType()));
  std::string position;
  for (auto [index, stride] : llvm::zip_equal(indices, strides))
    position = sum(position.empty() ? "0" : StringRef(position),
                   product(index, stride));
  if (position.empty())
    position = "0";
  return name.base + "[" + sum(name.offset, position) + "]";
}

bool Printer::printMemory(Operation &op) {
  auto indices = [&](ValueRange values) {
    SmallVector<std::string> texts;
    for (Value value : values)
      texts.push_back(get(value));
    return texts;
  };
  auto alias = [&](Value from) {
    memory[op.getResult(0)] = memory[from];
    return true;
  };
  return TypeSwitch<Operation *, bool>(&op)
      .Case<memref::LoadOp>([&](memref::LoadOp load) {
        // What is loaded must not move over a later store.
        keep(load.getResult(),
             element(load.getMemRef(), indices(load.getIndices())),
             /*mayMove=*/false);
        return true;
      })
      .Case<memref::StoreOp>([&](memref::StoreOp store) {
        writer.line(element(store.getMemRef(), indices(store.getIndices())) +
                    " = " + get(store.getValue()) + ";");
        return true;
      })
      .Case<memref::CastOp>(
          [&](memref::CastOp cast) { return alias(cast.getSource()); })
      .Case<memref::ExpandShapeOp>(
          [&](memref::ExpandShapeOp view) { return alias(view.getSrc()); })
      .Case<memref::CollapseShapeOp>(
          [&](memref::CollapseShapeOp view) { return alias(view.getSrc()); })
      .Case<memref::SubViewOp>([&](memref::SubViewOp view) {
        MemoryName name = memory[view.getSource()];
        auto [strides, ignored] = getStridesAndOffset(view.getSourceType());
        for (auto [offset, stride] :
             llvm::zip_equal(view.getMixedOffsets(), strides)) {
          std::optional<int64_t> constant = getConstantIntValue(offset);
          name.offset =
              sum(name.offset, product(constant ? std::to_string(*constant)
                                                : get(offset.get<Value>()),
                                       stride));
        }
        memory[view.getResult()] = name;
        return true;
      })
      .Case<memref::GetGlobalOp>([&](memref::GetGlobalOp get) {
        // A table of the text, which its schedule has bound.
        return memory.contains(get.getResult());
      })
      .Case<memref::DimOp>([&](memref::DimOp dim) {
        auto type = cast<MemRefType>(dim.getSource().getType());
        texts[dim.getResult()] =
            std::to_string(type.getDimSize(*dim.getConstantIndex()));
        return true;
      })
      .Default([](Operation *) { return false; });
}

//===----------------------------------------------------------------------===//
// Control flow
//===----------------------------------------------------------------------===//

LogicalResult Printer::printControl(Operation &op, bool &known) {
  if (auto conditional = dyn_cast<scf::IfOp>(op))
    return printIf(conditional);
  if (auto loop = dyn_cast<scf::ForOp>(op))
    return printFor(loop);
  if (auto loop = dyn_cast<scf::WhileOp>(op))
    return printWhile(loop);
  known = false;
  return failure();
}

LogicalResult Printer::printIf(scf::IfOp op) {
  SmallVector<std::string> names;
  for (Value result : op.getResults()) {
    writer.line(declare(result, "r") + ";");
    names.push_back(getAny(result));
  }
  auto branch = [&](Block &block) {
    if (failed(print(block)))
      return failure();
    for (auto [name, value] :
         llvm::zip_equal(names, block.getTerminator()->getOperands()))
      writer.line(name + " = " + getAny(value) + ";");
    return success();
  };
  writer.open("if (" + get(op.getCondition()) + ")");
  if (failed(branch(*op.thenBlock())))
    return failure();
  writer.close();
  if (Block *otherwise = op.elseBlock()) {
    writer.open("else");
    if (failed(branch(*otherwise)))
      return failure();
    writer.close();
  }
  return success();
}

/// Assigns `values` to `names` as if at once.
static void assignAll(CodeWriter &writer, ArrayRef<std::string> names,
                      ArrayRef<std::string> values) {
  SmallVector<std::string> sources(values);
  // A value that is another carried variable, or made of one, waits in a
  // variable of its own.
  for (size_t i = 0; i < names.size(); ++i)
    if (names.size() > 1 && values[i] != names[i]) {
      sources[i] = writer.unique("next");
      writer.line("const auto " + sources[i] + " = " + values[i] + ";");
    }
  for (auto [name, source] : llvm::zip_equal(names, sources))
    if (name != source)
      writer.line(name + " = " + source + ";");
}

LogicalResult Printer::printFor(scf::ForOp op) {
  SmallVector<std::string> names;
  for (auto [init, argument, result] : llvm::zip_equal(
           op.getInitArgs(), op.getRegionIterArgs(), op.getResults())) {
    writer.line(declare(argument, "acc") + " = " + getAny(init) + ";");
    names.push_back(getAny(argument));
    rename(result, names.back());
  }
  std::string iv = writer.unique("k");
  texts[op.getInductionVar()] = iv;
  std::string step = get(op.getStep());
  writer.open("for (" + nameOf(op.getInductionVar().getType()) + " " + iv +
              " = " + get(op.getLowerBound()) + "; " + iv + " < " +
              asOperand(get(op.getUpperBound())) + "; " +
              (step == "1" ? "++" + iv : iv + " += " + step) + ")");
  if (failed(print(*op.getBody())))
    return failure();
  SmallVector<std::string> values;
  for (Value value : op.getBody()->getTerminator()->getOperands())
    values.push_back(getAny(value));
  assignAll(writer, names, values);
  writer.close();
  return success();
}

LogicalResult Printer::printWhile(scf::WhileOp op) {
  SmallVector<std::string> names, results;
  for (auto [init, argument] :
       llvm::zip_equal(op.getInits(), op.getBeforeArguments())) {
    writer.line(declare(argument, "state") + " = " + getAny(init) + ";");
    names.push_back(getAny(argument));
  }
  for (Value result : op.getResults()) {
    writer.line(declare(result, "r") + ";");
    results.push_back(getAny(result));
  }
  writer.open("while (true)");
  if (failed(print(*op.getBeforeBody())))
    return failure();
  scf::ConditionOp condition = op.getConditionOp();
  for (auto [name, value, argument] :
       llvm::zip_equal(results, condition.getArgs(), op.getAfterArguments())) {
    writer.line(name + " = " + getAny(value) + ";");
    rename(argument, name);
  }
  writer.line("if (!" + asOperand(get(condition.getCondition())) + ")");
  writer.line("  break;");
  if (failed(print(*op.getAfterBody())))
    return failure();
  SmallVector<std::string> values;
  for (Value value : op.getAfterBody()->getTerminator()->getOperands())
    values.push_back(getAny(value));
  assignAll(writer, names, values);
  writer.close();
  return success();
}

} // namespace lathe::cuda
