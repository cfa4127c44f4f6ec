"""The product that quantize-report names first is the one to keep in floats: in
every scheme the outputs are closer then, on real weights. MiniLM's products are
compared with the one named last, too."""

import json
import unittest

import numpy as np

import cli
import lathe
import minilm_onnx
from folders import oracle

SCHEMES = ("int8-dynamic", "int8-static", "int8-weights", "int4-weights")


class WorstLayers(cli.CommandLine):
    def report(self, scheme, *keep):
        """Names, the worst first, a loop's by its worst layer; decibels of the outputs."""
        ranges = ("--ranges", "r.json") if scheme == "int8-static" else ()
        options = [word for name in keep for word in ("--keep", name)]
        self.works("quantize-report", self.model, "--weights", self.weights, *self.data, "--quantize", scheme, *ranges, *options,
                   "--json", "j.json", "--quiet", seconds=120)
        figures = json.loads((self.folder / "j.json").read_text())
        return list(dict.fromkeys(row["name"] for row in figures["products"])), figures["outputs"]

    def check(self, scheme, with_best):
        names, before = self.report(scheme)
        _, without_worst = self.report(scheme, names[0])
        line = f"{self.model.name} {scheme}: " + ", ".join(
            f"{output} {before[output]:.1f} dB, {without_worst[output]:.1f} without {names[0]}" for output in before)
        if with_best:
            _, without_best = self.report(scheme, names[-1])
            line += ", " + ", ".join(f"{value:.1f} without {names[-1]}" for value in without_best.values())
        print(line)
        for output in before:
            with self.subTest(scheme, output=output):
                self.assertGreater(without_worst[output], before[output] + 0.05)
                if with_best:
                    self.assertGreater(without_worst[output], without_best[output])


class MiniLM(WorstLayers):
    SECONDS = 30

    def setUp(self):
        super().setUp()
        self.model = lathe.MODELS / "minilm.mlir"
        self.weights = minilm_onnx.find_model() / "model.safetensors"
        for name in ("input_ids", "attention_mask", "token_type_ids"):
            np.save(self.folder / f"{name}.npy", np.load(oracle("minilm") / "batch" / f"{name}.npy")[:8])
        self.data = ("--data", self.folder, "--batch", "8")
        self.works("calibrate", self.model, "--weights", self.weights, *self.data, "-o", "r.json", "--quiet")

    def test_each_scheme(self):
        for scheme in SCHEMES:
            self.check(scheme, with_best=True)


class FashionCnn(WorstLayers):
    """Of few products, the ratio of one alone does not say how much of its noise
    reaches the output: that of the last one does in full. So the worst one is not
    always the one that pays most, but it always pays."""
    SECONDS = 15

    def setUp(self):
        super().setUp()
        self.model = lathe.MODELS / "fashion-cnn.mlir"
        self.works("train", self.model, "--steps", "100", "--quiet", "--output-dir", "run", seconds=200)
        self.weights = "run/best.safetensors"
        self.data = ()
        self.works("calibrate", self.model, "--weights", self.weights, "-o", "r.json", "--quiet")

    def test_each_scheme(self):
        for scheme in SCHEMES:
            self.check(scheme, with_best=False)


if __name__ == "__main__":
    unittest.main()
