"""A BERT-base-sized encoder with seeded weights, for Lathe and for ONNX Runtime.

  bert_onnx.py DIR [--layers N] [--length N] [--seed N]

writes DIR/bert.safetensors (the public checkpoints' names), DIR/bert.onnx with
the same weights, and one case of --length tokens with ONNX Runtime's answer:
input_ids, attention_mask, token_type_ids, last_hidden_state, each .npy.
"""

import argparse
import pathlib

import numpy as np
import onnxruntime
from safetensors.numpy import save_file

import bert


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=pathlib.Path)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.dir.mkdir(parents=True, exist_ok=True)
    config = bert.BASE | {"layers": args.layers}
    parameters = bert.seeded_parameters(config, args.seed)
    save_file(parameters, args.dir / "bert.safetensors", metadata={"format": "pt"})
    bert.build(config, parameters).save(args.dir / "bert.onnx")
    random = np.random.Generator(np.random.Philox(args.seed + 1))
    inputs = {
        "input_ids": random.integers(0, config["vocabulary"], (1, args.length)),
        "attention_mask": np.ones((1, args.length), np.int64),
        "token_type_ids": np.zeros((1, args.length), np.int64),
    }
    session = onnxruntime.InferenceSession(args.dir / "bert.onnx", providers=["CPUExecutionProvider"])
    (hidden,) = session.run(None, inputs)
    for name, array in (inputs | {"last_hidden_state": hidden}).items():
        np.save(args.dir / f"{name}.npy", array)
    count = sum(array.size for array in parameters.values())
    print(f"bert_onnx: {args.layers} layers, {count / 1e6:.1f} M parameters, {args.length} tokens, last_hidden_state std {hidden.std():.3f}")


if __name__ == "__main__":
    main()
