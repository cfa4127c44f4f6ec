"""Folding of elementwise ops and reductions, and the decompositions of composite
ops, against NumPy in double precision and Python's integers.

A decomposition of constants folds to a constant: so both are proved by what
lathe-opt prints."""

import math
import os
import pathlib
import re
import subprocess
import unittest

import numpy as np

BUILD = pathlib.Path(os.environ.get("LATHE_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
INTEGERS = {"i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64,
            "ui8": np.uint8, "ui16": np.uint16, "ui32": np.uint32, "ui64": np.uint64}
FLOATS = {"f64": np.float64, "f32": np.float32, "f16": np.float16, "bf16": np.uint16}
TYPES = {**INTEGERS, **FLOATS, "i1": np.bool_}
# Half a unit in the last place, and as much for a function's own error.
TOLERANCE = {"f64": 4e-16, "f32": 1.2e-7, "f16": 9.8e-4, "bf16": 7.9e-3}


def to_bits(values, dtype):
    """float64 `values` rounded to `dtype` as the bits a constant holds."""
    if dtype != "bf16":
        with np.errstate(over="ignore"):
            return np.asarray(values).astype(TYPES[dtype])
    bits = np.asarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def from_bits(bits, dtype):
    if dtype == "bf16":
        return (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return bits.astype(np.float64) if dtype in FLOATS else bits


def tensor(shape, dtype):
    return f"tensor<{''.join(f'{size}x' for size in shape)}{dtype}>"


class Constant:
    def __init__(self, values, dtype):
        self.dtype, self.bits = dtype, to_bits(values, dtype)
        self.type = tensor(self.bits.shape, dtype)
        self.values = from_bits(self.bits, dtype)

    def text(self):
        if self.dtype == "i1":
            words = str(self.bits.astype(int).tolist()).replace("0", "false").replace("1", "true")
            return f"dense<{words}> : {self.type}"
        return f'dense<"0x{self.bits.tobytes().hex().upper()}"> : {self.type}'


def parse(text, dtype, shape):
    """The elements of `dense<...>`, as from_bits gives them."""
    if text.startswith('"0x'):
        if dtype == "i1":  # one bit each, lowest first
            bits = np.unpackbits(np.frombuffer(bytes.fromhex(text[3:-1]), np.uint8), bitorder="little")
            return bits[: math.prod(shape)].astype(bool).reshape(shape)
        return from_bits(np.frombuffer(bytes.fromhex(text[3:-1]), TYPES[dtype]).reshape(shape), dtype)
    words = re.findall(r"[^\s,\[\]]+", text)
    if dtype == "i1":
        values = [word == "true" for word in words]
    elif dtype in INTEGERS:
        values = [int(word) for word in words]
    else:
        width = TYPES[dtype]().itemsize
        values = [
            from_bits(np.frombuffer(int(word, 16).to_bytes(width, "little"), TYPES[dtype]), dtype)[0]
            if word.startswith("0x") else from_bits(to_bits(np.array([float(word)]), dtype), dtype)[0]
            for word in words]
    values = np.array(values, np.float64 if dtype in FLOATS else TYPES[dtype])
    return np.full(shape, values[0]) if values.size == 1 else values.reshape(shape)


def evaluate(cases, *passes):
    """`cases` are (op text with {0}, {1}... for operands, constants, result
    dtype, result shape); returns the folded results."""
    module = []
    for number, (op, constants, dtype, shape) in enumerate(cases):
        lines = [f"  %c{i} = lathe.constant {c.text()}" for i, c in enumerate(constants)]
        operands = [f"%c{i}" for i in range(len(constants))]
        signature = f"({', '.join(c.type for c in constants)}) -> {tensor(shape, dtype)}"
        module += [f"func.func @case{number}() -> {tensor(shape, dtype)} {{", *lines,
                   f"  %r = lathe.{op.format(*operands)} : {signature}",
                   f"  return %r : {tensor(shape, dtype)}", "}"]
    run = subprocess.run([BUILD / "bin" / "lathe-opt", *passes, "-canonicalize"],
                         input="\n".join(module), capture_output=True, text=True)
    if run.returncode:
        raise AssertionError(run.stderr[:2000])
    results = []
    for number, (op, _, dtype, shape) in enumerate(cases):
        body = run.stdout.split(f"@case{number}()")[1].split("func.func")[0]
        found = re.findall(r"lathe\.(\w+)", body)
        if found != ["constant"]:
            raise AssertionError(f"'{op}' did not fold: {found} are left")
        results.append(parse(re.search(r"dense<(.*)> :", body).group(1), dtype, shape))
    return results


def with_errors_ignored(function, *arguments):
    with np.errstate(all="ignore"):
        return np.asarray(function(*arguments))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


erf = np.vectorize(math.erf)
UNARY = {
    "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x), "reciprocal": lambda x: 1 / x,
    "sin": np.sin, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "sinh": np.sinh, "cosh": np.cosh, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh,
    "tanh": np.tanh, "erf": erf, "sigmoid": sigmoid, "silu": lambda x: x * sigmoid(x),
    "softplus": lambda x: np.logaddexp(x, 0), "floor": np.floor, "ceil": np.ceil, "round": np.rint,
    "relu": lambda x: np.where(x < 0, 0, x), "neg": np.negative, "abs": np.abs, "sign": np.sign,
    "gelu": lambda x: x / 2 * (1 + erf(x / math.sqrt(2))),
    "gelu {tanh}": lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
}
BINARY = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "pow": np.power,
    "max": np.maximum, "min": np.minimum, "rem": np.fmod, "mod": np.mod,
}
COMPARE = {"eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
           "ge": np.greater_equal}


def truncated(a, b):
    """Python's exact integers, C's division; 0 by 0."""
    return 0 if b == 0 else abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def power(a, b):
    if b >= 0:
        return a**b
    return {1: 1, -1: -1 if b % 2 else 1}.get(a, 0)


def integer_ops(width, signed):
    def shift_right(a, b):
        return a >> min(b % 2**width, width - 1) if signed or b < width else 0

    return {
        "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": truncated,
        "pow": power, "max": max, "min": min, "rem": lambda a, b: a - truncated(a, b) * b if b else 0,
        "mod": lambda a, b: a % b if b else 0, "and": lambda a, b: a & b, "or": lambda a, b: a | b,
        "xor": lambda a, b: a ^ b, "shl": lambda a, b: a << b if 0 <= b < width else 0, "shr": shift_right,
    }


def wrapped(values, dtype):
    width = np.dtype(TYPES[dtype]).itemsize * 8
    values = [value % 2**width for value in values]
    if dtype.startswith("i"):
        values = [value - 2**width if value >= 2 ** (width - 1) else value for value in values]
    return np.array(values, TYPES[dtype])


class Folding(unittest.TestCase):
    def setUp(self):
        self.random = np.random.Generator(np.random.Philox(11))

    def close(self, found, expected, dtype, slack=1.0, absolute=0.0):
        expected = from_bits(with_errors_ignored(to_bits, expected, dtype), dtype)
        np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
        tiny = {"f64": 5e-324, "f32": 1.5e-45, "f16": 6e-8, "bf16": 1e-40}[dtype]
        np.testing.assert_allclose(found, expected, rtol=TOLERANCE[dtype] * slack, atol=tiny + absolute)

    def numbers(self, dtype):
        special = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, math.inf, -math.inf, math.nan, 1e-3, 40.0, -40.0]
        spread = np.concatenate([self.random.uniform(-1, 1, 60), self.random.normal(size=60) * 4])
        return Constant(np.concatenate([special, spread]), dtype)

    def test_float_unary(self):
        for dtype in FLOATS:
            x = self.numbers(dtype)
            cases = [(re.sub(r"^(\w+)", r"\1 {0}", op).replace("{tanh}", "{{tanh}}"), [x], dtype, x.bits.shape)
                     for op in UNARY]
            for op, found in zip(UNARY, evaluate(cases)):
                with self.subTest(op=op, dtype=dtype):
                    expected = with_errors_ignored(UNARY[op], x.values)
                    if op.startswith("gelu") or op == "silu":
                        # -inf * 0 is not a number here as there; far below 0
                        # the sum 1 + erf loses digits on both sides.
                        self.close(found, expected, dtype, 2, 1e-15)
                    else:
                        self.close(found, expected, dtype, 2)

    def test_float_binary_broadcasts(self):
        for dtype in FLOATS:
            x = self.numbers(dtype)
            y = Constant([[2.0], [-1.5], [0.0], [math.inf], [math.nan], [1 / 3]], dtype)
            shape = (6, x.bits.size)
            found = evaluate([(f"{op} {{0}}, {{1}}", [x, y], dtype, shape) for op in BINARY])
            for op, found in zip(BINARY, found):
                with self.subTest(op=op, dtype=dtype):
                    expected = with_errors_ignored(BINARY[op], x.values, y.values)
                    if op == "mod":
                        # An infinite divisor of the other sign: NumPy says the
                        # divisor, as does r + y.
                        expected = np.broadcast_to(expected, shape)
                    self.close(found, expected, dtype)
            found = evaluate([(f"compare {p}, {{0}}, {{1}}", [x, y], "i1", shape) for p in COMPARE])
            for predicate, found in zip(COMPARE, found):
                with self.subTest(op="compare", predicate=predicate, dtype=dtype):
                    np.testing.assert_array_equal(found, COMPARE[predicate](x.values, y.values))

    def test_float_predicates(self):
        for dtype in FLOATS:
            x = self.numbers(dtype)
            nan, inf = evaluate([(f"{op} {{0}}", [x], "i1", x.bits.shape) for op in ("is_nan", "is_inf")])
            np.testing.assert_array_equal(nan, np.isnan(x.values))
            np.testing.assert_array_equal(inf, np.isinf(x.values))

    def test_integers(self):
        for dtype, kind in INTEGERS.items():
            limits = np.iinfo(kind)
            width, signed = limits.bits, dtype.startswith("i")
            special = [0, 1, 2, 3, 7, 63, 64, limits.max, limits.max - 1, limits.min]
            special += [-1, -2, -7, limits.min + 1] if signed else []
            pairs = [(a, b) for a in special for b in special]
            a, b = (Constant(np.array(side, kind), dtype) for side in zip(*pairs))
            ops = integer_ops(width, signed)
            found = evaluate([(f"{op} {{0}}, {{1}}", [a, b], dtype, a.bits.shape) for op in ops])
            for op, found in zip(ops, found):
                with self.subTest(op=op, dtype=dtype):
                    small = [(x, y) if op != "pow" or y < 300 else (x, y % 2**width) for x, y in pairs]
                    if op == "pow":
                        expected = [pow(x, y, 2**width) if y >= 0 else power(x, y) for x, y in small]
                    else:
                        expected = [ops[op](x, y) for x, y in small]
                    np.testing.assert_array_equal(found, wrapped(expected, dtype))
            unary = {"neg": lambda x: -x, "abs": abs, "sign": lambda x: (x > 0) - (x < 0), "not": lambda x: ~x,
                     "relu": lambda x: max(x, 0)}
            found = evaluate([(f"{op} {{0}}", [a], dtype, a.bits.shape) for op in unary])
            for op, found in zip(unary, found):
                with self.subTest(op=op, dtype=dtype):
                    np.testing.assert_array_equal(found, wrapped([unary[op](x) for x, _ in pairs], dtype))
            found = evaluate([(f"compare {p}, {{0}}, {{1}}", [a, b], "i1", a.bits.shape) for p in COMPARE])
            for predicate, found in zip(COMPARE, found):
                with self.subTest(op="compare", predicate=predicate, dtype=dtype):
                    np.testing.assert_array_equal(found, COMPARE[predicate](a.bits, b.bits))

    def test_booleans(self):
        a, b = Constant([False, False, True, True], "i1"), Constant([False, True, False, True], "i1")
        ops = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}
        found = evaluate([(f"{op} {{0}}, {{1}}", [a, b], "i1", (4,)) for op in ops])
        for op, found in zip(ops, found):
            np.testing.assert_array_equal(found, ops[op](a.bits, b.bits))
        np.testing.assert_array_equal(evaluate([("not {0}", [a], "i1", (4,))])[0], ~a.bits)

    def test_cast(self):
        """Truncates and saturates from floats, wraps from integers."""
        for source in TYPES:
            if source in FLOATS:
                x = self.numbers(source)
                exact = [float(v) for v in x.values] + [300.0, -300.0, 1e9, -1e9, 3e4]
                x = Constant(exact, source)
            elif source == "i1":
                x = Constant([True, False], source)
            else:
                limits = np.iinfo(INTEGERS[source])
                x = Constant(np.array([0, 1, 100, limits.max, limits.min, limits.max // 3], INTEGERS[source]), source)
            targets = list(TYPES)
            cases = [(f"cast {{0}} to {t}", [x], t, x.bits.shape) for t in targets if t != source]
            for (text, *_), found in zip(cases, evaluate(cases)):
                target = text.split()[-1]
                with self.subTest(source=source, target=target):
                    values = [v.item() for v in x.values]
                    if target == "i1":
                        expected = [v != 0 for v in values]
                    elif target in FLOATS:
                        expected = from_bits(with_errors_ignored(to_bits, np.array(values, np.float64), target), target)
                    elif source in FLOATS:
                        limits = np.iinfo(INTEGERS[target])
                        expected = [0 if v != v else limits.max if v >= limits.max else
                                    limits.min if v <= limits.min else int(v) for v in values]
                    else:
                        expected = wrapped([int(v) for v in values], target)
                    np.testing.assert_array_equal(found, np.array(expected, found.dtype))

    def test_select(self):
        condition = Constant(self.random.integers(0, 2, (5, 1, 4)).astype(bool), "i1")
        a, b = Constant(self.random.normal(size=(3, 1)), "f32"), Constant(self.random.normal(size=(4,)), "f32")
        found, = evaluate([("select {0}, {1}, {2}", [condition, a, b], "f32", (5, 3, 4))])
        np.testing.assert_array_equal(found, np.where(condition.bits, a.values, b.values))

    def test_reductions(self):
        ops = {"reduce_sum": np.sum, "reduce_mean": np.mean, "reduce_max": np.max, "reduce_min": np.min,
               "reduce_prod": np.prod}
        for dtype in ("f64", "f32", "f16", "i32", "i64"):
            values = self.random.normal(size=(2, 3, 4, 5)) if dtype in FLOATS else self.random.integers(-9, 9, (2, 3, 4, 5))
            x = Constant(values, dtype)
            for axes in ((), (1,), (-1, 0), (0, 1, 2, 3)):
                for keep in (False, True):
                    def reduced(op, axes=axes, keep=keep):
                        return ops[op](x.values, axis=axes or None, keepdims=keep)
                    names = [op for op in ops if dtype in FLOATS or op != "reduce_mean"]
                    text = f"array<i64{': ' if axes else ''}{', '.join(map(str, axes))}>"
                    cases = [(f"{op} {{0}} {{{{axes = {text}, keepdims = {str(keep).lower()}}}}}", [x], dtype,
                              np.shape(reduced(op))) for op in names]
                    for op, found in zip(names, evaluate(cases)):
                        with self.subTest(op=op, dtype=dtype, axes=axes, keep=keep):
                            if dtype in FLOATS:
                                self.close(found, reduced(op), dtype, 4, 1e-15)
                            else:
                                np.testing.assert_array_equal(found, np.asarray(reduced(op)).astype(found.dtype))


class Decompositions(unittest.TestCase):
    """Equations straight from the papers and the ONNX operator texts."""

    def setUp(self):
        self.random = np.random.Generator(np.random.Philox(12))

    def check(self, op, constants, dtype, expected, tolerance=1e-6):
        expected = np.asarray(expected)
        found, = evaluate([(op, constants, dtype, expected.shape)], "-lathe-decompose")
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)

    def test_softmax(self):
        for dtype, tolerance in (("f64", 1e-14), ("f32", 1e-6), ("f16", 1e-3), ("bf16", 8e-3)):
            x = Constant(self.random.normal(size=(3, 4, 5)) * 5, dtype)
            for axis in (0, 1, -1):
                e = np.exp(x.values)
                p = e / e.sum(axis, keepdims=True)
                self.check(f"softmax {{0}} {{{{axis = {axis} : i64}}}}", [x], dtype, p, tolerance)
                self.check(f"log_softmax {{0}} {{{{axis = {axis} : i64}}}}", [x], dtype, np.log(p), tolerance * 10)
        # exp alone would overflow.
        x = Constant([[1000.0, 1001.0], [-1000.0, -1002.0]], "f32")
        p = 1 / (1 + np.exp([[1, -1], [-2, 2]]))
        self.check("softmax {0}", [x], "f32", p)

    def test_norms(self):
        x = Constant(self.random.normal(size=(2, 3, 4)) * 3 + 1, "f32")
        s, b = (Constant(self.random.normal(size=(3, 4)), "f32") for _ in range(2))
        mean, var = x.values.mean((1, 2), keepdims=True), x.values.var((1, 2), keepdims=True)
        normal = (x.values - mean) / np.sqrt(var + 0.25)
        self.check("layer_norm {0} scale {1} bias {2} {{axis = 1 : i64, epsilon = 0.25 : f64}}", [x, s, b], "f32",
                   normal * s.values + b.values)
        self.check("layer_norm {0} bias {1} {{axis = 1 : i64, epsilon = 0.25 : f64}}", [x, b], "f32", normal + b.values)
        s = Constant(self.random.normal(size=4), "f32")
        rms = x.values / np.sqrt((x.values**2).mean(-1, keepdims=True) + 0.25)
        self.check("rms_norm {0}, {1} {{epsilon = 0.25 : f64}}", [x, s], "f32", rms * s.values)
        self.check("rms_norm {0} {{epsilon = 0.25 : f64}}", [x], "f32", rms)
        s, b, m = (Constant(self.random.normal(size=3), "f32") for _ in range(3))
        v = Constant(self.random.uniform(0.1, 2, 3), "f32")
        def place(c):
            return c.values[:, None]
        expected = (x.values - place(m)) / np.sqrt(place(v) + 1e-5) * place(s) + place(b)
        self.check("batch_norm {0}, {1}, {2}, {3}, {4}", [x, s, b, m, v], "f32", expected, 3e-6)

    def test_losses(self):
        x = Constant(self.random.normal(size=(6, 5)) * 2, "f32")
        labels = np.array([0, 4, 2, -100, 1, -100])
        logs = x.values - np.log(np.exp(x.values).sum(-1, keepdims=True))
        hit = logs[np.arange(6), np.where(labels < 0, 0, labels)]
        counted = labels != -100
        for smoothing in (0.0, 0.1):
            rows = -(1 - smoothing) * hit - smoothing * logs.mean(-1)
            rows = np.where(counted, rows, 0)
            for reduce, expected in (("none", rows), ("sum", rows.sum()), ("mean", rows.sum() / counted.sum())):
                for dtype in ("i64", "i32"):
                    self.check(f"cross_entropy {{0}}, {{1}} reduce {reduce} {{{{ignore_index = -100 : i64, "
                               f"label_smoothing = {smoothing} : f64}}}}", [x, Constant(labels, dtype)], "f32", expected)
        labels = np.array([0, 4, 2, 3, 1, 0])
        self.check("cross_entropy {0}, {1}", [x, Constant(labels, "i64")], "f32", -logs[np.arange(6), labels].mean())
        y = Constant(self.random.normal(size=(6, 5)), "f32")
        square = (x.values - y.values) ** 2
        for reduce, expected in (("none", square), ("sum", square.sum()), ("mean", square.mean())):
            self.check(f"mse {{0}}, {{1}} reduce {reduce}", [x, y], "f32", expected)

    def test_quantization(self):
        for dtype in ("i8", "ui8", "i16", "ui16"):
            limits = np.iinfo(INTEGERS[dtype])
            x = Constant(np.concatenate([self.random.normal(size=(2, 50)) * limits.max / 8,
                                         [[0.5, 1.5, 1e9, -1e9], [2.5, -0.5, math.inf, -math.inf]]], axis=1), "f32")
            middle = (limits.max + limits.min + 1) // 2
            for scale, zero in ((np.array(0.5), np.array(middle + 3)), (np.array([0.25, 0.5]), np.array([middle, middle - 7]))):
                s, z = Constant(scale, "f32"), Constant(zero, dtype)
                column = (slice(None), None) if scale.ndim else ()
                rounded = np.rint(x.values / scale[column]) + zero[column]
                expected = np.clip(rounded, limits.min, limits.max).astype(INTEGERS[dtype])
                with self.subTest(dtype=dtype, per_axis=bool(scale.ndim)):
                    self.check("quantize {0}, {1}, {2} {{axis = 0 : i64}}", [x, s, z], dtype, expected, 0)
                    q = Constant(expected, dtype)
                    back = (expected.astype(np.float64) - zero[column]) * scale[column]
                    self.check("dequantize {0}, {1}, {2} {{axis = 0 : i64}}", [q, s, z], "f32", back, 0)
        # Above 2^24 the difference is taken in integers.
        q, z = Constant([2**30 + 1, -(2**30)], "i32"), Constant(2**30, "i32")
        self.check("dequantize {0}, {1}, {2}", [q, Constant(1.0, "f32"), z], "f32", [1.0, -(2.0**31)], 0)


if __name__ == "__main__":
    unittest.main()
