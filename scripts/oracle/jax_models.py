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
HOLE = re.compile(r"\{(\d*)\}")
NORM = re.compile(r"ln|norm|bn|downsample\.1|running_var", re.IGNORECASE)
SIZES = re.compile(r"tensor<[\dx?]+|(?<=array<i64: )[^>]*")
ALIAS = re.compile(r"^!([\w$.-]+) = (tensor<[^>]*>)", re.MULTILINE)


@dataclasses.dataclass
class Parameter:
    shape: tuple
    key: str        # of a checkpoint; "{}" is the layer, "{1}" counts from 1
    mutable: bool   # written by the program itself: statistics


def declared(text):
    """The parameters that a model's text declares, in order."""
    aliases = {f"!{name}": type_ for name, type_ in ALIAS.findall(text)}
    result = {}
    for name, type_, attributes in PARAMETER.findall(text):
        type_ = aliases.get(type_, type_)
        shape = tuple(int(size) for size in re.findall(r"(\d+)x", type_))
        key = re.search(r'key = "([^"]+)"', attributes)
        result[name] = Parameter(shape, key[1] if key else name, re.search(r"\bmutable\b", attributes) is not None)
    return result


def resized(text, sizes):
    """A model's text with other sizes: {768: 32} makes it 32 wide. Sizes of
    tensors and lists of numbers are replaced, everything else stays."""
    def replace(match):
        return re.sub(r"\d+", lambda n: str(sizes.get(int(n[0]), n[0])), match[0])
    return SIZES.sub(replace, text)


def initial(parameters, seed, dtype=np.float64):
    """Seeded values of the size that training starts from, away from zero."""
    random = np.random.Generator(np.random.Philox(seed))
    result = {}
    for name, parameter in parameters.items():
        values = random.standard_normal(parameter.shape)
        fan = math.prod(parameter.shape[-2:]) ** 0.5 if len(parameter.shape) > 1 else 10
        values = values / fan ** 0.5
        if len(parameter.shape) >= 4:  # convolutions; stacked ones have five dims
            values = random.standard_normal(parameter.shape) * (2 / math.prod(parameter.shape[-3:])) ** 0.5
        if NORM.search(name):
            values = values * 0.1 + (0 if name.endswith(("bias", "mean")) else 1)
        result[name] = np.abs(values).astype(dtype) if name.endswith("running_var") else values.astype(dtype)
    return result


def checkpoint(parameters, values):
    """The same as tensors of a safetensors file: stacked ones a layer each."""
    result = {}
    for name, parameter in parameters.items():
        if hole := HOLE.search(parameter.key):
            for layer, value in enumerate(values[name], int(hole[1] or 0)):
                result[HOLE.sub(str(layer), parameter.key)] = np.ascontiguousarray(value)
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


def max_pool(x, size=2, stride=2, padding=0):
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, size, size), (1, 1, stride, stride),
                                 ((0, 0), (0, 0), (padding, padding), (padding, padding)))


def batch_norm_training(x, scale, bias, running_mean, running_var, momentum=0.1, epsilon=1e-5):
    """PyTorch's BatchNorm2d: normalizes by the biased variance, keeps the unbiased one."""
    count = x.size // x.shape[1]
    mean = x.mean((0, 2, 3))
    variance = ((x - mean[:, None, None]) ** 2).mean((0, 2, 3))
    y = (x - mean[:, None, None]) / jnp.sqrt(variance + epsilon)[:, None, None]
    y = y * scale[:, None, None] + bias[:, None, None]
    return (y, (1 - momentum) * running_mean + momentum * mean,
            (1 - momentum) * running_var + momentum * variance * count / (count - 1))


def dropout(x, uniform, rate):
    """With the draws of Philox, which come from the tests; without them none."""
    return x if uniform is None else jnp.where(uniform >= rate, x / (1 - rate), 0)


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
    h = dropout(h, batch.get("uniform1"), rate)
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


def imagenet(image, dtype):
    """torchvision's ToTensor and Normalize, their factors of 255 in one."""
    mean, deviation = (255 * np.array(v) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    return ((image.astype(dtype) - mean.astype(dtype)) / deviation.astype(dtype)).transpose(0, 3, 1, 2)


def resnet_block(P, statistics, names, x, stride):
    """torchvision's Bottleneck; `names` gives a name in P and an index of its stack, or None."""
    def at(name):
        name, i = names(name)
        return P[name] if i is None else P[name][i]

    def norm(y, bn):
        parts = ("weight", "bias", "running_mean", "running_var")
        y, *new = batch_norm_training(y, *(at(f"{bn}.{part}") for part in parts))
        for part, value in zip(parts[2:], new):
            statistics.setdefault(names(f"{bn}.{part}")[0], []).append(value)
        return y

    y = jax.nn.relu(norm(conv(x, at("conv1.weight"), padding=0), "bn1"))
    y = jax.nn.relu(norm(conv(y, at("conv2.weight"), stride), "bn2"))
    y = norm(conv(y, at("conv3.weight"), padding=0), "bn3")
    if names("conv1.weight")[1] is None:
        x = norm(conv(x, at("downsample.0.weight"), stride, 0), "downsample.1")
    return jax.nn.relu(x + y)


def resnet_layer(P, statistics, layer, x):
    x = resnet_block(P, statistics, lambda n: (f"layer{layer}.0.{n}", None), x, 1 if layer == 1 else 2)
    for i in range(len(P[f"layer{layer}.conv1.weight"])):
        x = resnet_block(P, statistics, lambda n, i=i: (f"layer{layer}.{n}", i), x, 1)
    return x


def stacked(P, statistics):
    return {name: jnp.stack(v) if P[name].ndim == 2 else v[0] for name, v in statistics.items()}


def resnet(P, batch):
    x = conv(imagenet(batch["image"], P["fc.bias"].dtype), P["conv1.weight"], 2, 3)
    names = [f"bn1.{part}" for part in ("weight", "bias", "running_mean", "running_var")]
    x, *new = batch_norm_training(x, *(P[name] for name in names))
    statistics = {name: [value] for name, value in zip(names[2:], new)}
    x = max_pool(jax.nn.relu(x), 3, 2, 1)
    for layer in range(1, 5):
        x = resnet_layer(P, statistics, layer, x)
    return cross_entropy(linear(x.mean((2, 3)), P["fc.weight"], P["fc.bias"]), batch["label"]), stacked(P, statistics)


def resnet_layer2(P, batch):
    """One layer alone: a block that halves the size, and one like the others."""
    statistics = {}
    x = resnet_layer(P, statistics, 2, batch["x"])
    return (x * x).mean(), stacked(P, statistics)


def vgg(P, batch):
    x = imagenet(batch["image"], P["classifier.0.bias"].dtype)
    for count, start in zip((2, 2, 3, 3, 3), (0, 5, 10, 17, 24)):
        for i in range(start, start + 2 * count, 2):
            x = jax.nn.relu(conv(x, P[f"features.{i}.weight"]) + P[f"features.{i}.bias"][:, None, None])
        x = max_pool(x)
    x = x.reshape(len(x), -1)
    for i, draws in ((0, "uniform1"), (3, "uniform2")):
        x = jax.nn.relu(linear(x, P[f"classifier.{i}.weight"], P[f"classifier.{i}.bias"]))
        x = dropout(x, batch.get(draws), 0.5)
    return cross_entropy(linear(x, P["classifier.6.weight"], P["classifier.6.bias"]), batch["label"]), {}


def vit(P, batch, head_count):
    filter = P["conv_proj.weight"]
    x = conv(imagenet(batch["image"], filter.dtype), filter, filter.shape[-1], 0) + P["conv_proj.bias"][:, None, None]
    x = x.reshape(*x.shape[:2], -1).swapaxes(1, 2)
    x = jnp.concatenate([jnp.broadcast_to(P["class_token"], (len(x), 1, x.shape[2])), x], 1) + P["encoder.pos_embedding"]
    for i in range(len(P["ln_1.weight"])):
        n = layer_norm(x, P["ln_1.weight"][i], P["ln_1.bias"][i], 1e-6)
        qkv = linear(n, P["self_attention.in_proj_weight"][i], P["self_attention.in_proj_bias"][i])
        q, k, v = (heads(part, head_count) for part in jnp.split(qkv, 3, -1))
        x = x + linear(attention(q, k, v), P["self_attention.out_proj.weight"][i], P["self_attention.out_proj.bias"][i])
        n = layer_norm(x, P["ln_2.weight"][i], P["ln_2.bias"][i], 1e-6)
        x = x + linear(gelu(linear(n, P["mlp.0.weight"][i], P["mlp.0.bias"][i])), P["mlp.3.weight"][i], P["mlp.3.bias"][i])
    x = layer_norm(x[:, 0], P["encoder.ln.weight"], P["encoder.ln.bias"], 1e-6)
    return cross_entropy(linear(x, P["heads.head.weight"], P["heads.head.bias"]), batch["label"]), {}


def bert(P, batch, head_count):
    """BertForPreTraining without dropout: the sum of both heads' losses."""
    def norm(x, name, i=...):
        return layer_norm(x, P[f"{name}.LayerNorm.weight"][i], P[f"{name}.LayerNorm.bias"][i], 1e-12)

    def dense(x, name, i=...):
        return linear(x, P[f"{name}.weight"][i], P[f"{name}.bias"][i])

    ids = batch["input_ids"]
    x = P["embeddings.word_embeddings.weight"][ids] + P["embeddings.token_type_embeddings.weight"][batch["token_type_ids"]]
    x = norm(x + P["embeddings.position_embeddings.weight"][:ids.shape[1]], "embeddings")
    keep = (batch["attention_mask"] != 0)[:, None, None]
    for i in range(len(P["output.dense.weight"])):
        q, k, v = (heads(dense(x, f"attention.self.{w}", i), head_count) for w in ("query", "key", "value"))
        x = norm(dense(attention(q, k, v, keep=keep), "attention.output.dense", i) + x, "attention.output", i)
        x = norm(dense(gelu(dense(x, "intermediate.dense", i)), "output.dense", i) + x, "output", i)
    words = norm(gelu(dense(x, "cls.predictions.transform.dense")), "cls.predictions.transform")
    scores = linear(words, P["embeddings.word_embeddings.weight"], P["cls.predictions.bias"])
    counted = batch["labels"] != -100
    losses = jnp.take_along_axis(jax.nn.log_softmax(scores, axis=-1), jnp.where(counted, batch["labels"], 0)[..., None], -1)[..., 0]
    masked = -jnp.where(counted, losses, 0).sum() / counted.sum()
    pair = dense(jnp.tanh(dense(x[:, 0], "pooler.dense")), "cls.seq_relationship")
    return masked + cross_entropy(pair, batch["next_sentence_label"]), {}


def images(random, size):
    return {"image": random.integers(0, 256, (size, 28, 28), dtype=np.uint8), "label": random.integers(0, 10, size)}


def photographs(random, size, pixels=224, classes=1000):
    return {"image": random.integers(0, 256, (size, pixels, pixels, 3), dtype=np.uint8),
            "label": random.integers(0, classes, size)}


def sentence_pairs(random, size, length=24, vocabulary=30522):
    """Every fourth word is masked, the second half is another sentence, and the
    rows but the first end in padding."""
    ids = random.integers(0, vocabulary, (size, length))
    mask = np.ones((size, length), np.int64)
    mask[1:, length - length // 6:] = 0
    labels = np.where(random.random((size, length)) < 0.25, ids, -100) * mask - 100 * (1 - mask)
    labels[:, 1] = ids[:, 1]
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.tile(np.arange(length) * 2 // length, (size, 1)),
            "labels": labels, "next_sentence_label": np.arange(size) % 2}


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
    "resnet50": Model(resnet, photographs),
    "vgg16": Model(vgg, photographs),
    "vit-b16": Model(lambda P, batch: vit(P, batch, 12), photographs),
    "bert-base": Model(lambda P, batch: bert(P, batch, 12), sentence_pairs),
    "char-lstm": Model(char_lstm, windows(256)),
}


def text_of(name):
    return (ROOT / "models" / f"{name}.mlir").read_text()


def parameters_of(name):
    return declared(text_of(name))
