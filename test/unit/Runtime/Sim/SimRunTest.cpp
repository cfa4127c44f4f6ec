// What the simulator computes: index variables, barriers, collectives, memory.
#include "SimKernel.h"

#include <chrono>
#include <ctime>
#include <numeric>

using namespace lathe;
using namespace lathe::test;

namespace {
std::vector<float> iota(size_t n) {
  std::vector<float> v(n);
  std::iota(v.begin(), v.end(), 0.f);
  return v;
}

TEST_F(SimTest, IndexVariables) {
  for (bool fibers : {false, true})
    for (bool checked : {false, true}) {
      std::vector<int> out(2 * 3 * 2 * 8 * 2 * 3);
      SimKernel kernel(R"(#include "lathe/sim.cuh"
extern "C" __global__ void __launch_bounds__(48) k(int *__restrict__ out) {
  int block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  int thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  out[block * 48 + thread] = block * 1000 + thread;
})");
      kernel.output(out);
      for (int d = 0; d < 3; ++d) {
        kernel.grid[d] = d == 1 ? 3 : 2;
        kernel.block[d] = d == 0 ? 8 : d + 1;
      }
      kernel.fibers = fibers;
      kernel.checked = checked;
      ASSERT_EQ(kernel.run(), "");
      for (size_t i = 0; i < out.size(); ++i)
        EXPECT_EQ(out[i], int(i / 48 * 1000 + i % 48));
    }
}

const char *const kReduce = R"(#include "lathe/sim.cuh"
__global__ void k(const float *__restrict__ in, float *__restrict__ out) {
  __shared__ float part[256];
  part[threadIdx.x] = in[blockIdx.x * 256 + threadIdx.x];
  __syncthreads();
  for (int n = 128; n > 0; n >>= 1) {
    if (threadIdx.x < n)
      part[threadIdx.x] += part[threadIdx.x + n];
    __syncthreads();
  }
  if (threadIdx.x == 0)
    out[blockIdx.x] = part[0];
})";

TEST_F(SimTest, SharedMemoryReduction) {
  std::vector<float> in = iota(5 * 256), out(5);
  for (bool checked : {false, true})
    for (uint64_t seed : {0, 1, 2, 77}) {
      setSimSeed(seed);
      std::fill(out.begin(), out.end(), -1.f);
      SimKernel kernel(kReduce);
      kernel.input(in).output(out).launch(5, 256);
      kernel.checked = checked;
      kernel.cuts = {2};
      ASSERT_EQ(kernel.run(), "");
      for (int b = 0; b < 5; ++b)
        EXPECT_EQ(out[b], 256 * (256 * b + 127.5f));
    }
}

// Two threads of the host share the blocks of one launch.
TEST_F(SimTest, HostThreadsShareALaunch) {
  std::vector<float> in = iota(64 * 256), out(64);
  for (bool checked : {false, true}) {
    SimKernel kernel(kReduce);
    kernel.input(in).output(out).launch(64, 256);
    kernel.checked = checked;
    kernel.cuts = {};
    ASSERT_EQ(kernel.run(), "");
    std::fill(out.begin(), out.end(), -1.f);
    kernel.hostThreads = 2;
    ASSERT_EQ(kernel.run(), "");
    for (int b = 0; b < 64; ++b)
      EXPECT_EQ(out[b], 256 * (256.f * b + 127.5f));
  }
}

TEST_F(SimTest, Shuffles) {
  std::vector<int> out(32 * 6);
  SimKernel kernel(R"(#include "lathe/sim.cuh"
__global__ void k(int *out) {
  int lane = threadIdx.x;
  out[lane] = __shfl_sync(0xffffffff, lane * 10, 5);
  out[32 + lane] = __shfl_up_sync(0xffffffff, lane, 3);
  out[64 + lane] = __shfl_down_sync(0xffffffff, lane, 3, 8);
  out[96 + lane] = (int)__shfl_xor_sync(0xffffffff, (double)lane, 17);
  out[128 + lane] = __shfl_sync(0xffffffff, lane, 1, 4);
  int odd = -1;
  if (lane & 1)
    odd = __shfl_sync(0xaaaaaaaa, lane, 31);
  out[160 + lane] = odd;
})");
  kernel.output(out);
  for (bool checked : {false, true}) {
    kernel.checked = checked;
    ASSERT_EQ(kernel.run(), "");
    for (int lane = 0; lane < 32; ++lane) {
      EXPECT_EQ(out[lane], 50);
      EXPECT_EQ(out[32 + lane], lane < 3 ? lane : lane - 3);
      EXPECT_EQ(out[64 + lane], lane % 8 + 3 < 8 ? lane + 3 : lane);
      EXPECT_EQ(out[96 + lane], lane ^ 17);
      EXPECT_EQ(out[128 + lane], lane / 4 * 4 + 1);
      EXPECT_EQ(out[160 + lane], lane & 1 ? 31 : -1);
    }
  }
}

TEST_F(SimTest, VotesAndCounts) {
  std::vector<int> out(64 * 7);
  SimKernel kernel(R"(#include "lathe/sim.cuh"
__global__ void k(int *out) {
  int t = threadIdx.x;
  out[t] = __ballot_sync(0xffffffff, t % 3 == 0);
  out[64 + t] = __any_sync(0xffffffff, t == 40);
  out[128 + t] = __all_sync(0xffffffff, t < 32);
  out[192 + t] = __syncthreads_count(t % 5 == 0);
  out[256 + t] = __syncthreads_and(t < 63);
  out[320 + t] = __syncthreads_or(t == 63);
  out[384 + t] = __activemask();
  __syncthreads();
})");
  kernel.output(out).launch(1, 64);
  ASSERT_EQ(kernel.run(), "");
  for (int t = 0; t < 64; ++t) {
    unsigned expected = 0;
    for (int lane = 0; lane < 32; ++lane)
      expected |= unsigned((t / 32 * 32 + lane) % 3 == 0) << lane;
    EXPECT_EQ(unsigned(out[t]), expected);
    EXPECT_EQ(out[64 + t], t >= 32);
    EXPECT_EQ(out[128 + t], t < 32);
    EXPECT_EQ(out[192 + t], 13);
    EXPECT_EQ(out[256 + t], 0);
    EXPECT_EQ(out[320 + t], 1);
    EXPECT_EQ(out[384 + t], -1);
  }
}

TEST_F(SimTest, ANarrowBlockHasFewerLanes) {
  std::vector<int> out(20);
  SimKernel kernel(R"(#include "lathe/sim.cuh"
__global__ void k(int *out) {
  out[threadIdx.x] = __ballot_sync(0xffffffff, 1);
})");
  kernel.output(out).launch(1, 20);
  ASSERT_EQ(kernel.run(), "");
  EXPECT_EQ(out[19], (1 << 20) - 1);
}

TEST_F(SimTest, AtomicsOfManyBlocks) {
  std::vector<int> out(4);
  SimKernel kernel(R"(#include "lathe/sim.cuh"
__global__ void k(int *out) {
  if (blockIdx.x == 0 && threadIdx.x < 4)
    out[threadIdx.x] = 0;
}
__global__ void k1(int *out) {
  __shared__ unsigned seen;
  if (threadIdx.x == 0)
    seen = 0;
  __syncthreads();
  atomicAdd(&seen, 1u);
  __syncthreads();
  if (threadIdx.x == 0)
    atomicAdd(out, (int)seen);
  atomicMax(out + 1, (int)(blockIdx.x * 100 + threadIdx.x));
  atomicOr((unsigned *)out + 2, 1u << (threadIdx.x & 31));
  atomicCAS(out + 3, 0, 9);
})");
  kernel.output(out).launch(6, 64);
  kernel.grids = 2;
  for (bool checked : {false, true}) {
    kernel.checked = checked;
    std::fill(out.begin(), out.end(), -7);
    ASSERT_EQ(kernel.run(), "");
    EXPECT_EQ(out, (std::vector<int>{384, 563, -1, 9}));
  }
}

TEST_F(SimTest, ScratchLivesFromGridToGrid) {
  std::vector<float> in = iota(256), out(1);
  SimKernel kernel(R"(#include "lathe/sim.cuh"
__global__ void k(const float *in, float *out, unsigned char *scratch) {
  float sum = 0;
  for (int i = 0; i < 4; ++i)
    sum += in[(blockIdx.x * 32 + threadIdx.x) * 4 + i];
  ((float *)scratch)[blockIdx.x * 32 + threadIdx.x] = sum;
}
__global__ void k1(const float *in, float *out, unsigned char *scratch) {
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    float sum = 0;
    for (int i = 0; i < 64; ++i)
      sum += ((float *)scratch)[i];
    *out = sum;
  }
})");
  kernel.input(in).output(out).launch(2, 32);
  kernel.grids = 2;
  kernel.scratchBytes = 256;
  kernel.fibers = false;
  for (bool checked : {false, true}) {
    kernel.checked = checked;
    ASSERT_EQ(kernel.run(), "");
    EXPECT_EQ(out[0], 255 * 128);
  }
}

TEST_F(SimTest, DynamicSharedMemoryAndTables) {
  std::vector<int> out(64);
  SimKernel kernel(R"(#include "lathe/sim.cuh"
__constant__ const int table[4] = {3, 1, 4, 1};
__device__ __noinline__ int pick(const int *from, int i) { return from[i]; }
__global__ void k(int *out) {
  int *all = (int *)lathe_sim_dynamic_shared();
  all[threadIdx.x] = pick(table, threadIdx.x & 3);
  __syncthreads();
  out[threadIdx.x] = all[threadIdx.x ^ 1];
})");
  kernel.output(out).launch(1, 64);
  kernel.dynamicShared = 256;
  for (bool checked : {false, true}) {
    kernel.checked = checked;
    ASSERT_EQ(kernel.run(), "");
    EXPECT_EQ(out[0], 1);
    EXPECT_EQ(out[1], 3);
    EXPECT_EQ(out[63], 4);
  }
}

TEST_F(SimTest, NamedBarriers) {
  std::vector<int> out(32 * 8);
  SimKernel kernel(kHandOver);
  kernel.output(out).launch(1, 64);
  for (uint64_t seed : {0, 1, 2, 3, 4}) {
    setSimSeed(seed);
    ASSERT_EQ(kernel.run(), "");
    for (int i = 0; i < 8; ++i)
      for (int lane = 0; lane < 32; ++lane)
        EXPECT_EQ(out[i * 32 + lane], i * 100 + 31 - lane);
  }
}

TEST_F(SimTest, ExchangesAndGroupCalls) {
  std::vector<int> out(128 * 2);
  SimKernel kernel(R"(#include "lathe/sim.cuh"
struct Lane { int value, sum; };
static void add(void **lanes) {
  int sum = 0;
  for (int i = 0; i < 128; ++i)
    sum += ((Lane *)lanes[i])->value;
  for (int i = 0; i < 128; ++i)
    ((Lane *)lanes[i])->sum = sum + i;
}
__global__ void k(int *out) {
  int mine[2] = {(int)threadIdx.x, 1}, all[64];
  lathe_sim_warp_exchange(mine, sizeof(mine), all);
  int sum = 0;
  for (int i = 0; i < 64; ++i)
    sum += all[i];
  out[threadIdx.x] = sum;
  Lane lane = {(int)threadIdx.x, 0};
  lathe_sim_group_call(128, &lane, add);
  out[128 + threadIdx.x] = lane.sum;
})");
  kernel.output(out).launch(1, 128);
  for (bool checked : {false, true}) {
    kernel.checked = checked;
    ASSERT_EQ(kernel.run(), "");
    for (int t = 0; t < 128; ++t) {
      EXPECT_EQ(out[t], t / 32 * 32 * 32 + 496 + 32);
      EXPECT_EQ(out[128 + t], 127 * 64 + t);
    }
  }
}

// Threads that wait for a flag, as at an mbarrier.
TEST_F(SimTest, WaitsForConditions) {
  std::vector<int> out(64);
  SimKernel kernel(R"(#include "lathe/sim.cuh"
static bool full(void *at) { return __atomic_load_n((unsigned *)at, 0) == 32; }
__global__ void k(int *out) {
  __shared__ int box[32];
  __shared__ unsigned arrived;
  if (threadIdx.x == 0)
    __atomic_store_n(&arrived, 0u, 0);
  __syncthreads();
  if (threadIdx.x >= 32) {
    box[threadIdx.x - 32] = threadIdx.x;
    lathe_sim_release(&arrived);
    atomicAdd(&arrived, 1u);
    out[threadIdx.x] = 0;
  } else {
    lathe_sim_wait(full, &arrived, "32 arrivals");
    lathe_sim_acquire(&arrived);
    out[threadIdx.x] = box[31 - threadIdx.x];
  }
})");
  kernel.output(out).launch(1, 64);
  for (uint64_t seed : {0, 1, 2, 3}) {
    setSimSeed(seed);
    ASSERT_EQ(kernel.run(), "");
    EXPECT_EQ(out[0], 63);
    EXPECT_EQ(out[31], 32);
  }
}

TEST_F(SimTest, AsynchronousCopies) {
  std::vector<float> in = iota(128), out(128);
  SimKernel kernel(R"(#include "lathe/sim.cuh"
__global__ void k(const float *in, float *out) {
  __shared__ __align__(16) float box[2][64];
  for (int half = 0; half < 2; ++half) {
    if (threadIdx.x < 16)
      lathe_sim_cp_async(&box[half][threadIdx.x * 4], in + half * 64 + threadIdx.x * 4, 16,
                         threadIdx.x == 15 ? 8 : 16);
    lathe_sim_cp_async_commit();
  }
  for (int half = 0; half < 2; ++half) {
    lathe_sim_cp_async_wait(1 - half);
    __syncthreads();
    out[half * 64 + threadIdx.x] = box[half][63 - threadIdx.x];
  }
})");
  kernel.input(in).output(out).launch(1, 64);
  for (bool checked : {false, true}) {
    kernel.checked = checked;
    ASSERT_EQ(kernel.run(), "");
    EXPECT_EQ(out[0], 0);
    EXPECT_EQ(out[2], 61);
    EXPECT_EQ(out[127], 64);
  }
}

TEST_F(SimTest, MathOfTheDevice) {
  std::vector<float> out(4);
  SimKernel kernel(R"(#include "lathe/sim.cuh"
__global__ void k(float *out) {
  out[0] = expf(1.0f);
  out[1] = fmaf(2.0f, 3.0f, 4.0f);
  out[2] = rsqrtf(4.0f);
  out[3] = (float)(__popc(255u) + __clz(1) + max(3, 4) + __brev(1u) / 0x80000000u);
})");
  kernel.output(out).launch(1, 1);
  kernel.fibers = false;
  ASSERT_EQ(kernel.run(), "");
  EXPECT_FLOAT_EQ(out[0], 2.7182817f);
  EXPECT_EQ(out[1], 10);
  EXPECT_EQ(out[2], 0.5f);
  EXPECT_EQ(out[3], 8 + 31 + 4 + 1);
}

TEST_F(SimTest, CompileErrorsNameTheLine) {
  SimKernel kernel(R"(#include "lathe/sim.cuh"
#include "lathe/extra.cuh"
__global__ void k(float *out) {
  out[0] = undefinedName;
})");
  kernel.extraHeader =
      "#pragma once\n#include \"lathe/sim.cuh\"\n\n\nint f();\n";
  std::string text = kernel.compileError();
  expectPart(text, "does not compile 't.cu'");
  expectPart(text, "t.cu:4:12: error: use of undeclared identifier");
  kernel.text = "#include \"lathe/nosuch.cuh\"\n";
  expectPart(kernel.compileError(),
             "t.cu:1: there is no header 'lathe/nosuch.cuh'");
  kernel.text = "#include <cstdio>\n";
  expectPart(kernel.compileError(), "t.cu:1: expected #include \"lathe/...\"");
}

TEST_F(SimTest, ACompilerThatIsNotThereIsASentence) {
  ::setenv("LATHE_HOST_CXX", "/nosuch/clang++", 1);
  std::string text = SimKernel("").compileError();
  ::unsetenv("LATHE_HOST_CXX");
  EXPECT_EQ(text, "LATHE_HOST_CXX names '/nosuch/clang++', which is not a "
                  "program");
}

// Not a check: what things cost, for docs/cuda.md.
//   lathe-unit-tests --gtest_also_run_disabled_tests --gtest_filter='*Costs'
TEST_F(SimTest, DISABLED_Costs) {
  auto seconds = [](SimKernel &kernel) {
    EXPECT_EQ(kernel.run(), "");
    double best = 1e9;
    for (int i = 0; i < 5; ++i) {
      // Processor time: other work may share the machine.
      std::clock_t start = std::clock();
      EXPECT_EQ(kernel.run(), "");
      best = std::min(best, double(std::clock() - start) / CLOCKS_PER_SEC);
    }
    return best;
  };
  for (bool checked : {false, true}) {
    const char *kind = checked ? "checked" : "plain";
    std::vector<float> in = iota(32 * 256), out(32);
    SimKernel reduce(kReduce);
    reduce.input(in).output(out).launch(32, 256);
    reduce.checked = checked;
    auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(reduce.compileError(), "");
    std::printf(
        "%s: compile %.0f ms\n", kind,
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
                .count() *
            1e3);
    for (uint32_t threads : {128, 256, 1024})
      for (const char *what : {"__syncthreads()", "__syncwarp()",
                               "n += __shfl_xor_sync(0xffffffff, n, 1)"}) {
        SimKernel kernel(std::string(R"(#include "lathe/sim.cuh"
__global__ void k(int *out) {
  int n = 0;
  for (int i = 0; i < 100; ++i)
    )") + what + ";\n  if (threadIdx.x == 0)\n    out[blockIdx.x] = n;\n}");
        std::vector<int> result(16);
        kernel.output(result).launch(16, threads);
        kernel.checked = checked;
        std::printf("%s: %4u threads %-40s %.1f ns per thread\n", kind, threads,
                    what, seconds(kernel) / 16 / threads / 100 * 1e9);
      }
    std::vector<float> from(1 << 20), to(1 << 20);
    SimKernel copy(R"(#include "lathe/sim.cuh"
__global__ void k(const float *in, float *out) {
  int i = blockIdx.x * 256 + threadIdx.x;
  out[i] = in[i];
})");
    copy.input(from).output(to).launch(4096, 256);
    copy.checked = checked;
    copy.fibers = false;
    std::printf("%s: copy, threads in a loop: %.1f ns per element\n", kind,
                seconds(copy) / (1 << 20) * 1e9);
    copy.fibers = true;
    std::printf("%s: copy, a fiber each: %.1f ns per element\n", kind,
                seconds(copy) / (1 << 20) * 1e9);
    SimKernel sums(R"(#include "lathe/sim.cuh"
__global__ void k(const float *in, float *out) {
  __shared__ float part[256];
  part[threadIdx.x] = in[blockIdx.x * 256 + threadIdx.x];
  __syncthreads();
  float sum = 0;
  for (int i = 0; i < 256; ++i)
    sum += part[i];
  out[blockIdx.x * 256 + threadIdx.x] = sum;
})");
    sums.input(in);
    std::vector<float> all(32 * 256);
    sums.output(all).launch(32, 256);
    sums.checked = checked;
    std::printf("%s: %.1f ns per read of shared memory\n", kind,
                seconds(sums) / (32 * 256 * 256) * 1e9);
  }
}
} // namespace
