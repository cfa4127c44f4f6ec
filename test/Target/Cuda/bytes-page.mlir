// RUN: %lathe compile %s --emit cuda --arch sm_80 | diff %S/Inputs/bytes-page.cu -
//
// What docs/cuda-gemm.md says of bytes is the text there is.

// A dense layer in bytes, with what takes its sums back to bytes.
func.func @main(%x: tensor<512x768xui8> {lathe.name = "x"}, %weight: tensor<768x768xi8> {lathe.name = "weight"},
                %bias: tensor<768xi32> {lathe.name = "bias"}, %scale: tensor<768xf32> {lathe.name = "scale"},
                %step: tensor<f32> {lathe.name = "step"}, %zero: tensor<ui8> {lathe.name = "zero"})
    -> (tensor<512x768xui8> {lathe.name = "y"}) {
  %0 = lathe.linear %x, %weight, %bias : (tensor<512x768xui8>, tensor<768x768xi8>, tensor<768xi32>) -> tensor<512x768xi32>
  %1 = lathe.cast %0 to f32 : (tensor<512x768xi32>) -> tensor<512x768xf32>
  %2 = lathe.mul %1, %scale : (tensor<512x768xf32>, tensor<768xf32>) -> tensor<512x768xf32>
  %3 = lathe.quantize %2, %step, %zero : (tensor<512x768xf32>, tensor<f32>, tensor<ui8>) -> tensor<512x768xui8>
  return %3 : tensor<512x768xui8>
}
