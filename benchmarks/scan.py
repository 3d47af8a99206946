"""The scan (hash, decode, measures, prepared pixels) beside decoding alone."""

import io
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

from benchmarks.pictures import write_jpegs
from benchmarks.timing import Ratio, compare, images_per_second, take_turns
from tasks.contracts.params import IngestParams, Limits
from tasks.ingest.folders import list_files
from tasks.ingest.sources import build_manifest
from tasks.quality.scan import Caps, scan

IMAGES, SIZE, PREPARED_PX, ROUNDS = 600, (500, 375), 224, 3


def ratios() -> list[Ratio]:
    with TemporaryDirectory() as folder:
        root = write_jpegs(Path(folder) / "raw", IMAGES, SIZE)
        manifest = build_manifest(root, list_files(root), None, IngestParams())
        files = [(root / path).read_bytes() for path in manifest["path"]]
        caps = Caps(PREPARED_PX, Limits().max_megapixels, Limits().max_megabytes)

        def ours(number: int) -> None:
            scanned = scan(root, manifest, caps, Path(folder) / f"prepared{number}")
            if (scanned["pixels"] < 0).any():
                raise RuntimeError("the scan lost images")

        def bare(_number: int) -> None:
            for data in files:
                Image.open(io.BytesIO(data)).load()

        costs = take_turns({"ours": ours, "bare": bare}, ROUNDS)
    meaning = f"share of a bare Pillow decode's speed, {IMAGES} JPEGs of {SIZE[0]} x {SIZE[1]}; higher is better"
    return [compare("scan", images_per_second(IMAGES), costs["ours"], costs["bare"], meaning)]
