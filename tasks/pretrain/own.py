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
from tasks.contracts.prepared import Pixels, Records, Store
from tasks.contracts.progress import doing, say
from tasks.contracts.raw import places
from tasks.contracts.samples import class_order, usable
from tasks.contracts.workspace import Workspace
from tasks.ingest.folders import Found, folder_labels, list_files, unpacked
from tasks.ingest.sources import listed
from tasks.quality.near import find_near
from tasks.quality.reading import Caps
from tasks.quality.scan import prepared_side, scan
from tasks.train.data import Samples

LEAST_IMAGES, LEAST_OF_CLASS = 200, 10
_VAL_ONE_IN, _MOST_VAL = 20, 2_048
_TABLE = "own.parquet"
_HELD_OUT = ("val", "promotion", "test")


@dataclass(frozen=True)
class OwnSet:
    """What is learned from, and its classes: none where nothing is labelled.

    `sha256` is of the content hashes and labels of all its images.
    """

    train: Samples
    val: Samples
    pixels: Pixels
    classes: tuple[str, ...]
    sha256: str


def read_own(ws: Workspace, root: Path, into: Path, most_px: int, *, labelled: bool) -> None:
    """Read every image below `root` once, and write into the folder `into` what `open_own` needs.

    A label is the name of the top folder. Copies are taken once, and what looks like an image that the workspace holds
    out for val, promotion or test is left out, so that nothing is tested on what was seen before.
    Raises BadUsage (no folder) and BadData (too few images or classes).
    """
    if not root.is_dir():
        raise BadUsage(f"{root} is no folder; --data takes a folder of images or archives")
    folder = into / "pixels"
    files = list(list_files(root).files)
    manifest = listed(files).assign(label=_labels(files, labelled=labelled))
    with decoder_warnings_off():
        side_px = prepared_side(root, places(manifest), most_px)
    store, limits = Store(folder, side_px), Limits()
    caps = Caps(side_px, limits.max_megapixels, limits.max_megabytes)
    table = scan(root, manifest, caps, store, folder / "scan.parquet").table
    read = table[table["reasons"].str.len() == 0]
    kept, left_out = _judged(ws, read, store)
    left_out = {"could not be read": len(table) - len(read), **left_out}
    for why, count in left_out.items():
        if count:
            say(f"{root}: {count:,} images left out: {why}")
    if labelled:
        kept = _of_large_classes(kept, root)
    if len(kept) < LEAST_IMAGES:
        raise BadData(f"{root} has {len(kept)} images to learn from; pre-training needs {LEAST_IMAGES} or more")
    kept = kept.assign(label=kept["label"].fillna(""))
    write_table(into / _TABLE, kept[["sha256", "label", "path", "prepared_px"]])


def open_own(folder: Path) -> OwnSet:
    """The set that `read_own` wrote into `folder`."""
    kept = read_table(folder / _TABLE)
    return _set(kept, Store(folder / "pixels", int(kept["prepared_px"].iloc[0])))


def _labels(files: list[Found], *, labelled: bool) -> pd.Series:
    paths = [unpacked(file.path, file.archive) for file in files]
    found = [label for label, _ in folder_labels(paths)] if labelled else [""] * len(paths)
    return pd.Series(found, dtype="str")


def _judged(ws: Workspace, read: pd.DataFrame, store: Store) -> tuple[pd.DataFrame, dict[str, int]]:
    """Each content once, under one label, and nothing that is held out."""
    by_content = read.groupby("sha256")["label"]
    clear = read[by_content.transform("nunique") <= 1]
    once = clear.drop_duplicates("sha256").sort_values("sha256", ignore_index=True)
    apart = once[~_seen(ws, once, store)]
    return apart, {
        "the same image has several labels": len(read) - len(clear),
        "copies": len(clear) - len(once),
        "like an image that is held out for val, promotion or test": len(once) - len(apart),
    }


def _seen(ws: Workspace, source: pd.DataFrame, store: Store) -> NDArray[np.bool_]:
    """Which images are, or look like, one that the workspace holds out."""
    found = np.zeros(len(source), bool)
    if not ws.checked.is_file():
        say("this workspace has no splits yet, so none of its images are kept out of the source")
        return found
    checked = usable(read_table(ws.checked))
    held = checked[checked["split"].isin(_HELD_OUT)]
    own = Store(ws.prepared, int(held["prepared_px"].iloc[0])) if len(held) else None
    held = held[[own is not None and own.has(sha256) for sha256 in held["sha256"]]]
    if own is None or held.empty:
        return found
    with doing(f"comparing {len(source):,} images with {len(held):,} that are held out"):
        both = _Joined(store.thumbnails(source["sha256"]), own.thumbnails(held["sha256"]))
        pairs = find_near(both)
        across = pairs[(pairs["a"] < len(source)) & (pairs["b"] >= len(source))]
    found[across["a"].to_numpy()] = True
    return found | source["sha256"].isin(set(held["sha256"])).to_numpy()


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
    labelled = kept[kept["label"].notna()]
    sizes = labelled["label"].value_counts()
    large = sizes.index[sizes >= LEAST_OF_CLASS]
    if len(large) < 2:
        raise BadData(
            f"{root} has {len(large)} folders with {LEAST_OF_CLASS} images or more; put a folder for each class there, "
            "or give --unlabelled"
        )
    return labelled[labelled["label"].isin(set(large))].reset_index(drop=True)


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
    return OwnSet(part(~is_val), part(is_val), store.pixels(), names if len(names) > 1 else (), digest)
