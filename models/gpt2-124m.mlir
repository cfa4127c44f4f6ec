// GPT-2, the smallest (124 M parameters): 12 layers, 768 wide, 12 heads, up to 1024 tokens;
// parameters carry the public checkpoint's names.
//   lathe train models/gpt2-124m.mlir --data tokens.bin

!tokens = tensor<?x?xi64>
!wide = tensor<?x?x768xf32>
!qkv = tensor<?x?x2304xf32>
!split = tensor<?x?x12x64xf32>
!heads = tensor<?x12x?x64xf32>
!inner = tensor<?x?x3072xf32>
!row = tensor<768xf32>
!logits = tensor<?x?x50257xf32>

lathe.parameter @"wte.weight" : tensor<50257x768xf32> {init = #lathe.init<normal, 0.0, 0.02>}
lathe.parameter @"wpe.weight" : tensor<1024x768xf32> {init = #lathe.init<normal, 0.0, 0.02>}
// One stacked parameter per tensor of a layer; {} in the key is the layer index.
lathe.parameter @"ln_1.weight" : tensor<12x768xf32> {key = "h.{}.ln_1.weight", init = #lathe.init<ones>}
lathe.parameter @"ln_1.bias" : tensor<12x768xf32> {key = "h.{}.ln_1.bias", init = #lathe.init<zeros>}
lathe.parameter @"attn.c_attn.weight" : tensor<12x768x2304xf32> {key = "h.{}.attn.c_attn.weight", init = #lathe.init<normal, 0.0, 0.02>}
lathe.parameter @"attn.c_attn.bias" : tensor<12x2304xf32> {key = "h.{}.attn.c_attn.bias", init = #lathe.init<zeros>}
lathe.parameter @"attn.c_proj.weight" : tensor<12x768x768xf32> {key = "h.{}.attn.c_proj.weight", init = #lathe.init<normal, 0.0, 0.00408>}
lathe.parameter @"attn.c_proj.bias" : tensor<12x768xf32> {key = "h.{}.attn.c_proj.bias", init = #lathe.init<zeros>}
lathe.parameter @"ln_2.weight" : tensor<12x768xf32> {key = "h.{}.ln_2.weight", init = #lathe.init<ones>}
lathe.parameter @"ln_2.bias" : tensor<12x768xf32> {key = "h.{}.ln_2.bias", init = #lathe.init<zeros>}
lathe.parameter @"mlp.c_fc.weight" : tensor<12x768x3072xf32> {key = "h.{}.mlp.c_fc.weight", init = #lathe.init<normal, 0.0, 0.02>}
lathe.parameter @"mlp.c_fc.bias" : tensor<12x3072xf32> {key = "h.{}.mlp.c_fc.bias", init = #lathe.init<zeros>}
lathe.parameter @"mlp.c_proj.weight" : tensor<12x3072x768xf32> {key = "h.{}.mlp.c_proj.weight", init = #lathe.init<normal, 0.0, 0.00408>}
lathe.parameter @"mlp.c_proj.bias" : tensor<12x768xf32> {key = "h.{}.mlp.c_proj.bias", init = #lathe.init<zeros>}
lathe.parameter @"ln_f.weight" : !row {init = #lathe.init<ones>}
lathe.parameter @"ln_f.bias" : !row {init = #lathe.init<zeros>}

func.func private @predict(%tokens: !tokens) -> !logits {
  %wte = lathe.get_parameter @"wte.weight" : tensor<50257x768xf32>
  %wpe = lathe.get_parameter @"wpe.weight" : tensor<1024x768xf32>
  %e0 = lathe.embedding %wte, %tokens : (tensor<50257x768xf32>, !tokens) -> !wide
  %shape = lathe.shape_of %tokens : (!tokens) -> tensor<2xi64>
  %zero = lathe.constant dense<0> : tensor<1xi64>
  %length = lathe.slice %shape {starts = array<i64: 1>, ends = array<i64: 2>} : (tensor<2xi64>) -> tensor<1xi64>
  %positions = lathe.dynamic_slice %wpe, %zero, %length : (tensor<1024x768xf32>, tensor<1xi64>, tensor<1xi64>) -> tensor<?x768xf32>
  %e1 = lathe.add %e0, %positions : (!wide, tensor<?x768xf32>) -> !wide

  %ln1_gs = lathe.get_parameter @"ln_1.weight" : tensor<12x768xf32>
  %ln1_bs = lathe.get_parameter @"ln_1.bias" : tensor<12x768xf32>
  %qkv_ws = lathe.get_parameter @"attn.c_attn.weight" : tensor<12x768x2304xf32>
  %qkv_bs = lathe.get_parameter @"attn.c_attn.bias" : tensor<12x2304xf32>
  %proj_ws = lathe.get_parameter @"attn.c_proj.weight" : tensor<12x768x768xf32>
  %proj_bs = lathe.get_parameter @"attn.c_proj.bias" : tensor<12x768xf32>
  %ln2_gs = lathe.get_parameter @"ln_2.weight" : tensor<12x768xf32>
  %ln2_bs = lathe.get_parameter @"ln_2.bias" : tensor<12x768xf32>
  %up_ws = lathe.get_parameter @"mlp.c_fc.weight" : tensor<12x768x3072xf32>
  %up_bs = lathe.get_parameter @"mlp.c_fc.bias" : tensor<12x3072xf32>
  %down_ws = lathe.get_parameter @"mlp.c_proj.weight" : tensor<12x3072x768xf32>
  %down_bs = lathe.get_parameter @"mlp.c_proj.bias" : tensor<12x768xf32>
  %h = lathe.scan init(%x = %e1)
    inputs(%ln1_g = %ln1_gs, %ln1_b = %ln1_bs, %qkv_w = %qkv_ws, %qkv_b = %qkv_bs, %proj_w = %proj_ws, %proj_b = %proj_bs,
           %ln2_g = %ln2_gs, %ln2_b = %ln2_bs, %up_w = %up_ws, %up_b = %up_bs, %down_w = %down_ws, %down_b = %down_bs)
    : (!wide, tensor<12x768xf32>, tensor<12x768xf32>, tensor<12x768x2304xf32>, tensor<12x2304xf32>, tensor<12x768x768xf32>, tensor<12x768xf32>,
       tensor<12x768xf32>, tensor<12x768xf32>, tensor<12x768x3072xf32>, tensor<12x3072xf32>, tensor<12x3072x768xf32>, tensor<12x768xf32>) -> !wide {
    %n0 = lathe.layer_norm %x scale %ln1_g bias %ln1_b : (!wide, !row, !row) -> !wide
    %m0 = lathe.matmul %n0, %qkv_w : (!wide, tensor<768x2304xf32>) -> !qkv
    %m1 = lathe.add %m0, %qkv_b : (!qkv, tensor<2304xf32>) -> !qkv
    %q0 = lathe.slice %m1 {starts = array<i64: 0>, ends = array<i64: 768>, axes = array<i64: 2>} : (!qkv) -> !wide
    %k0 = lathe.slice %m1 {starts = array<i64: 768>, ends = array<i64: 1536>, axes = array<i64: 2>} : (!qkv) -> !wide
    %v0 = lathe.slice %m1 {starts = array<i64: 1536>, ends = array<i64: 2304>, axes = array<i64: 2>} : (!qkv) -> !wide
    %q1 = lathe.reshape %q0 {shape = array<i64: 0, 0, 12, 64>} : (!wide) -> !split
    %k1 = lathe.reshape %k0 {shape = array<i64: 0, 0, 12, 64>} : (!wide) -> !split
    %v1 = lathe.reshape %v0 {shape = array<i64: 0, 0, 12, 64>} : (!wide) -> !split
    %q = lathe.transpose %q1 {permutation = array<i64: 0, 2, 1, 3>} : (!split) -> !heads
    %k = lathe.transpose %k1 {permutation = array<i64: 0, 2, 1, 3>} : (!split) -> !heads
    %v = lathe.transpose %v1 {permutation = array<i64: 0, 2, 1, 3>} : (!split) -> !heads
    %a0 = lathe.attention %q, %k, %v {causal} : (!heads, !heads, !heads) -> !heads
    %a1 = lathe.transpose %a0 {permutation = array<i64: 0, 2, 1, 3>} : (!heads) -> !split
    %a2 = lathe.reshape %a1 {shape = array<i64: 0, 0, 768>} : (!split) -> !wide
    %a3 = lathe.matmul %a2, %proj_w : (!wide, tensor<768x768xf32>) -> !wide
    %a4 = lathe.add %a3, %proj_b : (!wide, !row) -> !wide
    %r0 = lathe.add %x, %a4 : (!wide, !wide) -> !wide
    %n1 = lathe.layer_norm %r0 scale %ln2_g bias %ln2_b : (!wide, !row, !row) -> !wide
    %f0 = lathe.matmul %n1, %up_w : (!wide, tensor<768x3072xf32>) -> !inner
    %f1 = lathe.add %f0, %up_b : (!inner, tensor<3072xf32>) -> !inner
    %f2 = lathe.gelu %f1 {tanh} : (!inner) -> !inner
    %f3 = lathe.matmul %f2, %down_w : (!inner, tensor<3072x768xf32>) -> !wide
    %f4 = lathe.add %f3, %down_b : (!wide, !row) -> !wide
    %r1 = lathe.add %r0, %f4 : (!wide, !wide) -> !wide
    lathe.yield %r1 : !wide
  }
  %ln_g = lathe.get_parameter @"ln_f.weight" : !row
  %ln_b = lathe.get_parameter @"ln_f.bias" : !row
  %n = lathe.layer_norm %h scale %ln_g bias %ln_b : (!wide, !row, !row) -> !wide
  // The output layer is the embedding's table.
  %logits = lathe.linear %n, %wte : (!wide, tensor<50257x768xf32>) -> !logits
  return %logits : !logits
}

func.func @main(%tokens: !tokens {lathe.name = "tokens", lathe.dims = ["batch", "sequence"]})
    -> (!logits {lathe.name = "logits"}) {
  %logits = call @predict(%tokens) : (!tokens) -> !logits
  return %logits : !logits
}

// A window holds one token more than the model reads: the last one's successor.
func.func @loss(%window: !tokens {lathe.name = "tokens", lathe.dims = ["batch", "window"]})
    -> (tensor<f32> {lathe.name = "loss"}) {
  %read = lathe.slice %window {starts = array<i64: 0>, ends = array<i64: -1>, axes = array<i64: 1>} : (!tokens) -> !tokens
  %next = lathe.slice %window {starts = array<i64: 1>, ends = array<i64: 9223372036854775807>, axes = array<i64: 1>} : (!tokens) -> !tokens
  %logits = call @predict(%read) : (!tokens) -> !logits
  %loss = lathe.cross_entropy %logits, %next : (!logits, !tokens) -> tensor<f32>
  return %loss : tensor<f32>
}
