//===- SpecializeShapes.cpp - Shapes of an entry function's arguments -----===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Transforms/Specialize.h"

#include "llvm/ADT/StringSet.h"

namespace lathe {

/// "argument 0 ('input_ids')"
static std::string argumentText(func::FuncOp entry, unsigned index) {
  std::string text = "argument " + std::to_string(index);
  if (auto name = entry.getArgAttrOfType<StringAttr>(index, "lathe.name"))
    text += " ('" + name.str() + "')";
  return text;
}

/// The name of an open size, or "".
static StringRef dimName(func::FuncOp entry, unsigned index, size_t dim) {
  auto names = entry.getArgAttrOfType<ArrayAttr>(index, "lathe.dims");
  if (!names || dim >= names.size())
    return "";
  auto name = dyn_cast<StringAttr>(names[dim]);
  return name ? name.getValue() : "";
}

static std::string shapeText(ArrayRef<int64_t> shape) {
  std::string text = "[";
  for (auto [i, size] : llvm::enumerate(shape))
    text += (i ? ", " : "") +
            (ShapedType::isDynamic(size) ? "?" : std::to_string(size));
  return text + "]";
}

/// Refuses a shape that the argument's declared type contradicts. Sizes may be
/// kDynamic where `mayBeOpen`.
static LogicalResult checkShape(func::FuncOp entry, unsigned index,
                                ArrayRef<int64_t> shape, bool mayBeOpen) {
  auto type = dyn_cast<RankedTensorType>(entry.getArgument(index).getType());
  if (!type)
    return entry.emitError("expected ")
           << argumentText(entry, index) << " to be a tensor, got "
           << entry.getArgument(index).getType();
  bool agrees = int64_t(shape.size()) == type.getRank();
  for (size_t d = 0; agrees && d < shape.size(); ++d) {
    if (ShapedType::isDynamic(shape[d]))
      agrees = mayBeOpen;
    else
      agrees = shape[d] >= 0 &&
               (type.isDynamicDim(d) || type.getDimSize(d) == shape[d]);
  }
  if (!agrees)
    return entry.emitError("expected ")
           << argumentText(entry, index) << " of shape "
           << shapeText(type.getShape()) << ", got " << shapeText(shape);
  return success();
}

LogicalResult checkArgumentShapes(func::FuncOp entry,
                                  ArrayRef<SmallVector<int64_t>> shapes) {
  if (shapes.size() != entry.getNumArguments())
    return entry.emitError("expected ")
           << entry.getNumArguments() << " argument shapes, got "
           << shapes.size();
  llvm::StringMap<std::pair<int64_t, unsigned>> named;
  for (auto [i, shape] : llvm::enumerate(shapes)) {
    if (failed(checkShape(entry, i, shape, /*mayBeOpen=*/false)))
      return failure();
    for (size_t d = 0; d < shape.size(); ++d) {
      StringRef name = dimName(entry, i, d);
      if (name.empty())
        continue;
      auto [it, isNew] = named.try_emplace(name, shape[d], i);
      if (!isNew && it->second.first != shape[d])
        return entry.emitError("expected dim '")
               << name << "' of one size, got " << it->second.first << " in "
               << argumentText(entry, it->second.second) << " and " << shape[d]
               << " in " << argumentText(entry, i);
    }
  }
  return success();
}

FailureOr<SmallVector<SmallVector<int64_t>>>
resolveShapes(func::FuncOp entry, const llvm::StringMap<int64_t> &dims,
              const DenseMap<unsigned, SmallVector<int64_t>> &given) {
  unsigned count = entry.getNumArguments();
  for (const auto &[index, shape] : given)
    if (index >= count)
      return entry.emitError("expected shapes of ")
             << count << " arguments, got one for argument " << index;
  // What one shape tells of a name holds for all arguments.
  llvm::StringMap<int64_t> known = dims;
  for (unsigned i = 0; i < count; ++i) {
    auto it = given.find(i);
    if (it == given.end())
      continue;
    if (failed(checkShape(entry, i, it->second, /*mayBeOpen=*/true)))
      return failure();
    for (auto [d, size] : llvm::enumerate(it->second))
      if (StringRef name = dimName(entry, i, d);
          !name.empty() && !ShapedType::isDynamic(size))
        known.try_emplace(name, size);
  }
  SmallVector<SmallVector<int64_t>> shapes;
  llvm::StringSet<> used;
  for (unsigned i = 0; i < count; ++i) {
    auto type = dyn_cast<RankedTensorType>(entry.getArgument(i).getType());
    auto it = given.find(i);
    SmallVector<int64_t> shape;
    if (it != given.end())
      shape = it->second;
    else if (type)
      shape.assign(type.getShape().begin(), type.getShape().end());
    for (auto [d, size] : llvm::enumerate(shape)) {
      StringRef name = dimName(entry, i, d);
      auto dim = known.find(name);
      if (!name.empty() && dim != known.end()) {
        used.insert(name);
        // A size that says otherwise is refused by checkArgumentShapes.
        if (ShapedType::isDynamic(size))
          size = dim->second;
      }
      if (ShapedType::isDynamic(size)) {
        InFlightDiagnostic error =
            entry.emitError("expected a size for dim ")
            << d << " of " << argumentText(entry, i) << ", declared as "
            << (type ? shapeText(type.getShape()) : "no tensor");
        if (!name.empty())
          error << "; give dim '" << name << "'";
        return error;
      }
    }
    shapes.push_back(std::move(shape));
  }
  for (const auto &dim : dims)
    if (!used.contains(dim.getKey()))
      return entry.emitError("expected the name of an argument's dim, got '")
             << dim.getKey() << "'";
  return shapes;
}

} // namespace lathe
