"""`python -m benchmarks.predicting [--images N] [--rounds N]`: `graft predict` against the most this machine can do.

The limit is the same decoder and the same network's forward pass, each run alone on all cores, each in the faster of
two ways (threads or processes to decode; one pass with all threads or a pass on each core), from files that the system
has in memory and from pixels that are ready. On a CPU both need the same cores, so the limit is the sum of the two
times: no core ever idle. On a GPU it is the larger of the two. Taken in turns, so that load from elsewhere meets all.
"""

import argparse
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch

from benchmarks.pictures import write_jpegs
from tasks.backbone.catalog import find_entry, weights_folder
from tasks.backbone.weights import open_entry
from tasks.calibrate.calibration import Calibration
from tasks.calibrate.looks import looks_of
from tasks.calibrate.unlike import familiar
from tasks.contracts.environment import prepare_environment
from tasks.contracts.images import decode
from tasks.contracts.model_records import BackboneRef, CalibrationRecord
from tasks.contracts.prepared import Pixels
from tasks.contracts.progress import QUIET
from tasks.predict.answers import answers
from tasks.predict.engine import BATCH, _sharing_weights
from tasks.predict.inputs import find_files, reading
from tasks.predict.writing import table_file
from tasks.register.bundle import Bundle
from tasks.train.model import Head, fresh_net
from tasks.train.predictor import forward, outputs, place

_DRAWN, _SIZE = 500, (400, 300)  # pictures that differ, each written many times; as wide and high as the usual ones
_CLASSES = 10


@dataclass(frozen=True)
class Spent:
    """Seconds by the clock, and of CPU time of this process."""

    wall: float
    cpu: float


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.predicting", description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--backbone", default="embedded/formula_resnet18")
    parser.add_argument("--prepared", type=int, default=224, metavar="PX")
    asked = parser.parse_args()
    prepare_environment()
    os.environ[QUIET] = "1"
    with TemporaryDirectory() as folder:
        paths = _files(Path(folder), asked.images)
        bundle, ref, pixels = _bundle(asked.backbone, asked.prepared, paths)
        cores = len(os.sched_getaffinity(0))
        with (
            ProcessPoolExecutor(cores, get_context("spawn"), _alone) as processes,
            ThreadPoolExecutor(cores, initializer=_alone) as threads,
        ):
            list(processes.map(_decode_all, [(paths[:BATCH], asked.prepared)] * 4 * cores))  # started, and warm
            rounds = []
            for some in np.array_split(np.array(paths), asked.rounds):
                part = [str(path) for path in some]
                ways = {
                    "decode by threads": lambda part=part: _mapped(threads, part, asked.prepared),
                    "decode by processes": lambda part=part: _mapped(processes, part, asked.prepared),
                    "forward, all threads": lambda part=part: _at_once(bundle, ref, pixels, len(part)),
                    "forward, each core": lambda part=part: _on_each(threads, bundle, ref, (pixels, len(part))),
                    "graft predict": lambda part=part: _predict(bundle, part, Path(folder)),
                }
                rounds.append({name: _timed(work) for name, work in ways.items()})
                print(" ".join(f"{name}: {one.wall:.1f} s;" for name, one in rounds[-1].items()), flush=True)
    _report(rounds, asked.images)
    return 0


def _report(rounds: list[dict[str, Spent]], images: int) -> None:
    def least(one: dict[str, Spent], names: tuple[str, ...]) -> Spent:
        return min((one[name] for name in names), key=lambda spent: spent.wall)

    decoding = [least(one, ("decode by threads", "decode by processes")).wall for one in rounds]
    passing = [least(one, ("forward, all threads", "forward, each core")).wall for one in rounds]
    both = max if torch.cuda.is_available() else sum
    limits = [both(pair) for pair in zip(decoding, passing, strict=True)]
    ours = [one["graft predict"].wall for one in rounds]
    needed = sum(one["decode by threads"].cpu + one["forward, each core"].cpu for one in rounds)
    print(f"decode {sum(decoding):.1f} s, forward {sum(passing):.1f} s, graft predict {sum(ours):.1f} s")
    print(f"limit {images / sum(limits):.0f} images a second, graft predict {images / sum(ours):.0f}")
    shares = [limit / took for limit, took in zip(limits, ours, strict=True)]
    print(
        f"share of the limit: {sum(limits) / sum(ours):.3f}; in each round {', '.join(f'{one:.2f}' for one in shares)}"
    )
    print(f"by CPU time (threads, a pass on each core): {needed / sum(one['graft predict'].cpu for one in rounds):.3f}")
    print(f"most memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


def _timed(work: Callable[[], object]) -> Spent:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


def _files(folder: Path, count: int) -> list[str]:
    drawn = sorted(write_jpegs(folder / "drawn", min(_DRAWN, count), _SIZE).rglob("*.jpg"))
    (folder / "many").mkdir()
    for number in range(count):
        shutil.copyfile(drawn[number % len(drawn)], folder / "many" / f"{number:06}.jpg")
    return find_files([str(folder / "many")], ())


def _bundle(name: str, prepared_px: int, paths: list[str]) -> tuple[Bundle, BackboneRef, Pixels]:
    backbone, ref = open_entry(find_entry(name, weights_folder()), prepared_px)
    net = fresh_net(backbone, Head(_CLASSES), seed=0).eval()
    pixels = np.stack([decode(Path(path).read_bytes(), prepared_px).pixels for path in paths[:_DRAWN]])
    made = outputs(net, ref, pixels)
    near = familiar(made.features, looks_of(pixels), np.arange(len(pixels)) % _CLASSES)
    scores = np.linspace(0, 1, 100, dtype=np.float32)
    calibration = Calibration(CalibrationRecord(1.0, 50, 100, len(pixels), 0.05, 1.0), scores, near)
    model = {"backbone": vars(ref), "classes": [f"class {i}" for i in range(_CLASSES)]}
    return Bundle(net, {"model": model, "preprocessing": {"prepared_px": prepared_px}}, calibration), ref, pixels


def _alone() -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def _decode_all(work: tuple[list[str], int]) -> int:
    paths, prepared_px = work
    return sum(decode(Path(path).read_bytes(), prepared_px).pixels.shape[0] > 0 for path in paths)


def _mapped(pool: ProcessPoolExecutor | ThreadPoolExecutor, paths: list[str], prepared_px: int) -> None:
    done = pool.map(_decode_all, [(paths[i : i + BATCH], prepared_px) for i in range(0, len(paths), BATCH)])
    if sum(done) != len(paths):
        raise AssertionError("not every picture was decoded")


def _at_once(bundle: Bundle, ref: BackboneRef, pixels: Pixels, count: int) -> None:
    place(bundle.net, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    outputs(bundle.net, ref, np.resize(pixels, (count, *pixels.shape[1:])))


def _on_each(threads: ThreadPoolExecutor, bundle: Bundle, ref: BackboneRef, images: tuple[Pixels, int]) -> None:
    pixels, count = images
    cores = len(os.sched_getaffinity(0))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    nets = [_sharing_weights(bundle.net) for _ in range(cores)]
    batches = [pixels[np.arange(i, min(i + BATCH, count)) % len(pixels)] for i in range(0, count, BATCH)]

    def passed(core: int) -> None:
        for batch in batches[core::cores]:
            forward(nets[core], ref, batch, device)

    list(threads.map(passed, range(cores)))


def _predict(bundle: Bundle, paths: list[str], folder: Path) -> None:
    """All of the command but the search for files and the loading of the model, the table included."""
    with table_file(folder / "found.csv", "model@1") as write:
        for some in answers(bundle, reading(paths), 0.9):
            write(some)


if __name__ == "__main__":
    sys.exit(main())
