"""lathe-layout, lathe-precision, lathe-quantize, lathe-integer-products and
lathe-fold-requantization over random graphs: each pass alone, all together and none are within the error that the pass
states, and mistakes planted in what a pass leaves are found.

  test_random_passes.py --graphs 5000 [--first SEED] [--batch 50] [--failures DIR]

prints a table and writes graphs that fail into files."""

import argparse
import collections
import pathlib
import re
import sys
import time
import unittest

import numpy as np

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parents[2] / "scripts" / "oracle")]

from folders import BUILD  # noqa: E402
from graph_reference import Rules  # noqa: E402
from random_passes import PLAIN, Batch, part_of  # noqa: E402

SCHEMES = ["int8-dynamic", "int8-static", "int8-weights", "int4-weights"]
# One of them for each batch, in turns.
TOGETHER = [("bf16", ""), ("", "int8-dynamic"), ("bf16", "int8-static"), ("f16", ""), ("f16", "int8-weights"), ("bf16", "int4-weights"),
            ("", "int8-static"), ("bf16", "int8-dynamic"), ("", "int8-weights:32"), ("", "int4-weights:64")]
# With and without lathe-precision the same kernels sum in the same order, and products of
# 16-bit floats are exact in f32: of the largest value.
SAME_SUMS = 1e-6


def rules_of(element, scheme):
    name, _, group = scheme.partition(":")
    return Rules(element, name, int(group or 0))


def within(batch, rules, graph, found):
    """The error as a part of what is stated."""
    return part_of(found, batch.exact(graph), batch.bounds(graph, rules))


def same_sums(graph, found, expected):
    worst = 0.0
    for value, f, e in zip(graph.results, found, expected):
        fine = np.isfinite(e)
        # What attention rounds within is not written out.
        if not value.inexact:
            size = max(1.0, float(np.max(np.abs(e), initial=0.0, where=fine)))
            worst = max(worst, float(np.max(np.abs(f - e), initial=0.0, where=fine)) / size / SAME_SUMS, np.inf * (not np.array_equal(fine, np.isfinite(f))) or 0)
    return worst


def same_integers(batch, graph, rules, found, expected):
    """Integers give what rounded floats give, but for the rounding of f32; behind a product whose
    operands go in steps, a last bit moves an element by a step now and then: by less
    than what all steps together do."""
    plain, stepped = batch.bounds(graph, Rules()), batch.bounds(graph, rules)
    worst = 0.0
    for i, value in enumerate(graph.results):
        exact = batch.exact(graph)[i]
        if not rules.steps or value.products < 2 and not value.inexact:
            bound = 4 * plain[i] + 1e-6 * np.max(np.abs(exact), initial=0.0)
        else:
            bound = np.minimum(stepped[i], 2 * np.max(np.abs(expected[i] - exact), initial=0.0) + 4 * plain[i])
        worst = max(worst, part_of([found[i]], [expected[i]], [bound]))
    return worst


class Row:
    def __init__(self):
        self.graphs, self.changed, self.worst, self.failed = 0, None, 0.0, 0


class Run:
    """Checks batches, and counts."""

    def __init__(self, failures=None, isa=""):
        self.rows, self.failures, self.isa = collections.OrderedDict(), failures, isa
        self.failed, self.tightness = [], collections.defaultdict(list)

    def note(self, name, batch, graph, part, texts=()):
        row = self.rows.setdefault(name, Row())
        row.graphs += 1
        row.worst = max(row.worst, part)
        if not part <= 1:
            row.failed += 1
            self.fail(name, batch, graph, f"the error is {part:.3g} of what is stated", texts)

    def fail(self, name, batch, graph, message, texts=()):
        self.failed.append(f"graph {graph.seed}, {name}: {message}")
        print(self.failed[-1], flush=True)
        if self.failures:
            self.failures.mkdir(parents=True, exist_ok=True)
            for number, text in enumerate([batch.texts[graph], *texts]):
                (self.failures / f"{graph.seed}-{re.sub('[^a-z0-9]+', '-', name)}-{number}.mlir").write_text(f"// {message}\n{text}")

    def change(self, name, changed):
        row = self.rows[name]
        row.changed = (row.changed or 0) + changed

    def tight(self, batch, name, rules):
        """How large the bounds are, as parts of the largest value."""
        for graph in batch.graphs:
            for bound, exact in zip(batch.bounds(graph, rules), batch.exact(graph)):
                if exact.size:
                    self.tightness[name].append(float(np.median(bound) / max(np.abs(exact).max(), 1e-9)))

    def check(self, seeds, together=1):
        batch = Batch(seeds, self.isa)
        try:
            self.check_batch(batch, together)
        finally:
            batch.close()

    def check_batch(self, batch, together):
        plain = Rules()
        for graph, found in batch.run_model(*PLAIN).items():
            self.note("none", batch, graph, within(batch, plain, graph, found))
        self.tight(batch, "none", plain)
        self.check_layout(batch)
        for element in ("bf16", "f16"):
            self.check_precision(batch, element)
        for number, scheme in enumerate(SCHEMES):
            if scheme == "int4-weights" and batch.graphs[0].seed % 4 == 1:
                scheme += ":64"
            self.check_quantization(batch, scheme)
        self.check_together(batch, "", "")
        for number in range(together):
            self.check_together(batch, *TOGETHER[(batch.graphs[0].seed // max(len(batch.graphs), 1) * together + number) % len(TOGETHER)])
        for graph, failure in batch.broken.items():
            self.rows.setdefault("none", Row()).failed += 1
            self.fail("run", batch, graph, str(failure), [failure.text])

    def check_layout(self, batch):
        after = batch.apply("lathe-layout", batch.texts)
        for graph, found in batch.run_modules(after).items():
            self.note("layout", batch, graph, within(batch, Rules(), graph, found), [after[graph].text])
            self.change("layout", after[graph].text != batch.before[graph].text)

    def check_precision(self, batch, element):
        name = f"precision {element}"
        after = batch.apply(f"lathe-precision{{type={element}}}", batch.texts)
        written = batch.run_rounded(element)
        rules = Rules(element)
        self.tight(batch, name, rules)
        for graph, found in batch.run_modules(after).items():
            part = max(within(batch, rules, graph, found), same_sums(graph, found, written[graph]))
            self.note(name, batch, graph, part, [after[graph].text])
            self.change(name, after[graph].text != batch.before[graph].text)

    def check_quantization(self, batch, scheme):
        rules, name = rules_of("", scheme), scheme.partition(":")[0]
        after = batch.apply(f"lathe-quantize{{{' '.join(batch.options(scheme))}}}", batch.texts)
        floats = batch.run_modules(after)
        self.tight(batch, f"quantize {name}", rules)
        for graph, found in floats.items():
            self.note(f"quantize {name}", batch, graph, within(batch, rules, graph, found), [after[graph].text])
            self.change(f"quantize {name}", "lathe.quantize" in after[graph].text)
        integers = batch.apply("lathe-integer-products", {graph: after[graph].text for graph in floats})
        for graph, found in batch.run_modules(integers).items():
            part = max(within(batch, rules, graph, found), same_integers(batch, graph, rules, found, floats[graph]))
            self.note(f"integers {name}", batch, graph, part, [after[graph].text, integers[graph].text])
            self.change(f"integers {name}", integers[graph].text != after[graph].text)
        if name == "int8-static":
            self.check_requantization(batch, rules, integers, floats)

    def check_requantization(self, batch, rules, integers, floats):
        """Another rounding of a factor is a last bit before a byte, as integers instead of floats are."""
        after = batch.apply("lathe-fold-requantization", {graph: module.text for graph, module in integers.items()})
        for graph, found in batch.run_modules(after).items():
            part = max(within(batch, rules, graph, found), same_integers(batch, graph, rules, found, floats[graph]))
            self.note("requantization", batch, graph, part, [integers[graph].text, after[graph].text])
            self.change("requantization", after[graph].text != integers[graph].text)

    def check_together(self, batch, element, scheme):
        options = [f"--precision={element}"] * bool(element) + [f"--quantize={scheme}"] * bool(scheme)
        if scheme == "int8-static":
            options.append(f"--ranges={batch.folder}/ranges.json")
        name = " ".join(["all", element or "f32", scheme]).strip()
        rules = rules_of(element, scheme)
        for graph, found in batch.run_model(*options).items():
            self.note(name, batch, graph, within(batch, rules, graph, found))

    def table(self):
        lines = ["| form | graphs | changed by the pass | worst error, of what is stated | failed |", "|---|---|---|---|---|"]
        for name, row in self.rows.items():
            lines.append(f"| {name} | {row.graphs} | {'' if row.changed is None else row.changed} | {row.worst:.3f} | {row.failed} |")
        lines.append("What is stated, as a part of the largest value of a result (10 %, median, 90 % of the results):")
        for name, sizes in self.tightness.items():
            low, middle, high = np.quantile(sizes, [0.1, 0.5, 0.9])
            lines.append(f"  {name}: {low:.1e}, {middle:.1e}, {high:.1e}")
        return "\n".join(lines)


# Planted mistakes: all places of one kind in what a pass left. Each returns the text
# as it is where there is none.

def fold_the_wrong_way(text):
    """Transposes of four dims that the pass made or merged go the other way."""
    way = {"0, 2, 3, 1": "0, 3, 1, 2", "0, 3, 1, 2": "0, 2, 3, 1"}
    return re.sub(r"(lathe\.transpose .*permutation = array<i64: )(0, 2, 3, 1|0, 3, 1, 2)(>.* : \(tensor<\d+x8x8x8xf32>\))",
                  lambda match: match[1] + way[match[2]] + match[3], text)


def permute_the_wrong_operand(text):
    """An operand of attention with heads third is left with heads second."""
    def wrong(match):
        turned = f"{match[1]}%wrong{match.start()} = lathe.transpose {match[3]} {{permutation = array<i64: 0, 2, 1, 3>}} : ({match[5]}) -> {match[5]}\n"
        return turned + match[1] + match[2] + f"%wrong{match.start()}" + match[4] + match[5]
    return re.sub(r"^( *)(%\S+ = lathe\.attention )(%\w+)(, .*layout = 1 .*: \()(tensor<\d+x(\d+)x\6x\d+xf32>)", wrong, text, flags=re.M)


def leave_low(text, ops):
    """What reads the f32 form of a rounded value computes on 16 bits instead, as
    if the cast in between were not there."""
    casts = dict(re.findall(r"^ *(%\w+) = lathe\.cast (%\w+) to f32 : \(tensor<\S*bf16>\)", text, re.M))

    def wrong(match):
        indent, name, op, operand, attributes, wide, result = match.groups()
        if operand not in casts or op not in ops:
            return match[0]
        low = result.replace("f32>", "bf16>")
        return (f"{indent}%low{match.start()} = lathe.{op} {casts[operand]}{attributes or ''} : ({wide.replace('f32>', 'bf16>')}) -> {low}\n"
                f"{indent}{name} = lathe.cast %low{match.start()} to f32 : ({low}) -> {result}")
    return re.sub(r"^( *)(%\w+) = lathe\.(\w+) (%\w+)( \{[^}]*\})? : \((tensor<\S+f32>)\) -> (tensor<\S*f32>)$", wrong, text, flags=re.M)


def drop_a_cast(text):
    return leave_low(text, ("tanh", "sigmoid", "erf", "gelu", "softplus", "silu"))


def reduce_in_16_bits(text):
    return leave_low(text, ("reduce_sum", "reduce_mean", "softmax", "log_softmax", "rms_norm", "cumsum"))


def half_the_scale(text):
    """A weight's scale is max|w| / 254: large weights saturate."""
    return text.replace("dense<1.270000e+02>", "dense<2.540000e+02>")


def zero_point_of_the_wrong_end(text):
    """A row's zero point is made of its largest number."""
    largest, lines = "", text.split("\n")
    for number, line in enumerate(lines):
        if found := re.search(r"(%\S+) = lathe\.max .*\(tensor<\S+>, tensor<f32>\)", line):
            largest = found[1]
        if (found := re.search(r"= lathe\.neg (%\S+) : ", line)) and re.search(rf"{re.escape(found[1])} = lathe\.min ", text):
            lines[number] = line.replace(found[1], largest, 1) if largest else line
    return "\n".join(lines)


def drop_the_zero_point(text):
    """The part of a zero point is not taken off the sum."""
    def wrong(match):
        return (f"{match[1]}%none{match.start()} = lathe.constant dense<0> : tensor<i32>\n{match[1]}{match[2]} = lathe.sub {match[3]}, "
                f"%none{match.start()} : ({match[4]}, tensor<i32>)")
    return re.sub(r"^( *)(%\S+) = lathe\.sub (%\S+), %\S+ : \((tensor<\S*i32>), tensor<\S*i32>\)", wrong, text, flags=re.M)


def scale_along_the_wrong_axis(text):
    """Scales per column are taken as scales per row."""
    def wrong(match):
        name = f"%turned{match.start()}"
        return (f"{match[1]}{name} = lathe.reshape {match[4]} {{shape = array<i64: 8, 1>}} : (tensor<8xf32>) -> tensor<8x1xf32>\n"
                f"{match[1]}{match[2]} = lathe.mul {match[3]}, {name} : ({match[5]}, tensor<8x1xf32>)")
    return re.sub(r"^( *)(%\S+) = lathe\.mul (%\S+), (%\S+) : \((tensor<(?:\d+x)?8x8xf32>), tensor<8xf32>\)", wrong, text, flags=re.M)


def drop_a_factor(text):
    """What a scaled sum is added to, or its scales, are not multiplied."""
    numbers = set(re.findall(r"^ *(%\w+) = lathe\.constant dense<[^>]*> : tensor<f32>$", text, re.M))

    def wrong(match):
        return f"{match[1]} = lathe.reshape {match[2]} {{shape = array<i64: 0>}} : ({match[4]}) -> {match[4]}" if match[3] in numbers else match[0]
    return re.sub(r"(%\w+) = lathe\.mul (%\w+), (%\w+) : \((tensor<\d+xf32>), tensor<f32>\) -> tensor<\d+xf32>", wrong, text)


def divide_twice(text):
    """The division by the scale stays behind its factor."""
    reciprocal, lines = 1.0, text.split("\n")
    for number, line in enumerate(lines):
        if found := re.search(r"(%\w+) = lathe\.constant dense<([-+.\de]+)> : tensor<f32>", line):
            if float(found[2]) != 1:
                reciprocal = float(found[2])
            elif any(re.search(rf"lathe\.quantize %\w+, {found[1]},", later) for later in lines[number:]):
                lines[number] = line.replace(found[2], f"{1 / reciprocal:e}")
    return "\n".join(lines)


class Plants:
    """For each mistake: in how many graphs it is, and in how many of them found."""

    def __init__(self, seeds, isa=""):
        self.batch = Batch(seeds, isa)
        self.counts = {}

    def close(self):
        self.batch.close()

    def plant(self, mistakes, modules, check):
        for mistake in mistakes:
            wrong = {}
            for graph, module in modules.items():
                text = mistake(module.text)
                if text != module.text:
                    wrong[graph] = type(module)(graph, text)
            found = sum(not check(graph, result) <= 1 for graph, result in self.batch.run_modules(wrong).items())
            self.counts[mistake.__name__] = (len(wrong), found)
            assert not self.batch.broken, [str(failure) for failure in self.batch.broken.values()]

    def run(self):
        batch, rules = self.batch, rules_of("", "int8-dynamic")
        self.plant((fold_the_wrong_way, permute_the_wrong_operand), batch.apply("lathe-layout", batch.texts),
                   lambda graph, found: within(batch, Rules(), graph, found))
        written = batch.run_rounded("bf16")
        self.plant((drop_a_cast, reduce_in_16_bits), batch.apply("lathe-precision{type=bf16}", batch.texts),
                   lambda graph, found: max(within(batch, Rules("bf16"), graph, found), same_sums(graph, found, written[graph])))
        after = batch.apply("lathe-quantize{scheme=int8-dynamic}", batch.texts)
        self.plant((half_the_scale, zero_point_of_the_wrong_end), after, lambda graph, found: within(batch, rules, graph, found))
        floats = batch.run_modules(after)
        self.plant((drop_the_zero_point, scale_along_the_wrong_axis), batch.apply("lathe-integer-products", {g: m.text for g, m in after.items()}),
                   lambda graph, found: max(within(batch, rules, graph, found), same_integers(batch, graph, rules, found, floats[graph])))
        rules = rules_of("", "int8-static")
        after = batch.apply(f"lathe-quantize{{{' '.join(batch.options('int8-static'))}}}", batch.texts)
        floats = batch.run_modules(after)
        integers = batch.apply("lathe-integer-products", {g: m.text for g, m in after.items()})
        folded = batch.apply("lathe-fold-requantization", {g: m.text for g, m in integers.items()})
        self.plant((drop_a_factor, divide_twice), {g: m for g, m in folded.items() if m.text != integers[g].text},
                   lambda graph, found: max(within(batch, rules, graph, found), same_integers(batch, graph, rules, found, floats[graph])))
        return self.counts


class RandomPasses(unittest.TestCase):
    APART, SECONDS = True, 20

    def setUp(self):
        if not (BUILD / "bin" / "lathe").exists():
            self.skipTest("lathe is not built")

    def check(self, first, count, isa=""):
        run = Run(isa=isa)
        run.check(range(first, first + count))
        self.assertEqual(run.failed, [])
        for name, row in run.rows.items():
            self.assertEqual(row.graphs, count, name)
            if row.changed is not None and not name.endswith("-weights"):
                self.assertGreater(row.changed, count // (20 if name == "requantization" else 8), f"graphs that {name} changes")

    def test_each_alone_all_together_and_none(self):
        self.check(0, 30)

    def test_on_avx2(self):
        self.check(112, 12, "avx2")

    def test_on_sse(self):
        self.check(136, 12, "sse")

    def test_on_the_simulated_gpu(self):
        batch = Batch(range(200, 204))
        self.addCleanup(batch.close)
        for element, scheme in (("bf16", ""), ("", "int8-dynamic")):
            found = batch.run_model("--target=cuda-sim", "--no-sim-checks", *[f"--precision={element}"] * bool(element), *[f"--quantize={scheme}"] * bool(scheme))
            self.assertEqual(len(found), 4, batch.broken)
            for graph, results in found.items():
                self.assertLessEqual(within(batch, rules_of(element, scheme), graph, results), 1, batch.texts[graph])

    def test_planted_bugs(self):
        plants = Plants(range(60))
        self.addCleanup(plants.close)
        for name, (shown, found) in plants.run().items():
            with self.subTest(name):
                # Behind attention, whose own roundings are not written out, 16 bits go unnoticed.
                self.assertGreaterEqual(found, max(2, shown / 3), f"of {shown} graphs with the mistake")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", type=int, required=True)
    parser.add_argument("--first", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--together", type=int, default=1, help="forms with 16 bits or integers that go through all passes, of each batch")
    parser.add_argument("--plants", type=int, default=100, help="graphs with planted mistakes")
    parser.add_argument("--isa", default="")
    parser.add_argument("--failures", type=pathlib.Path, default=pathlib.Path("random-failures"))
    args = parser.parse_args()
    start, run = time.monotonic(), Run(args.failures, args.isa)
    for first in range(args.first, args.first + args.graphs, args.batch):
        run.check(range(first, min(first + args.batch, args.first + args.graphs)), args.together)
        print(f"{first + args.batch - args.first} graphs, {len(run.failed)} failures, {time.monotonic() - start:.0f} s", flush=True)
    print(run.table())
    if args.plants:
        plants = Plants(range(args.first, args.first + args.plants), args.isa)
        for name, (shown, found) in plants.run().items():
            print(f"planted {name}: in {shown} of {args.plants} graphs, found in {found}")
        plants.close()
    return 1 if run.failed else 0


if __name__ == "__main__":
    sys.exit(main() if len(sys.argv) > 1 else unittest.main())
