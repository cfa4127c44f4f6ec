"""lathe-precision: random graphs give the numbers of the same graph with its
roundings written out, planted mistakes are found, real weights keep their
answers, and training works on 16 bits.

`python test_precision.py SEED SECONDS` looks for trouble for as long as one likes."""

import itertools
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import unittest

import numpy as np

import cli
import lathe
import minilm_onnx
from test_random_graphs import BUILD, Graph

PRODUCT = re.compile(r"^( *)(%\w+) = lathe\.(linear|matmul|conv|attention) ([^:{]*?)( \{[^}]*\})? : \((.*)\) -> (tensor<\S+>)$", re.M)


class PrecisionGraph(Graph):
    """Products among everything else; no attention, whose parts round, too."""

    def step(self):
        value = self.random.choice(self.values[-4:])
        if len(value[1]) > 1 and self.random.random() < 0.4:
            return self.random.choice([self.linear, self.matmul])(value, value[1])
        return super().step()


def write_roundings(text, element):
    """Every product of rounded operands, rounded: what the pass is to compute,
    by other means."""
    numbers = itertools.count()

    def rounding(value, wide, name, indent):
        narrow = wide.replace("xf32>", f"x{element}>").replace("<f32>", f"<{element}>")
        return (f"{indent}{name}n = lathe.cast {value} to {element} : ({wide}) -> {narrow}\n"
                f"{indent}{name} = lathe.cast {name}n to f32 : ({narrow}) -> {wide}\n")

    def replace(match):
        indent, name, op, operands, attributes, types, result = match.groups()
        lines, rounded = "", []
        for value, wide in zip(operands.split(", "), types.split(", ")):
            rounded.append(f"%rounded{next(numbers)}")
            lines += rounding(value, wide, rounded[-1], indent)
        raw = f"%raw{next(numbers)}"
        lines += f"{indent}{raw} = lathe.{op} {', '.join(rounded)}{attributes or ''} : ({types}) -> {result}\n"
        return (lines + rounding(raw, result, name, indent)).rstrip("\n")

    return PRODUCT.sub(replace, text)


def apply_pass(text, element="bf16"):
    done = subprocess.run([BUILD / "bin" / "lathe-opt", f"--pass-pipeline=builtin.module(func.func(lathe-precision{{type={element}}}))", "-"],
                          input=text, capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise AssertionError(done.stderr)
    return done.stdout


def leave_low(text, ops, element="bf16"):
    """What reads the f32 form of a rounded value computes on 16 bits instead, as
    if the cast in between were not there."""
    for match in re.finditer(r"^( *)(%\w+) = lathe\.(\w+) (%\w+)( \{[^}]*\})? : \((tensor<\S+f32>)\) -> (tensor<\S*f32>)$", text, re.M):
        indent, name, op, operand, attributes, wide, result = match.groups()
        cast = re.search(rf"^ *{operand} = lathe\.cast (%\w+) to f32 : \(tensor<\S*{element}>\)", text, re.M)
        if not cast or op not in ops:
            continue
        low = result.replace("f32>", f"{element}>")
        wrong = (f"{indent}%low = lathe.{op} {cast[1]}{attributes or ''} : ({wide.replace('f32>', element + '>')}) -> {low}\n"
                 f"{indent}{name} = lathe.cast %low to f32 : ({low}) -> {result}")
        return text[:match.start()] + wrong + text[match.end():]
    return text


def drop_a_cast(text):
    return leave_low(text, ("tanh", "sigmoid", "erf", "gelu", "softplus", "silu"))


def reduce_in_16_bits(text):
    return leave_low(text, ("reduce_sum", "reduce_mean", "softmax", "log_softmax", "rms_norm"))


def run(graph, seed, forms):
    """Results of each form, (text, options), on the same inputs."""
    numbers = np.random.Generator(np.random.Philox(seed))
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        words = []
        for name, shape in graph.arguments:
            np.save(folder / f"{name[1:]}.npy", numbers.normal(size=shape).astype(np.float32))
            words.append(f"--input={name[1:]}={folder}/{name[1:]}.npy")
        results = []
        for i, (text, options) in enumerate(forms):
            file = folder / f"{i}.mlir"
            file.write_text(text)
            done = subprocess.run([BUILD / "bin" / "lathe", "run", "--quiet", "--no-cache", "--threads=1", *words, *options, "--output-dir", folder / f"{i}", file],
                                  capture_output=True, text=True, timeout=120)
            if done.returncode:
                raise AssertionError(f"{options}: {done.stderr[-1000:]}\n{text}")
            results.append([np.load(folder / f"{i}" / f"r{k}.npy").astype(np.float64) for k in range(len(graph.results))])
    return results


PLAIN = ("--no-fuse", "--no-optimize")


def distance(expected, found):
    """Largest difference, as a part of the largest value."""
    worst = 0.0
    for e, f in zip(expected, found):
        fine = np.isfinite(e)
        size = max(1.0, float(np.max(np.abs(e), initial=0.0, where=fine)))
        worst = max(worst, float(np.max(np.abs(f - e), initial=0.0, where=fine)) / size)
        if not np.array_equal(fine, np.isfinite(f)):
            return np.inf
    return worst


# The products of 16-bit floats are exact in f32, and both forms sum in one order.
TOLERANCE = 1e-6
# Schedules sum in other orders, and round before a bias is added: what that makes
# different is less than this, or at most twice what the roundings do to the answer.
SCHEDULED = 2.0 ** -7


def check(seed, *options):
    """Whether the pass changed the graph."""
    graph = PrecisionGraph(seed)
    text = graph.text()
    element = ("bf16", "f16")[seed % 4 == 3]
    after = apply_pass(text, element)
    for line in after.splitlines():
        if re.search(r"lathe\.(linear|matmul|conv) ", line):
            assert "f32" not in line, f"seed {seed}: {line}"
        elif re.search(r"lathe\.(reduce_|softmax|log_softmax|layer_norm|rms_norm|batch_norm)", line):
            assert element not in re.sub(r'"\w*"|%\w*', "", line), f"seed {seed}: {line}"
    expected, found, scheduled, exact = run(graph, seed, [
        (write_roundings(text, element), PLAIN), (after, PLAIN), (text, ("--precision", element, *options)), (text, ())])
    if not distance(expected, found) <= TOLERANCE:
        raise AssertionError(f"seed {seed}: differs by {distance(expected, found)}\n{text}\n{after}")
    if not distance(expected, scheduled) <= max(SCHEDULED, 2 * distance(expected, exact)):
        raise AssertionError(f"seed {seed}: differs by {distance(expected, scheduled)} as scheduled\n{text}")
    return element in after


class RandomGraphs(unittest.TestCase):
    def setUp(self):
        if not (BUILD / "bin" / "lathe").exists():
            self.skipTest("lathe is not built")

    def test_random_graphs(self):
        isas = ((), ("--isa=avx2",), ("--isa=sse",))
        changed = sum(check(seed, *isas[seed % 3]) for seed in range(18))
        self.assertGreater(changed, 12, "graphs that the pass changes")

    def test_on_the_simulated_gpu(self):
        for seed in range(200, 203):
            check(seed, "--target", "cuda-sim", "--no-sim-checks")

    def test_planted_bugs(self):
        """Every mistake is found in the first graphs that can show it."""
        for plant in (drop_a_cast, reduce_in_16_bits):
            with self.subTest(plant.__name__):
                shown = found = 0
                for seed in range(300, 400):
                    graph = PrecisionGraph(seed)
                    text = graph.text()
                    after = apply_pass(text)
                    wrong = plant(after)
                    if wrong == after:
                        continue
                    shown += 1
                    expected, result = run(graph, seed, [(write_roundings(text, "bf16"), PLAIN), (wrong, PLAIN)])
                    found += distance(expected, result) > 10 * TOLERANCE
                    if found == 2:
                        break
                self.assertEqual(found, 2, f"of {shown} graphs with the mistake")


class MiniLM(unittest.TestCase):
    """200 verses of the King James Bible, as vectors."""

    @classmethod
    def setUpClass(cls):
        cls.model = minilm_onnx.find_model()
        verses = [line for line in (BUILD / "data" / "kjv.txt").read_text().splitlines() if 40 < len(line) < 130]
        cls.inputs = minilm_onnx.tokenize(cls.model, verses[::len(verses) // 200][:200])
        cls.exact = cls.embed()

    @classmethod
    def embed(cls, *options):
        outputs, _ = lathe.run(lathe.MODELS / "minilm.mlir", cls.inputs, weights=cls.model / "model.safetensors", threads=2, options=options)
        return outputs["sentence_embedding"].astype(np.float64)

    def lowest_cosine(self, *options):
        found = self.embed(*options)
        self.assertEqual(len(found), 200)
        sizes = np.linalg.norm(found, axis=1) * np.linalg.norm(self.exact, axis=1)
        return float((np.sum(found * self.exact, axis=1) / sizes).min())

    def test_bf16(self):
        lowest = self.lowest_cosine("--precision", "bf16")
        self.assertGreaterEqual(lowest, 0.9999)
        self.assertLess(lowest, 1 - 1e-7, "nothing was rounded")

    def test_f16(self):
        self.assertGreaterEqual(self.lowest_cosine("--precision", "f16"), 0.99999)


class Training(cli.CommandLine):
    FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")

    def train(self, model, *words):
        self.works("train", lathe.MODELS / f"{model}.mlir", "--recipe", "none", "--data", f"image={self.FASHION}/t10k-images-idx3-ubyte.gz",
                   "--data", f"label={self.FASHION}/t10k-labels-idx1-ubyte.gz", "--log-every", "1", *words, seconds=200)

    def curve(self, folder):
        lines = [json.loads(line) for line in (self.folder / folder / "log.jsonl").read_text().splitlines()]
        return np.array([line["loss"] for line in lines if "loss" in line])

    def check(self, model, *words):
        for precision in ("f32", "bf16"):
            self.train(model, "--batch", "32", "--steps", "30", "--precision", precision, "--output-dir", precision, *words)
        exact, rounded = self.curve("f32"), self.curve("bf16")
        self.assertEqual(len(rounded), 30)
        self.assertLess(rounded[-5:].mean(), 0.85 * rounded[:5].mean())
        np.testing.assert_allclose(rounded, exact, rtol=0.05, atol=0.02)
        self.assertGreater(np.abs(rounded - exact).max(), 1e-6, "nothing was rounded")

    def test_mlp(self):
        self.check("fashion-mlp")

    def test_cnn(self):
        self.check("fashion-cnn")

    def test_mlp_on_the_simulated_gpu(self):
        self.train("fashion-mlp", "--batch", "16", "--steps", "10", "--precision", "bf16", "--output-dir", "cpu")
        self.train("fashion-mlp", "--batch", "16", "--steps", "10", "--precision", "bf16", "--output-dir", "sim", "--target", "cuda-sim", "--no-sim-checks")
        np.testing.assert_allclose(self.curve("sim"), self.curve("cpu"), rtol=0.02)


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
