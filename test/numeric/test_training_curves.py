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
from lathe import train_steps
from test_ops import random_words

SEED = 7


def dropout_draws(keys, stream, shape):
    """What `lathe.dropout` of a stream draws with each key (seed, step)."""
    count = int(np.prod(shape))
    return np.stack([(random_words(int(seed), int(step), stream, count)[:count] * 2.0**-32).reshape(shape)
                     for seed, step in keys])


def batches(batch, steps, size, dropout=()):
    """`steps` batches; the model's own inputs, and what JAX needs besides:
    the draws of dropout, whose streams (1, 2, ...) are so wide."""
    random = np.random.Generator(np.random.Philox(SEED))
    parts = [batch(random, size) for _ in range(steps)]
    inputs = {key: np.stack([part[key] for part in parts]) for key in parts[0]}
    extra = {}
    if dropout:
        inputs["random_key"] = np.array([[SEED, step] for step in range(steps)])
    for stream, width in enumerate(dropout, 1):
        extra[f"uniform{stream}"] = dropout_draws(inputs["random_key"], stream, (size, width))
    return inputs, extra


def train(text, values, inputs, element="f64", **recipe):
    """Figures and, where asked for, states: one row per step."""
    return train_steps(text.replace("f32", element), inputs, values, timeout=500, **recipe)


class Gradients(unittest.TestCase):
    """The largest error of a parameter's gradient over its largest element: at most
    1e-9. That of a key's bias is 0 but for rounding, because softmax does not see
    it: below a millionth of the largest gradient of all, that one counts."""
    SECONDS = 40

    def check(self, name, size=3, dropout=()):
        self.check_text(jax_models.text_of(name), jax_models.MODELS[name], size, dropout)

    def check_text(self, text, model, size, dropout=()):
        parameters = jax_models.declared(text)
        values = jax_models.initial(parameters, seed=1)
        inputs, extra = batches(model.batch, 1, size, dropout)
        first = {key: array[0] for key, array in (inputs | extra).items()}
        loss, gradients, statistics = model.gradients(values, first)
        found = train(text, values, inputs, optimizer="sgd", learning_rate=1, momentum=0, weight_decay=0, schedule="constant")
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
        self.check("fashion-cnn", dropout=[128])

    def test_vision_transformer(self):
        self.check("fashion-vit")

    def test_gpt(self):
        self.check("char-gpt")

    def test_lstm(self):
        self.check("char-lstm")

    # Models of full size with other widths: the same text.

    def test_bert_with_both_heads(self):
        text = jax_models.resized(jax_models.text_of("bert-base"), {768: 32, 3072: 40, 12: 2, 64: 16, 30522: 97, 512: 16})
        self.check_text(text, jax_models.Model(
            lambda P, batch: jax_models.bert(P, batch, 2),
            lambda random, size: jax_models.sentence_pairs(random, size, length=12, vocabulary=97)), 3)

    def test_resnet_blocks(self):
        """The second layer of ResNet-50: a block that halves the size, three others."""
        text = jax_models.text_of("resnet50")
        aliases = "\n".join(line for line in text.splitlines() if line.startswith("!"))
        layer = text[text.index("// layer2:"):text.index("// layer3:")]
        text = jax_models.resized(aliases + layer, {128: 8, 256: 12, 512: 16}) + RESNET_LAYER_LOSS
        self.check_text(text, jax_models.Model(
            jax_models.resnet_layer2, lambda random, size: {"x": random.standard_normal((size, 12, 8, 8))}), 2)

    def test_vgg(self):
        text = jax_models.resized(jax_models.text_of("vgg16"), {
            224: 32, 64: 8, 128: 8, 256: 8, 512: 8, 25088: 8, 4096: 16, 1000: 10})
        self.check_text(text, jax_models.Model(
            jax_models.vgg, lambda random, size: jax_models.photographs(random, size, 32, 10)), 2, dropout=[16, 16])


RESNET_LAYER_LOSS = """
func.func @loss(%x: !map {lathe.name = "x"}) -> (tensor<f32> {lathe.name = "loss"}) {
  %0 = call @layer2_first(%x) : (!map) -> !map
  %1 = call @layer2_others(%0) : (!map) -> !map
  %2 = lathe.mul %1, %1 : (!map, !map) -> !map
  %3 = lathe.reduce_mean %2 {axes = array<i64>} : (!map) -> tensor<f32>
  return %3 : tensor<f32>
}
"""


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
    inputs, extra = batches(model.batch, STEPS, size, [128] if name == "fashion-cnn" else [])
    return values, inputs, adamw(model, values, inputs, extra, RATE, DECAY)


class Curves(unittest.TestCase):
    """200 steps of AdamW: in f64 within 1e-6 at every step, in f32 within 1 %."""
    SECONDS = 60

    def check(self, name, size, element, tolerance):
        values, inputs, expected = reference(name, size)
        values = {key: value.astype({"f64": np.float64, "f32": np.float32}[element]) for key, value in values.items()}
        found = train(jax_models.text_of(name), values, inputs, element, optimizer="adamw", learning_rate=RATE, schedule="constant",
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
