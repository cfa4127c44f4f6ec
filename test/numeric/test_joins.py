"""Concatenations of many tensors, which are joined in parts, against NumPy."""

import os
import pathlib
import subprocess
import tempfile
import unittest

import numpy as np

BUILD = pathlib.Path(os.environ.get("LATHE_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))


class Joins(unittest.TestCase):
    def check(self, count, axis, dtype, *options):
        random = np.random.Generator(np.random.Philox(count))
        parts = []
        for _ in range(count):
            shape = [3, 2]
            shape[axis] = int(random.integers(0, 4))
            parts.append(random.integers(-100, 100, shape).astype(dtype))
        expected = np.concatenate(parts, axis)
        element = {np.float32: "f32", np.int8: "i8"}[dtype]
        types = [f"tensor<{p.shape[0]}x{p.shape[1]}x{element}>" for p in parts]
        result = f"tensor<{expected.shape[0]}x{expected.shape[1]}x{element}>"
        arguments = ", ".join(f'%x{i}: {t} {{lathe.name = "x{i}"}}' for i, t in enumerate(types))
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "m.mlir").write_text(
                f'func.func @main({arguments}) -> ({result} {{lathe.name = "y"}}) {{\n'
                f"  %y = lathe.concat {', '.join(f'%x{i}' for i in range(count))} {{axis = {axis} : i64}} : ({', '.join(types)}) -> {result}\n"
                f"  return %y : {result}\n}}\n")
            command = [BUILD / "bin" / "lathe", "run", "m.mlir", "--quiet", "--output-dir", folder, *options]
            for i, part in enumerate(parts):
                np.save(folder / f"x{i}.npy", part)
                command += ["--input", f"x{i}=x{i}.npy"]
            # One kernel that joins them all takes longer than this from 400 on.
            done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=folder,
                                  env=os.environ | {"LATHE_CACHE_DIR": str(BUILD / "test" / "cache")})
            self.assertEqual(done.returncode, 0, done.stderr)
            np.testing.assert_array_equal(np.load(folder / "y.npy"), expected)

    def test_counts(self):
        for count, axis, dtype in ((32, 0, np.float32), (33, -1, np.int8), (65, 0, np.float32), (1100, 1, np.float32)):
            for options in ((), ("--no-optimize",), ("--target", "cuda-sim")):
                with self.subTest(count=count, options=options):
                    self.check(count, axis, dtype, *options)


if __name__ == "__main__":
    unittest.main()
