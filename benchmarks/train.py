"""Compares train steps of Lathe, JAX and PyTorch on the CPU, in float32.

  train.py [--torch PYTHON] [--only WORD] [--threads 2] [--rounds N] [--turn N] [--no-save]

A step is forward, backward and AdamW on a batch that is in memory already. Every
engine is a process that lives through the run and makes --turn steps when it is
its turn, so that what else the machine does falls on all; the others sleep. A
turn's figure is the median of its steps; the ratio is the median over the rounds
of (the faster peer's / Lathe's), so above 1 Lathe is faster. All start from the
same weights and see the same batches, and the losses of all steps are compared.
Memory is the peak resident size of the process, and by how much it exceeds
what was resident before the model was made. The first round, in which engines
compile, warm up and allocate, counts for the memory alone.
--torch names a Python that has PyTorch (see README.md); without it JAX is the
only peer. Results go to benchmarks/results/DATE-cpu-train.json.
"""

import argparse
import datetime
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

import numpy as np

TOP = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TOP / "scripts" / "oracle"), str(TOP / "test" / "numeric")]
import jax_models  # noqa: E402
from compare import machine  # noqa: E402
from folders import BUILD  # noqa: E402
from test_training_curves import dropout_draws  # noqa: E402
from train_peer import DECAY, RATE  # noqa: E402

PEER = TOP / "benchmarks" / "train_peer.py"
BATCHES, SEED = 8, 7
MIB = 1 << 20


def images(random):
    keys = np.array([[SEED, i] for i in range(BATCHES)])
    batches = {"image": random.integers(0, 256, (BATCHES, 64, 28, 28), dtype=np.uint8),
               "label": random.integers(0, 10, (BATCHES, 64))}
    return batches, {"random_key": keys}, {"uniform1": dropout_draws(keys, 1, (64, 128)).astype(np.float32)}


def windows(size):
    return lambda random: ({"tokens": random.integers(0, 256, (BATCHES, size, 129))}, {}, {})


# Inductor unrolls an LSTM over its 128 steps and compiles for more than five
# minutes: PyTorch's own kernels stand for it there.
NOT_COMPILED = {"char-lstm"}
# What all see, what only Lathe sees, what only its peers see.
CASES = {"fashion-cnn": images, "char-gpt": windows(16), "char-lstm": windows(32)}


class Engine:
    def __init__(self, name, command, folder):
        self.name, self.rounds, self.losses = name, [], []
        self.errors = open(folder / f"{name}.txt", "w+")
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=self.errors, text=True, env=os.environ | {"TOKENIZERS_PARALLELISM": "false"})
        self.start = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            raise SystemExit(f"train: {self.name} ended with {self.process.returncode}: {self.errors.read().strip()[-2000:]}")
        return json.loads(line)

    def turn(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        row = self.read()
        self.losses += row["loss"]
        self.rounds.append(statistics.median(row["ms"]))

    def end(self):
        self.process.stdin.close()
        self.memory = self.read()
        self.process.wait()


def commands(name, data, folder, args):
    values, inputs, extra, peers = data
    words = []
    for kind, arrays in (("input", inputs | extra), ("state", values)):
        for key, array in arrays.items():
            np.save(folder / f"{kind}.{key}.npy", array)
            words.append(f"{kind}.{key}={folder / f'{kind}.{key}.npy'}")
    np.savez(folder / "data.npz", **{f"value.{key}": array for key, array in values.items()},
             **{f"batch.{key}": array for key, array in (inputs | peers).items()})
    recipe = {"optimizer": "adamw", "learning_rate": RATE, "weight_decay": DECAY, "decay_vectors": "true", "schedule": "constant"}
    yield "lathe", [BUILD / "bin/train-steps", TOP / f"models/{name}.mlir", folder, *words, f"turn={args.turn}",
                    f"threads={args.threads}", *(f"{key}={value}" for key, value in recipe.items())]
    for peer, python in (("jax", sys.executable), ("torch", args.torch), ("torch-compile", args.torch)):
        if python and not (peer == "torch-compile" and name in NOT_COMPILED):
            yield peer, [python, PEER, peer, name, folder / "data.npz", "--turn", args.turn, "--threads", args.threads]


def compare(name, args):
    random = np.random.Generator(np.random.Philox(SEED))
    values = jax_models.initial(jax_models.parameters_of(name), seed=1, dtype=np.float32)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        engines = []
        for engine, command in commands(name, (values, *CASES[name](random)), folder, args):
            engines.append(Engine(engine, command, folder))
        for _ in range(args.rounds + 1):
            for engine in engines:
                engine.turn()
        for engine in engines:
            engine.end()
    ours, *peers = engines
    worst = max(np.max(np.abs(np.array(peer.losses) / np.array(ours.losses) - 1)) for peer in peers)
    # Two float32 programs part slowly; a wrong gradient shows at once.
    if not worst < 0.01:
        raise SystemExit(f"train: {name}: losses differ by {worst:.2g}, at most 0.01 expected")
    row = {"case": name, "threads": args.threads, "rounds": args.rounds, "turn": args.turn, "largest_loss_difference": float(worst)}
    for engine in engines:
        row[engine.name] = {
            "ms": statistics.median(engine.rounds[1:]), "rounds_ms": engine.rounds[1:],
            "peak_mb": engine.memory["peak"] / MIB, "model_mb": (engine.memory["peak"] - engine.memory["before"]) / MIB}
        if "version" in engine.start:
            row[engine.name]["version"] = engine.start["version"]
    faster = min(peers, key=lambda peer: row[peer.name]["ms"])
    ratios = [theirs / mine for mine, theirs in zip(ours.rounds[1:], faster.rounds[1:])]
    row |= {"faster_peer": faster.name, "ratio": statistics.median(ratios), "ratio_lowest": min(ratios), "ratio_highest": max(ratios)}
    print(f"{name}, {args.threads} threads: {row['ratio']:.2f} x {faster.name} ({row['ratio_lowest']:.2f}-{row['ratio_highest']:.2f})")
    for engine in engines:
        figures = row[engine.name]
        print(f"  {engine.name:14} {figures['ms']:8.2f} ms   peak memory {figures['peak_mb']:5.0f} MiB, "
              f"{figures['model_mb']:5.0f} MiB of it since the model", flush=True)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch", metavar="PYTHON", help="a Python that has PyTorch")
    parser.add_argument("--only", default="", metavar="WORD", help="cases whose name contains WORD")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--turn", type=int, default=5, metavar="N", help="steps of a turn")
    parser.add_argument("--no-save", action="store_true", help="print, write no file")
    args = parser.parse_args()
    rows = [compare(name, args) for name in CASES if args.only in name]
    if args.no_save or not rows:
        return 0 if rows else 1
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=TOP, capture_output=True, text=True).stdout.strip()
    today = datetime.date.today().isoformat()
    path = TOP / "benchmarks" / "results" / f"{today}-cpu-train.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"date": today, "commit": commit, "machine": machine(), "rows": rows}, indent=1) + "\n")
    print(f"wrote {path.relative_to(TOP)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
