"""axe-core on the page, as `python -m benchmarks.axe` runs it: the axe of the development packages."""

import pytest

from benchmarks.axe import browser, bundled, look
from tasks.report.page import write_page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(browser() is None, reason="no chromium, chromium-browser or google-chrome on this machine"),
]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_and_is_sure_of_every_contrast(dark, example):
    seen = look(write_page(example), bundled(), dark=dark, width_px=1280)
    assert seen.dark is dark
    assert seen.violations == []
    assert seen.unsure == []
    assert seen.passes > 40


def test_axe_finds_what_is_wrong_with_a_page(tmp_path):
    page = tmp_path / "page.html"
    page.write_text(
        "<!doctype html><html><head><title>x</title></head><body><main><h1>x</h1><img src='data:,'>"
        "<p style='color:#999;background:#fff'>faint</p></main></body></html>",
        encoding="utf-8",
    )
    serious = {one.split(":")[0] for one in look(page, bundled(), dark=False, width_px=1280).serious}
    assert serious == {"html-has-lang", "image-alt", "color-contrast"}
