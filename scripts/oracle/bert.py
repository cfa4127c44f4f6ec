"""BERT's encoder as an ONNX graph, written from the architecture's description
(Devlin et al. 2018) and from the names in the public checkpoints.

The operators follow the pattern that exporters write, so that ONNX Runtime's
own fusions (attention, layer norm, gelu) recognise it and the comparison of
speed is with its best.
"""

import numpy as np

from onnx_graph import FLOAT, INT64, Graph

MINILM = dict(layers=6, hidden=384, heads=12, intermediate=1536, vocabulary=30522, positions=512, types=2, epsilon=1e-12)
BASE = dict(layers=12, hidden=768, heads=12, intermediate=3072, vocabulary=30522, positions=512, types=2, epsilon=1e-12)


def parameter_shapes(config):
    """Name -> shape of every parameter, in the order of the checkpoints."""
    hidden, inner = config["hidden"], config["intermediate"]
    shapes = {
        "embeddings.word_embeddings.weight": (config["vocabulary"], hidden),
        "embeddings.position_embeddings.weight": (config["positions"], hidden),
        "embeddings.token_type_embeddings.weight": (config["types"], hidden),
        "embeddings.LayerNorm.weight": (hidden,),
        "embeddings.LayerNorm.bias": (hidden,),
    }
    for layer in range(config["layers"]):
        prefix = f"encoder.layer.{layer}."
        for name, out, inp in (
            ("attention.self.query", hidden, hidden),
            ("attention.self.key", hidden, hidden),
            ("attention.self.value", hidden, hidden),
            ("attention.output.dense", hidden, hidden),
            ("intermediate.dense", inner, hidden),
            ("output.dense", hidden, inner),
        ):
            shapes[prefix + name + ".weight"] = (out, inp)
            shapes[prefix + name + ".bias"] = (out,)
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes[prefix + name + ".weight"] = (hidden,)
            shapes[prefix + name + ".bias"] = (hidden,)
    return shapes


def seeded_parameters(config, seed):
    """Weights as BERT initialises them (normal, 0.02), biases and norms off
    their resting values so that a forgotten one changes the result."""
    random = np.random.Generator(np.random.Philox(seed))
    made = {}
    for name, shape in parameter_shapes(config).items():
        value = random.standard_normal(shape, np.float32) * np.float32(0.02)
        if name.endswith("LayerNorm.weight"):
            value += 1
        made[name] = value
    return made


def build(config, parameters):
    """The encoder: token numbers in, last hidden state and embedding out."""
    graph = Graph("bert")
    size = ["batch", "sequence"]
    ids = graph.input("input_ids", INT64, size)
    mask = graph.input("attention_mask", INT64, size)
    types = graph.input("token_type_ids", INT64, size)
    hidden, heads = config["hidden"], config["heads"]
    width = hidden // heads

    def named(name):
        return graph.parameter(name, parameters[name])

    def linear(x, name):
        weight = graph.op("Transpose", named(name + ".weight"), perm=[1, 0])
        return graph.op("Add", graph.op("MatMul", x, weight), named(name + ".bias"))

    def norm(x, name):
        return graph.op(
            "LayerNormalization", x, named(name + ".weight"), named(name + ".bias"), axis=-1, epsilon=config["epsilon"]
        )

    def gelu(x):
        erf = graph.op("Erf", graph.op("Div", x, graph.constant(np.sqrt(2.0))))
        half = graph.op("Mul", x, graph.op("Add", erf, graph.constant(1.0)))
        return graph.op("Mul", half, graph.constant(0.5))

    length = graph.op("Gather", graph.op("Shape", ids), graph.constant([1], np.int64), axis=0)
    rows = graph.op("Slice", named("embeddings.position_embeddings.weight"), graph.constant([0], np.int64), length, graph.constant([0], np.int64))
    x = graph.op("Gather", named("embeddings.word_embeddings.weight"), ids)
    x = graph.op("Add", x, graph.op("Gather", named("embeddings.token_type_embeddings.weight"), types))
    x = norm(graph.op("Add", x, rows), "embeddings.LayerNorm")

    # 0 where a token may be looked at, -10000 where it may not.
    wide = graph.op("Unsqueeze", graph.op("Unsqueeze", mask, graph.constant([1], np.int64)), graph.constant([2], np.int64))
    bias = graph.op("Mul", graph.op("Sub", graph.constant(1.0), graph.op("Cast", wide, to=FLOAT)), graph.constant(-10000.0))

    for layer in range(config["layers"]):
        prefix = f"encoder.layer.{layer}."

        def split(name, perm):
            value = linear(x, prefix + "attention.self." + name)
            value = graph.op("Reshape", value, graph.constant([0, 0, heads, width], np.int64))
            return graph.op("Transpose", value, perm=perm)

        query, key = split("query", [0, 2, 1, 3]), split("key", [0, 2, 3, 1])
        scores = graph.op("Div", graph.op("MatMul", query, key), graph.constant(np.sqrt(width)))
        weights = graph.op("Softmax", graph.op("Add", scores, bias), axis=-1)
        seen = graph.op("MatMul", weights, split("value", [0, 2, 1, 3]))
        seen = graph.op("Reshape", graph.op("Transpose", seen, perm=[0, 2, 1, 3]), graph.constant([0, 0, hidden], np.int64))
        x = norm(graph.op("Add", linear(seen, prefix + "attention.output.dense"), x), prefix + "attention.output.LayerNorm")
        inner = gelu(linear(x, prefix + "intermediate.dense"))
        x = norm(graph.op("Add", linear(inner, prefix + "output.dense"), x), prefix + "output.LayerNorm")

    graph.output("last_hidden_state", x, FLOAT, size + [hidden])
    return graph


def sentence_embedding(hidden, mask):
    """Mean over the real tokens, scaled to length 1 (the sentence-transformers
    recipe of all-MiniLM-L6-v2)."""
    weight = mask[..., None].astype(np.float64)
    mean = (hidden.astype(np.float64) * weight).sum(1) / np.maximum(weight.sum(1), 1e-9)
    return (mean / np.maximum(np.linalg.norm(mean, axis=-1, keepdims=True), 1e-12)).astype(np.float32)
