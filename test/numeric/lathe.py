"""Calls the built `lathe` the way a user does, and compares what it wrote."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import numpy as np

from folders import BUILD, TOP

LATHE = BUILD / "bin" / "lathe"
MODELS = TOP / "models"


def slow(seconds):
    """Marks a test that takes so long that it runs with LATHE_SLOW_MODELS=1 alone."""
    return unittest.skipUnless(os.environ.get("LATHE_SLOW_MODELS"), f"takes {seconds} s; LATHE_SLOW_MODELS=1 runs it")


def run(model, inputs, weights=None, threads=1, options=()):
    """`lathe run MODEL`: inputs are arrays by name; returns (outputs by name,
    report of --json). A run that has not ended after five minutes is an error."""
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        command = [LATHE, "run", model, "--threads", threads, "--output-dir", scratch / "out", "--json", scratch / "json"]
        if weights:
            command += ["--weights", weights]
        for number, (name, array) in enumerate(inputs.items()):
            np.save(scratch / f"{number}.npy", array)
            command += ["--input", f"{name}={scratch / f'{number}.npy'}"]
        environment = os.environ | {"LATHE_CACHE_DIR": str(BUILD / "test" / "cache")}
        done = subprocess.run(
            [str(word) for word in [*command, *options]], capture_output=True, text=True, timeout=300, env=environment)
        if done.returncode:
            raise AssertionError(f"lathe run {pathlib.Path(model).name} ended with {done.returncode}: {done.stderr.strip()[-1500:]}")
        outputs = {path.stem: np.load(path) for path in sorted((scratch / "out").glob("*.npy"))}
        return outputs, json.loads((scratch / "json").read_text())


def assert_close(found, expected, rtol=0.0, atol=0.0, what="output"):
    """Shape, type and every value; the message names the worst one."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        raise AssertionError(f"{what}: {expected.dtype}{list(expected.shape)} expected, {found.dtype}{list(found.shape)} found")
    if found.size == 0:
        return
    excess = np.abs(found.astype(np.float64) - expected) - rtol * np.abs(expected.astype(np.float64))
    if not (excess <= atol).all():  # catches NaN, too
        worst = np.unravel_index(np.nanargmax(np.where(np.isnan(excess), np.inf, excess)), excess.shape)
        raise AssertionError(
            f"{what}: {expected[worst]} expected at {list(map(int, worst))}, {found[worst]} found (rtol {rtol:g}, atol {atol:g})")


def train_steps(text, inputs, start, /, timeout=300, **recipe):
    """Train steps of a model's text over given batches (train-steps.cpp), from
    `start`, states by name: figures and states by name, one row per step."""
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "model.mlir").write_text(text)
        words = []
        for kind, arrays in (("input", inputs), ("state", start)):
            for name, array in arrays.items():
                path = folder / f"{kind}.{name}.npy"
                np.save(path, array)
                words.append(f"{kind}.{name}={path}")
        words += [f"{key}={value}" for key, value in recipe.items()]
        done = subprocess.run([BUILD / "bin" / "train-steps", folder / "model.mlir", folder / "out", *words],
                              capture_output=True, text=True, timeout=timeout)
        if done.returncode:
            raise AssertionError(done.stderr[-1500:])
        return {path.name[:-4]: np.load(path) for path in (folder / "out").glob("*.npy")}
