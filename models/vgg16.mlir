// VGG-16 (Simonyan and Zisserman, 2014): 138 M parameters under torchvision's names, which
// number the modules of "features" and "classifier". Images are RGB bytes of 224x224 pixels.
//   lathe run models/vgg16.mlir --weights vgg16.safetensors --input image=image.npy

!bytes = tensor<?x224x224x3xui8>
!image = tensor<?x224x224x3xf32>
// Feature maps: batch, channels, height, width.
!map = tensor<?x?x?x?xf32>
!hidden = tensor<?x4096xf32>
!logits = tensor<?x1000xf32>

lathe.parameter @"features.0.weight" : tensor<64x3x3x3xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"features.0.bias" : tensor<64xf32> {init = #lathe.init<zeros>}
lathe.parameter @"features.2.weight" : tensor<64x64x3x3xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"features.2.bias" : tensor<64xf32> {init = #lathe.init<zeros>}
lathe.parameter @"features.5.weight" : tensor<128x64x3x3xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"features.5.bias" : tensor<128xf32> {init = #lathe.init<zeros>}
lathe.parameter @"features.7.weight" : tensor<128x128x3x3xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"features.7.bias" : tensor<128xf32> {init = #lathe.init<zeros>}
lathe.parameter @"features.10.weight" : tensor<256x128x3x3xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"features.10.bias" : tensor<256xf32> {init = #lathe.init<zeros>}
lathe.parameter @"features.12.weight" : tensor<256x256x3x3xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"features.12.bias" : tensor<256xf32> {init = #lathe.init<zeros>}
lathe.parameter @"features.14.weight" : tensor<256x256x3x3xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"features.14.bias" : tensor<256xf32> {init = #lathe.init<zeros>}
lathe.parameter @"features.17.weight" : tensor<512x256x3x3xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"features.17.bias" : tensor<512xf32> {init = #lathe.init<zeros>}
lathe.parameter @"features.19.weight" : tensor<512x512x3x3xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"features.19.bias" : tensor<512xf32> {init = #lathe.init<zeros>}
lathe.parameter @"features.21.weight" : tensor<512x512x3x3xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"features.21.bias" : tensor<512xf32> {init = #lathe.init<zeros>}
lathe.parameter @"features.24.weight" : tensor<512x512x3x3xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"features.24.bias" : tensor<512xf32> {init = #lathe.init<zeros>}
lathe.parameter @"features.26.weight" : tensor<512x512x3x3xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"features.26.bias" : tensor<512xf32> {init = #lathe.init<zeros>}
lathe.parameter @"features.28.weight" : tensor<512x512x3x3xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"features.28.bias" : tensor<512xf32> {init = #lathe.init<zeros>}
lathe.parameter @"classifier.0.weight" : tensor<4096x25088xf32> {init = #lathe.init<normal, 0.0, 0.01>}
lathe.parameter @"classifier.0.bias" : tensor<4096xf32> {init = #lathe.init<zeros>}
lathe.parameter @"classifier.3.weight" : tensor<4096x4096xf32> {init = #lathe.init<normal, 0.0, 0.01>}
lathe.parameter @"classifier.3.bias" : tensor<4096xf32> {init = #lathe.init<zeros>}
lathe.parameter @"classifier.6.weight" : tensor<1000x4096xf32> {init = #lathe.init<normal, 0.0, 0.01>}
lathe.parameter @"classifier.6.bias" : tensor<1000xf32> {init = #lathe.init<zeros>}

// In the form for training; for @main, dropout is taken out.
func.func private @classify(%bytes: !bytes, %key: tensor<2xi64>) -> !logits {
  // ImageNet's mean and deviation of red, green and blue.
  %mean = lathe.constant dense<[123.675, 116.28, 103.53]> : tensor<3xf32>
  %deviation = lathe.constant dense<[58.395, 57.12, 57.375]> : tensor<3xf32>
  %i0 = lathe.cast %bytes to f32 : (!bytes) -> !image
  %i1 = lathe.sub %i0, %mean : (!image, tensor<3xf32>) -> !image
  %i2 = lathe.div %i1, %deviation : (!image, tensor<3xf32>) -> !image
  %p0 = lathe.transpose %i2 {permutation = array<i64: 0, 3, 1, 2>} : (!image) -> !map

  // 64 channels of 224x224.
  %w0 = lathe.get_parameter @"features.0.weight" : tensor<64x3x3x3xf32>
  %b0 = lathe.get_parameter @"features.0.bias" : tensor<64xf32>
  %c0 = lathe.conv %p0, %w0, %b0 {pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>} : (!map, tensor<64x3x3x3xf32>, tensor<64xf32>) -> !map
  %r0 = lathe.relu %c0 : (!map) -> !map
  %w2 = lathe.get_parameter @"features.2.weight" : tensor<64x64x3x3xf32>
  %b2 = lathe.get_parameter @"features.2.bias" : tensor<64xf32>
  %c2 = lathe.conv %r0, %w2, %b2 {pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>} : (!map, tensor<64x64x3x3xf32>, tensor<64xf32>) -> !map
  %r2 = lathe.relu %c2 : (!map) -> !map
  %p1 = lathe.max_pool %r2 {kernel = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (!map) -> !map
  // 128 channels of 112x112.
  %w5 = lathe.get_parameter @"features.5.weight" : tensor<128x64x3x3xf32>
  %b5 = lathe.get_parameter @"features.5.bias" : tensor<128xf32>
  %c5 = lathe.conv %p1, %w5, %b5 {pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>} : (!map, tensor<128x64x3x3xf32>, tensor<128xf32>) -> !map
  %r5 = lathe.relu %c5 : (!map) -> !map
  %w7 = lathe.get_parameter @"features.7.weight" : tensor<128x128x3x3xf32>
  %b7 = lathe.get_parameter @"features.7.bias" : tensor<128xf32>
  %c7 = lathe.conv %r5, %w7, %b7 {pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>} : (!map, tensor<128x128x3x3xf32>, tensor<128xf32>) -> !map
  %r7 = lathe.relu %c7 : (!map) -> !map
  %p2 = lathe.max_pool %r7 {kernel = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (!map) -> !map
  // 256 channels of 56x56.
  %w10 = lathe.get_parameter @"features.10.weight" : tensor<256x128x3x3xf32>
  %b10 = lathe.get_parameter @"features.10.bias" : tensor<256xf32>
  %c10 = lathe.conv %p2, %w10, %b10 {pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>} : (!map, tensor<256x128x3x3xf32>, tensor<256xf32>) -> !map
  %r10 = lathe.relu %c10 : (!map) -> !map
  %w12 = lathe.get_parameter @"features.12.weight" : tensor<256x256x3x3xf32>
  %b12 = lathe.get_parameter @"features.12.bias" : tensor<256xf32>
  %c12 = lathe.conv %r10, %w12, %b12 {pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>} : (!map, tensor<256x256x3x3xf32>, tensor<256xf32>) -> !map
  %r12 = lathe.relu %c12 : (!map) -> !map
  %w14 = lathe.get_parameter @"features.14.weight" : tensor<256x256x3x3xf32>
  %b14 = lathe.get_parameter @"features.14.bias" : tensor<256xf32>
  %c14 = lathe.conv %r12, %w14, %b14 {pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>} : (!map, tensor<256x256x3x3xf32>, tensor<256xf32>) -> !map
  %r14 = lathe.relu %c14 : (!map) -> !map
  %p3 = lathe.max_pool %r14 {kernel = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (!map) -> !map
  // 512 channels of 28x28.
  %w17 = lathe.get_parameter @"features.17.weight" : tensor<512x256x3x3xf32>
  %b17 = lathe.get_parameter @"features.17.bias" : tensor<512xf32>
  %c17 = lathe.conv %p3, %w17, %b17 {pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>} : (!map, tensor<512x256x3x3xf32>, tensor<512xf32>) -> !map
  %r17 = lathe.relu %c17 : (!map) -> !map
  %w19 = lathe.get_parameter @"features.19.weight" : tensor<512x512x3x3xf32>
  %b19 = lathe.get_parameter @"features.19.bias" : tensor<512xf32>
  %c19 = lathe.conv %r17, %w19, %b19 {pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>} : (!map, tensor<512x512x3x3xf32>, tensor<512xf32>) -> !map
  %r19 = lathe.relu %c19 : (!map) -> !map
  %w21 = lathe.get_parameter @"features.21.weight" : tensor<512x512x3x3xf32>
  %b21 = lathe.get_parameter @"features.21.bias" : tensor<512xf32>
  %c21 = lathe.conv %r19, %w21, %b21 {pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>} : (!map, tensor<512x512x3x3xf32>, tensor<512xf32>) -> !map
  %r21 = lathe.relu %c21 : (!map) -> !map
  %p4 = lathe.max_pool %r21 {kernel = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (!map) -> !map
  // 512 channels of 14x14.
  %w24 = lathe.get_parameter @"features.24.weight" : tensor<512x512x3x3xf32>
  %b24 = lathe.get_parameter @"features.24.bias" : tensor<512xf32>
  %c24 = lathe.conv %p4, %w24, %b24 {pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>} : (!map, tensor<512x512x3x3xf32>, tensor<512xf32>) -> !map
  %r24 = lathe.relu %c24 : (!map) -> !map
  %w26 = lathe.get_parameter @"features.26.weight" : tensor<512x512x3x3xf32>
  %b26 = lathe.get_parameter @"features.26.bias" : tensor<512xf32>
  %c26 = lathe.conv %r24, %w26, %b26 {pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>} : (!map, tensor<512x512x3x3xf32>, tensor<512xf32>) -> !map
  %r26 = lathe.relu %c26 : (!map) -> !map
  %w28 = lathe.get_parameter @"features.28.weight" : tensor<512x512x3x3xf32>
  %b28 = lathe.get_parameter @"features.28.bias" : tensor<512xf32>
  %c28 = lathe.conv %r26, %w28, %b28 {pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>} : (!map, tensor<512x512x3x3xf32>, tensor<512xf32>) -> !map
  %r28 = lathe.relu %c28 : (!map) -> !map
  %p5 = lathe.max_pool %r28 {kernel = array<i64: 2, 2>, strides = array<i64: 2, 2>} : (!map) -> !map

  %f = lathe.reshape %p5 {shape = array<i64: 0, 25088>} : (!map) -> tensor<?x25088xf32>
  %fw1 = lathe.get_parameter @"classifier.0.weight" : tensor<4096x25088xf32>
  %fb1 = lathe.get_parameter @"classifier.0.bias" : tensor<4096xf32>
  %f1 = lathe.linear %f, %fw1, %fb1 : (tensor<?x25088xf32>, tensor<4096x25088xf32>, tensor<4096xf32>) -> !hidden
  %h1 = lathe.relu %f1 : (!hidden) -> !hidden
  %d1 = lathe.dropout %h1, %key {rate = 0.5, stream = 1} : (!hidden, tensor<2xi64>) -> !hidden
  %fw2 = lathe.get_parameter @"classifier.3.weight" : tensor<4096x4096xf32>
  %fb2 = lathe.get_parameter @"classifier.3.bias" : tensor<4096xf32>
  %f2 = lathe.linear %d1, %fw2, %fb2 : (!hidden, tensor<4096x4096xf32>, tensor<4096xf32>) -> !hidden
  %h2 = lathe.relu %f2 : (!hidden) -> !hidden
  %d2 = lathe.dropout %h2, %key {rate = 0.5, stream = 2} : (!hidden, tensor<2xi64>) -> !hidden
  %fw3 = lathe.get_parameter @"classifier.6.weight" : tensor<1000x4096xf32>
  %fb3 = lathe.get_parameter @"classifier.6.bias" : tensor<1000xf32>
  %f3 = lathe.linear %d2, %fw3, %fb3 : (!hidden, tensor<1000x4096xf32>, tensor<1000xf32>) -> !logits
  return %f3 : !logits
}

func.func @main(%image: !bytes {lathe.name = "image", lathe.dims = ["batch", "", "", ""]})
    -> (!logits {lathe.name = "logits"}) {
  %key = lathe.constant dense<0> : tensor<2xi64>
  %logits = call @classify(%image, %key) : (!bytes, tensor<2xi64>) -> !logits
  return %logits : !logits
}

func.func @loss(%image: !bytes {lathe.name = "image", lathe.dims = ["batch", "", "", ""]},
                %label: tensor<?xi64> {lathe.name = "label", lathe.dims = ["batch"]},
                %key: tensor<2xi64> {lathe.name = "random_key"})
    -> (tensor<f32> {lathe.name = "loss"}, !logits {lathe.name = "logits"}) {
  %logits = call @classify(%image, %key) : (!bytes, tensor<2xi64>) -> !logits
  %loss = lathe.cross_entropy %logits, %label : (!logits, tensor<?xi64>) -> tensor<f32>
  return %loss, %logits : tensor<f32>, !logits
}
