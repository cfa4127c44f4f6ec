"""Every op on the CPU against NumPy in double precision.

The cases of a family are the results of one model, so that a family is compiled
once; each is compared by itself."""

import itertools
import math
import os
import pathlib
import subprocess
import tempfile
import unittest

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

BUILD = pathlib.Path(os.environ.get("LATHE_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
TYPES = {"f64": np.float64, "f32": np.float32, "f16": np.float16, "i64": np.int64, "i32": np.int32, "i16": np.int16,
         "i8": np.int8, "i1": np.bool_, "ui8": np.uint8, "ui16": np.uint16, "ui32": np.uint32, "ui64": np.uint64}
NAMES = {np.dtype(t): n for n, t in TYPES.items()}
INTEGERS = ["i8", "i16", "i32", "i64", "ui8", "ui16", "ui32", "ui64"]
erf = np.vectorize(math.erf)


def tensor(array):
    return f"tensor<{''.join(f'{size}x' for size in array.shape)}{NAMES[array.dtype]}>"


def ints(values):
    return f"array<i64: {', '.join(map(str, values))}>" if len(values) else "array<i64>"


class Family:
    """Collects cases and runs them as one model."""

    options = ()

    def __init__(self, seed):
        self.cases = []
        self.random = np.random.Generator(np.random.Philox(seed))

    def normal(self, *shape, dtype=np.float32):
        return (self.random.standard_normal(shape) * 2).astype(dtype)

    def integers(self, dtype, *shape):
        info = np.iinfo(dtype)
        return self.random.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)

    def case(self, name, op, inputs, expected, attributes="", prefix="", suffix="", rtol=2e-6, atol=1e-6):
        expected = [np.asarray(e) for e in (expected if isinstance(expected, tuple) else (expected,))]
        inputs = [np.array(i) for i in inputs]
        self.cases.append((name, op, inputs, expected, attributes, prefix, suffix, rtol, atol))

    def text(self):
        arguments, lines, results = [], [], []
        for number, (_, op, inputs, expected, attributes, prefix, suffix, _, _) in enumerate(self.cases):
            names = [f"%c{number}_{i}" for i in range(len(inputs))]
            types = ", ".join(map(tensor, inputs))
            arguments += [f'{n}: {tensor(a)} {{lathe.name = "{n[1:]}"}}' for n, a in zip(names, inputs)]
            many = f":{len(expected)}" if len(expected) > 1 else ""
            outs = [f"%r{number}" + (f"#{i}" if many else "") for i in range(len(expected))]
            results += [(out, tensor(e), f"r{number}_{i}") for i, (out, e) in enumerate(zip(outs, expected))]
            result_types = ", ".join(map(tensor, expected))
            lines.append(f"  %r{number}{many} = lathe.{op} {prefix}{', '.join(names)}{suffix} {attributes} : "
                         f"({types}) -> ({result_types})")
        signature = ", ".join(f'{t} {{lathe.name = "{n}"}}' for _, t, n in results)
        lines.append(f"  return {', '.join(o for o, _, _ in results)} : {', '.join(t for _, t, _ in results)}")
        return (f"func.func @main({', '.join(arguments)}) -> ({signature}) {{\n" + "\n".join(lines) + "\n}\n")

    def check(self, test):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "model.mlir").write_text(self.text())
            command = [BUILD / "bin/lathe", "run", folder / "model.mlir", "--quiet", "--threads", "2", "--output-dir",
                       folder / "out", *self.options]
            for number, case in enumerate(self.cases):
                for i, array in enumerate(case[2]):
                    np.save(folder / f"c{number}_{i}.npy", array)
                    command += ["--input", f"c{number}_{i}={folder}/c{number}_{i}.npy"]
            done = subprocess.run(command, capture_output=True, text=True)
            test.assertEqual(done.returncode, 0, done.stderr[-2000:])
            for number, (name, _, _, expected, _, _, _, rtol, atol) in enumerate(self.cases):
                for i, right in enumerate(expected):
                    with test.subTest(case=name, result=i):
                        found = np.load(folder / "out" / f"r{number}_{i}.npy")
                        test.assertEqual((found.dtype, found.shape), (right.dtype, right.shape))
                        if right.dtype.kind == "f":
                            np.testing.assert_allclose(found.astype(np.float64), right.astype(np.float64), rtol, atol)
                        else:
                            np.testing.assert_array_equal(found, right)


def wrapped(values, dtype):
    """Python integers as `dtype`, modulo its range."""
    mask = 2 ** (8 * np.dtype(dtype).itemsize) - 1
    return np.array([int(v) & mask for v in values], np.uint64).astype(dtype)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


UNARY = {"exp": np.exp, "log": np.log, "sqrt": np.sqrt, "rsqrt": lambda x: 1 / np.sqrt(x), "sin": np.sin,
         "reciprocal": lambda x: 1 / x, "cos": np.cos, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos,
         "atan": np.arctan, "sinh": np.sinh, "cosh": np.cosh, "asinh": np.arcsinh, "acosh": np.arccosh,
         "atanh": np.arctanh, "tanh": np.tanh, "erf": erf, "sigmoid": sigmoid, "silu": lambda x: x * sigmoid(x),
         "softplus": lambda x: np.logaddexp(0, x), "floor": np.floor, "ceil": np.ceil, "round": np.rint,
         "relu": lambda x: np.maximum(x, 0), "neg": np.negative, "abs": np.abs, "sign": np.sign}
DOMAIN = {"log": np.abs, "sqrt": np.abs, "rsqrt": np.abs, "asin": np.tanh, "acos": np.tanh,
          "atanh": lambda x: 0.99 * np.tanh(x), "acosh": lambda x: np.abs(x) + 1, "reciprocal": lambda x: x + np.sign(x)}
COMPARE = {"eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
           "ge": np.greater_equal}


def convolve(x, w, strides, dilations, low, high, groups):
    x = np.pad(x.astype(np.float64), [(0, 0), (0, 0)] + list(zip(low, high)))
    size = [(x.shape[2 + i] - (k - 1) * dilations[i] - 1) // strides[i] + 1 for i, k in enumerate(w.shape[2:])]
    out = np.zeros([x.shape[0], w.shape[0], *size])
    channels, features = x.shape[1] // groups, w.shape[0] // groups
    for place in np.ndindex(*size):
        window = x[(slice(None), slice(None)) + tuple(
            slice(p * s, p * s + (k - 1) * d + 1, d) for p, s, d, k in zip(place, strides, dilations, w.shape[2:]))]
        for g in range(groups):
            axes = list(range(1, w.ndim))
            out[(slice(None), slice(g * features, (g + 1) * features)) + place] = np.tensordot(
                window[:, g * channels:(g + 1) * channels], w[g * features:(g + 1) * features], (axes, axes))
    return out


def pool(x, kernel, strides, dilations, low, high, ceil_mode, count_pad):
    """Maximum, its flat index and the mean over windows."""
    rank, size = len(kernel), []
    for i in range(rank):
        reach = (x.shape[2 + i] + low[i] + high[i] - (kernel[i] - 1) * dilations[i] - 1) / strides[i]
        count = (math.ceil if ceil_mode else math.floor)(reach) + 1
        size.append(count - (ceil_mode and (count - 1) * strides[i] >= x.shape[2 + i] + low[i]))
    shape = list(x.shape[:2]) + size
    largest, where, mean = np.zeros(shape), np.zeros(shape, np.int64), np.zeros(shape)
    for place in np.ndindex(*shape):
        inside, count = [], 0
        for k in np.ndindex(*kernel):
            at = [place[2 + i] * strides[i] - low[i] + k[i] * dilations[i] for i in range(rank)]
            if all(0 <= a < n for a, n in zip(at, x.shape[2:])):
                inside.append(np.ravel_multi_index((*place[:2], *at), x.shape))
            count += all(-l <= a < n + h for a, n, l, h in zip(at, x.shape[2:], low, high))
        values = x.reshape(-1)[inside].astype(np.float64)
        largest[place], where[place] = values.max(), inside[int(values.argmax())]
        mean[place] = values.sum() / (count if count_pad else len(inside))
    return largest.astype(x.dtype), where, mean.astype(x.dtype)


def pack(matrix, panel):
    k, n = matrix.shape
    padded = np.pad(matrix, [(0, 0), (0, -n % panel)])
    return padded.reshape(k, -1, panel).swapaxes(0, 1).copy()


def top_k(x, k, axis, smallest):
    order = np.argsort(x if smallest else -x.astype(np.float64), axis, kind="stable").take(range(k), axis)
    return np.take_along_axis(x, order, axis), order.astype(np.int64)


def resize(x, sizes, roi, options):
    """What the reference evaluator of the onnx package computes."""
    names = ["x", "roi", "", "sizes"]
    node = onnx.helper.make_node("Resize", names, ["y"], **options)
    made = [onnx.helper.make_tensor_value_info(name, kind, None) for name, kind in (
        ("x", onnx.TensorProto.DOUBLE), ("roi", onnx.TensorProto.DOUBLE), ("sizes", onnx.TensorProto.INT64))]
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.DOUBLE, None)
    graph = onnx.helper.make_graph([node], "resize", made, [out])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)])
    feeds = {"x": x.astype(np.float64), "roi": np.array(roi), "sizes": np.array(sizes)}
    return ReferenceEvaluator(model).run(None, feeds)[0].astype(np.float32)


def philox(counter, key):
    """Philox 4x32-10 by the paper's definition, on Python integers."""
    c, k, mask = list(counter), list(key), 0xFFFFFFFF
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & mask, (a >> 32) ^ c[3] ^ k[1], a & mask]
        k = [(k[0] + 0x9E3779B9) & mask, (k[1] + 0xBB67AE85) & mask]
    return c


def random_words(seed, step, stream, count):
    mask = 2**64 - 1
    step = (step ^ (step >> 30)) * 0xBF58476D1CE4E5B9 & mask
    step = (step ^ (step >> 27)) * 0x94D049BB133111EB & mask
    key = seed ^ step ^ (step >> 31)
    split = lambda x: [x & 0xFFFFFFFF, x >> 32]
    words = [philox(split(block) + split(stream), split(key)) for block in range(-(-count // 4))]
    return np.array(words, np.float64).reshape(-1)


class Ops(unittest.TestCase):
    def test_unary(self):
        f = Family(1)
        with np.errstate(all="ignore"):
            for name, function in UNARY.items():
                x = DOMAIN.get(name, lambda v: v)(f.normal(7, 37, dtype=np.float64))
                for dtype, rtol in (("f64", 1e-12), ("f32", 2e-6), ("f16", 2e-3)):
                    y = x.astype(TYPES[dtype])
                    exact = function(y.astype(np.float64)).astype(TYPES[dtype])
                    f.case(f"{name} {dtype}", name, [y], exact, rtol=rtol, atol=1e-3 if dtype == "f16" else 5e-7)
            edges = np.array([0, -0.0, np.inf, -np.inf, np.nan, 88, -88, 104, -104, 1e30, -1e30, 1e-7, -1e-7],
                             np.float32)
            for name in ("exp", "log", "tanh", "erf", "sigmoid", "softplus", "relu", "sqrt", "round", "sign"):
                f.case(f"{name} edges", name, [edges], UNARY[name](edges.astype(np.float64)).astype(np.float32))
            f.case("is_nan", "is_nan", [edges], np.isnan(edges))
            f.case("is_inf", "is_inf", [edges], np.isinf(edges))
            x = f.normal(5, 33)
            wide = x.astype(np.float64)
            f.case("gelu", "gelu", [x], (wide / 2 * (1 + erf(wide / math.sqrt(2)))).astype(np.float32))
            inner = math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3)
            f.case("gelu tanh", "gelu", [x], (wide / 2 * (1 + np.tanh(inner))).astype(np.float32), "{tanh}")
        f.check(self)

    def test_integers(self):
        f = Family(2)
        for dtype in INTEGERS:
            t = TYPES[dtype]
            width = 8 * np.dtype(t).itemsize
            x, y = f.integers(t, 40), f.integers(t, 40)
            y[:10], y[10:20], x[20:23] = 0, np.arange(-5, 5).astype(t), np.iinfo(t).min
            y[20:23] = np.array([0, 1, -1]).astype(t)
            a, b = [int(v) for v in x], [int(v) for v in y]
            quotient = [0 if v == 0 else abs(u) // abs(v) * (1 if (u < 0) == (v < 0) else -1) for u, v in zip(a, b)]
            small, shift = (np.arange(40) % 7).astype(t), (np.arange(40) % 70).astype(t)
            rows = {"add": (y, [u + v for u, v in zip(a, b)]), "sub": (y, [u - v for u, v in zip(a, b)]),
                    "mul": (y, [u * v for u, v in zip(a, b)]), "max": (y, map(max, a, b)), "min": (y, map(min, a, b)),
                    "div": (y, quotient), "rem": (y, [0 if v == 0 else u - v * q for u, v, q in zip(a, b, quotient)]),
                    "mod": (y, [0 if v == 0 else u % v for u, v in zip(a, b)]),
                    "pow": (small, [u ** int(v) for u, v in zip(a, small)]),
                    "shl": (shift, [0 if v >= width else u << int(v) for u, v in zip(a, shift)]),
                    "shr": (shift, [u >> int(v) for u, v in zip(a, shift)]),
                    "and": (y, [u & v for u, v in zip(a, b)]), "or": (y, [u | v for u, v in zip(a, b)]),
                    "xor": (y, [u ^ v for u, v in zip(a, b)])}
            for op, (right, values) in rows.items():
                f.case(f"{op} {dtype}", op, [x, right], wrapped(values, t))
            f.case(f"not {dtype}", "not", [x], ~x)
            for name, function in COMPARE.items():
                f.case(f"{name} {dtype}", "compare", [x, y], function(x, y), prefix=f"{name}, ")
        f.check(self)

    def test_broadcast(self):
        f = Family(3)
        a, b = f.normal(3, 1, 17), f.normal(4, 17)
        a[0, 0, :3], b[0, :3] = [np.nan, np.inf, 0], [1, np.nan, np.nan]
        with np.errstate(all="ignore"):
            for op, function in {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide,
                                 "max": np.maximum, "min": np.minimum, "rem": np.fmod, "mod": np.mod}.items():
                f.case(op, op, [a, b], function(a, b), rtol=1e-5)
            exact = np.power(np.abs(a).astype(np.float64), b).astype(np.float32)
            f.case("pow", "pow", [np.abs(a), b], exact, rtol=1e-5)
        for name, function in COMPARE.items():
            f.case(name, "compare", [a, b], function(a, b), prefix=f"{name}, ")
        mask, flags = f.normal(4, 17) > 0, f.normal(3, 4, 17) > 0
        f.case("select", "select", [mask, a, b], np.where(mask, a, b))
        f.case("select i1", "select", [mask, flags, np.array(True)], np.where(mask, flags, True))
        f.check(self)

    def test_cast(self):
        f = Family(4)
        for source, target in itertools.product(TYPES, TYPES):
            x = f.normal(40, dtype=np.float64) * 20
            x = x > 0 if source == "i1" else (np.abs(x) if source[0] == "u" else x).astype(TYPES[source])
            right = x.astype(TYPES[target])
            if source[0] == "f" and target in INTEGERS:
                x[:7] = [np.nan, np.inf, -np.inf, 1e4, -1e4, 3.99, -3.99]
                info = np.iinfo(TYPES[target])
                right = np.array([0 if v != v else info.max if v >= info.max else info.min if v <= info.min else int(v)
                                  for v in x.astype(np.float64)], TYPES[target])
            f.case(f"{source} to {target}", "cast", [x], right, suffix=f" to {target}")
        f.check(self)

    def test_reduce(self):
        f = Family(5)
        x = f.normal(3, 4, 5, 19)
        functions = {"sum": np.sum, "mean": np.mean, "max": np.max, "min": np.min, "prod": np.prod}
        for name, axes, keep in itertools.product(functions, [(), (-1,), (0, 2), (1,), (0, 1, 2, 3)], (False, True)):
            exact = np.asarray(functions[name](x.astype(np.float64), axis=axes or None, keepdims=keep))
            f.case(f"{name} {axes} {keep}", f"reduce_{name}", [x], exact.astype(np.float32),
                   f"{{axes = {ints(axes)}, keepdims = {str(keep).lower()}}}", rtol=1e-4, atol=1e-5)
        last = "{axes = array<i64: 1>}"
        half, small = f.normal(3, 300, dtype=np.float16), f.integers(np.int8, 4, 90)
        f.case("sum f16", "reduce_sum", [half], half.astype(np.float64).sum(1).astype(np.float16), last, rtol=2e-3)
        f.case("sum i8", "reduce_sum", [small], small.sum(1, dtype=np.int8), last)
        f.case("max i8", "reduce_max", [small], small.max(1), last)
        f.case("min u8", "reduce_min", [small.view(np.uint8)], small.view(np.uint8).min(1), last)
        flags, nan, none = f.normal(5, 30) > 3, f.normal(4, 90), np.zeros((3, 0), np.float32)
        nan[1, 3] = nan[2, 89] = np.nan
        f.case("any", "reduce_max", [flags], flags.any(1), last)
        f.case("all", "reduce_min", [~flags], (~flags).all(1), last)
        f.case("max nan", "reduce_max", [nan], nan.max(1), last)
        f.case("min nan", "reduce_min", [nan], nan.min(1), last)
        f.case("sum of nothing", "reduce_sum", [none], np.zeros(3, np.float32), last)
        f.case("max of nothing", "reduce_max", [none], np.full(3, -np.inf, np.float32), last)
        ties = np.array([[1, 3, 3, 2], [np.nan, 1, np.nan, 0], [-np.inf] * 4], np.float32)
        f.case("argmax", "argmax", [ties], np.array([1, 0, 0]), "{axis = 1 : i64}")
        f.case("argmax last", "argmax", [ties], np.array([2, 2, 3]), "{axis = -1 : i64, select_last}")
        f.case("argmin", "argmin", [ties], np.argmin(ties, 1), "{axis = 1 : i64}")
        f.case("argmax i8", "argmax", [small], small.argmax(0)[None], "{axis = 0 : i64, keepdims = true}")
        f.check(self)

    def test_scan(self):
        f = Family(6)
        x = f.normal(3, 7, 4)
        forward, backward = np.cumsum(x, 1), np.cumsum(x[:, ::-1], 1)[:, ::-1]
        f.case("cumsum", "cumsum", [x], forward, "{axis = 1 : i64}", atol=1e-5)
        f.case("reverse", "cumsum", [x], backward, "{axis = 1 : i64, reverse}", atol=1e-5)
        f.case("exclusive", "cumsum", [x], forward - x, "{axis = 1 : i64, exclusive}", atol=1e-5)
        f.case("both", "cumsum", [x], backward - x, "{axis = -2 : i64, exclusive, reverse}", atol=1e-5)
        for k, shape, smallest in itertools.product((1, 9, 33, 100), ((3, 100), (100,)), (False, True)):
            x = f.random.integers(-20, 20, shape).astype(np.float32)
            f.case(f"top {k} of {shape}", "top_k", [x], top_k(x, k, -1, smallest),
                   f"{{k = {k} : i64{', smallest' if smallest else ''}}}")
        x = f.random.integers(-5, 5, (6, 4)).astype(np.int32)
        f.case("top_k axis 0", "top_k", [x], top_k(x, 3, 0, False), "{k = 3 : i64, axis = 0 : i64}")
        f.check(self)

    def test_contraction(self):
        f = Family(7)
        a, b = f.normal(2, 1, 5, 70), f.normal(3, 70, 6)
        f.case("matmul", "matmul", [a, b], a @ b, atol=1e-4)
        f.case("matmul transposed", "matmul", [a.swapaxes(2, 3), b.swapaxes(1, 2)], a @ b,
               "{transpose_lhs, transpose_rhs}", atol=1e-4)
        small, other = f.integers(np.int8, 4, 5), f.integers(np.int8, 5, 3)
        f.case("matmul i8", "matmul", [small, other], small.astype(np.int32) @ other.astype(np.int32))
        half, right = f.normal(4, 50, dtype=np.float16), f.normal(50, 3, dtype=np.float16)
        exact = (half.astype(np.float64) @ right.astype(np.float64)).astype(np.float16)
        f.case("matmul f16", "matmul", [half, right], exact, rtol=2e-3, atol=1e-2)
        x, w, bias = f.normal(2, 3, 8), f.normal(5, 8), f.normal(5)
        f.case("linear", "linear", [x, w, bias], x @ w.T + bias, atol=1e-5)
        f.case("linear without bias", "linear", [x, w], x @ w.T, atol=1e-5)
        b = f.normal(7, 45)
        f.case("pack", "pack", [b], pack(b, 32))
        f.case("pack transposed", "pack", [b.T], pack(b, 16), "{transposed, panel = 16 : i64}")
        a = f.normal(2, 3, 7)
        f.case("packed_matmul", "packed_matmul", [a, pack(b, 32)], a @ b, "{n = 45 : i64}", atol=1e-5)
        f.check(self)

    def test_convolution(self):
        f = Family(8)
        for name, x, w, strides, dilations, low, high, groups in (
                ("1d", (2, 3, 12), (5, 3, 4), [3], [1], [2], [1], 1),
                ("2d", (2, 4, 9, 8), (6, 2, 3, 2), [2, 1], [1, 2], [1, 0], [0, 2], 2),
                ("depthwise", (1, 16, 9, 9), (16, 1, 3, 3), [1, 1], [1, 1], [1, 1], [1, 1], 16),
                ("pointwise", (1, 16, 9, 9), (40, 16, 1, 1), [2, 2], [1, 1], [0, 0], [0, 0], 1),
                ("3d", (1, 2, 4, 5, 6), (3, 2, 2, 3, 2), [1, 1, 1], [1, 1, 1], [0, 0, 0], [0, 1, 0], 1)):
            x, w, bias = f.normal(*x), f.normal(*w), f.normal(w[0])
            exact = convolve(x, w, strides, dilations, low, high, groups)
            exact = (exact + bias.reshape([-1] + [1] * len(strides))).astype(np.float32)
            attributes = (f"strides = {ints(strides)}, dilations = {ints(dilations)}, pad_low = {ints(low)}, "
                          f"pad_high = {ints(high)}, groups = {groups} : i64")
            f.case(name, "conv", [x, w, bias], exact, f"{{{attributes}}}", atol=1e-4)
            f.case(f"{name} channels last", "conv", [np.moveaxis(x, 1, -1), w, bias], np.moveaxis(exact, 1, -1),
                   f"{{{attributes}, layout = 1 : i32}}", atol=1e-4)
        w, x = f.normal(40, 2, 3, 3), f.normal(1, 9, 8, 2)
        exact = convolve(np.moveaxis(x, 3, 1), w, [2, 1], [1, 2], [0, 0], [0, 0], 1).astype(np.float32)
        f.case("packed_conv", "packed_conv", [x, pack(w.transpose(2, 3, 1, 0).reshape(18, 40), 32)],
               np.moveaxis(exact, 1, -1), "{kernel = array<i64: 3, 3>, strides = array<i64: 2, 1>, "
               "dilations = array<i64: 1, 2>, out_channels = 40 : i64}", atol=1e-4)
        f.check(self)

    def test_pool(self):
        f = Family(9)
        x = f.normal(2, 3, 9, 10) - 5
        x[0, 0, 4, 4] = np.nan
        clean = np.nan_to_num(x)
        for kernel, strides, dilations, low, high, ceil_mode in (
                ([2, 3], [2, 1], [1, 1], [0, 1], [1, 1], False), ([3, 3], [2, 2], [1, 2], [1, 1], [1, 1], True),
                ([2, 2], [3, 3], [1, 1], [0, 0], [0, 0], True)):
            attributes = (f"kernel = {ints(kernel)}, strides = {ints(strides)}, dilations = {ints(dilations)}, "
                          f"pad_low = {ints(low)}, pad_high = {ints(high)}" + (", ceil_mode" if ceil_mode else ""))
            window = (kernel, strides, dilations, low, high, ceil_mode)
            largest, where, _ = pool(x, *window, False)
            _, _, mean = pool(clean, *window, False)
            _, _, padded = pool(clean, *window, True)
            f.case(f"max {kernel}", "max_pool", [x], largest, f"{{{attributes}}}")
            f.case(f"max with index {kernel}", "max_pool_with_index", [x], (largest, where), f"{{{attributes}}}")
            f.case(f"mean {kernel}", "avg_pool", [clean], mean, f"{{{attributes}}}")
            f.case(f"mean with padding {kernel}", "avg_pool", [clean], padded, f"{{{attributes}, count_include_pad}}")
            f.case(f"mean channels last {kernel}", "avg_pool", [np.moveaxis(clean, 1, -1)], np.moveaxis(mean, 1, -1),
                   f"{{{attributes}, layout = 1 : i32}}")
        f.check(self)

    def test_resize(self):
        f = Family(14)
        image = f.normal(1, 2, 5, 7)
        modes = {"nearest": 0, "linear": 1, "cubic": 2}
        coordinates = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize"]
        roundings = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
        roi = [0.0, 0.0, 0.2, -0.1, 1.0, 1.0, 0.8, 1.2]
        for mode, where, sizes, outside in itertools.product(modes, coordinates, ([1, 2, 8, 4], [1, 2, 11, 20]),
                                                             (False, True)):
            if outside and mode != "cubic":
                continue
            for rounding in roundings if mode == "nearest" else ["floor"]:
                options = dict(mode=mode, coordinate_transformation_mode=where, nearest_mode=rounding,
                               extrapolation_value=9.0, exclude_outside=int(outside), cubic_coeff_a=-0.75)
                exact = resize(image, sizes, roi, options)
                text = (f"sizes = {ints(sizes)}, mode = {modes[mode]} : i32, coordinates = {coordinates.index(where)} : "
                        f"i32, nearest = {roundings.index(rounding)} : i32, cubic_coefficient = -0.75 : f64, "
                        "extrapolation_value = 9.0 : f64" + (", exclude_outside" if outside else "")
                        + (f", roi = array<f64: {', '.join(map(str, roi))}>" if where == "tf_crop_and_resize" else ""))
                f.case(f"{mode} {where} {sizes} {rounding} {outside}", "resize", [image], exact, f"{{{text}}}", atol=1e-5)
        f.check(self)

    def test_shape(self):
        f = Family(10)
        x, flags = f.normal(2, 3, 4), f.normal(2, 3, 4) > 0
        f.case("reshape", "reshape", [x], x.reshape(4, 6), "{shape = array<i64: 4, -1>}")
        for order in itertools.permutations(range(3)):
            f.case(f"transpose {order}", "transpose", [x], x.transpose(order), f"{{permutation = {ints(order)}}}")
        f.case("transpose i1", "transpose", [flags], flags.transpose(2, 0, 1), "{permutation = array<i64: 2, 0, 1>}")
        wide = f.normal(70, 90)
        f.case("transpose wide", "transpose", [wide], wide.T, "{permutation = array<i64: 1, 0>}")
        column = f.normal(3, 1)
        f.case("broadcast", "broadcast", [column], np.broadcast_to(column, (2, 3, 4)), "{shape = array<i64: 2, 1, 4>}")
        x = f.normal(7, 9)
        for starts, ends, axes, steps, right in (
                ([1], [5], [0], [2], x[1:5:2]), ([-3, 2], [100, -1], [1, 0], [1, 1], x[2:-1, -3:]),
                ([-1], [-2**63], [1], [-2], x[:, ::-2]), ([6, 3], [0, -20], [0, 1], [-1, -3], x[6:0:-1, 3::-3]),
                ([3], [3], [0], [1], x[3:3])):
            f.case(f"slice {starts}", "slice", [x], right, f"{{starts = {ints(starts)}, ends = {ints(ends)}, "
                   f"axes = {ints(axes)}, steps = {ints(steps)}}}")
        a, b, c = f.normal(2, 3), f.normal(2, 1), f.normal(2, 40)
        f.case("concat", "concat", [a, b, c], np.concatenate([a, b, c], 1), "{axis = -1 : i64}")
        x = f.normal(4, 5)
        for mode, name in enumerate(["constant", "reflect", "edge", "wrap"]):
            for low, high in (([1, 2], [2, 1]), ([-1, 2], [1, -2]), ([3, 4], [3, 4])):
                grown = np.pad(x, [(max(l, 0), max(h, 0)) for l, h in zip(low, high)], mode=name)
                grown = grown[tuple(slice(max(-l, 0), n - max(-h, 0)) for l, h, n in zip(low, high, grown.shape))]
                f.case(f"pad {name} {low}", "pad", [x], grown,
                       f"{{low = {ints(low)}, high = {ints(high)}, mode = {mode} : i32}}")
        f.case("pad value", "pad", [x, np.float32(7)], np.pad(x, [(1, 0), (0, 2)], constant_values=7),
               "{low = array<i64: 1, 0>, high = array<i64: 0, 2>}")
        f.case("tile", "tile", [x], np.tile(x, (2, 3)), "{repeats = array<i64: 2, 3>}")
        f.case("reverse", "reverse", [x], x[::-1, ::-1], "{axes = array<i64: 0, -1>}")
        f.check(self)

    def test_indexing(self):
        f = Family(11)
        x = f.normal(6, 5, 4)
        pick = lambda low, high, *shape: f.random.integers(low, high, shape)
        i = pick(-5, 5, 2, 3)
        f.case("gather axis 1", "gather", [x, i], np.take(x, i, 1), "{axis = 1 : i64}")
        f.case("gather i32", "gather", [x, i.astype(np.int32)], np.take(x, i, 0))
        f.case("gather scalar", "gather", [x, np.array(-1)], x[:, :, -1], "{axis = -1 : i64}")
        table = f.normal(50, 64)
        f.case("embedding", "embedding", [table, np.arange(7)], table[:7])
        i = pick(-6, 6, 3, 5, 4)
        f.case("gather_elements", "gather_elements", [x, i], np.take_along_axis(x, i, 0), "{axis = 0 : i64}")
        i = np.stack([pick(-6, 6, 2, 3), pick(0, 5, 2, 3)], -1)
        f.case("gather_nd", "gather_nd", [x, i], x[i[..., 0], i[..., 1]])
        i = pick(0, 5, 6, 2, 1)
        f.case("gather_nd batch", "gather_nd", [x, i], np.stack([x[k][i[k, :, 0]] for k in range(6)]),
               "{batch_dims = 1 : i64}")
        modes = (lambda old, new: new, lambda old, new: old + new, lambda old, new: old * new, min, max)
        for mode, combine in enumerate(modes):
            i, updates, right = pick(-6, 6, 3, 5, 4), f.normal(3, 5, 4), x.copy()
            for at in np.ndindex(*i.shape):
                right[i[at], at[1], at[2]] = combine(right[i[at], at[1], at[2]], updates[at])
            f.case(f"scatter_elements {mode}", "scatter_elements", [x, i, updates], right,
                   f"{{axis = 0 : i64, mode = {mode} : i32}}")
            i, updates, right = np.stack([pick(-6, 6, 7), pick(0, 5, 7)], -1), f.normal(7, 4), x.copy()
            for row, (p, q) in enumerate(i):
                for column in range(4):
                    right[p, q, column] = combine(right[p, q, column], updates[row, column])
            f.case(f"scatter_nd {mode}", "scatter_nd", [x, i, updates], right, f"{{mode = {mode} : i32}}")
        f.check(self)

    def test_normalization(self):
        f = Family(12)
        x, scale, bias = f.normal(3, 5, 70), f.normal(70), f.normal(70)
        wide = x.astype(np.float64)
        for axis in (0, 1, -1):
            e = np.exp(wide - wide.max(axis, keepdims=True))
            e /= e.sum(axis, keepdims=True)
            f.case(f"softmax {axis}", "softmax", [x], e.astype(np.float32), f"{{axis = {axis} : i64}}")
            f.case(f"log_softmax {axis}", "log_softmax", [x], np.log(e).astype(np.float32), f"{{axis = {axis} : i64}}",
                   atol=1e-5)
        centred = wide - wide.mean(-1, keepdims=True)
        normal = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        f.case("rms_norm", "rms_norm", [x, scale],
               (wide / np.sqrt((wide**2).mean(-1, keepdims=True) + 1e-6) * scale).astype(np.float32), atol=1e-5)
        f.case("layer_norm", "layer_norm", [x], normal.astype(np.float32), atol=1e-5)
        f.check(self)

    def test_random(self):
        f = Family(13)
        key, shape = np.array([42, 7]), "shape = array<i64: 5, 7>, dtype = f32, stream = 3 : i64"
        words = random_words(42, 7, 3, 36)
        uniform = np.floor(words / 256) / 2**24
        f.case("uniform", "random_uniform", [key], uniform[:35].reshape(5, 7).astype(np.float32), f"{{{shape}}}")
        f.case("uniform range", "random_uniform", [key], (uniform[:35] * 3 - 1).reshape(5, 7).astype(np.float32),
               f"{{{shape}, low = -1.0 : f64, high = 2.0 : f64}}")
        radius = np.sqrt(-2 * np.log(uniform[0::2] + 2.0**-24))
        pairs = np.stack([radius * np.cos(2 * np.pi * uniform[1::2]), radius * np.sin(2 * np.pi * uniform[1::2])], -1)
        f.case("normal", "random_normal", [key], pairs.reshape(-1)[:35].reshape(5, 7).astype(np.float32), f"{{{shape}}}",
               atol=3e-6)
        f.check(self)

    def test_philox_is_the_papers(self):
        # Known answers of the authors' Random123 library (kat_vectors).
        self.assertEqual(philox([0] * 4, [0] * 2), [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8])
        self.assertEqual(philox([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2), [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD])


if __name__ == "__main__":
    unittest.main()
