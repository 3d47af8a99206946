"""What follows a finished run: the run is saved, its bundle becomes a version, and perhaps the champion."""

from flows.stages import bundle_hash, raw_hash, save_run
from tasks.contracts.params import load_params
from tasks.contracts.progress import doing
from tasks.contracts.records import read_json
from tasks.contracts.workspace import Workspace
from tasks.register.promotion import FIRST
from tasks.register.registry import Version, bundle_of, data_of, find_version, register, versions


def publish(ws: Workspace) -> Version:
    """The version of the bundle that the last run made; an unchanged bundle keeps the version that it has."""
    bundle = bundle_hash(ws)
    known = versions(ws)
    for version in known:
        if version.note["bundle"] == bundle:
            return version
    decision = FIRST
    if known:
        from tasks.register.compare import compare  # brings torch

        champion = find_version(ws)
        with doing(f"comparing with the champion, {champion.name}"):
            margin = load_params(ws.params).register_.margin
            decision = compare(ws, bundle_of(ws, champion), data_of(ws, champion), margin)
    with doing("saving the run"):
        commit = save_run(ws)
    note = {"bundle": bundle, "data": raw_hash(ws), "test_accuracy": read_json(ws.evaluation)["candidate"]["accuracy"]}
    return register(ws, commit, note, decision)
