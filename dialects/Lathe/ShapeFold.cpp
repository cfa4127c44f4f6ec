//===- ShapeFold.cpp - Folding of the shape family ------------------------===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Lathe/Inference.h"

namespace lathe {

OpFoldResult ReshapeOp::fold(FoldAdaptor) { return {}; }
OpFoldResult SqueezeOp::fold(FoldAdaptor) { return {}; }
OpFoldResult UnsqueezeOp::fold(FoldAdaptor) { return {}; }
OpFoldResult TransposeOp::fold(FoldAdaptor) { return {}; }
OpFoldResult BroadcastOp::fold(FoldAdaptor) { return {}; }
OpFoldResult SliceOp::fold(FoldAdaptor) { return {}; }
OpFoldResult ConcatOp::fold(FoldAdaptor) { return {}; }
OpFoldResult ShapeOfOp::fold(FoldAdaptor) { return {}; }
OpFoldResult IotaOp::fold(FoldAdaptor) { return {}; }
OpFoldResult DynamicRangeOp::fold(FoldAdaptor) { return {}; }
OpFoldResult GatherOp::fold(FoldAdaptor) { return {}; }

void ReshapeOp::getCanonicalizationPatterns(RewritePatternSet &,
                                            MLIRContext *) {}
void DynamicReshapeOp::getCanonicalizationPatterns(RewritePatternSet &,
                                                   MLIRContext *) {}
void SqueezeOp::getCanonicalizationPatterns(RewritePatternSet &,
                                            MLIRContext *) {}
void UnsqueezeOp::getCanonicalizationPatterns(RewritePatternSet &,
                                              MLIRContext *) {}
void TransposeOp::getCanonicalizationPatterns(RewritePatternSet &,
                                              MLIRContext *) {}
void DynamicBroadcastOp::getCanonicalizationPatterns(RewritePatternSet &,
                                                     MLIRContext *) {}
void DynamicSliceOp::getCanonicalizationPatterns(RewritePatternSet &,
                                                 MLIRContext *) {}
void DynamicPadOp::getCanonicalizationPatterns(RewritePatternSet &,
                                               MLIRContext *) {}
void DynamicTileOp::getCanonicalizationPatterns(RewritePatternSet &,
                                                MLIRContext *) {}

} // namespace lathe
