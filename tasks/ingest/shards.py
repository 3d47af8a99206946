"""Sidecars in tar files, as WebDataset has them: members of one key, the name up to its first dot, are one sample.

`001.jpg` is described by `001.cls` (a label), `001.json` (an object: `label`, and anything else) and, where these give
no label, by `001.txt`. Format: https://github.com/webdataset/webdataset, "The WebDataset Format".
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.contracts.errors import BadData
from tasks.contracts.params import IngestParams
from tasks.ingest.folders import Found, Listing
from tasks.ingest.readers import RawTable, frame_of, json_object
from tasks.ingest.tables import meaning

MAX_BYTES = 1_000_000
KINDS = ("cls", "json", "txt")
Beside = dict[str, dict[str, Found]]  # key -> kind -> the sidecar


@dataclass(frozen=True)
class Sidecars:
    """What sidecars say, a row for each image that has one, as `tables.meaning` gives it; and which files they are."""

    table: pd.DataFrame
    paths: frozenset[str]


def read_sidecars(root: Path, listing: Listing, params: IngestParams) -> Sidecars | None:
    """Every sidecar of an image in a tar; None where there is none.

    Of an object, `label`, `split`, the group and all that is one value is taken, but `path`. Raises BadData for a
    sidecar that is too large or no text, and where two of one image give different labels that count.
    """
    images = _images(listing)
    with_labels = params.labels_from in ("auto", "sidecars")
    said, paths, used = [], list[str](), set[str]()
    for key, texts, beside in _texts(root, _beside(listing, images)):
        what, kinds = _said(f"{root / key}", texts, with_labels=with_labels)
        said += [{**what, "path": path} for path in images[key]]
        paths += images[key]
        used |= {beside[kind].path for kind in kinds}
    if not said:
        return None
    where = f"the sidecars in {root}"
    table = meaning(RawTable(where, paths, frame_of(where, said)), params.group)
    return Sidecars(table, frozenset(used))


def _key(path: str) -> tuple[str, str]:
    """(key, ending after the first dot)."""
    folder, slash, name = path.rpartition("/")
    stem, _, ending = name.partition(".")
    return f"{folder}{slash}{stem}", ending.lower()


def _in_tars(files: Iterable[Found]) -> Iterator[Found]:
    return (file for file in files if file.archive is not None and file.archive.lower().endswith(".tar"))


def _images(listing: Listing) -> dict[str, list[str]]:
    images = defaultdict(list)
    for file in _in_tars(listing.files):
        images[_key(file.path)[0]].append(file.path)
    return images


def _beside(listing: Listing, images: dict[str, list[str]]) -> Beside:
    beside: Beside = {}
    for file in _in_tars(listing.passed_over):
        key, kind = _key(file.path)
        if kind in KINDS and key in images:
            beside.setdefault(key, {})[kind] = file
    return beside


def _texts(root: Path, beside: Beside) -> Iterator[tuple[str, dict[str, str], dict[str, Found]]]:
    """(key, kind -> text, kind -> sidecar) of each key; every archive is opened once."""
    archive_of = {key: next(iter(files.values())).archive or "" for key, files in beside.items()}
    for archive, keys in groupby(sorted(beside, key=lambda key: (archive_of[key], key)), archive_of.__getitem__):
        with (root / archive).open("rb") as tar:
            for key in keys:
                yield key, {kind: _text(root, file, tar.fileno()) for kind, file in beside[key].items()}, beside[key]


def _text(root: Path, sidecar: Found, handle: int) -> str:
    size = sidecar.stored_bytes or 0
    if size > MAX_BYTES:
        raise BadData(f"{root / sidecar.path} has {size:,} bytes; a sidecar has at most {MAX_BYTES:,}")
    data = os.pread(handle, size, sidecar.offset or 0)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadData(f"{root / sidecar.path} is not UTF-8 text (byte {error.start})") from None


def _said(where: str, texts: dict[str, str], *, with_labels: bool) -> tuple[dict[str, Any], set[str]]:
    """What the sidecars of one key say, and which of them were used."""
    said = _object(where, texts["json"]) if "json" in texts else {}
    used = texts.keys() & {"cls", "json"}
    label = said.pop("label", None)
    if not with_labels:
        return said, used
    if isinstance(label, list | dict):
        return {**said, "label": label}, used  # to be refused where all values are looked at
    label = _agreed_label(where, _word(label), texts.get("cls", "").strip())
    caption = texts.get("txt", "").strip()
    if not label and caption and "\n" not in caption:  # of several lines it is no label
        return {**said, "label": caption}, used | {"txt"}
    return {**said, "label": label or None}, used


def _agreed_label(where: str, by_object: str, by_class: str) -> str:
    if "\n" in by_class:
        raise BadData(f"{where}.cls has several lines; graft takes one label for each image")
    if by_object and by_class and by_object != by_class:
        raise BadData(
            f"{where}: .json gives the label {by_object!r}, .cls {by_class!r}; make the archive anew with one, "
            "or set ingest.labels_from to `folders` or `table`"
        )
    return by_object or by_class


def _object(where: str, text: str) -> dict[str, Any]:
    try:
        found = json_object(text)
    except ValueError as error:
        raise BadData(f"{where}.json is no JSON object ({error})") from None
    return {key: value for key, value in found.items() if key == "label" or not isinstance(value, list | dict)}


def _word(value: object) -> str:
    """A label as text: 3 and 3.0 are one."""
    if value is None:
        return ""
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip()
