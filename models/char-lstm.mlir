// A language model over bytes: an embedding, one LSTM layer of 384, a dense
// layer. The next byte from all before it.
//   lathe train models/char-lstm.mlir

!tokens = tensor<?x?xi64>
!embedded = tensor<?x?x96xf32>
!by_time = tensor<?x?x96xf32>
!step = tensor<?x96xf32>
!state = tensor<?x384xf32>
!gates = tensor<?x1536xf32>
!states = tensor<?x?x384xf32>
!logits = tensor<?x?x256xf32>

lathe.parameter @"embedding.weight" : tensor<256x96xf32> {init = #lathe.init<normal, 0.0, 0.1>}
lathe.parameter @"lstm.weight_ih_l0" : tensor<1536x96xf32> {init = #lathe.init<uniform, -0.051, 0.051>}
lathe.parameter @"lstm.weight_hh_l0" : tensor<1536x384xf32> {init = #lathe.init<uniform, -0.051, 0.051>}
lathe.parameter @"lstm.bias_ih_l0" : tensor<1536xf32> {init = #lathe.init<zeros>}
lathe.parameter @"lstm.bias_hh_l0" : tensor<1536xf32> {init = #lathe.init<zeros>}
lathe.parameter @"output.weight" : tensor<256x384xf32> {init = #lathe.init<xavier_uniform>}
lathe.parameter @"output.bias" : tensor<256xf32> {init = #lathe.init<zeros>}

// Gates in PyTorch's order: input, forget, cell, output.
func.func private @predict(%tokens: !tokens) -> !logits {
  %table = lathe.get_parameter @"embedding.weight" : tensor<256x96xf32>
  %w_ih = lathe.get_parameter @"lstm.weight_ih_l0" : tensor<1536x96xf32>
  %w_hh = lathe.get_parameter @"lstm.weight_hh_l0" : tensor<1536x384xf32>
  %b_ih = lathe.get_parameter @"lstm.bias_ih_l0" : tensor<1536xf32>
  %b_hh = lathe.get_parameter @"lstm.bias_hh_l0" : tensor<1536xf32>
  %out_w = lathe.get_parameter @"output.weight" : tensor<256x384xf32>
  %out_b = lathe.get_parameter @"output.bias" : tensor<256xf32>

  // The input's part of the gates for all steps at once: [sequence, batch, 1536].
  %b = lathe.add %b_ih, %b_hh : (tensor<1536xf32>, tensor<1536xf32>) -> tensor<1536xf32>
  %e0 = lathe.embedding %table, %tokens : (tensor<256x96xf32>, !tokens) -> !embedded
  %e1 = lathe.transpose %e0 {permutation = array<i64: 1, 0, 2>} : (!embedded) -> !by_time
  %from_input = lathe.linear %e1, %w_ih, %b : (!by_time, tensor<1536x96xf32>, tensor<1536xf32>) -> tensor<?x?x1536xf32>

  // Zeros of [batch, 384].
  %shape = lathe.shape_of %tokens : (!tokens) -> tensor<2xi64>
  %batch = lathe.slice %shape {starts = array<i64: 0>, ends = array<i64: 1>} : (tensor<2xi64>) -> tensor<1xi64>
  %width = lathe.constant dense<384> : tensor<1xi64>
  %size = lathe.concat %batch, %width {axis = 0} : (tensor<1xi64>, tensor<1xi64>) -> tensor<2xi64>
  %zero = lathe.constant dense<0.0> : tensor<f32>
  %start = lathe.dynamic_broadcast %zero, %size : (tensor<f32>, tensor<2xi64>) -> !state

  %h_last, %c_last, %hs = lathe.scan init(%h = %start, %c = %start) inputs(%x = %from_input)
      : (!state, !state, tensor<?x?x1536xf32>) -> (!state, !state, !states) {
    %from_state = lathe.linear %h, %w_hh : (!state, tensor<1536x384xf32>) -> !gates
    %gates = lathe.add %x, %from_state : (!gates, !gates) -> !gates
    %i0 = lathe.slice %gates {starts = array<i64: 0>, ends = array<i64: 384>, axes = array<i64: 1>} : (!gates) -> !state
    %f0 = lathe.slice %gates {starts = array<i64: 384>, ends = array<i64: 768>, axes = array<i64: 1>} : (!gates) -> !state
    %g0 = lathe.slice %gates {starts = array<i64: 768>, ends = array<i64: 1152>, axes = array<i64: 1>} : (!gates) -> !state
    %o0 = lathe.slice %gates {starts = array<i64: 1152>, ends = array<i64: 1536>, axes = array<i64: 1>} : (!gates) -> !state
    %i = lathe.sigmoid %i0 : (!state) -> !state
    %f = lathe.sigmoid %f0 : (!state) -> !state
    %g = lathe.tanh %g0 : (!state) -> !state
    %o = lathe.sigmoid %o0 : (!state) -> !state
    %kept = lathe.mul %f, %c : (!state, !state) -> !state
    %added = lathe.mul %i, %g : (!state, !state) -> !state
    %c1 = lathe.add %kept, %added : (!state, !state) -> !state
    %c2 = lathe.tanh %c1 : (!state) -> !state
    %h1 = lathe.mul %o, %c2 : (!state, !state) -> !state
    lathe.yield %h1, %c1, %h1 : !state, !state, !state
  }
  %y = lathe.transpose %hs {permutation = array<i64: 1, 0, 2>} : (!states) -> !states
  %logits = lathe.linear %y, %out_w, %out_b : (!states, tensor<256x384xf32>, tensor<256xf32>) -> !logits
  return %logits : !logits
}

func.func @main(%tokens: !tokens {lathe.name = "tokens", lathe.dims = ["batch", "sequence"]})
    -> (!logits {lathe.name = "logits"}) {
  %logits = call @predict(%tokens) : (!tokens) -> !logits
  return %logits : !logits
}

// A window holds one token more than the model reads: the last one's successor.
func.func @loss(%window: !tokens {lathe.name = "tokens", lathe.dims = ["batch", "window"]})
    -> (tensor<f32> {lathe.name = "loss"}) {
  %read = lathe.slice %window {starts = array<i64: 0>, ends = array<i64: -1>, axes = array<i64: 1>} : (!tokens) -> !tokens
  %next = lathe.slice %window {starts = array<i64: 1>, ends = array<i64: 9223372036854775807>, axes = array<i64: 1>} : (!tokens) -> !tokens
  %logits = call @predict(%read) : (!tokens) -> !logits
  %loss = lathe.cross_entropy %logits, %next : (!logits, !tokens) -> tensor<f32>
  return %loss : tensor<f32>
}
