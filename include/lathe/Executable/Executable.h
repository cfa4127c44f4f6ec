//===- Executable.h - Compiled models ---------------------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What a target hands to the Runtime, as a Protobuf message (Executable.proto)
// and as a file:
//
//   8 bytes   "LATHE\0\0\1"
//   8 bytes   length of the payload, little-endian
//   32 bytes  SHA-256 of the payload
//   payload   the message lathe.exec.Executable
//   data      where the message has data_bytes: zeros up to a multiple of 4096
//             bytes of the file, then as many bytes of weights
//
// Text in the message must be UTF-8, or the file cannot be read back: pass
// names from foreign models through llvm::json::fixUTF8.
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_EXECUTABLE_EXECUTABLE_H
#define LATHE_EXECUTABLE_EXECUTABLE_H

#include "lathe/Executable/EmbeddedData.h"
#include "lathe/Executable/Executable.pb.h"
#include "lathe/Support/Tensor.h"

#include <memory>

namespace lathe {

/// Goes up when the meaning of a field changes; files of another version are
/// refused.
inline constexpr uint32_t kFormatVersion = 2;

exec::ElementType toElementType(DType type);
/// Errors: not a known element type.
llvm::Expected<DType> fromElementType(exec::ElementType type);
void setTensorType(exec::TensorType *to, DType type,
                   llvm::ArrayRef<int64_t> shape);

/// Checks everything the Runtime relies on: every index, every window inside
/// its buffer for every iteration of its loops, every buffer inside its arena,
/// loops named in scope, no write to what is read-only, counts not negative.
/// Programs that pass cannot make the Runtime itself touch foreign memory. The
/// machine code in `objects` is another matter: a compiled model is a program,
/// and running one from a stranger is running a stranger's program.
llvm::Error verifyExecutable(const exec::Executable &executable);

/// The file's bytes. Errors: larger than Protobuf's 2 GiB.
llvm::Expected<std::string>
serializeExecutable(const exec::Executable &executable);
/// Checks magic, length, digest, message and verifyExecutable; `name` is what
/// errors call the bytes.
llvm::Expected<std::shared_ptr<exec::Executable>>
parseExecutable(llvm::StringRef bytes, llvm::StringRef name);

/// The bytes of a compiled model's data in the order they are written in;
/// `data_bytes` is the sum of their lengths.
using DataPieces = llvm::ArrayRef<llvm::StringRef>;

/// Atomic: the file is there whole or not at all.
llvm::Error writeExecutable(llvm::StringRef path,
                            const exec::Executable &executable,
                            DataPieces data = {});
/// `data` gets the file's weights, if any; without it they are left alone.
llvm::Expected<std::shared_ptr<exec::Executable>>
readExecutable(llvm::StringRef path, EmbeddedData *data = nullptr);

/// True where the bytes begin as a compiled model does.
bool looksLikeExecutable(llvm::StringRef bytes);

} // namespace lathe

#endif // LATHE_EXECUTABLE_EXECUTABLE_H
