//===- SiteObserver.cpp - What flows into quantizable ops -----------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SiteObserver.h"

#include "ExposedRun.h"

namespace lathe {

SmallVector<ScanOp> findScansAround(Value value) {
  SmallVector<ScanOp> scans;
  for (Operation *op = value.getParentBlock()->getParentOp(); op;
       op = op->getParentOp())
    if (auto scan = dyn_cast<ScanOp>(op))
      scans.insert(scans.begin(), scan);
  return scans;
}

uint64_t countExposedBytes(Value value) {
  auto type = cast<RankedTensorType>(value.getType());
  return type.getNumElements() *
         llvm::divideCeil(type.getElementTypeBitWidth(), 8) *
         countRanges(findScansAround(value));
}

void splitByRange(Value value, ArrayRef<ScanOp> layers,
                  const TensorView &stacked,
                  llvm::function_ref<void(int64_t, const TensorView &)> see) {
  SmallVector<ScanOp> around = findScansAround(value);
  ArrayRef<int64_t> shape = stacked.shape().drop_front(around.size());
  int64_t parts = countRanges(around);
  uint64_t bytes = parts ? stacked.numBytes() / parts : 0;
  for (int64_t part = 0; part < parts; ++part) {
    // Of the iteration of every scan, those that have ranges of their own.
    int64_t range = 0, rest = part, factor = 1;
    for (ScanOp scan : llvm::reverse(around)) {
      int64_t trips = scan.computeTripCount();
      if (llvm::is_contained(layers, scan)) {
        range += rest % trips * factor;
        factor *= trips;
      }
      rest /= trips;
    }
    see(range, TensorView(stacked.dtype(), shape,
                          static_cast<char *>(stacked.data()) + part * bytes));
  }
}

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

/// Sets of values that fit in memory together, at least one each.
std::vector<SmallVector<unsigned>> SiteObserver::groups() const {
  std::vector<SmallVector<unsigned>> result;
  uint64_t bytes = 0;
  for (auto [number, value] : llvm::enumerate(observed)) {
    if (result.empty() || bytes + value.bytes > kExposedBytes) {
      result.emplace_back();
      bytes = 0;
    }
    bytes += value.bytes;
    result.back().push_back(number);
  }
  return result;
}

unsigned SiteObserver::passesOverData() const { return groups().size(); }

llvm::Error SiteObserver::run(
    const CompileOptions &compile, const ModelOptions &options, ModelData &data,
    llvm::function_ref<void(unsigned, int64_t, const TensorView &)> see,
    llvm::function_ref<void()> step) {
  SessionOptions session = options.sessionOptions();
  session.progress = false;
  for (const SmallVector<unsigned> &group : groups()) {
    SmallVector<unsigned> wanted, numbers;
    for (unsigned number : group)
      if (observed[number].place)
        wanted.push_back(*observed[number].place);
    llvm::sort(wanted);
    WeightSource weights;
    if (llvm::Error error = openWeights(options, weights))
      return error;
    auto program = ExposedProgram::create(
        *module, entry, wanted, ExposedForm::Whole, compile, weights, session);
    if (!program)
      return program.takeError();
    data.rewind();
    for (int64_t batch = 0; batch < data.batches(); ++batch) {
      step();
      auto inputs = data.next();
      if (!inputs)
        return inputs.takeError();
      auto result = program->run(*inputs);
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
                : (*inputs)[cast<BlockArgument>(value.value).getArgNumber()];
        splitByRange(value.value, value.scans, stacked,
                     [&](int64_t range, const TensorView &part) {
                       see(number, range, part);
                     });
      }
    }
  }
  return llvm::Error::success();
}

} // namespace lathe
