#include "lathe/Support/Safetensors.h"
#include "TestHelpers.h"
#include "lathe/Support/Compare.h"

using namespace lathe;
using namespace lathe::test;

static std::string file(llvm::StringRef header, llvm::StringRef data) {
  std::string text;
  for (int i = 0; i < 8; ++i)
    text += static_cast<char>(uint64_t(header.size()) >> 8 * i & 0xFF);
  return text + header.str() + data.str();
}

static std::string openError(const TempFolder &folder, llvm::StringRef bytes) {
  spill(folder / "x", bytes);
  return message(Safetensors::open(folder / "x"));
}

TEST(Safetensors, EveryTypeRoundTrips) {
  TempFolder folder;
  std::vector<NamedTensor> tensors;
  std::vector<NamedView> list;
  for (DType type : kAllDTypes)
    tensors.push_back(
        {("t." + dtypeName(type)).str(), tensor<int>(type, {1, 3}, {0, 1, 1})});
  tensors.push_back({"scalar", tensor<int>(DType::F32, {}, {5})});
  tensors.push_back({"none", must(Tensor::zeros(DType::F32, {0, 2}))});
  for (const NamedTensor &entry : tensors)
    list.push_back({entry.name, entry.tensor});
  ASSERT_EQ(message(writeSafetensors(folder / "x", list, {{"k", "v\"\n"}})),
            "");
  auto read = must(Safetensors::open(folder / "x"));
  EXPECT_EQ(read->entries().size(), tensors.size());
  EXPECT_EQ(read->metadata().at("k"), "v\"\n");
  for (const NamedTensor &entry : tensors) {
    const Safetensors::Entry *found = read->find(entry.name);
    ASSERT_NE(found, nullptr) << entry.name;
    EXPECT_TRUE(compareTensors(read->view(*found), entry.tensor, 0, 0).ok);
  }
  EXPECT_EQ(read->find("absent"), nullptr);
  EXPECT_EQ(
      reinterpret_cast<uintptr_t>(read->view(read->entries().front()).data()) %
          64,
      0u);
}

TEST(Safetensors, ReadsTheFormatsOwnExample) {
  TempFolder folder;
  std::string header =
      R"({"__metadata__":{"format":"pt"},"b":{"shape":[1,2],)"
      R"("dtype":"BF16","data_offsets":[2,6]},)"
      R"("a":{"dtype":"I8","shape":[2],"data_offsets":[0,2]}})";
  spill(folder / "x",
        file(header + "   ", llvm::StringRef("\1\2\x80\x3f\0\x40", 6)));
  auto read = must(Safetensors::open(folder / "x"));
  ASSERT_EQ(read->entries().size(), 2u);
  EXPECT_EQ(read->entries()[0].name, "a");
  TensorView b = read->view(*read->find("b"));
  EXPECT_EQ(loadAsDouble(b.dtype(), b.data()), 1);
  EXPECT_EQ(loadAsDouble(b.dtype(), static_cast<char *>(b.data()) + 2), 2);
}

TEST(Safetensors, EveryRuleIsKept) {
  TempFolder folder;
  auto entry = [](const char *name, const char *dtype, const char *shape,
                  const char *offsets) {
    return std::string("\"") + name + "\":{\"dtype\":\"" + dtype +
           "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
  };
  auto has = [&](const std::string &header, llvm::StringRef data,
                 const char *part) {
    std::string text = openError(folder, file(header, data));
    EXPECT_NE(text.find(part), std::string::npos) << text;
    if (*part)
      expectSentence(text);
    else
      EXPECT_EQ(text, "");
  };
  std::string a = entry("a", "I8", "[2]", "[0,2]");
  has("{" + a + "}", "xy", "");
  has("{}", "", "");
  has("{}", "x", "end at 0, but the file holds 1");
  has("{" + a + "}", "xyz", "end at 2, but the file holds 3");
  has("{" + a + "}", "x", "outside the 1 data bytes");
  has("{" + a + "," + entry("b", "I8", "[2]", "[1,3]") + "}", "xyz",
      "'b' starts at 1, before");
  has("{" + a + "," + entry("b", "I8", "[1]", "[3,4]") + "}", "wxyz",
      "'b' starts at 3, after");
  has("{" + a + "," + a + "}", "xy", "a second entry of the same name at 'a'");
  has("{" + entry("a", "I8", "[3]", "[0,2]") + "}", "xy",
      "takes 3 bytes, but its offsets span 2");
  has("{" + entry("a", "I8", "[2]", "[2,0]") + "}", "xy", "lies at [2, 0)");
  has("{" +
          entry("a", "F32", "[4611686018427387904,4611686018427387904]",
                "[0,2]") +
          "}",
      "xy", "too large");
  has("{" + entry("a", "F32", "[1125899906842624]", "[0,4503599627370496]") +
          "}",
      "xy", "outside the 2 data bytes");
  has("{" + entry("a", "F8_E5M2", "[2]", "[0,2]") + "}", "xy",
      "the type 'F8_E5M2'");
  has("{" + entry("a", "I8", "[-2]", "[0,2]") + "}", "xy", "negative");
  has("{" + entry("a", "I8", "[2.0]", "[0,2]") + "}", "xy", "no integer");
  has("{" + entry("a", "I8", "[2]", "[0,1,2]") + "}", "xy", "more than two");
  has("{" + entry("a", "I8", "2", "[0,2]") + "}", "xy", "a number where none");
  has("{" + entry("a", "I8", "[[2]]", "[0,2]") + "}", "xy", "a list where");
  has("{\"a\":{\"dtype\":\"I8\",\"shape\":[2]}}", "xy", "no dtype, shape or");
  has("{\"a\":{\"dtype\":\"I8\",\"dtype\":\"I8\"}}", "xy", "twice");
  has("{\"a\":{\"extra\":\"I8\"}}", "xy", "unknown key 'extra'");
  has("{\"a\":[]}", "", "a list where none belongs");
  has("{\"a\":null}", "", "null");
  has("{\"__metadata__\":{\"k\":1}}", "", "a number where");
  has("{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", "", "a key twice");
  has("{\"a\":{}", "", "no dtype");
  has("{", "", "not valid JSON");
  has(" {}", "", "does not start with a brace");
  has("[]", "", "does not start with a brace");
  has("{\"a\": \"\xff\"}", "", "not valid JSON");
  has("{} x", "", "not valid JSON");
  // Nesting costs neither stack nor time.
  has("{\"a\":" + std::string(1000000, '['), "", "a list where none belongs");
  has("", "", "does not start with a brace");
  EXPECT_NE(openError(folder, "1234567").find("too short"), std::string::npos);
  EXPECT_NE(openError(folder, std::string(8, '\xff')).find("exceeds"),
            std::string::npos);
  EXPECT_NE(openError(folder, std::string("\x10\0\0\0\0\0\0\0{}", 10))
                .find("does not fit"),
            std::string::npos);
}

TEST(Safetensors, NoTruncationAndNoBitFlipCrashes) {
  TempFolder folder;
  Tensor t = tensor<int>(DType::I16, {3}, {1, 2, 3});
  Tensor u = tensor<int>(DType::F32, {1, 2}, {4, 5});
  ASSERT_EQ(message(writeSafetensors(folder / "good", {{"t", t}, {"u", u}})),
            "");
  std::string good = slurp(folder / "good");
  for (size_t size = 0; size < good.size(); ++size) {
    std::string text =
        openError(folder, llvm::StringRef(good).take_front(size));
    expectSentence(text);
  }
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] ^= 1 << bit % 8;
    spill(folder / "x", bad);
    auto read = Safetensors::open(folder / "x");
    if (!read) {
      expectSentence(llvm::toString(read.takeError()));
      continue;
    }
    // What opens can be read from end to end.
    for (const Safetensors::Entry &entry : (*read)->entries()) {
      TensorView view = (*read)->view(entry);
      EXPECT_TRUE(compareTensors(view, view, 0, 0).ok);
    }
  }
}
