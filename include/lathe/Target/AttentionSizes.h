//===- AttentionSizes.h - What schedules read off an attention --*- C++ -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TARGET_ATTENTIONSIZES_H
#define LATHE_TARGET_ATTENTIONSIZES_H

#include "lathe/Target/KernelViews.h"
#include "llvm/ADT/TypeSwitch.h"

#include <cmath>

namespace lathe {

/// The sizes of q [batch, heads, queries, depth], k [batch, groups, keys,
/// depth] and v [batch, groups, keys, width]; heads / groups heads share keys.
struct AttentionSizes {
  int64_t batch = 0, heads = 0, groups = 0, queries = 0, keys = 0, depth = 0,
          width = 0;
  bool causal = false;
  /// Of the scores; 1 / sqrt(depth) where the op says nothing.
  double scale = 1;

  /// Whether `op` is one of those whose sizes these are.
  static bool isForward(Operation *op) {
    return isa<AttentionOp, AttentionTrainingOp>(op);
  }
  static bool isBackward(Operation *op) { return isa<AttentionBackwardOp>(op); }

  /// `views.anchor` must be one of them. Views have heads second in any layout
  /// (`KernelViews::get` sees to it).
  static AttentionSizes get(const KernelViews &views) {
    ArrayRef<int64_t> q = views.operands[0].view.sizes,
                      v = views.operands[2].view.sizes;
    AttentionSizes sizes;
    sizes.batch = q[0];
    sizes.heads = q[1];
    sizes.queries = q[2];
    sizes.depth = q[3];
    sizes.groups = v[1];
    sizes.keys = v[2];
    sizes.width = v[3];
    sizes.scale = 1 / std::sqrt(double(sizes.depth));
    auto read = [&](auto op) {
      sizes.causal = op.getCausal();
      if (op.getScale())
        sizes.scale = op.getScale()->convertToDouble();
    };
    llvm::TypeSwitch<Operation *>(views.anchor)
        .Case<AttentionOp, AttentionTrainingOp, AttentionBackwardOp>(read);
    return sizes;
  }
};

} // namespace lathe

#endif // LATHE_TARGET_ATTENTIONSIZES_H
