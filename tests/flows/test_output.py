import json
import re

import pytest

from flows.cli import main
from flows.output import dump, show
from flows.summary import screen
from tasks.contracts.progress import say
from tests.hostile import HOSTILE

STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
TEXTS = tuple(HOSTILE.values())


def test_no_name_steers_the_terminal(capsys):
    finding = {"severity": "warn", "check": TEXTS[0], "remedy": TEXTS[1]}
    counts = dict.fromkeys(("found", "kept", "warned", "quarantined"), 1)
    for text in TEXTS:
        found = {"images": counts, "findings": [{**finding, "message": text}], "gate": text}
        show(screen({**found, "backbone": {"name": text, "why": text}, "left_out": []}, text))
        show(text)
        dump({text: text})
        say(text)
    printed = capsys.readouterr()
    assert "cmd" in printed.out
    assert "cmd" in printed.err
    assert not STEERS.search(printed.out + printed.err)


def test_what_machines_read_says_every_character(capsys):
    dump(list(TEXTS))
    assert json.loads(capsys.readouterr().out) == list(TEXTS)


@pytest.mark.parametrize("name", ["terminal", "overwrite", "bidi", "separators", "tab"])
def test_a_mistake_is_one_plain_line(name, tmp_path, capsys):
    assert main(["--workspace", str(tmp_path / HOSTILE[name]), "status"]) == 2
    with pytest.raises(SystemExit):
        main(["stage", HOSTILE[name]])
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 2
    assert not STEERS.search(said)
