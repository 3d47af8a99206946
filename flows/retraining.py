"""What `graft retrain`, `graft runs` and `graft watch` do. Each takes the parsed arguments and returns an exit code."""

import signal
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from flows.output import dump, show
from tasks.contracts.errors import BadEnvironment, BadUsage, one_line
from tasks.contracts.workspace import Workspace, find_workspace

if TYPE_CHECKING:
    from flows.stages import Outcome
    from flows.watch import Act, Pace, Signals
    from tasks.contracts.run_records import RunRecord, Trigger


_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # others a run brings on itself


class Ended(BadEnvironment):
    """A signal ended the run; one from outside is no reason against another."""

    def __init__(self, by: signal.Signals) -> None:
        self.outside = by in _FROM_OUTSIDE
        why = f"{by.name}{', as where memory runs out' if by == signal.SIGKILL else ''}"
        super().__init__(f"the run was ended from outside ({why})" if self.outside else f"the run died of {by.name}")


def declare(add: Callable[..., ArgumentParser], json: Callable[[ArgumentParser], ArgumentParser]) -> None:
    """The three commands, on the door's `add`; `json` gives a command the option of that name."""
    again = add("retrain", help="train on the data as they are now, beside your files, if they changed")
    again.add_argument("--reason", default="asked for", metavar="TEXT", help="kept with the run and the version")
    again.add_argument("--event", default="", metavar="TEXT", help="what was noticed, where a program calls")
    again.add_argument("--dry-run", action="store_true", help="only say whether it would, and why")
    again.add_argument("--offline", action="store_true", help="download nothing")
    json(again).set_defaults(command=retrain)

    runs = add("runs", help="every run: what started it, how it ended, what it made")
    runs.add_argument("action", nargs="?", choices=("list", "show"), default="list")
    runs.add_argument("name", nargs="?", default="", metavar="ID", help="for show; default: the latest")
    json(runs).set_defaults(command=list_runs)

    eye = add("watch", help="retrain by itself when data/raw or the committed settings change")
    eye.add_argument("--here", action="store_true", help="run on this machine, also where a Prefect server answers")
    eye.add_argument("--poll", type=_seconds, default=30.0, metavar="S", help="look at least so often; default: 30")
    eye.add_argument("--quiet-for", type=_seconds, default=2.0, metavar="S", help="wait for calm so long; default: 2")
    eye.add_argument("--once", action="store_true", help="look once, act if need be, and end")
    eye.add_argument("--install-hook", action="store_true", help="look after every git commit and merge")
    eye.add_argument("--remove-hook", action="store_true", help="no longer do so")
    eye.add_argument("--listen", metavar="HOST:PORT", help="also look when a signed POST comes in")
    eye.add_argument("--secret-env", metavar="NAME", help="the environment variable that holds the webhook's secret")
    eye.set_defaults(command=watch)


def retrain(arguments: Namespace) -> int:
    """One unattended run, or with --dry-run whether there would be one."""
    import os

    from flows.commands import ready
    from flows.unattended import retrain_once
    from tasks.contracts.run_records import Trigger

    ws = ready(arguments)
    if arguments.dry_run:
        return _say_whether(ws, as_json=arguments.json)
    if arguments.offline:
        os.environ["GRAFT_OFFLINE"] = "1"

    def start(worktree: Workspace, until: str) -> "list[Outcome]":
        from flows.engine import prepare_engine

        prepare_engine(ws)
        from flows.retrain import start as start_flow

        return start_flow(worktree, until)

    record = retrain_once(ws, Trigger(one_line(arguments.reason), one_line(arguments.event)), start)
    return dump(asdict(record)) if arguments.json else show(_screen(record))


def list_runs(arguments: Namespace) -> int:
    """All runs and the page of them, or one in full."""
    from flows.runs import find_run, runs_of
    from tasks.report.runs import run_line, write_runs_page

    ws = find_workspace(arguments.workspace)
    if arguments.action == "show":
        record = find_run(ws, arguments.name)
        return dump(asdict(record)) if arguments.json else show(_screen(record))
    if arguments.name:
        raise BadUsage(f"graft runs list takes no id; `graft runs show {arguments.name}`")
    known = runs_of(ws)
    page = write_runs_page(ws, known)
    if arguments.json:
        return dump({"runs": [asdict(run) for run in known], "page": str(page)})
    return show(
        "\n".join([*map(run_line, known), f"page {page}"]) if known else "no run yet; make one with `graft run`"
    )


def watch(arguments: Namespace) -> int:
    """Look until stopped, or what --once and the hook options say."""
    from flows import hooks
    from flows.commands import ready
    from flows.watch import Pace, Signals
    from flows.watch import watch as keep_watch
    from tasks.contracts.progress import say

    if arguments.install_hook and arguments.remove_hook:
        raise BadUsage("--install-hook and --remove-hook exclude each other")
    ws = ready(arguments)
    if arguments.install_hook or arguments.remove_hook:
        changed = hooks.install(ws) if arguments.install_hook else hooks.remove(ws)
        return show("\n".join(map(str, changed)) or "nothing to change")
    if old := hooks.stale(ws):
        say(f"{', '.join(path.name for path in old)} in git's hooks: not this graft's lines; {hooks.REMEDY}")
    act = _act(ws, here=arguments.here)
    if arguments.once:
        return _once(ws, act)
    act = _again(act)
    pace, signals = Pace(arguments.poll, arguments.quiet_for), Signals()
    if not arguments.listen:
        show(f"watching {ws.raw}; stop with Ctrl-C")
        keep_watch(ws, act, pace, signals)
        return 0
    return _listen(ws, act, (pace, signals), arguments)


def _listen(ws: Workspace, act: "Act", when: "tuple[Pace, Signals]", arguments: Namespace) -> int:
    from flows.watch import watch as keep_watch
    from flows.webhook import secret_of, serving

    host, _, port = arguments.listen.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and int(port) < 65536):
        raise BadUsage(f"--listen {arguments.listen}: expected HOST:PORT, as in 127.0.0.1:4280")
    secret = secret_of(arguments.secret_env)
    with serving((host, int(port)), secret, when[1].look) as address:
        show(f"watching {ws.raw}, listening on {address}; stop with Ctrl-C")
        keep_watch(ws, act, *when)
    return 0


def _once(ws: Workspace, act: "Act") -> int:
    from flows.watch import look_once

    due = look_once(ws, "a look")
    if due is None:
        return show("nothing to do")
    if act(due.trigger) is False:
        show("not now")
        return 4
    return 0


def _say_whether(ws: Workspace, *, as_json: bool) -> int:
    from flows.unattended import survey, why_not_now
    from tasks.contracts.params_file import load_params

    scene = survey(ws)
    why = why_not_now(scene, load_params(ws.params).operate)
    found = {"would_run": not why, "why": why, "change": asdict(scene.change), "settings": scene.settings}
    if as_json:
        return dump(found)
    because = ", ".join(filter(None, (scene.change.words(), *(f"{name} changed" for name in scene.settings))))
    return show(f"nothing to do: {why}" if why else f"would run: {because}")


def _act(ws: Workspace, *, here: bool) -> "Act":
    """An event where a Prefect server answers, unless the run is to be here; else a run in a process of its own.

    So the watch outlives a run that the system kills, and holds none of its memory.
    """
    from flows.announce import server_of

    def act(trigger: "Trigger") -> bool | None:
        url = "" if here else server_of(ws)
        return _tell(ws, url, trigger) if url else _run_here(ws, trigger)

    return act


def _tell(ws: Workspace, url: str, trigger: "Trigger") -> bool | None:
    """None where the server was told; False where it could not be, or where a run is due or at work."""
    from socket import gethostname

    from flows.announce import announce, resource, runs_going_on
    from flows.runs import runs_of
    from flows.server import slug
    from tasks.contracts.progress import say

    if any(run.state == "running" and run.owner.host == gethostname() for run in runs_of(ws)):
        return False  # a run that the server starts meanwhile would be dropped
    try:
        going_on = runs_going_on(url, ws)
        if going_on is None:
            say(f"{url} has no deployment retrain/{slug(ws)}; the run is here")
            return _run_here(ws, trigger)
        if going_on:
            return False
        say(f"told {url}: event {announce(url, resource(ws), trigger)}")
    except BadEnvironment as error:
        say(f"not now: {error}")
        return False
    return None


def _again(act: "Act") -> "Act":
    """For a watch that stays up: a run that was ended from outside is started again, ever more seldom."""
    from tasks.contracts.progress import say

    def patient(trigger: "Trigger") -> bool | None:
        try:
            return act(trigger)
        except Ended as error:
            say(f"{error} and is started again later" if error.outside else str(error))
            return None if error.outside else True

    return patient


def _run_here(ws: Workspace, trigger: "Trigger") -> bool:
    """False where it could not begin. Raises Ended where a signal ended it."""
    door = [sys.executable, "-m", "flows.cli", "--workspace", str(ws.root), "retrain"]
    child = subprocess.Popen([*door, f"--reason={trigger.reason}", f"--event={trigger.event}"])  # noqa: S603
    try:
        code = child.wait()
        if cause := _ended_by(code):
            raise Ended(cause)
        return code != 4  # the workspace may be in use; a run that began and failed has its record
    finally:
        if child.poll() is None:
            child.terminate()  # it writes a checkpoint's rest and ends
            child.wait()


def _ended_by(code: int) -> signal.Signals | None:
    """The signal that ended a process of that exit code, itself or by way of the door; None where none did."""
    number = -code if code < 0 else code - 128
    if code >= 0 and number not in (signal.SIGINT, signal.SIGTERM):
        return None
    return signal.Signals(number)


def _screen(run: "RunRecord") -> str:
    """One run, for people."""
    lines = [
        f"run         {run.id} ({run.flow}), {run.state.replace('_', ' ')}",
        f"started by  {run.trigger.reason}{f' ({run.trigger.event})' if run.trigger.event else ''}",
        f"from        {run.started_at} to {run.ended_at or 'now'}, process {run.owner.pid} on {run.owner.host}",
        *(f"stage       {one['stage']:<9} {one['action']}: {one['why']}" for one in run.stages),
    ]
    facts: dict[str, Any] = {
        "registered": f"{run.version}{', champion' if run.champion else ''}" if run.version else "",
        "why": run.why,
        "branch": run.left,
        "report": run.page,
        "log": run.log,
    }
    return "\n".join([*lines, *(f"{name:<11} {text}" for name, text in facts.items() if text)])


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise ValueError(text)
    return value
