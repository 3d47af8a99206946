"""`python -m benchmarks.crashes [--database sqlite|postgres] [--victims ...] [--stages ...]`.

SIGKILL to a worker with its run, to the server, or to Postgres with all its processes, while a deployed run is in the
middle of each stage, and of what follows the stages (`publish`). Then what an operator does: start the database again
where that was killed, `graft up`, and the next run where the killed one did not complete. Each case must end with the
outputs and hashes of a run that nobody disturbed, one version, one record of each run, and no run at work for ever.
Prints a table; exits 1 where a case failed.
"""

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.postgres import Postgres, kill_family, postgres
from benchmarks.served import ENDED, Site, make_site, quiet, until
from benchmarks.wreckage import MOMENTS, Hashes, begun, hashes, problems, seconds_of
from flows.server import state_of
from flows.stages import STAGES, bring_up_to_date, track_raw
from tasks.contracts.environment import prepare_environment

VICTIMS = ("worker", "server", "database")
FLOW = "pipeline"


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
    parser.add_argument("--victims", nargs="+", choices=VICTIMS, default=VICTIMS, help="default: all that there are")
    parser.add_argument("--stages", nargs="+", choices=MOMENTS, default=MOMENTS, help="default: all")
    asked = parser.parse_args()
    victims = [one for one in asked.victims if one != "database" or asked.database == "postgres"]
    if not victims:
        parser.error("--victims database needs --database postgres: SQLite has no process to kill")
    quiet()
    prepare_environment()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that server and worker are stopped then, too
    cases = [Case(victim, moment) for victim in victims for moment in asked.stages]
    database = postgres() if asked.database == "postgres" else nullcontext()
    with TemporaryDirectory() as folder, database as own:
        results = list(_all(Path(folder), own, cases))
    print(table(results))
    return int(any(result.problems for result in results))


def _all(folder: Path, database: Postgres | None, cases: list[Case]) -> Iterator[Result]:
    site = make_site(folder, database)
    up(site)
    try:
        expected = undisturbed(site)
        for case in cases:
            result = crash(site, case, expected)
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


def undisturbed(site: Site) -> Undisturbed:
    """Run it once; the workspace's outputs are the reference."""
    site.put_back()
    run = site.start(FLOW)
    state = _end_of(site, run)
    if state != "COMPLETED":
        raise RuntimeError(f"the undisturbed run ended as {state}: {site.message(run)}")
    made, seconds = hashes(site), seconds_of(site)
    return Undisturbed(made, seconds, dict(_before(site)))


def _before(site: Site) -> Iterator[tuple[str, Path]]:
    """The workspace before each moment; stages in this process leave the same behind as a run."""
    site.put_back()
    track_raw(site.ws)
    for moment in MOMENTS:
        yield moment, site.copy(moment)
        if moment in STAGES:
            bring_up_to_date(site.ws, moment)


def crash(site: Site, case: Case, expected: Undisturbed) -> Result:
    """One case, from a workspace in which no moment but those before has been; a failure is a problem told."""
    site.put_back(expected.before[case.moment])
    first = site.start(FLOW)
    runs, result = [first], Result(case)
    try:
        _in_the_middle(site, case.moment, expected)
        KILLS[case.victim](site)
        killed, fell = time.monotonic(), begun(site)[-1]
        if site.database and case.victim == "database":
            site.database.start()
        up(site)
        result = replace(result, fell=fell, up_s=time.monotonic() - killed)
        result = replace(result, first=_end_of(site, first))
        if result.first != "COMPLETED":
            runs.append(site.start(FLOW))
            if (state := _end_of(site, runs[1])) != "COMPLETED":
                raise RuntimeError(f"the next run ended as {state}: {site.message(runs[1])}")
        result = replace(result, runs=len(runs), whole_s=time.monotonic() - killed)
        return replace(result, problems=tuple(problems(site, runs, fell, expected.hashes)))
    except (OSError, RuntimeError) as error:
        return replace(result, problems=(" ".join(str(error).split())[:600],))


def _in_the_middle(site: Site, moment: str, expected: Undisturbed) -> None:
    until(lambda: moment in begun(site), f"beginning of {moment}", pause=0.02)
    time.sleep(expected.seconds[moment] / 2)


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
