"""Products of bf16 whose right-hand side is packed in pairs, on every instruction
set: up to 4 rows, up to 31, more, rows that lie in the same places of a cache, and
AMX's tiles; and convolutions of them."""

import tempfile
import unittest

import numpy as np

import lathe
from test_bytes import isas, pack

ISAS = [isa for isa in isas() if "vnni" not in isa]  # which is of bytes alone

SIZES = [(1, 32, 2), (1, 33, 7), (2, 64, 64), (3, 200, 33), (4, 31, 130), (5, 64, 64), (13, 97, 66), (16, 33, 64), (31, 40, 257), (33, 100, 192),
         (40, 64, 128), (70, 32, 20), (130, 40, 33), (20, 70, 2048)]


def rounded(array):
    """f32 that bf16 holds."""
    return (array.astype(np.float32).view(np.uint32) & 0xffff0000).view(np.float32)


def tensor(shape, element):
    return "tensor<" + "".join(f"{size}x" for size in shape) + element + ">"


def run(body, arguments, result, options):
    with tempfile.NamedTemporaryFile("w", suffix=".mlir") as file:
        header = ", ".join(f'%{name}: {tensor(array.shape, "f32")} {{lathe.name = "{name}"}}' for name, array in arguments.items())
        file.write(f'func.func @main({header}) -> ({result} {{lathe.name = "y"}}) {{\n{body}\n  return %y : {result}\n}}\n')
        file.flush()
        return lathe.run(file.name, arguments, options=options)[0]["y"]


def cast(name, of, shape, to="bf16", back="f32"):
    return f"  {name} = lathe.cast {of} to {to} : ({tensor(shape, back)}) -> {tensor(shape, to)}\n"


class Pairs(unittest.TestCase):
    SECONDS = 20

    def test_pack(self):
        """[k, n] and [n, k], whole panels and parts of them."""
        generator = np.random.default_rng(0)
        for isa in ISAS:
            for k, n in [(1, 1), (2, 32), (34, 64), (64, 96), (7, 33), (66, 70)]:
                w = rounded(generator.standard_normal((k, n)))
                expected = pack(w, interleave=2)
                for transposed in (False, True):
                    given = np.ascontiguousarray(w.T) if transposed else w
                    body = (cast("%0", "%w", given.shape) +
                            f"  %1 = lathe.pack %0 {{interleave = 2 : i64{', transposed' if transposed else ''}}} : "
                            f"({tensor(given.shape, 'bf16')}) -> {tensor(expected.shape, 'bf16')}\n" +
                            cast("%y", "%1", expected.shape, "f32", "bf16"))
                    y = run(body, {"w": given}, tensor(expected.shape, "f32"), ["--isa", isa])
                    np.testing.assert_array_equal(y, expected, f"{isa} {k}x{n} {transposed}")

    def test_products(self):
        generator = np.random.default_rng(1)
        for isa in ISAS:
            for m, n, k in SIZES:
                a, w = (rounded(generator.standard_normal(shape)) for shape in ((m, k), (k, n)))
                packed = (-(-n // 32), -(-k // 2), 32, 2)
                body = (cast("%0", "%a", a.shape) + cast("%1", "%w", w.shape) +
                        f"  %2 = lathe.pack %1 {{interleave = 2 : i64}} : ({tensor(w.shape, 'bf16')}) -> {tensor(packed, 'bf16')}\n"
                        f"  %3 = lathe.packed_matmul %0, %2 {{n = {n} : i64}} : ({tensor(a.shape, 'bf16')}, {tensor(packed, 'bf16')}) -> "
                        f"{tensor((m, n), 'bf16')}\n" + cast("%y", "%3", (m, n), "f32", "bf16"))
                y = run(body, {"a": a, "w": w}, tensor((m, n), "f32"), ["--isa", isa])
                exact = a.astype(np.float64) @ w
                bound = 2.0 ** -8 * np.abs(exact) + 1e-6 * (np.abs(a).astype(np.float64) @ np.abs(w))
                self.assertLess(np.max(np.abs(y - exact) / bound), 1, f"{isa} {m}x{n}x{k}")

    @unittest.skipUnless("avx512-bf16" in ISAS, "this processor has no AVX512_BF16")
    def test_the_cache_keeps_instruction_sets_apart(self):
        """On a processor that has it, code without vdpbf16ps is not code with it: sums are rounded in another order."""
        generator = np.random.default_rng(3)
        a, w = (rounded(generator.standard_normal(shape)) for shape in ((64, 2000), (2000, 64)))
        packed = (2, 1000, 32, 2)
        body = (cast("%0", "%a", a.shape) + cast("%1", "%w", w.shape) +
                f"  %2 = lathe.pack %1 {{interleave = 2 : i64}} : ({tensor(w.shape, 'bf16')}) -> {tensor(packed, 'bf16')}\n"
                f"  %3 = lathe.packed_matmul %0, %2 {{n = 64 : i64}} : ({tensor(a.shape, 'bf16')}, {tensor(packed, 'bf16')}) -> "
                f"{tensor((64, 64), 'bf16')}\n" + cast("%y", "%3", (64, 64), "f32", "bf16"))
        results = []
        for isa in ("avx512-vnni", "avx512-bf16"):
            cached, fresh = (run(body, {"a": a, "w": w}, tensor((64, 64), "f32"), ["--isa", isa, *options]) for options in ([], ["--no-cache"]))
            np.testing.assert_array_equal(cached, fresh, isa)
            results.append(fresh)
        self.assertFalse(np.array_equal(*results))

    def test_convolutions(self):
        """Windows of one place and of several, strides, images that are wider than a tile and narrower; 4 KiB from pixel to
        pixel; what AMX's tiles take: one run, lines of 33, 14, 9 (two and one), 5, over which strides of 2."""
        generator = np.random.default_rng(2)
        # size, channels, window, out, stride
        cases = [(6, 4, 3, 5, 1), (9, 8, 3, 40, 2), (5, 20, 1, 33, 2), (20, 12, 2, 32, 1), (14, 2048, 1, 64, 1), (28, 2, 5, 64, 1),
                 (7, 32, 1, 33, 1), (35, 32, 3, 32, 1), (16, 64, 3, 40, 1), (11, 32, 3, 64, 1), (19, 96, 3, 32, 2), (10, 64, 1, 32, 2)]
        for isa in ISAS:
            for size, channels, window, out, stride in cases:
                x = rounded(generator.standard_normal((2, size, size, channels)))
                f = rounded(generator.standard_normal((window * window * channels, out)))
                packed = (-(-out // 32), -(-f.shape[0] // 2), 32, 2)
                places = (size - window) // stride + 1
                result = (2, places, places, out)
                body = (cast("%0", "%x", x.shape) + cast("%1", "%f", f.shape) +
                        f"  %2 = lathe.pack %1 {{interleave = 2 : i64}} : ({tensor(f.shape, 'bf16')}) -> {tensor(packed, 'bf16')}\n"
                        f"  %3 = lathe.packed_conv %0, %2 {{kernel = array<i64: {window}, {window}>, strides = array<i64: {stride}, {stride}>, "
                        f"out_channels = {out} : i64}} : ({tensor(x.shape, 'bf16')}, {tensor(packed, 'bf16')}) -> {tensor(result, 'bf16')}\n" +
                        cast("%y", "%3", result, "f32", "bf16"))
                y = run(body, {"x": x, "f": f}, tensor(result, "f32"), ["--isa", isa])
                windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), (window, window), (1, 2))[:, ::stride, ::stride]
                flat = windows.transpose(0, 1, 2, 4, 5, 3).reshape(*result[:3], -1)
                exact = flat @ f
                bound = 2.0 ** -8 * np.abs(exact) + 1e-6 * (np.abs(flat) @ np.abs(f))
                self.assertLess(np.max(np.abs(y - exact) / bound), 1, f"{isa} {size} {channels} {window} {out} {stride}")


if __name__ == "__main__":
    unittest.main()
