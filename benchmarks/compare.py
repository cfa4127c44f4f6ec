"""Compares Lathe with ONNX Runtime on the CPU, in float32, at batch size 1.

  compare.py [--only WORD] [--threads 1,2] [--rounds N] [--repeat N] [--no-save]

The two engines take turns, one process each per round, so that what else the
machine does falls on both. A round's figure is the median of --repeat runs; the
ratio is the median over the rounds of (ONNX Runtime's / Lathe's), so above 1
Lathe is faster. Outputs are compared first: a fast wrong answer counts for
nothing. ONNX Runtime gets its default fusions; its separate optimizer for
transformers was tried and is no faster here. Results go to
benchmarks/results/DATE-cpu-onnxruntime.json.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime

TOP = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TOP / "scripts" / "oracle"))
from folders import BUILD, oracle  # noqa: E402


def cases():
    """name -> (arguments of lathe, ONNX file, inputs, output to compare)."""
    import minilm_onnx

    minilm = oracle("minilm")
    tokens = minilm / "tokens128"
    if not tokens.exists():
        tokens.mkdir()
        text = " ".join(json.loads((minilm / "sentences.json").read_text()))
        for name, array in minilm_onnx.tokenize(minilm_onnx.find_model(), [text]).items():
            np.save(tokens / f"{name}.npy", array[:, :128])
    names = ("input_ids", "attention_mask", "token_type_ids")
    bert, resnet = oracle("bert"), oracle("resnet50")
    weights = minilm_onnx.find_model() / "model.safetensors"
    return {
        "minilm-128": (
            [TOP / "models/minilm.mlir", "--weights", weights], minilm / "minilm.onnx",
            {name: tokens / f"{name}.npy" for name in names}, "last_hidden_state"),
        "bert-base-128": (
            [TOP / "models/bert-base.mlir", "--weights", bert / "bert.safetensors"], bert / "bert.onnx",
            {name: bert / f"{name}.npy" for name in names}, "last_hidden_state"),
        "resnet50": (
            [resnet / "resnet50.onnx"], resnet / "resnet50.onnx", {"input": resnet / "input.npy"}, "logits"),
    }


def run(command, environment=None):
    """One process; returns the JSON it wrote."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        done = subprocess.run(
            [*map(str, command), "--json", file.name], capture_output=True, text=True,
            env=os.environ | (environment or {}))
        if done.returncode:
            raise SystemExit(f"compare: {' '.join(map(str, command))}\n{done.stderr.strip()[-2000:]}")
        return json.loads(pathlib.Path(file.name).read_text())


def compare(name, case, threads, rounds, repeat, scratch):
    lathe_args, onnx_file, inputs, output = case
    feeds = [item for key, path in inputs.items() for item in ("--input", f"{key}={path}")]
    common = feeds + ["--threads", str(threads), "--repeat", str(repeat)]
    cache = {"LATHE_CACHE_DIR": str(scratch / "cache")}
    ours = [BUILD / "bin/lathe", "run", *lathe_args, *common]
    theirs = [sys.executable, TOP / "benchmarks/onnxruntime_run.py", onnx_file, *common]

    # Round zero: right answers, cold compile time, warm start.
    shutil.rmtree(scratch / "cache", ignore_errors=True)
    cold = run(ours + ["--output-dir", scratch / "ours"], cache)
    run(theirs + ["--output-dir", scratch / "theirs"])
    found, expected = (np.load(scratch / side / f"{output}.npy") for side in ("ours", "theirs"))
    error = float(np.abs(found - expected).max())
    limit = 1e-3 * max(1.0, float(np.abs(expected).max()))
    if found.shape != expected.shape or not error < limit:
        raise SystemExit(f"compare: {name}: {output} differs by {error:.2g}, at most {limit:.2g} expected")

    left, right = [], []
    for _ in range(rounds):
        left.append(run(ours, cache))
        right.append(run(theirs))
    medians = [[row["latency_ms_median"] for row in side] for side in (left, right)]
    ratio = statistics.median(b / a for a, b in zip(*medians))
    row = {
        "case": name, "threads": threads, "rounds": rounds, "repeat": repeat,
        "lathe_ms": statistics.median(medians[0]), "onnxruntime_ms": statistics.median(medians[1]),
        "ratio": ratio, "ratio_lowest": min(b / a for a, b in zip(*medians)),
        "ratio_highest": max(b / a for a, b in zip(*medians)),
        "largest_difference": error,
        "lathe_cold_compile_ms": cold["compile_ms"],
        "lathe_warm_start_ms": statistics.median(row["compile_ms"] for row in left),
        "onnxruntime_load_ms": statistics.median(row["compile_ms"] for row in right),
        "lathe_peak_mb": max(row["peak_memory_mb"] for row in left),
        "onnxruntime_peak_mb": max(row["peak_memory_mb"] for row in right),
        "lathe_rounds_ms": medians[0], "onnxruntime_rounds_ms": medians[1],
    }
    print(f"{name:14} {threads} thread{'s' if threads > 1 else ' '}  lathe {row['lathe_ms']:8.2f} ms   "
          f"onnxruntime {row['onnxruntime_ms']:8.2f} ms   ratio {ratio:.2f} ({row['ratio_lowest']:.2f}-{row['ratio_highest']:.2f})   "
          f"compile {row['lathe_cold_compile_ms']:.0f}/{row['lathe_warm_start_ms']:.0f} ms   "
          f"memory {row['lathe_peak_mb']:.0f}/{row['onnxruntime_peak_mb']:.0f} MiB", flush=True)
    return row


def machine():
    text = pathlib.Path("/proc/cpuinfo").read_text()
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    flags = set(fields.get("flags", "").split())
    return {
        "cpu": fields.get("model name", platform.processor()), "cores": os.cpu_count(),
        "features": sorted(flags & {"avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8"}),
        "load": os.getloadavg()[0],
    }


def save(name, rows):
    """Writes the rows into today's file of that name."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=TOP, capture_output=True, text=True).stdout.strip()
    today = datetime.date.today().isoformat()
    result = {"date": today, "commit": commit, "machine": machine(), "onnxruntime": onnxruntime.__version__, "rows": rows}
    path = TOP / "benchmarks" / "results" / f"{today}-{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"wrote {path.relative_to(TOP)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORD", help="cases whose name contains WORD")
    parser.add_argument("--threads", default="1,2", help="comma-separated thread counts")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--no-save", action="store_true", help="print, write no file")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, case in cases().items():
            if args.only in name:
                for threads in map(int, args.threads.split(",")):
                    rows.append(compare(name, case, threads, args.rounds, args.repeat, pathlib.Path(scratch)))
    if args.no_save or not rows:
        return 0 if rows else 1
    save("cpu-onnxruntime", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
