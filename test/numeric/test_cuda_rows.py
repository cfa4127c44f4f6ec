"""Pointwise ops and reductions as CUDA kernels, on the simulator: against NumPy in f64, over sizes that no pack, warp or
block divides."""

import itertools
import tempfile
import pathlib
import subprocess

import numpy as np

import cli
import test_ops
from test_ops import BUILD, Family, ints, tensor


class SimFamily(Family):
    options = ("--target", "cuda-sim")


class CudaOps(test_ops.Ops):
    """The ops of test_ops.py once more, on the simulator."""
    SECONDS = 40

    def setUp(self):
        kept, Family.options = Family.options, SimFamily.options
        self.addCleanup(setattr, Family, "options", kept)


def softmax(x, axis):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


def layer_norm(x, axis=-1):
    centred = x - x.mean(axis, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis, keepdims=True) + 1e-5)


REDUCTIONS = {"sum": np.sum, "mean": np.mean, "max": np.max, "min": np.min}
SIZES = (1, 3, 31, 33, 1000, 1025)


class CudaRows(test_ops.unittest.TestCase):
    SECONDS = 40

    def test_reductions_along_rows(self):
        f = SimFamily(31)
        for size, rows in itertools.product(SIZES, (1, 5)):
            x = f.normal(rows, size)
            for name, function in REDUCTIONS.items():
                f.case(f"{name} of {size}", f"reduce_{name}", [x], function(x.astype(np.float64), 1).astype(np.float32),
                       "{axes = array<i64: 1>}", rtol=1e-5, atol=1e-4)
        f.check(self)

    def test_running_sums(self):
        """Rows for a warp, for a block, of several chunks; both orders, with and without the element itself."""
        f = SimFamily(36)
        words = ("", "exclusive", "reverse", "exclusive, reverse")
        for (rows, size), word in itertools.product(((5, 64), (3, 127), (1030, 130), (2, 1000), (1, 5000), (2, 4500)), words):
            for dtype, atol in ((np.float32, 1e-3), (np.int8, 0), (np.int64, 0)):
                if dtype != np.float32 and rows > 1000:
                    continue
                x = f.normal(rows, size) if dtype == np.float32 else f.integers(dtype, rows, size)
                exact = x.astype(np.float64 if dtype == np.float32 else np.int64)
                exact = exact[:, ::-1] if "reverse" in word else exact
                sums = np.cumsum(exact, 1) - (exact if "exclusive" in word else 0)
                sums = sums[:, ::-1] if "reverse" in word else sums
                f.case(f"{dtype.__name__} {rows}x{size} {word}", "cumsum", [x], sums.astype(dtype),
                       f"{{axis = 1 : i64{', ' if word else ''}{word}}}", rtol=0, atol=atol)
        for dtype, rtol in ((np.float16, 2e-3), (np.float64, 1e-12)):
            x = f.normal(4, 600).astype(dtype)
            f.case(dtype.__name__, "cumsum", [x], np.cumsum(x.astype(np.float64), 1).astype(dtype), "{axis = 1 : i64}", rtol=rtol, atol=20 * rtol)
        f.check(self)

    def test_reductions_down_columns(self):
        f = SimFamily(32)
        for size, columns in itertools.product(SIZES, (2, 33)):
            x = f.normal(size, columns)
            for name, function in REDUCTIONS.items():
                f.case(f"{name} of {size}", f"reduce_{name}", [x], function(x.astype(np.float64), 0).astype(np.float32),
                       "{axes = array<i64: 0>}", rtol=1e-5, atol=1e-4)
        f.check(self)

    def test_two_stages(self):
        f = SimFamily(33)
        long, tall = f.normal(2, 40003), f.normal(1027, 40)
        f.case("rows", "reduce_sum", [long], long.astype(np.float64).sum(1).astype(np.float32), "{axes = array<i64: 1>}",
               rtol=1e-5, atol=1e-3)
        f.case("columns", "reduce_mean", [tall], tall.astype(np.float64).mean(0).astype(np.float32),
               "{axes = array<i64: 0>}", rtol=1e-5, atol=1e-5)
        f.case("everything", "reduce_max", [long], long.max().reshape(()), "{axes = array<i64: 0, 1>}")
        wide = long[0].astype(np.float64)
        f.case("softmax of a long row", "softmax", [long[:1]], softmax(wide, 0)[None].astype(np.float32), rtol=2e-5,
               atol=1e-9)
        f.check(self)

    def test_normalizations(self):
        f = SimFamily(34)
        for size in SIZES:
            x, s, b = f.normal(6, size), f.normal(size), f.normal(size)
            wide = x.astype(np.float64)
            f.case(f"softmax {size}", "softmax", [x], softmax(wide, 1).astype(np.float32), rtol=1e-5)
            f.case(f"log_softmax {size}", "log_softmax", [x], np.log(softmax(wide, 1)).astype(np.float32), rtol=1e-5,
                   atol=1e-5)
            rms = wide / np.sqrt((wide**2).mean(1, keepdims=True) + 1e-5) * s
            f.case(f"rms_norm {size}", "rms_norm", [x, s], rms.astype(np.float32), "{epsilon = 1.0e-5 : f64}", rtol=1e-5,
                   atol=1e-5)
            if size > 1:
                f.case(f"layer_norm {size}", "layer_norm", [x], layer_norm(wide).astype(np.float32),
                       "{epsilon = 1.0e-5 : f64}", rtol=1e-4, atol=1e-4)
        x = f.normal(3, 17, 35)
        wide = x.astype(np.float64)
        for axis in (0, 1, 2):
            f.case(f"softmax axis {axis}", "softmax", [x], softmax(wide, axis).astype(np.float32),
                   f"{{axis = {axis} : i64}}", rtol=1e-5)
        f.check(self)

    def test_searches(self):
        """Ties, NaN and rows of equal values, whatever thread meets them."""
        f = SimFamily(39)
        for size, axis in itertools.product((1, 2, 33, 1025), (0, 1)):
            x = np.round(f.normal(size, 6) if axis == 0 else f.normal(6, size))
            x[(size // 2, 0) if axis == 0 else (0, size // 2)] = np.nan
            if axis:
                x[1], x[2] = -np.inf, np.inf
            last = x.shape[axis] - 1 - np.argmax(np.flip(x, axis), axis)
            f.case(f"argmax {size} {axis}", "argmax", [x], np.argmax(x, axis), f"{{axis = {axis} : i64}}")
            f.case(f"argmin {size} {axis}", "argmin", [x], np.argmin(x, axis), f"{{axis = {axis} : i64}}")
            f.case(f"last {size} {axis}", "argmax", [x], last, f"{{axis = {axis} : i64, select_last}}")
        f.check(self)

    def test_random(self):
        """400 random reductions, norms, broadcasts and transposes of random shapes and types."""
        f = SimFamily(40)
        choice = f.random.choice
        for number in range(400):
            rank = int(f.random.integers(1, 5))
            shape = [int(choice((0, 1, 1, 2, 3, 5, 8, 16, 31, 33, 64, 130))) for _ in range(rank)]
            while np.prod(shape) > 20000:
                shape[int(np.argmax(shape))] = 3
            kind = choice(("reduce", "reduce", "softmax", "transpose", "binary", "argmax"))
            axis = int(f.random.integers(rank))
            dtype = choice((np.float32, np.float32, np.float16, np.int32))
            name = f"{number} {kind} {shape} {axis} {dtype.__name__}"
            x = f.random.integers(-9, 10, shape).astype(np.int32) if dtype == np.int32 else f.normal(*shape, dtype=dtype)
            near = {np.float32: 1e-5, np.float16: 3e-3, np.int32: 0}[dtype]
            wide = x.astype(np.float64)
            if kind == "reduce":
                axes = tuple(int(a) for a in np.flatnonzero(f.random.integers(0, 2, rank))) or (axis,)
                op = choice(("sum", "max", "min")) if dtype == np.int32 else choice(tuple(REDUCTIONS))
                if not np.prod([shape[a] for a in axes]):
                    op = "sum"
                f.case(f"{name} {op} {axes}", f"reduce_{op}", [x], REDUCTIONS[op](wide, axes).astype(dtype),
                       f"{{axes = {ints(axes)}}}", rtol=near, atol=near * 30)
            elif kind == "softmax" and dtype != np.int32 and shape[axis]:
                f.case(name, "softmax", [x], softmax(wide, axis).astype(dtype), f"{{axis = {axis} : i64}}", rtol=near,
                       atol=near / 10)
            elif kind == "argmax" and shape[axis]:
                f.case(name, "argmax", [x], np.argmax(x, axis), f"{{axis = {axis} : i64}}")
            elif kind == "transpose":
                order = tuple(int(d) for d in f.random.permutation(rank))
                f.case(f"{name} {order}", "transpose", [x], x.transpose(order), f"{{permutation = {ints(order)}}}")
            else:
                other = [1 if f.random.integers(3) == 0 else size for size in shape][int(f.random.integers(rank)):]
                y = f.random.integers(-9, 10, other).astype(dtype)
                f.case(f"{name} {other}", "mul", [x, y], (wide * y.astype(np.float64)).astype(dtype), rtol=near)
        f.check(self)

    def test_sixteen_bits(self):
        f = SimFamily(35)
        for size in (8, 33, 1024):
            x = f.normal(40, size, dtype=np.float16)
            wide = x.astype(np.float64)
            f.case(f"softmax {size}", "softmax", [x], softmax(wide, 1).astype(np.float16), rtol=2e-3, atol=1e-6)
            f.case(f"exp {size}", "exp", [x], np.exp(wide).astype(np.float16), rtol=2e-3)
        f.check(self)

    def test_pointwise(self):
        """Packs of every width, broadcasts along every dim, transposes, and rows that begin between packs."""
        f = SimFamily(36)
        for rows, columns in itertools.product((1, 3, 33), (1, 4, 6, 31, 32, 1000)):
            x, row, column = f.normal(rows, columns), f.normal(columns), f.normal(rows, 1)
            f.case(f"add row {rows} {columns}", "add", [x, row], x + row)
            f.case(f"mul column {rows} {columns}", "mul", [x, column], x * column)
            f.case(f"outer {rows} {columns}", "sub", [row, column], row - column)
            f.case(f"transpose {rows} {columns}", "transpose", [x], x.T, "{permutation = array<i64: 1, 0>}")
            begin = columns // 3
            f.case(f"slice {rows} {columns}", "slice", [x], x[:, begin:],
                   f"{{starts = {ints([begin])}, ends = {ints([columns])}, axes = {ints([1])}, steps = {ints([1])}}}")
        x = f.normal(5, 66, 34)
        for order in itertools.permutations(range(3)):
            f.case(f"transpose {order}", "transpose", [x], x.transpose(order), f"{{permutation = {ints(order)}}}")
        nothing = np.zeros((0, 7), np.float32)
        f.case("nothing", "exp", [nothing], nothing)
        f.check(self)

    def test_programs(self):
        """Reductions that depend on each other, along rows and columns of one input, in one kernel."""
        x = np.random.Generator(np.random.Philox(37)).standard_normal((70, 36)).astype(np.float32)
        model = f"""
func.func @main(%x: {tensor(x)} {{lathe.name = "x"}})
    -> ({tensor(x)} {{lathe.name = "normal"}}, tensor<36xf32> {{lathe.name = "sum"}}, tensor<70xf32> {{lathe.name = "mean"}}) {{
  %0 = lathe.layer_norm %x {{epsilon = 1.0e-5 : f64}} : ({tensor(x)}) -> {tensor(x)}
  %1 = lathe.exp %0 : ({tensor(x)}) -> {tensor(x)}
  %2 = lathe.reduce_sum %1 {{axes = array<i64: 0>}} : ({tensor(x)}) -> tensor<36xf32>
  %3 = lathe.add %0, %2 : ({tensor(x)}, tensor<36xf32>) -> {tensor(x)}
  %4 = lathe.reduce_mean %3 {{axes = array<i64: 1>}} : ({tensor(x)}) -> tensor<70xf32>
  return %1, %2, %4 : {tensor(x)}, tensor<36xf32>, tensor<70xf32>
}}
"""
        normal = layer_norm(x.astype(np.float64))
        exact = {"normal": np.exp(normal), "sum": np.exp(normal).sum(0), "mean": (normal + np.exp(normal).sum(0)).mean(1)}
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "model.mlir").write_text(model)
            np.save(folder / "x.npy", x)
            done = subprocess.run(
                [BUILD / "bin/lathe", "run", folder / "model.mlir", "--input", f"x={folder}/x.npy", "--quiet",
                 "--output-dir", folder / "out", *SimFamily.options], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            for name, right in exact.items():
                np.testing.assert_allclose(np.load(folder / "out" / f"{name}.npy"), right, rtol=1e-4, atol=1e-4)


class CudaRowFaults(cli.CommandLine):
    """A fault in the text of each kind of kernel is seen: the edited text is the one that runs."""

    def edited(self, model, old, new):
        """Runs `model` with the one text that holds `old` changed."""
        self.write("model.mlir", model)
        self.works("compile", "model.mlir", "--emit", "cuda", "-o", "texts")
        path, = [path for path in (self.folder / "texts").glob("*.cu") if old in path.read_text()]
        path.write_text(path.read_text().replace(old, new))
        return ("run", "model.mlir", "--target", "cuda-sim", "--cuda-source-dir", "texts", "--output-dir", "out",
                "--input", "x=x.npy")

    def model(self, op, shape, result):
        np.save(self.folder / "x.npy", np.random.Generator(np.random.Philox(38)).standard_normal(shape).astype(np.float32))
        given, made = (f"tensor<{'x'.join(map(str, s))}xf32>" for s in (shape, result))
        return f"""func.func @main(%x: {given} {{lathe.name = "x"}}) -> ({made} {{lathe.name = "y"}}) {{
  %0 = lathe.{op.replace("(", "%x ")} : ({given}) -> {made}
  return %0 : {made}
}}
"""

    def test_missing_barrier(self):
        model = self.model("transpose({permutation = array<i64: 1, 0>}", (40, 50), (50, 40))
        self.refused("shared", *self.edited(model, "  __syncthreads();\n", ""))

    def test_row_too_long(self):
        model = self.model("reduce_sum({axes = array<i64: 1>}", (9, 33), (9,))
        self.refused("byte", *self.edited(model, "column < 33", "column < 34"))

    def test_unwritten_output(self):
        model = self.model("exp(", (7, 9), (7, 9))
        self.refused("out|nobody|written", *self.edited(model, "item >= 63", "item >= 62"))

    def test_threads_that_do_not_meet(self):
        model = self.model("reduce_sum({axes = array<i64: 0>}", (100, 40), (40,))
        self.refused("barrier|wait", *self.edited(
            model, "  sum = columnReduce<Sum, 16>(sum);", "  if (place < 40)\n    sum = columnReduce<Sum, 16>(sum);"))

    def test_part_of_a_sum(self):
        model = self.model("reduce_sum({axes = array<i64: 1>}", (9, 33), (9,))
        self.works(*self.edited(model, "column < 33", "column < 32"))
        exact = np.load(self.folder / "x.npy").astype(np.float64).sum(1)
        self.assertFalse(np.allclose(np.load(self.folder / "out" / "y.npy"), exact, rtol=1e-5, atol=1e-5))
