//===- DataRun.cpp - A model over its data, seen from inside --------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "DataRun.h"

#include "Verbs.h"
#include "lathe/Transforms/QuantizationSites.h"

namespace lathe {

/// How much is looked at in one run.
static constexpr uint64_t kExposedBytes = uint64_t(512) << 20;

int failOnce(llvm::Error error) {
  std::string text = llvm::toString(std::move(error));
  return text.empty() ? int(kFailed) : fail(text);
}

OwningOpRef<ModuleOp> recognizeFor(const Model &model, const ModelData &data) {
  OwningOpRef<ModuleOp> module = model.recognize(data.shapes());
  if (!module)
    noteSizes(model.inputs(), data.shapes());
  return module;
}

int ModelOnData::open(const ModelOptions &options,
                      ModelDataOptions &dataOptions, CLI::App &verb,
                      bool withLabels) {
  if (auto compiled = isCompiledFile(options.file); !compiled)
    return fail(compiled.takeError());
  else if (*compiled)
    return fail("expected a model, .mlir or .onnx: a compiled one has no ops "
                "to look at");
  model = loadModel(context.get(), options, {}, prepared);
  if (!model)
    return kFailed;
  auto opened = ModelData::open(dataOptions, options, *model, verb,
                                withLabels ? listLabels(*model)
                                           : std::vector<InputDeclaration>());
  if (!opened)
    return fail(opened.takeError());
  data.emplace(std::move(*opened));
  module = recognizeFor(*model, *data);
  return module ? kDone : kFailed;
}

llvm::Expected<ExposedProgram> makeExposed(ModuleOp module, StringRef entry,
                                           ArrayRef<unsigned> wanted,
                                           const CompileOptions &compile,
                                           const ModelOptions &options) {
  WeightSource weights;
  if (llvm::Error error = openWeights(options, weights))
    return std::move(error);
  SessionOptions session = options.sessionOptions();
  session.progress = false;
  return ExposedProgram::create(module, entry, wanted, ExposedForm::Whole,
                                compile, weights, session);
}

llvm::Error
forEachBatch(ModelData &data, llvm::function_ref<void()> step,
             llvm::function_ref<llvm::Error(ArrayRef<TensorView>)> run) {
  data.rewind();
  for (int64_t batch = 0; batch < data.batches(); ++batch) {
    step();
    auto inputs = data.next();
    if (!inputs)
      return inputs.takeError();
    if (llvm::Error error = run(*inputs))
      return error;
  }
  return llvm::Error::success();
}

std::vector<SmallVector<unsigned>> groupByBytes(ArrayRef<uint64_t> bytes) {
  std::vector<SmallVector<unsigned>> groups;
  uint64_t sum = 0;
  for (auto [i, more] : llvm::enumerate(bytes)) {
    if (groups.empty() || sum + more > kExposedBytes) {
      groups.emplace_back();
      sum = 0;
    }
    sum += more;
    groups.back().push_back(i);
  }
  return groups;
}

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

} // namespace lathe
