// On a real GPU, with real kernels; skipped where there is none. What needs no
// GPU is in CudaSessionTest.cpp.
#include "ModelBuilder.h"
#include "Runtime/RandomProgram.h"
#include "lathe/Runtime/CudaDriver.h"
#include "lathe/Runtime/CudaNvrtc.h"
#include "lathe/Runtime/Session.h"

#include <numeric>

using namespace lathe;
using namespace lathe::test;

namespace {

/// The kernels of kernels.c, each in one thread, because windows may overlap.
const char *kText = R"(
#define KERNEL extern "C" __global__ void
KERNEL add(const float *a, const float *b, float *out) {
  for (int i = 0; i < COUNT; ++i) out[i] = a[i] + b[i];
}
KERNEL twice(const float *a, float *out) {
  for (int i = 0; i < COUNT; ++i) out[i] = 2 * a[i];
}
KERNEL less(const long long *a, const long long *b, unsigned char *out) {
  *out = *a < *b;
}
KERNEL increment(const long long *a, long long *out) { *out = *a + 1; }
)";

class CudaGpu : public ::testing::Test {
protected:
  void SetUp() override {
    auto found = cuda::Driver::load();
    if (!found) {
      std::string reason = message(found.takeError());
      GTEST_SKIP() << reason;
    }
    auto compiler = cuda::Nvrtc::load();
    if (!compiler) {
      std::string reason = message(compiler.takeError());
      GTEST_SKIP() << reason;
    }
    device = (*found)->devices().front();
    nvrtc = *compiler;
  }

  std::string cubin(llvm::StringRef text) {
    cuda::CubinRequest request;
    request.text = text.str();
    request.name = "test.cu";
    request.arch = device.arch();
    return must(nvrtc->compile(request, nullptr)).bytes;
  }

  static exec::Grid *addGrid(exec::Kernel &kernel, const char *symbol,
                             uint32_t blocks = 1, uint32_t threads = 1) {
    exec::Grid *grid = kernel.add_grids();
    grid->set_symbol(symbol);
    grid->set_grid_x(blocks);
    grid->set_grid_y(1);
    grid->set_grid_z(1);
    grid->set_block_x(threads);
    grid->set_block_y(1);
    grid->set_block_z(1);
    return grid;
  }

  /// The same model with the code of `text`, one grid per kernel.
  Model onDevice(const Model &cpu, llvm::StringRef text) {
    Model m;
    *m.exe = *cpu.exe;
    m.program = m.exe->mutable_programs(0);
    m.exe->set_target("cuda");
    m.exe->set_arch(device.arch());
    m.exe->mutable_objects(0)->set_code(cubin(text));
    for (exec::Kernel &kernel : *m.exe->mutable_kernels())
      addGrid(kernel, kernel.symbol().c_str());
    return m;
  }
  Model withCount(const Model &cpu, int count) {
    return onDevice(cpu, "#define COUNT " + std::to_string(count) + kText);
  }

  /// One kernel with the arguments x (f32 [n]) and y (f32 [m]).
  Model oneKernel(llvm::StringRef text, int64_t n, int64_t m,
                  uint64_t scratch = 0) {
    Model model;
    uint32_t kernel = model.kernel("kernel", 1, scratch);
    uint32_t x = model.input("x", DType::F32, {n});
    uint32_t y = model.output("y", DType::F32, {m});
    model.launch(model.steps(), kernel, {x}, {y});
    model.exe->set_target("cuda");
    model.exe->set_arch(device.arch());
    model.exe->mutable_objects(0)->set_code(cubin(text));
    return model;
  }

  llvm::Expected<std::unique_ptr<Session>> create(const Model &m,
                                                  bool profile = false) {
    EXPECT_EQ(message(verifyExecutable(*m.exe)), "");
    auto model = LoadedModel::load(m.exe);
    if (!model)
      return model.takeError();
    SessionOptions options;
    options.threads = 1;
    options.profile = profile;
    WeightSource none;
    return Session::create(*model, 0, none, options);
  }

  Tensor iota(int64_t n) {
    Tensor t = must(Tensor::zeros(DType::F32, {n}));
    std::iota(t.as<float>().begin(), t.as<float>().end(), 0.0f);
    return t;
  }

  cuda::DeviceInfo device;
  std::shared_ptr<cuda::Nvrtc> nvrtc;
};

TEST_F(CudaGpu, Runs) {
  for (bool profile : {false, true}) {
    auto session = must(create(withCount(addModel(1000), 1000), profile));
    for (int i = 0; i < 3; ++i) {
      auto out = must(session->run({iota(1000), iota(1000)}));
      for (int at : {0, 1, 500, 999})
        EXPECT_EQ(out[0].as<float>()[at], 3 * at);
    }
    if (profile) {
      EXPECT_EQ(session->profile().kernels[0].launches, 3u);
      EXPECT_GT(session->profile().kernels[0].seconds, 1e-6);
      EXPECT_LT(session->profile().kernels[0].seconds,
                session->profile().seconds);
    }
  }
}

TEST_F(CudaGpu, RandomProgramsGiveTheBytesOfTheCpu) {
  std::string code;
  for (unsigned seed = 0; seed < 100; ++seed) {
    SCOPED_TRACE(seed);
    RandomProgram program(seed);
    std::vector<TensorView> inputs;
    Tensor a = iota(8), b = iota(8);
    Tensor p = tensor<unsigned>(DType::I1, {}, {seed & 1});
    Tensor q = tensor<unsigned>(DType::I1, {}, {seed >> 1 & 1});
    inputs = {a, b, p, q};
    auto expected = must(must(create(program.m))->run(inputs));
    Model m;
    if (code.empty()) {
      m = withCount(program.m, 2);
      code = m.exe->objects(0).code();
    } else {
      m = onDevice(program.m, "");
      m.exe->mutable_objects(0)->set_code(code);
    }
    auto session = must(create(m));
    for (int repeat = 0; repeat < 2; ++repeat) {
      auto found = must(session->run(inputs));
      for (size_t i = 0; i < expected.size(); ++i)
        ASSERT_EQ(TensorView(found[i]).rawBytes(),
                  TensorView(expected[i]).rawBytes());
    }
  }
}

// Two grids, scratch between them, and more shared memory than comes unasked.
TEST_F(CudaGpu, GridsShareScratchAndHaveTheirSharedMemory) {
  Model m = oneKernel(R"(
extern "C" __global__ void first(const float *x, float *y, float *scratch) {
  extern __shared__ float tile[];
  for (int i = threadIdx.x; i < 25000; i += 256) tile[i] = x[i];
  __syncthreads();
  for (int i = threadIdx.x; i < 25000; i += 256) scratch[i] = tile[24999 - i];
}
extern "C" __global__ void second(const float *x, float *y, float *scratch) {
  int i = blockIdx.x * 256 + threadIdx.x;
  if (i < 25000) y[i] = scratch[i] + x[0];
}
)",
                      25000, 25000, 100000);
  exec::Kernel &kernel = *m.exe->mutable_kernels(0);
  addGrid(kernel, "first", 1, 256)->set_dynamic_shared_bytes(100000);
  addGrid(kernel, "second", 98, 256);
  auto out = must(must(create(m))->run({iota(25000)}));
  for (int i : {0, 1, 777, 24999})
    EXPECT_EQ(out[0].as<float>()[i], 24999 - i);
}

TEST_F(CudaGpu, ClustersAreLaunched) {
  if (device.major < 9)
    GTEST_SKIP() << device.name << " has no clusters";
  Model m = oneKernel(R"(
extern "C" __global__ void ranks(const float *x, float *y) {
  unsigned rank, size;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  asm("mov.u32 %0, %%cluster_nctarank;" : "=r"(size));
  y[blockIdx.x] = 10 * size + rank;
}
)",
                      1, 8);
  addGrid(*m.exe->mutable_kernels(0), "ranks", 8)->set_cluster_x(4);
  auto out = must(must(create(m))->run({iota(1)}));
  for (int i = 0; i < 8; ++i)
    EXPECT_EQ(out[0].as<float>()[i], 40 + i % 4);
}

// A TMA box of 8 x 32 floats from the place (4, 32) of a tensor of 10 x 64,
// with 128-byte swizzle: rows 10 and up lie outside and read as 0, and 16-byte
// unit u of row r lies at unit u ^ (r % 8).
TEST_F(CudaGpu, TensorMapsDescribeBoxes) {
  if (device.major < 9)
    GTEST_SKIP() << device.name << " has no TMA";
  Model m = oneKernel(R"(
struct alignas(64) Map { unsigned long long words[16]; };
extern "C" __global__ void box(const float *x, float *y,
                               const __grid_constant__ Map map) {
  __shared__ alignas(1024) float tile[256];
  __shared__ alignas(8) unsigned long long barrier;
  unsigned to = __cvta_generic_to_shared(tile);
  unsigned bar = __cvta_generic_to_shared(&barrier);
  if (threadIdx.x == 0) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" :: "r"(bar));
    asm volatile("fence.mbarrier_init.release.cluster;");
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], 1024;"
                 :: "r"(bar) : "memory");
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile"
                 ".mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];"
                 :: "r"(to), "l"(&map), "r"(32), "r"(4), "r"(bar) : "memory");
  }
  __syncthreads();
  asm volatile("{\n.reg .pred p;\nwait:\n"
               "mbarrier.try_wait.parity.shared::cta.b64 p, [%0], 0;\n"
               "@!p bra wait;\n}\n" :: "r"(bar) : "memory");
  for (int i = threadIdx.x; i < 256; i += 32) y[i] = tile[i];
}
)",
                      640, 256);
  exec::TensorMap *map =
      addGrid(*m.exe->mutable_kernels(0), "box", 1, 32)->add_tensor_maps();
  map->set_argument(0);
  map->set_element(exec::F32);
  map->add_dims(64);
  map->add_dims(10);
  map->add_strides(256);
  map->add_box(32);
  map->add_box(8);
  map->set_swizzle(128);
  auto out = must(must(create(m))->run({iota(640)}));
  for (int row = 0; row < 8; ++row)
    for (int column = 0; column < 32; ++column) {
      int at = row * 32 + ((column / 4) ^ (row % 8)) * 4 + column % 4;
      float expected = row + 4 < 10 ? (row + 4) * 64 + 32 + column : 0;
      ASSERT_EQ(out[0].as<float>()[at], expected) << row << ", " << column;
    }
}

TEST_F(CudaGpu, TooMuchMemoryIsASentence) {
  Model m = withCount(addModel(), 8);
  m.program->set_arena_bytes(uint64_t(1) << 42);
  EXPECT_ERROR(create(m), "the model needs 4398046511104 bytes on");
}

// An illegal access ends all use of the device in its process.
TEST_F(CudaGpu, IllegalAccessNamesTheKernel) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  auto crash = [&] {
    ::setenv("LATHE_CUDA_SYNC", "1", 1);
    Model m = oneKernel("extern \"C\" __global__ void wild(const float *x, "
                        "float *y) { y[1ull << 40] = x[0]; }",
                        1, 1);
    m.exe->mutable_kernels(0)->set_name("wild one");
    addGrid(*m.exe->mutable_kernels(0), "wild");
    std::string text = message(must(create(m))->run({iota(1)}));
    fprintf(stderr, "%s\n", text.c_str());
    _exit(0);
  };
  EXPECT_EXIT(crash(), ::testing::ExitedWithCode(0),
              "kernel 'wild one' failed on the device: .*ILLEGAL_ADDRESS");
}

} // namespace
