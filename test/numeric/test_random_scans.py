"""Random loops in training: whatever of their values is kept or computed again,
and without optimization, a step ends at the same weights."""

import pathlib
import random
import shutil
import unittest

import numpy as np
from safetensors.numpy import load_file

import cli

LEVELS = range(5)  # CompileOptions::recompute
SEED, MODELS = 4, 6
TRIPS = 6
ROW, SQUARE = "tensor<4x8xf32>", "tensor<8x8xf32>"
STACK = f"tensor<{TRIPS}x4x8xf32>"
PARAMETERS = {"w0": SQUARE, "w1": SQUARE, "c0": ROW, "c1": ROW, "ws": f"tensor<{TRIPS}x8x8xf32>", "us": "tensor<3x4x8xf32>"}


class Body:
    """Ops on rows, one after another, of random values before them; loops in
    loops."""

    def __init__(self, rng):
        self.rng, self.lines, self.made = rng, [], 0

    def name(self):
        self.made += 1
        return f"%t{self.made}"

    def op(self, text):
        result = self.name()
        self.lines.append(f"{result} = lathe.{text}")
        return result

    def row(self, values, weights, may_loop):
        rng = self.rng
        a, b = rng.choice(values), rng.choice(values)
        kind = rng.choices(("unary", "binary", "product", "softmax", "centred", "loop"), (30, 30, 20, 8, 6, 6))[0]
        if kind == "binary":
            return self.op(f"{rng.choice(('add', 'mul', 'sub'))} {a}, {b} : ({ROW}, {ROW}) -> {ROW}")
        if kind == "product":
            return self.op(f"matmul {a}, {rng.choice(weights)} : ({ROW}, {SQUARE}) -> {ROW}")
        if kind == "softmax":
            return self.op(f"softmax {a} {{axis = 1 : i64}} : ({ROW}) -> {ROW}")
        if kind == "centred":
            axis = rng.randrange(2)
            mean = ("tensor<1x8xf32>", "tensor<4x1xf32>")[axis]
            middle = self.op(f"reduce_mean {a} {{axes = array<i64: {axis}>, keepdims = true}} : ({ROW}) -> {mean}")
            return self.op(f"sub {a}, {middle} : ({ROW}, {mean}) -> {ROW}")
        if kind == "loop" and may_loop:
            result, state, given = self.name(), self.name(), self.name()
            self.lines.append(f"{result} = lathe.scan init({state} = {a}) inputs({given} = %us) : "
                              f"({ROW}, {PARAMETERS['us']}) -> {ROW} {{")
            inner = self.rows([*values, state, given], weights, rng.randint(2, 4), False)
            end = self.op(f"tanh {inner[-1]} : ({ROW}) -> {ROW}")
            self.lines += [f"lathe.yield {end} : {ROW}", "}"]
            return result
        return self.op(f"{rng.choice(('tanh', 'sigmoid', 'sin', 'gelu', 'cos'))} {a} : ({ROW}) -> {ROW}")

    def rows(self, values, weights, count, may_loop=True):
        values = list(values)
        for _ in range(count):
            values.append(self.row(values, weights, may_loop))
        return values


def make_model(rng):
    """A loss of what a loop of random ops carries and stacks."""
    carried, stacked = rng.randint(1, 2), rng.randint(0, 2)
    body = Body(rng)
    begin = [f"%c{i}" for i in range(carried)]
    rows = body.rows([*begin, "%x"], ("%w0", "%w1", "%w"), rng.randint(3, 9))[carried + 1:]
    ends = [body.op(f"tanh {rng.choice(rows)} : ({ROW}) -> {ROW}") for _ in range(carried)]
    yielded = ends + [rng.choice([*rows, ends[0]]) for _ in range(stacked)]
    types = [ROW] * carried + [STACK] * stacked
    after, loss = Body(rng), None
    for i, type in enumerate(types):
        if i > 0 and rng.random() < 0.2:
            continue  # a result that nobody reads
        value = f"%r#{i}" if len(types) > 1 else "%r"
        if rng.random() < 0.5:
            value = after.op(f"sin {value} : ({type}) -> {type}")
        mean = after.op(f"reduce_mean {value} {{axes = array<i64>, keepdims = false}} : ({type}) -> tensor<f32>")
        loss = mean if loss is None else after.op(f"add {loss}, {mean} : (tensor<f32>, tensor<f32>) -> tensor<f32>")
    after.lines = [line.replace("%t", "%m") for line in after.lines]
    parameters = "\n".join(f"lathe.parameter @{name} : {type} {{init = #lathe.init<normal, 0.0, 0.4>}}"
                           for name, type in PARAMETERS.items())
    taken = "\n".join(f"  %{name}{'s' if name in ('c0', 'c1') else ''} = lathe.get_parameter @{name} : {type}"
                      for name, type in PARAMETERS.items())
    results = f"%r:{len(types)}" if len(types) > 1 else "%r"
    lines = "\n    ".join([*body.lines, f"lathe.yield {', '.join(yielded)} : {', '.join([ROW] * len(types))}"])
    inits = ", ".join(f"{name} = {name}s" for name in begin)
    return f"""{parameters}
func.func @loss(%xs: {STACK} {{lathe.name = "x"}}) -> (tensor<f32> {{lathe.name = "loss"}}) {{
{taken}
  {results} = lathe.scan init({inits}) inputs(%x = %xs, %w = %ws){' {reverse}' if rng.random() < 0.3 else ''} : ({', '.join([ROW] * carried + [STACK, PARAMETERS['ws']])}) -> ({', '.join(types)}) {{
    {lines}
  }}
  {chr(10).join(after.lines)}
  return {loss.replace("%t", "%m")} : tensor<f32>
}}
"""


class RandomScans(cli.CommandLine):
    def step(self, *options):
        """The weights after a step whose length is the gradient."""
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        self.works("train", "m.mlir", "--data", "x=x.npy", "--batch", str(TRIPS), "--steps", "1", "--optimizer", "sgd", "--momentum", "0",
                   "--weight-decay", "0", "--schedule", "constant", "--learning-rate", "1", "--seed", "3", "--quiet", "--no-metrics",
                   "--no-tensorboard", "--output-dir", "out", "--save", "w.safetensors", *options)
        return load_file(self.folder / "w.safetensors")

    def test_the_same_weights_whatever_is_computed_again(self):
        rng = random.Random(SEED)
        np.save(self.folder / "x.npy", np.random.default_rng(0).standard_normal((2 * TRIPS, 4, 8)).astype(np.float32))
        for number in range(MODELS):
            self.write("m.mlir", make_model(rng))
            plain = self.step("--recompute", "0", "--no-optimize")
            for level in LEVELS:
                with self.subTest(model=number, level=level):
                    for name, value in self.step("--recompute", level).items():
                        np.testing.assert_allclose(value, plain[name], rtol=0, atol=2e-5, err_msg=name)


if __name__ == "__main__":
    unittest.main()
