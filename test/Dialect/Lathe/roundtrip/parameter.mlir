// RUN: lathe-opt %s | lathe-opt | FileCheck %s

// CHECK: lathe.parameter @embeddings.word_embeddings.weight : tensor<30522x384xf32>
lathe.parameter @"embeddings.word_embeddings.weight" : tensor<30522x384xf32>
// CHECK: lathe.parameter @query : tensor<6x384x384xf32> {init = #lathe.init<normal, 0.000000e+00 : f64, 2.000000e-02 : f64>, key = "encoder.layer.{}.attention.self.query.weight"}
lathe.parameter @query : tensor<6x384x384xf32>
    {key = "encoder.layer.{}.attention.self.query.weight", init = #lathe.init<normal, 0.0, 0.02>}
// CHECK: lathe.parameter @later : tensor<5x8xf32> {key = "layer3.{1}.bn1.weight"}
lathe.parameter @later : tensor<5x8xf32> {key = "layer3.{1}.bn1.weight"}
// CHECK: lathe.parameter @zeros : tensor<f32> {init = #lathe.init<zeros>}
lathe.parameter @zeros : tensor<f32> {init = #lathe.init<zeros>}
// CHECK: lathe.parameter @flags : tensor<12xi1> {file = "model.bin", file_bytes = 12 : i64, file_offset = 64 : i64}
lathe.parameter @flags : tensor<12xi1> {file = "model.bin", file_offset = 64 : i64, file_bytes = 12 : i64}

// CHECK-LABEL: func.func @main
func.func @main() -> tensor<6x384x384xf32> {
  // CHECK: lathe.get_parameter @query : tensor<6x384x384xf32>
  %0 = lathe.get_parameter @query : tensor<6x384x384xf32>
  return %0 : tensor<6x384x384xf32>
}

// CHECK: lathe.parameter @train.step : tensor<i64> {init = #lathe.init<zeros>, mutable}
lathe.parameter @"train.step" : tensor<i64> {init = #lathe.init<zeros>, mutable}
// CHECK-LABEL: func.func @count
func.func @count() {
  // CHECK: %[[STEP:.*]] = lathe.get_parameter @train.step
  // CHECK: lathe.set_parameter @train.step, %[[STEP]] : tensor<i64>
  %0 = lathe.get_parameter @"train.step" : tensor<i64>
  lathe.set_parameter @"train.step", %0 : tensor<i64>
  return
}
// CHECK-LABEL: func.func @count_in_place
func.func @count_in_place(%x: tensor<i64>) {
  // CHECK: lathe.set_parameter @train.step, %{{.*}} in_place : tensor<i64>
  lathe.set_parameter @"train.step", %x in_place : tensor<i64>
  return
}
