"""Whole models as CUDA text on the simulator, against ONNX Runtime.

What takes the simulator longer than a few seconds runs with LATHE_SLOW_MODELS=1
alone.
"""

import unittest

import numpy as np
import onnxruntime

import lathe
import minilm_onnx
import real_models as real
import test_light_cnns as light
from folders import oracle
from test_encoders import INPUTS

CHECKED = ["--target", "cuda-sim"]
PLAIN = [*CHECKED, "--no-sim-checks"]
# Seconds, where there are too many for every check.
SLOW = {"bvlc_alexnet": 12, "densenet121": 27, "inception_v1": 14, "inception_v2": 9, "resnet50": 13, "vgg19": 48, "zfnet512": 12}


def answer(path, inputs):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    # By the names of the files that `lathe run` writes.
    names = [value.name.replace("/", "_") for value in session.get_outputs()]
    return dict(zip(names, session.run(None, inputs)))


class CudaModels(unittest.TestCase):
    """Sums are f32 in an order of the kernels' own: tolerances are those of the
    same models on the CPU."""
    SECONDS = 50

    def compare(self, path, inputs, expected, rtol=0.0, atol=0.0, weights=None, options=PLAIN):
        outputs, _ = lathe.run(path, inputs, weights=weights, threads=2, options=options)
        self.assertTrue(outputs)
        for name, found in outputs.items():
            lathe.assert_close(found, expected[name], rtol=rtol, atol=atol, what=name)

    def packaged(self, name, inputs, options=PLAIN):
        path = real.packaged(name)
        self.compare(path, inputs, answer(path, inputs), rtol=1e-3, atol=1e-5, options=options)

    def test_magika_with_every_access_checked(self):
        self.packaged(real.MAGIKA, {"bytes": real.magika_input(b"import os\n\nprint(os.listdir('.'))\n")}, CHECKED)

    def test_direction_with_every_access_checked(self):
        self.packaged(real.DIRECTION, {"x": real.text_image("upside", width=96, upside_down=True)}, CHECKED)

    def test_reader(self):
        self.packaged(real.READER, {"x": real.text_image("short")})

    def test_finder(self):
        self.packaged(real.FINDER, {"x": real.text_image("find", height=64, width=96)})

    def minilm(self, case, options):
        folder = oracle("minilm") / case
        inputs = {key: np.load(folder / f"{key}.npy") for key in INPUTS}
        expected = {key: np.load(folder / f"{key}.npy") for key in ("last_hidden_state", "sentence_embedding")}
        self.compare(lathe.MODELS / "minilm.mlir", inputs, expected, atol=1e-4,
                     weights=minilm_onnx.find_model() / "model.safetensors", options=options)

    def test_minilm_with_every_access_checked(self):
        self.minilm("18", CHECKED)

    @lathe.slow(40)
    def test_minilm_padded_batch(self):
        self.minilm("batch", PLAIN)

    def bert(self, length):
        folder = oracle("bert")
        inputs = {key: np.load(folder / f"{key}.npy")[:, :length] for key in INPUTS}
        # The last two places are padding.
        inputs["attention_mask"] = (np.arange(length) < length - 2).astype(np.int64)[None]
        self.compare(lathe.MODELS / "bert-base.mlir", inputs, answer(folder / "bert.onnx", inputs), atol=1e-4,
                     weights=folder / "bert.safetensors")

    def test_bert_base(self):
        self.bert(32)

    @lathe.slow(30)
    def test_bert_base_128(self):
        self.bert(128)

    def test_resnet50(self):
        folder = oracle("resnet50")
        self.compare(folder / "resnet50.onnx", {"input": np.load(folder / "input.npy")},
                     {"logits": np.load(folder / "logits.npy")}, atol=1e-3)


def seeded(name):
    def test(self):
        light.run_seeded(name, PLAIN)

    return lathe.slow(SLOW[name])(test) if name in SLOW else test


for name in light.NAMES:
    setattr(CudaModels, f"test_light_{name}", seeded(name))


if __name__ == "__main__":
    unittest.main()
