"""lathe-layout: the same numbers with the pass alone and with none, over random
graphs of what takes part in it; planted mistakes are found; and the models it is
made for have no transpose left.

`python test_layout.py SEED SECONDS` looks for trouble for as long as one likes."""

import math
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import time
import unittest

import numpy as np

from test_random_graphs import BUILD, UNARY, Graph, ints, tensor

MODELS = pathlib.Path(__file__).resolve().parents[2] / "models"
# Dims of one size, so that a wrong permutation is a wrong number and no type error.
SIZE = 6


class LayoutGraph(Graph):
    """Images around convolutions and heads around attention: what the pass
    changes, what follows, views that cancel out and ops that do not follow."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.values, self.arguments, self.parameters, self.lines = [], [], [], []
        self.add_argument([2, SIZE, SIZE, SIZE])
        self.add_argument([2, SIZE, SIZE, SIZE])
        for _ in range(self.random.randint(4, 9)):
            self.step()
        made = [value for value in self.values if value[0].startswith("%v")]
        self.results = made[-1:] + [value for value in made[:-1] if self.random.random() < 0.2]

    def step(self):
        images = [value for value in self.values if len(value[1]) == 4 and max(value[1]) == SIZE]
        value = self.random.choice(images[-4:] if images and self.random.random() < 0.8 else self.values[-4:])
        shape = value[1]
        kinds = ["unary", "same", "broadcasting", "select"]
        if shape:
            kinds += ["reduce", "softmax"]
        if len(shape) == 4:
            kinds += ["same_conv"] * 6 + ["heads"] * 4 + ["attention"] + ["turn"] * 3 + [
                "loop", "pool", "batch_norm", "slice", "concat", "pad", "global_pool", "flatten", "cumsum"]
        elif len(shape) > 1:
            kinds += ["turn"]
        getattr(self, self.random.choice(kinds))(value, shape)

    def same_conv(self, x, shape):
        kernel = self.random.choice([1, 3])
        pad = kernel // 2
        w = self.weight([shape[1], shape[1], kernel, kernel])
        self.emit("conv", [x, w], shape, f"pad_low = {ints([pad] * 2)}, pad_high = {ints([pad] * 2)}")

    def attention(self, x, shape):
        k, v = self.same_shape(shape), self.same_shape(shape)
        self.emit("attention", [x, k, v], shape, self.random.choice(["", "causal"]))

    def heads(self, x, shape):
        """Attention as models have it, between transposes."""
        order = f"permutation = {ints([0, 2, 1, 3])}"
        turned = [shape[0], shape[2], shape[1], shape[3]]
        q, k, v = (self.emit("transpose", [y], turned, order) for y in (x, self.same_shape(shape), self.same_shape(shape)))
        y = self.emit("attention", [q, k, v], turned, self.random.choice(["", "causal"]))
        if self.random.random() < 0.3:
            y = self.emit("tanh", [y], turned)
        self.emit("transpose", [y], shape, order)

    def loop(self, x, shape):
        """A carried image, as in ResNet's stages."""
        w, t = self.weight([shape[1], shape[1], 1, 1]), tensor(shape)
        number = len(self.lines)
        if self.random.random() < 0.5:
            return self.stacking_loop(x, shape, w, number)
        name = f"%v{number}"
        self.lines.append(f"""  {name} = lathe.scan init(%h{number} = {x[0]}) {{trip_count = 2}} : ({t}) -> {t} {{
    %c{number} = lathe.conv %h{number}, {w[0]} : ({t}, {tensor(w[1])}) -> {t}
    %t{number} = lathe.tanh %c{number} : ({t}) -> {t}
    %n{number} = lathe.add %t{number}, %h{number} : ({t}, {t}) -> {t}
    lathe.yield %n{number} : {t}
  }}""")
        self.values.append((name, tuple(shape)))

    def stacking_loop(self, x, shape, w, number):
        """What one loop stacks, the next one reads in slices."""
        t, stack = tensor(shape), tensor([2, *shape])
        self.lines.append(f"""  %u{number}, %s{number} = lathe.scan init(%h{number} = {x[0]}) {{trip_count = 2}} : ({t}) -> ({t}, {stack}) {{
    %c{number} = lathe.conv %h{number}, {w[0]} : ({t}, {tensor(w[1])}) -> {t}
    %t{number} = lathe.tanh %c{number} : ({t}) -> {t}
    lathe.yield %t{number}, %c{number} : {t}, {t}
  }}
  %v{number} = lathe.scan init(%g{number} = %u{number}) inputs(%i{number} = %s{number}) {{reverse}} : ({t}, {stack}) -> {t} {{
    %e{number} = lathe.tanh %i{number} : ({t}) -> {t}
    %n{number} = lathe.add %e{number}, %g{number} : ({t}, {t}) -> {t}
    lathe.yield %n{number} : {t}
  }}""")
        self.values.append((f"%v{number}", tuple(shape)))

    def turn(self, x, shape):
        orders = [[0, 2, 1, 3], [0, 2, 3, 1], [0, 3, 1, 2]] if len(shape) == 4 else [self.random.sample(range(len(shape)), len(shape))]
        order = self.random.choice(orders)
        self.emit("transpose", [x], [shape[i] for i in order], f"permutation = {ints(order)}")

    def pad(self, x, shape):
        if max(shape) < 12:
            axis = self.random.randrange(1, 4)
            low, high = [0] * 4, [0] * 4
            low[axis], high[axis] = 1, -1
            self.emit("pad", [x], shape, f"low = {ints(low)}, high = {ints(high)}")

    def flatten(self, x, shape):
        at = self.random.randrange(3)
        result = [*shape[:at], shape[at] * shape[at + 1], *shape[at + 2:]]
        self.emit("reshape", [x], result, f"shape = {ints(result)}")

    def cumsum(self, x, shape):
        self.emit("cumsum", [x], shape, f"axis = {self.random.randrange(4)} : i64")


def apply_pass(text):
    done = subprocess.run([BUILD / "bin" / "lathe-opt", "--lathe-layout", "-"], input=text, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise AssertionError(done.stderr)
    return done.stdout


def fold_the_wrong_way(text):
    """A transpose that the pass made or merged goes the other way."""
    way = {"0, 2, 3, 1": "0, 3, 1, 2", "0, 3, 1, 2": "0, 2, 3, 1"}
    return re.sub(r"(lathe\.transpose .*permutation = array<i64: )(0, 2, 3, 1|0, 3, 1, 2)(>.* : \(tensor<2x6x6x6xf32>\))",
                  lambda match: match[1] + way[match[2]] + match[3], text, count=1)


def permute_the_wrong_operand(text):
    """An operand of attention with heads third is left with heads second."""
    found = re.search(r"lathe\.attention (%\S+), .*layout = 1 .*\(tensor<2x6x6x6xf32>, ", text)
    if not found:
        return text
    line = text.rfind("\n", 0, found.start()) + 1
    turned = (f"    %wrong = lathe.transpose {found[1]} {{permutation = array<i64: 0, 2, 1, 3>}} : "
              "(tensor<2x6x6x6xf32>) -> tensor<2x6x6x6xf32>\n")
    return text[:line] + turned + text[line:found.start()] + text[found.start():].replace(found[1], "%wrong", 1)


def compare(graph, before, after, numbers):
    """Largest difference of the two programs, as a part of the largest value."""
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        command = [BUILD / "bin" / "lathe", "run", "--quiet", "--no-cache", "--no-fuse", "--no-optimize", "--threads=1"]
        for name, shape in graph.arguments:
            np.save(folder / f"{name[1:]}.npy", numbers.normal(size=shape).astype(np.float32))
            command.append(f"--input={name[1:]}={folder}/{name[1:]}.npy")
        results = []
        for form, text in (("before", before), ("after", after)):
            (folder / f"{form}.mlir").write_text(text)
            done = subprocess.run([*command, "--output-dir", folder / form, folder / f"{form}.mlir"],
                                  capture_output=True, text=True, timeout=120)
            if done.returncode:
                raise AssertionError(f"{form}: {done.stderr[-1000:]}\n{text}")
            results.append([np.load(folder / form / f"r{i}.npy") for i in range(len(graph.results))])
    for expected, found in zip(*results):
        size = max(1.0, float(np.max(np.abs(expected), initial=0.0, where=np.isfinite(expected))))
        worst = max(worst, float(np.max(np.abs(found.astype(np.float64) - expected), initial=0.0, where=np.isfinite(expected))) / size)
        if not np.array_equal(np.isfinite(expected), np.isfinite(found)):
            worst = math.inf
    return worst


# Sums of a convolution and of attention go over the same numbers in another order.
TOLERANCE = 2e-4


def check(seed):
    """Whether the pass changed the graph, and how."""
    graph = LayoutGraph(seed)
    text = graph.text()
    after = apply_pass(text)
    worst = compare(graph, text, after, np.random.Generator(np.random.Philox(seed)))
    if not worst <= TOLERANCE:
        raise AssertionError(f"seed {seed}: differs by {worst}\n{text}\n{after}")
    return "layout = 1" in after


def count_transposes(*arguments):
    """In the kernels of @main; what is done once, at load, is not counted."""
    done = subprocess.run([BUILD / "bin" / "lathe", "compile", *arguments, "--emit", "kernels"],
                          capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise AssertionError(done.stderr)
    functions = re.split(r"\n  func\.func ", done.stdout)[1:]
    run = [body for body in functions if "lathe.load_for" not in body.split("\n", 1)[0]]
    assert run, "no function that runs"
    return sum(body.count("lathe.transpose") for body in run)


class Layout(unittest.TestCase):
    def setUp(self):
        if not (BUILD / "bin" / "lathe").exists():
            self.skipTest("lathe is not built")

    def test_random_graphs(self):
        changed = sum(check(seed) for seed in range(16))
        self.assertGreater(changed, 8, "graphs that the pass changes")

    def test_planted_bugs(self):
        """Every mistake is found in the first graph that can show it."""
        for plant in (fold_the_wrong_way, permute_the_wrong_operand):
            with self.subTest(plant.__name__):
                shown = found = 0
                for seed in range(100, 160):
                    graph = LayoutGraph(seed)
                    text = graph.text()
                    after = apply_pass(text)
                    wrong = plant(after)
                    if wrong == after:
                        continue
                    shown += 1
                    worst = compare(graph, text, wrong, np.random.Generator(np.random.Philox(seed)))
                    found += worst > 10 * TOLERANCE
                    if found == 2:
                        break
                self.assertEqual(found, 2, f"of {shown} graphs with the mistake")

    def test_no_transpose_left(self):
        for name in ("resnet50", "vgg16", "minilm", "bert-base", "char-gpt"):
            with self.subTest(name):
                self.assertEqual(count_transposes(MODELS / f"{name}.mlir"), 0)
        self.assertEqual(count_transposes(MODELS / "char-gpt.mlir", "--train"), 0)
        # Without the pass they are there, so the count can find them.
        self.assertEqual(count_transposes(MODELS / "minilm.mlir", "--no-layout"), 4)

    def test_no_transpose_on_cuda(self):
        self.assertEqual(count_transposes(MODELS / "minilm.mlir", "--target", "cuda-sim"), 0)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1].isdigit():
        seed, end, graphs = int(sys.argv[1]), time.time() + float(sys.argv[2]), 0
        changed = 0
        while time.time() < end:
            changed += check(seed)
            seed += 1
            graphs += 1
        print(f"{graphs} graphs, {changed} of them changed, all the same numbers")
    else:
        unittest.main()
