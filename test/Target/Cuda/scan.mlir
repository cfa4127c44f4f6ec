// RUN: %lathe compile %s --emit cuda | FileCheck %s
// RUN: %lathe compile %s --target cuda-sim --no-cache -o %t.lathe | FileCheck %s --check-prefix=SCHEDULE
// SCHEDULE-COUNT-3: {{^ +}}{{.*}}scan cumsum
// SCHEDULE-COUNT-2: loops cumsum

func.func @main(%x: tensor<5x3000xf32>, %y: tensor<2000x130xbf16>, %z: tensor<99xi64>, %s: tensor<7x50xf32>)
    -> (tensor<5x3000xf32>, tensor<2000x130xbf16>, tensor<99xi64>, tensor<5x3000xf32>, tensor<7x50xf32>) {
  // Neighbours are read and written four at a time.
  // CHECK-LABEL: // cumsum_
  // CHECK: #include "lathe/scan.cuh"
  // CHECK: using Scan = RowScan<float, 5, 3000, 1024, 4, false, true>;
  // CHECK: // a block per row
  // CHECK-NEXT: __launch_bounds__(1024)
  // CHECK: scanRows<Scan>(in0, out0);
  %0 = lathe.cumsum %x {axis = -1 : i64, reverse} : (tensor<5x3000xf32>) -> tensor<5x3000xf32>
  // Many rows: warps. 130 is no multiple of four.
  // CHECK-LABEL: // cumsum_
  // CHECK: using Scan = RowScan<bf16, 2000, 130, 32, 1, true, false>;
  // CHECK: // a warp per row
  // CHECK-NEXT: __launch_bounds__(256)
  %1 = lathe.cumsum %y {axis = 1 : i64, exclusive} : (tensor<2000x130xbf16>) -> tensor<2000x130xbf16>
  // CHECK-LABEL: // cumsum_
  // CHECK: using Scan = RowScan<i64, 1, 99, 32, 1, false, false>;
  %2 = lathe.cumsum %z {axis = 0 : i64} : (tensor<99xi64>) -> tensor<99xi64>

  // Along columns threads are neighbours already; short rows have one each.
  // CHECK-LABEL: // cumsum_
  // CHECK-NOT: scan.cuh
  %3 = lathe.cumsum %x {axis = 0 : i64} : (tensor<5x3000xf32>) -> tensor<5x3000xf32>
  // CHECK-LABEL: // cumsum_
  // CHECK-NOT: scan.cuh
  %4 = lathe.cumsum %s {axis = 1 : i64} : (tensor<7x50xf32>) -> tensor<7x50xf32>
  return %0, %1, %2, %3, %4 : tensor<5x3000xf32>, tensor<2000x130xbf16>, tensor<99xi64>, tensor<5x3000xf32>, tensor<7x50xf32>
}
