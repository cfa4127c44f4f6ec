// RUN: %lathe compile %s --emit cuda | FileCheck %s
// RUN: %lathe compile %s --target cuda --arch sm_80 --no-cache -o %t.lathe | FileCheck %s --check-prefix=SCHEDULE
// RUN: %lathe compile %s --target cuda --arch sm_100 --no-cache -o %t.lathe

// SCHEDULE: rows softmax
// SCHEDULE: rows rms_norm
// SCHEDULE: rows reduce_sum
// SCHEDULE: rows reduce_mean
// SCHEDULE: rows+pointwise log_softmax
// SCHEDULE: loops cumsum
// SCHEDULE: rows argmax

func.func @main(%x: tensor<2048x384xbf16> {lathe.name = "x"},
                %s: tensor<16x4096xf32> {lathe.name = "s"},
                %w: tensor<4096xf32> {lathe.name = "w"},
                %o: tensor<9x5xi32> {lathe.name = "o"},
                %l: tensor<3x100000xf32> {lathe.name = "l"},
                %v: tensor<50000xf32> {lathe.name = "v"},
                %a: tensor<40x30xf32> {lathe.name = "a"})
    -> (tensor<2048x384xbf16>, tensor<16x4096xf32>, tensor<9xi32>, tensor<3xf32>, tensor<50000xf32>, tensor<40x30xf32>, tensor<40xi64>) {
  // Many short rows: a warp each, its row in registers from pass to pass.
  // CHECK-LABEL: // softmax_
  // CHECK: // a warp per row
  // CHECK: const int row = blockIdx.x * 4 + threadIdx.x / 32;
  // CHECK: const int lane = threadIdx.x % 32;
  // CHECK: Pack<float, 8> exponential[2];
  // CHECK: Pack<float, 8> value[2];
  // CHECK: value[k].at[e] = toFloat(x.at[e]);
  // CHECK: largest = maximum(largest, value[k].at[e]);
  // CHECK: largest = warpReduce<Maximum, 32>(largest);
  // CHECK: sum = warpReduce<Sum, 32>(sum);
  // CHECK: storePack(out0 + row * 384 + column, result);
  %0 = lathe.softmax %x : (tensor<2048x384xbf16>) -> tensor<2048x384xbf16>

  // Few long rows: a block each. The row is read once.
  // CHECK-LABEL: // rms_norm_
  // CHECK: // a block per row
  // CHECK: const int row = blockIdx.x;
  // CHECK: Pack<float, 4> [[X:x]][2];
  // CHECK: [[X]][k] = loadPack<4>(in0 + row * 4096 + column);
  // CHECK: sum = blockReduce<Sum, 512>(sum);
  // CHECK-NOT: (in0
  // CHECK: storePack(out0 + row * 4096 + column, result);
  %1 = lathe.rms_norm %s, %w : (tensor<16x4096xf32>, tensor<4096xf32>) -> tensor<16x4096xf32>

  // Rows shorter than a warp share it; integers wrap around.
  // CHECK-LABEL: // reduce_sum_
  // CHECK: // 8 threads per row
  // CHECK: const int row = blockIdx.x * 8 + threadIdx.x / 8;
  // CHECK-NEXT: if (row >= 9)
  // CHECK-NEXT: return;
  // CHECK: if (column < 5) {
  // CHECK: sum = wrapAdd(sum, x);
  // CHECK: sum = warpReduce<WrapSum, 8>(sum);
  // CHECK: if (lane == 0) {
  // CHECK-NEXT: out0[row] = sum;
  %2 = lathe.reduce_sum %o {axes = array<i64: 1>} : (tensor<9x5xi32>) -> tensor<9xi32>

  // A few very long rows: many blocks, in two stages, by a fixed tree.
  // CHECK-LABEL: // reduce_mean_
  // CHECK: // a block per row
  // CHECK: const int end = smaller<int>(blockIdx.y * {{[0-9]+}} + {{[0-9]+}}, 100000);
  // CHECK: partial{{.*}}[blockIdx.y * 3 + row] = sum;
  // CHECK: // joins the parts
  // CHECK: sum += partial{{.*}}[part * 3 + row];
  // CHECK: const float mean = sum / 1e+05f;
  // CHECK: out0[row] = mean;
  %3 = lathe.reduce_mean %l {axes = array<i64: 1>} : (tensor<3x100000xf32>) -> tensor<3xf32>

  // Reductions that depend on each other cannot share such a grid.
  // CHECK-LABEL: // log_softmax_
  // CHECK: // a block per row
  // CHECK: // joins the parts
  // CHECK: // a block per row
  // CHECK: // joins the parts
  // CHECK: // a thread per 4 elements
  %4 = lathe.log_softmax %v : (tensor<50000xf32>) -> tensor<50000xf32>

  // What carries state from element to element is no reduction.
  // CHECK-LABEL: // cumsum_
  // CHECK-NOT: reduce.cuh
  %5 = lathe.cumsum %a {axis = 1 : i64} : (tensor<40x30xf32>) -> tensor<40x30xf32>

  // A search carries a value and its position; of equal ones the first stays.
  // CHECK-LABEL: // argmax_
  // CHECK: struct Order0 {
  // CHECK-NEXT: static __device__ bool better(float x, float best) {
  // CHECK: Best<float> best = {floatFromBits(0xff800000u), -1};
  // CHECK: best = warpReduce<Search<Order0>, 16>(best);
  // CHECK-NEXT: const i64 index = best.index < 0 ? 0ll : best.index;
  // CHECK: out0[row] = index;
  %6 = lathe.argmax %a {axis = 1 : i64} : (tensor<40x30xf32>) -> tensor<40xi64>
  return %0, %1, %2, %3, %4, %5, %6 : tensor<2048x384xbf16>, tensor<16x4096xf32>, tensor<9xi32>, tensor<3xf32>, tensor<50000xf32>, tensor<40x30xf32>, tensor<40xi64>
}
