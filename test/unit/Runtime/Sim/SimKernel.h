// Small CUDA texts, compiled by the host's clang and run by the simulator.
#ifndef LATHE_TEST_UNIT_RUNTIME_SIM_SIMKERNEL_H
#define LATHE_TEST_UNIT_RUNTIME_SIM_SIMKERNEL_H

#include "TestHelpers.h"
#include "lathe/Runtime/ObjectLoader.h"
#include "lathe/Runtime/Sim.h"

#include <map>
#include <thread>

namespace lathe::test {

/// Whether there is a compiler; says so once where there is none.
inline bool canSimulate() {
  static bool can = [] {
    auto compiler = findHostCompiler();
    if (!compiler)
      std::fprintf(stderr, "SKIPPED: %s\n",
                   toString(compiler.takeError()).c_str());
    return static_cast<bool>(compiler);
  }();
  return can;
}

class SimTest : public ::testing::Test {
protected:
  void SetUp() override {
    if (!canSimulate())
      GTEST_SKIP() << "no clang to compile kernels with";
    setSimSeed(1);
  }
};

/// A launch of the function `k` of a text. Line 1 of the text is the line after
/// the opening quote of R"(, so tests count from there.
struct SimKernel {
  explicit SimKernel(std::string text) : text(std::move(text)) {}

  std::string text;
  uint32_t grid[3] = {1, 1, 1}, block[3] = {32, 1, 1}, cluster[3] = {1, 1, 1};
  bool checked = true, fibers = true;
  uint32_t dynamicShared = 0;
  int64_t scratchBytes = 0;
  /// Further grids: k, then k1, k2, ...
  unsigned grids = 1;
  /// Partitions of the blocks, as threads of the host would take them.
  std::vector<int64_t> cuts;
  unsigned hostThreads = 1;
  std::string extraHeader;

  template <typename T>
  SimKernel &input(std::vector<T> &data, uint32_t alignment = 0) {
    return add(data, "const " + nameOf<T>(), 0, alignment, 0);
  }
  template <typename T>
  SimKernel &output(std::vector<T> &data, uint32_t partial = 0) {
    return add(data, nameOf<T>(), 1, 0, partial);
  }
  SimKernel &launch(uint32_t blocks, uint32_t threads) {
    grid[0] = blocks;
    block[0] = threads;
    return *this;
  }

  /// The message of the compiler.
  std::string compileError() {
    auto object = compileForHost({"t.cu", full(), headers(), checked});
    return object ? "" : toString(object.takeError());
  }

  /// The object code; its entry is `run`.
  std::string object() {
    return must(compileForHost({"t.cu", full(), headers(), checked}));
  }

  /// Empty, or what went wrong.
  std::string run() {
    static std::map<std::string, std::unique_ptr<ObjectLoader>> cache;
    std::string source = full();
    std::unique_ptr<ObjectLoader> &loader =
        cache[source + extraHeader + (checked ? "+" : "-")];
    if (!loader) {
      auto object = compileForHost({"t.cu", source, headers(), checked});
      if (!object)
        return toString(object.takeError());
      auto fresh = std::make_unique<ObjectLoader>();
      if (auto error = fresh->add(*object, "t.cu"))
        return toString(std::move(error));
      loader = std::move(fresh);
    }
    auto *function =
        reinterpret_cast<void (*)(void **, void *, int64_t, int64_t)>(
            loader->lookup(0, "run"));
    if (!function)
      return "no run";
    scratch.assign(scratchBytes / 8 + 1, 0);
    std::vector<int64_t> bounds = cuts;
    bounds.insert(bounds.begin(), 0);
    bounds.push_back(grids > 1 ? 1 : int64_t(grid[0]) * grid[1] * grid[2]);
    if (hostThreads == 2) {
      int64_t all = bounds.back(), half = all / 2;
      std::thread other([&] { function(pointers.data(), nullptr, half, all); });
      function(pointers.data(), nullptr, 0, half);
      other.join();
      return toString(takeSimError(pointers.data()));
    }
    for (size_t i = 0; i + 1 < bounds.size(); ++i)
      function(pointers.data(), scratch.data(), bounds[i], bounds[i + 1]);
    return toString(takeSimError(pointers.data()));
  }

  static std::string header(const char *name) {
    std::string text, path = std::string(LATHE_DEVICE_DIR "/") + name;
    if (FILE *file = std::fopen(path.c_str(), "r")) {
      char buffer[4096];
      while (size_t read = std::fread(buffer, 1, sizeof(buffer), file))
        text.append(buffer, read);
      std::fclose(file);
    }
    EXPECT_FALSE(text.empty()) << path;
    return text;
  }

private:
  template <typename T> static std::string nameOf() {
    if (std::is_same_v<T, float>)
      return "float";
    if (std::is_same_v<T, uint8_t>)
      return "unsigned char";
    if (std::is_same_v<T, uint16_t>)
      return "unsigned short";
    return "int";
  }
  template <typename T>
  SimKernel &add(std::vector<T> &data, const std::string &type, uint32_t output,
                 uint32_t alignment, uint32_t partial) {
    unsigned i = pointers.size();
    pointers.push_back(data.data());
    call += (i ? ", (" : "(") + type + " *)args[" + std::to_string(i) + "]";
    table += "{" + std::to_string(data.size() * sizeof(T)) + ", " +
             std::to_string(sizeof(T)) + ", " + std::to_string(alignment) +
             ", " + std::to_string(output) + ", " + std::to_string(partial) +
             "},";
    return *this;
  }
  std::string full() const {
    std::string all = text;
    auto three = [](const uint32_t *n) {
      return "{" + std::to_string(n[0]) + "," + std::to_string(n[1]) + "," +
             std::to_string(n[2]) + "}";
    };
    std::string last = scratchBytes ? ", (unsigned char *)args[" +
                                          std::to_string(pointers.size()) + "]"
                                    : "";
    std::string runs;
    for (unsigned i = 0; i < grids; ++i) {
      std::string n = i ? std::to_string(i) : "";
      all += "\nstatic void call" + n + "(void **args) { k" + n + "(" + call +
             last + "); }\n";
      all += "static const LatheSimArgument arguments" + n + "[] = {" + table +
             "};\nstatic const LatheSimLaunch launch" + n +
             " = {sizeof(LatheSimLaunch), " + (checked ? "1" : "0") +
             ", \"test\", " + three(grid) + ", " + three(block) + ", " +
             three(cluster) + ", " + std::to_string(dynamicShared) + ", " +
             (fibers ? "1" : "0") + ", " + std::to_string(i) + ", " +
             std::to_string(grids) + ", " + std::to_string(pointers.size()) +
             ", arguments" + n + ", " + std::to_string(scratchBytes) + "};\n";
      runs +=
          "lathe_sim_launch(&launch" + n + ", call" + n + ", args, scratch, " +
          (grids > 1
               ? "0, " + std::to_string(int64_t(grid[0]) * grid[1] * grid[2])
               : "begin, end") +
          ");\n";
    }
    return all +
           "extern \"C\" void run(void **args, void *scratch, long long begin, "
           "long long end) {\n" +
           runs + "}\n";
  }
  llvm::ArrayRef<SimHeader> headers() {
    static const std::string sim = header("sim.cuh");
    list = {{"sim.cuh", sim}};
    if (!extraHeader.empty())
      list.push_back({"extra.cuh", extraHeader});
    return list;
  }

  std::string call, table;
  std::vector<void *> pointers;
  std::vector<int64_t> scratch;
  std::vector<SimHeader> list;
};

/// A producer warp and a consumer warp hand over a box through named barriers,
/// eight times.
inline constexpr char kHandOver[] = R"(#include "lathe/sim.cuh"
__global__ void k(int *out) {
  __shared__ int box[32];
  int lane = threadIdx.x % 32;
  for (int i = 0; i < 8; ++i)
    if (threadIdx.x < 32) {
      if (i)
        lathe_sim_named_barrier(2, 64, 1);
      box[lane] = i * 100 + lane;
      lathe_sim_named_barrier(1, 64, 0);
    } else {
      lathe_sim_named_barrier(1, 64, 1);
      out[i * 32 + lane] = box[31 - lane];
      if (i < 7)
        lathe_sim_named_barrier(2, 64, 0);
    }
})";

/// Fails unless `text` contains `part`.
inline void expectPart(const std::string &text, const std::string &part) {
  EXPECT_NE(text.find(part), std::string::npos)
      << "found: " << text << "\nexpected: " << part;
}

} // namespace lathe::test

#endif // LATHE_TEST_UNIT_RUNTIME_SIM_SIMKERNEL_H
