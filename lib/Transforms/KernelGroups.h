//===- KernelGroups.h - Which ops of a block share a kernel -----*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The decision half of lathe-form-kernels: it reads one block and changes
// nothing. FormKernels.cpp carries the decision out.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TRANSFORMS_KERNELGROUPS_H
#define LATHE_TRANSFORMS_KERNELGROUPS_H

#include "lathe/Analysis/RowDomain.h"
#include <memory>

namespace lathe {

struct KernelGroup {
  /// In block order.
  SmallVector<Operation *> ops;
  /// "rows", "contraction", "convolution", "attention" or "opaque".
  StringRef schedule;
  /// The index space of a group with schedule rows.
  std::optional<RowDomain> rows;
  /// Places of the first and the last op in the block.
  unsigned first = 0, last = 0;
};

struct KernelGroupOptions {
  bool fuse = true;
  /// Ask for a reason per neighbour left out.
  bool explain = false;
  unsigned maxOps = 64;
  unsigned maxInputs = 24;
};

class KernelGroups {
public:
  KernelGroups(Block &block, const KernelGroupOptions &options);

  /// Groups in an order in which every one comes after those it reads, mixed
  /// with the ops that stay outside (a null group and the op).
  struct Unit {
    KernelGroup *group = nullptr;
    Operation *op = nullptr;
  };
  ArrayRef<Unit> getOrder() const { return order; }
  KernelGroup *getGroup(Operation *op) const { return groupOf.lookup(op); }

  /// Why `consumer` is not in the kernel of `producer`, whose result it reads.
  std::string getReason(Operation *producer, Operation *consumer) const;

private:
  void collect();
  void formAttention(Operation *op);
  void formContraction(Operation *op);
  void formRows(Operation *op);
  LogicalResult canShare(KernelGroup &into, ArrayRef<Operation *> extra,
                         std::string &whyNot) const;
  bool pathOutside(const KernelGroup *from, Operation *fromOp,
                   const KernelGroup *to, Operation *toOp) const;
  bool readsThroughOthers(Operation *op,
                          const llvm::SmallPtrSetImpl<Operation *> &members,
                          unsigned floor) const;
  KernelGroup *newGroup(ArrayRef<Operation *> ops, StringRef schedule);
  void extend(KernelGroup &group, ArrayRef<Operation *> ops);
  void refuse(Operation *producer, Operation *consumer, const Twine &reason);
  bool sortUnits();

  Block &block;
  KernelGroupOptions options;
  SmallVector<std::unique_ptr<KernelGroup>> groups;
  DenseMap<Operation *, KernelGroup *> groupOf;
  DenseMap<Operation *, unsigned> place;
  /// Ops of this block that an op depends on, through operands and regions.
  DenseMap<Operation *, SmallVector<Operation *, 4>> dependencies;
  DenseMap<std::pair<Operation *, Operation *>, std::string> reasons;
  SmallVector<Unit> order;
};

} // namespace lathe

#endif // LATHE_TRANSFORMS_KERNELGROUPS_H
