//===- ModelFile.h - An ONNX file, weights left where they are --*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_IMPORT_ONNX_MODELFILE_H
#define LATHE_IMPORT_ONNX_MODELFILE_H

#include "lathe/Support/MappedFile.h"
#include "lathe/Support/Tensor.h"

#include "onnx/onnx_pb.h"
#include "llvm/ADT/StringMap.h"

#include <memory>

namespace lathe::onnx_import {

/// Where the bytes of a tensor are.
struct TensorBytes {
  DType dtype = DType::F32;
  Shape shape;
  /// The file that holds them, as the caller would open it; empty where they
  /// were decoded from typed fields.
  std::string file;
  uint64_t offset = 0;
  uint64_t size = 0;
  /// The bytes: mapped, or owned by `decoded`.
  llvm::StringRef bytes;
  std::shared_ptr<std::string> decoded;
};

/// A model whose protobuf messages are in memory, and whose tensors of more
/// than a few bytes are not: a first walk over the wire format cuts them out
/// and remembers their place.
class ModelFile {
public:
  static llvm::Expected<std::unique_ptr<ModelFile>> open(llvm::StringRef path);
  /// Reads a lone TensorProto.
  static llvm::Expected<std::unique_ptr<ModelFile>>
  openTensor(llvm::StringRef path, onnx::TensorProto &tensor);

  const onnx::ModelProto &model() const { return proto; }
  const std::string &path() const { return fileName; }
  /// The files with external data that were asked for so far, sorted.
  std::vector<std::string> externalFiles() const;

  /// Finds (external data) or decodes (typed fields) the bytes of `tensor`,
  /// after checking type, shape and size against each other.
  llvm::Expected<TensorBytes> locate(const onnx::TensorProto &tensor);

private:
  struct Cut {
    uint64_t offset, size;
  };
  class Scanner;

  /// Maps the file and parses it into `message`, a TensorProto or `proto`,
  /// without its large tensors.
  llvm::Error read(llvm::StringRef path,
                   google::protobuf::MessageLite &message);
  llvm::Expected<std::shared_ptr<MappedFile>>
  openExternal(llvm::StringRef location, std::string &joined);

  std::string fileName;
  std::shared_ptr<MappedFile> file;
  std::vector<Cut> cuts;
  llvm::StringMap<std::shared_ptr<MappedFile>> external;
  onnx::ModelProto proto;
};

} // namespace lathe::onnx_import

#endif // LATHE_IMPORT_ONNX_MODELFILE_H
