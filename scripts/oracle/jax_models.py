"""The models of models/ that can be trained, written again in JAX from their
papers and PyTorch's documentation: an independent source of losses, gradients
and training curves.

`MODELS[name]` has the parameters (file name under models/ -> shape, stacked
ones with their layers in front), a batch and the loss. Parameters and batches
are seeded; everything is computed in the type of the parameters.
"""

import dataclasses
import math
import pathlib
import re
from typing import Callable

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)
ROOT = pathlib.Path(__file__).resolve().parents[2]
PARAMETER = re.compile(
    r'^lathe\.parameter @"?([^"\s]+)"?\s*:\s*(tensor<[^>]*>|![\w$.-]+)\s*(\{.*\})?', re.MULTILINE)
ALIAS = re.compile(r"^!([\w$.-]+) = (tensor<[^>]*>)", re.MULTILINE)


@dataclasses.dataclass
class Parameter:
    shape: tuple
    key: str        # of a checkpoint; "{}" is the layer
    mutable: bool   # written by the program itself: statistics


def declared(path):
    """The parameters that a model file declares, in order."""
    text = pathlib.Path(path).read_text()
    aliases = {f"!{name}": type_ for name, type_ in ALIAS.findall(text)}
    result = {}
    for name, type_, attributes in PARAMETER.findall(text):
        type_ = aliases.get(type_, type_)
        shape = tuple(int(size) for size in re.findall(r"(\d+)x", type_))
        key = re.search(r'key = "([^"]+)"', attributes)
        result[name] = Parameter(shape, key[1] if key else name, re.search(r"\bmutable\b", attributes) is not None)
    return result


def initial(parameters, seed, dtype=np.float64):
    """Seeded values of the size that training starts from, away from zero."""
    random = np.random.Generator(np.random.Philox(seed))
    result = {}
    for name, parameter in parameters.items():
        values = random.standard_normal(parameter.shape)
        fan = math.prod(parameter.shape[-2:]) ** 0.5 if len(parameter.shape) > 1 else 10
        values = values / fan ** 0.5
        if "ln" in name or "norm" in name or "bn" in name or name.endswith("running_var"):
            values = values * 0.1 + (0 if name.endswith(("bias", "mean")) else 1)
        result[name] = np.abs(values).astype(dtype) if name.endswith("running_var") else values.astype(dtype)
    return result


def checkpoint(parameters, values):
    """The same as tensors of a safetensors file: stacked ones a layer each."""
    result = {}
    for name, parameter in parameters.items():
        if "{}" in parameter.key:
            for layer, value in enumerate(values[name]):
                result[parameter.key.format(layer)] = np.ascontiguousarray(value)
        else:
            result[parameter.key] = values[name]
    return result


# Layers.

def linear(x, weight, bias=None):
    y = x @ weight.T
    return y if bias is None else y + bias


def layer_norm(x, scale, bias, epsilon=1e-5):
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / jnp.sqrt(variance + epsilon) * scale + bias


def gelu_tanh(x):
    return 0.5 * x * (1 + jnp.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x ** 3)))


def gelu(x):
    return 0.5 * x * (1 + jax.scipy.special.erf(x / math.sqrt(2)))


def heads(x, count):
    return x.reshape(*x.shape[:-1], count, -1).swapaxes(-3, -2)


def attention(query, key, value, causal=False, keep=None):
    scores = query @ key.swapaxes(-1, -2) / math.sqrt(query.shape[-1])
    if causal:
        keep = jnp.tril(jnp.ones(scores.shape[-2:], bool))
    if keep is not None:
        scores = jnp.where(keep, scores, -jnp.inf)
    result = jax.nn.softmax(scores, axis=-1) @ value
    return result.swapaxes(-3, -2).reshape(*result.shape[:-3], result.shape[-2], -1)


def cross_entropy(logits, labels):
    return -jnp.take_along_axis(jax.nn.log_softmax(logits, axis=-1), labels[..., None], -1).mean()


def conv(x, filter, stride=1, padding=1):
    return jax.lax.conv_general_dilated(x, filter, (stride,) * 2, [(padding,) * 2] * 2,
                                        dimension_numbers=("NCHW", "OIHW", "NCHW"))


def max_pool(x, size=2, stride=2):
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, size, size), (1, 1, stride, stride), "VALID")


def batch_norm_training(x, scale, bias, running_mean, running_var, momentum=0.1, epsilon=1e-5):
    """PyTorch's BatchNorm2d: normalizes by the biased variance, keeps the unbiased one."""
    count = x.size // x.shape[1]
    mean = x.mean((0, 2, 3))
    variance = ((x - mean[:, None, None]) ** 2).mean((0, 2, 3))
    y = (x - mean[:, None, None]) / jnp.sqrt(variance + epsilon)[:, None, None]
    y = y * scale[:, None, None] + bias[:, None, None]
    return (y, (1 - momentum) * running_mean + momentum * mean,
            (1 - momentum) * running_var + momentum * variance * count / (count - 1))


def normalized(image, dtype):
    return (image.astype(dtype) - dtype.type(72.94)) * dtype.type(0.0110929)


# Models: loss(P, batch) -> (loss, new statistics).

def fashion_mlp(P, batch):
    x = normalized(batch["image"], P["hidden.weight"].dtype).reshape(-1, 784)
    h = jax.nn.relu(linear(x, P["hidden.weight"], P["hidden.bias"]))
    return cross_entropy(linear(h, P["output.weight"], P["output.bias"]), batch["label"]), {}


def fashion_cnn(P, batch, rate=0.25):
    x = normalized(batch["image"], P["conv1.weight"].dtype)[:, None]
    statistics = {}
    for i in "12":
        x = conv(x, P[f"conv{i}.weight"])
        names = [f"bn{i}.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
        x, *new = batch_norm_training(x, *(P[name] for name in names))
        statistics.update(zip(names[2:], new))
        x = max_pool(jax.nn.relu(x))
    h = jax.nn.relu(linear(x.reshape(len(x), -1), P["fc1.weight"], P["fc1.bias"]))
    if "uniform" in batch:  # of Philox, from the tests: what the model's dropout draws
        h = jnp.where(batch["uniform"] >= rate, h / (1 - rate), 0)
    return cross_entropy(linear(h, P["fc2.weight"], P["fc2.bias"]), batch["label"]), statistics


def fashion_vit(P, batch):
    x = normalized(batch["image"], P["patch.weight"].dtype)
    x = x.reshape(-1, 7, 4, 7, 4).transpose(0, 1, 3, 2, 4).reshape(-1, 49, 16)
    x = linear(x, P["patch.weight"], P["patch.bias"])
    x = jnp.concatenate([jnp.broadcast_to(P["class_token"], (len(x), 1, 64)), x], 1) + P["positions"]
    for i in range(4):
        n = layer_norm(x, P["norm1.weight"][i], P["norm1.bias"][i])
        q, k, v = (heads(linear(n, P[f"{w}.weight"][i], P[f"{w}.bias"][i]), 4) for w in ("query", "key", "value"))
        x = x + linear(attention(q, k, v), P["proj.weight"][i], P["proj.bias"][i])
        n = layer_norm(x, P["norm2.weight"][i], P["norm2.bias"][i])
        x = x + linear(gelu(linear(n, P["up.weight"][i], P["up.bias"][i])), P["down.weight"][i], P["down.bias"][i])
    x = layer_norm(x[:, 0], P["norm.weight"], P["norm.bias"])
    return cross_entropy(linear(x, P["head.weight"], P["head.bias"]), batch["label"]), {}


def gpt(P, batch, head_count):
    tokens, following = batch["tokens"][:, :-1], batch["tokens"][:, 1:]
    x = P["wte.weight"][tokens] + P["wpe.weight"][:tokens.shape[1]]
    for i in range(len(P["ln_1.weight"])):
        n = layer_norm(x, P["ln_1.weight"][i], P["ln_1.bias"][i])
        q, k, v = (heads(part, head_count) for part in
                   jnp.split(n @ P["attn.c_attn.weight"][i] + P["attn.c_attn.bias"][i], 3, -1))
        x = x + attention(q, k, v, causal=True) @ P["attn.c_proj.weight"][i] + P["attn.c_proj.bias"][i]
        n = layer_norm(x, P["ln_2.weight"][i], P["ln_2.bias"][i])
        x = x + gelu_tanh(n @ P["mlp.c_fc.weight"][i] + P["mlp.c_fc.bias"][i]) @ P["mlp.c_proj.weight"][i] \
            + P["mlp.c_proj.bias"][i]
    x = layer_norm(x, P["ln_f.weight"], P["ln_f.bias"])
    return cross_entropy(x @ P["wte.weight"].T, following), {}


def char_lstm(P, batch):
    tokens, following = batch["tokens"][:, :-1], batch["tokens"][:, 1:]
    gates = linear(P["embedding.weight"][tokens], P["lstm.weight_ih_l0"], P["lstm.bias_ih_l0"] + P["lstm.bias_hh_l0"])

    def step(state, x):
        h, c = state
        i, f, g, o = jnp.split(x + h @ P["lstm.weight_hh_l0"].T, 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    zero = jnp.zeros((len(tokens), P["lstm.weight_hh_l0"].shape[1]), gates.dtype)
    _, states = jax.lax.scan(step, (zero, zero), gates.swapaxes(0, 1))
    return cross_entropy(linear(states.swapaxes(0, 1), P["output.weight"], P["output.bias"]), following), {}


def images(random, size):
    return {"image": random.integers(0, 256, (size, 28, 28), dtype=np.uint8), "label": random.integers(0, 10, size)}


def windows(vocabulary):
    return lambda random, size: {"tokens": random.integers(0, vocabulary, (size, 13))}


@dataclasses.dataclass
class Model:
    loss: Callable
    batch: Callable  # (random, size) -> inputs of @loss

    def gradients(self, values, batch):
        """The loss, its gradient by every parameter that takes part in it, the new statistics."""
        (loss, statistics), gradients = jax.jit(jax.value_and_grad(self.loss, has_aux=True))(values, batch)
        return (np.asarray(loss), {name: np.asarray(g) for name, g in gradients.items() if name not in statistics},
                {name: np.asarray(s) for name, s in statistics.items()})


MODELS = {
    "fashion-mlp": Model(fashion_mlp, images),
    "fashion-cnn": Model(fashion_cnn, images),
    "fashion-vit": Model(fashion_vit, images),
    "char-gpt": Model(lambda P, batch: gpt(P, batch, 4), windows(256)),
    "gpt2-124m": Model(lambda P, batch: gpt(P, batch, 12), windows(50257)),
    "char-lstm": Model(char_lstm, windows(256)),
}


def parameters_of(name):
    return declared(ROOT / "models" / f"{name}.mlir")
