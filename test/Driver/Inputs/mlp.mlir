// Two layers with weights from their initializers.
lathe.parameter @hidden : tensor<16x8xf32> {init = #lathe.init<normal, 0.0, 0.5>}
lathe.parameter @out : tensor<3x16xf32> {init = #lathe.init<normal, 0.0, 0.5>}

func.func @main(%x: tensor<?x8xf32> {lathe.name = "x", lathe.dims = ["batch", ""]})
    -> (tensor<?x3xf32> {lathe.name = "scores"}, tensor<?xi64> {lathe.name = "best"}) {
  %hidden = lathe.get_parameter @hidden : tensor<16x8xf32>
  %out = lathe.get_parameter @out : tensor<3x16xf32>
  %0 = lathe.linear %x, %hidden : (tensor<?x8xf32>, tensor<16x8xf32>) -> tensor<?x16xf32>
  %1 = lathe.relu %0 : (tensor<?x16xf32>) -> tensor<?x16xf32>
  %2 = lathe.linear %1, %out : (tensor<?x16xf32>, tensor<3x16xf32>) -> tensor<?x3xf32>
  %3 = lathe.argmax %2 {axis = 1 : i64} : (tensor<?x3xf32>) -> tensor<?xi64>
  return %2, %3 : tensor<?x3xf32>, tensor<?xi64>
}
