"""Products of bytes, exact against big integers, and what packing makes of them."""

import itertools
import tempfile
import unittest

import numpy as np

import lathe

SIGNED, UNSIGNED = np.int8, np.uint8
NAMES = {np.int8: "i8", np.uint8: "ui8", np.int32: "i32", np.float32: "f32"}


def tensor(array):
    return "tensor<" + "".join(f"{size}x" for size in array.shape) + NAMES[array.dtype.type] + ">"


def random(generator, dtype, *shape):
    info = np.iinfo(dtype)
    return generator.integers(info.min, info.max + 1, shape).astype(dtype)


def run(arguments, body, result, options=()):
    """The one result of a function of `arguments` (arrays by name)."""
    with tempfile.NamedTemporaryFile("w", suffix=".mlir") as file:
        header = ", ".join(f'%{name}: {tensor(array)} {{lathe.name = "{name}"}}' for name, array in arguments.items())
        file.write(f'func.func @main({header}) -> ({result} {{lathe.name = "y"}}) {{\n{body}\n  return %y : {result}\n}}\n')
        file.flush()
        return lathe.run(file.name, arguments, options=options)[0]["y"]


def product(a, b):
    return (a.astype(np.int64) @ b.astype(np.int64)).astype(np.int32)


def pack(matrix, panel=32, interleave=1):
    """[k, n] as lathe.pack defines it."""
    k, n = matrix.shape
    padded = np.zeros((-(-k // interleave) * interleave, -(-n // panel) * panel), matrix.dtype)
    padded[:k, :n] = matrix
    packed = padded.reshape(-1, interleave, padded.shape[1] // panel, panel).transpose(2, 0, 3, 1)
    return np.ascontiguousarray(packed[..., 0] if interleave == 1 else packed)


def pack_halves(matrix, panel=32):
    pairs = pack(matrix, panel, 2).astype(np.int32) + 8
    return (pairs[..., 0] | pairs[..., 1] << 4).astype(np.uint8)


SIGNS = list(itertools.product([SIGNED, UNSIGNED], repeat=2))


class Plain(unittest.TestCase):
    """matmul, linear and conv with bytes, and lathe.pack."""

    SECONDS = 10

    def test_matmul_and_linear(self):
        generator = np.random.default_rng(0)
        for left, right in SIGNS:
            a, b = random(generator, left, 2, 3, 37), random(generator, right, 37, 5)
            bias = random(generator, np.int32, 5)
            body = (f"  %0 = lathe.matmul %a, %b : ({tensor(a)}, {tensor(b)}) -> tensor<2x3x5xi32>\n"
                    f"  %t = lathe.transpose %b {{permutation = array<i64: 1, 0>}} : ({tensor(b)}) -> {tensor(b.T)}\n"
                    f"  %1 = lathe.linear %a, %t, %c : ({tensor(a)}, {tensor(b.T)}, tensor<5xi32>) -> tensor<2x3x5xi32>\n"
                    "  %y = lathe.concat %0, %1 {axis = 0 : i64} : (tensor<2x3x5xi32>, tensor<2x3x5xi32>) -> tensor<4x3x5xi32>")
            y = run({"a": a, "b": b, "c": bias}, body, "tensor<4x3x5xi32>")
            expected = product(a, b)
            with np.errstate(over="ignore"):
                np.testing.assert_array_equal(y, np.concatenate([expected, expected + bias]))

    def test_conv(self):
        generator = np.random.default_rng(1)
        for left, right in SIGNS:
            x, f = random(generator, left, 1, 3, 6, 6), random(generator, right, 4, 3, 3, 3)
            y = run({"x": x, "f": f}, f"  %y = lathe.conv %x, %f {{pad_low = array<i64: 1, 1>, pad_high = array<i64: 1, 1>}} : "
                    f"({tensor(x)}, {tensor(f)}) -> tensor<1x4x6x6xi32>", "tensor<1x4x6x6xi32>")
            padded = np.pad(x.astype(np.int64), ((0, 0), (0, 0), (1, 1), (1, 1)))
            windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
            np.testing.assert_array_equal(y, np.einsum("nchwij,ocij->nohw", windows, f.astype(np.int64)))

    def test_pack(self):
        generator = np.random.default_rng(2)
        for k, n in [(1, 1), (4, 32), (7, 33), (66, 70)]:
            w = random(generator, SIGNED, k, n)
            packed = pack(w, interleave=4)
            y = run({"w": w}, f"  %y = lathe.pack %w {{interleave = 4 : i64}} : ({tensor(w)}) -> {tensor(packed)}", tensor(packed))
            np.testing.assert_array_equal(y, packed)
            w = (w.astype(np.int32) % 16 - 8).astype(np.int8)
            packed = pack_halves(w)
            turned = np.ascontiguousarray(w.T)
            y = run({"w": turned}, f"  %y = lathe.pack %w {{bits = 4 : i64, transposed}} : ({tensor(turned)}) -> {tensor(packed)}", tensor(packed))
            np.testing.assert_array_equal(y, packed)


if __name__ == "__main__":
    unittest.main()
