"""Optimizers, schedules, clipping, accumulation and the loss scale over 20 steps
in double precision against plain NumPy, written from PyTorch's documentation
(LAMB: from its paper), with one tensor at a time and numbers as Python's floats.

The gradient of the loss, sum(w * g), is g: so the test says what it is."""

import math
import unittest

import numpy as np

from lathe import train_steps

STEPS = 20
RTOL = 1e-12
# The matrix and its bias, and a stack of two layers' matrices.
SHAPES = {"w": (4, 6), "b": (7,), "s": (2, 5, 3)}
KEYS = {"s": ', key = "layer.{}.s"'}


def model(element="f64", shapes=SHAPES):
    lines, terms, arguments = [], [], []
    for name, shape in shapes.items():
        of = f"tensor<{''.join(f'{n}x' for n in shape)}{element}>"
        scalar = f"tensor<{element}>"
        print_axes = ", ".join(str(i) for i in range(len(shape)))
        lines.append(f"lathe.parameter @{name} : {of} {{init = #lathe.init<zeros>{KEYS.get(name, '')}}}")
        arguments.append(f'%g{name}: {of} {{lathe.name = "g{name}"}}')
        terms.append(f"""  %{name} = lathe.get_parameter @{name} : {of}
  %p{name} = lathe.mul %{name}, %g{name} : ({of}, {of}) -> {of}
  %t{name} = lathe.reduce_sum %p{name} {{axes = array<i64: {print_axes}>}} : ({of}) -> {scalar}
""")
    total = f"%t{next(iter(shapes))}"
    for i, name in enumerate(list(shapes)[1:]):
        terms.append(f"  %a{i} = lathe.add {total}, %t{name} : ({scalar}, {scalar}) -> {scalar}\n")
        total = f"%a{i}"
    return ("\n".join(lines) + f"\nfunc.func @loss({', '.join(arguments)}) -> ({scalar} {{lathe.name = \"loss\"}}) {{\n"
            + "".join(terms) + f"  return {total} : {scalar}\n}}\n")


def train(text, gradients, start, **recipe):
    """Runs the steps; every figure and state, one row per step."""
    return train_steps(text, {f"g{name}": array for name, array in gradients.items()}, start, **recipe)


def data(seed, dtype=np.float64, shapes=SHAPES, scale=1.0):
    random = np.random.default_rng(seed)
    start = {name: random.normal(size=shape).astype(dtype) for name, shape in shapes.items()}
    gradients = {name: (scale * random.normal(size=(STEPS, *shape))).astype(dtype) for name, shape in shapes.items()}
    return gradients, start


class Reference:
    """The documented algorithms, for one tensor; layers of a stack are tensors."""

    def __init__(self, w, optimizer="adamw", lr=1e-3, momentum=0.9, nesterov=False, beta1=0.9, beta2=0.999, eps=None,
                 weight_decay=0.01):
        self.w, self.optimizer, self.momentum, self.nesterov = w.copy(), optimizer, momentum, nesterov
        self.beta1, self.beta2, self.eps, self.decay = beta1, beta2, eps, weight_decay
        self.m, self.v, self.rows, self.columns = 0 * w, 0 * w, 0.0, 0.0
        self.buffer, self.t = None, 0

    def step(self, g, lr):
        self.t += 1
        getattr(self, self.optimizer)(g, lr)

    def sgd(self, g, lr):
        g = g + self.decay * self.w
        if self.momentum:
            self.buffer = g if self.buffer is None else self.momentum * self.buffer + g
            g = g + self.momentum * self.buffer if self.nesterov else self.buffer
        self.w = self.w - lr * g

    def moments(self, g):
        self.m = self.beta1 * self.m + (1 - self.beta1) * g
        self.v = self.beta2 * self.v + (1 - self.beta2) * g * g
        return self.m / (1 - self.beta1 ** self.t), self.v / (1 - self.beta2 ** self.t)

    def adam(self, g, lr):
        m, v = self.moments(g + self.decay * self.w)
        self.w = self.w - lr * m / (np.sqrt(v) + (self.eps or 1e-8))

    def adamw(self, g, lr):
        self.w = self.w - lr * self.decay * self.w
        m, v = self.moments(g)
        self.w = self.w - lr * m / (np.sqrt(v) + (self.eps or 1e-8))

    def lamb(self, g, lr):
        m, v = self.moments(g)
        update = m / (np.sqrt(v) + (self.eps or 1e-6)) + self.decay * self.w
        size, length = np.linalg.norm(self.w), np.linalg.norm(update)
        trust = size / length if size > 0 and length > 0 else 1.0
        self.w = self.w - lr * trust * update

    def adafactor(self, g, lr):
        eps1, eps2, d = self.eps or np.finfo(self.w.dtype).eps, 1e-3, 1.0
        beta2 = 1 - self.t ** -0.8
        rho = min(lr, 1 / math.sqrt(self.t))
        alpha = max(eps2, np.sqrt(np.mean(self.w ** 2))) * rho
        w = self.w - lr * self.decay * self.w
        if g.ndim > 1:
            self.rows = beta2 * self.rows + (1 - beta2) * (g * g).mean(-1, keepdims=True)
            self.columns = beta2 * self.columns + (1 - beta2) * (g * g).mean(-2, keepdims=True)
            v = self.rows @ self.columns / max(self.rows.mean(-2).item(), eps1)
        else:
            self.v = v = beta2 * self.v + (1 - beta2) * g * g
        update = g / np.maximum(np.sqrt(v), eps1)
        update = update / max(1.0, np.sqrt(np.mean(update ** 2)) / d)
        self.w = w - alpha * update


def factor(t, schedule="constant", total=0, warmup=0, least=0.0, every=1000, gamma=0.1):
    """The factor on the learning rate for update t, counted from 0."""
    rise = min((t + 1) / warmup, 1) if warmup else 1
    p = min(max(t - warmup, 0) / max(total - warmup, 1), 1)
    return rise * {"constant": lambda: 1,
                   "linear": lambda: 1 - p * (1 - least),
                   "cosine": lambda: least + (1 - least) * 0.5 * (1 + math.cos(math.pi * p)),
                   "inverse-sqrt": lambda: math.sqrt(max(warmup, 1)) / math.sqrt(max(t + 1, warmup, 1)),
                   "step": lambda: gamma ** (t // every)}[schedule]()


def follow(gradients, start, lr, rates=None, clip=None, decay=None, **options):
    """Weights after every step. `decay` gives it by name; 0 is what rank 1 has."""
    optimizers = {}
    for name, w in start.items():
        own = options | {"weight_decay": decay[name]} if decay else dict(options)
        if not decay and w.ndim == 1:
            own["weight_decay"] = 0.0
        layers = list(w) if name in KEYS else [w]
        optimizers[name] = [Reference(layer, lr=lr, **own) for layer in layers]
    trace = {name: [] for name in start}
    norms = []
    for t in range(STEPS):
        g = {name: gradients[name][t] for name in start}
        if clip:
            g, norm = clip(g)
            norms.append(norm)
        for name, layers in optimizers.items():
            parts = list(g[name]) if name in KEYS else [g[name]]
            for layer, part in zip(layers, parts):
                layer.step(part, lr * (rates[t] if rates else 1))
            trace[name].append(np.stack([x.w for x in layers]) if name in KEYS else layers[0].w)
    return {name: np.stack(rows) for name, rows in trace.items()}, np.array(norms)


class Optimizers(unittest.TestCase):
    def compare(self, found, expected, rtol=RTOL):
        for name, values in expected.items():
            self.assertEqual(found[name].shape, values.shape, name)
            worst = np.max(np.abs(found[name] - values) / np.maximum(np.abs(values), 1e-3))
            self.assertLessEqual(worst, rtol, f"{name}: relative error {worst}")

    def check(self, lr, recipe=None, seed=1, **options):
        gradients, start = data(seed)
        recipe = {"schedule": "constant", "learning_rate": lr, "optimizer": options.get("optimizer", "adamw")} | (recipe or {})
        found = train(model(), gradients, start, **recipe)
        expected, _ = follow(gradients, start, lr, **options)
        self.compare(found, expected)
        return found, expected

    def test_sgd(self):
        self.check(0.1, {"momentum": 0, "weight_decay": 0}, optimizer="sgd", momentum=0, weight_decay=0)
        self.check(0.1, {"weight_decay": 0.05}, optimizer="sgd", weight_decay=0.05)
        self.check(0.1, {"nesterov": "true", "momentum": 0.8}, optimizer="sgd", nesterov=True, momentum=0.8)

    def test_adam(self):
        self.check(0.01, optimizer="adam")
        self.check(0.01, {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3}, optimizer="adam", beta1=0.8, beta2=0.95, eps=1e-3)

    def test_adamw(self):
        self.check(0.01)
        self.check(0.01, {"weight_decay": 0.3}, weight_decay=0.3)

    def test_lamb(self):
        self.check(0.01, optimizer="lamb")

    def test_lamb_leaves_zeros(self):
        gradients, start = data(5)
        start = {name: 0 * w for name, w in start.items()}
        found = train(model(), gradients, start, optimizer="lamb", schedule="constant")
        expected, _ = follow(gradients, start, 1e-3, optimizer="lamb")
        self.compare(found, expected)
        self.assertTrue((found["w"][0] != 0).all())

    def test_adafactor(self):
        self.check(0.01, optimizer="adafactor")
        self.check(0.5, {"weight_decay": 0}, optimizer="adafactor", weight_decay=0)

    def test_a_wrong_number_is_found(self):
        with self.assertRaisesRegex(AssertionError, "relative error"):
            self.check(0.01, {"beta2": 0.9990001})
        with self.assertRaisesRegex(AssertionError, "relative error"):
            self.check(0.01, {"epsilon": 1.1e-8})

    def test_weight_decay_groups(self):
        gradients, start = data(2)
        for recipe, decay in (({"decay_vectors": "true"}, {"w": 0.01, "b": 0.01, "s": 0.01}),
                              ({"weight_decay_groups": "b:0.2;*:0.5"}, {"w": 0.5, "b": 0.2, "s": 0.5}),
                              ({"weight_decay_groups": "w*:0"}, {"w": 0.0, "b": 0.0, "s": 0.01})):
            found = train(model(), gradients, start, schedule="constant", **recipe)
            self.compare(found, follow(gradients, start, 1e-3, decay=decay)[0])

    def test_freezing(self):
        gradients, start = data(3)
        found = train(model(), gradients, {"w": start["w"], "b": start["b"]}, schedule="constant", freeze="s")
        self.assertNotIn("s", found)
        self.assertNotIn("optimizer.exp_avg.s", found)
        del start["s"]
        self.compare(found, follow(gradients, start, 1e-3)[0])

    def test_schedules(self):
        gradients, start = data(4, shapes={"w": (2, 2)})
        text = model(shapes={"w": (2, 2)})
        for options in ({"schedule": "constant", "warmup": 5}, {"schedule": "linear", "total": 17, "warmup": 4, "least": 0.1},
                        {"schedule": "linear", "total": 30}, {"schedule": "cosine", "total": 18, "warmup": 3, "least": 0.05},
                        {"schedule": "cosine", "total": 20}, {"schedule": "inverse-sqrt", "warmup": 6},
                        {"schedule": "inverse-sqrt"}, {"schedule": "step", "every": 4, "gamma": 0.3, "warmup": 3}):
            names = {"total": "total_steps", "warmup": "warmup_steps", "least": "minimum_factor", "every": "step_every",
                     "gamma": "step_factor"}
            recipe = {names.get(key, key): value for key, value in options.items()}
            rates = [factor(t, **options) for t in range(STEPS)]
            found = train(text, gradients, start, **recipe)
            np.testing.assert_allclose(found["learning_rate"], 1e-3 * np.array(rates), rtol=RTOL, atol=1e-18, err_msg=str(options))
            self.compare(found, follow(gradients, start, 1e-3, rates)[0])
            self.assertEqual(found["train.step"].tolist(), list(range(1, STEPS + 1)))

    def test_clipping(self):
        gradients, start = data(6)

        def clip(limit, value=None):
            def apply(g):
                if value:
                    g = {name: np.clip(x, -value, value) for name, x in g.items()}
                norm = math.sqrt(sum((x ** 2).sum() for x in g.values()))
                coefficient = min(limit / (norm + 1e-6), 1.0) if limit else 1.0
                return {name: x * coefficient for name, x in g.items()}, norm
            return apply

        for limit, value in ((7.5, None), (1.0, 0.5), (0, 0.7)):
            recipe = {"clip_norm": limit} | ({"clip_value": value} if value else {})
            found = train(model(), gradients, start, schedule="constant", optimizer="sgd", momentum=0, weight_decay=0, **recipe)
            expected, norms = follow(gradients, start, 1e-3, clip=clip(limit, value), optimizer="sgd", momentum=0, weight_decay=0)
            self.compare(found, expected)
            if limit:
                np.testing.assert_allclose(found["gradient_norm"], norms, rtol=RTOL)

    def test_accumulation(self):
        gradients, start = data(7)
        parts = {name: np.concatenate([g, 0.5 * g, -0.25 * g], axis=1) for name, g in gradients.items()}
        mean = {name: g * (1 + 0.5 - 0.25) / 3 for name, g in gradients.items()}
        found = train(model(), parts, start, schedule="constant", accumulate=3)
        self.compare(found, follow(mean, start, 1e-3)[0])
        loss = [sum((w * g).sum() for w, g in ((found[n][0], mean[n][1]) for n in SHAPES))]
        np.testing.assert_allclose(found["loss"][1:2], loss, rtol=1e-10)

    def scaled(self, gradients, start, overflows, interval, scale, dtype):
        """torch.amp.GradScaler around AdamW."""
        growth, trace = 0, {name: [] for name in ("w", "scale", "growth", "updates")}
        optimizer = Reference(start["w"], weight_decay=0.0)
        for t in range(STEPS):
            trace["scale_used"] = trace.get("scale_used", []) + [scale]
            if overflows(t, scale):
                scale, growth = scale * 0.5, 0
            else:
                optimizer.step(gradients["w"][t], 1e-3)
                growth += 1
                if growth == interval:
                    scale, growth = scale * 2, 0
            trace["w"].append(optimizer.w)
            trace["scale"].append(scale)
            trace["growth"].append(growth)
            trace["updates"].append(optimizer.t)
        return {name: np.array(rows) for name, rows in trace.items()}

    def test_loss_scale(self):
        shapes = {"w": (4, 6)}
        gradients, start = data(8, shapes=shapes)
        planted = {2: np.inf, 3: -np.inf, 9: np.nan, 16: np.inf}
        clean = {"w": gradients["w"].copy()}
        for t, value in planted.items():
            gradients["w"][t, t % 4, t % 6] = value
        found = train(model(shapes=shapes), gradients, start, schedule="constant", precision="float16", weight_decay=0,
                      initial_scale=1024, scale_growth_interval=3)
        expected = self.scaled(clean, start, lambda t, _: t in planted, 3, 1024.0, np.float64)
        self.check_scaled(found, expected, RTOL)
        self.assertGreaterEqual(len(set(expected["scale"])), 3)

    def test_loss_scale_finds_overflows_of_its_own(self):
        shapes = {"w": (4, 6)}
        gradients, start = data(9, np.float32, shapes, scale=1e15)
        found = train(model("f32", shapes), gradients, start, schedule="constant", precision="float16", weight_decay=0,
                      initial_scale=2.0 ** 84, scale_growth_interval=4)

        def overflows(t, scale):
            with np.errstate(over="ignore"):
                return not np.isfinite(gradients["w"][t] * np.float32(scale)).all()

        expected = self.scaled({"w": gradients["w"].astype(np.float64)}, {"w": start["w"].astype(np.float64)}, overflows, 4,
                               2.0 ** 84, np.float32)
        self.check_scaled(found, expected, 1e-5)
        self.assertGreater(STEPS - expected["updates"][-1], 4)
        self.assertGreater(expected["updates"][-1], 8)

    def check_scaled(self, found, expected, rtol):
        self.assertEqual(found["loss_scale"].tolist(), expected["scale_used"].tolist())
        self.assertEqual(found["train.loss_scale"].tolist(), expected["scale"].tolist())
        self.assertEqual(found["train.good_steps"].tolist(), expected["growth"].tolist())
        self.assertEqual(found["train.updates"].tolist(), expected["updates"].tolist())
        self.assertEqual(found["train.step"].tolist(), list(range(1, STEPS + 1)))
        self.compare(found, {"w": expected["w"]}, rtol)

    def test_the_simulated_gpu_computes_the_same(self):
        gradients, start = data(10, np.float32)
        for recipe in ({}, {"optimizer": "lamb", "clip_norm": 3}, {"accumulate": 1, "optimizer": "sgd"}):
            cpu = train(model("f32"), gradients, start, schedule="constant", **recipe)
            sim = train(model("f32"), gradients, start, schedule="constant", target="cuda-sim", **recipe)
            self.assertEqual(cpu.keys(), sim.keys())
            for name, values in cpu.items():
                np.testing.assert_allclose(sim[name], values, rtol=2e-5, atol=1e-7, err_msg=name)

    def test_unoptimized_code_computes_the_same(self):
        gradients, start = data(11)
        found = train(model(), gradients, start, schedule="constant", optimize="false")
        self.compare(found, follow(gradients, start, 1e-3)[0])


if __name__ == "__main__":
    unittest.main()
