#include "ModelBuilder.h"
#include "Runtime/Initializer.h"
#include "lathe/Runtime/Session.h"
#include "lathe/Runtime/ThreadPool.h"
#include "lathe/Support/Compare.h"

#include <cmath>

using namespace lathe;
using namespace lathe::test;

// A model that hands its parameters out as its outputs.
static void expose(Model &m, const char *name, DType type,
                   llvm::ArrayRef<int64_t> shape, const char *key = "") {
  uint32_t weight = m.weight(name, type, shape, key);
  m.copy(m.steps(), weight, m.output(name, type, shape));
}

static llvm::Expected<std::unique_ptr<Session>>
open(const Model &m, WeightSource &source, SessionOptions options = {}) {
  EXPECT_EQ(message(verifyExecutable(*m.exe)), "");
  options.threads = 2;
  return Session::create(must(LoadedModel::load(m.exe)), 0, source, options);
}

static Tensor iota(DType type, llvm::ArrayRef<int64_t> shape, double start) {
  Tensor t = must(Tensor::zeros(type, shape));
  for (int64_t i = 0; i < t.numElements(); ++i)
    storeFromDouble(type, static_cast<char *>(t.data()) + i * dtypeSize(type),
                    start + i);
  return t;
}

static std::vector<double> values(const Tensor &t) {
  std::vector<double> list;
  for (int64_t i = 0; i < t.numElements(); ++i)
    list.push_back(loadAsDouble(t.dtype(), static_cast<char *>(t.data()) +
                                               i * dtypeSize(t.dtype())));
  return list;
}

TEST(Weights, BindByNameAndPattern) {
  TempFolder folder;
  Tensor a = iota(DType::F32, {2, 2}, 0), l0 = iota(DType::F16, {3}, 10),
         l1 = iota(DType::F16, {3}, 20), odd = iota(DType::I8, {1}, 7),
         z = iota(DType::F32, {2}, 30);
  // l0 and l1 lie apart; z starts at an odd offset.
  ASSERT_EQ(
      message(writeSafetensors(
          folder / "w.safetensors",
          {{"l.1.w", l1}, {"a", a}, {"l.0.w", l0}, {"odd", odd}, {"z", z}})),
      "");
  Model m;
  expose(m, "a", DType::F32, {2, 2});
  expose(m, "stack", DType::F16, {2, 3}, "l.{}.w");
  expose(m, "z", DType::F32, {2});
  expose(m, "later", DType::F16, {1, 3}, "l.{1}.w");
  WeightSource source;
  ASSERT_EQ(message(source.add(folder.path())), ""); // a folder of files
  auto session = must(open(m, source));
  auto out = must(session->run({}));
  EXPECT_EQ(values(out[0]), std::vector<double>({0, 1, 2, 3}));
  EXPECT_EQ(values(out[1]), std::vector<double>({10, 11, 12, 20, 21, 22}));
  EXPECT_EQ(values(out[2]), std::vector<double>({30, 31}));
  EXPECT_EQ(values(out[3]), std::vector<double>({20, 21, 22}));
  EXPECT_TRUE(session->notes().empty());
}

TEST(Weights, ContiguousLayersAreNotCopied) {
  TempFolder folder;
  constexpr int64_t n = 4 << 20; // 16 MiB a layer
  Tensor big = iota(DType::F32, {n}, 0);
  ASSERT_EQ(
      message(writeSafetensors(folder / "w.safetensors",
                               {{"l.0", big}, {"l.1", big}, {"l.2", big}})),
      "");
  big = Tensor();
  Model m;
  uint32_t weight = m.weight("stack", DType::F32, {3, n}, "l.{}");
  exec::Copy *copy = m.steps()->Add()->mutable_copy();
  *copy->mutable_from() = m.windowOf(weight, 2 * n * 4 + 20, 4);
  m.ref(copy->mutable_to(), m.output("x", DType::F32, {}));
  WeightSource source;
  ASSERT_EQ(message(source.add(folder / "w.safetensors")), "");
  uint64_t before = residentMemoryBytes();
  auto session = must(open(m, source));
  EXPECT_EQ(values(must(session->run({}))[0])[0], 5);
  EXPECT_LT(residentMemoryBytes(), before + (8 << 20));
  EXPECT_EQ(session->memory().weights, 3u * n * 4);
}

TEST(Weights, EveryProblemIsInOneError) {
  TempFolder folder;
  Tensor f = iota(DType::F32, {2}, 0), h = iota(DType::F16, {3}, 0);
  ASSERT_EQ(message(writeSafetensors(
                folder / "w.safetensors",
                {{"encoder.weight", f}, {"typed", h}, {"shaped", f}})),
            "");
  Model m;
  expose(m, "encoder.wieght", DType::F32, {2});
  expose(m, "typed", DType::F32, {3});
  expose(m, "shaped", DType::F32, {4});
  expose(m, "gone.far", DType::F32, {2});
  WeightSource source;
  ASSERT_EQ(message(source.add(folder / "w.safetensors")), "");
  std::string text = message(open(m, source));
  EXPECT_EQ(text,
            "the weights do not fit the model\n"
            "  'encoder.wieght' is missing (did you mean 'encoder.weight'?)\n"
            "  'gone.far' is missing\n"
            "  'typed' is f16[3] in the file, expected f32[3]\n"
            "  'shaped' is f32[2] in the file, expected f32[4]");
  WeightSource none;
  EXPECT_ERROR(open(m, none), "4 parameters without values, such as "
                              "'encoder.wieght'; name a weights file");
}

TEST(Weights, OneMissingPrefixIsTolerated) {
  TempFolder folder;
  Tensor a = iota(DType::F32, {2}, 0), b = iota(DType::F32, {2}, 2),
         c = iota(DType::F32, {2}, 4);
  ASSERT_EQ(message(writeSafetensors(
                folder / "with", {{"bert.x.a", a}, {"bert.x.b", b}, {"c", c}})),
            "");
  Model m;
  expose(m, "x.a", DType::F32, {2});
  expose(m, "x.b", DType::F32, {2});
  expose(m, "c", DType::F32, {2});
  WeightSource with;
  ASSERT_EQ(message(with.add(folder / "with")), "");
  auto session = must(open(m, with));
  EXPECT_EQ(values(must(session->run({}))[1]), std::vector<double>({2, 3}));
  ASSERT_EQ(session->notes().size(), 1u);
  EXPECT_NE(session->notes()[0].find("'bert.'"), std::string::npos);

  ASSERT_EQ(message(writeSafetensors(folder / "without",
                                     {{"a", a}, {"b", b}, {"c", c}})),
            "");
  WeightSource without;
  ASSERT_EQ(message(without.add(folder / "without")), "");
  auto second = must(open(m, without));
  EXPECT_EQ(values(must(second->run({}))[1]), std::vector<double>({2, 3}));
  EXPECT_EQ(second->notes().size(), 1u);

  // Two prefixes would do: neither is taken.
  ASSERT_EQ(
      message(writeSafetensors(
          folder / "two",
          {{"p.x.a", a}, {"p.x.b", b}, {"q.x.a", a}, {"q.x.b", b}, {"c", c}})),
      "");
  WeightSource two;
  ASSERT_EQ(message(two.add(folder / "two")), "");
  EXPECT_ERROR(open(m, two), "'x.a' is missing (did you mean 'p.x.a'?)");
}

TEST(Weights, ShardsAndTheirIndex) {
  TempFolder folder;
  Tensor a = iota(DType::F32, {2}, 0), b = iota(DType::F32, {2}, 2);
  ASSERT_EQ(message(writeSafetensors(folder / "1.safetensors", {{"a", a}})),
            "");
  ASSERT_EQ(message(writeSafetensors(folder / "2.safetensors", {{"b", b}})),
            "");
  auto index = [&](const char *text) {
    spill(folder / "i.json", text);
    WeightSource source;
    std::string result = message(source.add(folder / "i.json"));
    EXPECT_EQ(result.empty(), bool(source.find("b")));
    return result;
  };
  EXPECT_EQ(
      index(R"({"weight_map":{"a":"1.safetensors","b":"2.safetensors"}})"), "");
  EXPECT_NE(index(R"({"weight_map":{"a":"../1.safetensors"}})").find("beside"),
            std::string::npos);
  EXPECT_NE(index(R"({"weight_map":{"a":"/etc/passwd"}})").find("beside"),
            std::string::npos);
  EXPECT_NE(index("[]").find("no weight_map"), std::string::npos);
  EXPECT_NE(index("{").find("it is not valid JSON"), std::string::npos);
  EXPECT_NE(index(R"({"weight_map":{"a":1}})").find("no file"),
            std::string::npos);
  EXPECT_NE(index(R"({"weight_map":{"a":"1.safetensors","a":"2.safetensors"}})")
                .find("it holds the key 'a' more than once"),
            std::string::npos);
  EXPECT_NE(index((std::string(200000, '[')).c_str()).find("more than 16 deep"),
            std::string::npos);
  WeightSource twice;
  ASSERT_EQ(message(twice.add(folder / "1.safetensors")), "");
  EXPECT_ERROR(twice.add(folder / "1.safetensors"), "both");
  TempFolder empty;
  EXPECT_ERROR(WeightSource().add(empty.path()), "no .safetensors file");
}

TEST(Weights, FromTheModelFile) {
  TempFolder folder;
  Tensor a = iota(DType::F32, {3}, 5);
  spill(folder / "m.onnx", "xyz" + a.view().rawBytes().str() + "tail");
  Model m;
  expose(m, "a", DType::F32, {3});
  exec::Weight *weight = m.program->mutable_weights(0);
  weight->set_file(folder / "m.onnx");
  weight->set_file_offset(3); // not aligned
  weight->set_file_bytes(12);
  WeightSource source;
  EXPECT_EQ(values(must(must(open(m, source))->run({}))[0]),
            std::vector<double>({5, 6, 7}));
  // A weights file may replace it.
  Tensor b = iota(DType::F32, {3}, 50);
  ASSERT_EQ(message(writeSafetensors(folder / "w", {{"a", b}})), "");
  WeightSource other;
  ASSERT_EQ(message(other.add(folder / "w")), "");
  EXPECT_EQ(values(must(must(open(m, other))->run({}))[0])[0], 50);
  weight->set_file_offset(8);
  EXPECT_ERROR(open(m, source), "which has 19 bytes");
  weight->set_file_offset(UINT64_MAX);
  EXPECT_ERROR(open(m, source), "which has 19 bytes");
  weight->set_file("/elsewhere/m.onnx");
  weight->set_file_offset(3);
  EXPECT_ERROR(open(m, source), "cannot open '/elsewhere/m.onnx'");
  source.setModelFolder(folder.path());
  EXPECT_EQ(values(must(must(open(m, source))->run({}))[0])[0], 5);
}

TEST(Weights, InitializersOnlyWhereNoFileSpeaks) {
  TempFolder folder;
  Tensor a = iota(DType::F32, {2}, 0);
  ASSERT_EQ(message(writeSafetensors(folder / "w", {{"a", a}})), "");
  Model m;
  expose(m, "a", DType::F32, {2});
  expose(m, "b", DType::F32, {2});
  for (int i = 0; i < 2; ++i) {
    m.program->mutable_weights(i)->mutable_initializer()->set_kind("constant");
    m.program->mutable_weights(i)->mutable_initializer()->set_a(2.5);
  }
  WeightSource none, file;
  EXPECT_EQ(values(must(must(open(m, none))->run({}))[0]),
            std::vector<double>({2.5, 2.5}));
  ASSERT_EQ(message(file.add(folder / "w")), "");
  EXPECT_ERROR(open(m, file), "'b' is missing");
  SessionOptions options;
  options.initializeMissing = true;
  auto session = must(open(m, file, options));
  auto out = must(session->run({}));
  EXPECT_EQ(values(out[0]), std::vector<double>({0, 1}));
  EXPECT_EQ(values(out[1]), std::vector<double>({2.5, 2.5}));
  EXPECT_EQ(session->notes().size(), 1u);
  m.program->mutable_weights(0)->mutable_initializer()->set_kind("magic");
  EXPECT_ERROR(open(m, none), "the initializer 'magic' is unknown");
}

//===----------------------------------------------------------------------===//
// Initializers
//===----------------------------------------------------------------------===//

// Known answers of the reference implementation (Random123, kat_vectors).
TEST(Initializer, PhiloxKnownAnswers) {
  using Block = std::array<uint32_t, 4>;
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}),
            Block({0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  uint32_t f = 0xffffffff;
  EXPECT_EQ(philox({f, f, f, f}, {f, f}),
            Block({0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                   {0xa4093822, 0x299f31d0}),
            Block({0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

static Tensor filled(const char *kind, double a, double b,
                     llvm::ArrayRef<int64_t> shape, unsigned threads = 2,
                     uint64_t seed = 1, const char *name = "w",
                     DType type = DType::F32, bool stacked = false) {
  ThreadPool pool(threads);
  Tensor t = must(Tensor::zeros(type, shape));
  EXPECT_EQ(message(initialize(t, name, kind, a, b, stacked, seed, pool)), "");
  return t;
}

struct Moments {
  double mean = 0, deviation = 0, low = 1e9, high = -1e9;
};
static Moments moments(const Tensor &t) {
  Moments m;
  std::vector<double> list = values(t);
  for (double v : list) {
    m.mean += v / list.size();
    m.low = std::min(m.low, v);
    m.high = std::max(m.high, v);
  }
  for (double v : list)
    m.deviation += (v - m.mean) * (v - m.mean) / list.size();
  m.deviation = std::sqrt(m.deviation);
  return m;
}

TEST(Initializer, Distributions) {
  Shape shape = {200, 501}; // not a multiple of four
  Moments m = moments(filled("uniform", -2, 6, shape));
  EXPECT_NEAR(m.mean, 2, 0.03);
  EXPECT_NEAR(m.deviation, 8 / std::sqrt(12), 0.03);
  EXPECT_GE(m.low, -2);
  EXPECT_LT(m.high, 6);
  m = moments(filled("normal", 1, 0.5, shape));
  EXPECT_NEAR(m.mean, 1, 0.006);
  EXPECT_NEAR(m.deviation, 0.5, 0.005);
  EXPECT_GT(m.high, 1 + 3.5 * 0.5);
  m = moments(filled("truncated_normal", 1, 0.5, shape));
  EXPECT_NEAR(m.mean, 1, 0.006);
  EXPECT_NEAR(m.deviation, 0.5 * 0.8796, 0.005);
  EXPECT_LE(m.high, 2);
  EXPECT_GE(m.low, 0);
  m = moments(filled("xavier_normal", 0, 0, shape));
  EXPECT_NEAR(m.deviation, std::sqrt(2.0 / 701), 0.001);
  m = moments(filled("xavier_uniform", 2, 0, shape));
  EXPECT_NEAR(m.high, 2 * std::sqrt(6.0 / 701), 0.001);
  m = moments(filled("kaiming_uniform", std::sqrt(5.0), 0, shape));
  EXPECT_NEAR(m.high, 1 / std::sqrt(501.0), 0.0005); // torch's Linear
  m = moments(filled("kaiming_normal", 0, 0, {64, 16, 3, 3}));
  EXPECT_NEAR(m.deviation, std::sqrt(2.0 / 144), 0.003);
  m = moments(filled("kaiming_normal", 0, 0, {6, 100, 50}, 2, 1, "w",
                     DType::F32, /*stacked=*/true));
  EXPECT_NEAR(m.deviation, std::sqrt(2.0 / 50), 0.004);
  EXPECT_EQ(moments(filled("ones", 0, 0, {5})).low, 1);
  EXPECT_EQ(moments(filled("constant", 3, 0, {5}, 1, 1, "w", DType::I64)).high,
            3);
}

TEST(Initializer, DependsOnSeedAndNameAlone) {
  Tensor a = filled("normal", 0, 1, {1001}, 1);
  EXPECT_TRUE(compareTensors(filled("normal", 0, 1, {1001}, 3), a, 0, 0).ok);
  EXPECT_FALSE(
      compareTensors(filled("normal", 0, 1, {1001}, 1, 2), a, 0, 0).ok);
  EXPECT_FALSE(
      compareTensors(filled("normal", 0, 1, {1001}, 1, 1, "v"), a, 0, 0).ok);
}
