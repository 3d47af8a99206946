import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tasks.contracts.records import Statistic
from tasks.quality.label_errors import LabelCheck, Suspect
from tasks.quality.suspects import MOST_SHOWN, SUSPECT_PX, Shown, label_findings, shown, suspect_sheet

RED, GREEN, BLUE = (200, 30, 30), (30, 160, 30), (30, 30, 200)


def flat(colour):
    return np.full((24, 24, 3), colour, np.uint8)


def one(**changes) -> Shown:
    base = Shown(flat(RED), "cat", "dog", 0.93, "0123456789ab" + "f" * 52, (flat(GREEN),) * 3, (flat(BLUE),) * 3)
    return replace(base, **changes)


def opened(data: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(data))
    assert image.format == "JPEG"
    return np.asarray(image).astype(int)


def area(sheet, colour) -> int:
    """How many pixels have nearly this colour."""
    return int((np.abs(sheet - colour).max(axis=2) < 12).sum())


def measured(name: str, value: float) -> Statistic:
    return Statistic(name, value, 100, value - 0.1, value + 0.1)


def label_check(**changes) -> LabelCheck:
    base = LabelCheck(
        suspects=(Suspect(2, "cat", "dog", 0.9), Suspect(0, "dog", "cat", 0.8)),
        n=100,
        left_out={},
        accuracy=measured("label_agreement", 0.9),
        noise=measured("label_noise", 0.05),
        precision=measured("suspect_precision", 0.85),
        recalls=(measured("planted_uniform_recall", 0.8), measured("planted_confusable_recall", 0.6)),
        typical={"cat": (1,)},
    )
    return replace(base, **changes)


def test_each_suspect_is_shown_large_with_three_small_ones_of_either_class():
    sheet = opened(suspect_sheet([one()] * 4, 4))
    assert area(sheet, RED) == pytest.approx(4 * SUSPECT_PX**2, rel=0.02)
    assert area(sheet, GREEN) == pytest.approx(area(sheet, BLUE), rel=0.1)
    assert area(sheet, GREEN) == pytest.approx(4 * 3 * 36**2, rel=0.05)


def test_the_margin_stays_white_whatever_the_labels_are():
    hostile = [
        "x" * 4000,
        "<script>alert(1)</script>",
        "a\nb\x1b[31m",
        "\u4e2d\u6587" * 40,
        "\U0001f600",
        "",
        "\u202e",
        "\ud800",
    ]
    sheet = opened(suspect_sheet([one(given=text, suggested=text[::-1] + "!") for text in hostile], 8))
    for edge in (sheet[:20], sheet[-20:], sheet[:, :20], sheet[:, -20:]):
        assert edge.min() > 250
    assert area(sheet, RED) == pytest.approx(len(hostile) * SUSPECT_PX**2, rel=0.02)


def test_labels_that_differ_look_different():
    pairs = [("Caf\u00e9", "Cafe"), ("\u4e2d", "\u6587"), ("a\u0301", "a"), ("cat", "dog")]
    for given, suggested in pairs:
        assert suspect_sheet([one(given=given, suggested=suggested)], 1) != suspect_sheet(
            [one(given=suggested, suggested=suggested)], 1
        )


def test_an_accent_does_not_hide_a_label():
    drawn = suspect_sheet([one(given="M\u00fcller")], 1)
    assert drawn == suspect_sheet([one(given="Muller")], 1)


def test_equal_input_gives_equal_bytes_and_hash_and_score_are_on_it():
    sheet = suspect_sheet([one()], 1)
    assert sheet == suspect_sheet([one()], 1)
    assert sheet != suspect_sheet([one(sha256="1" * 64)], 1)
    assert sheet != suspect_sheet([one(score=0.5)], 1)
    assert sheet == suspect_sheet([one(sha256="0123456789ab" + "0" * 52)], 1)


def test_a_sheet_without_suspects_is_still_a_picture():
    assert opened(suspect_sheet([], 0)).shape[1] > 300


def test_shown_finds_each_picture_by_its_place():
    pixels = np.stack([flat((value, 0, 0)) for value in range(4)])
    first, second = shown(label_check(), pixels[[3, 2, 1]], sha256s=["a", "b", "c"])
    assert (first.pixels[0, 0, 0], second.pixels[0, 0, 0]) == (1, 3)
    assert (first.sha256, second.sha256) == ("c", "a")
    assert first.like_given[0][0, 0, 0] == 2
    assert first.like_suggested == ()


def test_only_the_most_suspect_are_shown():
    many = tuple(Suspect(0, "cat", "dog", 1 - i / 1000) for i in range(MOST_SHOWN + 5))
    found = shown(label_check(suspects=many, typical={}), np.zeros((1, 8, 8, 3), np.uint8), ["a"])
    assert [each.score for each in found] == [each.score for each in many[:MOST_SHOWN]]


def test_a_finding_tells_the_count_and_how_far_to_trust_it():
    (finding,) = label_findings(label_check(), ["p0", "p1", "p2"])
    assert (finding.check, finding.severity, finding.evidence) == ("suspect_label", "warn", ("p2", "p0"))
    assert finding.message == (
        "2 of 100 labels are suspect; 85% of them are expected wrong (75% to 95%). "
        "Of errors planted to try it, it found 80%; between like classes 60%"
    )


def test_much_noise_is_said_aloud():
    noisy = label_findings(label_check(noise=measured("label_noise", 0.4)), ["p0", "p1", "p2"])
    assert [finding.check for finding in noisy] == ["suspect_label", "label_noise"]
    assert noisy[1].message.startswith("about 40% of the labels seem wrong")


def test_nothing_suspect_is_no_finding_but_what_could_not_be_checked_is():
    assert label_findings(label_check(suspects=()), []) == ()
    (finding,) = label_findings(label_check(suspects=(), why="too few images"), [])
    assert (finding.severity, finding.message) == ("info", "labels were not checked: too few images")
