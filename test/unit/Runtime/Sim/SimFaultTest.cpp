// Planted faults, each beside a twin without it.
#include "SimKernel.h"

using namespace lathe;
using namespace lathe::test;

namespace {
/// `part` of the text becomes `instead`.
std::string edit(std::string text, const std::string &part,
                 const std::string &instead) {
  size_t at = text.find(part);
  EXPECT_NE(at, std::string::npos) << part;
  return text.replace(at, part.size(), instead);
}

struct Faults : SimTest {
  std::vector<float> in = std::vector<float>(256, 1.f);
  std::vector<float> out = std::vector<float>(256);
  std::vector<float> one = std::vector<float>(1);

  SimKernel make(const std::string &body, std::vector<float> &result,
                 uint32_t blocks = 2, uint32_t threads = 128) {
    SimKernel kernel("#include \"lathe/sim.cuh\"\n"
                     "__global__ void k(const float *in, float *out) {\n" +
                     body + "\n}");
    kernel.input(in).output(result).launch(blocks, threads);
    return kernel;
  }
  std::string run(const std::string &body) { return make(body, out).run(); }
};

//===----------------------------------------------------------------------===//
// Bounds
//===----------------------------------------------------------------------===//

const char *const kCopy = R"(  int i = blockIdx.x * blockDim.x + threadIdx.x;
  out[i] = in[i];)";

TEST_F(Faults, IndexOffByOne) {
  EXPECT_EQ(run(kCopy), "");
  for (uint64_t seed : {0, 1, 2}) {
    setSimSeed(seed);
    EXPECT_EQ(run(edit(kCopy, "in[i]", "in[i + 1]")),
              "kernel 'test', block (1,0,0), thread (127,0,0): reads 4 bytes "
              "beyond the end of input 0 (1024 bytes) at t.cu:4");
    EXPECT_EQ(run(edit(kCopy, "out[i]", "out[i + 1]")),
              "kernel 'test', block (1,0,0), thread (127,0,0): writes 4 bytes "
              "beyond the end of output 0 (1024 bytes) at t.cu:4");
  }
  setSimSeed(0);
  EXPECT_EQ(run(edit(kCopy, "in[i]", "in[i - 3]")),
            "kernel 'test', block (0,0,0), thread (0,0,0): reads 4 bytes 12 "
            "bytes before the start of input 0 at t.cu:4");
  EXPECT_EQ(run(edit(kCopy, "in[i]", "in[i + 5]")),
            "kernel 'test', block (1,0,0), thread (123,0,0): reads 4 bytes "
            "beyond the end of input 0 (1024 bytes) at t.cu:4");
  EXPECT_EQ(run(edit(kCopy, "in[i]", "in[i + (1 << 24)]")),
            "kernel 'test', block (0,0,0), thread (0,0,0): reads 4 bytes at an "
            "address that belongs to none of its arguments at t.cu:4");
  expectPart(run(edit(kCopy, "in[i];", "in[i]; ((float *)in)[i] = 2;")),
             "writes 4 bytes of input 0, which is no output at t.cu:4");
}

// A helper in a header is not what the user wants to hear of.
TEST_F(Faults, TheLineIsThatOfTheText) {
  for (const char *attribute : {"__forceinline__", "__noinline__"}) {
    SimKernel kernel(R"(#include "lathe/sim.cuh"
#include "lathe/extra.cuh"
__global__ void k(const float *in, float *out) {

  put(out, threadIdx.x, in[threadIdx.x]);
})");
    kernel.extraHeader = std::string("static __device__ ") + attribute +
                         " void put(float *out, int i, float x) {\n"
                         "  out[i] = x;\n}\n";
    kernel.input(in).output(out).launch(1, 288);
    expectPart(kernel.run(), " at t.cu:5");
  }
}

TEST_F(Faults, SharedMemoryOverrun) {
  const char *body = R"(  __shared__ float first[128];
  __shared__ float second[128];
  float *one = first, *two = second;
  int t = threadIdx.x, i = blockIdx.x * 128 + t;
  one[t] = two[t] = in[i];
  __syncthreads();
  out[i] = one[t] + two[127 - t];)";
  EXPECT_EQ(run(body), "");
  std::string message = run(edit(body, "one[t] = two", "one[t + 1] = two"));
  expectPart(message, "thread (127,0,0): writes 4 bytes beyond the end of "
                      "shared 'first' (at byte 512) at t.cu:7");
  message = run(edit(body, "two[127 - t]", "two[128 - t]"));
  expectPart(message, "thread (0,0,0): reads 4 bytes beyond the end of shared "
                      "'second' (at byte 512) at t.cu:9");
  const char *dynamic = R"(  float *all = (float *)lathe_sim_dynamic_shared();
  all[threadIdx.x] = 1;
  out[blockIdx.x * 128 + threadIdx.x] = all[threadIdx.x];)";
  SimKernel kernel = make(dynamic, out);
  kernel.dynamicShared = 512;
  EXPECT_EQ(kernel.run(), "");
  kernel.dynamicShared = 508;
  expectPart(kernel.run(), "writes 4 bytes beyond the end of dynamic shared "
                           "memory (at byte 508) at t.cu:4");
}

TEST_F(Faults, TooMuchSharedMemory) {
  const char *body = R"(  __shared__ float big[SIZE];
  big[threadIdx.x] = 1;
  out[blockIdx.x * 128 + threadIdx.x] = big[threadIdx.x];)";
  EXPECT_EQ(run(edit(body, "SIZE", "12288")), "");
  expectPart(run(edit(body, "SIZE", "12289")),
             "declares 49156 bytes of __shared__ variables, expected at most "
             "49152");
  SimKernel kernel = make(kCopy, out);
  kernel.dynamicShared = 233 << 10;
  expectPart(kernel.run(), "bytes of dynamic shared memory, expected at most");
}

TEST_F(Faults, MisalignedVectors) {
  setSimSeed(0);
  const char *body = R"(  typedef float V __attribute__((ext_vector_type(4)));
  int i = blockIdx.x * 128 + threadIdx.x;
  if (i < 64) {
    lathe_sim_vector_access(in + i * 4 + OFFSET, 16);
    ((V *)out)[i] = (V)(in[i * 4 + OFFSET]);
  })";
  EXPECT_EQ(run(edit(edit(body, "OFFSET", "0"), "OFFSET", "0")), "");
  expectPart(run(edit(edit(body, "OFFSET", "1"), "OFFSET", "1")),
             "accesses 16 bytes at once at byte 4 of input 0, which is not a "
             "multiple of 16 at t.cu:6");
  // The text relies on 16 bytes where 4 are certain.
  SimKernel kernel("#include \"lathe/sim.cuh\"\n"
                   "__global__ void k(const float *in, float *out) {\n" +
                   edit(edit(body, "OFFSET", "0"), "OFFSET", "0") + "\n}");
  kernel.input(in, 4).output(out).launch(2, 128);
  expectPart(kernel.run(), "accesses 16 bytes at once at byte 0 of input 0, "
                           "which is not a multiple of 16 (the buffer is "
                           "aligned to 4 bytes)");
  // The compiler knows of this one by itself.
  expectPart(run("  double *d = (double *)((char *)out + 4);\n"
                 "  d[threadIdx.x] = 1;"),
             "accesses 8 bytes at once at byte ");
}

TEST_F(Faults, LocalMemoryOfAThread) {
  EXPECT_EQ(run("  float own[64];\n"
                "  for (int i = 0; i < 64; ++i) own[i] = in[i];\n"
                "  int i = blockIdx.x * 128 + threadIdx.x;\n"
                "  out[i] = own[(int)in[0] + threadIdx.x % 32];"),
            "");
  expectPart(run("  float own[14500];\n"
                 "  for (int i = 0; i < 14500; ++i) own[i] = in[0];\n"
                 "  int i = blockIdx.x * 128 + threadIdx.x;\n"
                 "  out[i] = own[(int)in[0] + threadIdx.x];"),
             "needs more than 56 KiB for its local variables");
}

// An index may leave its row and still be inside of the array.
TEST_F(Faults, RowsOfAnArray) {
  const char *body = R"(  __shared__ float tile[4][32];
  int t = threadIdx.x;
  tile[t / 32][t % 32] = in[t];
  __syncthreads();
  float own[2] = {1, 2};
  out[blockIdx.x * 128 + t] = tile[0][t % 32] + own[t % 2];)";
  EXPECT_EQ(run(body), "");
  expectPart(
      run(edit(body, "tile[0][t % 32]", "tile[0][t % 33]")),
      "thread (32,0,0): uses index 32 of an array 'float[32]' at t.cu:8");
  expectPart(run(edit(body, "own[t % 2]", "own[t % 3]")),
             ",0,0): uses index 2 of an array 'float[2]' at t.cu:8");
}

//===----------------------------------------------------------------------===//
// Races
//===----------------------------------------------------------------------===//

const char *const kReverse = R"(  __shared__ float part[128];
  int t = threadIdx.x, at = blockIdx.x * 128;
  part[t] = in[at + t];
  __syncthreads();
  out[at + t] = part[127 - t];)";

TEST_F(Faults, MissingBarrier) {
  EXPECT_EQ(run(kReverse), "");
  for (uint64_t seed : {0, 1, 2, 3}) {
    setSimSeed(seed);
    std::string message =
        run(edit(kReverse, "__syncthreads();", "__syncwarp();"));
    // Either the element is not there yet, or it is by mere luck.
    expectPart(message, "part");
    expectPart(message, " at t.cu:7");
  }
  // The reads of one round and the writes of the next.
  const char *rounds = R"(  __shared__ float part[128];
  int t = threadIdx.x;
  float sum = 0;
  for (int i = 0; i < 3; ++i) {
    part[t] = in[t] + i;
    __syncthreads();
    sum += part[(t + 37) % 128];
    __syncthreads();
  }
  out[blockIdx.x * 128 + t] = sum;)";
  EXPECT_EQ(run(rounds), "");
  std::string message =
      run(edit(rounds, "128];\n    __syncthreads();\n", "128];\n"));
  expectPart(message, "of shared 'part' at t.cu:");
  expectPart(message, ", and without a barrier between thread (");
  expectPart(message, " at t.cu:7");
  expectPart(message, " at t.cu:9");
}

TEST_F(Faults, RaceBetweenWritersOfSharedMemory) {
  const char *body = R"(  __shared__ float part[128];
  part[threadIdx.x] = 1;
  __syncthreads();
  out[blockIdx.x * 128 + threadIdx.x] = part[0];)";
  EXPECT_EQ(run(body), "");
  setSimSeed(0);
  EXPECT_EQ(run(edit(body, "[threadIdx.x] = 1", "[threadIdx.x / 2] = 1")),
            "kernel 'test', block (0,0,0), thread (1,0,0): writes byte 0 of "
            "shared 'part' at t.cu:4, and without a barrier between thread "
            "(0,0,0) wrote at t.cu:4");
}

TEST_F(Faults, BytesOfOneWordAreNoRace) {
  std::vector<uint8_t> bytes(256);
  SimKernel kernel(R"(#include "lathe/sim.cuh"
__global__ void k(unsigned char *out) {
  __shared__ unsigned char part[128];
  part[threadIdx.x] = threadIdx.x;
  __syncthreads();
  out[blockIdx.x * 128 + threadIdx.x] = part[127 - threadIdx.x];
})");
  kernel.output(bytes).launch(2, 128);
  EXPECT_EQ(kernel.run(), "");
  EXPECT_EQ(bytes[0], 127);
  EXPECT_EQ(bytes[255], 0);
}

TEST_F(Faults, WarpsNeedSyncWarp) {
  const char *body = R"(  __shared__ float part[128];
  int t = threadIdx.x;
  part[t] = in[t];
  __syncwarp();
  out[blockIdx.x * 128 + t] = part[t ^ 1];)";
  EXPECT_EQ(run(body), "");
  expectPart(run(edit(body, "  __syncwarp();", "")), "part");
  // A shuffle orders nothing.
  expectPart(run(edit(body, "__syncwarp();", "__shfl_sync(0xffffffff, t, 0);")),
             "without a barrier between");
}

TEST_F(Faults, RaceBetweenBlocks) {
  for (uint64_t seed : {0, 1, 2}) {
    setSimSeed(seed);
    EXPECT_EQ(make("  out[threadIdx.x] = in[threadIdx.x];", out, 1, 256).run(),
              "");
    std::string message =
        make("  out[threadIdx.x] = in[threadIdx.x];", out, 2, 256).run();
    expectPart(message, "writes byte ");
    expectPart(message, "of output 0 at t.cu:3, which thread (");
    expectPart(message, " wrote at t.cu:3");
  }
  // One block reads what another one writes.
  const char *body = R"(  int i = blockIdx.x * 128 + threadIdx.x;
  out[i] = in[i];
  __syncthreads();
  if (blockIdx.x == 1)
    out[i] += out[i - OFFSET];)";
  EXPECT_EQ(run(edit(body, "OFFSET", "0")), "");
  setSimSeed(0);
  expectPart(run(edit(body, "OFFSET", "128")),
             "reads byte 508 of output 0 at t.cu:7, which thread (127,0,0) of "
             "block (0,0,0) wrote at t.cu:4");
}

TEST_F(Faults, RaceWithinABlockOnGlobalMemory) {
  const char *body = R"(  int t = threadIdx.x;
  out[t] = in[t];
  __syncthreads();
  float x = out[255 - t];
  __syncthreads();
  out[t] = x;)";
  EXPECT_EQ(make(body, out, 1, 256).run(), "");
  std::string message =
      make(edit(body, "- t];\n  __syncthreads();", "- t];"), out, 1, 256).run();
  expectPart(message, ", and without a barrier between thread (");
  expectPart(message, " at t.cu:6");
  expectPart(message, " at t.cu:7");
}

TEST_F(Faults, AtomicsAndPlainAccesses) {
  std::vector<int> sum(1);
  SimKernel kernel(R"(#include "lathe/sim.cuh"
__global__ void k(int *out) {
  __shared__ int n;
  if (threadIdx.x == 0)
    n = 0;
  __syncthreads();
  atomicAdd(&n, 1);
  __syncthreads();
  if (threadIdx.x == 0)
    out[0] = n;
})");
  kernel.output(sum).launch(1, 64);
  EXPECT_EQ(kernel.run(), "");
  EXPECT_EQ(sum[0], 64);
  SimKernel racy = kernel;
  racy.text = edit(kernel.text, "atomicAdd(&n, 1)", "n = n + 1");
  expectPart(racy.run(), "of shared 'n' at t.cu:7, and without a barrier");
  racy.text = edit(kernel.text, "1);\n  __syncthreads();", "1);");
  expectPart(racy.run(), "of shared 'n'");
}

// The producer overwrites the box before the consumer has read it.
TEST_F(Faults, MissingNamedBarrier) {
  std::vector<int> got(32 * 8);
  SimKernel kernel(kHandOver);
  kernel.output(got).launch(1, 64);
  EXPECT_EQ(kernel.run(), "");
  kernel.text = edit(kHandOver,
                     "      out[i * 32 + lane] = box[31 - lane];\n      if (i "
                     "< 7)\n        lathe_sim_named_barrier(2, 64, 0);",
                     "      if (i < 7)\n        lathe_sim_named_barrier(2, 64, "
                     "0);\n      out[i * 32 + lane] = box[31 - lane];");
  expectPart(kernel.run(), "of shared 'box' at t.cu:");
}

//===----------------------------------------------------------------------===//
// Barriers in divergent code
//===----------------------------------------------------------------------===//

TEST_F(Faults, BarrierInABranch) {
  setSimSeed(0);
  const char *body = R"(  int i = blockIdx.x * 128 + threadIdx.x;
  out[i] = in[i];
  if (threadIdx.x < COUNT)
    __syncthreads();)";
  EXPECT_EQ(run(edit(body, "COUNT", "128")), "");
  EXPECT_EQ(run(edit(body, "COUNT", "127")),
            "kernel 'test', block (0,0,0), thread (0,0,0): waits at "
            "__syncthreads at t.cu:6, which thread (127,0,0) does not reach: "
            "it has ended");
  const char *sides = R"(  int i = blockIdx.x * 128 + threadIdx.x;
  out[i] = in[i];
  if (threadIdx.x < 64)
    __syncthreads();
  else
    __syncthreads();)";
  EXPECT_EQ(run(sides),
            "kernel 'test', block (0,0,0), thread (127,0,0): waits at "
            "__syncthreads at t.cu:8, while thread (0,0,0) waits at another "
            "__syncthreads at t.cu:6");
  // Half of a warp at a barrier, half at a shuffle.
  const char *mixed = R"(  int i = blockIdx.x * 128 + threadIdx.x;
  out[i] = in[i];
  if (threadIdx.x & 1)
    __syncthreads();
  else
    __shfl_sync(0xffffffff, i, 0);)";
  EXPECT_EQ(run(mixed),
            "kernel 'test', block (0,0,0), thread (1,0,0): waits at "
            "__syncthreads at t.cu:6, which thread (0,0,0) does not reach: it "
            "waits at a shuffle at t.cu:8");
}

// The compiler may copy a barrier, of one place in the text.
TEST_F(Faults, CopiesOfOneBarrierAreOne) {
  EXPECT_EQ(run(R"(  int i = blockIdx.x * 128 + threadIdx.x;
  float x = 0;
#pragma unroll
  for (int n = 0; n < 4; ++n) {
    x += in[i];
    __syncthreads();
  }
  if (threadIdx.x & 1)
    x += 1;
  __syncthreads();
  if (threadIdx.x & 1)
    x += in[i];
  out[i] = x;)"),
            "");
}

TEST_F(Faults, WarpCollectivesInABranch) {
  setSimSeed(0);
  const char *body = R"(  int i = blockIdx.x * 128 + threadIdx.x;
  float x = in[i];
  if (threadIdx.x < COUNT)
    x += __shfl_xor_sync(0xffffffff, x, 1);
  out[i] = x;)";
  EXPECT_EQ(run(edit(body, "COUNT", "96")), "");
  EXPECT_EQ(run(edit(body, "COUNT", "90")),
            "kernel 'test', block (0,0,0), thread (64,0,0): waits at a shuffle "
            "at t.cu:6, which thread (90,0,0) does not reach: it has ended");
  const char *votes = R"(  int i = blockIdx.x * 128 + threadIdx.x;
  out[i] = in[i];
  if (threadIdx.x & 1)
    __any_sync(0xffffffff, 1);
  else
    __shfl_sync(0xffffffff, i, 0);)";
  EXPECT_EQ(run(votes),
            "kernel 'test', block (0,0,0), thread (1,0,0): reaches a vote for "
            "the lanes 0xFFFFFFFF at t.cu:6, while thread (0,0,0) waits at a "
            "shuffle for the lanes 0xFFFFFFFF at t.cu:8");
  expectPart(run("  out[blockIdx.x * 128 + threadIdx.x] =\n"
                 "      __shfl_sync(0xff, 1, 0);"),
             "thread (8,0,0): reaches a shuffle for the lanes 0xFF, which "
             "leave it out at t.cu:4");
  expectPart(run("  out[blockIdx.x * 128 + threadIdx.x] =\n"
                 "      threadIdx.x < 8 ? __shfl_sync(0xff, 1, 9) : 0;"),
             "thread (0,0,0): shuffles from lane 9, which takes no part at "
             "t.cu:4");
}

TEST_F(Faults, DeadlocksOfOtherKinds) {
  setSimSeed(0);
  expectPart(run("  out[blockIdx.x * 128 + threadIdx.x] = 1;\n"
                 "  if (threadIdx.x < 32) lathe_sim_named_barrier(3, 64, 1);"),
             "thread (0,0,0): waits at barrier 3 at t.cu:4, to which 32 of 64 "
             "threads have come and no others can");
  SimKernel kernel = make("  out[blockIdx.x * 128 + threadIdx.x] = 1;\n"
                          "  if (threadIdx.x == 5)\n"
                          "    lathe_sim_wait(never, 0, \"a sign\");",
                          out);
  kernel.text = edit(kernel.text, "__global__",
                     "static bool never(void *) { return false; } __global__");
  expectPart(kernel.run(), "thread (5,0,0): waits for a sign at t.cu:5, and no "
                           "thread is left that could bring it about");
}

TEST_F(Faults, AKernelThatSaysItHasNoBarriers) {
  SimKernel kernel = make(kReverse, out);
  kernel.fibers = false;
  for (bool checked : {false, true}) {
    kernel.checked = checked;
    expectPart(kernel.run(), "reaches __syncthreads in a kernel that is "
                             "declared to have none at t.cu:6");
  }
}

//===----------------------------------------------------------------------===//
// What nobody wrote
//===----------------------------------------------------------------------===//

TEST_F(Faults, UnwrittenOutput) {
  const char *body = R"(  int i = blockIdx.x * 128 + threadIdx.x;
  if (i != 77 && i < 250)
    out[i] = in[i];)";
  EXPECT_EQ(run(edit(body, "i != 77 && i < 250", "i < 256")), "");
  EXPECT_EQ(run(body), "kernel 'test': leaves 7 of the 256 elements of output "
                       "0 unwritten, the first is number 77");
  SimKernel partial("#include \"lathe/sim.cuh\"\n"
                    "__global__ void k(const float *in, float *out) {\n" +
                    std::string(body) + "\n}");
  partial.input(in).output(out, /*partial=*/1).launch(2, 128);
  EXPECT_EQ(partial.run(), "");
  // Parts of the grid, taken by several threads, make one launch.
  SimKernel kernel = make(body, out);
  kernel.cuts = {1};
  expectPart(kernel.run(), "leaves 7 of the 256 elements");
  expectPart(run("  out[blockIdx.x * 128 + threadIdx.x] += 1;"),
             "reads 4 bytes of output 0 that nobody wrote at t.cu:3");
}

TEST_F(Faults, UnwrittenSharedMemory) {
  EXPECT_EQ(run(kReverse), "");
  expectPart(run(edit(kReverse, "  part[t] =", "  if (t != 9) part[t] =")),
             "thread (118,0,0): reads 4 bytes of shared 'part' (at byte 36) "
             "that nobody wrote at t.cu:7");
  // What an earlier block wrote does not count.
  expectPart(
      run(edit(kReverse, "  part[t] =", "  if (blockIdx.x == 0) part[t] =")),
      "that nobody wrote at t.cu:7");
  // Not even a sum in place.
  expectPart(run("  __shared__ float sum[128];\n"
                 "  sum[threadIdx.x] += in[threadIdx.x];\n"
                 "  out[blockIdx.x * 128 + threadIdx.x] = sum[threadIdx.x];"),
             "of shared 'sum' (at byte ");
}

TEST_F(Faults, ACopyIsThereAfterItsWaitOnly) {
  const char *body = R"(  __shared__ __align__(16) float box[128];
  int t = threadIdx.x;
  lathe_sim_cp_async(box + t, in + t, 4, 4);
  lathe_sim_cp_async_commit();
  lathe_sim_cp_async_wait(0);
  __syncthreads();
  out[blockIdx.x * 128 + t] = box[127 - t];)";
  EXPECT_EQ(run(body), "");
  expectPart(run(edit(body, "wait(0)", "wait(1)")),
             "of shared 'box' (at byte ");
  // Without the barrier only one's own copies are certain.
  expectPart(run(edit(body, "  __syncthreads();", "")), "box");
  expectPart(run(edit(body, "in + t, 4, 4", "in + 2 * t + 1, 8, 8")),
             "accesses 8 bytes at once at byte ");
}

TEST_F(Faults, WithoutChecksUnwrittenMemoryIsNaN) {
  SimKernel kernel = make(R"(  __shared__ float part[128];
  if (in[0] == 2)
    part[threadIdx.x] = 1;
  out[blockIdx.x * 128 + threadIdx.x] = part[threadIdx.x];)",
                          out);
  kernel.checked = false;
  EXPECT_EQ(kernel.run(), "");
  EXPECT_NE(out[0], out[0]);
}

//===----------------------------------------------------------------------===//
// Launches
//===----------------------------------------------------------------------===//

TEST_F(Faults, ImpossibleLaunches) {
  EXPECT_EQ(make(kCopy, out, 2, 2048).run(),
            "kernel 'test' is launched with blocks of (2048,1,1) threads, "
            "expected 1 to 1024, 1024 and 64");
  SimKernel kernel = make(kCopy, out);
  kernel.block[1] = 16;
  expectPart(kernel.run(), "2048 threads per block");
  kernel = make(kCopy, out);
  kernel.grid[1] = 70000;
  expectPart(kernel.run(), "a grid of (2,70000,1) blocks");
  expectPart(make("  if (threadIdx.x == 3) __trap();", out).run(),
             "thread (3,0,0): reached __trap() at t.cu:3");
}

// After an error the next launch starts afresh.
TEST_F(Faults, AnErrorIsGoneOnceItIsTaken) {
  SimKernel bad = make(edit(kCopy, "in[i]", "in[i + 1]"), out);
  SimKernel good = make(kCopy, out);
  for (int i = 0; i < 3; ++i) {
    EXPECT_NE(bad.run(), "");
    EXPECT_EQ(good.run(), "");
  }
  EXPECT_EQ(toString(takeSimError()), "");
}

// An output in the place of its input, as the planner does.
TEST_F(Faults, InPlace) {
  SimKernel kernel("#include \"lathe/sim.cuh\"\n"
                   "__global__ void k(const float *in, float *out) {\n"
                   "  int i = blockIdx.x * 128 + threadIdx.x;\n"
                   "  out[i] = in[FROM] + 1;\n}");
  std::string text = kernel.text;
  kernel.input(in).output(in).launch(2, 128);
  kernel.text = edit(text, "FROM", "i");
  EXPECT_EQ(kernel.run(), "");
  EXPECT_EQ(in[200], 2);
  kernel.text = edit(text, "FROM", "i ^ 1");
  expectPart(kernel.run(), "of output 0 at t.cu:4, and without a barrier");
}
} // namespace
