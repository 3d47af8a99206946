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


def scene(seed: int) -> np.ndarray:
    """A picture with much to compare."""
    rng = np.random.default_rng(seed)
    return np.kron(rng.integers(0, 255, (8, 8, 3)), np.ones((6, 6, 1))).astype(np.uint8)


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """One that holds out three pictures, and learns from a fourth."""
    ws = Workspace(tmp_path / "ws")
    ws.raw.mkdir(parents=True)
    for number in range(4):
        Image.fromarray(scene(number)).save(ws.raw / f"{number}.png")
    table = pd.DataFrame(
        {
            "path": [f"{number}.png" for number in range(4)],
            "sha256": [sha256_of(ws.raw / f"{number}.png") for number in range(4)],
            "split": ["test", "val", "promotion", "train"],
            "verdict": "keep",
            "archive": pd.Series([None] * 4, dtype="str"),
            "offset": pd.Series([None] * 4, dtype="Int64"),
            "stored_bytes": pd.Series([None] * 4, dtype="Int64"),
            "deflated": False,
            "bytes": [(ws.raw / f"{number}.png").stat().st_size for number in range(4)],
        }
    )
    write_table(ws.checked, store_pixels(ws, table, np.stack([scene(number) for number in range(4)])))
    return ws


def held_apart(ws: Workspace, photos) -> set[str]:
    read_own(ws, photos, ws.private / "source", 48, labelled=True)
    return hashes(open_own(ws.private / "source"))


def test_what_looks_like_a_held_out_image_is_never_learned_from(workspace, photos, capsys):
    """The test image lies in the source as it is, the val image as a JPEG; that of train may be learned from."""
    shutil.copy(workspace.raw / "0.png", photos / "circles" / "leak.png")
    Image.fromarray(scene(1)).save(photos / "circles" / "leak.jpg", quality=85)
    shutil.copy(workspace.raw / "3.png", photos / "circles" / "fine.png")
    found = held_apart(workspace, photos)
    assert sha256_of(photos / "circles" / "leak.png") not in found
    assert sha256_of(photos / "circles" / "leak.jpg") not in found
    assert sha256_of(photos / "circles" / "fine.png") in found
    assert "2 images left out: like an image that is held out" in capsys.readouterr().err


def test_a_crowd_of_copies_of_a_held_out_image_is_kept_out_too(workspace, photos):
    rng = np.random.default_rng(5)
    for number in range(40):
        noisy = scene(2).astype(int) + rng.integers(-6, 7, (48, 48, 3))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(photos / "circles" / f"burst{number}.png")
    found = held_apart(workspace, photos)
    assert not {sha256_of(path) for path in (photos / "circles").glob("burst*")} & found
    assert len(found) == 240


def test_held_out_images_are_known_without_a_cache(workspace, photos):
    shutil.copy(workspace.raw / "0.png", photos / "circles" / "leak.png")
    Image.fromarray(scene(1)).save(photos / "circles" / "leak.jpg", quality=85)
    shutil.rmtree(workspace.prepared)
    assert len(held_apart(workspace, photos)) == 240


def test_images_without_splits_yet_are_refused(workspace, photos):
    workspace.checked.unlink()
    with pytest.raises(BadUsage, match="`graft audit` first"):
        held_apart(workspace, photos)


def test_an_image_without_a_label_hides_no_labelled_copy_of_itself(tmp_path, photos):
    shutil.copy(photos / "circles" / "0_000.png", photos / "0_000.png")
    assert len(hashes(own(tmp_path, photos))) == 240


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
