#include "lathe/Runtime/ObjectLoader.h"
#include "ModelBuilder.h"
#include "lathe/Runtime/Session.h"

#include <cmath>
#include <cstring>
#include <ctime>

using namespace lathe;
using namespace lathe::test;

static KernelFunction get(const ObjectLoader &loader, size_t index,
                          const char *symbol) {
  void *address = loader.lookup(index, symbol);
  EXPECT_NE(address, nullptr) << symbol;
  return reinterpret_cast<KernelFunction>(address);
}

TEST(ObjectLoader, RunsKernels) {
  ObjectLoader loader;
  ASSERT_EQ(message(loader.add(objectFile("kernels.o"), "k")), "");
  float a[] = {1, 2, 3}, b[] = {10, 20, 30}, out[] = {0, 0, 0};
  void *args[] = {a, b, out};
  get(loader, 0, "add")(args, nullptr, 1, 3);
  EXPECT_EQ(out[0], 0);
  EXPECT_EQ(out[1], 22);
  EXPECT_EQ(out[2], 33);
  EXPECT_EQ(loader.lookup(0, "absent"), nullptr);
  EXPECT_EQ(loader.lookup(1, "add"), nullptr);
}

TEST(ObjectLoader, OffersTheMathLibraryAndConversions) {
  ObjectLoader loader;
  ASSERT_EQ(message(loader.add(objectFile("kernels.o"), "k")), "");
  std::vector<float> a = {-1.25f, 0.f, 0.5f, 1.f, 2.75f}, out(5);
  void *args[] = {a.data(), out.data()};
  get(loader, 0, "functions")(args, nullptr, 0, 5);
  for (int i = 0; i < 5; ++i)
    EXPECT_FLOAT_EQ(out[i], expf(a[i]) + tanhf(a[i]) + erff(a[i]) +
                                powf(2, a[i]) + fmodf(a[i], 3) +
                                lgammaf(a[i] + 2) + nearbyintf(a[i]));
  std::vector<float> hard = {0,       1.f / 3,  65520, 1e-8f,       6e-8f,
                             -2049.f, INFINITY, NAN,   1 + 0x1p-8f, -1e30f};
  std::vector<uint16_t> half(10), bfloat(10);
  std::vector<float> back(10);
  void *toHalf[] = {hard.data(), half.data()};
  get(loader, 0, "to_half")(toHalf, nullptr, 0, 10);
  void *toBfloat[] = {hard.data(), bfloat.data()};
  get(loader, 0, "to_bfloat")(toBfloat, nullptr, 0, 10);
  void *fromHalf[] = {half.data(), back.data()};
  get(loader, 0, "from_half")(fromHalf, nullptr, 0, 10);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(half[i], doubleToHalf(hard[i])) << hard[i];
    EXPECT_EQ(bfloat[i], doubleToBfloat(hard[i])) << hard[i];
    float expected = halfToFloat(half[i]);
    EXPECT_TRUE(std::isnan(expected) ? std::isnan(back[i])
                                     : back[i] == expected);
  }
}

TEST(ObjectLoader, OffersNothingElse) {
  ObjectLoader loader;
  EXPECT_ERROR(loader.add(objectFile("forbidden.o"), "bad kernel"),
               "it calls 'system', which the runtime does not offer");
  EXPECT_FALSE(ObjectLoader::provides("system"));
  EXPECT_FALSE(ObjectLoader::provides("open"));
  for (const char *name :
       {"memcpy", "expf", "exp", "tanhf", "erff", "powf", "sinf", "fmodf",
        "lgamma", "roundevenf", "__truncsfhf2", "__extendhfsf2", "__truncdfhf2",
        "__truncsfbf2", "__truncdfbf2", "__gnu_h2f_ieee", "__gnu_f2h_ieee"})
    EXPECT_TRUE(ObjectLoader::provides(name)) << name;
  // After a refusal the loader still works.
  EXPECT_EQ(message(loader.add(objectFile("kernels.o"), "k")), "");
  EXPECT_NE(loader.lookup(0, "add"), nullptr);
}

TEST(ObjectLoader, RefusesWhatIsNoObject) {
  ObjectLoader loader;
  EXPECT_ERROR(loader.add("", "k"), "it is not an ELF object");
  EXPECT_ERROR(loader.add("hello", "k"), "cannot load the code of 'k'");
  std::string elf = objectFile("kernels.o");
  elf[18] = 40; // e_machine: ARM
  EXPECT_ERROR(loader.add(elf, "k"), "cannot load the code of 'k'");
}

TEST(ObjectLoader, LoadsFiftyObjectsQuickly) {
  std::string bytes = objectFile("kernels.o");
  double best = 1e9;
  for (int trial = 0; trial < 3; ++trial) {
    ObjectLoader loader;
    // Processor time: other work may share the machine.
    std::clock_t start = std::clock();
    for (int i = 0; i < 50; ++i)
      ASSERT_EQ(message(loader.add(bytes, "k")), "");
    best = std::min(best,
                    static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC);
    // Equal symbols of two objects do not meet.
    EXPECT_NE(loader.lookup(0, "add"), loader.lookup(49, "add"));
  }
  RecordProperty("milliseconds", std::to_string(best * 1e3));
  EXPECT_LT(best, 0.03);
}

TEST(CpuFeatures, NamesWhatIsMissing) {
  EXPECT_EQ(message(checkCpuFeatures({})), "");
  EXPECT_EQ(message(checkCpuFeatures({"+sse2", "cx8"})), "");
  std::string text = message(checkCpuFeatures({"sse2", "nosuch", "+other"}));
  expectSentence(text);
  EXPECT_NE(text.find("lacks: nosuch, other"), std::string::npos) << text;
}
