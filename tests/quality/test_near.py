from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

from benchmarks.copies import CHANGES
from benchmarks.scenes import scene
from tasks.contracts.images import THUMBNAIL_PX, decode
from tasks.ingest.demo import make_demo
from tasks.quality import near
from tasks.quality.near import find_near, index_of
from tasks.quality.overlaid import Overlaid
from tasks.quality.overlay import compare
from tasks.quality.views import SIDE_PX
from tests.conftest import CLASSES, draw

KINDS = {"cropped": "cropped", "mirrored": "mirrored", "rotated": "rotated"}  # of all others: near


def thumbnail(picture: np.ndarray) -> np.ndarray:
    _, data = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))
    return decode(data.tobytes(), 32).thumbnail


def pairs(found: pd.DataFrame) -> list[tuple[int, int]]:
    return list(zip(found["a"], found["b"], strict=True))


def test_the_decoder_makes_thumbnails_of_the_side_that_is_hashed():
    assert THUMBNAIL_PX == SIDE_PX


@pytest.mark.parametrize("kind", CHANGES)
def test_every_kind_of_copy_is_found_and_nothing_else(kind):
    rng = np.random.default_rng(11)
    originals = [scene(number, 31) for number in range(20)]
    copies = [CHANGES[kind](picture, rng) for picture in originals]
    found = find_near(np.stack([thumbnail(picture) for picture in (*originals, *copies)]))
    expected = [(i, i + 20) for i in range(20)]
    assert pairs(found) == expected
    if kind != "overlaid":
        assert (found["kind"] == KINDS.get(kind, "near")).mean() > 0.9  # a crop of 1 % is as good as none
        assert (found["similarity"] > 0.9).all()


def test_a_cluster_hangs_together():
    rng = np.random.default_rng(3)
    copies = [CHANGES[kind](scene(1, 77), rng) for kind in ("cropped", "mirrored", "rotated", "toned") * 3]
    found = find_near(np.stack([thumbnail(picture) for picture in copies]))
    assert len(found) >= 0.95 * 12 * 11 / 2  # two crops may have lost too much of each other


def test_drawings_of_one_shape_at_other_places_are_no_copies():
    rng = np.random.default_rng(0)
    found = find_near(np.stack([cv2.resize(draw(label, rng), (64, 64)) for label in CLASSES for _ in range(40)]))
    assert len(found) < 40
    assert set(found["kind"][found["similarity"] < 0.95]) <= {"cropped", "mirrored", "rotated"}


def test_flat_pictures_match_nothing():
    flat = np.zeros((12, THUMBNAIL_PX, THUMBNAIL_PX, 3), np.uint8) + np.arange(12, dtype=np.uint8)[:, None, None, None]
    assert find_near(flat).empty


@pytest.mark.parametrize("count", [0, 1])
def test_nothing_to_compare(count):
    found = find_near(np.stack([thumbnail(scene(1, 1))] * 2)[:count])
    assert list(found.dtypes.astype(str)) == ["int64", "int64", "str", "float64"]
    assert found.empty


def test_handwritten_digits_are_no_copies():
    images = (load_digits().images[:600] * 15.9).astype(np.uint8)[..., None].repeat(3, axis=-1)
    assert len(find_near(np.stack([thumbnail(picture) for picture in images]))) <= 1


def test_neighbouring_crops_of_a_photograph_are_no_copies(tmp_path: Path):
    make_demo(tmp_path / "demo", seed=0)
    files = sorted(path for path in (tmp_path / "demo").rglob("*.*") if path.parent.name in ("brick", "grass", "moon"))
    table = pd.read_csv(tmp_path / "demo" / "metadata.csv").set_index("path")
    clean = [path for path in files if pd.isna(table["planted"].get(path.relative_to(tmp_path / "demo").as_posix(), 0))]
    assert len(clean) > 200
    assert len(find_near(np.stack([decode(path.read_bytes(), 64).thumbnail for path in clean]))) <= 1


def test_the_order_of_the_pictures_changes_nothing():
    rng = np.random.default_rng(5)
    pictures = [scene(number, 8) for number in range(12)]
    pictures += [CHANGES["cropped"](picture, rng) for picture in pictures]
    thumbnails = np.stack([thumbnail(picture) for picture in pictures])
    order = rng.permutation(24)
    again = {tuple(sorted((order[a], order[b]))) for a, b in pairs(find_near(thumbnails[order]))}
    assert again == set(pairs(find_near(thumbnails)))


def test_a_pair_is_laid_over_once_whatever_comes_and_goes(tmp_path, monkeypatch):
    rng, compared = np.random.default_rng(5), []
    pictures = [scene(number, 8) for number in range(12)]
    pictures += [CHANGES["cropped"](picture, rng) for picture in pictures]
    thumbnails, names = (
        np.stack([thumbnail(picture) for picture in pictures]),
        np.array([f"{i:064x}" for i in range(24)]),
    )

    def looked_at(chosen):
        overlaid = Overlaid(names[chosen].tolist(), tmp_path)
        found = find_near(thumbnails[chosen], overlaid)
        overlaid.keep()
        return found

    monkeypatch.setattr(near, "compare", lambda *args: compared.append(args) or compare(*args))
    most, every = np.arange(23), rng.permutation(24)
    assert pairs(looked_at(most)) == pairs(find_near(thumbnails[most]))
    expected = set(pairs(find_near(thumbnails[every])))
    compared.clear()
    assert set(pairs(looked_at(every))) == expected
    assert 0 < len(compared) < 24  # with the new picture alone
    compared.clear()
    assert set(pairs(looked_at(every))) == expected
    assert not compared
    for path in (*tmp_path.glob("*.parquet"), *tmp_path.rglob("*.safetensors")):
        path.write_bytes(b"broken")
    assert set(pairs(looked_at(every))) == expected


def crowds(rng, crowds: int, codes: int, apart: float):
    """Hashes come in clusters."""
    found = rng.integers(0, 256, (crowds, 32), dtype=np.uint8)[rng.integers(0, crowds, codes)]
    return found ^ np.packbits(rng.random((codes, 256)) < apart, axis=1)


def test_searching_in_cells_finds_what_comparing_all_finds():
    rng = np.random.default_rng(0)
    codes = crowds(rng, 1000, 20_000, 0.2)
    codes[10_000:] = codes[:10_000] ^ np.packbits(rng.random((10_000, 256)) < 0.08, axis=1)  # the nearest there is
    found = index_of(codes)
    assert type(found).__name__ == "IndexBinaryIVF"
    assert (found.search(codes[:2000], 2)[1][:, 1] == np.arange(2000) + 10_000).mean() > 0.97


@pytest.mark.parametrize(("before", "after", "stay"), [(4750, 5000, 0.98), (4000, 4200, 0.95)], ids=["", "more cells"])
def test_few_neighbours_change_where_few_pictures_come(monkeypatch, before, after, stay):
    monkeypatch.setattr("tasks.quality.near._EXHAUSTIVE", 100)
    codes = crowds(np.random.default_rng(0), 400, after, 0.1)
    then, now = (
        pd.MultiIndex.from_frame(near.candidates(np.stack([some, some]))[["low", "high"]])
        for some in (codes[:before], codes)
    )
    stayed = now[now.get_level_values("high") < before]
    assert len(stayed) > 15_000
    assert stayed.isin(then).mean() > stay
