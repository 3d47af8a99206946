"""A cache of rows by content, of bounded size: features and activations of frozen networks, for several processes.

A folder for each way of computing; in it shards, each named by the sha256 of its own bytes, written whole and never
edited. A damaged shard is noticed and removed. Whoever uses a folder holds a shared lock on it, which the system
frees however the process ends. Where a new shard does not fit, the shards of folders that nobody uses make room, the
longest unused folder first. A shard that is gone is no failure: its rows are computed anew.
"""

import errno
import fcntl
import os
import time
import weakref
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256 as sha256_new
from pathlib import Path
from shutil import disk_usage
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from tasks.contracts.files import replacing, sha256_of
from tasks.contracts.progress import say

FOLDER = "features"  # in the cache of a workspace
LIMIT_BYTES = 20 * 10**9  # or half of what the disk has left for it, where that is less
SHARD_ROWS, SHARD_BYTES = 1024, 64 * 2**20  # so much is lost at most when a run is killed
_SUFFIX = ".safetensors"
_STALE_S = 3600.0  # a part of a shard that was not touched for so long is a killed run's


@dataclass(frozen=True)
class Place:
    """Where a row lies."""

    shard: Path
    row: int


class RowCache:
    """One folder of the cache, in use (and so safe from eviction) for as long as this object lives."""

    def __init__(self, root: Path, key: str) -> None:
        self.root, self.folder = root, root / key
        handle = _shared(self.folder)
        self._release = weakref.finalize(self, os.close, handle)
        os.utime(handle)  # the time of the last use: eviction goes by it

    def close(self) -> None:
        """Let go of the folder: from now on it may be evicted."""
        self._release()

    def find(self, wanted: Iterable[str]) -> dict[str, Place]:
        """Where the rows with these keys (hex) lie; each shard that holds one is held against its hash."""
        left = set(wanted)
        found: dict[str, Place] = {}
        for shard in sorted(self.folder.glob(f"*{_SUFFIX}")):
            if not left:
                break
            held = {key: Place(shard, row) for row, key in enumerate(_keys(shard)) if key in left}
            if held and _is_whole(shard):
                found |= held
                left -= held.keys()
        return found

    def write(self, keys: Sequence[str], rows: Tensor) -> dict[str, Place]:
        """Keep `rows` (n, width) under their keys (hex, all of one length); empty where there is no room for them."""
        names = torch.frombuffer(bytearray.fromhex("".join(keys)), dtype=torch.uint8).view(len(keys), -1)
        content = save({"keys": names, "rows": rows.contiguous()})
        if not make_room(self.root, len(content)):
            return {}
        shard = self.folder / f"{sha256_new(content).hexdigest()}{_SUFFIX}"
        try:
            with replacing(shard) as part:
                part.write_bytes(content)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            return {}
        return {key: Place(shard, row) for row, key in enumerate(keys)}


class Writer:
    """Gathers rows into shards; `places` says where they are, `is_full` that no more of them fit."""

    def __init__(self, cache: RowCache) -> None:
        self.places: dict[str, Place] = {}
        self.is_full = False
        self._cache = cache
        self._keys: list[str] = []
        self._rows: list[Tensor] = []

    def add(self, keys: Sequence[str], rows: Tensor) -> None:
        """Take `rows` (n, width) with their keys; nothing where the cache is full."""
        if self.is_full:
            return
        self._keys += keys
        self._rows.append(rows)
        size = sum(one.numel() * one.element_size() for one in self._rows)
        if len(self._keys) >= SHARD_ROWS or size >= SHARD_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what was gathered."""
        if self._keys and not self.is_full:
            written = self._cache.write(self._keys, torch.cat(self._rows))
            self.places |= written
            self.is_full = not written
        self._keys, self._rows = [], []


def remembered(
    root: Path, key: str, names: Sequence[str], compute: Callable[[NDArray[np.int64]], NDArray[Any]]
) -> NDArray[Any]:
    """Rows (n, width) of the images `names` (content hashes): what is known is read, the rest computed and kept.

    `compute` gives the rows of some positions, at most SHARD_ROWS; `key` names all that decides them but the image.
    """
    cache = RowCache(root, sha256_new(key.encode()).hexdigest())
    writer, places = Writer(cache), cache.find(names)
    found = read_rows(list(places.values()))
    rows = {name: found[place].numpy() for name, place in places.items() if place in found}
    first = {name: i for i, name in reversed(list(enumerate(names)))}
    missing = np.array(sorted(i for name, i in first.items() if name not in rows), np.int64)
    for start in range(0, len(missing), SHARD_ROWS):
        at = missing[start : start + SHARD_ROWS]
        values, keys = compute(at), [names[i] for i in at]
        writer.add(keys, torch.from_numpy(values))
        rows |= zip(keys, values, strict=True)
    writer.flush()
    cache.close()
    return np.stack([rows[name] for name in names]) if len(names) else compute(missing)


def read_rows(places: Sequence[Place]) -> dict[Place, Tensor]:
    """The rows that are still there, in the type in which they were written.

    Only they are read, unless they are most of a shard: then one read is cheaper than one for each.
    """
    by_shard: dict[Path, list[Place]] = defaultdict(list)
    for place in places:
        by_shard[place.shard].append(place)
    found: dict[Place, Tensor] = {}
    for shard, held in by_shard.items():
        with suppress(FileNotFoundError), safe_open(shard, framework="pt") as file:
            rows = file.get_slice("rows")
            if 2 * len(held) > rows.get_shape()[0]:
                rows = file.get_tensor("rows")
            found |= {place: rows[place.row] for place in held}
    return found


def limit_of(root: Path) -> int:
    """How many bytes the cache at `root` may take: LIMIT_BYTES, or half of what is free or its own on that disk."""
    root.mkdir(parents=True, exist_ok=True)
    return min(LIMIT_BYTES, (disk_usage(root).free + sum(_sizes(root).values())) // 2)


def make_room(root: Path, size: int) -> bool:
    """Whether `size` more bytes fit; evicts what nobody uses for that, the longest unused folder first."""
    limit, sizes = limit_of(root), _sizes(root)
    excess = sum(sizes.values()) + size - limit
    if size > limit:
        return False
    for folder in sorted({shard.parent for shard in sizes}, key=_last_use):
        if excess <= 0:
            break
        with _exclusive(folder) as is_free:
            for shard in sorted(folder.glob(f"*{_SUFFIX}"), key=_last_use) if is_free else ():
                if excess > 0:
                    excess -= sizes.get(shard, 0)
                    shard.unlink(missing_ok=True)
    return excess <= 0


@contextmanager
def _exclusive(folder: Path) -> Iterator[bool]:
    """Whether nobody uses `folder`; nobody will, inside. Left empty, it is removed."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:  # another process evicted it
        yield False
        return
    used = os.fstat(handle)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
        _sweep(folder)
        os.utime(handle, (used.st_atime, used.st_mtime))  # eviction is no use
        with suppress(OSError):  # not empty, or gone
            folder.rmdir()
    except BlockingIOError:
        yield False
    finally:
        os.close(handle)


def _shared(folder: Path) -> int:
    """A handle on `folder`, made where it is not there, with a lock that keeps eviction away."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            continue
        fcntl.flock(handle, fcntl.LOCK_SH)
        if folder.exists() and os.fstat(handle).st_ino == folder.stat().st_ino:
            return handle
        os.close(handle)  # it was removed between the two


def _sweep(folder: Path) -> None:
    for part in folder.glob(".*.part"):
        if time.time() - _last_use(part) > _STALE_S:
            part.unlink(missing_ok=True)


def _sizes(root: Path) -> dict[Path, int]:
    sizes = {}
    for shard in root.glob(f"*/*{_SUFFIX}"):
        with suppress(FileNotFoundError):
            sizes[shard] = shard.stat().st_size
    return sizes


def _last_use(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _keys(shard: Path) -> list[str]:
    """The keys that a shard says it holds; one that cannot be read is removed."""
    try:
        with safe_open(shard, framework="pt") as file:
            return [bytes(key).hex() for key in file.get_tensor("keys").numpy()]
    except FileNotFoundError:
        return []
    except (SafetensorError, OSError):
        _remove_damaged(shard)
        return []


def _is_whole(shard: Path) -> bool:
    try:
        is_whole = sha256_of(shard) == shard.stem
    except FileNotFoundError:  # another process found it damaged
        return False
    if not is_whole:
        _remove_damaged(shard)
    return is_whole


def _remove_damaged(shard: Path) -> None:
    say(f"{shard} is damaged and computed anew")
    shard.unlink(missing_ok=True)
