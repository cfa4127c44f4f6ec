#include "lathe/Runtime/Session.h"
#include "ModelBuilder.h"
#include "lathe/Runtime/ThreadPool.h"
#include "lathe/Support/Compare.h"

#include <cstring>
#include <google/protobuf/stubs/logging.h>

using namespace lathe;
using namespace lathe::test;

static std::unique_ptr<Session> start(const Model &m, unsigned threads = 2,
                                      bool profile = false) {
  EXPECT_EQ(message(verifyExecutable(*m.exe)), "");
  WeightSource none;
  SessionOptions options;
  options.threads = threads;
  options.profile = profile;
  return must(
      Session::create(must(LoadedModel::load(m.exe)), 0, none, options));
}

static Tensor random(llvm::ArrayRef<int64_t> shape, unsigned seed) {
  Tensor t = must(Tensor::zeros(DType::F32, shape));
  for (float &v : t.as<float>()) {
    seed = seed * 1664525 + 1013904223;
    v = static_cast<float>(seed >> 8) * 0x1p-24f - 0.5f;
  }
  return t;
}

TEST(Session, RunsAndMeasures) {
  auto session = start(addModel(), 2, /*profile=*/true);
  Tensor a = tensor<int>(DType::F32, {8}, {1, 2, 3, 4, 5, 6, 7, 8});
  Tensor b = tensor<int>(DType::F32, {8}, {10, 10, 10, 10, 20, 20, 20, 20});
  for (int i = 0; i < 3; ++i) {
    auto out = must(session->run({a, b}));
    EXPECT_EQ(out[0].as<float>()[0], 21);
    EXPECT_EQ(out[0].as<float>()[7], 48);
  }
  EXPECT_EQ(session->profile().runs, 3u);
  EXPECT_EQ(session->profile().kernels[0].launches, 3u);
  EXPECT_GT(session->profile().kernels[1].seconds, 0);
  EXPECT_LE(session->profile().kernels[1].seconds, session->profile().seconds);
  session->profile().clear();
  EXPECT_EQ(session->profile().kernels[0].launches, 0u);
  EXPECT_EQ(session->inputs()[1].name, "b");
  EXPECT_EQ(session->outputs()[0].name, "sum");
  EXPECT_EQ(session->memory().arena, 64u);
}

TEST(Session, NamesTheWrongInput) {
  auto session = start(addModel());
  Tensor a = must(Tensor::zeros(DType::F32, {8}));
  Tensor b = must(Tensor::zeros(DType::I64, {8}));
  Tensor c = must(Tensor::zeros(DType::F32, {2, 4}));
  EXPECT_ERROR(session->run({a}), "takes 2 inputs, found 1");
  EXPECT_ERROR(session->run({a, b}), "input 'b' is i64[8], expected f32[8]");
  EXPECT_ERROR(session->run({c, a}), "input 'a' is f32[2,4], expected f32[8]");
  EXPECT_ERROR(session->run({a, a}, {c}), "output 'sum' is f32[2,4]");
  EXPECT_ERROR(session->run({a, a}, {}), "gives 1 outputs");
  TensorView odd(DType::F32, {8}, static_cast<char *>(c.data()) + 2);
  EXPECT_ERROR(session->run({a, odd}),
               "the memory of input 'b' is not aligned");
  Model m;
  uint32_t in = m.input("mask", DType::I1, {2});
  m.copy(m.steps(), in, m.output("o", DType::I1, {2}));
  Tensor mask = must(Tensor::zeros(DType::I1, {2}));
  mask.as<uint8_t>()[1] = 2;
  EXPECT_ERROR(start(m)->run({mask}), "input 'mask' holds the byte 2");
}

TEST(Session, MatmulIsTheSameForAnyNumberOfThreads) {
  Model m;
  uint32_t matmul = m.kernel("matmul", 16, 8 * 4);
  uint32_t a = m.input("a", DType::F32, {16, 32});
  uint32_t b = m.input("b", DType::F32, {32, 8});
  m.launch(m.steps(), matmul, {a, b}, {m.output("c", DType::F32, {16, 8})});
  Tensor x = random({16, 32}, 1), y = random({32, 8}, 2);
  Tensor expected = must(Tensor::zeros(DType::F32, {16, 8}));
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 8; ++j) {
      double sum = 0;
      for (int k = 0; k < 32; ++k)
        sum += double(x.as<float>()[i * 32 + k]) * y.as<float>()[k * 8 + j];
      expected.as<float>()[i * 8 + j] = static_cast<float>(sum);
    }
  Tensor first;
  for (unsigned threads : {1u, 2u, 3u, 5u, 16u, 20u}) {
    Tensor c = std::move(must(start(m, threads)->run({x, y}))[0]);
    EXPECT_TRUE(compareTensors(c, expected, 1e-5, 1e-6).ok);
    if (threads == 1)
      first = std::move(c);
    else
      EXPECT_TRUE(compareTensors(c, first, 0, 0).ok);
  }
}

TEST(Session, SmallLaunchesStayOnTheCaller) {
  // The kernel adds 1 + the begin of the chunk it is called with.
  for (bool small : {true, false}) {
    Model m;
    uint32_t k = m.kernel("chunk_begin", 8);
    m.exe->mutable_kernels(0)->set_bytes(small ? 128 : 1e9);
    uint32_t out = m.output("o", DType::I64, {8});
    m.copy(m.steps(), m.constant(std::string(64, '\0')), out);
    m.launch(m.steps(), k, {}, {out});
    Tensor o = std::move(must(start(m, 2)->run({}))[0]);
    EXPECT_EQ(o.as<int64_t>()[0], 1);
    EXPECT_EQ(o.as<int64_t>()[7], small ? 1 : 5);
  }
}

TEST(Session, LoopsForwardAndBackward) {
  for (bool reverse : {false, true}) {
    // out[t] = state = state + in[t], for t in order or backwards.
    Model m;
    uint32_t add = m.kernel("add", 2);
    uint32_t in = m.input("in", DType::F32, {3, 2});
    uint32_t out = m.output("out", DType::F32, {3, 2});
    uint32_t state = m.arena(8), next = m.arena(8);
    m.copy(m.steps(), m.constant(std::string(8, '\0')), state);
    exec::Loop *loop = m.steps()->Add()->mutable_loop();
    loop->set_id(7);
    loop->set_trip_count(3);
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
    Tensor x = tensor<int>(DType::F32, {3, 2}, {1, 10, 2, 20, 3, 30});
    Tensor y = std::move(must(start(m)->run({x}))[0]);
    Tensor expected =
        reverse ? tensor<int>(DType::F32, {3, 2}, {6, 60, 5, 50, 3, 30})
                : tensor<int>(DType::F32, {3, 2}, {1, 10, 3, 30, 6, 60});
    EXPECT_TRUE(compareTensors(y, expected, 0, 0).ok);
  }
}

TEST(Session, NestedLoopsAndNegativeStrides) {
  // out[i, j] = in[j, 2 - i], for i in 0..2, j in 0..1.
  Model m;
  uint32_t in = m.input("in", DType::F32, {2, 3});
  uint32_t out = m.output("out", DType::F32, {3, 2});
  exec::Loop *outer = m.steps()->Add()->mutable_loop();
  outer->set_id(0);
  outer->set_trip_count(3);
  exec::Loop *inner = outer->add_body_steps()->mutable_loop();
  inner->set_id(1);
  inner->set_trip_count(2);
  exec::Copy *copy = inner->add_body_steps()->mutable_copy();
  auto term = [](exec::BufferRef *ref, uint32_t loop, int64_t stride) {
    exec::LoopTerm *term = ref->add_terms();
    term->set_loop(loop);
    term->set_stride(stride);
  };
  *copy->mutable_from() = m.windowOf(in, 8, 4);
  term(copy->mutable_from(), 0, -4);
  term(copy->mutable_from(), 1, 12);
  *copy->mutable_to() = m.windowOf(out, 0, 4);
  term(copy->mutable_to(), 0, 8);
  term(copy->mutable_to(), 1, 4);
  Tensor x = tensor<int>(DType::F32, {2, 3}, {0, 1, 2, 10, 11, 12});
  Tensor y = std::move(must(start(m)->run({x}))[0]);
  EXPECT_TRUE(
      compareTensors(y, tensor<int>(DType::F32, {3, 2}, {2, 12, 1, 11, 0, 10}),
                     0, 0)
          .ok);
}

TEST(Session, WhileRunsUntilItsConditionFails) {
  auto session = start(counting(1000));
  auto run = [&](int64_t n) {
    return must(session->run({tensor<int64_t>(DType::I64, {}, {n})}))[0]
        .as<int64_t>()[0];
  };
  EXPECT_EQ(run(3), 1000);
  EXPECT_EQ(run(999), 1000);
  EXPECT_EQ(run(2000), 2000);
}

TEST(Session, EndlessWhileIsGivenUp) {
  Model m = counting(INT64_MAX);
  WeightSource none;
  SessionOptions options;
  options.threads = 1;
  options.maxWhileIterations = 5000;
  auto session =
      must(Session::create(must(LoadedModel::load(m.exe)), 0, none, options));
  EXPECT_ERROR(session->run({tensor<int>(DType::I64, {}, {0})}),
               "given up after 5000 iterations");
}

TEST(Session, IfTakesOneBranch) {
  Model m;
  uint32_t flag = m.input("flag", DType::I1, {});
  uint32_t a = m.input("a", DType::F32, {2}), b = m.input("b", DType::F32, {2});
  uint32_t out = m.output("o", DType::F32, {2});
  exec::If *branch = m.steps()->Add()->mutable_if_step();
  m.ref(branch->mutable_condition(), flag);
  m.copy(branch->mutable_then_steps(), a, out);
  m.copy(branch->mutable_else_steps(), b, out);
  auto session = start(m);
  Tensor x = tensor<int>(DType::F32, {2}, {1, 2}),
         y = tensor<int>(DType::F32, {2}, {3, 4});
  for (int flag : {0, 1})
    EXPECT_EQ(must(session->run({tensor<int>(DType::I1, {}, {flag}), x, y}))[0]
                  .as<float>()[0],
              flag ? 1 : 3);
}

TEST(Session, ChecksRefuseValuesOutOfRange) {
  for (DType type : {DType::I64, DType::I32}) {
    Model m;
    uint32_t in = m.input("index", type, {3});
    exec::Check *check = m.steps()->Add()->mutable_check();
    m.ref(check->mutable_values(), in);
    check->set_element(toElementType(type));
    check->set_low(-4);
    check->set_high(3);
    check->set_message("index of lathe.gather at model.mlir:7");
    m.copy(m.steps(), in, m.output("o", type, {3}));
    auto session = start(m);
    EXPECT_EQ(message(session->run({tensor<int>(type, {3}, {-4, 0, 3})})), "");
    EXPECT_ERROR(session->run({tensor<int>(type, {3}, {0, 1, 4})}),
                 "index of lathe.gather at model.mlir:7: found 4, expected -4 "
                 "to 3");
    EXPECT_ERROR(session->run({tensor<int>(type, {3}, {0, -5, 3})}),
                 "found -5");
  }
}

/// w is doubled at load; the run adds it to the input.
static Model prepared(int64_t n) {
  Model m;
  uint32_t twice = m.kernel("twice", n), add = m.kernel("add", n);
  uint32_t w = m.weight("w", DType::F32, {n});
  uint32_t temporary = m.arena(n * 4, exec::LOAD_ARENA);
  uint32_t packed = m.buffer(exec::PERSISTENT, n * 4);
  uint32_t a = m.input("a", DType::F32, {n});
  m.launch(m.loadSteps(), twice, {w}, {temporary});
  m.copy(m.loadSteps(), temporary, packed);
  m.launch(m.steps(), add, {a, packed}, {m.output("o", DType::F32, {n})});
  return m;
}

TEST(Session, LoadStepsRunOnce) {
  TempFolder folder;
  Tensor w = tensor<int>(DType::F32, {2}, {1, 2});
  ASSERT_EQ(message(writeSafetensors(folder / "w", {{"w", w}})), "");
  WeightSource source;
  ASSERT_EQ(message(source.add(folder / "w")), "");
  Model m = prepared(2);
  ASSERT_EQ(message(verifyExecutable(*m.exe)), "");
  auto session = must(Session::create(must(LoadedModel::load(m.exe)), 0, source,
                                      SessionOptions()));
  for (int i = 0; i < 2; ++i)
    EXPECT_EQ(must(session->run({w}))[0].as<float>()[1], 6);
  EXPECT_EQ(session->memory().persistent, 64u);
  EXPECT_EQ(session->memory().weights, 0u);
}

// Sixteen weights of 8 MiB, each packed at load: memory must hold one copy and
// a little, not two.
TEST(Session, PeakMemoryIsNearOneCopyOfTheWeights) {
  constexpr int64_t n = 2 << 20, count = 16;
  constexpr uint64_t copy = n * 4 * count;
  TempFolder folder;
  Model m;
  uint32_t twice = m.kernel("twice", n);
  uint32_t out = m.output("o", DType::F32, {count});
  std::vector<NamedView> views;
  Tensor values = random({n}, 3);
  for (int i = 0; i < count; ++i) {
    std::string name = "w" + std::to_string(i);
    views.push_back({name, values});
    uint32_t w = m.weight(name.c_str(), DType::F32, {n});
    uint32_t packed = m.buffer(exec::PERSISTENT, n * 4);
    m.launch(m.loadSteps(), twice, {w}, {packed});
    exec::Copy *step = m.steps()->Add()->mutable_copy();
    *step->mutable_from() = m.windowOf(packed, 4 * i, 4);
    *step->mutable_to() = m.windowOf(out, 4 * i, 4);
  }
  ASSERT_EQ(message(writeSafetensors(folder / "w", views)), "");
  WeightSource source;
  ASSERT_EQ(message(source.add(folder / "w")), "");
  auto model = must(LoadedModel::load(m.exe));
  if (!resetPeakMemory())
    GTEST_SKIP() << "the system does not reset the peak of memory";
  uint64_t before = residentMemoryBytes();
  auto session = must(Session::create(model, 0, source, SessionOptions()));
  auto result = must(session->run({}));
  for (int i = 0; i < count; ++i)
    EXPECT_EQ(result[0].as<float>()[i], 2 * values.as<float>()[i]);
  EXPECT_LT(peakMemoryBytes() - before, copy + copy / 4);
  EXPECT_GE(peakMemoryBytes() - before, copy / 2); // the measure itself works
}

TEST(Session, ProgramsAndTargetsAreChecked) {
  Model m = addModel();
  WeightSource none;
  auto model = must(LoadedModel::load(m.exe));
  EXPECT_ERROR(Session::create(model, 1, none, SessionOptions()),
               "1 programs, number 1 is not one of them");
  m.exe->add_cpu_features("+nosuch");
  EXPECT_ERROR(LoadedModel::load(m.exe), "lacks: nosuch");
  m.exe->clear_cpu_features();
  m.exe->set_target("tpu");
  EXPECT_ERROR(LoadedModel::load(m.exe), "compiled for the target 'tpu'");
  m.exe->set_target("cpu");
  m.exe->mutable_kernels(0)->set_symbol("absent");
  EXPECT_ERROR(LoadedModel::load(m.exe),
               "the code of kernel 'kernel add' does not define 'absent'");
  m.exe->mutable_objects(0)->set_code("nonsense");
  EXPECT_ERROR(LoadedModel::load(m.exe),
               "cannot load the code of 'kernel add'");
}

TEST(Session, MemoryThatDoesNotExistIsAnError) {
  Model m = addModel();
  m.program->set_arena_bytes(uint64_t(1) << 46);
  ASSERT_EQ(message(verifyExecutable(*m.exe)), "");
  WeightSource none;
  EXPECT_ERROR(Session::create(must(LoadedModel::load(m.exe)), 0, none,
                               SessionOptions()),
               "not enough memory for an arena");
}

TEST(Session, SessionsShareAModelAndThreads) {
  Model m = addModel();
  auto model = must(LoadedModel::load(m.exe));
  SessionOptions options;
  options.pool = std::make_shared<ThreadPool>(2);
  WeightSource none;
  auto one = must(Session::create(model, 0, none, options));
  auto two = must(Session::create(model, 0, none, options));
  model.reset();
  Tensor a = random({8}, 1);
  auto x = must(one->run({a, a})), y = must(two->run({a, a}));
  EXPECT_TRUE(compareTensors(x[0], y[0], 0, 0).ok);
}

/// True where a changed program would only take long or much memory.
static bool
isLarge(const google::protobuf::RepeatedPtrField<exec::Step> &list) {
  for (const exec::Step &step : list)
    if (step.loop().trip_count() > 1000 || isLarge(step.loop().body_steps()))
      return true;
  return false;
}

// Every bit of a program is flipped; what the verifier lets pass is run. There
// is no machine code in it, so whatever it touches, the Runtime touches.
TEST(Session, HostileProgramsTouchOnlyTheirOwnMemory) {
  google::protobuf::LogSilencer silence;
  Model m;
  m.exe->clear_objects();
  uint32_t in = m.input("in", DType::I64, {2, 4});
  uint32_t flag = m.input("flag", DType::I1, {1});
  uint32_t out = m.output("out", DType::I64, {2, 4});
  uint32_t w = m.weight("w", DType::I64, {2});
  m.program->mutable_weights(0)->mutable_initializer()->set_kind("constant");
  uint32_t kept = m.buffer(exec::PERSISTENT, 16), middle = m.arena(64);
  uint32_t loaded = m.arena(16, exec::LOAD_ARENA);
  m.copy(m.loadSteps(), w, loaded);
  m.copy(m.loadSteps(), loaded, kept);
  exec::Loop *loop = m.steps()->Add()->mutable_loop();
  loop->set_id(1);
  loop->set_trip_count(2);
  exec::Copy *copy = loop->add_body_steps()->mutable_copy();
  *copy->mutable_from() = m.windowOf(in, 0, 32);
  *copy->mutable_to() = m.windowOf(middle, 32, 32);
  for (exec::BufferRef *ref : {copy->mutable_from(), copy->mutable_to()}) {
    ref->add_terms()->set_loop(1);
    ref->mutable_terms(0)->set_stride(ref == copy->mutable_from() ? 32 : -32);
  }
  exec::If *branch = m.steps()->Add()->mutable_if_step();
  m.ref(branch->mutable_condition(), flag);
  m.copy(branch->mutable_then_steps(), middle, out);
  m.copy(branch->mutable_else_steps(), in, out);
  exec::Check *check = m.steps()->Add()->mutable_check();
  m.ref(check->mutable_values(), out);
  check->set_element(exec::I64);
  check->set_high(9);

  Tensor input = tensor<int>(DType::I64, {2, 4}, {0, 1, 2, 3, 4, 5, 6, 7});
  Tensor on = tensor<int>(DType::I1, {1}, {1});
  SessionOptions options;
  options.pool = std::make_shared<ThreadPool>(1);
  std::string good = m.exe->SerializeAsString();
  size_t ran = 0;
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] ^= 1 << bit % 8;
    auto exe = std::make_shared<exec::Executable>();
    if (!exe->ParseFromString(bad) || !message(verifyExecutable(*exe)).empty())
      continue;
    uint64_t memory = 0;
    bool large = false;
    for (const exec::Program &program : exe->programs()) {
      memory += program.arena_bytes() + program.load_arena_bytes();
      for (const exec::Buffer &buffer : program.buffers())
        memory += buffer.bytes();
      large |= isLarge(program.steps()) || isLarge(program.load_steps());
    }
    if (large || memory > (1 << 24))
      continue;
    llvm::Expected<std::shared_ptr<LoadedModel>> model = LoadedModel::load(exe);
    if (!model) {
      expectSentence(llvm::toString(model.takeError()));
      continue;
    }
    WeightSource none;
    auto session = Session::create(*model, 0, none, options);
    if (!session) {
      expectSentence(llvm::toString(session.takeError()));
      continue;
    }
    std::vector<Tensor> made;
    std::vector<TensorView> inputs;
    for (const TensorSpec &spec : (*session)->inputs())
      made.push_back(must(Tensor::zeros(spec.dtype, spec.shape)));
    for (Tensor &one : made)
      inputs.push_back(one);
    auto result = (*session)->run(inputs);
    if (!result)
      llvm::consumeError(result.takeError());
    ++ran;
  }
  EXPECT_GT(ran, 100u);
  auto session = start(m);
  Tensor swapped = tensor<int>(DType::I64, {2, 4}, {4, 5, 6, 7, 0, 1, 2, 3});
  EXPECT_TRUE(
      compareTensors(must(session->run({input, on}))[0], swapped, 0, 0).ok);
}
