"""What --quantize costs: all-MiniLM-L6-v2 with its real weights over 200 sentences
that it was not calibrated on, and Fashion-MNIST classifiers that are trained here."""

import gzip
import pathlib
import unittest

import numpy as np

import cli
import lathe
import minilm_onnx
from folders import BUILD

VERSES = BUILD / "data" / "kjv.txt"
FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")


def sentences(first, count):
    """Verses from all over the text, of 40 to 200 letters."""
    lines = [line for line in VERSES.read_text().splitlines() if 40 <= len(line) <= 200]
    step = len(lines) // count
    return [lines[i * step + first] for i in range(count)]


def ranks(values):
    return np.argsort(np.argsort(values))


def spearman(a, b):
    """Of the similarities of all pairs."""
    pairs = np.triu_indices(len(a), 1)
    return np.corrcoef(ranks((a @ a.T)[pairs]), ranks((b @ b.T)[pairs]))[0, 1]


class MiniLM(cli.CommandLine):
    SECONDS = 45
    MODEL = lathe.MODELS / "minilm.mlir"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if not VERSES.exists():
            import kjv
            VERSES.parent.mkdir(parents=True, exist_ok=True)
            VERSES.write_text(kjv.text())
        cls.folder_of_weights = minilm_onnx.find_model()
        cls.tokens = minilm_onnx.tokenize(cls.folder_of_weights, sentences(0, 200), length=64)
        cls.exact = cls.embed(cls)

    def embed(self, *options, weights=None):
        """[200, 384], in batches of 50."""
        weights = weights or self.folder_of_weights / "model.safetensors"
        parts = []
        for start in range(0, 200, 50):
            inputs = {name: array[start:start + 50, :64] for name, array in self.tokens.items()}
            outputs, _ = lathe.run(self.MODEL, inputs, weights=weights, threads=2, options=options)
            parts.append(outputs["sentence_embedding"])
        return np.concatenate(parts)

    def judge(self, least, *options, least_order=0.98, least_mean=0, weights=None):
        found = self.embed(*options, weights=weights)
        cosine = (found * self.exact).sum(1) / np.linalg.norm(found, axis=1)
        order = spearman(self.exact, found)
        print(f"minilm {' '.join(map(str, options))}: cosine at least {cosine.min():.5f}, mean {cosine.mean():.5f}, Spearman {order:.5f}")
        self.assertGreaterEqual(cosine.min(), least)
        self.assertGreaterEqual(cosine.mean(), least_mean)
        self.assertGreaterEqual(order, least_order)
        # Something was rounded.
        self.assertLess(cosine.min(), 1 - 1e-6)

    def test_int8_dynamic(self):
        self.judge(0.99, "--quantize", "int8-dynamic")

    def write_data(self):
        """Other sentences than those it is judged by."""
        folder = self.folder / "data"
        if folder.exists():
            return folder
        folder.mkdir()
        for name, array in minilm_onnx.tokenize(self.folder_of_weights, sentences(7, 64), length=64).items():
            np.save(folder / f"{name}.npy", array)
        return folder

    def calibrate(self, *options):
        """Their ranges."""
        self.works("calibrate", self.MODEL, "--weights", self.folder_of_weights / "model.safetensors", "--data", self.write_data(),
                   "-o", "ranges.json", *options, seconds=120)
        return self.folder / "ranges.json"

    def test_int8_static(self):
        static = ["--quantize", "int8-static", "--ranges", self.calibrate()]
        # One range for all tokens: the mean is above 0.99, not every sentence; the worst layer is the second dense one.
        self.judge(0.98, *static, least_mean=0.99)
        line = next(i for i, text in enumerate(self.MODEL.read_text().splitlines(), 1) if "%f2 = lathe.linear" in text)
        self.judge(0.99, *static, "--keep", f"minilm.mlir:{line}:*")

    def test_float8(self):
        self.judge(0.994, "--quantize", "fp8")
        self.judge(0.994, "--quantize", "fp8:128")
        self.judge(0.994, "--quantize", "fp8-weights")
        self.judge(0.994, "--precision", "fp8", "--ranges", self.calibrate())

    def test_int8_static_smoothed(self):
        ranges = self.calibrate("--smooth", 0.8)
        self.judge(0.99, "--quantize", "int8-static", "--ranges", ranges, least_order=0.99, least_mean=0.995)

    def test_weights_alone(self):
        self.judge(0.999, "--quantize", "int8-weights")
        # To the nearest of 16 numbers.
        self.judge(0.95, "--quantize", "int4-weights", least_order=0.975)

    def test_compensated_weights(self):
        self.works("compensate", self.MODEL, "--weights", self.folder_of_weights / "model.safetensors", "--data", self.write_data(),
                   "--quantize", "int4-weights", "-o", "new.safetensors", seconds=200)
        self.judge(0.98, "--quantize", "int4-weights", weights=self.folder / "new.safetensors", least_order=0.985, least_mean=0.988)


class Fashion(cli.CommandLine):
    """Accuracy over the 10,000 images of the test set, after few steps of training
    or, where there is time, after all that the recipe says."""
    SECONDS = 40

    def train(self, name, folder, *options, seconds=200):
        self.works("train", lathe.MODELS / f"{name}.mlir", "--quiet", "--output-dir", folder, *options, seconds=seconds)

    def points(self, name, *options, folder="run"):
        image = np.frombuffer(gzip.open(FASHION / "t10k-images-idx3-ubyte.gz").read(), np.uint8, offset=16).reshape(-1, 28, 28)
        label = np.frombuffer(gzip.open(FASHION / "t10k-labels-idx1-ubyte.gz").read(), np.uint8, offset=8)
        right = 0
        for start in range(0, 10000, 2000):
            outputs, _ = lathe.run(lathe.MODELS / f"{name}.mlir", {"image": image[start:start + 2000]},
                                   weights=self.folder / folder / "best.safetensors", threads=2, options=options)
            right += (outputs["logits"].argmax(1) == label[start:start + 2000]).sum()
        return right / 100

    def judge(self, name, *options, more=(), seconds=200):
        self.train(name, "run", *options, seconds=seconds)
        exact = self.points(name)
        self.works("calibrate", lathe.MODELS / f"{name}.mlir", "--weights", "run/best.safetensors", "-o", "ranges.json", seconds=100)
        for allowed, options in ((0.3, ["int8-dynamic"]), (0.3, ["int8-static", "--ranges", self.folder / "ranges.json"]),
                                 (0.3, ["int8-weights"]), (1, ["int4-weights"]), *more):
            found = self.points(name, "--quantize", *options)
            print(f"{name} {options[0]}: {found:.2f} of {exact:.2f}")
            self.assertGreaterEqual(found, exact - allowed, options[0])
        return exact

    def judge_trained(self, name, least, seconds):
        """By the whole recipe; then an epoch with products of 4 bits."""
        exact = self.judge(name, more=[(1, ["int4-weights:64"]), (1, ["int4-weights:128"])], seconds=seconds)
        self.assertGreater(exact, least)
        self.train(name, "aware", "--quantize", "int4-weights:128", "--weights", "run/best.safetensors", "--epochs", "1",
                   "--learning-rate", "0.0005", "--warmup-steps", "0", seconds=seconds)
        found = self.points(name, "--quantize", "int4-weights:128", folder="aware")
        print(f"{name} int4-weights:128, trained for it: {found:.2f} of {exact:.2f}")
        self.assertGreaterEqual(found, exact - 0.5)

    def test_perceptron(self):
        self.judge("fashion-mlp", "--steps", "600")

    def test_convolutions(self):
        self.judge("fashion-cnn", "--steps", "150")

    @lathe.slow(90)
    def test_trained_perceptron(self):
        self.judge_trained("fashion-mlp", 87, seconds=600)

    @lathe.slow(300)
    def test_trained_convolutions(self):
        self.judge_trained("fashion-cnn", 91, seconds=1200)

    @lathe.slow(1000)
    def test_trained_transformer(self):
        self.judge_trained("fashion-vit", 88, seconds=3000)


if __name__ == "__main__":
    unittest.main()
