// RUN: %lathe compile %s --emit cuda | FileCheck %s
// RUN: %lathe compile %s --target cuda --arch sm_80 --no-cache -o %t.lathe
// RUN: %lathe compile %s --target cuda --arch sm_100 --no-cache -o %t.lathe

func.func @main(%x: tensor<48x96xf32> {lathe.name = "x"},
                %b: tensor<96xf32> {lathe.name = "b"},
                %c: tensor<48x1xf32> {lathe.name = "c"},
                %h: tensor<16x24xf16> {lathe.name = "h"},
                %o: tensor<5x7xf32> {lathe.name = "o"},
                %i: tensor<9xi64> {lathe.name = "i"})
    -> (tensor<48x96xf32>, tensor<16x24xf16>, tensor<5x7xf32>, tensor<9x96xf32>, tensor<96x48xf32>) {
  // Four elements per thread; what broadcasts along them is read once.
  // CHECK-LABEL: // add_mul_relu_
  // CHECK: // a thread per 4 elements
  // CHECK: const int first = item * 4;
  // CHECK-NEXT: const int [[COLUMN:d1]] = first % 96;
  // CHECK-NEXT: const int [[ROW:d0]] = first / 96;
  // CHECK-NEXT: const Pack<float, 4> [[X:x]] = loadPack<4>(in0 + first);
  // CHECK-NEXT: const Pack<float, 4> [[B:x1]] = loadPack<4>(in1 + [[COLUMN]]);
  // CHECK-NEXT: const float [[C:x2]] = in2[[[ROW]]];
  // CHECK: for (int e = 0; e < 4; ++e) {
  // CHECK-NEXT: const float [[V:v]] = ([[X]].at[e] + [[B]].at[e]) * [[C]];
  // CHECK: storePack(out0 + first, result);
  %0 = lathe.add %x, %b : (tensor<48x96xf32>, tensor<96xf32>) -> tensor<48x96xf32>
  %1 = lathe.mul %0, %c : (tensor<48x96xf32>, tensor<48x1xf32>) -> tensor<48x96xf32>
  %2 = lathe.relu %1 : (tensor<48x96xf32>) -> tensor<48x96xf32>

  // 16 bytes are eight halves.
  // CHECK-LABEL: // sqrt_
  // CHECK: // a thread per 8 elements
  // CHECK: loadPack<8>(in0 + first)
  // CHECK: result.at[e] = toF16(sqrtf(
  %3 = lathe.sqrt %h : (tensor<16x24xf16>) -> tensor<16x24xf16>

  // Sizes that no pack divides are read one by one, in one flat space.
  // CHECK-LABEL: // exp_
  // CHECK: // a thread per element
  // CHECK-NOT: /
  // CHECK: out0[item] = expf(
  %4 = lathe.exp %o : (tensor<5x7xf32>) -> tensor<5x7xf32>

  // Rows of a table at computed indices.
  // CHECK-LABEL: // gather_
  // CHECK: // a thread per 4 elements
  // CHECK: = in0[{{.*}} * 96 +
  // CHECK: storePack(out0 + first, result);
  %5 = lathe.gather %x, %i : (tensor<48x96xf32>, tensor<9xi64>) -> tensor<9x96xf32>

  // Read along rows, written along columns, by way of shared memory.
  // CHECK-LABEL: // transpose_
  // CHECK: __shared__ float tile[32][33];
  // CHECK: if (x < 48) {
  // CHECK-NEXT: tile[i][threadIdx.x] = in0[y + x * 96];
  // CHECK: __syncthreads();
  // CHECK: out0[y * 48 + x] = tile[threadIdx.x][i];
  %6 = lathe.transpose %x {permutation = array<i64: 1, 0>} : (tensor<48x96xf32>) -> tensor<96x48xf32>
  return %2, %3, %4, %5, %6 : tensor<48x96xf32>, tensor<16x24xf16>, tensor<5x7xf32>, tensor<9x96xf32>, tensor<96x48xf32>
}
