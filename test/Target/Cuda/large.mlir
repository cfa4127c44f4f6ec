// RUN: %lathe compile %s --emit cuda | FileCheck %s
// RUN: %lathe compile %s --emit cubin --arch sm_90a -o %t | FileCheck %s --check-prefix=CUBIN

// CUBIN: 4 kernels for sm_90a, 0 warnings

// Positions in buffers of 2^31 elements and more need 64 bits.
func.func @main(%x: tensor<70000x40000xi8> {lathe.name = "x"}) -> (tensor<70000x40000xi8>, tensor<70000xi8>, tensor<40000xi8>, tensor<70000x40000xi8>) {
  // CHECK-LABEL: // not_
  // CHECK: const i64 item = (i64)blockIdx.x * 256 + threadIdx.x;
  // CHECK: const i64 first = item * 8;
  %0 = lathe.not %x : (tensor<70000x40000xi8>) -> tensor<70000x40000xi8>
  // CHECK-LABEL: // reduce_max_
  // CHECK: const i64 row = (i64)blockIdx.x;
  // CHECK: loadPack<8>(in0 + row * 40000 + column)
  %1 = lathe.reduce_max %x {axes = array<i64: 1>} : (tensor<70000x40000xi8>) -> tensor<70000xi8>
  // CHECK-LABEL: // reduce_min_
  // CHECK: for (i64 row = {{.*}}; row <
  // CHECK: in0[column + row * 40000];
  %2 = lathe.reduce_min %x {axes = array<i64: 0>} : (tensor<70000x40000xi8>) -> tensor<40000xi8>
  // CHECK-LABEL: // cumsum_
  // CHECK: const i64 item = (i64)blockIdx.x *
  %3 = lathe.cumsum %x {axis = 0 : i64} : (tensor<70000x40000xi8>) -> tensor<70000x40000xi8>
  return %0, %1, %2, %3 : tensor<70000x40000xi8>, tensor<70000xi8>, tensor<40000xi8>, tensor<70000x40000xi8>
}
