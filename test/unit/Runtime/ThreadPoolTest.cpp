#include "lathe/Runtime/ThreadPool.h"
#include "lathe/Runtime/Profile.h"

#include <chrono>
#include <ctime>
#include <gtest/gtest.h>
#include <mutex>
#include <sched.h>
#include <set>

using namespace lathe;

TEST(ThreadPool, CoversEveryItemOnceInContiguousChunks) {
  for (unsigned threads : {1u, 2u, 3u, 7u}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    for (int64_t items : {0, 1, 2, 5, 7, 100}) {
      std::mutex mutex;
      std::set<std::pair<int64_t, int64_t>> chunks;
      pool.run(items, [&](unsigned thread, int64_t begin, int64_t end) {
        EXPECT_LT(thread, threads);
        std::lock_guard<std::mutex> lock(mutex);
        chunks.insert({begin, end});
      });
      int64_t next = 0, smallest = items, largest = 0;
      for (auto [begin, end] : chunks) {
        EXPECT_EQ(begin, next);
        EXPECT_LT(begin, end);
        smallest = std::min(smallest, end - begin);
        largest = std::max(largest, end - begin);
        next = end;
      }
      EXPECT_EQ(next, items);
      EXPECT_EQ(static_cast<int64_t>(chunks.size()),
                std::min<int64_t>(items, threads));
      if (items)
        EXPECT_LE(largest - smallest, 1);
    }
  }
}

TEST(ThreadPool, ManyLaunchesInARow) {
  ThreadPool pool(4);
  std::vector<int> counts(4);
  for (int i = 0; i < 3000; ++i)
    pool.run(1 + i % 5,
             [&](unsigned thread, int64_t, int64_t) { ++counts[thread]; });
  EXPECT_EQ(counts[0], 3000);
  EXPECT_EQ(counts[3], 1200); // of i % 5 in {3, 4}
}

// Threads that wait sleep: the process uses next to no processor time.
TEST(ThreadPool, WaitingCostsNoProcessorTime) {
  ThreadPool pool(4);
  pool.run(4, [](unsigned, int64_t, int64_t) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  std::clock_t before = std::clock();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  double used = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  EXPECT_LT(used, 0.05);
}

// A worker that wakes on the caller's processor goes to another one, and may
// still run on all.
TEST(ThreadPool, WorkersLeaveTheCallersProcessor) {
  cpu_set_t all;
  ASSERT_EQ(sched_getaffinity(0, sizeof(all), &all), 0);
  if (CPU_COUNT(&all) < 2)
    GTEST_SKIP() << "one processor";
  ThreadPool pool(2);
  int caller = sched_getcpu(), away = 0;
  cpu_set_t here;
  CPU_ZERO(&here);
  CPU_SET(caller, &here);
  ASSERT_EQ(sched_setaffinity(0, sizeof(here), &here), 0);
  constexpr int rounds = 30;
  for (int i = 0; i < rounds; ++i) {
    pool.run(2, [&](unsigned thread, int64_t, int64_t) {
      if (thread == 0)
        return;
      away += sched_getcpu() != caller;
      cpu_set_t mask;
      sched_getaffinity(0, sizeof(mask), &mask);
      EXPECT_TRUE(CPU_EQUAL(&mask, &all));
      // To the caller's, where it falls asleep.
      sched_setaffinity(0, sizeof(here), &here);
      sched_setaffinity(0, sizeof(all), &all);
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  sched_setaffinity(0, sizeof(all), &all);
  // The scheduler has the last word.
  EXPECT_GT(away, rounds / 2);
}

TEST(ThreadPool, DenormalsAreZeroInsideAlone) {
  volatile float tiny = 1e-40f, small = 2e-38f, one = 1.0f, tenth = 0.1f;
  for (unsigned threads : {1, 3}) {
    ThreadPool pool(threads);
    std::vector<float> products(threads, 1.0f), results(threads, 1.0f);
    pool.run(threads, [&](unsigned thread, int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        products[i] = tiny * one;
        results[i] = small * tenth;
      }
    });
    EXPECT_EQ(products, std::vector<float>(threads, 0.0f));
    EXPECT_EQ(results, std::vector<float>(threads, 0.0f));
    EXPECT_GT(tiny * one, 0.0f);
    EXPECT_GT(small * tenth, 0.0f);
  }
}

TEST(Profile, LatencyStatistics) {
  LatencyStatistics none = LatencyStatistics::of({});
  EXPECT_EQ(none.median, 0);
  LatencyStatistics s = LatencyStatistics::of({4, 1, 3, 2});
  EXPECT_EQ(s.min, 1);
  EXPECT_EQ(s.max, 4);
  EXPECT_EQ(s.median, 2.5);
  EXPECT_EQ(s.mean, 2.5);
  EXPECT_EQ(LatencyStatistics::of({5}).p90, 5);
}

TEST(Profile, PeakMemorySeesAnAllocation) {
  uint64_t before = peakMemoryBytes();
  ASSERT_GT(before, 0u);
  resetPeakMemory();
  uint64_t resident = residentMemoryBytes();
  std::vector<char> block(64 << 20, 1);
  EXPECT_GE(peakMemoryBytes(), resident + (60 << 20));
  EXPECT_EQ(block[1000], 1);
}
