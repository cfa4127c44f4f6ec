"""The losses of the models in models/ against the same models written in JAX
(scripts/oracle/jax_models.py), both in f32, with seeded weights and batches."""

import pathlib
import tempfile
import unittest

import numpy as np
from safetensors.numpy import save_file

import jax_models
from lathe import MODELS, run

# Worst seen: 2.3e-7.
TOLERANCE = 2e-6


class Losses(unittest.TestCase):
    def check(self, name):
        model, parameters = jax_models.MODELS[name], jax_models.parameters_of(name)
        values = jax_models.initial(parameters, seed=1)
        batch = model.batch(np.random.Generator(np.random.Philox(2)), 3)
        expected = float(model.gradients(values, batch)[0])
        single = {key: value.astype(np.float32) for key, value in jax_models.checkpoint(parameters, values).items()}
        with tempfile.TemporaryDirectory() as folder:
            weights = pathlib.Path(folder) / "model.safetensors"
            save_file(single, weights)
            outputs, _ = run(MODELS / f"{name}.mlir", batch, weights=weights, options=["--entry", "loss"])
        loss = float(outputs["loss"])
        self.assertLess(abs(loss - expected), TOLERANCE * abs(expected), f"{loss} for {expected}")

    def test_perceptron(self):
        self.check("fashion-mlp")

    def test_vision_transformer(self):
        self.check("fashion-vit")

    def test_gpt(self):
        self.check("char-gpt")

    def test_lstm(self):
        self.check("char-lstm")


if __name__ == "__main__":
    unittest.main()
