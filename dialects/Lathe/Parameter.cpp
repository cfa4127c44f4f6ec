//===- Parameter.cpp - Module-level parameters ----------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Inference.h"
#include "lathe/Support/KeyPattern.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/ADT/StringMap.h"

#define GET_OP_CLASSES
#include "dialects/Lathe/Parameter.cpp.inc"

void lathe::LatheDialect::addParameterOps() {
  addOperations<
#define GET_OP_LIST
#include "dialects/Lathe/Parameter.cpp.inc"
      >();
}

namespace lathe {

/// How many numbers an initializer takes after its kind: at least, at most.
static std::pair<int, int> numberCount(InitializerKind kind) {
  switch (kind) {
  case InitializerKind::constant:
    return {1, 1};
  case InitializerKind::uniform:
  case InitializerKind::normal:
  case InitializerKind::truncated_normal:
    return {2, 2};
  default:
    return {0, 0};
  }
}

static LogicalResult verifyInitializer(ParameterOp op,
                                       InitializerAttr initializer) {
  InitializerKind kind = initializer.getKind();
  FloatAttr a = initializer.getA(), b = initializer.getB();
  int given = (a ? 1 : 0) + (b ? 1 : 0);
  auto [least, most] = numberCount(kind);
  if (given < least || given > most)
    return op.emitOpError("expected ")
           << least << " numbers for initializer '"
           << stringifyInitializerKind(kind) << "', got " << given;
  for (FloatAttr number : {a, b})
    if (number && !number.getValue().isFinite())
      return op.emitOpError("expected finite numbers in the initializer");
  if (kind == InitializerKind::uniform &&
      a.getValueAsDouble() > b.getValueAsDouble())
    return op.emitOpError("expected low <= high in initializer 'uniform', got ")
           << a.getValueAsDouble() << " and " << b.getValueAsDouble();
  if ((kind == InitializerKind::normal ||
       kind == InitializerKind::truncated_normal) &&
      b.getValueAsDouble() < 0)
    return op.emitOpError("expected a standard deviation of 0 or more, got ")
           << b.getValueAsDouble();
  return success();
}

LogicalResult ParameterOp::verify() {
  auto type = cast<RankedTensorType>(getType());
  if (!type.hasStaticShape())
    return emitOpError("expected a static shape, got ")
           << shapeText(type.getShape());
  FailureOr<int64_t> count = elementCount(type.getShape());
  int64_t width = std::max(1u, type.getElementTypeBitWidth() / 8);
  FailureOr<int64_t> bytes = failure();
  if (succeeded(count))
    bytes = multiplySizes(*count, width);
  if (failed(bytes))
    return emitOpError("expected fewer than 2^63 bytes, got shape ")
           << shapeText(type.getShape());
  if (std::optional<StringRef> key = getKey()) {
    unsigned holes = KeyPattern(*key).holes();
    if (key->empty() || holes > 1)
      return emitOpError("expected a key with at most one '{}', got '")
             << *key << "'";
    if (holes == 1 && type.getRank() == 0)
      return emitOpError("expected a leading dim that '{}' in key '")
             << *key << "' counts, got rank 0";
  }
  if (Attribute attribute = (*this)->getAttr(mutableAttrName))
    if (!isa<UnitAttr>(attribute))
      return emitOpError("expected 'mutable' without a value, got ")
             << attribute;
  if (InitializerAttr initializer = getInitAttr())
    if (failed(verifyInitializer(*this, initializer)))
      return failure();
  if (!getFile()) {
    if (getFileOffset() || getFileBytes())
      return emitOpError(
          "expected 'file' beside 'file_offset' and 'file_bytes'");
    return success();
  }
  if (getFile()->empty())
    return emitOpError("expected a file name in 'file'");
  int64_t offset = getFileOffset().value_or(0);
  if (offset < 0)
    return emitOpError("expected 'file_offset' of 0 or more, got ") << offset;
  if (getFileBytes() && int64_t(*getFileBytes()) != *bytes)
    return emitOpError("expected 'file_bytes' of ")
           << *bytes << " for " << type << ", got " << int64_t(*getFileBytes());
  if (failed(addSizes(offset, *bytes)))
    return emitOpError("expected 'file_offset' + 'file_bytes' below 2^63");
  return success();
}

/// The parameter that `op` names, which must be of type `type`.
static FailureOr<ParameterOp> lookUp(Operation *op, FlatSymbolRefAttr name,
                                     Type type,
                                     SymbolTableCollection &symbolTable) {
  auto parameter = symbolTable.lookupNearestSymbolFrom<ParameterOp>(op, name);
  if (!parameter)
    return op->emitOpError("expected a parameter named '")
           << name.getValue() << "'";
  if (parameter.getType() != type) {
    InFlightDiagnostic error = op->emitOpError("expected the parameter's type ")
                               << parameter.getType() << ", got " << type;
    error.attachNote(parameter.getLoc()) << "parameter declared here";
    return error;
  }
  return parameter;
}

LogicalResult
GetParameterOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  return lookUp(*this, getNameAttr(), getType(), symbolTable);
}

LogicalResult
SetParameterOp::verifySymbolUses(SymbolTableCollection &symbolTable) {
  FailureOr<ParameterOp> parameter =
      lookUp(*this, getNameAttr(), getValue().getType(), symbolTable);
  if (failed(parameter))
    return failure();
  if (!parameter->isMutable()) {
    InFlightDiagnostic error =
        emitOpError("expected a mutable parameter, got '")
        << getName() << "', which is not";
    error.attachNote(parameter->getLoc()) << "parameter declared here";
    return error;
  }
  return success();
}

LogicalResult SetParameterOp::verify() {
  if (!isa<FunctionOpInterface>((*this)->getParentOp()))
    return emitOpError("expected to stand in the top block of a function, got "
                       "one in '")
           << (*this)->getParentOp()->getName() << "'";
  // The first of a block looks at all that follow.
  for (Operation *op = (*this)->getPrevNode(); op; op = op->getPrevNode())
    if (isa<SetParameterOp>(op))
      return success();
  llvm::StringMap<SetParameterOp> seen;
  for (Operation *op = *this; op; op = op->getNextNode()) {
    auto set = dyn_cast<SetParameterOp>(op);
    if (!set)
      continue;
    auto [it, isNew] = seen.try_emplace(set.getName(), set);
    if (isNew)
      continue;
    InFlightDiagnostic error = set.emitOpError("expected at most one for '")
                               << set.getName() << "'";
    error.attachNote(it->second.getLoc()) << "the other one is here";
    return error;
  }
  return success();
}

} // namespace lathe
