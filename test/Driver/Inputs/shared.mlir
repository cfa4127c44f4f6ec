// Products whose weights cannot be changed by themselves, and one that can.
lathe.parameter @w : tensor<8x8xf32> {init = #lathe.init<normal, 0.0, 0.5>}
lathe.parameter @v : tensor<8x8xf32> {init = #lathe.init<normal, 0.0, 0.5>}
lathe.parameter @u : tensor<8x8xf32> {init = #lathe.init<normal, 0.0, 0.5>}
lathe.parameter @t : tensor<2x8x8xf32> {init = #lathe.init<normal, 0.0, 0.5>}
lathe.parameter @f : tensor<4x2x1x3xf32> {init = #lathe.init<normal, 0.0, 0.5>}

func.func @main(%x: tensor<8x8xf32> {lathe.name = "x"}) -> (tensor<8x8xf32> {lathe.name = "y"}, tensor<8x4x1x2xf32> {lathe.name = "z"}) {
  %w = lathe.get_parameter @w : tensor<8x8xf32>
  %v = lathe.get_parameter @v : tensor<8x8xf32>
  %u = lathe.get_parameter @u : tensor<8x8xf32>
  %t = lathe.get_parameter @t : tensor<2x8x8xf32>
  %f = lathe.get_parameter @f : tensor<4x2x1x3xf32>
  %0 = lathe.linear %x, %w : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
  %1 = lathe.linear %0, %w : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
  %vv = lathe.mul %v, %v : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
  %2 = lathe.linear %1, %vv : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
  %3 = lathe.matmul %2, %1 {transpose_lhs} : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
  %4 = lathe.linear %2, %u : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
  %5 = lathe.add %4, %3 : (tensor<8x8xf32>, tensor<8x8xf32>) -> tensor<8x8xf32>
  %6 = lathe.matmul %5, %t : (tensor<8x8xf32>, tensor<2x8x8xf32>) -> tensor<2x8x8xf32>
  %7 = lathe.reduce_sum %6 {axes = array<i64: 0>} : (tensor<2x8x8xf32>) -> tensor<8x8xf32>
  %8 = lathe.reshape %7 {shape = array<i64: 0, 2, 1, 4>} : (tensor<8x8xf32>) -> tensor<8x2x1x4xf32>
  %z = lathe.conv %8, %f : (tensor<8x2x1x4xf32>, tensor<4x2x1x3xf32>) -> tensor<8x4x1x2xf32>
  return %7, %z : tensor<8x8xf32>, tensor<8x4x1x2xf32>
}
