"""The ledger as it grows: by one, by many at once, and by those who are killed; and that no byte of it may change."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.cli import main
from tasks.audit.keys import make_keys, sign
from tasks.audit.ledger import document, enter, entries, find_entry
from tasks.audit.verifier import AUDITS, LEDGER, check, marks, sha256
from tasks.contracts.errors import BadUsage, BrokenArtifact
from tasks.contracts.workspace import Workspace
from tests.audit.made import decide, invent, verify_alone

ROOT = Path(__file__).parents[2]
ENTER = """
import sys
from pathlib import Path
from tasks.contracts.workspace import Workspace
from tests.audit.made import decide, invent
from tasks.audit.ledger import enter
ws = Workspace(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for i in range(int(sys.argv[2])):
    enter(ws, *invent(["a", f"{sys.argv[3]} {i}"], "", {}, []))
    print(i, flush=True)
"""


def writer(ws: Workspace, times: int, name: str) -> "subprocess.Popen[str]":
    """A process that enters audits once it is told to."""
    command = [sys.executable, "-c", ENTER, str(ws.root), str(times), name]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: "subprocess.Popen[str]") -> None:
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.fixture
def ws(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
label = st.one_of(st.sampled_from(["a", "b", "=cmd|' /C calc'!A0", "</script>", "\u2028", "\x1b[31m", "\t\n"]), text)


@st.composite
def histories(draw) -> list:
    """Audits with their labels and texts, and sign-offs with their notes; at least one audit."""
    audit = st.tuples(st.lists(label, max_size=4), text)
    return [draw(audit), *draw(st.lists(st.one_of(audit, text), max_size=3))]


def build(ws: Workspace, history: list, files: list[bytes], signed: bool, key: Path) -> None:
    ws.raw.mkdir(parents=True)
    for i, data in enumerate(files):
        (ws.raw / f"{i}").write_bytes(data)
    ws.reports.mkdir()
    ws.bias.write_bytes(b'{"findings": []}')
    for one in history:
        if isinstance(one, str):
            decide(ws, one)
        else:
            seen = sorted(mark for _, _, mark in marks(ws.raw))
            enter(ws, *invent(*one, {"reports/bias.json": sha256(ws.bias.read_bytes())}, seen))
    if signed:
        sign(ws, key)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    history=histories(),
    files=st.lists(st.binary(min_size=1, max_size=8), max_size=3),
    signed=st.booleans(),
    where=st.tuples(st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True)),
    byte=st.integers(1, 255),
)
def test_any_byte_that_changes_in_any_file_is_found(keys, history, files, signed, where, byte):
    with tempfile.TemporaryDirectory() as folder:
        ws = Workspace(Path(folder))
        build(ws, history, files, signed, keys[0])
        assert check(ws.root).problems == []
        pinned = [path for path in sorted(ws.root.rglob("*")) if path.is_file() and ".graft" not in path.parts]
        path = pinned[int(where[0] * len(pinned))]
        data = bytearray(path.read_bytes())
        data[int(where[1] * len(data))] ^= byte
        path.write_bytes(data)
        assert check(ws.root).problems


def test_lists_of_unchanged_data_are_kept_once(ws):
    for _ in range(3):
        enter(ws, *invent(["a", "b"], "", {}, []))
    assert len(list((ws.root / AUDITS).glob("*.gz"))) == 2
    assert len(entries(ws)) == 3


def test_audits_at_one_time_are_all_entries(ws):
    writers = [writer(ws, 5, name) for name in ("one", "two", "three")]
    for process in writers:
        go(process)
    for process in writers:
        process.communicate(timeout=120)
    assert [process.returncode for process in writers] == [0, 0, 0]
    assert [entry["number"] for entry in entries(ws)] == list(range(1, 16))
    assert check(ws.root).problems == []


def test_a_killed_writer_leaves_a_ledger_that_holds_and_goes_on(ws):
    rng = random.Random(3)
    for turn in range(12):
        process = writer(ws, 1000, str(turn))
        go(process)
        for _ in range(rng.randint(1, 3)):
            process.stdout.readline()
        time.sleep(rng.uniform(0, 0.02))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        before = len((ws.root / AUDITS / LEDGER).read_bytes().splitlines())
        entered = enter(ws, *invent([f"after {turn}"], "", {}, []))
        assert entered.number in (before + 1, before + 2)  # what was cut off before its line is entered first
        assert check(ws.root, entered.receipt).problems == []


def test_a_document_that_was_cut_off_before_its_line_is_entered_by_the_next(ws):
    receipts = [decide(ws, "first"), decide(ws, "second")]
    ledger = ws.root / AUDITS / LEDGER
    ledger.write_bytes(ledger.read_bytes().splitlines(keepends=True)[0])
    assert any("no entry names it" in problem for problem in check(ws.root).problems)
    receipts.append(decide(ws, "third"))
    assert [check(ws.root, receipt).problems for receipt in receipts] == [[], [], []]


def test_a_list_that_was_cut_off_before_its_document_goes(ws):
    enter(ws, *invent(["a"], "", {}, []))
    data = b"half an audit"
    (ws.root / AUDITS / f"samples-{sha256(data)[:12]}.gz").write_bytes(data)
    assert check(ws.root).problems
    decide(ws)
    assert check(ws.root).problems == []


def test_the_first_audits_lists_go_where_it_was_cut_off(ws):
    data = b"half an audit"
    (ws.root / AUDITS).mkdir(parents=True)
    (ws.root / AUDITS / f"samples-{sha256(data)[:12]}.gz").write_bytes(data)
    assert check(ws.root, decide(ws)).problems == []


@pytest.mark.parametrize("broken", ["edited", "added", "torn"])
def test_nothing_of_a_broken_ledger_is_removed_or_written(ws, broken):
    enter(ws, *invent(["a"], "", {}, []))
    enter(ws, *invent(["b"], "", {}, []))
    audits, data = ws.root / AUDITS, b"half an audit"
    (audits / f"files-{sha256(data)[:12]}.gz").write_bytes(data)
    if broken == "edited":
        path = min(audits.glob("0001-*.json"))
        path.write_text(path.read_text().replace("0.1.0", "0.1.1"))
    elif broken == "added":
        (audits / "notes.txt").write_text("of a stranger")
    else:
        (audits / LEDGER).write_bytes((audits / LEDGER).read_bytes()[:-30])
    before = {path.name: path.read_bytes() for path in audits.iterdir()}
    with pytest.raises(BrokenArtifact):
        decide(ws)
    assert {path.name: path.read_bytes() for path in audits.iterdir()} == before


def test_nothing_is_built_on_a_broken_ledger(ws, keys):
    decide(ws, "first")
    decide(ws, "second")
    path = min((ws.root / AUDITS).glob("0001-*.json"))
    path.write_text(path.read_text().replace("first", "other"))
    with pytest.raises(BrokenArtifact, match=path.name):
        decide(ws, "third")
    with pytest.raises(BrokenArtifact, match="not signed"):
        sign(ws, keys[0])
    with pytest.raises(BrokenArtifact, match="other bytes"):
        document(ws, find_entry(ws, 1))
    assert len(entries(ws)) == 2


def test_a_key_asks_for_a_signature_over_the_last_entry(ws, keys):
    decide(ws)
    sign(ws, keys[0])
    assert check(ws.root, key=keys[1]).problems == []
    decide(ws)
    assert check(ws.root).problems == []
    assert "not signed yet" in check(ws.root, key=keys[1]).problems[0]


def test_a_private_key_is_its_owners_and_never_in_git(tmp_path):
    private = tmp_path / "key.pem"
    assert make_keys(private).stat().st_mode & 0o077 != 0
    assert private.stat().st_mode & 0o777 == 0o600
    with pytest.raises(BadUsage, match="never overwritten"):
        make_keys(private)
    (tmp_path / "repository" / ".git").mkdir(parents=True)
    with pytest.raises(BadUsage, match="git repository"):
        make_keys(tmp_path / "repository" / "below" / "key.pem")


@pytest.mark.parametrize("wrong", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_what_is_no_key_signs_and_checks_nothing(ws, tmp_path, wrong):
    decide(ws)
    path = tmp_path / "key"
    path.write_bytes(wrong)
    with pytest.raises(BadUsage, match="no private key"):
        sign(ws, path)
    assert check(ws.root, key=path).problems


@pytest.mark.parametrize("wrong", ["", " ", "x", "1", ":", "0:", "-1:" + "0" * 64, "9" * 5000 + ":1", "2:" + "0" * 64])
def test_what_is_no_receipt_of_this_ledger_is_said(ws, wrong):
    receipt = decide(ws)
    assert check(ws.root, receipt).problems == []
    assert "of the receipt" in check(ws.root, wrong).problems[0]


@pytest.mark.parametrize("option", ["--head", "--key"])
def test_an_empty_value_is_no_value_that_was_not_given(ws, keys, option, capsys):
    decide(ws)
    sign(ws, keys[0])
    (ws.root / "dvc.yaml").touch()
    (ws.root / "params.yaml").touch()
    assert verify_alone(ws.root).returncode == main(["--workspace", str(ws.root), "audit", "verify"]) == 0
    assert verify_alone(ws.root, option, "").returncode == 5
    assert main(["--workspace", str(ws.root), "audit", "verify", option, ""]) == 5
    assert "wrong: " in capsys.readouterr().out
    assert verify_alone(ws.root, option).returncode == 2


def test_places_that_a_hostile_document_names_are_not_followed(ws):
    enter(ws, *invent(["a"], "", {"../../etc/passwd": "0" * 64, "/dev/zero": "0" * 64}, []))
    found = check(ws.root)
    assert found.problems == []
    assert {"../../etc/passwd", "/dev/zero"} <= set(found.absent)


@pytest.mark.parametrize("line", [b"", b"[]", b"1", b'{"document": 1}', b"[" * 100_000, b'{"number":' + b"9" * 9999])
def test_any_line_gets_a_line_and_no_traceback(ws, line):
    decide(ws)
    ledger = ws.root / AUDITS / LEDGER
    ledger.write_bytes(ledger.read_bytes() + line + b"\n")
    done = verify_alone(ws.root)
    assert done.returncode == 5
    assert f"wrong: {LEDGER} line 2" in done.stdout
    assert not done.stderr
    with pytest.raises(BrokenArtifact, match="is not what graft wrote"):
        entries(ws)


def test_the_verifier_is_short_and_needs_the_standard_library_alone():
    source = (ROOT / "tasks" / "audit" / "verifier.py").read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 200
    imported = {line.split()[1].split(".")[0] for line in source.splitlines() if line.startswith(("import ", "from "))}
    assert imported <= set(sys.stdlib_module_names)


def test_hostile_text_is_one_line_of_ascii_in_the_ledger(ws):
    decide(ws, "\u2028\x1b[2J</script>")
    enter(ws, *invent(["a"], "x", {}, []))
    data = (ws.root / AUDITS / LEDGER).read_bytes()
    assert data.isascii()
    assert [json.loads(line)["number"] for line in data.splitlines()] == [1, 2]
