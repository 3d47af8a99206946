"""Several at once, in several processes and worktrees: numbers are used once, one wins, and the others are told."""

import json
import subprocess
import sys

import pytest

from tasks.contracts.errors import GateRefused
from tasks.contracts.workspace import Workspace
from tasks.register import registry
from tasks.register.decision import Decision
from tests.register.test_history import NOTE, commit, git

REGISTER = """
import sys
from pathlib import Path
from tasks.contracts.workspace import Workspace
from tasks.register import registry
from tasks.register.decision import Decision
sys.stdin.readline()
for run in sys.argv[2:]:
    registry.register(Workspace(Path(sys.argv[1])), run, {"bundle": run}, Decision(False, "a run"))
"""
PROMOTE = """
import sys
from pathlib import Path
from tasks.contracts.errors import GateRefused
from tasks.contracts.workspace import Workspace
from tasks.register import registry
ws = Workspace(Path(sys.argv[1]))
version = registry.find_version(ws, sys.argv[2])
sys.stdin.readline()
try:
    registry.promote(ws, version, f"process {version.number}", "a race", 1)
except GateRefused as error:
    sys.exit(str(error))
"""


def started(script, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def let_go(processes):
    """All at the same moment; their exit codes and last words."""
    for one in processes:
        one.stdin.write("\n")
        one.stdin.flush()
    said = [one.communicate(timeout=240)[1] for one in processes]
    return [(one.returncode, words) for one, words in zip(processes, said, strict=True)]


def test_versions_that_are_registered_at_once_have_numbers_of_their_own(tmp_path):
    root, linked = tmp_path / "one", tmp_path / "two"
    root.mkdir()
    git(root, "init", "--quiet")
    git(root, "commit", "--quiet", "--allow-empty", "-m", "first")
    git(root, "worktree", "add", "--quiet", "--detach", str(linked))
    assert (linked / ".git").is_file()
    runs = [[git(root, "commit-tree", "-m", f"{p} {i}", "HEAD^{tree}") for i in range(6)] for p in range(3)]
    done = let_go([started(REGISTER, place, *some) for place, some in zip((root, linked, root), runs, strict=True)])
    assert [code for code, _ in done] == [0, 0, 0], done
    now = registry.history(Workspace(linked))
    assert [one.number for one in now.versions] == list(range(1, 19))
    assert {one.note["bundle"] for one in now.versions} == {run for some in runs for run in some}
    assert {one.commit for one in now.versions} == {run for some in runs for run in some}
    locks = list((root / ".git").rglob("graft-registry.lock"))
    assert locks == [root / ".git" / "graft-registry.lock"]


def test_of_two_promotions_at_once_one_wins_and_both_are_kept(tmp_path):
    git(tmp_path, "init", "--quiet")
    ws = Workspace(tmp_path)
    for promote in (True, False, False):
        registry.register(ws, commit(tmp_path), NOTE, Decision(promote, "a run"))
    done = let_go([started(PROMOTE, tmp_path, name) for name in ("model@2", "model@3")])
    assert sorted(code for code, _ in done) == [0, 1], done
    now = registry.history(ws)
    (_, won), (lost,) = now.assignments, now.refusals
    assert now.champion is not None
    assert now.champion.number == won.to
    assert {won.to, lost.to} == {2, 3}
    assert (won.by, lost.by) == (f"process {won.to}", f"process {lost.to}")
    assert f"is now model@{won.to} (promote by process {won.to}" in lost.problem
    assert lost.problem in next(words for code, words in done if code)


def test_a_refusal_is_shown_in_the_history(workspace, capsys):
    from flows import cli

    version = registry.find_version(workspace, "model@2")
    with pytest.raises(GateRefused) as refused:
        registry.promote(workspace, version, "Ada", "a guess", seen=7)
    assert refused.value.exit_code == 1
    assert cli.main(["--workspace", str(workspace.root), "models", "history", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [(one["to"], one["by"], one["why"]) for one in told["refusals"]] == [(2, "Ada", "a guess")]
    assert len(told["assignments"]) == 1


def test_a_run_whose_champion_changes_meanwhile_compares_again(workspace, monkeypatch):
    from flows import publish
    from tests.register.conftest import train

    train(workspace, seed=0, accuracy=0.6)
    compared = []

    def decide(ws, now, _offer):
        champion = now.champion
        compared.append(champion.number)
        if len(compared) == 1:
            registry.promote(ws, registry.find_version(ws, "model@2"), "Ada", "meanwhile", champion.number)
        return Decision(True, f"better than {champion.name}")

    monkeypatch.setattr(publish, "_decide", decide)
    assert publish.publish(workspace).title == "model@3, champion"
    assert compared == [1, 2]
    assert [(one.to, one.before) for one in registry.history(workspace).assignments] == [(1, None), (2, 1), (3, 2)]
