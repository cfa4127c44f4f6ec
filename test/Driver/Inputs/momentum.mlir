// A program with states: a counter, a parameter and its momentum.
lathe.parameter @"train.step" : tensor<i64> {init = #lathe.init<zeros>, mutable}
lathe.parameter @w : tensor<3x50xf32> {init = #lathe.init<ones>, mutable}
lathe.parameter @m : tensor<3x50xf32> {init = #lathe.init<zeros>, mutable}
func.func @main(%g: tensor<3x50xf32> {lathe.name = "g"})
    -> (tensor<i64> {lathe.name = "step"}, tensor<3x50xf32> {lathe.name = "before"}, tensor<3x50xf32> {lathe.name = "after"}) {
  %one = lathe.constant dense<1> : tensor<i64>
  %half = lathe.constant dense<0.5> : tensor<f32>
  %step = lathe.get_parameter @"train.step" : tensor<i64>
  %w = lathe.get_parameter @w : tensor<3x50xf32>
  %m = lathe.get_parameter @m : tensor<3x50xf32>
  %next = lathe.add %step, %one : (tensor<i64>, tensor<i64>) -> tensor<i64>
  %decayed = lathe.mul %m, %half : (tensor<3x50xf32>, tensor<f32>) -> tensor<3x50xf32>
  %m2 = lathe.add %decayed, %g : (tensor<3x50xf32>, tensor<3x50xf32>) -> tensor<3x50xf32>
  %w2 = lathe.sub %w, %m2 : (tensor<3x50xf32>, tensor<3x50xf32>) -> tensor<3x50xf32>
  %before = lathe.neg %w : (tensor<3x50xf32>) -> tensor<3x50xf32>
  lathe.set_parameter @"train.step", %next : tensor<i64>
  lathe.set_parameter @w, %w2 : tensor<3x50xf32>
  lathe.set_parameter @m, %m2 : tensor<3x50xf32>
  return %next, %before, %w2 : tensor<i64>, tensor<3x50xf32>, tensor<3x50xf32>
}
