//===- Npy.h - NumPy's npy and npz files ------------------------*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Format: numpy/lib/format.py ("NEP 1"). Versions 1, 2 and 3, little-endian, C
// and Fortran order (turned into row-major on load). Files are untrusted: what
// a header declares is checked against the file before memory is asked for.
//
//===----------------------------------------------------------------------===//
#ifndef LATHE_SUPPORT_NPY_H
#define LATHE_SUPPORT_NPY_H

#include "lathe/Support/Tensor.h"

#include <vector>

namespace lathe {

/// `name` is what errors call the bytes.
llvm::Expected<Tensor> parseNpy(llvm::StringRef bytes, llvm::StringRef name);
/// The array where it lies in `bytes`, which must outlive it; nothing where it
/// has to be copied to be used (Fortran order, booleans, unaligned).
llvm::Expected<std::optional<TensorView>> viewNpy(llvm::StringRef bytes,
                                                  llvm::StringRef name);
llvm::Expected<Tensor> readNpy(llvm::StringRef path);
llvm::Error writeNpy(llvm::StringRef path, const TensorView &tensor);
/// Magic, version and padded header; the tensor's bytes follow.
std::string npyHeader(DType type, llvm::ArrayRef<int64_t> shape);

/// All arrays of an npz file in archive order, names without ".npy". Members
/// may be stored or deflated; each must unpack to exactly its declared size and
/// checksum.
llvm::Expected<std::vector<NamedTensor>> parseNpz(llvm::StringRef bytes,
                                                  llvm::StringRef name);
llvm::Expected<std::vector<NamedTensor>> readNpz(llvm::StringRef path);

/// Atomic, as writeNpy. `compress` deflates.
llvm::Error writeNpz(llvm::StringRef path, llvm::ArrayRef<NamedView> tensors,
                     bool compress = false);

} // namespace lathe

#endif // LATHE_SUPPORT_NPY_H
