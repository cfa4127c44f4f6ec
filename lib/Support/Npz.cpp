//===- Npz.cpp - NumPy's npz files ----------------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Zip as npz uses it. Format: PKWARE APPNOTE 6.3, sections 4.3 and 4.5.3.
#include "lathe/Support/AtomicFile.h"
#include "lathe/Support/Error.h"
#include "lathe/Support/MappedFile.h"
#include "lathe/Support/Npy.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/MathExtras.h"

#include <algorithm>
#include <zlib.h>

using namespace llvm;
using namespace llvm::support;

namespace lathe {

namespace {
constexpr uint32_t kLocalMagic = 0x04034b50, kCentralMagic = 0x02014b50,
                   kEndMagic = 0x06054b50, kEnd64Magic = 0x06064b50,
                   kLocator64Magic = 0x07064b50;
constexpr size_t kLocalSize = 30, kCentralSize = 46, kEndSize = 22,
                 kEnd64Size = 56, kLocatorSize = 20;
// deflate cannot do better than 1032:1, so a member that claims more is lying.
constexpr uint64_t kMaxRatio = 1040;

uint16_t u16(const char *p) { return endian::read16le(p); }
uint32_t u32(const char *p) { return endian::read32le(p); }
uint64_t u64(const char *p) { return endian::read64le(p); }

/// [offset, offset + size) of `bytes`, if it is all there.
std::optional<StringRef> window(StringRef bytes, uint64_t offset,
                                uint64_t size) {
  if (offset > bytes.size() || size > bytes.size() - offset)
    return std::nullopt;
  return bytes.substr(offset, size);
}

struct Member {
  std::string name;
  uint16_t flags, method;
  uint32_t crc;
  uint64_t packed, unpacked, localOffset;
};

struct Directory {
  uint64_t offset, size, count;
};

Expected<Directory> findDirectory(StringRef bytes) {
  // The end record stands last, but for a comment of at most 65535 bytes.
  if (bytes.size() < kEndSize)
    return makeError("it is not a zip archive");
  size_t lowest =
      bytes.size() - std::min<size_t>(bytes.size(), kEndSize + 0xFFFF);
  for (size_t at = bytes.size() - kEndSize + 1; at-- > lowest;) {
    const char *end = bytes.data() + at;
    if (u32(end) != kEndMagic || u16(end + 20) != bytes.size() - at - kEndSize)
      continue;
    Directory directory{u32(end + 16), u32(end + 12), u16(end + 10)};
    bool wide = directory.offset == UINT32_MAX ||
                directory.size == UINT32_MAX || directory.count == UINT16_MAX;
    std::optional<StringRef> locator;
    if (wide && at >= kLocatorSize)
      locator = window(bytes, at - kLocatorSize, kLocatorSize);
    if (locator && u32(locator->data()) == kLocator64Magic) {
      std::optional<StringRef> end64 =
          window(bytes, u64(locator->data() + 8), kEnd64Size);
      if (!end64 || u32(end64->data()) != kEnd64Magic)
        return makeError("its zip64 directory is damaged");
      directory = {u64(end64->data() + 48), u64(end64->data() + 40),
                   u64(end64->data() + 32)};
    }
    return directory;
  }
  return makeError("it is not a zip archive");
}

/// Takes the 64-bit values of the zip64 extra field, in the order the format
/// gives them, for those that did not fit.
bool applyZip64(StringRef extra, Member &member) {
  bool needed = member.unpacked == UINT32_MAX || member.packed == UINT32_MAX ||
                member.localOffset == UINT32_MAX;
  while (extra.size() >= 4) {
    uint16_t id = u16(extra.data()), size = u16(extra.data() + 2);
    extra = extra.drop_front(4);
    if (size > extra.size())
      return false;
    if (id == 1) {
      StringRef field = extra.take_front(size);
      for (uint64_t *value :
           {&member.unpacked, &member.packed, &member.localOffset}) {
        if (*value != UINT32_MAX)
          continue;
        if (field.size() < 8)
          return false;
        *value = u64(field.data());
        field = field.drop_front(8);
      }
      return true;
    }
    extra = extra.drop_front(size);
  }
  return !needed;
}

Expected<std::vector<Member>> readDirectory(StringRef bytes) {
  Expected<Directory> directory = findDirectory(bytes);
  if (!directory)
    return directory.takeError();
  std::optional<StringRef> rest =
      window(bytes, directory->offset, directory->size);
  if (!rest || directory->count > directory->size / kCentralSize)
    return makeError("its directory does not fit in the file");
  std::vector<Member> members;
  StringSet<> seen;
  uint64_t packedTotal = 0;
  for (uint64_t i = 0; i < directory->count; ++i) {
    if (rest->size() < kCentralSize || u32(rest->data()) != kCentralMagic)
      return makeError("entry {0} of its directory is damaged", i);
    const char *p = rest->data();
    Member member{"",          u16(p + 8),  u16(p + 10), u32(p + 16),
                  u32(p + 20), u32(p + 24), u32(p + 42)};
    uint64_t nameSize = u16(p + 28), extraSize = u16(p + 30),
             commentSize = u16(p + 32);
    if (rest->size() < kCentralSize + nameSize + extraSize + commentSize)
      return makeError("entry {0} of its directory is damaged", i);
    member.name = rest->substr(kCentralSize, nameSize).str();
    if (!applyZip64(rest->substr(kCentralSize + nameSize, extraSize), member))
      return makeError("the sizes of {0} are damaged", quote(member.name));
    if (!seen.insert(member.name).second)
      return makeError("it holds {0} twice", quote(member.name));
    // Members that share their packed bytes would multiply what a small file
    // unpacks to.
    packedTotal = SaturatingAdd(packedTotal, member.packed);
    if (packedTotal > bytes.size())
      return makeError("its members overlap");
    *rest = rest->drop_front(kCentralSize + nameSize + extraSize + commentSize);
    members.push_back(std::move(member));
  }
  return members;
}

/// Inflates into exactly `size` bytes.
Expected<std::string> inflateExactly(StringRef packed, uint64_t size) {
  std::string out;
  // Grow with what really comes out: a lying size costs nothing.
  out.resize(std::min<uint64_t>(size, 1 << 20));
  z_stream stream = {};
  if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
    return makeError("zlib does not start");
  uint64_t consumed = 0, produced = 0;
  int status = Z_OK;
  while (status == Z_OK) {
    if (produced == out.size()) {
      if (produced == size)
        break; // more comes than was declared, unless the end is next
      out.resize(std::min<uint64_t>(size, out.size() * 2));
    }
    constexpr uint64_t step = 1 << 30;
    uint64_t in = std::min<uint64_t>(packed.size() - consumed, step);
    uint64_t room = std::min<uint64_t>(out.size() - produced, step);
    stream.next_in =
        reinterpret_cast<Bytef *>(const_cast<char *>(packed.data())) + consumed;
    stream.avail_in = static_cast<uInt>(in);
    stream.next_out = reinterpret_cast<Bytef *>(out.data()) + produced;
    stream.avail_out = static_cast<uInt>(room);
    status = inflate(&stream, Z_NO_FLUSH);
    consumed += in - stream.avail_in;
    produced += room - stream.avail_out;
  }
  // The end mark may need one more call once all bytes are out.
  if (status == Z_OK && produced == size) {
    Bytef extra;
    uint64_t in = std::min<uint64_t>(packed.size() - consumed, 64);
    stream.next_in =
        reinterpret_cast<Bytef *>(const_cast<char *>(packed.data())) + consumed;
    stream.avail_in = static_cast<uInt>(in);
    stream.next_out = &extra;
    stream.avail_out = 1;
    status = inflate(&stream, Z_NO_FLUSH);
    consumed += in - stream.avail_in;
    produced += 1 - stream.avail_out;
  }
  inflateEnd(&stream);
  if (status != Z_STREAM_END || produced != size || consumed != packed.size())
    return makeError("its packed data is damaged or not of the declared size");
  return out;
}

uint32_t crcOf(StringRef bytes, uint32_t crc = 0) {
  constexpr size_t step = 1 << 30;
  for (; !bytes.empty(); bytes = bytes.drop_front(std::min(bytes.size(), step)))
    crc = crc32(crc, reinterpret_cast<const Bytef *>(bytes.data()),
                static_cast<uInt>(std::min(bytes.size(), step)));
  return crc;
}

Expected<Tensor> readMember(StringRef bytes, const Member &member) {
  if (member.flags & 1)
    return makeError("it is encrypted");
  std::optional<StringRef> local =
      window(bytes, member.localOffset, kLocalSize);
  if (!local || u32(local->data()) != kLocalMagic)
    return makeError("its local header is damaged");
  uint64_t start = member.localOffset + kLocalSize + u16(local->data() + 26) +
                   u16(local->data() + 28);
  std::optional<StringRef> packed = window(bytes, start, member.packed);
  if (!packed)
    return makeError("its {0} bytes do not fit in the file", member.packed);
  std::string unpacked;
  StringRef content = *packed;
  if (member.method == 8) {
    if (member.unpacked > SaturatingMultiply(member.packed, kMaxRatio))
      return makeError("it declares {0} bytes unpacked from {1}, more than "
                       "deflate can do",
                       member.unpacked, member.packed);
    Expected<std::string> result = inflateExactly(*packed, member.unpacked);
    if (!result)
      return result.takeError();
    unpacked = std::move(*result);
    content = unpacked;
  } else if (member.method != 0) {
    return makeError("packing method {0} is not supported, expected stored or "
                     "deflated",
                     member.method);
  }
  if (content.size() != member.unpacked)
    return makeError("it holds {0} bytes but declares {1}", content.size(),
                     member.unpacked);
  if (crcOf(content) != member.crc)
    return makeError("its checksum is wrong");
  return parseNpy(content, member.name);
}
} // namespace

Expected<std::vector<NamedTensor>> parseNpz(StringRef bytes, StringRef name) {
  std::string prefix = "cannot read " + quote(name);
  Expected<std::vector<Member>> members = readDirectory(bytes);
  if (!members)
    return prefixError(prefix, members.takeError());
  std::vector<NamedTensor> tensors;
  for (const Member &member : *members) {
    Expected<Tensor> tensor = readMember(bytes, member);
    if (!tensor)
      return prefixError(prefix + ", member " + quote(member.name),
                         tensor.takeError());
    StringRef label = member.name;
    label.consume_back(".npy");
    tensors.push_back({label.str(), std::move(*tensor)});
  }
  return tensors;
}

Expected<std::vector<NamedTensor>> readNpz(StringRef path) {
  Expected<std::shared_ptr<MappedFile>> file = MappedFile::open(path);
  if (!file)
    return file.takeError();
  return parseNpz((*file)->bytes(), path);
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

namespace {
class LittleEndian {
public:
  LittleEndian &u16(uint64_t v) { return put(v, 2); }
  LittleEndian &u32(uint64_t v) { return put(v, 4); }
  LittleEndian &u64(uint64_t v) { return put(v, 8); }
  std::string text;

private:
  LittleEndian &put(uint64_t v, int count) {
    for (; count--; v >>= 8)
      text += static_cast<char>(v & 0xFF);
    return *this;
  }
};

/// Raw deflate of header and data; empty where zlib fails.
std::string deflateAll(StringRef header, StringRef data) {
  std::string out;
  z_stream stream = {};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8,
                   Z_DEFAULT_STRATEGY) != Z_OK)
    return out;
  char chunk[1 << 16];
  for (StringRef piece : {header, data}) {
    bool last = piece.data() == data.data() && piece.size() == data.size();
    do {
      size_t in = std::min<size_t>(piece.size(), 1 << 30);
      stream.next_in =
          reinterpret_cast<Bytef *>(const_cast<char *>(piece.data()));
      stream.avail_in = static_cast<uInt>(in);
      bool finish = last && in == piece.size();
      do {
        stream.next_out = reinterpret_cast<Bytef *>(chunk);
        stream.avail_out = sizeof(chunk);
        deflate(&stream, finish ? Z_FINISH : Z_NO_FLUSH);
        out.append(chunk, sizeof(chunk) - stream.avail_out);
      } while (stream.avail_out == 0);
      piece = piece.drop_front(in);
    } while (!piece.empty());
  }
  deflateEnd(&stream);
  return out;
}
} // namespace

Error writeNpz(StringRef path, ArrayRef<NamedView> tensors, bool compress) {
  Expected<AtomicFile> file = AtomicFile::create(path);
  if (!file)
    return file.takeError();
  // Sizes always go to the zip64 field, as numpy does, so that one layout
  // serves all sizes. 0x21 is the first of January 1980: same bytes every time.
  LittleEndian central;
  for (const NamedView &entry : tensors) {
    std::string name = entry.name + ".npy";
    std::string header = npyHeader(entry.tensor.dtype(), entry.tensor.shape());
    StringRef data = entry.tensor.rawBytes();
    uint64_t unpacked = header.size() + data.size();
    uint32_t crc = crcOf(data, crcOf(header));
    std::string deflated;
    if (compress)
      deflated = deflateAll(header, data);
    uint64_t packed = compress ? deflated.size() : unpacked;
    uint64_t start = file->offset();
    LittleEndian local;
    local.u32(kLocalMagic).u16(45).u16(0x800).u16(compress ? 8 : 0).u16(0);
    local.u16(0x21).u32(crc).u32(UINT32_MAX).u32(UINT32_MAX);
    local.u16(name.size()).u16(20);
    local.text += name;
    local.u16(1).u16(16).u64(unpacked).u64(packed);
    if (Error error = file->write(local.text))
      return error;
    if (Error error = compress ? file->write(deflated) : file->write(header))
      return error;
    if (!compress)
      if (Error error = file->write(data))
        return error;
    central.u32(kCentralMagic).u16(45).u16(45).u16(0x800);
    central.u16(compress ? 8 : 0).u16(0).u16(0x21).u32(crc);
    central.u32(UINT32_MAX).u32(UINT32_MAX).u16(name.size()).u16(28).u16(0);
    central.u16(0).u16(0).u32(0).u32(UINT32_MAX);
    central.text += name;
    central.u16(1).u16(24).u64(unpacked).u64(packed).u64(start);
  }
  uint64_t directory = file->offset(), size = central.text.size();
  LittleEndian end;
  end.u32(kEnd64Magic).u64(44).u16(45).u16(45).u32(0).u32(0);
  end.u64(tensors.size()).u64(tensors.size()).u64(size).u64(directory);
  end.u32(kLocator64Magic).u32(0).u64(directory + size).u32(1);
  end.u32(kEndMagic).u16(0).u16(0).u16(UINT16_MAX).u16(UINT16_MAX);
  end.u32(UINT32_MAX).u32(UINT32_MAX).u16(0);
  if (Error error = file->write(central.text))
    return error;
  if (Error error = file->write(end.text))
    return error;
  return file->commit();
}

} // namespace lathe
