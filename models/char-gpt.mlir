// A causal decoder over bytes: 4 layers, 160 wide, 4 heads, up to 256 bytes of
// context; GPT-2's form and names.
//   lathe train models/char-gpt.mlir

!tokens = tensor<?x?xi64>
!wide = tensor<?x?x160xf32>
!qkv = tensor<?x?x480xf32>
!split = tensor<?x?x4x40xf32>
!heads = tensor<?x4x?x40xf32>
!inner = tensor<?x?x640xf32>
!row = tensor<160xf32>
!logits = tensor<?x?x256xf32>

lathe.parameter @"wte.weight" : tensor<256x160xf32> {init = #lathe.init<normal, 0.0, 0.02>}
lathe.parameter @"wpe.weight" : tensor<256x160xf32> {init = #lathe.init<normal, 0.0, 0.02>}
// One stacked parameter per tensor of a layer; {} in the key is the layer index.
lathe.parameter @"ln_1.weight" : tensor<4x160xf32> {key = "h.{}.ln_1.weight", init = #lathe.init<ones>}
lathe.parameter @"ln_1.bias" : tensor<4x160xf32> {key = "h.{}.ln_1.bias", init = #lathe.init<zeros>}
lathe.parameter @"attn.c_attn.weight" : tensor<4x160x480xf32> {key = "h.{}.attn.c_attn.weight", init = #lathe.init<normal, 0.0, 0.02>}
lathe.parameter @"attn.c_attn.bias" : tensor<4x480xf32> {key = "h.{}.attn.c_attn.bias", init = #lathe.init<zeros>}
lathe.parameter @"attn.c_proj.weight" : tensor<4x160x160xf32> {key = "h.{}.attn.c_proj.weight", init = #lathe.init<normal, 0.0, 0.00707>}
lathe.parameter @"attn.c_proj.bias" : tensor<4x160xf32> {key = "h.{}.attn.c_proj.bias", init = #lathe.init<zeros>}
lathe.parameter @"ln_2.weight" : tensor<4x160xf32> {key = "h.{}.ln_2.weight", init = #lathe.init<ones>}
lathe.parameter @"ln_2.bias" : tensor<4x160xf32> {key = "h.{}.ln_2.bias", init = #lathe.init<zeros>}
lathe.parameter @"mlp.c_fc.weight" : tensor<4x160x640xf32> {key = "h.{}.mlp.c_fc.weight", init = #lathe.init<normal, 0.0, 0.02>}
lathe.parameter @"mlp.c_fc.bias" : tensor<4x640xf32> {key = "h.{}.mlp.c_fc.bias", init = #lathe.init<zeros>}
lathe.parameter @"mlp.c_proj.weight" : tensor<4x640x160xf32> {key = "h.{}.mlp.c_proj.weight", init = #lathe.init<normal, 0.0, 0.00707>}
lathe.parameter @"mlp.c_proj.bias" : tensor<4x160xf32> {key = "h.{}.mlp.c_proj.bias", init = #lathe.init<zeros>}
lathe.parameter @"ln_f.weight" : !row {init = #lathe.init<ones>}
lathe.parameter @"ln_f.bias" : !row {init = #lathe.init<zeros>}

func.func private @predict(%tokens: !tokens) -> !logits {
  %wte = lathe.get_parameter @"wte.weight" : tensor<256x160xf32>
  %wpe = lathe.get_parameter @"wpe.weight" : tensor<256x160xf32>
  %e0 = lathe.embedding %wte, %tokens : (tensor<256x160xf32>, !tokens) -> !wide
  %shape = lathe.shape_of %tokens : (!tokens) -> tensor<2xi64>
  %zero = lathe.constant dense<0> : tensor<1xi64>
  %length = lathe.slice %shape {starts = array<i64: 1>, ends = array<i64: 2>} : (tensor<2xi64>) -> tensor<1xi64>
  %positions = lathe.dynamic_slice %wpe, %zero, %length : (tensor<256x160xf32>, tensor<1xi64>, tensor<1xi64>) -> tensor<?x160xf32>
  %e1 = lathe.add %e0, %positions : (!wide, tensor<?x160xf32>) -> !wide

  %ln1_gs = lathe.get_parameter @"ln_1.weight" : tensor<4x160xf32>
  %ln1_bs = lathe.get_parameter @"ln_1.bias" : tensor<4x160xf32>
  %qkv_ws = lathe.get_parameter @"attn.c_attn.weight" : tensor<4x160x480xf32>
  %qkv_bs = lathe.get_parameter @"attn.c_attn.bias" : tensor<4x480xf32>
  %proj_ws = lathe.get_parameter @"attn.c_proj.weight" : tensor<4x160x160xf32>
  %proj_bs = lathe.get_parameter @"attn.c_proj.bias" : tensor<4x160xf32>
  %ln2_gs = lathe.get_parameter @"ln_2.weight" : tensor<4x160xf32>
  %ln2_bs = lathe.get_parameter @"ln_2.bias" : tensor<4x160xf32>
  %up_ws = lathe.get_parameter @"mlp.c_fc.weight" : tensor<4x160x640xf32>
  %up_bs = lathe.get_parameter @"mlp.c_fc.bias" : tensor<4x640xf32>
  %down_ws = lathe.get_parameter @"mlp.c_proj.weight" : tensor<4x640x160xf32>
  %down_bs = lathe.get_parameter @"mlp.c_proj.bias" : tensor<4x160xf32>
  %h = lathe.scan init(%x = %e1)
    inputs(%ln1_g = %ln1_gs, %ln1_b = %ln1_bs, %qkv_w = %qkv_ws, %qkv_b = %qkv_bs, %proj_w = %proj_ws, %proj_b = %proj_bs,
           %ln2_g = %ln2_gs, %ln2_b = %ln2_bs, %up_w = %up_ws, %up_b = %up_bs, %down_w = %down_ws, %down_b = %down_bs)
    : (!wide, tensor<4x160xf32>, tensor<4x160xf32>, tensor<4x160x480xf32>, tensor<4x480xf32>, tensor<4x160x160xf32>, tensor<4x160xf32>,
       tensor<4x160xf32>, tensor<4x160xf32>, tensor<4x160x640xf32>, tensor<4x640xf32>, tensor<4x640x160xf32>, tensor<4x160xf32>) -> !wide {
    %n0 = lathe.layer_norm %x scale %ln1_g bias %ln1_b : (!wide, !row, !row) -> !wide
    %m0 = lathe.matmul %n0, %qkv_w : (!wide, tensor<160x480xf32>) -> !qkv
    %m1 = lathe.add %m0, %qkv_b : (!qkv, tensor<480xf32>) -> !qkv
    %q0 = lathe.slice %m1 {starts = array<i64: 0>, ends = array<i64: 160>, axes = array<i64: 2>} : (!qkv) -> !wide
    %k0 = lathe.slice %m1 {starts = array<i64: 160>, ends = array<i64: 320>, axes = array<i64: 2>} : (!qkv) -> !wide
    %v0 = lathe.slice %m1 {starts = array<i64: 320>, ends = array<i64: 480>, axes = array<i64: 2>} : (!qkv) -> !wide
    %q1 = lathe.reshape %q0 {shape = array<i64: 0, 0, 4, 40>} : (!wide) -> !split
    %k1 = lathe.reshape %k0 {shape = array<i64: 0, 0, 4, 40>} : (!wide) -> !split
    %v1 = lathe.reshape %v0 {shape = array<i64: 0, 0, 4, 40>} : (!wide) -> !split
    %q = lathe.transpose %q1 {permutation = array<i64: 0, 2, 1, 3>} : (!split) -> !heads
    %k = lathe.transpose %k1 {permutation = array<i64: 0, 2, 1, 3>} : (!split) -> !heads
    %v = lathe.transpose %v1 {permutation = array<i64: 0, 2, 1, 3>} : (!split) -> !heads
    %a0 = lathe.attention %q, %k, %v {causal} : (!heads, !heads, !heads) -> !heads
    %a1 = lathe.transpose %a0 {permutation = array<i64: 0, 2, 1, 3>} : (!heads) -> !split
    %a2 = lathe.reshape %a1 {shape = array<i64: 0, 0, 160>} : (!split) -> !wide
    %a3 = lathe.matmul %a2, %proj_w : (!wide, tensor<160x160xf32>) -> !wide
    %a4 = lathe.add %a3, %proj_b : (!wide, !row) -> !wide
    %r0 = lathe.add %x, %a4 : (!wide, !wide) -> !wide
    %n1 = lathe.layer_norm %r0 scale %ln2_g bias %ln2_b : (!wide, !row, !row) -> !wide
    %f0 = lathe.matmul %n1, %up_w : (!wide, tensor<160x640xf32>) -> !inner
    %f1 = lathe.add %f0, %up_b : (!inner, tensor<640xf32>) -> !inner
    %f2 = lathe.gelu %f1 {tanh} : (!inner) -> !inner
    %f3 = lathe.matmul %f2, %down_w : (!inner, tensor<640x160xf32>) -> !wide
    %f4 = lathe.add %f3, %down_b : (!wide, !row) -> !wide
    %r1 = lathe.add %r0, %f4 : (!wide, !wide) -> !wide
    lathe.yield %r1 : !wide
  }
  %ln_g = lathe.get_parameter @"ln_f.weight" : !row
  %ln_b = lathe.get_parameter @"ln_f.bias" : !row
  %n = lathe.layer_norm %h scale %ln_g bias %ln_b : (!wide, !row, !row) -> !wide
  // The output layer is the embedding's table.
  %logits = lathe.linear %n, %wte : (!wide, tensor<256x160xf32>) -> !logits
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
