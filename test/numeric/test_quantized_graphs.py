"""lathe-quantize and lathe-integer-products over random graphs of products: what
quantize rounds stays near the numbers in floats, and products of integers give what
products of the rounded floats give. Planted mistakes in either are found.

`python test_quantized_graphs.py SEED SECONDS` looks for trouble for as long as one likes."""

import random
import re
import subprocess
import sys
import time
import unittest

import numpy as np

from test_layout import BUILD, compare
from test_random_graphs import Graph, ints

# The dims of one size, so that a scale along a wrong axis is a wrong number and no type error.
SIZE = 8
# Of the largest result. Sums of rounded floats differ from exact ones by their own rounding.
ROUNDING = {"int8-dynamic": 0.03, "int8-weights": 0.02, "int8-weights:32": 0.02, "int4-weights": 0.3, "int4-weights:64": 0.3}
EXACT = 1e-5
SCHEMES = ["int8-dynamic", "int8-weights", "int8-dynamic", "int4-weights", "int8-dynamic", "int8-weights:32", "int4-weights:64"]


class ProductGraph(Graph):
    """Products with weights, none of them of what another one gave: there a last bit
    could move a number by a whole step."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.values, self.arguments, self.parameters, self.lines = [], [], [], []
        for shape in ([3, SIZE, SIZE], [SIZE, SIZE], [2, SIZE, SIZE, SIZE]):
            self.add_argument(shape)
        for _ in range(2):
            x = self.random.choice(self.values)
            self.emit(self.random.choice(["tanh", "relu", "gelu", "abs"]), [x], x[1])
        inputs, made = list(self.values), []
        for _ in range(self.random.randint(1, 4)):
            x = self.random.choice(inputs)
            kinds = ["linear", "matmul"] + ["conv"] * 3 * (len(x[1]) == 4)
            getattr(self, self.random.choice(kinds))(x, x[1])
            made.append(self.values[-1])
            if self.random.random() < 0.5:
                self.emit("relu", made[-1:], made[-1][1])
                made[-1] = self.values[-1]
        self.results = made

    def weight(self, shape, init="normal, 0.0, 0.5"):
        """Always a parameter: what is quantized is known at load."""
        name = f"%p{len(self.parameters)}"
        kind = f"tensor<{''.join(f'{size}x' for size in shape)}f32>"
        self.parameters.append(f"lathe.parameter @{name[1:]} : {kind} {{init = #lathe.init<{init}>}}")
        self.lines.append(f"  {name} = lathe.get_parameter @{name[1:]} : {kind}")
        return name, tuple(shape)

    def linear(self, x, shape):
        operands = [x, self.weight([SIZE, SIZE])]
        if self.random.random() < 0.6:
            operands.append(self.weight([SIZE]))
        self.emit("linear", operands, shape)

    def matmul(self, x, shape):
        flags = [flag for flag in ("transpose_lhs", "transpose_rhs") if self.random.random() < 0.5]
        batch = shape[:-2] if self.random.random() < 0.3 else ()
        operands = [x, self.weight([*batch, SIZE, SIZE])]
        if len(batch) == 0 and self.random.random() < 0.3:
            operands.reverse()
        self.emit("matmul", operands, shape, ", ".join(flags))

    def conv(self, x, shape):
        groups, pad, kernel = self.random.choice([1, 2, SIZE]), self.random.choice([0, 1]), self.random.choice([1, 3])
        out = [size + 2 * pad - kernel + 1 for size in shape[2:]]
        operands = [x, self.weight([SIZE, SIZE // groups, kernel, kernel])]
        if self.random.random() < 0.5:
            operands.append(self.weight([SIZE]))
        self.emit("conv", operands, [*shape[:2], *out],
                  f"pad_low = {ints([pad] * 2)}, pad_high = {ints([pad] * 2)}, groups = {groups} : i64")


def apply(text, *passes):
    done = subprocess.run([BUILD / "bin" / "lathe-opt", *passes, "-"], input=text, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise AssertionError(done.stderr)
    return done.stdout


def quantize(text, scheme):
    name, _, group = scheme.partition(":")
    return apply(text, f"--lathe-quantize=scheme={name} group={group or 0}")


def half_the_scale(text):
    """A weight's scale is max|w| / 254: large weights saturate."""
    return text.replace("dense<1.270000e+02>", "dense<2.540000e+02>", 1)


def zero_point_of_the_wrong_end(text):
    """A row's zero point is made of its largest number."""
    found = re.search(r"(%\S+) = lathe\.neg (%\S+) : (.*)", text)
    if not found:
        return text
    largest = re.findall(r"(%\S+) = lathe\.max .*", text[:found.start()])[-1]
    return text[:found.start(2)] + largest + text[found.end(2):]


def drop_the_zero_point(text):
    """The part of a zero point is not taken off the sum."""
    found = re.search(r"= lathe\.sub (%\S+), (%\S+) : \((tensor<\S*i32>), (tensor<\S*i32>)\)", text)
    if not found:
        return text
    line = text.rfind("\n", 0, found.start()) + 1
    return (text[:line] + "    %plant = lathe.constant dense<0> : tensor<i32>\n" + text[line:found.start()] +
            f"= lathe.sub {found[1]}, %plant : ({found[3]}, tensor<i32>)" + text[found.end():])


def scale_along_the_wrong_axis(text):
    """Scales per column are taken as scales per row."""
    found = re.search(r"lathe\.mul (%\S+), (%\S+) : \((tensor<8x8xf32>|tensor<3x8x8xf32>), (tensor<8xf32>)\)", text)
    if not found:
        return text
    line = text.rfind("\n", 0, found.start()) + 1
    turned = f"    %plant = lathe.reshape {found[2]} {{shape = array<i64: 8, 1>}} : (tensor<8xf32>) -> tensor<8x1xf32>\n"
    use = f"lathe.mul {found[1]}, %plant : ({found[3]}, tensor<8x1xf32>)"
    return text[:line] + turned + text[line:found.start()] + use + text[found.end():]


def differ(graph, seed, before, after):
    return compare(graph, before, after, np.random.Generator(np.random.Philox(seed)))


def check(seed):
    """The number of products that became integers."""
    graph = ProductGraph(seed)
    text, scheme = graph.text(), SCHEMES[seed % len(SCHEMES)]
    rounded = quantize(text, scheme)
    worst = differ(graph, seed, text, rounded)
    if not worst <= ROUNDING[scheme]:
        raise AssertionError(f"seed {seed}: {scheme} differs by {worst}\n{text}\n{rounded}")
    integers = apply(rounded, "--lathe-integer-products")
    worst = differ(graph, seed, rounded, integers)
    if not worst <= EXACT:
        raise AssertionError(f"seed {seed}: integers differ by {worst}\n{rounded}\n{integers}")
    products = len(re.findall(r"lathe\.(?:linear|matmul|conv) .*-> tensor<\S*i32>", integers))
    if scheme == "int8-dynamic" and products < len(graph.results):
        raise AssertionError(f"seed {seed}: {products} of {len(graph.results)} products are of integers\n{integers}")
    return products


class QuantizedGraphs(unittest.TestCase):
    SECONDS = 30

    def setUp(self):
        if not (BUILD / "bin" / "lathe").exists():
            self.skipTest("lathe is not built")

    def test_random_graphs(self):
        self.assertGreater(sum(check(seed) for seed in range(8)), 4)

    def find(self, plant, tolerance, make):
        """The mistake is found in the first two graphs that can show it."""
        shown = found = 0
        for seed in range(100, 140):
            graph = ProductGraph(seed)
            before, after = make(graph.text())
            wrong = plant(after)
            if wrong == after:
                continue
            shown += 1
            found += differ(graph, seed, before, wrong) > 2 * tolerance
            if found == 2:
                break
        self.assertEqual(found, 2, f"of {shown} graphs with the mistake {plant.__name__}")

    def test_mistakes_in_quantize(self):
        for plant in (half_the_scale, zero_point_of_the_wrong_end):
            self.find(plant, ROUNDING["int8-dynamic"], lambda text: (text, quantize(text, "int8-dynamic")))

    def test_mistakes_in_integer_products(self):
        def make(text):
            rounded = quantize(text, "int8-dynamic")
            return rounded, apply(rounded, "--lathe-integer-products")
        for plant in (drop_the_zero_point, scale_along_the_wrong_axis):
            self.find(plant, EXACT, make)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1].isdigit():
        seed, end, graphs = int(sys.argv[1]), time.time() + float(sys.argv[2]), 0
        while time.time() < end:
            check(seed)
            seed += 1
            graphs += 1
        print(f"{graphs} graphs, all within the errors stated")
    else:
        unittest.main()
