// Cubins from the real NVRTC; no GPU is needed for them.
#include "lathe/Runtime/CudaNvrtc.h"
#include "TestHelpers.h"
#include "lathe/Support/DiskCache.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

#include <cstdlib>
#include <optional>
#include <thread>

using namespace lathe;
using namespace lathe::test;
using namespace lathe::cuda;

namespace {

const char *kHeader = R"(#pragma once
__device__ inline float lathe_scale(float x) { return 2.0f * x; }
)";

/// out[i] = 2 * in[i] through shared memory, as kernel `symbol`.
std::string scaleText(const std::string &symbol) {
  return "#include \"lathe/test.cuh\"\n"
         "extern \"C\" __global__ void __launch_bounds__(256)\n" +
         symbol +
         "(const float *in, float *out) {\n"
         "  __shared__ float tile[256];\n"
         "  unsigned i = blockIdx.x * 256 + threadIdx.x;\n"
         "  tile[threadIdx.x] = lathe_scale(in[i]);\n"
         "  __syncthreads();\n"
         "  out[i] = tile[threadIdx.x];\n"
         "}\n";
}

CubinRequest scaleRequest(const std::string &symbol,
                          const std::string &arch = "sm_90a") {
  CubinRequest request;
  request.text = scaleText(symbol);
  request.name = symbol + ".cu";
  request.headers = {{"lathe/test.cuh", kHeader}};
  request.arch = arch;
  return request;
}

class CudaNvrtc : public ::testing::Test {
protected:
  void SetUp() override {
    auto loaded = Nvrtc::load();
    if (!loaded) {
      std::string reason = message(loaded.takeError());
      GTEST_SKIP() << reason;
    }
    nvrtc = *loaded;
  }
  std::shared_ptr<Nvrtc> nvrtc;
};

/// Sets an environment variable for one test.
class Environment {
public:
  Environment(const char *name, const std::string &value) : name(name) {
    if (const char *before = std::getenv(name))
      old = before;
    ::setenv(name, value.c_str(), 1);
  }
  ~Environment() {
    if (old)
      ::setenv(name, old->c_str(), 1);
    else
      ::unsetenv(name);
  }

private:
  const char *name;
  std::optional<std::string> old;
};

TEST_F(CudaNvrtc, CompilesForEveryArchitecture) {
  for (const char *arch : {"sm_80", "sm_90a", "sm_100"}) {
    Cubin cubin = must(nvrtc->compile(scaleRequest("scale", arch), nullptr));
    EXPECT_TRUE(llvm::StringRef(cubin.bytes)
                    .starts_with("\x7f"
                                 "ELF"))
        << arch;
    EXPECT_TRUE(cubin.warnings.empty()) << cubin.log;
    ASSERT_EQ(cubin.functions.size(), 1u) << cubin.log;
    const KernelResources &kernel = cubin.functions[0];
    EXPECT_EQ(kernel.symbol, "scale");
    EXPECT_TRUE(kernel.entry);
    EXPECT_GT(kernel.registers, 4u);
    EXPECT_EQ(kernel.barriers, 1u);
    // ptxas keeps 1 KiB for itself from sm_90 on and does not count it.
    EXPECT_EQ(kernel.sharedBytes, 1024u) << cubin.log;
    EXPECT_EQ(kernel.spillStoreBytes, 0u);
    EXPECT_FALSE(cubin.fromCache);
    EXPECT_GT(cubin.seconds, 0);
  }
}

TEST_F(CudaNvrtc, NamesItsVersionAndArchitectures) {
  EXPECT_NE(nvrtc->version().find('.'), std::string::npos);
  EXPECT_NE(nvrtc->path().find("nvrtc"), std::string::npos);
  auto all = nvrtc->architectures();
  EXPECT_NE(std::find(all.begin(), all.end(), "sm_80"), all.end());
}

TEST_F(CudaNvrtc, ErrorShowsTheLine) {
  CubinRequest request = scaleRequest("scale");
  request.origin = "lathe.mul at model.mlir:7";
  size_t at = request.text.find("lathe_scale(in[i])");
  request.text.replace(at, 18, "lathe_scale(on[i])");
  std::string text = message(nvrtc->compile(request, nullptr));
  EXPECT_NE(text.find("the kernel text 'scale.cu' (made from lathe.mul at "
                      "model.mlir:7) is refused"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("scale.cu:6: identifier \"on\" is undefined"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find(">    6 |   tile[threadIdx.x] = lathe_scale(on[i]);"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("     7 |   __syncthreads();"), std::string::npos);
}

TEST_F(CudaNvrtc, ErrorInAHeaderShowsTheHeader) {
  CubinRequest request = scaleRequest("scale");
  request.headers = {{"lathe/test.cuh", "#pragma once\n\nint x = y;\n"}};
  std::string text = message(nvrtc->compile(request, nullptr));
  EXPECT_NE(text.find(">    3 | int x = y;"), std::string::npos) << text;
}

TEST_F(CudaNvrtc, SeesNoHeaderButItsOwn) {
  CubinRequest request = scaleRequest("scale");
  request.text = "#include \"kernels.c\"\n" + request.text;
  EXPECT_ERROR(nvrtc->compile(request, nullptr), "kernels.c");
}

TEST_F(CudaNvrtc, RefusesUnknownArchitecture) {
  EXPECT_ERROR(nvrtc->compile(scaleRequest("scale", "sm_42"), nullptr),
               "for 'sm_42'");
  // The instruction exists, but not there: ptxas complains, not the front end.
  CubinRequest request = scaleRequest("scale", "sm_80");
  request.text = "extern \"C\" __global__ void scale() {\n"
                 "  asm volatile(\"wgmma.fence.sync.aligned;\");\n}\n";
  EXPECT_ERROR(nvrtc->compile(request, nullptr), "wgmma.fence");
}

TEST_F(CudaNvrtc, ReportsSpillsAndWarnings) {
  CubinRequest request;
  request.name = "spill.cu";
  request.text = "extern \"C\" __global__ void __launch_bounds__(1024)\n"
                 "spill(float *a, int n) {\n"
                 "  int unused;\n"
                 "  float v[128];\n"
                 "  for (int i = 0; i < 128; ++i) v[i] = a[i * n];\n"
                 "  for (int j = 0; j < n; ++j)\n"
                 "    for (int i = 0; i < 128; ++i)\n"
                 "      v[i] = v[i] * v[(i + 7) % 128] + 1;\n"
                 "  for (int i = 0; i < 128; ++i) a[i * n] = v[i];\n"
                 "}\n";
  Cubin cubin = must(nvrtc->compile(request, nullptr));
  ASSERT_EQ(cubin.functions.size(), 1u);
  EXPECT_GT(cubin.functions[0].spillStoreBytes, 0u) << cubin.log;
  EXPECT_GT(cubin.functions[0].spillLoadBytes, 0u);
  bool spill = false, source = false;
  for (const CubinWarning &warning : cubin.warnings) {
    spill |= warning.kind == CubinWarning::Kind::Spill &&
             warning.text.find("'spill' has too few registers") == 0;
    source |= warning.kind == CubinWarning::Kind::Source &&
              warning.text.find("spill.cu:3: variable \"unused\"") == 0;
  }
  EXPECT_TRUE(spill && source) << cubin.log;
}

// The accumulator of a wgmma in flight is read: ptxas puts a wait after each.
TEST_F(CudaNvrtc, ReportsSerializedWgmma) {
  CubinRequest request;
  request.name = "serial.cu";
  request.text = R"(
extern "C" __global__ void __launch_bounds__(128)
serial(float *out, unsigned long long a, unsigned long long b) {
  float d[4] = {0, 0, 0, 0};
  asm volatile("wgmma.fence.sync.aligned;");
  for (int i = 0; i < 4; ++i) {
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, 1, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n8k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3}, %4, %5, p, 1, 1, 0, 0;\n}\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]) : "l"(a), "l"(b));
    d[0] += 1;
  }
  asm volatile("wgmma.commit_group.sync.aligned;");
  asm volatile("wgmma.wait_group.sync.aligned 0;");
  out[threadIdx.x] = d[0] + d[1] + d[2] + d[3];
}
)";
  Cubin cubin = must(nvrtc->compile(request, nullptr));
  ASSERT_EQ(cubin.warnings.size(), 1u) << cubin.log;
  EXPECT_EQ(cubin.warnings[0].kind, CubinWarning::Kind::Serialized);
  EXPECT_EQ(cubin.warnings[0].text.find("ptxas: (C7511) Potential"), 0u)
      << cubin.warnings[0].text;
}

TEST_F(CudaNvrtc, CachesByEverythingThatMatters) {
  TempFolder folder;
  DiskCache cache(folder.path());
  CubinRequest request = scaleRequest("scale");
  Cubin first = must(nvrtc->compile(request, &cache));
  EXPECT_FALSE(first.fromCache);
  Cubin again = must(nvrtc->compile(request, &cache));
  EXPECT_TRUE(again.fromCache);
  EXPECT_EQ(again.bytes, first.bytes);
  EXPECT_EQ(again.log, first.log);
  ASSERT_EQ(again.functions.size(), 1u);
  EXPECT_EQ(again.functions[0].registers, first.functions[0].registers);

  auto differs = [&](const CubinRequest &changed) {
    return !must(nvrtc->compile(changed, &cache)).fromCache;
  };
  CubinRequest changed = request;
  changed.arch = "sm_80";
  EXPECT_TRUE(differs(changed));
  changed = request;
  changed.lineInfo = false;
  EXPECT_TRUE(differs(changed));
  changed = request;
  changed.options = {"--maxrregcount=64"};
  EXPECT_TRUE(differs(changed));
  changed = request;
  std::string header = std::string(kHeader) + "// changed\n";
  changed.headers = {{"lathe/test.cuh", header}};
  EXPECT_TRUE(differs(changed));
  changed = request;
  changed.text += "\n";
  EXPECT_TRUE(differs(changed));
  EXPECT_FALSE(differs(request));
}

TEST_F(CudaNvrtc, DamagedCacheEntryIsMadeAgain) {
  TempFolder folder;
  DiskCache cache(folder.path());
  CubinRequest request = scaleRequest("scale");
  Cubin first = must(nvrtc->compile(request, &cache));
  std::error_code ec;
  std::vector<std::string> entries;
  for (llvm::sys::fs::directory_iterator it(folder.path(), ec), end;
       it != end && !ec; it.increment(ec))
    if (llvm::sys::path::extension(it->path()) == ".entry")
      entries.push_back(it->path());
  ASSERT_EQ(entries.size(), 1u);
  std::string good = slurp(entries[0]);
  for (const std::string &bad :
       {good.substr(0, good.size() / 2), std::string(), std::string("\0x", 2),
        good.substr(0, good.size() - 1) + char(good.back() ^ 1)}) {
    spill(entries[0], bad);
    Cubin made = must(nvrtc->compile(request, &cache));
    EXPECT_FALSE(made.fromCache) << bad.size() << " bytes";
    EXPECT_EQ(made.bytes, first.bytes);
    EXPECT_TRUE(must(nvrtc->compile(request, &cache)).fromCache);
  }
}

// Several threads of several pools write the same entries at once.
TEST_F(CudaNvrtc, ManyThreadsAndWriters) {
  TempFolder folder;
  std::vector<CubinRequest> requests;
  for (int i = 0; i < 6; ++i)
    requests.push_back(scaleRequest("scale" + std::to_string(i)));
  std::vector<std::vector<Cubin>> results(2);
  std::vector<std::thread> writers;
  for (std::vector<Cubin> &result : results)
    writers.emplace_back([&] {
      DiskCache cache(folder.path());
      unsigned last = 0;
      result = must(nvrtc->compileAll(requests, 4, &cache,
                                      [&](unsigned done, unsigned all) {
                                        EXPECT_EQ(done, last + 1);
                                        EXPECT_EQ(all, 6u);
                                        last = done;
                                      }));
      EXPECT_EQ(last, 6u);
    });
  for (std::thread &writer : writers)
    writer.join();
  DiskCache cache(folder.path());
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(results[0][i].functions.at(0).symbol,
              "scale" + std::to_string(i));
    EXPECT_EQ(results[0][i].bytes, results[1][i].bytes);
    Cubin kept = must(nvrtc->compile(requests[i], &cache));
    EXPECT_TRUE(kept.fromCache);
    EXPECT_EQ(kept.bytes, results[0][i].bytes);
  }
}

TEST_F(CudaNvrtc, AllErrorsOfAllTextsComeTogether) {
  std::vector<CubinRequest> requests = {scaleRequest("a"), scaleRequest("b"),
                                        scaleRequest("c")};
  requests[0].text = "int x = first;";
  requests[2].text = "int x = third;";
  std::string text = message(nvrtc->compileAll(requests, 2, nullptr));
  EXPECT_NE(text.find("identifier \"first\""), std::string::npos) << text;
  EXPECT_NE(text.find("identifier \"third\""), std::string::npos) << text;
}

TEST(CudaNvrtcLoad, AbsentLibraryIsASentence) {
  TempFolder empty;
  Environment variable("LATHE_NVRTC", empty.path());
  EXPECT_ERROR(Nvrtc::load(), "no NVRTC is found");
  EXPECT_ERROR(Nvrtc::load(), "set LATHE_NVRTC to its folder");
  spill(empty / "libnvrtc.so.13", "not a library");
  EXPECT_ERROR(Nvrtc::load(), "libnvrtc.so.13");
}

} // namespace
