//===- SiteObserver.cpp - What flows into quantizable ops -----------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SiteObserver.h"

#include "DataRun.h"

namespace lathe {

SiteObserver::SiteObserver(OwningOpRef<ModuleOp> taken, StringRef entry)
    : module(std::move(taken)), entry(entry) {
  DenseMap<Value, unsigned> numbers;
  for (QuantizationSite &site : listQuantizationSites(function())) {
    if (site.op->getParentOfType<WhileOp>()) {
      ++hidden;
      continue;
    }
    auto [number, isNew] = numbers.try_emplace(site.value, observed.size());
    if (isNew)
      observed.push_back({site.value, findLayerScans(site.value), {}, 0});
    valueOfSite.push_back(number->second);
    listed.push_back(std::move(site));
  }
  // What a loop carries or slices is no op's result: one hands it on.
  DenseMap<Value, unsigned> results;
  for (auto [number, one] : llvm::enumerate(observed)) {
    Value value = one.value;
    one.bytes = countExposedBytes(value);
    auto argument = dyn_cast<BlockArgument>(value);
    if (argument && argument.getOwner()->getParentOp() == function())
      continue;
    if (argument) {
      auto builder = OpBuilder::atBlockBegin(argument.getOwner());
      value = builder.create<ReshapeOp>(
          value.getLoc(), value.getType(), value,
          builder.getDenseI64ArrayAttr(
              cast<RankedTensorType>(value.getType()).getShape()));
    }
    results[value] = number;
  }
  for (auto [place, value] : llvm::enumerate(listValues(function())))
    if (auto number = results.find(value); number != results.end())
      observed[number->second].place = place;
}

func::FuncOp SiteObserver::function() const {
  return ModuleOp(*module).lookupSymbol<func::FuncOp>(entry);
}

int64_t SiteObserver::rangeOf(unsigned site, int64_t i) const {
  const Observed &value = observed[valueOfSite[site]];
  // The scans of the value are the outer ones of the site.
  return i / (listed[site].numRanges() / value.numRanges());
}

std::vector<SmallVector<unsigned>> SiteObserver::groups() const {
  std::vector<uint64_t> bytes;
  for (const Observed &value : observed)
    bytes.push_back(value.bytes);
  return groupByBytes(bytes);
}

unsigned SiteObserver::passesOverData() const { return groups().size(); }

llvm::Error SiteObserver::run(
    const CompileOptions &compile, const ModelOptions &options, ModelData &data,
    llvm::function_ref<void(unsigned, int64_t, const TensorView &)> see,
    llvm::function_ref<void()> step) {
  for (const SmallVector<unsigned> &group : groups()) {
    SmallVector<unsigned> wanted;
    for (unsigned number : group)
      if (observed[number].place)
        wanted.push_back(*observed[number].place);
    llvm::sort(wanted);
    auto program = makeExposed(*module, entry, wanted, compile, options);
    if (!program)
      return program.takeError();
    auto look = [&](ArrayRef<TensorView> inputs) -> llvm::Error {
      auto result = program->run(inputs);
      if (!result)
        return result.takeError();
      for (unsigned number : group) {
        const Observed &value = observed[number];
        TensorView stacked =
            value.place
                ? result
                      ->values[llvm::lower_bound(wanted, *value.place) -
                               wanted.begin()]
                      .view()
                : inputs[cast<BlockArgument>(value.value).getArgNumber()];
        splitByRange(value.value, value.scans, stacked,
                     [&](int64_t range, const TensorView &part) {
                       see(number, range, part);
                     });
      }
      return llvm::Error::success();
    };
    if (llvm::Error error = forEachBatch(data, step, look))
      return error;
  }
  return llvm::Error::success();
}

} // namespace lathe
