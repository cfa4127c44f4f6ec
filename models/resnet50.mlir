// ResNet-50 (He et al., 2015; stride in the 3x3 convolution, as torchvision's v1.5): 25.6 M
// parameters under torchvision's names. Images are RGB bytes of 224x224 pixels.
//   lathe run models/resnet50.mlir --weights resnet50.safetensors --input image=image.npy
//
// A layer is a first block, which changes size, and a lathe.scan over the others, which are
// alike: {1} in the key of a stacked parameter is a block, counted from 1. A block is three
// convolutions with batch norm, around which its input is added.

!bytes = tensor<?x224x224x3xui8>
!image = tensor<?x224x224x3xf32>
// Feature maps: batch, channels, height, width.
!map = tensor<?x?x?x?xf32>
!logits = tensor<?x1000xf32>
!c64 = tensor<64xf32>
!c128 = tensor<128xf32>
!c256 = tensor<256xf32>
!c512 = tensor<512xf32>
!c1024 = tensor<1024xf32>
!c2048 = tensor<2048xf32>

lathe.parameter @"conv1.weight" : tensor<64x3x7x7xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"bn1.weight" : !c64 {init = #lathe.init<ones>}
lathe.parameter @"bn1.bias" : !c64 {init = #lathe.init<zeros>}
lathe.parameter @"bn1.running_mean" : !c64 {mutable, init = #lathe.init<zeros>}
lathe.parameter @"bn1.running_var" : !c64 {mutable, init = #lathe.init<ones>}

func.func private @stem(%bytes: !bytes) -> !map {
  // ImageNet's mean and deviation of red, green and blue.
  %mean = lathe.constant dense<[123.675, 116.28, 103.53]> : tensor<3xf32>
  %deviation = lathe.constant dense<[58.395, 57.12, 57.375]> : tensor<3xf32>
  %i0 = lathe.cast %bytes to f32 : (!bytes) -> !image
  %i1 = lathe.sub %i0, %mean : (!image, tensor<3xf32>) -> !image
  %i2 = lathe.div %i1, %deviation : (!image, tensor<3xf32>) -> !image
  %x = lathe.transpose %i2 {permutation = array<i64: 0, 3, 1, 2>} : (!image) -> !map

  %w1 = lathe.get_parameter @"conv1.weight" : tensor<64x3x7x7xf32>
  %g1 = lathe.get_parameter @"bn1.weight" : !c64
  %b1 = lathe.get_parameter @"bn1.bias" : !c64
  %m1 = lathe.get_parameter @"bn1.running_mean" : !c64
  %v1 = lathe.get_parameter @"bn1.running_var" : !c64
  %a1 = lathe.conv %x, %w1 {strides = array<i64: 2, 2>, pad_low = array<i64: 3, 3>, pad_high = array<i64: 3, 3>} : (!map, tensor<64x3x7x7xf32>) -> !map
  %n1, %nm1, %nv1 = lathe.batch_norm_training %a1, %g1, %b1, %m1, %v1 : (!map, !c64, !c64, !c64, !c64) -> (!map, !c64, !c64)
  %r1 = lathe.relu %n1 : (!map) -> !map
  lathe.set_parameter @"bn1.running_mean", %nm1 : !c64
  lathe.set_parameter @"bn1.running_var", %nv1 : !c64
  %y = lathe.max_pool %r1 {kernel = array<i64: 3, 3>, strides = array<i64: 2, 2>, pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>} : (!map) -> !map
  return %y : !map
}

// layer1: 3 blocks, 256 channels of 56x56.
lathe.parameter @"layer1.0.conv1.weight" : tensor<64x64x1x1xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"layer1.0.bn1.weight" : !c64 {init = #lathe.init<ones>}
lathe.parameter @"layer1.0.bn1.bias" : !c64 {init = #lathe.init<zeros>}
lathe.parameter @"layer1.0.bn1.running_mean" : !c64 {mutable, init = #lathe.init<zeros>}
lathe.parameter @"layer1.0.bn1.running_var" : !c64 {mutable, init = #lathe.init<ones>}
lathe.parameter @"layer1.0.conv2.weight" : tensor<64x64x3x3xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"layer1.0.bn2.weight" : !c64 {init = #lathe.init<ones>}
lathe.parameter @"layer1.0.bn2.bias" : !c64 {init = #lathe.init<zeros>}
lathe.parameter @"layer1.0.bn2.running_mean" : !c64 {mutable, init = #lathe.init<zeros>}
lathe.parameter @"layer1.0.bn2.running_var" : !c64 {mutable, init = #lathe.init<ones>}
lathe.parameter @"layer1.0.conv3.weight" : tensor<256x64x1x1xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"layer1.0.bn3.weight" : !c256 {init = #lathe.init<ones>}
lathe.parameter @"layer1.0.bn3.bias" : !c256 {init = #lathe.init<zeros>}
lathe.parameter @"layer1.0.bn3.running_mean" : !c256 {mutable, init = #lathe.init<zeros>}
lathe.parameter @"layer1.0.bn3.running_var" : !c256 {mutable, init = #lathe.init<ones>}
lathe.parameter @"layer1.0.downsample.0.weight" : tensor<256x64x1x1xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"layer1.0.downsample.1.weight" : !c256 {init = #lathe.init<ones>}
lathe.parameter @"layer1.0.downsample.1.bias" : !c256 {init = #lathe.init<zeros>}
lathe.parameter @"layer1.0.downsample.1.running_mean" : !c256 {mutable, init = #lathe.init<zeros>}
lathe.parameter @"layer1.0.downsample.1.running_var" : !c256 {mutable, init = #lathe.init<ones>}
lathe.parameter @"layer1.conv1.weight" : tensor<2x64x256x1x1xf32> {key = "layer1.{1}.conv1.weight", init = #lathe.init<kaiming_normal>}
lathe.parameter @"layer1.bn1.weight" : tensor<2x64xf32> {key = "layer1.{1}.bn1.weight", init = #lathe.init<ones>}
lathe.parameter @"layer1.bn1.bias" : tensor<2x64xf32> {key = "layer1.{1}.bn1.bias", init = #lathe.init<zeros>}
lathe.parameter @"layer1.bn1.running_mean" : tensor<2x64xf32> {mutable, key = "layer1.{1}.bn1.running_mean", init = #lathe.init<zeros>}
lathe.parameter @"layer1.bn1.running_var" : tensor<2x64xf32> {mutable, key = "layer1.{1}.bn1.running_var", init = #lathe.init<ones>}
lathe.parameter @"layer1.conv2.weight" : tensor<2x64x64x3x3xf32> {key = "layer1.{1}.conv2.weight", init = #lathe.init<kaiming_normal>}
lathe.parameter @"layer1.bn2.weight" : tensor<2x64xf32> {key = "layer1.{1}.bn2.weight", init = #lathe.init<ones>}
lathe.parameter @"layer1.bn2.bias" : tensor<2x64xf32> {key = "layer1.{1}.bn2.bias", init = #lathe.init<zeros>}
lathe.parameter @"layer1.bn2.running_mean" : tensor<2x64xf32> {mutable, key = "layer1.{1}.bn2.running_mean", init = #lathe.init<zeros>}
lathe.parameter @"layer1.bn2.running_var" : tensor<2x64xf32> {mutable, key = "layer1.{1}.bn2.running_var", init = #lathe.init<ones>}
lathe.parameter @"layer1.conv3.weight" : tensor<2x256x64x1x1xf32> {key = "layer1.{1}.conv3.weight", init = #lathe.init<kaiming_normal>}
lathe.parameter @"layer1.bn3.weight" : tensor<2x256xf32> {key = "layer1.{1}.bn3.weight", init = #lathe.init<ones>}
lathe.parameter @"layer1.bn3.bias" : tensor<2x256xf32> {key = "layer1.{1}.bn3.bias", init = #lathe.init<zeros>}
lathe.parameter @"layer1.bn3.running_mean" : tensor<2x256xf32> {mutable, key = "layer1.{1}.bn3.running_mean", init = #lathe.init<zeros>}
lathe.parameter @"layer1.bn3.running_var" : tensor<2x256xf32> {mutable, key = "layer1.{1}.bn3.running_var", init = #lathe.init<ones>}

func.func private @layer1_first(%x: !map) -> !map {
  %w1 = lathe.get_parameter @"layer1.0.conv1.weight" : tensor<64x64x1x1xf32>
  %g1 = lathe.get_parameter @"layer1.0.bn1.weight" : !c64
  %b1 = lathe.get_parameter @"layer1.0.bn1.bias" : !c64
  %m1 = lathe.get_parameter @"layer1.0.bn1.running_mean" : !c64
  %v1 = lathe.get_parameter @"layer1.0.bn1.running_var" : !c64
  %w2 = lathe.get_parameter @"layer1.0.conv2.weight" : tensor<64x64x3x3xf32>
  %g2 = lathe.get_parameter @"layer1.0.bn2.weight" : !c64
  %b2 = lathe.get_parameter @"layer1.0.bn2.bias" : !c64
  %m2 = lathe.get_parameter @"layer1.0.bn2.running_mean" : !c64
  %v2 = lathe.get_parameter @"layer1.0.bn2.running_var" : !c64
  %w3 = lathe.get_parameter @"layer1.0.conv3.weight" : tensor<256x64x1x1xf32>
  %g3 = lathe.get_parameter @"layer1.0.bn3.weight" : !c256
  %b3 = lathe.get_parameter @"layer1.0.bn3.bias" : !c256
  %m3 = lathe.get_parameter @"layer1.0.bn3.running_mean" : !c256
  %v3 = lathe.get_parameter @"layer1.0.bn3.running_var" : !c256
  %w4 = lathe.get_parameter @"layer1.0.downsample.0.weight" : tensor<256x64x1x1xf32>
  %g4 = lathe.get_parameter @"layer1.0.downsample.1.weight" : !c256
  %b4 = lathe.get_parameter @"layer1.0.downsample.1.bias" : !c256
  %m4 = lathe.get_parameter @"layer1.0.downsample.1.running_mean" : !c256
  %v4 = lathe.get_parameter @"layer1.0.downsample.1.running_var" : !c256
  %a1 = lathe.conv %x, %w1 : (!map, tensor<64x64x1x1xf32>) -> !map
  %n1, %nm1, %nv1 = lathe.batch_norm_training %a1, %g1, %b1, %m1, %v1 : (!map, !c64, !c64, !c64, !c64) -> (!map, !c64, !c64)
  %r1 = lathe.relu %n1 : (!map) -> !map
  %a2 = lathe.conv %r1, %w2 {pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>} : (!map, tensor<64x64x3x3xf32>) -> !map
  %n2, %nm2, %nv2 = lathe.batch_norm_training %a2, %g2, %b2, %m2, %v2 : (!map, !c64, !c64, !c64, !c64) -> (!map, !c64, !c64)
  %r2 = lathe.relu %n2 : (!map) -> !map
  %a3 = lathe.conv %r2, %w3 : (!map, tensor<256x64x1x1xf32>) -> !map
  %n3, %nm3, %nv3 = lathe.batch_norm_training %a3, %g3, %b3, %m3, %v3 : (!map, !c256, !c256, !c256, !c256) -> (!map, !c256, !c256)
  %a4 = lathe.conv %x, %w4 : (!map, tensor<256x64x1x1xf32>) -> !map
  %n4, %nm4, %nv4 = lathe.batch_norm_training %a4, %g4, %b4, %m4, %v4 : (!map, !c256, !c256, !c256, !c256) -> (!map, !c256, !c256)
  %s0 = lathe.add %n3, %n4 : (!map, !map) -> !map
  %y = lathe.relu %s0 : (!map) -> !map
  lathe.set_parameter @"layer1.0.bn1.running_mean", %nm1 : !c64
  lathe.set_parameter @"layer1.0.bn1.running_var", %nv1 : !c64
  lathe.set_parameter @"layer1.0.bn2.running_mean", %nm2 : !c64
  lathe.set_parameter @"layer1.0.bn2.running_var", %nv2 : !c64
  lathe.set_parameter @"layer1.0.bn3.running_mean", %nm3 : !c256
  lathe.set_parameter @"layer1.0.bn3.running_var", %nv3 : !c256
  lathe.set_parameter @"layer1.0.downsample.1.running_mean", %nm4 : !c256
  lathe.set_parameter @"layer1.0.downsample.1.running_var", %nv4 : !c256
  return %y : !map
}

func.func private @layer1_others(%x: !map) -> !map {
  %w1s = lathe.get_parameter @"layer1.conv1.weight" : tensor<2x64x256x1x1xf32>
  %g1s = lathe.get_parameter @"layer1.bn1.weight" : tensor<2x64xf32>
  %b1s = lathe.get_parameter @"layer1.bn1.bias" : tensor<2x64xf32>
  %m1s = lathe.get_parameter @"layer1.bn1.running_mean" : tensor<2x64xf32>
  %v1s = lathe.get_parameter @"layer1.bn1.running_var" : tensor<2x64xf32>
  %w2s = lathe.get_parameter @"layer1.conv2.weight" : tensor<2x64x64x3x3xf32>
  %g2s = lathe.get_parameter @"layer1.bn2.weight" : tensor<2x64xf32>
  %b2s = lathe.get_parameter @"layer1.bn2.bias" : tensor<2x64xf32>
  %m2s = lathe.get_parameter @"layer1.bn2.running_mean" : tensor<2x64xf32>
  %v2s = lathe.get_parameter @"layer1.bn2.running_var" : tensor<2x64xf32>
  %w3s = lathe.get_parameter @"layer1.conv3.weight" : tensor<2x256x64x1x1xf32>
  %g3s = lathe.get_parameter @"layer1.bn3.weight" : tensor<2x256xf32>
  %b3s = lathe.get_parameter @"layer1.bn3.bias" : tensor<2x256xf32>
  %m3s = lathe.get_parameter @"layer1.bn3.running_mean" : tensor<2x256xf32>
  %v3s = lathe.get_parameter @"layer1.bn3.running_var" : tensor<2x256xf32>
  %y, %nm1s, %nv1s, %nm2s, %nv2s, %nm3s, %nv3s = lathe.scan init(%h = %x)
    inputs(%w1 = %w1s, %g1 = %g1s, %b1 = %b1s, %m1 = %m1s, %v1 = %v1s,
           %w2 = %w2s, %g2 = %g2s, %b2 = %b2s, %m2 = %m2s, %v2 = %v2s,
           %w3 = %w3s, %g3 = %g3s, %b3 = %b3s, %m3 = %m3s, %v3 = %v3s)
    : (!map, tensor<2x64x256x1x1xf32>, tensor<2x64xf32>, tensor<2x64xf32>, tensor<2x64xf32>, tensor<2x64xf32>,
       tensor<2x64x64x3x3xf32>, tensor<2x64xf32>, tensor<2x64xf32>, tensor<2x64xf32>, tensor<2x64xf32>,
       tensor<2x256x64x1x1xf32>, tensor<2x256xf32>, tensor<2x256xf32>, tensor<2x256xf32>, tensor<2x256xf32>)
    -> (!map, tensor<2x64xf32>, tensor<2x64xf32>, tensor<2x64xf32>, tensor<2x64xf32>, tensor<2x256xf32>, tensor<2x256xf32>) {
    %a1 = lathe.conv %h, %w1 : (!map, tensor<64x256x1x1xf32>) -> !map
    %n1, %nm1, %nv1 = lathe.batch_norm_training %a1, %g1, %b1, %m1, %v1 : (!map, !c64, !c64, !c64, !c64) -> (!map, !c64, !c64)
    %r1 = lathe.relu %n1 : (!map) -> !map
    %a2 = lathe.conv %r1, %w2 {pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>} : (!map, tensor<64x64x3x3xf32>) -> !map
    %n2, %nm2, %nv2 = lathe.batch_norm_training %a2, %g2, %b2, %m2, %v2 : (!map, !c64, !c64, !c64, !c64) -> (!map, !c64, !c64)
    %r2 = lathe.relu %n2 : (!map) -> !map
    %a3 = lathe.conv %r2, %w3 : (!map, tensor<256x64x1x1xf32>) -> !map
    %n3, %nm3, %nv3 = lathe.batch_norm_training %a3, %g3, %b3, %m3, %v3 : (!map, !c256, !c256, !c256, !c256) -> (!map, !c256, !c256)
    %s = lathe.add %n3, %h : (!map, !map) -> !map
    %r = lathe.relu %s : (!map) -> !map
    lathe.yield %r, %nm1, %nv1, %nm2, %nv2, %nm3, %nv3 : !map, !c64, !c64, !c64, !c64, !c256, !c256
  }
  lathe.set_parameter @"layer1.bn1.running_mean", %nm1s : tensor<2x64xf32>
  lathe.set_parameter @"layer1.bn1.running_var", %nv1s : tensor<2x64xf32>
  lathe.set_parameter @"layer1.bn2.running_mean", %nm2s : tensor<2x64xf32>
  lathe.set_parameter @"layer1.bn2.running_var", %nv2s : tensor<2x64xf32>
  lathe.set_parameter @"layer1.bn3.running_mean", %nm3s : tensor<2x256xf32>
  lathe.set_parameter @"layer1.bn3.running_var", %nv3s : tensor<2x256xf32>
  return %y : !map
}

// layer2: 4 blocks, 512 channels of 28x28.
lathe.parameter @"layer2.0.conv1.weight" : tensor<128x256x1x1xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"layer2.0.bn1.weight" : !c128 {init = #lathe.init<ones>}
lathe.parameter @"layer2.0.bn1.bias" : !c128 {init = #lathe.init<zeros>}
lathe.parameter @"layer2.0.bn1.running_mean" : !c128 {mutable, init = #lathe.init<zeros>}
lathe.parameter @"layer2.0.bn1.running_var" : !c128 {mutable, init = #lathe.init<ones>}
lathe.parameter @"layer2.0.conv2.weight" : tensor<128x128x3x3xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"layer2.0.bn2.weight" : !c128 {init = #lathe.init<ones>}
lathe.parameter @"layer2.0.bn2.bias" : !c128 {init = #lathe.init<zeros>}
lathe.parameter @"layer2.0.bn2.running_mean" : !c128 {mutable, init = #lathe.init<zeros>}
lathe.parameter @"layer2.0.bn2.running_var" : !c128 {mutable, init = #lathe.init<ones>}
lathe.parameter @"layer2.0.conv3.weight" : tensor<512x128x1x1xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"layer2.0.bn3.weight" : !c512 {init = #lathe.init<ones>}
lathe.parameter @"layer2.0.bn3.bias" : !c512 {init = #lathe.init<zeros>}
lathe.parameter @"layer2.0.bn3.running_mean" : !c512 {mutable, init = #lathe.init<zeros>}
lathe.parameter @"layer2.0.bn3.running_var" : !c512 {mutable, init = #lathe.init<ones>}
lathe.parameter @"layer2.0.downsample.0.weight" : tensor<512x256x1x1xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"layer2.0.downsample.1.weight" : !c512 {init = #lathe.init<ones>}
lathe.parameter @"layer2.0.downsample.1.bias" : !c512 {init = #lathe.init<zeros>}
lathe.parameter @"layer2.0.downsample.1.running_mean" : !c512 {mutable, init = #lathe.init<zeros>}
lathe.parameter @"layer2.0.downsample.1.running_var" : !c512 {mutable, init = #lathe.init<ones>}
lathe.parameter @"layer2.conv1.weight" : tensor<3x128x512x1x1xf32> {key = "layer2.{1}.conv1.weight", init = #lathe.init<kaiming_normal>}
lathe.parameter @"layer2.bn1.weight" : tensor<3x128xf32> {key = "layer2.{1}.bn1.weight", init = #lathe.init<ones>}
lathe.parameter @"layer2.bn1.bias" : tensor<3x128xf32> {key = "layer2.{1}.bn1.bias", init = #lathe.init<zeros>}
lathe.parameter @"layer2.bn1.running_mean" : tensor<3x128xf32> {mutable, key = "layer2.{1}.bn1.running_mean", init = #lathe.init<zeros>}
lathe.parameter @"layer2.bn1.running_var" : tensor<3x128xf32> {mutable, key = "layer2.{1}.bn1.running_var", init = #lathe.init<ones>}
lathe.parameter @"layer2.conv2.weight" : tensor<3x128x128x3x3xf32> {key = "layer2.{1}.conv2.weight", init = #lathe.init<kaiming_normal>}
lathe.parameter @"layer2.bn2.weight" : tensor<3x128xf32> {key = "layer2.{1}.bn2.weight", init = #lathe.init<ones>}
lathe.parameter @"layer2.bn2.bias" : tensor<3x128xf32> {key = "layer2.{1}.bn2.bias", init = #lathe.init<zeros>}
lathe.parameter @"layer2.bn2.running_mean" : tensor<3x128xf32> {mutable, key = "layer2.{1}.bn2.running_mean", init = #lathe.init<zeros>}
lathe.parameter @"layer2.bn2.running_var" : tensor<3x128xf32> {mutable, key = "layer2.{1}.bn2.running_var", init = #lathe.init<ones>}
lathe.parameter @"layer2.conv3.weight" : tensor<3x512x128x1x1xf32> {key = "layer2.{1}.conv3.weight", init = #lathe.init<kaiming_normal>}
lathe.parameter @"layer2.bn3.weight" : tensor<3x512xf32> {key = "layer2.{1}.bn3.weight", init = #lathe.init<ones>}
lathe.parameter @"layer2.bn3.bias" : tensor<3x512xf32> {key = "layer2.{1}.bn3.bias", init = #lathe.init<zeros>}
lathe.parameter @"layer2.bn3.running_mean" : tensor<3x512xf32> {mutable, key = "layer2.{1}.bn3.running_mean", init = #lathe.init<zeros>}
lathe.parameter @"layer2.bn3.running_var" : tensor<3x512xf32> {mutable, key = "layer2.{1}.bn3.running_var", init = #lathe.init<ones>}

func.func private @layer2_first(%x: !map) -> !map {
  %w1 = lathe.get_parameter @"layer2.0.conv1.weight" : tensor<128x256x1x1xf32>
  %g1 = lathe.get_parameter @"layer2.0.bn1.weight" : !c128
  %b1 = lathe.get_parameter @"layer2.0.bn1.bias" : !c128
  %m1 = lathe.get_parameter @"layer2.0.bn1.running_mean" : !c128
  %v1 = lathe.get_parameter @"layer2.0.bn1.running_var" : !c128
  %w2 = lathe.get_parameter @"layer2.0.conv2.weight" : tensor<128x128x3x3xf32>
  %g2 = lathe.get_parameter @"layer2.0.bn2.weight" : !c128
  %b2 = lathe.get_parameter @"layer2.0.bn2.bias" : !c128
  %m2 = lathe.get_parameter @"layer2.0.bn2.running_mean" : !c128
  %v2 = lathe.get_parameter @"layer2.0.bn2.running_var" : !c128
  %w3 = lathe.get_parameter @"layer2.0.conv3.weight" : tensor<512x128x1x1xf32>
  %g3 = lathe.get_parameter @"layer2.0.bn3.weight" : !c512
  %b3 = lathe.get_parameter @"layer2.0.bn3.bias" : !c512
  %m3 = lathe.get_parameter @"layer2.0.bn3.running_mean" : !c512
  %v3 = lathe.get_parameter @"layer2.0.bn3.running_var" : !c512
  %w4 = lathe.get_parameter @"layer2.0.downsample.0.weight" : tensor<512x256x1x1xf32>
  %g4 = lathe.get_parameter @"layer2.0.downsample.1.weight" : !c512
  %b4 = lathe.get_parameter @"layer2.0.downsample.1.bias" : !c512
  %m4 = lathe.get_parameter @"layer2.0.downsample.1.running_mean" : !c512
  %v4 = lathe.get_parameter @"layer2.0.downsample.1.running_var" : !c512
  %a1 = lathe.conv %x, %w1 : (!map, tensor<128x256x1x1xf32>) -> !map
  %n1, %nm1, %nv1 = lathe.batch_norm_training %a1, %g1, %b1, %m1, %v1 : (!map, !c128, !c128, !c128, !c128) -> (!map, !c128, !c128)
  %r1 = lathe.relu %n1 : (!map) -> !map
  %a2 = lathe.conv %r1, %w2 {strides = array<i64: 2, 2>, pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>} : (!map, tensor<128x128x3x3xf32>) -> !map
  %n2, %nm2, %nv2 = lathe.batch_norm_training %a2, %g2, %b2, %m2, %v2 : (!map, !c128, !c128, !c128, !c128) -> (!map, !c128, !c128)
  %r2 = lathe.relu %n2 : (!map) -> !map
  %a3 = lathe.conv %r2, %w3 : (!map, tensor<512x128x1x1xf32>) -> !map
  %n3, %nm3, %nv3 = lathe.batch_norm_training %a3, %g3, %b3, %m3, %v3 : (!map, !c512, !c512, !c512, !c512) -> (!map, !c512, !c512)
  %a4 = lathe.conv %x, %w4 {strides = array<i64: 2, 2>} : (!map, tensor<512x256x1x1xf32>) -> !map
  %n4, %nm4, %nv4 = lathe.batch_norm_training %a4, %g4, %b4, %m4, %v4 : (!map, !c512, !c512, !c512, !c512) -> (!map, !c512, !c512)
  %s0 = lathe.add %n3, %n4 : (!map, !map) -> !map
  %y = lathe.relu %s0 : (!map) -> !map
  lathe.set_parameter @"layer2.0.bn1.running_mean", %nm1 : !c128
  lathe.set_parameter @"layer2.0.bn1.running_var", %nv1 : !c128
  lathe.set_parameter @"layer2.0.bn2.running_mean", %nm2 : !c128
  lathe.set_parameter @"layer2.0.bn2.running_var", %nv2 : !c128
  lathe.set_parameter @"layer2.0.bn3.running_mean", %nm3 : !c512
  lathe.set_parameter @"layer2.0.bn3.running_var", %nv3 : !c512
  lathe.set_parameter @"layer2.0.downsample.1.running_mean", %nm4 : !c512
  lathe.set_parameter @"layer2.0.downsample.1.running_var", %nv4 : !c512
  return %y : !map
}

func.func private @layer2_others(%x: !map) -> !map {
  %w1s = lathe.get_parameter @"layer2.conv1.weight" : tensor<3x128x512x1x1xf32>
  %g1s = lathe.get_parameter @"layer2.bn1.weight" : tensor<3x128xf32>
  %b1s = lathe.get_parameter @"layer2.bn1.bias" : tensor<3x128xf32>
  %m1s = lathe.get_parameter @"layer2.bn1.running_mean" : tensor<3x128xf32>
  %v1s = lathe.get_parameter @"layer2.bn1.running_var" : tensor<3x128xf32>
  %w2s = lathe.get_parameter @"layer2.conv2.weight" : tensor<3x128x128x3x3xf32>
  %g2s = lathe.get_parameter @"layer2.bn2.weight" : tensor<3x128xf32>
  %b2s = lathe.get_parameter @"layer2.bn2.bias" : tensor<3x128xf32>
  %m2s = lathe.get_parameter @"layer2.bn2.running_mean" : tensor<3x128xf32>
  %v2s = lathe.get_parameter @"layer2.bn2.running_var" : tensor<3x128xf32>
  %w3s = lathe.get_parameter @"layer2.conv3.weight" : tensor<3x512x128x1x1xf32>
  %g3s = lathe.get_parameter @"layer2.bn3.weight" : tensor<3x512xf32>
  %b3s = lathe.get_parameter @"layer2.bn3.bias" : tensor<3x512xf32>
  %m3s = lathe.get_parameter @"layer2.bn3.running_mean" : tensor<3x512xf32>
  %v3s = lathe.get_parameter @"layer2.bn3.running_var" : tensor<3x512xf32>
  %y, %nm1s, %nv1s, %nm2s, %nv2s, %nm3s, %nv3s = lathe.scan init(%h = %x)
    inputs(%w1 = %w1s, %g1 = %g1s, %b1 = %b1s, %m1 = %m1s, %v1 = %v1s,
           %w2 = %w2s, %g2 = %g2s, %b2 = %b2s, %m2 = %m2s, %v2 = %v2s,
           %w3 = %w3s, %g3 = %g3s, %b3 = %b3s, %m3 = %m3s, %v3 = %v3s)
    : (!map, tensor<3x128x512x1x1xf32>, tensor<3x128xf32>, tensor<3x128xf32>, tensor<3x128xf32>, tensor<3x128xf32>,
       tensor<3x128x128x3x3xf32>, tensor<3x128xf32>, tensor<3x128xf32>, tensor<3x128xf32>, tensor<3x128xf32>,
       tensor<3x512x128x1x1xf32>, tensor<3x512xf32>, tensor<3x512xf32>, tensor<3x512xf32>, tensor<3x512xf32>)
    -> (!map, tensor<3x128xf32>, tensor<3x128xf32>, tensor<3x128xf32>, tensor<3x128xf32>, tensor<3x512xf32>, tensor<3x512xf32>) {
    %a1 = lathe.conv %h, %w1 : (!map, tensor<128x512x1x1xf32>) -> !map
    %n1, %nm1, %nv1 = lathe.batch_norm_training %a1, %g1, %b1, %m1, %v1 : (!map, !c128, !c128, !c128, !c128) -> (!map, !c128, !c128)
    %r1 = lathe.relu %n1 : (!map) -> !map
    %a2 = lathe.conv %r1, %w2 {pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>} : (!map, tensor<128x128x3x3xf32>) -> !map
    %n2, %nm2, %nv2 = lathe.batch_norm_training %a2, %g2, %b2, %m2, %v2 : (!map, !c128, !c128, !c128, !c128) -> (!map, !c128, !c128)
    %r2 = lathe.relu %n2 : (!map) -> !map
    %a3 = lathe.conv %r2, %w3 : (!map, tensor<512x128x1x1xf32>) -> !map
    %n3, %nm3, %nv3 = lathe.batch_norm_training %a3, %g3, %b3, %m3, %v3 : (!map, !c512, !c512, !c512, !c512) -> (!map, !c512, !c512)
    %s = lathe.add %n3, %h : (!map, !map) -> !map
    %r = lathe.relu %s : (!map) -> !map
    lathe.yield %r, %nm1, %nv1, %nm2, %nv2, %nm3, %nv3 : !map, !c128, !c128, !c128, !c128, !c512, !c512
  }
  lathe.set_parameter @"layer2.bn1.running_mean", %nm1s : tensor<3x128xf32>
  lathe.set_parameter @"layer2.bn1.running_var", %nv1s : tensor<3x128xf32>
  lathe.set_parameter @"layer2.bn2.running_mean", %nm2s : tensor<3x128xf32>
  lathe.set_parameter @"layer2.bn2.running_var", %nv2s : tensor<3x128xf32>
  lathe.set_parameter @"layer2.bn3.running_mean", %nm3s : tensor<3x512xf32>
  lathe.set_parameter @"layer2.bn3.running_var", %nv3s : tensor<3x512xf32>
  return %y : !map
}

// layer3: 6 blocks, 1024 channels of 14x14.
lathe.parameter @"layer3.0.conv1.weight" : tensor<256x512x1x1xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"layer3.0.bn1.weight" : !c256 {init = #lathe.init<ones>}
lathe.parameter @"layer3.0.bn1.bias" : !c256 {init = #lathe.init<zeros>}
lathe.parameter @"layer3.0.bn1.running_mean" : !c256 {mutable, init = #lathe.init<zeros>}
lathe.parameter @"layer3.0.bn1.running_var" : !c256 {mutable, init = #lathe.init<ones>}
lathe.parameter @"layer3.0.conv2.weight" : tensor<256x256x3x3xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"layer3.0.bn2.weight" : !c256 {init = #lathe.init<ones>}
lathe.parameter @"layer3.0.bn2.bias" : !c256 {init = #lathe.init<zeros>}
lathe.parameter @"layer3.0.bn2.running_mean" : !c256 {mutable, init = #lathe.init<zeros>}
lathe.parameter @"layer3.0.bn2.running_var" : !c256 {mutable, init = #lathe.init<ones>}
lathe.parameter @"layer3.0.conv3.weight" : tensor<1024x256x1x1xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"layer3.0.bn3.weight" : !c1024 {init = #lathe.init<ones>}
lathe.parameter @"layer3.0.bn3.bias" : !c1024 {init = #lathe.init<zeros>}
lathe.parameter @"layer3.0.bn3.running_mean" : !c1024 {mutable, init = #lathe.init<zeros>}
lathe.parameter @"layer3.0.bn3.running_var" : !c1024 {mutable, init = #lathe.init<ones>}
lathe.parameter @"layer3.0.downsample.0.weight" : tensor<1024x512x1x1xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"layer3.0.downsample.1.weight" : !c1024 {init = #lathe.init<ones>}
lathe.parameter @"layer3.0.downsample.1.bias" : !c1024 {init = #lathe.init<zeros>}
lathe.parameter @"layer3.0.downsample.1.running_mean" : !c1024 {mutable, init = #lathe.init<zeros>}
lathe.parameter @"layer3.0.downsample.1.running_var" : !c1024 {mutable, init = #lathe.init<ones>}
lathe.parameter @"layer3.conv1.weight" : tensor<5x256x1024x1x1xf32> {key = "layer3.{1}.conv1.weight", init = #lathe.init<kaiming_normal>}
lathe.parameter @"layer3.bn1.weight" : tensor<5x256xf32> {key = "layer3.{1}.bn1.weight", init = #lathe.init<ones>}
lathe.parameter @"layer3.bn1.bias" : tensor<5x256xf32> {key = "layer3.{1}.bn1.bias", init = #lathe.init<zeros>}
lathe.parameter @"layer3.bn1.running_mean" : tensor<5x256xf32> {mutable, key = "layer3.{1}.bn1.running_mean", init = #lathe.init<zeros>}
lathe.parameter @"layer3.bn1.running_var" : tensor<5x256xf32> {mutable, key = "layer3.{1}.bn1.running_var", init = #lathe.init<ones>}
lathe.parameter @"layer3.conv2.weight" : tensor<5x256x256x3x3xf32> {key = "layer3.{1}.conv2.weight", init = #lathe.init<kaiming_normal>}
lathe.parameter @"layer3.bn2.weight" : tensor<5x256xf32> {key = "layer3.{1}.bn2.weight", init = #lathe.init<ones>}
lathe.parameter @"layer3.bn2.bias" : tensor<5x256xf32> {key = "layer3.{1}.bn2.bias", init = #lathe.init<zeros>}
lathe.parameter @"layer3.bn2.running_mean" : tensor<5x256xf32> {mutable, key = "layer3.{1}.bn2.running_mean", init = #lathe.init<zeros>}
lathe.parameter @"layer3.bn2.running_var" : tensor<5x256xf32> {mutable, key = "layer3.{1}.bn2.running_var", init = #lathe.init<ones>}
lathe.parameter @"layer3.conv3.weight" : tensor<5x1024x256x1x1xf32> {key = "layer3.{1}.conv3.weight", init = #lathe.init<kaiming_normal>}
lathe.parameter @"layer3.bn3.weight" : tensor<5x1024xf32> {key = "layer3.{1}.bn3.weight", init = #lathe.init<ones>}
lathe.parameter @"layer3.bn3.bias" : tensor<5x1024xf32> {key = "layer3.{1}.bn3.bias", init = #lathe.init<zeros>}
lathe.parameter @"layer3.bn3.running_mean" : tensor<5x1024xf32> {mutable, key = "layer3.{1}.bn3.running_mean", init = #lathe.init<zeros>}
lathe.parameter @"layer3.bn3.running_var" : tensor<5x1024xf32> {mutable, key = "layer3.{1}.bn3.running_var", init = #lathe.init<ones>}

func.func private @layer3_first(%x: !map) -> !map {
  %w1 = lathe.get_parameter @"layer3.0.conv1.weight" : tensor<256x512x1x1xf32>
  %g1 = lathe.get_parameter @"layer3.0.bn1.weight" : !c256
  %b1 = lathe.get_parameter @"layer3.0.bn1.bias" : !c256
  %m1 = lathe.get_parameter @"layer3.0.bn1.running_mean" : !c256
  %v1 = lathe.get_parameter @"layer3.0.bn1.running_var" : !c256
  %w2 = lathe.get_parameter @"layer3.0.conv2.weight" : tensor<256x256x3x3xf32>
  %g2 = lathe.get_parameter @"layer3.0.bn2.weight" : !c256
  %b2 = lathe.get_parameter @"layer3.0.bn2.bias" : !c256
  %m2 = lathe.get_parameter @"layer3.0.bn2.running_mean" : !c256
  %v2 = lathe.get_parameter @"layer3.0.bn2.running_var" : !c256
  %w3 = lathe.get_parameter @"layer3.0.conv3.weight" : tensor<1024x256x1x1xf32>
  %g3 = lathe.get_parameter @"layer3.0.bn3.weight" : !c1024
  %b3 = lathe.get_parameter @"layer3.0.bn3.bias" : !c1024
  %m3 = lathe.get_parameter @"layer3.0.bn3.running_mean" : !c1024
  %v3 = lathe.get_parameter @"layer3.0.bn3.running_var" : !c1024
  %w4 = lathe.get_parameter @"layer3.0.downsample.0.weight" : tensor<1024x512x1x1xf32>
  %g4 = lathe.get_parameter @"layer3.0.downsample.1.weight" : !c1024
  %b4 = lathe.get_parameter @"layer3.0.downsample.1.bias" : !c1024
  %m4 = lathe.get_parameter @"layer3.0.downsample.1.running_mean" : !c1024
  %v4 = lathe.get_parameter @"layer3.0.downsample.1.running_var" : !c1024
  %a1 = lathe.conv %x, %w1 : (!map, tensor<256x512x1x1xf32>) -> !map
  %n1, %nm1, %nv1 = lathe.batch_norm_training %a1, %g1, %b1, %m1, %v1 : (!map, !c256, !c256, !c256, !c256) -> (!map, !c256, !c256)
  %r1 = lathe.relu %n1 : (!map) -> !map
  %a2 = lathe.conv %r1, %w2 {strides = array<i64: 2, 2>, pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>} : (!map, tensor<256x256x3x3xf32>) -> !map
  %n2, %nm2, %nv2 = lathe.batch_norm_training %a2, %g2, %b2, %m2, %v2 : (!map, !c256, !c256, !c256, !c256) -> (!map, !c256, !c256)
  %r2 = lathe.relu %n2 : (!map) -> !map
  %a3 = lathe.conv %r2, %w3 : (!map, tensor<1024x256x1x1xf32>) -> !map
  %n3, %nm3, %nv3 = lathe.batch_norm_training %a3, %g3, %b3, %m3, %v3 : (!map, !c1024, !c1024, !c1024, !c1024) -> (!map, !c1024, !c1024)
  %a4 = lathe.conv %x, %w4 {strides = array<i64: 2, 2>} : (!map, tensor<1024x512x1x1xf32>) -> !map
  %n4, %nm4, %nv4 = lathe.batch_norm_training %a4, %g4, %b4, %m4, %v4 : (!map, !c1024, !c1024, !c1024, !c1024) -> (!map, !c1024, !c1024)
  %s0 = lathe.add %n3, %n4 : (!map, !map) -> !map
  %y = lathe.relu %s0 : (!map) -> !map
  lathe.set_parameter @"layer3.0.bn1.running_mean", %nm1 : !c256
  lathe.set_parameter @"layer3.0.bn1.running_var", %nv1 : !c256
  lathe.set_parameter @"layer3.0.bn2.running_mean", %nm2 : !c256
  lathe.set_parameter @"layer3.0.bn2.running_var", %nv2 : !c256
  lathe.set_parameter @"layer3.0.bn3.running_mean", %nm3 : !c1024
  lathe.set_parameter @"layer3.0.bn3.running_var", %nv3 : !c1024
  lathe.set_parameter @"layer3.0.downsample.1.running_mean", %nm4 : !c1024
  lathe.set_parameter @"layer3.0.downsample.1.running_var", %nv4 : !c1024
  return %y : !map
}

func.func private @layer3_others(%x: !map) -> !map {
  %w1s = lathe.get_parameter @"layer3.conv1.weight" : tensor<5x256x1024x1x1xf32>
  %g1s = lathe.get_parameter @"layer3.bn1.weight" : tensor<5x256xf32>
  %b1s = lathe.get_parameter @"layer3.bn1.bias" : tensor<5x256xf32>
  %m1s = lathe.get_parameter @"layer3.bn1.running_mean" : tensor<5x256xf32>
  %v1s = lathe.get_parameter @"layer3.bn1.running_var" : tensor<5x256xf32>
  %w2s = lathe.get_parameter @"layer3.conv2.weight" : tensor<5x256x256x3x3xf32>
  %g2s = lathe.get_parameter @"layer3.bn2.weight" : tensor<5x256xf32>
  %b2s = lathe.get_parameter @"layer3.bn2.bias" : tensor<5x256xf32>
  %m2s = lathe.get_parameter @"layer3.bn2.running_mean" : tensor<5x256xf32>
  %v2s = lathe.get_parameter @"layer3.bn2.running_var" : tensor<5x256xf32>
  %w3s = lathe.get_parameter @"layer3.conv3.weight" : tensor<5x1024x256x1x1xf32>
  %g3s = lathe.get_parameter @"layer3.bn3.weight" : tensor<5x1024xf32>
  %b3s = lathe.get_parameter @"layer3.bn3.bias" : tensor<5x1024xf32>
  %m3s = lathe.get_parameter @"layer3.bn3.running_mean" : tensor<5x1024xf32>
  %v3s = lathe.get_parameter @"layer3.bn3.running_var" : tensor<5x1024xf32>
  %y, %nm1s, %nv1s, %nm2s, %nv2s, %nm3s, %nv3s = lathe.scan init(%h = %x)
    inputs(%w1 = %w1s, %g1 = %g1s, %b1 = %b1s, %m1 = %m1s, %v1 = %v1s,
           %w2 = %w2s, %g2 = %g2s, %b2 = %b2s, %m2 = %m2s, %v2 = %v2s,
           %w3 = %w3s, %g3 = %g3s, %b3 = %b3s, %m3 = %m3s, %v3 = %v3s)
    : (!map, tensor<5x256x1024x1x1xf32>, tensor<5x256xf32>, tensor<5x256xf32>, tensor<5x256xf32>, tensor<5x256xf32>,
       tensor<5x256x256x3x3xf32>, tensor<5x256xf32>, tensor<5x256xf32>, tensor<5x256xf32>, tensor<5x256xf32>,
       tensor<5x1024x256x1x1xf32>, tensor<5x1024xf32>, tensor<5x1024xf32>, tensor<5x1024xf32>, tensor<5x1024xf32>)
    -> (!map, tensor<5x256xf32>, tensor<5x256xf32>, tensor<5x256xf32>, tensor<5x256xf32>, tensor<5x1024xf32>, tensor<5x1024xf32>) {
    %a1 = lathe.conv %h, %w1 : (!map, tensor<256x1024x1x1xf32>) -> !map
    %n1, %nm1, %nv1 = lathe.batch_norm_training %a1, %g1, %b1, %m1, %v1 : (!map, !c256, !c256, !c256, !c256) -> (!map, !c256, !c256)
    %r1 = lathe.relu %n1 : (!map) -> !map
    %a2 = lathe.conv %r1, %w2 {pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>} : (!map, tensor<256x256x3x3xf32>) -> !map
    %n2, %nm2, %nv2 = lathe.batch_norm_training %a2, %g2, %b2, %m2, %v2 : (!map, !c256, !c256, !c256, !c256) -> (!map, !c256, !c256)
    %r2 = lathe.relu %n2 : (!map) -> !map
    %a3 = lathe.conv %r2, %w3 : (!map, tensor<1024x256x1x1xf32>) -> !map
    %n3, %nm3, %nv3 = lathe.batch_norm_training %a3, %g3, %b3, %m3, %v3 : (!map, !c1024, !c1024, !c1024, !c1024) -> (!map, !c1024, !c1024)
    %s = lathe.add %n3, %h : (!map, !map) -> !map
    %r = lathe.relu %s : (!map) -> !map
    lathe.yield %r, %nm1, %nv1, %nm2, %nv2, %nm3, %nv3 : !map, !c256, !c256, !c256, !c256, !c1024, !c1024
  }
  lathe.set_parameter @"layer3.bn1.running_mean", %nm1s : tensor<5x256xf32>
  lathe.set_parameter @"layer3.bn1.running_var", %nv1s : tensor<5x256xf32>
  lathe.set_parameter @"layer3.bn2.running_mean", %nm2s : tensor<5x256xf32>
  lathe.set_parameter @"layer3.bn2.running_var", %nv2s : tensor<5x256xf32>
  lathe.set_parameter @"layer3.bn3.running_mean", %nm3s : tensor<5x1024xf32>
  lathe.set_parameter @"layer3.bn3.running_var", %nv3s : tensor<5x1024xf32>
  return %y : !map
}

// layer4: 3 blocks, 2048 channels of 7x7.
lathe.parameter @"layer4.0.conv1.weight" : tensor<512x1024x1x1xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"layer4.0.bn1.weight" : !c512 {init = #lathe.init<ones>}
lathe.parameter @"layer4.0.bn1.bias" : !c512 {init = #lathe.init<zeros>}
lathe.parameter @"layer4.0.bn1.running_mean" : !c512 {mutable, init = #lathe.init<zeros>}
lathe.parameter @"layer4.0.bn1.running_var" : !c512 {mutable, init = #lathe.init<ones>}
lathe.parameter @"layer4.0.conv2.weight" : tensor<512x512x3x3xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"layer4.0.bn2.weight" : !c512 {init = #lathe.init<ones>}
lathe.parameter @"layer4.0.bn2.bias" : !c512 {init = #lathe.init<zeros>}
lathe.parameter @"layer4.0.bn2.running_mean" : !c512 {mutable, init = #lathe.init<zeros>}
lathe.parameter @"layer4.0.bn2.running_var" : !c512 {mutable, init = #lathe.init<ones>}
lathe.parameter @"layer4.0.conv3.weight" : tensor<2048x512x1x1xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"layer4.0.bn3.weight" : !c2048 {init = #lathe.init<ones>}
lathe.parameter @"layer4.0.bn3.bias" : !c2048 {init = #lathe.init<zeros>}
lathe.parameter @"layer4.0.bn3.running_mean" : !c2048 {mutable, init = #lathe.init<zeros>}
lathe.parameter @"layer4.0.bn3.running_var" : !c2048 {mutable, init = #lathe.init<ones>}
lathe.parameter @"layer4.0.downsample.0.weight" : tensor<2048x1024x1x1xf32> {init = #lathe.init<kaiming_normal>}
lathe.parameter @"layer4.0.downsample.1.weight" : !c2048 {init = #lathe.init<ones>}
lathe.parameter @"layer4.0.downsample.1.bias" : !c2048 {init = #lathe.init<zeros>}
lathe.parameter @"layer4.0.downsample.1.running_mean" : !c2048 {mutable, init = #lathe.init<zeros>}
lathe.parameter @"layer4.0.downsample.1.running_var" : !c2048 {mutable, init = #lathe.init<ones>}
lathe.parameter @"layer4.conv1.weight" : tensor<2x512x2048x1x1xf32> {key = "layer4.{1}.conv1.weight", init = #lathe.init<kaiming_normal>}
lathe.parameter @"layer4.bn1.weight" : tensor<2x512xf32> {key = "layer4.{1}.bn1.weight", init = #lathe.init<ones>}
lathe.parameter @"layer4.bn1.bias" : tensor<2x512xf32> {key = "layer4.{1}.bn1.bias", init = #lathe.init<zeros>}
lathe.parameter @"layer4.bn1.running_mean" : tensor<2x512xf32> {mutable, key = "layer4.{1}.bn1.running_mean", init = #lathe.init<zeros>}
lathe.parameter @"layer4.bn1.running_var" : tensor<2x512xf32> {mutable, key = "layer4.{1}.bn1.running_var", init = #lathe.init<ones>}
lathe.parameter @"layer4.conv2.weight" : tensor<2x512x512x3x3xf32> {key = "layer4.{1}.conv2.weight", init = #lathe.init<kaiming_normal>}
lathe.parameter @"layer4.bn2.weight" : tensor<2x512xf32> {key = "layer4.{1}.bn2.weight", init = #lathe.init<ones>}
lathe.parameter @"layer4.bn2.bias" : tensor<2x512xf32> {key = "layer4.{1}.bn2.bias", init = #lathe.init<zeros>}
lathe.parameter @"layer4.bn2.running_mean" : tensor<2x512xf32> {mutable, key = "layer4.{1}.bn2.running_mean", init = #lathe.init<zeros>}
lathe.parameter @"layer4.bn2.running_var" : tensor<2x512xf32> {mutable, key = "layer4.{1}.bn2.running_var", init = #lathe.init<ones>}
lathe.parameter @"layer4.conv3.weight" : tensor<2x2048x512x1x1xf32> {key = "layer4.{1}.conv3.weight", init = #lathe.init<kaiming_normal>}
lathe.parameter @"layer4.bn3.weight" : tensor<2x2048xf32> {key = "layer4.{1}.bn3.weight", init = #lathe.init<ones>}
lathe.parameter @"layer4.bn3.bias" : tensor<2x2048xf32> {key = "layer4.{1}.bn3.bias", init = #lathe.init<zeros>}
lathe.parameter @"layer4.bn3.running_mean" : tensor<2x2048xf32> {mutable, key = "layer4.{1}.bn3.running_mean", init = #lathe.init<zeros>}
lathe.parameter @"layer4.bn3.running_var" : tensor<2x2048xf32> {mutable, key = "layer4.{1}.bn3.running_var", init = #lathe.init<ones>}

func.func private @layer4_first(%x: !map) -> !map {
  %w1 = lathe.get_parameter @"layer4.0.conv1.weight" : tensor<512x1024x1x1xf32>
  %g1 = lathe.get_parameter @"layer4.0.bn1.weight" : !c512
  %b1 = lathe.get_parameter @"layer4.0.bn1.bias" : !c512
  %m1 = lathe.get_parameter @"layer4.0.bn1.running_mean" : !c512
  %v1 = lathe.get_parameter @"layer4.0.bn1.running_var" : !c512
  %w2 = lathe.get_parameter @"layer4.0.conv2.weight" : tensor<512x512x3x3xf32>
  %g2 = lathe.get_parameter @"layer4.0.bn2.weight" : !c512
  %b2 = lathe.get_parameter @"layer4.0.bn2.bias" : !c512
  %m2 = lathe.get_parameter @"layer4.0.bn2.running_mean" : !c512
  %v2 = lathe.get_parameter @"layer4.0.bn2.running_var" : !c512
  %w3 = lathe.get_parameter @"layer4.0.conv3.weight" : tensor<2048x512x1x1xf32>
  %g3 = lathe.get_parameter @"layer4.0.bn3.weight" : !c2048
  %b3 = lathe.get_parameter @"layer4.0.bn3.bias" : !c2048
  %m3 = lathe.get_parameter @"layer4.0.bn3.running_mean" : !c2048
  %v3 = lathe.get_parameter @"layer4.0.bn3.running_var" : !c2048
  %w4 = lathe.get_parameter @"layer4.0.downsample.0.weight" : tensor<2048x1024x1x1xf32>
  %g4 = lathe.get_parameter @"layer4.0.downsample.1.weight" : !c2048
  %b4 = lathe.get_parameter @"layer4.0.downsample.1.bias" : !c2048
  %m4 = lathe.get_parameter @"layer4.0.downsample.1.running_mean" : !c2048
  %v4 = lathe.get_parameter @"layer4.0.downsample.1.running_var" : !c2048
  %a1 = lathe.conv %x, %w1 : (!map, tensor<512x1024x1x1xf32>) -> !map
  %n1, %nm1, %nv1 = lathe.batch_norm_training %a1, %g1, %b1, %m1, %v1 : (!map, !c512, !c512, !c512, !c512) -> (!map, !c512, !c512)
  %r1 = lathe.relu %n1 : (!map) -> !map
  %a2 = lathe.conv %r1, %w2 {strides = array<i64: 2, 2>, pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>} : (!map, tensor<512x512x3x3xf32>) -> !map
  %n2, %nm2, %nv2 = lathe.batch_norm_training %a2, %g2, %b2, %m2, %v2 : (!map, !c512, !c512, !c512, !c512) -> (!map, !c512, !c512)
  %r2 = lathe.relu %n2 : (!map) -> !map
  %a3 = lathe.conv %r2, %w3 : (!map, tensor<2048x512x1x1xf32>) -> !map
  %n3, %nm3, %nv3 = lathe.batch_norm_training %a3, %g3, %b3, %m3, %v3 : (!map, !c2048, !c2048, !c2048, !c2048) -> (!map, !c2048, !c2048)
  %a4 = lathe.conv %x, %w4 {strides = array<i64: 2, 2>} : (!map, tensor<2048x1024x1x1xf32>) -> !map
  %n4, %nm4, %nv4 = lathe.batch_norm_training %a4, %g4, %b4, %m4, %v4 : (!map, !c2048, !c2048, !c2048, !c2048) -> (!map, !c2048, !c2048)
  %s0 = lathe.add %n3, %n4 : (!map, !map) -> !map
  %y = lathe.relu %s0 : (!map) -> !map
  lathe.set_parameter @"layer4.0.bn1.running_mean", %nm1 : !c512
  lathe.set_parameter @"layer4.0.bn1.running_var", %nv1 : !c512
  lathe.set_parameter @"layer4.0.bn2.running_mean", %nm2 : !c512
  lathe.set_parameter @"layer4.0.bn2.running_var", %nv2 : !c512
  lathe.set_parameter @"layer4.0.bn3.running_mean", %nm3 : !c2048
  lathe.set_parameter @"layer4.0.bn3.running_var", %nv3 : !c2048
  lathe.set_parameter @"layer4.0.downsample.1.running_mean", %nm4 : !c2048
  lathe.set_parameter @"layer4.0.downsample.1.running_var", %nv4 : !c2048
  return %y : !map
}

func.func private @layer4_others(%x: !map) -> !map {
  %w1s = lathe.get_parameter @"layer4.conv1.weight" : tensor<2x512x2048x1x1xf32>
  %g1s = lathe.get_parameter @"layer4.bn1.weight" : tensor<2x512xf32>
  %b1s = lathe.get_parameter @"layer4.bn1.bias" : tensor<2x512xf32>
  %m1s = lathe.get_parameter @"layer4.bn1.running_mean" : tensor<2x512xf32>
  %v1s = lathe.get_parameter @"layer4.bn1.running_var" : tensor<2x512xf32>
  %w2s = lathe.get_parameter @"layer4.conv2.weight" : tensor<2x512x512x3x3xf32>
  %g2s = lathe.get_parameter @"layer4.bn2.weight" : tensor<2x512xf32>
  %b2s = lathe.get_parameter @"layer4.bn2.bias" : tensor<2x512xf32>
  %m2s = lathe.get_parameter @"layer4.bn2.running_mean" : tensor<2x512xf32>
  %v2s = lathe.get_parameter @"layer4.bn2.running_var" : tensor<2x512xf32>
  %w3s = lathe.get_parameter @"layer4.conv3.weight" : tensor<2x2048x512x1x1xf32>
  %g3s = lathe.get_parameter @"layer4.bn3.weight" : tensor<2x2048xf32>
  %b3s = lathe.get_parameter @"layer4.bn3.bias" : tensor<2x2048xf32>
  %m3s = lathe.get_parameter @"layer4.bn3.running_mean" : tensor<2x2048xf32>
  %v3s = lathe.get_parameter @"layer4.bn3.running_var" : tensor<2x2048xf32>
  %y, %nm1s, %nv1s, %nm2s, %nv2s, %nm3s, %nv3s = lathe.scan init(%h = %x)
    inputs(%w1 = %w1s, %g1 = %g1s, %b1 = %b1s, %m1 = %m1s, %v1 = %v1s,
           %w2 = %w2s, %g2 = %g2s, %b2 = %b2s, %m2 = %m2s, %v2 = %v2s,
           %w3 = %w3s, %g3 = %g3s, %b3 = %b3s, %m3 = %m3s, %v3 = %v3s)
    : (!map, tensor<2x512x2048x1x1xf32>, tensor<2x512xf32>, tensor<2x512xf32>, tensor<2x512xf32>, tensor<2x512xf32>,
       tensor<2x512x512x3x3xf32>, tensor<2x512xf32>, tensor<2x512xf32>, tensor<2x512xf32>, tensor<2x512xf32>,
       tensor<2x2048x512x1x1xf32>, tensor<2x2048xf32>, tensor<2x2048xf32>, tensor<2x2048xf32>, tensor<2x2048xf32>)
    -> (!map, tensor<2x512xf32>, tensor<2x512xf32>, tensor<2x512xf32>, tensor<2x512xf32>, tensor<2x2048xf32>, tensor<2x2048xf32>) {
    %a1 = lathe.conv %h, %w1 : (!map, tensor<512x2048x1x1xf32>) -> !map
    %n1, %nm1, %nv1 = lathe.batch_norm_training %a1, %g1, %b1, %m1, %v1 : (!map, !c512, !c512, !c512, !c512) -> (!map, !c512, !c512)
    %r1 = lathe.relu %n1 : (!map) -> !map
    %a2 = lathe.conv %r1, %w2 {pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>} : (!map, tensor<512x512x3x3xf32>) -> !map
    %n2, %nm2, %nv2 = lathe.batch_norm_training %a2, %g2, %b2, %m2, %v2 : (!map, !c512, !c512, !c512, !c512) -> (!map, !c512, !c512)
    %r2 = lathe.relu %n2 : (!map) -> !map
    %a3 = lathe.conv %r2, %w3 : (!map, tensor<2048x512x1x1xf32>) -> !map
    %n3, %nm3, %nv3 = lathe.batch_norm_training %a3, %g3, %b3, %m3, %v3 : (!map, !c2048, !c2048, !c2048, !c2048) -> (!map, !c2048, !c2048)
    %s = lathe.add %n3, %h : (!map, !map) -> !map
    %r = lathe.relu %s : (!map) -> !map
    lathe.yield %r, %nm1, %nv1, %nm2, %nv2, %nm3, %nv3 : !map, !c512, !c512, !c512, !c512, !c2048, !c2048
  }
  lathe.set_parameter @"layer4.bn1.running_mean", %nm1s : tensor<2x512xf32>
  lathe.set_parameter @"layer4.bn1.running_var", %nv1s : tensor<2x512xf32>
  lathe.set_parameter @"layer4.bn2.running_mean", %nm2s : tensor<2x512xf32>
  lathe.set_parameter @"layer4.bn2.running_var", %nv2s : tensor<2x512xf32>
  lathe.set_parameter @"layer4.bn3.running_mean", %nm3s : tensor<2x2048xf32>
  lathe.set_parameter @"layer4.bn3.running_var", %nv3s : tensor<2x2048xf32>
  return %y : !map
}

lathe.parameter @"fc.weight" : tensor<1000x2048xf32> {init = #lathe.init<uniform, -0.0221, 0.0221>}
lathe.parameter @"fc.bias" : tensor<1000xf32> {init = #lathe.init<zeros>}

// In the form for training; for @main, batch statistics are taken out.
func.func private @classify(%bytes: !bytes) -> !logits {
  %s = call @stem(%bytes) : (!bytes) -> !map
  %a1 = call @layer1_first(%s) : (!map) -> !map
  %b1 = call @layer1_others(%a1) : (!map) -> !map
  %a2 = call @layer2_first(%b1) : (!map) -> !map
  %b2 = call @layer2_others(%a2) : (!map) -> !map
  %a3 = call @layer3_first(%b2) : (!map) -> !map
  %b3 = call @layer3_others(%a3) : (!map) -> !map
  %a4 = call @layer4_first(%b3) : (!map) -> !map
  %b4 = call @layer4_others(%a4) : (!map) -> !map
  %x = lathe.reduce_mean %b4 {axes = array<i64: 2, 3>} : (!map) -> tensor<?x?xf32>
  %w = lathe.get_parameter @"fc.weight" : tensor<1000x2048xf32>
  %b = lathe.get_parameter @"fc.bias" : tensor<1000xf32>
  %logits = lathe.linear %x, %w, %b : (tensor<?x?xf32>, tensor<1000x2048xf32>, tensor<1000xf32>) -> !logits
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
