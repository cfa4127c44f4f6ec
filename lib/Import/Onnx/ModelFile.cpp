//===- ModelFile.cpp - An ONNX file, weights left where they are ----------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The wire walk follows protobuf's encoding page: a field is a varint tag
// (number << 3 | wire type) and a payload. Only messages on the way to a
// TensorProto are entered; everything else is copied as it stands.
//
//===----------------------------------------------------------------------===//

#include "ModelFile.h"

#include "lathe/Support/Error.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/Path.h"

#include <google/protobuf/stubs/logging.h>

using namespace llvm;

namespace lathe::onnx_import {
namespace {

/// Payloads up to this many bytes stay in the message.
constexpr uint64_t kKeepBytes = 64;
/// Nesting of messages; protobuf's own parser stops at 100.
constexpr unsigned kMaxDepth = 96;

enum class Kind { None, Model, Graph, Node, Attribute, Function, Tensor };

/// The message kind of field `number` inside `kind`.
Kind childKind(Kind kind, uint64_t number) {
  switch (kind) {
  case Kind::Model:
    return number == 7    ? Kind::Graph
           : number == 25 ? Kind::Function
                          : Kind::None;
  case Kind::Graph:
    return number == 1 ? Kind::Node : number == 5 ? Kind::Tensor : Kind::None;
  case Kind::Function:
    return number == 7 ? Kind::Node : Kind::None;
  case Kind::Node:
    return number == 5 ? Kind::Attribute : Kind::None;
  case Kind::Attribute:
    return number == 5 || number == 10   ? Kind::Tensor
           : number == 6 || number == 11 ? Kind::Graph
                                         : Kind::None;
  default:
    return Kind::None;
  }
}

bool readVarint(StringRef bytes, uint64_t &pos, uint64_t &value) {
  value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (pos >= bytes.size())
      return false;
    uint8_t byte = bytes[pos++];
    value |= uint64_t(byte & 0x7f) << shift;
    if (!(byte & 0x80))
      return true;
  }
  return false;
}

void writeVarint(std::string &out, uint64_t value) {
  for (; value >= 0x80; value >>= 7)
    out.push_back(char(value | 0x80));
  out.push_back(char(value));
}

/// TensorProto.doc_string carries the number of a cut; the field is dropped
/// from the file's own tensors, so a file cannot pretend to have cuts.
constexpr uint64_t kTensorDocString = 12, kTensorRawData = 9,
                   kTensorFloatData = 4, kTensorDoubleData = 10;

} // namespace

class ModelFile::Scanner {
public:
  Scanner(StringRef whole, std::vector<Cut> &cuts) : whole(whole), cuts(cuts) {}

  /// Appends `message` without its large payloads; false where it is damaged.
  bool copy(Kind kind, StringRef message, std::string &out, unsigned depth) {
    if (depth > kMaxDepth)
      return false;
    uint64_t pos = 0;
    while (pos < message.size()) {
      uint64_t start = pos, tag, length;
      if (!readVarint(message, pos, tag) || tag >> 3 == 0)
        return false;
      switch (tag & 7) {
      case 0:
        if (!readVarint(message, pos, length))
          return false;
        break;
      case 1:
        pos += 8;
        break;
      case 5:
        pos += 4;
        break;
      case 2: {
        if (!readVarint(message, pos, length) || length > message.size() - pos)
          return false;
        StringRef payload = message.substr(pos, length);
        pos += length;
        if (kind == Kind::Tensor) {
          if (tag >> 3 == kTensorDocString)
            continue;
          if (cut(tag >> 3, payload, out))
            continue;
        } else if (Kind child = childKind(kind, tag >> 3);
                   child != Kind::None) {
          std::string inner;
          if (!copy(child, payload, inner, depth + 1))
            return false;
          writeVarint(out, tag);
          writeVarint(out, inner.size());
          out += inner;
          continue;
        }
        break;
      }
      default: // groups are not used by ONNX
        return false;
      }
      if (pos > message.size())
        return false;
      out.append(message.data() + start, pos - start);
    }
    return true;
  }

private:
  bool cut(uint64_t field, StringRef payload, std::string &out) {
    // Packed float and double fields are laid out like raw data.
    bool typed = field == kTensorFloatData || field == kTensorDoubleData;
    if ((field != kTensorRawData && !typed) || payload.size() <= kKeepBytes)
      return false;
    std::string mark = (field == kTensorRawData     ? "r"
                        : field == kTensorFloatData ? "f"
                                                    : "d") +
                       std::to_string(cuts.size());
    cuts.push_back({uint64_t(payload.data() - whole.data()), payload.size()});
    writeVarint(out, kTensorDocString << 3 | 2);
    writeVarint(out, mark.size());
    out += mark;
    return true;
  }

  StringRef whole;
  std::vector<Cut> &cuts;
};

Error ModelFile::read(StringRef path, google::protobuf::MessageLite &message) {
  fileName = path.str();
  auto mapped = MappedFile::open(path);
  if (!mapped)
    return mapped.takeError();
  file = *mapped;
  bool isModel = &message == &proto;
  std::string stripped;
  google::protobuf::LogSilencer silencer;
  if (!Scanner(file->bytes(), cuts)
           .copy(isModel ? Kind::Model : Kind::Tensor, file->bytes(), stripped,
                 0) ||
      stripped.size() > size_t(INT32_MAX) ||
      !message.ParseFromArray(stripped.data(), stripped.size()))
    return makeError("{0} is not an ONNX {1}, or is damaged or cut short",
                     quote(path), isModel ? "model" : "tensor");
  return Error::success();
}

Expected<std::unique_ptr<ModelFile>> ModelFile::open(StringRef path) {
  auto result = std::unique_ptr<ModelFile>(new ModelFile);
  if (Error error = result->read(path, result->proto))
    return std::move(error);
  if (!result->proto.has_graph() || !result->proto.has_ir_version() ||
      result->proto.opset_import_size() == 0)
    return makeError("{0} is not an ONNX model: it has no {1}", quote(path),
                     result->proto.has_graph() ? "operator set" : "graph");
  return result;
}

Expected<std::unique_ptr<ModelFile>>
ModelFile::openTensor(StringRef path, onnx::TensorProto &tensor) {
  auto result = std::unique_ptr<ModelFile>(new ModelFile);
  if (Error error = result->read(path, tensor))
    return std::move(error);
  return result;
}

/// The host type of a TensorProto's data_type.
static std::optional<DType> hostType(int32_t type) {
  switch (type) {
  case onnx::TensorProto::FLOAT:
    return DType::F32;
  case onnx::TensorProto::DOUBLE:
    return DType::F64;
  case onnx::TensorProto::FLOAT16:
    return DType::F16;
  case onnx::TensorProto::BFLOAT16:
    return DType::BF16;
  case onnx::TensorProto::INT64:
    return DType::I64;
  case onnx::TensorProto::INT32:
    return DType::I32;
  case onnx::TensorProto::INT16:
    return DType::I16;
  case onnx::TensorProto::INT8:
    return DType::I8;
  case onnx::TensorProto::BOOL:
    return DType::I1;
  case onnx::TensorProto::UINT64:
    return DType::U64;
  case onnx::TensorProto::UINT32:
    return DType::U32;
  case onnx::TensorProto::UINT16:
    return DType::U16;
  case onnx::TensorProto::UINT8:
    return DType::U8;
  case 17: // FLOAT8E4M3FN, which older schemas do not name
    return DType::F8E4M3;
  default:
    return std::nullopt;
  }
}

template <typename T, typename Field>
static std::shared_ptr<std::string> pack(const Field &values) {
  auto out = std::make_shared<std::string>();
  out->resize(sizeof(T) * values.size());
  char *p = out->data();
  for (auto v : values) {
    T t = static_cast<T>(v);
    memcpy(p, &t, sizeof(T));
    p += sizeof(T);
  }
  return out;
}

/// Values of the typed field that belongs to `type`.
static std::shared_ptr<std::string> packTyped(const onnx::TensorProto &tensor,
                                              DType type) {
  switch (type) {
  case DType::F32:
    return pack<float>(tensor.float_data());
  case DType::F64:
    return pack<double>(tensor.double_data());
  case DType::I64:
    return pack<int64_t>(tensor.int64_data());
  case DType::U64:
    return pack<uint64_t>(tensor.uint64_data());
  case DType::U32:
    return pack<uint32_t>(tensor.uint64_data());
  case DType::I32:
    return pack<int32_t>(tensor.int32_data());
  case DType::F16:
  case DType::BF16:
  case DType::I16:
  case DType::U16:
    return pack<uint16_t>(tensor.int32_data());
  default:
    return pack<uint8_t>(tensor.int32_data());
  }
}

Expected<std::shared_ptr<MappedFile>>
ModelFile::openExternal(StringRef location, std::string &joined) {
  auto refuse = [&](const char *why) {
    return makeError("external data {0} {1}", quote(location), why);
  };
  if (location.empty())
    return makeError("external data has no location");
  if (location.contains('\0') || sys::path::is_absolute(location))
    return refuse("must be a path inside the model's folder");
  for (auto it = sys::path::begin(location), end = sys::path::end(location);
       it != end; ++it)
    if (*it == "..")
      return refuse("must be a path inside the model's folder");
  SmallString<256> path = sys::path::parent_path(fileName);
  SmallString<256> folder, real;
  if (sys::fs::real_path(path.empty() ? "." : path.str(), folder))
    return refuse("cannot be found: the model's folder cannot be resolved");
  sys::path::append(path, location);
  joined = path.str().str();
  auto &entry = external[joined];
  if (entry)
    return entry;
  if (std::error_code ec = sys::fs::real_path(path, real))
    return makeError("external data {0} cannot be opened: {1}", quote(joined),
                     ec.message());
  // A symbolic link may point anywhere; what counts is where it ends.
  if (!StringRef(real).starts_with((folder + "/").str()) && folder != "/")
    return refuse("is a link that leaves the model's folder");
  auto file = MappedFile::open(joined);
  if (!file)
    return file.takeError();
  return entry = *file;
}

std::vector<std::string> ModelFile::externalFiles() const {
  std::vector<std::string> names;
  for (const auto &entry : external)
    names.push_back(entry.first().str());
  llvm::sort(names);
  return names;
}

Expected<TensorBytes> ModelFile::locate(const onnx::TensorProto &tensor) {
  TensorBytes result;
  std::optional<DType> type = hostType(tensor.data_type());
  if (!type)
    return makeError("element type {0} is not supported",
                     onnx::TensorProto_DataType_IsValid(tensor.data_type())
                         ? onnx::TensorProto_DataType_Name(
                               onnx::TensorProto_DataType(tensor.data_type()))
                         : "number " + std::to_string(tensor.data_type()));
  if (tensor.has_segment())
    return makeError("tensors in segments are not supported");
  result.dtype = *type;
  uint64_t elements = 1;
  for (int64_t dim : tensor.dims()) {
    if (dim < 0)
      return makeError("has the negative size {0}", dim);
    bool overflow = false;
    elements = SaturatingMultiply<uint64_t>(elements, dim, &overflow);
    if (overflow || elements > uint64_t(INT64_MAX) / 8)
      return makeError("declares more elements than memory can hold");
    result.shape.push_back(dim);
  }
  result.size = elements * dtypeSize(*type);
  auto expectBytes = [&](uint64_t found) -> Error {
    if (found == result.size)
      return Error::success();
    return makeError("its shape and type need {0} bytes, the file has {1}",
                     result.size, found);
  };

  if (tensor.data_location() == onnx::TensorProto::EXTERNAL) {
    StringRef location;
    std::optional<uint64_t> length;
    for (const auto &entry : tensor.external_data()) {
      uint64_t *number = entry.key() == "offset"   ? &result.offset
                         : entry.key() == "length" ? &length.emplace()
                                                   : nullptr;
      if (entry.key() == "location")
        location = entry.value();
      else if (number && StringRef(entry.value()).getAsInteger(10, *number))
        return makeError("external data has the {0} {1}, a number was expected",
                         entry.key(), quote(entry.value()));
    }
    auto file = openExternal(location, result.file);
    if (!file)
      return file.takeError();
    if (length)
      if (Error error = expectBytes(*length))
        return std::move(error);
    if (result.offset > (*file)->size() ||
        result.size > (*file)->size() - result.offset)
      return makeError("external data {0} has {1} bytes, {2} at offset {3} "
                       "were expected",
                       quote(result.file), (*file)->size(), result.size,
                       result.offset);
    result.bytes = (*file)->bytes().substr(result.offset, result.size);
    return result;
  }

  // A cut: the file's own bytes, if their layout is the tensor's.
  if (tensor.has_doc_string()) {
    unsigned index = 0;
    StringRef mark = tensor.doc_string();
    char field = mark.front();
    if (mark.drop_front().getAsInteger(10, index) || index >= cuts.size() ||
        (field == 'f' && *type != DType::F32) ||
        (field == 'd' && *type != DType::F64))
      return makeError("its data is of another type than it declares");
    if (Error error = expectBytes(cuts[index].size))
      return std::move(error);
    result.file = fileName;
    result.offset = cuts[index].offset;
    result.bytes = file->bytes().substr(result.offset, result.size);
    return result;
  }
  result.decoded = tensor.has_raw_data()
                       ? std::make_shared<std::string>(tensor.raw_data())
                       : packTyped(tensor, *type);
  if (Error error = expectBytes(result.decoded->size()))
    return std::move(error);
  result.bytes = *result.decoded;
  return result;
}

} // namespace lathe::onnx_import
