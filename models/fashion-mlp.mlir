// A two-layer perceptron for Fashion-MNIST: 784 pixels, 128 hidden, 10 classes.
//   lathe train models/fashion-mlp.mlir

!bytes = tensor<?x28x28xui8>
!image = tensor<?x28x28xf32>
!pixels = tensor<?x784xf32>
!hidden = tensor<?x128xf32>
!logits = tensor<?x10xf32>

lathe.parameter @"hidden.weight" : tensor<128x784xf32> {init = #lathe.init<kaiming_uniform>}
lathe.parameter @"hidden.bias" : tensor<128xf32> {init = #lathe.init<zeros>}
lathe.parameter @"output.weight" : tensor<10x128xf32> {init = #lathe.init<xavier_uniform>}
lathe.parameter @"output.bias" : tensor<10xf32> {init = #lathe.init<zeros>}

func.func private @classify(%bytes: !bytes) -> !logits {
  // Mean 0 and deviation 1 over the training set.
  %mean = lathe.constant dense<72.94> : tensor<f32>
  %scale = lathe.constant dense<0.0110929> : tensor<f32>
  %i0 = lathe.cast %bytes to f32 : (!bytes) -> !image
  %i1 = lathe.sub %i0, %mean : (!image, tensor<f32>) -> !image
  %i2 = lathe.mul %i1, %scale : (!image, tensor<f32>) -> !image
  %x = lathe.reshape %i2 {shape = array<i64: 0, 784>} : (!image) -> !pixels

  %hidden_w = lathe.get_parameter @"hidden.weight" : tensor<128x784xf32>
  %hidden_b = lathe.get_parameter @"hidden.bias" : tensor<128xf32>
  %h0 = lathe.linear %x, %hidden_w, %hidden_b : (!pixels, tensor<128x784xf32>, tensor<128xf32>) -> !hidden
  %h1 = lathe.relu %h0 : (!hidden) -> !hidden
  %output_w = lathe.get_parameter @"output.weight" : tensor<10x128xf32>
  %output_b = lathe.get_parameter @"output.bias" : tensor<10xf32>
  %logits = lathe.linear %h1, %output_w, %output_b : (!hidden, tensor<10x128xf32>, tensor<10xf32>) -> !logits
  return %logits : !logits
}

func.func @main(%image: !bytes {lathe.name = "image", lathe.dims = ["batch", "", ""]})
    -> (!logits {lathe.name = "logits"}) {
  %logits = call @classify(%image) : (!bytes) -> !logits
  return %logits : !logits
}

func.func @loss(%image: !bytes {lathe.name = "image", lathe.dims = ["batch", "", ""]},
                %label: tensor<?xi64> {lathe.name = "label", lathe.dims = ["batch"]})
    -> (tensor<f32> {lathe.name = "loss"}, !logits {lathe.name = "logits"}) {
  %logits = call @classify(%image) : (!bytes) -> !logits
  %loss = lathe.cross_entropy %logits, %label : (!logits, tensor<?xi64>) -> tensor<f32>
  return %loss, %logits : tensor<f32>, !logits
}
