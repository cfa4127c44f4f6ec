"""Attention of the CUDA targets, run on cuda-sim, against its definition in
NumPy: random sizes, shared keys, masks of both kinds, causal limits, views."""

import unittest

import numpy as np

from test_cuda_contraction import SEED, Program, tensor, wide


def attention(q, k, v, mask, causal, scale):
    repeats = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, repeats, 1), np.repeat(v, repeats, 1)
    scores = (q @ k.swapaxes(-1, -2)) * (q.shape[-1] ** -0.5 if scale is None else scale)
    visible = np.ones(scores.shape, bool)
    if mask is not None and mask.dtype == bool:
        visible &= mask
    elif mask is not None:
        scores = scores + mask
    if causal:
        queries, keys = scores.shape[-2:]
        visible &= np.arange(keys) <= np.arange(queries)[:, None] + keys - queries
    scores = np.where(visible, scores, -np.inf)
    largest = scores.max(-1, keepdims=True, initial=-np.inf)
    weights = np.exp(scores - np.where(np.isinf(largest), 0, largest))
    total = weights.sum(-1, keepdims=True)
    return weights / np.where(total == 0, 1, total) @ v


def add_attention(program, rng, element):
    batch, groups, repeats = (int(rng.integers(1, 4)) for _ in range(3))
    queries, keys = (int(rng.choice([1, rng.integers(2, 30), rng.integers(30, 200)])) for _ in range(2))
    depth, width = int(rng.choice([8, 32, 64, 128, rng.integers(1, 129)])), int(rng.choice([8, 32, 64, 128, rng.integers(1, 129)]))

    def side(heads, rows, columns):
        """Now and then as a projection left it: heads behind rows, or transposed."""
        kind = rng.integers(3)
        order = [[0, 1, 2, 3], [0, 2, 1, 3], [0, 1, 3, 2]][kind]
        shape = [batch, heads, rows, columns]
        stored = [shape[i] for i in order]
        name, value = program.input(stored, element)
        if kind:
            name = program.op(
                "transpose", [(name, tensor(stored, element))], tensor(shape, element),
                f"{{permutation = array<i64: {', '.join(map(str, order))}>}}")
        return (name, tensor(shape, element)), wide(value.transpose(order))

    (q, query), (k, key), (v, value) = (
        side(groups * repeats, queries, depth), side(groups, keys, depth), side(groups, keys, width))
    operands, attributes, mask, causal = [q, k, v], [], None, bool(rng.integers(2))
    if causal:
        attributes.append("causal")
    scale = None
    if rng.integers(2):
        scale = float(rng.choice([0.25, 1.0]))
        attributes.append(f"scale = {scale:e} : f64")
    kind = rng.integers(3)
    if kind:
        shape = [size if rng.integers(2) else 1 for size in (batch, groups * repeats, queries, keys)]
        if kind == 1:
            name, mask = program.input(shape, "f32" if element == "f32" else element)
            mask = wide(mask)
            operands.append((name, tensor(shape, element)))
        else:
            name, numbers = program.input(shape, "i32")
            zero = program.op("sub", [(name, tensor(shape, "i32"))] * 2, tensor(shape, "i32"))
            name = program.op("compare gt,", [(name, tensor(shape, "i32")), (zero, tensor(shape, "i32"))], tensor(shape, "i1"))
            mask = numbers > 0
            operands.append((name, tensor(shape, "i1")))
    result = [batch, groups * repeats, queries, width]
    y = program.op("attention", operands, tensor(result, element), f"{{{', '.join(attributes)}}}" if attributes else "")
    program.output(y, result, element, attention(query, key, value, mask, causal, scale))


class Attention(unittest.TestCase):
    SECONDS = 30

    def check_random(self, element, seed, count=12):
        rng = np.random.default_rng([SEED, 2000 + seed])
        program = Program(rng)
        for _ in range(count):
            add_attention(program, rng, element)
        program.check("attention")

    def test_f32(self):
        for seed in range(3):
            self.check_random("f32", seed)

    def test_f16(self):
        for seed in range(2):
            self.check_random("f16", 10 + seed)

    def test_bf16(self):
        for seed in range(2):
            self.check_random("bf16", 20 + seed)


if __name__ == "__main__":
    unittest.main()
