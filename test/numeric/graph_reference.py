"""Random graphs in double precision, and how far a program may be from that.

`values(graph)` computes every value of a graph with NumPy. `errors(graph, known, rules)`
goes over it once more with a bound on the error of every element: what the operands'
errors become, plus what the op itself rounds. Rules say what products do: compute in
f32, read and give 16 bits, or take weights and activations in few bits. All bounds are for
the worst case; none is fitted to what was seen."""

import dataclasses
import itertools
import math

import ml_dtypes
import numpy as np
from scipy.special import erf

from random_graphs import PRODUCTS

# Of f32, twice over: fused operations and polynomials lose a bit or two.
U32 = 2.0 ** -23
# Half a unit in the last place: 8 and 11 bits.
U16 = {"bf16": 2.0 ** -8, "f16": 2.0 ** -11}
LARGEST = {"bf16": 3e38, "f16": 65504.0}
# What is lost below the least normal number of f16.
TINY = {"bf16": 0.0, "f16": 2.0 ** -25}


@dataclasses.dataclass(frozen=True)
class Rules:
    # "bf16" or "f16": what products of f32 are rounded to.
    element: str = ""
    # "int8-dynamic", "int8-static", "int8-weights" or "int4-weights".
    scheme: str = ""
    # Elements that share a scale of a weight; 0: a channel's.
    group: int = 0
    # What the file of ranges says; errors() knows.
    sites: dict = dataclasses.field(default=None, compare=False)

    @property
    def steps(self):
        """Whether activations go in steps."""
        return self.scheme in ("int8-dynamic", "int8-static")


def rounded(x, dtype):
    return np.asarray(x).astype({"bf16": ml_dtypes.bfloat16, "f16": np.float16}[dtype]).astype(np.float64)


# Values.

def windows(x, kernel, stride, dilation, low, high, fill):
    """[batch, channels, height, width, kernel...] of a padded image."""
    x = np.pad(x, [(0, 0), (0, 0), (low[0], high[0]), (low[1], high[1])], constant_values=fill)
    reach = [dilation * (k - 1) + 1 for k in kernel]
    view = np.lib.stride_tricks.sliding_window_view(x, reach, axis=(2, 3))
    return view[:, :, ::stride, ::stride, ::dilation, ::dilation]


def conv(x, w, facts):
    groups, out = facts["groups"], w.shape[0]
    view = windows(x, w.shape[2:], facts["stride"], facts["dilation"], facts["low"], facts["high"], 0.0)
    batch, channels, height, width = view.shape[:4]
    columns = view.reshape(batch, groups, channels // groups, height, width, -1).transpose(0, 1, 3, 4, 2, 5).reshape(batch, groups, height * width, -1)
    result = columns @ w.reshape(groups, out // groups, -1).transpose(0, 2, 1)
    return result.transpose(0, 1, 3, 2).reshape(batch, out, height, width)


def multiply(node, a, b):
    """A product without its bias."""
    if node.op == "linear":
        return a @ b.T
    if node.op == "conv":
        return conv(a, b, node.facts)
    left, right = node.facts["turned"]
    return (np.swapaxes(a, -1, -2) if left else a) @ (np.swapaxes(b, -1, -2) if right else b)


def with_bias(node, y, bias):
    if bias is None:
        return y
    return y + (bias[:, None, None] if node.op == "conv" else bias)


def pool(node, x, how, fill):
    f = node.facts
    view = windows(x, [f["kernel"]] * 2, f["stride"], 1, [f["pad"]] * 2, [f["pad"]] * 2, fill)
    return how(view, axis=(4, 5))


def reduce(node, x, how):
    return how(x, axis=node.facts["axes"], keepdims=node.facts["keep"])


def softmax(x, axis):
    x = np.exp(x - x.max(axis=axis, keepdims=True))
    return x / x.sum(axis=axis, keepdims=True)


def scores(node, q, k):
    s = q @ np.swapaxes(k, -1, -2) / math.sqrt(q.shape[-1])
    if node.facts["causal"]:
        s = np.where(np.tril(np.ones(s.shape[-2:], bool), s.shape[-1] - s.shape[-2]), s, -np.inf)
    return s


def centred(x, axes):
    return x - x.mean(axis=axes, keepdims=True)


def moved(node, x):
    """Ops that only move elements, which moves errors in the same way; none for others."""
    op, f = node.op, node.facts
    if op == "transpose":
        return x[0].transpose(f["order"])
    if op == "reshape":
        return x[0].reshape([int(size) for size in node.result.shape])
    if op == "broadcast":
        return np.broadcast_to(x[0], node.result.shape)
    if op == "slice":
        return x[0][f["where"]]
    if op == "concat":
        return np.concatenate(x, axis=f["axis"])
    if op == "pad":
        y = np.pad(x[0], [(max(low, 0), max(high, 0)) for low, high in zip(f["low"], f["high"])])
        return y[tuple(slice(max(-low, 0), size - max(-high, 0)) for low, high, size in zip(f["low"], f["high"], y.shape))]
    if op == "reverse":
        return np.flip(x[0], f["axis"])
    if op == "max_pool":
        # Errors are not negative: 0 is as good as nothing.
        return pool(node, x[0], np.max, -np.inf if len(x) == 1 else 0.0)
    return None


UNARY = {
    "tanh": np.tanh, "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "relu": lambda x: np.maximum(x, 0), "neg": np.negative, "erf": erf,
    "gelu": lambda x: x * (1 + erf(x / math.sqrt(2))) / 2, "abs": np.abs, "softplus": lambda x: np.logaddexp(x, 0), "silu": lambda x: x / (1 + np.exp(-x))}
# The steepest slope of each, and whether it rounds.
SLOPE = {"tanh": 1.0, "sigmoid": 0.25, "relu": 1.0, "neg": 1.0, "erf": 1.13, "gelu": 1.13, "abs": 1.0, "softplus": 1.0, "silu": 1.1}
EXACT = ("relu", "neg", "abs")
BINARY = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "max": np.maximum, "min": np.minimum}
REDUCTIONS = {"reduce_sum": np.sum, "reduce_mean": np.mean, "reduce_max": np.max, "reduce_min": np.min}


def evaluate(node, x):
    """The result of a node that is no scan."""
    op, f = node.op, node.facts
    if op in PRODUCTS:
        return with_bias(node, multiply(node, x[0], x[1]), x[2] if len(x) > 2 else None)
    if (y := moved(node, x[:2] if op == "concat" else x[:1])) is not None:
        return y
    if op in UNARY:
        return UNARY[op](x[0])
    if op in BINARY:
        return BINARY[op](x[0], x[1])
    if op in REDUCTIONS:
        return reduce(node, x[0], REDUCTIONS[op])
    if op == "cast":
        return rounded(x[0], node.result.dtype) if node.result.dtype in U16 else x[0]
    if op == "compare":
        return x[0] > x[1]
    if op == "select":
        return np.where(x[0], x[1], x[2])
    if op == "softmax":
        return softmax(x[0], f["axis"])
    if op == "log_softmax":
        shifted = x[0] - x[0].max(axis=f["axis"], keepdims=True)
        return shifted - np.log(np.exp(shifted).sum(axis=f["axis"], keepdims=True))
    if op == "cumsum":
        return np.cumsum(x[0], axis=f["axis"])
    if op in ("embedding", "gather"):
        return np.take(x[0], x[1].astype(np.int64), axis=f.get("axis", 0))
    if op == "avg_pool":
        return pool(node, x[0], np.sum, 0.0) / pool(node, np.ones_like(x[0]), np.sum, 0.0)
    if op == "rms_norm":
        return x[0] / np.sqrt((x[0] ** 2).mean(axis=-1, keepdims=True) + 1e-6)
    if op == "layer_norm":
        c = centred(x[0], (-1,))
        return c / np.sqrt((c ** 2).mean(axis=-1, keepdims=True) + 1e-5) * x[1]
    if op == "batch_norm":
        scale, bias, mean, variance = (one.reshape(-1, *[1] * (x[0].ndim - 2)) for one in x[1:])
        return (x[0] - mean) / np.sqrt(variance + 1e-5) * scale + bias
    if op == "attention":
        return softmax(scores(node, x[0], x[1]), -1) @ x[2]
    raise NotImplementedError(op)


def run(nodes, known):
    for node in nodes:
        if node.op == "get_parameter":
            continue
        x = [known[value] for value in node.operands]
        if node.op != "scan":
            known[node.result] = evaluate(node, x)
            continue
        carried, rounds = x[0], []
        for i in trips(node):
            inner = dict(known) | dict(zip(node.given, [carried, *(one[i] for one in x[1:])]))
            run(node.body, inner)
            carried = inner[node.yielded[0]]
            rounds.append(inner)
        known[node.results[0]] = carried
        if len(node.results) > 1:
            known[node.results[1]] = unstack(node, [inner[node.yielded[1]] for inner in rounds])
        known[node] = rounds


def trips(node):
    order = range(node.facts["trips"])
    return reversed(order) if node.facts["reverse"] else order


def unstack(node, items):
    return np.stack(items[::-1] if node.facts["reverse"] else items)


def values(graph):
    """Every value; of scans, by node, those of each round."""
    known = {value: graph.data[value.name[1:]].astype(np.float64) for value in [*graph.arguments, *graph.parameters]}
    with np.errstate(over="ignore"):
        run(graph.nodes, known)
    return known


# Errors.

def least_of_numbers(w, axes, bits, group):
    """How far a weight is from what it is rounded to, where the scale is one of those
    that the scheme may choose."""
    if group:
        axis = axes[0]
        for other in axes[1:]:
            group = max(group // w.shape[other], 1)
        parts = [np.take(w, range(at, min(at + group, w.shape[axis])), axis=axis) for at in range(0, w.shape[axis], group)]
        return np.concatenate([least_of_numbers(part, axes, bits, 0) for part in parts], axis=axis)
    if bits == 8:
        scale = np.abs(w).max(axis=axes, keepdims=True) / 127
        return np.abs(w - np.round(w / np.maximum(scale, 1e-30)) * scale) + 256 * U32 * scale
    most, least = w.max(axis=axes, keepdims=True), w.min(axis=axes, keepdims=True)
    worst = 0.0
    # Close to the middle of two numbers of bf16 the scale may be either.
    for part, nudge in itertools.product((1.0, 0.9, 0.8), (1 - 4 * U32, 1 + 4 * U32)):
        scale = rounded(np.where(most >= -least, most, least) * part / -8 * nudge, "bf16")
        scale = np.where(scale == 0, 1e-30, scale)
        worst = np.maximum(worst, np.abs(w - np.clip(np.round(w / scale), -8, 7) * scale) + 256 * U32 * np.abs(scale))
    return worst


def rounding(x, e, element):
    """The error behind a rounding to 16 bits."""
    result = e + U16[element] * (np.abs(x) + e) + TINY[element]
    return np.where(np.abs(x) + result > LARGEST[element] * 0.99, np.inf, result)


def quantized_operands(node, x, e, rules):
    """The errors of a product's operands, where the scheme takes it."""
    known = [value.known for value in node.operands[:2]]
    if not rules.scheme or known[0] == known[1] or any(value.dtype != "f32" for value in node.operands[:2]):
        return None
    at = known.index(True)
    axes = [tuple(axis % x[i].ndim for axis in node.facts["axes"][i]) for i in (0, 1)]
    result = list(e[:2])
    bits, group = (4, rules.group or 32) if rules.scheme == "int4-weights" else (8, rules.group)
    result[at] = e[at] + least_of_numbers(x[at], axes[at], bits, group)
    if rules.steps:
        other = 1 - at
        away = axes[other] if rules.scheme == "int8-dynamic" else None
        low = np.minimum((x[other] - e[other]).min(axis=away, keepdims=True), 0)
        high = np.maximum((x[other] + e[other]).max(axis=away, keepdims=True), 0)
        if rules.scheme == "int8-static":
            # Steps of time share the range of all of them.
            lows, highs = rules.sites[f"{node.result.name[1:]}#{other}"]
            if len(lows) == 1:
                low, high = np.minimum(low, lows[0]), np.maximum(high, highs[0])
        result[other] = e[other] + (high - low) / 255 * 0.501 + 4 * U32 * (high - low)
    return result


def product_error(node, x, y, e, rules):
    a, b = x[:2]
    bias = x[2] if len(x) > 2 else None
    ebias = e[2] if len(e) > 2 else None
    element = rules.element if all(value.dtype == "f32" for value in node.operands) else ""
    ea, eb = e[:2]
    quantized = quantized_operands(node, x, e, rules)
    if quantized:
        ea, eb = quantized
        # A zero point's part is taken off: what is added is larger than what is left.
        a, b, element = np.abs(a) + np.abs(a).max(initial=0), np.abs(b) + np.abs(b).max(initial=0), ""
    elif element:
        ea, eb = rounding(a, ea, element), rounding(b, eb, element)
        ebias = None if bias is None else rounding(bias, ebias, element)
    magnitude = multiply(node, np.abs(a), np.abs(b))
    terms = math.prod(x[0].shape[axis] for axis in node.facts["axes"][0])
    error = multiply(node, np.abs(x[0]), eb) + multiply(node, ea, np.abs(x[1])) + multiply(node, ea, eb) + (terms + 4) * U32 * magnitude
    error = with_bias(node, error, None if bias is None else ebias + U32 * np.abs(bias))
    if element:
        # With a bias behind it, a packed product is rounded before, too.
        error = rounding(y, error if bias is None else error + 2 * U16[element] * (np.abs(y) + with_bias(node, 0 * y, np.abs(bias)) + error), element)
    return error


def norm_error(x, e, root):
    """Of x / root(x), where the root is a norm of x: no steeper than one."""
    size = root(x)
    moved = np.sqrt((e ** 2).mean(axis=-1, keepdims=True))
    return (e + np.abs(x) / size * moved) / np.maximum(size - moved, 1e-3) + 32 * U32 * np.abs(x) / size


def attention_error(node, x, y, e, rules):
    q, k, v = x
    eq, ek, ev = e
    u = U16[rules.element] if rules.element else 0.0
    if u:
        eq, ek, ev = (rounding(one, error, rules.element) for one, error in zip(x, e))
    s = scores(node, q, k)
    depth, keys = q.shape[-1], k.shape[-2]
    product = lambda a, b: np.abs(a) @ np.swapaxes(np.abs(b), -1, -2) / math.sqrt(depth)
    es = product(q, ek) + product(eq, k) + product(eq, ek) + ((depth + 4) * U32 + 3 * u) * (product(q, k) + product(eq, ek))
    seen = np.isfinite(s)
    p = softmax(s, -1)
    most = np.max(np.where(seen, es, 0), axis=-1, keepdims=True)
    # The largest is taken off first, which 16 bits round, too.
    spread = np.where(seen, np.abs(s), 0).max(axis=-1, keepdims=True) * 4 * u
    ep = p * np.expm1(np.minimum(2 * most + spread, 50)) + p * ((keys + 16) * (U32 + u))
    error = ep @ np.abs(v) + p @ ev + ep @ ev + (keys + 4) * (U32 + u) * (p @ np.abs(v))
    return rounding(y, error, rules.element) if u else error


def error_of(node, x, y, e, rules):
    op, f = node.op, node.facts
    if op in PRODUCTS:
        return product_error(node, x, y, e, rules)
    if (result := moved(node, [*e[:2]] if op == "concat" else [e[0], None] if op == "max_pool" else e[:1])) is not None:
        return result
    if op in UNARY:
        return SLOPE[op] * e[0] + (0 if op in EXACT else 8 * U32 * (np.abs(y) + np.minimum(np.abs(x[0]), 1)))
    if op in ("add", "sub"):
        return e[0] + e[1] + U32 * np.abs(y)
    if op == "mul":
        return np.abs(x[0]) * e[1] + np.abs(x[1]) * e[0] + e[0] * e[1] + U32 * np.abs(y)
    if op in ("max", "min"):
        return np.broadcast_to(np.maximum(e[0], e[1]), y.shape)
    if op == "select":
        return np.maximum(e[1], e[2])
    if op == "compare":
        return np.zeros(y.shape)
    if op in ("reduce_max", "reduce_min"):
        return reduce(node, e[0], np.max)
    if op in ("reduce_sum", "reduce_mean"):
        terms = math.prod(x[0].shape[axis] for axis in f["axes"])
        return reduce(node, e[0] + terms * U32 * (np.abs(x[0]) + e[0]), REDUCTIONS[op])
    if op == "cast":
        if node.result.dtype not in U16 or not e[0].any():
            return e[0]
        # Both are rounded.
        return rounding(x[0], rounding(x[0], e[0], node.result.dtype), node.result.dtype)
    if op in ("softmax", "log_softmax"):
        most = e[0].max(axis=f["axis"], keepdims=True)
        terms = x[0].shape[f["axis"]]
        if op == "softmax":
            return y * (np.expm1(np.minimum(2 * most, 50)) + (terms + 16) * U32) + 1e-12
        largest = np.abs(x[0]).max(axis=f["axis"], keepdims=True)
        return e[0] + most + 8 * U32 * (np.abs(y) + largest + terms)
    if op == "cumsum":
        return np.cumsum(e[0] + x[0].shape[f["axis"]] * U32 * (np.abs(x[0]) + e[0]), axis=f["axis"])
    if op == "gather":
        return np.take(e[0], x[1].astype(np.int64), axis=f["axis"])
    if op == "embedding":
        # Tables have eight bits, and a scale for each row, in all schemes.
        error = e[0] + (least_of_numbers(x[0], (1,), 8, 0) if rules.scheme else 0)
        return np.take(error, x[1].astype(np.int64), axis=0)
    if op == "avg_pool":
        count = pool(node, np.ones_like(x[0]), np.sum, 0.0)
        return pool(node, e[0] + 12 * U32 * np.abs(x[0]), np.sum, 0.0) / count
    if op == "rms_norm":
        return norm_error(x[0], e[0], lambda x: np.sqrt((x ** 2).mean(axis=-1, keepdims=True) + 1e-6))
    if op == "layer_norm":
        c = centred(x[0], (-1,))
        ec = e[0] + e[0].mean(axis=-1, keepdims=True) + x[0].shape[-1] * U32 * np.abs(x[0]).max(axis=-1, keepdims=True)
        error = norm_error(c, ec, lambda c: np.sqrt((c ** 2).mean(axis=-1, keepdims=True) + 1e-5))
        return error * np.abs(x[1]) + 2 * U32 * np.abs(y)
    if op == "batch_norm":
        scale, bias, mean, variance = (one.reshape(-1, *[1] * (x[0].ndim - 2)) for one in x[1:])
        slope = np.abs(scale) / np.sqrt(variance + 1e-5)
        error = slope * (e[0] + 8 * U32 * (np.abs(x[0]) + np.abs(mean))) + 8 * U32 * (np.abs(y) + np.abs(bias))
        if rules.element:
            # Folded into a convolution, it is part of what is rounded.
            shift = bias - mean * slope * np.sign(scale)
            error = rounding(y, error + 2 * U16[rules.element] * (np.abs(y) + np.abs(shift) + error), rules.element)
        return error
    if op == "attention":
        return attention_error(node, x, y, e, rules)
    raise NotImplementedError(op)


def propagate(nodes, known, error, rules):
    for node in nodes:
        if node.op == "get_parameter":
            continue
        if node.op != "scan":
            x, e = [known[value] for value in node.operands], [error[value] for value in node.operands]
            result = error_of(node, x, known[node.result], e, rules)
            if node.result.dtype in U16 and node.op not in ("cast", *EXACT) and moved(node, x) is None:
                result = rounding(known[node.result], result, node.result.dtype)
            error[node.result] = result
            if node.op == "conv" and rules.scheme == "int8-static" and (both := quantized_operands(node, x, e, rules)):
                # What else reads the image may read it rounded.
                image = 1 - [value.known for value in node.operands[:2]].index(True)
                error[node.operands[image]] = both[image]
            continue
        e = [error[value] for value in node.operands]
        carried, rounds = e[0], []
        for i, inner in zip(trips(node), known[node]):
            within = dict(error) | dict(zip(node.given, [carried, *(one[i] for one in e[1:])]))
            propagate(node.body, inner, within, rules)
            carried = within[node.yielded[0]]
            rounds.append(within)
        error[node.results[0]] = carried
        if len(node.results) > 1:
            error[node.results[1]] = unstack(node, [within[node.yielded[1]] for within in rounds])


def errors(graph, known, rules):
    """Bounds of the results' errors."""
    error = {value: np.zeros(known[value].shape) for value in [*graph.arguments, *graph.parameters]}
    if rules.scheme == "int8-static":
        rules = dataclasses.replace(rules, sites=ranges(graph, known))
    with np.errstate(over="ignore", invalid="ignore"):
        propagate(graph.nodes, known, error, rules)
    return [np.where(np.isnan(error[value]), np.inf, error[value]) for value in graph.results]


# Ranges.

def ranges(graph, known):
    """What lathe calibrate would write: by site, a number for each round."""
    found = {}

    def look(nodes, inner):
        for node in nodes:
            if node.op == "scan":
                # Iterations are counted as slices are.
                rounds = inner[node][::-1] if node.facts["reverse"] else inner[node]
                for one in rounds:
                    look(node.body, one)
                # Steps of time share one.
                if not any(value.known for value in node.given):
                    for inner_node in node.body:
                        for name, (low, high) in found.items():
                            if name.startswith(inner_node.result.name[1:] + "#"):
                                low[:], high[:] = [min(low)], [max(high)]
            elif node.op in PRODUCTS:
                for at, value in enumerate(node.operands[:2]):
                    if not value.known:
                        x = inner[value]
                        low, high = found.setdefault(f"{node.result.name[1:]}#{at}", ([], []))
                        low.append(float(x.min()))
                        high.append(float(x.max()))

    look(graph.nodes, known)
    return found
