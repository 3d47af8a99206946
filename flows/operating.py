"""What `up`, `down`, `deploy`, `status` and `doctor` do. Each takes parsed arguments and returns an exit code."""

import asyncio
import os
from argparse import Namespace
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from flows.output import dump, show
from tasks.contracts.errors import BadEnvironment, BadUsage, one_line
from tasks.contracts.progress import say
from tasks.contracts.workspace import Workspace, find_workspace

if TYPE_CHECKING:
    from prefect.client.orchestration import PrefectClient

    from tasks.contracts.params import OperateParams

T = TypeVar("T")


def up(arguments: Namespace) -> int:
    """A server and a worker in the background, with the deployments that params ask for."""
    from flows import server
    from tasks.contracts.params_file import load_params

    ws = find_workspace(arguments.workspace)
    params = load_params(ws.params).operate
    with server.alone(ws):
        state = server.start_server(ws, params)
        changed = ask(ws, state.url, lambda client: _deploy(client, ws, params))
        for line in ask(ws, state.url, lambda client: _unfit(client, params)):
            say(line)
        if not (state.worker and state.worker.alive):
            lost = "its worker ended before it began"
            ask(ws, state.url, lambda client: _crash(client, ws, lost, began=False))
            say("starting a worker")
            state = server.start_worker(ws, params, state)
        for name in ask(ws, state.url, lambda client: _crash_gone(client, ws)):
            say(f"run {name} is marked as crashed: its process is gone")
        from flows.deployments import worker_is_online

        server.wait_for_worker(ws, state, lambda: ask(ws, state.url, lambda client: worker_is_online(client, ws)))
    if arguments.json:
        return dump({"ui": state.ui, "api": state.url, "changed": changed})
    return show("\n".join([*changed, f"up: {state.ui}"]))


def down(arguments: Namespace) -> int:
    """Stop both; the database stays, so that the next `graft up` knows every earlier run."""
    from flows import server

    ws = find_workspace(arguments.workspace)
    with server.alone(ws):
        state = server.stop_worker(ws)
        if state and server.answers(state.url):
            ask(ws, state.url, lambda client: _crash(client, ws, "graft down ended it"))
        stopped = [*(["worker"] if state else []), *server.stop(ws)]
    if arguments.json:
        return dump({"stopped": stopped})
    return show(f"stopped: {' and '.join(stopped)}" if stopped else "nothing was up")


def deploy(arguments: Namespace) -> int:
    """Make the deployments of a server that answers agree with params, and say what was changed."""
    from flows import server
    from tasks.contracts.params_file import load_params

    ws = find_workspace(arguments.workspace)
    params = load_params(ws.params).operate
    url = address_of(ws)
    if unfit := ask(ws, url, lambda client: _unfit(client, params)):
        raise BadUsage(f"params.yaml: {', '.join(unfit)}")
    with server.alone(ws):
        work = _differences if arguments.dry_run else _deploy
        lines = ask(ws, url, lambda client: work(client, ws, params))
    if arguments.json:
        return dump({"changed": lines, "applied": not arguments.dry_run})
    return show("\n".join(lines or [f"{url} agrees with params.yaml"]))


def notify(arguments: Namespace) -> int:
    """A test message through each block of `operate.notify`; exit 4 where one was not taken."""
    from tasks.contracts.params_file import load_params

    ws = find_workspace(arguments.workspace)
    params = load_params(ws.params).operate
    if not params.notify:
        raise BadUsage("params.yaml: operate.notify names no block; `operate.notify: [TYPE/NAME]` names one")
    url = address_of(ws)
    if unfit := ask(ws, url, lambda client: _unfit(client, params)):
        raise BadUsage(f"params.yaml: {', '.join(unfit)}")
    failed = ask(ws, url, lambda client: _send_tests(client, list(params.notify), ws))
    if arguments.json:
        dump({name: {"sent": not why, "why": why} for name, why in failed.items()})
    else:
        show("\n".join(f"{name}: {f'not sent: {why}' if why else 'sent'}" for name, why in failed.items()))
    return BadEnvironment.exit_code if any(failed.values()) else 0


def status(arguments: Namespace) -> int:
    """What is fresh and what would run, and what is up."""
    from flows.stages import last_outcomes, stale_stages

    ws = find_workspace(arguments.workspace)
    did = last_outcomes(ws)
    rows: list[dict[str, Any]] = [
        {"stage": name, "state": "stale" if why else "fresh", "why": why, "last_run": did.get(name)}
        for name, why in stale_stages(ws).items()
    ]
    running = _running(ws)
    if arguments.json:
        return dump({"stages": rows, "server": running})
    for row in rows:
        show(f"{row['stage']:<9} {row['state']:<6} {row['why']}".rstrip())
        if arguments.why and row["last_run"]:
            show(f"{'':<16} last run: {row['last_run']['action']}, because {row['last_run']['why']}")
    return show("\n".join(_running_lines(running))) if running else 0


def doctor(arguments: Namespace) -> int:
    """Is this machine fit for it, and is the workspace; exit 4 where something is bad."""
    from flows.doctor import examine

    found = examine(find_workspace(arguments.workspace))
    if arguments.json:
        dump([asdict(one) for one in found])
    else:
        for one in found:
            remedy = f"; {one.remedy}" if one.remedy and one.verdict != "ok" else ""
            show(one_line(f"{one.verdict:<4} {one.name}: {one.said}{remedy}"))
    return BadEnvironment.exit_code if any(one.verdict == "bad" for one in found) else 0


def _running(ws: Workspace) -> dict[str, Any] | None:
    """What `graft up` started, whether it still runs, and what is planned; None where nothing was started."""
    from flows import server

    state = server.state_of(ws)
    if state is None:
        return None
    up = state.server.alive and server.answers(state.url)
    deployments = []
    if up:
        from flows.deployments import deployed

        deployments = ask(ws, state.url, lambda client: deployed(client, ws))
    worker = bool(state.worker and state.worker.alive)
    return {"ui": state.ui, "server": up, "worker": worker, "deployments": deployments}


def _running_lines(running: dict[str, Any]) -> list[str]:
    said = {True: "up", False: "down; `graft up` starts it again"}
    lines = [f"server    {said[running['server']]}  {running['ui']}", f"worker    {said[running['worker']]}"]
    for one in running["deployments"]:
        following = f", next {one['next']}" if one["next"] else ""
        lines.append(f"{one['deployment']}: schedule {one['schedule']}{following}")
    return lines


async def _deploy(client: "PrefectClient", ws: Workspace, params: "OperateParams") -> list[str]:
    from flows.automations import automate
    from flows.deployments import deploy as apply

    changed = [one.line for one in await apply(client, ws, params)]
    return changed + await automate(client, ws, params)


async def _crash(client: "PrefectClient", ws: Workspace, why: str, *, began: bool = True) -> int:
    from flows.leftovers import AT_WORK, SUBMITTED, crash_leftovers, works_elsewhere

    if not began and await works_elsewhere(client, ws):
        return 0
    return await crash_leftovers(client, ws, AT_WORK if began else SUBMITTED, why)


async def _crash_gone(client: "PrefectClient", ws: Workspace) -> list[str]:
    from flows.leftovers import crash_gone

    return await crash_gone(client, ws)


async def _unfit(client: "PrefectClient", params: "OperateParams") -> list[str]:
    from flows.telling import unfit_blocks

    return await unfit_blocks(client, params)


async def _send_tests(client: "PrefectClient", names: list[str], ws: Workspace) -> dict[str, str]:
    from socket import gethostname

    from flows.telling import send_test

    subject, body = f"graft: a test from {ws.root.name}", f"graft notify on {gethostname()} sent this; nothing is wrong"
    return {name: await send_test(client, name, subject, body) for name in names}


async def _differences(client: "PrefectClient", ws: Workspace, params: "OperateParams") -> list[str]:
    from flows.deployments import differences

    return [one.line for one in await differences(client, ws, params)]


def address_of(ws: Workspace) -> str:
    """The API to talk to: the one that the environment names, or the workspace's own."""
    from flows import server

    url = os.environ.get("PREFECT_API_URL") or server.address(ws)
    if url is None:
        raise BadEnvironment("no Prefect server; start one with `graft up`, or name yours in PREFECT_API_URL")
    if not server.answers(url):
        raise BadEnvironment(f"no Prefect server answers at {url}; `graft up` heals the workspace's own")
    return url


def ask(ws: Workspace, url: str, work: "Callable[[PrefectClient], Awaitable[T]]") -> T:
    """Do some work with a client of the API at `url`. Raises BadEnvironment with the server's words where it fails."""
    home = ws.private / "prefect"
    home.mkdir(parents=True, exist_ok=True)
    (ws.private / ".gitignore").write_text("*\n", encoding="utf-8")
    os.environ.setdefault("PREFECT_HOME", str(home))
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    from flows.server import RETRIED, RETRIED_CODES

    os.environ.setdefault(RETRIED, RETRIED_CODES)
    import httpx
    from prefect.client.orchestration import PrefectClient
    from prefect.settings import get_current_settings

    api = get_current_settings().api
    named = url == os.environ.get("PREFECT_API_URL")  # the key of that server is shown to no other
    key, pair = (one.get_secret_value() if named and one else None for one in (api.key, api.auth_string))

    async def talk() -> T:
        async with PrefectClient(url, api_key=key, auth_string=pair) as client:
            return await work(client)

    try:
        return asyncio.run(talk())
    except httpx.HTTPError as error:
        raise BadEnvironment(f"Prefect at {url}: {error}") from error
