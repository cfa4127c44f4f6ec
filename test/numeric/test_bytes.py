"""Products of bytes, and of f32 by weights of 8 and 4 bits: exact against big
integers on every instruction set, with all pairs of bytes; and what packing makes."""

import itertools
import tempfile
import unittest

import ml_dtypes
import numpy as np

import lathe

SIGNED, UNSIGNED = np.int8, np.uint8
NAMES = {np.int8: "i8", np.uint8: "ui8", np.int32: "i32", np.float32: "f32", ml_dtypes.bfloat16: "bf16"}
ISAS = ["sse", "avx2", "avx2-vnni", "avx512", "avx512-vnni", "avx512-bf16", "amx-emulated", "amx"]


def isas():
    """Those this processor has; --isa refuses the others with a sentence."""
    flags = open("/proc/cpuinfo").read().split("flags", 1)[1].split("\n", 1)[0].split()
    needs = {"sse": "sse2", "avx2": "avx2", "avx2-vnni": "avx_vnni", "avx512": "avx512bw", "avx512-vnni": "avx512_vnni",
             "avx512-bf16": "avx512_bf16", "amx-emulated": "sse2", "amx": "amx_int8"}
    return [isa for isa in ISAS if needs[isa] in flags]


ISAS_OF_TILES = [isa for isa in isas() if isa.startswith("amx")]


def tensor(array):
    return "tensor<" + "".join(f"{size}x" for size in array.shape) + NAMES[array.dtype.type] + ">"


def random(generator, dtype, *shape):
    info = np.iinfo(dtype)
    return generator.integers(info.min, info.max + 1, shape).astype(dtype)


def run(arguments, body, result, options=(), threads=1):
    """The one result of a function of `arguments` (arrays by name)."""
    with tempfile.NamedTemporaryFile("w", suffix=".mlir") as file:
        header = ", ".join(f'%{name}: {tensor(array)} {{lathe.name = "{name}"}}' for name, array in arguments.items())
        file.write(f'func.func @main({header}) -> ({result} {{lathe.name = "y"}}) {{\n{body}\n  return %y : {result}\n}}\n')
        file.flush()
        return lathe.run(file.name, arguments, threads=threads, options=options)[0]["y"]


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

    def test_short_rows(self):
        """One vector along k: LLVM makes one instruction of the whole sum."""
        generator = np.random.default_rng(7)
        for (left, right), k in itertools.product(SIGNS, (4, 8, 16, 17, 32, 64)):
            a, b = random(generator, left, 31, k), random(generator, right, 3, k)
            body = f"  %y = lathe.linear %a, %b : ({tensor(a)}, {tensor(b)}) -> tensor<31x3xi32>"
            np.testing.assert_array_equal(run({"a": a, "b": b}, body, "tensor<31x3xi32>"), product(a, b.T))

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


def packed_matmul(a, b, options, epilogue=None):
    packed = pack(b, interleave=4)
    result = f"tensor<{a.shape[0]}x{b.shape[1]}xi32>"
    return run({"a": a, "w": packed}, f"  %y = lathe.packed_matmul %a, %w {{n = {b.shape[1]} : i64}} : "
               f"({tensor(a)}, {tensor(packed)}) -> {result}", result, options)


class Packed(unittest.TestCase):
    """packed_matmul with bytes on every instruction set."""

    SECONDS = 30

    def test_all_pairs(self):
        """All 65,536 pairs: an outer product, alone and beside three others."""
        for isa in isas():
            for left, right in SIGNS:
                a = np.arange(256).astype(np.uint8).view(left)
                b = np.arange(256).astype(np.uint8).view(right)
                for k in (1, 4):
                    rows, columns = np.tile(a[:, None], (1, k)), np.tile(b[None], (k, 1))
                    y = packed_matmul(rows, columns, ["--isa", isa])
                    np.testing.assert_array_equal(y, product(rows, columns), f"{isa} {left} {right} {k}")

    def test_extremes(self):
        """Where instructions that saturate, or add in 16 bits, go wrong."""
        for isa in isas():
            for left, right in SIGNS:
                for x, w in itertools.product([np.iinfo(left).min, np.iinfo(left).max], [np.iinfo(right).min, np.iinfo(right).max]):
                    a, b = np.full((5, 300), x, left), np.full((300, 40), w, right)
                    np.testing.assert_array_equal(packed_matmul(a, b, ["--isa", isa]), product(a, b), f"{isa} {x} {w}")

    def test_shapes(self):
        generator = np.random.default_rng(3)
        sizes = [(1, 1, 1), (1, 31, 3), (2, 33, 5), (3, 64, 130), (4, 200, 64), (5, 16, 63), (13, 97, 66), (31, 40, 257), (70, 32, 20),
                 (40, 64, 128), (16, 33, 64), (33, 100, 192), (5, 31, 64), (65, 40, 128), (95, 32, 64)]
        for isa in isas():
            for number, (m, n, k) in enumerate(sizes):
                left, right = SIGNS[number % 4]
                a, b = random(generator, left, m, k), random(generator, right, k, n)
                np.testing.assert_array_equal(packed_matmul(a, b, ["--isa", isa]), product(a, b), f"{isa} {m}x{n}x{k}")


class Epilogue(unittest.TestCase):
    """What follows a product of bytes, in registers and in a loop over the tile."""

    SECONDS = 15

    def test_requantized(self):
        generator = np.random.default_rng(5)
        for m, n, k in [(1, 40, 64), (7, 33, 20), (40, 96, 64)]:
            a, b = random(generator, UNSIGNED, m, k), random(generator, SIGNED, k, n)
            scale = generator.uniform(1e-4, 1e-2, n).astype(np.float32)
            old = random(generator, SIGNED, m, n)
            packed = pack(b, interleave=4)
            shape = f"{m}x{n}"
            body = (f"  %0 = lathe.packed_matmul %a, %w {{n = {n} : i64}} : ({tensor(a)}, {tensor(packed)}) -> tensor<{shape}xi32>\n"
                    f"  %1 = lathe.cast %0 to f32 : (tensor<{shape}xi32>) -> tensor<{shape}xf32>\n"
                    f"  %2 = lathe.mul %1, %s : (tensor<{shape}xf32>, {tensor(scale)}) -> tensor<{shape}xf32>\n"
                    f"  %3 = lathe.cast %o to f32 : ({tensor(old)}) -> tensor<{shape}xf32>\n"
                    f"  %4 = lathe.add %2, %3 : (tensor<{shape}xf32>, tensor<{shape}xf32>) -> tensor<{shape}xf32>\n"
                    f"  %5 = lathe.round %4 : (tensor<{shape}xf32>) -> tensor<{shape}xf32>\n"
                    f"  %y = lathe.cast %5 to i8 : (tensor<{shape}xf32>) -> tensor<{shape}xi8>")
            exact = product(a, b).astype(np.float64) * scale + old
            for isa in isas():
                y = run({"a": a, "w": packed, "s": scale, "o": old}, body, f"tensor<{shape}xi8>", ["--isa", isa])
                # Half a unit, and what f32 rounds on the way.
                self.assertLess(np.max(np.abs(y - np.clip(exact, -128, 127))), 0.5001, f"{isa} {m}x{n}x{k}")


class Convolution(unittest.TestCase):
    """packed_conv with bytes on every instruction set."""

    SECONDS = 15

    def test_shapes(self):
        generator = np.random.default_rng(6)
        # size, channels, window, out, stride
        cases = [(6, 4, 3, 5, 1), (9, 8, 3, 40, 2), (5, 20, 1, 33, 2), (20, 12, 2, 32, 1)]
        for isa in isas():
            for number, (size, channels, window, out, stride) in enumerate(cases):
                left, right = SIGNS[(number + len(isa)) % 4]
                x, f = random(generator, left, 2, size, size, channels), random(generator, right, window * window * channels, out)
                packed = pack(f, interleave=4)
                places = (size - window) // stride + 1
                result = f"tensor<2x{places}x{places}x{out}xi32>"
                y = run({"x": x, "w": packed},
                        f"  %y = lathe.packed_conv %x, %w {{kernel = array<i64: {window}, {window}>, strides = array<i64: {stride}, {stride}>, "
                        f"out_channels = {out} : i64}} : ({tensor(x)}, {tensor(packed)}) -> {result}", result, ["--isa", isa])
                windows = np.lib.stride_tricks.sliding_window_view(x.astype(np.int64), (window, window), (1, 2))[:, ::stride, ::stride]
                flat = windows.transpose(0, 1, 2, 4, 5, 3).reshape(2, places, places, -1)
                np.testing.assert_array_equal(y, flat @ f.astype(np.int64), f"{isa} {cases[number]}")


class Tiles(unittest.TestCase):
    """packed_conv, and packed_matmul of a depth that is cut, with bytes in AMX's tiles: exact, whoever computes which of them."""

    SECONDS = 5

    # lines and columns of the image, channels, lines and columns of the window, out, strides, dilations
    CASES = [
        ((6, 20), 64, (1, 1), 40, (1, 1), (1, 1)),  # one run of pixels
        ((4, 68), 64, (1, 1), 33, (2, 2), (1, 1)),  # lines of 34: 17 and 17
        ((5, 35), 64, (3, 3), 32, (1, 1), (1, 1)),  # of 33: 17 and 16
        ((4, 69), 64, (3, 3), 32, (1, 1), (1, 1)),  # of 67: 23, 22 and 22
        ((9, 16), 64, (3, 3), 70, (1, 1), (1, 1)),  # two lines of 14, and one that is left over
        ((9, 15), 128, (3, 3), 32, (2, 2), (1, 1)),  # of 7
        ((10, 18), 64, (3, 3), 32, (1, 1), (1, 1)),  # of 16
        ((3, 9), 64, (3, 3), 32, (1, 1), (1, 1)),  # a single line
        ((9, 20), 64, (3, 3), 32, (1, 1), (2, 2)),  # places of the window that are no run
        ((7, 42), 128, (2, 3), 32, (2, 1), (3, 2)),
        ((7, 12), 16, (2, 4), 32, (1, 1), (1, 1)),  # a run of 64 bytes over four columns
        ((6, 10), 48, (3, 3), 32, (1, 1), (1, 1)),  # runs of 144 bytes: vectors
        ((6, 6), 64, (3, 3), 32, (1, 1), (1, 1)),  # lines of 4: vectors
    ]

    def test_shapes(self):
        generator = np.random.default_rng(8)
        for number, (image, channels, window, out, strides, dilations) in enumerate(self.CASES):
            left, right = SIGNS[number % 4]
            x, f = random(generator, left, 2, *image, channels), random(generator, right, window[0] * window[1] * channels, out)
            packed = pack(f, interleave=4)
            places = [(size - (places - 1) * dilation - 1) // stride + 1
                      for size, places, stride, dilation in zip(image, window, strides, dilations)]
            result = f"tensor<2x{places[0]}x{places[1]}x{out}xi32>"
            body = (f"  %y = lathe.packed_conv %x, %w {{kernel = array<i64: {window[0]}, {window[1]}>, "
                    f"strides = array<i64: {strides[0]}, {strides[1]}>, dilations = array<i64: {dilations[0]}, {dilations[1]}>, "
                    f"out_channels = {out} : i64}} : ({tensor(x)}, {tensor(packed)}) -> {result}")
            expected = np.zeros((2, *places, out), np.int64)
            for i, j in itertools.product(*map(range, window)):
                part = x[:, i * dilations[0]:, j * dilations[1]:][:, ::strides[0], ::strides[1]][:, :places[0], :places[1]]
                first = (i * window[1] + j) * channels
                expected += part.astype(np.int64) @ f[first:first + channels].astype(np.int64)
            for threads in (1, 3):
                for isa in ISAS_OF_TILES:
                    y = run({"x": x, "w": packed}, body, result, ["--isa", isa], threads)
                    np.testing.assert_array_equal(y, expected, f"{isa} {threads} {self.CASES[number]}")

    def test_deep(self):
        """Not cut, in two parts of unlike size, in five; a row of tiles, several, tiles a row shorter; more sums than wait at once."""
        generator = np.random.default_rng(9)
        for number, (m, n, k) in enumerate([(33, 40, 768), (33, 40, 832), (20, 200, 3072), (70, 70, 3072), (97, 1100, 1344)]):
            left, right = SIGNS[number % 4]
            a, b = random(generator, left, m, k), random(generator, right, k, n)
            packed, result = pack(b, interleave=4), f"tensor<{m}x{n}xi32>"
            body = f"  %y = lathe.packed_matmul %a, %w {{n = {n} : i64}} : ({tensor(a)}, {tensor(packed)}) -> {result}"
            for threads in (1, 3):
                for isa in ISAS_OF_TILES:
                    y = run({"a": a, "w": packed}, body, result, ["--isa", isa], threads)
                    np.testing.assert_array_equal(y, product(a, b), f"{isa} {threads} {m}x{n}x{k}")


class WeightOnly(unittest.TestCase):
    """f32 by weights of 8 and 4 bits with scales."""

    SECONDS = 20

    def test_shapes(self):
        generator = np.random.default_rng(4)
        sizes = [(1, 33, 5, 0), (2, 64, 64, 32), (4, 100, 130, 32), (5, 40, 63, 0), (17, 96, 100, 10), (3, 7, 1, 0), (1, 300, 96, 48)]
        for isa in isas():
            for (m, n, k, group), (bits, scales) in itertools.product(sizes, ((8, np.float32), (4, np.float32), (4, ml_dtypes.bfloat16))):
                q = random(generator, SIGNED, k, n)
                if bits == 4:
                    q = (q.astype(np.int32) % 16 - 8).astype(np.int8)
                step = group or k
                scale = generator.uniform(0.01, 0.02, (-(-k // step), n)).astype(np.float32)
                x = generator.standard_normal((m, k)).astype(np.float32)
                packed = pack_halves(q) if bits == 4 else pack(q)
                result = f"tensor<{m}x{n}xf32>"
                scale = scale.astype(scales)
                factors = pack(scale)
                y = run({"x": x, "w": packed, "s": factors},
                        f"  %y = lathe.packed_matmul %x, %w, %s {{n = {n} : i64, group = {group} : i64}} : "
                        f"({tensor(x)}, {tensor(packed)}, {tensor(factors)}) -> {result}", result, ["--isa", isa])
                weights = q.astype(np.float64) * np.repeat(scale.astype(np.float64), step, axis=0)[:k]
                expected = x.astype(np.float64) @ weights
                # Of the sum of what is added, some roundings of each.
                bound = np.abs(x) @ np.abs(weights)
                self.assertLess(np.max(np.abs(y - expected) / (bound + 1e-9)), 1e-6, f"{isa} {m}x{n}x{k} {group} {bits} {scales}")


if __name__ == "__main__":
    unittest.main()
