//===- Json.h - JSON of files nobody vouches for ----------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_SUPPORT_JSON_H
#define LATHE_SUPPORT_JSON_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <nlohmann/json_fwd.hpp>

namespace lathe {

struct JsonLimits {
  unsigned maxDepth = 16;
  bool comments = false; ///< // and /* */ are passed over
};

/// Reads a document, objects in the order of the text, in time and memory
/// linear in it. Errors, to stand behind the file's name: what is not JSON,
/// with the byte; a number no f64 can hold; lists and objects more than
/// `maxDepth` deep; a key more than once in an object.
llvm::Expected<nlohmann::ordered_json> parseJson(llvm::StringRef text,
                                                 JsonLimits limits = {});

/// Adds a key that `object` does not have yet: object[key] would look through
/// all those before it.
nlohmann::ordered_json &appendKey(nlohmann::ordered_json &object,
                                  std::string key,
                                  nlohmann::ordered_json value);

} // namespace lathe

#endif // LATHE_SUPPORT_JSON_H
