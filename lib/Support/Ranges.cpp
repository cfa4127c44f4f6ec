//===- Ranges.cpp - What lathe calibrate has found ------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Support/Ranges.h"

#include "lathe/Support/AtomicFile.h"
#include "lathe/Support/Error.h"
#include "lathe/Support/Json.h"
#include "lathe/Support/MappedFile.h"
#include "llvm/ADT/STLExtras.h"

#include <cmath>
#include <cstdlib>
#include <limits>
#include <nlohmann/json.hpp>

using namespace llvm;

namespace lathe {

using json = nlohmann::ordered_json;

static constexpr StringLiteral kFormat = "lathe-ranges";
static constexpr uint64_t kMaxBytes = uint64_t(16) << 20;
static constexpr size_t kMaxSites = 1 << 16, kMaxNumbers = 1 << 17;
/// A list of numbers is 4 deep. Deeper ones, of later versions, are passed
/// over, but nesting must not become a way to use up memory.
static constexpr unsigned kMaxDepth = 16;

const SiteRanges *Ranges::find(StringRef name) const {
  for (const SiteRanges &site : sites)
    if (site.name == name)
      return &site;
  return nullptr;
}

/// For a message: JSON escapes what is no text.
static std::string show(const json &value) {
  std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  return text.size() > 40 ? text.substr(0, 40) + "..." : text;
}

/// The list `key` of a site, or nothing where there is none. What was seen is
/// for people: no scale is made of it.
static Error readList(const json &site, const char *key,
                      std::vector<double> &out) {
  auto found = site.find(key);
  if (found == site.end())
    return Error::success();
  if (!found->is_array() || found->empty())
    return makeError("expected '{0}' to be a list of numbers", key);
  bool isSeen = StringRef(key).starts_with("seen_");
  for (const json &number : *found) {
    double limit =
        isSeen ? std::numeric_limits<float>::max() : Ranges::kMaxReach;
    if (!number.is_number() || !(std::abs(number.get<double>()) <= limit))
      return makeError("expected finite numbers in '{0}', at most {1}the "
                       "largest f32, got {2}",
                       key, isSeen ? "" : "half ", show(number));
    out.push_back(number.get<double>());
  }
  return Error::success();
}

/// As many divisors for each range.
static Error readSmooth(const json &value, SiteRanges &site) {
  auto found = value.find("smooth");
  if (found == value.end())
    return Error::success();
  if (!found->is_array() || found->size() != site.low.size())
    return makeError("expected 'smooth' to have a list for each number of "
                     "'low', got {0}",
                     show(*found));
  for (const json &list : *found) {
    site.smooth.emplace_back();
    if (Error error =
            readList(json{{"smooth", list}}, "smooth", site.smooth.back()))
      return error;
    if (site.smooth.back().size() != site.smooth.front().size())
      return makeError("expected lists of one length in 'smooth', got {0} and "
                       "{1}",
                       site.smooth.front().size(), site.smooth.back().size());
    for (double divisor : site.smooth.back())
      if (divisor < 1e-30 || divisor > 1e30)
        return makeError("expected numbers above 0 in 'smooth', got {0}",
                         formatNumber(divisor));
  }
  return Error::success();
}

static Expected<SiteRanges> readSite(const std::string &name,
                                     const json &value) {
  SiteRanges site;
  site.name = name;
  if (!value.is_object())
    return makeError("expected an object with 'low' and 'high'");
  for (auto [key, list] :
       {std::pair("low", &site.low), std::pair("high", &site.high),
        std::pair("magnitude", &site.magnitude),
        std::pair("seen_low", &site.seenLow),
        std::pair("seen_high", &site.seenHigh),
        std::pair("clipped", &site.clipped)}) {
    if (Error error = readList(value, key, *list))
      return error;
    if (!list->empty() && list->size() != site.low.size())
      return makeError("expected as many numbers in '{0}' as in 'low', got {1} "
                       "and {2}",
                       key, list->size(), site.low.size());
  }
  if (site.low.empty() || site.high.empty())
    return makeError("expected lists 'low' and 'high'");
  if (Error error = readSmooth(value, site))
    return std::move(error);
  bool hasMagnitude = !site.magnitude.empty();
  for (auto [i, low] : enumerate(site.low)) {
    double high = site.high[i];
    if (low > high)
      return makeError("expected 'low' to be at most 'high', got {0} and {1}",
                       formatNumber(low), formatNumber(high));
    if (!hasMagnitude)
      site.magnitude.push_back(std::max(std::abs(low), std::abs(high)));
    else if (site.magnitude[i] < 0)
      return makeError("expected 'magnitude' to be 0 or more, got {0}",
                       formatNumber(site.magnitude[i]));
  }
  return site;
}

/// A text for people; "" where it is none.
static std::string readText(const json &whole, const char *key) {
  auto found = whole.find(key);
  return found != whole.end() && found->is_string() ? found->get<std::string>()
                                                    : "";
}

static Expected<std::vector<std::string>> readKeep(const json &whole) {
  std::vector<std::string> names;
  auto found = whole.find("keep");
  if (found == whole.end())
    return names;
  if (!found->is_array())
    return makeError("expected 'keep' to be a list of names, got {0}",
                     show(*found));
  if (found->size() > kMaxSites)
    return makeError("it keeps {0} products, more than the {1} a ranges file "
                     "may",
                     found->size(), kMaxSites);
  for (const json &name : *found) {
    if (!name.is_string() || name.get_ref<const std::string &>().empty())
      return makeError("expected names of products in 'keep', got {0}",
                       show(name));
    names.push_back(name.get<std::string>());
  }
  return names;
}

Expected<Ranges> parseRanges(StringRef text) {
  if (text.size() > kMaxBytes)
    return makeError("it holds {0} bytes, more than the {1} a ranges file may",
                     text.size(), kMaxBytes);
  auto parsed = parseJson(text, {kMaxDepth});
  if (!parsed)
    return parsed.takeError();
  const json &whole = *parsed;
  if (!whole.is_object() || readText(whole, "format") != kFormat)
    return makeError("expected an object with \"format\": \"{0}\", as lathe "
                     "calibrate writes it",
                     kFormat);
  auto version = whole.find("version");
  if (version == whole.end() || *version != 1)
    return makeError("expected version 1, got {0}",
                     version == whole.end() ? "none" : show(*version));
  auto sites = whole.find("sites");
  if (sites == whole.end() || !sites->is_object())
    return makeError("expected an object 'sites'");
  if (sites->size() > kMaxSites)
    return makeError("it holds {0} sites, more than the {1} a ranges file may",
                     sites->size(), kMaxSites);
  Ranges result;
  result.model = readText(whole, "model");
  result.method = readText(whole, "method");
  auto samples = whole.find("samples");
  if (samples != whole.end() && samples->is_number_integer())
    result.samples = samples->get<int64_t>();
  auto keep = readKeep(whole);
  if (!keep)
    return keep.takeError();
  result.keep = std::move(*keep);
  size_t numbers = 0;
  for (const auto &[name, value] : sites->items()) {
    auto site = readSite(name, value);
    if (!site)
      return prefixError("site " + quote(name), site.takeError());
    numbers += site->low.size();
    if (numbers > kMaxNumbers)
      return makeError("it holds more than the {0} ranges a file may",
                       kMaxNumbers);
    result.sites.push_back(std::move(*site));
  }
  return result;
}

Expected<Ranges> readRanges(StringRef path) {
  auto file = MappedFile::open(path);
  if (!file)
    return file.takeError();
  auto ranges = parseRanges((*file)->bytes());
  if (!ranges)
    return prefixError("cannot read the ranges " + quote(path),
                       ranges.takeError());
  return ranges;
}

/// The fewest digits that give the same f32: ranges are those of f32 numbers.
static double shorten(double value) {
  char text[32];
  for (int digits = 6; digits < 9; ++digits) {
    std::snprintf(text, sizeof text, "%.*g", digits, value);
    if (double read = std::strtod(text, nullptr);
        static_cast<float>(read) == static_cast<float>(value))
      return read;
  }
  std::snprintf(text, sizeof text, "%.9g", value);
  return std::strtod(text, nullptr);
}

std::string formatRanges(const Ranges &ranges) {
  // A line per list, sites in the order of the model.
  auto quoted = [](StringRef text) {
    return json(text.str())
        .dump(-1, ' ', false, json::error_handler_t::replace);
  };
  std::string text =
      "{\n  \"format\": \"" + kFormat.str() +
      "\",\n  \"version\": 1,\n  \"model\": " + quoted(ranges.model) +
      ",\n  \"method\": " + quoted(ranges.method) +
      ",\n  \"samples\": " + std::to_string(ranges.samples);
  const char *between = ",\n  \"keep\": [\n    ";
  for (const std::string &name : ranges.keep) {
    text += between + quoted(name);
    between = ",\n    ";
  }
  text += ranges.keep.empty() ? "" : "\n  ]";
  text += ",\n  \"sites\": {";
  between = "\n";
  for (const SiteRanges &site : ranges.sites) {
    text += between + ("    " + quoted(site.name)) + ": {";
    between = ",\n";
    const char *comma = "\n";
    for (auto [key, list] :
         {std::pair("low", &site.low), std::pair("high", &site.high),
          std::pair("magnitude", &site.magnitude),
          std::pair("seen_low", &site.seenLow),
          std::pair("seen_high", &site.seenHigh),
          std::pair("clipped", &site.clipped)}) {
      if (list->empty())
        continue;
      std::vector<double> numbers(list->size());
      llvm::transform(*list, numbers.begin(), shorten);
      text += comma + ("      \"" + std::string(key)) +
              "\": " + json(numbers).dump();
      comma = ",\n";
    }
    if (!site.smooth.empty()) {
      json lists = json::array();
      for (std::vector<double> numbers : site.smooth) {
        llvm::transform(numbers, numbers.begin(), shorten);
        lists.push_back(numbers);
      }
      text += std::string(comma) + "      \"smooth\": " + lists.dump();
    }
    text += "\n    }";
  }
  return text + "\n  }\n}\n";
}

Error writeRanges(StringRef path, const Ranges &ranges) {
  return writeFileAtomically(path, {formatRanges(ranges)});
}

} // namespace lathe
