// RUN: lathe-opt %s -split-input-file -verify-diagnostics

func.func @kernel_name(%x: tensor<4xf32>) {
  // expected-error @+1 {{'lathe.kernel' op expected a name}}
  %0 = lathe.kernel "" schedule "rows" (%a = %x) : (tensor<4xf32>) -> tensor<4xf32> {
    lathe.yield %a : tensor<4xf32>
  }
  return
}

// -----

func.func @kernel_yields(%x: tensor<4xf32>) {
  // expected-error @+1 {{expected the body to yield 'tensor<5xf32>' as value 0, got 'tensor<4xf32>'}}
  %0 = lathe.kernel "k" schedule "rows" (%a = %x) : (tensor<4xf32>) -> tensor<5xf32> {
    lathe.yield %a : tensor<4xf32>
  }
  return
}

// -----

func.func @kernel_yield_count(%x: tensor<4xf32>) {
  // expected-error @+1 {{expected the body to yield 1 values, got 2}}
  %0 = lathe.kernel "k" schedule "rows" (%a = %x) : (tensor<4xf32>) -> tensor<4xf32> {
    lathe.yield %a, %a : tensor<4xf32>, tensor<4xf32>
  }
  return
}

// -----

func.func @kernel_arguments(%x: tensor<4xf32>) {
  // expected-error @+1 {{expected argument 0 of the body of type 'tensor<4xf32>', got 'tensor<5xf32>'}}
  "lathe.kernel"(%x) ({
  ^bb0(%a: tensor<5xf32>):
    lathe.yield
  }) {name = "k", schedule = "rows"} : (tensor<4xf32>) -> ()
  return
}

// -----

func.func @kernel_argument_count(%x: tensor<4xf32>) {
  // expected-error @+1 {{expected 1 arguments of the body, got 0}}
  "lathe.kernel"(%x) ({
    lathe.yield
  }) {name = "k", schedule = "rows"} : (tensor<4xf32>) -> ()
  return
}

// -----

func.func @kernel_is_isolated(%x: tensor<4xf32>) {
  // expected-note @+1 {{required by region isolation constraints}}
  %0 = lathe.kernel "k" schedule "rows" () : () -> tensor<4xf32> {
    // expected-error @+1 {{using value defined outside the region}}
    %1 = lathe.neg %x : (tensor<4xf32>) -> tensor<4xf32>
    lathe.yield %1 : tensor<4xf32>
  }
  return
}

// -----

func.func @kernel_terminator(%x: tensor<4xf32>) {
  // expected-error @+1 {{expected 'lathe.yield' at the end of the body}}
  "lathe.kernel"() ({
    func.return
  }) {name = "k", schedule = "rows"} : () -> ()
  return
}

// -----

func.func @scan_trip_count(%x: tensor<f32>) {
  // expected-error @+1 {{'lathe.scan' op expected 'trip_count' where there are no inputs}}
  %y = lathe.scan init(%h = %x) : (tensor<f32>) -> tensor<f32> {
    lathe.yield %h : tensor<f32>
  }
  return
}

// -----

func.func @scan_negative(%x: tensor<f32>) {
  // expected-error @+1 {{expected 'trip_count' of 0 or more, got -1}}
  %y = lathe.scan init(%h = %x) {trip_count = -1} : (tensor<f32>) -> tensor<f32> {
    lathe.yield %h : tensor<f32>
  }
  return
}

// -----

func.func @scan_other_trip_count(%x: tensor<5xf32>) {
  // expected-error @+1 {{expected inputs with a leading dim of 'trip_count' 3, got 5}}
  %y = lathe.scan inputs(%h = %x) {trip_count = 3} : (tensor<5xf32>) -> tensor<?xf32> {
    lathe.yield %h : tensor<f32>
  }
  return
}

// -----

func.func @scan_lengths(%x: tensor<5xf32>, %y: tensor<6xf32>) {
  // expected-error @+1 {{expected inputs with equal leading dims, got 5 and 6}}
  %z = lathe.scan inputs(%h = %x, %g = %y) : (tensor<5xf32>, tensor<6xf32>) -> tensor<5xf32> {
    lathe.yield %h : tensor<f32>
  }
  return
}

// -----

func.func @scan_scalar(%x: tensor<f32>) {
  // expected-error @+1 {{expected inputs of rank 1 or more, got 'tensor<f32>'}}
  %z = lathe.scan inputs(%h = %x) : (tensor<f32>) -> tensor<5xf32> {
    lathe.yield %h : tensor<f32>
  }
  return
}

// -----

func.func @scan_results(%x: tensor<f32>, %w: tensor<5xf32>) {
  // expected-error @+1 {{expected at least 1 result types, one per carried value}}
  lathe.scan init(%h = %x) inputs(%a = %w) : (tensor<f32>, tensor<5xf32>) -> () {
    lathe.yield
  }
  return
}

// -----

func.func @scan_carried(%x: tensor<4xf32>, %w: tensor<5x4xf32>) {
  // expected-error @+1 {{expected a carried value of one type, got 'tensor<4xf32>' at the start and 'tensor<6xf32>' at the end}}
  %y = lathe.scan init(%h = %x) inputs(%a = %w) : (tensor<4xf32>, tensor<5x4xf32>) -> tensor<6xf32> {
    lathe.yield %h : tensor<6xf32>
  }
  return
}

// -----

func.func @scan_stacked(%w: tensor<5x4xf32>) {
  // expected-error @+1 {{expected stacked results with leading dim 5, got 6}}
  %y = lathe.scan inputs(%a = %w) : (tensor<5x4xf32>) -> tensor<6x4xf32> {
    lathe.yield %a : tensor<4xf32>
  }
  return
}

// -----

func.func @scan_stacked_scalar(%w: tensor<5x4xf32>) {
  // expected-error @+1 {{expected stacked results of rank 1 or more, got 'tensor<f32>'}}
  %y = lathe.scan inputs(%a = %w) : (tensor<5x4xf32>) -> tensor<f32> {
    lathe.yield %a : tensor<4xf32>
  }
  return
}

// -----

func.func @if_condition(%c: tensor<1xi1>) {
  // expected-error @+1 {{'lathe.if' op expected a condition of type tensor<i1>, got 'tensor<1xi1>'}}
  lathe.if %c : (tensor<1xi1>) -> () {
    lathe.yield
  } else {
    lathe.yield
  }
  return
}

// -----

func.func @if_branches(%c: tensor<i1>, %x: tensor<4xf32>) {
  // expected-error @+1 {{expected the second branch to yield 1 values, got 0}}
  %0 = lathe.if %c : (tensor<i1>) -> tensor<4xf32> {
    lathe.yield %x : tensor<4xf32>
  } else {
    lathe.yield
  }
  return
}

// -----

func.func @while_condition(%x: tensor<4xf32>) {
  // expected-error @+1 {{expected the condition to yield 'tensor<i1>' as value 0, got 'tensor<4xf32>'}}
  %0 = lathe.while (%a = %x) : (tensor<4xf32>) -> tensor<4xf32> {
    lathe.yield %a : tensor<4xf32>
  } do {
  ^bb0(%a: tensor<4xf32>):
    lathe.yield %a : tensor<4xf32>
  }
  return
}

// -----

func.func @while_results(%x: tensor<4xf32>, %c: tensor<i1>) {
  // expected-error @+1 {{'lathe.while' op expected results of the types of the carried values}}
  %0 = lathe.while (%a = %x) : (tensor<4xf32>) -> tensor<5xf32> {
    lathe.yield %c : tensor<i1>
  } do {
  ^bb0(%a: tensor<5xf32>):
    lathe.yield %a : tensor<5xf32>
  }
  return
}

// -----

func.func @while_result_count(%x: tensor<4xf32>, %c: tensor<i1>) {
  // expected-error @+1 {{expected 1 result types, one per carried value}}
  lathe.while (%a = %x) : (tensor<4xf32>) -> () {
    lathe.yield %c : tensor<i1>
  } do {
    lathe.yield
  }
  return
}
