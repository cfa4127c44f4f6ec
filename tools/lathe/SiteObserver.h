//===- SiteObserver.h - What flows into quantizable ops ---------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_TOOLS_SITEOBSERVER_H
#define LATHE_TOOLS_SITEOBSERVER_H

#include "ModelData.h"
#include "lathe/Transforms/QuantizationSites.h"

namespace lathe {

/// Runs a model and shows the values of its quantization sites, as many at a
/// time as fit in memory.
class SiteObserver {
public:
  /// A value that sites read; several may read the same one.
  struct Observed {
    Value value;
    /// findLayerScans(value): it has a number of ranges of its own.
    SmallVector<ScanOp> scans;
    /// Of listValues; none for an argument of the function.
    std::optional<unsigned> place;
    uint64_t bytes = 0; ///< of one run
    int64_t numRanges() const { return countRanges(scans); }
  };

  /// Takes over a module from Model::recognize: it gets ops that hand on what
  /// loops carry and slice.
  SiteObserver(OwningOpRef<ModuleOp> module, StringRef entry);

  func::FuncOp function() const;
  ArrayRef<QuantizationSite> sites() const { return listed; }
  ArrayRef<Observed> values() const { return observed; }
  /// Which of `values` a site reads.
  unsigned valueOf(unsigned site) const { return valueOfSite[site]; }
  /// Of the ranges of that value, the one of iteration `i` of the site: a value
  /// from outside of a loop is the same in each of its iterations.
  int64_t rangeOf(unsigned site, int64_t i) const;
  /// Sites in the body of a `while`, whose iterations cannot be seen.
  unsigned numHidden() const { return hidden; }
  /// So often the model runs over the data, because values that are looked at
  /// together must fit in memory.
  unsigned passesOverData() const;

  /// Runs all batches of `data`. `see` gets a value, its range, and the
  /// elements of this batch in it; several times, where loops run over time.
  /// `step` is called before each run. Errors: the model does not compile (the
  /// message is empty after a diagnostic), or run.
  llvm::Error run(const CompileOptions &compile, const ModelOptions &options,
                  ModelData &data,
                  llvm::function_ref<void(unsigned value, int64_t range,
                                          const TensorView &)>
                      see,
                  llvm::function_ref<void()> step);

private:
  std::vector<SmallVector<unsigned>> groups() const;

  OwningOpRef<ModuleOp> module;
  std::string entry;
  SmallVector<QuantizationSite> listed;
  std::vector<Observed> observed;
  std::vector<unsigned> valueOfSite;
  unsigned hidden = 0;
};

} // namespace lathe

#endif // LATHE_TOOLS_SITEOBSERVER_H
