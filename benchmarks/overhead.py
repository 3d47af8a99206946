"""`python -m benchmarks.overhead [--rounds N] [--ways ...]`: what driving all the stages costs, on small data.

Five ways to the same outputs in turn, each from a workspace in which nothing has run: `graft stage` for each stage in
order, `dvc repro`, all in one process under DVC alone, the flow in Prefect's embedded engine, and the flow on the
server of `graft up`. In the last three the steps' own time is taken within the same run: what is over it is the
driver's, from the first line of the flow's body to the last. Medians of the rounds.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.crashes import up
from benchmarks.served import Site, make_site, quiet
from flows import stages
from tasks.contracts.environment import prepare_environment
from tasks.contracts.workspace import Workspace

WAYS = ("graft stage", "dvc repro", "one process", "embedded", "served")
TIMED = ("one process", "embedded", "served")


@dataclass(frozen=True)
class Body:
    """Seconds on the clock and of CPU: of the flow's body, and of the steps in it."""

    wall: float
    steps_wall: float
    cpu: float
    steps_cpu: float


@dataclass(frozen=True)
class Cost:
    """Seconds from the call to the end, on the clock and of CPU; the body where it was timed."""

    wall: float
    cpu: float
    body: Body | None = None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="default: 3")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS, help="default: all")
    parser.add_argument("--body", nargs=2, help=argparse.SUPPRESS)  # the way and the workspace, in a process of its own
    asked = parser.parse_args()
    quiet()
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each process would compile every module that it imports
    prepare_environment()
    if asked.body:
        sys.stdout.write(json.dumps(asdict(time_body(asked.body[0], Workspace(Path(asked.body[1]))))) + "\n")
        return 0
    with TemporaryDirectory() as folder:
        alone, served = (make_site(Path(folder, name)) for name in ("alone", "served"))
        up(served)
        try:
            costs: dict[str, list[Cost]] = {way: [] for way in asked.ways}
            for number in range(asked.rounds):
                for way in asked.ways[:: -1 if number % 2 else 1]:
                    costs[way].append(measure(served if way == "served" else alone, way))
        finally:
            served.graft("down")
    print(table(costs))
    return 0


def measure(site: Site, way: str) -> Cost:
    """One whole pipeline by one way, in processes of its own."""
    site.put_back()
    root = str(site.ws.root)
    cpu, wall = _children_cpu(), time.perf_counter()
    out = ""
    for command in _commands(way, root):
        out = _call(site, way, command)
    cost = Cost(time.perf_counter() - wall, _children_cpu() - cpu, Body(**json.loads(out)) if way in TIMED else None)
    if stale := [name for name, why in stages.stale_stages(site.ws).items() if why and way != "graft stage"]:
        raise RuntimeError(f"{way}: {stale} would run again")
    return cost


def _commands(way: str, root: str) -> list[list[str]]:
    if way == "graft stage":
        return [["graft", "--workspace", root, "stage", name] for name in stages.STAGES]
    if way == "dvc repro":
        return [["dvc", "repro", "--quiet"]]
    return [[sys.executable, "-m", "benchmarks.overhead", "--body", way, root]]


def _call(site: Site, way: str, command: list[str]) -> str:
    here = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{here}:{os.environ['PATH']}"}
    folder = site.ws.root if way == "dvc repro" else Path.cwd()
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{way}: exit {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def _children_cpu() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime


def time_body(way: str, ws: Workspace) -> Body:
    """Run the pipeline in this process, by a flow but for `one process`, and time its body and the steps in it."""
    from flows.engine import prepare_engine

    spent = {"wall": 0.0, "cpu": 0.0}
    run_step = stages.run_step
    found: list[Body] = []

    def timed(*arguments: Any) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            return run_step(*arguments)
        finally:
            spent["wall"] += time.perf_counter() - wall
            spent["cpu"] += time.process_time() - cpu

    def body(work: Any) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        stages.track_raw(ws)
        work()
        found.append(Body(time.perf_counter() - wall, spent["wall"], time.process_time() - cpu, spent["cpu"]))

    stages.run_step = timed
    if way == "one process":
        body(lambda: [stages.bring_up_to_date(ws, name) for name in stages.STAGES])
        return found[0]
    prepare_engine(ws)
    from prefect import flow

    from flows.pipeline import pipeline

    flow(name="overhead")(lambda: body(lambda: pipeline.fn(ws.root)))()
    return found[0]


def table(costs: dict[str, list[Cost]]) -> str:
    """A row for each way, in Markdown; CPU seconds in brackets. The CPU time of a server apart is not in it."""
    plain = costs.get("graft stage", [])
    head = [
        "",
        "from call to end, s",
        "over `graft stage`, s",
        "the body, s",
        "of it the steps, s",
        "over the steps, s",
    ]
    rows = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for way, of in costs.items():
        over = [(a.wall - b.wall, a.cpu - b.cpu) for a, b in zip(of, plain, strict=False)]
        cells = [_both([(cost.wall, cost.cpu) for cost in of]), _both(over) if over else ""]
        if bodies := [cost.body for cost in of if cost.body]:
            cells.append(_both([(one.wall, one.cpu) for one in bodies]))
            cells.append(_both([(one.steps_wall, one.steps_cpu) for one in bodies]))
            cells.append(_both([(one.wall - one.steps_wall, one.cpu - one.steps_cpu) for one in bodies]))
        rows.append(f"| {' | '.join([way, *cells, *[''] * (5 - len(cells))])} |")
    return "\n".join(rows)


def _both(pairs: list[tuple[float, float]]) -> str:
    wall, cpu = (median(values) for values in zip(*pairs, strict=True))
    return f"{wall:.1f} ({cpu:.1f})"


if __name__ == "__main__":
    sys.exit(main())
