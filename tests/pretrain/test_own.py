"""A set of one's own: what of it is learned from, and what never is."""

import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tasks.contracts.errors import BadData, BadUsage
from tasks.contracts.files import sha256_of, write_table
from tasks.contracts.workspace import Workspace
from tasks.pretrain.own import OwnSet, open_own, read_own
from tests.conftest import draw, store_pixels, write_images


@pytest.fixture
def photos(tmp_path):
    return write_images(tmp_path / "photos", 80)


def own(tmp_path, photos, *, labelled: bool = True) -> OwnSet:
    read_own(Workspace(tmp_path), photos, tmp_path / "source", 48, labelled=labelled)
    return open_own(tmp_path / "source")


def hashes(found: OwnSet) -> set[str]:
    return {*found.train.sha256, *found.val.sha256}


def test_every_image_is_in_train_or_val_under_its_folders_name(tmp_path, photos):
    found = own(tmp_path, photos)
    assert found.classes == ("circles", "crosses", "stripes")
    assert len(found.train) + len(found.val) == len(hashes(found)) == 240
    assert len(found.val) > 0
    path, target = found.train.paths[5], found.train.targets[5]
    assert path.split("/")[0] == found.classes[target]
    stored = np.asarray(Image.open(photos / path))
    assert np.array_equal(found.pixels[found.train.rows[5]], stored[..., :3] if stored.ndim == 3 else stored)


def test_without_labels_folders_mean_nothing(tmp_path, photos):
    assert own(tmp_path, photos, labelled=False).classes == ()


def test_copies_are_taken_once_and_two_labels_for_one_image_not_at_all(tmp_path, photos):
    shutil.copy(photos / "circles" / "0_000.png", photos / "circles" / "copy.png")
    shutil.copy(photos / "circles" / "0_001.png", photos / "stripes" / "other.png")
    found = hashes(own(tmp_path, photos))
    assert sha256_of(photos / "circles" / "0_000.png") in found
    assert sha256_of(photos / "circles" / "0_001.png") not in found
    assert len(found) == 239


def test_a_broken_file_is_left_out_and_said(tmp_path, photos, capsys):
    (photos / "circles" / "cut.png").write_bytes((photos / "circles" / "0_000.png").read_bytes()[:500])
    assert len(hashes(own(tmp_path, photos))) == 240
    assert "1 images left out: could not be read" in capsys.readouterr().err


def test_what_looks_like_a_held_out_image_is_never_learned_from(tmp_path, photos, capsys):
    """One test image lies in the source as it is, another one re-encoded as JPEG."""
    rng = np.random.default_rng(9)
    ws = Workspace(tmp_path)
    scenes = [np.kron(rng.integers(0, 255, (8, 8, 3)), np.ones((6, 6, 1))).astype(np.uint8) for _ in range(3)]
    Image.fromarray(scenes[0]).save(photos / "circles" / "leak.png")
    Image.fromarray(scenes[1]).save(photos / "circles" / "leak.jpg", quality=85)
    held = ["test", "val", "train"]
    sums = [sha256_of(photos / "circles" / "leak.png"), "b" * 64, "c" * 64]
    table = pd.DataFrame({"sha256": sums, "path": held, "split": held, "verdict": "keep"})
    write_table(ws.checked, store_pixels(ws, table, np.stack(scenes)))
    found = hashes(own(tmp_path, photos))
    assert sha256_of(photos / "circles" / "leak.png") not in found
    assert sha256_of(photos / "circles" / "leak.jpg") not in found
    assert "2 images left out: like an image that is held out" in capsys.readouterr().err


def test_too_little_is_refused(tmp_path):
    few = tmp_path / "few"
    (few / "one").mkdir(parents=True)
    for i in range(12):
        Image.fromarray(draw("circles", np.random.default_rng(i))).save(few / "one" / f"{i}.png")
    with pytest.raises(BadData, match="a folder for each class"):
        own(tmp_path, few)
    with pytest.raises(BadData, match="needs 200 or more"):
        own(tmp_path, few, labelled=False)
    with pytest.raises(BadUsage, match="is no folder"):
        own(tmp_path, tmp_path / "nowhere")
