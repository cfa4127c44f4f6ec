// RUN: lathe-opt %s --lathe-make-trainable=freeze=embed.*,*.bias | FileCheck %s
// RUN: not lathe-opt %s --lathe-make-trainable=freeze=layer 2>&1 | FileCheck %s --check-prefix=UNUSED
// RUN: not lathe-opt %s --lathe-make-trainable=freeze=* 2>&1 | FileCheck %s --check-prefix=ALL
// RUN: not lathe-opt %s --lathe-make-trainable=function=main 2>&1 | FileCheck %s --check-prefix=NONE
// UNUSED: error: no parameter matches the pattern 'layer' of what is frozen
// ALL: error: all 3 parameters of the loss are frozen
// NONE: error: expected a function '@main'

// CHECK: lathe.parameter @embed.weight : tensor<4xf32>{{$}}
// CHECK: lathe.parameter @layer.weight : tensor<4xf32> {mutable}
// CHECK: lathe.parameter @layer.bias : tensor<4xf32>{{$}}
// Neither what the loss does not read, nor integers, nor its own statistics.
// CHECK: lathe.parameter @unused : tensor<4xf32>{{$}}
// CHECK: lathe.parameter @table : tensor<4xi64>{{$}}
// CHECK: lathe.parameter @mean : tensor<4xf32> {mutable}
lathe.parameter @"embed.weight" : tensor<4xf32>
lathe.parameter @"layer.weight" : tensor<4xf32>
lathe.parameter @"layer.bias" : tensor<4xf32> {mutable}
lathe.parameter @unused : tensor<4xf32>
lathe.parameter @table : tensor<4xi64>
lathe.parameter @mean : tensor<4xf32> {mutable}
func.func @loss(%x: tensor<4xf32>) -> tensor<f32> {
  %0 = lathe.get_parameter @"embed.weight" : tensor<4xf32>
  %1 = lathe.get_parameter @"layer.weight" : tensor<4xf32>
  %2 = lathe.get_parameter @"layer.bias" : tensor<4xf32>
  %3 = lathe.get_parameter @table : tensor<4xi64>
  %4 = lathe.get_parameter @mean : tensor<4xf32>
  %5 = lathe.add %0, %1 : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %6 = lathe.add %5, %2 : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  %7 = lathe.reduce_sum %6 {axes = array<i64>} : (tensor<4xf32>) -> tensor<f32>
  lathe.set_parameter @mean, %4 : tensor<4xf32>
  return %7 : tensor<f32>
}
