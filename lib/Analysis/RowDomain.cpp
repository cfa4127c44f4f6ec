//===- RowDomain.cpp - Ops that share the same rows -----------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Analysis/RowDomain.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace lathe;

/// Not yet known where an iteration dim stands.
static constexpr int kUnset = -2;
/// The dim has size 1 and needs no place in the domain.
static constexpr int kUnit = -1;

std::optional<OpAccess> lathe::getOpAccess(Operation *op) {
  auto fusible = dyn_cast<FusibleOpInterface>(op);
  if (!fusible)
    return std::nullopt;
  OpAccess access;
  access.kind = fusible.getFusionKind();
  if (access.kind != FusionKind::Elementwise &&
      access.kind != FusionKind::Reduction && access.kind != FusionKind::View)
    return std::nullopt;
  SmallVector<AffineMap> maps = fusible.getFusionMaps();
  if (maps.empty() || maps.size() != op->getNumOperands() + op->getNumResults())
    return std::nullopt;

  access.sizes.assign(maps.front().getNumDims(), ShapedType::kDynamic);
  auto addTensor = [&](AffineMap map, Type type, bool isResult) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    if (!tensor || !tensor.hasStaticShape() ||
        map.getNumResults() != tensor.getRank())
      return false;
    SmallVector<int> dims;
    for (auto [expr, size] : llvm::zip(map.getResults(), tensor.getShape())) {
      if (auto dim = dyn_cast<AffineDimExpr>(expr)) {
        dims.push_back(dim.getPosition());
        int64_t &known = access.sizes[dim.getPosition()];
        if (!ShapedType::isDynamic(known) && known != size)
          return false;
        known = size;
      } else if (size == 1 && isa<AffineConstantExpr>(expr)) {
        dims.push_back(kUnit);
      } else {
        return false;
      }
    }
    (isResult ? access.results : access.operands).push_back(std::move(dims));
    return true;
  };
  unsigned next = 0;
  for (Value operand : op->getOperands())
    if (!addTensor(maps[next++], operand.getType(), /*isResult=*/false))
      return std::nullopt;
  for (Value result : op->getResults())
    if (!addTensor(maps[next++], result.getType(), /*isResult=*/true))
      return std::nullopt;
  if (llvm::any_of(access.sizes, ShapedType::isDynamic))
    return std::nullopt;

  access.reduced.resize(access.sizes.size(), true);
  for (ArrayRef<int> dims : access.results)
    for (int dim : dims)
      if (dim >= 0)
        access.reduced.reset(dim);
  return access;
}

/// "{1, 2}" for messages.
static std::string toString(const llvm::SmallBitVector &set) {
  std::string text;
  llvm::raw_string_ostream os(text);
  os << "{";
  llvm::interleaveComma(set.set_bits(), os);
  os << "}";
  return text;
}

std::optional<RowDomain> RowDomain::start(Operation *op) {
  std::optional<OpAccess> access = getOpAccess(op);
  if (!access)
    return std::nullopt;
  RowDomain domain;
  domain.sizes = access->sizes;
  domain.reduced = access->reduced;
  auto dims = llvm::to_vector(llvm::seq<int>(0, domain.sizes.size()));
  domain.opDims[op] = SmallVector<int>(dims);
  domain.addResults(op, *access);
  return domain;
}

void RowDomain::addResults(Operation *op, const OpAccess &access) {
  ArrayRef<int> place = opDims.find(op)->second;
  for (auto [result, resultDims] :
       llvm::zip(op->getResults(), access.results)) {
    SmallVector<int> dims;
    for (int dim : resultDims)
      dims.push_back(dim < 0 ? kUnit : place[dim]);
    valueDims[result] = std::move(dims);
  }
}

LogicalResult RowDomain::checkReduced(const llvm::SmallBitVector &set,
                                      std::string &whyNot) const {
  if (set.none())
    return success();
  if (reduced.any() && set != reduced) {
    whyNot = "reduces dims " + toString(set) + " where the kernel reduces " +
             toString(reduced);
    return failure();
  }
  return success();
}

LogicalResult RowDomain::join(Operation *op, std::string &whyNot) {
  std::optional<OpAccess> access = getOpAccess(op);
  if (!access) {
    whyNot = "has no affine accesses that fusion could follow";
    return failure();
  }
  SmallVector<int> place(access->sizes.size(), kUnset);
  for (auto [operand, dims] : llvm::zip(op->getOperands(), access->operands)) {
    auto known = valueDims.find(operand);
    if (known == valueDims.end())
      continue;
    for (auto [dim, domainDim] : llvm::zip(dims, known->second)) {
      if (dim < 0)
        continue;
      if (place[dim] == kUnset || place[dim] == kUnit) {
        place[dim] = domainDim;
      } else if (domainDim != kUnit && place[dim] != domainDim) {
        whyNot = "reads values of the kernel at different indices";
        return failure();
      }
    }
  }

  // What is left is new to the values read: units, or a broadcast over the row.
  llvm::SmallBitVector used(sizes.size());
  for (int dim : place)
    if (dim >= 0)
      used.set(dim);
  int next = 0;
  for (auto [dim, size] : llvm::zip(place, access->sizes)) {
    if (dim >= 0) {
      next = dim + 1;
      continue;
    }
    if (size == 1) {
      dim = kUnit;
      continue;
    }
    while (next < static_cast<int>(sizes.size()) &&
           (used.test(next) || !reduced.test(next) || sizes[next] != size))
      ++next;
    if (next >= static_cast<int>(sizes.size())) {
      whyNot = "broadcasts the value, which would be computed again for every "
               "element it is broadcast to";
      return failure();
    }
    dim = next++;
  }

  int last = -1;
  llvm::SmallBitVector covered(sizes.size());
  for (auto [dim, size] : llvm::zip(place, access->sizes)) {
    if (dim < 0)
      continue;
    if (dim <= last || sizes[dim] != size) {
      whyNot = "walks the rows in another order";
      return failure();
    }
    last = dim;
    covered.set(dim);
  }
  for (unsigned dim = 0; dim < sizes.size(); ++dim)
    if (sizes[dim] != 1 && !covered.test(dim) && !reduced.test(dim)) {
      whyNot = "does not run over all rows of the kernel";
      return failure();
    }

  llvm::SmallBitVector opReduced(sizes.size());
  for (int dim : access->reduced.set_bits())
    if (place[dim] >= 0)
      opReduced.set(place[dim]);
  if (access->kind == FusionKind::Reduction && opReduced.none()) {
    whyNot = "reduces nothing within the rows of the kernel";
    return failure();
  }
  if (failed(checkReduced(opReduced, whyNot)))
    return failure();

  if (opReduced.any())
    reduced = opReduced;
  opDims[op] = std::move(place);
  addResults(op, *access);
  return success();
}

LogicalResult RowDomain::merge(const RowDomain &other, Operation *via,
                               std::string &whyNot) {
  auto viaPlace = opDims.find(via);
  std::optional<OpAccess> access = getOpAccess(via);
  if (viaPlace == opDims.end() || !access) {
    whyNot = "has no affine accesses that fusion could follow";
    return failure();
  }
  // Where the dims of `other` stand here, seen through the operands of `via`.
  SmallVector<int> place(other.sizes.size(), kUnset);
  for (auto [operand, dims] : llvm::zip(via->getOperands(), access->operands)) {
    auto known = other.valueDims.find(operand);
    if (known == other.valueDims.end())
      continue;
    for (auto [dim, otherDim] : llvm::zip(dims, known->second)) {
      if (otherDim < 0)
        continue;
      int here = dim < 0 ? kUnit : viaPlace->second[dim];
      if (place[otherDim] == kUnset || place[otherDim] == kUnit) {
        place[otherDim] = here;
      } else if (here != kUnit && place[otherDim] != here) {
        whyNot = "reads values of its producer at different indices";
        return failure();
      }
    }
  }
  llvm::SmallBitVector used(sizes.size());
  for (int dim : place)
    if (dim >= 0)
      used.set(dim);
  int next = 0;
  for (unsigned dim = 0; dim < place.size(); ++dim) {
    if (place[dim] >= 0) {
      next = place[dim] + 1;
      continue;
    }
    if (other.sizes[dim] == 1) {
      place[dim] = kUnit;
      continue;
    }
    while (next < static_cast<int>(sizes.size()) &&
           (used.test(next) || sizes[next] != other.sizes[dim]))
      ++next;
    if (place[dim] != kUnset || !other.reduced.test(dim) ||
        next >= static_cast<int>(sizes.size())) {
      whyNot = "reads its producer, which runs over other rows";
      return failure();
    }
    place[dim] = next++;
  }

  llvm::SmallBitVector otherReduced(sizes.size()), covered(sizes.size());
  int last = -1;
  for (unsigned dim = 0; dim < place.size(); ++dim) {
    if (place[dim] < 0)
      continue;
    if (place[dim] <= last || sizes[place[dim]] != other.sizes[dim]) {
      whyNot = "walks the rows of its producer in another order";
      return failure();
    }
    last = place[dim];
    covered.set(last);
    if (other.reduced.test(dim))
      otherReduced.set(last);
  }
  if (failed(checkReduced(otherReduced, whyNot))) {
    whyNot = "reads a kernel that " + whyNot;
    return failure();
  }
  llvm::SmallBitVector merged = reduced;
  merged |= otherReduced;
  for (unsigned dim = 0; dim < sizes.size(); ++dim)
    if (sizes[dim] != 1 && !covered.test(dim) && !merged.test(dim)) {
      whyNot = "broadcasts its producer, which would be computed again for "
               "every row";
      return failure();
    }

  reduced = std::move(merged);
  auto translate = [&](ArrayRef<int> dims) {
    return llvm::map_to_vector(
        dims, [&](int dim) { return dim < 0 ? kUnit : place[dim]; });
  };
  for (auto &[op, dims] : other.opDims)
    opDims[op] = translate(dims);
  for (auto &[value, dims] : other.valueDims)
    valueDims[value] = translate(dims);
  return success();
}

std::optional<ArrayRef<int>> RowDomain::getDims(Value value) const {
  auto it = valueDims.find(value);
  if (it == valueDims.end())
    return std::nullopt;
  return ArrayRef<int>(it->second);
}

ArrayRef<int> RowDomain::getDims(Operation *op) const {
  auto it = opDims.find(op);
  return it == opDims.end() ? ArrayRef<int>() : ArrayRef<int>(it->second);
}
