// RUN: lathe-opt %s --split-input-file --pass-pipeline='builtin.module(lathe-build-train-step{recipe=optimizer=sgd,momentum=0,weight_decay=0,schedule=constant,learning_rate=0.5})' | FileCheck %s --check-prefix=SGD
// RUN: lathe-opt %s --split-input-file --pass-pipeline='builtin.module(lathe-build-train-step{recipe=schedule=constant}, symbol-dce, canonicalize, lathe-cpu-graph)' | FileCheck %s --check-prefix=KERNELS
// RUN: lathe-opt %s --split-input-file --pass-pipeline='builtin.module(lathe-build-train-step{recipe=accumulate=4,optimizer=sgd,precision=float16})' | FileCheck %s --check-prefix=PARTS

lathe.parameter @w : tensor<3x4xf32> {mutable}
lathe.parameter @mean : tensor<4xf32> {mutable}

// SGD: lathe.parameter @train.step : tensor<i64> {init = #lathe.init<zeros>, mutable}
// SGD-LABEL: func.func @train_step(
// SGD-SAME: %[[X:.*]]: tensor<3x4xf32> {lathe.name = "x"}, %{{.*}}: tensor<2xi64> {lathe.name = "random_key"})
// SGD-SAME: -> (tensor<f32> {lathe.name = "loss"}, tensor<f32> {lathe.name = "accuracy"}, tensor<f64> {lathe.name = "learning_rate"})
// SGD: %[[STEP:.*]] = lathe.get_parameter @train.step
// SGD: lathe.set_parameter @mean
// SGD: %[[NEXT:.*]] = lathe.add %[[STEP]]
// SGD: lathe.set_parameter @train.step, %[[NEXT]]
// SGD: %[[W:.*]] = lathe.get_parameter @w
// SGD: %[[SCALED:.*]] = lathe.mul %[[X]], %{{.*}} : (tensor<3x4xf32>, tensor<f32>)
// SGD: %[[NEW:.*]] = lathe.sub %[[W]], %[[SCALED]]
// SGD: lathe.set_parameter @w, %[[NEW]]

// All of AdamW, and the count of steps, is one kernel, which writes over what
// it reads.
// KERNELS: lathe.parameter @optimizer.exp_avg.w : tensor<3x4xf32> {init = #lathe.init<zeros>, mutable}
// KERNELS: lathe.parameter @optimizer.exp_avg_sq.w
// KERNELS-LABEL: func.func @train_step
// KERNELS-COUNT-1: lathe.kernel "updates_of_2" {{.*}} -> (tensor<i64>, tensor<3x4xf32>, tensor<3x4xf32>, tensor<3x4xf32>) attributes {lathe.in_place = array<i64:
// KERNELS: lathe.set_parameter @w, %{{.*}} in_place
// KERNELS: lathe.set_parameter @optimizer.exp_avg.w, %{{.*}} in_place
// KERNELS: lathe.set_parameter @optimizer.exp_avg_sq.w, %{{.*}} in_place

// Four parts: the statistics pass from part to part, every part has a key of its
// own, and a step that overflows keeps everything.
// PARTS-LABEL: func.func @train_step(
// PARTS-SAME: %[[X:.*]]: tensor<12x4xf32> {lathe.name = "x"}, %[[KEY:.*]]: tensor<2xi64> {lathe.name = "random_key"})
// PARTS-SAME: tensor<f32> {lathe.name = "loss_scale"}
// PARTS: %[[MEAN:.*]] = lathe.get_parameter @mean
// PARTS: %[[PARTS:.*]] = lathe.constant dense<[1, 4]>
// PARTS: %[[FIRST:.*]] = lathe.mul %[[KEY]], %[[PARTS]]
// PARTS: %[[SPLIT:.*]] = lathe.reshape %[[X]] {shape = array<i64: 4, 3, 4>}
// PARTS: %[[SUMS:.*]]:5 = lathe.scan init({{.*}} = %[[MEAN]], %{{.*}} = %[[FIRST]]) inputs(%{{.*}} = %[[SPLIT]])
// PARTS-NOT: lathe.set_parameter
// PARTS: }
// PARTS: lathe.set_parameter @mean, %[[SUMS]]#3
// PARTS: %[[ABS:.*]] = lathe.abs
// PARTS: %[[MAX:.*]] = lathe.reduce_max
// PARTS: %[[FINITE:.*]] = lathe.compare lt,
// PARTS: lathe.set_parameter @train.loss_scale
// PARTS: lathe.set_parameter @train.good_steps
// PARTS: lathe.set_parameter @train.updates
// PARTS: %[[KEPT:.*]] = lathe.select %[[FINITE]]
// PARTS: lathe.set_parameter @w, %[[KEPT]]
func.func private @loss_grad(%x: tensor<3x4xf32> {lathe.name = "x"}, %key: tensor<2xi64> {lathe.name = "random_key"})
    -> (tensor<f32> {lathe.name = "loss"}, tensor<3x4xf32> {lathe.name = "logits"}, tensor<f32> {lathe.name = "accuracy"},
        tensor<3x4xf32> {lathe.gradient_of = @w}, tensor<4xf32> {lathe.gradient_of = @mean}) {
  %w = lathe.get_parameter @w : tensor<3x4xf32>
  %m = lathe.get_parameter @mean : tensor<4xf32>
  %0 = lathe.mul %w, %x : (tensor<3x4xf32>, tensor<3x4xf32>) -> tensor<3x4xf32>
  %loss = lathe.reduce_sum %0 {axes = array<i64>} : (tensor<3x4xf32>) -> tensor<f32>
  %batch = lathe.reduce_mean %x {axes = array<i64: 0>} : (tensor<3x4xf32>) -> tensor<4xf32>
  %m2 = lathe.add %m, %batch : (tensor<4xf32>, tensor<4xf32>) -> tensor<4xf32>
  lathe.set_parameter @mean, %m2 : tensor<4xf32>
  return %loss, %0, %loss, %x, %m : tensor<f32>, tensor<3x4xf32>, tensor<f32>, tensor<3x4xf32>, tensor<4xf32>
}
