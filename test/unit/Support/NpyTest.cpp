#include "lathe/Support/Npy.h"
#include "TestHelpers.h"
#include "lathe/Support/Compare.h"

using namespace lathe;
using namespace lathe::test;

// An npy file of version `major` with this header text.
static std::string npy(llvm::StringRef header, llvm::StringRef data,
                       int major = 1) {
  std::string text = "\x93NUMPY";
  text += static_cast<char>(major);
  text += '\0';
  for (int i = 0; i < (major == 1 ? 2 : 4); ++i)
    text += static_cast<char>(header.size() >> 8 * i & 0xFF);
  return text + header.str() + data.str();
}

TEST(Npy, EveryTypeRoundTrips) {
  TempFolder folder;
  for (DType type : kAllDTypes) {
    for (Shape shape : {Shape{}, Shape{4}, Shape{2, 3}, Shape{2, 0, 3}}) {
      Tensor a = must(Tensor::zeros(type, shape));
      for (int64_t i = 0; i < a.numElements(); ++i)
        storeFromDouble(type,
                        static_cast<char *>(a.data()) + i * dtypeSize(type),
                        static_cast<double>(i));
      ASSERT_EQ(message(writeNpy(folder / "a.npy", a)), "");
      Tensor b = must(readNpy(folder / "a.npy"));
      EXPECT_TRUE(compareTensors(b, a, 0, 0).ok) << dtypeName(type).str();
    }
  }
}

// Laid out as np.save does: arange(6, dtype='<i2').reshape(2, 3), C and
// Fortran order.
TEST(Npy, ReadsWhatNumpyWrites) {
  std::string data("\0\0\1\0\2\0\3\0\4\0\5\0", 12);
  Tensor c = must(parseNpy(
      npy("{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), }   \n",
          data),
      "c"));
  EXPECT_EQ(c.as<int16_t>(), llvm::ArrayRef<int16_t>({0, 1, 2, 3, 4, 5}));
  std::string columns("\0\0\3\0\1\0\4\0\2\0\5\0", 12);
  Tensor f = must(parseNpy(
      npy("{'descr': '<i2', 'fortran_order': True, 'shape': (2, 3), }\n",
          columns, 2),
      "f"));
  EXPECT_EQ(f.as<int16_t>(), llvm::ArrayRef<int16_t>({0, 1, 2, 3, 4, 5}));
  Tensor b = must(
      parseNpy(npy("{'shape': (2L,), 'fortran_order': True, 'descr': '|b1'}",
                   llvm::StringRef("\0\7", 2), 3),
               "b"));
  EXPECT_EQ(b.as<uint8_t>(), llvm::ArrayRef<uint8_t>({0, 1}));
}

TEST(Npy, FortranOrderOfThreeDimensions) {
  // Element (i, j, k) of shape (2, 3, 4) is 100 i + 10 j + k.
  std::string data;
  for (int k = 0; k < 4; ++k)
    for (int j = 0; j < 3; ++j)
      for (int i = 0; i < 2; ++i)
        data += static_cast<char>(100 * i + 10 * j + k);
  Tensor t = must(parseNpy(
      npy("{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3, 4), }",
          data),
      "t"));
  for (int n = 0; n < 24; ++n)
    EXPECT_EQ(t.as<uint8_t>()[n], 100 * (n / 12) + 10 * (n / 4 % 3) + n % 4);
}

TEST(Npy, SaysWhatIsWrong) {
  auto error = [](llvm::StringRef header, llvm::StringRef data = "") {
    return message(parseNpy(npy(header, data), "x.npy"));
  };
  auto has = [](const std::string &text, const char *part) {
    expectSentence(text);
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  has(message(parseNpy("hello world", "x.npy")),
      "cannot read 'x.npy': it is not an npy file");
  has(error("{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }"),
      "the element type '>f4' is not supported");
  has(error("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': ()}"),
      "a plain element type");
  has(error("{'descr': '|O', 'fortran_order': False, 'shape': (), }"), "'|O'");
  // Petabytes declared, nothing there: no memory is asked for.
  has(error("{'descr': '<f8', 'fortran_order': False, 'shape': "
            "(1125899906842624,), }"),
      "takes 9007199254740992 bytes, but the file holds 0");
  has(error("{'descr': '<f8', 'fortran_order': False, 'shape': "
            "(4611686018427387904, 4611686018427387904), }"),
      "too large");
  has(error("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }"),
      "a tuple of extents");
  has(error("{'descr': '<f8', 'fortran_order': False, 'shape': "
            "(99999999999999999999999,), }"),
      "a tuple of extents");
  has(error("{'descr': '|i1', 'fortran_order': False, 'shape': (1,), }", "ab"),
      "takes 1 bytes, but the file holds 2");
  has(error("{'descr': '|i1', 'fortran_order': False, }"), "lacks");
  has(error("{'descr': '|i1', 'descr': '|i1'}"), "unexpected key");
  has(error("{'descr': '|i1', 'fortran_order': False, 'shape': (1,), } x", "a"),
      "nothing after");
  has(message(readNpy("/nowhere/x.npy")), "cannot open");
}

TEST(Npy, NoTruncationAndNoBitFlipCrashes) {
  Tensor t = tensor<int>(DType::I16, {3, 2}, {1, 2, 3, 4, 5, 6});
  std::string good =
      npyHeader(t.dtype(), t.shape()) + t.view().rawBytes().str();
  for (size_t size = 0; size < good.size(); ++size) {
    // A copy of its own, so that the sanitizer sees a read past the end.
    std::vector<char> part(good.begin(), good.begin() + size);
    EXPECT_ERROR(parseNpy(llvm::StringRef(part.data(), size), "x"),
                 "cannot read 'x'");
  }
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::vector<char> bad(good.begin(), good.end());
    bad[bit / 8] ^= 1 << bit % 8;
    llvm::Expected<Tensor> result =
        parseNpy(llvm::StringRef(bad.data(), bad.size()), "x");
    if (!result)
      expectSentence(llvm::toString(result.takeError()));
    else
      EXPECT_EQ(result->numBytes(), 12u); // another type or value, same size
  }
}

static std::vector<NamedView> views(llvm::ArrayRef<NamedTensor> tensors) {
  std::vector<NamedView> list;
  for (const NamedTensor &entry : tensors)
    list.push_back({entry.name, entry.tensor});
  return list;
}

static std::vector<NamedTensor> someTensors() {
  std::vector<NamedTensor> list;
  list.push_back({"a", tensor<float>(DType::F32, {2}, {1.5f, -2})});
  Tensor big = must(Tensor::zeros(DType::I64, {300, 400}));
  for (int64_t i = 0; i < big.numElements(); ++i)
    big.as<int64_t>()[i] = i % 7;
  list.push_back({"sub/b", std::move(big)});
  list.push_back({"empty", must(Tensor::zeros(DType::F16, {0}))});
  return list;
}

TEST(Npz, RoundTripsStoredAndDeflated) {
  TempFolder folder;
  std::vector<NamedTensor> tensors = someTensors();
  for (bool compress : {false, true}) {
    ASSERT_EQ(message(writeNpz(folder / "x.npz", views(tensors), compress)),
              "");
    std::vector<NamedTensor> back = must(readNpz(folder / "x.npz"));
    ASSERT_EQ(back.size(), tensors.size());
    for (size_t i = 0; i < back.size(); ++i) {
      EXPECT_EQ(back[i].name, tensors[i].name);
      EXPECT_TRUE(compareTensors(back[i].tensor, tensors[i].tensor, 0, 0).ok);
    }
    uint64_t size = 0;
    (void)llvm::sys::fs::file_size(folder / "x.npz", size);
    EXPECT_EQ(size < 100000, compress);
  }
  ASSERT_EQ(message(writeNpz(folder / "none.npz", {})), "");
  EXPECT_TRUE(must(readNpz(folder / "none.npz")).empty());
}

TEST(Npz, NoTruncationAndNoBitFlipCrashes) {
  TempFolder folder;
  Tensor t = tensor<int>(DType::I8, {3}, {1, 2, 3});
  for (bool compress : {false, true}) {
    ASSERT_EQ(
        message(writeNpz(folder / "x.npz", {{"a", t}, {"b", t}}, compress)),
        "");
    std::string good = slurp(folder / "x.npz");
    for (size_t size = 0; size < good.size(); ++size) {
      std::vector<char> part(good.begin(), good.begin() + size);
      EXPECT_ERROR(parseNpz(llvm::StringRef(part.data(), size), "x"),
                   "cannot read 'x'");
    }
    for (size_t bit = 0; bit < good.size() * 8; ++bit) {
      std::vector<char> bad(good.begin(), good.end());
      bad[bit / 8] ^= 1 << bit % 8;
      llvm::Expected<std::vector<NamedTensor>> result =
          parseNpz(llvm::StringRef(bad.data(), bad.size()), "x");
      if (!result) {
        expectSentence(llvm::toString(result.takeError()));
        continue;
      }
      // What passes has the right bytes: the checksum covers them.
      for (NamedTensor &entry : *result)
        EXPECT_TRUE(compareTensors(entry.tensor, t, 0, 0).ok) << bit;
    }
  }
}

TEST(Npz, LyingSizesAreRefused) {
  TempFolder folder;
  Tensor t = must(Tensor::zeros(DType::F32, {1000}));
  ASSERT_EQ(message(writeNpz(folder / "x.npz", {{"a", t}}, true)), "");
  std::string good = slurp(folder / "x.npz");
  // The 64-bit unpacked size in the directory's extra field.
  size_t central = good.rfind("PK\x01\x02");
  ASSERT_NE(central, std::string::npos);
  size_t at = central + 46 + 5 + 4;
  auto patched = [&](uint64_t size) {
    std::string bad = good;
    for (int i = 0; i < 8; ++i)
      bad[at + i] = static_cast<char>(size >> 8 * i & 0xFF);
    return message(parseNpz(bad, "x"));
  };
  uint64_t real = 4000 + npyHeader(t.dtype(), t.shape()).size();
  EXPECT_EQ(patched(real), "");
  EXPECT_NE(patched(uint64_t(1) << 50).find("more than deflate can do"),
            std::string::npos);
  EXPECT_NE(patched(real + 1).find("not of the declared size"),
            std::string::npos);
  EXPECT_NE(patched(real - 1).find("not of the declared size"),
            std::string::npos);
  EXPECT_NE(patched(0).find("not of the declared size"), std::string::npos);
}
