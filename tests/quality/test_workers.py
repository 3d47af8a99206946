"""Worker processes and threads must not be told apart by what they leave."""

import os
import signal
import subprocess
import sys
import time
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tasks.contracts.errors import BadEnvironment
from tasks.contracts.prepared import Store
from tasks.contracts.record_files import RecordFiles, checksum_of
from tasks.quality import workers
from tasks.quality.reading import Caps, Reader
from tests.quality.test_scan import CAPS, scanned

NAMES = [f"{i:02}.png" for i in range(60)]


@pytest.fixture
def in_processes(monkeypatch):
    monkeypatch.setattr(workers, "PROCESSES_FROM", 1)
    monkeypatch.setattr(workers, "cores", lambda: 2)


def write(folder: Path) -> None:
    """Pictures of which each third is a copy of the one before, a large one, and files that are none."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for i, name in enumerate(NAMES):
        if i % 3 == 2:
            (folder / name).write_bytes((folder / NAMES[i - 1]).read_bytes())
        else:
            Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(folder / name)
    (folder / NAMES[7]).write_text("no picture")
    (folder / NAMES[30]).unlink()


def test_processes_give_what_threads_give(tmp_path, in_processes, monkeypatch):
    roots = {"processes": tmp_path / "a", "threads": tmp_path / "b"}
    for kind, root in roots.items():
        write(root)
        if kind == "threads":
            monkeypatch.setattr(workers, "PROCESSES_FROM", 1000)
        table = scanned(root, *NAMES).table
        store = Store(root / ".cache", CAPS.side_px)
        good = table[table["pixels_crc32"].notna()]
        assert len(good) == 58
        assert store.rows(good["sha256"]).nunique() == good["sha256"].nunique()
        pixels = store.pixels_of(good["sha256"])[slice(None)]
        assert [checksum_of(one) for one in pixels] == good["pixels_crc32"].tolist()
    again = [scanned(root, *NAMES) for root in roots.values()]
    pd.testing.assert_frame_equal(again[0].table, again[1].table)


def test_a_process_knows_the_contents_of_the_last_scan(tmp_path, in_processes):
    write(tmp_path / "a")
    first = scanned(tmp_path / "a", *NAMES).table.drop(columns="path")
    for name in NAMES:
        if (tmp_path / "a" / name).exists():
            (tmp_path / "a" / name).rename(tmp_path / "a" / f"new{name}")
    size = (tmp_path / "a/.cache/16px-2/pixels").stat().st_size
    moved = scanned(tmp_path / "a", *(f"new{name}" for name in NAMES))
    assert moved.read == len(NAMES)
    pd.testing.assert_frame_equal(first, moved.table.drop(columns="path"))
    assert (tmp_path / "a/.cache/16px-2/pixels").stat().st_size == size


def test_a_full_disk_is_an_error(tmp_path, in_processes):
    write(tmp_path / "a")
    cache = tmp_path / "a/.cache/16px-2"
    cache.mkdir(parents=True)
    (cache / "pixels").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"[Nn]o space left"):
        scanned(tmp_path / "a", *NAMES)
    assert not active_children()


def test_a_worker_that_the_system_ends_is_one_sentence(tmp_path, in_processes):
    reader = Reader(tmp_path, Caps(16, 1.0, 1.0), RecordFiles(tmp_path / "cache"), frozenset())

    def lose_a_worker():
        with workers.workers(reader, 1) as submit:
            assert submit([]).result() == []
            os.kill(active_children()[0].pid, signal.SIGKILL)
            while True:
                submit([]).result()

    with pytest.raises(BadEnvironment, match="want of memory: free some memory"):
        lose_a_worker()


SLEEPER = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # the jobs that a shell runs in the background ignore it
from pathlib import Path
from tasks.contracts.record_files import RecordFiles
from tasks.quality import workers
from tasks.quality.reading import Caps, Reader
workers.PROCESSES_FROM, workers.cores = 1, lambda: 2
with workers.workers(Reader(Path(), Caps(16, 1, 1), RecordFiles(Path(sys.argv[1])), frozenset()), 1) as submit:
    [one.result() for one in [submit([]) for _ in range(9)]]
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_their_parent(tmp_path, ending):
    """A terminal sends Ctrl-C to all of a group; a kill reaches the parent alone."""
    running = subprocess.Popen(
        [sys.executable, "-c", SLEEPER, str(tmp_path / "cache")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    assert running.stdout.readline() == "ready\n"
    (os.killpg if ending == signal.SIGINT else os.kill)(running.pid, ending)
    error = running.communicate(timeout=20)[1]  # the pipe is closed once the last worker is gone
    assert error.count("Traceback") == (ending == signal.SIGINT), error
    for _ in range(100):
        if not in_group(running.pid):
            return
        time.sleep(0.05)
    raise AssertionError(in_group(running.pid))


def in_group(group: int) -> list[str]:
    """The command lines of a process group's living members."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            fields = (place / "stat").read_text().rsplit(")", 1)[1].split()
            if int(fields[2]) == group and fields[0] != "Z":
                found.append((place / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found
