// RUN: lathe-opt %s --split-input-file --pass-pipeline='builtin.module(func.func(lathe-form-kernels, lathe-bundle-updates{max-elements=64}, lathe-update-in-place))' | FileCheck %s
// RUN: lathe-opt %s --split-input-file --pass-pipeline='builtin.module(func.func(lathe-form-kernels, lathe-bundle-updates{max-elements=64 max-arguments=6}, lathe-update-in-place))' | FileCheck %s --check-prefix=TWO

// Different shapes, one kernel; each part is in place. @large stays alone.
// CHECK-LABEL: func.func @sgd
// CHECK: lathe.kernel "{{.*}}" schedule "rows" {{.*}} -> tensor<128xf32>
// CHECK: %[[ALL:.*]]:3 = lathe.kernel "updates_of_3" schedule "rows"
// CHECK-SAME: -> (tensor<8xf32>, tensor<3x4xf32>, tensor<i64>)
// CHECK-SAME: lathe.in_place
// CHECK: lathe.set_parameter @a, %[[ALL]]#0 in_place
// CHECK: lathe.set_parameter @b, %[[ALL]]#1 in_place
// CHECK: lathe.set_parameter @n, %[[ALL]]#2 in_place
// As many as arguments allow.
// TWO-LABEL: func.func @sgd
// TWO: lathe.kernel "updates_of_2"
// TWO-NOT: lathe.kernel "updates
lathe.parameter @a : tensor<8xf32> {mutable}
lathe.parameter @b : tensor<3x4xf32> {mutable}
lathe.parameter @large : tensor<128xf32> {mutable}
lathe.parameter @n : tensor<i64> {mutable}
func.func @sgd(%g: tensor<8xf32>, %h: tensor<3x4xf32>, %k: tensor<128xf32>) {
  %a = lathe.get_parameter @a : tensor<8xf32>
  %b = lathe.get_parameter @b : tensor<3x4xf32>
  %large = lathe.get_parameter @large : tensor<128xf32>
  %n = lathe.get_parameter @n : tensor<i64>
  %one = lathe.constant dense<1> : tensor<i64>
  %0 = lathe.sub %a, %g : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  lathe.set_parameter @a, %0 : tensor<8xf32>
  %1 = lathe.sub %b, %h : (tensor<3x4xf32>, tensor<3x4xf32>) -> tensor<3x4xf32>
  lathe.set_parameter @b, %1 : tensor<3x4xf32>
  %2 = lathe.sub %large, %k : (tensor<128xf32>, tensor<128xf32>) -> tensor<128xf32>
  lathe.set_parameter @large, %2 : tensor<128xf32>
  %3 = lathe.add %n, %one : (tensor<i64>, tensor<i64>) -> tensor<i64>
  lathe.set_parameter @n, %3 : tensor<i64>
  return
}

// -----

// Refused: a new value that is read, a reduction, and what is no update.
// CHECK-LABEL: func.func @refused
// CHECK-NOT: "updates_of
lathe.parameter @a : tensor<8xf32> {mutable}
lathe.parameter @b : tensor<8xf32> {mutable}
lathe.parameter @c : tensor<8xf32> {mutable}
func.func @refused(%g: tensor<8xf32>, %h: tensor<4x8xf32>) -> (tensor<8xf32>, tensor<8xf32>) {
  %a = lathe.get_parameter @a : tensor<8xf32>
  %c = lathe.get_parameter @c : tensor<8xf32>
  %0 = lathe.sub %a, %g : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  lathe.set_parameter @a, %0 : tensor<8xf32>
  %1 = lathe.reduce_sum %h {axes = array<i64: 0>} : (tensor<4x8xf32>) -> tensor<8xf32>
  lathe.set_parameter @b, %1 : tensor<8xf32>
  %2 = lathe.exp %g : (tensor<8xf32>) -> tensor<8xf32>
  %3 = lathe.mul %c, %c : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  lathe.set_parameter @c, %3 : tensor<8xf32>
  return %0, %2 : tensor<8xf32>, tensor<8xf32>
}
