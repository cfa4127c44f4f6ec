//===- Attention.td - Attention, forward and backward -*- tablegen -*-===//
//
// Part of Lathe, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_ATTENTION_TD
#define LATHE_ATTENTION_TD

include "dialects/Lathe/LatheBase.td"

defvar Heads = DefaultValuedAttr<Lathe_HeadLayout, "HeadLayout::heads_second">;

def AttentionOp : Lathe_PureOp<"attention", [FusibleKindOnly, GradientComposite, PrefersLayout]> {
  let summary = "scaled dot-product attention";
  let description = [{
    `softmax(q k^T * scale + mask) v` over `q [b, h, s, d]`, `k [b, g, t, d]`,
    `v [b, g, t, e]` -> `[b, h, s, e]`; h is a multiple of g (grouped-query). `mask`
    broadcasts to `[b, h, s, t]`: a float mask is added, a Boolean one keeps where
    true. With `causal`, query i sees keys j <= i + (t - s). `scale` defaults to
    1/sqrt(d). A row that may see nothing gives zeros. With `layout = heads_third`
    heads and rows change places in q, k, v and the result: `[b, s, h, d]` and so on.
  }];
  let arguments = (ins Lathe_FloatTensor:$query, Lathe_FloatTensor:$key,
                       Lathe_FloatTensor:$value, Optional<Lathe_Tensor>:$mask,
                       OptionalAttr<F64Attr>:$scale, UnitAttr:$causal, Heads:$layout);
  let results = (outs Lathe_FloatTensor:$result);
  let hasVerifier = 1;
}

def AttentionTrainingOp : Lathe_PureOp<"attention_training", [FusibleKindOnly, Decomposable, Differentiable, PrefersLayout]> {
  let summary = "attention, and what its backward part needs to know of the softmax";
  let description = [{
    The first result is that of `attention` with the same operands. The second,
    `[b, h, s]`, is the logarithm of the sum of the exponentials of each row's
    scores (scaled and masked): with it, a weight is `exp(score - log_sum_exp)`.
    It is f32 for 16-bit floats, 0 in rows that may see nothing, and `[b, h, s]` in
    any layout.
    `lathe-autograd` makes it of `attention`.
  }];
  let arguments = (ins Lathe_FloatTensor:$query, Lathe_FloatTensor:$key,
                       Lathe_FloatTensor:$value, Optional<Lathe_Tensor>:$mask,
                       OptionalAttr<F64Attr>:$scale, UnitAttr:$causal, Heads:$layout);
  let results = (outs Lathe_FloatTensor:$result, Lathe_FloatTensor:$log_sum_exp);
  let hasVerifier = 1;
  let hasCanonicalizeMethod = 1;
}

def AttentionBackwardOp : Lathe_PureOp<"attention_backward", [FusibleKindOnly, Decomposable, PrefersLayout]> {
  let summary = "gradients of attention, its weights computed again";
  let description = [{
    The gradients of query, key and value of an `attention_training`, given the
    cotangent of its result, its `log_sum_exp` and `delta`, `[b, h, s]` each: the
    inner product of the result and its cotangent in each row, less the cotangent
    of `log_sum_exp`. With `p = exp(score - log_sum_exp)` and
    `ds = p * (cotangent v^T - delta)`, which no kernel holds as a whole:

    `d_value = p^T cotangent`, `d_query = scale * ds k`, `d_key = scale * ds^T q`

    (Dao: "FlashAttention-2", 2023). Heads that share a key add up. With `layout =
    heads_third` all but `log_sum_exp` and the mask have heads and rows in each
    other's place, `delta` too: `[b, s, h]`.
  }];
  let arguments = (ins Lathe_FloatTensor:$query, Lathe_FloatTensor:$key,
                       Lathe_FloatTensor:$value, Lathe_FloatTensor:$cotangent,
                       Lathe_FloatTensor:$log_sum_exp, Lathe_FloatTensor:$delta,
                       Optional<Lathe_Tensor>:$mask,
                       OptionalAttr<F64Attr>:$scale, UnitAttr:$causal, Heads:$layout);
  let results = (outs Lathe_FloatTensor:$d_query, Lathe_FloatTensor:$d_key,
                      Lathe_FloatTensor:$d_value);
  let hasVerifier = 1;
  let extraClassDeclaration = commonDeclaration # [{
    /// The gradient of the masked scores, [b, h, s, t], in terms of smaller ops:
    /// what the gradient of an added mask is summed up from.
    ::mlir::Value buildScoreGradient(::mlir::OpBuilder &builder);
  }];
}

#endif // LATHE_ATTENTION_TD
