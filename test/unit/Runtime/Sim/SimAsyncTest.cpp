// Boxes of tensors, mbarriers and deferred calls, with checks and without, in
// many orders. test/numeric/test_cuda_tma.py has where bytes stand and what
// faults are called.
#include "SimKernel.h"

#include <algorithm>

using namespace lathe;
using namespace lathe::test;

// One warp copies rows of 8 x 16 bytes through two stages; two others add them
// up and give the stages back.
static const char *const pipeline = R"(
#include "lathe/sim.cuh"
__global__ void k(const int *x, int *y) {
  char *shared = (char *)lathe_sim_dynamic_shared();
  unsigned long long *full = (unsigned long long *)(shared + 256);
  unsigned long long *empty = full + 2;
  LatheSimTensorMap map = {x, 4, 2, {4, 80}, {16}, {4, 8}, 0};
  int thread = threadIdx.x;
  if (thread == 0) {
    for (int i = 0; i < 2; ++i) {
      lathe_sim_mbarrier_init(full + i, 1);
      lathe_sim_mbarrier_init(empty + i, 2);
    }
    lathe_sim_mbarrier_fence();
  }
  __syncthreads();
  if (thread >= 64) {
    if (thread == 64)
      for (int step = 0; step < 10; ++step) {
        int stage = step % 2, place[2] = {0, step * 8};
        lathe_sim_mbarrier_wait(empty + stage, step / 2 % 2 ^ 1);
        lathe_sim_mbarrier_arrive(full + stage, 1, 128);
        lathe_sim_copy_box(shared + stage * 128, &map, place, full + stage);
      }
    return;
  }
  int sum = 0;
  for (int step = 0; step < 10; ++step) {
    int stage = step % 2;
    WAIT;
    sum += ((int *)(shared + stage * 128))[thread % 32];
    __syncwarp();
    if (thread % 32 == 0)
      lathe_sim_mbarrier_arrive(empty + stage, 1, 0);
  }
  y[thread] = sum;
}
)";

static std::string with(std::string text, const std::string &name,
                        const std::string &value) {
  text.replace(text.find(name), name.size(), value);
  return text;
}

static std::string runPipeline(const char *wait, bool checked,
                               std::vector<int> &y) {
  std::vector<int> x(320);
  for (int i = 0; i < 320; ++i)
    x[i] = i * i;
  SimKernel kernel(with(pipeline, "WAIT", wait));
  kernel.launch(1, 96).input(x).output(y);
  kernel.dynamicShared = 512;
  kernel.checked = checked;
  return kernel.run();
}

TEST_F(SimTest, BoxesGoThroughAPipeline) {
  for (bool checked : {true, false})
    for (unsigned seed = 0; seed < 30; ++seed) {
      setSimSeed(seed);
      std::vector<int> y(64);
      ASSERT_EQ(
          runPipeline("lathe_sim_mbarrier_wait(full + stage, step / 2 % 2)",
                      checked, y),
          "")
          << seed;
      for (int i = 0; i < 64; ++i) {
        int sum = 0;
        for (int step = 0; step < 10; ++step)
          sum += (step * 32 + i % 32) * (step * 32 + i % 32);
        ASSERT_EQ(y[i], sum) << i << ", seed " << seed;
      }
    }
}

// Without checks, too, a box has not arrived that nobody waited for, and a
// phase that cannot end is a sentence.
TEST_F(SimTest, BoxesArriveLate) {
  std::vector<int> y(64);
  // The next copy of a stage begins while the first is on its way.
  expectPart(runPipeline("", false, y), "waits for 0 arrivals more");
  std::string wait = "lathe_sim_mbarrier_wait(full + stage, step / 2 % 2)";
  expectPart(runPipeline((wait + "; if (step == 9) "
                                 "lathe_sim_mbarrier_wait(full + stage, 1)")
                             .c_str(),
                         false, y),
             "phase 5 of the mbarrier at byte 264 of shared memory, of which 1 "
             "arrival will not come");
}

// Calls run at the wait: the first of two groups alone where one may be open.
TEST_F(SimTest, DeferredCallsRunAtTheWait) {
  for (bool checked : {true, false}) {
    std::vector<int> y(128 * 3);
    SimKernel kernel(R"(
#include "lathe/sim.cuh"
struct Mine { int *sum; int value; };
LATHE_SIM_MODEL void add(void **mine) {
  for (int i = 0; i < 128; ++i)
    *((Mine *)mine[i])->sum += ((Mine *)mine[127 - i])->value;
}
__global__ void k(int *y) {
  int sum = 0, thread = threadIdx.x;
  for (int i = 0; i < 2; ++i) {
    Mine mine = {&sum, thread + 1 + 1000 * i};
    lathe_sim_group_defer(128, &mine, sizeof(mine), add);
    lathe_sim_group_commit();
  }
  y[thread] = sum;
  lathe_sim_group_wait(1);
  y[thread + 128] = sum;
  lathe_sim_group_wait(0);
  y[thread + 256] = sum;
}
)");
    kernel.launch(1, 128).output(y);
    kernel.checked = checked;
    ASSERT_EQ(kernel.run(), "");
    for (int i = 0; i < 128; ++i) {
      // A thread may be late, so that others have waited for it.
      int one = 128 - i, two = 2 * one + 1000;
      ASSERT_TRUE(y[i] == 0 || y[i] == one || y[i] == two) << y[i];
      ASSERT_TRUE(y[i + 128] == one || y[i + 128] == two) << y[i + 128];
      ASSERT_EQ(y[i + 256], two);
    }
    EXPECT_TRUE(std::any_of(y.begin(), y.begin() + 128,
                            [](int value) { return value == 0; }));
  }
}
