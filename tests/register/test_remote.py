"""Pushed before announced: a folder as DVC's remote, a bare repository as `origin`, and clones that have only these."""

import hashlib
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flows import cli
from flows.publish import announce
from tasks.contracts.errors import BadEnvironment, BrokenArtifact
from tasks.contracts.workspace import Workspace
from tasks.register import registry
from tasks.register.remote import PUSHED, push
from tasks.register.saved import objects, outputs, raw_files
from tasks.register.store import opened
from tasks.register.tags import run_git
from tests.register.test_history import git

KILLED = """
import os, signal, sys
from pathlib import Path
from tasks.contracts.workspace import Workspace
from tasks.register.remote import push
from dvc_objects.fs.local import LocalFileSystem
put = LocalFileSystem.put_file
seen = []
def put_some(*arguments, **options):
    seen.append(1)
    if len(seen) > 12:
        os.kill(os.getpid(), signal.SIGKILL)
    return put(*arguments, **options)
LocalFileSystem.put_file = put_some
push(Workspace(Path(sys.argv[1])))
"""


@pytest.fixture
def remote(workspace: Workspace, tmp_path: Path) -> Path:
    """A folder that is the workspace's default remote, and a bare repository that is its `origin`."""
    folder = tmp_path / "remote"
    folder.mkdir()
    config = workspace.root / ".dvc" / "config"
    text = config.read_text().replace("[core]\n", "[core]\n    remote = far\n", 1)
    config.write_text(f"{text}['remote \"far\"']\n    url = {folder}\n")
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
    git(workspace.root, "remote", "add", "origin", str(tmp_path / "origin.git"))
    git(workspace.root, "commit", "--quiet", "--all", "-m", "a remote")
    git(workspace.root, "push", "--quiet", "origin", "main")
    return folder


def stored(remote: Path) -> set[str]:
    """The hashes of the objects in the remote, each of which has the content that its name says."""
    found = set()
    for path in (remote / "files" / "md5").rglob("*"):
        if path.is_file():
            name = path.parent.name + path.name
            assert hashlib.md5(path.read_bytes()).hexdigest() == name.removesuffix(".dir")  # noqa: S324
            found.add(name)
    return found


def announced(remote: Path) -> list[str]:
    return git(remote.parent / "origin.git", "tag").splitlines()


def noted(ws: Workspace) -> list[str]:
    """The versions that a remote was seen to hold."""
    return run_git(ws.root, "for-each-ref", "--format=%(refname:lstrip=3)", PUSHED).split()


def needed(ws: Workspace) -> set[str]:
    with opened(ws) as store:
        return {md5 for one in registry.versions(ws) for md5 in objects(store, one, outputs(ws, one))}


def test_all_objects_are_there_before_any_tag_is(workspace, remote):
    assert noted(workspace) == []
    done = push(workspace)
    assert stored(remote) >= needed(workspace)
    assert announced(remote) == ["model#champion#1", "model@v1.0.0", "model@v2.0.0"]
    assert done.versions == ("model@1", "model@2")
    assert noted(workspace) == ["model@1", "model@2"]
    assert push(workspace).versions == ()


def test_a_cold_clone_gets_every_byte_back_from_the_remote_alone(workspace, remote, tmp_path, capsys):
    push(workspace)
    here = {p.relative_to(workspace.root): p.read_bytes() for p in workspace.root.rglob("*") if p.is_file()}
    git(tmp_path, "clone", "--quiet", str(tmp_path / "origin.git"), "clone")
    shutil.rmtree(workspace.root)
    clone = tmp_path / "clone"
    raw = raw_files(Workspace(clone), registry.find_version(Workspace(clone), "model@1"))
    assert {Path("data/raw", path) for path in raw} == {path for path in here if path.match("data/raw/*/*.png")}
    arguments = ["--workspace", str(clone), "models", "show", "model@2", "--restore", str(tmp_path / "back"), "--json"]
    assert cli.main(arguments) == 0
    restored = json.loads(capsys.readouterr().out)["restored"]["files"]
    assert {"models/bundle/weights.safetensors", "data/checked.parquet", "reports/evaluation.json"} <= set(restored)
    assert sum(place.startswith("data/raw/") and place.endswith(".png") for place in restored) == 24
    for place in restored:
        assert (tmp_path / "back" / place).read_bytes() == here[Path(place)], place
    assert cli.main(["--workspace", str(clone), "models", "verify", "--json"]) == 0


def test_a_push_that_is_killed_announces_nothing_and_the_next_one_finishes_it(workspace, remote):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, workspace.root], capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    half = stored(remote)
    assert 0 < len(half) < len(needed(workspace))
    assert announced(remote) == []
    assert noted(workspace) == []
    announce(workspace)  # what the next `graft run` does
    assert stored(remote) >= needed(workspace)
    assert announced(remote) == ["model#champion#1", "model@v1.0.0", "model@v2.0.0"]


def test_a_remote_that_lost_objects_is_noticed_and_filled_again(workspace, remote):
    push(workspace)
    for path in [path for path in (remote / "files" / "md5").rglob("*") if path.is_file()][::3]:
        path.unlink()
    push(workspace, registry.find_version(workspace, "model@1"))
    push(workspace, registry.find_version(workspace, "model@2"))
    assert stored(remote) >= needed(workspace)


def test_a_remote_that_takes_nothing_announces_nothing(workspace, remote, capsys):
    shutil.rmtree(remote)
    remote.write_text("no folder")
    with pytest.raises(BadEnvironment):
        push(workspace)
    announce(workspace)
    assert "not announced" in capsys.readouterr().err
    assert announced(remote) == []
    assert noted(workspace) == []


def test_an_object_that_is_nowhere_is_named_and_nothing_is_announced(workspace, remote):
    version = registry.find_version(workspace, "model@1")
    with opened(workspace) as store:
        gone = store.place(outputs(workspace, version)["data/checked.parquet"])
    gone.chmod(0o644)
    gone.unlink()
    with pytest.raises(BrokenArtifact, match="neither here nor at the remote"):
        push(workspace)
    assert announced(remote) == []


def test_another_clone_that_was_first_is_told_of(workspace, remote, tmp_path):
    push(workspace)
    clone = Workspace(
        Path(git(tmp_path, "clone", "--quiet", str(tmp_path / "origin.git"), "clone") or tmp_path / "clone")
    )
    registry.promote(clone, registry.find_version(clone, "model@2"), "Ada", "there", 1)
    registry.promote(workspace, registry.find_version(workspace, "model@2"), "Bob", "here", 1)
    push(clone)
    with pytest.raises(BadEnvironment, match="another clone registered them first"):
        push(workspace)


def test_what_was_refused_stays_here_and_keeps_nobody_from_pushing(workspace, remote, tmp_path):
    push(workspace)
    git(tmp_path, "clone", "--quiet", str(tmp_path / "origin.git"), "clone")
    clone = Workspace(tmp_path / "clone")
    for ws, by in ((workspace, "Ada"), (clone, "Bob")):
        registry.refuse(ws, registry.find_version(ws, "model@2"), ("promote", by, "x"), "it does not hold")
        assert not [ref for ref in push(ws).announced if "refused" in ref]
    assert "refused" not in git(tmp_path / "origin.git", "for-each-ref")
    assert [[one.by for one in registry.history(ws).refusals] for ws in (workspace, clone)] == [["Ada"], ["Bob"]]


def test_without_a_remote_nothing_is_pushed_and_asking_for_it_says_how(workspace, capsys):
    announce(workspace)
    assert capsys.readouterr().err == ""
    assert cli.main(["--workspace", str(workspace.root), "models", "push"]) == 4
    assert "dvc remote add --default" in capsys.readouterr().err
