//===- AttentionSizes.h - What schedules read off an attention ---*- C++
//-*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TARGET_ATTENTIONSIZES_H
#define LATHE_TARGET_ATTENTIONSIZES_H

#include "lathe/Target/KernelViews.h"

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

  /// `views.anchor` must be an AttentionOp.
  static AttentionSizes get(const KernelViews &views) {
    auto op = cast<AttentionOp>(views.anchor);
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
    sizes.causal = op.getCausal();
    sizes.scale = op.getScale() ? op.getScale()->convertToDouble()
                                : 1 / std::sqrt(double(sizes.depth));
    return sizes;
  }
};

} // namespace lathe

#endif // LATHE_TARGET_ATTENTIONSIZES_H
