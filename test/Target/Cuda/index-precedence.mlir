// RUN: %lathe compile %s --emit cuda | FileCheck %s

// An index that is a choice stays one operand of the sum it is in.
// CHECK: in0[{{.*}} + ((i2 < 0) ? (i2 + 5) : i2)]
func.func @main(%x: tensor<1x3x4x5xi32>) -> tensor<1x3x6x7xi32> {
  %0 = lathe.pad %x {low = array<i64: 0, 0, 1, 1>, high = array<i64: 0, 0, 1, 1>, mode = 3 : i32} : (tensor<1x3x4x5xi32>) -> tensor<1x3x6x7xi32>
  return %0 : tensor<1x3x6x7xi32>
}
