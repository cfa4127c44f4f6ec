// RUN: lathe-opt %s -lathe-decompose="keep=lathe.attention only=lathe.conv_transpose" | FileCheck %s
// RUN: lathe-opt %s -lathe-cpu-graph | FileCheck %s

// A model without any op of the dialect: the names in options are known all the
// same.
// CHECK-LABEL: func.func @nothing
// CHECK-NEXT: return
func.func @nothing(%x: tensor<4xf32>) -> tensor<4xf32> {
  return %x : tensor<4xf32>
}
