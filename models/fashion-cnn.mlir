// A small convolutional network for Fashion-MNIST: two 3x3 convolutions with
// batch normalization and pooling, then a dense layer with dropout.
//   lathe train models/fashion-cnn.mlir

!bytes = tensor<?x28x28xui8>
!image = tensor<?x28x28xf32>
!c32 = tensor<32xf32>
!c64 = tensor<64xf32>
!map1 = tensor<?x32x28x28xf32>
!half1 = tensor<?x32x14x14xf32>
!map2 = tensor<?x64x14x14xf32>
!half2 = tensor<?x64x7x7xf32>
!features = tensor<?x3136xf32>
!hidden = tensor<?x128xf32>
!logits = tensor<?x10xf32>

lathe.parameter @"conv1.weight" : tensor<32x1x3x3xf32> {init = #lathe.init<kaiming_uniform>}
lathe.parameter @"bn1.weight" : !c32 {init = #lathe.init<ones>}
lathe.parameter @"bn1.bias" : !c32 {init = #lathe.init<zeros>}
lathe.parameter @"bn1.running_mean" : !c32 {mutable, init = #lathe.init<zeros>}
lathe.parameter @"bn1.running_var" : !c32 {mutable, init = #lathe.init<ones>}
lathe.parameter @"conv2.weight" : tensor<64x32x3x3xf32> {init = #lathe.init<kaiming_uniform>}
lathe.parameter @"bn2.weight" : !c64 {init = #lathe.init<ones>}
lathe.parameter @"bn2.bias" : !c64 {init = #lathe.init<zeros>}
lathe.parameter @"bn2.running_mean" : !c64 {mutable, init = #lathe.init<zeros>}
lathe.parameter @"bn2.running_var" : !c64 {mutable, init = #lathe.init<ones>}
lathe.parameter @"fc1.weight" : tensor<128x3136xf32> {init = #lathe.init<kaiming_uniform>}
lathe.parameter @"fc1.bias" : tensor<128xf32> {init = #lathe.init<zeros>}
lathe.parameter @"fc2.weight" : tensor<10x128xf32> {init = #lathe.init<xavier_uniform>}
lathe.parameter @"fc2.bias" : tensor<10xf32> {init = #lathe.init<zeros>}

// In the form for training; for @main, dropout and batch statistics are taken out.
func.func private @classify(%bytes: !bytes, %key: tensor<2xi64>) -> !logits {
  // Mean 0 and deviation 1 over the training set.
  %mean = lathe.constant dense<72.94> : tensor<f32>
  %scale = lathe.constant dense<0.0110929> : tensor<f32>
  %i0 = lathe.cast %bytes to f32 : (!bytes) -> !image
  %i1 = lathe.sub %i0, %mean : (!image, tensor<f32>) -> !image
  %i2 = lathe.mul %i1, %scale : (!image, tensor<f32>) -> !image
  %x = lathe.unsqueeze %i2 {axes = array<i64: 1>} : (!image) -> tensor<?x1x28x28xf32>

  %w1 = lathe.get_parameter @"conv1.weight" : tensor<32x1x3x3xf32>
  %g1 = lathe.get_parameter @"bn1.weight" : !c32
  %b1 = lathe.get_parameter @"bn1.bias" : !c32
  %m1 = lathe.get_parameter @"bn1.running_mean" : !c32
  %v1 = lathe.get_parameter @"bn1.running_var" : !c32
  %a0 = lathe.conv %x, %w1 {pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>}
      : (tensor<?x1x28x28xf32>, tensor<32x1x3x3xf32>) -> !map1
  %a1, %nm1, %nv1 = lathe.batch_norm_training %a0, %g1, %b1, %m1, %v1 {momentum = 0.1, epsilon = 1.0e-5}
      : (!map1, !c32, !c32, !c32, !c32) -> (!map1, !c32, !c32)
  lathe.set_parameter @"bn1.running_mean", %nm1 : !c32
  lathe.set_parameter @"bn1.running_var", %nv1 : !c32
  %a2 = lathe.relu %a1 : (!map1) -> !map1
  %a3 = lathe.max_pool %a2 {kernel = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (!map1) -> !half1

  %w2 = lathe.get_parameter @"conv2.weight" : tensor<64x32x3x3xf32>
  %g2 = lathe.get_parameter @"bn2.weight" : !c64
  %b2 = lathe.get_parameter @"bn2.bias" : !c64
  %m2 = lathe.get_parameter @"bn2.running_mean" : !c64
  %v2 = lathe.get_parameter @"bn2.running_var" : !c64
  %c0 = lathe.conv %a3, %w2 {pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>}
      : (!half1, tensor<64x32x3x3xf32>) -> !map2
  %c1, %nm2, %nv2 = lathe.batch_norm_training %c0, %g2, %b2, %m2, %v2 {momentum = 0.1, epsilon = 1.0e-5}
      : (!map2, !c64, !c64, !c64, !c64) -> (!map2, !c64, !c64)
  lathe.set_parameter @"bn2.running_mean", %nm2 : !c64
  lathe.set_parameter @"bn2.running_var", %nv2 : !c64
  %c2 = lathe.relu %c1 : (!map2) -> !map2
  %c3 = lathe.max_pool %c2 {kernel = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (!map2) -> !half2

  %f0 = lathe.reshape %c3 {shape = array<i64: 0, 3136>} : (!half2) -> !features
  %w3 = lathe.get_parameter @"fc1.weight" : tensor<128x3136xf32>
  %b3 = lathe.get_parameter @"fc1.bias" : tensor<128xf32>
  %f1 = lathe.linear %f0, %w3, %b3 : (!features, tensor<128x3136xf32>, tensor<128xf32>) -> !hidden
  %f2 = lathe.relu %f1 : (!hidden) -> !hidden
  %f3 = lathe.dropout %f2, %key {rate = 0.25, stream = 1} : (!hidden, tensor<2xi64>) -> !hidden
  %w4 = lathe.get_parameter @"fc2.weight" : tensor<10x128xf32>
  %b4 = lathe.get_parameter @"fc2.bias" : tensor<10xf32>
  %logits = lathe.linear %f3, %w4, %b4 : (!hidden, tensor<10x128xf32>, tensor<10xf32>) -> !logits
  return %logits : !logits
}

func.func @main(%image: !bytes {lathe.name = "image", lathe.dims = ["batch", "", ""]})
    -> (!logits {lathe.name = "logits"}) {
  %key = lathe.constant dense<0> : tensor<2xi64>
  %logits = call @classify(%image, %key) : (!bytes, tensor<2xi64>) -> !logits
  return %logits : !logits
}

func.func @loss(%image: !bytes {lathe.name = "image", lathe.dims = ["batch", "", ""]},
                %label: tensor<?xi64> {lathe.name = "label", lathe.dims = ["batch"]},
                %key: tensor<2xi64> {lathe.name = "random_key"})
    -> (tensor<f32> {lathe.name = "loss"}, !logits {lathe.name = "logits"}) {
  %logits = call @classify(%image, %key) : (!bytes, tensor<2xi64>) -> !logits
  %loss = lathe.cross_entropy %logits, %label : (!logits, tensor<?xi64>) -> tensor<f32>
  return %loss, %logits : tensor<f32>, !logits
}
