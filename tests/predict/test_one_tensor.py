"""One picture, stored turned in any of the eight ways of EXIF and in any mode, is one tensor at every entry.

The entries: the prepared pixels that training learns from, those that evaluation takes from the checked table, and
what `graft predict` gives the network.
"""

import hashlib
import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from tasks.contracts.files import write_table
from tasks.contracts.images import decode
from tasks.contracts.params import QualityParams
from tasks.contracts.prepared import Store, open_checked
from tasks.contracts.raw import COLUMNS
from tasks.contracts.workspace import Workspace
from tasks.predict import engine
from tasks.quality.reading import Caps
from tasks.quality.scan import scan
from tasks.register.bundle import Bundle
from tasks.train.data import ImageBatches, Samples
from tests.train.tiny import REF, net

SIDE_PX = 32
WIDTH, HEIGHT = 48, 36
_STORED_BY = {  # EXIF orientation -> what turns an upright picture into what is stored
    1: lambda image: image,
    2: lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    3: lambda image: image.transpose(Image.Transpose.ROTATE_180),
    4: lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
    5: lambda image: image.transpose(Image.Transpose.TRANSPOSE),
    6: lambda image: image.transpose(Image.Transpose.ROTATE_90),
    7: lambda image: image.transpose(Image.Transpose.TRANSVERSE),
    8: lambda image: image.transpose(Image.Transpose.ROTATE_270),
}


def grey() -> Image.Image:
    """Black and white blocks with no symmetry, so that every mode can hold them without loss."""
    blocks = np.random.default_rng(3).integers(0, 2, (HEIGHT // 4, WIDTH // 4), np.uint8) * 255
    return Image.fromarray(np.kron(blocks, np.ones((4, 4), np.uint8)))


def sixteen_bits(image: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(image).astype(np.uint16) * 257)


def transparent(image: Image.Image, mode: str) -> Image.Image:
    """Where the picture is white, nothing but a transparent hole, black beneath."""
    alpha = Image.fromarray(255 - np.asarray(image))
    black = Image.new("L", image.size)
    return Image.merge(mode, [black] * (len(mode) - 1) + [alpha])


def palette_with_hole(image: Image.Image) -> Image.Image:
    """Two entries, of which the one that stands for white is transparent and red."""
    found = Image.fromarray((np.asarray(image) > 0).astype(np.uint8), "L").convert("P")
    found.putdata((np.asarray(image) > 0).astype(np.uint8).ravel().tolist())
    found.putpalette([0, 0, 0, 255, 0, 0])
    found.info["transparency"] = 1
    return found


MODES: dict[str, tuple[Callable[[Image.Image], Image.Image], str]] = {  # how to make it, and a format that keeps it
    "1": (lambda image: image.convert("1"), "PNG"),
    "L": (lambda image: image, "PNG"),
    "P": (lambda image: image.convert("RGB").quantize(4), "PNG"),
    "P with a hole": (palette_with_hole, "PNG"),
    "LA": (lambda image: transparent(image, "LA"), "PNG"),
    "RGB": (lambda image: image.convert("RGB"), "PNG"),
    "RGBA": (lambda image: transparent(image, "RGBA"), "PNG"),
    "I;16": (sixteen_bits, "PNG"),
    "CMYK": (lambda image: image.convert("CMYK"), "TIFF"),
    "RGB in WebP": (lambda image: image.convert("RGB"), "WEBP"),
}


def stored(mode: str, orientation: int) -> bytes:
    make, format_ = MODES[mode]
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = make(_STORED_BY[orientation](grey()))
    options = {"transparency": image.info["transparency"]} if "transparency" in image.info else {}
    buffer = io.BytesIO()
    image.save(buffer, format_, exif=exif, **options, **({"lossless": True} if format_ == "WEBP" else {}))
    return buffer.getvalue()


def sha256(values: np.ndarray | torch.Tensor) -> str:
    return hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Workspace:
    """A workspace whose data are the picture in every way."""
    ws = Workspace(tmp_path_factory.mktemp("turned"))
    ws.raw.mkdir(parents=True)
    for mode in MODES:
        for orientation in range(1, 9):
            (ws.raw / f"{mode} {orientation}").write_bytes(stored(mode, orientation))
    return ws


def test_eight_orientations_and_ten_modes_are_one_tensor_at_every_entry(files, monkeypatch):
    names = sorted(path.name for path in files.raw.iterdir())
    assert len(names) == 80
    reference = decode(stored("RGB", 1), SIDE_PX).pixels
    assert {name: sha256(decode((files.raw / name).read_bytes(), SIDE_PX).pixels) for name in names} == dict.fromkeys(
        names, sha256(reference)
    )

    # prepared by the scan, found again through the checked table, made into what training and evaluation feed
    manifest = pd.DataFrame({"path": names, "reasons": [[] for _ in names]})
    manifest = manifest.assign(**dict.fromkeys(COLUMNS[1:]))
    store = Store(files.prepared, SIDE_PX)
    limits = QualityParams().limits
    caps = Caps(SIDE_PX, limits.max_megapixels, limits.max_megabytes)
    table = scan(files.raw, manifest, caps, store, files.cache / "index.parquet").table
    write_table(files.checked, table.drop(columns="reasons"))
    checked, prepared = open_checked(files)
    assert (checked["pixels"] >= 0).all()
    rows = checked["pixels"].to_numpy(np.int64)
    assert {sha256(prepared[row]) for row in rows} == {sha256(reference)}
    ref = replace(REF, input_px=SIDE_PX)
    n = len(names)
    samples = Samples(rows, np.zeros(n, np.int64), np.ones(n, np.float32), tuple(names), np.zeros(n, np.int64))
    (batch,) = ImageBatches(samples, prepared, ref).epoch([np.arange(n)], seed=0, epoch=0)
    (wanted,) = {sha256(one) for one in batch.inputs.contiguous()}

    # and what `graft predict` gives the network of the same files
    given: list[torch.Tensor] = []
    network = net()
    network.backbone.register_forward_pre_hook(lambda _module, inputs: given.extend(inputs[0].clone()))
    monkeypatch.setattr(engine, "_sharing_weights", lambda net: net)
    monkeypatch.setattr("os.sched_getaffinity", lambda _process: {0})
    model = {"backbone": {**vars(ref)}, "classes": ["a", "b", "c"]}
    bundle = Bundle(network, {"model": model, "preprocessing": {"prepared_px": SIDE_PX}}, None)
    seen = list(engine.see(bundle, ((name, (files.raw / name).read_bytes) for name in names)))
    assert not any(problem for one in seen for problem in one.problems)
    assert {sha256(one.contiguous()) for one in given} == {wanted}
    assert len(given) == 80
