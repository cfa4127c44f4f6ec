// RUN: lathe-opt %s --lathe-quantize="scheme=int4-weights explain" --split-input-file --verify-diagnostics -o /dev/null
// RUN: lathe-opt %s --lathe-quantize="scheme=int8-weights group=32" --split-input-file | FileCheck %s

lathe.parameter @w : tensor<8x0xf32>

// expected-warning @below {{rounds none of}}
func.func @nothing(%x: tensor<3x8xf32>) -> tensor<3x0xf32> {
  %w = lathe.get_parameter @w : tensor<8x0xf32>
  // expected-remark @below {{stays in floats: has an operand without elements}}
  %r = lathe.matmul %x, %w : (tensor<3x8xf32>, tensor<8x0xf32>) -> tensor<3x0xf32>
  return %r : tensor<3x0xf32>
}

// -----

lathe.parameter @t : tensor<9x64xf32>

// Rows of tables are not cut into groups.
// CHECK-LABEL: func.func @table
// CHECK: lathe.quantize %{{.*}} : (tensor<9x64xf32>, tensor<9x1xf32>, tensor<9x1xi8>) -> tensor<9x64xi8>
func.func @table(%i: tensor<5xi64>) -> tensor<5x64xf32> {
  %t = lathe.get_parameter @t : tensor<9x64xf32>
  // expected-remark @below {{is quantized}}
  %r = lathe.embedding %t, %i : (tensor<9x64xf32>, tensor<5xi64>) -> tensor<5x64xf32>
  return %r : tensor<5x64xf32>
}
