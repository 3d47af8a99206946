"""What `graft models` does: the versions, who is champion, and all that is done with them.

Each function takes the parsed arguments and returns an exit code. Heavy imports stay behind what needs them.
"""

import argparse
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.output import dump, show
from tasks.contracts.errors import BadUsage, BrokenArtifact, one_line
from tasks.contracts.workspace import Workspace, find_workspace

if TYPE_CHECKING:
    from tasks.register.history import Action, Assignment, Version


def declare(command: argparse.ArgumentParser) -> None:
    """The command line of `graft models`."""
    actions = command.add_subparsers(required=True, metavar="ACTION", parser_class=type(command))

    def add(name: str, run: Any, words: str) -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=words)
        action.add_argument("--json", action="store_true", help="for machines")
        action.set_defaults(command=run)
        return action

    add("list", list_models, "all versions")
    shown = add("show", show_model, "one in full: data, code, settings, figures, card")
    shown.add_argument("name", nargs="?", default="", metavar="VERSION", help="such as model@2; default: the champion")
    shown.add_argument("--restore", type=Path, metavar="DIR", help="bring its data, models and reports back into DIR")
    shown.add_argument(
        "--recompute",
        action="store_true",
        help="with --restore: make the recorded figures again; exit 5 names what is not",
    )
    decided = [
        add("promote", promote, "make a version champion because you say so"),
        add("rollback", rollback, "go back to the champion before this one"),
    ]
    decided[0].add_argument("name", metavar="VERSION")
    decided[1].add_argument("--to", default="", metavar="VERSION", help="an earlier champion; default: the last one")
    for action in decided:
        action.add_argument("--by", required=True, metavar="NAME", help="who decides")
        action.add_argument("--reason", required=True, metavar="TEXT", help="why")
    add("history", history, "who was champion when, by whom and why, and what was refused")
    checked = add("verify", verify, "every hash and every golden sample again; exit 5 names what is wrong")
    checked.add_argument("name", nargs="?", default="", metavar="VERSION", help="default: all")
    compared = add("diff", diff, "what changed from one version to another")
    compared.add_argument("before", metavar="A")
    compared.add_argument("after", metavar="B")
    compared.add_argument(
        "--split",
        choices=("test", "promotion"),
        default="test",
        help="whose answers to compare; default: test, for the promotion rule does not count a look at promotion",
    )
    exported = add("export", export, "copy a version's bundle out, checked")
    exported.add_argument("name", metavar="VERSION")
    exported.add_argument("folder", type=Path, metavar="DIR")
    pushed = add("push", push, "bring versions to DVC's remote, see that it holds them, then push the tags")
    pushed.add_argument("name", nargs="?", default="", metavar="VERSION", help="default: all that are not there yet")
    pushed.add_argument("--remote", metavar="NAME", help="one of DVC's; default: its default remote")


def list_models(arguments: Namespace) -> int:
    """All versions, oldest first."""
    from flows.summary import share
    from tasks.register.registry import versions

    known = versions(find_workspace(arguments.workspace))
    if arguments.json:
        return dump([asdict(version) for version in known])
    for version in known:
        accuracy = share(version.note["test_accuracy"]["value"])
        mark = "champion" if version.champion else ""
        show(f"{version.name:<10} {version.created[:19]}  test accuracy {accuracy:<12}  {mark}".rstrip())
    return 0 if known else show("no registered model yet; make one with `graft run`")


def show_model(arguments: Namespace) -> int:
    """One version in full; with `--restore`, its files as well."""
    from flows.model_words import cost_line, remade_lines
    from tasks.contracts.records import read_json
    from tasks.register.contents import CARD, RECORD
    from tasks.register.registry import find_version
    from tasks.register.saved import bundle_of, outputs, restore

    if arguments.recompute and not arguments.restore:
        raise BadUsage("--recompute works on what is restored: add --restore DIR, a new folder")
    ws = find_workspace(arguments.workspace)
    version = find_version(ws, arguments.name)
    if arguments.restore:
        from tasks.register.export import require_new  # brings torch

        require_new(arguments.restore)
        files = restore(ws, version, arguments.restore)
    bundle = bundle_of(ws, version)
    shown = {**asdict(version), "name": version.name, "bundle": read_json(bundle / RECORD)}
    shown["files"] = outputs(ws, version)
    if arguments.restore:
        shown["restored"] = {"folder": str(arguments.restore), "files": files}
    if arguments.recompute:
        from tasks.register.recompute import recompute, require_equal

        require_equal(remade := recompute(arguments.restore))
        shown["recomputed"] = [*map(asdict, remade)]
    if arguments.json:
        return dump(shown)
    show(f"{version.title}, saved run {version.commit[:12]}, data {version.note['data']}")
    show(f"decision: {version.note['decision']['why']}")
    if start := version.note.get("start"):
        show(f"training: {one_line(start)}")
    if cost := version.note.get("latency"):
        show(cost_line(cost))
    if arguments.restore:
        show(f"{len(files)} files are in {arguments.restore}, each with the bytes that were saved; recorded with them:")
        again = remade_lines(shown["recomputed"]) if arguments.recompute else []
        return show("\n".join([_figures(shown["bundle"]), *again]))
    return show((bundle / CARD).read_text(encoding="utf-8"))


def promote(arguments: Namespace) -> int:
    """Make a version champion; one that does not hold is refused, and that is kept."""
    from tasks.register import registry

    ws = find_workspace(arguments.workspace)
    version, seen = registry.find_version(ws, arguments.name), _champion_number(ws)
    _require_sound(ws, version, ("promote", arguments.by, arguments.reason))
    return _assigned(ws, arguments, registry.promote(ws, version, arguments.by, arguments.reason, seen))


def rollback(arguments: Namespace) -> int:
    """Make an earlier champion champion again."""
    from tasks.register import registry
    from tasks.register.history import rollback_target

    ws = find_workspace(arguments.workspace)
    to, seen = registry.version_number(arguments.to) if arguments.to else None, _champion_number(ws)
    version = rollback_target(registry.history(ws), to)
    _require_sound(ws, version, ("rollback", arguments.by, arguments.reason))
    return _assigned(ws, arguments, registry.rollback(ws, to, arguments.by, arguments.reason, seen))


def _require_sound(ws: Workspace, version: "Version", wanted: "tuple[Action, str, str]") -> None:
    """Raise BrokenArtifact where the version does not hold; that it was `wanted` is kept."""
    from tasks.register import registry
    from tasks.register.verifier import require_sound

    try:
        require_sound(ws, version)
    except BrokenArtifact as error:
        registry.refuse(ws, version, wanted, str(error))
        raise


def history(arguments: Namespace) -> int:
    """Every assignment and every refusal, oldest first."""
    from tasks.register.history import Assignment, Refusal
    from tasks.register.registry import history as read

    known = read(find_workspace(arguments.workspace))
    if arguments.json:
        return dump({"assignments": [*map(asdict, known.assignments)], "refusals": [*map(asdict, known.refusals)]})
    events: list[Assignment | Refusal] = [*known.assignments, *known.refusals]
    for one in sorted(events, key=lambda one: one.created):
        if isinstance(one, Refusal):
            said = f"{one.created[:19]}  {one.action} to model@{one.to} refused, wanted by {one.by}: {one.problem}"
        else:
            before = f"model@{one.before}" if one.before else "none"
            said = f"{one.created[:19]}  {before} -> model@{one.to}, {one.action} by {one.by}: {one.why}"
        show(one_line(said))
    return 0 if events else show("no champion yet")


def verify(arguments: Namespace) -> int:
    """Check versions whole; exit 5, and a line for each thing that is wrong."""
    from tasks.register import registry
    from tasks.register.verifier import verify as check

    ws = find_workspace(arguments.workspace)
    known = registry.history(ws)
    wanted = (registry.find_version(ws, arguments.name),) if arguments.name else known.versions
    found = check(ws, known, wanted)
    code = BrokenArtifact.exit_code if found.problems else 0
    if arguments.json:
        dump(asdict(found))
        return code
    lines = [*(f"wrong: {one}" for one in found.problems), *(f"not here: {one}" for one in found.absent)]
    count = len(found.checked)
    lines.append(f"{count} version{'' if count == 1 else 's'} checked{'' if found.problems else ', nothing wrong'}")
    show("\n".join(map(one_line, lines)))
    return code


def diff(arguments: Namespace) -> int:
    """What changed from A to B."""
    from flows.model_words import changed
    from tasks.register.differences import differences
    from tasks.register.registry import find_version

    ws = find_workspace(arguments.workspace)
    before, after = find_version(ws, arguments.before), find_version(ws, arguments.after)
    found = differences(ws, before, after, arguments.split)
    return dump(asdict(found)) if arguments.json else show(changed(found))


def export(arguments: Namespace) -> int:
    """A bundle for use elsewhere."""
    from tasks.register.export import export_bundle
    from tasks.register.registry import find_version

    ws = find_workspace(arguments.workspace)
    version = find_version(ws, arguments.name)
    export_bundle(ws, version, arguments.folder)
    said = {"version": version.name, "folder": str(arguments.folder)}
    return dump(said) if arguments.json else show(f"{version.name} is in {arguments.folder}, checked")


def push(arguments: Namespace) -> int:
    """Versions to the remote, then their tags to `origin`."""
    from tasks.register.registry import find_version
    from tasks.register.remote import push as deliver

    ws = find_workspace(arguments.workspace)
    version = find_version(ws, arguments.name) if arguments.name else None
    done = deliver(ws, version, arguments.remote)
    if arguments.json:
        return dump(asdict(done))
    names = ", ".join(done.versions) or "nothing new"
    told = f"; origin has {len(done.announced)} tags" if done.announced else "; git has no origin to tell"
    return show(f"{names}: the remote holds all {done.objects:,} objects{told}" if done.versions else f"{names}{told}")


def _champion_number(ws: Workspace) -> int | None:
    from tasks.register.registry import champion

    now = champion(ws)
    return now.number if now else None


def _assigned(ws: Workspace, arguments: Namespace, done: "Assignment") -> int:
    from flows.publish import announce

    announce(ws)
    if arguments.json:
        return dump(asdict(done))
    before = f"model@{done.before}" if done.before else "none"
    return show(f"champion: {before} -> model@{done.to}, {done.action} by {done.by}: {done.why}")


def _figures(record: dict[str, Any]) -> str:
    from flows.summary import share

    value, low, high = (share(record["test_accuracy"][key]) for key in ("value", "low", "high"))
    return f"test accuracy {value} (95 % interval {low} to {high}), {record['test_accuracy']['n']} images"
