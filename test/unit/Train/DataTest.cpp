#include "TrainHelpers.h"
#include "lathe/Support/Idx.h"
#include "lathe/Support/Npy.h"
#include "lathe/Support/Safetensors.h"
#include "lathe/Train/Vocabulary.h"

#include <cmath>
#include <set>

using namespace lathe;
using namespace lathe::test;
using namespace lathe::train;

TEST(Permutation, IsOne) {
  for (uint64_t size : {1, 2, 3, 4, 5, 15, 16, 17, 63, 64, 65, 1000}) {
    Permutation order(size, 42);
    std::set<uint64_t> seen;
    for (uint64_t i = 0; i < size; ++i)
      seen.insert(order(i));
    EXPECT_EQ(seen.size(), size);
    EXPECT_EQ(*seen.rbegin(), size - 1);
  }
  // Far beyond memory: still one value at a time, in range.
  Permutation large(uint64_t(1) << 60, 1);
  EXPECT_LT(large(12345), uint64_t(1) << 60);
  EXPECT_NE(large(12345), large(12346));
}

TEST(Permutation, EveryPlaceIsEquallyLikely) {
  // Chi-square of where each of 11 values lands over 11,000 keys: 100 degrees
  // of freedom, so above 160 by chance in one case of ten thousand.
  constexpr int n = 11, keys = 11000;
  std::vector<int> counts(n * n);
  for (uint64_t key = 0; key < keys; ++key) {
    Permutation order(n, mix(7, key));
    for (int i = 0; i < n; ++i)
      ++counts[i * n + order(i)];
  }
  double chi = 0, expected = double(keys) / n;
  for (int count : counts)
    chi += (count - expected) * (count - expected) / expected;
  EXPECT_LT(chi, 160);
  EXPECT_GT(chi, 50); // too even would be no chance, either
}

static std::string idx(uint8_t type, std::initializer_list<uint32_t> shape,
                       llvm::StringRef data) {
  std::string text = {0, 0, static_cast<char>(type),
                      static_cast<char>(shape.size())};
  for (uint32_t extent : shape)
    for (int shift = 24; shift >= 0; shift -= 8)
      text += static_cast<char>(extent >> shift & 0xFF);
  return text + data.str();
}

TEST(Idx, ReadsTypesAndOrder) {
  Tensor bytes = must(parseIdx(idx(8, {2, 2}, "\1\2\3\4"), "x"));
  EXPECT_EQ(bytes.dtype(), DType::U8);
  EXPECT_EQ(integers(bytes), (std::vector<int64_t>{1, 2, 3, 4}));
  Tensor words = must(parseIdx(
      idx(0x0C, {2}, llvm::StringRef("\0\0\1\2\xff\xff\xff\xff", 8)), "x"));
  EXPECT_EQ(integers(words), (std::vector<int64_t>{258, -1}));
  Tensor floats = must(
      parseIdx(idx(0x0D, {1}, llvm::StringRef("\x40\x49\x0f\xdb", 4)), "x"));
  EXPECT_FLOAT_EQ(floats.as<float>()[0], 3.14159274f);
}

TEST(Idx, RefusesWhatIsDamaged) {
  EXPECT_ERROR(parseIdx("", "x"), "not an IDX file");
  EXPECT_ERROR(parseIdx(idx(7, {1}, "a"), "x"), "no element type 7");
  EXPECT_ERROR(parseIdx(idx(8, {2}, "a"), "x"), "takes 2 bytes, but the file "
                                                "holds 1");
  EXPECT_ERROR(parseIdx(idx(8, {1}, "ab"), "x"), "holds 2");
  EXPECT_ERROR(parseIdx(idx(8, {0xffffffff, 0xffffffff, 0xffffffff}, ""), "x"),
               "too large");
  EXPECT_ERROR(parseIdx(idx(8, {1}, "").substr(0, 6), "x"), "ends inside");
}

TEST(DataFile, EveryFormatGivesTheSame) {
  TempFolder folder;
  Tensor values = countUp(DType::F32, {5, 2});
  ASSERT_EQ(message(writeNpy(folder / "a.npy", values)), "");
  ASSERT_EQ(message(writeNpz(folder / "a.npz", {{"x", values}}, true)), "");
  ASSERT_EQ(
      message(writeSafetensors(folder / "a.safetensors", {{"x", values}})), "");
  std::string big(reinterpret_cast<char *>(values.data()), values.numBytes());
  for (size_t at = 0; at < big.size(); at += 4)
    std::reverse(big.begin() + at, big.begin() + at + 4);
  spill(folder / "a.idx", idx(0x0D, {5, 2}, big));
  for (const char *name : {"a.npy", "a.npz", "a.safetensors", "a.idx"}) {
    auto file = must(openDataFile(folder / name));
    ASSERT_EQ(file->arrays.size(), 1u) << name;
    EXPECT_FALSE(file->tokens);
    EXPECT_EQ(integers(file->arrays[0].tensor), integers(values)) << name;
  }
  spill(folder / "t.bin", llvm::StringRef("\1\0\2\1", 4));
  EXPECT_EQ(integers(must(openDataFile(folder / "t.bin"))->arrays[0].tensor),
            (std::vector<int64_t>{1, 258}));
  EXPECT_EQ(
      integers(
          must(openDataFile(folder / "t.bin", DType::U8))->arrays[0].tensor)
          .size(),
      4u);
  spill(folder / "t.txt", "ab\n");
  EXPECT_EQ(integers(must(openDataFile(folder / "t.txt"))->arrays[0].tensor),
            (std::vector<int64_t>{97, 98, 10}));
  spill(folder / "odd.bin", "abc");
  EXPECT_ERROR(openDataFile(folder / "odd.bin"), "no whole number of tokens");
  spill(folder / "what", "hello");
  EXPECT_ERROR(openDataFile(folder / "what"), "is no data file");
  EXPECT_ERROR(openDataFile(folder / "absent.npy"), "no such file");
}

namespace {
using Files = std::map<std::string, std::shared_ptr<const DataFile>>;
using Options = std::map<std::string, FieldOptions>;

const TensorSpec kImage = {"image", DType::F32, {2, 3}},
                 kLabel = {"label", DType::I64, {2}};

llvm::Expected<std::shared_ptr<Dataset>>
make(std::vector<TensorSpec> specs, Files files, Options options = {}) {
  return Dataset::create(specs, files, {}, options);
}
} // namespace

TEST(Dataset, ConvertsAndNormalizes) {
  FieldOptions normalize;
  normalize.normalize = FieldOptions::Normalization{1, 2};
  auto data = must(make({kImage, kLabel},
                        {{"image", fileOf(countUp(DType::U8, {4, 1, 3}))},
                         {"label", fileOf(countUp(DType::U8, {4}))}},
                        {{"image", normalize}}));
  EXPECT_EQ(data->size(), 4);
  std::vector<Tensor> batch;
  batch.push_back(must(Tensor::zeros(DType::F32, {2, 3})));
  batch.push_back(must(Tensor::zeros(DType::I64, {2})));
  ASSERT_EQ(message(data->fill({3, 1}, 0, batch)), "");
  EXPECT_EQ(std::vector<float>(batch[0].as<float>()),
            (std::vector<float>{4, 4.5, 5, 1, 1.5, 2}));
  EXPECT_EQ(integers(batch[1]), (std::vector<int64_t>{3, 1}));
}

TEST(Dataset, BadDataIsASentence) {
  auto images = [] { return fileOf(countUp(DType::F32, {4, 3})); };
  auto labels = [] { return fileOf(countUp(DType::U8, {4})); };
  FieldOptions limit;
  limit.limit = 3;
  auto data =
      must(make({kImage, kLabel}, {{"image", images()}, {"label", labels()}},
                {{"label", limit}}));
  EXPECT_ERROR(data->check(),
               "the data holds 3 in 'memory.npy' at example 3, for the input "
               "'label', where 0 to 2 are allowed");
  for (DType type : {DType::F32, DType::F64, DType::BF16}) {
    for (double bad : {double(NAN), double(INFINITY)}) {
      Tensor broken = countUp(type, {4, 3});
      storeFromDouble(
          type, static_cast<char *>(broken.data()) + 7 * dtypeSize(type), bad);
      data = must(make({kImage}, {{"image", fileOf(std::move(broken))}}));
      EXPECT_ERROR(data->check(),
                   std::string("the data holds ") +
                       (std::isnan(bad) ? "nan" : "inf") +
                       " in 'memory.npy' at example 2, element 1, for the "
                       "input 'image'");
    }
  }
  EXPECT_ERROR(make({kImage}, {{"image", fileOf(countUp(DType::F32, {0, 3}))}}),
               "it is empty");
  EXPECT_ERROR(make({kImage}, {{"image", fileOf(countUp(DType::F32, {4, 4}))}}),
               "does not fit the input 'image' of type f32[2,3]: it holds "
               "f32[4,4], an example of which has another shape");
  EXPECT_ERROR(make({kLabel}, {{"label", fileOf(countUp(DType::F32, {4}))}}),
               "floats do not become integers");
  EXPECT_ERROR(
      make({kImage, kLabel},
           {{"image", images()}, {"label", fileOf(countUp(DType::U8, {5}))}}),
      "differ in number: 4 and 5 examples");
  EXPECT_ERROR(make({kImage, kLabel}, {{"image", images()}}),
               "there is no data for the input 'label' of type i64[2]");
  EXPECT_ERROR(make({kImage}, {{"image", images()}, {"lable", labels()}}),
               "for the input 'lable', which the program does not have; it "
               "has 'image'");
  EXPECT_ERROR(make({{"image", DType::F32, {2, 3}}},
                    {{"image", fileOf(countUp(DType::F32, {}))}}),
               "single number");
  Tensor wide = countUp(DType::I64, {4});
  wide.as<int64_t>()[2] = 300;
  data = must(
      make({{"byte", DType::U8, {2}}}, {{"byte", fileOf(std::move(wide))}}));
  EXPECT_ERROR(data->check(), "holds 300 in 'memory.npy' at example 2, for the "
                              "input 'byte', which its type ui8 cannot hold");
}

TEST(Dataset, WindowsOfTokens) {
  TensorSpec in = {"in", DType::I64, {1, 3}}, out = {"out", DType::I64, {1, 3}};
  FieldOptions shift;
  shift.shift = 1;
  auto stream = fileOf(countUp(DType::U16, {11}), "", true);
  auto data = must(
      make({in, out}, {{"in", stream}, {"out", stream}}, {{"out", shift}}));
  // 11 tokens give three windows with their targets; one is kept to move in.
  EXPECT_EQ(data->size(), 2);
  std::vector<Tensor> batch;
  batch.push_back(must(Tensor::zeros(DType::I64, {1, 3})));
  batch.push_back(must(Tensor::zeros(DType::I64, {1, 3})));
  ASSERT_EQ(message(data->fill({1}, 2, batch)), "");
  EXPECT_EQ(integers(batch[0]), (std::vector<int64_t>{5, 6, 7}));
  EXPECT_EQ(integers(batch[1]), (std::vector<int64_t>{6, 7, 8}));
  FieldOptions limit;
  limit.limit = 10;
  // Without a shift a window holds its targets: the next begins with its last.
  auto single = must(make({in}, {{"in", stream}}));
  EXPECT_EQ(single->stride(), 2);
  EXPECT_EQ(single->size(), 4);
  ASSERT_EQ(message(single->fill({1}, 0, {&batch[0], 1})), "");
  EXPECT_EQ(integers(batch[0]), (std::vector<int64_t>{2, 3, 4}));
  EXPECT_ERROR(make({in}, {{"in", stream}}, {{"in", limit}}),
               "the token 10 in 'memory.npy' at position 10");
  EXPECT_ERROR(make({in}, {{"in", fileOf(countUp(DType::U16, {2}), "", true)}}),
               "it holds 2 tokens, and one window takes 3");
  EXPECT_ERROR(make({kImage}, {{"image", stream}}), "needs an integer input");
  // One token is enough where its target is another's window.
  TensorSpec one = {"in", DType::I64, {1, 1}},
             next = {"out", DType::I64, {1, 1}},
             none = {"in", DType::I64, {1, 0}};
  EXPECT_ERROR(make({one}, {{"in", stream}}),
               "a window of 1 tokens holds no target, expected 2 or more");
  EXPECT_ERROR(make({none}, {{"in", stream}}),
               "a window of 0 tokens holds no target");
  must(make({one, next}, {{"in", stream}, {"out", stream}}, {{"out", shift}}));
}

TEST(Dataset, SequencesArePaddedOrPacked) {
  auto file = std::make_shared<DataFile>();
  Tensor flat = countUp(DType::U16, {7}),
         offsets = tensor<int>(DType::I32, {4}, {0, 2, 2, 7});
  file->path = "memory.npz";
  file->arrays = {{"ids", flat}, {"ids.offsets", offsets}};
  std::vector<TensorSpec> specs = {{"ids", DType::I64, {3, 3}},
                                   {"ids_mask", DType::F32, {3, 3}},
                                   {"ids_length", DType::I32, {3}}};
  FieldOptions pad;
  pad.pad = true;
  pad.padding = -100;
  auto data = must(Dataset::create(specs, {}, {file}, {{"ids", pad}}));
  EXPECT_EQ(data->size(), 3);
  std::vector<Tensor> batch;
  for (const TensorSpec &spec : specs)
    batch.push_back(must(Tensor::zeros(spec.dtype, spec.shape)));
  ASSERT_EQ(message(data->fill({0, 1, 2}, 0, batch)), "");
  EXPECT_EQ(integers(batch[0]),
            (std::vector<int64_t>{0, 1, -100, -100, -100, -100, 2, 3, 4}));
  EXPECT_EQ(integers(batch[1]),
            (std::vector<int64_t>{1, 1, 0, 0, 0, 0, 1, 1, 1}));
  EXPECT_EQ(integers(batch[2]), (std::vector<int64_t>{2, 0, 3}));
  pad.limit = 4;
  data = must(Dataset::create(specs, {}, {file}, {{"ids", pad}}));
  EXPECT_ERROR(data->check(), "holds 4 in 'memory.npz' in sequence 2, position "
                              "2, for the input 'ids', where 0 to 3");
  specs.resize(1);
  auto packed = must(Dataset::create(specs, {}, {file}, {}));
  EXPECT_EQ(packed->stride(), 2);
  ASSERT_EQ(message(packed->fill({0, 1}, 0, {&batch[0], 1})), "");
  EXPECT_EQ(integers(batch[0])[3], 2);
  offsets.as<int32_t>()[2] = 8;
  EXPECT_ERROR(Dataset::create(specs, {}, {file}, {{"ids", pad}}),
               "has the offset 8 at 2 of 'ids.offsets', where 2 to 7");
  file->arrays.pop_back();
  EXPECT_ERROR(Dataset::create(specs, {}, {file}, {{"ids", pad}}),
               "has no integer array 'ids.offsets'");
}

TEST(Dataset, LinesOfTextArePadded) {
  TempFolder folder;
  spill(folder / "t.txt", "ab\n\nabcdef");
  std::vector<TensorSpec> specs = {{"ids", DType::I64, {3, 4}}};
  FieldOptions pad;
  pad.pad = true;
  auto data = must(
      Dataset::create(specs, {{"ids", must(openDataFile(folder / "t.txt"))}},
                      {}, {{"ids", pad}}));
  std::vector<Tensor> batch;
  batch.push_back(must(Tensor::zeros(DType::I64, {3, 4})));
  ASSERT_EQ(message(data->fill({0, 1, 2}, 0, batch)), "");
  EXPECT_EQ(integers(batch[0]), (std::vector<int64_t>{97, 98, 10, 0, 10, 0, 0,
                                                      0, 97, 98, 99, 100}));
  spill(folder / "t.bin", "abcd");
  EXPECT_ERROR(Dataset::create(specs,
                               {{"ids", must(openDataFile(folder / "t.bin"))}},
                               {}, {{"ids", pad}}),
               "does not say where its sequences end");
}

TEST(Vocabulary, IsTheTextsCharacters) {
  TempFolder folder;
  Vocabulary vocabulary = must(Vocabulary::of("b\u00e4a\u20ac\nb"));
  EXPECT_EQ(vocabulary.size(), 5u);
  auto tokens = must(vocabulary.encode("ab\u00e4\u20ac\n"));
  EXPECT_EQ(tokens, (std::vector<uint32_t>{1, 2, 3, 4, 0}));
  EXPECT_EQ(vocabulary.decode(tokens), "ab\u00e4\u20ac\n");
  EXPECT_EQ(vocabulary.decode({7}), "\uFFFD");
  ASSERT_EQ(message(vocabulary.write(folder / "v.json")), "");
  EXPECT_TRUE(must(Vocabulary::read(folder / "v.json")) == vocabulary);
  EXPECT_ERROR(vocabulary.encode("abc"), "the character 'c' at byte 2 is not");
  EXPECT_ERROR(Vocabulary::of("a\xff"), "no UTF-8 at byte 1");
  for (const char *bad :
       {"", "{}", "{\"characters\": [1]}", "{\"characters\": [\"ab\"]}"}) {
    spill(folder / "v.json", bad);
    EXPECT_ERROR(Vocabulary::read(folder / "v.json"), "is no vocabulary");
  }
}

TEST(Loader, BeginsAnywhere) {
  FakeProgram program(3);
  LoaderOptions options;
  options.seed = 9;
  auto loader = countingLoader(program, 10, options);
  EXPECT_EQ(loader->batchesPerEpoch(), 3);
  std::vector<std::vector<int64_t>> batches;
  std::vector<Position> positions;
  for (int i = 0; i < 12; ++i) {
    positions.push_back(loader->position());
    batches.push_back(integers(must(loader->next()).tensors[0]));
  }
  for (int i = 11; i >= 0; --i) {
    auto other = countingLoader(program, 10, options);
    other->seek(positions[i]);
    EXPECT_EQ(integers(must(other->next()).tensors[0]), batches[i]);
  }
  options.seed = 10;
  auto other = countingLoader(program, 10, options);
  EXPECT_NE(integers(must(other->next()).tensors[0]), batches[0]);
}

TEST(Loader, SplitsWithoutOverlap) {
  FakeProgram program(1);
  LoaderOptions options;
  options.validation = 0.3;
  options.part = Part::Training;
  auto training = countingLoader(program, 20, options);
  options.part = Part::Validation;
  options.training = false;
  auto validation = countingLoader(program, 20, options);
  EXPECT_EQ(training->examples(), 14);
  EXPECT_EQ(validation->examples(), 6);
  std::set<int64_t> all;
  std::vector<int64_t> heldOut;
  for (int i = 0; i < 14; ++i)
    all.insert(integers(must(training->next()).tensors[0])[0]);
  for (int i = 0; i < 6; ++i) {
    heldOut.push_back(integers(must(validation->next()).tensors[0])[0]);
    all.insert(heldOut.back());
  }
  EXPECT_EQ(all.size(), 20u);
  EXPECT_NE(heldOut, (std::vector<int64_t>{14, 15, 16, 17, 18, 19}));
}

TEST(Loader, StreamsAreSplitAtAPlaceWithAGap) {
  std::vector<TensorSpec> specs = {{"in", DType::I64, {1, 5}}};
  auto data = must(Dataset::create(
      specs, {{"in", fileOf(countUp(DType::U8, {45}), "", true)}}, {}, {}));
  EXPECT_EQ(data->size(), 10);
  LoaderOptions options;
  options.validation = 0.2;
  options.part = Part::Training;
  auto training = must(Loader::create(data, options));
  EXPECT_EQ(training->examples(), 7);
  int64_t last = 0;
  for (int i = 0; i < 70; ++i)
    last = std::max(last, integers(must(training->next()).tensors[0]).back());
  options.part = Part::Validation;
  options.training = false;
  auto validation = must(Loader::create(data, options));
  EXPECT_EQ(integers(must(validation->next()).tensors[0]).front(), 32);
  EXPECT_LT(last, 32);
  EXPECT_GE(last, 28); // windows did move from epoch to epoch
}

TEST(Loader, TheLastBatchOfAnEvaluationIsFilledUp) {
  FakeProgram program(4);
  LoaderOptions options;
  options.training = false;
  auto loader = countingLoader(program, 6, options);
  EXPECT_EQ(loader->batchesPerEpoch(), 2);
  EXPECT_EQ(must(loader->next()).rows, 4);
  auto batch = must(loader->next());
  EXPECT_EQ(batch.rows, 2);
  EXPECT_EQ(integers(batch.tensors[0]), (std::vector<int64_t>{4, 5, 4, 5}));
  FakeProgram large(8);
  options.training = true;
  EXPECT_ERROR(train::Loader::create(
                   must(Dataset::create(
                       large.specs,
                       {{"x", fileOf(countUp(DType::F32, {6, 1}))}}, {}, {})),
                   options),
               "6 examples, fewer than a batch of 8");
}
