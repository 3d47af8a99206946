"""From a clone that has only the remote, a version's figures are made again; what comes out otherwise is named."""

import json
import shutil
from pathlib import Path

import pytest

from flows.cli import main
from flows.workspaces import AUTHOR
from tasks.contracts.errors import BrokenArtifact
from tasks.contracts.files import sha256_of
from tasks.contracts.workspace import Workspace
from tasks.register.recompute import FIGURES, Remade, recompute, require_equal
from tasks.register.remote import push
from tests.register.test_history import git


@pytest.fixture
def clone(workspace: Workspace, tmp_path: Path) -> Workspace:
    """A clone of a workspace that is gone, with its default remote: all that is left."""
    config = workspace.root / ".dvc" / "config"
    text = config.read_text().replace("[core]\n", "[core]\n    remote = far\n", 1)
    config.write_text(f"{text}['remote \"far\"']\n    url = {tmp_path / 'remote'}\n")
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
    git(workspace.root, "remote", "add", "origin", str(tmp_path / "origin.git"))
    git(workspace.root, *AUTHOR, "commit", "--quiet", "-m", "a remote", str(config))
    git(workspace.root, "push", "--quiet", "origin", "HEAD:main")
    push(workspace)
    git(tmp_path, "clone", "--quiet", str(tmp_path / "origin.git"), "clone")
    shutil.rmtree(workspace.root)
    return Workspace(tmp_path / "clone")


def test_the_recorded_figures_come_out_again_to_the_last_digit(clone, tmp_path, capsys):
    back = tmp_path / "back"
    asked = ["--workspace", str(clone.root), "models", "show", "model@1", "--restore", str(back), "--recompute"]
    assert main([*asked, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    recorded = json.loads((back / "reports" / "evaluation.json").read_text())["candidate"]
    made = {one["name"]: one["made"] for one in told["recomputed"]}
    assert made["test images"] == recorded["accuracy"]["n"] > 0
    assert {name: made[name] for name in FIGURES} == {name: recorded[name]["value"] for name in FIGURES}
    kept = {str(path.relative_to(back)) for path in back.rglob("*") if path.is_file()}
    assert kept == set(told["restored"]["files"])  # nothing was left beside them

    _forge(back / "models" / "bundle")
    assert {one.name for one in recompute(back) if not one.holds} == {"accuracy", "log_loss"}
    with pytest.raises(BrokenArtifact, match=r"accuracy is [01]\.?\d*, not 0\.1234, log_loss is "):
        require_equal(recompute(back))

    image = next((back / "data" / "raw").rglob("*.png"))
    for path in (back / "data" / "raw").rglob("*.png"):
        path.write_bytes(image.read_bytes())
    with pytest.raises(BrokenArtifact, match=r"gives other pixels than were checked|cannot be read"):
        recompute(back)


def test_what_is_not_restored_is_not_made_again(clone, capsys):
    assert main(["--workspace", str(clone.root), "models", "show", "model@1", "--recompute"]) == 2
    assert "add --restore DIR" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("recorded", "made", "holds"),
    [
        (0.9, 0.9, True),
        (0.9, 0.9 + 1e-7, True),
        (0.9, 0.8999, False),
        (None, None, True),
        (None, 0.5, False),
        (0.5, None, False),
    ],
)
def test_a_figure_holds_but_for_rounding(recorded, made, holds):
    assert Remade("accuracy", recorded, made).holds == holds


def _forge(bundle: Path) -> None:
    """Other figures, with hashes that fit them."""
    path = bundle / "reports" / "evaluation.json"
    report = json.loads(path.read_text())
    for name in ("accuracy", "log_loss"):
        report["candidate"][name]["value"] = 0.1234
    path.write_text(json.dumps(report))
    record = json.loads((bundle / "bundle.json").read_text())
    record["files"]["reports/evaluation.json"] = sha256_of(path)
    (bundle / "bundle.json").write_text(json.dumps(record))
