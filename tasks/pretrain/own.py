"""A large set of one's own as the source of pre-training: read, deduplicated, and freed of what is held out."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.contracts.errors import BadData, BadUsage
from tasks.contracts.files import read_table, write_table
from tasks.contracts.images import decoder_warnings_off
from tasks.contracts.params import Limits
from tasks.contracts.prepared import Pixels, Records, Store, open_checked
from tasks.contracts.progress import doing, say
from tasks.contracts.raw import places
from tasks.contracts.samples import class_order, usable
from tasks.contracts.workspace import Workspace
from tasks.ingest.folders import Found, folder_labels, list_files, unpacked
from tasks.ingest.sources import listed
from tasks.quality.near import near_others
from tasks.quality.reading import Caps
from tasks.quality.scan import prepared_side, scan
from tasks.train.data import Samples

LEAST_IMAGES, LEAST_OF_CLASS = 200, 10
_VAL_ONE_IN, _MOST_VAL = 20, 2_048
_TABLE, _PIXELS = "own.parquet", "pixels"
_HELD_OUT = ("val", "promotion", "test")


@dataclass(frozen=True)
class OwnSet:
    """What is learned from, and its classes: none where nothing is labelled.

    `sha256` is of the content hashes and labels of all its images; `held_out` images of the workspace were kept out.
    """

    train: Samples
    val: Samples
    pixels: Pixels
    classes: tuple[str, ...]
    sha256: str
    held_out: int


def read_own(ws: Workspace, root: Path, into: Path, most_px: int, *, labelled: bool) -> None:
    """Read every image below `root` once, and write into the folder `into` what `open_own` needs.

    A label is the name of the top folder. Copies are taken once, and what looks like an image that the workspace holds
    out for val, promotion or test is left out, so that nothing is tested on what was seen before.
    Raises BadUsage (no folder, or images of the workspace that have no splits yet), BadData (too few images or classes,
    or `data/raw` no longer holds what was checked).
    """
    if not root.is_dir():
        raise BadUsage(f"{root} is no folder; --data takes a folder of images or archives")
    held = _held_out(ws)
    store, table = _scanned(root, into / _PIXELS, most_px, labelled=labelled)
    read = table[table["reasons"].str.len() == 0]
    named = read[read["label"].notna()]
    kept, left_out = _judged(named, held, (store, _store_of(ws, held)))
    left_out = {"could not be read": len(table) - len(read), "no label": len(read) - len(named), **left_out}
    for why, count in left_out.items():
        if count:
            say(f"{root}: {count:,} images left out: {why}")
    if labelled:
        kept = _of_large_classes(kept, root)
    if len(kept) < LEAST_IMAGES:
        raise BadData(f"{root} has {len(kept)} images to learn from; pre-training needs {LEAST_IMAGES} or more")
    write_table(into / _TABLE, kept[["sha256", "label", "path", "prepared_px"]].assign(held_out=len(held)))


def open_own(folder: Path) -> OwnSet:
    """The set that `read_own` wrote into `folder`."""
    kept = read_table(folder / _TABLE)
    return _set(kept, Store(folder / _PIXELS, int(kept["prepared_px"].iloc[0])))


def _scanned(root: Path, folder: Path, most_px: int, *, labelled: bool) -> tuple[Store, pd.DataFrame]:
    """The pixels of all that could be read, and a row for every file with its label and what is wrong with it."""
    files = list(list_files(root).files)
    manifest = listed(files).assign(label=_labels(files, labelled=labelled))
    with decoder_warnings_off():
        side_px = prepared_side(root, places(manifest), most_px)
    store, limits = Store(folder, side_px), Limits()
    caps = Caps(side_px, limits.max_megapixels, limits.max_megabytes)
    return store, scan(root, manifest, caps, store, folder / "scan.parquet").table


def _labels(files: list[Found], *, labelled: bool) -> pd.Series:
    paths = [unpacked(file.path, file.archive) for file in files]
    found = [label for label, _ in folder_labels(paths)] if labelled else [""] * len(paths)
    return pd.Series(found, dtype="str")


def _judged(read: pd.DataFrame, held: pd.DataFrame, stores: tuple[Store, Store]) -> tuple[pd.DataFrame, dict[str, int]]:
    """Each content once, under one label, and nothing that is held out."""
    by_content = read.groupby("sha256")["label"]
    clear = read[by_content.transform("nunique") <= 1]
    once = clear.drop_duplicates("sha256").sort_values("sha256", ignore_index=True)
    apart = once[~_seen(once, held, stores)]
    return apart, {
        "the same image has several labels": len(read) - len(clear),
        "copies": len(clear) - len(once),
        "like an image that is held out for val, promotion or test": len(once) - len(apart),
    }


def _held_out(ws: Workspace) -> pd.DataFrame:
    """The images that the workspace holds out, whose pixels are in its cache then.

    Raises BadUsage where it has images and no splits yet, and what `open_checked` raises.
    """
    if ws.checked.is_file():
        checked, _ = open_checked(ws)
        return usable(checked[checked["split"].isin(_HELD_OUT)])
    if ws.raw.is_dir() and any(path.is_file() for path in ws.raw.rglob("*")):
        raise BadUsage(
            f"{ws.raw} has images and no splits yet; `graft audit` first, so that what is tested on stays unseen"
        )
    say("this workspace has no images yet, so none are kept out of the source")
    return pd.DataFrame({"sha256": pd.Series(dtype="str")})


def _store_of(ws: Workspace, held: pd.DataFrame) -> Store:
    return Store(ws.prepared, int(held["prepared_px"].max()) if len(held) else 1)


def _seen(source: pd.DataFrame, held: pd.DataFrame, stores: tuple[Store, Store]) -> NDArray[np.bool_]:
    """Which images are, or look like, one that is held out."""
    found = source["sha256"].isin(set(held["sha256"])).to_numpy(bool, copy=True)
    if held.empty or source.empty:
        return found
    with doing(f"comparing {len(source):,} images with {len(held):,} that are held out"):
        first, second = (store.thumbnails(of["sha256"]) for store, of in zip(stores, (source, held), strict=True))
        found[near_others(_Joined(first, second), len(source))] = True
    return found


@dataclass(frozen=True)
class _Joined:
    """Two sets of thumbnails as one, read in pieces."""

    first: Records
    second: Records

    def __len__(self) -> int:
        return len(self.first) + len(self.second)

    def __getitem__(self, rows: NDArray[np.int64] | slice) -> NDArray[np.uint8]:
        chosen = np.arange(len(self))[rows]
        out = np.empty((len(chosen), *self.first.one), np.uint8)
        is_first = chosen < len(self.first)
        out[is_first] = self.first[chosen[is_first]]
        out[~is_first] = self.second[chosen[~is_first] - len(self.first)]
        return out


def _of_large_classes(kept: pd.DataFrame, root: Path) -> pd.DataFrame:
    sizes = kept["label"].value_counts()
    large = sizes.index[sizes >= LEAST_OF_CLASS]
    if len(large) < 2:
        raise BadData(
            f"{root} has {len(large)} folders with {LEAST_OF_CLASS} images or more; put a folder for each class there, "
            "or give --unlabelled"
        )
    return kept[kept["label"].isin(set(large))].reset_index(drop=True)


def _set(kept: pd.DataFrame, store: Store) -> OwnSet:
    names = class_order(kept["label"].unique())
    index = {name: i for i, name in enumerate(names)}
    targets = np.array([index[label] for label in kept["label"]], np.int64)
    rows, hashes = store.rows(kept["sha256"]).to_numpy(np.int64), kept["sha256"].to_numpy(object)
    is_val = np.array([int(sha256[:8], 16) % _VAL_ONE_IN == 0 for sha256 in hashes])
    is_val[np.flatnonzero(is_val)[_MOST_VAL:]] = False

    def part(which: NDArray[np.bool_]) -> Samples:
        ours = targets[which]
        paths = tuple(kept["path"][which])
        return Samples(rows[which], ours, np.ones(len(ours), np.float32), tuple(hashes[which]), ours, paths)

    digest = hashlib.sha256("".join(kept["sha256"] + " " + kept["label"] + "\n").encode()).hexdigest()
    return OwnSet(
        part(~is_val),
        part(is_val),
        store.pixels(),
        names if len(names) > 1 else (),
        digest,
        int(kept["held_out"].iloc[0]),
    )
