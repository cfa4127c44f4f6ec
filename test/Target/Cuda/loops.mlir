// RUN: %lathe compile %s --emit cuda | FileCheck %s
// RUN: rm -rf %t && %lathe compile %s --emit cuda -o %t && ls %t %t/lathe | FileCheck %s --check-prefix=FILES

// A thread per element of each op; what the kernel is made of stands above it.
// CHECK: // [[NAME:cumsum_[0-9a-f]+]]
// CHECK: //   lathe.cumsum  loops.mlir:[[#@LINE + 11]]
// CHECK: // in0: 4x100xf32
// CHECK: // out0: 4x100xf32
// CHECK: #include "lathe/device.cuh"
// CHECK: extern "C" __global__ void __launch_bounds__({{[0-9]+}})
// CHECK-NEXT: [[NAME]](const float *__restrict__ in0, float *__restrict__ out0)

// FILES: cumsum_{{[0-9a-f]+}}.cu
// FILES: lathe
// FILES: device.cuh
func.func @main(%x: tensor<4x100xf32> {lathe.name = "x"}) -> (tensor<4x100xf32> {lathe.name = "y"}) {
  %0 = lathe.cumsum %x {axis = 0 : i64} : (tensor<4x100xf32>) -> tensor<4x100xf32>
  return %0 : tensor<4x100xf32>
}
