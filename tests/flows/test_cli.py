"""What a user meets at the door: answers, refusals, exit codes."""

import json
import os

import numpy as np
import pytest
from PIL import Image

from flows.cli import main
from flows.workspaces import init
from tasks.contracts.workspace import Workspace
from tests.conftest import CLASSES, draw, write_images


def refused(capsys, *arguments) -> tuple[int, str]:
    """The exit code and the last line on stderr, which must be the only one that is not progress."""
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stop:
        code = int(stop.code or 0)
    lines = capsys.readouterr().err.splitlines()
    assert lines
    assert not any(line.startswith("Traceback") for line in lines)
    return code, lines[-1]


@pytest.fixture
def empty(tmp_path) -> Workspace:
    return init(tmp_path / "empty")


def test_help_names_every_command(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    commands = ("init", "run", "tune", "audit", "stage", "status", "report", "backbones", "models", "predict")
    assert all(f"\n    {command}" in shown for command in commands)


@pytest.mark.parametrize("arguments", [["rum"], ["run", "--until", "nowhere"], ["predict"], ["stage"]])
def test_wrong_words_are_usage_errors(capsys, arguments):
    code, line = refused(capsys, *arguments)
    assert code == 2
    assert "--help" in line


def test_a_folder_that_is_no_workspace(capsys, tmp_path):
    code, line = refused(capsys, "--workspace", tmp_path, "status")
    assert code == 2
    assert "graft init" in line


@pytest.mark.parametrize(
    ("setting", "part"),
    [("train.epoch=3", "did you mean epochs"), ("train.epochs=many", "train.epochs"), ("seed=-1", "seed")],
)
def test_bad_params_run_nothing(capsys, empty, setting, part):
    code, line = refused(capsys, "--workspace", empty.root, "run", "--set", setting)
    assert code == 2
    assert part in line
    assert not (empty.root / "dvc.lock").exists()


def test_no_data(capsys, empty):
    code, line = refused(capsys, "--workspace", empty.root, "run")
    assert code == 3
    assert "data/raw is missing" in line


def test_data_that_is_a_file(capsys, empty):
    empty.raw.write_text("not a folder")
    code, line = refused(capsys, "--workspace", empty.root, "run")
    assert code == 3
    assert "no folder" in line


@pytest.mark.parametrize(
    ("table", "code", "part"),
    [
        ("name,label\na.png,x\n", 3, "path"),
        ("path,label\n../../secret.png,x\n", 3, "../../secret.png"),
        ("path,label\n/etc/passwd,x\n", 3, "/etc/passwd"),
        ("path,label,split\ncircles/0_000.png,circles,holdout\n", 3, "holdout"),
    ],
)
def test_bad_tables(capsys, tmp_path, table, code, part):
    ws = init(tmp_path / "ws", write_images(tmp_path / "photos", 2))
    (ws.raw / "metadata.csv").write_text(table)
    got, line = refused(capsys, "--workspace", ws.root, "stage", "ingest")
    assert got == code
    assert part in line


def test_one_class_is_no_task(capsys, tmp_path):
    folder = tmp_path / "photos" / "only"
    folder.mkdir(parents=True)
    Image.fromarray(draw("circles", np.random.default_rng(0))).save(folder / "a.png")
    ws = init(tmp_path / "ws", tmp_path / "photos")
    code, line = refused(capsys, "--workspace", ws.root, "stage", "ingest")
    assert code == 3
    assert "class" in line


def test_a_label_column_that_is_missing(capsys, tmp_path):
    ws = init(tmp_path / "ws", write_images(tmp_path / "photos", 2))
    (ws.raw / "metadata.csv").write_text("path,site\ncircles/0_000.png,a\n")
    (ws.params).write_text("ingest: {labels_from: table}\n")
    code, line = refused(capsys, "--workspace", ws.root, "stage", "ingest")
    assert code == 3
    assert "label" in line


def test_a_link_that_leaves_the_data_folder_is_refused_before_dvc_copies_it(capsys, tmp_path):
    ws = init(tmp_path / "ws", write_images(tmp_path / "photos", 2))
    (ws.raw / "circles" / "link.png").symlink_to("/etc/hostname")
    code, line = refused(capsys, "--workspace", ws.root, "run")
    assert code == 3
    assert "link.png" in line


def test_a_pipe_is_refused_before_dvc_hangs_on_it(capsys, tmp_path):
    ws = init(tmp_path / "ws", write_images(tmp_path / "photos", 2))
    os.mkfifo(ws.raw / "circles" / "pipe.png")
    code, line = refused(capsys, "--workspace", ws.root, "run")
    assert code == 3
    assert "pipe.png is a pipe" in line


def test_groups_without_a_table_are_refused(capsys, tmp_path):
    ws = init(tmp_path / "ws", write_images(tmp_path / "photos", 2))
    ws.params.write_text("ingest: {group: patient}\n")
    code, line = refused(capsys, "--workspace", ws.root, "stage", "ingest")
    assert code == 3
    assert "patient" in line


def test_a_shuffled_parquet_table_keeps_labels_with_their_files(tmp_path):
    import pandas as pd

    ws = init(tmp_path / "ws", write_images(tmp_path / "photos", 4))
    paths = sorted(path.relative_to(ws.raw).as_posix() for path in ws.raw.rglob("*.png"))
    table = pd.DataFrame({"path": paths, "label": [path.split("/")[0] for path in paths]})
    table.sample(frac=1, random_state=0).to_parquet(ws.raw / "metadata.parquet")
    assert main(["--workspace", str(ws.root), "stage", "ingest"]) == 0
    manifest = pd.read_parquet(ws.manifest)
    assert list(manifest["label"]) == [path.split("/")[0] for path in manifest["path"]]


def test_a_params_file_that_lacks_a_section_is_refused_before_anything_runs(capsys, empty):
    empty.params.write_text("seed: 1\n")
    code, line = refused(capsys, "--workspace", empty.root, "run")
    assert code == 2
    assert "ingest" in line


def test_a_second_run_at_once_is_told_who_holds_the_workspace(capsys, empty):
    from flows.stages import only_run

    empty.raw.mkdir()
    with only_run(empty):
        code, line = refused(capsys, "--workspace", empty.root, "run")
    assert code == 4
    assert f", process {os.getpid()} on " in line


def test_an_old_dvc_yaml_is_refused_and_init_mends_it(capsys, empty):
    path = empty.root / "dvc.yaml"
    path.write_text(path.read_text().replace("quality --results-version 7", "quality --results-version 0"))
    code, line = refused(capsys, "--workspace", empty.root, "run")
    assert code == 2
    assert "graft init" in line
    init(empty.root)
    code, line = refused(capsys, "--workspace", empty.root, "run")
    assert code == 3


def test_a_workspace_of_an_older_graft_gets_a_contract_from_init(capsys, tmp_path):
    ws = init(tmp_path / "ws", write_images(tmp_path / "photos", 2))
    ws.contract.unlink()
    for command in (["run"], ["audit"], ["stage", "quality"]):
        code, line = refused(capsys, "--workspace", ws.root, *command)
        assert code == 2
        assert "contract.json is missing; `graft init" in line
    init(ws.root)
    assert '"stripes"' in ws.contract.read_text()


def test_a_contract_that_graft_does_not_run_is_refused_before_anything_runs(capsys, empty):
    empty.contract.write_text('{"expectations": [{"type": "os.system", "kwargs": {"command": "id"}}]}')
    code, line = refused(capsys, "--workspace", empty.root, "run")
    assert code == 2
    assert "contract.json, expectation 1: 'os.system' is no type of expectation" in line


def test_init_overwrites_nothing(capsys, tmp_path):
    photos = write_images(tmp_path / "photos", 2)
    ws = init(tmp_path / "ws", photos)
    ws.params.write_text("seed: 7\n")
    init(ws.root)
    assert ws.params.read_text() == "seed: 7\n"
    code, line = refused(capsys, "init", ws.root, "--data", photos)
    assert code == 2
    assert "is there already" in line


def test_init_commits_only_its_own_files_in_a_repository_that_has_others(tmp_path):
    from flows.workspaces import git
    from tests.flows.conftest import commit

    ws = Workspace(tmp_path)
    git(ws, "init", "--quiet")
    (tmp_path / "notes.txt").write_text("mine")
    commit(ws, "mine")
    (tmp_path / ".env").write_text("SECRET=1")
    init(tmp_path, write_images(tmp_path.parent / f"{tmp_path.name} photos", 2))
    committed = git(ws, "ls-tree", "-r", "--name-only", "HEAD").splitlines()
    assert {"dvc.yaml", "params.yaml", ".dvc/config", "notes.txt"} <= set(committed)
    assert ".env" not in committed
    assert not [name for name in committed if name.startswith("data/raw")]


def test_init_leaves_stages_of_the_user_alone(tmp_path):
    from ruamel.yaml import YAML

    ws = init(tmp_path / "ws")
    path = ws.root / "dvc.yaml"
    pipeline = YAML().load(path.read_text())
    pipeline["stages"]["mine"] = {"cmd": "true", "deps": ["data/raw"]}
    pipeline["stages"]["ingest"]["cmd"] = "graft stage ingest --results-version 0"
    with path.open("w") as file:
        YAML().dump(pipeline, file)
    init(ws.root)
    stages = YAML().load(path.read_text())["stages"]
    assert stages["mine"]["cmd"] == "true"
    assert stages["ingest"]["cmd"] == "graft stage ingest --results-version 2"


def test_a_class_called_demo_is_data_like_any_other(tmp_path):
    from flows.stages import track_raw

    photos = write_images(tmp_path / "photos", 2)
    (photos / "circles").rename(photos / "demo")
    ws = init(tmp_path / "ws", photos)
    track_raw(ws)
    assert "nfiles: 6" in (ws.root / "data" / "raw.dvc").read_text()


@pytest.mark.parametrize("data", ["nowhere", "file.txt", "empty"])
def test_init_with_bad_data_makes_nothing(capsys, tmp_path, data):
    (tmp_path / "file.txt").touch()
    (tmp_path / "empty").mkdir()
    code, line = refused(capsys, "init", tmp_path / "ws", "--data", tmp_path / data)
    assert code == 3
    assert data in line
    assert not (tmp_path / "ws").exists()


def test_a_broken_local_weights_file(capsys, workspace):
    (workspace.root / "models" / "own.safetensors").write_bytes(b"not weights")
    setting = "select.candidates=[{network: resnet18, weights: models/own.safetensors}]"
    from tasks.contracts.params_file import override

    override(workspace.params, [setting])
    code, line = refused(capsys, "--workspace", workspace.root, "stage", "select")
    assert code == 5
    assert "own.safetensors" in line


def test_models_status_and_report_speak_json(capsys, finished):
    def read(*arguments):
        assert main(["--workspace", str(finished.root), *arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    assert [(v["number"], v["champion"]) for v in read("models", "list")] == [(1, True)]
    assert read("models", "show", "model@1")["bundle"]["model"]["classes"] == list(CLASSES)
    assert {row["state"] for row in read("status")["stages"]} == {"fresh"}
    assert read("report", "quality")["report"] == "quality"


def test_an_unknown_version_names_the_known_ones(capsys, finished):
    code, line = refused(capsys, "--workspace", finished.root, "models", "show", "model@9")
    assert code == 2
    assert "model@1" in line
