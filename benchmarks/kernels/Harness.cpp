//===- Harness.cpp - Single CPU kernels, checked and timed ----------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Harness.h"
#include "lathe/Support/DType.h"
#include "mlir/IR/Verifier.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/TargetSelect.h"
#include <cmath>
#include <cstring>
#include <ctime>

using namespace lathe;
using namespace lathe::bench;

/// Processor time of this thread: what others run meanwhile does not count.
static double now() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec + time.tv_nsec * 1e-9;
}

static int64_t countOf(ArrayRef<int64_t> shape) {
  int64_t count = 1;
  for (int64_t size : shape)
    count *= size;
  return count;
}

Buffer Buffer::random(Shape shape, std::mt19937 &generator) {
  Buffer buffer = zeros(std::move(shape));
  std::uniform_real_distribution<float> distribution(-1, 1);
  for (float &value : buffer.values)
    value = distribution(generator);
  return buffer;
}

Buffer Buffer::randomFlags(Shape shape, std::mt19937 &generator) {
  Buffer buffer;
  buffer.flags.resize(countOf(shape));
  buffer.shape = std::move(shape);
  for (uint8_t &flag : buffer.flags)
    flag = generator() % 3 != 0;
  return buffer;
}

Buffer Buffer::randomBytes(Shape shape, Bytes bytes, std::mt19937 &generator) {
  Buffer buffer;
  buffer.bytes = bytes;
  buffer.flags.resize(countOf(shape));
  buffer.shape = std::move(shape);
  for (uint8_t &byte : buffer.flags)
    byte = generator();
  return buffer;
}

Buffer Buffer::randomBfloats(Shape shape, std::mt19937 &generator) {
  Buffer buffer;
  buffer.bytes = Bytes::Bfloat;
  for (float value : random(shape, generator).values) {
    uint16_t bits = doubleToBfloat(value);
    buffer.flags.push_back(bits & 255);
    buffer.flags.push_back(bits >> 8);
  }
  buffer.shape = std::move(shape);
  return buffer;
}

Buffer Buffer::zeros(Shape shape) {
  Buffer buffer;
  buffer.values.resize(countOf(shape));
  buffer.shape = std::move(shape);
  return buffer;
}

void CompiledKernel::run(ArrayRef<void *> buffers, int64_t parts) {
  for (int64_t part = parts; part-- > 0;)
    function(const_cast<void **>(buffers.data()), scratch.data(),
             workItems * part / parts, workItems * (part + 1) / parts);
}

//===----------------------------------------------------------------------===//
// Compilation
//===----------------------------------------------------------------------===//

struct Harness::State {
  MLIRContext context;
  cpu::CpuTarget target;
  std::unique_ptr<llvm::orc::LLJIT> jit;
  bool printAssembly;
  int count = 0;
};

Harness::Harness(StringRef isa, bool printAssembly)
    : state(std::make_unique<State>()) {
  DialectRegistry registry;
  cpu::registerCpuDialects(registry);
  registry.insert<LatheDialect>();
  state->context.appendDialectRegistry(registry);
  state->context.loadAllAvailableDialects();
  state->target = llvm::cantFail(cpu::CpuTarget::host(isa));
  state->printAssembly = printAssembly;
  llvm::InitializeNativeTarget();
  llvm::InitializeNativeTargetAsmPrinter();
  state->jit = llvm::cantFail(llvm::orc::LLJITBuilder().create());
  state->jit->getMainJITDylib().addGenerator(llvm::cantFail(
      llvm::orc::DynamicLibrarySearchGenerator::GetForCurrentProcess(
          state->jit->getDataLayout().getGlobalPrefix())));
}

Harness::~Harness() = default;

llvm::Expected<CompiledKernel> Harness::compile(cpu::ScheduleFn schedule,
                                                ArrayRef<Buffer> inputs,
                                                const BodyFn &body) {
  OpBuilder builder(&state->context);
  Location loc = builder.getUnknownLoc();
  OwningOpRef<ModuleOp> source = ModuleOp::create(loc);
  SmallVector<Type> types;
  auto getElementType = [&](const Buffer &buffer) -> Type {
    if (buffer.flags.empty())
      return builder.getF32Type();
    switch (buffer.bytes) {
    case Buffer::Bytes::Mask:
      return builder.getI1Type();
    case Buffer::Bytes::Signed:
      return builder.getI8Type();
    case Buffer::Bytes::Unsigned:
      return builder.getIntegerType(8, /*isSigned=*/false);
    case Buffer::Bytes::Bfloat:
      return builder.getBF16Type();
    }
    llvm_unreachable("not a kind of bytes");
  };
  for (const Buffer &input : inputs)
    types.push_back(RankedTensorType::get(input.shape, getElementType(input)));
  auto function =
      func::FuncOp::create(loc, "source", builder.getFunctionType(types, {}));
  source->push_back(function);
  Block *entry = function.addEntryBlock();

  // The body first, in a block of its own: its results type the kernel.
  auto *block = new Block;
  block->addArguments(types, SmallVector<Location>(types.size(), loc));
  builder.setInsertionPointToStart(block);
  SmallVector<Value> results = body(builder, loc, block->getArguments());
  builder.create<YieldOp>(loc, results);
  builder.setInsertionPointToStart(entry);
  OperationState kernelState(loc, KernelOp::getOperationName());
  kernelState.addOperands(entry->getArguments());
  kernelState.addTypes(ValueRange(results).getTypes());
  kernelState.addAttribute("name", builder.getStringAttr("kernel"));
  kernelState.addAttribute("schedule", builder.getStringAttr("contraction"));
  kernelState.addRegion()->push_back(block);
  auto kernel = cast<KernelOp>(builder.create(kernelState));

  double start = now();
  OwningOpRef<ModuleOp> module = ModuleOp::create(loc);
  std::string symbol = "kernel" + std::to_string(state->count++), whyNot;
  FailureOr<cpu::LoweredKernel> lowered =
      schedule(kernel, *module, symbol, state->target.schedule, whyNot);
  if (failed(lowered))
    return llvm::createStringError("refused: " + whyNot);
  if (failed(verify(*module)))
    return llvm::createStringError("the schedule's result does not verify");
  CompiledKernel result;
  result.workItems = lowered->workItems;
  result.scratch.resize(lowered->scratchBytes + 64);
  if (failed(
          cpu::lowerToLLVM(*module, *lowered, symbol, state->target.schedule)))
    return llvm::createStringError("lowering to LLVM failed");
  if (state->printAssembly) {
    auto copy = cast<ModuleOp>(module->getOperation()->clone());
    auto text = cpu::emitCode(copy, state->target, cpu::CodeKind::Assembly);
    if (text)
      llvm::outs() << *text;
    copy.erase();
  }
  auto code = cpu::emitCode(*module, state->target, cpu::CodeKind::Object);
  if (!code)
    return code.takeError();
  result.compileSeconds = now() - start;
  if (auto error = state->jit->addObjectFile(
          llvm::MemoryBuffer::getMemBufferCopy(*code)))
    return std::move(error);
  auto address = state->jit->lookup(symbol);
  if (!address)
    return address.takeError();
  result.function =
      address->toPtr<void (*)(void **, void *, int64_t, int64_t)>();
  return std::move(result);
}

//===----------------------------------------------------------------------===//
// Checks
//===----------------------------------------------------------------------===//

void Checker::fail(StringRef what, StringRef reason) {
  ++failed;
  llvm::errs() << "FAIL " << what << ": " << reason << "\n";
}

void Checker::compare(StringRef what, ArrayRef<float> actual,
                      ArrayRef<float> expected, double tolerance) {
  if (actual.size() != expected.size())
    return fail(what, "sizes differ");
  for (size_t i = 0; i < actual.size(); ++i)
    // Written so that a NaN fails.
    if (!(std::abs(actual[i] - expected[i]) <=
          tolerance * (1 + std::abs(expected[i]))))
      return fail(what, "element " + std::to_string(i) + " is " +
                            std::to_string(actual[i]) + ", expected " +
                            std::to_string(expected[i]));
  ++passed;
}

std::vector<Buffer> bench::runKernel(CompiledKernel &kernel,
                                     MutableArrayRef<Buffer> inputs,
                                     ArrayRef<Shape> outputs, Checker &checker,
                                     StringRef what) {
  std::vector<Buffer> first;
  for (int64_t parts : {1, 3}) {
    std::vector<Buffer> results;
    std::vector<void *> arguments;
    for (Buffer &input : inputs)
      arguments.push_back(input.data());
    for (const Shape &shape : outputs) {
      // Elements nobody writes must show, and so must writes past the end.
      Buffer buffer = Buffer::zeros(shape);
      buffer.values.assign(buffer.values.size() + 64, 12345.0f);
      results.push_back(std::move(buffer));
    }
    for (Buffer &result : results)
      arguments.push_back(result.data());
    kernel.run(arguments, parts);
    for (Buffer &result : results) {
      size_t count = result.values.size() - 64;
      for (size_t i = count; i < result.values.size(); ++i)
        if (result.values[i] != 12345.0f) {
          checker.fail(what, "wrote beyond its output");
          break;
        }
      result.values.resize(count);
    }
    if (parts == 1) {
      first = std::move(results);
      continue;
    }
    for (size_t i = 0; i < first.size(); ++i)
      if (std::memcmp(first[i].values.data(), results[i].values.data(),
                      first[i].values.size() * 4))
        checker.fail(what, "other bits when run in parts");
  }
  return first;
}

//===----------------------------------------------------------------------===//
// Timing
//===----------------------------------------------------------------------===//

#if defined(__x86_64__)
#include <immintrin.h>
__attribute__((target("avx512f"), noinline)) static float
runMultiplyAdds512(int64_t count) {
  __m512 sums[24], factor = _mm512_set1_ps(0.999f);
  for (__m512 &sum : sums)
    sum = factor;
  for (int64_t i = 0; i < count; ++i) {
    __asm__ volatile("" : "+v"(factor));
#pragma clang loop unroll(full)
    for (int s = 0; s < 24; ++s)
      sums[s] = _mm512_fmadd_ps(factor, factor, sums[s]);
  }
  float total = 0;
  for (__m512 sum : sums)
    total += _mm512_reduce_add_ps(sum);
  return total;
}
__attribute__((target("avx2,fma"), noinline)) static float
runMultiplyAdds256(int64_t count) {
  __m256 sums[12], factor = _mm256_set1_ps(0.999f);
  for (__m256 &sum : sums)
    sum = factor;
  for (int64_t i = 0; i < count; ++i) {
    __asm__ volatile("" : "+x"(factor));
#pragma clang loop unroll(full)
    for (int s = 0; s < 12; ++s)
      sums[s] = _mm256_fmadd_ps(factor, factor, sums[s]);
  }
  float total = 0;
  for (__m256 sum : sums)
    total += sum[0] + sum[5];
  return total;
}
#endif

#if defined(__x86_64__)
// By hand: an intrinsic would need a compiler flag for one function. 24 sums,
// so that none waits for itself.
#define RUN_DOTS(name, instruction)                                            \
  __attribute__((target("avx512f"), noinline)) static void name(               \
      int64_t count) {                                                         \
    for (int64_t i = 0; i < count; ++i)                                        \
      __asm__ volatile(DOTS(instruction)::                                     \
                           : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",   \
                             "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", \
                             "xmm12", "xmm13", "xmm14", "xmm15", "xmm16",      \
                             "xmm17", "xmm18", "xmm19", "xmm20", "xmm21",      \
                             "xmm22", "xmm23");                                \
  }
#define DOT(i, n) i " %%zmm30, %%zmm31, %%zmm" #n "\n\t"
// clang-format off
#define DOTS(i)                                                                \
  DOT(i, 0) DOT(i, 1) DOT(i, 2) DOT(i, 3) DOT(i, 4) DOT(i, 5) DOT(i, 6)        \
  DOT(i, 7) DOT(i, 8) DOT(i, 9) DOT(i, 10) DOT(i, 11) DOT(i, 12) DOT(i, 13)    \
  DOT(i, 14) DOT(i, 15) DOT(i, 16) DOT(i, 17) DOT(i, 18) DOT(i, 19)            \
  DOT(i, 20) DOT(i, 21) DOT(i, 22) DOT(i, 23)
// clang-format on
RUN_DOTS(runByteDots512, "vpdpbusd")
RUN_DOTS(runBfloatDots512, "vdpbf16ps")
#undef DOTS
#undef DOT
#undef RUN_DOTS
#endif

/// Billions of operations per second; each of the 24 has `operations`.
static double measureDots(void (*run)(int64_t), double operations) {
  constexpr int64_t count = 100000;
  double best = 1e30;
  for (int i = 0; i < 5; ++i) {
    double start = now();
    run(count);
    best = std::min(best, now() - start);
  }
  return 24 * operations * count / best * 1e-9;
}

double bench::measureBytePeak() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512vnni"))
    return measureDots(runByteDots512, 128);
#endif
  return 0;
}

double bench::measureBfloatPeak() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512bf16"))
    return measureDots(runBfloatDots512, 64);
#endif
  return 0;
}

double bench::measurePeak() {
#if defined(__x86_64__)
  bool wide = __builtin_cpu_supports("avx512f");
  constexpr int64_t count = 100000;
  double best = 1e30;
  volatile float sink = 0;
  for (int i = 0; i < 5; ++i) {
    double start = now();
    sink = wide ? runMultiplyAdds512(count) : runMultiplyAdds256(count);
    best = std::min(best, now() - start);
  }
  (void)sink;
  return (wide ? 24 * 32.0 : 12 * 16.0) * count / best * 1e-9;
#else
  return 0;
#endif
}

double bench::measure(CompiledKernel &kernel,
                      ArrayRef<std::vector<void *>> arguments) {
  for (const auto &list : arguments)
    kernel.run(list);
  double best = 1e30;
  double start = now();
  for (int round = 0; round < 300 && (round < 5 || now() - start < 0.3);
       ++round) {
    double begin = now();
    for (const auto &list : arguments)
      kernel.run(list);
    best = std::min(best, (now() - begin) / arguments.size());
  }
  return best;
}

void bench::reportPeaks() {
  auto print = [](const char *what, double rate) {
    if (rate)
      llvm::outs() << llvm::format("%-44s %8.1f GOP/s\n", what, rate);
  };
  print("peak of multiply-adds of f32", measurePeak());
  print("peak of vpdpbusd (bytes)", measureBytePeak());
  print("peak of vdpbf16ps", measureBfloatPeak());
}

void bench::report(StringRef name, double flops, double seconds,
                   double (*getPeak)()) {
  double rate = flops / seconds * 1e-9, peak = getPeak();
  llvm::outs() << llvm::format(
      "%-44s %9.1f us %8.1f GFLOP/s %5.1f %% of %.0f\n", name.str().c_str(),
      seconds * 1e6, rate, 100 * rate / peak, peak);
  llvm::outs().flush();
}
