"""Random graphs of what the passes care about, as text and as nodes that
`graph_reference.py` computes in double precision.

Dims are often of one size, so that a wrong axis is a wrong number and no type error.
Names begin with the graph's own, so that many graphs fit into one function."""

import dataclasses
import math
import random

import numpy as np

SIZE = 8
UNARY = ["tanh", "sigmoid", "relu", "neg", "erf", "gelu", "abs", "softplus", "silu"]
PRODUCTS = ("linear", "matmul", "conv")
IMAGES = {False: [(2, SIZE, SIZE, SIZE)], True: [(2, SIZE, SIZE, SIZE), (1, 3, 9, 7), (2, 4, 5, 5)]}
ROWS = {False: [(2, SIZE, SIZE), (2, SIZE, SIZE), (SIZE, SIZE)], True: [(3, SIZE, SIZE), (2, 5, 12), (1, 40)]}


class Open(int):
    """A size that is open in the model."""


def like(size, *dims):
    """`size`, open where one of the dims that it comes from is."""
    return Open(size) if any(isinstance(dim, Open) for dim in dims) else int(size)


def ints(values):
    return f"array<i64: {', '.join(str(int(value)) for value in values)}>"


@dataclasses.dataclass(eq=False)
class Value:
    name: str
    shape: tuple
    dtype: str = "f32"
    # When weights are loaded.
    known: bool = False
    # Behind attention, whose parts round, too.
    inexact: bool = False
    # Products on the longest way from the inputs.
    products: int = 0

    def type(self, is_open):
        sizes = "".join("?x" if is_open and isinstance(size, Open) else f"{int(size)}x" for size in self.shape)
        return f"tensor<{sizes}{self.dtype}>"


@dataclasses.dataclass(eq=False)
class Node:
    op: str
    operands: list
    results: list
    attributes: str = ""
    # How the operands are written, where a comma between them will not do.
    words: str = ""
    # What graph_reference.py needs to know.
    facts: dict = dataclasses.field(default_factory=dict)
    # Scans: what the body is given, does and yields.
    given: list = dataclasses.field(default_factory=list)
    body: list = dataclasses.field(default_factory=list)
    yielded: list = dataclasses.field(default_factory=list)

    @property
    def result(self):
        return self.results[0]


def written(nodes, is_open, indent="  "):
    """The lines of the nodes. Products and lookups carry their results' names,
    which sites of quantization are called by."""
    lines = []
    for node in nodes:
        names = ", ".join(value.name for value in node.results)
        words = node.words or ", ".join(value.name for value in node.operands)
        types = ", ".join(value.type(is_open) for value in node.operands)
        results = ", ".join(value.type(is_open) for value in node.results)
        if node.op == "get_parameter":
            lines.append(f"{indent}{names} = lathe.get_parameter @{names[1:]} : {results}")
        elif node.op == "scan":
            carried = len(node.facts["carried"])
            pairs = [f"{inner.name} = {outer.name}" for inner, outer in zip(node.given, node.operands)]
            inputs = f" inputs({', '.join(pairs[carried:])})" if pairs[carried:] else ""
            lines.append(f"{indent}{names} = lathe.scan init({', '.join(pairs[:carried])}){inputs}"
                         f"{f' {{{node.attributes}}}' if node.attributes else ''} : ({types}) -> ({results}) {{")
            lines += written(node.body, is_open, indent + "  ")
            yielded = ", ".join(value.name for value in node.yielded)
            kinds = ", ".join(value.type(is_open) for value in node.yielded)
            lines += [f"{indent}  lathe.yield {yielded} : {kinds}", indent + "}"]
        else:
            place = f' loc("{names[1:]}")' if node.op in (*PRODUCTS, "embedding") else ""
            lines.append(f"{indent}{names} = lathe.{node.op} {words}{f' {{{node.attributes}}}' if node.attributes else ''} : "
                         f"({types}) -> {results}{place}")
    return lines


class Graph:
    def __init__(self, seed):
        self.seed, self.random, self.made = seed, random.Random(seed), 0
        self.numbers = np.random.Generator(np.random.Philox(seed))
        self.nodes, self.arguments, self.parameters, self.values = [], [], [], []
        # By name, without %: arguments and parameters.
        self.data = {}
        # Most graphs keep to a few shapes: kernels that another graph had need no compiling.
        self.varied = self.random.random() < 0.08
        self.begin()
        for _ in range(self.random.randint(2, 5)):
            self.step()
        made = [value for value in self.values if value not in self.arguments]
        if not made:
            made = [self.unary(self.values[0])]
        # What nobody reads, and some of the others.
        read = {value for node in self.nodes for value in node.operands}
        self.results = [value for value in made if value not in read or self.random.random() < 0.2]

    # Values.

    def name(self):
        self.made += 1
        return f"%g{self.seed}v{self.made}"

    def emit(self, op, operands, shape, attributes="", dtype="f32", words="", listed=True, **facts):
        value = Value(self.name(), tuple(shape), dtype, all(o.known for o in operands), any(o.inexact for o in operands) or op == "attention",
                      max((o.products for o in operands), default=0) + (op in PRODUCTS or op == "embedding"))
        self.nodes.append(Node(op, list(operands), [value], attributes, words, facts))
        if listed and dtype == "f32":
            self.values.append(value)
        return value

    def argument(self, shape, data=None, dtype="f32", listed=True):
        value = Value(self.name(), tuple(shape), dtype)
        self.arguments.append(value)
        if data is None:
            data = self.numbers.normal(size=[int(size) for size in shape]).astype(np.float16 if dtype == "f16" else np.float32)
        self.data[value.name[1:]] = data
        if listed:
            self.values.append(value)
        return value

    def parameter(self, shape, low=None, high=None, spread=None):
        if low is None:
            data = self.numbers.normal(scale=spread or 0.5, size=shape)
        else:
            data = self.numbers.uniform(low, high, size=shape)
        value = Value(self.name(), tuple(int(size) for size in shape), "f32", known=True)
        self.parameters.append(value)
        self.data[value.name[1:]] = data.astype(np.float32)
        self.nodes.append(Node("get_parameter", [], [value]))
        return value

    def weight(self, shape, fan_in):
        """Of a product: mostly a parameter, sometimes seen through a view; now and
        then an argument, of which nothing is known at load."""
        shape, spread = tuple(int(size) for size in shape), 1.0 / math.sqrt(fan_in)
        kind = self.random.random()
        if kind < 0.12:
            return self.argument(shape, (self.numbers.normal(size=shape) * spread).astype(np.float32), listed=False)
        if kind < 0.2 and len(shape) > 1:
            order = self.random.sample(range(len(shape)), len(shape))
            stored = [0] * len(shape)
            for to, place in enumerate(order):
                stored[place] = shape[to]
            return self.emit("transpose", [self.parameter(stored, spread=spread)], shape, f"permutation = {ints(order)}", listed=False, order=order)
        if kind < 0.25:
            return self.emit("reshape", [self.parameter([math.prod(shape)], spread=spread)], shape, f"shape = {ints(shape)}", listed=False)
        return self.parameter(shape, spread=spread)

    def begin(self):
        rng = self.random
        for _ in range(rng.randint(1, 2)):
            shape = list(rng.choice((IMAGES if rng.random() < 0.75 else ROWS)[self.varied]))
            if rng.random() < 0.2:
                shape[0] = Open(shape[0])
            kind = rng.random()
            if kind < 0.1:
                x = self.argument(shape, dtype="f16", listed=False)
                self.emit("cast", [x], shape, dtype="f32", words=f"{x.name} to f32")
            elif kind < 0.2:
                # The model's own 16 bits.
                x = self.emit("cast", [self.argument(shape)], shape, dtype="bf16", words=f"{self.arguments[-1].name} to bf16", listed=False)
                if rng.random() < 0.5:
                    x = self.emit(rng.choice(["relu", "neg", "abs"]), [x], shape, dtype="bf16", listed=False)
                self.emit("cast", [x], shape, words=f"{x.name} to f32")
            elif kind < 0.35:
                self.embedding()
            else:
                self.argument(shape)

    def embedding(self):
        rows, shape = self.random.choice([5, 40]) if self.varied else SIZE, [2, SIZE]
        if self.random.random() < 0.3:
            shape[0] = Open(shape[0])
        ids = self.argument(shape, self.numbers.integers(0, rows, size=[int(size) for size in shape]).astype(np.int64), "i64", listed=False)
        table = self.parameter([rows, SIZE], spread=1.0)
        self.emit("embedding", [table, ids], [*shape, SIZE])

    # Steps.

    def step(self):
        square = [value for value in self.values if SIZE in value.shape]
        value = self.random.choice(square[-4:] if square and self.random.random() < 0.8 else self.values[-4:])
        rank = len(value.shape)
        kinds = ["unary", "same", "broadcasting", "select", "low"]
        if rank:
            kinds += ["reduce", "softmax", "slice", "concat", "pad", "cumsum", "reverse", "gather", "norm", "linear", "broadcast"]
        if rank > 1:
            kinds += ["turn"] * 2 + ["perceptron", "perceptron", "recurrence", "flatten", "linear", "linear", "matmul", "matmul"]
        if rank in (2, 3):
            kinds += ["linear", "linear", "layers", "layers", "self_attention", "self_attention", "norm"]
        if rank == 4:
            kinds += ["conv"] * 8 + ["heads"] * 6 + ["pool", "batch_norm", "global_pool"] + ["residual_block"] * 3 + ["classifier", "image_loop"]
        getattr(self, self.random.choice(kinds))(value)

    def same_shape(self, x):
        return self.random.choice([value for value in self.values if value.shape == x.shape and value.type(True) == x.type(True)])

    def unary(self, x):
        return self.emit(self.random.choice(UNARY), [x], x.shape)

    def same(self, x):
        self.emit(self.random.choice(["add", "add", "mul", "sub", "max", "min"]), [x, self.same_shape(x)], x.shape)

    def broadcasting(self, x):
        if self.varied:
            shape = [int(size) if self.random.random() < 0.6 and not isinstance(size, Open) else 1 for size in x.shape]
            shape = shape[self.random.randint(0, len(shape)):]
        else:
            # A bias for each column, or each channel.
            shape = [int(x.shape[1]), 1, 1] if len(x.shape) == 4 and not isinstance(x.shape[1], Open) else \
                [1 if isinstance(size, Open) else int(size) for size in x.shape[-1:]]
        operands = [x, self.parameter(shape)]
        self.random.shuffle(operands)
        self.emit(self.random.choice(["add", "mul", "sub", "max"]), operands, x.shape)

    def select(self, x):
        """The larger one, which rounding does not make another."""
        y = self.same_shape(x)
        condition = self.emit("compare", [x, y], x.shape, dtype="i1", words=f"gt, {x.name}, {y.name}")
        self.emit("select", [condition, x, y], x.shape)

    def low(self, x):
        """A stretch that the model has in 16 bits."""
        if x.products > 2:
            return
        y = self.emit("cast", [x], x.shape, dtype="bf16", words=f"{x.name} to bf16", listed=False)
        if self.random.random() < 0.5:
            y = self.emit(self.random.choice(["relu", "neg"]), [y], x.shape, dtype="bf16", listed=False)
        y = self.emit("cast", [y], x.shape, words=f"{y.name} to f32")
        # What the model rounds, a last bit before may move by a step of its own.
        y.inexact = y.inexact or y.products > 0

    def reduce(self, x):
        if self.varied:
            axes = sorted(self.random.sample(range(len(x.shape)), self.random.randint(1, len(x.shape))))
            keep = self.random.random() < 0.5
        else:
            axes, keep = [self.random.choice([1, len(x.shape) - 1]) % len(x.shape)], True
        shape = [1 if i in axes else size for i, size in enumerate(x.shape) if keep or i not in axes]
        self.emit("reduce_" + self.random.choice(["sum", "mean", "max", "min"]), [x], shape,
                  f"axes = {ints(axes)}, keepdims = {str(keep).lower()}", axes=tuple(axes), keep=keep)

    def softmax(self, x):
        axis = self.random.randrange(len(x.shape))
        self.emit(self.random.choice(["softmax", "softmax", "log_softmax"]), [x], x.shape, f"axis = {axis} : i64", axis=axis)

    def norm(self, x):
        if self.random.random() < 0.5 or isinstance(x.shape[-1], Open):
            return self.emit("rms_norm", [x], x.shape)
        scale = self.parameter(x.shape[-1:], 0.5, 2.0)
        return self.emit("layer_norm", [x, scale], x.shape, words=f"{x.name} scale {scale.name}")

    def cumsum(self, x):
        axis = self.random.randrange(len(x.shape))
        self.emit("cumsum", [x], x.shape, f"axis = {axis} : i64", axis=axis)

    def reverse(self, x):
        axis = self.random.randrange(len(x.shape))
        self.emit("reverse", [x], x.shape, f"axes = {ints([axis])}", axis=axis)

    def gather(self, x):
        axis = self.random.randrange(len(x.shape))
        count = 3 if self.varied else SIZE
        ids = self.argument([count], self.numbers.integers(0, int(x.shape[axis]), size=count).astype(np.int64), "i64", listed=False)
        self.emit("gather", [x, ids], [*x.shape[:axis], count, *x.shape[axis + 1:]], f"axis = {axis} : i64", axis=axis)

    def turn(self, x, order=None):
        if order is None:
            order = self.random.choice([[0, 2, 1, 3], [0, 2, 3, 1], [0, 3, 1, 2]]) if len(x.shape) == 4 and self.random.random() < 0.8 \
                else self.random.sample(range(len(x.shape)), len(x.shape))
        return self.emit("transpose", [x], [x.shape[i] for i in order], f"permutation = {ints(order)}", order=order)

    def reshape(self, x, shape):
        # An open size is what is left.
        words = [-1 if isinstance(size, Open) else size for size in shape]
        return self.emit("reshape", [x], shape, f"shape = {ints(words)}")

    def flatten(self, x):
        at = self.random.randrange(len(x.shape) - 1)
        first, second = x.shape[at:at + 2]
        if sum(isinstance(size, Open) for size in x.shape) < 2:
            self.reshape(x, [*x.shape[:at], like(first * second, first, second), *x.shape[at + 2:]])

    def broadcast(self, x):
        if len(x.shape) < 4 and not any(isinstance(size, Open) for size in x.shape) and math.prod(x.shape) < 1000:
            shape = [2, *(size if size > 1 else self.random.choice([1, 3]) for size in x.shape)]
            self.emit("broadcast", [x], shape, f"shape = {ints(shape)}")

    def slice(self, x):
        axis = self.random.randrange(len(x.shape))
        if isinstance(x.shape[axis], Open) or x.shape[axis] < 3:
            return
        size, start, step = int(x.shape[axis]), 0, 1
        end = size // 2
        if self.varied:
            start, step, end = self.random.randrange(2), self.random.choice([1, 1, 2]), self.random.choice([size, size - 1])
        self.emit("slice", [x], [*x.shape[:axis], -(-(end - start) // step), *x.shape[axis + 1:]],
                  f"starts = {ints([start])}, ends = {ints([end])}, axes = {ints([axis])}, steps = {ints([step])}",
                  where=tuple([slice(None)] * axis + [slice(start, end, step)]))

    def concat(self, x):
        axis = self.random.randrange(len(x.shape))
        if math.prod(x.shape) < 3000:
            shape = [*x.shape[:axis], like(2 * x.shape[axis], x.shape[axis]), *x.shape[axis + 1:]]
            self.emit("concat", [x, self.same_shape(x)], shape, f"axis = {axis} : i64", axis=axis)

    def pad(self, x):
        axis = self.random.randrange(len(x.shape))
        if isinstance(x.shape[axis], Open) or x.shape[axis] < 3:
            return
        low, high = [0] * len(x.shape), [0] * len(x.shape)
        low[axis], high[axis] = self.random.choice([(1, 1), (0, 2), (-1, 1)]) if self.varied else (1, -1)
        shape = list(x.shape)
        shape[axis] += low[axis] + high[axis]
        self.emit("pad", [x], shape, f"low = {ints(low)}, high = {ints(high)}", low=low, high=high)

    # Products.

    def linear(self, x, columns=None):
        if isinstance(x.shape[-1], Open):
            return x
        columns = columns or (self.random.choice([SIZE, 5, 40]) if self.varied else SIZE)
        operands = [x, self.weight([columns, x.shape[-1]], x.shape[-1])]
        if self.random.random() < 0.6:
            operands.append(self.parameter([columns]))
        return self.emit("linear", operands, [*x.shape[:-1], columns], axes=((-1,), (1,)))

    def perceptron(self, x):
        """Products with nothing between them but what takes a factor."""
        y = self.linear(x)
        if y is not x:
            y = self.emit(self.random.choice(["relu", "relu", "neg"]), [y], y.shape)
            self.linear(y, SIZE)

    def matmul(self, x):
        rng = self.random
        flags = [flag for flag in ("transpose_lhs", "transpose_rhs") if rng.random() < 0.4]
        turned, right = "transpose_lhs" in flags, "transpose_rhs" in flags
        k, rows = (x.shape[-2], x.shape[-1]) if turned else (x.shape[-1], x.shape[-2])
        batch = list(x.shape[:-2]) if rng.random() < 0.2 and not any(isinstance(size, Open) for size in x.shape) else []
        if isinstance(k, Open):
            return
        if not batch and len(x.shape) == 2 and rng.random() < 0.3:
            # The weight is on the left.
            k, columns = (x.shape[-1], x.shape[-2]) if right else (x.shape[-2], x.shape[-1])
            if isinstance(k, Open):
                return
            w = self.weight([k, SIZE] if turned else [SIZE, k], k)
            self.emit("matmul", [w, x], [SIZE, columns], ", ".join(flags), turned=(turned, right), axes=((-2 if turned else -1,), (-1 if right else -2,)))
            return
        columns = rng.choice([SIZE, 5, 33]) if self.varied else SIZE
        w = self.weight([*batch, *([columns, k] if right else [k, columns])], k)
        self.emit("matmul", [x, w], [*x.shape[:-2], rows, columns], ", ".join(flags), turned=(turned, right),
                  axes=((-2 if turned else -1,), (-1 if right else -2,)))

    def conv(self, x, out=None, kernel=None, plain=False, plain_groups=1):
        rng = self.random
        batch, channels, *image = x.shape
        if any(isinstance(size, Open) for size in x.shape[1:]):
            return x
        if not self.varied and not plain:
            groups, out = rng.choice([1, 1, 1, channels]), SIZE if channels != SIZE else channels
            return self.conv(x, out, rng.choice([(1, 1), (3, 3)]), True, groups if out == channels else 1)
        kernel = kernel or rng.choice([(1, 1), (3, 3), (3, 3), (3, 1), (2, 2)])
        groups = plain_groups if plain else rng.choice([1, 1, 1, channels] + [2] * (channels % 2 == 0))
        out = out or (channels if groups == channels > 1 else groups * rng.choice([SIZE // groups or 1] * 3 + [1, 5]))
        stride, dilation = (1, 1) if plain else (rng.choice([1, 1, 1, 2]), rng.choice([1, 1, 1, 2]))
        low = high = [k // 2 for k in kernel] if plain or rng.random() < 0.6 else [rng.randint(0, 1)] * 2
        if not plain and rng.random() < 0.2:
            high = [1, 0]
        room = [int(size) + a + b - dilation * (k - 1) - 1 for size, k, a, b in zip(image, kernel, low, high)]
        if min(room) < 0:
            return x
        operands = [x, self.weight([out, channels // groups, *kernel], channels // groups * math.prod(kernel))]
        if rng.random() < 0.5:
            operands.append(self.parameter([out]))
        return self.emit("conv", operands, [batch, out, *(size // stride + 1 for size in room)],
                         f"strides = {ints([stride] * 2)}, dilations = {ints([dilation] * 2)}, pad_low = {ints(low)}, "
                         f"pad_high = {ints(high)}, groups = {groups} : i64",
                         stride=stride, dilation=dilation, low=low, high=high, groups=groups, axes=((1, 2, 3), (1, 2, 3)))

    def residual_block(self, x):
        y = self.conv(x, out=int(x.shape[1]), kernel=(3, 3), plain=True)
        if self.random.random() < 0.5:
            y = self.batch_norm(y)
        y = self.emit("relu", [y], y.shape)
        y = self.conv(y, out=int(x.shape[1]), kernel=(1, 1), plain=True)
        if y.shape == x.shape:
            self.emit("add", [y, x], x.shape)

    def classifier(self, x):
        if any(isinstance(size, Open) for size in x.shape[1:]):
            return
        y = self.reshape(x, [x.shape[0], math.prod(x.shape[1:])])
        self.linear(y, SIZE)

    def pool(self, x):
        kernel, stride, pad = 3, 1, 1
        if self.varied:
            kernel, stride = self.random.choice([2, 3]), self.random.choice([1, 2])
            pad = self.random.choice([0, 1]) if kernel == 3 else 0
        room = [int(size) + 2 * pad - kernel for size in x.shape[2:]]
        if min(room) >= 0 and not any(isinstance(size, Open) for size in x.shape[1:]):
            self.emit(self.random.choice(["max_pool", "avg_pool"]), [x], [*x.shape[:2], *(r // stride + 1 for r in room)],
                      f"kernel = {ints([kernel] * 2)}, strides = {ints([stride] * 2)}, pad_low = {ints([pad] * 2)}, "
                      f"pad_high = {ints([pad] * 2)}", kernel=kernel, stride=stride, pad=pad)

    def batch_norm(self, x):
        if isinstance(x.shape[1], Open):
            return x
        channels = [int(x.shape[1])]
        parameters = [self.parameter(channels, 0.5, 1.5), self.parameter(channels), self.parameter(channels), self.parameter(channels, 0.5, 2.0)]
        return self.emit("batch_norm", [x, *parameters], x.shape)

    def global_pool(self, x):
        self.emit("reduce_mean", [x], [*x.shape[:2], 1, 1], f"axes = {ints([2, 3])}, keepdims = true", axes=(2, 3), keep=True)

    # Attention.

    def attention(self, q, k, v):
        causal = self.random.random() < 0.4
        return self.emit("attention", [q, k, v], q.shape, "causal" if causal else "", causal=causal)

    def heads(self, x):
        """As models have it, between transposes; or without."""
        if self.random.random() < 0.2:
            return self.attention(x, self.same_shape(x), self.same_shape(x))
        q, k, v = (self.turn(y, [0, 2, 1, 3]) for y in (x, self.same_shape(x), self.same_shape(x)))
        y = self.attention(q, k, v)
        if self.random.random() < 0.3:
            y = self.emit("tanh", [y], y.shape)
        return self.turn(y, [0, 2, 1, 3])

    def self_attention(self, x):
        """Projections, heads, and the sum with what came in."""
        if len(x.shape) != 3 or x.shape[2] != SIZE or any(isinstance(size, Open) for size in x.shape[1:]):
            return
        batch, rows, _ = x.shape
        heads = [self.turn(self.reshape(self.linear(x, SIZE), [batch, rows, 2, SIZE // 2]), [0, 2, 1, 3]) for _ in range(3)]
        y = self.turn(self.attention(*heads), [0, 2, 1, 3])
        y = self.linear(self.reshape(y, [batch, rows, SIZE]), SIZE)
        self.emit("add", [y, x], x.shape)

    # Loops.

    def loop(self, x, body, stacked, trips, stacks=False):
        """`body(carried, *slices)` in a scan; it returns the next one."""
        values, nodes, self.nodes = self.values, self.nodes, []
        given = [Value(self.name(), x.shape, "f32", False, x.inexact, x.products)]
        given += [Value(self.name(), value.shape[1:], "f32", value.known, value.inexact, value.products) for value in stacked]
        self.values = given[:1]
        end = body(*given)
        body_nodes, self.values, self.nodes = self.nodes, values, nodes
        # Weights that the body has of its own are made before the loop.
        self.nodes += [node for node in body_nodes if node.op == "get_parameter"]
        body_nodes = [node for node in body_nodes if node.op != "get_parameter"]
        begun = max(value.products for value in given)
        products, inexact = begun + trips * max(1, end.products - begun), end.inexact or any(value.inexact for value in given)
        results = [Value(self.name(), x.shape, "f32", False, inexact, products)]
        if stacks:
            results.append(Value(self.name(), (trips, *x.shape), "f32", False, inexact, products))
        reverse = bool(stacked) and self.random.random() < 0.2
        attributes = "reverse" if reverse else "" if stacked else f"trip_count = {trips}"
        self.nodes.append(Node("scan", [x, *stacked], results, attributes, given=given, body=body_nodes, yielded=[end] * len(results),
                               facts={"carried": [0], "trips": trips, "reverse": reverse}))
        self.values += results
        return results[0]

    def stack(self, trips, shape, fan_in):
        return self.parameter([trips, *shape], spread=1.0 / math.sqrt(fan_in))

    def layers(self, x):
        """As transformers have them: products with stacked weights, norms, a sum."""
        width = x.shape[-1]
        if isinstance(width, Open):
            return
        width, middle = int(width), self.random.choice([SIZE, 40])
        kind = self.random.choice(["dense", "dense", "block", "one"])

        def body(h, *weights):
            y = h
            if kind == "block":
                y = self.emit("rms_norm", [y], y.shape)
            if kind == "one":
                y = self.emit("linear", [y, *weights], y.shape, axes=((-1,), (1,)))
                return self.emit("tanh", [y], y.shape)
            y = self.emit("linear", [y, weights[0], weights[1]], [*y.shape[:-1], middle], axes=((-1,), (1,)))
            y = self.emit(self.random.choice(["relu", "gelu"]), [y], y.shape)
            y = self.emit("linear", [y, weights[2]], h.shape, axes=((-1,), (1,)))
            return self.emit("add", [y, h], h.shape)

        slices = [((width, width), width)] + [((width,), 4)] * (self.random.random() < 0.5)
        if kind != "one":
            slices = [((middle, width), width), ((middle,), 4), ((width, middle), 2 * middle)]
        trips = 3 if self.varied else 2
        self.loop(x, body, [self.stack(trips, *one) for one in slices], trips, stacks=self.random.random() < 0.2)

    def image_loop(self, x):
        """A carried image, as in ResNet's stages."""
        channels = x.shape[1]
        if any(isinstance(size, Open) for size in x.shape[1:]):
            return
        stacked = self.random.random() < 0.5
        shape, fan_in = (int(channels), int(channels), 1, 1), int(channels)

        def body(h, *weights):
            w = weights[0] if weights else self.parameter(shape, spread=1.0 / math.sqrt(fan_in))
            y = self.emit("conv", [h, w], h.shape, stride=1, dilation=1, low=[0, 0], high=[0, 0], groups=1, axes=((1, 2, 3), (1, 2, 3)))
            y = self.emit("tanh", [y], y.shape)
            return self.emit("add", [y, h], h.shape)

        self.loop(x, body, [self.stack(2, shape, fan_in)] if stacked else [], 2, stacks=self.random.random() < 0.3)

    def recurrence(self, x):
        """Steps of time, which share their weight; or what another loop has stacked."""
        if any(isinstance(size, Open) for size in x.shape) or x.shape[0] > 4:
            return
        h = self.emit("reduce_mean", [x], x.shape[1:], f"axes = {ints([0])}, keepdims = false", axes=(0,), keep=False)
        width, dense = int(x.shape[-1]), self.random.random() < 0.6

        def body(h, step):
            y = self.emit("linear", [step, self.parameter([width, width], spread=1.0 / math.sqrt(width))], step.shape, axes=((-1,), (1,))) if dense else step
            return self.emit("add", [self.emit("tanh", [y], y.shape), h], h.shape)

        self.loop(h, body, [x], int(x.shape[0]), stacks=self.random.random() < 0.3)


def model_text(graphs, is_open=False, bodies=None):
    """One function of all these graphs. `bodies`: the lines of each, if not its own."""
    parameters, arguments, results, lines = [], [], [], []
    for number, graph in enumerate(graphs):
        parameters += [f"lathe.parameter @{v.name[1:]} : {v.type(False)} {{init = #lathe.init<normal, 0.0, 0.5>}}" for v in graph.parameters]
        arguments += [f'{v.name}: {v.type(is_open)} {{lathe.name = "{v.name[1:]}"}}' for v in graph.arguments]
        results += [(bodies[number][1][i] if bodies else v.name, v.type(is_open), f"g{graph.seed}r{i}") for i, v in enumerate(graph.results)]
        lines += bodies[number][0] if bodies else written(graph.nodes, is_open)
    given = ", ".join(f'{kind} {{lathe.name = "{name}"}}' for _, kind, name in results)
    return "\n".join([*parameters, f"func.func @main({', '.join(arguments)}) -> ({given}) {{", *lines,
                      f"  return {', '.join(name for name, _, _ in results)} : {', '.join(kind for _, kind, _ in results)}", "}", ""])


def with_roundings(nodes, element):
    """The same with every product of f32 reading and giving what `element` can
    hold, by casts there and back: what lathe-precision is to compute, by other means."""
    result = []

    def rounding(value, end=None):
        low = Value(f"{value.name}_low{len(result)}", value.shape, element)
        end = end or Value(f"{value.name}_wide{len(result)}", value.shape)
        result.append(Node("cast", [value], [low], words=f"{value.name} to {element}"))
        result.append(Node("cast", [low], [end], words=f"{low.name} to f32"))
        return end

    for node in nodes:
        if node.op == "scan":
            result.append(dataclasses.replace(node, body=with_roundings(node.body, element)))
        elif node.op in PRODUCTS and all(value.dtype == "f32" for value in node.operands):
            operands = [rounding(value) for value in node.operands]
            raw = Value(f"{node.result.name}_raw", node.result.shape)
            result.append(dataclasses.replace(node, operands=operands, results=[raw]))
            rounding(raw, node.result)
        else:
            result.append(node)
    return result
