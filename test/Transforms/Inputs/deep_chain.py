"""Writes a train step whose forward part is a chain of elementwise ops, each a
user of the one before it, as many as asked for."""

import sys

ROW = "tensor<4xf32>"
print(f"func.func @deep(%x: {ROW}, %g: {ROW}) -> (tensor<f32>, {ROW}) {{")
last = "%x"
for i in range(int(sys.argv[1])):
    print(f"  %t{i} = lathe.sin {last} : ({ROW}) -> {ROW}")
    last = f"%t{i}"
print(f"""  %loss = lathe.reduce_sum {last} {{axes = array<i64: 0>}} : ({ROW}) -> tensor<f32>
  %d = lathe.mul {last}, %g : ({ROW}, {ROW}) -> {ROW}
  return %loss, %d : tensor<f32>, {ROW}
}}""")
