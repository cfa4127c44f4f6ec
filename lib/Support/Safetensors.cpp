//===- Safetensors.cpp - Strict memory-mapped safetensors -----------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Support/Safetensors.h"

#include "lathe/Support/AtomicFile.h"
#include "lathe/Support/Error.h"
#include "lathe/Support/Json.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/MathExtras.h"

#include <nlohmann/json.hpp>
#include <tuple>

using namespace llvm;
using json = nlohmann::json;

namespace lathe {

static constexpr uint64_t kMaxHeader = 100'000'000;
static constexpr size_t kMaxRank = 64;

namespace {
/// Reads the header as events, because a parsed document would have lost all
/// but the last of two equal keys. Only the shape the format has is accepted:
///   { "__metadata__": {string: string}, NAME: {"dtype": string,
///     "shape": [numbers], "data_offsets": [begin, end]} }
class HeaderReader : public nlohmann::json_sax<json> {
public:
  HeaderReader(std::vector<Safetensors::Entry> &entries,
               std::map<std::string, std::string> &metadata)
      : entries(entries), metadata(metadata) {}

  std::string problem;

  bool start_object(size_t) override {
    if (depth == 0 || (depth == 1 && !inArray)) {
      ++depth;
      if (depth == 2) {
        haveType = haveShape = haveOffsets = false;
        offsets.clear();
        if (!inMetadata) {
          entries.emplace_back();
          entries.back().name = name;
        }
      }
      return true;
    }
    return fail("an object where none belongs");
  }
  bool end_object() override {
    --depth;
    if (depth == 1 && !inMetadata) {
      if (!haveType || !haveShape || !haveOffsets || offsets.size() != 2)
        return fail("no dtype, shape or data_offsets");
      // `bytes` holds the end until `open` has checked it.
      entries.back().offset = offsets[0];
      entries.back().bytes = offsets[1];
    }
    return true;
  }
  bool key(std::string &text) override {
    if (depth == 1) {
      name = text;
      inMetadata = text == "__metadata__";
      if (!names.insert(text).second)
        return fail("a second entry of the same name");
      return true;
    }
    field = text;
    if (inMetadata)
      return metadata.count(text) ? fail("a key twice") : true;
    bool *have = text == "dtype"          ? &haveType
                 : text == "shape"        ? &haveShape
                 : text == "data_offsets" ? &haveOffsets
                                          : nullptr;
    if (!have)
      return fail("an unknown key " + quote(text));
    if (*have)
      return fail("the key " + quote(text) + " twice");
    return *have = true;
  }
  bool string(std::string &text) override {
    if (depth == 2 && inMetadata) {
      metadata[field] = text;
      return true;
    }
    if (depth != 2 || inArray || field != "dtype")
      return fail("a string where none belongs");
    std::optional<DType> type = parseSafetensorsDType(text);
    if (!type)
      return fail("the type " + quote(text) + ", which is not supported");
    entries.back().dtype = *type;
    return true;
  }
  bool start_array(size_t) override {
    if (depth != 2 || inMetadata || inArray ||
        (field != "shape" && field != "data_offsets"))
      return fail("a list where none belongs");
    return inArray = true;
  }
  bool end_array() override {
    inArray = false;
    return true;
  }
  bool number_unsigned(uint64_t value) override {
    if (!inArray || value > INT64_MAX)
      return fail("a number where none belongs");
    if (field == "shape") {
      if (entries.back().shape.size() == kMaxRank)
        return fail("more than 64 dimensions");
      entries.back().shape.push_back(static_cast<int64_t>(value));
    } else {
      if (offsets.size() == 2)
        return fail("more than two data_offsets");
      offsets.push_back(value);
    }
    return true;
  }
  bool null() override { return fail("null where it does not belong"); }
  bool boolean(bool) override { return fail("a boolean where none belongs"); }
  bool number_integer(int64_t) override { return fail("a negative number"); }
  bool number_float(double, const std::string &) override {
    return fail("a number that is no integer");
  }
  bool binary(json::binary_t &) override { return fail("binary data"); }
  bool parse_error(size_t position, const std::string &,
                   const json::exception &) override {
    problem =
        "its header is not valid JSON at byte " + std::to_string(position + 8);
    return false;
  }

private:
  bool fail(const std::string &what) {
    problem = depth == 0 ? "its header has " + what
                         : "its header has " + what + " at " + quote(name);
    return false;
  }

  std::vector<Safetensors::Entry> &entries;
  std::map<std::string, std::string> &metadata;
  StringSet<> names;
  std::string name, field;
  std::vector<uint64_t> offsets;
  int depth = 0;
  bool inArray = false, inMetadata = false;
  bool haveType = false, haveShape = false, haveOffsets = false;
};
} // namespace

/// Checks every entry against the data part of `dataBytes` bytes and turns
/// [begin, end) into file offset and size.
static Error checkEntries(std::vector<Safetensors::Entry> &entries,
                          uint64_t dataStart, uint64_t dataBytes) {
  for (const Safetensors::Entry &entry : entries) {
    uint64_t begin = entry.offset, end = entry.bytes;
    if (begin > end || end > dataBytes)
      return makeError("{0} lies at [{1}, {2}), outside the {3} data bytes of "
                       "the file",
                       quote(entry.name), begin, end, dataBytes);
    Expected<uint64_t> needed = checkedBytes(entry.shape, entry.dtype);
    if (!needed)
      return prefixError(quote(entry.name), needed.takeError());
    if (*needed != end - begin)
      return makeError("{0} of type {1} takes {2} bytes, but its offsets span "
                       "{3}",
                       quote(entry.name), formatType(entry.dtype, entry.shape),
                       *needed, end - begin);
  }
  llvm::sort(entries, [](const auto &a, const auto &b) {
    return std::tie(a.offset, a.bytes, a.name) <
           std::tie(b.offset, b.bytes, b.name);
  });
  uint64_t reached = 0;
  for (Safetensors::Entry &entry : entries) {
    if (entry.offset != reached)
      return makeError("{0} starts at {1}, {2} the end of the tensor before "
                       "it at {3}",
                       quote(entry.name), entry.offset,
                       entry.offset < reached ? "before" : "after", reached);
    reached = entry.bytes;
    entry.bytes -= entry.offset;
    entry.offset += dataStart;
  }
  if (reached != dataBytes)
    return makeError("its tensors end at {0}, but the file holds {1} data "
                     "bytes",
                     reached, dataBytes);
  return Error::success();
}

Expected<std::shared_ptr<Safetensors>> Safetensors::open(StringRef path) {
  Expected<std::shared_ptr<MappedFile>> file = MappedFile::open(path);
  if (!file)
    return file.takeError();
  auto result = std::make_shared<Safetensors>();
  result->mapped = *file;
  std::string prefix = "cannot read " + quote(path);
  StringRef bytes = (*file)->bytes();
  if (bytes.size() < 8)
    return makeError("{0}: it is too short for a safetensors file", prefix);
  uint64_t headerSize = support::endian::read64le(bytes.data());
  if (headerSize > kMaxHeader)
    return makeError("{0}: it is not a safetensors file, or its header of {1} "
                     "bytes exceeds the format's limit of {2}",
                     prefix, headerSize, kMaxHeader);
  if (headerSize > bytes.size() - 8)
    return makeError("{0}: its header of {1} bytes does not fit in the file's "
                     "{2}",
                     prefix, headerSize, bytes.size());
  StringRef header = bytes.substr(8, headerSize);
  if (!header.starts_with("{"))
    return makeError("{0}: its header does not start with a brace", prefix);
  HeaderReader reader(result->list, result->meta);
  if (!json::sax_parse(header.begin(), header.end(), &reader))
    return makeError("{0}: {1}", prefix, reader.problem);
  if (Error error = checkEntries(result->list, 8 + headerSize,
                                 bytes.size() - 8 - headerSize))
    return prefixError(prefix, std::move(error));
  for (size_t i = 0; i < result->list.size(); ++i)
    result->byName[result->list[i].name] = i;
  return result;
}

const Safetensors::Entry *Safetensors::find(StringRef name) const {
  auto it = byName.find(name);
  return it == byName.end() ? nullptr : &list[it->second];
}

TensorView Safetensors::view(const Entry &entry) const {
  return TensorView(entry.dtype, entry.shape,
                    const_cast<char *>(mapped->data()) + entry.offset);
}

Error writeSafetensors(StringRef path, ArrayRef<NamedView> tensors,
                       const std::map<std::string, std::string> &metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  StringSet<> names;
  if (!metadata.empty())
    header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const NamedView &entry : tensors) {
    if (!names.insert(entry.name).second)
      return makeError("cannot write {0}: two tensors are named {1}",
                       quote(path), quote(entry.name));
    uint64_t end = offset + entry.tensor.numBytes();
    appendKey(header, entry.name,
              {{"dtype", dtypeSafetensorsName(entry.tensor.dtype()).str()},
               {"shape", std::vector<int64_t>(entry.tensor.shape())},
               {"data_offsets", {offset, end}}});
    offset = end;
  }
  std::string text = header.dump(
      -1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  text.append(alignTo(8 + text.size(), 64) - 8 - text.size(), ' ');
  if (text.size() > kMaxHeader)
    return makeError("cannot write {0}: its header of {1} bytes exceeds the "
                     "format's limit",
                     quote(path), text.size());
  char size[8];
  support::endian::write64le(size, text.size());
  std::vector<StringRef> pieces = {StringRef(size, 8), text};
  for (const NamedView &entry : tensors)
    pieces.push_back(entry.tensor.rawBytes());
  return writeFileAtomically(path, pieces);
}

} // namespace lathe
