// ViT-B/16 (Dosovitskiy et al., 2020): 196 patches of 16x16 pixels and a class token, 12 layers,
// 768 wide, 12 heads; 86.6 M parameters under torchvision's names. Images are RGB bytes of
// 224x224 pixels.
//   lathe run models/vit-b16.mlir --weights vit_b_16.safetensors --input image=image.npy

!bytes = tensor<?x224x224x3xui8>
!image = tensor<?x224x224x3xf32>
!tokens = tensor<?x197x768xf32>
!split = tensor<?x197x12x64xf32>
!heads = tensor<?x12x197x64xf32>
!inner = tensor<?x197x3072xf32>
!square = tensor<768x768xf32>
!row = tensor<768xf32>
!rows = tensor<12x768xf32>
!logits = tensor<?x1000xf32>

lathe.parameter @"conv_proj.weight" : tensor<768x3x16x16xf32> {init = #lathe.init<truncated_normal, 0.0, 0.0361>}
lathe.parameter @"conv_proj.bias" : !row {init = #lathe.init<zeros>}
lathe.parameter @"class_token" : tensor<1x1x768xf32> {init = #lathe.init<zeros>}
lathe.parameter @"encoder.pos_embedding" : tensor<1x197x768xf32> {init = #lathe.init<normal, 0.0, 0.02>}
// One stacked parameter per tensor of a layer; {} in the key is the layer index.
lathe.parameter @"ln_1.weight" : !rows {key = "encoder.layers.encoder_layer_{}.ln_1.weight", init = #lathe.init<ones>}
lathe.parameter @"ln_1.bias" : !rows {key = "encoder.layers.encoder_layer_{}.ln_1.bias", init = #lathe.init<zeros>}
lathe.parameter @"self_attention.in_proj_weight" : tensor<12x2304x768xf32> {key = "encoder.layers.encoder_layer_{}.self_attention.in_proj_weight", init = #lathe.init<normal, 0.0, 0.0255>}
lathe.parameter @"self_attention.in_proj_bias" : tensor<12x2304xf32> {key = "encoder.layers.encoder_layer_{}.self_attention.in_proj_bias", init = #lathe.init<zeros>}
lathe.parameter @"self_attention.out_proj.weight" : tensor<12x768x768xf32> {key = "encoder.layers.encoder_layer_{}.self_attention.out_proj.weight", init = #lathe.init<normal, 0.0, 0.0208>}
lathe.parameter @"self_attention.out_proj.bias" : !rows {key = "encoder.layers.encoder_layer_{}.self_attention.out_proj.bias", init = #lathe.init<zeros>}
lathe.parameter @"ln_2.weight" : !rows {key = "encoder.layers.encoder_layer_{}.ln_2.weight", init = #lathe.init<ones>}
lathe.parameter @"ln_2.bias" : !rows {key = "encoder.layers.encoder_layer_{}.ln_2.bias", init = #lathe.init<zeros>}
lathe.parameter @"mlp.0.weight" : tensor<12x3072x768xf32> {key = "encoder.layers.encoder_layer_{}.mlp.0.weight", init = #lathe.init<normal, 0.0, 0.0228>}
lathe.parameter @"mlp.0.bias" : tensor<12x3072xf32> {key = "encoder.layers.encoder_layer_{}.mlp.0.bias", init = #lathe.init<zeros>}
lathe.parameter @"mlp.3.weight" : tensor<12x768x3072xf32> {key = "encoder.layers.encoder_layer_{}.mlp.3.weight", init = #lathe.init<normal, 0.0, 0.0228>}
lathe.parameter @"mlp.3.bias" : !rows {key = "encoder.layers.encoder_layer_{}.mlp.3.bias", init = #lathe.init<zeros>}
lathe.parameter @"encoder.ln.weight" : !row {init = #lathe.init<ones>}
lathe.parameter @"encoder.ln.bias" : !row {init = #lathe.init<zeros>}
lathe.parameter @"heads.head.weight" : tensor<1000x768xf32> {init = #lathe.init<zeros>}
lathe.parameter @"heads.head.bias" : tensor<1000xf32> {init = #lathe.init<zeros>}

func.func private @classify(%bytes: !bytes) -> !logits {
  // ImageNet's mean and deviation of red, green and blue.
  %mean = lathe.constant dense<[123.675, 116.28, 103.53]> : tensor<3xf32>
  %deviation = lathe.constant dense<[58.395, 57.12, 57.375]> : tensor<3xf32>
  %i0 = lathe.cast %bytes to f32 : (!bytes) -> !image
  %i1 = lathe.sub %i0, %mean : (!image, tensor<3xf32>) -> !image
  %i2 = lathe.div %i1, %deviation : (!image, tensor<3xf32>) -> !image

  // A patch is a row of its own, [batch, 196, 3 * 16 * 16], as in the filter.
  %p0 = lathe.reshape %i2 {shape = array<i64: 0, 14, 16, 14, 16, 3>} : (!image) -> tensor<?x14x16x14x16x3xf32>
  %p1 = lathe.transpose %p0 {permutation = array<i64: 0, 1, 3, 5, 2, 4>} : (tensor<?x14x16x14x16x3xf32>) -> tensor<?x14x14x3x16x16xf32>
  %p2 = lathe.reshape %p1 {shape = array<i64: 0, 196, 768>} : (tensor<?x14x14x3x16x16xf32>) -> tensor<?x196x768xf32>
  %filter = lathe.get_parameter @"conv_proj.weight" : tensor<768x3x16x16xf32>
  %patch_w = lathe.reshape %filter {shape = array<i64: 768, 768>} : (tensor<768x3x16x16xf32>) -> !square
  %patch_b = lathe.get_parameter @"conv_proj.bias" : !row
  %p3 = lathe.linear %p2, %patch_w, %patch_b : (tensor<?x196x768xf32>, !square, !row) -> tensor<?x196x768xf32>

  // The class token before them.
  %class = lathe.get_parameter @"class_token" : tensor<1x1x768xf32>
  %shape = lathe.shape_of %bytes : (!bytes) -> tensor<4xi64>
  %batch = lathe.slice %shape {starts = array<i64: 0>, ends = array<i64: 1>} : (tensor<4xi64>) -> tensor<1xi64>
  %one = lathe.constant dense<1> : tensor<2xi64>
  %size = lathe.concat %batch, %one {axis = 0} : (tensor<1xi64>, tensor<2xi64>) -> tensor<3xi64>
  %classes = lathe.dynamic_broadcast %class, %size : (tensor<1x1x768xf32>, tensor<3xi64>) -> tensor<?x1x768xf32>
  %t0 = lathe.concat %classes, %p3 {axis = 1} : (tensor<?x1x768xf32>, tensor<?x196x768xf32>) -> !tokens
  %positions = lathe.get_parameter @"encoder.pos_embedding" : tensor<1x197x768xf32>
  %t1 = lathe.add %t0, %positions : (!tokens, tensor<1x197x768xf32>) -> !tokens

  %ln1_gs = lathe.get_parameter @"ln_1.weight" : !rows
  %ln1_bs = lathe.get_parameter @"ln_1.bias" : !rows
  %qkv_ws = lathe.get_parameter @"self_attention.in_proj_weight" : tensor<12x2304x768xf32>
  %qkv_bs = lathe.get_parameter @"self_attention.in_proj_bias" : tensor<12x2304xf32>
  %proj_ws = lathe.get_parameter @"self_attention.out_proj.weight" : tensor<12x768x768xf32>
  %proj_bs = lathe.get_parameter @"self_attention.out_proj.bias" : !rows
  %ln2_gs = lathe.get_parameter @"ln_2.weight" : !rows
  %ln2_bs = lathe.get_parameter @"ln_2.bias" : !rows
  %up_ws = lathe.get_parameter @"mlp.0.weight" : tensor<12x3072x768xf32>
  %up_bs = lathe.get_parameter @"mlp.0.bias" : tensor<12x3072xf32>
  %down_ws = lathe.get_parameter @"mlp.3.weight" : tensor<12x768x3072xf32>
  %down_bs = lathe.get_parameter @"mlp.3.bias" : !rows
  %h = lathe.scan init(%x = %t1)
    inputs(%ln1_g = %ln1_gs, %ln1_b = %ln1_bs, %qkv_w = %qkv_ws, %qkv_b = %qkv_bs, %proj_w = %proj_ws, %proj_b = %proj_bs,
           %ln2_g = %ln2_gs, %ln2_b = %ln2_bs, %up_w = %up_ws, %up_b = %up_bs, %down_w = %down_ws, %down_b = %down_bs)
    : (!tokens, !rows, !rows, tensor<12x2304x768xf32>, tensor<12x2304xf32>, tensor<12x768x768xf32>, !rows,
       !rows, !rows, tensor<12x3072x768xf32>, tensor<12x3072xf32>, tensor<12x768x3072xf32>, !rows) -> !tokens {
    %n0 = lathe.layer_norm %x scale %ln1_g bias %ln1_b {epsilon = 1.0e-6} : (!tokens, !row, !row) -> !tokens
    %m0 = lathe.linear %n0, %qkv_w, %qkv_b : (!tokens, tensor<2304x768xf32>, tensor<2304xf32>) -> tensor<?x197x2304xf32>
    %q0 = lathe.slice %m0 {starts = array<i64: 0>, ends = array<i64: 768>, axes = array<i64: 2>} : (tensor<?x197x2304xf32>) -> !tokens
    %k0 = lathe.slice %m0 {starts = array<i64: 768>, ends = array<i64: 1536>, axes = array<i64: 2>} : (tensor<?x197x2304xf32>) -> !tokens
    %v0 = lathe.slice %m0 {starts = array<i64: 1536>, ends = array<i64: 2304>, axes = array<i64: 2>} : (tensor<?x197x2304xf32>) -> !tokens
    %q1 = lathe.reshape %q0 {shape = array<i64: 0, 0, 12, 64>} : (!tokens) -> !split
    %k1 = lathe.reshape %k0 {shape = array<i64: 0, 0, 12, 64>} : (!tokens) -> !split
    %v1 = lathe.reshape %v0 {shape = array<i64: 0, 0, 12, 64>} : (!tokens) -> !split
    %q = lathe.transpose %q1 {permutation = array<i64: 0, 2, 1, 3>} : (!split) -> !heads
    %k = lathe.transpose %k1 {permutation = array<i64: 0, 2, 1, 3>} : (!split) -> !heads
    %v = lathe.transpose %v1 {permutation = array<i64: 0, 2, 1, 3>} : (!split) -> !heads
    %a0 = lathe.attention %q, %k, %v : (!heads, !heads, !heads) -> !heads
    %a1 = lathe.transpose %a0 {permutation = array<i64: 0, 2, 1, 3>} : (!heads) -> !split
    %a2 = lathe.reshape %a1 {shape = array<i64: 0, 0, 768>} : (!split) -> !tokens
    %a3 = lathe.linear %a2, %proj_w, %proj_b : (!tokens, !square, !row) -> !tokens
    %r0 = lathe.add %x, %a3 : (!tokens, !tokens) -> !tokens
    %n1 = lathe.layer_norm %r0 scale %ln2_g bias %ln2_b {epsilon = 1.0e-6} : (!tokens, !row, !row) -> !tokens
    %f0 = lathe.linear %n1, %up_w, %up_b : (!tokens, tensor<3072x768xf32>, tensor<3072xf32>) -> !inner
    %f1 = lathe.gelu %f0 : (!inner) -> !inner
    %f2 = lathe.linear %f1, %down_w, %down_b : (!inner, tensor<768x3072xf32>, !row) -> !tokens
    %r1 = lathe.add %r0, %f2 : (!tokens, !tokens) -> !tokens
    lathe.yield %r1 : !tokens
  }
  %norm_g = lathe.get_parameter @"encoder.ln.weight" : !row
  %norm_b = lathe.get_parameter @"encoder.ln.bias" : !row
  %first = lathe.slice %h {starts = array<i64: 0>, ends = array<i64: 1>, axes = array<i64: 1>} : (!tokens) -> tensor<?x1x768xf32>
  %picked = lathe.squeeze %first {axes = array<i64: 1>} : (tensor<?x1x768xf32>) -> tensor<?x768xf32>
  %n = lathe.layer_norm %picked scale %norm_g bias %norm_b {epsilon = 1.0e-6} : (tensor<?x768xf32>, !row, !row) -> tensor<?x768xf32>
  %head_w = lathe.get_parameter @"heads.head.weight" : tensor<1000x768xf32>
  %head_b = lathe.get_parameter @"heads.head.bias" : tensor<1000xf32>
  %logits = lathe.linear %n, %head_w, %head_b : (tensor<?x768xf32>, tensor<1000x768xf32>, tensor<1000xf32>) -> !logits
  return %logits : !logits
}

func.func @main(%image: !bytes {lathe.name = "image", lathe.dims = ["batch", "", "", ""]})
    -> (!logits {lathe.name = "logits"}) {
  %logits = call @classify(%image) : (!bytes) -> !logits
  return %logits : !logits
}

func.func @loss(%image: !bytes {lathe.name = "image", lathe.dims = ["batch", "", "", ""]},
                %label: tensor<?xi64> {lathe.name = "label", lathe.dims = ["batch"]})
    -> (tensor<f32> {lathe.name = "loss"}, !logits {lathe.name = "logits"}) {
  %logits = call @classify(%image) : (!bytes) -> !logits
  %loss = lathe.cross_entropy %logits, %label : (!logits, tensor<?xi64>) -> tensor<f32>
  return %loss, %logits : tensor<f32>, !logits
}
