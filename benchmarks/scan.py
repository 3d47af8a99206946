"""The scan (hash, decode, measures, prepared pixels) beside decoding alone, on one core and two, and a second time."""

import io
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
from PIL import Image

from benchmarks.pictures import write_jpegs
from benchmarks.timing import SECONDS, Ratio, compare, images_per_second, take_turns
from tasks.contracts.params import IngestParams, Limits
from tasks.contracts.prepared import Store
from tasks.ingest.folders import list_files
from tasks.ingest.sources import build_manifest
from tasks.quality.reading import Caps
from tasks.quality.scan import scan
from tasks.quality.workers import PROCESSES_FROM

IMAGES, SIZE, PREPARED_PX, ROUNDS = 600, (450, 338), 224, 3
PHOTOGRAPHS, PHOTOGRAPH = 24, (4000, 3000)
SOME, MANY, CHANGED = 8_000, 20_000, 200
_SETTLE_SECONDS = 0.1  # of a file that has just changed the scan remembers nothing


def ratios() -> list[Ratio]:
    """All lines: throughput, cores, large photographs, and what a second scan costs."""
    with TemporaryDirectory() as folder:
        small = write_jpegs(Path(folder) / "small", IMAGES, SIZE)
        large = write_jpegs(Path(folder) / "large", PHOTOGRAPHS, PHOTOGRAPH)
        many = _copies(small, Path(folder) / "many", MANY)
        some = _copies(small, Path(folder) / "some", SOME)
        cores = _cores("scan cores", small, IMAGES), _cores("scan cores, many", some, SOME)
        return [*_throughput(small), *cores, _photographs(large), *_again(many)]


def _throughput(root: Path) -> list[Ratio]:
    files = [path.read_bytes() for path in sorted(root.rglob("*.jpg"))]
    ours = _Scanner(root)
    costs = take_turns({"ours": lambda _: ours(1), "bare": lambda _: _bare(files)}, ROUNDS)
    meaning = f"share of a bare Pillow decode's speed, {IMAGES} JPEGs of {SIZE[0]} x {SIZE[1]}; higher is better"
    return [compare("scan", images_per_second(IMAGES), costs["ours"], costs["bare"], meaning)]


def _cores(name: str, root: Path, images: int) -> Ratio:
    ours = _Scanner(root)
    costs = take_turns({"two": lambda _: ours(2), "one": lambda _: ours(1)}, ROUNDS)
    how = "processes" if images >= PROCESSES_FROM else "threads"
    meaning = f"two cores by the speed of one, by the clock, {images} files, so by {how}; 2 is best"
    return compare(name, images_per_second(images), costs["two"], costs["one"], meaning)


def _photographs(root: Path) -> Ratio:
    files = [path.read_bytes() for path in sorted(root.rglob("*.jpg"))]
    ours = _Scanner(root)
    costs = take_turns({"ours": lambda _: ours(2), "bare": lambda _: _bare(files)}, ROUNDS)
    meaning = f"the same for {PHOTOGRAPH[0]} x {PHOTOGRAPH[1]}, where a JPEG is decoded at an eighth"
    return compare("scan photographs", images_per_second(PHOTOGRAPHS), costs["ours"], costs["bare"], meaning)


def _again(root: Path) -> list[Ratio]:
    """One first scan of MANY files, then rounds of an unchanged one and of one with CHANGED files."""
    cache = root.parent / "cache"
    manifest = _manifest(root)

    def rescan() -> None:
        scan(root, manifest, _CAPS, Store(cache, PREPARED_PX), cache / "index.parquet")

    def first(_: int) -> None:
        shutil.rmtree(cache, ignore_errors=True)
        rescan()

    def changed(number: int) -> None:
        for path in manifest["path"][number * CHANGED : (number + 1) * CHANGED]:
            with (root / path).open("ab") as file:
                file.write(b"x")
        time.sleep(_SETTLE_SECONDS)
        rescan()

    time.sleep(_SETTLE_SECONDS)
    costs = take_turns({"first": first, "unchanged": lambda _: rescan(), "changed": changed}, 1)
    return [
        compare(f"rescan {name}", SECONDS, costs[name], costs["first"], f"{MANY} files, {what}; lower is better")
        for name, what in (("unchanged", "none changed, by the first scan"), ("changed", f"{CHANGED} changed"))
    ]


_CAPS = Caps(PREPARED_PX, Limits().max_megapixels, Limits().max_megabytes)


class _Scanner:
    """Scans `root` from nothing on so many cores, each time with a cache of its own."""

    def __init__(self, root: Path) -> None:
        self._root, self._manifest, self._numbers = root, _manifest(root), count()

    def __call__(self, cores: int) -> None:
        cache = self._root.parent / f"cache{next(self._numbers)}"
        with _on(cores):
            found = scan(self._root, self._manifest, _CAPS, Store(cache, PREPARED_PX), cache / "index.parquet")
        if found.table["pixels_crc32"].isna().any():
            raise RuntimeError("the scan lost images")
        shutil.rmtree(cache)


@contextmanager
def _on(cores: int) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:cores])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _bare(files: list[bytes]) -> None:
    for data in files:
        Image.open(io.BytesIO(data)).load()


def _manifest(root: Path) -> pd.DataFrame:
    return build_manifest(root, list_files(root), None, IngestParams())


def _copies(root: Path, target: Path, number: int) -> Path:
    """`number` files that differ in their last bytes, behind the end of the picture."""
    files = [path.read_bytes() for path in sorted(root.rglob("*.jpg"))]
    for i in range(number):
        path = target / f"class{i % 3}" / f"{i:05}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[i % len(files)] + i.to_bytes(4))
    return target
