"""`python -m benchmarks.crashes [--database sqlite|postgres] [--flow NAME] [--victims ...] [--stages ...]`.

SIGKILL to a worker with its run, to the server, or to Postgres with all its processes, while a deployed run is in the
middle of each stage, and of what follows the stages (`publish`). Then what an operator does: start the database again
where that was killed, `graft up`, and the next run where the killed one did not complete. Each case must end with the
outputs and hashes of a run that nobody disturbed, one version, one record of each run, and no run at work for ever.
Prints a table; exits 1 where a case failed.
"""

import argparse
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ruamel.yaml import YAML

from benchmarks.postgres import Postgres, kill_family, postgres
from benchmarks.served import ENDED, Site, make_site, processes_of, quiet, until
from flows.runs import runs_of
from flows.server import state_of
from flows.stages import STAGES, bring_up_to_date, stale_stages, track_raw
from flows.workspaces import git
from tasks.contracts.environment import prepare_environment
from tasks.register.registry import versions

PUBLISH = "publish"
MOMENTS = (*STAGES, PUBLISH)
VICTIMS = ("worker", "server", "database")
FLOWS = ("pipeline", "retrain")
_BEGINS = {**{name: f"-- {name}: " for name in STAGES}, PUBLISH: "saving the run ..."}

Hashes = dict[str, str]


@dataclass(frozen=True)
class Undisturbed:
    """What a run that nobody disturbs makes, and how long it is in each moment, in seconds.

    `before`: copies of the workspace as it is before each moment, so that a case need not make again what came before.
    """

    hashes: Hashes
    seconds: dict[str, float]
    before: dict[str, Path]


@dataclass(frozen=True)
class Case:
    """Who is killed, and in the middle of what."""

    victim: str
    moment: str


@dataclass(frozen=True)
class Result:
    """What became of a case: `fell` is where the kill fell, `first` the end of the run that was at work.

    `up_s` is what `graft up` took, `whole_s` the time from the kill to the end of the run that made all whole.
    """

    case: Case
    fell: str = ""
    first: str = ""
    runs: int = 0
    up_s: float = 0.0
    whole_s: float = 0.0
    problems: tuple[str, ...] = ()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crashes", description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--flow", choices=FLOWS, default=FLOWS[0], help="the deployment that is run; default: pipeline")
    parser.add_argument("--victims", nargs="+", choices=VICTIMS, default=VICTIMS, help="default: all that there are")
    parser.add_argument("--stages", nargs="+", choices=MOMENTS, default=MOMENTS, help="default: all")
    asked = parser.parse_args()
    quiet()
    prepare_environment()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that server and worker are stopped then, too
    victims = [one for one in asked.victims if one != "database" or asked.database == "postgres"]
    cases = [Case(victim, moment) for victim in victims for moment in asked.stages]
    database = postgres() if asked.database == "postgres" else nullcontext()
    with TemporaryDirectory() as folder, database as own:
        results = list(_all(Path(folder), own, asked.flow, cases))
    print(table(results))
    return int(any(result.problems for result in results))


def _all(folder: Path, database: Postgres | None, flow: str, cases: list[Case]) -> Iterator[Result]:
    site = make_site(folder, database)
    up(site)
    try:
        expected = undisturbed(site, flow)
        for case in cases:
            result = crash(site, flow, case, expected)
            sys.stderr.write(f"{_row(result)}\n")
            yield result
            if result.problems:  # the next case is to start from what works
                site.graft("down")
                up(site)
    finally:
        site.graft("down")


def up(site: Site) -> None:
    """`graft up`. Raises RuntimeError with what it says where it fails."""
    done = site.graft("up")
    if done.returncode:
        raise RuntimeError(f"graft up: exit {done.returncode}: {done.stderr.strip()}")


def undisturbed(site: Site, flow: str) -> Undisturbed:
    """Run it once; the workspace's outputs are the reference."""
    site.put_back()
    run = site.start(flow)
    state = _end_of(site, run)
    if state != "COMPLETED":
        raise RuntimeError(f"the undisturbed run ended as {state}: {site.message(run)}")
    begun = [(moment, at) for moment, at in _lines(site) if moment]
    last = max(at for _, at in _lines(site))
    ends = [at for _, at in begun[1:]] + [last]
    hashes, seconds = _hashes(site), {m: after - at for (m, at), after in zip(begun, ends, strict=True)}
    return Undisturbed(hashes, seconds, dict(_before(site)) if flow == "pipeline" else {})


def _before(site: Site) -> Iterator[tuple[str, Path]]:
    """The workspace before each moment; stages in this process leave the same behind as a run."""
    site.put_back()
    track_raw(site.ws)
    for moment in MOMENTS:
        yield moment, site.copy(moment)
        if moment in STAGES:
            bring_up_to_date(site.ws, moment)


def crash(site: Site, flow: str, case: Case, expected: Undisturbed) -> Result:
    """One case, from a workspace in which no moment but those before has been; a failure is a problem told."""
    site.put_back(expected.before.get(case.moment))
    first = site.start(flow)
    result = Result(case)
    try:
        _in_the_middle(site, case.moment, expected)
        KILLS[case.victim](site)
        killed, fell = time.monotonic(), _at(site)
        if site.database and case.victim == "database":
            site.database.start()
        up(site)
        result = replace(result, fell=fell, up_s=time.monotonic() - killed, runs=1)
        result = replace(result, first=_end_of(site, first))
        run = first
        if result.first != "COMPLETED":
            run = site.start(flow)
            state = _end_of(site, run)
            result = replace(result, runs=2)
            if state != "COMPLETED":
                raise RuntimeError(f"the next run ended as {state}: {site.message(run)}")
        result = replace(result, whole_s=time.monotonic() - killed)
        return replace(result, problems=tuple(_problems(site, flow, result, expected, (first, run))))
    except (OSError, RuntimeError) as error:
        return replace(result, problems=(*result.problems, " ".join(str(error).split())[:600]))


def _problems(site: Site, flow: str, result: Result, expected: Undisturbed, runs: Any) -> Iterator[str]:
    """What is lost, doubled or left at work."""
    known = versions(site.ws)
    if [version.name for version in known] != ["model@1"] or not known[0].champion:
        yield f"versions: {[version.name for version in known]}"
        return
    if _hashes(site) != expected.hashes:
        yield "other hashes"
    if flow == "pipeline" and (stale := {name: why for name, why in stale_stages(site.ws).items() if why}):
        yield f"outputs: {stale}"
    records = runs_of(site.ws)
    if states := [record.state for record in records if record.state == "running"]:
        yield f"records: {states}"
    if doubled := [
        event for event, number in Counter(r.trigger.event for r in records if r.trigger.event).items() if number > 1
    ]:
        yield f"recorded twice: {doubled}"
    if len(records) != result.runs or records[0].state != "done":
        yield f"{len(records)} records of {result.runs} runs, the last {records[0].state}"
    if again := _again(site, result.fell):
        yield f"done again: {again}"
    if left := site.at_work():
        yield f"at work for ever: {left}"
    with suppress(TimeoutError):  # a run that completed has a moment to end
        until(lambda: not any(map(processes_of, runs)), "end", 30)
    if alive := [pid for run in runs for pid in processes_of(run)]:
        yield f"processes left: {alive}"


def _again(site: Site, fell: str) -> list[str]:
    """Stages that had ended before the kill and yet ran again."""
    whole = MOMENTS[: MOMENTS.index(fell)]
    begun = Counter(moment for moment, _ in _lines(site))
    return [name for name in whole if begun[name] > 1]


def _hashes(site: Site) -> Hashes:
    """Of every output of every stage, as the commit of the only version has them in its `dvc.lock`."""
    (version,) = versions(site.ws)
    lock = YAML(typ="safe").load(git(site.ws, "show", f"{version.commit}:dvc.lock"))
    return {out["path"]: out["md5"] for stage in lock["stages"].values() for out in stage["outs"]}


def _in_the_middle(site: Site, moment: str, expected: Undisturbed) -> None:
    until(lambda: moment in [begun for begun, _ in _lines(site)], f"beginning of {moment}", pause=0.02)
    time.sleep(expected.seconds[moment] / 2)


def _at(site: Site) -> str:
    """The moment that began last."""
    return str([moment for moment, _ in _lines(site) if moment][-1])


def _lines(site: Site) -> list[tuple[str | None, float]]:
    """What the logs say: the moment that a line begins, and when it was said."""
    found = []
    for path in sorted((site.ws.private / "logs").glob("*.jsonl")):
        for text in path.read_text(encoding="utf-8").splitlines():
            with suppress(ValueError):  # the last line of a killed process may be cut short
                line = json.loads(text)
                moment = next((name for name, begins in _BEGINS.items() if line["text"].startswith(begins)), None)
                found.append((moment, datetime.fromisoformat(line["time"]).timestamp()))
    return found


def _end_of(site: Site, run: dict[str, Any]) -> str:
    """The state in which a run ended. Raises TimeoutError where it stays at work, or its turn never comes."""

    def ended() -> str:
        with suppress(OSError):  # a server that has just come up again
            state = site.state(run)
            return state if state in ENDED else ""
        return ""

    return until(ended, f"end of {run['name']}")


def _kill_worker(site: Site) -> None:
    state = state_of(site.ws)
    if state is None or state.worker is None or not state.worker.alive:
        raise RuntimeError("there is no worker to kill")
    kill_family(state.worker.pid)


def _kill_server(site: Site) -> None:
    state = state_of(site.ws)
    if state is None or not state.server.alive:
        raise RuntimeError("there is no server to kill")
    kill_family(state.server.pid)


def _kill_database(site: Site) -> None:
    if site.database is None:
        raise RuntimeError("the database is the server's own file")
    site.database.kill()


KILLS: dict[str, Callable[[Site], None]] = {
    "worker": _kill_worker,
    "server": _kill_server,
    "database": _kill_database,
}


def table(results: list[Result]) -> str:
    """A row for each case, in Markdown."""
    head = ["killed", "in the middle of", "fell in", "that run", "runs", "`graft up`, s", "whole after, s", "outcome"]
    return "\n".join([f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *map(_row, results)])


def _row(result: Result) -> str:
    outcome = "; ".join(result.problems) or "ok"
    case = (result.case.victim, result.case.moment, result.fell, result.first.lower(), str(result.runs))
    return f"| {' | '.join((*case, f'{result.up_s:.0f}', f'{result.whole_s:.0f}', outcome))} |"


if __name__ == "__main__":
    sys.exit(main())
