//===- File.cpp - Compiled models as files --------------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Executable/Executable.h"
#include "lathe/Support/AtomicFile.h"
#include "lathe/Support/Error.h"
#include "lathe/Support/MappedFile.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/SHA256.h"

#include <google/protobuf/stubs/logging.h>

using namespace llvm;

namespace lathe {

static constexpr StringLiteral kMagic =
    StringLiteral::withInnerNUL("LATHE\0\0\1");
static constexpr size_t kHeaderBytes = 8 + 8 + 32;
static_assert(kMagic.size() == 8);

/// Where the data starts behind a message of `length` bytes: on a page, so that
/// it can be mapped.
static uint64_t dataOffset(uint64_t length) {
  return alignTo(kHeaderBytes + length, 4096);
}

exec::ElementType toElementType(DType type) {
  return static_cast<exec::ElementType>(type);
}

Expected<DType> fromElementType(exec::ElementType type) {
  for (DType dtype : kAllDTypes)
    if (static_cast<int>(dtype) == static_cast<int>(type))
      return dtype;
  return makeError("element type {0} is unknown", static_cast<int>(type));
}

void setTensorType(exec::TensorType *to, DType type, ArrayRef<int64_t> shape) {
  to->set_element(toElementType(type));
  to->mutable_shape()->Clear();
  to->mutable_shape()->Add(shape.begin(), shape.end());
}

bool looksLikeExecutable(StringRef bytes) {
  return bytes.starts_with(kMagic.take_front(7));
}

Expected<std::string> serializeExecutable(const exec::Executable &executable) {
  if (executable.ByteSizeLong() > INT_MAX)
    return makeError("the compiled model takes {0} bytes, more than the "
                     "format's 2 GiB",
                     executable.ByteSizeLong());
  std::string bytes(kHeaderBytes, '\0');
  if (!executable.AppendToString(&bytes))
    return makeError("the compiled model cannot be serialized");
  StringRef payload = StringRef(bytes).drop_front(kHeaderBytes);
  std::array<uint8_t, 32> digest = SHA256::hash(arrayRefFromStringRef(payload));
  std::copy(kMagic.begin(), kMagic.end(), bytes.begin());
  support::endian::write64le(bytes.data() + 8, payload.size());
  std::copy(digest.begin(), digest.end(), bytes.begin() + 16);
  return bytes;
}

static Expected<std::shared_ptr<exec::Executable>> parse(StringRef bytes) {
  if (!looksLikeExecutable(bytes))
    return makeError("it is not a compiled model");
  if (!bytes.starts_with(kMagic))
    return makeError("it has container version {0}, expected 1",
                     bytes.size() > 7 ? unsigned(uint8_t(bytes[7])) : 0);
  if (bytes.size() < kHeaderBytes)
    return makeError("it ends inside its header");
  StringRef payload = bytes.drop_front(kHeaderBytes);
  uint64_t length = support::endian::read64le(bytes.data() + 8);
  if (length > payload.size())
    return makeError("its header declares {0} bytes, but the file holds {1}",
                     length, payload.size());
  payload = payload.take_front(length);
  if (length > INT_MAX)
    return makeError("its {0} bytes exceed the format's 2 GiB", length);
  std::array<uint8_t, 32> digest = SHA256::hash(arrayRefFromStringRef(payload));
  if (toStringRef(digest) != bytes.substr(16, 32))
    return makeError("it is damaged: its digest does not match");
  auto executable = std::make_shared<exec::Executable>();
  // Protobuf prints to stderr what we say better ourselves.
  google::protobuf::LogSilencer silence;
  if (!executable->ParseFromArray(payload.data(),
                                  static_cast<int>(payload.size())))
    return makeError("it is damaged: its message cannot be parsed");
  if (Error error = verifyExecutable(*executable))
    return std::move(error);
  uint64_t expected = executable->data_bytes()
                          ? dataOffset(length) + executable->data_bytes()
                          : kHeaderBytes + length;
  if (expected != bytes.size())
    return makeError("it declares {0} bytes, but the file holds {1}", expected,
                     bytes.size());
  return executable;
}

Expected<std::shared_ptr<exec::Executable>> parseExecutable(StringRef bytes,
                                                            StringRef name) {
  Expected<std::shared_ptr<exec::Executable>> executable = parse(bytes);
  if (!executable)
    return prefixError("cannot load " + quote(name), executable.takeError());
  return executable;
}

Error writeExecutable(StringRef path, const exec::Executable &executable,
                      DataPieces data) {
  Expected<std::string> bytes = serializeExecutable(executable);
  if (!bytes)
    return prefixError("cannot write " + quote(path), bytes.takeError());
  uint64_t total = 0;
  for (StringRef piece : data)
    total += piece.size();
  if (total != executable.data_bytes())
    return makeError("cannot write {0}: {1} bytes of weights are at hand, the "
                     "message has {2}",
                     quote(path), total, executable.data_bytes());
  if (total)
    bytes->resize(dataOffset(bytes->size() - kHeaderBytes));
  SmallVector<StringRef> pieces{*bytes};
  llvm::append_range(pieces, data);
  return writeFileAtomically(path, pieces);
}

Expected<std::shared_ptr<exec::Executable>> readExecutable(StringRef path,
                                                           EmbeddedData *data) {
  Expected<std::shared_ptr<MappedFile>> file = MappedFile::open(path);
  if (!file)
    return file.takeError();
  Expected<std::shared_ptr<exec::Executable>> executable =
      parseExecutable((*file)->bytes(), path);
  if (executable && data && (*executable)->data_bytes())
    *data = {*file, (*file)->size() - (*executable)->data_bytes()};
  return executable;
}

} // namespace lathe
