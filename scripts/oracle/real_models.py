"""The real, trained ONNX models that the packages of .venv bring, with their
inputs made from files and text, and their outputs turned into words.

Shared by the demo and the numeric tests. Nothing here imports the packages
themselves: only their model files are used.
"""

import functools
import json
import pathlib
import sys

import numpy as np


@functools.cache
def packaged(path):
    """The file PATH inside one of the installed packages."""
    for folder in map(pathlib.Path, sys.path):
        if (folder / path).exists():
            return folder / path
    raise SystemExit(f"{path} is not installed: run scripts/setup")


MAGIKA = "magika/models/standard_v3_3/model.onnx"
DIRECTION = "rapidocr/models/ch_ppocr_mobile_v2.0_cls_mobile.onnx"
READER = "rapidocr/models/PP-OCRv6_rec_small.onnx"
FINDER = "rapidocr/models/PP-OCRv6_det_small.onnx"


@functools.cache
def magika_config():
    return json.loads(packaged("magika/models/standard_v3_3/config.min.json").read_text())


def magika_input(content):
    """What Magika looks at: the first and last 1024 bytes without surrounding
    white space, [1, 2048] int32; 256 stands for no byte."""
    config = magika_config()
    begin, end = config["beg_size"], config["end_size"]
    head = content[: config["block_size"]].lstrip()[:begin]
    tail = content[-config["block_size"] :].rstrip()[-end:]
    row = np.full(begin + end, config["padding_token"], np.int32)
    row[: len(head)] = np.frombuffer(head, np.uint8)
    row[len(row) - len(tail) :] = np.frombuffer(tail, np.uint8)
    return row[None]


def magika_label(probabilities):
    """The most likely content type and its probability."""
    best = int(probabilities.argmax())
    return magika_config()["target_labels_space"][best], float(probabilities.flat[best])


def text_image(text, height=48, width=None, upside_down=False, size=None):
    """TEXT in black on light grey, [1, 3, height, width] in -1..1, as the OCR
    networks are fed. Without a width, as wide as the text needs, in steps of 32."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(size=size or int(height * 0.62))
    left, top, right, bottom = font.getbbox(text)
    if width is None:
        width = -(-(right - left + 24) // 32) * 32
    image = Image.new("RGB", (width, height), (235, 235, 230))
    position = (12 - left, (height - bottom - top) // 2)
    ImageDraw.Draw(image).text(position, text, fill=(20, 20, 30), font=font)
    if upside_down:
        image = image.rotate(180)
    return (np.asarray(image, np.float32).transpose(2, 0, 1)[None] / 255 - 0.5) / 0.5


@functools.cache
def alphabet():
    """The reader's characters: class 0 says nothing, the last one is a blank."""
    import onnx

    model = onnx.load(packaged(READER))
    (characters,) = (p.value for p in model.metadata_props if p.key == "character")
    return [""] + characters.splitlines() + [" "]


def read_text(scores):
    """The reader's scores [1, steps, classes] as text: the best class of each
    step, repeats and nothings left out (greedy CTC)."""
    best = scores[0].argmax(-1)
    kept = [b for b, before in zip(best, np.concatenate([[-1], best[:-1]])) if b != before]
    return "".join(alphabet()[b] for b in kept)


def direction(probabilities):
    """Which way up the text is, and how sure the classifier is."""
    best = int(probabilities.argmax())
    return ("upright", "upside down")[best], float(probabilities.flat[best])
