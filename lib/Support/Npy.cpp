//===- Npy.cpp - NumPy's npy files ----------------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Support/Npy.h"

#include "lathe/Support/AtomicFile.h"
#include "lathe/Support/Error.h"
#include "lathe/Support/MappedFile.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/MathExtras.h"

#include <cstring>

using namespace llvm;

namespace lathe {

static constexpr StringLiteral kMagic = "\x93NUMPY";
static constexpr size_t kMaxRank = 64;

namespace {
struct Header {
  DType dtype = DType::F32;
  Shape shape;
  bool fortran = false;
};

/// Reads the Python dictionary literal of an npy header, nothing more general:
///   {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
class HeaderParser {
public:
  explicit HeaderParser(StringRef text) : rest(text) {}

  Expected<Header> parse() {
    Header header;
    bool haveDescr = false, haveOrder = false, haveShape = false;
    if (!eat('{'))
      return fail("a dictionary");
    while (!eat('}')) {
      std::optional<StringRef> key = string();
      if (!key || !eat(':'))
        return fail("a key");
      if (*key == "descr" && !haveDescr) {
        std::optional<StringRef> descr = string();
        if (!descr)
          return fail("a plain element type");
        std::optional<DType> type = parseNpyDescr(*descr);
        if (!type)
          return makeError("the element type {0} is not supported, expected a "
                           "little-endian number or boolean",
                           quote(*descr));
        header.dtype = *type;
        haveDescr = true;
      } else if (*key == "fortran_order" && !haveOrder) {
        skip();
        header.fortran = rest.consume_front("True");
        if (!header.fortran && !rest.consume_front("False"))
          return fail("True or False");
        haveOrder = true;
      } else if (*key == "shape" && !haveShape) {
        if (!shape(header.shape))
          return fail("a tuple of extents");
        haveShape = true;
      } else {
        return makeError("the header has an unexpected key {0}", quote(*key));
      }
      if (!eat(',')) {
        if (!eat('}'))
          return fail("a comma");
        break;
      }
    }
    skip();
    if (!rest.empty())
      return fail("nothing after the dictionary");
    if (!haveDescr || !haveOrder || !haveShape)
      return makeError("the header lacks descr, fortran_order or shape");
    return header;
  }

private:
  Error fail(const char *wanted) {
    return makeError("the header is damaged: expected {0} before {1}", wanted,
                     quote(rest.take_front(20)));
  }
  void skip() { rest = rest.ltrim(" \t\r\n"); }
  bool eat(char c) {
    skip();
    return rest.consume_front(StringRef(&c, 1));
  }
  std::optional<StringRef> string() {
    skip();
    if (rest.empty() || (rest[0] != '\'' && rest[0] != '"'))
      return std::nullopt;
    size_t end = rest.find(rest[0], 1);
    if (end == StringRef::npos)
      return std::nullopt;
    StringRef text = rest.slice(1, end);
    rest = rest.drop_front(end + 1);
    return text;
  }
  bool shape(Shape &dims) {
    if (!eat('('))
      return false;
    while (!eat(')')) {
      skip();
      uint64_t extent;
      if (rest.consumeInteger(10, extent) || extent > INT64_MAX ||
          dims.size() == kMaxRank)
        return false;
      rest.consume_front("L"); // Python 2 wrote 3L
      dims.push_back(static_cast<int64_t>(extent));
      if (!eat(','))
        return eat(')');
    }
    return true;
  }
  StringRef rest;
};

/// Copies a column-major array into row-major order.
void copyFromFortran(const Tensor &to, const char *from) {
  ArrayRef<int64_t> shape = to.shape();
  size_t size = dtypeSize(to.dtype());
  SmallVector<int64_t> strides(shape.size()), index(shape.size(), 0);
  int64_t stride = static_cast<int64_t>(size);
  for (size_t i = 0; i < shape.size(); ++i) {
    strides[i] = stride;
    stride *= shape[i];
  }
  char *out = static_cast<char *>(to.data());
  const char *in = from;
  for (int64_t n = to.numElements(); n > 0; --n, out += size) {
    std::memcpy(out, in, size);
    for (size_t i = shape.size(); i-- > 0;) {
      in += strides[i];
      if (++index[i] < shape[i])
        break;
      in -= strides[i] * shape[i];
      index[i] = 0;
    }
  }
}
} // namespace

/// The header, and in `data` what follows it: as many bytes as it declares.
static Expected<Header> locate(StringRef bytes, StringRef &data) {
  if (!bytes.starts_with(kMagic) || bytes.size() < 10)
    return makeError("it is not an npy file");
  unsigned major = static_cast<uint8_t>(bytes[6]);
  if (major < 1 || major > 3)
    return makeError("npy version {0} is not supported, expected 1, 2 or 3",
                     major);
  size_t start = major == 1 ? 10 : 12;
  if (bytes.size() < start)
    return makeError("the file ends inside the header");
  uint64_t headerSize = major == 1
                            ? support::endian::read16le(bytes.data() + 8)
                            : support::endian::read32le(bytes.data() + 8);
  if (headerSize > bytes.size() - start)
    return makeError("the header of {0} bytes does not fit in the file's {1}",
                     headerSize, bytes.size());
  Expected<Header> header =
      HeaderParser(bytes.substr(start, headerSize)).parse();
  if (!header)
    return header.takeError();
  Expected<uint64_t> needed = checkedBytes(header->shape, header->dtype);
  if (!needed)
    return needed.takeError();
  data = bytes.drop_front(start + headerSize);
  if (data.size() != *needed)
    return makeError("the header declares {0}, which takes {1} bytes, but the "
                     "file holds {2}",
                     formatType(header->dtype, header->shape), *needed,
                     data.size());
  return header;
}

static Expected<Tensor> parse(StringRef bytes) {
  StringRef data;
  Expected<Header> header = locate(bytes, data);
  if (!header)
    return header.takeError();
  Expected<Tensor> tensor = Tensor::create(header->dtype, header->shape);
  if (!tensor)
    return tensor;
  if (header->fortran && header->shape.size() > 1)
    copyFromFortran(*tensor, data.data());
  else if (!data.empty())
    std::memcpy(tensor->data(), data.data(), data.size());
  if (header->dtype == DType::I1)
    for (uint8_t &element : tensor->as<uint8_t>())
      element = element != 0;
  return tensor;
}

Expected<Tensor> parseNpy(StringRef bytes, StringRef name) {
  Expected<Tensor> tensor = parse(bytes);
  if (!tensor)
    return prefixError("cannot read " + quote(name), tensor.takeError());
  return tensor;
}

Expected<std::optional<TensorView>> viewNpy(StringRef bytes, StringRef name) {
  StringRef data;
  Expected<Header> header = locate(bytes, data);
  if (!header)
    return prefixError("cannot read " + quote(name), header.takeError());
  bool aligned =
      reinterpret_cast<uintptr_t>(data.data()) % dtypeSize(header->dtype) == 0;
  if ((header->fortran && header->shape.size() > 1) || !aligned ||
      header->dtype == DType::I1)
    return std::nullopt;
  return TensorView(header->dtype, header->shape,
                    const_cast<char *>(data.data()));
}

Expected<Tensor> readNpy(StringRef path) {
  Expected<std::shared_ptr<MappedFile>> file = MappedFile::open(path);
  if (!file)
    return file.takeError();
  return parseNpy((*file)->bytes(), path);
}

std::string npyHeader(DType type, ArrayRef<int64_t> shape) {
  std::string text = "{'descr': '" + dtypeNpyDescr(type).str() +
                     "', 'fortran_order': False, 'shape': (";
  for (size_t i = 0; i < shape.size(); ++i)
    text += (i ? ", " : "") + std::to_string(shape[i]);
  text += shape.size() == 1 ? ",), }" : "), }";
  // Version 1 holds 65535 bytes of header, far above what kMaxRank needs. The
  // data starts at a multiple of 64.
  size_t total = alignTo(10 + text.size() + 1, 64);
  text.append(total - 10 - text.size() - 1, ' ');
  text += '\n';
  std::string header = kMagic.str() + std::string("\x01\x00", 2);
  header += static_cast<char>(text.size() & 0xFF);
  header += static_cast<char>(text.size() >> 8);
  return header + text;
}

Error writeNpy(StringRef path, const TensorView &tensor) {
  return writeFileAtomically(
      path, {npyHeader(tensor.dtype(), tensor.shape()), tensor.rawBytes()});
}

} // namespace lathe
