"""What follows a finished run: the run is saved, its bundle becomes a version, and perhaps the champion."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from importlib.util import find_spec
from typing import Any

from flows.stages import bundle_hash, raw_hash, save_run
from flows.workspaces import has_identity
from tasks.contracts.params_file import load_params
from tasks.contracts.progress import doing
from tasks.contracts.records import read_json
from tasks.contracts.workspace import Workspace
from tasks.register.promotion import FIRST, Decision
from tasks.register.registry import Version, bundle_of, crown, data_of, register, versions

_WHO, _GRAFT = ("AUTHOR", "COMMITTER"), {"NAME": "graft", "EMAIL": "graft@localhost"}
LIBRARIES = ("graft", "albumentations", "numpy", "pandas", "pillow", "scikit-learn", "torch", "torchvision")
EXTRAS = ("timm",)  # where they are installed


def publish(
    ws: Workspace, trigger: dict[str, Any] | None = None, save: Callable[[Workspace], str] = save_run
) -> Version:
    """The version of the bundle that the last run made; an unchanged bundle keeps the version that it has.

    `trigger` is noted with it: what an unattended run was started by. `save` gives the commit that is tagged.
    """
    known = versions(ws)
    champion = next((version for version in known if version.champion), None)
    if version := registered(ws, known):
        # an interruption between the two tags leaves a version that was to be champion and is not
        return crown(ws, version) if champion is None and version.note["decision"]["promote"] else version
    decision = _decide(ws, champion, known) if champion else FIRST
    params = load_params(ws.params).model_dump(mode="json", by_alias=True)
    with doing("saving the run"), _as_somebody(ws):
        commit = save(ws)
    note = {
        "bundle": bundle_hash(ws),
        "data": raw_hash(ws),
        "params": params,
        "libraries": {name: metadata.version(name) for name in (*LIBRARIES, *filter(find_spec, EXTRAS))},
        "test_accuracy": read_json(ws.evaluation)["candidate"]["accuracy"],
    }
    if trigger is not None:
        note["trigger"] = trigger
    return register(ws, commit, note, decision)


@contextmanager
def _as_somebody(ws: Workspace) -> Iterator[None]:
    """Give git an author where the user has set none: DVC puts changed files aside in a commit of its own."""
    given = {} if has_identity(ws) else {f"GIT_{who}_{what}": text for who in _WHO for what, text in _GRAFT.items()}
    os.environ.update(given)
    try:
        yield
    finally:
        for name in given:
            del os.environ[name]


def registered(ws: Workspace, known: list[Version]) -> Version | None:
    """The one of the `known` versions whose bundle `models/bundle` holds, as `dvc.lock` has it."""
    bundle = bundle_hash(ws)
    return next((version for version in known if version.note["bundle"] == bundle), None)


def _decide(ws: Workspace, champion: Version, known: list[Version]) -> Decision:
    from tasks.register.compare import Standing, compare  # brings torch

    best, anchor = (Standing(bundle_of(ws, one), data_of(ws, one)) for one in (champion, anchor_of(champion, known)))
    with doing(f"comparing with the champion, {champion.name}"):
        return compare(ws, best, anchor, load_params(ws.params).register_, look_at(known))


def look_at(known: list[Version]) -> int:
    """The how manyth time it is that versions are compared on the promotion split."""
    return 1 + len([version for version in known if version.note["decision"]["images"]])


def anchor_of(champion: Version, known: list[Version]) -> Version:
    """The version that a new one must not be worse than: the champion, unless new data alone made it that.

    Then it is the last one before it that was shown to be better; a person's choice is taken as it is.
    """

    def stands_on_new_data(version: Version) -> bool:
        return str(version.note["decision"].get("by")) == "new data"

    if not stands_on_new_data(champion):
        return champion
    earlier = [v for v in known if v.number < champion.number and v.note["decision"]["promote"]]
    return [version for version in earlier if not stands_on_new_data(version)][-1]
