"""lathe-precision: real weights keep their answers, and training works on 16 bits.
Random graphs are in test_random_passes.py."""

import json
import pathlib
import unittest

import numpy as np

import cli
import lathe
import minilm_onnx
from folders import BUILD


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
    unittest.main()
