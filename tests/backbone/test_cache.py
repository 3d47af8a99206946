"""The cache of rows: bounded, shared by processes, and never wrong, whatever happens to its files."""

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.backbone import cache as cache_module
from tasks.backbone.cache import RowCache, make_room, read_rows, remembered
from tasks.backbone.features import cached_rows
from tasks.backbone.layouts import resnet18
from tasks.backbone.network import Backbone, TransferNet
from tasks.backbone.rows import View
from tasks.backbone.split import Trunk, split
from tasks.contracts.model_records import BackboneRef

SIDE_PX = 48
REF = BackboneRef("tiny", "random", "resnet18-w8", "", SIDE_PX, (0.5,) * 3, (0.25,) * 3, 0)
ROOT = Path(__file__).parents[2]


def key_of(number: int) -> str:
    return f"{number:064x}"


def fill(root: Path, folder: str, numbers: range, width: int = 1000) -> RowCache:
    cache = RowCache(root, folder)
    cache.write([key_of(i) for i in numbers], torch.stack([torch.full((width,), float(i)) for i in numbers]))
    return cache


def shards(root: Path) -> list[Path]:
    return sorted(root.rglob("*.safetensors"))


@pytest.fixture
def trunk() -> Trunk:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return split(TransferNet(Backbone(resnet18(8, 10), SIDE_PX), 3), 3, autocast=False)[0]


@pytest.fixture
def counted(trunk):
    """The trunk, and a list that grows by each batch it computes."""
    sizes = []
    trunk.network.conv1.register_forward_hook(
        lambda _module, inputs, _output: None if inputs[0].is_meta else sizes.append(len(inputs[0]))
    )
    return trunk, sizes


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_come_back_as_they_were_written(tmp_path, dtype):
    cache, rows = RowCache(tmp_path, "a"), torch.randn(5, 7).to(dtype)
    keys = [key_of(i) for i in range(5)]
    written = cache.write(keys, rows)
    found = RowCache(tmp_path, "a").find([keys[3], keys[1], key_of(9)])
    assert found == {keys[3]: written[keys[3]], keys[1]: written[keys[1]]}
    read = read_rows(list(found.values()))
    assert torch.equal(read[found[keys[3]]], rows[3])
    assert read[found[keys[1]]].dtype == dtype


@pytest.mark.parametrize("wanted", [[3], range(4), range(9), [8, 0, 5, 1, 7, 2]])
def test_few_and_most_rows_of_a_shard_are_read_alike(tmp_path, wanted):
    cache = fill(tmp_path, "a", range(9), width=5)
    places = cache.find([key_of(i) for i in wanted])
    found = read_rows(list(places.values()))
    assert {key: found[place].tolist() for key, place in places.items()} == {key_of(i): [float(i)] * 5 for i in wanted}


def test_longest_unused_folder_makes_room_and_no_more_of_it_than_needed(tmp_path, monkeypatch):
    for age, name in enumerate(("young", "old")):
        for part in range(2):
            fill(tmp_path, name, range(10 * part, 10 * part + 10)).close()
        os.utime(tmp_path / name, (time.time() - 100 * (age + 1),) * 2)
    size = shards(tmp_path)[0].stat().st_size
    monkeypatch.setattr(cache_module, "LIMIT_BYTES", 4 * size)
    fill(tmp_path, "new", range(10)).close()
    assert [len(shards(tmp_path / name)) for name in ("young", "old", "new")] == [2, 1, 1]
    fill(tmp_path, "new", range(10, 20)).close()
    assert not (tmp_path / "old").exists()
    assert sum(path.stat().st_size for path in shards(tmp_path)) <= 4 * size


def test_a_folder_in_use_is_not_evicted(tmp_path, monkeypatch):
    held = fill(tmp_path, "held", range(10))
    size = shards(tmp_path)[0].stat().st_size
    monkeypatch.setattr(cache_module, "LIMIT_BYTES", round(1.5 * size))
    assert not make_room(tmp_path, size)
    assert RowCache(tmp_path, "other").write([key_of(1)], torch.zeros(1, 1000 * 10)) == {}
    assert len(held.find([key_of(3)])) == 1
    held.close()
    assert make_room(tmp_path, size)


def test_more_than_the_limit_evicts_nothing(tmp_path, monkeypatch):
    fill(tmp_path, "a", range(3)).close()
    monkeypatch.setattr(cache_module, "LIMIT_BYTES", 100_000)
    assert not make_room(tmp_path, 100_001)
    assert len(shards(tmp_path)) == 1


def test_what_a_killed_writer_left_goes_with_its_folder(tmp_path, monkeypatch):
    fill(tmp_path, "a", range(3)).close()
    part = tmp_path / "a" / ".x.safetensors.1.part"
    part.touch()
    os.utime(part, (1, 1))
    monkeypatch.setattr(cache_module, "LIMIT_BYTES", 13_000)
    assert make_room(tmp_path, 12_000)
    assert list(tmp_path.iterdir()) == []


def test_activations_are_computed_once(counted, pictures, tmp_path):
    trunk, sizes = counted
    pixels, hashes = pictures(40, SIDE_PX)
    rows = cached_rows(trunk, REF, pixels, hashes, tmp_path)
    assert rows.shape == (40, trunk.width) == (len(rows), trunk.width)
    assert sizes == [32, 32]
    sizes.clear()
    again = cached_rows(trunk, REF, pixels, hashes, tmp_path)
    order = np.random.default_rng(0).permutation(40)
    assert np.array_equal(again[order], rows[:][order])
    assert again[order].dtype == np.float32
    assert sizes == []


def test_large_rows_are_spread_over_shards(trunk, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(cache_module, "SHARD_BYTES", 40 * trunk.width * 4)
    pixels, hashes = pictures(100, SIDE_PX)
    rows = cached_rows(trunk, REF, pixels, hashes, tmp_path)
    assert len(shards(tmp_path)) == 2
    assert np.array_equal(rows[[70, 3]], cached_rows(trunk, REF, pixels, hashes, tmp_path)[[70, 3]])


def test_views_are_kept_beside_each_other_and_keyed_by_their_seeds(counted, pictures, tmp_path):
    trunk, sizes = counted
    pixels, hashes = pictures(4, SIDE_PX)

    def view(number: int, digest: str = "d", base: int = 0) -> View:
        return View(digest, lambda image, seed: np.roll(image, seed, 0), lambda one: int(one[:2], 16) + base, number)

    plain, first = (cached_rows(trunk, REF, pixels, hashes, tmp_path, one)[:] for one in (None, view(0)))
    assert not np.array_equal(plain, first)
    seeds = [int(one[:2], 16) for one in hashes]
    rolled = np.stack([np.roll(image, seed, 0) for image, seed in zip(pixels, seeds, strict=True)])
    assert np.array_equal(first, cached_rows(trunk, REF, rolled, hashes, tmp_path / "other")[:])
    sizes.clear()
    cached_rows(trunk, REF, pixels, hashes, tmp_path, view(0))
    assert sizes == []
    for other in (view(1), view(0, digest="e"), view(0, base=1)):
        cached_rows(trunk, REF, pixels, hashes, tmp_path, other)
    assert len(sizes) == 3


@pytest.mark.parametrize("damage", [lambda data: data[:-7], lambda _: b"", lambda data: data[:-1] + b"\x01"])
def test_damaged_rows_are_computed_anew(counted, pictures, tmp_path, damage, capsys):
    trunk, sizes = counted
    pixels, hashes = pictures(4, SIDE_PX)
    before = cached_rows(trunk, REF, pixels, hashes, tmp_path)[:]
    (shard,) = shards(tmp_path)
    whole = shard.read_bytes()
    shard.write_bytes(damage(whole))
    sizes.clear()
    assert np.array_equal(cached_rows(trunk, REF, pixels, hashes, tmp_path)[:], before)
    assert len(sizes) == 1
    assert "damaged" in capsys.readouterr().err
    assert [path.read_bytes() for path in shards(tmp_path)] == [whole]


def test_rows_that_go_while_they_are_read_are_computed_anew(counted, pictures, tmp_path, capsys):
    trunk, sizes = counted
    pixels, hashes = pictures(40, SIDE_PX)
    rows = cached_rows(trunk, REF, pixels, hashes, tmp_path)
    before = rows[:]
    for shard in shards(tmp_path):
        shard.unlink()
    sizes.clear()
    assert np.array_equal(rows[[5, 1]], before[[5, 1]])
    assert sizes == [32]
    assert "2 rows of tiny are gone" in capsys.readouterr().err
    assert np.array_equal(rows[[1]], before[[1]])
    assert "gone" not in capsys.readouterr().err


def test_what_does_not_fit_is_said_and_computed_each_time(counted, pictures, tmp_path, monkeypatch, capsys):
    trunk, sizes = counted
    pixels, hashes = pictures(96, SIDE_PX)
    expected = cached_rows(trunk, REF, pixels, hashes, tmp_path / "roomy")[:]
    row = trunk.width * 4
    monkeypatch.setattr(cache_module, "SHARD_BYTES", 32 * row)
    monkeypatch.setattr(cache_module, "LIMIT_BYTES", 40 * row)
    rows = cached_rows(trunk, REF, pixels, hashes, tmp_path / "full")
    assert "no room for 64 of 96 rows of tiny" in capsys.readouterr().err
    sizes.clear()
    assert np.array_equal(rows[:], expected)
    assert sizes == [32, 32]
    assert np.array_equal(rows[[0, 95]], expected[[0, 95]])
    assert sizes == [32, 32, 32]


WORK = """
import sys, hashlib
from pathlib import Path
import numpy as np, torch
torch.set_num_threads(1)
from tasks.backbone import cache
from tasks.backbone.features import cached_rows
from tasks.backbone.layouts import resnet18
from tasks.backbone.network import Backbone
from tasks.backbone.split import Trunk
from tasks.contracts.model_records import BackboneRef
root, side_px = Path(sys.argv[1]), int(sys.argv[2])
ref = BackboneRef("tiny", "random", "resnet18-w8", "", side_px, (0.5,) * 3, (0.25,) * 3, 0)
torch.manual_seed(0)
backbone = Backbone(resnet18(8, 10), side_px)
pixels = np.random.default_rng(0).integers(0, 256, (64, side_px, side_px, 3), dtype=np.uint8)
hashes = [hashlib.sha256(image.tobytes()).hexdigest() for image in pixels]
print("ready", flush=True)
for line in sys.stdin:
    upto, cache.LIMIT_BYTES = map(int, line.split())
    trunk = Trunk(backbone, upto, autocast=False)
    cache.SHARD_BYTES = 16 * trunk.width * 4
    found = []
    for _ in range(10):
        rows = cached_rows(trunk, ref, pixels, hashes, root)
        found.append(hashlib.sha256(rows[:].tobytes()).hexdigest())
        del rows
    print(*found, flush=True)
"""


@pytest.fixture
def workers(tmp_path):
    """Two processes that wait for a line each: how many stages, and the limit of the cache that they share."""
    code = [sys.executable, "-c", WORK, str(tmp_path / "shared"), str(SIDE_PX)]
    pipe, quiet = subprocess.PIPE, os.environ | {"GRAFT_QUIET": "1"}
    running = [subprocess.Popen(code, stdin=pipe, stdout=pipe, text=True, cwd=ROOT, env=quiet) for _ in range(2)]
    assert [one.stdout.readline() for one in running] == ["ready\n"] * 2
    yield running
    for one in running:
        one.communicate(timeout=60)
        assert one.returncode == 0


def told(workers: list[subprocess.Popen], lines: list[str]) -> list[set[str]]:
    """The different results that each process gets in ten rounds."""
    for one, line in zip(workers, lines, strict=True):
        one.stdin.write(line + "\n")
        one.stdin.flush()
    return [set(one.stdout.readline().split()) for one in workers]


def test_two_processes_share_a_cache_and_evict_each_other_and_read_what_is_right(workers, pictures, tmp_path):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = Backbone(resnet18(8, 10), SIDE_PX)
    pixels, hashes = pictures(64, SIDE_PX)
    trunks = [Trunk(backbone, upto, autocast=False) for upto in (3, 4)]
    rows = [cached_rows(trunk, REF, pixels, hashes, tmp_path / "alone")[:] for trunk in trunks]
    expected = [{hashlib.sha256(one.tobytes()).hexdigest()} for one in rows]
    assert told(workers, [f"3 {10**9}"] * 2) == [expected[0]] * 2
    limit = round(1.3 * max(one.nbytes for one in rows))
    assert told(workers, [f"3 {limit}", f"4 {limit}"]) == expected
    assert sum(path.stat().st_size for path in shards(tmp_path / "shared")) <= 1.5 * limit


def test_what_is_remembered_is_computed_once_for_each_name_and_key(tmp_path):
    asked = []

    def compute(at):
        asked.extend(at.tolist())
        return np.stack([at, at**2], axis=1).astype(np.float64) if len(at) else np.empty((0, 2))

    names = [key_of(number) for number in (5, 3, 5, 4)]
    rows = remembered(tmp_path, "first", names, compute)
    assert rows.tolist() == [[0, 0], [1, 1], [0, 0], [3, 9]]
    assert asked == [0, 1, 3]
    again = remembered(tmp_path, "first", [key_of(4), key_of(6), key_of(3)], compute)
    assert again.tolist() == [[3, 9], [1, 1], [1, 1]]
    assert asked == [0, 1, 3, 1]
    remembered(tmp_path, "second", names, compute)
    assert asked == [0, 1, 3, 1, 0, 1, 3]
    assert remembered(tmp_path, "first", [], compute).shape == (0, 2)
