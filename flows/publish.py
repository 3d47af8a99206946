"""What follows a finished run: the run is saved, its bundle becomes a version, and perhaps the champion."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from importlib.util import find_spec

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


def publish(ws: Workspace) -> Version:
    """The version of the bundle that the last run made; an unchanged bundle keeps the version that it has."""
    known = versions(ws)
    champion = next((version for version in known if version.champion), None)
    if version := registered(ws, known):
        # an interruption between the two tags leaves a version that was to be champion and is not
        return crown(ws, version) if champion is None and version.note["decision"]["promote"] else version
    decision = _decide(ws, champion) if champion else FIRST
    params = load_params(ws.params).model_dump(mode="json", by_alias=True)
    with doing("saving the run"), _as_somebody(ws):
        commit = save_run(ws)
    note = {
        "bundle": bundle_hash(ws),
        "data": raw_hash(ws),
        "params": params,
        "libraries": {name: metadata.version(name) for name in (*LIBRARIES, *filter(find_spec, EXTRAS))},
        "test_accuracy": read_json(ws.evaluation)["candidate"]["accuracy"],
    }
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


def _decide(ws: Workspace, champion: Version) -> Decision:
    from tasks.register.compare import compare  # brings torch

    with doing(f"comparing with the champion, {champion.name}"):
        margin = load_params(ws.params).register_.margin
        return compare(ws, bundle_of(ws, champion), data_of(ws, champion), margin)
