"""What is known of pictures and pairs of them, kept from run to run by their hashes: nothing is compared twice."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.contracts.errors import BrokenArtifact
from tasks.contracts.files import read_table, write_table
from tasks.contracts.progress import say

CODE = 1  # raised when `overlay.compare` gives other verdicts, or pictures other hashes or detail

Rows = NDArray[np.int64]
Key = tuple[int, int, int]  # a picture as it is looked at, another as it is, and the view of the first
Verdict = tuple[str, float] | None  # what sort of copies they are and how alike, or that they are none

_TYPES = {"a": "str", "b": "str", "view": "int64", "kind": "str", "similarity": "float64"}


class Overlaid:
    """How the pictures `names` (content hashes, each once) look, and verdicts on pairs of them, by their positions."""

    def __init__(self, names: Sequence[str] = (), cache: Path | None = None, of: str = "") -> None:
        """Without a workspace's `cache` nothing is kept. `of` says which pictures of these contents are meant.

        What cannot be read knows nothing.
        """
        self._names, self._cache, self._of = names, cache, f"{CODE}-{of}-cv{cv2.__version__}"
        self._path = cache / f"overlaid-{self._of}.parquet" if cache else None
        self._told: dict[Key, Verdict] = {}
        path = self._path
        try:
            known = read_table(path) if path else pd.DataFrame()
        except BrokenArtifact as error:
            if path and path.exists():
                say(f"{error}; pictures are compared anew")
            return
        if known.empty:
            return
        place = {name: i for i, name in enumerate(names)}
        ends = [known[end].map(place) for end in ("a", "b")]
        here = ends[0].notna() & ends[1].notna()
        keys = zip(*(end[here].astype("int64") for end in ends), known["view"][here], strict=True)
        verdicts = zip(known["kind"][here], known["similarity"][here], strict=True)
        self._told = {
            key: (kind, float(alike)) if isinstance(kind, str) else None
            for key, (kind, alike) in zip(keys, verdicts, strict=True)
        }

    def looks(self, count: int, look: Callable[[Rows], NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """What `look` gives of each of the pictures, a row of bytes each."""
        if self._cache is None:
            return look(np.arange(count))
        from tasks.backbone.cache import FOLDER, remembered  # brings torch

        return remembered(self._cache / FOLDER, f"looks of pictures {self._of}", self._names, look)

    def unknown(self, keys: Iterable[Key]) -> list[int]:
        """Which of the pairs, by their place among `keys`, were not looked at yet."""
        return [i for i, key in enumerate(keys) if key not in self._told]

    def tell(self, keys: Iterable[Key], verdicts: Iterable[Verdict]) -> None:
        """Take the verdicts on these pairs."""
        self._told |= zip(keys, verdicts, strict=True)

    def __getitem__(self, key: Key) -> Verdict:
        return self._told[key]

    def keep(self) -> None:
        """Write what is known of the pictures for the next run."""
        if self._path is None:
            return
        rows = [
            (self._names[a], self._names[b], view, *(verdict or (None, np.nan)))
            for (a, b, view), verdict in sorted(self._told.items())
        ]
        write_table(self._path, pd.DataFrame(rows, columns=list(_TYPES)).astype(_TYPES))
