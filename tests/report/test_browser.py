"""The page in a real browser: nothing runs, nothing overflows."""

import html
import json
import re
import shutil
import subprocess

import pytest

from tasks.report.page import write_page

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOSTILE = (
    "\"><img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    "</style></title><svg onload=\"document.title='owned'\"> ' onmouseover='x' " + "w" * 300
)
WIDTHS = (390, 500, 1280)
CSP = re.compile("<meta http-equiv=.*?>")
WRAPPER = """<!doctype html><meta charset=utf-8><body>FRAMES<pre id=out></pre><script>
onload = () => {
  const handled = (element) => [...element.attributes].some((a) => a.name.startsWith("on"));
  const seen = [...document.querySelectorAll("iframe")].map((frame) => {
    const d = frame.contentDocument;
    return {
      page: frame.dataset.page, width: Number(frame.width), title: d.title,
      needed: d.documentElement.scrollWidth, given: d.documentElement.clientWidth,
      scripts: d.scripts.length, handlers: [...d.querySelectorAll("*")].filter(handled).length,
      images: d.images.length, loaded: [...d.images].filter((i) => i.naturalWidth > 0).length,
      height: d.body.scrollHeight,
    };
  });
  document.getElementById("out").textContent = JSON.stringify(seen);
};
</script>"""


@pytest.fixture(scope="module")
def seen(example, build, tmp_path_factory):
    if BROWSER is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on this machine")
    folder = tmp_path_factory.mktemp("browser")
    hostile = write_page(build(classes=(HOSTILE, f"b{HOSTILE}", "c"), images=240, quarantined=15, hostile=HOSTILE))
    # Without its policy the page must be just as inert: escaping alone has to hold.
    (folder / "hostile.html").write_text(CSP.sub("", hostile.read_text(encoding="utf-8")), encoding="utf-8")
    shutil.copy(write_page(example), folder / "calm.html")
    frames = (
        f'<iframe src="{page}.html" data-page="{page}" width="{width}" height="800" style="border:0"></iframe>'
        for page in ("calm", "hostile")
        for width in WIDTHS
    )
    (folder / "wrapper.html").write_text(WRAPPER.replace("FRAMES", "".join(frames)), encoding="utf-8")
    return look(folder)


def look(folder):
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    flags += [f"--user-data-dir={folder / 'profile'}", "--allow-file-access-from-files", "--window-size=1400,900"]
    address = (folder / "wrapper.html").as_uri()
    made = subprocess.run([BROWSER, *flags, "--dump-dom", address], capture_output=True, timeout=120, check=True)
    found = re.search(r'<pre id="out">(.*?)</pre>', made.stdout.decode())
    assert found, made.stderr.decode()
    return json.loads(html.unescape(found[1]))


def test_no_script_ran_and_none_is_there(seen):
    hostile = [one for one in seen if one["page"] == "hostile"]
    assert len(hostile) == len(WIDTHS)
    assert {(one["title"], one["scripts"], one["handlers"]) for one in hostile} == {("graft report", 0, 0)}


def test_nothing_is_wider_than_the_window(seen):
    assert [(one["page"], one["width"]) for one in seen if one["needed"] > one["given"]] == []


def test_the_pages_were_drawn_with_every_picture(seen):
    assert [one for one in seen if not (one["loaded"] == one["images"] >= 10 and one["height"] > 3000)] == []
