//===- Pipelines.h - Named pipelines: the one place that orders passes ----===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_PIPELINES_PIPELINES_H
#define LATHE_PIPELINES_PIPELINES_H

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassOptions.h"

namespace lathe {
using namespace mlir;

struct GraphPipelineOptions : PassPipelineOptions<GraphPipelineOptions> {
  Option<bool> fuse{*this, "fuse",
                    llvm::cl::desc("Form kernels of several ops"),
                    llvm::cl::init(true)};
  Option<bool> optimize{
      *this, "optimize",
      llvm::cl::desc("Run passes that make the program faster"),
      llvm::cl::init(true)};
  Option<bool> layout{
      *this, "layout",
      llvm::cl::desc("Store values in the layouts that move the fewest bytes"),
      llvm::cl::init(true)};
  Option<std::string> quantize{
      *this, "quantize",
      llvm::cl::desc("Scheme of lathe-quantize; none where empty"),
      llvm::cl::init("")};
  Option<int64_t> quantizeGroup{
      *this, "quantize-group",
      llvm::cl::desc("Elements of a sum that share a weight's scale; 0: the "
                     "scheme's own"),
      llvm::cl::init(0)};
  Option<std::string> ranges{
      *this, "ranges", llvm::cl::desc("File with the ranges of activations"),
      llvm::cl::init("")};
  ListOption<std::string> keepFloat{
      *this, "keep",
      llvm::cl::desc("Ops that are not quantized, by name or pattern")};
  Option<std::string> precision{
      *this, "precision",
      llvm::cl::desc("What products of f32 compute on: f32, bf16 or f16"),
      llvm::cl::init("f32")};
  Option<bool> explain{
      *this, "explain",
      llvm::cl::desc("Say why each kernel holds the ops it holds"),
      llvm::cl::init(false)};
  Option<double> recompute{
      *this, "recompute",
      llvm::cl::desc("Of a train step: operations, at most, to make a byte of "
                     "what its loops stack again; negative: keep it"),
      llvm::cl::init(-1.0)};
};

/// The passes of a pipeline, in order.
struct GraphPasses {
  struct GraphPass {
    std::unique_ptr<Pass> pass;
    bool isOnFunctions;
  };
  std::vector<GraphPass> list;
  /// Where in the list kernels are formed.
  unsigned formation = 0;

  void onFunctions(std::unique_ptr<Pass> pass) {
    list.push_back({std::move(pass), true});
  }
  void onModule(std::unique_ptr<Pass> pass) {
    list.push_back({std::move(pass), false});
  }
  /// Leaves the first `count`; where kernels are not formed by then, what
  /// correctness needs follows: to see what each pass changes.
  void truncate(unsigned count);
  void addTo(OpPassManager &pm) &&;
};
/// The first passes of both targets: what a model spells out gets its name
/// back.
GraphPasses listRecognitionPasses();
GraphPasses listCpuGraphPasses(const GraphPipelineOptions &options);
GraphPasses listCudaGraphPasses(const GraphPipelineOptions &options);

/// From a specialized module to lathe.kernel regions for the CPU target.
void addCpuGraphPasses(OpPassManager &pm, const GraphPipelineOptions &options);

/// The same for the targets cuda and cuda-sim, whose schedules want weights as
/// they are in the file.
void addCudaGraphPasses(OpPassManager &pm, const GraphPipelineOptions &options);

/// Makes the pipelines known to lathe-opt: `lathe-cpu-graph` and
/// `lathe-cuda-graph`.
void registerLathePipelines();

} // namespace lathe

#endif // LATHE_PIPELINES_PIPELINES_H
