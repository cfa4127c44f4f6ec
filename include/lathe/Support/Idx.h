//===- Idx.h - IDX files, as MNIST has them -*- C++ -* ----------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Format: "THE IDX FILE FORMAT" of the MNIST page: two zero bytes, a type byte,
// a rank byte, an extent per dimension (32 bits), the elements; all big-endian.
// A file that begins with gzip's magic is unpacked first (RFC 1952).
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_SUPPORT_IDX_H
#define LATHE_SUPPORT_IDX_H

#include "lathe/Support/Tensor.h"

namespace lathe {

/// `name` is what errors call the bytes. The header's size must be the file's.
llvm::Expected<Tensor> parseIdx(llvm::StringRef bytes, llvm::StringRef name);
llvm::Expected<Tensor> readIdx(llvm::StringRef path);

/// Unpacks a gzip file, which may have several members. Memory grows with what
/// really comes out; more than `maxBytes` is an error, and so is a checksum
/// that does not hold.
llvm::Expected<std::string> gunzip(llvm::StringRef packed, uint64_t maxBytes);
bool isGzip(llvm::StringRef bytes);

} // namespace lathe

#endif // LATHE_SUPPORT_IDX_H
