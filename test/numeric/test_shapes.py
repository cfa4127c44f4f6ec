"""Folding of the shape and indexing families against NumPy on random cases, and
the forms of a transposed convolution against its definition.

lathe-opt prints the decomposition, and NumPy evaluates what it prints."""

import os
import pathlib
import random
import re
import subprocess
import unittest

import numpy as np

from test_folding import Constant, evaluate, tensor

BUILD = pathlib.Path(os.environ.get("LATHE_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
LAST, FIRST = 2**63 - 1, -(2**63)


def array(values):
    values = [int(value) for value in values]
    return "array<i64" + (": " if values else "") + ", ".join(map(str, values)) + ">"


class Folding(unittest.TestCase):
    def setUp(self):
        self.random = random.Random(17)

    def shape(self, least=0, most=4):
        return [self.random.randint(0 if self.random.random() < 0.05 else 1, 4)
                for _ in range(self.random.randint(least, most))]

    def values(self, shape):
        count = int(np.prod(shape))
        return np.array([self.random.randint(-99, 99) for _ in range(count)], np.int64).reshape(shape)

    def check(self, make, count=60):
        """`make` gives op text, inputs and the expected array."""
        cases, expected = [], []
        for _ in range(count):
            op, inputs, result = make()
            dtypes = ["i64"] if self.random.random() < 0.7 else ["f32"]
            constants = [Constant(x, dtypes[0] if i == 0 or "gather" not in op else "i64") for i, x in enumerate(inputs)]
            cases.append((op, constants, dtypes[0], result.shape))
            expected.append(result)
        for case, found, right in zip(cases, evaluate(cases), expected):
            with self.subTest(op=case[0]):
                np.testing.assert_array_equal(found, right)

    def test_reshape(self):
        def make():
            x = self.values(self.shape())
            rest, shape = x.size, []
            while rest > 1 and self.random.random() < 0.7:
                shape.append(self.random.choice([n for n in range(1, rest + 1) if rest % n == 0]))
                rest //= shape[-1]
            shape.append(-1 if x.size and self.random.random() < 0.5 else rest)
            self.random.shuffle(shape)
            return f"reshape {{0}} {{{{allow_zero, shape = {array(shape)}}}}}", [x], x.reshape(shape)
        self.check(make)

    def test_squeeze_unsqueeze(self):
        def make():
            x = self.values(self.shape())
            ones = [i for i, size in enumerate(x.shape) if size == 1]
            if self.random.random() < 0.5:
                return f"squeeze {{0}} {{{{axes = {array(ones)}}}}}", [x], np.squeeze(x)
            axes = self.random.sample(range(x.ndim + 2), 2)
            return f"unsqueeze {{0}} {{{{axes = {array(axes)}}}}}", [x], np.expand_dims(x, tuple(axes))
        self.check(make)

    def test_transpose(self):
        def make():
            x = self.values(self.shape())
            permutation = self.random.sample(range(x.ndim), x.ndim)
            return f"transpose {{0}} {{{{permutation = {array(permutation)}}}}}", [x], x.transpose(permutation)
        self.check(make)

    def test_broadcast(self):
        def make():
            shape = [self.random.choice([1, size]) for size in self.shape()]
            to = self.shape(0, 2) + [self.random.randint(0, 4) if size == 1 else size for size in shape]
            x = self.values(shape)
            return f"broadcast {{0}} {{{{shape = {array(to)}}}}}", [x], np.broadcast_to(x, to)
        self.check(make)

    def test_slice(self):
        def make():
            x = self.values(self.shape(1))
            axes = self.random.sample(range(x.ndim), self.random.randint(1, x.ndim))
            place = lambda: self.random.choice([LAST, FIRST, *[self.random.randint(-6, 6)] * 3])
            parts = {axis: (place(), place(), self.random.choice([1, 1, 2, 3, -1, -2, LAST, FIRST])) for axis in axes}
            where = tuple(slice(*parts.get(axis, (None, None, None))) for axis in range(x.ndim))
            starts, ends, steps = zip(*parts.values())
            return (f"slice {{0}} {{{{axes = {array(axes)}, starts = {array(starts)}, ends = {array(ends)}, "
                    f"steps = {array(steps)}}}}}", [x], x[where])
        self.check(make, 200)

    def test_concat(self):
        def make():
            shape = self.shape(1)
            axis = self.random.randrange(len(shape))
            parts = []
            for _ in range(self.random.randint(1, 3)):
                part = list(shape)
                part[axis] = self.random.randint(0, 3)
                parts.append(self.values(part))
            names = ", ".join(f"{{{i}}}" for i in range(len(parts)))
            return f"concat {names} {{{{axis = {axis - len(shape)} : i64}}}}", parts, np.concatenate(parts, axis)
        self.check(make)

    def test_tile(self):
        def make():
            x = self.values(self.shape())
            repeats = [self.random.randint(0, 3) for _ in x.shape]
            return f"tile {{0}} {{{{repeats = {array(repeats)}}}}}", [x], np.tile(x, repeats) if repeats else x
        self.check(make)

    def test_gather(self):
        def make():
            x = self.values([max(size, 1) for size in self.shape(1)])
            axis = self.random.randrange(x.ndim)
            at = self.values(self.shape(0, 2)) % (2 * x.shape[axis]) - x.shape[axis]
            return f"gather {{0}}, {{1}} {{{{axis = {axis} : i64}}}}", [x, at], np.take(x, at, axis)
        self.check(make)


def windows(x, spatial_shape, kernel, dilations):
    """Yields (offset, the input under that offset of the kernel)."""
    for offset in np.ndindex(*kernel):
        start = [o * d for o, d in zip(offset, dilations)]
        yield offset, x[(slice(None), slice(None), *(slice(s, s + n) for s, n in zip(start, spatial_shape)))]


def conv(x, w, bias, dilations, groups, shape):
    result = np.zeros(shape)
    out, inner = w.shape[0] // groups, w.shape[1]
    for offset, part in windows(x, shape[2:], w.shape[2:], dilations):
        for g in range(groups):
            weights = w[(slice(g * out, (g + 1) * out), slice(None), *offset)]
            result[:, g * out:(g + 1) * out] += np.einsum(
                "oc,nc...->no...", weights, part[:, g * inner:(g + 1) * inner])
    return result if bias is None else result + bias.reshape(-1, *[1] * (x.ndim - 2))


def interpret(text, arguments):
    """NumPy's values for the printed ops of one function."""
    values = dict(arguments)
    for line in text.splitlines():
        if match := re.match(r"\s*return (%\w+)", line):
            return values[match.group(1)]
        match = re.match(r"\s*(%\w+) = lathe\.(\w+) (.*)", line)
        if not match:
            continue
        name, op, rest = match.groups()
        x = [values[operand] for operand in re.findall(r"%\w+", rest.split(" : ")[0])]
        lists = {key: [int(n) for n in numbers.split(",") if n.strip()]
                 for key, numbers in re.findall(r"(\w+) = array<i64(?:: )?([-\d, ]*)>", rest)}
        shape = [int(size) for size in re.search(r"tensor<((?:\d+x)*)\w+>$", line).group(1).split("x")[:-1]]
        if op == "reshape":
            result = x[0].reshape(shape)
        elif op == "transpose":
            result = x[0].transpose(lists["permutation"])
        elif op == "broadcast":
            result = np.broadcast_to(x[0], lists["shape"])
        elif op == "reverse":
            result = np.flip(x[0], lists["axes"])
        elif op == "pad":
            crop = tuple(slice(max(-low, 0), size - max(-high, 0))
                         for low, high, size in zip(lists["low"], lists["high"], x[0].shape))
            result = np.pad(x[0][crop], [(max(low, 0), max(high, 0)) for low, high in zip(lists["low"], lists["high"])])
        elif op == "conv":
            groups = re.search(r"groups = (\d+)", rest)
            ones = [1] * (x[0].ndim - 2)
            assert lists.get("strides", ones) in (ones, []) and not any(lists.get("pad_low", []) + lists.get("pad_high", []))
            result = conv(x[0], x[1], x[2] if len(x) > 2 else None, lists.get("dilations") or ones,
                          int(groups.group(1)) if groups else 1, shape)
        else:
            raise AssertionError(f"unexpected op {op}")
        assert list(result.shape) == shape, f"{op}: {result.shape}, {shape} in the text"
        values[name] = result
    raise AssertionError("no return")


def scatter(x, w, bias, strides, dilations, low, high, extra, groups):
    """The definition: every input element adds its window to the result."""
    spatial = x.ndim - 2
    full = [(x.shape[i + 2] - 1) * strides[i] + (w.shape[i + 2] - 1) * dilations[i] + 1 for i in range(spatial)]
    out = w.shape[1]
    result = np.zeros((x.shape[0], out * groups, *full))
    inner = x.shape[1] // groups
    for n, c, *place in np.ndindex(*x.shape):
        for o, *offset in np.ndindex(*w.shape[1:]):
            at = tuple(p * s + q * d for p, s, q, d in zip(place, strides, offset, dilations))
            result[(n, c // inner * out + o, *at)] += x[(n, c, *place)] * w[(c, o, *offset)]
    grow = [(0, 0), (0, 0), *((max(-lo, 0), max(e - hi, 0)) for lo, hi, e in zip(low, high, extra))]
    result = np.pad(result, grow)
    cut = tuple(slice(max(lo, 0), size - max(hi - e, 0))
                for lo, hi, e, size in zip(low, high, extra, result.shape[2:]))
    result = result[(slice(None), slice(None), *cut)]
    return result if bias is None else result + bias.reshape(-1, *[1] * spatial)


class ConvTranspose(unittest.TestCase):
    def check(self, size, kernel, strides=None, dilations=None, low=None, high=None, extra=None, groups=1, bias=True,
              channels=(2, 3)):
        spatial = len(size)
        strides, dilations = strides or [1] * spatial, dilations or [1] * spatial
        low, high, extra = (value or [0] * spatial for value in (low, high, extra))
        generator = np.random.Generator(np.random.Philox(5))
        x = generator.normal(size=(2, channels[0] * groups, *size))
        w = generator.normal(size=(channels[0] * groups, channels[1], *kernel))
        b = generator.normal(size=channels[1] * groups) if bias else None
        right = scatter(x, w, b, strides, dilations, low, high, extra, groups)
        operands = [x, w] + ([b] if bias else [])
        types = [tensor(value.shape, "f64") for value in operands]
        result = tensor(right.shape, "f64")
        text = (f"func.func @f({', '.join(f'%a{i}: {t}' for i, t in enumerate(types))}) -> {result} {{\n"
                f"  %r = lathe.conv_transpose {', '.join(f'%a{i}' for i in range(len(operands)))} "
                f"{{strides = {array(strides)}, dilations = {array(dilations)}, pad_low = {array(low)}, "
                f"pad_high = {array(high)}, output_padding = {array(extra)}, groups = {groups} : i64}} : "
                f"({', '.join(types)}) -> {result}\n  return %r : {result}\n}}\n")
        run = subprocess.run([BUILD / "bin" / "lathe-opt", "-lathe-decompose"], input=text, capture_output=True, text=True)
        self.assertEqual(run.returncode, 0, run.stderr)
        self.assertNotIn("conv_transpose", run.stdout)
        found = interpret(run.stdout, {f"%arg{i}": value for i, value in enumerate(operands)})
        np.testing.assert_allclose(found, right, rtol=1e-12, atol=1e-12)

    def test_blocks(self):
        self.check([3], [2], strides=[2])
        self.check([3, 4], [2, 3], strides=[2, 3], groups=2)
        self.check([2, 3, 2], [2, 1, 3], strides=[2, 1, 3], bias=False)

    def test_overlapping(self):
        self.check([5], [3])
        self.check([3, 4], [3, 3], strides=[2, 2], low=[1, 1], high=[1, 1], extra=[1, 1])
        self.check([3, 4], [3, 2], strides=[2, 3], groups=3, bias=False)
        self.check([3, 4], [3, 2], dilations=[2, 3], low=[1, 0], high=[0, 2])
        self.check([2, 2, 3], [2, 3, 2], strides=[1, 2, 3], dilations=[2, 1, 1], groups=2)

    def test_stride_beyond_kernel(self):
        self.check([3], [2], strides=[4])
        self.check([3, 3], [1, 2], strides=[3, 5], extra=[2, 1])

    def test_padding_beyond_kernel(self):
        self.check([6], [2], strides=[2], low=[3], high=[2])
        # Padding below 0 grows the result.
        self.check([4], [3], strides=[2], low=[-2], high=[-1])
        self.check([3], [2], strides=[2], low=[-1], high=[-1])


if __name__ == "__main__":
    unittest.main()
