"""Training against the same models written in JAX (scripts/oracle/jax_models.py):
all gradients in double precision, and curves of the loss over many steps with
the same initial weights and batches.

A step of plain gradient descent with rate 1 moves every weight by its gradient,
so that gradients are seen without a way to ask for them."""

import functools
import unittest

import jax
import jax.numpy as jnp
import numpy as np

import jax_models
from lathe import MODELS, train_steps
from test_ops import random_words

SEED = 7


def dropout_draws(keys, shape):
    """What `lathe.dropout` of stream 1 draws with each key (seed, step)."""
    count = int(np.prod(shape))
    return np.stack([(random_words(int(seed), int(step), 1, count)[:count] * 2.0**-32).reshape(shape) for seed, step in keys])


def batches(name, steps, size):
    """`steps` batches; the model's own inputs, and what JAX needs besides."""
    random = np.random.Generator(np.random.Philox(SEED))
    parts = [jax_models.MODELS[name].batch(random, size) for _ in range(steps)]
    inputs = {key: np.stack([part[key] for part in parts]) for key in parts[0]}
    extra = {}
    if name == "fashion-cnn":
        inputs["random_key"] = np.array([[SEED, step] for step in range(steps)])
        extra["uniform"] = dropout_draws(inputs["random_key"], (size, 128))
    return inputs, extra


def train(name, values, inputs, element="f64", **recipe):
    """Figures and, where asked for, states: one row per step."""
    text = (MODELS / f"{name}.mlir").read_text().replace("f32", element)
    return train_steps(text, inputs, values, timeout=500, **recipe)


class Gradients(unittest.TestCase):
    """The largest error of a parameter's gradient over its largest element: at most
    1e-9. That of a key's bias is 0 but for rounding, because softmax does not see
    it: below a millionth of the largest gradient of all, that one counts."""

    def check(self, name, size=3):
        model, parameters = jax_models.MODELS[name], jax_models.parameters_of(name)
        values = jax_models.initial(parameters, seed=1)
        inputs, extra = batches(name, 1, size)
        first = {key: array[0] for key, array in (inputs | extra).items()}
        loss, gradients, statistics = model.gradients(values, first)
        found = train(name, values, inputs, optimizer="sgd", learning_rate=1, momentum=0, weight_decay=0, schedule="constant")
        self.assertLess(abs(found["loss"][0] - loss), 1e-12 * abs(loss))
        self.assertEqual(set(gradients) | set(statistics), set(parameters))
        least = 1e-6 * max(np.abs(g).max() for g in gradients.values())
        for key, expected in gradients.items():
            with self.subTest(parameter=key):
                error = np.abs(values[key] - found[key][0] - expected).max()
                self.assertLess(error / max(np.abs(expected).max(), least), 1e-9)
        for key, expected in statistics.items():
            with self.subTest(statistic=key):
                self.assertLess(np.abs(found[key][0] - expected).max() / np.abs(expected).max(), 1e-12)

    def test_perceptron(self):
        self.check("fashion-mlp")

    def test_convolutions_with_batch_norm(self):
        self.check("fashion-cnn")

    def test_vision_transformer(self):
        self.check("fashion-vit")

    def test_gpt(self):
        self.check("char-gpt")

    def test_lstm(self):
        self.check("char-lstm")


def adamw(model, values, inputs, extra, rate, decay, beta1=0.9, beta2=0.999, epsilon=1e-8):
    """The losses of PyTorch's AdamW, every parameter decayed."""
    statistics = {key for key in values if "running" in key}

    @jax.jit
    def step(t, values, m, v, batch):
        (loss, new), g = jax.value_and_grad(model.loss, has_aux=True)(values, batch)
        for key in values:
            if key in statistics:
                continue
            m[key] = beta1 * m[key] + (1 - beta1) * g[key]
            v[key] = beta2 * v[key] + (1 - beta2) * g[key] ** 2
            root = jnp.sqrt(v[key] / (1 - beta2 ** t)) + epsilon
            values[key] = values[key] * (1 - rate * decay) - rate * (m[key] / (1 - beta1 ** t)) / root
        return loss, values | new, m, v

    m = {key: np.zeros_like(value) for key, value in values.items()}
    v, losses = dict(m), []
    for t in range(len(next(iter(inputs.values())))):
        batch = {key: array[t] for key, array in (inputs | extra).items()}
        loss, values, m, v = step(jnp.asarray(t + 1, values[min(values)].dtype), dict(values), dict(m), dict(v), batch)
        losses.append(float(loss))
    return np.array(losses)


STEPS = 200
RATE, DECAY = 1e-3, 0.01


@functools.cache
def reference(name, size):
    model, parameters = jax_models.MODELS[name], jax_models.parameters_of(name)
    values = jax_models.initial(parameters, seed=1)
    inputs, extra = batches(name, STEPS, size)
    return values, inputs, adamw(model, values, inputs, extra, RATE, DECAY)


class Curves(unittest.TestCase):
    """200 steps of AdamW: in f64 within 1e-6 at every step, in f32 within 1 %."""

    def check(self, name, size, element, tolerance):
        values, inputs, expected = reference(name, size)
        values = {key: value.astype({"f64": np.float64, "f32": np.float32}[element]) for key, value in values.items()}
        found = train(name, values, inputs, element, optimizer="adamw", learning_rate=RATE, schedule="constant",
                      weight_decay=DECAY, decay_vectors="true", states="false")["loss"]
        self.assertLess(expected[-20:].mean(), expected[:20].mean(), "it learns")
        error = np.abs(found - expected) / np.abs(expected)
        self.assertLess(error.max(), tolerance, f"at step {error.argmax()}")

    def test_cnn_double(self):
        self.check("fashion-cnn", 4, "f64", 1e-6)

    def test_cnn_single(self):
        self.check("fashion-cnn", 4, "f32", 1e-2)

    def test_gpt_double(self):
        self.check("char-gpt", 2, "f64", 1e-6)

    def test_gpt_single(self):
        self.check("char-gpt", 2, "f32", 1e-2)

    def test_lstm_double(self):
        self.check("char-lstm", 2, "f64", 1e-6)

    def test_lstm_single(self):
        self.check("char-lstm", 2, "f32", 1e-2)


if __name__ == "__main__":
    unittest.main()
