"""Products of bytes on cuda-sim, bit by bit, against NumPy: sums in 64 bits that
wrap around to 32, and an epilogue step by step. `PYTHONPATH=scripts/oracle
python test/numeric/test_cuda_bytes.py
FIRST COUNT` runs other cases than the tests do."""

import itertools
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import unittest

import numpy as np

import lathe
from cuda_text import Texts
from test_cuda_convolution import convolve
from test_cuda_random import ints, tensor

BYTES = ("i8", "ui8")
DTYPE = {"i8": np.int8, "ui8": np.uint8, "i32": np.int32, "f32": np.float32}
SIZES = [1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100, 129]
PAIRS = list(itertools.product(BYTES, BYTES))


def wide(value):
    return value.astype(np.int64)


def draw(rng, shape, element):
    if element == "f32":
        return rng.uniform(0.01, 0.1, shape).astype(np.float32)
    info = np.iinfo(DTYPE[element])
    return rng.integers(info.min, info.max + 1, shape).astype(DTYPE[element])


class Model:
    """Ops with arguments and a result each, all in one function."""

    def __init__(self, seed):
        self.random, self.numbers = random.Random(seed), np.random.default_rng(seed)
        self.inputs, self.lines, self.results, self.values = {}, [], [], {}

    def argument(self, shape, element, value=None):
        name = f"x{len(self.inputs)}"
        self.inputs[name] = self.values[f"%{name}"] = draw(self.numbers, shape, element) if value is None else value
        return f"%{name}", list(shape), element

    def op(self, name, operands, shape, element, attributes="", compute=None):
        """`compute` gets the operands' numbers, and gives the result's."""
        value = f"%v{len(self.lines)}"
        types = ", ".join(tensor(s, e) for _, s, e in operands)
        self.lines.append(f"  {value} = lathe.{name} {', '.join(n for n, _, _ in operands)} {attributes} : ({types}) -> {tensor(shape, element)}")
        if compute:
            self.values[value] = compute(*(self.values[n] for n, _, _ in operands)).astype(DTYPE[element])
        return value, list(shape), element

    def text(self):
        names = {np.dtype(t): e for e, t in DTYPE.items()}
        arguments = ", ".join(f'%{n}: {tensor(v.shape, names[v.dtype])} {{lathe.name = "{n}"}}' for n, v in self.inputs.items())
        results = ", ".join(f'{tensor(s, e)} {{lathe.name = "y{i:03}"}}' for i, (_, s, e) in enumerate(self.results))
        values, types = ", ".join(n for n, _, _ in self.results), ", ".join(tensor(s, e) for _, s, e in self.results)
        return "\n".join([f"func.func @main({arguments}) -> ({results}) {{", *self.lines, f"  return {values} : {types}", "}", ""])

    def run(self, target, options=()):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "bytes.mlir"
            path.write_text(self.text())
            return list(lathe.run(path, self.inputs, options=["--target", target, *options])[0].values())

    # What the random cases are made of.

    def view(self, shape, element):
        kind = self.random.choice(["plain", "plain", "transposed", "sliced"])
        if kind == "transposed":
            order = self.random.sample(range(len(shape)), len(shape))
            stored = [shape[order.index(d)] for d in range(len(shape))]
            return self.op("transpose", [self.argument(stored, element)], shape, element, f"{{permutation = {ints(order)}}}",
                           lambda x: x.transpose(order))
        if kind == "sliced":
            start = self.random.randint(0, 3)
            stored = [*shape[:-1], start + shape[-1] + self.random.randint(0, 2)]
            return self.op("slice", [self.argument(stored, element)], shape, element,
                           f"{{starts = {ints([start])}, ends = {ints([start + shape[-1]])}, axes = {ints([len(shape) - 1])}}}",
                           lambda x: x[..., start:start + shape[-1]])
        return self.argument(shape, element)

    def epilogue(self, value, channel):
        """What follows a product: sums of the zero points' parts, scales, an activation, rounding to bytes."""
        shape = value[1]
        along = [shape[i] if i == channel else 1 for i in range(len(shape))]
        kind = self.random.choice(["none", "none", "i32", "float", "bytes", "bytes"])
        if kind == "none":
            return value
        value = self.op("add", [value, self.argument(along, "i32")], shape, "i32", "", lambda x, y: wide(x) + y)
        if kind == "i32":
            return value
        value = self.op("cast", [value], shape, "f32", "to f32", lambda x: x)
        value = self.op("mul", [value, self.argument(along, "f32")], shape, "f32", "", lambda x, y: x * y)
        if self.random.random() < 0.5:
            value = self.op("relu", [value], shape, "f32", "", lambda x: np.maximum(x, 0))
        if kind == "float":
            return value
        # The smallest scale makes nearly all saturate, the largest nearly none.
        scale = np.float32(self.random.choice([1.0, 100.0, 1e7]))
        stored = self.random.choice(BYTES)
        info = np.iinfo(DTYPE[stored])
        return self.op("quantize", [value, self.argument([], "f32", np.array(scale)), self.argument([], stored)], shape, stored, "",
                       lambda x, s, z: np.clip(np.rint(x / s) + np.float32(z), info.min, info.max))

    def size(self):
        return self.random.choice(SIZES)

    def matmul(self, left, right):
        m, n, k = self.size(), self.size(), self.size()
        batch = self.random.choice([[], [], [2], [3, 1]])
        b = batch if self.random.random() < 0.5 else []
        flip = self.random.random() < 0.5
        y = self.view([*b, n, k] if flip else [*b, k, n], right)
        value = self.op("matmul", [self.view([*batch, m, k], left), y], [*batch, m, n], "i32", "{transpose_rhs}" if flip else "",
                        lambda x, w: wide(x) @ wide(w.swapaxes(-1, -2) if flip else w))
        self.results.append(self.epilogue(value, len(batch) + 1))

    def linear(self, left, right):
        m, n, k = self.size(), self.size(), self.random.choice([*SIZES, 1040, 2500])
        operands = [self.view([m, k], left), self.argument([n, k], right)]
        if self.random.random() < 0.5:
            operands.append(self.argument([n], "i32"))
        self.results.append(self.epilogue(self.op("linear", operands, [m, n], "i32", "", lambda x, w, b=0: wide(x) @ wide(w).T + b), 1))

    def conv(self, left, right):
        rank = self.random.choice([1, 2, 2, 3])
        groups, image = self.random.choice([1, 1, 1, 2, 3]), [self.random.randint(3, 9) for _ in range(rank)]
        inside, outside = self.random.choice([1, 3, 8, 16]), self.random.choice([8, 9, 16, 33])
        kernel, stride = [self.random.choice([1, 2, 3]) for _ in image], [self.random.choice([1, 1, 2]) for _ in image]
        low, high = ([self.random.randint(0, 2) for _ in image] for _ in range(2))
        out = [(s + a + b - k) // t + 1 for s, a, b, k, t in zip(image, low, high, kernel, stride)]
        operands = [self.view([2, groups * inside, *image], left), self.argument([groups * outside, inside, *kernel], right)]
        if self.random.random() < 0.5:
            operands.append(self.argument([groups * outside], "i32"))
        value = self.op("conv", operands, [2, groups * outside, *out], "i32",
                        f"{{strides = {ints(stride)}, pad_low = {ints(low)}, pad_high = {ints(high)}, groups = {groups} : i64}}",
                        lambda x, w, b=np.zeros(1, np.int32): convolve(wide(x), wide(w), stride, [1] * rank, low, high, groups) + wide(b).reshape(-1, *[1] * rank))
        self.results.append(self.epilogue(value, 1))


def check(seed, count=24):
    """Every bit of `count` random ops."""
    model = Model(seed)
    for i in range(count):
        getattr(model, model.random.choice(["matmul", "linear", "conv"]))(*PAIRS[i % 4])
    for (name, _, _), found in zip(model.results, model.run("cuda-sim")):
        line = next(line for line in model.lines if line.startswith(f"  {name} ="))
        np.testing.assert_array_equal(found, model.values[name], f"case {seed}: {line}")


class Exact(unittest.TestCase):
    SECONDS = 25

    def test_all_pairs(self):
        model, expected = Model(0), []
        for left, right in PAIRS:
            a, b = (np.arange(np.iinfo(DTYPE[e]).min, np.iinfo(DTYPE[e]).max + 1).astype(DTYPE[e]) for e in (left, right))
            operands = [model.argument([256, 1], left, a.reshape(256, 1)), model.argument([1, 256], right, b.reshape(1, 256))]
            model.results.append(model.op("matmul", operands, [256, 256], "i32"))
            expected.append(np.outer(a.astype(np.int64), b.astype(np.int64)))
        for pair, a, b in zip(PAIRS, model.run("cuda-sim"), expected):
            np.testing.assert_array_equal(a, b, " x ".join(pair))

    def test_sums_wrap(self):
        """More than 2^31 from one side or the other, in one sum and in parts of k."""
        model, expected = Model(0), []
        for left, right, x, y in (("ui8", "ui8", 255, 255), ("ui8", "i8", 255, -128), ("i8", "i8", -128, -128)):
            for m, n, k in ((1, 8, 140_000), (3, 9, 140_001)):
                operands = [model.argument([m, k], left, np.full((m, k), x, DTYPE[left])), model.argument([n, k], right, np.full((n, k), y, DTYPE[right]))]
                model.results.append(model.op("linear", operands, [m, n], "i32"))
                expected.append(np.full((m, n), x * y * k, np.int64).astype(np.int32))
        for result, a, b in zip(model.results, model.run("cuda-sim"), expected):
            np.testing.assert_array_equal(a, b, str(result))

    def test_random(self):
        for seed in range(4):
            check(seed)

    def test_tensor_cores_take_them(self):
        model = Model(1)
        for left, right in PAIRS:
            model.linear(left, right)
            model.matmul(left, right)
            model.conv(left, right)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "bytes.mlir"
            path.write_text(model.text())
            texts = subprocess.run([lathe.LATHE, "compile", path, "--emit", "cuda", "--arch", "sm_80"], capture_output=True, text=True, check=True).stdout
        for text in re.split(r"\n(?=// \w+_[0-9a-f]{6}\n)", texts):
            if re.search(r"//   lathe\.(?:matmul|linear|conv) ", text):
                self.assertIn('#include "lathe/gemm_mma.cuh"', text)


class Faults(unittest.TestCase):
    """What could be wrong in a product of bytes alone is seen."""

    SECONDS = 10

    def run_changed(self, changes):
        model = Model(3)
        operands = [model.argument([20, 70], "ui8"), model.argument([24, 70], "i8")]
        model.results.append(model.op("linear", operands, [20, 24], "i32"))
        a, b = (value.astype(np.int64) for value in model.inputs.values())
        texts = Texts(model.text())
        texts.inline("MmaTile", changes)
        outputs, error = texts.run(model.inputs)
        self.assertIsNone(error)
        return (outputs["y000"] == a @ b.T).all()

    def test_faults(self):
        self.assertTrue(self.run_changed([]))
        for old, new in (
                ("return (u8)(word >> 8 * e);", "return (i8)(word >> 8 * e);"),
                ("return (i8)(word >> 8 * e);", "return (u8)(word >> 8 * e);"),
                ("return (i8)(word >> 8 * e);", "return (i8)(word >> 8 * (e ^ 1));"),
                ("a[word / 4 * 2 + row / 8]", "a[word / 4 + row / 8 * 2]"),
                ("ElementA{}, ElementB{});", "ElementB{}, ElementA{});"),
                ("elements.at[e] = at ? *at : T{};", "elements.at[e] = at ? *at : T{1};")):
            self.assertFalse(self.run_changed([(old, new)]), new)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1].isdigit():
        for case in range(int(sys.argv[1]), int(sys.argv[1]) + int(sys.argv[2])):
            check(case)
        print(f"{sys.argv[2]} programs of 24 products, all the same")
    else:
        unittest.main()
