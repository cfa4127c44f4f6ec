//===- ValueMatch.cpp - Values that two programs both have ----------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "ValueMatch.h"

#include "ExposedRun.h"
#include "dialects/Lathe/Lathe.h"
#include "llvm/ADT/MapVector.h"

#include <map>

namespace lathe {

namespace {
/// What a value is computed from, as a number: equal ones are computed alike.
class Structure {
public:
  explicit Structure(func::FuncOp function) {
    for (BlockArgument argument : function.getArguments()) {
      auto name = function.getArgAttrOfType<StringAttr>(argument.getArgNumber(),
                                                        "lathe.name");
      keys[argument] =
          llvm::hash_combine(0x1a, argument.getType().getAsOpaquePointer(),
                             name ? llvm::hash_value(name.getValue())
                                  : llvm::hash_value(argument.getArgNumber()));
    }
    addBlock(function.getBody().front());
  }
  llvm::hash_code of(Value value) const { return keys.lookup(value); }

private:
  void addBlock(Block &block) {
    for (Operation &op : block)
      addOp(&op);
  }
  void addOp(Operation *op) {
    llvm::hash_code key =
        llvm::hash_combine(op->getName().getAsOpaquePointer(),
                           op->getPropertiesAsAttribute().getAsOpaquePointer());
    for (Value operand : op->getOperands())
      key = llvm::hash_combine(key, keys.lookup(operand));
    for (Region &region : op->getRegions())
      for (Block &block : region) {
        for (BlockArgument argument : block.getArguments())
          keys[argument] = llvm::hash_combine(key, region.getRegionNumber(),
                                              argument.getArgNumber());
        addBlock(block);
      }
    for (Region &region : op->getRegions())
      for (Block &block : region)
        for (Value yielded : block.getTerminator()->getOperands())
          key = llvm::hash_combine(key, keys.lookup(yielded));
    for (OpResult result : op->getResults())
      keys[result] = llvm::hash_combine(key, result.getResultNumber(),
                                        result.getType().getAsOpaquePointer());
  }
  DenseMap<Value, llvm::hash_code> keys;
};
} // namespace

/// The op's kind, type and place in the model; "" where that is not known.
static std::string placeKey(Value value) {
  Operation *op = value.getDefiningOp();
  std::string key = formatLocation(op->getLoc());
  if (key.empty())
    return key;
  llvm::raw_string_ostream os(key);
  os << "\n"
     << op->getName() << cast<OpResult>(value).getResultNumber()
     << value.getType();
  for (Operation *parent = op->getParentOp(); parent;
       parent = parent->getParentOp())
    os << "/" << parent->getName();
  return os.str();
}

SmallVector<MatchedValue> matchValues(func::FuncOp here, func::FuncOp there) {
  SmallVector<Value> mine = listValues(here), theirs = listValues(there);
  auto isCandidate = [](Value value) {
    return !value.getDefiningOp<ConstantOp>();
  };
  Structure structureHere(here), structureThere(there);
  std::map<size_t, SmallVector<unsigned>> known;
  for (auto [place, value] : llvm::enumerate(theirs))
    if (isCandidate(value))
      known[structureThere.of(value)].push_back(place);
  SmallVector<int64_t> partner(mine.size(), -1);
  std::vector<bool> isTaken(theirs.size());
  std::map<size_t, unsigned> next;
  for (auto [place, value] : llvm::enumerate(mine)) {
    if (!isCandidate(value))
      continue;
    size_t key = structureHere.of(value);
    auto found = known.find(key);
    if (found == known.end())
      continue;
    // Of several that are alike, one after the other.
    unsigned &index = next[key];
    unsigned other =
        found->second[std::min<size_t>(index++, found->second.size() - 1)];
    partner[place] = other;
    isTaken[other] = true;
  }

  llvm::MapVector<StringRef,
                  std::pair<SmallVector<unsigned>, SmallVector<unsigned>>>
      groups;
  std::vector<std::string> texts;
  texts.reserve(mine.size() + theirs.size());
  for (auto [place, value] : llvm::enumerate(mine))
    if (isCandidate(value) && partner[place] < 0) {
      texts.push_back(placeKey(value));
      groups[texts.back()].first.push_back(place);
    }
  for (auto [place, value] : llvm::enumerate(theirs))
    if (isCandidate(value) && !isTaken[place]) {
      texts.push_back(placeKey(value));
      groups[texts.back()].second.push_back(place);
    }
  for (auto &[key, group] : groups)
    if (!key.empty() && group.first.size() == group.second.size())
      for (auto [a, b] : llvm::zip_equal(group.first, group.second))
        partner[a] = b;

  SmallVector<MatchedValue> result;
  for (auto [place, other] : llvm::enumerate(partner))
    if (other >= 0)
      result.push_back({unsigned(place), unsigned(other)});
  return result;
}

} // namespace lathe
