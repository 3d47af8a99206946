"""What the last scan found of each file, so that an unchanged file is not read again.

A file is unchanged while its size, its times of modification and of change, and its inode are. A file that changed at
the very moment of the scan could keep all of these: it is read again. Several places share an index, as a workspace and
the worktrees of its unattended runs do, and each keeps its rows. A read-only hard link, which is how DVC brings files
to a worktree, is known wherever it lies. Every further link to it sets its time of change, so that does not count.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from tasks.contracts.errors import BrokenArtifact
from tasks.contracts.files import read_table, write_table
from tasks.contracts.images import PIXELS_VERSION
from tasks.contracts.prepared import Store

STAMP = ("root", "size", "mtime_ns", "ctime_ns", "inode")
_ANYWHERE = ""  # the root of links
_WRITABLE = 0o222
_KEY = ("path", "offset", *STAMP)
_SAME_MOMENT_NS = 50_000_000  # longer than the ticks of a file system's clock
_FLEETING = ("unreadable", "missing_file", "not_a_file", "changed_while_read")  # may be other the next time


@dataclass(frozen=True)
class Known:
    """The rows of the last scans that were made with the same caps, one of each place."""

    root: str
    caps: str
    rows: pd.DataFrame | None
    by_content: dict[str, int]  # sha256 -> a row that has pixels
    started_ns: int

    @classmethod
    def read(cls, index: Path, root: Path, max_megapixels: float, max_megabytes: float) -> "Known":
        """What is known for these caps, to a scan of `root`; a broken index knows nothing, and is made anew."""
        caps = f"{PIXELS_VERSION} {max_megapixels:g} {max_megabytes:g}"
        started = time.time_ns()
        try:
            rows = read_table(index)
        except BrokenArtifact:
            return cls(str(root), caps, None, {}, started)
        if not {*_KEY} <= {*rows.columns}:  # of an earlier graft
            return cls(str(root), caps, None, {}, started)
        rows = rows[rows.pop("caps") == caps].reset_index(drop=True)
        with_pixels = rows["sha256"][rows["pixels_crc32"].notna()]
        return cls(str(root), caps, rows, dict(zip(with_pixels, with_pixels.index, strict=True)), started)

    def rows_of(self, stamped: pd.DataFrame, store: Store) -> pd.DataFrame:
        """The known row of each stamped file, all null where it must be read; index as that of `stamped`."""
        if self.rows is None:
            return pd.DataFrame({"path": pd.Series(None, index=stamped.index, dtype="str")})
        found = stamped.merge(self.rows.assign(known=True), on=list(_KEY), how="left").set_index(stamped.index)
        there = (store.rows(found["sha256"]) >= 0) & (found["prepared_px"] == store.side_px)
        return found.where(found.pop("known").notna() & (there | found["pixels_crc32"].isna()))

    def contents(self, store: Store) -> frozenset[str]:
        """The hashes of the contents that need not be decoded: their row is known and their pixels are there."""
        if self.rows is None:
            return frozenset()
        same_side = (self.rows["prepared_px"] == store.side_px).to_numpy(dtype=bool, na_value=False)
        return frozenset(key for key, row in self.by_content.items() if same_side[row] and store.has(key))

    def row_of_content(self, sha256: str) -> dict[str, Any]:
        """What is known of these bytes, one of `contents`, under whatever name."""
        if self.rows is None:
            raise KeyError(sha256)
        before = self.rows.iloc[self.by_content[sha256]]
        return {str(name): value for name, value in before.items() if name not in _KEY}

    def write(self, index: Path, stamped: pd.DataFrame, rows: pd.DataFrame) -> None:
        """Keep `rows` for the next scan, but for those whose file may still have been changing."""
        settled = stamped["ctime_ns"] < self.started_ns - _SAME_MOMENT_NS
        settled &= ~rows["reason"].reindex(stamped.index).isin(_FLEETING)
        kept = stamped[settled]
        here = pd.concat([kept, rows.loc[kept.index]], axis="columns")
        write_table(index, pd.concat([here, self._elsewhere(here)], ignore_index=True).assign(caps=self.caps))

    def _elsewhere(self, here: pd.DataFrame) -> pd.DataFrame | None:
        """The known rows of other places that are still there, and of links elsewhere to contents met `here`."""
        if self.rows is None:
            return None
        places = {root for root in self.rows["root"].unique() if root not in (_ANYWHERE, self.root)}
        links = self.rows["root"] == _ANYWHERE
        links &= self.rows["sha256"].isin(here["sha256"].dropna())
        links &= ~_places(self.rows).isin(_places(here[here["root"] == _ANYWHERE]))
        return self.rows[links | self.rows["root"].isin([root for root in places if Path(root).is_dir()])]


def stamps(root: Path, rows: pd.DataFrame) -> pd.DataFrame:
    """`path`, `offset` and STAMP of the file that holds each row; zeros where there is none."""
    files = rows["archive"].fillna(rows["path"])
    found = {file: _stamp(str(root), file) for file in files.unique()}
    table = pd.DataFrame([found[file] for file in files], columns=list(STAMP), index=rows.index)
    table = table.astype(dict.fromkeys(STAMP, "int64") | {"root": "str"})
    table.insert(0, "path", rows["path"])
    table.insert(1, "offset", rows["offset"].fillna(0).astype("int64"))
    return table


def _stamp(root: str, file: str) -> tuple[str, int, int, int, int]:
    try:
        found = os.stat(f"{root}/{file}")  # noqa: PTH116 - a Path for each of a million files takes longer than the call
    except OSError:
        return root, 0, 0, 0, 0
    if found.st_nlink > 1 and not found.st_mode & _WRITABLE:
        return _ANYWHERE, found.st_size, found.st_mtime_ns, 0, found.st_ino
    return root, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino


def _places(rows: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(rows[["path", "offset"]])
