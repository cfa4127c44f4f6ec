// A small vision transformer for Fashion-MNIST: 49 patches of 4x4 pixels and a
// class token, 4 layers, 64 wide, 4 heads.
//   lathe train models/fashion-vit.mlir

!bytes = tensor<?x28x28xui8>
!image = tensor<?x28x28xf32>
!tokens = tensor<?x50x64xf32>
!split = tensor<?x50x4x16xf32>
!heads = tensor<?x4x50x16xf32>
!inner = tensor<?x50x128xf32>
!square = tensor<64x64xf32>
!row = tensor<64xf32>
!logits = tensor<?x10xf32>

lathe.parameter @"patch.weight" : tensor<64x16xf32> {init = #lathe.init<xavier_uniform>}
lathe.parameter @"patch.bias" : !row {init = #lathe.init<zeros>}
lathe.parameter @"class_token" : tensor<1x1x64xf32> {init = #lathe.init<normal, 0.0, 0.02>}
lathe.parameter @"positions" : tensor<50x64xf32> {init = #lathe.init<normal, 0.0, 0.02>}
// One stacked parameter per tensor of a layer; {} in the key is the layer index.
lathe.parameter @"norm1.weight" : tensor<4x64xf32> {key = "blocks.{}.norm1.weight", init = #lathe.init<ones>}
lathe.parameter @"norm1.bias" : tensor<4x64xf32> {key = "blocks.{}.norm1.bias", init = #lathe.init<zeros>}
lathe.parameter @"query.weight" : tensor<4x64x64xf32> {key = "blocks.{}.query.weight", init = #lathe.init<normal, 0.0, 0.05>}
lathe.parameter @"query.bias" : tensor<4x64xf32> {key = "blocks.{}.query.bias", init = #lathe.init<zeros>}
lathe.parameter @"key.weight" : tensor<4x64x64xf32> {key = "blocks.{}.key.weight", init = #lathe.init<normal, 0.0, 0.05>}
lathe.parameter @"key.bias" : tensor<4x64xf32> {key = "blocks.{}.key.bias", init = #lathe.init<zeros>}
lathe.parameter @"value.weight" : tensor<4x64x64xf32> {key = "blocks.{}.value.weight", init = #lathe.init<normal, 0.0, 0.05>}
lathe.parameter @"value.bias" : tensor<4x64xf32> {key = "blocks.{}.value.bias", init = #lathe.init<zeros>}
lathe.parameter @"proj.weight" : tensor<4x64x64xf32> {key = "blocks.{}.proj.weight", init = #lathe.init<normal, 0.0, 0.02>}
lathe.parameter @"proj.bias" : tensor<4x64xf32> {key = "blocks.{}.proj.bias", init = #lathe.init<zeros>}
lathe.parameter @"norm2.weight" : tensor<4x64xf32> {key = "blocks.{}.norm2.weight", init = #lathe.init<ones>}
lathe.parameter @"norm2.bias" : tensor<4x64xf32> {key = "blocks.{}.norm2.bias", init = #lathe.init<zeros>}
lathe.parameter @"up.weight" : tensor<4x128x64xf32> {key = "blocks.{}.up.weight", init = #lathe.init<normal, 0.0, 0.05>}
lathe.parameter @"up.bias" : tensor<4x128xf32> {key = "blocks.{}.up.bias", init = #lathe.init<zeros>}
lathe.parameter @"down.weight" : tensor<4x64x128xf32> {key = "blocks.{}.down.weight", init = #lathe.init<normal, 0.0, 0.02>}
lathe.parameter @"down.bias" : tensor<4x64xf32> {key = "blocks.{}.down.bias", init = #lathe.init<zeros>}
lathe.parameter @"norm.weight" : !row {init = #lathe.init<ones>}
lathe.parameter @"norm.bias" : !row {init = #lathe.init<zeros>}
lathe.parameter @"head.weight" : tensor<10x64xf32> {init = #lathe.init<xavier_uniform>}
lathe.parameter @"head.bias" : tensor<10xf32> {init = #lathe.init<zeros>}

func.func private @classify(%bytes: !bytes) -> !logits {
  // Mean 0 and deviation 1 over the training set.
  %mean = lathe.constant dense<72.94> : tensor<f32>
  %scale = lathe.constant dense<0.0110929> : tensor<f32>
  %i0 = lathe.cast %bytes to f32 : (!bytes) -> !image
  %i1 = lathe.sub %i0, %mean : (!image, tensor<f32>) -> !image
  %i2 = lathe.mul %i1, %scale : (!image, tensor<f32>) -> !image

  // Patches of 4x4 pixels, in rows of 7.
  %p0 = lathe.reshape %i2 {shape = array<i64: 0, 7, 4, 7, 4>} : (!image) -> tensor<?x7x4x7x4xf32>
  %p1 = lathe.transpose %p0 {permutation = array<i64: 0, 1, 3, 2, 4>} : (tensor<?x7x4x7x4xf32>) -> tensor<?x7x7x4x4xf32>
  %p2 = lathe.reshape %p1 {shape = array<i64: 0, 49, 16>} : (tensor<?x7x7x4x4xf32>) -> tensor<?x49x16xf32>
  %patch_w = lathe.get_parameter @"patch.weight" : tensor<64x16xf32>
  %patch_b = lathe.get_parameter @"patch.bias" : !row
  %p3 = lathe.linear %p2, %patch_w, %patch_b : (tensor<?x49x16xf32>, tensor<64x16xf32>, !row) -> tensor<?x49x64xf32>

  // The class token before them, [batch, 1, 64].
  %class = lathe.get_parameter @"class_token" : tensor<1x1x64xf32>
  %shape = lathe.shape_of %bytes : (!bytes) -> tensor<3xi64>
  %batch = lathe.slice %shape {starts = array<i64: 0>, ends = array<i64: 1>} : (tensor<3xi64>) -> tensor<1xi64>
  %one = lathe.constant dense<1> : tensor<2xi64>
  %size = lathe.concat %batch, %one {axis = 0} : (tensor<1xi64>, tensor<2xi64>) -> tensor<3xi64>
  %classes = lathe.dynamic_broadcast %class, %size : (tensor<1x1x64xf32>, tensor<3xi64>) -> tensor<?x1x64xf32>
  %t0 = lathe.concat %classes, %p3 {axis = 1} : (tensor<?x1x64xf32>, tensor<?x49x64xf32>) -> !tokens
  %positions = lathe.get_parameter @"positions" : tensor<50x64xf32>
  %t1 = lathe.add %t0, %positions : (!tokens, tensor<50x64xf32>) -> !tokens

  %norm1_gs = lathe.get_parameter @"norm1.weight" : tensor<4x64xf32>
  %norm1_bs = lathe.get_parameter @"norm1.bias" : tensor<4x64xf32>
  %query_ws = lathe.get_parameter @"query.weight" : tensor<4x64x64xf32>
  %query_bs = lathe.get_parameter @"query.bias" : tensor<4x64xf32>
  %key_ws = lathe.get_parameter @"key.weight" : tensor<4x64x64xf32>
  %key_bs = lathe.get_parameter @"key.bias" : tensor<4x64xf32>
  %value_ws = lathe.get_parameter @"value.weight" : tensor<4x64x64xf32>
  %value_bs = lathe.get_parameter @"value.bias" : tensor<4x64xf32>
  %proj_ws = lathe.get_parameter @"proj.weight" : tensor<4x64x64xf32>
  %proj_bs = lathe.get_parameter @"proj.bias" : tensor<4x64xf32>
  %norm2_gs = lathe.get_parameter @"norm2.weight" : tensor<4x64xf32>
  %norm2_bs = lathe.get_parameter @"norm2.bias" : tensor<4x64xf32>
  %up_ws = lathe.get_parameter @"up.weight" : tensor<4x128x64xf32>
  %up_bs = lathe.get_parameter @"up.bias" : tensor<4x128xf32>
  %down_ws = lathe.get_parameter @"down.weight" : tensor<4x64x128xf32>
  %down_bs = lathe.get_parameter @"down.bias" : tensor<4x64xf32>
  %h = lathe.scan init(%x = %t1)
    inputs(%norm1_g = %norm1_gs, %norm1_b = %norm1_bs, %query_w = %query_ws, %query_b = %query_bs, %key_w = %key_ws, %key_b = %key_bs,
           %value_w = %value_ws, %value_b = %value_bs, %proj_w = %proj_ws, %proj_b = %proj_bs, %norm2_g = %norm2_gs, %norm2_b = %norm2_bs,
           %up_w = %up_ws, %up_b = %up_bs, %down_w = %down_ws, %down_b = %down_bs)
    : (!tokens, tensor<4x64xf32>, tensor<4x64xf32>, tensor<4x64x64xf32>, tensor<4x64xf32>, tensor<4x64x64xf32>, tensor<4x64xf32>,
       tensor<4x64x64xf32>, tensor<4x64xf32>, tensor<4x64x64xf32>, tensor<4x64xf32>, tensor<4x64xf32>, tensor<4x64xf32>,
       tensor<4x128x64xf32>, tensor<4x128xf32>, tensor<4x64x128xf32>, tensor<4x64xf32>) -> !tokens {
    %n0 = lathe.layer_norm %x scale %norm1_g bias %norm1_b : (!tokens, !row, !row) -> !tokens
    %q0 = lathe.linear %n0, %query_w, %query_b : (!tokens, !square, !row) -> !tokens
    %k0 = lathe.linear %n0, %key_w, %key_b : (!tokens, !square, !row) -> !tokens
    %v0 = lathe.linear %n0, %value_w, %value_b : (!tokens, !square, !row) -> !tokens
    %q1 = lathe.reshape %q0 {shape = array<i64: 0, 0, 4, 16>} : (!tokens) -> !split
    %k1 = lathe.reshape %k0 {shape = array<i64: 0, 0, 4, 16>} : (!tokens) -> !split
    %v1 = lathe.reshape %v0 {shape = array<i64: 0, 0, 4, 16>} : (!tokens) -> !split
    %q = lathe.transpose %q1 {permutation = array<i64: 0, 2, 1, 3>} : (!split) -> !heads
    %k = lathe.transpose %k1 {permutation = array<i64: 0, 2, 1, 3>} : (!split) -> !heads
    %v = lathe.transpose %v1 {permutation = array<i64: 0, 2, 1, 3>} : (!split) -> !heads
    %a0 = lathe.attention %q, %k, %v : (!heads, !heads, !heads) -> !heads
    %a1 = lathe.transpose %a0 {permutation = array<i64: 0, 2, 1, 3>} : (!heads) -> !split
    %a2 = lathe.reshape %a1 {shape = array<i64: 0, 0, 64>} : (!split) -> !tokens
    %a3 = lathe.linear %a2, %proj_w, %proj_b : (!tokens, !square, !row) -> !tokens
    %r0 = lathe.add %x, %a3 : (!tokens, !tokens) -> !tokens
    %n1 = lathe.layer_norm %r0 scale %norm2_g bias %norm2_b : (!tokens, !row, !row) -> !tokens
    %f0 = lathe.linear %n1, %up_w, %up_b : (!tokens, tensor<128x64xf32>, tensor<128xf32>) -> !inner
    %f1 = lathe.gelu %f0 : (!inner) -> !inner
    %f2 = lathe.linear %f1, %down_w, %down_b : (!inner, tensor<64x128xf32>, !row) -> !tokens
    %r1 = lathe.add %r0, %f2 : (!tokens, !tokens) -> !tokens
    lathe.yield %r1 : !tokens
  }
  %norm_g = lathe.get_parameter @"norm.weight" : !row
  %norm_b = lathe.get_parameter @"norm.bias" : !row
  %first = lathe.slice %h {starts = array<i64: 0>, ends = array<i64: 1>, axes = array<i64: 1>} : (!tokens) -> tensor<?x1x64xf32>
  %picked = lathe.squeeze %first {axes = array<i64: 1>} : (tensor<?x1x64xf32>) -> tensor<?x64xf32>
  %n = lathe.layer_norm %picked scale %norm_g bias %norm_b : (tensor<?x64xf32>, !row, !row) -> tensor<?x64xf32>
  %head_w = lathe.get_parameter @"head.weight" : tensor<10x64xf32>
  %head_b = lathe.get_parameter @"head.bias" : tensor<10xf32>
  %logits = lathe.linear %n, %head_w, %head_b : (tensor<?x64xf32>, tensor<10x64xf32>, tensor<10xf32>) -> !logits
  return %logits : !logits
}

func.func @main(%image: !bytes {lathe.name = "image", lathe.dims = ["batch", "", ""]})
    -> (!logits {lathe.name = "logits"}) {
  %logits = call @classify(%image) : (!bytes) -> !logits
  return %logits : !logits
}

func.func @loss(%image: !bytes {lathe.name = "image", lathe.dims = ["batch", "", ""]},
                %label: tensor<?xi64> {lathe.name = "label", lathe.dims = ["batch"]})
    -> (tensor<f32> {lathe.name = "loss"}, !logits {lathe.name = "logits"}) {
  %logits = call @classify(%image) : (!bytes) -> !logits
  %loss = lathe.cross_entropy %logits, %label : (!logits, tensor<?xi64>) -> tensor<f32>
  return %loss, %logits : tensor<f32>, !logits
}
