"""Full-size architectures with seeded weights against ONNX Runtime."""

import unittest

import numpy as np

import lathe
from folders import oracle

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class Encoders(unittest.TestCase):
    def compare(self, model, folder, inputs, output, atol, **options):
        expected = np.load(folder / f"{output}.npy")
        outputs, report = lathe.run(model, {key: np.load(folder / f"{key}.npy") for key in inputs}, **options)
        lathe.assert_close(outputs[output], expected, atol=atol, what=output)
        return outputs, report

    def test_bert_base(self):
        folder = oracle("bert")
        self.compare(
            lathe.MODELS / "bert-base.mlir", folder, INPUTS, "last_hidden_state", 1e-4,
            weights=folder / "bert.safetensors", threads=2)

    def test_bert_of_four_layers_from_onnx(self):
        folder = oracle("bert-4")
        self.compare(folder / "bert.onnx", folder, INPUTS, "last_hidden_state", 1e-4, threads=2)

    def test_resnet50(self):
        folder = oracle("resnet50")
        one, _ = self.compare(folder / "resnet50.onnx", folder, ["input"], "logits", 1e-3, threads=1)
        two, _ = self.compare(folder / "resnet50.onnx", folder, ["input"], "logits", 1e-3, threads=2)
        np.testing.assert_array_equal(one["logits"], two["logits"])

    def test_resnet50_unfused(self):
        folder = oracle("resnet50")
        self.compare(folder / "resnet50.onnx", folder, ["input"], "logits", 1e-3, threads=2, options=["--no-fuse"])


if __name__ == "__main__":
    unittest.main()
