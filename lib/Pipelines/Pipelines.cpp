//===- Pipelines.cpp - Named pipelines: the one place that orders passes -*- C++
//-*-===//
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
static void addRecognition(OpPassManager &pm) {
  pm.addNestedPass<func::FuncOp>(createSimplify());
  pm.addNestedPass<func::FuncOp>(createRecognizeGelu());
  pm.addNestedPass<func::FuncOp>(createRecognizeNormalization());
  pm.addNestedPass<func::FuncOp>(createRecognizeAttention());
  // Statistics fold into filters before filters are laid out anew.
  pm.addNestedPass<func::FuncOp>(createFoldBatchNorm());
  // Before layouts are chosen: what is made of convolutions, whose filters are
  // laid out like all others, and norms of images.
  // The options only refer to their names, until the pass is made.
  const std::string only[] = {"lathe.conv_transpose",
                              "lathe.batch_norm_training"};
  DecomposeOptions images;
  images.only = only;
  pm.addPass(createDecompose(images));
}

/// Composites with a schedule of their own on every target.
static ArrayRef<std::string> getScheduled() {
  static const std::string names[] = {"lathe.attention",
                                      "lathe.attention_training",
                                      "lathe.attention_backward"};
  return names;
}

/// From primitives and the composites in `kept` to kernels.
static void addKernelFormation(OpPassManager &pm,
                               const GraphPipelineOptions &options,
                               ArrayRef<std::string> kept, bool split) {
  DecomposeOptions decompose;
  decompose.keep = kept;
  pm.addPass(createDecompose(decompose));
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
  if (options.optimize) {
    if (split)
      pm.addNestedPass<func::FuncOp>(createSplitReductions());
    pm.addNestedPass<func::FuncOp>(createMergeViews());
    pm.addPass(createHoistLoad());
    pm.addPass(createCSEPass());
  }
  if (options.recomputeStacked >= 0 || options.recomputeValues >= 0) {
    RematerializeOptions recompute;
    recompute.stacked = options.recomputeStacked;
    recompute.values = options.recomputeValues;
    recompute.explain = options.explain;
    pm.addNestedPass<func::FuncOp>(createRematerialize(recompute));
  }
  FormKernelsOptions kernels;
  kernels.fuse = options.fuse;
  kernels.explain = options.explain;
  pm.addNestedPass<func::FuncOp>(createFormKernels(kernels));
  if (options.optimize && options.fuse)
    pm.addNestedPass<func::FuncOp>(createBundleUpdates());
  pm.addNestedPass<func::FuncOp>(createUpdateInPlace());
}

void addCpuGraphPasses(OpPassManager &pm, const GraphPipelineOptions &options) {
  if (options.optimize) {
    addRecognition(pm);
    pm.addNestedPass<func::FuncOp>(createChannelsLast());
    pm.addNestedPass<func::FuncOp>(createPackWeights());
  }
  // Attention has schedules of its own; without optimization it is expanded,
  // too, which gives an independent way to the same numbers.
  addKernelFormation(
      pm, options, options.optimize ? getScheduled() : ArrayRef<std::string>(),
      /*split=*/true);
}

void addCudaGraphPasses(OpPassManager &pm,
                        const GraphPipelineOptions &options) {
  if (options.optimize)
    addRecognition(pm);
  // Its schedules cut reductions themselves.
  addKernelFormation(
      pm, options, options.optimize ? getScheduled() : ArrayRef<std::string>(),
      /*split=*/false);
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
