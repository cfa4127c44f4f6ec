//===- Combiner.cpp - How two partial results of a reduction join ---------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Combiner.h"
#include "Printer.h"

#include "llvm/ADT/StringSwitch.h"

namespace lathe::cuda {

static StringRef structOf(Operation &op) {
  return llvm::StringSwitch<StringRef>(op.getName().getStringRef())
      .Case("arith.addf", "Sum")
      .Case("arith.addi", "WrapSum")
      .Case("arith.mulf", "Product")
      .Case("arith.muli", "WrapProduct")
      .Case("arith.maximumf", "Maximum")
      .Case("arith.minimumf", "Minimum")
      .Case("arith.maxsi", "Larger")
      .Case("arith.minsi", "Smaller")
      .Case("arith.maxui", "LargerUnsigned")
      .Case("arith.minui", "SmallerUnsigned")
      .Case("arith.andi", "And")
      .Case("arith.ori", "Or")
      .Case("arith.xori", "Xor")
      .Default("");
}

/// Whether joining `start` again and again changes nothing.
static bool isNeutral(StringRef name, TypedAttr start) {
  auto number = dyn_cast<FloatAttr>(start);
  auto integer = dyn_cast<IntegerAttr>(start);
  if (name == "Sum")
    return number && number.getValue().isZero();
  if (name == "Product")
    return number && number.getValue().isExactlyValue(1.0);
  if (name == "WrapSum" || name == "Xor")
    return integer && integer.getValue().isZero();
  if (name == "WrapProduct")
    return integer && integer.getValue().isOne();
  return true;
}

/// Collects what `value` is made of, in order, down to `leaves` and constants;
/// false where anything else is reached.
static bool collectSlice(Value value, ArrayRef<Value> leaves, Block *body,
                         SmallVectorImpl<Operation *> &ops) {
  if (llvm::is_contained(leaves, value) || matchPattern(value, m_Constant()))
    return true;
  Operation *op = value.getDefiningOp();
  if (!op || op->getBlock() != body || op->getNumRegions())
    return false;
  for (Value operand : op->getOperands())
    if (!collectSlice(operand, leaves, body, ops))
      return false;
  if (!llvm::is_contained(ops, op))
    ops.push_back(op);
  return true;
}

std::optional<Combiner> Combiner::matchSearch(const RowProgram::Step &step,
                                              std::string &whyNot) {
  linalg::GenericOp generic = step.op;
  Block *body = generic.getBody();
  Combiner combiner;
  combiner.isSearch = true;
  combiner.name = "Search";
  whyNot = "a reduction of several values is no search for the best one";
  auto arguments = body->getArguments().take_back(2);
  auto first =
      body->getTerminator()->getOperand(0).getDefiningOp<arith::SelectOp>();
  auto second =
      body->getTerminator()->getOperand(1).getDefiningOp<arith::SelectOp>();
  if (!first || !second || first.getCondition() != second.getCondition() ||
      first.getFalseValue() != arguments[0] ||
      second.getFalseValue() != arguments[1] || !arguments[1].hasOneUse() ||
      !arguments[1].getType().isInteger(64) || !step.inits[0] || !step.inits[1])
    return std::nullopt;
  combiner.incoming = first.getTrueValue();
  combiner.position = second.getTrueValue();
  combiner.condition = first.getCondition();
  combiner.ops = {first, second};
  // Positions are those of a loop, in which each thread moves upwards.
  auto cast = combiner.position.getDefiningOp<arith::IndexCastOp>();
  if (!cast || !cast.getIn().getDefiningOp<linalg::IndexOp>() ||
      !collectSlice(combiner.condition, {combiner.incoming, arguments[0]}, body,
                    combiner.conditionOps))
    return std::nullopt;
  for (Operation *user : arguments[0].getUsers())
    if (user != first && !llvm::is_contained(combiner.conditionOps, user))
      return std::nullopt;
  return combiner;
}

std::optional<Combiner> Combiner::match(const RowProgram::Step &step,
                                        std::string &whyNot) {
  linalg::GenericOp generic = step.op;
  Combiner combiner;
  if (step.results.size() == 2)
    return matchSearch(step, whyNot);
  if (step.results.size() != 1) {
    whyNot = "a reduction has more than two results";
    return std::nullopt;
  }
  Value accumulator = generic.getBody()->getArguments().back();
  Value result = generic.getBody()->getTerminator()->getOperand(0);
  Operation *join = result.getDefiningOp();
  if (auto select = dyn_cast_or_null<arith::SelectOp>(join)) {
    std::optional<Extreme> extreme = matchExtreme(select);
    if (extreme && extreme->a == accumulator) {
      combiner.name = extreme->isMax ? "Maximum" : "Minimum";
      combiner.incoming = extreme->b;
      Operation *inner = select.getFalseValue().getDefiningOp();
      combiner.ops = {join, inner, select.getCondition().getDefiningOp(),
                      inner->getOperand(0).getDefiningOp()};
    }
  } else if (join && join->getNumOperands() == 2 &&
             llvm::is_contained(join->getOperands(), accumulator)) {
    combiner.name = structOf(*join);
    combiner.incoming = join->getOperand(join->getOperand(0) == accumulator);
    combiner.ops = {join};
  }
  if (accumulator.getType().isF16() || accumulator.getType().isBF16())
    combiner.name = "";
  // The accumulator must be used by the join alone.
  bool isApart = llvm::all_of(accumulator.getUsers(), [&](Operation *user) {
    return llvm::is_contained(combiner.ops, user);
  });
  if (combiner.name.empty() || !isApart || combiner.incoming == accumulator) {
    whyNot = "a reduction joins its values in a way that has no name";
    return std::nullopt;
  }
  if (!step.inits.front() || !isNeutral(combiner.name, step.inits.front())) {
    whyNot = "a reduction starts at a value that changes its result";
    return std::nullopt;
  }
  return combiner;
}

std::string Combiner::statement(StringRef accumulator, StringRef x) const {
  std::string a = accumulator.str(), b = asOperand(x);
  StringRef sign = llvm::StringSwitch<StringRef>(name)
                       .Case("Sum", "+")
                       .Case("Product", "*")
                       .Case("And", "&")
                       .Case("Or", "|")
                       .Case("Xor", "^")
                       .Default("");
  if (!sign.empty())
    return a + " " + sign.str() + "= " + x.str() + ";";
  StringRef function = llvm::StringSwitch<StringRef>(name)
                           .Case("WrapSum", "wrapAdd")
                           .Case("WrapProduct", "wrapMul")
                           .Case("Maximum", "maximum")
                           .Case("Minimum", "minimum")
                           .Case("Larger", "larger")
                           .Case("Smaller", "smaller")
                           .Default("");
  std::string call = function.empty() ? name.str() + "::join" : function.str();
  return a + " = " + call + "(" + a + ", " + x.str() + ");";
}

StringRef Combiner::wish() const {
  return llvm::StringSwitch<StringRef>(name)
      .Cases("Sum", "WrapSum", "sum")
      .Cases("Product", "WrapProduct", "product")
      .Cases("Maximum", "Larger", "LargerUnsigned", "largest")
      .Cases("Minimum", "Smaller", "SmallerUnsigned", "smallest")
      .Case("Search", "best")
      .Default("total");
}

} // namespace lathe::cuda
