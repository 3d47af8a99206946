"""`graft doctor`: one line for each thing, what to do where it is not well, and exit 4 where it is bad."""

import json
import subprocess
from importlib import metadata

import pytest

from flows import doctor
from flows.doctor import examine
from flows.workspaces import init
from tasks.contracts.params_file import override
from tasks.contracts.workspace import Workspace
from tests.flows.conftest import BIN, commit, graft


@pytest.fixture(scope="module")
def ws(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace without data, whose port is nobody's."""
    found = init(tmp_path_factory.mktemp("doctor") / "made of thin air")
    commit(found, "made")
    return found


def found(ws: Workspace) -> dict[str, doctor.Check]:
    return {one.name: one for one in examine(ws)}


def test_a_line_for_each_thing_and_exit_0_where_nothing_is_bad(ws):
    done = graft(ws, "doctor")
    assert done.returncode == 0, done.stdout
    said = {line.split(": ")[0].split(maxsplit=1)[1]: line.split()[0] for line in done.stdout.splitlines()}
    assert {"python", "libraries", "git", "disk", "memory", "gpu", "locale", "umask", "clock"} <= set(said)
    assert said["workspace"] == "ok"
    assert "warn data: data/raw is missing; put images there, a folder for each class" in done.stdout


def test_what_is_bad_is_exit_4_also_for_machines(ws):
    text = ws.params.read_text(encoding="utf-8")
    ws.params.write_text(text.replace("port: 4200", "prot: 4200"), encoding="utf-8")
    done = graft(ws, "doctor", "--json")
    ws.params.write_text(text, encoding="utf-8")
    assert done.returncode == 4
    (bad,) = [one for one in json.loads(done.stdout) if one["verdict"] == "bad"]
    assert bad["name"] == "workspace"
    assert "unknown key operate.prot, did you mean port?" in bad["said"]


def test_a_library_outside_its_pin_is_named(ws, monkeypatch):
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "0.1" if name == "sqlalchemy" else real(name))
    libraries = found(ws)["libraries"]
    assert libraries.verdict == "bad"
    assert libraries.said == "sqlalchemy 0.1, not <2.1,>=2.0"


def test_little_room_is_a_warning_and_less_is_bad():
    verdicts = [doctor._room("disk", free * doctor.GB, doctor.DISK_GB, "").verdict for free in (0.5, 2, 50)]
    assert verdicts == ["bad", "warn", "ok"]


def test_a_remote_is_reached_or_named(ws, tmp_path):
    assert found(ws)["dvc remote"].verdict == "warn"
    (tmp_path / "there").mkdir()
    for folder, verdict in (("there", "ok"), ("gone/away", "bad")):
        dvc = [str(BIN / "dvc"), "remote", "add", "--force", "--default", "store", str(tmp_path / folder)]
        subprocess.run(dvc, cwd=ws.root, check=True, capture_output=True)
        check = found(ws)["dvc remote"]
        assert (check.verdict, str(tmp_path / folder) in check.said) == (verdict, True)
    subprocess.run([str(BIN / "dvc"), "remote", "remove", "store"], cwd=ws.root, check=True, capture_output=True)


def test_oddities_of_the_surroundings(ws, monkeypatch):
    monkeypatch.delenv("HOME")
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setattr(doctor.time, "time", lambda: 1e9)
    override(ws.params, ["operate.database=postgresql://me:pass@db.example/runs"])
    said = found(ws)
    override(ws.params, ["operate.database="])
    assert {name: said[name].verdict for name in ("home", "server", "clock", "database")} == {
        "home": "warn",
        "server": "bad",
        "clock": "warn",
        "database": "warn",
    }
    assert "pass" not in said["database"].said.replace("password", "")
