#include "TestHelpers.h"
#include "lathe/Support/AtomicFile.h"
#include "lathe/Support/DiskCache.h"
#include "lathe/Support/MappedFile.h"

#include <csignal>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace lathe;
using namespace lathe::test;

TEST(MappedFile, ReadsAndDropsPages) {
  TempFolder folder;
  std::string bytes(100000, 'a');
  bytes[50000] = 'b';
  spill(folder / "f", bytes);
  auto file = must(MappedFile::open(folder / "f"));
  EXPECT_EQ(file->bytes(), bytes);
  file->dropPages(1, 1 << 20);
  file->dropPages(1 << 20, 5);
  EXPECT_EQ(file->bytes(), bytes);
  EXPECT_TRUE(file->contains(file->data()));
  EXPECT_FALSE(file->contains(file->data() + bytes.size()));
}

TEST(MappedFile, RefusesWhatIsNoFile) {
  TempFolder folder;
  EXPECT_ERROR(MappedFile::open(folder / "absent"), "no such file");
  EXPECT_ERROR(MappedFile::open(folder.path()), "is a folder");
  EXPECT_ERROR(MappedFile::open("/dev/zero"), "is a device");
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_ERROR(MappedFile::open(folder / "pipe"), "a pipe"); // and no hang
  spill(folder / "empty", "");
  EXPECT_EQ(must(MappedFile::open(folder / "empty"))->size(), 0u);
}

TEST(AtomicFile, ReplacesOnlyOnCommit) {
  TempFolder folder;
  std::string path = folder / "f";
  spill(path, "old");
  {
    AtomicFile file = must(AtomicFile::create(path));
    EXPECT_EQ(message(file.write("new")), "");
    EXPECT_EQ(slurp(path), "old");
  }
  EXPECT_EQ(slurp(path), "old");
  EXPECT_EQ(folder.fileCount(), 1u);
  ASSERT_EQ(chmod(path.c_str(), 0640), 0);
  std::string big(300000, 'x');
  EXPECT_EQ(message(writeFileAtomically(path, {"new", big, "end"})), "");
  EXPECT_EQ(slurp(path), "new" + big + "end");
  EXPECT_EQ(folder.fileCount(), 1u);
  struct stat info;
  ASSERT_EQ(stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640u);
}

TEST(AtomicFile, SaysWhyItCannot) {
  TempFolder folder;
  EXPECT_ERROR(writeFileAtomically(folder / "no/such/f", {"x"}),
               "no such file or directory");
  EXPECT_ERROR(writeFileAtomically(folder.path(), {"x"}), "it is a folder");
  // Devices are written, never replaced.
  EXPECT_EQ(message(writeFileAtomically("/dev/null", {"x"})), "");
  struct stat info;
  ASSERT_EQ(stat("/dev/null", &info), 0);
  EXPECT_TRUE(S_ISCHR(info.st_mode));
  EXPECT_ERROR(writeFileAtomically("/dev/full", {"x"}), "no space left");
}

// A disk that fills up while a file is written, by way of the file size limit:
// write(2) then fails in the middle just as on a full disk.
TEST(AtomicFile, FullDiskLeavesTheOldFileAndNothingElse) {
  TempFolder folder;
  std::string path = folder / "f";
  spill(path, "old");
  for (size_t size : {size_t(10000), size_t(1000000)}) {
    std::string big(size, 'x');
    pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      signal(SIGXFSZ, SIG_IGN);
      rlimit limit{4096, 4096};
      setrlimit(RLIMIT_FSIZE, &limit);
      std::string text = message(writeFileAtomically(path, {big, "end"}));
      _exit(text.find("cannot write") == 0 ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(slurp(path), "old");
    EXPECT_EQ(folder.fileCount(), 1u);
  }
}

TEST(DiskCache, Sha256) {
  EXPECT_EQ(sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9c"
                              "b410ff61f20015ad");
}

TEST(DiskCache, KeepsAndFinds) {
  TempFolder folder;
  DiskCache cache(folder / "a/b");
  EXPECT_FALSE(cache.get("k"));
  std::string bytes("x\0y", 3);
  EXPECT_TRUE(cache.put("k", bytes));
  EXPECT_EQ(cache.get("k"), bytes);
  EXPECT_EQ(DiskCache(folder / "a/b").get("k"), bytes);
  EXPECT_FALSE(cache.get("other"));
  EXPECT_TRUE(cache.put("k", ""));
  EXPECT_EQ(cache.get("k"), "");
}

TEST(DiskCache, DamagedEntriesAreAbsentAndReplaced) {
  TempFolder folder;
  DiskCache cache(folder.path());
  ASSERT_TRUE(cache.put("k", "some bytes"));
  std::string path = folder / (sha256Hex("k") + ".entry");
  std::string good = slurp(path);
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] ^= 1 << bit % 8;
    spill(path, bad);
    std::optional<std::string> found = cache.get("k");
    // The line end after the checksum carries nothing.
    if (found)
      EXPECT_EQ(*found, "some bytes") << bit;
    else
      EXPECT_FALSE(llvm::sys::fs::exists(path));
  }
  for (size_t size = 0; size < good.size(); ++size) {
    spill(path, llvm::StringRef(good).take_front(size));
    EXPECT_FALSE(cache.get("k")) << size;
  }
  EXPECT_TRUE(cache.put("k", "again"));
  EXPECT_EQ(cache.get("k"), "again");
}

TEST(DiskCache, DropsTheLeastRecentlyUsed) {
  TempFolder folder;
  std::string bytes(1000, 'x');
  {
    DiskCache cache(folder.path(), 5000);
    for (int i = 0; i < 4; ++i)
      ASSERT_TRUE(cache.put("k" + std::to_string(i), bytes));
  }
  auto age = [&](const std::string &key, int seconds) {
    timespec times[2] = {{0, UTIME_OMIT}, {time(nullptr) - seconds, 0}};
    utimensat(AT_FDCWD, (folder / (sha256Hex(key) + ".entry")).c_str(), times,
              0);
  };
  age("k0", 400), age("k1", 300), age("k2", 200), age("k3", 100);
  DiskCache cache(folder.path(), 5000);
  EXPECT_TRUE(cache.get("k0")); // used now: the youngest
  EXPECT_TRUE(cache.put("k4", bytes));
  EXPECT_TRUE(cache.get("k0"));
  EXPECT_FALSE(cache.get("k1"));
  EXPECT_TRUE(cache.get("k4"));
  EXPECT_FALSE(cache.put("huge", std::string(10000, 'x')));
}

TEST(DiskCache, IsSilentWhereItCannotWrite) {
  DiskCache nowhere("/proc/nowhere");
  EXPECT_FALSE(nowhere.put("k", "x"));
  EXPECT_FALSE(nowhere.get("k"));
  DiskCache none("");
  EXPECT_FALSE(none.put("k", "x"));
  EXPECT_FALSE(none.get("k"));
}

TEST(DiskCache, ConcurrentWritersAgree) {
  TempFolder folder;
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      DiskCache cache(folder.path());
      std::string bytes(50000, 'x');
      for (int i = 0; i < 50; ++i) {
        cache.put("k", bytes);
        std::optional<std::string> found = cache.get("k");
        if (!found || *found != bytes)
          ++wrong;
      }
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(folder.fileCount(), 2u); // the entry and the count
}

static void makeOldFile(const std::string &path) {
  spill(path, "torn");
  timespec times[2] = {{0, UTIME_OMIT}, {time(nullptr) - 7200, 0}};
  utimensat(AT_FDCWD, path.c_str(), times, 0);
}

// What a killed writer left goes when the folder is listed, and shows when that
// is: listing a large folder takes a second, a process may store one kernel.
TEST(DiskCache, ListsTheFolderOnlyWhenItMayBeFull) {
  TempFolder folder;
  std::string left = folder / "k.entry.tmp-1";
  auto put = [&](const std::string &key) {
    return DiskCache(folder.path(), 20480).put(key, std::string(1000, 'x'));
  };
  makeOldFile(left);
  ASSERT_TRUE(put("first"));
  EXPECT_FALSE(llvm::sys::fs::exists(left)); // nobody had counted
  makeOldFile(left);
  for (int i = 0; i < 8; ++i)
    ASSERT_TRUE(put("k" + std::to_string(i)));
  EXPECT_TRUE(llvm::sys::fs::exists(left));
  for (int i = 0; i < 200; ++i)
    ASSERT_TRUE(put("m" + std::to_string(i)));
  EXPECT_FALSE(llvm::sys::fs::exists(left));
  EXPECT_LE(folder.fileCount(), 20u);
  EXPECT_TRUE(DiskCache(folder.path()).get("m199"));
}

TEST(DiskCache, KeepsToItsCapacityWhateverTheCountSays) {
  for (int64_t length : {-1, 0, 1, 1 << 30}) {
    TempFolder folder;
    std::string count = folder / "kib-stored";
    if (length < 0) {
      ASSERT_FALSE(llvm::sys::fs::create_directory(count));
    } else {
      spill(count, "");
      ASSERT_EQ(truncate(count.c_str(), length), 0);
    }
    for (int i = 0; i < 100; ++i)
      ASSERT_TRUE(DiskCache(folder.path(), 20480)
                      .put("k" + std::to_string(i), std::string(1000, 'x')));
    EXPECT_LE(folder.fileCount(), 21u) << length;
    EXPECT_GE(folder.fileCount(), 9u) << length;
  }
}

TEST(DiskCache, DirectoryFollowsTheEnvironment) {
  std::string home = getenv("HOME") ? getenv("HOME") : "";
  setenv("LATHE_CACHE_DIR", "/x", 1);
  EXPECT_EQ(DiskCache::defaultDirectory(), "/x");
  unsetenv("LATHE_CACHE_DIR");
  setenv("XDG_CACHE_HOME", "/y", 1);
  EXPECT_EQ(DiskCache::defaultDirectory(), "/y/lathe");
  unsetenv("XDG_CACHE_HOME");
  setenv("HOME", "/z", 1);
  EXPECT_EQ(DiskCache::defaultDirectory(), "/z/.cache/lathe");
  setenv("HOME", home.c_str(), 1);
}
