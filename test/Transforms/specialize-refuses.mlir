// RUN: split-file %s %t
// RUN: not lathe-opt %t/shape.mlir -lathe-specialize="shapes=2x9" 2>&1 | FileCheck %s --check-prefix=SHAPE
// SHAPE: error: expected argument 0 ('ids') of shape [?, 8], got [2, 9]
// RUN: not lathe-opt %t/shape.mlir -lathe-specialize="shapes=2" 2>&1 | FileCheck %s --check-prefix=RANK
// RANK: error: expected argument 0 ('ids') of shape [?, 8], got [2]
// RUN: not lathe-opt %t/shape.mlir -lathe-specialize 2>&1 | FileCheck %s --check-prefix=OPEN
// OPEN: error: expected a size for dim 0 of argument 0 ('ids'), declared as [?, 8]; give dim 'batch'
// RUN: not lathe-opt %t/shape.mlir -lathe-specialize="dims=batch=2,length=3" 2>&1 | FileCheck %s --check-prefix=NAME
// NAME: error: expected the name of an argument's dim, got 'length'
// RUN: not lathe-opt %t/shape.mlir -lathe-specialize="shapes=2x8;3x1" 2>&1 | FileCheck %s --check-prefix=EQUAL
// EQUAL: error: expected dim 'batch' of one size, got 2 in argument 0 ('ids') and 3 in argument 1 ('mask')
// RUN: not lathe-opt %t/shape.mlir -lathe-specialize="shapes=2x8;2x1;4" 2>&1 | FileCheck %s --check-prefix=COUNT
// COUNT: error: expected shapes of 2 arguments, got one for argument 2
// RUN: not lathe-opt %t/shape.mlir -lathe-specialize="shapes=2xtwo" 2>&1 | FileCheck %s --check-prefix=TEXT
// TEXT: error: expected sizes like 4x128 in option 'shapes', got '2xtwo'
// RUN: not lathe-opt %t/shape.mlir -lathe-specialize="shapes=x=2" 2>&1 | FileCheck %s --check-prefix=INDEX
// INDEX: error: expected an argument's index in option 'shapes', got 'x=2'
// RUN: not lathe-opt %t/shape.mlir -lathe-specialize="dims=batch=-1" 2>&1 | FileCheck %s --check-prefix=DIMS
// DIMS: error: expected name=size in option 'dims', got 'batch=-1'
// RUN: not lathe-opt %t/data.mlir -lathe-specialize="shapes=4;" 2>&1 | FileCheck %s --check-prefix=DATA
// DATA: error: expected sizes that follow from the shapes of the arguments, but in '@main' 2 ops have a size that depends on data
// DATA: data.mlir:4:8: note: 'lathe.dynamic_range' op: size depends on data, got 'tensor<?xi64>'
// DATA-NOT: lathe.neg
// DATA: data.mlir:7:8: note: 'lathe.while' op: size depends on data, got 'tensor<?xf32>'
// RUN: not lathe-opt %t/branches.mlir -lathe-specialize 2>&1 | FileCheck %s --check-prefix=BRANCHES
// BRANCHES: in '@main' 1 op has a size that depends on data
// BRANCHES: branches.mlir:2:8: note: 'lathe.if' op: size depends on data, got 'tensor<?xf32>'
// RUN: not lathe-opt %t/grows.mlir -lathe-specialize 2>&1 | FileCheck %s --check-prefix=GROWS
// GROWS: in '@main' 1 op has a size that depends on data
// GROWS: grows.mlir:2:8: note: 'lathe.scan' op: size depends on data, got 'tensor<?xf32>'
// RUN: not lathe-opt %t/lengths.mlir -lathe-specialize="shapes=3x2;4x2" 2>&1 | FileCheck %s --check-prefix=LENGTHS
// LENGTHS: error: 'lathe.scan' op expected inputs with equal leading dims, got 3 and 4
// RUN: not lathe-opt %t/recursive.mlir -lathe-specialize 2>&1 | FileCheck %s --check-prefix=RECURSIVE
// RECURSIVE: error: expected calls without recursion, got '@main' inside itself
// RUN: not lathe-opt %t/external.mlir -lathe-specialize 2>&1 | FileCheck %s --check-prefix=EXTERNAL
// EXTERNAL: error: expected a function with a body to call, got '@outside'
// RUN: not lathe-opt %t/doubling.mlir -lathe-specialize 2>&1 | FileCheck %s --check-prefix=DOUBLING
// DOUBLING: error: expected calls that come to at most 200000 ops once inlined
// RUN: not lathe-opt %t/entries.mlir -lathe-specialize 2>&1 | FileCheck %s --check-prefix=ENTRIES
// ENTRIES: error: expected one public function or one called '@main'
// RUN: not lathe-opt %t/inference.mlir -lathe-specialize="shapes=2x4;5x3" 2>&1 | FileCheck %s --check-prefix=INFERENCE
// INFERENCE: inference.mlir:3:8: error: 'lathe.matmul' op
// RUN: not lathe-opt %t/written.mlir -lathe-specialize="shapes=5" 2>&1 | FileCheck %s --check-prefix=WRITTEN
// WRITTEN: error: expected a result of type 'tensor<4xf32>' as written, got 'tensor<5xf32>'

//--- shape.mlir
func.func @main(%x: tensor<?x8xf32> {lathe.name = "ids", lathe.dims = ["batch", ""]},
                %y: tensor<?x1xf32> {lathe.name = "mask", lathe.dims = ["batch", ""]}) {
  return
}

//--- data.mlir
func.func @main(%x: tensor<?xf32>, %n: tensor<i64>) -> (tensor<?xi64>, tensor<?xf32>) {
  %zero = lathe.constant dense<0> : tensor<i64>
  %one = lathe.constant dense<1> : tensor<i64>
  %0 = lathe.dynamic_range %zero, %n, %one : (tensor<i64>, tensor<i64>, tensor<i64>) -> tensor<?xi64>
  %1 = lathe.neg %0 : (tensor<?xi64>) -> tensor<?xi64>
  // Grows with every iteration.
  %2 = lathe.while (%a = %x) : (tensor<?xf32>) -> tensor<?xf32> {
    %4 = lathe.compare lt, %zero, %n : (tensor<i64>, tensor<i64>) -> tensor<i1>
    lathe.yield %4 : tensor<i1>
  } do {
  ^bb0(%a: tensor<?xf32>):
    %4 = lathe.concat %a, %x {axis = 0 : i64} : (tensor<?xf32>, tensor<?xf32>) -> tensor<?xf32>
    lathe.yield %4 : tensor<?xf32>
  }
  return %1, %2 : tensor<?xi64>, tensor<?xf32>
}

//--- branches.mlir
func.func @main(%c: tensor<i1>, %x: tensor<2xf32>, %y: tensor<3xf32>) -> tensor<?xf32> {
  %0 = lathe.if %c : (tensor<i1>) -> tensor<?xf32> {
    lathe.yield %x : tensor<2xf32>
  } else {
    lathe.yield %y : tensor<3xf32>
  }
  return %0 : tensor<?xf32>
}

//--- grows.mlir
func.func @main(%x: tensor<2xf32>) -> tensor<?xf32> {
  %0 = lathe.scan init(%a = %x) {trip_count = 2} : (tensor<2xf32>) -> tensor<?xf32> {
    %1 = lathe.concat %a, %a {axis = 0 : i64} : (tensor<?xf32>, tensor<?xf32>) -> tensor<?xf32>
    lathe.yield %1 : tensor<?xf32>
  }
  return %0 : tensor<?xf32>
}

//--- lengths.mlir
func.func @main(%x: tensor<?x2xf32>, %y: tensor<?x2xf32>) -> tensor<?x2xf32> {
  %0 = lathe.scan inputs(%a = %x, %b = %y) : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32> {
    %1 = lathe.add %a, %b : (tensor<2xf32>, tensor<2xf32>) -> tensor<2xf32>
    lathe.yield %1 : tensor<2xf32>
  }
  return %0 : tensor<?x2xf32>
}

//--- recursive.mlir
func.func @main() {
  call @other() : () -> ()
  return
}
func.func private @other() {
  call @main() : () -> ()
  return
}

//--- external.mlir
func.func private @outside()
func.func @main() {
  call @outside() : () -> ()
  return
}

//--- doubling.mlir
func.func @main(%x: tensor<f32>) -> tensor<f32> {
  %0 = call @f5(%x) : (tensor<f32>) -> tensor<f32>
  return %0 : tensor<f32>
}
// Every function calls the next one 16 times.
func.func private @f5(%x: tensor<f32>) -> tensor<f32> {
  %0 = call @f4(%x) : (tensor<f32>) -> tensor<f32>
  %1 = call @f4(%0) : (tensor<f32>) -> tensor<f32>
  %2 = call @f4(%1) : (tensor<f32>) -> tensor<f32>
  %3 = call @f4(%2) : (tensor<f32>) -> tensor<f32>
  %4 = call @f4(%3) : (tensor<f32>) -> tensor<f32>
  %5 = call @f4(%4) : (tensor<f32>) -> tensor<f32>
  %6 = call @f4(%5) : (tensor<f32>) -> tensor<f32>
  %7 = call @f4(%6) : (tensor<f32>) -> tensor<f32>
  %8 = call @f4(%7) : (tensor<f32>) -> tensor<f32>
  %9 = call @f4(%8) : (tensor<f32>) -> tensor<f32>
  %10 = call @f4(%9) : (tensor<f32>) -> tensor<f32>
  %11 = call @f4(%10) : (tensor<f32>) -> tensor<f32>
  %12 = call @f4(%11) : (tensor<f32>) -> tensor<f32>
  %13 = call @f4(%12) : (tensor<f32>) -> tensor<f32>
  %14 = call @f4(%13) : (tensor<f32>) -> tensor<f32>
  %15 = call @f4(%14) : (tensor<f32>) -> tensor<f32>
  return %15 : tensor<f32>
}
func.func private @f4(%x: tensor<f32>) -> tensor<f32> {
  %0 = call @f3(%x) : (tensor<f32>) -> tensor<f32>
  %1 = call @f3(%0) : (tensor<f32>) -> tensor<f32>
  %2 = call @f3(%1) : (tensor<f32>) -> tensor<f32>
  %3 = call @f3(%2) : (tensor<f32>) -> tensor<f32>
  %4 = call @f3(%3) : (tensor<f32>) -> tensor<f32>
  %5 = call @f3(%4) : (tensor<f32>) -> tensor<f32>
  %6 = call @f3(%5) : (tensor<f32>) -> tensor<f32>
  %7 = call @f3(%6) : (tensor<f32>) -> tensor<f32>
  %8 = call @f3(%7) : (tensor<f32>) -> tensor<f32>
  %9 = call @f3(%8) : (tensor<f32>) -> tensor<f32>
  %10 = call @f3(%9) : (tensor<f32>) -> tensor<f32>
  %11 = call @f3(%10) : (tensor<f32>) -> tensor<f32>
  %12 = call @f3(%11) : (tensor<f32>) -> tensor<f32>
  %13 = call @f3(%12) : (tensor<f32>) -> tensor<f32>
  %14 = call @f3(%13) : (tensor<f32>) -> tensor<f32>
  %15 = call @f3(%14) : (tensor<f32>) -> tensor<f32>
  return %15 : tensor<f32>
}
func.func private @f3(%x: tensor<f32>) -> tensor<f32> {
  %0 = call @f2(%x) : (tensor<f32>) -> tensor<f32>
  %1 = call @f2(%0) : (tensor<f32>) -> tensor<f32>
  %2 = call @f2(%1) : (tensor<f32>) -> tensor<f32>
  %3 = call @f2(%2) : (tensor<f32>) -> tensor<f32>
  %4 = call @f2(%3) : (tensor<f32>) -> tensor<f32>
  %5 = call @f2(%4) : (tensor<f32>) -> tensor<f32>
  %6 = call @f2(%5) : (tensor<f32>) -> tensor<f32>
  %7 = call @f2(%6) : (tensor<f32>) -> tensor<f32>
  %8 = call @f2(%7) : (tensor<f32>) -> tensor<f32>
  %9 = call @f2(%8) : (tensor<f32>) -> tensor<f32>
  %10 = call @f2(%9) : (tensor<f32>) -> tensor<f32>
  %11 = call @f2(%10) : (tensor<f32>) -> tensor<f32>
  %12 = call @f2(%11) : (tensor<f32>) -> tensor<f32>
  %13 = call @f2(%12) : (tensor<f32>) -> tensor<f32>
  %14 = call @f2(%13) : (tensor<f32>) -> tensor<f32>
  %15 = call @f2(%14) : (tensor<f32>) -> tensor<f32>
  return %15 : tensor<f32>
}
func.func private @f2(%x: tensor<f32>) -> tensor<f32> {
  %0 = call @f1(%x) : (tensor<f32>) -> tensor<f32>
  %1 = call @f1(%0) : (tensor<f32>) -> tensor<f32>
  %2 = call @f1(%1) : (tensor<f32>) -> tensor<f32>
  %3 = call @f1(%2) : (tensor<f32>) -> tensor<f32>
  %4 = call @f1(%3) : (tensor<f32>) -> tensor<f32>
  %5 = call @f1(%4) : (tensor<f32>) -> tensor<f32>
  %6 = call @f1(%5) : (tensor<f32>) -> tensor<f32>
  %7 = call @f1(%6) : (tensor<f32>) -> tensor<f32>
  %8 = call @f1(%7) : (tensor<f32>) -> tensor<f32>
  %9 = call @f1(%8) : (tensor<f32>) -> tensor<f32>
  %10 = call @f1(%9) : (tensor<f32>) -> tensor<f32>
  %11 = call @f1(%10) : (tensor<f32>) -> tensor<f32>
  %12 = call @f1(%11) : (tensor<f32>) -> tensor<f32>
  %13 = call @f1(%12) : (tensor<f32>) -> tensor<f32>
  %14 = call @f1(%13) : (tensor<f32>) -> tensor<f32>
  %15 = call @f1(%14) : (tensor<f32>) -> tensor<f32>
  return %15 : tensor<f32>
}
func.func private @f1(%x: tensor<f32>) -> tensor<f32> {
  %0 = lathe.neg %x : (tensor<f32>) -> tensor<f32>
  %1 = lathe.neg %0 : (tensor<f32>) -> tensor<f32>
  %2 = lathe.neg %1 : (tensor<f32>) -> tensor<f32>
  %3 = lathe.neg %2 : (tensor<f32>) -> tensor<f32>
  %4 = lathe.neg %3 : (tensor<f32>) -> tensor<f32>
  %5 = lathe.neg %4 : (tensor<f32>) -> tensor<f32>
  %6 = lathe.neg %5 : (tensor<f32>) -> tensor<f32>
  %7 = lathe.neg %6 : (tensor<f32>) -> tensor<f32>
  %8 = lathe.neg %7 : (tensor<f32>) -> tensor<f32>
  %9 = lathe.neg %8 : (tensor<f32>) -> tensor<f32>
  %10 = lathe.neg %9 : (tensor<f32>) -> tensor<f32>
  %11 = lathe.neg %10 : (tensor<f32>) -> tensor<f32>
  %12 = lathe.neg %11 : (tensor<f32>) -> tensor<f32>
  %13 = lathe.neg %12 : (tensor<f32>) -> tensor<f32>
  %14 = lathe.neg %13 : (tensor<f32>) -> tensor<f32>
  %15 = lathe.neg %14 : (tensor<f32>) -> tensor<f32>
  return %15 : tensor<f32>
}

//--- entries.mlir
func.func @one() {
  return
}
func.func @two() {
  return
}

//--- inference.mlir
// Both sizes were open until now.
func.func @main(%x: tensor<2x?xf32>, %y: tensor<?x3xf32>) {
  %0 = lathe.matmul %x, %y : (tensor<2x?xf32>, tensor<?x3xf32>) -> tensor<2x3xf32>
  return
}

//--- written.mlir
func.func @main(%x: tensor<?xf32>) -> tensor<4xf32> {
  %0 = lathe.neg %x : (tensor<?xf32>) -> tensor<4xf32>
  return %0 : tensor<4xf32>
}
