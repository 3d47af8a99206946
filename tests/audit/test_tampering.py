"""Every way of tampering is found by both verifiers, with the name of what is wrong; what nobody touched passes."""

import json
import os
import shutil
import subprocess

import pytest

from flows.cli import main
from tasks.audit.keys import make_keys, sign
from tasks.audit.verifier import AUDITS, LEDGER, NOTHING, SIGNATURE, line_of, sha256
from tasks.contracts.params_file import override
from tests.audit.made import verify_alone
from tests.flows.conftest import BIN


def audits(ws):
    return ws.root / AUDITS


def lines(ws) -> list[bytes]:
    return (audits(ws) / LEDGER).read_bytes().splitlines(keepends=True)


def put(ws, new: list[bytes]) -> None:
    (audits(ws) / LEDGER).write_bytes(b"".join(new))


def document(ws, number: int):
    return next(audits(ws).glob(f"{number:04}-*.json"))


def flip(path, at: int = -20) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def data_byte(ws):
    flip(ws.raw / "stripes" / "0_003.png")
    return "data/raw/stripes/0_003.png"


def data_added(ws):
    picture = ws.raw / "stripes" / "0_003.png"
    (ws.raw / "circles" / "copied.png").write_bytes(picture.read_bytes())
    return "data/raw/circles/copied.png"


def data_removed(ws):
    (ws.raw / "stripes" / "0_003.png").unlink()
    return "data/raw: files of audit 2 that are gone: 1"


def data_under_another_class(ws):
    (ws.raw / "stripes" / "0_003.png").rename(ws.raw / "circles" / "0_003b.png")
    return "data/raw/circles/0_003b.png"


def number_in_a_document(ws):
    path = document(ws, 1)
    path.write_text(path.read_text().replace('"found": 121', '"found": 122'))
    return path.name


def line_cut(ws):
    put(ws, [lines(ws)[0], lines(ws)[2]])
    return f"{LEDGER} line 2"


def first_line_cut(ws):
    put(ws, lines(ws)[1:])
    return f"{LEDGER} line 1"


def lines_swapped(ws):
    first, second, third = lines(ws)
    put(ws, [second, first, third])
    return f"{LEDGER} line 1"


def last_line_torn(ws):
    put(ws, [*lines(ws)[:2], lines(ws)[2][:-30]])
    return "cut short"


def ledger_removed(ws):
    (audits(ws) / LEDGER).unlink()
    return f"{LEDGER}: is missing"


def weights_swapped(ws):
    flip(ws.bundle / "weights.safetensors")
    return "models/bundle/weights.safetensors"


def file_added(ws):
    (audits(ws) / "0004-abcdefabcdef.json").write_text("{}")
    return "0004-abcdefabcdef.json"


def hidden_folder_added(ws):
    (audits(ws) / ".github").mkdir()
    return ".github"


def document_removed(ws):
    path = document(ws, 2)
    path.unlink()
    return f"{path.name} is missing"


def list_edited(ws):
    path = min(audits(ws).glob("samples-*.gz"))
    flip(path)
    return path.name


def list_removed(ws):
    path = min(audits(ws).glob("files-*.gz"))
    path.unlink()
    return path.name


def report_edited(ws):
    ws.bias.write_text(ws.bias.read_text().replace('"warn"', '"info"').replace('"n": ', '"n":  '))
    return "reports/bias.json"


def table_edited(ws):
    flip(ws.checked)
    return "data/checked.parquet"


def params_edited(ws):
    override(ws.params, ["train.epochs=3"])
    return "params.yaml"


def pipeline_edited(ws):
    path = ws.root / "dvc.yaml"
    path.write_text(path.read_text() + "# another\n")
    return "dvc.yaml"


def lock_edited(ws):
    flip(ws.root / "requirements.lock", at=-2)
    return "requirements.lock"


def decision_edited(ws):
    path = document(ws, 3)
    path.write_text(path.read_text().replace("accepted", "rejected"))
    return path.name


def signature_edited(ws):
    flip(audits(ws) / SIGNATURE)
    return SIGNATURE


PLAIN = (
    data_byte,
    data_added,
    data_removed,
    data_under_another_class,
    number_in_a_document,
    line_cut,
    first_line_cut,
    lines_swapped,
    last_line_torn,
    ledger_removed,
    weights_swapped,
    file_added,
    hidden_folder_added,
    document_removed,
    list_edited,
    list_removed,
    report_edited,
    table_edited,
    params_edited,
    pipeline_edited,
    lock_edited,
    decision_edited,
    signature_edited,
)


def last_line_cut(ws, _keys):
    put(ws, lines(ws)[:2])
    document(ws, 3).unlink()


def last_line_and_signature_cut(ws, _keys):
    last_line_cut(ws, _keys)
    (audits(ws) / SIGNATURE).unlink()


def signature_removed(ws, _keys):
    (audits(ws) / SIGNATURE).unlink()


def chain_rewritten(ws, _keys):
    """As one would who can write everything and knows how graft does it: another past, sound in itself."""
    previous, new = NOTHING, []
    for number in (1, 2, 3):
        path = document(ws, number)
        found = json.loads(path.read_text())
        found["entry"] |= {"previous": previous}
        if number == 1:
            found["subject"]["quarantined"] = 0
        data = json.dumps(found, indent=2, sort_keys=True).encode() + b"\n"
        path.unlink()
        new.append(line_of(found, sha256(data)))
        (audits(ws) / json.loads(new[-1])["document"]).write_bytes(data)
        previous = sha256(new[-1])
    put(ws, [line + b"\n" for line in new])
    (audits(ws) / SIGNATURE).unlink()


def chain_rewritten_and_signed_by_another(ws, keys):
    chain_rewritten(ws, keys)
    signed_by_another(ws, keys)


def signed_by_another(ws, keys):
    other = keys[0].with_name(f"other {ws.root.parent.name}.pem")
    make_keys(other)
    sign(ws, other)


RECEIPT, KEY = "--head", "--key"
CLEVER = (
    (last_line_cut, RECEIPT, "entry 3 of the receipt"),
    (last_line_cut, KEY, SIGNATURE),
    (last_line_and_signature_cut, RECEIPT, "entry 3 of the receipt"),
    (last_line_and_signature_cut, KEY, SIGNATURE),
    (signature_removed, KEY, f"{SIGNATURE}"),
    (signed_by_another, KEY, "by another key"),
    (chain_rewritten, RECEIPT, "entry 3 of the receipt"),
    (chain_rewritten, KEY, SIGNATURE),
    (chain_rewritten_and_signed_by_another, RECEIPT, "entry 3 of the receipt"),
    (chain_rewritten_and_signed_by_another, KEY, "by another key"),
)


def both(ws, capsys, *options: str) -> list[tuple[int, str]]:
    """What graft and the verifier alone say: exit code and output."""
    capsys.readouterr()
    code = main(["--workspace", str(ws.root), "audit", "verify", *options])
    done = verify_alone(ws.root, *options)
    assert not done.stderr
    return [(code, capsys.readouterr().out), (done.returncode, done.stdout)]


@pytest.mark.parametrize("tamper", PLAIN, ids=lambda tamper: tamper.__name__)
def test_tampering_is_found_and_named(copy, capsys, tamper):
    ws = copy()
    name = tamper(ws)
    for code, said in both(ws, capsys):
        assert code == 5
        assert any(name in line for line in said.splitlines() if line.startswith("wrong: "))


@pytest.mark.parametrize(("tamper", "option", "part"), CLEVER, ids=lambda one: getattr(one, "__name__", one))
def test_what_is_sound_in_itself_is_found_by_a_receipt_or_a_key(copy, audited, keys, capsys, tamper, option, part):
    ws = copy()
    tamper(ws, keys)
    for code, said in both(ws, capsys, option, audited[1] if option == RECEIPT else str(keys[1])):
        assert code == 5
        assert any(part in line for line in said.splitlines() if line.startswith("wrong: "))


def test_nothing_is_wrong_where_nobody_touched_anything(copy, audited, keys, capsys):
    ws = copy()
    for options in ((), (RECEIPT, audited[1]), (KEY, str(keys[1]))):
        for code, said in both(ws, capsys, *options):
            assert code == 0, said
            assert audited[1] in said
            assert "wrong" not in said.replace("nothing wrong", "")
            assert "not here" not in said


def test_a_cold_clone_passes_and_says_what_is_not_there(audited, keys, capsys, tmp_path):
    subprocess.run(["git", "clone", "--quiet", str(audited[0].root), str(tmp_path / "cold")], check=True)
    ws = type(audited[0])(tmp_path / "cold")
    for code, said in both(ws, capsys, RECEIPT, audited[1], KEY, str(keys[1])):
        assert code == 0, said
        assert "not here: data/raw" in said
        assert "not here: data/checked.parquet" in said


def test_a_clone_with_its_data_pulled_passes_whole(audited, capsys, tmp_path):
    subprocess.run(["git", "clone", "--quiet", str(audited[0].root), str(tmp_path / "cold")], check=True)
    ws = type(audited[0])(tmp_path / "cold")
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    for command in (
        ["dvc", "remote", "add", "--local", "--default", "there", str(audited[0].root / ".dvc" / "cache")],
        ["dvc", "pull", "--quiet", "--allow-missing"],
    ):
        subprocess.run(command, cwd=ws.root, env=environment, check=False, capture_output=True)
    for code, said in both(ws, capsys):
        assert code == 0, said
        assert "not here: data" not in said
        assert "not here: models/bundle/weights.safetensors" in said
    shutil.rmtree(ws.private)  # the test committed it; nobody else does
    assert main(["--workspace", str(ws.root), "audit", "verify", "--recompute"]) == 0
    data_byte(ws)
    assert [code for code, _ in both(ws, capsys)] == [5, 5]
