"""Runs one ONNX file with OpenVINO the way `lathe run` runs one with Lathe: the
same inputs, the same figures in the same JSON. OpenVINO is no part of set-up:
call it with a Python that has it.

  openvino_run.py MODEL --input name=file.npy ... [--precision f32|bf16|f16]
                  [--threads T] [--repeat N] [--warmup N] [--output-dir DIR]
                  --json FILE
"""

import argparse
import json
import pathlib
import statistics
import time

import numpy as np
import openvino


def peak_memory_mb():
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--input", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--precision", default="f32", choices=["f32", "bf16", "f16"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--output-dir", type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path, required=True)
    args = parser.parse_args()
    feeds = {name: np.load(path) for name, path in (item.split("=", 1) for item in args.input)}
    core = openvino.Core()
    started = time.perf_counter()
    model = core.read_model(args.model)
    # Sizes fixed, as Lathe compiles for them.
    model.reshape({name: list(value.shape) for name, value in feeds.items()})
    compiled = core.compile_model(model, "CPU", {
        "INFERENCE_NUM_THREADS": args.threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": args.precision})
    loaded = (time.perf_counter() - started) * 1e3
    request = compiled.create_infer_request()
    for _ in range(args.warmup):
        request.infer(feeds)
    latency = []
    for _ in range(args.repeat):
        started = time.perf_counter()
        results = request.infer(feeds)
        latency.append((time.perf_counter() - started) * 1e3)
    if args.output_dir:
        args.output_dir.mkdir(parents=True, exist_ok=True)
        for output, value in results.items():
            for name in output.get_names():
                np.save(args.output_dir / f"{name}.npy", np.asarray(value, dtype=np.float32))
    args.json.write_text(json.dumps({
        "latency_ms": latency,
        "latency_ms_median": statistics.median(latency),
        "peak_memory_mb": peak_memory_mb(),
        "compile_ms": loaded,
        "precision": str(compiled.get_property("INFERENCE_PRECISION_HINT")),
    }))


if __name__ == "__main__":
    main()
