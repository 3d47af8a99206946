"""`python checkers.py NAME FOLDER OUT`: one checker of image folders, alone in its process, one thread.

Writes JSON: `pairs` of paths that it holds for duplicates, `flags` (path -> reasons, in graft's words). It runs in the
Python of the checker and imports nothing else of this repository, but for graft's own.
"""

import json
import os
import sys
from collections.abc import Callable
from itertools import combinations, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

Found = dict[str, Any]

WORDS = {
    "dark": "dark",
    "light": "bright",
    "blurry": "blurry",
    "low_information": "low_information",
    "odd_size": "odd_size",
    "odd_aspect_ratio": "odd_aspect",
    "grayscale": "greyscale",
}


def graft(folder: Path) -> Found:
    """Scan, verdicts and near-duplicates: the stage `quality` without label errors, splits and contract."""
    from tasks.contracts.environment import prepare_environment

    prepare_environment()
    from tasks.contracts.params import IngestParams, QualityParams
    from tasks.contracts.prepared import Store
    from tasks.ingest.folders import list_files
    from tasks.ingest.sources import build_manifest
    from tasks.quality.duplicates import near_duplicates
    from tasks.quality.near import find_near
    from tasks.quality.reading import Caps
    from tasks.quality.scan import scan
    from tasks.quality.verdicts import judge

    params = QualityParams()
    caps = Caps(params.prepared_px, params.limits.max_megapixels, params.limits.max_megabytes)
    manifest = build_manifest(folder, list_files(folder), None, IngestParams())
    with TemporaryDirectory() as cache:
        store = Store(Path(cache), caps.side_px)
        judged = judge(scan(folder, manifest, caps, store, Path(cache) / "index").table, params)
        rows = judged[judged["pixels_crc32"].notna()].drop_duplicates("sha256").assign(decision=None)
        near = near_duplicates(rows, find_near(store.thumbnails(rows["sha256"]))).pairs
    copies = judged.groupby("sha256")["path"].agg(list)
    of = dict(zip(judged["path"], judged["sha256"].map(copies), strict=True))  # a path -> all of equal bytes
    pairs = {pair for a, b in zip(near["a"], near["b"], strict=True) for pair in product(of[a], of[b])}
    pairs |= {pair for equal in copies for pair in combinations(equal, 2)}
    return {"pairs": sorted(pairs), "flags": dict(zip(judged["path"], map(list, judged["reasons"]), strict=True))}


def cleanvision(folder: Path) -> Found:
    """Every check of cleanvision's default."""
    from cleanvision import Imagelab

    lab = Imagelab(data_path=str(folder))
    lab.find_issues(n_jobs=1, verbose=False)
    sets = [one for kind in ("exact_duplicates", "near_duplicates") for one in lab.info[kind]["sets"]]
    pairs = [(_within(folder, a), _within(folder, b)) for one in sets for a, b in combinations(one, 2)]
    flags = {_within(folder, path): [] for path in lab.issues.index}
    for theirs, ours in WORDS.items():
        for path in lab.issues.index[lab.issues[f"is_{theirs}_issue"]]:
            flags[_within(folder, path)].append(ours)
    return {"pairs": pairs, "flags": flags}


def imagededup(folder: Path) -> Found:
    """The perceptual hash with the default distance; no other method of it runs without downloaded weights."""
    from imagededup.methods import PHash

    found = PHash(verbose=False).find_duplicates(
        image_dir=folder, recursive=True, num_enc_workers=0, num_dist_workers=0
    )
    return {"pairs": sorted({tuple(sorted((a, b))) for a, near in found.items() for b in near}), "flags": {}}


CHECKERS: dict[str, Callable[[Path], Found]] = {"graft": graft, "cleanvision": cleanvision, "imagededup": imagededup}


def _within(folder: Path, path: str) -> str:
    return Path(path).relative_to(folder).as_posix()


if __name__ == "__main__":
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    name, folder_, out = sys.argv[1:]
    Path(out).write_text(json.dumps(CHECKERS[name](Path(folder_))))
