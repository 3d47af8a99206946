"""Rows of a frozen network, computed once for each image: a cache by content, so that cost follows what changed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.backbone.cache import FOLDER, Place, RowCache, Writer, limit_of, read_rows
from tasks.backbone.network import Backbone
from tasks.backbone.rows import BATCH as BATCH
from tasks.backbone.rows import Floats, PixelSource, View, Work
from tasks.backbone.rows import best_device as best_device
from tasks.backbone.split import Trunk
from tasks.contracts.model_records import BackboneRef
from tasks.contracts.prepared import Pixels
from tasks.contracts.progress import say


class Rows:
    """Some rows of the prepared pixels, read from disk only when they are asked for."""

    def __init__(self, pixels: Pixels, rows: NDArray[np.int64]) -> None:
        self._pixels, self._rows = pixels, rows

    @property
    def shape(self) -> tuple[int, ...]:
        """(images, side in px, side, 3)."""
        return (len(self._rows), *self._pixels.shape[1:])

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, chosen: Any, /) -> Pixels:
        """The images at these positions among the rows."""
        images: Pixels = self._pixels[self._rows[chosen]]
        return images


class CachedRows:
    """Rows of images, (n, width): read from the cache when they are asked for, or computed where it lacks them.

    For as long as this lives, no other process evicts them; if they go nevertheless, they are computed anew.
    """

    def __init__(self, work: Work, cache: RowCache, places: dict[str, Place]) -> None:
        self._work, self._cache, self._places = work, cache, places

    @property
    def shape(self) -> tuple[int, int]:
        """(images, numbers in a row)."""
        return (len(self._work.keys), self._work.width)

    def __len__(self) -> int:
        return len(self._work.keys)

    def __getitem__(self, positions: NDArray[np.int64] | list[int] | slice) -> Floats:
        """The rows of these images, (positions, width), float32."""
        chosen = np.arange(len(self))[positions]
        at = [self._places.get(self._work.keys[i]) for i in chosen]
        found = read_rows([place for place in at if place])
        self._forget({self._work.keys[i] for i, place in zip(chosen, at, strict=True) if place and place not in found})
        rows = np.empty((len(chosen), self._work.width), np.float32)
        for out, place in zip(rows, at, strict=True):
            if place in found:
                out[:] = found[place].float().numpy()
        missing = np.array([i for i, place in enumerate(at) if place not in found], np.int64)
        if len(missing):
            rows[missing] = self._work.one_by_one(chosen[missing])
        return rows

    def _forget(self, keys: set[str]) -> None:
        if keys:
            say(f"{len(keys):,} rows of {self._work.ref.name} are gone from the cache and computed anew")
        for key in keys:
            self._places.pop(key, None)  # another thread may have noticed too


def cached_rows(  # noqa: PLR0913
    source: Backbone | Trunk,
    ref: BackboneRef,
    pixels: PixelSource,
    sha256s: Sequence[str],
    cache: Path,
    view: View | None = None,
) -> CachedRows:
    """The rows that `source` gives of `pixels` (n, side, side, 3), uint8, with their content hashes.

    What `cache` holds already is read, the rest is computed and added; what does not fit is said, and computed anew
    each time. The source must not change meanwhile. Raises BrokenArtifact where rows are NaN or infinite.
    """
    work = Work(source, ref, pixels, sha256s, view)
    store = RowCache(cache / FOLDER, work.folder_key())
    writer = Writer(store)
    writer.places |= store.find(work.keys)
    missing = work.missing(writer.places)
    for batch, values in work.compute(missing):
        writer.add([work.keys[i] for i in batch], values)
        if writer.is_full:
            break
    writer.flush()
    if writer.is_full:
        wanted = set(work.keys)
        _say_full(store, f"{len(wanted - writer.places.keys()):,} of {len(wanted):,} rows of {ref.name}")
    return CachedRows(work, store, writer.places)


def cached_features(  # noqa: PLR0913
    backbone: Backbone,
    ref: BackboneRef,
    pixels: PixelSource,
    sha256s: Sequence[str],
    cache: Path,
    *,
    is_precise: bool = False,
) -> Floats:
    """Features (n, `backbone.features`), float32, of `pixels` (n, side, side, 3), uint8, with their content hashes.

    As `cached_rows`, but all in memory. The backbone is given back on CPU; `is_precise` as in `Work`.
    Raises BrokenArtifact where features are NaN or infinite.
    """
    work = Work(backbone, ref, pixels, sha256s, None, is_precise)
    store = RowCache(cache / FOLDER, work.folder_key())
    writer = Writer(store)
    rows = np.empty((len(sha256s), backbone.features), np.float32)
    places = store.find(work.keys)
    found = read_rows(list(places.values()))
    of_key = {key: found[place].numpy() for key, place in places.items() if place in found}
    missing = work.missing(of_key)
    for batch, values in work.compute(missing):
        keys = [work.keys[i] for i in batch]
        writer.add(keys, values)
        of_key |= zip(keys, values.numpy(), strict=True)
    writer.flush()
    if writer.is_full:
        _say_full(store, f"{len(missing) - len(writer.places):,} rows of {ref.name}")
    store.close()
    for out, key in zip(rows, work.keys, strict=True):
        out[:] = of_key[key]
    return rows


def compute_features(backbone: Backbone, ref: BackboneRef, pixels: PixelSource, *, is_precise: bool = False) -> Floats:
    """The same features without a cache, to the last bit."""
    rows = np.empty((len(pixels), backbone.features), np.float32)
    for batch, values in Work(backbone, ref, pixels, (), None, is_precise).compute(np.arange(len(pixels))):
        rows[batch] = values.numpy()
    return rows


def _say_full(store: RowCache, what: str) -> None:
    limit = limit_of(store.root) / 1e9
    say(f"the cache has no room for {what} (limit {limit:.3g} GB); they are computed anew each time")
