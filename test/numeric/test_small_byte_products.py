"""Products of bytes that no packed kernel takes, of many lengths, exactly: of 16
elements LLVM 19 gets them wrong where it chooses VNNI by itself."""

import unittest

import numpy as np

import cli

MODEL = """
func.func @main(%x: tensor<{m}x{k}x{a}> {{lathe.name = "x"}}, %w: tensor<{n}x{k}x{b}> {{lathe.name = "w"}}) -> (tensor<{m}x{n}xi32> {{lathe.name = "y"}}) {{
  %0 = lathe.linear %x, %w : (tensor<{m}x{k}x{a}>, tensor<{n}x{k}x{b}>) -> tensor<{m}x{n}xi32>
  return %0 : tensor<{m}x{n}xi32>
}}
"""
LIMITS = {"ui8": (0, 256, np.uint8), "i8": (-128, 128, np.int8)}


class SmallByteProducts(cli.CommandLine):
    SECONDS = 4

    def test_exact(self):
        random = np.random.Generator(np.random.Philox(5))
        for a, b in (("ui8", "i8"), ("i8", "ui8"), ("i8", "i8"), ("ui8", "ui8")):
            for m, k, n in ((4, 16, 32), (16, 16, 8), (3, 48, 5), (2, 64, 7), (1, 19, 16)):
                with self.subTest(a=a, b=b, m=m, k=k, n=n):
                    self.write("m.mlir", MODEL.format(m=m, k=k, n=n, a=a, b=b))
                    x, w = (random.integers(low, high, shape).astype(kind) for shape, (low, high, kind) in
                            (((m, k), LIMITS[a]), ((n, k), LIMITS[b])))
                    np.save(self.folder / "x.npy", x)
                    np.save(self.folder / "w.npy", w)
                    self.works("run", "m.mlir", "--input", "x=x.npy", "--input", "w=w.npy", "--output-dir", "out", "--quiet")
                    np.testing.assert_array_equal(np.load(self.folder / "out" / "y.npy"), x.astype(np.int32) @ w.astype(np.int32).T)


if __name__ == "__main__":
    unittest.main()
