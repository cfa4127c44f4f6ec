// Sessions on a CUDA device, on the driver of FakeCuda.h: its kernels are those
// that the CPU's sessions run, so both must give the same bytes.
#include "ModelBuilder.h"
#include "Runtime/FakeCuda.h"
#include "Runtime/RandomProgram.h"
#include "lathe/Runtime/CudaNvrtc.h"
#include "lathe/Runtime/ObjectLoader.h"
#include "lathe/Runtime/Session.h"

#include <dlfcn.h>

using namespace lathe;
using namespace lathe::test;

namespace {

class CudaSession : public ::testing::Test {
protected:
  void SetUp() override {
    char exe[4096];
    ssize_t size = readlink("/proc/self/exe", exe, sizeof(exe));
    std::string path(exe, size > 0 ? size : 0);
    library =
        path.substr(0, path.rfind('/')) + "/../test/unit/liblathe-fake-cuda.so";
    void *handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
    ASSERT_NE(handle, nullptr) << dlerror();
    fake = reinterpret_cast<decltype(&fake_cuda)>(dlsym(handle, "fake_cuda"))();
    reinterpret_cast<void (*)()>(dlsym(handle, "fake_cuda_reset"))();
    useDriver();
    ASSERT_EQ(message(loader.add(objectFile("kernels.o"), "kernels")), "");
  }
  void TearDown() override {
    ::unsetenv("LATHE_LIBCUDA");
    ::unsetenv("LATHE_CUDA_SYNC");
    EXPECT_EQ(fake->complaints, "");
    EXPECT_EQ(fake->allocations, 0u);
    EXPECT_EQ(fake->allocated, 0u);
    EXPECT_EQ(fake->streams, 0u);
    EXPECT_EQ(fake->graphs, 0u);
    EXPECT_EQ(fake->modules, 0u);
    EXPECT_EQ(fake->events, 0u);
    EXPECT_EQ(fake->contexts, 0u);
  }

  /// A driver is asked for its devices once; another name makes it another.
  void useDriver() {
    std::string name = folder / ("libcuda-" + std::to_string(++drivers));
    ASSERT_EQ(::symlink(library.c_str(), name.c_str()), 0);
    ::setenv("LATHE_LIBCUDA", name.c_str(), 1);
  }

  /// The same model for the device; the kernels run in one thread of one block.
  Model onDevice(const Model &cpu) {
    Model m;
    *m.exe = *cpu.exe;
    m.program = m.exe->mutable_programs(0);
    m.exe->set_target("cuda");
    m.exe->set_arch("sm_90a");
    std::string code = "\x7f"
                       "ELFFAKE";
    code.resize(64);
    for (exec::Object &object : *m.exe->mutable_objects())
      object.set_code(code);
    for (exec::Kernel &kernel : *m.exe->mutable_kernels()) {
      exec::Grid *grid = kernel.add_grids();
      grid->set_symbol(kernel.symbol());
      for (auto set : {&exec::Grid::set_grid_x, &exec::Grid::set_grid_y,
                       &exec::Grid::set_grid_z, &exec::Grid::set_block_x,
                       &exec::Grid::set_block_y, &exec::Grid::set_block_z})
        (grid->*set)(1);
      provide(kernel);
    }
    return m;
  }

  void provide(const exec::Kernel &kernel) {
    auto function =
        reinterpret_cast<KernelFunction>(loader.lookup(0, kernel.symbol()));
    // Every kernel of kernels.c takes three arguments at most.
    size_t arguments = kernel.symbol() == "add" || kernel.symbol() == "less" ||
                               kernel.symbol() == "matmul"
                           ? 3
                           : 2;
    bool scratch = kernel.scratch_bytes() > 0;
    int64_t items = kernel.work_items();
    FakeCuda::Kernel &made = fake->kernels[kernel.symbol()];
    made.pointers = arguments + scratch;
    made.run = [=](void **parameters, const cuda::LaunchConfig &) {
      void *args[3];
      for (size_t i = 0; i < arguments; ++i)
        args[i] = *static_cast<void **>(parameters[i]);
      function(args,
               scratch ? *static_cast<void **>(parameters[arguments]) : nullptr,
               0, items);
      return 0;
    };
  }

  llvm::Expected<std::unique_ptr<Session>> create(const Model &m,
                                                  SessionOptions options = {}) {
    EXPECT_EQ(message(verifyExecutable(*m.exe)), "");
    auto model = LoadedModel::load(m.exe);
    if (!model)
      return model.takeError();
    options.threads = 1;
    WeightSource none;
    return Session::create(*model, 0, none, options);
  }

  /// Runs on both and compares; returns what the CPU gave.
  std::vector<Tensor> both(const Model &m, llvm::ArrayRef<TensorView> inputs) {
    Model device = onDevice(m);
    auto expected = must(must(create(m))->run(inputs));
    auto session = must(create(device));
    for (int repeat = 0; repeat < 2; ++repeat) {
      auto found = must(session->run(inputs));
      for (size_t i = 0; i < expected.size(); ++i)
        EXPECT_EQ(TensorView(found[i]).rawBytes(),
                  TensorView(expected[i]).rawBytes())
            << "output " << i << ", run " << repeat;
    }
    return expected;
  }

  TempFolder folder;
  std::string library;
  FakeCuda *fake = nullptr;
  ObjectLoader loader;
  static inline int drivers = 0;
};

Tensor iota(int64_t n, float start = 0) {
  Tensor t = must(Tensor::zeros(DType::F32, {n}));
  for (float &value : t.as<float>())
    value = start++;
  return t;
}

/// out[t] = state = state + in[t] for `trips` steps of 2 values.
Model running(int64_t trips, bool reverse) {
  Model m;
  uint32_t add = m.kernel("add", 2);
  uint32_t in = m.input("in", DType::F32, {trips, 2});
  uint32_t out = m.output("out", DType::F32, {trips, 2});
  uint32_t state = m.arena(8), next = m.arena(8);
  m.copy(m.steps(), m.constant(std::string(8, '\0')), state);
  exec::Loop *loop = m.steps()->Add()->mutable_loop();
  loop->set_id(7);
  loop->set_trip_count(trips);
  loop->set_reverse(reverse);
  exec::Launch *launch =
      m.launch(loop->mutable_body_steps(), add, {state}, {next});
  *launch->add_inputs() = m.windowOf(in, 0, 8);
  launch->mutable_inputs(1)->add_terms()->set_loop(7);
  launch->mutable_inputs(1)->mutable_terms(0)->set_stride(8);
  m.copy(loop->mutable_body_steps(), next, state);
  exec::Copy *copy = loop->add_body_steps()->mutable_copy();
  m.ref(copy->mutable_from(), state);
  *copy->mutable_to() = launch->inputs(1);
  copy->mutable_to()->set_buffer(out);
  return m;
}

//===----------------------------------------------------------------------===//
// Running
//===----------------------------------------------------------------------===//

TEST_F(CudaSession, OneGraphLaunchPerRunAndNoAllocation) {
  Model m = onDevice(addModel());
  auto session = must(create(m));
  Tensor b = iota(8, 100);
  auto before = fake->calls;
  for (int i = 0; i < 5; ++i) {
    auto out = must(session->run({iota(8, i), b}));
    EXPECT_EQ(out[0].as<float>()[3], 3 + i + 2 * 103);
  }
  std::map<std::string, int> made;
  for (auto [name, count] : fake->calls)
    if (int more = count - before[name])
      made[name] = more;
  // Everything else happened before the first run; the one wait is the end.
  EXPECT_EQ(made, (std::map<std::string, int>{{"cuCtxSetCurrent", 5},
                                              {"cuGraphLaunch", 5},
                                              {"cuStreamSynchronize", 5}}));
  EXPECT_EQ(fake->launches, 10);
  EXPECT_TRUE(session->notes().empty());
  EXPECT_EQ(session->memory().arena, 64u);
}

TEST_F(CudaSession, SeveralSessionsShareTheCode) {
  auto model = must(LoadedModel::load(onDevice(addModel()).exe));
  EXPECT_EQ(fake->modules, 1u);
  WeightSource none;
  auto one = must(Session::create(model, 0, none, {}));
  auto two = must(Session::create(model, 0, none, {}));
  model.reset();
  EXPECT_EQ(must(two->run({iota(8), iota(8)}))[0].as<float>()[2], 6);
  two.reset();
  EXPECT_EQ(must(one->run({iota(8), iota(8)}))[0].as<float>()[3], 9);
}

TEST_F(CudaSession, ScratchIsTheLastArgument) {
  Model m;
  uint32_t matmul = m.kernel("matmul", 16, 8 * 4);
  uint32_t a = m.input("a", DType::F32, {16, 32});
  uint32_t b = m.input("b", DType::F32, {32, 8});
  uint32_t out = m.output("out", DType::F32, {16, 8});
  m.launch(m.steps(), matmul, {a, b}, {out});
  Tensor x = iota(512), y = iota(256);
  both(m, {TensorView(DType::F32, {16, 32}, x.data()),
           TensorView(DType::F32, {32, 8}, y.data())});
}

TEST_F(CudaSession, LoopsAreUnrolledIntoTheGraph) {
  for (bool reverse : {false, true}) {
    Model m = running(3, reverse);
    Tensor x = tensor<int>(DType::F32, {3, 2}, {1, 10, 2, 20, 3, 30});
    both(m, {x});
  }
  EXPECT_EQ(fake->calls["cuGraphLaunch"], 4);
}

// Too long to unroll: its windows move, so its launches go one by one, and
// still nobody waits in between.
TEST_F(CudaSession, LongLoopsRunWithoutWaiting) {
  constexpr int64_t trips = 5000;
  Model m = running(trips, false);
  Tensor x = iota(trips * 2);
  TensorView view(DType::F32, {trips, 2}, x.data());
  both(m, {view});
  auto session = must(create(onDevice(m)));
  int waits = fake->calls["cuStreamSynchronize"];
  must(session->run({view}));
  EXPECT_EQ(fake->calls["cuStreamSynchronize"], waits + 1);
  EXPECT_TRUE(session->notes().empty());
}

TEST_F(CudaSession, WhileReadsItsConditionBack) {
  Model m = counting(10);
  both(m, {tensor<int64_t>(DType::I64, {}, {3})});
  auto session = must(create(onDevice(m)));
  auto before = fake->calls;
  EXPECT_EQ(must(session->run({tensor<int64_t>(DType::I64, {}, {7})}))[0]
                .as<int64_t>()[0],
            10);
  // The input; four times the condition; three times the body; the output.
  EXPECT_EQ(fake->calls["cuGraphLaunch"] - before["cuGraphLaunch"], 9);
  EXPECT_EQ(fake->calls["cuStreamSynchronize"] - before["cuStreamSynchronize"],
            5);
  ASSERT_EQ(session->notes().size(), 1u);
  EXPECT_NE(session->notes()[0].find("1 while"), std::string::npos);
}

TEST_F(CudaSession, EndlessLoopsAreGivenUp) {
  SessionOptions options;
  options.maxWhileIterations = 50;
  auto session = must(create(onDevice(counting(INT64_MAX)), options));
  EXPECT_ERROR(session->run({tensor<int>(DType::I64, {}, {0})}),
               "given up after 50 iterations");
  Tensor x = iota(120);
  auto loop = must(create(onDevice(running(60, false)), options));
  EXPECT_ERROR(loop->run({TensorView(DType::F32, {60, 2}, x.data())}),
               "a loop of 60 iterations is refused, expected at most 50");
}

TEST_F(CudaSession, IfTakesOneBranch) {
  Model m;
  uint32_t flag = m.input("flag", DType::I1, {});
  uint32_t a = m.input("a", DType::F32, {2}), b = m.input("b", DType::F32, {2});
  uint32_t out = m.output("o", DType::F32, {2});
  exec::If *branch = m.steps()->Add()->mutable_if_step();
  m.ref(branch->mutable_condition(), flag);
  m.copy(branch->mutable_then_steps(), a, out);
  m.copy(branch->mutable_else_steps(), b, out);
  for (int value : {0, 1})
    both(m, {tensor<int>(DType::I1, {}, {value}), iota(2), iota(2, 5)});
}

/// Indices in [0, 3]: of an input, or of a copy of it.
Model checking(bool computed) {
  Model m;
  uint32_t in = m.input("ids", DType::I64, {3});
  uint32_t out = m.output("o", DType::I64, {3});
  uint32_t middle = m.arena(24);
  m.copy(m.steps(), in, middle);
  exec::Check *check = m.steps()->Add()->mutable_check();
  m.ref(check->mutable_values(), computed ? middle : in);
  check->set_element(exec::I64);
  check->set_high(3);
  check->set_message("index of lathe.gather");
  m.copy(m.steps(), middle, out);
  return m;
}

TEST_F(CudaSession, ChecksOfInputsCostNoWait) {
  for (bool computed : {false, true}) {
    Model m = checking(computed);
    both(m, {tensor<int>(DType::I64, {3}, {0, 3, 1})});
    auto session = must(create(onDevice(m)));
    EXPECT_EQ(session->notes().size(), computed ? 1u : 0u);
    auto before = fake->calls;
    EXPECT_ERROR(session->run({tensor<int>(DType::I64, {3}, {0, 4, 1})}),
                 "index of lathe.gather: found 4, expected 0 to 3");
    EXPECT_EQ(fake->calls["cuGraphLaunch"] - before["cuGraphLaunch"],
              computed ? 1 : 0);
    // And the session is as good as before.
    EXPECT_EQ(must(session->run({tensor<int>(DType::I64, {3}, {0, 2, 1})}))[0]
                  .as<int64_t>()[1],
              2);
  }
}

TEST_F(CudaSession, CopiesThatOverlap) {
  for (bool up : {false, true}) {
    Model m;
    uint32_t in = m.input("in", DType::F32, {10});
    uint32_t out = m.output("out", DType::F32, {10});
    uint32_t middle = m.arena(40);
    m.copy(m.steps(), in, middle);
    exec::Copy *copy = m.steps()->Add()->mutable_copy();
    *copy->mutable_from() = m.windowOf(middle, up ? 0 : 12, 28);
    *copy->mutable_to() = m.windowOf(middle, up ? 12 : 0, 28);
    m.copy(m.steps(), middle, out);
    both(m, {iota(10)});
  }
}

// A weight that only the preparation reads leaves the device after it.
TEST_F(CudaSession, LoadStepsRunOnTheDevice) {
  Model m;
  uint32_t twice = m.kernel("twice", 4), add = m.kernel("add", 4);
  uint32_t w = m.weight("w", DType::F32, {4});
  uint32_t v = m.weight("v", DType::F32, {4});
  for (exec::Weight &weight : *m.program->mutable_weights()) {
    weight.mutable_initializer()->set_kind("constant");
    weight.mutable_initializer()->set_a(weight.name() == "w" ? 3 : 0.5);
  }
  uint32_t scratch = m.arena(16, exec::LOAD_ARENA);
  uint32_t ready = m.buffer(exec::PERSISTENT, 16);
  m.launch(m.loadSteps(), twice, {w}, {scratch});
  m.launch(m.loadSteps(), twice, {scratch}, {ready});
  uint32_t x = m.input("x", DType::F32, {4});
  uint32_t y = m.output("y", DType::F32, {4});
  uint32_t sum = m.arena(16);
  m.launch(m.steps(), add, {x, ready}, {sum});
  m.launch(m.steps(), add, {sum, v}, {y});
  EXPECT_EQ(both(m, {iota(4)})[0].as<float>()[1], 13.5f);
  auto session = must(create(onDevice(m)));
  EXPECT_EQ(session->memory().weights, 16u);
  EXPECT_EQ(session->memory().persistent, 256u);
  size_t blocks = fake->allocations;
  must(session->run({iota(4)}));
  EXPECT_EQ(fake->allocations, blocks);
}

TEST_F(CudaSession, ProfileTimesEveryKernel) {
  SessionOptions options;
  options.profile = true;
  auto session = must(create(onDevice(addModel()), options));
  for (int i = 0; i < 3; ++i)
    must(session->run({iota(8), iota(8)}));
  EXPECT_EQ(session->profile().runs, 3u);
  ASSERT_EQ(session->profile().kernels.size(), 2u);
  for (const Profile::Entry &entry : session->profile().kernels) {
    EXPECT_EQ(entry.launches, 3u);
    EXPECT_NEAR(entry.seconds, 3e-3, 1e-9); // the fake's millisecond each
  }
  Tensor x = iota(10000);
  auto loop = must(create(onDevice(running(5000, false)), options));
  must(loop->run({TensorView(DType::F32, {5000, 2}, x.data())}));
  EXPECT_EQ(loop->profile().kernels[0].launches, 5000u);
}

TEST_F(CudaSession, GridsGetTheirConfiguration) {
  Model m = onDevice(addModel());
  exec::Kernel *kernel = m.exe->mutable_kernels(1); // twice: b -> middle
  exec::Grid *grid = kernel->mutable_grids(0);
  grid->set_grid_x(8);
  grid->set_block_x(128);
  grid->set_cluster_x(2);
  grid->set_dynamic_shared_bytes(100 << 10);
  exec::TensorMap *map = grid->add_tensor_maps();
  map->set_argument(0);
  map->set_element(exec::F32);
  map->add_dims(4);
  map->add_box(4);
  map->set_swizzle(32);
  map->set_offset(16);
  exec::Grid *none = kernel->add_grids();
  *none = *grid;
  none->set_grid_x(0); // no blocks: not launched
  int seen = 0;
  FakeCuda::Kernel &twice = fake->kernels["twice"];
  auto plain = twice.run;
  twice.tensorMaps = 1;
  twice.run = [&, plain](void **parameters, const cuda::LaunchConfig &config) {
    ++seen;
    EXPECT_EQ(config.grid[0], 8u);
    EXPECT_EQ(config.block[0], 128u);
    EXPECT_EQ(config.sharedBytes, 100u << 10);
    EXPECT_EQ(config.attributeCount, 1u);
    EXPECT_EQ(config.attributes[0].id, cuda::kClusterDimension);
    EXPECT_EQ(config.attributes[0].cluster[0], 2u);
    auto *map = static_cast<cuda::TensorMap *>(parameters[2]);
    EXPECT_EQ(map->words[0], *static_cast<uint64_t *>(parameters[0]) + 16);
    EXPECT_EQ(map->words[1], 7u); // float
    EXPECT_EQ(map->words[3], 4u);
    EXPECT_EQ(map->words[5], 1u); // 32 bytes
    return plain(parameters, config);
  };
  auto session = must(create(m));
  EXPECT_EQ(must(session->run({iota(8), iota(8)}))[0].as<float>()[7], 21);
  EXPECT_EQ(seen, 1);
}

TEST_F(CudaSession, RandomProgramsGiveTheSameBytes) {
  unsigned withGraph = 0, direct = 0;
  for (unsigned seed = 0; seed < 300; ++seed) {
    SCOPED_TRACE(seed);
    RandomProgram program(seed);
    auto before = fake->calls;
    both(program.m,
         {iota(8, 1), iota(8, -3), tensor<unsigned>(DType::I1, {}, {seed & 1}),
          tensor<unsigned>(DType::I1, {}, {seed >> 1 & 1})});
    if (HasFailure())
      break;
    int graphs = fake->calls["cuGraphLaunch"] - before["cuGraphLaunch"];
    (graphs == 2 ? withGraph : direct) += 1;
  }
  // Both ways are well represented.
  EXPECT_GT(withGraph, 50u);
  EXPECT_GT(direct, 50u);
}

//===----------------------------------------------------------------------===//
// What can go wrong
//===----------------------------------------------------------------------===//

TEST_F(CudaSession, NoDriverIsASentence) {
  Model m = onDevice(addModel());
  ::setenv("LATHE_LIBCUDA", "/nowhere/libcuda.so.1", 1);
  EXPECT_ERROR(LoadedModel::load(m.exe),
               "no NVIDIA driver found (/nowhere/libcuda.so.1)");
}

TEST_F(CudaSession, UnfitDriversAreSentences) {
  Model m = onDevice(addModel());
  fake->driverVersion = 11040;
  useDriver();
  EXPECT_ERROR(LoadedModel::load(m.exe),
               "driver is too old: it knows CUDA 11.4, expected 12.0");
  fake->driverVersion = 12020;
  fake->devices = 0;
  useDriver();
  EXPECT_ERROR(LoadedModel::load(m.exe), "finds no device");
  fake->devices = 1;
  useDriver();
  fake->magic = "NEWER";
  EXPECT_ERROR(LoadedModel::load(m.exe),
               "the driver, which knows CUDA 12.2, does not take the code of "
               "kernel 'kernel add' for 'sm_90a'");
}

TEST_F(CudaSession, TooLittleMemoryIsASentence) {
  Model m = addModel();
  m.program->set_arena_bytes(uint64_t(2) << 30);
  EXPECT_ERROR(create(onDevice(m)), "the model needs 2147483648 bytes on "
                                    "'Fake GPU'");
  Model small = onDevice(addModel());
  fake->failures["cuMemAlloc_v2"] = 2;
  EXPECT_ERROR(LoadedModel::load(small.exe),
               "not enough memory on the device for constants");
  auto model = must(LoadedModel::load(small.exe));
  fake->failures["cuMemAlloc_v2"] = 2;
  WeightSource none;
  EXPECT_ERROR(Session::create(model, 0, none, {}),
               "not enough memory on the device for the arena: 64 bytes");
}

// Every call that can fail does once: an error and nothing left behind, which
// TearDown sees.
TEST_F(CudaSession, EveryFailingCallIsAnError) {
  Model m = onDevice(counting(3));
  int failed = 0;
  must(create(m)); // to learn the names
  auto calls = fake->calls;
  for (const auto &[name, count] : calls) {
    if (name == "cuInit" || name == "cuDriverGetVersion" ||
        name == "cuDeviceGetCount" || name == "cuMemFree_v2" ||
        name == "cuMemFreeHost" || name == "cuCtxSetCurrent")
      continue;
    fake->failures[name] = 701;
    std::string text;
    auto session = create(m);
    if (session)
      text = message((*session)->run({tensor<int>(DType::I64, {}, {0})}));
    else
      text = message(session.takeError());
    EXPECT_NE(text.find("CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"),
              std::string::npos)
        << name << ": " << text;
    ++failed;
    fake->failures.clear();
  }
  EXPECT_GT(failed, 12);
}

TEST_F(CudaSession, FailingKernelsAreNamed) {
  Model m = onDevice(addModel());
  fake->failures["cuLaunchKernelEx"] = 701;
  EXPECT_ERROR(create(m), "kernel 'kernel twice' cannot be launched: too many "
                          "resources requested for launch");
  fake->kernels.erase("twice");
  EXPECT_ERROR(LoadedModel::load(m.exe),
               "the code of kernel 'kernel twice' does not define 'twice'");
}

TEST_F(CudaSession, ErrorsOnTheDeviceCanBeTracedToTheirKernel) {
  Model m = onDevice(addModel());
  fake->kernels["add"].run = [](void **, const cuda::LaunchConfig &) {
    return 700;
  };
  {
    auto session = must(create(m));
    EXPECT_ERROR(session->run({iota(8), iota(8)}),
                 "'main' failed on the device: an illegal memory access was "
                 "encountered (CUDA_ERROR_ILLEGAL_ADDRESS); with "
                 "LATHE_CUDA_SYNC=1");
  }
  SetUp();
  m = onDevice(addModel());
  fake->kernels["add"].run = [](void **, const cuda::LaunchConfig &) {
    return 700;
  };
  ::setenv("LATHE_CUDA_SYNC", "1", 1);
  auto session = must(create(m));
  EXPECT_ERROR(session->run({iota(8), iota(8)}),
               "kernel 'kernel add' failed on the device: an illegal memory");
}

TEST_F(CudaSession, OtherArchitecturesAreCompiledAgain) {
  auto nvrtc = cuda::Nvrtc::load();
  Model m = onDevice(addModel());
  m.exe->set_arch("sm_80");
  EXPECT_ERROR(LoadedModel::load(m.exe),
               "the model is compiled for 'sm_80', and 'Fake GPU' is sm_90a: "
               "its text is not in the file");
  if (!nvrtc)
    GTEST_SKIP() << message(nvrtc.takeError());
  exec::Header *header = m.exe->add_headers();
  header->set_name("lathe/device.cuh");
  header->set_text("#define LATHE_KERNEL extern \"C\" __global__ void\n");
  m.exe->mutable_objects(0)->set_source(
      "#include \"lathe/device.cuh\"\n"
      "LATHE_KERNEL add(const float *a, const float *b, float *out) {\n"
      "  out[threadIdx.x] = a[threadIdx.x] + b[threadIdx.x];\n}\n"
      "LATHE_KERNEL twice(const float *a, float *out) {\n"
      "  out[threadIdx.x] = 2 * a[threadIdx.x];\n}\n");
  EXPECT_ERROR(LoadedModel::load(m.exe), "does not take the code");
  fake->magic = "any";
  auto session = must(create(m));
  ASSERT_EQ(session->notes().size(), 1u);
  EXPECT_EQ(session->notes()[0], "the model is compiled for sm_80; its 2 "
                                 "kernels are compiled again for sm_90a");
  EXPECT_EQ(must(session->run({iota(8), iota(8)}))[0].as<float>()[7], 21);
}

TEST_F(CudaSession, StatesLiveOnTheDevice) {
  Model m = onDevice(countingModel());
  ASSERT_EQ(message(verifyExecutable(*m.exe)), "");
  auto model = must(LoadedModel::load(m.exe));
  WeightSource none;
  SessionOptions options;
  options.threads = 1;
  options.states = StateStore::create(model);
  auto count = must(Session::create(model, 0, none, options));
  auto read = must(Session::create(model, 1, none, options));
  auto run = [](Session &session) {
    return must(session.run({}))[0].as<int64_t>()[0];
  };
  EXPECT_EQ(run(*count), 1);
  EXPECT_EQ(run(*count), 2);
  EXPECT_EQ(run(*read), 2);
  EXPECT_EQ(must(options.states->get("train.step")).as<int64_t>()[0], 2);
  Tensor far = tensor<int64_t>(DType::I64, {}, {1});
  far.as<int64_t>()[0] = int64_t(1) << 40;
  EXPECT_EQ(message(options.states->set("train.step", far)), "");
  EXPECT_EQ(run(*count), (int64_t(1) << 40) + 1);
  // A store of the host is of no use to a model on the device, and vice versa.
  auto onHost = must(LoadedModel::load(countingModel().exe));
  EXPECT_ERROR(Session::create(onHost, 0, none, options),
               "in the memory of another device");
  fake->failures["cuMemcpyDtoHAsync_v2"] = 700;
  EXPECT_ERROR(options.states->get("train.step"), "state 'train.step': cannot");
  // The store outlives its sessions and keeps the device.
  count.reset();
  read.reset();
  model.reset();
  EXPECT_EQ(must(options.states->get("train.step")).as<int64_t>()[0],
            (int64_t(1) << 40) + 1);
}

TEST_F(CudaSession, LargeStatesAreCopiedPieceByPiece) {
  Model m;
  constexpr int64_t count = (20 << 20) / 4 + 3;
  m.state("w", DType::F32, {count});
  Model device = onDevice(m);
  auto session = must(create(device));
  Tensor value = must(Tensor::create(DType::F32, {count}));
  for (int64_t i = 0; i < count; ++i)
    value.as<float>()[i] = float(i);
  EXPECT_EQ(message(session->states()->set("w", value)), "");
  Tensor back = must(session->states()->get("w"));
  EXPECT_TRUE(TensorView(back).rawBytes() == TensorView(value).rawBytes());
  fake->failures["cuMemAlloc_v2"] = 2;
  EXPECT_ERROR(create(device), "not enough memory on the device for");
}

TEST(CudaDevice, CodeRunsWhereItCan) {
  cuda::DeviceInfo device;
  auto runs = [&](int major, int minor, const char *arch) {
    device.major = major;
    device.minor = minor;
    return cuda::runsOn(arch, device);
  };
  EXPECT_TRUE(runs(9, 0, "sm_90a"));
  EXPECT_TRUE(runs(9, 0, "sm_90"));
  EXPECT_FALSE(runs(9, 0, "sm_80"));
  EXPECT_TRUE(runs(8, 9, "sm_80"));
  EXPECT_FALSE(runs(8, 0, "sm_89"));
  EXPECT_FALSE(runs(10, 3, "sm_100a"));
  EXPECT_TRUE(runs(10, 3, "sm_100f"));
  EXPECT_TRUE(runs(10, 3, "sm_100"));
  EXPECT_FALSE(runs(9, 0, "sm_"));
  EXPECT_FALSE(runs(9, 0, ""));
  EXPECT_FALSE(runs(9, 0, "sm_a"));
  EXPECT_FALSE(runs(9, 0, "gfx90a"));
  device.major = 12;
  device.minor = 0;
  EXPECT_EQ(device.arch(), "sm_120");
}

} // namespace
