// all-MiniLM-L6-v2, a sentence encoder: 6 layers, 384 wide, 12 heads.
// Parameters carry the public checkpoint's names.

lathe.parameter @"embeddings.word_embeddings.weight" : tensor<30522x384xf32>
lathe.parameter @"embeddings.position_embeddings.weight" : tensor<512x384xf32>
lathe.parameter @"embeddings.token_type_embeddings.weight" : tensor<2x384xf32>
lathe.parameter @"embeddings.LayerNorm.weight" : tensor<384xf32>
lathe.parameter @"embeddings.LayerNorm.bias" : tensor<384xf32>

// One stacked parameter per tensor of a layer; {} in the key is the layer index.
lathe.parameter @"attention.self.query.weight" : tensor<6x384x384xf32>
    {key = "encoder.layer.{}.attention.self.query.weight"}
lathe.parameter @"attention.self.query.bias" : tensor<6x384xf32>
    {key = "encoder.layer.{}.attention.self.query.bias"}
lathe.parameter @"attention.self.key.weight" : tensor<6x384x384xf32>
    {key = "encoder.layer.{}.attention.self.key.weight"}
lathe.parameter @"attention.self.key.bias" : tensor<6x384xf32>
    {key = "encoder.layer.{}.attention.self.key.bias"}
lathe.parameter @"attention.self.value.weight" : tensor<6x384x384xf32>
    {key = "encoder.layer.{}.attention.self.value.weight"}
lathe.parameter @"attention.self.value.bias" : tensor<6x384xf32>
    {key = "encoder.layer.{}.attention.self.value.bias"}
lathe.parameter @"attention.output.dense.weight" : tensor<6x384x384xf32>
    {key = "encoder.layer.{}.attention.output.dense.weight"}
lathe.parameter @"attention.output.dense.bias" : tensor<6x384xf32>
    {key = "encoder.layer.{}.attention.output.dense.bias"}
lathe.parameter @"intermediate.dense.weight" : tensor<6x1536x384xf32>
    {key = "encoder.layer.{}.intermediate.dense.weight"}
lathe.parameter @"intermediate.dense.bias" : tensor<6x1536xf32>
    {key = "encoder.layer.{}.intermediate.dense.bias"}
lathe.parameter @"output.dense.weight" : tensor<6x384x1536xf32>
    {key = "encoder.layer.{}.output.dense.weight"}
lathe.parameter @"output.dense.bias" : tensor<6x384xf32>
    {key = "encoder.layer.{}.output.dense.bias"}
lathe.parameter @"attention.output.LayerNorm.weight" : tensor<6x384xf32>
    {key = "encoder.layer.{}.attention.output.LayerNorm.weight"}
lathe.parameter @"attention.output.LayerNorm.bias" : tensor<6x384xf32>
    {key = "encoder.layer.{}.attention.output.LayerNorm.bias"}
lathe.parameter @"output.LayerNorm.weight" : tensor<6x384xf32>
    {key = "encoder.layer.{}.output.LayerNorm.weight"}
lathe.parameter @"output.LayerNorm.bias" : tensor<6x384xf32>
    {key = "encoder.layer.{}.output.LayerNorm.bias"}

func.func @main(
    %ids: tensor<?x?xi64> {lathe.name = "input_ids", lathe.dims = ["batch", "sequence"]},
    %mask: tensor<?x?xi64> {lathe.name = "attention_mask", lathe.dims = ["batch", "sequence"]},
    %types: tensor<?x?xi64> {lathe.name = "token_type_ids", lathe.dims = ["batch", "sequence"]})
    -> (tensor<?x?x384xf32> {lathe.name = "last_hidden_state"},
        tensor<?x384xf32> {lathe.name = "sentence_embedding"}) {
  // Word, position and token-type embeddings.
  %words = lathe.get_parameter @"embeddings.word_embeddings.weight" : tensor<30522x384xf32>
  %positions = lathe.get_parameter @"embeddings.position_embeddings.weight" : tensor<512x384xf32>
  %kinds = lathe.get_parameter @"embeddings.token_type_embeddings.weight" : tensor<2x384xf32>
  %we = lathe.embedding %words, %ids : (tensor<30522x384xf32>, tensor<?x?xi64>) -> tensor<?x?x384xf32>
  %te = lathe.embedding %kinds, %types : (tensor<2x384xf32>, tensor<?x?xi64>) -> tensor<?x?x384xf32>
  %shape = lathe.shape_of %ids : (tensor<?x?xi64>) -> tensor<2xi64>
  %zero = lathe.constant dense<0> : tensor<1xi64>
  %length = lathe.slice %shape {starts = array<i64: 1>, ends = array<i64: 2>} : (tensor<2xi64>) -> tensor<1xi64>
  %pe = lathe.dynamic_slice %positions, %zero, %length : (tensor<512x384xf32>, tensor<1xi64>, tensor<1xi64>) -> tensor<?x384xf32>
  %e0 = lathe.add %we, %te : (tensor<?x?x384xf32>, tensor<?x?x384xf32>) -> tensor<?x?x384xf32>
  %e1 = lathe.add %e0, %pe : (tensor<?x?x384xf32>, tensor<?x384xf32>) -> tensor<?x?x384xf32>
  %eg = lathe.get_parameter @"embeddings.LayerNorm.weight" : tensor<384xf32>
  %eb = lathe.get_parameter @"embeddings.LayerNorm.bias" : tensor<384xf32>
  %e2 = lathe.layer_norm %e1 scale %eg bias %eb {epsilon = 1.0e-12} : (tensor<?x?x384xf32>, tensor<384xf32>, tensor<384xf32>) -> tensor<?x?x384xf32>

  // A key may be seen where its mask is not 0: [batch, 1, 1, sequence].
  %none = lathe.constant dense<0> : tensor<i64>
  %seen = lathe.compare ne, %mask, %none : (tensor<?x?xi64>, tensor<i64>) -> tensor<?x?xi1>
  %keep = lathe.unsqueeze %seen {axes = array<i64: 1, 2>} : (tensor<?x?xi1>) -> tensor<?x1x1x?xi1>

  %query_ws = lathe.get_parameter @"attention.self.query.weight" : tensor<6x384x384xf32>
  %query_bs = lathe.get_parameter @"attention.self.query.bias" : tensor<6x384xf32>
  %key_ws = lathe.get_parameter @"attention.self.key.weight" : tensor<6x384x384xf32>
  %key_bs = lathe.get_parameter @"attention.self.key.bias" : tensor<6x384xf32>
  %value_ws = lathe.get_parameter @"attention.self.value.weight" : tensor<6x384x384xf32>
  %value_bs = lathe.get_parameter @"attention.self.value.bias" : tensor<6x384xf32>
  %attn_ws = lathe.get_parameter @"attention.output.dense.weight" : tensor<6x384x384xf32>
  %attn_bs = lathe.get_parameter @"attention.output.dense.bias" : tensor<6x384xf32>
  %up_ws = lathe.get_parameter @"intermediate.dense.weight" : tensor<6x1536x384xf32>
  %up_bs = lathe.get_parameter @"intermediate.dense.bias" : tensor<6x1536xf32>
  %down_ws = lathe.get_parameter @"output.dense.weight" : tensor<6x384x1536xf32>
  %down_bs = lathe.get_parameter @"output.dense.bias" : tensor<6x384xf32>
  %norm1_gs = lathe.get_parameter @"attention.output.LayerNorm.weight" : tensor<6x384xf32>
  %norm1_bs = lathe.get_parameter @"attention.output.LayerNorm.bias" : tensor<6x384xf32>
  %norm2_gs = lathe.get_parameter @"output.LayerNorm.weight" : tensor<6x384xf32>
  %norm2_bs = lathe.get_parameter @"output.LayerNorm.bias" : tensor<6x384xf32>
  %out = lathe.scan init(%x = %e2)
    inputs(%query_w = %query_ws, %query_b = %query_bs, %key_w = %key_ws, %key_b = %key_bs, %value_w =
      %value_ws, %value_b = %value_bs, %attn_w = %attn_ws, %attn_b = %attn_bs, %up_w = %up_ws, %up_b =
      %up_bs, %down_w = %down_ws, %down_b = %down_bs, %norm1_g = %norm1_gs, %norm1_b = %norm1_bs, %norm2_g
      = %norm2_gs, %norm2_b = %norm2_bs)
    : (tensor<?x?x384xf32>, tensor<6x384x384xf32>, tensor<6x384xf32>, tensor<6x384x384xf32>,
      tensor<6x384xf32>, tensor<6x384x384xf32>, tensor<6x384xf32>, tensor<6x384x384xf32>, tensor<6x384xf32>,
      tensor<6x1536x384xf32>, tensor<6x1536xf32>, tensor<6x384x1536xf32>, tensor<6x384xf32>,
      tensor<6x384xf32>, tensor<6x384xf32>, tensor<6x384xf32>, tensor<6x384xf32>) -> tensor<?x?x384xf32> {
    %q0 = lathe.linear %x, %query_w, %query_b : (tensor<?x?x384xf32>, tensor<384x384xf32>, tensor<384xf32>) -> tensor<?x?x384xf32>
    %q1 = lathe.reshape %q0 {shape = array<i64: 0, 0, 12, 32>} : (tensor<?x?x384xf32>) -> tensor<?x?x12x32xf32>
    %q = lathe.transpose %q1 {permutation = array<i64: 0, 2, 1, 3>} : (tensor<?x?x12x32xf32>) -> tensor<?x12x?x32xf32>
    %k0 = lathe.linear %x, %key_w, %key_b : (tensor<?x?x384xf32>, tensor<384x384xf32>, tensor<384xf32>) -> tensor<?x?x384xf32>
    %k1 = lathe.reshape %k0 {shape = array<i64: 0, 0, 12, 32>} : (tensor<?x?x384xf32>) -> tensor<?x?x12x32xf32>
    %k = lathe.transpose %k1 {permutation = array<i64: 0, 2, 1, 3>} : (tensor<?x?x12x32xf32>) -> tensor<?x12x?x32xf32>
    %v0 = lathe.linear %x, %value_w, %value_b : (tensor<?x?x384xf32>, tensor<384x384xf32>, tensor<384xf32>) -> tensor<?x?x384xf32>
    %v1 = lathe.reshape %v0 {shape = array<i64: 0, 0, 12, 32>} : (tensor<?x?x384xf32>) -> tensor<?x?x12x32xf32>
    %v = lathe.transpose %v1 {permutation = array<i64: 0, 2, 1, 3>} : (tensor<?x?x12x32xf32>) -> tensor<?x12x?x32xf32>
    %a0 = lathe.attention %q, %k, %v, %keep : (tensor<?x12x?x32xf32>, tensor<?x12x?x32xf32>, tensor<?x12x?x32xf32>, tensor<?x1x1x?xi1>) -> tensor<?x12x?x32xf32>
    %a1 = lathe.transpose %a0 {permutation = array<i64: 0, 2, 1, 3>} : (tensor<?x12x?x32xf32>) -> tensor<?x?x12x32xf32>
    %a2 = lathe.reshape %a1 {shape = array<i64: 0, 0, 384>} : (tensor<?x?x12x32xf32>) -> tensor<?x?x384xf32>
    %a3 = lathe.linear %a2, %attn_w, %attn_b : (tensor<?x?x384xf32>, tensor<384x384xf32>, tensor<384xf32>) -> tensor<?x?x384xf32>
    %r0 = lathe.add %a3, %x : (tensor<?x?x384xf32>, tensor<?x?x384xf32>) -> tensor<?x?x384xf32>
    %n0 = lathe.layer_norm %r0 scale %norm1_g bias %norm1_b {epsilon = 1.0e-12} : (tensor<?x?x384xf32>, tensor<384xf32>, tensor<384xf32>) -> tensor<?x?x384xf32>
    %f0 = lathe.linear %n0, %up_w, %up_b : (tensor<?x?x384xf32>, tensor<1536x384xf32>, tensor<1536xf32>) -> tensor<?x?x1536xf32>
    %f1 = lathe.gelu %f0 : (tensor<?x?x1536xf32>) -> tensor<?x?x1536xf32>
    %f2 = lathe.linear %f1, %down_w, %down_b : (tensor<?x?x1536xf32>, tensor<384x1536xf32>, tensor<384xf32>) -> tensor<?x?x384xf32>
    %r1 = lathe.add %f2, %n0 : (tensor<?x?x384xf32>, tensor<?x?x384xf32>) -> tensor<?x?x384xf32>
    %n1 = lathe.layer_norm %r1 scale %norm2_g bias %norm2_b {epsilon = 1.0e-12} : (tensor<?x?x384xf32>, tensor<384xf32>, tensor<384xf32>) -> tensor<?x?x384xf32>
    lathe.yield %n1 : tensor<?x?x384xf32>
  }

  // Mean over the tokens that count, scaled to length 1.
  %m0 = lathe.cast %mask to f32 : (tensor<?x?xi64>) -> tensor<?x?xf32>
  %m1 = lathe.unsqueeze %m0 {axes = array<i64: 2>} : (tensor<?x?xf32>) -> tensor<?x?x1xf32>
  %p0 = lathe.mul %out, %m1 : (tensor<?x?x384xf32>, tensor<?x?x1xf32>) -> tensor<?x?x384xf32>
  %p1 = lathe.reduce_sum %p0 {axes = array<i64: 1>} : (tensor<?x?x384xf32>) -> tensor<?x384xf32>
  %count = lathe.reduce_sum %m1 {axes = array<i64: 1>} : (tensor<?x?x1xf32>) -> tensor<?x1xf32>
  %least = lathe.constant dense<1.0e-9> : tensor<f32>
  %divisor = lathe.max %count, %least : (tensor<?x1xf32>, tensor<f32>) -> tensor<?x1xf32>
  %mean = lathe.div %p1, %divisor : (tensor<?x384xf32>, tensor<?x1xf32>) -> tensor<?x384xf32>
  %sq = lathe.mul %mean, %mean : (tensor<?x384xf32>, tensor<?x384xf32>) -> tensor<?x384xf32>
  %n2 = lathe.reduce_sum %sq {axes = array<i64: 1>, keepdims = true} : (tensor<?x384xf32>) -> tensor<?x1xf32>
  %norm = lathe.sqrt %n2 : (tensor<?x1xf32>) -> tensor<?x1xf32>
  %embedding = lathe.div %mean, %norm : (tensor<?x384xf32>, tensor<?x1xf32>) -> tensor<?x384xf32>
  return %out, %embedding : tensor<?x?x384xf32>, tensor<?x384xf32>
}
