//===- Pipelines.cpp - Named pipelines: the one place that orders passes --===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Pipelines/Pipelines.h"

#include "lathe/Transforms/Passes.h"
#include "mlir/Pass/PassRegistry.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace lathe {

/// What imported models spell out gets its name back, before anything else is
/// decided: schedules and people look for it.
static void addRecognition(GraphPasses &passes) {
  passes.onFunctions(createSimplify());
  passes.onFunctions(createRecognizeGelu());
  passes.onFunctions(createRecognizeNormalization());
  passes.onFunctions(createRecognizeAttention());
  // Statistics fold into filters before filters are laid out anew.
  passes.onFunctions(createFoldBatchNorm());
  // Before layouts are chosen: what is made of convolutions, whose filters are
  // laid out like all others, and norms of images.
  // The options only refer to their names, until the pass is made.
  const std::string only[] = {"lathe.conv_transpose",
                              "lathe.batch_norm_training"};
  DecomposeOptions images;
  images.only = only;
  passes.onModule(createDecompose(images));
}

/// Composites with a schedule of their own on every target.
static ArrayRef<std::string> getScheduled(bool isCpu) {
  // Products of CUDA dequantize their weights; those of the CPU have packed
  // operands with scales.
  static const std::string names[] = {
      "lathe.attention", "lathe.attention_training", "lathe.attention_backward",
      "lathe.dequantize"};
  return ArrayRef(names).drop_back(isCpu ? 1 : 0);
}

/// From primitives and the composites in `kept` to kernels.
static void addKernelFormation(GraphPasses &passes,
                               const GraphPipelineOptions &options,
                               ArrayRef<std::string> kept, bool split) {
  DecomposeOptions decompose;
  decompose.keep = kept;
  passes.onModule(createDecompose(decompose));
  passes.onModule(createCanonicalizerPass());
  passes.onModule(createCSEPass());
  if (options.optimize) {
    if (split)
      passes.onFunctions(createSplitReductions());
    passes.onFunctions(createMergeViews());
    passes.onModule(createHoistLoad());
    passes.onModule(createCSEPass());
  }
  if (options.recompute >= 0) {
    RematerializeOptions recompute;
    recompute.stacked = options.recompute;
    recompute.explain = options.explain;
    passes.onFunctions(createRematerialize(recompute));
  }
  FormKernelsOptions kernels;
  kernels.fuse = options.fuse;
  kernels.explain = options.explain;
  passes.formation = passes.list.size();
  passes.onFunctions(createFormKernels(kernels));
  if (options.optimize && options.fuse)
    passes.onFunctions(createBundleUpdates());
  passes.onFunctions(createUpdateInPlace());
}

/// Without optimization what was rounded is computed with in floats, which
/// gives another way to the same numbers.
static void addQuantization(GraphPasses &passes,
                            const GraphPipelineOptions &options) {
  if (!options.quantize.empty()) {
    QuantizeOptions quantize;
    quantize.scheme = options.quantize;
    quantize.group = options.quantizeGroup;
    quantize.ranges = options.ranges;
    quantize.keep = options.keepFloat;
    quantize.explain = options.explain;
    passes.onFunctions(createQuantize(quantize));
  }
  if (options.optimize) {
    IntegerProductsOptions products;
    products.explain = options.explain;
    passes.onFunctions(createIntegerProducts(products));
    FoldRequantizationOptions fold;
    fold.explain = options.explain;
    passes.onFunctions(createFoldRequantization(fold));
  }
}

static GraphPasses listPasses(bool isCpu, const GraphPipelineOptions &options) {
  GraphPasses passes;
  if (options.optimize) {
    addRecognition(passes);
    passes.onFunctions(createSumAfterScan());
    if (options.layout) {
      LayoutOptions layout;
      layout.target = isCpu ? "cpu" : "cuda";
      layout.explain = options.explain;
      passes.onFunctions(createLayout(layout));
    }
  }
  addQuantization(passes, options);
  if (options.precision != "f32") {
    PrecisionOptions precision;
    precision.type = options.precision;
    precision.explain = options.explain;
    passes.onFunctions(createPrecision(precision));
  }
  if (options.optimize) {
    PackWeightsOptions pack;
    pack.fewBits = !isCpu;
    passes.onFunctions(createPackWeights(pack));
  }
  // Attention has schedules of its own; without optimization it is expanded,
  // too, which gives an independent way to the same numbers.
  // On CUDA the schedules cut reductions themselves.
  addKernelFormation(passes, options,
                     options.optimize ? getScheduled(isCpu)
                                      : ArrayRef<std::string>(),
                     /*split=*/isCpu);
  return passes;
}

void GraphPasses::addTo(OpPassManager &pm) && {
  for (GraphPass &one : list)
    if (one.isOnFunctions)
      pm.nest<func::FuncOp>().addPass(std::move(one.pass));
    else
      pm.addPass(std::move(one.pass));
}

void GraphPasses::truncate(unsigned count) {
  if (count >= list.size())
    return;
  bool hasKernels = count > formation;
  list.resize(count);
  if (hasKernels)
    return;
  GraphPipelineOptions plain;
  plain.fuse = plain.optimize = false;
  addKernelFormation(*this, plain, {}, /*split=*/false);
}

GraphPasses listRecognitionPasses() {
  GraphPasses passes;
  addRecognition(passes);
  return passes;
}

GraphPasses listCpuGraphPasses(const GraphPipelineOptions &options) {
  return listPasses(/*isCpu=*/true, options);
}

GraphPasses listCudaGraphPasses(const GraphPipelineOptions &options) {
  return listPasses(/*isCpu=*/false, options);
}

void addCpuGraphPasses(OpPassManager &pm, const GraphPipelineOptions &options) {
  listCpuGraphPasses(options).addTo(pm);
}

void addCudaGraphPasses(OpPassManager &pm,
                        const GraphPipelineOptions &options) {
  listCudaGraphPasses(options).addTo(pm);
}

void registerLathePipelines() {
  PassPipelineRegistration<GraphPipelineOptions>(
      "lathe-cpu-graph",
      "From a specialized model to kernels for the CPU target",
      addCpuGraphPasses);
  PassPipelineRegistration<GraphPipelineOptions>(
      "lathe-cuda-graph",
      "From a specialized model to kernels for the CUDA targets",
      addCudaGraphPasses);
}

} // namespace lathe
