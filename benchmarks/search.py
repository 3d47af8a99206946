"""`python -m benchmarks.search [N ...]`: how the search for near-duplicates grows with the number of pictures.

Thumbnails are mixed from scenes, so that their hashes cluster as real ones do; one of a hundred is a copy of another
that was toned, mirrored, turned or cropped. Time and recall are of the pairs that the hashes propose.
"""

import math
import resource
import sys
import time
from collections.abc import Iterator

import cv2
import numpy as np
import pandas as pd

from benchmarks.scenes import scene
from tasks.contracts.environment import prepare_environment
from tasks.quality.near import candidates
from tasks.quality.views import SIDE_PX, Floats, hashes

SIZES = (10_000, 100_000, 1_000_000)
_SCENES, _BLOCK, _SHARE = 1500, 10_000, 100
_KINDS = ("toned", "mirrored", "turned", "cropped")


def main() -> int:
    prepare_environment()
    pool = _pool()
    rows = [_measured(size, pool) for size in [int(text) for text in sys.argv[1:]] or SIZES]
    print(pd.DataFrame(rows).to_string(index=False))
    if len(rows) > 1:
        first, last = rows[0], rows[-1]
        slope = math.log(last["seconds"] / first["seconds"]) / math.log(last["pictures"] / first["pictures"])
        print(f"seconds grow with the number of pictures to the power of {slope:.2f}")
    return 0


def _pool() -> Floats:
    shown = (cv2.cvtColor(scene(number, 5), cv2.COLOR_RGB2GRAY) for number in range(_SCENES))
    return np.stack([cv2.resize(one, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA) for one in shown]).astype("f4")


def _measured(size: int, pool: Floats) -> dict[str, float]:
    codes = np.concatenate([hashes(block) for block in _blocks(size, pool)], axis=1)
    started, cpu = time.perf_counter(), time.process_time()
    found = candidates(codes)
    seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
    keys = set(found["low"].to_numpy() * size + found["high"].to_numpy())
    planted = np.arange(0, size, _SHARE)
    hit = np.array([one * size + one + 1 in keys for one in planted])
    return {
        "pictures": size,
        "seconds": round(seconds, 1),
        "CPU seconds": round(cpu, 1),
        "peak GB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2),
        "pairs proposed": len(found),
        **{kind: round(float(hit[number :: len(_KINDS)].mean()), 3) for number, kind in enumerate(_KINDS)},
    }


def _blocks(size: int, pool: Floats) -> Iterator[Floats]:
    """Pictures in blocks; of each hundred the second is a copy of the first, in one of four ways by turns."""
    for start in range(0, size, _BLOCK):
        rng = np.random.default_rng([7, start])
        one, other = rng.integers(len(pool), size=(2, _BLOCK))
        share = rng.uniform(0.2, 0.8, (_BLOCK, 1, 1)).astype(np.float32)
        light = rng.uniform(-30, 30, (_BLOCK, 3, 3)).astype(np.float32)
        shade = np.stack([cv2.resize(grid, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_CUBIC) for grid in light])
        block = share * pool[one] + (1 - share) * np.roll(pool[other], int(rng.integers(SIDE_PX)), axis=2) + shade
        for number, place in enumerate(range(0, _BLOCK, _SHARE)):
            block[place + 1] = _copy(block[place], _KINDS[number % len(_KINDS)], rng)
        yield block[: size - start]


def _copy(picture: Floats, kind: str, rng: np.random.Generator) -> Floats:
    if kind == "toned":
        return (255 * (picture.clip(0, 255) / 255) ** rng.uniform(0.7, 1.4)).astype(np.float32)
    if kind == "mirrored":
        return picture[:, ::-1]
    if kind == "turned":
        return np.rot90(picture, int(rng.integers(1, 4)))
    top, bottom, left, right = np.rint(rng.uniform(0, 0.1, 4) * SIDE_PX).astype(int)
    window = picture[top : SIDE_PX - bottom, left : SIDE_PX - right]
    return np.asarray(cv2.resize(window, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_LINEAR), np.float32)


if __name__ == "__main__":
    sys.exit(main())
