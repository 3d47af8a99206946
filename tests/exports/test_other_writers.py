"""The hostile corpus through what else is written: a pull request's summary, the screen, a model's card."""

import re
from dataclasses import asdict

import pytest
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt

from tasks.audit import wording
from tasks.contracts.model_records import BundleRecord
from tasks.contracts.records import Finding, Statistic
from tasks.register.bundle import card
from tests.exports.documents import document, made_hostile
from tests.hostile import HOSTILE
from tests.report.conftest import Recipe, model_record

TEXTS = tuple(text for text in HOSTILE.values() if text.strip())
READER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
UNSEEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def parts(text):
    """The kinds of blocks and of inline parts of Markdown."""
    tokens = READER.parse(text)
    return [token.type for token in tokens], {child.type for token in tokens for child in token.children or ()}


@pytest.mark.parametrize("shift", range(0, len(TEXTS), 5))
def test_the_summary_for_a_pull_request(shift):
    calm, hostile = document(), made_hostile(document(), TEXTS, shift)
    hostile["not_said"] = calm["not_said"]
    text = wording.markdown(hostile, "3:" + "ab" * 32, None)
    blocks, inline = parts(text)
    assert blocks == parts(wording.markdown(calm, "3:" + "ab" * 32, None))[0]
    assert inline <= {"text", "strong_open", "strong_close", "code_inline", "softbreak"}
    assert not UNSEEN.search(text)


@pytest.mark.parametrize("shift", range(0, len(TEXTS), 5))
def test_the_screen_of_an_audit(shift):
    calm, hostile = document(), made_hostile(document(), TEXTS, shift)
    for key in ("entry", "subject", "tool", "recompute", "not_said"):  # graft's own
        hostile[key] = calm[key]
    text = wording.screen(hostile)
    assert not UNSEEN.search(text)
    assert len(text.splitlines()) == len(wording.screen(calm).splitlines())


def test_the_card_of_a_model():
    model, number = model_record(Recipe(classes=TEXTS)), Statistic("accuracy", 0.5, 9, 0.4, 0.6, estimator="Wilson")
    found = tuple(Finding("x", "warn", text, number, text, text) for text in TEXTS)
    origin = {"data": TEXTS[0], "licence": TEXTS[1]}
    whole = card(BundleRecord(asdict(model), {}, number, {"data/checked.parquet": "ab" * 32}, found, backbone=origin))
    text = whole.partition("\n---\n")[2]
    blocks, inline = parts(text)
    assert inline == {"text", "code_inline"}
    assert blocks.count("list_item_open") == len(TEXTS) + 6
    assert ModelCard(whole).data.license == "other"
    assert blocks.count("heading_open") == 3
    assert not UNSEEN.search(text)
