"""The corpus of hostile text on the real page in a real browser: no script runs, and nothing is asked of anyone."""

import html
import json
import re
import shutil
import subprocess
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from tasks.report.page import write_page
from tests.exports.documents import made_hostile
from tests.hostile import HOSTILE, MARK

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
TEXTS = tuple(HOSTILE.values())
POLICY = re.compile("<meta http-equiv=.*?>")
RECORDS = ("quality", "bias", "gate", "selection", "evaluation")
SHIFTS = (0, 15, 30)
WRAPPER = """<!doctype html><meta charset=utf-8><link rel=icon href="data:,"><body>FRAMES<pre id=out></pre><script>
onload = () => setTimeout(() => {
  const seen = [...document.querySelectorAll("iframe")].map((frame) => {
    const d = frame.contentDocument;
    return [frame.name, d ? d.title : "gone", d ? d.scripts.length : -1, d ? d.body.innerText.length : 0];
  });
  document.getElementById("out").textContent = JSON.stringify(seen);
}, 1500);
</script>"""
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium, chromium-browser or google-chrome here")


@contextmanager
def serving(pages):
    """(port, requests): a server of these pages on this machine; it notes what else it is asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = pages.get(self.path)
            if body is None:
                asked.append(self.path)
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write((body or "").encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1], asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def look(pages, port_in_pages, folder):
    """([name, title, scripts, letters] of each page in a frame of the browser, what was asked for beside them)."""
    frames = "".join(f'<iframe name="{name}" src="/{name}"></iframe>' for name in pages)
    served = {"/": WRAPPER.replace("FRAMES", frames)}
    with serving(served) as (port, asked):
        served |= {f"/{name}": page.replace(port_in_pages, str(port)) for name, page in pages.items()}
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
        flags += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=20000", "--no-proxy-server"]
        address = f"http://127.0.0.1:{port}/"
        made = subprocess.run([BROWSER, *flags, "--dump-dom", address], capture_output=True, timeout=180, check=True)
        found = re.search(r'<pre id="out">(.*?)</pre>', made.stdout.decode())
    assert found, made.stderr.decode()
    return json.loads(html.unescape(found[1])), asked


@pytest.fixture(scope="module")
def pages(build):
    """The page of a workspace whose every text is hostile, with its policy and without: escaping alone has to hold."""
    label = " ".join(text for name, text in HOSTILE.items() if name not in ("half", "long"))
    ws = build(classes=(label, f"b{HOSTILE['long']}", "c"), images=60, quarantined=6, hostile=HOSTILE["svg"])
    calm = {name: json.loads(getattr(ws, name).read_text(encoding="utf-8")) for name in RECORDS}
    found = {}
    for shift in SHIFTS:
        for name, record in calm.items():
            getattr(ws, name).write_text(json.dumps(made_hostile(record, TEXTS, shift)), encoding="utf-8")
        page = write_page(ws).read_text(encoding="utf-8")
        found |= {f"kept{shift}": page, f"bare{shift}": POLICY.sub("", page)}
    return found


def test_no_script_runs_and_no_request_leaves(pages, tmp_path):
    seen, asked = look(pages, "PORT", tmp_path)
    assert [one[:3] for one in seen] == [[name, "graft report", 0] for name in pages]
    assert all(letters > 10_000 for *_, letters in seen)
    assert asked == []


def test_the_same_text_unescaped_runs_and_asks(tmp_path):
    """That the browser, the server and the corpus would show it."""
    traps = ("script", "image", "svg", "request", "style")
    seen, asked = look({name: f"<title>calm</title><p>{HOSTILE[name]}" for name in traps}, "PORT", tmp_path)
    assert [title for name, title, *_ in seen if name in ("script", "image", "svg")] == [MARK] * 3
    assert {"/i", "/l", "/f", "/s"} <= set(asked)


def test_every_hostile_text_is_on_the_page(pages):
    """As words: a page that left them out would pass the other test too."""
    shown = html.unescape(" ".join(pages[name] for name in pages if name.startswith("kept")))
    missing = {
        name
        for name in ("script", "image", "handler", "request", "style", "link", "template")
        if HOSTILE[name] not in shown
    }
    assert missing == set()
