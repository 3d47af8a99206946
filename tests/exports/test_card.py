import re

import pytest
from huggingface_hub import DatasetCard
from markdown_it import MarkdownIt

from tasks.contracts.text import markdown
from tasks.exports.card import card
from tasks.exports.facts import facts_of
from tests.exports.documents import DECLARED, document, made_hostile
from tests.hostile import HOSTILE

TEXTS = tuple(text for text in HOSTILE.values() if text.strip())
READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
INLINE = {"text", "strong_open", "strong_close", "code_inline"}


def read(text):
    """(block structure, kinds of inline parts, code) of a card's body."""
    blocks, inline, code = [], set(), []
    for token in READER.parse(text.split("---\n", 2)[2]):
        blocks.append(token.type)
        inline |= {child.type for child in token.children or ()}
        code += [child.content for child in token.children or () if child.type == "code_inline"]
    return blocks, inline, code


def shown(text):
    """What a reader sees of a line of Markdown."""
    (paragraph,) = (token for token in READER.parse(text) if token.type == "inline")
    return "".join(child.content for child in paragraph.children)


def test_the_front_matter_is_what_the_hub_reads():
    data = DatasetCard(card(facts_of(document()))).data
    assert data.to_dict() == {
        "pretty_name": "Data set 0123456789ab",
        "license": "cc-by-4.0",
        "task_categories": ["image-classification"],
        "size_categories": ["n<1K"],
        "tags": ["graft", "audited"],
    }


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("MIT", {"license": "mit"}),
        ("", {"license": "unknown"}),
        ("Ours, (2026) \n---\n!!x", {"license": "other", "license_name": "ours-2026-x"}),
    ],
)
def test_a_licence_that_the_hub_does_not_know_goes_under_its_own_name(said, expected):
    data = DatasetCard(card(facts_of(document(DECLARED | {"licence": said})))).data.to_dict()
    assert {key: value for key, value in data.items() if key.startswith("license")} == expected


def test_the_card_says_what_was_declared_found_and_not_measured():
    text = card(facts_of(document()))
    assert "- **Not to be used for:** People." in text
    assert "Not declared: consent." in text
    assert "| astronaut |" in text
    assert text.index("### Errors") < text.index("**shortcut** of corner") < text.index("### Warnings")
    assert "- cat x west: not measurable (n = 0): no image" in text
    assert "- id was not examined: nearly every image has its own value" in text
    assert "gate is passed" in text


def test_a_closed_gate_is_said():
    closed = document()
    closed["gate"]["passed"] = False
    assert "gate is closed" in card(facts_of(closed))


@pytest.mark.parametrize("shift", range(0, len(TEXTS), 5))
def test_hostile_text_changes_neither_front_matter_nor_structure(shift):
    calm, hostile = document(), made_hostile(document(), TEXTS, shift)
    hostile["declared"] |= {"consent": "", "licence": DECLARED["licence"]}
    text = card(facts_of(hostile))
    assert DatasetCard(text).data.to_dict() == DatasetCard(card(facts_of(calm))).data.to_dict()
    blocks, inline, code = read(text)
    expected = read(card(facts_of(calm)))
    assert inline <= INLINE
    assert code == expected[2]
    # sorting by severity and dropping equal lines aside, there is a block for each block
    assert set(blocks) == set(expected[0])
    assert blocks.count("heading_open") == expected[0].count("heading_open")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", text)


@pytest.mark.parametrize("name", [name for name, text in HOSTILE.items() if text.strip() and name != "long"])
def test_markdown_shows_the_text_and_nothing_else(name):
    line = markdown(HOSTILE[name])
    _, inline, _ = READER.parse(line)
    assert {child.type for child in inline.children} == {"text"}
    expected = " ".join("".join(c if c.isprintable() else " " for c in HOSTILE[name]).split())
    assert shown(line) == expected


def test_a_long_text_is_cut_and_the_cut_is_shown():
    assert markdown("n" * 10_000, 20) == "n" * 19 + "…"


@pytest.mark.parametrize("text", ["1. one", "12) twelve", "2.5 %", "- item", "+ item", "= line", "# head"])
def test_a_first_word_starts_no_list(text):
    assert [token.type for token in READER.parse(markdown(text))] == ["paragraph_open", "inline", "paragraph_close"]
    assert shown(markdown(text)) == text
