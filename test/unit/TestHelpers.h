// Shared by the unit tests.
#ifndef LATHE_TEST_UNIT_TESTHELPERS_H
#define LATHE_TEST_UNIT_TESTHELPERS_H

#include "lathe/Support/Tensor.h"
#include "llvm/Support/FileSystem.h"

#include <fstream>
#include <gtest/gtest.h>
#include <sstream>
#include <unistd.h>

namespace lathe::test {

/// A folder of its own for one test, removed with the object.
class TempFolder {
public:
  TempFolder() {
    llvm::SmallString<64> name;
    if (llvm::sys::fs::createUniqueDirectory("lathe-test", name))
      abort();
    folder = name.str().str();
  }
  ~TempFolder() { (void)llvm::sys::fs::remove_directories(folder); }
  std::string operator/(const std::string &name) const {
    return folder + "/" + name;
  }
  const std::string &path() const { return folder; }
  size_t fileCount() const {
    size_t count = 0;
    std::error_code ec;
    for (llvm::sys::fs::directory_iterator it(folder, ec), end;
         it != end && !ec; it.increment(ec))
      ++count;
    return count;
  }

private:
  std::string folder;
};

inline std::string slurp(const std::string &path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

inline void spill(const std::string &path, llvm::StringRef bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), bytes.size());
}

/// An object file made from a C file of Runtime/. Found beside the executable,
/// so that a build folder can be moved.
inline std::string objectFile(const std::string &name) {
  char exe[4096];
  ssize_t size = readlink("/proc/self/exe", exe, sizeof(exe));
  std::string path(exe, size > 0 ? size : 0);
  return slurp(path.substr(0, path.rfind('/')) + "/../test/unit/" + name);
}

/// The message of an error, "" for success.
inline std::string message(llvm::Error error) {
  return llvm::toString(std::move(error));
}
template <typename T> std::string message(llvm::Expected<T> &&value) {
  return value ? "" : llvm::toString(value.takeError());
}

/// The value, or a failed test and an exception.
template <typename T> T must(llvm::Expected<T> value) {
  if (!value) {
    std::string text = llvm::toString(value.takeError());
    ADD_FAILURE() << text;
    throw std::runtime_error(text);
  }
  return std::move(*value);
}

template <typename T>
Tensor tensor(DType type, llvm::ArrayRef<int64_t> shape,
              std::initializer_list<T> values) {
  return must(Tensor::from<T>(type, shape, llvm::ArrayRef<T>(values)));
}

/// A sentence: starts lower-case (or quoted), has no full stop at its end.
inline void expectSentence(const std::string &text) {
  ASSERT_FALSE(text.empty());
  EXPECT_FALSE(std::isupper(static_cast<unsigned char>(text[0]))) << text;
  EXPECT_NE(text.back(), '.') << text;
}
#define EXPECT_ERROR(expr, part)                                               \
  do {                                                                         \
    std::string found = ::lathe::test::message(expr);                          \
    EXPECT_NE(found.find(part), std::string::npos) << "found: " << found;      \
    ::lathe::test::expectSentence(found);                                      \
  } while (0)

} // namespace lathe::test

#endif // LATHE_TEST_UNIT_TESTHELPERS_H
