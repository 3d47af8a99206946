"""`graft audit` as a user meets it: what it says, what it writes, and its exit codes."""

import json
import re

import pytest

from flows.cli import main
from flows.recompute import unlike
from flows.runs import find_run, runs_of
from tasks.audit.document import by_hash, draft
from tasks.audit.ledger import entries
from tasks.audit.verifier import AUDITS, LEDGER, NOTHING, check, line_of, sha256
from tasks.audit.wording import markdown, screen
from tasks.contracts.errors import BadData
from tasks.contracts.params_file import load_params, override
from tests.flows.conftest import run_stages


def graft(ws, capsys, *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    try:
        code = main(["--workspace", str(ws.root), "audit", *arguments])
    except SystemExit as stop:
        code = int(stop.code or 0)
    said = capsys.readouterr()
    return code, said.out, said.err


def latest(ws, capsys) -> dict:
    return json.loads(graft(ws, capsys, "show", "--json")[1])


def test_an_audit_is_an_entry_with_a_receipt_and_a_summary_for_a_pull_request(copy, capsys, tmp_path):
    ws = copy(whole=True)
    code, said, _ = graft(ws, capsys, "--json", "--markdown", str(tmp_path / "pr.md"))
    entered = json.loads(said)["audit"]
    assert code == 0
    assert entered["number"] == 4
    assert check(ws.root, entered["receipt"]).problems == []
    summary = (tmp_path / "pr.md").read_text()
    assert "Audit 4: the gate passed" in summary
    assert entered["receipt"] in summary
    assert "Since audit 2: the same samples" in summary
    run = find_run(ws)
    assert (run.flow, run.state, run.why, run.page) == ("audit", "done", "audit 4", "reports/audit/0004.html")
    assert [one["stage"] for one in run.stages] == ["ingest", "quality", "bias"]
    assert 'href="../reports/audit/0004.html"' in ws.runs_page.read_text()
    assert 'href="audit/index.html"' in ws.page.read_text()


def test_an_audit_that_is_stopped_is_a_run_that_was_stopped_and_enters_nothing(copy, capsys, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    ws = copy(whole=True)
    monkeypatch.setattr("tasks.audit.document.draft", stop)
    code, said, _ = graft(ws, capsys)
    assert (code, said) == (130, "")
    assert (find_run(ws).state, find_run(ws).why) == ("interrupted", "stopped by Ctrl-C")
    assert len(entries(ws)) == 3


def test_a_summary_never_takes_the_place_of_a_folder(copy, capsys, tmp_path):
    ws, kept = copy(), tmp_path / "kept"
    kept.mkdir()
    (kept / "work").write_text("of a week")
    code, said, err = graft(ws, capsys, "--markdown", str(kept))
    assert (code, said) == (2, "")
    assert f"--markdown {kept} is a folder" in err
    assert (kept / "work").read_text() == "of a week"
    assert len(entries(ws)) == 3  # nothing was started
    assert runs_of(ws) == []


def test_a_gate_that_refuses_is_in_the_ledger_too_and_the_exit_code_is_1(copy, capsys, tmp_path):
    ws = copy(whole=True)
    override(ws.params, ["bias.gate.min_train_images=1000"])
    run_stages(ws, "bias")
    code, said, err = graft(ws, capsys, "--markdown", str(tmp_path / "pr.md"))
    assert code == 1
    assert "the gate is closed" in err
    assert re.search(r"receipt +4:[0-9a-f]{64}", said)
    assert latest(ws, capsys)["gate"]["passed"] is False
    summary = (tmp_path / "pr.md").read_text()
    assert "the gate refused" in summary
    assert (find_run(ws).state, find_run(ws).page) == ("refused", "reports/audit/0004.html")
    assert "the gate is closed" in find_run(ws).why
    assert "**min_train_images**" in summary
    changed = " ".join(graft(ws, capsys, "diff", "2", "4")[1].split())
    assert "params.bias.gate.min_train_images: 5 -> 1000" in changed
    assert "finding new: error: min_train_images" in changed


def test_the_document_says_what_was_examined_by_what_and_what_nobody_said(audited, capsys):
    ws = audited[0]
    found = latest(ws, capsys)
    quality = json.loads(ws.quality.read_text())
    subject = found["subject"]
    assert subject["found"] == subject["kept"] + subject["quarantined"] == quality["found"]
    assert (
        subject["samples"] == subject["kept"] == sum(n for of in subject["split_sizes"].values() for n in of.values())
    )
    assert subject["files"] == quality["found"]
    assert subject["dvc"].endswith(".dir")
    assert len(subject["git"]["commit"]) == 40
    assert subject["git"]["dirty"] is False
    for place in ("data/checked.parquet", "reports/bias.json", "models/bundle/weights.safetensors", "decisions.csv"):
        assert subject["artifacts"][place] == sha256((ws.root / place).read_bytes())
    assert found["declared"]["purpose"] == "telling shapes apart"
    assert "purpose" not in found["not_said"]
    assert "owner" in found["not_said"]
    assert found["evaluation"] is None
    assert set(found["tool"]["results"]) >= {"ingest", "quality", "bias"}
    assert found["recompute"]["expect"] == {"reports/bias.json": sha256(ws.bias.read_bytes())}


def test_no_document_holds_a_file_name_of_the_data_or_a_path_of_this_machine(audited):
    ws = audited[0]
    names = [path.name for path in ws.raw.rglob("*.png")]
    said = "".join(path.read_text() for path in (ws.root / AUDITS).glob("*.json"))
    assert not [name for name in names if name in said]
    assert str(ws.root) not in said
    assert str(ws.root.parent) not in said


def test_names_of_files_become_hashes_wherever_they_stand():
    hashes = {"cats/a b.png": "1" * 64, "cats/c.png": "2" * 64, "cats/c.png.png": "3" * 64, "c": "4" * 64}
    finding = {"evidence": ["cats/a b.png", "unknown.png"], "message": "see 'cats/c.png', cats", "subject": "cats"}
    rule = {"rule": "c", "message": "see cats/a b.png: <cats/c.png.png>/c."}
    found = by_hash({"findings": [finding], "rules": [rule], "mistakes": [1], "n": 2}, hashes)
    assert found == {
        "findings": [{"evidence": ["1" * 64], "message": f"see '{'2' * 64}', cats", "subject": "cats"}],
        "rules": [{"rule": "c", "message": f"see {'1' * 64}: <{'3' * 64}>/{'4' * 64}."}],
        "n": 2,
    }


def test_classes_and_groups_may_have_any_name():
    names = ("path", "mistakes", "evidence", "cats/c.png")
    report = {"composition": {name: dict.fromkeys(names, 3) for name in names}, "cells": [{"value": "cats/c.png"}]}
    assert by_hash({**report, "findings": []}, {"cats/c.png": "2" * 64}) == {**report, "findings": []}


def test_a_hundred_thousand_names_are_looked_for_at_once():
    hashes = {f"class {i % 7}/{'x' * (i % 90)} {i}.png": f"{i:064}" for i in range(100_000)}
    one = {"message": f"{next(iter(hashes))} " * 5, "remedy": "Look at each of them, and name a group. " * 5}
    found = by_hash({"findings": [one] * 200}, hashes)
    assert found["findings"][0]["message"] == f"{0:064} " * 5


def test_list_show_and_diff_tell_what_happened(audited, capsys):
    ws = audited[0]
    assert [line.split()[0] for line in graft(ws, capsys, "list")[1].splitlines()] == ["1", "2", "3"]
    assert "audit 1 accepted by Ada, auditor" in graft(ws, capsys, "list")[1]
    assert json.loads(graft(ws, capsys, "--json", "list")[1]) == entries(ws)
    assert "telling shapes apart" in graft(ws, capsys, "show")[1]
    assert "looked at by two" in graft(ws, capsys, "show", "3")[1]
    found = json.loads(graft(ws, capsys, "diff", "1", "2", "--json")[1])
    samples = found["samples"]
    assert (len(samples["added"]), len(samples["removed"]), len(samples["relabelled"])) == (6, 1, 1)
    assert (samples["relabelled"][0]["before"], samples["relabelled"][0]["after"]) == ("circles", "crosses")
    assert "declared.purpose:  -> telling shapes apart" in found["settings"]
    assert all(one["test"] for one in found["numbers"])
    assert "samples 6 added, 1 removed, 1 relabelled" in graft(ws, capsys, "diff", "1", "2")[1]


def test_how_two_versions_drifted_apart_is_told_from_the_tables_of_then(audited, copy, capsys):
    told = json.loads(graft(audited[0], capsys, "diff", "1", "2", "--json")[1])["drift"]["statistics"]
    counts = {one["name"]: one["value"] for one in told if one["estimator"].startswith("count")}
    assert counts["images that came"] == 6
    assert counts["images that went"] == 1
    assert any("the images that came against the images that stayed" in one["name"] for one in told)
    bare = copy()  # without DVC's cache the first table is nowhere
    said = graft(bare, capsys, "diff", "1", "2")[1]
    assert "not measured: the table of audit 1 is not here; try `dvc pull`" in said


def test_nothing_in_a_document_acts_on_a_terminal_or_in_markdown(audited, capsys):
    hostile = "\x1b[31m\u202e<img src=x onerror=a()>[x](javascript:a()) @all `|\n# title"
    found = latest(audited[0], capsys)
    found["declared"]["purpose"] = hostile
    found["bias"]["findings"][0]["message"] = hostile
    said = screen(found)
    assert all(character.isprintable() for character in said.replace("\n", ""))
    summary = markdown(found, "1:" + "a" * 64, None)
    (line,) = [line for line in summary.splitlines() if "img" in line]
    assert not set("<>[](@`|:").intersection(line.removeprefix("- info: ").removeprefix("- warn: "))


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (["show", "9"], 2, "no entry 9; known: 1 to 3"),
        (["diff", "1", "3"], 2, "sign-off"),
        (["sign", "--key", "nowhere.pem"], 2, "nowhere.pem"),
        (["sign-off", "--by", "Ada", "--role", "auditor", "--decision", "perhaps"], 2, "perhaps"),
        (["lsit"], 2, "lsit"),
    ],
)
def test_mistakes_get_a_line(audited, capsys, arguments, code, part):
    got, _, err = graft(audited[0], capsys, *arguments)
    assert got == code
    assert part in err.splitlines()[-1]


def test_signing_and_signing_off_at_the_door(copy, capsys, tmp_path):
    ws, key = copy(), tmp_path / "auditor.pem"
    decision = ("sign-off", "--by", "Eve", "--role", "data owner", "--decision", "rejected", "--note", "too few")
    assert graft(ws, capsys, *decision)[0] == 0
    assert "audit 2 rejected by Eve, data owner" in graft(ws, capsys, "list")[1]
    assert graft(ws, capsys, "keygen", str(key))[0] == 0
    assert graft(ws, capsys, "verify", "--key", f"{key}.pub")[0] == 5
    assert graft(ws, capsys, "sign", "--key", str(key))[0] == 0
    assert graft(ws, capsys, "verify", "--key", f"{key}.pub")[0] == 0


def test_the_numbers_are_made_again(copy, capsys):
    ws = copy(whole=True)
    before = {path: path.read_bytes() for path in (ws.bias, ws.gate, ws.weights)}
    code, said, _ = graft(ws, capsys, "verify", "--recompute")
    assert (code, "nothing wrong" in said) == (0, True)
    assert all(path.read_bytes() == data for path, data in before.items())
    entry = entries(ws)[1]
    path = ws.root / AUDITS / entry["document"]
    document = json.loads(path.read_text())
    document["bias"]["imbalance_ratio"]["value"] = 1.0  # the whole ledger made anew around another number
    for old in (ws.root / AUDITS).iterdir():
        if old.suffix != ".gz":
            old.unlink()
    document["entry"] |= {"number": 1, "previous": NOTHING}
    data = json.dumps(document).encode()
    line = line_of(document, sha256(data))
    (ws.root / AUDITS / json.loads(line)["document"]).write_bytes(data)
    (ws.root / AUDITS / LEDGER).write_bytes(line + b"\n")
    for spare in (ws.root / AUDITS).glob("*.gz"):
        if spare.name not in document["entry"]["lists"]:
            spare.unlink()
    assert graft(ws, capsys, "verify")[0] == 0
    code, said, _ = graft(ws, capsys, "verify", "--recompute")
    assert code == 5
    assert "wrong: made again, bias.imbalance_ratio.value is" in said


def test_other_params_make_other_numbers_and_that_is_said(copy, capsys):
    ws = copy()
    override(ws.params, ["bias.permutations=30"])
    code, said, _ = graft(ws, capsys, "verify", "--recompute")
    assert code == 5
    assert "params.yaml has another bias than the audit" in said


def test_params_of_no_number_are_other_than_the_audits_and_the_numbers_still_come_out(copy, capsys):
    ws = copy()
    override(ws.params, ["train.epochs=3"])
    code, said, _ = graft(ws, capsys, "verify", "--recompute", "--json")
    assert (code, json.loads(said)["problems"]) == (5, ["params.yaml: has other bytes than audit 2 rests on"])


def test_rounding_is_no_difference_and_all_else_is():
    said = {"a": [0.1, None, 3], "b": "x"}
    assert list(unlike(said, {"a": [0.1 + 1e-9, None, 3], "b": "x"}, "r")) == []
    assert list(unlike(said, {"a": [0.2, None, 4], "b": "y"}, "r")) == [
        "r.a[0] is 0.2, not 0.1",
        "r.a[2] is 4, not 3",
        "r.b is y, not x",
    ]
    assert len(list(unlike(said, {"a": [0.1, None], "b": "x"}, "r"))) == 1


def test_files_that_changed_since_they_were_checked_are_not_audited(copy):
    ws = copy()
    picture = ws.raw / "stripes" / "0_003.png"
    picture.write_bytes(picture.read_bytes() + b"x")
    with pytest.raises(BadData, match=r"stripes/0_003.png changed since it was checked"):
        draft(ws, load_params(ws.params))
