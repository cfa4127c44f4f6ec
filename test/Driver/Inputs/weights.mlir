// A model that cannot run without its weights.
lathe.parameter @encoder.weight : tensor<2x4xf32>
func.func @main(%x: tensor<1x4xf32> {lathe.name = "x"}) -> (tensor<1x2xf32> {lathe.name = "y"}) {
  %w = lathe.get_parameter @encoder.weight : tensor<2x4xf32>
  %0 = lathe.linear %x, %w : (tensor<1x4xf32>, tensor<2x4xf32>) -> tensor<1x2xf32>
  return %0 : tensor<1x2xf32>
}
