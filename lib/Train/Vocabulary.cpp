//===- Vocabulary.cpp - Characters as tokens ------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Train/Vocabulary.h"

#include "lathe/Support/AtomicFile.h"
#include "lathe/Support/Error.h"
#include "lathe/Support/MappedFile.h"
#include "llvm/Support/ConvertUTF.h"

#include <functional>
#include <nlohmann/json.hpp>
#include <set>

using namespace llvm;

namespace lathe::train {

/// Calls `each` with every code point and the byte where it begins.
static Error decodeUtf8(StringRef text,
                        const std::function<Error(uint32_t, size_t)> &each) {
  const UTF8 *at = text.bytes_begin(), *end = text.bytes_end();
  while (at < end) {
    size_t offset = at - text.bytes_begin();
    UTF32 point;
    if (convertUTF8Sequence(&at, end, &point, strictConversion) != conversionOK)
      return makeError("the text is no UTF-8 at byte {0}", offset);
    if (Error error = each(point, offset))
      return error;
  }
  return Error::success();
}

static std::string toUtf8(uint32_t point) {
  char buffer[UNI_MAX_UTF8_BYTES_PER_CODE_POINT];
  char *end = buffer;
  if (!ConvertCodePointToUTF8(point, end))
    return "\xEF\xBF\xBD";
  return std::string(buffer, end);
}

void Vocabulary::index() {
  for (size_t i = 0; i < codePoints.size(); ++i)
    tokens[codePoints[i]] = static_cast<uint32_t>(i);
}

Expected<Vocabulary> Vocabulary::of(StringRef text) {
  std::set<uint32_t> found;
  if (Error error = decodeUtf8(text, [&](uint32_t point, size_t) {
        found.insert(point);
        return Error::success();
      }))
    return error;
  Vocabulary result;
  result.codePoints.assign(found.begin(), found.end());
  result.index();
  return result;
}

Expected<Vocabulary> Vocabulary::read(StringRef path) {
  auto file = MappedFile::open(path);
  if (!file)
    return file.takeError();
  Vocabulary result;
  auto json = nlohmann::json::parse((*file)->bytes().begin(),
                                    (*file)->bytes().end(), nullptr, false);
  bool ok = json.is_object() && json.contains("characters") &&
            json["characters"].is_array();
  for (size_t i = 0; ok && i < json["characters"].size(); ++i) {
    const auto &one = json["characters"][i];
    ok = one.is_string();
    size_t before = result.codePoints.size();
    if (ok && decodeUtf8(one.get_ref<const std::string &>(),
                         [&](uint32_t point, size_t) {
                           result.codePoints.push_back(point);
                           return Error::success();
                         }))
      ok = false; // nlohmann's strings are UTF-8: cannot be
    ok &= result.codePoints.size() == before + 1;
  }
  if (!ok)
    return makeError("{0} is no vocabulary: an object with a list "
                     "'characters' of one character each is expected",
                     quote(path));
  result.index();
  return result;
}

std::string Vocabulary::toJson() const {
  nlohmann::json list = nlohmann::json::array();
  for (uint32_t point : codePoints)
    list.push_back(toUtf8(point));
  return nlohmann::json{{"characters", list}}.dump() + "\n";
}

Error Vocabulary::write(StringRef path) const {
  return writeFileAtomically(path, {toJson()});
}

Expected<std::vector<uint32_t>> Vocabulary::encode(StringRef text) const {
  std::vector<uint32_t> result;
  result.reserve(text.size());
  if (Error error =
          decodeUtf8(text, [&](uint32_t point, size_t offset) -> Error {
            auto token = tokens.find(point);
            if (token == tokens.end())
              return makeError("the character {0} at byte {1} is not in the "
                               "vocabulary",
                               "'" + toUtf8(point) + "'", offset);
            result.push_back(token->second);
            return Error::success();
          }))
    return error;
  return result;
}

std::string Vocabulary::decode(ArrayRef<uint32_t> list) const {
  std::string text;
  for (uint32_t token : list)
    text +=
        token < codePoints.size() ? toUtf8(codePoints[token]) : "\xEF\xBF\xBD";
  return text;
}

} // namespace lathe::train
