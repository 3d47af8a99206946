"""`graft models`, each command as a user gives it, on a real git and DVC repository."""

import json

from flows import cli


def graft(capsys, ws, *arguments):
    """Exit code, what it printed, and the last line of its errors."""
    code = cli.main(["--workspace", str(ws.root), "models", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out, (said.err.splitlines() or [""])[-1]


def as_json(capsys, ws, *arguments):
    code, out, _ = graft(capsys, ws, *arguments, "--json")
    assert code == 0
    return json.loads(out)


def test_versions_are_listed_and_shown(workspace, capsys):
    listed = as_json(capsys, workspace, "list")
    assert [(one["number"], one["champion"]) for one in listed] == [(1, True), (2, False)]
    shown = as_json(capsys, workspace, "show", "model@2")
    assert shown["name"] == "model@2"
    assert shown["note"]["params"]["train"]["strategy"] == "fine_tuning"
    assert shown["bundle"]["params"]["train"] == shown["note"]["params"]["train"]
    assert {"data/raw", "models/bundle", "reports/evaluation.json"} <= set(shown["files"])


def test_a_person_promotes_and_goes_back_and_the_history_says_so(workspace, capsys):
    done = as_json(capsys, workspace, "promote", "model@2", "--by", "Ada", "--reason", "seen in the field")
    assert (done["before"], done["to"], done["action"]) == (1, 2, "promote")
    assert as_json(capsys, workspace, "show")["name"] == "model@2"
    done = as_json(capsys, workspace, "rollback", "--by", "Bob", "--reason", "too many cats")
    assert (done["before"], done["to"], done["action"]) == (2, 1, "rollback")
    assert as_json(capsys, workspace, "show")["name"] == "model@1"
    told = as_json(capsys, workspace, "history")
    assert [(one["to"], one["by"]) for one in told["assignments"]] == [(1, "graft"), (2, "Ada"), (1, "Bob")]
    _, out, _ = graft(capsys, workspace, "history")
    assert "model@2 -> model@1, rollback by Bob: too many cats" in out


def test_other_tools_read_the_same_champion(workspace, capsys):
    """GTO's format: DVC's own artifacts API, and GTO's list of versions."""
    import gto.api
    from dvc.api import artifacts_show

    from tasks.register.registry import find_version

    as_json(capsys, workspace, "promote", "model@2", "--by", "Ada", "--reason", "x")
    assert artifacts_show("model", stage="champion", repo=str(workspace.root))["rev"] == find_version(workspace).commit
    registered = {one["version"] for one in gto.api.show(str(workspace.root), "model")}
    assert registered == {"v1.0.0", "v2.0.0"}


def test_wrong_requests_are_one_line_and_exit_2(workspace, capsys):
    why = ("--by", "Ada", "--reason", "x")
    for arguments in (
        ("show", "../../x@1"),
        ("show", "%252e%252e@1"),
        ("show", "model\\@1"),
        ("show", "model@1; rm -rf ."),
        ("show", "model@\u0661"),
        ("show", "other@1"),
        ("show", "model@9"),
        ("verify", "--", "-model@1"),
        ("promote", "model@9", *why),
        ("promote", "model@1", *why),
        ("rollback", *why),
        ("rollback", "--to", "model@2", *why),
        ("promote", "model@2", "--by", " \n", "--reason", "x"),
        ("promote", "model@2", "--by", "Ada", "--reason", ""),
        ("export", "model@1", workspace.root),
    ):
        code, out, line = graft(capsys, workspace, *arguments)
        assert (code, out) == (2, ""), arguments
        assert line.startswith("graft: "), arguments
        assert "Traceback" not in line
    assert len(as_json(capsys, workspace, "history")["assignments"]) == 1


def test_an_export_is_the_bundle_byte_for_byte_and_loads(workspace, tmp_path, capsys):
    from tasks.register.bundle import load_bundle

    code, _, _ = graft(capsys, workspace, "export", "model@2", tmp_path / "out")
    assert code == 0
    files = [path for path in workspace.bundle.rglob("*") if path.is_file()]
    for path in files:
        assert (tmp_path / "out" / path.relative_to(workspace.bundle)).read_bytes() == path.read_bytes()
    assert load_bundle(tmp_path / "out").classes == ("circles", "crosses", "stripes")


def test_a_restored_version_is_byte_equal_and_nothing_is_overwritten(workspace, tmp_path, capsys):
    shown = as_json(capsys, workspace, "show", "model@2", "--restore", tmp_path / "back")
    for place in shown["restored"]["files"]:
        assert (tmp_path / "back" / place).read_bytes() == (workspace.root / place).read_bytes(), place
    for folder in ("data/raw", "models/bundle", "models/candidate", "reports/plots"):
        here, there = (
            {p.relative_to(root).as_posix() for p in (root / folder).rglob("*") if p.is_file()}
            for root in (workspace.root, tmp_path / "back")
        )
        assert here == there
    code, _, line = graft(capsys, workspace, "show", "model@1", "--restore", tmp_path / "back")
    assert code == 2
    assert "is there already" in line
    _, out, _ = graft(capsys, workspace, "show", "model@1", "--restore", tmp_path / "older")
    assert "test accuracy 80.0%" in out
    assert '"blurry"' not in (tmp_path / "older" / "reports" / "quality.json").read_text()


def test_a_difference_names_settings_figures_findings_and_answers(workspace, capsys):
    found = as_json(capsys, workspace, "diff", "model@1", "model@2")
    assert found["data"]["before"] == found["data"]["after"] == 24
    assert found["new_findings"] == ["warn: blurry images"]
    assert found["gone_findings"] == ["warn: dark images"]
    accuracy = found["figures"][0]
    assert (accuracy["before"]["value"], accuracy["after"]["value"]) == (0.8, 0.7)
    assert (found["answers"]["compared"], found["answers"]["changed"]) == (6, [])  # the same weights
    for split, more in (("test", ()), ("promotion", ("--split", "promotion"))):
        code, out, _ = graft(capsys, workspace, "diff", "model@1", "model@2", *more)
        assert code == 0
        assert f"0 of 6 images in {split} are called otherwise" in out
