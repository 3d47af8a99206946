"""What each command of the door does. Each takes the parsed arguments and returns an exit code."""

import os
from argparse import Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from flows.output import dump as _dump
from flows.output import show as _print
from tasks.contracts.errors import BadUsage, GateRefused, one_line
from tasks.contracts.workspace import Workspace, find_workspace

if TYPE_CHECKING:
    from collections.abc import Callable

    from flows.stages import Outcome
    from tasks.register.registry import Version


def init(arguments: Namespace) -> int:
    """Make a workspace."""
    from flows.workspaces import init as make

    ws = make(arguments.folder, arguments.data, demo=arguments.demo)
    images = "" if ws.raw.is_dir() else "put your images into data/raw, a folder for each class, then "
    _print(f"{ws.root} is a workspace; {images}`graft run`")
    return 0


def run(arguments: Namespace) -> int:
    """The pipeline, then the registry and the report page."""
    from flows.publish import publish
    from flows.runs import heal, recorded
    from flows.stages import STAGES, Outcome, only_run
    from tasks.contracts.params_file import override
    from tasks.contracts.progress import say
    from tasks.contracts.run_records import Trigger
    from tasks.report.page import write_page

    ws = ready(arguments)
    if arguments.offline:
        os.environ["GRAFT_OFFLINE"] = "1"

    def start() -> list[Outcome]:
        from flows.pipeline import pipeline

        return pipeline(ws.root, arguments.until, arguments.force)

    with only_run(ws), recorded(ws, "run", Trigger("by hand")) as record:
        heal(ws)
        for change in override(ws.params, arguments.set):
            say(f"params.yaml: {change}")
        try:
            outcomes = bring_up_to_date(ws, start, arguments.until, force=bool(arguments.force))
        except GateRefused as refused:
            raise GateRefused(f"{refused}; see {write_page(ws)}") from None
        record.note(stages=tuple(outcomes))
        version = publish(ws) if arguments.until == STAGES[-1] else None
        if version:
            record.note(version=version.name, champion=version.champion, why=version.note["decision"]["why"])
        else:
            record.note(why=f"until {arguments.until}")
        return conclude(ws, outcomes, version, as_json=arguments.json)


def tune(arguments: Namespace) -> int:
    """Settings that do better on val, searched within a budget."""
    from flows import tuning

    limits = tuning.limits(arguments.budget, arguments.trials)
    found = tuning.search(ready(arguments), limits, apply=arguments.apply)
    return _dump(asdict(found)) if arguments.json else _print(tuning.screen(found))


def stage(arguments: Namespace) -> int:
    """One step, in this process: what `dvc.yaml` calls."""
    from flows.stages import only_run, run_step

    ws = find_workspace(arguments.workspace)
    with only_run(ws):
        run_step(ws, arguments.name, arguments.results_version)
    return 0


def report(arguments: Namespace) -> int:
    """The page, or one stage's findings."""
    from tasks.contracts.records import read_json
    from tasks.report.page import write_page

    ws = find_workspace(arguments.workspace)
    if arguments.stage is None:
        from flows.publish import registered
        from tasks.register.registry import versions

        version = registered(ws, versions(ws))
        page = write_page(ws, version.title if version else "")
        return _dump({"page": str(page)}) if arguments.json else _print(str(page))
    found = read_json(ws.reports / f"{arguments.stage}.json")
    if arguments.json:
        return _dump(found)
    for finding in found["findings"]:
        _print(one_line(f"{finding['severity']:<5} {finding['check']}: {finding['message']} {finding['remedy']}"))
    return 0 if found["findings"] else _print(f"{arguments.stage}: nothing found")


def backbones(arguments: Namespace) -> int:
    """What there is to transfer from, what it costs here, and where its weights are."""
    from flows.backbones import in_full, rows, table, timm_line, workspace_of
    from tasks.backbone.catalog import find_entry, weights_folder
    from tasks.backbone.download import fetch, is_offline

    ws = workspace_of(arguments.workspace)
    if arguments.fetch:
        if not arguments.name:
            raise BadUsage("--fetch needs the name of a network, as in `graft backbones resnet50 --fetch`")
        path = fetch(find_entry(arguments.name, weights_folder(), ws.root if ws else None), is_offline())
        return _dump({"path": str(path)}) if arguments.json else _print(str(path))
    found = rows(arguments.name, ws)
    if arguments.json:
        return _dump(found)
    if not arguments.name:
        return _print(table(found) + timm_line())
    return _print(in_full(found[0]) if len(found) == 1 else table(found))


def pretrain(arguments: Namespace) -> int:
    """A backbone of one's own, its card, and how to transfer from it."""
    from flows.backbones import in_full, rows
    from flows.engine import marked, prepare_engine
    from flows.pretrained import finish
    from flows.runs import heal, recorded
    from flows.stages import only_run
    from tasks.contracts.params_file import load_params
    from tasks.contracts.run_records import Trigger
    from tasks.pretrain.lessons import require_network
    from tasks.pretrain.plan import DRAWN_PX, Place, Plan

    ws = ready(arguments)
    if arguments.unlabelled and not arguments.data:
        raise BadUsage("--unlabelled is for images of your own; give them with --data")
    if arguments.data and not arguments.data.is_dir():
        raise BadUsage(f"--data {arguments.data} is no folder")
    params, place = load_params(ws.params), Place(ws, arguments.name)
    usual_px = params.quality.prepared_px if arguments.data else DRAWN_PX
    plan = Plan(
        network=arguments.network,
        source=("unlabelled" if arguments.unlabelled else "labelled") if arguments.data else "drawn",
        input_px=usual_px if arguments.px is None else arguments.px,
        images=arguments.images,
        seed=params.seed,
        data=str(arguments.data.resolve()) if arguments.data else "",
    )
    require_network(plan)
    with only_run(ws), recorded(ws, "pretrain", Trigger("by hand")) as record:
        heal(ws)
        if not plan.data and place.has(plan):
            finish(place)
        else:
            prepare_engine(ws)
            from flows.pretrain import pretrain as flow

            with marked(ws):
                flow(ws.root, place.name, plan)
        record.note(why=f"made local/{place.name}")
    (found,) = rows(f"local/{place.name}", ws)
    if arguments.json:
        return _dump(found)
    return _print(f"{in_full(found)}\nto try it: `graft run --set 'select.candidates=[local/{place.name}]'`")


def ready(arguments: Namespace) -> Workspace:
    """The workspace, found valid as a whole before anything runs."""
    from flows.workspaces import require_current
    from tasks.contracts.params_file import load_params, require_whole
    from tasks.quality.suite import read_suite

    ws = find_workspace(arguments.workspace)
    load_params(ws.params)
    require_whole(ws.params)
    require_current(ws)
    read_suite(ws.contract)
    return ws


def bring_up_to_date(
    ws: Workspace, start: "Callable[[], list[Outcome]]", until: str, *, force: bool = False
) -> list[dict[str, Any]]:
    """Start a flow where something is stale; where nothing is, Prefect is not even imported."""
    from flows.engine import marked, prepare_engine
    from flows.stages import STAGES, Outcome, note, stale_stages, track_raw

    track_raw(ws)
    stale = stale_stages(ws)
    wanted = STAGES[: STAGES.index(until) + 1]
    if force or any(stale[name] for name in wanted):
        prepare_engine(ws)
        with marked(ws):
            return [asdict(outcome) for outcome in start()]
    outcomes = [Outcome(name, "skipped", "nothing it depends on has changed") for name in wanted]
    for outcome in outcomes:
        note(ws, outcome)
    return [asdict(outcome) for outcome in outcomes]


def conclude(
    ws: Workspace,
    outcomes: list[dict[str, Any]],
    version: "Version | None",
    *,
    audit: dict[str, Any] | None = None,
    as_json: bool,
) -> int:
    """Draw the page and show what came out: of the stages that were brought up to date, not of older ones.

    `audit` is what was entered into the ledger of audits.
    """
    from flows import summary
    from tasks.report.page import write_page

    page = write_page(ws, version.title if version else "")
    brought = {outcome["stage"] for outcome in outcomes if outcome["action"] != "not asked for"}
    found = {**summary.summarise(ws, brought, version), **({"audit": audit} if audit else {})}
    if as_json:
        return _dump({**found, "stages": outcomes, "page": str(page)})
    return _print(summary.screen(found, page))
