//===- Idx.cpp - IDX files ------------------------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Support/Idx.h"

#include "lathe/Support/Error.h"
#include "lathe/Support/MappedFile.h"
#include "llvm/Support/Endian.h"

#include <algorithm>
#include <cstring>
#include <zlib.h>

using namespace llvm;

namespace lathe {

bool isGzip(StringRef bytes) { return bytes.starts_with("\x1f\x8b"); }

/// What `packed` unpacks to, or its beginning: no more than a step beyond
/// `enough` bytes.
static Expected<std::string> unpack(StringRef packed, uint64_t enough) {
  std::string out;
  z_stream stream = {};
  // 16: gzip alone.
  if (inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK)
    return makeError("zlib does not start");
  const uint64_t kStep = std::min<uint64_t>(enough + 1, 1 << 20);
  std::string problem;
  while (problem.empty() && out.size() <= enough) {
    size_t filled = out.size();
    out.resize(filled + kStep);
    uint64_t in = std::min<uint64_t>(packed.size(), 1 << 30);
    stream.next_in =
        reinterpret_cast<Bytef *>(const_cast<char *>(packed.data()));
    stream.avail_in = static_cast<uInt>(in);
    stream.next_out = reinterpret_cast<Bytef *>(out.data() + filled);
    stream.avail_out = static_cast<uInt>(kStep);
    int status = inflate(&stream, Z_NO_FLUSH);
    packed = packed.drop_front(in - stream.avail_in);
    out.resize(filled + kStep - stream.avail_out);
    if (status == Z_STREAM_END) {
      if (packed.empty())
        break;
      inflateReset(&stream);
    } else if (status == Z_BUF_ERROR ||
               (status == Z_OK && packed.empty() && stream.avail_out == kStep))
      problem = "its gzip data ends too early";
    else if (status != Z_OK)
      problem = "its gzip data is damaged";
  }
  inflateEnd(&stream);
  if (!problem.empty())
    return makeError(problem);
  return out;
}

Expected<std::string> gunzip(StringRef packed, uint64_t maxBytes) {
  Expected<std::string> out = unpack(packed, maxBytes);
  if (out && out->size() > maxBytes)
    return makeError("it unpacks to more than {0} bytes", maxBytes);
  return out;
}

namespace {
struct Header {
  DType dtype;
  Shape shape;
  size_t size;
};
} // namespace

static std::optional<DType> typeOf(uint8_t code) {
  switch (code) {
  case 0x08:
    return DType::U8;
  case 0x09:
    return DType::I8;
  case 0x0B:
    return DType::I16;
  case 0x0C:
    return DType::I32;
  case 0x0D:
    return DType::F32;
  case 0x0E:
    return DType::F64;
  }
  return std::nullopt;
}

static Expected<Header> parseHeader(StringRef bytes) {
  if (bytes.size() < 4 || bytes[0] || bytes[1])
    return makeError("it is not an IDX file");
  std::optional<DType> type = typeOf(bytes[2]);
  if (!type)
    return makeError("IDX has no element type {0}",
                     static_cast<unsigned>(static_cast<uint8_t>(bytes[2])));
  Header header{*type, {}, 4 + 4 * size_t(static_cast<uint8_t>(bytes[3]))};
  if (bytes.size() < header.size)
    return makeError("the file ends inside the header");
  for (size_t at = 4; at < header.size; at += 4)
    header.shape.push_back(support::endian::read32be(bytes.data() + at));
  return header;
}

/// All of a packed file whose header, which is unpacked first, says how much
/// that is: a small file may unpack to a thousand times its size.
static Expected<std::string> unpackWhole(StringRef packed) {
  // The longest header has 255 sizes.
  Expected<std::string> head = unpack(packed, 4 + 4 * 255);
  if (!head)
    return head;
  Expected<Header> header = parseHeader(*head);
  if (!header)
    return header.takeError();
  Expected<uint64_t> needed = checkedBytes(header->shape, header->dtype);
  if (!needed)
    return needed.takeError();
  Expected<std::string> whole = unpack(packed, header->size + *needed);
  if (whole && whole->size() > header->size + *needed)
    return makeError("the header declares {0}, which takes {1} bytes, but the "
                     "file holds more",
                     formatType(header->dtype, header->shape), *needed);
  return whole;
}

static Expected<Tensor> parse(StringRef bytes) {
  std::string unpacked;
  if (isGzip(bytes)) {
    Expected<std::string> whole = unpackWhole(bytes);
    if (!whole)
      return whole.takeError();
    unpacked = std::move(*whole);
    bytes = unpacked;
  }
  Expected<Header> header = parseHeader(bytes);
  if (!header)
    return header.takeError();
  Expected<uint64_t> needed = checkedBytes(header->shape, header->dtype);
  if (!needed)
    return needed.takeError();
  StringRef data = bytes.drop_front(header->size);
  if (data.size() != *needed)
    return makeError("the header declares {0}, which takes {1} bytes, but the "
                     "file holds {2}",
                     formatType(header->dtype, header->shape), *needed,
                     data.size());
  Expected<Tensor> tensor = Tensor::create(header->dtype, header->shape);
  if (!tensor)
    return tensor;
  size_t size = dtypeSize(header->dtype);
  char *out = static_cast<char *>(tensor->data());
  if (!data.empty())
    std::memcpy(out, data.data(), data.size());
  if (size > 1)
    for (size_t at = 0; at < data.size(); at += size)
      std::reverse(out + at, out + at + size);
  return tensor;
}

Expected<Tensor> parseIdx(StringRef bytes, StringRef name) {
  Expected<Tensor> tensor = parse(bytes);
  if (!tensor)
    return prefixError("cannot read " + quote(name), tensor.takeError());
  return tensor;
}

Expected<Tensor> readIdx(StringRef path) {
  Expected<std::shared_ptr<MappedFile>> file = MappedFile::open(path);
  if (!file)
    return file.takeError();
  return parseIdx((*file)->bytes(), path);
}

} // namespace lathe
