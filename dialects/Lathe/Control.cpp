//===- Control.cpp - Kernels, loops and branches --------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Inference.h"

#define GET_OP_CLASSES
#include "dialects/Lathe/Control.cpp.inc"

void lathe::LatheDialect::addControlOps() {
  addOperations<
#define GET_OP_LIST
#include "dialects/Lathe/Control.cpp.inc"
      >();
}

namespace lathe {

//===----------------------------------------------------------------------===//
// Shared syntax and checks
//===----------------------------------------------------------------------===//

/// `(%a = %x, %b = %y)`: region arguments and the values they start from.
static ParseResult
parseBindings(OpAsmParser &parser,
              SmallVectorImpl<OpAsmParser::Argument> &arguments,
              SmallVectorImpl<OpAsmParser::UnresolvedOperand> &operands) {
  return parser.parseCommaSeparatedList(
      OpAsmParser::Delimiter::Paren, [&]() -> ParseResult {
        return failure(parser.parseArgument(arguments.emplace_back()) ||
                       parser.parseEqual() ||
                       parser.parseOperand(operands.emplace_back()));
      });
}

static void printBindings(OpAsmPrinter &p, ValueRange arguments,
                          ValueRange operands) {
  p << '(';
  llvm::interleaveComma(llvm::zip(arguments, operands), p, [&](auto pair) {
    p << std::get<0>(pair) << " = " << std::get<1>(pair);
  });
  p << ')';
}

/// `: (operand types) -> result types`, resolving the operands.
static ParseResult parseTypes(OpAsmParser &parser,
                              ArrayRef<OpAsmParser::UnresolvedOperand> operands,
                              FunctionType &type, OperationState &result) {
  SMLoc location = parser.getCurrentLocation();
  if (parser.parseColonType(type))
    return failure();
  result.addTypes(type.getResults());
  return parser.resolveOperands(operands, type.getInputs(), location,
                                result.operands);
}

/// Checks the block's arguments and the values that its terminator yields.
static LogicalResult verifyBlock(Operation *op, Region &region, StringRef what,
                                 TypeRange arguments, TypeRange yields) {
  Block &block = region.front();
  if (block.getNumArguments() != arguments.size())
    return op->emitOpError("expected ")
           << arguments.size() << " arguments of the " << what << ", got "
           << block.getNumArguments();
  for (auto [i, got, expected] :
       llvm::enumerate(block.getArgumentTypes(), arguments))
    if (!areCompatibleTypes(expected, got))
      return op->emitOpError("expected argument ")
             << i << " of the " << what << " of type " << expected << ", got "
             << got;
  auto yield = block.empty() ? YieldOp() : dyn_cast<YieldOp>(block.back());
  if (!yield)
    return op->emitOpError("expected 'lathe.yield' at the end of the ") << what;
  if (yield.getNumOperands() != yields.size())
    return op->emitOpError("expected the ")
           << what << " to yield " << yields.size() << " values, got "
           << yield.getNumOperands();
  for (auto [i, got, expected] :
       llvm::enumerate(yield.getOperandTypes(), yields))
    if (!areCompatibleTypes(expected, got))
      return op->emitOpError("expected the ")
             << what << " to yield " << expected << " as value " << i
             << ", got " << got;
  return success();
}

//===----------------------------------------------------------------------===//
// KernelOp
//===----------------------------------------------------------------------===//

ParseResult KernelOp::parse(OpAsmParser &parser, OperationState &result) {
  SmallVector<OpAsmParser::Argument> arguments;
  SmallVector<OpAsmParser::UnresolvedOperand> operands;
  StringAttr name, schedule;
  FunctionType type;
  if (parser.parseAttribute(name, "name", result.attributes) ||
      parser.parseKeyword("schedule") ||
      parser.parseAttribute(schedule, "schedule", result.attributes) ||
      parseBindings(parser, arguments, operands) ||
      parseTypes(parser, operands, type, result) ||
      parser.parseOptionalAttrDictWithKeyword(result.attributes))
    return failure();
  for (auto [argument, argumentType] :
       llvm::zip_equal(arguments, type.getInputs()))
    argument.type = argumentType;
  return parser.parseRegion(*result.addRegion(), arguments);
}

void KernelOp::print(OpAsmPrinter &p) {
  p << ' ' << getNameAttr() << " schedule " << getScheduleAttr() << ' ';
  printBindings(p, getBody().getArguments(), getInputs());
  p << " : ";
  p.printFunctionalType(*this);
  p.printOptionalAttrDictWithKeyword((*this)->getAttrs(), {"name", "schedule"});
  p << ' ';
  p.printRegion(getBody(), /*printEntryBlockArgs=*/false);
}

LogicalResult KernelOp::verify() {
  if (getName().empty())
    return emitOpError("expected a name");
  return verifyBlock(*this, getBody(), "body", getInputs().getTypes(),
                     getResultTypes());
}

//===----------------------------------------------------------------------===//
// ScanOp
//===----------------------------------------------------------------------===//

/// The type of one slice of a stacked tensor; null for rank 0.
static RankedTensorType sliceType(Type stacked) {
  auto type = dyn_cast<RankedTensorType>(stacked);
  if (!type || type.getRank() == 0)
    return {};
  return RankedTensorType::get(type.getShape().drop_front(),
                               type.getElementType());
}

ParseResult ScanOp::parse(OpAsmParser &parser, OperationState &result) {
  SmallVector<OpAsmParser::Argument> arguments;
  SmallVector<OpAsmParser::UnresolvedOperand> operands;
  if (succeeded(parser.parseOptionalKeyword("init")) &&
      parseBindings(parser, arguments, operands))
    return failure();
  size_t carried = operands.size();
  if (succeeded(parser.parseOptionalKeyword("inputs")) &&
      parseBindings(parser, arguments, operands))
    return failure();
  FunctionType type;
  if (parser.parseOptionalAttrDict(result.attributes))
    return failure();
  SMLoc location = parser.getCurrentLocation();
  if (parseTypes(parser, operands, type, result))
    return failure();
  if (type.getNumResults() < carried)
    return parser.emitError(location, "expected at least ")
           << carried << " result types, one per carried value";
  for (auto [i, argument] : llvm::enumerate(arguments)) {
    // A carried value may be less precise than its start.
    argument.type =
        i < carried ? type.getResult(i) : sliceType(type.getInput(i));
    if (!argument.type)
      return parser.emitError(location, "expected inputs of rank 1 or more, "
                                        "got ")
             << type.getInput(i);
  }
  result.getOrAddProperties<Properties>().operandSegmentSizes = {
      int32_t(carried), int32_t(operands.size() - carried)};
  return parser.parseRegion(*result.addRegion(), arguments);
}

void ScanOp::print(OpAsmPrinter &p) {
  ArrayRef<BlockArgument> arguments = getBody().getArguments();
  if (!getInits().empty()) {
    p << " init";
    printBindings(p, arguments.take_front(getNumCarried()), getInits());
  }
  if (!getInputs().empty()) {
    p << " inputs";
    printBindings(p, arguments.drop_front(getNumCarried()), getInputs());
  }
  p.printOptionalAttrDict((*this)->getAttrs(), {"operandSegmentSizes"});
  p << " : ";
  p.printFunctionalType(*this);
  p << ' ';
  p.printRegion(getBody(), /*printEntryBlockArgs=*/false);
}

int64_t ScanOp::computeTripCount() {
  for (Value input : getInputs()) {
    RankedTensorType type = getTensorType(input);
    if (type.getRank() > 0 && !type.isDynamicDim(0))
      return type.getDimSize(0);
  }
  if (std::optional<int64_t> count = getTripCount())
    return *count;
  return ShapedType::kDynamic;
}

LogicalResult ScanOp::verify() {
  if (getInputs().empty() && !getTripCount())
    return emitOpError("expected 'trip_count' where there are no inputs");
  if (getTripCount() && int64_t(*getTripCount()) < 0)
    return emitOpError("expected 'trip_count' of 0 or more, got ")
           << int64_t(*getTripCount());
  size_t carried = getNumCarried();
  if (getNumResults() < carried)
    return emitOpError("expected at least ")
           << carried << " results, one per carried value, got "
           << getNumResults();
  int64_t trips = computeTripCount();
  if (getTripCount() && int64_t(*getTripCount()) != trips)
    return emitOpError("expected inputs with a leading dim of 'trip_count' ")
           << int64_t(*getTripCount()) << ", got " << trips;
  SmallVector<Type> arguments(getInits().getTypes());
  for (Value input : getInputs()) {
    RankedTensorType slice = sliceType(input.getType());
    if (!slice)
      return emitOpError("expected inputs of rank 1 or more, got ")
             << input.getType();
    int64_t size = getTensorType(input).getDimSize(0);
    if (!ShapedType::isDynamic(size) && size != trips)
      return emitOpError("expected inputs with equal leading dims, got ")
             << trips << " and " << size;
    arguments.push_back(slice);
  }
  SmallVector<Type> yields(getResults().take_front(carried).getTypes());
  for (auto [init, result] : llvm::zip(getInits(), getResults()))
    if (!areCompatibleTypes(init.getType(), result.getType()))
      return emitOpError("expected a carried value of one type, got ")
             << init.getType() << " at the start and " << result.getType()
             << " at the end";
  for (Value stacked : getResults().drop_front(carried)) {
    RankedTensorType slice = sliceType(stacked.getType());
    if (!slice)
      return emitOpError("expected stacked results of rank 1 or more, got ")
             << stacked.getType();
    int64_t size = getTensorType(stacked).getDimSize(0);
    if (!ShapedType::isDynamic(size) && !ShapedType::isDynamic(trips) &&
        size != trips)
      return emitOpError("expected stacked results with leading dim ")
             << trips << ", got " << size;
    yields.push_back(slice);
  }
  return verifyBlock(*this, getBody(), "body", arguments, yields);
}

//===----------------------------------------------------------------------===//
// IfOp and WhileOp
//===----------------------------------------------------------------------===//

static LogicalResult verifyCondition(Operation *op, Type type) {
  auto tensor = cast<RankedTensorType>(type);
  if (tensor.getRank() != 0 || !tensor.getElementType().isInteger(1))
    return op->emitOpError("expected a condition of type tensor<i1>, got ")
           << type;
  return success();
}

LogicalResult IfOp::verify() {
  if (failed(verifyCondition(*this, getCondition().getType())) ||
      failed(verifyBlock(*this, getThenRegion(), "first branch", {},
                         getResultTypes())))
    return failure();
  return verifyBlock(*this, getElseRegion(), "second branch", {},
                     getResultTypes());
}

// lathe.while (%a = %x) : (tensor<4xf32>) -> tensor<4xf32> {
//   lathe.yield %condition : tensor<i1>
// } do {
// ^bb0(%b: tensor<4xf32>):
//   lathe.yield %next : tensor<4xf32>
// }
ParseResult WhileOp::parse(OpAsmParser &parser, OperationState &result) {
  SmallVector<OpAsmParser::Argument> arguments;
  SmallVector<OpAsmParser::UnresolvedOperand> operands;
  FunctionType type;
  if (parseBindings(parser, arguments, operands))
    return failure();
  SMLoc location = parser.getCurrentLocation();
  if (parseTypes(parser, operands, type, result) ||
      parser.parseOptionalAttrDictWithKeyword(result.attributes))
    return failure();
  if (type.getNumResults() != arguments.size())
    return parser.emitError(location, "expected ")
           << arguments.size() << " result types, one per carried value";
  for (auto [argument, argumentType] :
       llvm::zip_equal(arguments, type.getResults()))
    argument.type = argumentType;
  return failure(parser.parseRegion(*result.addRegion(), arguments) ||
                 parser.parseKeyword("do") ||
                 parser.parseRegion(*result.addRegion()));
}

void WhileOp::print(OpAsmPrinter &p) {
  p << ' ';
  printBindings(p, getCondition().getArguments(), getInits());
  p << " : ";
  p.printFunctionalType(*this);
  p.printOptionalAttrDictWithKeyword((*this)->getAttrs());
  p << ' ';
  p.printRegion(getCondition(), /*printEntryBlockArgs=*/false);
  p << " do ";
  p.printRegion(getBody());
}

LogicalResult WhileOp::verify() {
  if (!areCompatibleTypes(getInits().getTypes(), getResultTypes()))
    return emitOpError("expected results of the types of the carried values");
  Type boolean = RankedTensorType::get({}, IntegerType::get(getContext(), 1));
  if (failed(verifyBlock(*this, getCondition(), "condition", getResultTypes(),
                         boolean)))
    return failure();
  return verifyBlock(*this, getBody(), "body", getResultTypes(),
                     getResultTypes());
}

} // namespace lathe
