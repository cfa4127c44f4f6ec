"""lathe.attention against its definition, computed row by row: the decomposition,
interpreted op by op on NumPy, and the kernels of the CPU."""

import math
import pathlib
import re
import subprocess
import tempfile
import unittest

import numpy as np

import test_folding as folding
from test_folding import BUILD, Constant, TOLERANCE, tensor


def interpret(text, arguments):
    """Runs a function of primitive ops on NumPy arrays, in the types it names."""
    values = dict(arguments)

    def axes_of(line, rank):
        listed = re.search(r"axes = array<i64: ([-\d, ]+)>", line)
        return tuple(int(axis) % rank for axis in listed.group(1).split(","))

    for line in text.splitlines():
        if match := re.match(r"\s*return (%\w+)", line):
            return values[match.group(1)]
        match = re.match(r"\s*(%\w+) = lathe\.(\w+) ?(.*)", line)
        if not match:
            continue
        name, op, rest = match.groups()
        shape, dtype = re.search(r"tensor<((?:\d+x)*)(\w+)>$", line).groups()
        shape = tuple(int(size) for size in shape.split("x")[:-1])
        x = [values[operand] for operand in re.findall(r"%\w+", rest.split(" : ")[0])]
        if op == "constant":
            result = folding.parse(re.search(r"dense<(.*)> :", rest).group(1), dtype, shape)
        elif op == "iota":
            axis = int(re.search(r"axis = (\d+)", rest).group(1))
            result = np.broadcast_to(np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))]), shape)
        elif op == "reshape":
            result = x[0].reshape(shape)
        elif op == "matmul":
            result = x[0] @ (x[1].swapaxes(-1, -2) if "transpose_rhs" in rest else x[1])
        elif op == "compare":
            result = folding.COMPARE[rest.split(",")[0]](*x)
        elif op == "select":
            result = np.where(*x)
        elif op in ("reduce_max", "reduce_sum"):
            result = {"reduce_max": np.max, "reduce_sum": np.sum}[op](
                x[0], axis=axes_of(line, x[0].ndim), keepdims="keepdims" in rest)
        elif op == "cast":
            result = folding.from_bits(folding.to_bits(x[0], dtype), dtype)
        else:
            result = (folding.BINARY.get(op) or folding.UNARY[op])(*x)
        assert result.shape == shape, f"{op}: {result.shape}, {shape} in the text"
        values[name] = result
    raise AssertionError("no return")


def attention(q, k, v, mask=None, causal=False, scale=None):
    """Row by row, from the definition in the dialect."""
    (b, h, s, d), (_, g, t, e) = q.shape, v.shape
    result = np.zeros((b, h, s, e))
    scale = 1 / math.sqrt(d) if scale is None else scale
    full = None if mask is None else np.broadcast_to(mask, (b, h, s, t))
    for n, head, i in np.ndindex(b, h, s):
        group = head // (h // g)
        weights = {}
        for j in range(t):
            score = float(q[n, head, i] @ k[n, group, j]) * scale
            if full is not None and full.dtype == bool and not full[n, head, i, j]:
                continue
            if causal and j > i + (t - s):
                continue
            if full is not None and full.dtype != bool:
                score += full[n, head, i, j]
            if score > -math.inf:
                weights[j] = math.exp(score)
        for j, weight in weights.items():
            result[n, head, i] += weight / sum(weights.values()) * v[n, group, j]
    return result


class Case:
    """One attention with random operands; `%P0`, `%P1`, ... are their names with
    prefix P."""

    def __init__(self, random, sizes, dtype="f32", mask=None, causal=False, scale=None):
        b, h, g, s, t, d, e = sizes
        self.dtype = dtype
        self.operands = [Constant(random.normal(size=shape), dtype)
                         for shape in ((b, h, s, d), (b, g, t, d), (b, g, t, e))]
        if mask is not None:
            self.operands.append(Constant(mask, "i1" if mask.dtype == bool else dtype))
        attributes = ["causal"] * causal + ([f"scale = {scale} : f64"] if scale is not None else [])
        self.attributes = ", ".join(attributes)
        self.result = tensor((b, h, s, e), dtype)
        self.what = f"{sizes} {dtype} {self.attributes} {'' if mask is None else self.operands[3].type}"
        used = self.operands[3].values if mask is not None else None
        self.expected = attention(*(o.values for o in self.operands[:3]), used, causal, scale)

    def op(self, prefix):
        names = ", ".join(f"%{prefix}{i}" for i in range(len(self.operands)))
        types = ", ".join(o.type for o in self.operands)
        return f"lathe.attention {names} {{{self.attributes}}} : ({types}) -> {self.result}"

    def check(self, found):
        tolerance = 1e-5 if self.dtype == "f32" else 4 * TOLERANCE[self.dtype]
        np.testing.assert_allclose(found, self.expected, rtol=tolerance, atol=tolerance)


def cases():
    random = np.random.Generator(np.random.Philox(13))

    def case(*sizes, **options):
        return Case(random, sizes, **options)

    yield case(2, 3, 3, 4, 5, 6, 7)
    yield case(2, 3, 3, 4, 5, 6, 7, scale=0.7)
    for dtype in ("f64", "f16"):
        yield case(1, 2, 2, 3, 4, 16, 8, dtype=dtype)
    # Heads that share a key head.
    yield case(2, 6, 2, 4, 5, 6, 7)
    yield case(2, 6, 1, 4, 5, 6, 7, causal=True)
    # More than one block of keys and of rows.
    yield case(1, 2, 1, 33, 130, 32, 32)
    yield case(1, 2, 2, 70, 200, 16, 16, causal=True)
    yield case(1, 2, 2, 5, 5, 4, 4, causal=True)
    yield case(1, 2, 2, 3, 7, 4, 4, causal=True)
    # The first rows see nothing.
    yield case(1, 2, 2, 7, 3, 4, 4, causal=True)
    for shape in ((5, 6), (2, 1, 1, 6), (4, 5, 6), (2, 4, 5, 6), (6,), (1, 1)):
        for groups in (4, 2):
            keep = random.integers(0, 2, shape).astype(bool)
            yield case(2, 4, groups, 5, 6, 4, 3, mask=random.normal(size=shape))
            yield case(2, 4, groups, 5, 6, 4, 3, mask=keep)
            yield case(2, 4, groups, 5, 6, 4, 3, mask=keep, causal=True)
    nothing = np.zeros((5, 6), bool)
    nothing[2:] = True
    yield case(2, 4, 4, 5, 6, 16, 16, mask=nothing)
    yield case(2, 4, 4, 5, 6, 16, 16, mask=np.where(nothing, 0.0, -np.inf))


class Attention(unittest.TestCase):
    def test_decomposition(self):
        random = np.random.Generator(np.random.Philox(14))
        every = [*cases(), Case(random, (1, 2, 2, 3, 4, 4, 4), "bf16")]
        module = ""
        for number, case in enumerate(every):
            arguments = ", ".join(f"%a{i}: {o.type}" for i, o in enumerate(case.operands))
            module += (f"func.func @f{number}({arguments}) -> {case.result} {{\n  %r = {case.op('a')}\n"
                       f"  return %r : {case.result}\n}}\n")
        done = subprocess.run([BUILD / "bin" / "lathe-opt", "-lathe-decompose"], input=module, capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        functions = done.stdout.split("func.func")[1:]
        self.assertEqual(len(functions), len(every))
        for case, text in zip(every, functions):
            with self.subTest(case.what), np.errstate(all="ignore"):
                case.check(interpret(text, {f"%arg{i}": o.values for i, o in enumerate(case.operands)}))

    def test_cpu(self):
        every = list(cases())
        arguments, body, results = [], "", []
        for number, case in enumerate(every):
            arguments += [f'%c{number}_{i}: {o.type} {{lathe.name = "c{number}_{i}"}}' for i, o in enumerate(case.operands)]
            body += f"  %r{number} = {case.op(f'c{number}_')}\n"
            results.append(f'{case.result} {{lathe.name = "r{number}"}}')
        names, types = (", ".join(part) for part in zip(*((f"%r{n}", case.result) for n, case in enumerate(every))))
        module = f"func.func @main({', '.join(arguments)}) -> ({', '.join(results)}) {{\n{body}  return {names} : {types}\n}}\n"
        for options in ([], ["--no-fuse"]):
            with tempfile.TemporaryDirectory() as scratch:
                scratch = pathlib.Path(scratch)
                (scratch / "model.mlir").write_text(module)
                inputs = []
                for number, case in enumerate(every):
                    for i, operand in enumerate(case.operands):
                        np.save(scratch / f"c{number}_{i}.npy", operand.bits)
                        inputs += ["--input", f"c{number}_{i}={scratch}/c{number}_{i}.npy"]
                done = subprocess.run([BUILD / "bin" / "lathe", "run", scratch / "model.mlir", "--quiet", "--no-cache",
                                       "--output-dir", scratch / "out", *inputs, *options], capture_output=True, text=True)
                self.assertEqual(done.returncode, 0, done.stderr)
                for number, case in enumerate(every):
                    with self.subTest(case.what, options=options):
                        case.check(np.load(scratch / "out" / f"r{number}.npy").astype(np.float64))


if __name__ == "__main__":
    unittest.main()
