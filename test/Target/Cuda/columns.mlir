// RUN: %lathe compile %s --emit cuda | FileCheck %s
// RUN: %lathe compile %s --target cuda --arch sm_80 --no-cache -o %t.lathe | FileCheck %s --check-prefix=SCHEDULE
// RUN: %lathe compile %s --target cuda --arch sm_100 --no-cache -o %t.lathe

// SCHEDULE: columns reduce_sum
// SCHEDULE: columns reduce_max
// SCHEDULE: columns softmax
// SCHEDULE: columns reduce_mean

func.func @main(%x: tensor<4096x100xf32> {lathe.name = "x"},
                %m: tensor<200x64xi8> {lathe.name = "m"},
                %s: tensor<64x20x48xf32> {lathe.name = "s"},
                %w: tensor<64x20x4096xf32> {lathe.name = "w"})
    -> (tensor<100xf32>, tensor<64xi8>, tensor<64x20x48xf32>, tensor<64x4096xf32>) {
  // Neighbouring threads read neighbouring columns; the rows are dealt to lanes
  // and blocks. Threads without a column reach the barriers all the same.
  // CHECK-LABEL: // reduce_sum_
  // CHECK: // blocks of 32 columns, each by 16 threads
  // CHECK: const int place = blockIdx.x * 32 + threadIdx.x;
  // CHECK-NEXT: const int column = smaller<int>(place, 99);
  // CHECK: if (place < 100) {
  // CHECK: for (int row = blockIdx.y * [[CHUNK:[0-9]+]] + threadIdx.y; row < end; row += 16) {
  // CHECK-NEXT: const float x = in0[column + row * 100];
  // CHECK: sum = columnReduce<Sum, 16>(sum);
  // CHECK-NEXT: if (threadIdx.y == 0 && place < 100) {
  // CHECK-NEXT: partial0[blockIdx.y * 100 + column] = sum;
  // CHECK: // joins the parts
  // CHECK: sum += partial0[part * 100 + column];
  // CHECK: out0[column] = sum;
  %0 = lathe.reduce_sum %x {axes = array<i64: 0>} : (tensor<4096x100xf32>) -> tensor<100xf32>

  // One stage where there are few rows.
  // CHECK-LABEL: // reduce_max_
  // CHECK-NOT: partial
  // CHECK: columnReduce<Larger, 16>
  %1 = lathe.reduce_max %m {axes = array<i64: 0>} : (tensor<200x64xi8>) -> tensor<64xi8>

  // The columns are read again and again; they stay in the cache.
  // CHECK-LABEL: // softmax_
  // CHECK: largest = columnReduce<Maximum, 2>(largest);
  // CHECK: sum = columnReduce<Sum, 2>(sum);
  // CHECK: out0[d0 * 960 + d1 + row * 48] =
  %2 = lathe.softmax %s {axis = 1 : i64} : (tensor<64x20x48xf32>) -> tensor<64x20x48xf32>

  // So many columns that a thread each fills the GPU.
  // CHECK-LABEL: // reduce_mean_
  // CHECK: // a thread per column
  // CHECK-NOT: Reduce<
  // CHECK: out0[column] = mean;
  %3 = lathe.reduce_mean %w {axes = array<i64: 1>} : (tensor<64x20x4096xf32>) -> tensor<64x4096xf32>
  return %0, %1, %2, %3 : tensor<100xf32>, tensor<64xi8>, tensor<64x20x48xf32>, tensor<64x4096xf32>
}
