// RUN: %lathe compile %s --emit cuda --arch sm_80 | diff %S/Inputs/weight-page.cu -
//
// What docs/cuda-gemm.md says of weights in bytes is the text there is.

func.func @main(%x: tensor<64x256xf16> {lathe.name = "x"}, %weight: tensor<96x256xi8> {lathe.name = "weight"},
                %scale: tensor<96xf16> {lathe.name = "scale"}) -> (tensor<64x96xf16> {lathe.name = "y"}) {
  %zero = lathe.constant dense<0> : tensor<96xi8>
  %0 = lathe.dequantize %weight, %scale, %zero {axis = 0 : i64} : (tensor<96x256xi8>, tensor<96xf16>, tensor<96xi8>) -> tensor<96x256xf16>
  %1 = lathe.linear %x, %0 : (tensor<64x256xf16>, tensor<96x256xf16>) -> tensor<64x96xf16>
  return %1 : tensor<64x96xf16>
}
