"""What lathe-layout gains: a model with the pass and without it, in turns.

  layout.py [MODEL.mlir] [--weights FILE] [--dim NAME=N ...] [--threads N]
            [--rounds N] [--repeat N]

One process per round and form; a round's figure is the median of --repeat runs,
the ratio the median over the rounds of (without / with), so above 1 the pass
pays. Compiled once per form; the outputs are compared first."""

import argparse
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

import numpy as np

TOP = pathlib.Path(__file__).resolve().parent.parent
LATHE = pathlib.Path(os.environ.get("LATHE_BUILD", TOP / "build")) / "bin" / "lathe"
FORMS = {"with": [], "without": ["--no-layout"]}


def call(*command):
    done = subprocess.run([LATHE, *map(str, command)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default=TOP / "models" / "resnet50.mlir")
    parser.add_argument("--weights", help="of the model, where it has no initializers")
    parser.add_argument("--dim", action="append", default=[], help="size of an open dim")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    model = [options.model, *(f"--dim={dim}" for dim in options.dim)]
    weights = [f"--weights={options.weights}"] if options.weights else ["--embed-weights"]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        times = {form: [] for form in FORMS}
        outputs = {}
        for form, flags in FORMS.items():
            call("compile", *model, *weights, *flags, "-o", folder / f"{form}.lathe")
            call("run", folder / f"{form}.lathe", "--quiet", "--output-dir", folder / form)
            outputs[form] = {path.name: np.load(path) for path in sorted((folder / form).glob("*.npy"))}
        for name, expected in outputs["without"].items():
            size = max(1.0, float(np.abs(expected).max()))
            np.testing.assert_allclose(outputs["with"][name], expected, rtol=1e-3, atol=1e-3 * size, err_msg=name)
        for _ in range(options.rounds):
            for form in FORMS:
                text = call("run", folder / f"{form}.lathe", f"--threads={options.threads}", f"--repeat={options.repeat}", "--quiet")
                times[form].append(float(re.search(r"run: latency ([\d.]+) ms", text)[1]))
    ratios = sorted(a / b for a, b in zip(times["without"], times["with"]))
    print(f"{pathlib.Path(options.model).stem}, threads {options.threads}: with {statistics.median(times['with']):.2f} ms, "
          f"without {statistics.median(times['without']):.2f} ms, ratio {statistics.median(ratios):.2f} "
          f"({ratios[0]:.2f} to {ratios[-1]:.2f}) over {options.rounds} rounds")


if __name__ == "__main__":
    main()
