"""How far the runs of a site came, by their logs, and what a killed one left: lost, doubled, or at work for ever."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ruamel.yaml import YAML

from benchmarks.served import Site, processes_of, until
from flows.runs import runs_of
from flows.stages import STAGES, stale_stages
from flows.workspaces import git
from tasks.register.registry import versions

PUBLISH = "publish"
MOMENTS = (*STAGES, PUBLISH)
_BEGINS = {**{name: f"-- {name}: " for name in STAGES}, PUBLISH: "saving the run ..."}
_SECONDS_TO_END = 30.0  # of the process of a run that completed

Hashes = dict[str, str]


@dataclass(frozen=True)
class Said:
    """A line of a run's log: the moment that it begins, if it begins one, and when it was said, in seconds."""

    begins: str | None
    at: float


def said(site: Site) -> list[Said]:
    """What the runs said, oldest first."""
    found = []
    for path in sorted((site.ws.private / "logs").glob("*.jsonl")):
        for text in path.read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):  # the last line of a killed process may be cut short
                line = json.loads(text)
                moment = next((name for name, begins in _BEGINS.items() if line["text"].startswith(begins)), None)
                found.append(Said(moment, datetime.fromisoformat(line["time"]).timestamp()))
    return found


def begun(site: Site) -> list[str]:
    """The moments that began, oldest first."""
    return [line.begins for line in said(site) if line.begins]


def seconds_of(site: Site) -> dict[str, float]:
    """How long the only run was in each moment."""
    lines = said(site)
    starts = [line for line in lines if line.begins]
    ends = [*starts[1:], lines[-1]]
    return {str(start.begins): end.at - start.at for start, end in zip(starts, ends, strict=True)}


def hashes(site: Site) -> Hashes:
    """Of every output of every stage, as the commit of the only version has them in its `dvc.lock`."""
    (version,) = versions(site.ws)
    lock = YAML(typ="safe").load(git(site.ws, "show", f"{version.commit}:dvc.lock"))
    return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}


def problems(site: Site, runs: Sequence[dict[str, Any]], fell: str, expected: Hashes) -> Iterator[str]:
    """What is wrong after `runs` of the pipeline, the last of which completed; the first was cut off in `fell`."""
    known = versions(site.ws)
    if [version.name for version in known] != ["model@1"] or not known[0].champion:
        yield f"versions: {[version.name for version in known]}"
        return
    if hashes(site) != expected:
        yield "other hashes"
    if stale := {name: why for name, why in stale_stages(site.ws).items() if why}:
        yield f"outputs: {stale}"
    states = [record.state for record in runs_of(site.ws)]
    if len(states) != len(runs) or states[0] != "done" or "running" in states:
        yield f"{len(runs)} runs are recorded as {states}"
    done = Counter(begun(site))
    if again := [name for name in MOMENTS[: MOMENTS.index(fell)] if done[name] > 1]:
        yield f"done again: {again}"
    if left := site.at_work():
        yield f"at work for ever: {left}"
    with suppress(TimeoutError):
        until(lambda: not any(map(processes_of, runs)), "end", _SECONDS_TO_END)
    if alive := [pid for run in runs for pid in processes_of(run)]:
        yield f"processes left: {alive}"
