//===- Logs.cpp - Figures over time ---------------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Train/Logs.h"

#include "Event.pb.h"
#include "lathe/Support/AtomicFile.h"
#include "lathe/Support/Error.h"
#include "lathe/Support/Json.h"
#include "lathe/Support/MappedFile.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <unistd.h>

using namespace llvm;
using json = nlohmann::ordered_json;

namespace lathe::train {

uint32_t crc32c(StringRef bytes) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> result;
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit)
        value = value >> 1 ^ (value & 1 ? 0x82F63B78 : 0);
      result[i] = value;
    }
    return result;
  }();
  uint32_t crc = ~0u;
  for (unsigned char byte : bytes)
    crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8;
  return ~crc;
}

/// TFRecord's, so that the checksum of bytes with their checksum is no
/// constant.
static uint32_t masked(uint32_t crc) {
  return (crc >> 15 | crc << 17) + 0xA282EAD8;
}

std::string tfRecord(StringRef bytes) {
  char head[12], tail[4];
  support::endian::write64le(head, bytes.size());
  support::endian::write32le(head + 8, masked(crc32c(StringRef(head, 8))));
  support::endian::write32le(tail, masked(crc32c(bytes)));
  return (StringRef(head, 12) + bytes + StringRef(tail, 4)).str();
}

namespace {
/// A file that grows. Errors: it cannot be opened or written.
class AppendFile {
public:
  ~AppendFile() { close(); }
  Error open(std::string name) {
    close();
    path = std::move(name);
    std::string folder = sys::path::parent_path(path).str();
    if (!folder.empty())
      if (std::error_code error = sys::fs::create_directories(folder))
        return makeErrnoError("cannot make the folder " + quote(folder),
                              error.value());
    file = std::fopen(path.c_str(), "abe");
    return file ? Error::success() : fail();
  }
  Error write(StringRef bytes) {
    if (std::fwrite(bytes.data(), 1, bytes.size(), file) != bytes.size())
      return fail();
    // Somebody may look on: not more than a few seconds are held back.
    auto now = std::chrono::steady_clock::now();
    if (now - flushed < std::chrono::seconds(2))
      return Error::success();
    return flush();
  }
  Error flush() {
    flushed = std::chrono::steady_clock::now();
    return file && std::fflush(file) ? fail() : Error::success();
  }

private:
  Error fail() { return makeErrnoError("cannot write " + quote(path), errno); }
  void close() {
    if (file)
      std::fclose(file);
    file = nullptr;
  }
  std::string path;
  std::FILE *file = nullptr;
  std::chrono::steady_clock::time_point flushed;
};

class EventFile : public Listener {
public:
  explicit EventFile(std::string folder) : folder(std::move(folder)) {}

  Error begin(uint64_t step) override {
    char host[256] = "localhost";
    (void)::gethostname(host, sizeof(host) - 1);
    SmallString<256> path(folder);
    sys::path::append(path, "events.out.tfevents." +
                                Twine(static_cast<uint64_t>(now())) + "." +
                                host + "." + Twine(::getpid()));
    if (Error error = file.open(path.str().str()))
      return error;
    events::Event event;
    event.set_file_version("brain.Event:2");
    return write(event, step);
  }
  Error trained(uint64_t step, uint64_t, const Scalars &scalars) override {
    return writeScalars(step, "train/", scalars);
  }
  Error evaluated(uint64_t step, const Report &report) override {
    return writeScalars(step, "validation/", report.scalars);
  }
  Error flush() override { return file.flush(); }

private:
  static double now() {
    std::chrono::duration<double> time =
        std::chrono::system_clock::now().time_since_epoch();
    return time.count();
  }
  Error write(events::Event &event, uint64_t step) {
    event.set_wall_time(now());
    event.set_step(static_cast<int64_t>(step));
    return file.write(tfRecord(event.SerializeAsString()));
  }
  Error writeScalars(uint64_t step, const char *prefix,
                     const Scalars &scalars) {
    events::Event event;
    for (const auto &[name, value] : scalars) {
      events::Summary::Value &entry = *event.mutable_summary()->add_value();
      entry.set_tag(prefix + name);
      entry.set_simple_value(static_cast<float>(value));
    }
    return write(event, step);
  }
  std::string folder;
  AppendFile file;
};

class JsonLog : public Listener {
public:
  explicit JsonLog(std::string path) : path(std::move(path)) {}

  Error begin(uint64_t step) override {
    start = std::chrono::steady_clock::now();
    if (sys::fs::exists(path))
      if (Error error = keepUpTo(step))
        return error;
    return file.open(path);
  }
  Error trained(uint64_t step, uint64_t epoch,
                const Scalars &scalars) override {
    json line = {{"step", step}, {"epoch", epoch}};
    for (const auto &[name, value] : scalars)
      line[name] = value;
    return write(line);
  }
  Error evaluated(uint64_t step, const Report &report) override {
    json figures = json::object();
    for (const auto &[name, value] : report.scalars)
      figures[name] = value;
    return write({{"step", step}, {"validation", figures}});
  }
  Error flush() override { return file.flush(); }

private:
  Error write(json line) {
    std::chrono::duration<double> time =
        std::chrono::steady_clock::now() - start;
    line["time"] = std::round(time.count() * 1000) / 1000;
    return file.write(line.dump() + "\n");
  }
  /// Leaves out lines of later steps, and what is no line.
  Error keepUpTo(uint64_t step) {
    auto old = MappedFile::open(path);
    if (!old)
      return old.takeError();
    std::string kept;
    StringRef rest = (*old)->bytes();
    while (!rest.empty()) {
      auto [line, next] = rest.split('\n');
      auto value = parseJson(line);
      if (!value)
        llvm::consumeError(value.takeError());
      else if (value->is_object() && value->contains("step") &&
               (*value)["step"].is_number_unsigned() &&
               (*value)["step"] <= step)
        kept += line.str() + "\n";
      rest = next;
    }
    return writeFileAtomically(path, {kept}, /*durable=*/false);
  }
  std::string path;
  AppendFile file;
  std::chrono::steady_clock::time_point start;
};
} // namespace

std::unique_ptr<Listener> makeEventFile(std::string folder) {
  return std::make_unique<EventFile>(std::move(folder));
}

std::unique_ptr<Listener> makeJsonLog(std::string path) {
  return std::make_unique<JsonLog>(std::move(path));
}

} // namespace lathe::train
