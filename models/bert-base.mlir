// BERT-base encoder: 12 layers, 768 wide, 12 heads.
// Parameters carry the public checkpoint's names; without a file they start random.

lathe.parameter @"embeddings.word_embeddings.weight" : tensor<30522x768xf32> {init = #lathe.init<normal, 0.0, 0.02>}
lathe.parameter @"embeddings.position_embeddings.weight" : tensor<512x768xf32> {init = #lathe.init<normal, 0.0, 0.02>}
lathe.parameter @"embeddings.token_type_embeddings.weight" : tensor<2x768xf32> {init = #lathe.init<normal, 0.0, 0.02>}
lathe.parameter @"embeddings.LayerNorm.weight" : tensor<768xf32> {init = #lathe.init<ones>}
lathe.parameter @"embeddings.LayerNorm.bias" : tensor<768xf32> {init = #lathe.init<zeros>}

// One stacked parameter per tensor of a layer; {} in the key is the layer index.
lathe.parameter @"attention.self.query.weight" : tensor<12x768x768xf32>
    {key = "encoder.layer.{}.attention.self.query.weight", init = #lathe.init<normal, 0.0, 0.02>}
lathe.parameter @"attention.self.query.bias" : tensor<12x768xf32>
    {key = "encoder.layer.{}.attention.self.query.bias", init = #lathe.init<zeros>}
lathe.parameter @"attention.self.key.weight" : tensor<12x768x768xf32>
    {key = "encoder.layer.{}.attention.self.key.weight", init = #lathe.init<normal, 0.0, 0.02>}
lathe.parameter @"attention.self.key.bias" : tensor<12x768xf32>
    {key = "encoder.layer.{}.attention.self.key.bias", init = #lathe.init<zeros>}
lathe.parameter @"attention.self.value.weight" : tensor<12x768x768xf32>
    {key = "encoder.layer.{}.attention.self.value.weight", init = #lathe.init<normal, 0.0, 0.02>}
lathe.parameter @"attention.self.value.bias" : tensor<12x768xf32>
    {key = "encoder.layer.{}.attention.self.value.bias", init = #lathe.init<zeros>}
lathe.parameter @"attention.output.dense.weight" : tensor<12x768x768xf32>
    {key = "encoder.layer.{}.attention.output.dense.weight", init = #lathe.init<normal, 0.0, 0.02>}
lathe.parameter @"attention.output.dense.bias" : tensor<12x768xf32>
    {key = "encoder.layer.{}.attention.output.dense.bias", init = #lathe.init<zeros>}
lathe.parameter @"intermediate.dense.weight" : tensor<12x3072x768xf32>
    {key = "encoder.layer.{}.intermediate.dense.weight", init = #lathe.init<normal, 0.0, 0.02>}
lathe.parameter @"intermediate.dense.bias" : tensor<12x3072xf32>
    {key = "encoder.layer.{}.intermediate.dense.bias", init = #lathe.init<zeros>}
lathe.parameter @"output.dense.weight" : tensor<12x768x3072xf32>
    {key = "encoder.layer.{}.output.dense.weight", init = #lathe.init<normal, 0.0, 0.02>}
lathe.parameter @"output.dense.bias" : tensor<12x768xf32>
    {key = "encoder.layer.{}.output.dense.bias", init = #lathe.init<zeros>}
lathe.parameter @"attention.output.LayerNorm.weight" : tensor<12x768xf32>
    {key = "encoder.layer.{}.attention.output.LayerNorm.weight", init = #lathe.init<ones>}
lathe.parameter @"attention.output.LayerNorm.bias" : tensor<12x768xf32>
    {key = "encoder.layer.{}.attention.output.LayerNorm.bias", init = #lathe.init<zeros>}
lathe.parameter @"output.LayerNorm.weight" : tensor<12x768xf32>
    {key = "encoder.layer.{}.output.LayerNorm.weight", init = #lathe.init<ones>}
lathe.parameter @"output.LayerNorm.bias" : tensor<12x768xf32>
    {key = "encoder.layer.{}.output.LayerNorm.bias", init = #lathe.init<zeros>}

func.func @main(
    %ids: tensor<?x?xi64> {lathe.name = "input_ids", lathe.dims = ["batch", "sequence"]},
    %mask: tensor<?x?xi64> {lathe.name = "attention_mask", lathe.dims = ["batch", "sequence"]},
    %types: tensor<?x?xi64> {lathe.name = "token_type_ids", lathe.dims = ["batch", "sequence"]})
    -> (tensor<?x?x768xf32> {lathe.name = "last_hidden_state"}) {
  // Word, position and token-type embeddings.
  %words = lathe.get_parameter @"embeddings.word_embeddings.weight" : tensor<30522x768xf32>
  %positions = lathe.get_parameter @"embeddings.position_embeddings.weight" : tensor<512x768xf32>
  %kinds = lathe.get_parameter @"embeddings.token_type_embeddings.weight" : tensor<2x768xf32>
  %we = lathe.embedding %words, %ids : (tensor<30522x768xf32>, tensor<?x?xi64>) -> tensor<?x?x768xf32>
  %te = lathe.embedding %kinds, %types : (tensor<2x768xf32>, tensor<?x?xi64>) -> tensor<?x?x768xf32>
  %shape = lathe.shape_of %ids : (tensor<?x?xi64>) -> tensor<2xi64>
  %zero = lathe.constant dense<0> : tensor<1xi64>
  %length = lathe.slice %shape {starts = array<i64: 1>, ends = array<i64: 2>} : (tensor<2xi64>) -> tensor<1xi64>
  %pe = lathe.dynamic_slice %positions, %zero, %length : (tensor<512x768xf32>, tensor<1xi64>, tensor<1xi64>) -> tensor<?x768xf32>
  %e0 = lathe.add %we, %te : (tensor<?x?x768xf32>, tensor<?x?x768xf32>) -> tensor<?x?x768xf32>
  %e1 = lathe.add %e0, %pe : (tensor<?x?x768xf32>, tensor<?x768xf32>) -> tensor<?x?x768xf32>
  %eg = lathe.get_parameter @"embeddings.LayerNorm.weight" : tensor<768xf32>
  %eb = lathe.get_parameter @"embeddings.LayerNorm.bias" : tensor<768xf32>
  %e2 = lathe.layer_norm %e1 scale %eg bias %eb {epsilon = 1.0e-12} : (tensor<?x?x768xf32>, tensor<768xf32>, tensor<768xf32>) -> tensor<?x?x768xf32>

  // A key may be seen where its mask is not 0: [batch, 1, 1, sequence].
  %none = lathe.constant dense<0> : tensor<i64>
  %seen = lathe.compare ne, %mask, %none : (tensor<?x?xi64>, tensor<i64>) -> tensor<?x?xi1>
  %keep = lathe.unsqueeze %seen {axes = array<i64: 1, 2>} : (tensor<?x?xi1>) -> tensor<?x1x1x?xi1>

  %query_ws = lathe.get_parameter @"attention.self.query.weight" : tensor<12x768x768xf32>
  %query_bs = lathe.get_parameter @"attention.self.query.bias" : tensor<12x768xf32>
  %key_ws = lathe.get_parameter @"attention.self.key.weight" : tensor<12x768x768xf32>
  %key_bs = lathe.get_parameter @"attention.self.key.bias" : tensor<12x768xf32>
  %value_ws = lathe.get_parameter @"attention.self.value.weight" : tensor<12x768x768xf32>
  %value_bs = lathe.get_parameter @"attention.self.value.bias" : tensor<12x768xf32>
  %attn_ws = lathe.get_parameter @"attention.output.dense.weight" : tensor<12x768x768xf32>
  %attn_bs = lathe.get_parameter @"attention.output.dense.bias" : tensor<12x768xf32>
  %up_ws = lathe.get_parameter @"intermediate.dense.weight" : tensor<12x3072x768xf32>
  %up_bs = lathe.get_parameter @"intermediate.dense.bias" : tensor<12x3072xf32>
  %down_ws = lathe.get_parameter @"output.dense.weight" : tensor<12x768x3072xf32>
  %down_bs = lathe.get_parameter @"output.dense.bias" : tensor<12x768xf32>
  %norm1_gs = lathe.get_parameter @"attention.output.LayerNorm.weight" : tensor<12x768xf32>
  %norm1_bs = lathe.get_parameter @"attention.output.LayerNorm.bias" : tensor<12x768xf32>
  %norm2_gs = lathe.get_parameter @"output.LayerNorm.weight" : tensor<12x768xf32>
  %norm2_bs = lathe.get_parameter @"output.LayerNorm.bias" : tensor<12x768xf32>
  %out = lathe.scan init(%x = %e2)
    inputs(%query_w = %query_ws, %query_b = %query_bs, %key_w = %key_ws, %key_b = %key_bs, %value_w =
      %value_ws, %value_b = %value_bs, %attn_w = %attn_ws, %attn_b = %attn_bs, %up_w = %up_ws, %up_b =
      %up_bs, %down_w = %down_ws, %down_b = %down_bs, %norm1_g = %norm1_gs, %norm1_b = %norm1_bs, %norm2_g
      = %norm2_gs, %norm2_b = %norm2_bs)
    : (tensor<?x?x768xf32>, tensor<12x768x768xf32>, tensor<12x768xf32>, tensor<12x768x768xf32>,
      tensor<12x768xf32>, tensor<12x768x768xf32>, tensor<12x768xf32>, tensor<12x768x768xf32>,
      tensor<12x768xf32>, tensor<12x3072x768xf32>, tensor<12x3072xf32>, tensor<12x768x3072xf32>,
      tensor<12x768xf32>, tensor<12x768xf32>, tensor<12x768xf32>, tensor<12x768xf32>, tensor<12x768xf32>) -> tensor<?x?x768xf32> {
    %q0 = lathe.linear %x, %query_w, %query_b : (tensor<?x?x768xf32>, tensor<768x768xf32>, tensor<768xf32>) -> tensor<?x?x768xf32>
    %q1 = lathe.reshape %q0 {shape = array<i64: 0, 0, 12, 64>} : (tensor<?x?x768xf32>) -> tensor<?x?x12x64xf32>
    %q = lathe.transpose %q1 {permutation = array<i64: 0, 2, 1, 3>} : (tensor<?x?x12x64xf32>) -> tensor<?x12x?x64xf32>
    %k0 = lathe.linear %x, %key_w, %key_b : (tensor<?x?x768xf32>, tensor<768x768xf32>, tensor<768xf32>) -> tensor<?x?x768xf32>
    %k1 = lathe.reshape %k0 {shape = array<i64: 0, 0, 12, 64>} : (tensor<?x?x768xf32>) -> tensor<?x?x12x64xf32>
    %k = lathe.transpose %k1 {permutation = array<i64: 0, 2, 1, 3>} : (tensor<?x?x12x64xf32>) -> tensor<?x12x?x64xf32>
    %v0 = lathe.linear %x, %value_w, %value_b : (tensor<?x?x768xf32>, tensor<768x768xf32>, tensor<768xf32>) -> tensor<?x?x768xf32>
    %v1 = lathe.reshape %v0 {shape = array<i64: 0, 0, 12, 64>} : (tensor<?x?x768xf32>) -> tensor<?x?x12x64xf32>
    %v = lathe.transpose %v1 {permutation = array<i64: 0, 2, 1, 3>} : (tensor<?x?x12x64xf32>) -> tensor<?x12x?x64xf32>
    %a0 = lathe.attention %q, %k, %v, %keep : (tensor<?x12x?x64xf32>, tensor<?x12x?x64xf32>, tensor<?x12x?x64xf32>, tensor<?x1x1x?xi1>) -> tensor<?x12x?x64xf32>
    %a1 = lathe.transpose %a0 {permutation = array<i64: 0, 2, 1, 3>} : (tensor<?x12x?x64xf32>) -> tensor<?x?x12x64xf32>
    %a2 = lathe.reshape %a1 {shape = array<i64: 0, 0, 768>} : (tensor<?x?x12x64xf32>) -> tensor<?x?x768xf32>
    %a3 = lathe.linear %a2, %attn_w, %attn_b : (tensor<?x?x768xf32>, tensor<768x768xf32>, tensor<768xf32>) -> tensor<?x?x768xf32>
    %r0 = lathe.add %a3, %x : (tensor<?x?x768xf32>, tensor<?x?x768xf32>) -> tensor<?x?x768xf32>
    %n0 = lathe.layer_norm %r0 scale %norm1_g bias %norm1_b {epsilon = 1.0e-12} : (tensor<?x?x768xf32>, tensor<768xf32>, tensor<768xf32>) -> tensor<?x?x768xf32>
    %f0 = lathe.linear %n0, %up_w, %up_b : (tensor<?x?x768xf32>, tensor<3072x768xf32>, tensor<3072xf32>) -> tensor<?x?x3072xf32>
    %f1 = lathe.gelu %f0 : (tensor<?x?x3072xf32>) -> tensor<?x?x3072xf32>
    %f2 = lathe.linear %f1, %down_w, %down_b : (tensor<?x?x3072xf32>, tensor<768x3072xf32>, tensor<768xf32>) -> tensor<?x?x768xf32>
    %r1 = lathe.add %f2, %n0 : (tensor<?x?x768xf32>, tensor<?x?x768xf32>) -> tensor<?x?x768xf32>
    %n1 = lathe.layer_norm %r1 scale %norm2_g bias %norm2_b {epsilon = 1.0e-12} : (tensor<?x?x768xf32>, tensor<768xf32>, tensor<768xf32>) -> tensor<?x?x768xf32>
    lathe.yield %n1 : tensor<?x?x768xf32>
  }
  return %out : tensor<?x?x768xf32>
}
