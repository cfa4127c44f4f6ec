"""`quantize` with scales known to the compiler: the bits of a division, a rounding to even and a saturation, on every
instruction set; and behind a maximum, where it is done first."""

import unittest

import numpy as np

import lathe
from test_bytes import isas, run, tensor

SCALES = [1.0, 0.5, 1 / 3, 0.05158432, 0.0123, 7.75, 1e-3, np.nextafter(np.float32(2), np.float32(0)), 2.0**-61, 3e18]
SPECIAL = np.array([0, -0.0, np.inf, -np.inf, np.nan, 3e38, -3e38, 1e-38, -1e-38, 1e-40, 2.0**-80], np.float32)


def quantize(x, scale, zero, dtype):
    """NumPy's division is rounded as IEEE 754 asks, its rint to even."""
    info = np.iinfo(dtype)
    with np.errstate(all="ignore"):
        y = np.rint(x / np.float32(scale)) + np.float32(zero)
    return np.where(np.isnan(y), 0, np.clip(y, info.min, info.max)).astype(dtype)


def halves(scale, zero, dtype):
    """Where the result changes, and what lies next to it on both sides."""
    info = np.iinfo(dtype)
    ties = ((np.arange(info.min - zero - 2, info.max - zero + 3) + 0.5) * np.float64(np.float32(scale))).astype(np.float32)
    near = [ties]
    for away in (np.float32(np.inf), np.float32(-np.inf)):
        step = ties
        for _ in range(2):
            step = np.nextafter(step, away)
            near.append(step)
    return np.concatenate([*near, SPECIAL])


def text(number):
    return f"0x{np.float32(number).view(np.uint32):08X}"


class Constant(unittest.TestCase):
    SECONDS = 15

    def check(self, dtype, name, before=lambda x: x, op=""):
        for isa in isas():
            x, expected, lines, parts = [], [], [], []
            for i, scale in enumerate(SCALES):
                zero = [0, 3, np.iinfo(dtype).max // 2][i % 3]
                x.append(halves(scale, zero, dtype))
                expected.append(quantize(before(x[-1]), scale, zero, dtype))

                lines += [f"  %s{i} = lathe.constant dense<{text(scale)}> : tensor<f32>",
                          f"  %z{i} = lathe.constant dense<{zero}> : tensor<{name}>"]
            x = np.stack(x)
            columns = x.shape[1]
            for i in range(len(SCALES)):
                lines += [f"  %r{i} = lathe.slice %x {{starts = array<i64: {i}>, ends = array<i64: {i + 1}>, axes = array<i64: 0>}} : "
                          f"({tensor(x)}) -> tensor<1x{columns}xf32>"]
                source = f"r{i}"
                if op:
                    source = f"o{i}"
                    lines += [f"  %o{i} = {op} %r{i} : (tensor<1x{columns}xf32>) -> tensor<1x{columns}xf32>"]
                lines += [f"  %q{i} = lathe.quantize %{source}, %s{i}, %z{i} : (tensor<1x{columns}xf32>, tensor<f32>, tensor<{name}>) -> "
                          f"tensor<1x{columns}x{name}>"]
                parts.append((f"%q{i}", f"tensor<1x{columns}x{name}>"))
            result = f"tensor<{len(SCALES)}x{columns}x{name}>"
            lines += [f"  %y = lathe.concat {', '.join(p for p, _ in parts)} {{axis = 0 : i64}} : ({', '.join(t for _, t in parts)}) -> {result}"]
            y = run({"x": x}, "\n".join(lines), result, ["--isa", isa])
            lathe.assert_close(y, np.stack(expected), what=f"{name} on {isa}")

    def test_unsigned(self):
        self.check(np.uint8, "ui8")

    def test_signed(self):
        self.check(np.int8, "i8")

    def test_behind_a_relu(self):
        self.check(np.uint8, "ui8", lambda x: np.where(x < 0, np.float32(0), x), "lathe.relu")


class Maximum(unittest.TestCase):
    SECONDS = 10

    def test_of_windows(self):
        generator = np.random.default_rng(0)
        for channels, isa in [(48, "sse"), (64, "avx2"), (7, "avx2"), (128, None), (16, None)]:
            for dtype, name, zero in [(np.uint8, "ui8", 0), (np.int8, "i8", -5)]:
                x = generator.normal(0, 3, (2, 9, 11, channels)).astype(np.float32)
                padded = np.pad(quantize(x, 0.043, zero, dtype), ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=np.iinfo(dtype).min)
                expected = np.max([padded[:, i:i + 9:2, j:j + 11:2] for i in range(3) for j in range(3)], axis=0)
                pooled = f"tensor<2x5x6x{channels}xf32>"
                body = (f"  %s = lathe.constant dense<{text(0.043)}> : tensor<f32>\n  %z = lathe.constant dense<{zero}> : tensor<{name}>\n"
                        "  %p = lathe.max_pool %x {kernel = array<i64: 3, 3>, strides = array<i64: 2, 2>, pad_low = array<i64: 1, 1>, "
                        f"pad_high = array<i64: 1, 1>, layout = 1 : i32}} : ({tensor(x)}) -> {pooled}\n"
                        f"  %y = lathe.quantize %p, %s, %z : ({pooled}, tensor<f32>, tensor<{name}>) -> tensor<2x5x6x{channels}x{name}>")
                y = run({"x": x}, body, f"tensor<2x5x6x{channels}x{name}>", ["--isa", isa] if isa else [])
                lathe.assert_close(y, expected, what=f"{channels} channels of {name}")


if __name__ == "__main__":
    unittest.main()
