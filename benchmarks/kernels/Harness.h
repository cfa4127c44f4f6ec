//===- Harness.h - Single CPU kernels, checked and timed --------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Builds one lathe.kernel, lowers it by one schedule, compiles it and runs it
// in this process, without the graph passes and the Runtime around it.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_BENCHMARKS_KERNELS_HARNESS_H
#define LATHE_BENCHMARKS_KERNELS_HARNESS_H

#include "lathe/Target/Cpu/CompileObject.h"
#include <functional>
#include <random>

namespace lathe::bench {

using Shape = llvm::SmallVector<int64_t>;

/// A buffer of f32, or of bytes: masks, kept as 0 or 1, 8-bit integers, and the
/// two of each bf16.
struct Buffer {
  enum class Bytes { Mask, Signed, Unsigned, Bfloat };
  Shape shape;
  std::vector<float> values;
  std::vector<uint8_t> flags;
  Bytes bytes = Bytes::Mask;

  static Buffer random(Shape shape, std::mt19937 &generator);
  static Buffer randomFlags(Shape shape, std::mt19937 &generator);
  /// bf16.
  static Buffer randomBfloats(Shape shape, std::mt19937 &generator);
  static Buffer randomBytes(Shape shape, Bytes bytes, std::mt19937 &generator);
  static Buffer zeros(Shape shape);
  void *data() {
    return flags.empty() ? static_cast<void *>(values.data()) : flags.data();
  }
};

/// Makes the body of a kernel from its block arguments; returns its results.
using BodyFn = std::function<llvm::SmallVector<mlir::Value>(
    mlir::OpBuilder &, mlir::Location, mlir::ValueRange)>;

struct CompiledKernel {
  void (*function)(void **, void *, int64_t, int64_t) = nullptr;
  int64_t workItems = 0;
  std::vector<char> scratch;
  double compileSeconds = 0;

  /// Runs all items in `parts` pieces, last piece first, so that an order
  /// dependence shows.
  void run(llvm::ArrayRef<void *> buffers, int64_t parts = 1);
};

class Harness {
public:
  explicit Harness(llvm::StringRef isa = "", bool printAssembly = false);
  ~Harness();

  /// Compiles; returns the schedule's reason where it refuses.
  llvm::Expected<CompiledKernel> compile(cpu::ScheduleFn schedule,
                                         llvm::ArrayRef<Buffer> inputs,
                                         const BodyFn &body);

private:
  struct State;
  std::unique_ptr<State> state;
};

/// Counts cases and prints those that fail.
struct Checker {
  int passed = 0, failed = 0;
  /// Whether `actual` is close to `expected`; `what` names the case.
  void compare(llvm::StringRef what, llvm::ArrayRef<float> actual,
               llvm::ArrayRef<float> expected, double tolerance);
  void fail(llvm::StringRef what, llvm::StringRef reason);
};

/// Runs the kernel whole and in three parts, demands equal bits, and returns
/// the outputs.
std::vector<Buffer> runKernel(CompiledKernel &kernel,
                              llvm::MutableArrayRef<Buffer> inputs,
                              llvm::ArrayRef<Shape> outputs, Checker &checker,
                              llvm::StringRef what);

/// This machine's f32 multiply-add rate on one thread, in GFLOP/s, measured
/// now.
double measurePeak();

/// The same of 8-bit integers by vpdpbusd, or where there is none 0.
double measureBytePeak();
/// And of pairs of bf16 by vdpbf16ps, summed in f32.
double measureBfloatPeak();
/// Prints all three.
void reportPeaks();

/// The shortest of many runs, in seconds. With several argument lists the runs
/// go through them in turn, so that weights come from beyond the caches.
double measure(CompiledKernel &kernel,
               llvm::ArrayRef<std::vector<void *>> arguments);

/// Prints one line: GFLOP/s and the share of the peak measured beside it.
/// `peak` is the one that counts, by default that of f32.
void report(llvm::StringRef name, double flops, double seconds,
            double (*peak)() = measurePeak);

void checkContraction(Harness &harness, Checker &checker);
void benchContraction(Harness &harness);
void benchBytes(Harness &harness);
void checkConvolution(Harness &harness, Checker &checker);
void benchConvolution(Harness &harness);
void checkAttention(Harness &harness, Checker &checker);
void benchAttention(Harness &harness);
void checkAttentionGradients(Harness &harness, Checker &checker);
void benchAttentionGradients(Harness &harness);

} // namespace lathe::bench

#endif // LATHE_BENCHMARKS_KERNELS_HARNESS_H
