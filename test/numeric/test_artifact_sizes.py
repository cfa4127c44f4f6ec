"""What quantization leaves of an artifact that holds its weights. Bytes are facts,
not measurements: the limits are those that were promised for BERT-base."""

import re
import unittest

import numpy as np
from safetensors.numpy import save_file

import cli
import lathe

LIMITS = {"int8-weights": 0.27, "int8": 0.27, "int4-weights": 0.17, "int4-weights:64": 0.17, "int4-weights:128": 0.17}
PARAMETER = re.compile(r'lathe\.parameter @"(\S+)" : tensor<([0-9x]+)xf32>(?:\s*\{key = "(\S+)"|)')


class Sizes(cli.CommandLine):
    def write_weights(self, text):
        random = np.random.Generator(np.random.Philox(31))
        arrays = {}
        for name, shape, key in PARAMETER.findall(text):
            shape = tuple(map(int, shape.split("x")))
            if not key:
                arrays[name] = random.standard_normal(shape, np.float32)
            else:
                for layer in range(shape[0]):
                    arrays[key.replace("{}", str(layer))] = random.standard_normal(shape[1:], np.float32)
        save_file(arrays, self.folder / "w.safetensors")

    def size(self, model, *options, seconds=60):
        self.works("compile", model, "--weights", "w.safetensors", "--dim", "batch=1", "--dim", "sequence=32", "-o", "x.lathe",
                   *options, seconds=seconds)
        return (self.folder / "x.lathe").stat().st_size

    def check(self, text):
        model = self.write("model.mlir", text)
        self.write_weights(text)
        whole = self.size(model)
        # A table of words that stays in floats is too much.
        table = next(i for i, line in enumerate(text.splitlines(), 1) if "lathe.embedding %words" in line)
        self.assertGreater(self.size(model, "--quantize", "int8-weights", "--keep", f"model.mlir:{table}:*") / whole, 0.27)
        for scheme, limit in LIMITS.items():
            share = self.size(model, "--quantize", scheme) / whole
            print(f"{scheme}: {share:.4f} of f32")
            self.assertLessEqual(share, limit, scheme)


class SmallBert(Sizes):
    """BERT-base with a quarter of its layers, words and positions: what takes the
    bytes has the same shares."""
    SECONDS = 14

    def test_sizes(self):
        text = (lathe.MODELS / "bert-base.mlir").read_text()
        for old, new in (("tensor<12x", "tensor<3x"), ("30522", "7631"), ("512x768", "128x768")):
            self.assertIn(old, text)
            text = text.replace(old, new)
        self.check(text)


class Bert(Sizes):
    SECONDS = 40

    @lathe.slow(40)
    def test_sizes(self):
        self.check((lathe.MODELS / "bert-base.mlir").read_text())


if __name__ == "__main__":
    unittest.main()
