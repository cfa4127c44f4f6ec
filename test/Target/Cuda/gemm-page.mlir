// RUN: %lathe compile %s --emit cuda --arch sm_80 | diff %S/Inputs/gemm-page.cu -
//
// The text that docs/cuda-gemm.md explains line by line is the text there is.

// A dense layer with a residual connection, as in a transformer's second
// feed-forward layer.
func.func @main(%x: tensor<512x3072xf16> {lathe.name = "x"},
                %weight: tensor<768x3072xf16> {lathe.name = "weight"},
                %bias: tensor<768xf16> {lathe.name = "bias"},
                %residual: tensor<512x768xf16> {lathe.name = "residual"})
    -> (tensor<512x768xf16> {lathe.name = "y"}) {
  %0 = lathe.linear %x, %weight, %bias : (tensor<512x3072xf16>, tensor<768x3072xf16>, tensor<768xf16>) -> tensor<512x768xf16>
  %1 = lathe.add %0, %residual : (tensor<512x768xf16>, tensor<512x768xf16>) -> tensor<512x768xf16>
  return %1 : tensor<512x768xf16>
}
