"""Runs random graphs in forms: as they are, after one pass alone, through all passes.

Fifty graphs or so make one program, because starting a process costs more than a
graph; what fails is run again in halves until it is one graph. Passes get each
graph in a module of its own."""

import dataclasses
import functools
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import numpy as np
from safetensors.numpy import save_file

import graph_reference
from folders import BUILD
from graph_reference import Rules
from random_graphs import Graph, model_text, with_roundings, written

# Where files cost nothing.
SCRATCH = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
PLAIN = ("--no-fuse", "--no-optimize")


class Failed(Exception):
    """Of one graph: `text` is what was run."""

    def __init__(self, message, text):
        super().__init__(message)
        self.text = text


def tool(name, *words, **more):
    done = subprocess.run([BUILD / "bin" / name, *words], capture_output=True, text=True, timeout=600, **more)
    if done.returncode:
        raise Failed(done.stderr[-1500:] or f"ended with {done.returncode}", "")
    return done.stdout


class Module:
    """What a pass left of one graph."""

    def __init__(self, graph, text):
        self.graph, self.text = graph, text

    def body(self):
        """Lines and names of the results, under names of the graph's own."""
        function = re.search(r"^  func\.func @main\(.*?\{\n(.*)^    return(?: ([^:\n]*) : [^\n]*)?\n  \}$", self.text, re.M | re.S)
        names = {f"arg{i}": value.name[1:] for i, value in enumerate(self.graph.arguments)}

        def own(text):
            # A region's arguments are called %argN as well.
            return re.sub(r"%(\w+)", lambda match: "%" + names.get(match[1], f"g{self.graph.seed}_{match[1]}"), text)

        return own(function[1]).rstrip("\n").split("\n"), own(function[2]).split(", ")


@dataclasses.dataclass
class Form:
    """A program of several graphs: `text(graphs)`, run with `options`."""
    text: object
    options: tuple = ()


class Batch:
    def __init__(self, seeds, isa=""):
        self.graphs = [Graph(seed) for seed in seeds]
        self.isa, self.broken = isa, {}
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="lathe-random-", dir=SCRATCH))
        weights = {}
        for graph in self.graphs:
            for value in graph.parameters:
                weights[value.name[1:]] = graph.data[value.name[1:]]
            for value in graph.arguments:
                np.save(self.folder / f"{value.name[1:]}.npy", graph.data[value.name[1:]])
        save_file(weights or {"none": np.zeros(1, np.float32)}, self.folder / "weights.safetensors")
        self.known = {graph: graph_reference.values(graph) for graph in self.graphs}
        sites = {}
        for graph in self.graphs:
            for name, (low, high) in graph_reference.ranges(graph, self.known[graph]).items():
                sites[name] = {"low": low, "high": high}
        (self.folder / "ranges.json").write_text(json.dumps({"format": "lathe-ranges", "version": 1, "sites": sites}))

    def close(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def exact(self, graph):
        return [self.known[graph][value] for value in graph.results]

    @functools.lru_cache(maxsize=None)
    def bounds(self, graph, rules):
        return graph_reference.errors(graph, self.known[graph], rules)

    # Passes.

    def options(self, scheme):
        name, _, group = scheme.partition(":")
        return [f"scheme={name}"] + [f"group={group}"] * bool(group) + [f"ranges={self.folder}/ranges.json"] * (name == "int8-static")

    def apply(self, pipeline, texts):
        """The pass over each text by itself. What it refuses is in `broken`."""
        graphs = [graph for graph in texts if graph not in self.broken]
        try:
            passes = f"func.func({pipeline})" if pipeline else ""
            out = tool("lathe-opt", "--split-input-file", f"--pass-pipeline=builtin.module({passes})", "-",
                       input="\n// -----\n".join(texts[graph] for graph in graphs))
            parts = out.split("// -----\n")
            if len(parts) != len(graphs):
                raise Failed(f"{len(parts)} modules of {len(graphs)}", "")
            return {graph: Module(graph, part) for graph, part in zip(graphs, parts)}
        except Failed as failure:
            if len(graphs) == 1:
                self.broken[graphs[0]] = Failed(f"{pipeline}: {failure}", texts[graphs[0]])
                return {}
        result = {}
        for graph in graphs:
            result |= self.apply(pipeline, {graph: texts[graph]})
        return result

    @functools.cached_property
    def texts(self):
        return {graph: model_text([graph]) for graph in self.graphs}

    @functools.cached_property
    def before(self):
        """As a pass prints them that changes nothing."""
        return self.apply("", self.texts)

    # Runs.

    def run(self, form, graphs=None):
        """Results by graph, as f64. Graphs that cannot be run are in `broken`."""
        graphs = [graph for graph in (self.graphs if graphs is None else graphs) if graph not in self.broken]
        if not graphs:
            return {}
        text = form.text(graphs)
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        (self.folder / "graphs.mlir").write_text(text)
        inputs = [f"--input={value.name[1:]}={self.folder}/{value.name[1:]}.npy" for graph in graphs for value in graph.arguments]
        environment = os.environ | {"LATHE_CACHE_DIR": os.environ.get("LATHE_CACHE_DIR", str(BUILD / "test" / "cache"))}
        try:
            tool("lathe", "run", self.folder / "graphs.mlir", "--quiet", "--threads=1", f"--weights={self.folder}/weights.safetensors",
                 f"--output-dir={out}", *inputs, *([f"--isa={self.isa}"] if self.isa else []), *form.options, env=environment)
        except Failed as failure:
            if len(graphs) == 1:
                self.broken[graphs[0]] = Failed(f"{' '.join(form.options)}: {failure}", text)
                return {}
            middle = len(graphs) // 2
            return self.run(form, graphs[:middle]) | self.run(form, graphs[middle:])
        return {graph: [np.load(out / f"g{graph.seed}r{i}.npy").astype(np.float64) for i in range(len(graph.results))] for graph in graphs}

    def run_modules(self, modules):
        """What passes left, op by op."""
        return self.run(Form(lambda graphs: model_text(graphs, bodies=[modules[graph].body() for graph in graphs]), PLAIN), list(modules))

    def run_model(self, *options):
        """The model with its open sizes."""
        return self.run(Form(lambda graphs: model_text(graphs, is_open=True), options))

    def run_rounded(self, element):
        """With the roundings of 16 bits written out."""
        def text(graphs):
            return model_text(graphs, bodies=[(written(with_roundings(graph.nodes, element), False), [v.name for v in graph.results]) for graph in graphs])
        return self.run(Form(text, PLAIN))


def part_of(found, expected, bounds):
    """The largest error as a part of its bound: at most 1 is within it. Elements
    without a bound do not count; what is not finite must be so in both."""
    worst = 0.0
    for f, e, bound in zip(found, expected, bounds):
        if f.shape != e.shape:
            return np.inf
        counts = np.isfinite(bound) & np.isfinite(e)
        if not np.isfinite(f[counts]).all():
            return np.inf
        worst = max(worst, float(np.max(np.abs(f - e)[counts] / (bound[counts] + 1e-30), initial=0.0)))
    return worst
