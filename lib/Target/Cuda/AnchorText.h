//===- AnchorText.h - Operands and epilogue of an anchor op as text -------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A skeleton of Device/*.cuh computes a product or an attention; what it reads
// and what becomes of its sums are small structs that are generated here from
// the views and the epilogue of lathe/Target/KernelViews.h.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_TARGET_CUDA_ANCHORTEXT_H
#define LATHE_LIB_TARGET_CUDA_ANCHORTEXT_H

#include "CodeWriter.h"
#include "lathe/Target/Cuda/Schedule.h"
#include "lathe/Target/KernelViews.h"

namespace lathe::cuda {

/// The digits of one or more coordinates, each over a stride.
using Access = SmallVector<SmallVector<Factor>>;

/// `batch * 4096 + m / 64 * 128 + m % 64`: where the element at `coordinates`
/// (names, or numbers) stands.
std::string offsetText(const Access &access, ArrayRef<std::string> coordinates,
                       int64_t offset);

/// The most neighbours (a power of two, at most `limit`) along coordinate
/// `along` that may be read or written at once from every multiple of it: 1
/// where they are no neighbours in memory. `alignment` is that of the buffer,
/// in elements.
int64_t getVector(const Access &access, unsigned along, int64_t offset,
                  int64_t alignment, int64_t limit);

/// In elements, what the buffer of a kernel's argument is aligned to.
int64_t getElementAlignment(KernelOp kernel, unsigned argument);

/// An operand of a product as a struct of gemm.cuh.
struct OperandText {
  std::string name;    ///< "A"
  std::string rowName; ///< "m"
  unsigned argument = 0;
  Type elementType;
  bool alongK = false;
  int64_t vector = 1;
  int64_t offset = 0;
  /// The body of at(batch, ROW, k), or of get<N>(batch, ROW, k) where elements
  /// are computed from narrower ones when they are read.
  std::vector<std::string> body;
  bool isComputed = false;
  /// What is in memory.
  Type storedType;
  /// What else a computed one reads: names and arguments.
  struct Parameter {
    std::string name;
    unsigned argument;
    Type elementType;
  };
  SmallVector<Parameter> parameters;
  /// Where TMA can read the operand: dims {k, ROW, batch}, or {ROW, k, batch}
  /// where neighbours are not along k, without the batch where it is the same
  /// for all.
  std::optional<GridTensorMap> tensor;

  /// From digits over {batch, row, k}.
  static OperandText fromAccess(KernelOp kernel, StringRef name,
                                StringRef rowName, const AnchorOperand &operand,
                                const Access &access);
  /// From the digits of bytes, their scale and their zero point.
  static FailureOr<OperandText>
  fromDequantize(KernelOp kernel, StringRef name, StringRef rowName,
                 const AnchorOperand &operand, const Access &access,
                 const Access &scale, const Access &zeroPoint,
                 std::string &whyNot);
  /// One of 8-bit floats as the same of f16, which they become when they are
  /// read.
  OperandText widened() const;
  /// From weights of 4 bits in panels and their scales, as operands of
  /// `lathe.packed_matmul` of depth `depth`: numbers of `elementType`, f32.
  static OperandText fromNibbles(StringRef name, StringRef rowName,
                                 const AnchorOperand &packed,
                                 const AnchorOperand &scale, int64_t group,
                                 int64_t depth, Type elementType);
  void print(CodeWriter &writer) const;
  /// The struct of gemm_tma.cuh.
  void printTensor(CodeWriter &writer) const;
  /// "A{in0}".
  std::string construct() const;
};

/// Of an anchor with several results, each has an epilogue of its own.
struct EpiloguePart {
  unsigned result = 0;
  std::string name = "Epilogue";
  /// No more than so many lanes.
  int64_t lanes = 8;
};

/// The epilogue of an anchor over row-major coordinates.
class EpilogueText {
public:
  /// `coordinates` are products of consecutive dims of the anchor's result, or
  /// parts of dims; `names` are theirs. `sumType` is what the skeleton sums in.
  /// Fails with the reason in `whyNot`.
  static FailureOr<EpilogueText> get(KernelOp kernel, const KernelViews &views,
                                     ArrayRef<int64_t> coordinates,
                                     ArrayRef<StringRef> names, Type sumType,
                                     std::string &whyNot,
                                     const EpiloguePart &part = {});

  /// Prints the struct; fails where an op has no CUDA form.
  LogicalResult print(CodeWriter &writer, std::string &whyNot) const;
  /// "Epilogue{in2, out0}".
  std::string construct() const;
  int64_t getLanes() const { return lanes; }

private:
  struct Leaf {
    unsigned argument;
    Type elementType;
    Access access;
    int64_t offset;
  };
  bool addLeaf(const Expr &expr, std::string &whyNot);
  unsigned findLeaf(const Expr &expr) const;

  KernelOp kernel;
  std::string name;
  Type sumType, anchorType;
  SmallVector<int64_t> coordinates;
  SmallVector<std::string> names;
  SmallVector<KernelOutput> outputs;
  /// Which output of the kernel each is.
  SmallVector<unsigned> places;
  SmallVector<Leaf> leaves;
  SmallVector<Access> destinations;
  int64_t lanes = 1;
};

/// The type sums of products of `elementType` are kept in.
Type getSumType(Type elementType);

} // namespace lathe::cuda

#endif // LATHE_LIB_TARGET_CUDA_ANCHORTEXT_H
