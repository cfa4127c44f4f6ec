// RUN: %lathe compile %s --emit cuda | FileCheck %s
// RUN: %lathe compile %s --target cuda --arch sm_80 --no-cache -o %t.lathe
// RUN: %lathe compile %s --target cuda --arch sm_90a --no-cache -o %t.lathe

// The updates of all small states are one launch: ranges of blocks, each with
// the width that suits its tensor.
// CHECK-LABEL: // updates_of_3_
// CHECK: // 3 loops side by side, a range of blocks for each
// CHECK-NEXT: __launch_bounds__(256)
// CHECK: if (blockIdx.x < 1) {
// CHECK-NEXT: const int [[A:item]] = blockIdx.x * 256 + threadIdx.x;
// CHECK-NEXT: if ([[A]] >= 75)
// CHECK-NEXT: return;
// CHECK: loadPack<4>(
// CHECK: storePack(
// CHECK: return;
// CHECK: if (blockIdx.x < 5) {
// CHECK-NEXT: const int [[B:item.*]] = (blockIdx.x - 1) * 256 + threadIdx.x;
// CHECK: storePack(
// CHECK: if (blockIdx.x < 6) {
// CHECK-NEXT: const int [[C:item.*]] = (blockIdx.x - 5) * 256 + threadIdx.x;
// CHECK-NEXT: if ([[C]] >= 1)
lathe.parameter @a : tensor<300xf32> {mutable, init = #lathe.init<zeros>}
lathe.parameter @b : tensor<64x64xf32> {mutable, init = #lathe.init<zeros>}
lathe.parameter @n : tensor<i64> {mutable, init = #lathe.init<zeros>}
func.func @main(%g: tensor<300xf32> {lathe.name = "g"}, %h: tensor<64x64xf32> {lathe.name = "h"}) {
  %a = lathe.get_parameter @a : tensor<300xf32>
  %b = lathe.get_parameter @b : tensor<64x64xf32>
  %n = lathe.get_parameter @n : tensor<i64>
  %one = lathe.constant dense<1> : tensor<i64>
  %0 = lathe.sub %a, %g : (tensor<300xf32>, tensor<300xf32>) -> tensor<300xf32>
  lathe.set_parameter @a, %0 : tensor<300xf32>
  %1 = lathe.sub %b, %h : (tensor<64x64xf32>, tensor<64x64xf32>) -> tensor<64x64xf32>
  lathe.set_parameter @b, %1 : tensor<64x64xf32>
  %2 = lathe.add %n, %one : (tensor<i64>, tensor<i64>) -> tensor<i64>
  lathe.set_parameter @n, %2 : tensor<i64>
  return
}
