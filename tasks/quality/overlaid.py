"""What laying two pictures over each other gave, kept from run to run by their hashes: no pair is laid over twice."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tasks.contracts.errors import BrokenArtifact
from tasks.contracts.files import read_table, write_table

CODE = 1  # raised when `overlay.compare` gives other verdicts

Rows = NDArray[np.int64]
Key = tuple[int, int, int]  # a picture as it is looked at, another as it is, and the view of the first
Verdict = tuple[str, float] | None  # what sort of copies they are and how alike, or that they are none

_TYPES = {"a": "str", "b": "str", "view": "int64", "kind": "str", "similarity": "float64"}


class Overlaid:
    """Verdicts on pairs of the pictures `names` (content hashes, each once), by their positions."""

    def __init__(self, names: Sequence[str] = (), path: Path | None = None) -> None:
        """Without a `path` nothing is kept. What cannot be read there knows nothing."""
        self._names, self._path = names, path
        self._told: dict[Key, Verdict] = {}
        try:
            known = read_table(path) if path else pd.DataFrame()
        except BrokenArtifact:
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
