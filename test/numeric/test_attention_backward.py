"""lathe.attention_training and lathe.attention_backward against their definition
in NumPy, in f64: shared keys, masks of both kinds, causal limits, rows that see
nothing, views; on the CPU in blocks, the same with as many threads as there are,
expanded, and on cuda-sim."""

import pathlib
import re
import subprocess
import tempfile
import unittest

import numpy as np

import lathe
from test_cuda_contraction import DTYPE, SEED, TOLERANCE, Program, tensor, wide


def reference(q, k, v, g, mask, causal, scale, noise):
    """The result, log-sum-exp, delta (with `noise` for what flows to the
    log-sum-exp), and the gradients of q, k and v."""
    heads, groups = q.shape[1], k.shape[1]
    wide_k, wide_v = np.repeat(k, heads // groups, 1), np.repeat(v, heads // groups, 1)
    scale = q.shape[-1] ** -0.5 if scale is None else scale
    scores = q @ wide_k.swapaxes(-1, -2) * scale
    if mask is not None:
        scores = np.where(mask, scores, -np.inf) if mask.dtype == bool else scores + mask
    if causal:
        queries, keys = scores.shape[-2:]
        scores = np.where(np.arange(keys) <= np.arange(queries)[:, None] + keys - queries, scores, -np.inf)
    largest = scores.max(-1, keepdims=True, initial=-np.inf)
    largest = np.where(np.isinf(largest), 0, largest)
    total = np.exp(scores - largest).sum(-1, keepdims=True)
    saved = np.where(total == 0, 0, largest + np.log(np.where(total == 0, 1, total)))
    weights = np.exp(scores - saved)
    result = weights @ wide_v
    delta = (result * g).sum(-1) + noise
    ds = weights * (g @ wide_v.swapaxes(-1, -2) - delta[..., None])

    def add_heads(x):
        return x.reshape(x.shape[0], groups, -1, *x.shape[2:]).sum(2)

    return (result, saved[..., 0], delta,
            (scale * ds @ wide_k, add_heads(scale * ds.swapaxes(-1, -2) @ q), add_heads(weights.swapaxes(-1, -2) @ g)))


def add_case(program, rng, element, sizes, mask=None, causal=False, scale=None, plain=False, third=False):
    """`mask`: None, or the array; operands and gradients transposed now and then.
    With `third` the ops have heads third and everything is stored so."""
    b, h, groups, s, t, d, e = sizes
    score = "f64" if element == "f64" else "f32"

    def of_op(shape):
        return [shape[0], shape[2], shape[1], *shape[3:]] if third else list(shape)

    def turned(shape):
        if third:
            return [0, 2, 1, 3], of_op(shape), None
        order = [0, 1, 2, 3] if plain or rng.integers(2) else [0, 2, 1, 3]
        return order, [shape[i] for i in order], f"{{permutation = array<i64: {', '.join(map(str, order))}>}}"

    def side(shape):
        order, stored, permutation = turned(shape)
        name, value = program.input(stored, element)
        if order != [0, 1, 2, 3] and not third:
            name = program.op("transpose", [(name, tensor(stored, element))], tensor(shape, element), permutation)
        return (name, tensor(of_op(shape), element)), wide(value.transpose(order))

    shapes = [[b, h, s, d], [b, groups, t, d], [b, groups, t, e]]
    (q, query), (k, key), (v, value) = map(side, shapes)
    g, cotangent = side([b, h, s, e])
    operands = []
    if mask is not None and mask.dtype == bool:
        name, zeros = program.input(mask.shape, "i32")
        zeros[...] = mask
        zero = program.op("sub", [(name, tensor(mask.shape, "i32"))] * 2, tensor(mask.shape, "i32"))
        name = program.op("compare gt,", [(name, tensor(mask.shape, "i32")), (zero, tensor(mask.shape, "i32"))], tensor(mask.shape, "i1"))
        operands = [(name, tensor(mask.shape, "i1"))]
    elif mask is not None:
        name, numbers = program.input(mask.shape, element)
        numbers[...] = mask
        mask = wide(numbers)
        operands = [(name, tensor(mask.shape, element))]
    attributes = ["causal"] * causal + ([f"scale = {scale:e} : f64"] if scale is not None else []) + ["layout = 1 : i32"] * third
    attributes = f"{{{', '.join(attributes)}}}" if attributes else ""
    noise = rng.standard_normal((b, h, s)) / 4
    result, saved, delta, gradients = reference(query, key, value, cotangent, mask, causal, scale, noise)
    name, numbers = program.input(of_op([b, h, s]), score)
    numbers[...] = delta.swapaxes(1, 2) if third else delta
    result_type, rows = tensor(of_op([b, h, s, e]), element), tensor([b, h, s], score)
    number = len(program.lines)

    def call(op, results, given):
        types = ", ".join(type for _, type in given)
        names = ", ".join(value for value, _ in given)
        program.lines.append(f"%{op}{number}:{len(results)} = lathe.{op} {names} {attributes} : ({types}) -> ({', '.join(results)})")
        return [f"%{op}{number}#{i}" for i in range(len(results))]

    forward = call("attention_training", [result_type, rows], [q, k, v, *operands])
    found = call("attention_backward", [tensor(of_op(shape), element) for shape in shapes],
                 [q, k, v, g, (forward[1], rows), (name, tensor(of_op([b, h, s]), score)), *operands])
    program.output(forward[0], of_op([b, h, s, e]), element, result.swapaxes(1, 2) if third else result)
    program.output(forward[1], [b, h, s], score, saved)
    for shape, y, expected in zip(shapes, found, gradients):
        order, stored, permutation = turned(shape)
        if order != [0, 1, 2, 3] and not third:
            y = program.op("transpose", [(y, tensor(shape, element))], tensor(stored, element), permutation)
        program.output(y, stored, element, expected.transpose(order))


def add_small(program, rng, element):
    def case(*sizes, **options):
        add_case(program, rng, element, sizes, **options)

    case(2, 3, 3, 4, 5, 6, 7, scale=0.7)
    case(2, 6, 2, 4, 5, 6, 7, causal=True)
    # The first rows see nothing.
    case(1, 2, 2, 7, 3, 4, 4, causal=True)
    for shape in ((5, 6), (2, 1, 1, 6), (2, 4, 5, 6)):
        keep = rng.integers(0, 2, shape).astype(bool)
        case(2, 4, 2, 5, 6, 4, 3, mask=rng.integers(-8, 8, shape) / 4)
        case(2, 4, 4, 5, 6, 4, 3, mask=keep, causal=True)
    nothing = np.zeros((5, 6), bool)
    nothing[2:] = True
    case(2, 4, 4, 5, 6, 16, 16, mask=nothing)
    case(2, 4, 4, 5, 6, 16, 16, mask=np.where(nothing, 0.0, -np.inf))
    case(2, 6, 2, 4, 5, 6, 7, causal=True, third=True)
    case(2, 4, 2, 5, 6, 4, 3, mask=rng.integers(-8, 8, (2, 4, 5, 6)) / 4, third=True)


def add_large(program, rng, element, count=4):
    """More than one block of queries and of keys, blocks of two sizes; few heads and many."""
    add_case(program, rng, element, (1, 2, 1, 70, 90, 40, 33), causal=True)
    if count > 1:
        add_case(program, rng, element, (3, 4, 4, 70, 70, 40, 40), causal=True)
        add_case(program, rng, element, (1, 2, 1, 33, 130, 32, 48))
        add_case(program, rng, element, (2, 8, 4, 65, 40, 24, 16), causal=True, mask=rng.integers(-8, 8, (65, 40)) / 4)
    add_case(program, rng, element, (1, 4, 2, 70, 90, 40, 32), causal=True, third=True)
    if count > 1:
        add_case(program, rng, element, (3, 4, 4, 70, 70, 32, 32), third=True)


class AttentionBackward(unittest.TestCase):
    def check_cpu(self, program, options=(), threads=1, schedule=None):
        with tempfile.TemporaryDirectory() as folder:
            model = pathlib.Path(folder) / "attention.mlir"
            model.write_text(program.text())
            inputs = {name: value for name, value, _ in program.arguments}
            outputs, report = lathe.run(model, inputs, threads=threads, options=["--target", "cpu", *options])
            if schedule:
                text = subprocess.run([lathe.LATHE, "compile", model, "--emit", "memref"], capture_output=True, text=True, timeout=300, check=True).stdout
                kernels = [line for line in text.splitlines() if line.startswith("// kernel attention")]
                self.assertTrue(kernels)
                for line in kernels:
                    self.assertIn(schedule, line)
        for i, (element, expected) in enumerate(program.expected):
            rtol, atol = TOLERANCE[element]
            scale = max(1.0, float(np.sqrt(np.mean(np.square(expected)))))
            lathe.assert_close(outputs[f"y{i:03}"].astype(np.float64), expected, rtol, atol * scale, f"output {i}: {program.results[i]}")
        return outputs

    def test_blocks(self):
        program = Program(np.random.default_rng([SEED, 1]))
        add_small(program, program.rng, "f32")
        add_large(program, program.rng, "f32")
        one = self.check_cpu(program, schedule="(attention, ")
        many = self.check_cpu(program, threads=3)
        for name, value in one.items():
            self.assertEqual(value.tobytes(), many[name].tobytes(), name)

    def test_narrow_vectors(self):
        program = Program(np.random.default_rng([SEED, 3]))
        add_large(program, program.rng, "f32")
        for isa in ("avx2", "sse"):
            with self.subTest(isa):
                self.check_cpu(program, options=["--isa", isa])

    def check_cuda(self, element, arch, small=True):
        program = Program(np.random.default_rng([SEED, 4]))
        if small:
            add_small(program, program.rng, element)
        add_large(program, program.rng, element, count=1)
        texts = program.check("attention", arch)
        made = [text for text in re.split(r"\n(?=// \w+_[0-9a-f]{6}\n)", texts) if re.search(r"//   lathe\.attention_(training|backward) ", text)]
        self.assertTrue(made)
        for text in made:
            self.assertRegex(text, '#include "lathe/attention_(backward_)?(simt|mma).cuh"')

    def test_cuda_cores(self):
        self.check_cuda("f32", "sm_80")

    def test_tensor_cores(self):
        self.check_cuda("f16", "sm_90a")
        self.check_cuda("bf16", "sm_80", small=False)

    def test_expanded(self):
        for element in ("f64", "f32", "f16"):
            with self.subTest(element):
                program = Program(np.random.default_rng([SEED, 2]))
                add_small(program, program.rng, element)
                self.check_cpu(program, options=["--no-optimize"])


if __name__ == "__main__":
    unittest.main()
