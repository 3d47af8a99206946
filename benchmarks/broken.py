"""Files that cannot be used, each with the reason that must be given for it, among good ones."""

import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryFile

import cv2
import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.scenes import RGB, scene
from tasks.contracts.images import Undecodable, decode

EACH, GOOD, DAMAGED = 40, 200, 2000
Spoil = Callable[[RGB, np.random.Generator], tuple[bytes, str]]  # bytes and ending


def encoded(picture: RGB, kind: str) -> bytes:
    """The picture as a file of `kind`: JPEG, PNG, WEBP, BMP, TIFF or GIF."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind, **({"quality": 85} if kind in ("JPEG", "WEBP") else {}))
    return buffer.getvalue()


def _cut(picture: RGB, rng: np.random.Generator, kind: str, ending: str) -> tuple[bytes, str]:
    data = encoded(picture, kind)
    return data[: int(len(data) * rng.uniform(0.05, 0.98))], ending


def _foreign(_picture: RGB, rng: np.random.Generator) -> tuple[bytes, str]:
    starts = (b"%PDF-1.7\n", b"PK\x03\x04", b"\x7fELF", b"<html><body>404 Not Found", b"ID3\x03", b"")
    return starts[rng.integers(len(starts))] + rng.bytes(int(rng.integers(20, 4000))), ".jpg"


def _empty(_picture: RGB, _rng: np.random.Generator) -> tuple[bytes, str]:
    return b"", ".png"


def _bomb(_picture: RGB, rng: np.random.Generator) -> tuple[bytes, str]:
    """A few kilobytes that promise a picture of gigabytes."""
    side = int(rng.integers(20_000, 60_000))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1 << 20), 9)
    chunks = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    parts = [struct.pack(">I", len(of)) + kind + of + struct.pack(">I", zlib.crc32(kind + of)) for kind, of in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts), ".png"


def _wrong_checksum(picture: RGB, rng: np.random.Generator) -> tuple[bytes, str]:
    data = bytearray(encoded(picture, "PNG"))
    data[int(rng.integers(60, len(data) - 20))] ^= 1 << int(rng.integers(8))
    return bytes(data), ".png"


def _warned_of(picture: RGB, rng: np.random.Generator) -> tuple[bytes, str]:
    """A JPEG damaged at random, over and over until libjpeg remarks on it."""
    whole = encoded(picture, "JPEG")
    while not remarks(data := damaged(whole, rng, 8)):
        pass
    return data, ".jpg"


def remarks(data: bytes) -> str:
    """What OpenCV's libjpeg prints while it decodes, which no call of it returns."""
    with TemporaryFile() as said:
        stderr = os.dup(2)
        os.dup2(said.fileno(), 2)
        try:
            cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
        said.seek(0)
        return said.read().decode()


def _pillow_refuses(data: bytes) -> bool:
    try:
        Image.open(io.BytesIO(data)).load()
    except (OSError, SyntaxError, ValueError):
        return True
    return False


def damaged(data: bytes, rng: np.random.Generator, flips: int) -> bytes:
    """`flips` random bits of a JPEG changed, behind its header."""
    start = data.index(b"\xff\xda") + 14
    out = bytearray(data)
    for place in rng.integers(start, len(data) - 2, flips):
        out[place] ^= 1 << int(rng.integers(8))
    return bytes(out)


# what it is -> how it is made, and the reasons of which one must be given
KINDS: dict[str, tuple[Spoil, tuple[str, ...]]] = {
    "empty": (_empty, ("empty",)),
    "foreign": (_foreign, ("not_an_image", "unsupported_format")),
    "bomb": (_bomb, ("too_many_pixels",)),
    "wrong checksum in a PNG": (_wrong_checksum, ("damaged", "truncated")),
    "JPEG that libjpeg warns of": (_warned_of, ("damaged", "truncated", "not_an_image")),
    **{
        f"truncated {kind}": (
            lambda picture, rng, kind=kind, ending=ending: _cut(picture, rng, kind, ending),
            ("truncated", "damaged", "not_an_image"),
        )
        for kind, ending in (("JPEG", ".jpg"), ("PNG", ".png"), ("WEBP", ".webp"), ("BMP", ".bmp"), ("TIFF", ".tif"))
    },
}


def plant(folder: Path, seed: int, each: int = EACH, good: int = GOOD) -> pd.DataFrame:
    """Write `each` files of every kind and `good` sound ones; columns `path`, `kind` (`good`) and `reasons`."""
    rows = []
    for number, (kind, (data, ending), reasons) in enumerate(_files(seed, each, good)):
        path = f"{'ab'[number % 2]}/{number:05}{ending}"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
        rows.append((path, kind, reasons))
    return pd.DataFrame(rows, columns=["path", "kind", "reasons"])


def _files(seed: int, each: int, good: int) -> Iterator[tuple[str, tuple[bytes, str], tuple[str, ...]]]:
    """What each is, its bytes and ending, and the reasons that are due."""
    for number in range(good):
        kind = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")[number % 5]
        yield "good", (encoded(scene(number, seed), kind), f".{kind.lower()}"), ()
    for kind, (spoil, reasons) in KINDS.items():
        for number in range(each):
            rng = np.random.default_rng([seed, number, *kind.encode()])
            yield kind, spoil(scene(number, seed + 1), rng), reasons


def table(truth: pd.DataFrame, flags: dict[str, list[str]]) -> pd.DataFrame:
    """By kind: how many files there are, and of how many the right thing was said: nothing of good ones."""
    every = frozenset(reason for _, reasons in KINDS.values() for reason in reasons)
    given = [every.intersection(flags.get(path, ())) for path in truth["path"]]
    right = [bool(found & set(due)) if due else not found for found, due in zip(given, truth["reasons"], strict=True)]
    return truth.assign(right=right).groupby("kind", sort=False)["right"].agg(files="size", right="sum")


def unseen(seed: int) -> str:
    """Of JPEGs with one changed bit whose pixels did change: the share that is noticed, by graft and by Pillow."""
    rng = np.random.default_rng(seed)
    changed = ours = theirs = 0
    for number in range(DAMAGED):
        whole = encoded(scene(number % 100, seed), "JPEG")
        data = damaged(whole, rng, 1)
        refused = _pillow_refuses(data)
        if not refused and np.array_equal(np.asarray(Image.open(io.BytesIO(data))), Image.open(io.BytesIO(whole))):
            continue
        changed, theirs = changed + 1, theirs + refused
        try:
            decode(data, 64)
        except Undecodable:
            ours += 1
    return f"one changed bit, {changed:,} files: graft sees {ours / changed:.1%}, Pillow {theirs / changed:.1%}"
