// BERT-base: 12 layers, 768 wide, 12 heads. Parameters carry the public checkpoint's names;
// without a file they start random. @main is the encoder; @loss adds the heads of pre-training
// (masked words and next sentence) and needs a checkpoint that has them.

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

// The heads. The words' output layer is the table of embeddings.
lathe.parameter @"pooler.dense.weight" : tensor<768x768xf32> {init = #lathe.init<normal, 0.0, 0.02>}
lathe.parameter @"pooler.dense.bias" : tensor<768xf32> {init = #lathe.init<zeros>}
lathe.parameter @"cls.predictions.transform.dense.weight" : tensor<768x768xf32> {init = #lathe.init<normal, 0.0, 0.02>}
lathe.parameter @"cls.predictions.transform.dense.bias" : tensor<768xf32> {init = #lathe.init<zeros>}
lathe.parameter @"cls.predictions.transform.LayerNorm.weight" : tensor<768xf32> {init = #lathe.init<ones>}
lathe.parameter @"cls.predictions.transform.LayerNorm.bias" : tensor<768xf32> {init = #lathe.init<zeros>}
lathe.parameter @"cls.predictions.bias" : tensor<30522xf32> {init = #lathe.init<zeros>}
lathe.parameter @"cls.seq_relationship.weight" : tensor<2x768xf32> {init = #lathe.init<normal, 0.0, 0.02>}
lathe.parameter @"cls.seq_relationship.bias" : tensor<2xf32> {init = #lathe.init<zeros>}

func.func private @encode(%ids: tensor<?x?xi64>, %mask: tensor<?x?xi64>, %types: tensor<?x?xi64>) -> tensor<?x?x768xf32> {
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

func.func @main(
    %ids: tensor<?x?xi64> {lathe.name = "input_ids", lathe.dims = ["batch", "sequence"]},
    %mask: tensor<?x?xi64> {lathe.name = "attention_mask", lathe.dims = ["batch", "sequence"]},
    %types: tensor<?x?xi64> {lathe.name = "token_type_ids", lathe.dims = ["batch", "sequence"]})
    -> (tensor<?x?x768xf32> {lathe.name = "last_hidden_state"}) {
  %out = call @encode(%ids, %mask, %types) : (tensor<?x?xi64>, tensor<?x?xi64>, tensor<?x?xi64>) -> tensor<?x?x768xf32>
  return %out : tensor<?x?x768xf32>
}

// Pre-training: words that were masked (their labels; -100 for all others), and whether the
// second sentence does not follow the first (1) or does (0). Without dropout.
func.func @loss(
    %ids: tensor<?x?xi64> {lathe.name = "input_ids", lathe.dims = ["batch", "sequence"]},
    %mask: tensor<?x?xi64> {lathe.name = "attention_mask", lathe.dims = ["batch", "sequence"]},
    %types: tensor<?x?xi64> {lathe.name = "token_type_ids", lathe.dims = ["batch", "sequence"]},
    %labels: tensor<?x?xi64> {lathe.name = "labels", lathe.dims = ["batch", "sequence"]},
    %next: tensor<?xi64> {lathe.name = "next_sentence_label", lathe.dims = ["batch"]})
    -> (tensor<f32> {lathe.name = "loss"}, tensor<f32> {lathe.name = "masked_words"}, tensor<f32> {lathe.name = "next_sentence"}) {
  %h = call @encode(%ids, %mask, %types) : (tensor<?x?xi64>, tensor<?x?xi64>, tensor<?x?xi64>) -> tensor<?x?x768xf32>

  %dense_w = lathe.get_parameter @"cls.predictions.transform.dense.weight" : tensor<768x768xf32>
  %dense_b = lathe.get_parameter @"cls.predictions.transform.dense.bias" : tensor<768xf32>
  %norm_g = lathe.get_parameter @"cls.predictions.transform.LayerNorm.weight" : tensor<768xf32>
  %norm_b = lathe.get_parameter @"cls.predictions.transform.LayerNorm.bias" : tensor<768xf32>
  %words = lathe.get_parameter @"embeddings.word_embeddings.weight" : tensor<30522x768xf32>
  %words_b = lathe.get_parameter @"cls.predictions.bias" : tensor<30522xf32>
  %t0 = lathe.linear %h, %dense_w, %dense_b : (tensor<?x?x768xf32>, tensor<768x768xf32>, tensor<768xf32>) -> tensor<?x?x768xf32>
  %t1 = lathe.gelu %t0 : (tensor<?x?x768xf32>) -> tensor<?x?x768xf32>
  %t2 = lathe.layer_norm %t1 scale %norm_g bias %norm_b {epsilon = 1.0e-12} : (tensor<?x?x768xf32>, tensor<768xf32>, tensor<768xf32>) -> tensor<?x?x768xf32>
  %scores = lathe.linear %t2, %words, %words_b : (tensor<?x?x768xf32>, tensor<30522x768xf32>, tensor<30522xf32>) -> tensor<?x?x30522xf32>
  %masked = lathe.cross_entropy %scores, %labels {ignore_index = -100 : i64} : (tensor<?x?x30522xf32>, tensor<?x?xi64>) -> tensor<f32>

  // What the first token says of the sentences.
  %pool_w = lathe.get_parameter @"pooler.dense.weight" : tensor<768x768xf32>
  %pool_b = lathe.get_parameter @"pooler.dense.bias" : tensor<768xf32>
  %pair_w = lathe.get_parameter @"cls.seq_relationship.weight" : tensor<2x768xf32>
  %pair_b = lathe.get_parameter @"cls.seq_relationship.bias" : tensor<2xf32>
  %c0 = lathe.slice %h {starts = array<i64: 0>, ends = array<i64: 1>, axes = array<i64: 1>} : (tensor<?x?x768xf32>) -> tensor<?x1x768xf32>
  %c1 = lathe.squeeze %c0 {axes = array<i64: 1>} : (tensor<?x1x768xf32>) -> tensor<?x768xf32>
  %c2 = lathe.linear %c1, %pool_w, %pool_b : (tensor<?x768xf32>, tensor<768x768xf32>, tensor<768xf32>) -> tensor<?x768xf32>
  %c3 = lathe.tanh %c2 : (tensor<?x768xf32>) -> tensor<?x768xf32>
  %pair = lathe.linear %c3, %pair_w, %pair_b : (tensor<?x768xf32>, tensor<2x768xf32>, tensor<2xf32>) -> tensor<?x2xf32>
  %follows = lathe.cross_entropy %pair, %next : (tensor<?x2xf32>, tensor<?xi64>) -> tensor<f32>
  %loss = lathe.add %masked, %follows : (tensor<f32>, tensor<f32>) -> tensor<f32>
  return %loss, %masked, %follows : tensor<f32>, tensor<f32>, tensor<f32>
}
