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

std::optional<Combiner> Combiner::match(const RowProgram::Step &step,
                                        std::string &whyNot) {
  linalg::GenericOp generic = step.op;
  Combiner combiner;
  if (step.results.size() != 1) {
    whyNot = "a reduction has several results";
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
      .Default("total");
}

} // namespace lathe::cuda
