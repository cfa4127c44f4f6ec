// RUN: %lathe compile %s --emit cuda | FileCheck %s

// The window is found in the image when it is read; padding is read as zero.
// Output channels are rows, pixels are columns.
// CHECK: // conv_relu_{{[0-9a-f]+}}
// CHECK: using Shape = ProductShape<2, 16, 196, 27>;
// CHECK: struct A {
// CHECK: static constexpr bool alongK = true;
// CHECK: return base + m * 27 + k;
// CHECK: struct B {
// CHECK: static constexpr bool alongK = false;
// CHECK: const int y = {{.*}} - 1;
// CHECK: const int x = {{.*}} - 1;
// CHECK: if ((u32)y >= 28 || (u32)x >= 28)
// CHECK-NEXT: return nullptr;
// CHECK: return base + batch * 2352 + (k / 9) * 784 + y * 28 + x;
// CHECK: struct Epilogue {
// CHECK: static constexpr int lanes = 4;
// CHECK: const float x = in2[m];
// CHECK: storePack(out0 + batch * 3136 + m * 196 + n, y0);

// A window of one element needs no search.
// CHECK: using Shape = ProductShape<2, 32, 196, 16>;
// CHECK: struct B {
// CHECK: static constexpr int vector = 4;
// CHECK: return base + batch * 3136 + n + k * 196;

// Depthwise: no product.
// CHECK: // conv_{{[0-9a-f]+}}
// CHECK: a thread per column
func.func @main(%x: tensor<2x3x28x28xf32> {lathe.name = "x"}, %w: tensor<16x3x3x3xf32> {lathe.name = "w"},
                %b: tensor<16xf32> {lathe.name = "b"}, %w1: tensor<32x16x1x1xf32> {lathe.name = "w1"},
                %w2: tensor<32x1x3x3xf32> {lathe.name = "w2"})
    -> (tensor<2x32x12x12xf32> {lathe.name = "y"}) {
  %0 = lathe.conv %x, %w, %b {strides = array<i64: 2, 2>, pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>} : (tensor<2x3x28x28xf32>, tensor<16x3x3x3xf32>, tensor<16xf32>) -> tensor<2x16x14x14xf32>
  %1 = lathe.relu %0 : (tensor<2x16x14x14xf32>) -> tensor<2x16x14x14xf32>
  %2 = lathe.conv %1, %w1 : (tensor<2x16x14x14xf32>, tensor<32x16x1x1xf32>) -> tensor<2x32x14x14xf32>
  %3 = lathe.conv %2, %w2 {groups = 32 : i64} : (tensor<2x32x14x14xf32>, tensor<32x1x3x3xf32>) -> tensor<2x32x12x12xf32>
  return %3 : tensor<2x32x12x12xf32>
}
