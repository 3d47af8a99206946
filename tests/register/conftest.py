"""A workspace whose run was not computed but put there: real git, DVC, images, network and bundle, in two seconds.

What the registry needs of a run are files, their hashes in `dvc.lock`, and a bundle; no stage but `register` runs.
"""

import hashlib
import json
import shutil
from contextlib import chdir
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from flows.publish import publish
from flows.stages import run_step, track_raw
from flows.workspaces import git, init
from tasks.backbone.catalog import find_entry, weights_folder
from tasks.backbone.weights import open_entry
from tasks.calibrate.calibration import Calibration, save_calibration
from tasks.calibrate.unlike import familiar
from tasks.contracts.files import write_table, write_text
from tasks.contracts.images import decode
from tasks.contracts.model_records import CalibrationRecord, ModelRecord
from tasks.contracts.record_files import checksum_of
from tasks.contracts.records import SPLITS, Statistic
from tasks.contracts.workspace import Workspace
from tasks.register.history import Version
from tasks.train.model import Head, fresh_net, save_model
from tests.conftest import CLASSES, write_images

SIDE_PX = 64
IDENTITY = ("-c", "user.name=test", "-c", "user.email=test@localhost")


def make(root: Path) -> Workspace:
    """A committed workspace with 24 images and every file that a run leaves."""
    ws = init(root / "flowers", write_images(root / "photos", 8))
    write_table(ws.checked, checked_table(ws))
    train(ws, seed=0)
    return ws


def train(ws: Workspace, seed: int, accuracy: float = 0.8, findings: tuple[str, ...] = ("dark",)) -> None:
    """Put another candidate and its reports there, make the bundle, and let DVC take all for a finished run."""
    entry = find_entry("formula_resnet18_small", weights_folder())
    backbone, ref = open_entry(entry, SIDE_PX)
    model = ModelRecord(ref, CLASSES, "fine_tuning", "linear", 3, 0, 1, "", 1.0, 0, (), seed, 12, SIDE_PX)
    shutil.rmtree(ws.candidate, ignore_errors=True)
    save_model(ws.candidate, fresh_net(backbone, Head(len(CLASSES)), seed), model)
    save_calibration(ws.calibration, calibration())
    number = Statistic("accuracy", accuracy, 6, accuracy - 0.1, accuracy + 0.1, estimator="Wilson").__dict__
    found = [finding(check) for check in findings]
    scores = dict.fromkeys(("accuracy", "macro_f1", "log_loss", "calibration_error"), number)
    for path, more in {
        ws.quality: {"findings": found},
        ws.bias: {},
        ws.gate: {"passed": True, "rules": []},
        ws.selection: {},
        ws.evaluation: {"candidate": scores},
    }.items():
        write_text(path, json.dumps({"schema_version": 1, "findings": [], **more}))
    for place in stubs(ws):
        write_text(ws.root / place, f"stub {place} {seed}\n")
    run_step(ws, "register")
    finish(ws)


def finish(ws: Workspace) -> None:
    """Let DVC and git take what lies there for the result of a run."""
    from dvc.repo import Repo

    track_raw(ws)
    with chdir(ws.root), Repo(str(ws.root)) as repo:
        repo.commit(None, force=True)
    git(ws, "add", "--all", ".")
    git(ws, *IDENTITY, "commit", "--quiet", "--allow-empty", "-m", "a run")


def calibration() -> Calibration:
    """As it is, and with no limit for what is unlike training."""
    scores = np.linspace(0, 1, 12, dtype=np.float32)
    near = familiar(
        np.random.default_rng(0).random((20, 2), dtype=np.float32), np.zeros((20, 1), np.float32), np.zeros(20, int)
    )
    return Calibration(CalibrationRecord(1.0, 6, len(scores), 20, 0.05, None), scores, near)


def stubs(ws: Workspace) -> tuple[str, ...]:
    return (
        "data/manifest.parquet",
        "data/splits.parquet",
        "data/weights.parquet",
        "models/augmentation.json",
        "models/scratch/weights.safetensors",
        "reports/contract.json",
        "reports/duplicates.parquet",
        "reports/label_errors.parquet",
        "reports/suspects.jpg",
        "reports/augmentation.jpg",
        "reports/errors.jpg",
        "reports/metrics.json",
        "reports/plots/history.csv",
    )


def finding(check: str) -> dict[str, object]:
    number = Statistic(check, 1.0, 9, estimator="count").__dict__
    return {
        "check": check,
        "severity": "warn",
        "subject": check,
        "statistic": number,
        "message": f"{check} images",
        "remedy": "",
        "evidence": [],
    }


def checked_table(ws: Workspace) -> pd.DataFrame:
    files = sorted(path for path in ws.raw.rglob("*.png"))
    pixels = [decode(path.read_bytes(), SIDE_PX, max_megapixels=1).pixels for path in files]
    return pd.DataFrame(
        {
            "path": [path.relative_to(ws.raw).as_posix() for path in files],
            "archive": None,
            "offset": 0,
            "stored_bytes": 0,
            "deflated": False,
            "bytes": [path.stat().st_size for path in files],
            "sha256": [hashlib.sha256(path.read_bytes()).hexdigest() for path in files],
            "label": [path.parent.name for path in files],
            "split": [SPLITS[i % 4] for i in range(len(files))],
            "prepared_px": SIDE_PX,
            "pixels_crc32": [checksum_of(one) for one in pixels],
            "verdict": "keep",
            "component": range(len(files)),
            "reasons": [[] for _ in files],
        }
    )


@pytest.fixture(scope="session")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with two versions, the first of them champion. Not to be changed: copy it."""
    ws = make(tmp_path_factory.mktemp("two versions"))
    assert publish(ws).title == "model@1, champion"
    train(ws, seed=0, accuracy=0.7, findings=("blurry",))  # the same weights are never better
    assert publish(ws).title == "model@2"
    return ws


@pytest.fixture
def workspace(two_versions: Workspace, tmp_path: Path) -> Workspace:
    """A copy that a test may change."""
    return Workspace(Path(shutil.copytree(two_versions.root, tmp_path / "copy of it", symlinks=True)))


@pytest.fixture
def version(workspace: Workspace) -> Version:
    from tasks.register.registry import find_version

    return find_version(workspace)


@pytest.fixture(scope="session")
def sound(two_versions: Workspace) -> Path:
    """A bundle that holds. Not to be changed."""
    return two_versions.bundle


@pytest.fixture
def bundle(sound: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copytree(sound, tmp_path / "bundle"))
