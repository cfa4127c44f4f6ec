"""What --precision costs and saves: a model in f32 and in 16 bits, in turns.

  precision.py MODEL.mlir [--weights FILE] [--precision bf16] [--dim NAME=N]... [--threads N] [--rounds N] [--repeat N]

One process per round and form; a round's figure is the median of --repeat runs,
the ratio the median over the rounds of (f32 / 16 bits), so above 1 the 16 bits
are faster. Compiled once per form; memory is the peak that the runs report."""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parent.parent
LATHE = pathlib.Path(os.environ.get("LATHE_BUILD", TOP / "build")) / "bin" / "lathe"


def call(*command):
    done = subprocess.run([LATHE, *map(str, command)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--weights", action="append", default=[])
    parser.add_argument("--dim", action="append", default=[])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=9)
    options = parser.parse_args()
    forms = ("f32", options.precision)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        times, memory = {form: [] for form in forms}, {}
        for form in forms:
            call("compile", options.model, "--precision", form, *(f"--dim={dim}" for dim in options.dim),
                 f"--threads={options.threads}", "-o", folder / f"{form}.lathe")
        for _ in range(options.rounds):
            for form in forms:
                call("run", folder / f"{form}.lathe", f"--threads={options.threads}", f"--repeat={options.repeat}", "--quiet",
                     "--json", folder / "run.json", *(f"--weights={file}" for file in options.weights))
                figures = json.loads((folder / "run.json").read_text())
                times[form].append(figures["latency_ms_median"])
                memory[form] = figures
    ratios = sorted(a / b for a, b in zip(*times.values()))
    print(f"{options.model.stem} {' '.join(options.dim)}, threads {options.threads}: "
          + ", ".join(f"{form} {statistics.median(times[form]):.2f} ms" for form in forms)
          + f", ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}) over {options.rounds} rounds; peak memory "
          + ", ".join(f"{memory[form]['peak_memory_mb']:.0f} MiB" for form in forms))


if __name__ == "__main__":
    main()
