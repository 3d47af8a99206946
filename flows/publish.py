"""What follows a finished run: the run is saved, its bundle becomes a version, and perhaps the champion."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from flows.stages import save_run
from flows.workspaces import has_identity
from tasks.contracts.dvc_files import locked, raw_hash
from tasks.contracts.errors import BadEnvironment, BrokenArtifact
from tasks.contracts.files import sha256_of
from tasks.contracts.params_file import load_params
from tasks.contracts.progress import doing, say
from tasks.contracts.records import read_json
from tasks.contracts.workspace import Workspace
from tasks.register.contents import RECORD
from tasks.register.decision import FIRST, Decision
from tasks.register.history import ChampionMoved, History
from tasks.register.registry import Version, begin_look, crown, history, register, versions
from tasks.register.remote import push
from tasks.register.saved import BUNDLE, bundle_of, data_of
from tasks.register.store import has_remote

if TYPE_CHECKING:  # they bring torch
    from tasks.register.bundle import Bundle
    from tasks.register.compare import Offer

_WHO, _GRAFT = ("AUTHOR", "COMMITTER"), {"NAME": "graft", "EMAIL": "graft@localhost"}
LIBRARIES = ("graft", "albumentations", "numpy", "pandas", "pillow", "scikit-learn", "torch", "torchvision")
EXTRAS = ("timm",)  # where they are installed
_TRIES = 3  # others may promote while two models are compared


def publish(
    ws: Workspace, trigger: dict[str, Any] | None = None, save: Callable[[Workspace], str] = save_run
) -> Version:
    """The version of the bundle that the last run made; an unchanged bundle keeps the version that it has.

    `trigger` is noted with it: what an unattended run was started by. `save` gives the commit that is tagged. Where
    DVC has a default remote, what it lacks is pushed there, and then announced.
    """
    known = {version.name for version in versions(ws)}
    version = _version(ws, trigger, save)
    if version.name not in known and os.environ.get("PREFECT_API_URL"):  # set to one that answers, or not at all
        from flows.assets import show_version

        show_version(ws, version)
    announce(ws)
    return version


def announce(ws: Workspace) -> None:
    """Push what is not yet at DVC's default remote, where there is one; a failure is said and the next run tries again.

    The run's own results are whole without it.
    """
    if not has_remote(ws):
        return
    try:
        with doing("pushing to the remote"):
            push(ws)
    except (BadEnvironment, BrokenArtifact) as error:
        say(f"not announced: {error}; the next run tries again, so does `graft models push`")


def _version(ws: Workspace, trigger: dict[str, Any] | None, save: Callable[[Workspace], str]) -> Version:
    known = versions(ws)
    champion = next((version for version in known if version.champion), None)
    if version := registered(ws, known):
        # tags that another program wrote, or a clone without all of them, may lack the one of the first champion
        return crown(ws, version) if champion is None and version.note["decision"]["promote"] else version
    commit, note, offer = _saved(ws, save)
    if trigger is not None:
        note["trigger"] = trigger
    for _ in range(_TRIES):
        now = history(ws)
        champion = now.champion
        decision = _decide(ws, now, offer) if champion else FIRST
        try:
            return register(ws, commit, note, decision, champion.number if champion else None)
        except ChampionMoved as moved:
            say(f"{moved}; comparing again")
    raise BadEnvironment(f"the champion of {ws.root} keeps changing; `graft run` again when others have ended")


def _saved(ws: Workspace, save: Callable[[Workspace], str]) -> tuple[str, dict[str, Any], "Offer"]:
    """The commit of the saved run, what is noted with its version, and what the rule is to look at."""
    from tasks.register.bundle import load_bundle
    from tasks.register.compare import Offer

    params = load_params(ws.params).model_dump(mode="json", by_alias=True, exclude={"operate"})
    with doing("saving the run"), _as_somebody(ws):
        commit = save(ws)
    bundle = load_bundle(ws.bundle)
    note = {
        "bundle": _bundle_hash(ws),
        "bundle_sha256": sha256_of(ws.bundle / RECORD),
        "data": raw_hash(ws),
        "params": params,
        "libraries": {name: metadata.version(name) for name in (*LIBRARIES, *filter(find_spec, EXTRAS))},
        "test_accuracy": read_json(ws.evaluation)["candidate"]["accuracy"],
        "latency": _latency(ws, bundle),
        "start": bundle.record["model"].get("start", ""),
    }
    return commit, note, Offer(bundle, partial(begin_look, ws, commit), note["latency"]["single"]["p50_ms"])


def _latency(ws: Workspace, bundle: "Bundle") -> dict[str, Any]:
    """What the new model costs on this machine; no stage may write that, as it is never twice the same."""
    from tasks.backbone.weights import backbone_ref
    from tasks.evaluate.timings import timed

    with doing("timing the model"):
        return asdict(timed(bundle.net, backbone_ref(bundle.record["model"]["backbone"]), ws.cache))


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
    bundle = _bundle_hash(ws)
    return next((version for version in known if version.note["bundle"] == bundle), None)


def _bundle_hash(ws: Workspace) -> str:
    """DVC's, of `models/bundle`; empty where nothing was registered yet."""
    return str(locked(ws, "register").get(BUNDLE, {}).get("md5", ""))


def _decide(ws: Workspace, now: History, offer: "Offer") -> Decision:
    """What the promotion rule says; a champion that cannot be loaded is for a person to replace."""
    from tasks.register.compare import Standing, compare

    champion = now.champion
    if champion is None:
        return FIRST
    with doing(f"comparing with the champion, {champion.name}"):
        try:
            best, anchor = (Standing(bundle_of(ws, one), data_of(ws, one)) for one in (champion, anchor_of(now)))
            return compare(ws, best, anchor, load_params(ws.params).register_, offer)
        except BrokenArtifact as error:  # not of the new bundle, which was loaded before
            why = f"it cannot be compared with the champion ({error}); decide yourself with `graft models promote`"
            return Decision(False, why)


def anchor_of(now: History) -> Version:
    """The version that a new one must not be worse than: the champion, unless new data alone made it that.

    Then it is the last champion before it that did not stand on new data alone; a person's choice is taken as it is.
    """
    for one in reversed(now.assignments):
        version = now.version(one.to)
        if one.action != "rule" or version.note["decision"].get("by") != "new data":
            return version
    return now.version(now.assignments[-1].to)
