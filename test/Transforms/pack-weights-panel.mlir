// RUN: lathe-opt %s --lathe-pack-weights=panel=0 --verify-diagnostics -o /dev/null
// RUN: lathe-opt %s --lathe-pack-weights=panel=99999999999 --verify-diagnostics -o /dev/null

// expected-error @below {{expected 'panel' of 1 to 4096 columns, got}}
func.func @main(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  return %x : tensor<4x8xf32>
}
