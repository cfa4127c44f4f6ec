"""Two thousand random contractions, convolutions, attentions and reductions give
the same numbers on the CPU and as CUDA text on the simulator, which looks for
accesses out of bounds, races and outputs nobody writes at the same time.

What the CPU computes is proved elsewhere. The cases are seeded: case N is the
same every time, and `python test_cuda_random.py FIRST COUNT` runs others."""

import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

import numpy as np

BUILD = pathlib.Path(os.environ.get("LATHE_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
CASES, PER_MODEL = 2000, 50
SIZES = [1, 2, 3, 4, 7, 8, 16, 17, 31, 32, 33, 48, 63, 64, 65, 100]


def tensor(shape, dtype="f32"):
    return f"tensor<{''.join(f'{size}x' for size in shape)}{dtype}>"


def ints(values):
    return f"array<i64: {', '.join(map(str, values))}>"


class Cases:
    """A model of several ops, each with arguments and a result of its own."""

    def __init__(self, first, count):
        self.arguments, self.lines, self.results, self.summed = [], [], [], {}
        for seed in range(first, first + count):
            self.random = random.Random(seed)
            kind = self.random.choice(["matmul"] * 3 + ["linear"] * 2 + ["conv"] * 3 + ["attention"] + ["reduce"] * 3 + ["rows"] * 2)
            getattr(self, kind)()

    def size(self, largest=100):
        if self.random.random() < 0.01:
            return 0
        return self.random.choice([size for size in SIZES if size <= largest])

    def argument(self, shape):
        self.arguments.append((f"%a{len(self.arguments)}", tuple(shape)))
        return self.arguments[-1]

    def line(self, op, operands, shape, attributes="", words=None, result=True):
        name = f"%v{len(self.lines)}"
        types = ", ".join(tensor(s) for _, s in operands)
        self.lines.append(f"  {name} = lathe.{op} {words or ', '.join(n for n, _ in operands)}"
                          f"{f' {{{attributes}}}' if attributes else ''} : ({types}) -> {tensor(shape)}")
        if result:
            self.results.append((name, tuple(shape)))
        return name, tuple(shape)

    def view(self, shape):
        """An argument that is read as `shape`: as it is, transposed, or a slice that begins anywhere."""
        kind = self.random.choice(["plain", "plain", "transposed", "sliced"])
        if kind == "transposed":
            order = self.random.sample(range(len(shape)), len(shape))
            stored = [0] * len(shape)
            for to, place in enumerate(order):
                stored[place] = shape[to]
            return self.line("transpose", [self.argument(stored)], shape, f"permutation = {ints(order)}", result=False)
        if kind == "sliced" and shape[-1] > 0:
            start = self.random.randint(0, 3)
            stored = [*shape[:-1], start + shape[-1] + self.random.randint(0, 2)]
            return self.line("slice", [self.argument(stored)], shape,
                             f"starts = {ints([start])}, ends = {ints([start + shape[-1]])}, axes = {ints([len(shape) - 1])}",
                             result=False)
        return self.argument(shape)

    def epilogue(self, value):
        """What often follows, and becomes part of the kernel."""
        name, shape = value
        kind = self.random.choice(["none", "none", "relu", "gelu", "bias", "residual"])
        if kind == "none":
            return
        self.results.pop()
        if kind in ("relu", "gelu"):
            self.line(kind, [value], shape)
        else:
            other = shape[-1:] if kind == "bias" else shape
            self.line("add", [value, self.argument(other)], shape)

    def matmul(self):
        m, n, k = self.size(), self.size(), self.size()
        batch = [self.random.choice([1, 2, 3]) for _ in range(self.random.choice([0, 0, 1, 2]))]
        left = [size if self.random.random() < 0.7 else 1 for size in batch]
        right = batch[self.random.randint(0, len(batch)):] if self.random.random() < 0.5 else batch
        if len(right) < len(batch) or left != batch:
            batch = list(np.broadcast_shapes(tuple(left), tuple(right)))
        transposed = self.random.random() < 0.5
        b = self.view([*right, n, k] if transposed else [*right, k, n])
        self.epilogue(self.line("matmul", [self.view([*left, m, k]), b], [*batch, m, n], "transpose_rhs" if transposed else ""))

    def linear(self):
        m, n, k = self.size(), self.size(), self.size()
        operands = [self.view([m, k]), self.argument([n, k])]
        if self.random.random() < 0.6:
            operands.append(self.argument([n]))
        self.epilogue(self.line("linear", operands, [m, n]))

    def conv(self):
        while True:
            batch, image = self.random.choice([1, 2]), [self.random.randint(3, 14) for _ in range(self.random.choice([1, 2, 2]))]
            groups = self.random.choice([1, 1, 2, 4])
            channels, out = groups * self.random.choice([1, 3, 8]), groups * self.random.choice([1, 4, 9])
            kernel = [self.random.choice([1, 2, 3, 5]) for _ in image]
            stride = [self.random.choice([1, 1, 2, 3]) for _ in image]
            dilation = [self.random.choice([1, 1, 2]) for _ in image]
            low, high = ([self.random.randint(0, 2) for _ in image] for _ in range(2))
            room = [s + a + b - d * (k - 1) - 1 for s, a, b, d, k in zip(image, low, high, dilation, kernel)]
            if min(room) >= 0:
                break
        operands = [self.view([batch, channels, *image]), self.argument([out, channels // groups, *kernel])]
        if self.random.random() < 0.5:
            operands.append(self.argument([out]))
        value = self.line("conv", operands, [batch, out, *(r // s + 1 for r, s in zip(room, stride))],
                          f"strides = {ints(stride)}, dilations = {ints(dilation)}, pad_low = {ints(low)}, "
                          f"pad_high = {ints(high)}, groups = {groups} : i64")
        if self.random.random() < 0.3:
            self.results.pop()
            self.line("relu", [value], value[1])

    def attention(self):
        batch = [self.random.choice([1, 2]), self.random.choice([1, 3])]
        queries, keys, depth = self.random.choice([1, 5, 16, 33, 70]), self.random.choice([1, 7, 32, 65, 130]), self.random.choice([8, 16, 32, 40])
        operands = [self.view([*batch, queries, depth]), self.view([*batch, keys, depth]), self.view([*batch, keys, depth])]
        if self.random.random() < 0.4:
            operands.append(self.argument([*[self.random.choice([1, size]) for size in batch], queries, keys]))
        causal = "causal, " if queries == keys and self.random.random() < 0.5 else ""
        self.line("attention", operands, [*batch, queries, depth], f"{causal}scale = {1 / depth ** 0.5:.6e} : f64")

    def shape(self):
        return [self.size(65) for _ in range(self.random.choice([1, 2, 2, 3]))]

    def reduce(self):
        shape = self.shape()
        axes = sorted(self.random.sample(range(len(shape)), self.random.randint(1, len(shape))))
        keep = self.random.random() < 0.5
        result = [1 if i in axes else size for i, size in enumerate(shape) if keep or i not in axes]
        # The largest of nothing is an error, the sum is 0.
        kinds = ["sum", "mean", "max", "min", "prod"] if all(shape) else ["sum"]
        kind = self.random.choice(kinds)
        name, _ = self.line("reduce_" + kind, [self.view(shape)], result, f"axes = {ints(axes)}, keepdims = {str(keep).lower()}")
        if kind == "sum":
            # Terms of size 1 may cancel out: what is rounded is as large as their
            # root mean square, not as what is left.
            self.summed[name] = float(np.sqrt(np.prod([shape[i] for i in axes])))

    def rows(self):
        shape = [size or 1 for size in self.shape()]
        x = self.view(shape)
        kind = self.random.choice(["softmax", "log_softmax", "layer_norm", "rms_norm"])
        if kind.endswith("softmax"):
            self.line(kind, [x], shape, f"axis = {self.random.randrange(-len(shape), len(shape))} : i64")
        elif kind == "rms_norm":
            self.line(kind, [x], shape)
        else:
            axis = self.random.randrange(len(shape))
            scale = self.argument(shape[axis:])
            self.line(kind, [x, scale], shape, f"axis = {axis} : i64", words=f"{x[0]} scale {scale[0]}")

    def text(self):
        arguments = ", ".join(f'{n}: {tensor(s)} {{lathe.name = "{n[1:]}"}}' for n, s in self.arguments)
        results = ", ".join(f'{tensor(s)} {{lathe.name = "r{i}"}}' for i, (_, s) in enumerate(self.results))
        names, types = ", ".join(n for n, _ in self.results), ", ".join(tensor(s) for _, s in self.results)
        return "\n".join([f"func.func @main({arguments}) -> ({results}) {{", *self.lines, f"  return {names} : {types}", "}", ""])


def run(folder, cases, target):
    out = folder / target
    # The narrowest kernels of the CPU compile fastest, and what they compute is proved elsewhere, too.
    command = [BUILD / "bin" / "lathe", "run", folder / "model.mlir", "--quiet", "--seed=7", "--threads=1", f"--target={target}", "--output-dir", out,
               *(["--isa=sse"] if target == "cpu" else [])]
    environment = os.environ | {"LATHE_CACHE_DIR": str(BUILD / "test" / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    if done.returncode:
        raise AssertionError(f"{target} ended with {done.returncode}: {done.stderr[-2000:]}")
    return [np.load(out / f"r{i}.npy") for i in range(len(cases.results))]


def check(first, count):
    """Raises at the first result that differs, with the op that made it."""
    cases = Cases(first, count)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "model.mlir").write_text(cases.text())
        expected, found = run(folder, cases, "cpu"), run(folder, cases, "cuda-sim")
    for (name, _), a, b in zip(cases.results, expected, found):
        size = max(1.0, cases.summed.get(name, 1.0), float(np.max(np.abs(a), initial=0.0, where=np.isfinite(a))))
        line = next(line for line in cases.lines if line.startswith(f"  {name} ="))
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=2e-5 * size, err_msg=line)


class CudaRandom(unittest.TestCase):
    APART, SECONDS = True, 110

    def check(self, quarter):
        for first in range(quarter * CASES // 4, (quarter + 1) * CASES // 4, PER_MODEL):
            with self.subTest(first=first):
                check(first, PER_MODEL)

    def test_random_shapes_1(self):
        self.check(0)

    def test_random_shapes_2(self):
        self.check(1)

    def test_random_shapes_3(self):
        self.check(2)

    def test_random_shapes_4(self):
        self.check(3)


if __name__ == "__main__":
    start, amount = int(sys.argv[1]), int(sys.argv[2])
    wrong = 0
    for at in range(start, start + amount, PER_MODEL):
        try:
            check(at, min(PER_MODEL, start + amount - at))
        except AssertionError as error:
            wrong += 1
            print(f"cases from {at}: {error}")
    print(f"{amount} cases, {wrong} groups of {PER_MODEL} differ")
    sys.exit(1 if wrong else 0)
