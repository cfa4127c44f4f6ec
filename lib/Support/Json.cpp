//===- Json.cpp - JSON of files nobody vouches for ------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Support/Json.h"

#include "lathe/Support/Error.h"

#include <nlohmann/json.hpp>
#include <unordered_set>
#include <vector>

using namespace llvm;
using json = nlohmann::ordered_json;

namespace lathe {

json &appendKey(json &object, std::string key, json value) {
  json::object_t::Container &pairs = object.get_ref<json::object_t &>();
  return pairs.emplace_back(std::move(key), std::move(value)).second;
}

namespace {
/// Makes the document of its events. json::parse with a callback looks through
/// all values beside each one when it ends, and without one takes each key of
/// an ordered object through those before it.
class Reader : public nlohmann::json_sax<json> {
public:
  explicit Reader(unsigned maxDepth) : maxDepth(maxDepth) {}

  json document;
  std::string problem;

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(int64_t value) override { return add(value); }
  bool number_unsigned(uint64_t value) override { return add(value); }
  bool number_float(double value, const std::string &) override {
    return add(value);
  }
  bool string(std::string &value) override { return add(std::move(value)); }
  bool binary(json::binary_t &) override { return false; } // of other formats
  bool start_object(size_t) override { return open(json::object()); }
  bool start_array(size_t) override { return open(json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(std::string &name) override {
    if (!containers.back().keys.insert(name).second)
      return fail(formatv("it holds the key {0} more than once", quote(name)));
    nextKey = std::move(name);
    return true;
  }
  bool parse_error(size_t position, const std::string &,
                   const json::exception &error) override {
    if (!dynamic_cast<const json::parse_error *>(&error))
      return fail("it holds a number that no f64 can hold");
    return fail(formatv("it is not valid JSON at byte {0}", position));
  }

private:
  /// A list or object that is not at its end; nothing is added to the one
  /// around it, so it stays where it is.
  struct Container {
    json *value;
    std::unordered_set<std::string> keys;
  };

  bool fail(std::string words) {
    problem = std::move(words);
    return false;
  }
  json &place(json &&value) {
    if (containers.empty())
      return document = std::move(value);
    json &around = *containers.back().value;
    if (around.is_object())
      return appendKey(around, std::move(nextKey), std::move(value));
    return around.get_ref<json::array_t &>().emplace_back(std::move(value));
  }
  bool add(json &&value) {
    place(std::move(value));
    return true;
  }
  bool open(json &&value) {
    if (containers.size() == maxDepth)
      return fail(
          formatv("it nests lists and objects more than {0} deep", maxDepth));
    json &opened = place(std::move(value));
    containers.push_back({&opened, {}});
    return true;
  }
  bool close() {
    containers.pop_back();
    return true;
  }

  unsigned maxDepth;
  std::vector<Container> containers;
  std::string nextKey;
};
} // namespace

Expected<json> parseJson(StringRef text, JsonLimits limits) {
  Reader reader(limits.maxDepth);
  if (!json::sax_parse(text.begin(), text.end(), &reader,
                       json::input_format_t::json, /*strict=*/true,
                       limits.comments))
    return makeError("{0}", reader.problem);
  return std::move(reader.document);
}

} // namespace lathe
