"""`python -m benchmarks.axe PAGE [--axe FILE]`: what axe-core finds wrong with a report page.

In headless Chromium, light and dark, wide and narrow, every rule that axe has on. The default is the axe-core 4.4 of
the development packages; a newer one: `npm install --no-save axe-core` in some folder, then
`--axe node_modules/axe-core/axe.min.js`. Exit 1 where anything is serious or critical.
"""

import argparse
import html
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SERIOUS = ("serious", "critical")
WIDTHS_PX = (1280, 500)  # headless Chromium is never narrower than the second
POLICY = re.compile("<meta http-equiv=.*?>")
# First the page as it is. Then contrast alone, on everything at once: axe does not judge what something sticky hides.
RUN = """<pre id="axe-out" hidden></pre><script src="axe.min.js"></script><script>
(async () => {
  const found = await axe.run();
  const flat = document.createElement("style");
  flat.textContent = "* { position: static !important; } .scroll { overflow: visible !important; max-height: none; }";
  document.head.append(flat);
  document.querySelectorAll("details").forEach((one) => { one.open = true; });
  const contrast = await axe.run({runOnly: ["color-contrast"]});
  document.getElementById("axe-out").textContent = JSON.stringify({
    dark: matchMedia("(prefers-color-scheme: dark)").matches, width: innerWidth, passes: found.passes.length,
    violations: [...found.violations, ...contrast.violations],
    unsure: [...found.incomplete.filter((one) => one.id != "color-contrast"), ...contrast.incomplete],
  });
})();
</script>"""


@dataclass(frozen=True)
class Seen:
    """What axe says of a page in one form: `violations` as it gives them, `passes` the rules that were met."""

    dark: bool
    width_px: int
    passes: int
    violations: list[dict[str, Any]]
    unsure: list[dict[str, Any]]

    @property
    def serious(self) -> list[str]:
        """The rules of serious and critical violations, each with the first place."""
        return [f"{v['id']}: {_place(v)}" for v in self.violations if v["impact"] in SERIOUS]


def browser() -> str | None:
    """The path of a Chromium on this machine."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def bundled() -> Path:
    """The axe-core that the development packages bring."""
    spec = find_spec("axe_core_python")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("axe-core-python is not installed; `make setup`, or name a file with --axe")
    return Path(spec.submodule_search_locations[0]) / "axe.min.js"


def look(page: Path, axe: Path, *, dark: bool, width_px: int) -> Seen:
    """Ask axe about the page. Its policy is taken out of a copy, as it would keep axe out too."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(axe, folder / "axe.min.js")
        text = POLICY.sub("", page.read_text(encoding="utf-8")).replace("</body>", f"{RUN}</body>")
        (folder / "page.html").write_text(text, encoding="utf-8")
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
        flags += [f"--user-data-dir={folder / 'profile'}", f"--window-size={width_px},1600"]
        flags += ["--virtual-time-budget=60000", f"--blink-settings=preferredColorScheme={0 if dark else 1}"]
        command = [str(browser()), *flags, "--dump-dom", (folder / "page.html").as_uri()]
        made = subprocess.run(command, capture_output=True, timeout=300, check=True)
    found = re.search('<pre id="axe-out"[^>]*>(.+?)</pre>', made.stdout.decode(), re.DOTALL)
    if not found:
        raise SystemExit(f"axe gave no answer: {made.stderr.decode()[-2000:]}")
    told = json.loads(html.unescape(found[1]))
    return Seen(told["dark"], told["width"], told["passes"], told["violations"], told["unsure"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.axe", description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("--axe", type=Path, help="axe.min.js")
    asked = parser.parse_args()
    if browser() is None:
        parser.error(f"none of {', '.join(BROWSERS)} is on this machine")
    bad = False
    for dark, width_px in product((False, True), WIDTHS_PX):
        seen = look(asked.page, asked.axe or bundled(), dark=dark, width_px=width_px)
        print(f"{'dark' if seen.dark else 'light'}, {seen.width_px} px: {seen.passes} rules met")
        for one in seen.violations:
            print(f"  {one['impact']:<9}{one['id']}: {one['help']}; {len(one['nodes'])} places, {_place(one)}")
        for one in seen.unsure:
            print(f"  unsure   {one['id']}: {len(one['nodes'])} places, {_place(one)}")
        bad = bad or bool(seen.serious)
    return int(bad)


def _place(violation: dict[str, Any]) -> str:
    node = violation["nodes"][0]
    why = " ".join((node.get("failureSummary") or "").split())
    return f"{node['target'][0]} {node['html'][:160]!r} {why[:300]}"


if __name__ == "__main__":
    sys.exit(main())
