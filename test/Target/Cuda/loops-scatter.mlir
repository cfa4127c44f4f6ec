// RUN: %lathe compile %s --emit cuda | FileCheck %s
// RUN: %lathe compile %s --target cuda --arch sm_90a --no-cache -o %t.lathe

// The gradient of an embedding: a thread per column goes through the updates in
// their order, so the sums have the same bits on every run.
// CHECK-LABEL: // scatter_nd_
// CHECK: // a thread per iteration of the independent loops
// CHECK: if (item >= 96)
// CHECK: for (int i = 0; i < 20; ++i) {
// CHECK-NOT: for (
// CHECK: }
// With nothing but one axis all updates may meet.
// CHECK-LABEL: // scatter_elements_
// CHECK: // one element after the other, in one thread
func.func @main(%x: tensor<50x96xf32> {lathe.name = "x"}, %i: tensor<20x1xi64> {lathe.name = "i"}, %u: tensor<20x96xf32> {lathe.name = "u"},
                %y: tensor<50xf32> {lathe.name = "y"}, %j: tensor<20xi64> {lathe.name = "j"}, %v: tensor<20xf32> {lathe.name = "v"})
    -> (tensor<50x96xf32>, tensor<50xf32>) {
  %0 = lathe.scatter_nd %x, %i, %u {mode = 1 : i32} : (tensor<50x96xf32>, tensor<20x1xi64>, tensor<20x96xf32>) -> tensor<50x96xf32>
  %1 = lathe.scatter_elements %y, %j, %v {axis = 0 : i64, mode = 1 : i32} : (tensor<50xf32>, tensor<20xi64>, tensor<20xf32>) -> tensor<50xf32>
  return %0, %1 : tensor<50x96xf32>, tensor<50xf32>
}
