"""Random graphs of ops give the same numbers with all passes, with none but the
necessary ones, and bit for bit the same with one thread and two.

What a single op computes is proved elsewhere; this is about what passes do to
its neighbours. `python test_random_graphs.py SEED SECONDS` looks for trouble for
as long as one likes and prints the graphs that differ."""

import math
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time
import unittest

import numpy as np

BUILD = pathlib.Path(os.environ.get("LATHE_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
SHAPES = [(4, 6, 8), (2, 3, 4, 5), (33, 17), (1, 64), (7,), (3, 1, 5), (65, 130)]
IMAGES = [(1, 3, 16, 16), (2, 4, 9, 9), (1, 16, 12, 12), (1, 32, 7, 7)]
UNARY = ["tanh", "sigmoid", "relu", "neg", "erf", "gelu", "abs", "softplus", "silu"]


def tensor(shape, dtype="f32"):
    return f"tensor<{''.join(f'{size}x' for size in shape)}{dtype}>"


def ints(values):
    return f"array<i64: {', '.join(map(str, values))}>"


class Graph:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.values, self.arguments, self.parameters, self.lines = [], [], [], []
        self.add_argument(self.random.choice(IMAGES if self.random.random() < 0.5 else SHAPES))
        for _ in range(self.random.randint(3, 10)):
            self.step()
        made = [value for value in self.values if value[0].startswith("%v")]
        self.results = made[-1:] + [value for value in made[:-1] if self.random.random() < 0.2]

    def add_argument(self, shape):
        self.arguments.append((f"%a{len(self.arguments)}", tuple(shape)))
        self.values.append(self.arguments[-1])
        return self.arguments[-1]

    def weight(self, shape, init="normal, 0.0, 0.5"):
        """A parameter, or as often as not an argument, which no pass may pack."""
        if init.startswith("normal") and self.random.random() < 0.4:
            return self.add_argument(shape)
        name = f"%p{len(self.parameters)}"
        self.parameters.append(f"lathe.parameter @{name[1:]} : {tensor(shape)} {{init = #lathe.init<{init}>}}")
        self.lines.append(f"  {name} = lathe.get_parameter @{name[1:]} : {tensor(shape)}")
        return name, tuple(shape)

    def emit(self, op, operands, shape, attributes="", dtype="f32", words=None):
        name = f"%v{len(self.lines)}"
        names = words or ", ".join(operand for operand, _ in operands)
        types = ", ".join(tensor(s, "i1" if n.endswith("c") else "f32") for n, s in operands)
        if dtype == "i1":
            name += "c"
        self.lines.append(f"  {name} = lathe.{op} {names}{f' {{{attributes}}}' if attributes else ''} : "
                          f"({types}) -> {tensor(shape, dtype)}")
        if dtype == "f32":
            self.values.append((name, tuple(shape)))
        return name, tuple(shape)

    def step(self):
        value = self.random.choice(self.values[-4:])
        shape = value[1]
        kinds = ["unary", "unary", "same", "same", "broadcasting", "select"]
        if shape:
            kinds += ["reduce", "softmax", "layer_norm", "rms_norm", "linear", "slice", "concat", "reshape", "broadcast"]
        if len(shape) > 1:
            kinds += ["transpose", "matmul"]
        if len(shape) == 4:
            kinds += ["conv"] * 6 + ["pool", "pool", "batch_norm", "batch_norm", "global_pool"]
        getattr(self, self.random.choice(kinds))(value, shape)

    def same_shape(self, shape):
        return self.random.choice([value for value in self.values if value[1] == shape])

    def unary(self, x, shape):
        self.emit(self.random.choice(UNARY), [x], shape)

    def same(self, x, shape):
        self.emit(self.random.choice(["add", "mul", "sub", "max", "min"]), [x, self.same_shape(shape)], shape)

    def broadcasting(self, x, shape):
        other = [size if self.random.random() < 0.6 else 1 for size in shape][self.random.randint(0, len(shape)):]
        operands = [x, self.weight(other)]
        self.random.shuffle(operands)
        self.emit(self.random.choice(["add", "mul", "sub", "max"]), operands, shape)

    def select(self, x, shape):
        y = self.same_shape(shape)
        condition = self.emit("compare", [x, y], shape, dtype="i1", words=f"gt, {x[0]}, {y[0]}")
        self.emit("select", [condition, x, y], shape)

    def reduce(self, x, shape):
        axes = sorted(self.random.sample(range(len(shape)), self.random.randint(1, len(shape))))
        keep = self.random.random() < 0.5
        result = [1 if i in axes else size for i, size in enumerate(shape) if keep or i not in axes]
        self.emit("reduce_" + self.random.choice(["sum", "mean", "max", "min"]), [x], result,
                  f"axes = {ints(axes)}, keepdims = {str(keep).lower()}")

    def softmax(self, x, shape):
        axis = self.random.randrange(-len(shape), len(shape))
        self.emit(self.random.choice(["softmax", "log_softmax"]), [x], shape, f"axis = {axis} : i64")

    def layer_norm(self, x, shape):
        axis = self.random.randrange(len(shape))
        scale = self.weight(shape[axis:])
        self.emit("layer_norm", [x, scale], shape, f"axis = {axis} : i64", words=f"{x[0]} scale {scale[0]}")

    def rms_norm(self, x, shape):
        self.emit("rms_norm", [x], shape)

    def linear(self, x, shape):
        columns = self.random.choice([1, 7, 32, 40])
        operands = [x, self.weight([columns, shape[-1]])]
        if self.random.random() < 0.6:
            operands.append(self.weight([columns]))
        self.emit("linear", operands, [*shape[:-1], columns])

    def matmul(self, x, shape):
        columns, transposed = self.random.choice([1, 5, 33, 64]), self.random.random() < 0.5
        batch = shape[:-2] if self.random.random() < 0.3 else ()
        w = self.weight([*batch, *([columns, shape[-1]] if transposed else [shape[-1], columns])])
        self.emit("matmul", [x, w], [*shape[:-1], columns], "transpose_rhs" if transposed else "")

    def transpose(self, x, shape):
        order = self.random.sample(range(len(shape)), len(shape))
        self.emit("transpose", [x], [shape[i] for i in order], f"permutation = {ints(order)}")

    def reshape(self, x, shape):
        count = math.prod(shape)
        front = self.random.choice([size for size in (1, 2, 3, 4) if count % size == 0])
        result = [front, count // front]
        self.emit("reshape", [x], result, f"shape = {ints(result)}")

    def broadcast(self, x, shape):
        result = [size if size > 1 else self.random.choice([1, 3]) for size in shape]
        if len(shape) < 4 and self.random.random() < 0.3:
            result = [2, *result]
        self.emit("broadcast", [x], result, f"shape = {ints(result)}")

    def slice(self, x, shape):
        axis = self.random.randrange(len(shape))
        if shape[axis] < 2:
            return
        start = self.random.randrange(shape[axis] - 1)
        end, step = self.random.randint(start + 1, shape[axis]), self.random.choice([1, 1, 2])
        result = [*shape[:axis], -(-(end - start) // step), *shape[axis + 1:]]
        self.emit("slice", [x], result,
                  f"starts = {ints([start])}, ends = {ints([end])}, axes = {ints([axis])}, steps = {ints([step])}")

    def concat(self, x, shape):
        axis = self.random.randrange(len(shape))
        if math.prod(shape) < 50000:
            result = [*shape[:axis], 2 * shape[axis], *shape[axis + 1:]]
            self.emit("concat", [x, self.same_shape(shape)], result, f"axis = {axis} : i64")

    def conv(self, x, shape):
        batch, channels, *image = shape
        groups = self.random.choice([1, 1, 1, channels] + [2] * (channels % 2 == 0))
        out = channels if groups == channels > 1 else groups * self.random.choice([1, 4, 16, 33])
        kernel = self.random.choice([(1, 1), (3, 3), (3, 1), (5, 5), (2, 2)])
        stride, dilation = self.random.choice([1, 1, 2]), self.random.choice([1, 1, 2])
        low, high = self.random.randint(0, 2), self.random.randint(0, 2)
        room = [size + low + high - dilation * (k - 1) - 1 for size, k in zip(image, kernel)]
        if min(room) < 0:
            return
        operands = [x, self.weight([out, channels // groups, *kernel])]
        if self.random.random() < 0.5:
            operands.append(self.weight([out]))
        self.emit("conv", operands, [batch, out, *(size // stride + 1 for size in room)],
                  f"strides = {ints([stride] * 2)}, dilations = {ints([dilation] * 2)}, pad_low = {ints([low] * 2)}, "
                  f"pad_high = {ints([high] * 2)}, groups = {groups} : i64")

    def pool(self, x, shape):
        kernel, stride = self.random.choice([2, 3]), self.random.choice([1, 2])
        pad = self.random.choice([0, 1]) if kernel == 3 else 0
        room = [size + 2 * pad - kernel for size in shape[2:]]
        if min(room) >= 0:
            self.emit(self.random.choice(["max_pool", "avg_pool"]), [x], [*shape[:2], *(r // stride + 1 for r in room)],
                      f"kernel = {ints([kernel] * 2)}, strides = {ints([stride] * 2)}, pad_low = {ints([pad] * 2)}, "
                      f"pad_high = {ints([pad] * 2)}")

    def batch_norm(self, x, shape):
        parameters = [self.weight(shape[1:2]) for _ in range(3)] + [self.weight(shape[1:2], "uniform, 0.5, 2.0")]
        self.emit("batch_norm", [x, *parameters], shape)

    def global_pool(self, x, shape):
        self.emit("reduce_mean", [x], [*shape[:2], 1, 1], f"axes = {ints([2, 3])}, keepdims = true")

    def text(self):
        arguments = ", ".join(f'{n}: {tensor(s)} {{lathe.name = "{n[1:]}"}}' for n, s in self.arguments)
        results = ", ".join(f'{tensor(s)} {{lathe.name = "r{i}"}}' for i, (_, s) in enumerate(self.results))
        names, types = ", ".join(n for n, _ in self.results), ", ".join(tensor(s) for _, s in self.results)
        return "\n".join([*self.parameters, f"func.func @main({arguments}) -> ({results}) {{", *self.lines,
                          f"  return {names} : {types}", "}", ""])


def run(folder, graph, *options):
    command = [BUILD / "bin" / "lathe", "run", folder / "model.mlir", "--quiet", "--no-cache", "--output-dir", folder / "out",
               *(f"--input={name[1:]}={folder}/{name[1:]}.npy" for name, _ in graph.arguments), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise AssertionError(f"{' '.join(options)} ended with {done.returncode}: {done.stderr[-1000:]}")
    return [np.load(folder / "out" / f"r{i}.npy") for i in range(len(graph.results))]


def check(seed):
    graph = Graph(seed)
    numbers = np.random.Generator(np.random.Philox(seed))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "model.mlir").write_text(graph.text())
        for name, shape in graph.arguments:
            np.save(folder / f"{name[1:]}.npy", numbers.normal(size=shape).astype(np.float32))
        plain = run(folder, graph, "--no-fuse", "--no-optimize", "--threads=1")
        fused = run(folder, graph, "--threads=1")
        threads = run(folder, graph, "--threads=2")
    for expected, found, again in zip(plain, fused, threads):
        size = max(1.0, float(np.max(np.abs(expected), initial=0.0, where=np.isfinite(expected))))
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-4 * size)
        np.testing.assert_array_equal(again, found, "one thread and two")


class RandomGraphs(unittest.TestCase):
    def test_graphs(self):
        for seed in range(12):
            with self.subTest(seed=seed):
                try:
                    check(seed)
                except AssertionError as error:
                    raise AssertionError(f"{error}\n{Graph(seed).text()}") from None


def main():
    seed, seconds = int(sys.argv[1]), float(sys.argv[2])
    start, checked, wrong = time.monotonic(), 0, 0
    while time.monotonic() - start < seconds:
        try:
            check(seed + checked)
        except AssertionError as error:
            wrong += 1
            print(f"seed {seed + checked}: {error}\n{Graph(seed + checked).text()}")
        checked += 1
    print(f"{checked} graphs, {wrong} differ")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
