"""The models of full size: a train step on the CPU has JAX's gradients in f32,
and the step compiles for both targets, quickly.

A step of plain gradient descent with a rate of 2^20 moves every weight by its
gradient, beside which the weight itself does not count."""

import json
import re
import resource
import unittest

import numpy as np

import jax_models
from cli import CommandLine
from lathe import MODELS, slow, train_steps
from test_training_curves import batches

RATE = 2.0**20
# Softmax does not see a key's bias, nor a norm what a block in front adds to all.
INVISIBLE = re.compile(r"self\.key\.bias|bn3\.bias|downsample\.1\.bias")
BIG = ("gpt2-124m", "bert-base", "resnet50", "vgg16", "vit-b16")


def clear(values):
    """Values for which rounding decides nothing. Where one of millions of inputs of
    a ReLU lies next to 0, or two of a max pooling next to each other, rounding
    says where a gradient goes, and one such place is a hundredth of some gradient:
    with random values JAX's own gradients in f32 and f64 differ by 12 % in
    ResNet-50 and 0.3 % in VGG-16.
    VGG's filters have two weights each, and no bias: sums are as exact as can be. ResNet's norms move what goes
    into a ReLU 3.5 deviations away from 0, where one in a thousand is left on the other side (at 3 some lie within
    rounding of 0; far out no gradient of a bias is left), and what a block adds is small and positive."""
    random = np.random.Generator(np.random.Philox(3))
    for name, value in values.items():
        if re.fullmatch(r"features\..*\.weight", name):
            rows, size = len(value), value[0].size
            taps = np.stack([random.choice(size, 2, replace=False) for _ in range(rows)])
            value[:] = 0
            value.reshape(rows, size)[np.arange(rows)[:, None], taps] = random.choice([-1, 1, 1], (rows, 2)) * random.uniform(
                0.6, 1.4, (rows, 2))
        elif re.fullmatch(r"features\..*\.bias", name):
            value[:] = 0
        elif re.search(r"bn[12]\.bias", name):
            value[:] = np.where(random.random(value.shape) < 0.6, 3.5, -3.5) * (1 + 0.1 * random.random(value.shape))
        elif re.search(r"bn3\.bias|downsample\.1\.bias", name):
            value[:] = 3 + 0.3 * random.random(value.shape)
        elif "bn3.weight" in name:
            value *= 0.2


class Gradients(unittest.TestCase):
    """The largest error of a parameter's gradient over its largest element; of those
    that are 0 but for rounding, over a thousandth of the largest gradient of all."""
    SECONDS = 120

    def check(self, name, size, dropout=()):
        text, model = jax_models.text_of(name), jax_models.MODELS[name]
        parameters = jax_models.declared(text)
        values = jax_models.initial(parameters, seed=1, dtype=np.float32)
        clear(values)
        inputs, extra = batches(model.batch, 1, size, dropout)
        first = {key: array[0] for key, array in (inputs | extra).items()}
        loss, gradients, statistics = model.gradients(values, first)
        self.assertEqual(set(gradients) | set(statistics), set(parameters))
        found = train_steps(text, inputs, values, timeout=500, optimizer="sgd", learning_rate=RATE, momentum=0,
                            weight_decay=0, schedule="constant", threads=2)
        self.assertLess(abs(found["loss"][0] - loss), 1e-4 * abs(loss))
        most = max(np.abs(g).max() for g in gradients.values())
        for key, expected in gradients.items():
            with self.subTest(parameter=key):
                error = np.abs((values[key] - found[key][0]) / RATE - expected).max()
                least = 1e-3 * most if INVISIBLE.search(key) else 0
                self.assertLess(error, 1e-3 * max(np.abs(expected).max(), least))
        for key, expected in statistics.items():
            with self.subTest(statistic=key):
                self.assertLess(np.abs(found[key][0] - expected).max() / np.abs(expected).max(), 1e-3)

    @slow(60)
    def test_gpt2(self):
        self.check("gpt2-124m", 2)

    @slow(60)
    def test_bert(self):
        self.check("bert-base", 2)

    @slow(120)
    def test_resnet50(self):
        self.check("resnet50", 2)

    @slow(60)
    def test_vgg16(self):
        self.check("vgg16", 1, dropout=[4096, 4096])

    @slow(60)
    def test_vit(self):
        self.check("vit-b16", 1)


class Compiling(CommandLine):
    """Train steps of the models, for the CPU and as CUDA by NVRTC for sm_90a."""
    SECONDS = 15

    def compile(self, name, *options):
        self.works("compile", MODELS / f"{name}.mlir", "--train", "--dim", "batch=2", "-o", "step", "--json", "json",
                   *options, seconds=500)
        return json.loads((self.folder / "json").read_text())

    def test_kernels(self):
        """The graph passes of all five: every parameter has its new value. Loops
        stay loops: a model of ten layers more would have as many kernels."""
        for name, most in (("gpt2-124m", 160), ("bert-base", 180), ("resnet50", 900), ("vgg16", 400), ("vit-b16", 160)):
            with self.subTest(name):
                text = self.works("compile", MODELS / f"{name}.mlir", "--train", "--dim", "batch=2", "--emit", "kernels",
                                  seconds=120).stdout
                written = set(re.findall(r"lathe\.set_parameter @([^\s,]+)", text))
                written = {key.strip('"') for key in written if not key.strip('"').startswith(("train.", "optimizer."))}
                self.assertEqual(written, set(jax_models.parameters_of(name)))
                self.assertLess(text.count("lathe.kernel "), most)

    @slow(60)
    def test_cpu(self):
        for name in BIG:
            with self.subTest(name):
                self.assertGreater(self.compile(name)["kernels"], 40)

    @slow(300)
    def test_cuda(self):
        for name in BIG:
            with self.subTest(name):
                self.assertGreater(self.compile(name, "--target", "cuda", "--arch", "sm_90a")["kernels"], 40)

    @slow(40)
    def test_bert_compiles_quickly(self):
        """10 s without the cache, 1 s with it. Where the machine has more to do, what
        counts is the processors' time, which is no less than it takes alone."""
        for target in (("--target", "cpu"), ("--target", "cuda", "--arch", "sm_90a")):
            for from_cache, limit in ((False, 10), (True, 1)):
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                figures = self.compile("bert-base", *target)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                print(f"{target[1]}, from the cache: {from_cache}: {figures['compile_ms'] / 1e3:.2f} s, "
                      f"{used:.2f} s of processors", flush=True)
                self.assertEqual(figures["from_cache"], from_cache)
                self.assertLess(min(used, figures["compile_ms"] / 1e3), limit, target)


if __name__ == "__main__":
    unittest.main()
