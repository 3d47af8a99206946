import json
import re
import shutil
from html.parser import HTMLParser
from itertools import product
from pathlib import Path

import pandas as pd
import pytest

from tasks.contracts.errors import BrokenArtifact
from tasks.contracts.reasons import REASONS
from tasks.contracts.records import read_json
from tasks.contracts.workspace import Workspace
from tasks.report.page import printable, write_page

HOSTILE = (
    '"><img src=x onerror=alert(1)><script>alert(1)</script></style></title></svg>'
    " javascript:alert(1) {{ 7 * 7 }} {% raw %} http://evil.example/x ' onmouseover='alert(1) &lt;b&gt; \u202e"
)
CSP = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
VOID = {"meta", "img", "br"}
MODEL_PARTS = ("selection.json", "evaluation.json", "augmentation.jpg")


class Parsed(HTMLParser):
    """The tags, attributes and text of a page; `open` holds the elements that were not closed."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    def attributes(self, name):
        return [attrs[name] or "" for _, attrs in self.tags if name in attrs]


@pytest.fixture(scope="module")
def page(example):
    return Parsed(write_page(example, "model@3"))


@pytest.fixture(scope="module")
def hostile(build):
    classes = tuple(f"{HOSTILE} {i}" for i in range(3))
    return build(classes=classes, images=300, quarantined=9, hostile=HOSTILE)


@pytest.fixture(scope="module")
def audited(build):
    ws = build(images=90, quarantined=4)
    shutil.rmtree(ws.root / "models")
    for name in MODEL_PARTS:
        (ws.reports / name).unlink()
    return ws


def assert_inert(parsed):
    assert parsed.open == []
    tags = {tag for tag, _ in parsed.tags}
    assert tags.isdisjoint({"script", "iframe", "object", "embed", "link", "base", "form", "input", "foreignobject"})
    assert [name for _, attrs in parsed.tags for name in attrs if name.startswith("on")] == []
    assert all(value.startswith("data:image/jpeg;base64,") for value in parsed.attributes("src"))
    assert all(re.fullmatch("#[a-z]+", value) for value in parsed.attributes("href"))
    assert parsed.attributes("style") == parsed.attributes("srcset") == parsed.attributes("xlink:href") == []
    policies = [attrs.get("content") for tag, attrs in parsed.tags if tag == "meta" and "http-equiv" in attrs]
    assert policies == [CSP]


def test_hostile_text_stays_text_in_every_place(hostile):
    parsed = Parsed(write_page(hostile, HOSTILE))
    assert_inert(parsed)
    shown = " ".join(HOSTILE.split()).replace("\u202e", "\ufffd")  # what turns the letters is shown as such
    assert parsed.text.count(shown) > 60
    assert "49" not in HOSTILE
    assert all(f"{shown} {i}" in parsed.text for i in range(3))


def test_a_calm_page_is_inert_and_names_no_address(example, page):
    assert_inert(page)
    assert not re.search(r"https?:|//[a-z]", re.sub(r"data:image/jpeg;base64,[\w+/=]+", "", example.page.read_text()))
    assert "url(" not in example.page.read_text()
    assert "@import" not in example.page.read_text()


def test_equal_records_give_equal_bytes(example):
    first = write_page(example).read_bytes()
    assert write_page(example).read_bytes() == first


def test_the_summary_says_what_the_records_say(example, page):
    quality, evaluation = read_json(example.quality), read_json(example.evaluation)
    ours, scratch = (evaluation[name]["accuracy"] for name in ("candidate", "scratch"))
    text = page.text
    assert f"1,500 found kept {quality['kept']:,} " in text
    assert f"quarantined {quality['quarantined']} " in text
    for one in (ours, scratch):
        assert f"{100 * one['value']:.1f} % ({100 * one['low']:.1f} to {100 * one['high']:.1f})" in text
    assert "4 findings error 1 warning 2 note 1" in text
    assert "Backbone formula-colour Why: formula-colour gets 74.1% of 886 training images right" in text
    assert "Registered as model@3" in text


def test_every_quarantined_file_stands_there_with_its_reason_and_preview(example, page):
    checked = pd.read_parquet(example.checked)
    out = checked[checked["verdict"] == "quarantine"]
    assert len(out) == 23
    previews = [attrs.get("alt") for tag, attrs in page.tags if tag == "img"]
    for path, label, reasons, pinned in out[["path", "label", "reasons", "pixels_crc32"]].itertuples(index=False):
        assert f"{path} {label} " + "; ".join(REASONS[reason] for reason in reasons) in page.text
        assert (f"Preview of {path}" in previews) == (not pd.isna(pinned))


def test_not_measured_is_said_and_the_gate_tells_who_waived(page):
    assert "operator not measured: too few images (n = 3)" in page.text
    assert "waived max association 0.30 0.41 camera and class go together Waived by R. Curator" in page.text
    assert "resnet50 its weights are not on this machine" in page.text


def test_after_an_audit_the_model_parts_are_said_to_be_missing(audited):
    parsed = Parsed(write_page(audited))
    assert_inert(parsed)
    for text in ("90 found", "Test accuracy Not measured yet", "Not chosen yet", "Not registered yet"):
        assert text in parsed.text
    assert "Training: graft run Evaluation on the test split: graft run" in parsed.text
    assert "evaluation-title" not in parsed.attributes("id")
    assert "bias-title" in parsed.attributes("id")


def test_an_empty_workspace_has_an_honest_page(tmp_path):
    parsed = Parsed(write_page(Workspace(tmp_path)))
    assert_inert(parsed)
    assert "Not counted yet" in parsed.text
    assert "Nothing checked yet" in parsed.text


@pytest.mark.parametrize("missing", ["bias", "gate", "quality", "checked", "duplicates", "prepared", "evaluation"])
def test_any_single_part_may_be_missing(example, tmp_path, missing):
    shutil.copytree(example.root, tmp_path / "copy")
    ws = Workspace(tmp_path / "copy")
    gone = getattr(ws, missing)
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    assert_inert(Parsed(write_page(ws)))


def test_the_contract_says_what_is_broken_how_gravely_and_where_it_stands(example, page):
    section = example.page.read_text().split('id="contract"')[1].split("</section>")[0]
    rows = re.findall(r"<tr>.*?</tr>", section, re.DOTALL)
    (grave,) = [row for row in rows if "width_px" in row]
    (mild,) = [row for row in rows if "(new: &#39;emu&#39;)" in row]
    assert 'class="badge failed"' in grave
    assert ">graft<" in grave
    assert 'class="badge warn"' in mild
    assert "contract.json, expectation 1" in mild


def test_a_report_of_an_older_graft_still_has_a_contract(build):
    ws = build(images=60, quarantined=3)
    quality = json.loads(ws.quality.read_text())
    for line in quality["contract"]:
        del line["severity"], line["source"]
    ws.quality.write_text(json.dumps(quality))
    assert "the classes are those listed" in Parsed(write_page(ws)).text


def test_a_closed_gate_is_said(audited):
    gate = json.loads(audited.gate.read_text())
    gate["passed"] = gate["rules"][0]["passed"] = False
    audited.gate.write_text(json.dumps(gate))
    assert "Gate: stopped the run" in Parsed(write_page(audited)).text


def test_a_model_older_than_the_data_is_said(build):
    ws = build(images=60, quarantined=3)
    assert "older than the data" not in Parsed(write_page(ws)).text
    checked = pd.read_parquet(ws.checked)
    checked.iloc[:-1].to_parquet(ws.checked)
    assert "The model is older than the data. Since it was made, these changed: data/checked.parquet" in (
        Parsed(write_page(ws)).text
    )


def test_tuning_says_what_was_tried_and_that_val_flatters(example, page):
    section = example.page.read_text().split('id="tuning"')[1].split("</section>")[0]
    trials = read_json(example.tuning)["trials"]
    assert section.count('class="trial') == len(trials) - 1 + 3  # one has no accuracy; three are the legend's
    assert section.count(" cut") == 3 + 1
    assert len(re.findall(r"<tr( class=\"chosen\")?><th scope=\"row\"", section)) == len(trials)
    text = page.text
    assert "29 trials, each judged on the same 224 images of the validation split" in text
    assert "--set train.fine_tuning.gradual=true" in text
    assert "its accuracy flatters the best of them" in text
    assert "learning rate 71.0 %" in text
    assert "Not told: too few trials finished, or all did alike (n = 5)" in text
    assert "more of fine_tuning: a trial takes 85 s" in text


def test_a_search_on_older_images_is_said(build):
    ws = build(images=60, quarantined=3)
    assert "found on the old ones" not in Parsed(write_page(ws)).text
    pd.read_parquet(ws.checked).iloc[:-1].to_parquet(ws.checked)
    assert "found on the old ones" in Parsed(write_page(ws)).text


def test_a_broken_report_is_an_error_and_leaves_the_old_page(build):
    ws = build(images=60, quarantined=3)
    before = write_page(ws).read_bytes()
    ws.bias.write_text("{")
    with pytest.raises(BrokenArtifact, match=r"bias\.json"):
        write_page(ws)
    assert ws.page.read_bytes() == before


def test_a_screen_reader_can_find_its_way(page):
    ids = page.attributes("id")
    assert len(ids) == len(set(ids))
    assert {value.removeprefix("#") for value in page.attributes("href")} <= set(ids)
    assert set(page.attributes("aria-labelledby")) <= set(ids)
    assert [attrs for tag, attrs in page.tags if tag == "img" and not attrs.get("alt")] == []
    assert [attrs for tag, attrs in page.tags if tag == "th" and attrs.get("scope") not in ("row", "col")] == []
    tags = [tag for tag, _ in page.tags]
    assert tags.count("table") == tags.count("caption") > 10
    assert tags.count("h1") == 1
    for _, attrs in page.tags:
        assert attrs.get("role") != "region" or (attrs.get("tabindex") == "0" and attrs.get("aria-label"))
    drawings = [attrs for tag, attrs in page.tags if tag == "svg" and "viewbox" not in attrs]
    named = [a for a in drawings if a.get("aria-hidden") == "true" or (a.get("role") == "img" and a.get("aria-label"))]
    assert len(drawings) - len(named) == 5  # the swatches of the chart legends, inside a hidden element


def test_control_characters_and_missing_values_are_visible():
    assert printable("a\x00\x1b[31m\ud800b\u0085") == "a\ufffd\ufffd[31m\ufffdb\ufffd"
    assert printable("tab\tline\nume\u0301") == "tab\tline\nume\u0301"
    assert printable(None) == "not given"
    assert printable(3) == 3


def colours(page):
    """The light and the dark palette of the page's style as {name: (r, g, b)}."""
    style = page.read_text(encoding="utf-8").split("<style>")[1].split("</style>")[0]
    blocks = re.findall(r":root \{(.*?)\}", style, flags=re.DOTALL)[:2]
    palettes = []
    for block in blocks:
        found = {n: tuple(bytes.fromhex(v)) for n, v in re.findall(r"--([a-z-]+): #([0-9a-f]{6})", block)}
        found |= {n: tuple(map(int, v.split(","))) for n, v in re.findall(r"--([a-z-]+-rgb): ([\d, ]+)", block)}
        palettes.append(found)
    cells = re.findall(
        r"\.heat \.[rw]\d \{ background: rgba\(var\(--([a-z-]+)\), ([\d.]+)\); color: var\(--([a-z-]+)\)", style
    )
    assert len(cells) == 16
    return palettes, cells


def contrast(one, other):
    def luminance(colour):
        parts = [c / 255 / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_every_text_colour_has_aa_contrast_in_light_and_dark(example):
    palettes, cells = colours(write_page(example))
    pairs = [*product(("ink", "soft", "accent"), ("page", "surface")), ("soft", "sunken"), ("ink", "sunken")]
    pairs += [(name, f"{name}-soft") for name in ("good", "info", "warn", "error")]
    for palette in palettes:
        for text, ground in pairs:
            assert contrast(palette[text], palette[ground]) >= 4.5, (text, ground)
        for colour, alpha, text in cells:
            mix = zip(palette[colour], palette["surface"], strict=True)
            shade = [float(alpha) * over + (1 - float(alpha)) * under for over, under in mix]
            assert contrast(palette[text], shade) >= 4.5, (colour, alpha, text)
