"""Kernels of cuda-sim whose text a test has changed."""

import os
import pathlib
import re
import subprocess
import tempfile

import numpy as np

import lathe


class Texts:
    """The texts of a model's kernels. Headers are part of the program and cannot
    be changed in place: `inline` puts them into the text."""

    def __init__(self, model, arch="sm_80", options=()):
        self.folder = tempfile.TemporaryDirectory()
        self.path = pathlib.Path(self.folder.name)
        self.model = self.path / "model.mlir"
        self.model.write_text(model)
        self.arch, self.options = arch, options
        subprocess.run(
            [lathe.LATHE, "compile", self.model, "--emit", "cuda", "--arch", arch, "-o", self.path / "texts", *options], check=True, capture_output=True, timeout=100)
        self.headers = {path.name: path.read_text() for path in (self.path / "texts" / "lathe").iterdir()}

    def find(self, word):
        """The one kernel whose text has `word`."""
        (path,) = [path for path in (self.path / "texts").glob("*.cu") if word in path.read_text()]
        return path

    def inline(self, word, changes=()):
        """Puts the skeletons into the text of the kernel with `word` and makes
        `changes`, pairs (old, new), each of which must find its place once."""
        path = self.find(word)
        text, done = path.read_text(), {"device.cuh", "sim.cuh"}

        def include(match):
            name = match.group(1)
            if name in ("device.cuh", "sim.cuh"):
                return match.group(0)
            if name in done:
                return ""
            done.add(name)
            body = self.headers[name].replace("#pragma once", "")
            return re.sub(r'#include "lathe/([\w.]+)"', include, body)

        text = re.sub(r'#include "lathe/([\w.]+)"', include, text)
        for old, new in changes:
            assert text.count(old) == 1, f"{text.count(old)} times in the text: {old}"
            text = text.replace(old, new)
        path.write_text(text)

    def replace_body(self, word, functions, call):
        """Makes the kernel with `word` run `call`, one statement, which uses
        `functions`."""
        path = self.find(word)
        head, body = re.match(r'(?s)(.*?)(// a block per .*)', path.read_text()).groups()
        body = re.sub(r"(?s)\) \{\n.*", lambda _: ") {\n  " + call + "\n}\n", body, count=1)
        path.write_text(head + functions + body)

    def run(self, inputs):
        """(outputs, None), or (None, what the program said)."""
        out = self.path / "out"
        command = [lathe.LATHE, "run", self.model, "--target", "cuda-sim", "--arch", self.arch, "--cuda-source-dir", self.path / "texts", "--output-dir", out, *self.options]
        for number, (name, value) in enumerate(inputs.items()):
            np.save(self.path / f"{number}.npy", value)
            command += ["--input", f"{name}={self.path / f'{number}.npy'}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ | {"LATHE_CACHE_DIR": str(self.path / "cache")})
        if done.returncode:
            return None, done.stderr
        return {path.stem: np.load(path) for path in out.glob("*.npy")}, None
