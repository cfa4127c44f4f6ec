"""Runs one ONNX file with ONNX Runtime the way `lathe run` runs one with Lathe:
the same inputs, the same figures in the same JSON.

  onnxruntime_run.py MODEL --input name=file.npy ... [--threads T] [--repeat N]
                     [--warmup N] [--output-dir DIR] --json FILE
"""

import argparse
import json
import pathlib
import statistics
import time

import numpy as np
import onnxruntime


def peak_memory_mb():
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--input", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--output-dir", type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path, required=True)
    args = parser.parse_args()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = args.threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    started = time.perf_counter()
    session = onnxruntime.InferenceSession(args.model, options, providers=["CPUExecutionProvider"])
    loaded = (time.perf_counter() - started) * 1e3
    feeds = {name: np.load(path) for name, path in (item.split("=", 1) for item in args.input)}
    for _ in range(args.warmup):
        session.run(None, feeds)
    latency = []
    for _ in range(args.repeat):
        started = time.perf_counter()
        outputs = session.run(None, feeds)
        latency.append((time.perf_counter() - started) * 1e3)
    if args.output_dir:
        args.output_dir.mkdir(parents=True, exist_ok=True)
        for value, output in zip(session.get_outputs(), outputs):
            np.save(args.output_dir / f"{value.name}.npy", output)
    args.json.write_text(json.dumps({
        "latency_ms": latency,
        "latency_ms_median": statistics.median(latency),
        "peak_memory_mb": peak_memory_mb(),
        "compile_ms": loaded,
    }))


if __name__ == "__main__":
    main()
