import html
import json
import re
from dataclasses import asdict

import pytest

from tasks.contracts.files import write_record
from tasks.contracts.records import Finding, Statistic, read_json, to_json
from tasks.contracts.text import for_terminal, json_text, markdown, shortened, visible, without_passwords
from tests.hostile import HOSTILE

UNSEEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_visible_hides_nothing_and_loses_nothing_else(name):
    text = HOSTILE[name]
    shown = visible(text)
    assert not UNSEEN.search(shown)
    assert [b for a, b in zip(text, shown, strict=True) if not UNSEEN.match(a)] == [
        a for a in text if not UNSEEN.match(a)
    ]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_steers_a_terminal(name):
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", for_terminal(HOSTILE[name]))


@pytest.mark.parametrize("name", HOSTILE)
def test_json_gives_back_every_character_and_needs_no_other_file_than_utf_8(name):
    text = json_text(json.dumps({HOSTILE[name]: HOSTILE[name]}, ensure_ascii=False))
    assert json.loads(text) == {HOSTILE[name]: HOSTILE[name]}
    assert not re.search("[\x00-\x1f\x7f-\x9f\u2028-\u202e\ud800-\udfff]", text)
    text.encode("utf-8")


def test_a_record_of_hostile_text_is_written_and_read_as_it_is(tmp_path):
    texts = tuple(HOSTILE.values())
    finding = Finding(texts[0], "warn", texts[1], Statistic(texts[2], 1.0, 1), "".join(texts), texts[3], texts)
    assert json.loads(to_json(finding)) == json.loads(json.dumps(asdict(finding)))
    write_record(tmp_path / "finding.json", finding)
    assert json.loads((tmp_path / "finding.json").read_bytes())["evidence"] == list(texts)
    with pytest.raises(Exception, match="schema_version"):
        read_json(tmp_path / "finding.json")


@pytest.mark.parametrize(
    "text",
    [
        "ask @everyone",
        "mail a@example.org",
        "see http://x.org",
        "mailto:a@example.org",
        "xmpp:a@b.c/d",
        "HTTPS://X.ORG",
        "www.x.org",
        "10:http://x.org",
        "[a](b) ![c](d)",
    ],
)
def test_markdown_leads_nowhere_and_calls_nobody(text):
    line = markdown(text)
    assert not re.search(r"@|[a-z0-9]:[a-z/]|www\.|[\[\]!]", line, re.IGNORECASE)
    assert html.unescape(line) == text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("https://ada:hunter2@host/x@y", "https://***@host/x@y"),
        ("https://ada:p@ss@host", "https://***@host"),
        ("https://TOKEN@host/x, https://host/x", "https://***@host/x, https://host/x"),
        ("ssh://ada:hunter2@host/x", "ssh://***@host/x"),
        *((text, text) for text in ("git@host:x.git", "ssh://git@host/x", "git+ssh://git@host:22/x", "file:///a@b")),
    ],
)
def test_an_address_shows_no_user_but_that_of_ssh(text, masked):
    assert without_passwords(text) == masked


def test_calm_text_stays_as_it_is_in_markdown():
    calm = "At 21:00:00 of 2026-11-25: 3 of 4 (75 %) are cats, or so."
    assert markdown(calm) == calm


def test_a_short_line_is_left_alone_and_a_long_one_is_cut():
    assert shortened("a  b\nc") == "a b c"
    assert shortened("x" * 20, 10) == "x" * 9 + "…"
