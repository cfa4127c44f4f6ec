"""The oracles themselves: the graphs built for ONNX Runtime against the same
networks written out in NumPy in double precision."""

import math
import unittest

import numpy as np
import onnxruntime

import bert

TINY = dict(layers=2, hidden=48, heads=4, intermediate=96, vocabulary=50, positions=16, types=2, epsilon=1e-12)
erf = np.vectorize(math.erf)


def encoder(config, parameters, ids, mask, types):
    """BERT's encoder in float64, straight from the paper's equations."""
    p = {name: array.astype(np.float64) for name, array in parameters.items()}

    def linear(x, name):
        return x @ p[name + ".weight"].T + p[name + ".bias"]

    def norm(x, name):
        centred = x - x.mean(-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(-1, keepdims=True) + config["epsilon"])
        return centred / scale * p[name + ".weight"] + p[name + ".bias"]

    heads, width = config["heads"], config["hidden"] // config["heads"]
    batch, length = ids.shape
    x = p["embeddings.word_embeddings.weight"][ids] + p["embeddings.token_type_embeddings.weight"][types]
    x = norm(x + p["embeddings.position_embeddings.weight"][:length], "embeddings.LayerNorm")
    for layer in range(config["layers"]):
        prefix = f"encoder.layer.{layer}."

        def head(name):
            value = linear(x, prefix + "attention.self." + name)
            return value.reshape(batch, length, heads, width).swapaxes(1, 2)

        scores = head("query") @ head("key").swapaxes(2, 3) / math.sqrt(width)
        scores = np.where(mask[:, None, None, :] == 1, scores, -np.inf)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        seen = (weights @ head("value")).swapaxes(1, 2).reshape(batch, length, -1)
        x = norm(x + linear(seen, prefix + "attention.output.dense"), prefix + "attention.output.LayerNorm")
        inner = linear(x, prefix + "intermediate.dense")
        inner = inner * 0.5 * (1 + erf(inner / math.sqrt(2)))
        x = norm(x + linear(inner, prefix + "output.dense"), prefix + "output.LayerNorm")
    return x


class Oracle(unittest.TestCase):
    def test_bert_graph_is_bert(self):
        parameters = bert.seeded_parameters(TINY, 7)
        # Larger weights than an untrained network has, so that attention is not uniform.
        parameters = {name: value if "LayerNorm" in name else value * 10 for name, value in parameters.items()}
        random = np.random.Generator(np.random.Philox(8))
        ids, types = random.integers(0, 50, (2, 11)), random.integers(0, 2, (2, 11))
        mask = np.ones((2, 11), np.int64)
        mask[1, 7:] = 0
        model = bert.build(TINY, parameters).model().SerializeToString()
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        (found,) = session.run(None, {"input_ids": ids, "attention_mask": mask, "token_type_ids": types})
        np.testing.assert_allclose(found, encoder(TINY, parameters, ids, mask, types), rtol=0, atol=2e-5)


if __name__ == "__main__":
    unittest.main()
