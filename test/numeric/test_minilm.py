"""all-MiniLM-L6-v2 with its real weights against ONNX Runtime."""

import unittest

import numpy as np

import lathe
import minilm_onnx
from folders import oracle

INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class MiniLM(unittest.TestCase):
    def setUp(self):
        self.folder = oracle("minilm")
        self.weights = minilm_onnx.find_model() / "model.safetensors"

    def embed(self, name, model=lathe.MODELS / "minilm.mlir", **options):
        """Runs one case and compares every output; returns the outputs."""
        case = self.folder / name
        inputs = {key: np.load(case / f"{key}.npy") for key in INPUTS}
        outputs, _ = lathe.run(model, inputs, weights=self.weights, **options)
        for key, found in outputs.items():
            lathe.assert_close(found, np.load(case / f"{key}.npy"), atol=1e-4, what=key)
        return outputs

    def test_twenty_sentences(self):
        embeddings = np.concatenate([self.embed(f"{i:02}")["sentence_embedding"] for i in range(20)])
        similarity = embeddings @ embeddings.T
        np.fill_diagonal(similarity, -1)
        # The list has pairs of the same meaning side by side.
        np.testing.assert_array_equal(similarity.argmax(1), np.arange(20) ^ 1)

    def test_padded_batch(self):
        self.embed("batch", threads=2)

    def test_from_onnx(self):
        self.weights = None
        self.embed("18", self.folder / "minilm.onnx")

    def test_same_bits_for_any_number_of_threads(self):
        inputs = {key: np.load(self.folder / "18" / f"{key}.npy") for key in INPUTS}
        one, two, three = (
            lathe.run(lathe.MODELS / "minilm.mlir", inputs, weights=self.weights, threads=threads)[0]
            for threads in (1, 2, 3)
        )
        for key in one:
            np.testing.assert_array_equal(one[key], two[key])
            np.testing.assert_array_equal(one[key], three[key])


if __name__ == "__main__":
    unittest.main()
