"""Products of floats with weights in bytes on cuda-sim: they are dequantized
where the product reads them. Numbers are small integers and powers of two, so
every sum is exact and every bit must be that of the CPU."""

import pathlib
import random
import re
import subprocess
import tempfile
import unittest

import numpy as np
from safetensors.numpy import save_file

import lathe
from cuda_text import Texts
from test_cuda_random import tensor

DTYPE = {"i8": np.int8, "ui8": np.uint8, "f32": np.float32, "f16": np.float16}


def draw(rng, shape, element, kind):
    if kind == "scale":
        return (2.0 ** rng.integers(-3, 3, shape)).astype(DTYPE[element])
    if kind == "x":
        return rng.integers(-4, 5, shape).astype(DTYPE[element])
    low, high = (-50, 50) if kind == "zero" and element == "i8" else (0, 50) if kind == "zero" else (np.iinfo(DTYPE[element]).min, np.iinfo(DTYPE[element]).max + 1)
    return rng.integers(low, high, shape).astype(DTYPE[element])


class Model:
    def __init__(self, seed):
        self.random, self.numbers = random.Random(seed), np.random.default_rng(seed)
        self.inputs, self.lines, self.results = {}, [], []

    def argument(self, shape, element, kind):
        name = f"x{len(self.inputs)}"
        self.inputs[name] = draw(self.numbers, shape, element, kind)
        return f"%{name}", list(shape), element

    def op(self, name, operands, shape, element, attributes=""):
        value = f"%v{len(self.lines)}"
        types = ", ".join(tensor(s, e) for _, s, e in operands)
        self.lines.append(f"  {value} = lathe.{name} {', '.join(n for n, _, _ in operands)} {attributes} : ({types}) -> {tensor(shape, element)}")
        return value, list(shape), element

    def weight(self, shape, stored, element, group=0):
        """The dequantized weight; f32 where `element` is bf16, which files cannot hold."""
        axis = self.random.randrange(len(shape))
        if group:
            axis = self.random.choice([i for i, size in enumerate(shape) if size % group == 0])
            scales = [size // group if i == axis else size for i, size in enumerate(shape)]
        else:
            scales = self.random.choice([[], [shape[axis]]])
        # 16 bits are those of the scale, or f32 is rounded behind.
        result, element = element, element if element == "f32" or self.random.random() < 0.5 else "f32"
        scale = self.argument(scales, "f16" if element == "f16" else "f32", "scale")
        if element == "bf16":
            scale = self.op("cast", [scale], scales, "bf16", "to bf16")
        if self.random.random() < 0.5:
            zero = self.argument(scales, stored, "zero")
        else:
            number = self.random.choice([0, 3])
            self.lines.append(f"  %v{len(self.lines)} = lathe.constant dense<{number}> : {tensor(scales, stored)}")
            zero = f"%v{len(self.lines) - 1}", scales, stored
        attributes = f"axis = {axis} : i64" + (f", group = {group} : i64" if group else "")
        value = self.op("dequantize", [self.argument(shape, stored, "w"), scale, zero], shape, element, f"{{{attributes}}}")
        return value if result == element else self.op("cast", [value], shape, result, f"to {result}")

    def product(self, element, stored, group=0):
        m, n, k = (self.random.choice([1, 3, 8, 17, 32, 33, 64, 65, 100]) for _ in range(3))
        if group:
            n, k = (group * -(-size // group) for size in (n, k))
        kind = self.random.choice(["linear", "matmul", "matmul", "batch"])
        batch = [2] if kind == "batch" and not group else []
        x = self.argument([*batch, m, k], "f32" if element == "bf16" else element, "x")
        if element == "bf16":
            x = self.op("cast", [x], x[1], "bf16", "to bf16")
        if kind == "linear":
            value = self.op("linear", [x, self.weight([n, k], stored, element, group)], [m, n], element)
        else:
            flip = self.random.random() < 0.5
            w = self.weight([*batch, n, k] if flip else [*batch, k, n], stored, element, group)
            value = self.op("matmul", [x, w], [*batch, m, n], element, "{transpose_rhs}" if flip else "")
        if element == "bf16":
            value = self.op("cast", [value], value[1], "f32", "to f32")
        self.results.append(value)

    def text(self):
        names = {np.dtype(t): e for e, t in DTYPE.items()}
        arguments = ", ".join(f'%{n}: {tensor(v.shape, names[v.dtype])} {{lathe.name = "{n}"}}' for n, v in self.inputs.items())
        results = ", ".join(f'{tensor(s, e)} {{lathe.name = "y{i:03}"}}' for i, (_, s, e) in enumerate(self.results))
        values, types = ", ".join(n for n, _, _ in self.results), ", ".join(tensor(s, e) for _, s, e in self.results)
        return "\n".join([f"func.func @main({arguments}) -> ({results}) {{", *self.lines, f"  return {values} : {types}", "}", ""])


def make(seed, count=18, group=0):
    model = Model(seed)
    for i in range(count):
        model.product(("f32", "f16", "bf16")[i % 3], ("i8", "ui8")[i // 3 % 2], group)
    return model


class Weights(unittest.TestCase):
    SECONDS = 20

    def check(self, model):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "weights.mlir"
            path.write_text(model.text())
            expected, found = (lathe.run(path, model.inputs, options=["--target", target])[0] for target in ("cpu", "cuda-sim"))
            texts = subprocess.run([lathe.LATHE, "compile", path, "--emit", "cuda", "--arch", "sm_90a"], capture_output=True, text=True, check=True).stdout
        for i, (value, _, _) in enumerate(model.results):
            line = next(line for line in model.lines if line.startswith(f"  {value} ="))
            np.testing.assert_array_equal(found[f"y{i:03}"], expected[f"y{i:03}"], line)
        products = [text for text in re.split(r"\n(?=// \w+_[0-9a-f]{6}\n)", texts) if re.search(r"//   lathe\.(?:matmul|linear) ", text)]
        self.assertEqual(len(products), len(model.results))
        for text in products:
            self.assertRegex(text, r"//   lathe\.dequantize ")
            self.assertRegex(text, r'#include "lathe/gemm_(?:mma|simt)\.cuh"')

    def test_random(self):
        for seed in range(2):
            self.check(make(seed))

    def test_groups(self):
        self.check(make(7, group=8))

    def nibbles(self, cases, folder, seed=9):
        """Products with weights of 4 bits, known at load: the model, its inputs, its weights and what they give. Scales are parameters,
        so that their cast to bf16 and back is not folded."""
        rng, lines, inputs, expected = np.random.default_rng(seed), [], {}, {}
        arguments, results, values, scales = [], [], [], {}

        def constant(array, element):
            lines.append(f'  %v{len(lines)} = lathe.constant dense<"0x{array.tobytes().hex().upper()}"> : {tensor(array.shape, element)}')
            return f"%v{len(lines) - 1}", tensor(array.shape, element)

        for i, (m, k, n, group, isLinear, element) in enumerate(cases):
            axis, shape = (1, (n, k)) if isLinear else (0, (k, n))
            groups = -(-k // group) if group else 1
            q = rng.integers(-8, 8, shape).astype(np.int8)
            scale = (2.0 ** rng.integers(-3, 3, (n, groups) if isLinear else (groups, n))).astype(np.float32)
            x = inputs[f"x{i}"] = rng.integers(-4, 5, (m, k)).astype(np.float32)
            scales[f"s{i}"], wide = scale, tensor(scale.shape, "f32")
            lines.append(f"  %s{i} = lathe.get_parameter @s{i} : {wide}")
            if element == "bf16":
                narrow = tensor(scale.shape, "bf16")
                lines.append(f"  %n{i} = lathe.cast %s{i} to bf16 : ({wide}) -> {narrow}")
                lines.append(f"  %w{i} = lathe.cast %n{i} to f32 : ({narrow}) -> {wide}")
            operands = [constant(q, "i8"), (f"%{'w' if element == 'bf16' else 's'}{i}", wide), constant(np.zeros(scale.shape, np.int8), "i8")]
            attributes = f"axis = {axis} : i64, group = {group} : i64, storage = !quant.any<i4:f32>"
            lines.append(f"  %v{len(lines)} = lathe.dequantize {', '.join(v for v, _ in operands)} {{{attributes}}} : "
                         f"({', '.join(t for _, t in operands)}) -> {tensor(shape, 'f32')}")
            lines.append(f"  %y{i} = lathe.{'linear' if isLinear else 'matmul'} %x{i}, %v{len(lines) - 1} : "
                         f"({tensor(x.shape, 'f32')}, {tensor(shape, 'f32')}) -> {tensor((m, n), 'f32')}")
            weight = q * (np.repeat(scale, group or k, axis)[:, :k] if isLinear else np.repeat(scale, group or k, axis)[:k])
            expected[f"y{i}"] = x @ (weight.T if isLinear else weight)
            arguments.append(f'%x{i}: {tensor(x.shape, "f32")} {{lathe.name = "x{i}"}}')
            results.append(f'{tensor((m, n), "f32")} {{lathe.name = "y{i}"}}')
            values.append(f"%y{i}")
        types = ", ".join(result.split(" ")[0] for result in results)
        text = "\n".join([*(f"lathe.parameter @{name} : {tensor(scale.shape, 'f32')}" for name, scale in scales.items()),
                          f"func.func @main({', '.join(arguments)}) -> ({', '.join(results)}) {{", *lines,
                          f"  return {', '.join(values)} : {types}", "}", ""])
        weights = pathlib.Path(folder) / "weights.safetensors"
        save_file(scales, weights)
        return text, inputs, weights, expected

    # Odd depths, last groups that are shorter, columns that are no whole panels.
    NIBBLES = [(1, 64, 64, 32, True, "bf16"), (20, 64, 40, 0, True, "f32"), (33, 75, 100, 32, True, "bf16"), (33, 75, 100, 32, True, "f32"),
               (5, 161, 3, 64, False, "bf16"), (70, 96, 129, 128, False, "f32")]

    def test_two_weights_to_a_byte(self):
        with tempfile.TemporaryDirectory() as folder:
            text, inputs, weights, expected = self.nibbles(self.NIBBLES, folder)
            path = pathlib.Path(folder) / "nibbles.mlir"
            path.write_text(text)
            for options in ([], ["--precision", "tf32"], ["--no-optimize"]):
                found, _ = lathe.run(path, inputs, weights, options=["--target", "cuda-sim", *options])
                for name, array in expected.items():
                    np.testing.assert_array_equal(found[name], array, f"{name} with {options}")
            texts = subprocess.run([lathe.LATHE, "compile", path, "--emit", "cuda", "--arch", "sm_80"], capture_output=True, text=True, check=True).stdout
        self.assertEqual(texts.count("row % 2 * 4"), len(expected))
        self.assertEqual(texts.count("const Pack<bf16, N> s = loadPack"), sum(case[-1] == "bf16" for case in self.NIBBLES))

    def test_faults_of_nibbles(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        text, inputs, weights, expected = self.nibbles([(20, 64, 40, 32, True, "bf16")], folder.name)

        def is_right(changes):
            texts = Texts(text)
            texts.options = ["--weights", weights]
            texts.inline("SimtTile", changes)
            outputs, error = texts.run(inputs)
            self.assertIsNone(error)
            return (outputs["y0"] == expected["y0"]).all()
        self.assertTrue(is_right([]))
        for old, new in (("row % 2 * 4", "(row + 1) % 2 * 4"), (" - 8)", ")"), ("row / 32", "row / 64"), ("row / 2)", "row / 4)"),
                         ("toFloat(s.at[i])", "(float)s.at[i].bits")):
            self.assertFalse(is_right([(old, new)]), new)

    def run_changed(self, changes):
        model = Model(5)
        x, w = model.argument([20, 64], "f16", "x"), model.argument([40, 64], "ui8", "w")
        s, z = model.argument([40], "f16", "scale"), model.argument([40], "ui8", "zero")
        w = model.op("dequantize", [w, s, z], [40, 64], "f16", "{axis = 0 : i64}")
        model.results.append(model.op("linear", [x, w], [20, 40], "f16"))
        a, q, scale, zero = (value.astype(np.float64) for value in model.inputs.values())
        texts = Texts(model.text())
        texts.inline("MmaTile", changes)
        outputs, error = texts.run(model.inputs)
        self.assertIsNone(error)
        return (outputs["y000"] == (a @ ((q - zero[:, None]) * scale[:, None]).T).astype(np.float16)).all()

    def test_faults(self):
        self.assertTrue(self.run_changed([]))
        for old, new in (
                ("((float)q.at[i] - z) * s", "(float)q.at[i] * s"),
                ("scale[n]", "scale[k % 40]"),
                ("(float)q.at[i] - z", "(float)(i8)q.at[i] - z"),
                ("elements = from.template get<vector>(batch, row, k);", "elements = from.template get<vector>(batch, row, k ^ 8);")):
            self.assertFalse(self.run_changed([(old, new)]), new)


if __name__ == "__main__":
    unittest.main()
