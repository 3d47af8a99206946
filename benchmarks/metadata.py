"""`python -m benchmarks.metadata [ROWS] [COLUMNS]`: what comparing metadata with label and split costs.

Of the columns each fifth has 8 values, numbers, two values, 3,000 values, 40 values; half of them go with the label, so
that there is something to test given something else.
"""

import resource
import sys
import time

import numpy as np
import pandas as pd

from tasks.bias.metadata import look_at_metadata
from tasks.contracts.records import SPLITS

ROWS, COLUMNS, CLASSES = 100_000, 50, 20
_LEVELS = (8, 0, 2, 3000, 40)  # 0: numbers
_SHARE = 0.4  # of the rows whose value is the label's


def main() -> int:
    rows, columns = (int(text) for text in (*sys.argv[1:], *map(str, (ROWS, COLUMNS)[len(sys.argv) - 1 :])))
    images = _table(rows, columns, np.random.default_rng(0))
    wall, cpu = time.perf_counter(), time.process_time()
    found = look_at_metadata(images, 200, np.random.default_rng(1)).findings
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{rows:,} rows x {columns} columns: {wall:.1f} s, {cpu:.1f} s of CPU, peak {peak_mb:,.0f} MB with the table")
    print(f"{len(found)} findings")
    return 0


def _table(rows: int, columns: int, rng: np.random.Generator) -> pd.DataFrame:
    label = rng.integers(0, CLASSES, rows)
    names = [f"{row:07}" for row in range(rows)]
    table: dict[str, object] = {"path": names, "component": names, "label": label.astype(str), "group": None}
    table["split"] = rng.choice(SPLITS, rows, p=[0.6, 0.15, 0.1, 0.15])
    for number in range(columns):
        levels = _LEVELS[number % len(_LEVELS)]
        values = rng.integers(0, levels, rows) if levels else rng.normal(size=rows)
        if number < columns // 2:
            values = np.where(rng.random(rows) < _SHARE, label % (levels or CLASSES), values)
        table[f"meta_{number}"] = values.astype(str) if levels else values
    return pd.DataFrame(table)


if __name__ == "__main__":
    sys.exit(main())
