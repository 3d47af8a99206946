"""Near-duplicates: found by perceptual hashes, believed only after the pixels were laid over each other.

A copy may be re-encoded, resized, lighter or darker, mirrored, turned by quarters, or slightly cropped: up to about
a tenth at each side. Flat pictures resemble nothing.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import cv2
import faiss
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from tasks.quality.overlaid import Key, Overlaid, Verdict
from tasks.quality.overlay import DETAILED, compare, detailed
from tasks.quality.views import BITS, SIDE_PX, Codes, Floats, View, hashes, views

Rows = NDArray[np.int64]
Pair = tuple[int, int, str, float]

_BLOCK = 1024  # thumbnails in memory at once
_LOOKED_AT_ONCE = 64
_COMPARED_AT_ONCE = 32
_DETAIL_BYTES = 4  # a float32
_FLAT_LEVELS = 4.0  # standard deviation below which a picture has nothing to compare
_RADIUS_BITS = 66  # the farthest of the planted copies lay at 67, most below 40
_PLAIN_BITS = 24  # the same, of two with little detail
_LOOKED_AT = 10
_NEIGHBOURS = _LOOKED_AT + 6  # in each view: itself, and room where several lie equally far
_COPIES, _SMALL_PART = (12, 50), 0.025  # so many of one picture at least and at most, and so large a share of all
_CROWD, _DENSE, _ALMOST_EQUAL = 6, 0.5, 0.99  # pictures, share of pairs, similarity
_CANDIDATE = ["a", "b", "view", "bits"]
_EXHAUSTIVE = 16_384  # pictures up to which every hash is compared with every other
_CELLS_PER_ROOT, _CELLS_SEARCHED = 2, 32
_SPREAD, _FOLD = np.uint64(0x9E3779B97F4A7C15), np.uint64(29)  # of a multiplicative hash (Knuth, 1973, section 6.4)
_QUERIES = 20_000  # pictures that are searched for at once


class Thumbnails(Protocol):
    """(n, 64, 64, 3) uint8, RGB, read by slices and by index arrays."""

    def __len__(self) -> int: ...
    def __getitem__(self, rows: Rows | slice) -> NDArray[np.uint8]: ...


def find_near(thumbnails: Thumbnails, overlaid: Overlaid | None = None) -> pd.DataFrame:
    """Pairs of near-duplicates: positions `a` < `b`, `kind` and `similarity` (of the pixels, 0 to 1), sorted.

    `overlaid` knows verdicts on pairs of these pictures, and learns those that are new.
    `kind` is `near`, `cropped`, `mirrored` or `rotated`. Where more than a small part of the set resembles one picture
    only those are listed that are in place and almost equal.
    """
    overlaid = overlaid or Overlaid()
    looks = _looks(thumbnails, overlaid)
    if len(looks.rows) < 2:
        return _table([])
    pairs = list(_believed(thumbnails, looks, candidates(looks.codes), overlaid))
    pairs += _believed(thumbnails, looks, _siblings(looks, pairs), overlaid)
    return _table(_without_likenesses(len(thumbnails), pairs))


def near_others(thumbnails: Thumbnails, count: int) -> Rows:
    """Which of the first `count` pictures are copies of one of those behind them, however many are.

    Each asks for its nearest among the others, so that no crowd of copies hides one, and likeness counts as copying.
    """
    looks = _looks(thumbnails, Overlaid())
    border = int(np.searchsorted(looks.rows, count))
    if not 0 < border < len(looks.rows):
        return np.empty(0, np.int64)
    index, asking = index_of(np.ascontiguousarray(looks.codes[0, border:])), looks.codes[:, :border]
    found = pd.concat([_of_block(index, asking, start, border) for start in range(0, border, _QUERIES)])
    return np.unique([pair[0] for pair in _believed(thumbnails, looks, _once(found), Overlaid())]).astype(np.int64)


def _without_likenesses(count: int, pairs: list[Pair]) -> list[Pair]:
    """Drop the doubtful pairs of a component that is large, or in which few resemble each other directly.

    Copies of one picture nearly all resemble each other, and are a small part of a set. Where each resembles only its
    next, as drawings of a shape at other places do, or where very many do, as what one camera sees from one place, it
    is likeness, not copying: only pairs in place and almost equal stand.
    """
    component = _components(count, pairs)
    size = np.bincount(component, minlength=count)
    links = np.bincount([component[pair[0]] for pair in pairs], minlength=count)
    loose = (size > _most_copies(count)) | ((size >= _CROWD) & (2 * links < _DENSE * size * (size - 1)))
    return [pair for pair in pairs if not loose[component[pair[0]]] or (pair[2] == "near" and pair[3] > _ALMOST_EQUAL)]


def _most_copies(pictures: int) -> int:
    """Of one picture; a cluster of more is a likeness."""
    least, most = _COPIES
    return min(most, max(least, int(_SMALL_PART * pictures)))


def _table(pairs: list[Pair]) -> pd.DataFrame:
    table = pd.DataFrame(pairs, columns=["a", "b", "kind", "similarity"])
    table = table.astype({"a": "int64", "b": "int64", "kind": "str", "similarity": "float64"})
    return table.sort_values(["a", "b"], ignore_index=True)


def index_of(codes: Codes) -> "faiss.IndexBinary":
    """What finds the nearest of `codes` (n, BITS / 8).

    Exact up to _EXHAUSTIVE. Beyond, 1.4 to 2 times sqrt(n) cells lie about some of the codes, and the nearest cells are
    looked into. Cells about the means of clusters find no more, and take minutes to learn. How many there are changes
    in steps, and the codes are drawn by a hash, so that few cells change, and few neighbours, as pictures are added.
    """
    flat = faiss.IndexBinaryFlat(BITS)
    if len(codes) <= _EXHAUSTIVE:
        flat.add(codes)
        return flat
    distinct = np.unique(codes, axis=0)
    step = 2 ** int(np.log2(len(codes)))
    flat.add(distinct[np.argsort(_drawn(distinct), kind="stable")[: int(_CELLS_PER_ROOT * step**0.5)]])
    flat.use_heap = False  # type: ignore[attr-defined]  # counting is faster where codes are few
    cells = faiss.IndexBinaryIVF(flat, BITS, flat.ntotal)  # which keeps `flat` alive
    cells.is_trained, cells.nprobe = True, _CELLS_SEARCHED
    cells.add(codes)
    return cells


def _drawn(codes: Codes) -> NDArray[np.uint64]:
    """A number (n,) for each of `codes` (n, BITS / 8) that says nothing of what the picture looks like."""
    number = np.zeros(len(codes), np.uint64)
    for word in np.ascontiguousarray(codes).view(np.uint64).T:
        number = (number ^ word) * _SPREAD
        number ^= number >> _FOLD
    return number


@dataclass(frozen=True)
class _Looks:
    """What is compared of the pictures that are not flat: the positions of these, their hashes, their detail."""

    rows: Rows
    codes: Codes  # (views, rows, BITS / 8)
    detail: Floats  # the share of each picture that has any


def _looks(thumbnails: Thumbnails, overlaid: Overlaid) -> _Looks:
    found = overlaid.looks(len(thumbnails), lambda at: _looked_at(thumbnails, at))
    detail = found[:, :_DETAIL_BYTES].copy().view(np.float32)[:, 0]
    uneven = np.flatnonzero(detail >= 0)
    codes = found[uneven, _DETAIL_BYTES:].reshape(len(uneven), len(views()), BITS // 8)
    return _Looks(uneven, np.ascontiguousarray(codes.transpose(1, 0, 2)), detail[uneven])


def _looked_at(thumbnails: Thumbnails, at: Rows) -> NDArray[np.uint8]:
    """As bytes, a row each: the detail of these pictures, -1 of flat ones, and their hashes.

    Each block is filled up, so that no hash depends on the other pictures.
    """
    out = np.empty((len(at), _DETAIL_BYTES + len(views()) * BITS // 8), np.uint8)
    for start in range(0, len(at), _LOOKED_AT_ONCE):
        some = at[start : start + _LOOKED_AT_ONCE]
        grey = _grey(thumbnails[np.resize(some, _LOOKED_AT_ONCE)])
        with threadpool_limits(1, "blas"):  # threads only wait for each other in products so small
            codes = hashes(grey).transpose(1, 0, 2).reshape(len(grey), -1)
        is_flat = grey.std(axis=(1, 2)) <= _FLAT_LEVELS
        detail = [
            -1.0 if flat else detailed(picture) for picture, flat in zip(grey[: len(some)], is_flat, strict=False)
        ]
        own = out[start : start + _LOOKED_AT_ONCE]
        own[:, :_DETAIL_BYTES] = np.array(detail, np.float32)[:, None].view(np.uint8)
        own[:, _DETAIL_BYTES:] = codes[: len(some)]
    return out


def _grey(pictures: NDArray[np.uint8]) -> Floats:
    tall = pictures.reshape(-1, SIDE_PX, 3)  # one call for all of them
    return np.asarray(cv2.cvtColor(tall, cv2.COLOR_RGB2GRAY), np.float32).reshape(-1, SIDE_PX, SIDE_PX)


def candidates(codes: Codes) -> pd.DataFrame:
    """The pairs within the radius that are among the nearest of either: of each picture the _LOOKED_AT nearest.

    `codes` are (views, n, BITS / 8). `a` is looked at in `view`, `b` as it is; `bits` lie between; `low` and `high` are
    the lesser and the larger of the two. Memory is a block's and what is found.
    """
    index, before = index_of(codes[0]), faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(len(os.sched_getaffinity(0)))
    try:
        parts = [_of_block(index, codes, start) for start in range(0, codes.shape[1], _QUERIES)]
    finally:
        faiss.omp_set_num_threads(before)
    return _once(pd.concat(parts))


def _of_block(index: "faiss.IndexBinary", codes: Codes, start: int, first: int = 0) -> pd.DataFrame:
    """Of a block from `start` on; what the index holds are the pictures from `first` on."""
    parts = []
    for number, queries in enumerate(codes[:, start : start + _QUERIES]):
        distances, positions = index.search(np.ascontiguousarray(queries), min(_NEIGHBOURS, index.ntotal))
        itself = positions + first == start + np.arange(len(queries))[:, None]
        a, place = np.nonzero((distances <= _RADIUS_BITS) & (positions >= 0) & ~itself)
        parts.append(np.stack([start + a, first + positions[a, place], np.full(len(a), number), distances[a, place]]))
    found = pd.DataFrame(np.concatenate(parts, axis=1).T, columns=_CANDIDATE)
    found = found.sort_values(["a", "bits", "b", "view"]).drop_duplicates(["a", "b"])
    return found[found.groupby("a").cumcount() < _LOOKED_AT]


def _siblings(looks: _Looks, pairs: list[Pair]) -> pd.DataFrame:
    """All further pairs within a component, however far apart: two copies may have lost different parts."""
    rows, codes = looks.rows, looks.codes
    together = pd.Series(_components(int(rows[-1]) + 1, pairs)[rows])
    members = [np.asarray(own) for own in together.groupby(together).indices.values()]
    parts = [_all_pairs(codes, own) for own in members if 2 < len(own) <= _most_copies(len(rows))]
    found = _once(pd.concat([pd.DataFrame(columns=_CANDIDATE, dtype="int64"), *parts]))
    known = pd.MultiIndex.from_tuples([pair[:2] for pair in pairs], names=["low", "high"])
    return found[~pd.MultiIndex.from_arrays([rows[found["low"]], rows[found["high"]]]).isin(known)]


def _all_pairs(codes: Codes, own: Rows) -> pd.DataFrame:
    apart = np.bitwise_count(codes[:, own, None] ^ codes[0, own]).sum(axis=-1, dtype=np.int64)
    view, a, b = np.nonzero(~np.eye(len(own), dtype=bool)[None].repeat(len(codes), axis=0))
    return pd.DataFrame({"a": own[a], "b": own[b], "view": view, "bits": apart[view, a, b]})


def _once(found: pd.DataFrame) -> pd.DataFrame:
    """Each pair in its nearest view only, with its `low` and its `high` end."""
    found = found.assign(low=found[["a", "b"]].min(axis=1), high=found[["a", "b"]].max(axis=1))
    return found.sort_values(["low", "high", "bits", "view", "a"]).drop_duplicates(["low", "high"], ignore_index=True)


def _components(count: int, pairs: list[Pair]) -> Rows:
    ends = np.array([pair[:2] for pair in pairs], np.int64).reshape(-1, 2)
    links = coo_array((np.ones(len(ends), bool), (ends[:, 0], ends[:, 1])), shape=(count, count))
    return np.asarray(connected_components(links, directed=False)[1], np.int64)


def _compared(first: Floats, second: Floats, seen: list[View], least: Floats) -> list[Verdict]:
    return [compare(*one) for one in zip(first, second, seen, least.tolist(), strict=True)]


def _believed(thumbnails: Thumbnails, looks: _Looks, found: pd.DataFrame, overlaid: Overlaid) -> Iterator[Pair]:
    """Those of the pairs `found` that are copies."""
    detail = np.minimum(looks.detail[found["a"]], looks.detail[found["b"]])
    plain = detail < DETAILED  # of these only what is in place and almost equal can be a copy
    likely = ~plain | ((found["view"] == 0) & (found["bits"] <= _PLAIN_BITS)).to_numpy()
    found, detail, every = found[likely], detail[likely], views()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for start in range(0, len(found), _BLOCK):
            block = found.iloc[start : start + _BLOCK]
            ends = [looks.rows[block[end].to_numpy()] for end in ("a", "b")]
            keys: list[Key] = list(zip(*(end.tolist() for end in ends), block["view"].tolist(), strict=True))
            if new := overlaid.unknown(keys):
                first, second = (_grey(thumbnails[end[new]]) for end in ends)
                seen = [every[keys[i][2]] for i in new]
                least = detail[start : start + _BLOCK][new]
                pieces = [slice(at, at + _COMPARED_AT_ONCE) for at in range(0, len(new), _COMPARED_AT_ONCE)]
                verdicts = pool.map(
                    _compared, *([of[piece] for piece in pieces] for of in (first, second, seen, least))
                )
                overlaid.tell((keys[i] for i in new), chain.from_iterable(verdicts))
            for low, high, key in zip(looks.rows[block["low"]], looks.rows[block["high"]], keys, strict=True):
                if verdict := overlaid[key]:
                    yield int(low), int(high), *verdict
