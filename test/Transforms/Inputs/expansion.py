"""Prints a product whose sum has a column times a row added, with a chain of N elementwise ops between."""
import sys

count = int(sys.argv[1])
square = "tensor<16x16xf32>"
print(f"func.func @main(%x: tensor<16x1xf32>, %y: tensor<1x16xf32>, %w: {square}) -> {square} {{")
print(f"  %v0 = lathe.mul %x, %y : (tensor<16x1xf32>, tensor<1x16xf32>) -> {square}")
for i in range(count):
    print(f"  %v{i + 1} = lathe.{('sin', 'abs')[i % 2]} %v{i} : ({square}) -> {square}")
print(f"  %r = lathe.matmul %w, %w : ({square}, {square}) -> {square}")
print(f"  %s = lathe.add %r, %v{count} : ({square}, {square}) -> {square}")
print(f"  return %s : {square}\n}}")
