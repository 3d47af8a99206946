"""Ten starts at once: one works, and each of the others is told who does; nothing is done twice or broken."""

import getpass
import subprocess
import sys

import pytest

from benchmarks.served import Site, make_site
from flows.runs import runs_of
from tasks.register.registry import versions
from tests.flows.conftest import graft

pytestmark = pytest.mark.slow

TEN = 10


def at_once(site: Site, *arguments: str) -> list[tuple[int, int, str]]:
    """Ten commands of the door, begun before any has ended: process, exit code and what it said."""
    command = [sys.executable, "-m", "flows.cli", "--workspace", str(site.ws.root), *arguments]
    begun = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(TEN)]
    said = [process.communicate(timeout=600)[1] for process in begun]
    return [(process.pid, process.returncode, text) for process, text in zip(begun, said, strict=True)]


def test_of_ten_commands_one_works_and_the_others_say_who(tmp_path):
    site = make_site(tmp_path)
    done = at_once(site, "run", "--offline")
    (winner,) = [pid for pid, code, _ in done if code == 0]
    for pid, code, text in done:
        assert "Traceback" not in text
        if pid != winner:
            assert (code, text.count("\n")) == (4, 1), text
            assert f"{site.ws.root} is in use by {getpass.getuser()}, process {winner} on " in text
    assert [record.state for record in runs_of(site.ws)] == ["done"]
    assert [version.name for version in versions(site.ws)] == ["model@1"]
    again = graft(site.ws, "run", "--offline")
    assert again.returncode == 0, again.stderr
