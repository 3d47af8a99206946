"""The pages of audits: what an auditor reads first, what cannot be said, and text that nobody trusts."""

import html
import json
import re
import shutil

import pytest

from flows.cli import main
from tasks.audit.ledger import enter
from tasks.contracts.errors import BrokenArtifact
from tasks.contracts.workspace import Workspace
from tasks.report.audits import INDEX, render_audit, write_audit_pages
from tests.audit.made import decide, invent
from tests.exports.documents import document, made_hostile
from tests.hostile import HOSTILE
from tests.report.test_hostile_page import BROWSER, POLICY, look
from tests.report.test_page import Parsed

RECEIPT = "3:" + "ef" * 32
DECISION = {"kind": "sign_off", "audit": 3, "decision": "accepted", "by": "Ada", "role": "auditor"}
DECISION |= {"number": 4, "created_at": "2026-11-26T08:00:00+00:00"}


def drawn(tmp_path, made, decisions=()):
    page = tmp_path / "audit.html"
    page.write_text(render_audit(made, RECEIPT, decisions), encoding="utf-8")
    return Parsed(page)


def test_the_verdict_the_numbers_and_the_way_to_check_are_on_the_page(tmp_path):
    made = document()
    page = drawn(tmp_path, made, (DECISION,))
    assert not page.open
    assert "Audit 3" in page.text
    assert re.search(r"accepted by Ada ?, auditor", page.text)
    assert f"graft audit verify --head {RECEIPT}" in page.text
    for digest in (made["subject"]["root_sha256"], *made["subject"]["artifacts"].values()):
        assert digest in page.text
    for one in made["bias"]["findings"] + made["gate"]["findings"]:
        assert one["message"] in page.text


def test_what_nobody_said_and_what_was_not_measured_is_told(tmp_path):
    made = document()
    page = drawn(tmp_path, made)
    assert "consent nobody has said" in page.text
    assert "Nobody has signed this off" in page.text
    missing = len(re.findall(r'"status": "(?:too_small|not_measurable|skipped)"', json.dumps(made)))
    assert missing
    assert f"{missing} number" in page.text


def test_no_picture_is_shown(tmp_path):
    assert {tag for tag, _ in drawn(tmp_path, document()).tags} & {"img", "script", "iframe", "object"} == set()


def test_a_closed_gate_is_the_first_thing_said(tmp_path):
    made = document()
    made["gate"]["passed"] = False
    made["gate"]["rules"][0] |= {"passed": False, "waiver": None}
    text = drawn(tmp_path, made).text
    assert text.index("Refused") < text.index("found")
    assert made["gate"]["rules"][0]["rule"].replace("_", " ") in text


def ledger(tmp_path):
    ws = Workspace(tmp_path)
    whole = document()
    for labels in (["a", "b"], ["a", "b"], ["a", "b", "b"]):
        record, lists = invent(labels, "", {}, [])
        vars(record).update(bias=whole["bias"], gate=whole["gate"], declared=whole["declared"])
        enter(ws, record, lists)
    decide(ws)
    return ws


def test_the_index_lists_every_audit_the_latest_first(tmp_path):
    page = Parsed(write_audit_pages(ledger(tmp_path)))
    links = [one for one in page.attributes("href") if one.endswith(".html")]
    assert links == ["0003.html", "0002.html", "0001.html"]
    assert all((tmp_path / "reports/audit" / link).is_file() for link in links)
    assert page.text.count("as before") == 1
    assert "accepted Ada" in page.text


def test_equal_documents_give_equal_bytes(tmp_path):
    ws = ledger(tmp_path)
    write_audit_pages(ws)
    first = {path.name: path.read_bytes() for path in ws.audit_pages.iterdir()}
    shutil.rmtree(ws.audit_pages)
    write_audit_pages(ws)
    assert {path.name: path.read_bytes() for path in ws.audit_pages.iterdir()} == first


def test_nothing_is_drawn_of_a_document_that_was_changed(tmp_path):
    ws = ledger(tmp_path)
    path = next((tmp_path / "reports/audits").glob("0002-*.json"))
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(BrokenArtifact, match="0002-"):
        write_audit_pages(ws)
    assert not (ws.audit_pages / INDEX).exists()


@pytest.mark.parametrize("place", ["0004-*.json", "ledger.jsonl"])
def test_an_edited_decision_is_never_shown(tmp_path, capsys, place):
    ws = ledger(tmp_path)
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).touch()
    path = next((tmp_path / "reports/audits").glob(place))
    path.write_text(path.read_text().replace("accepted", "rejected"))
    with pytest.raises(BrokenArtifact, match=r"0004-|ledger\.jsonl line 4"):
        write_audit_pages(ws)
    assert not (ws.audit_pages / INDEX).exists()
    assert main(["--workspace", str(tmp_path), "audit", "list"]) == 5
    assert capsys.readouterr().out == ""


def test_where_there_is_no_audit_the_list_is_empty(tmp_path, capsys):
    for name in ("dvc.yaml", "params.yaml"):
        (tmp_path / name).touch()
    assert main(["--workspace", str(tmp_path), "audit", "list"]) == 0
    assert "no audit yet" in capsys.readouterr().out
    write_audit_pages(Workspace(tmp_path))


@pytest.mark.skipif(BROWSER is None, reason="no chromium, chromium-browser or google-chrome here")
def test_hostile_text_runs_nothing_and_asks_nobody(tmp_path):
    pages = {}
    for shift in (0, 15):
        made = made_hostile(document(), tuple(HOSTILE.values()), shift)
        made["entry"]["number"] = 3
        page = render_audit(made, RECEIPT, ({**DECISION, "by": HOSTILE["script"], "role": HOSTILE["svg"]},))
        pages |= {f"kept{shift}": page, f"bare{shift}": POLICY.sub("", page)}
    seen, asked = look(pages, "PORT", tmp_path)
    assert [one[:3] for one in seen] == [[name, "Audit 3 · graft", 0] for name in pages]
    assert asked == []
    shown = html.unescape("".join(pages.values()))
    assert all(HOSTILE[name] in shown for name in ("script", "image", "request"))
