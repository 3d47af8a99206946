"""Data sets and models as assets of a Prefect server, with what each was made from: its events tell the lineage.

raw data -> manifest -> checked data with their splits -> candidate -> bundle -> registered versions. An asset's key is
the same in every run; which content it had is in the event. Only for a server: nobody can ask the embedded engine.

Prefect's own `@materialize` fixes the keys when a task is declared, and a workspace is known only when it runs, so the
events are sent through the context that this decorator uses.
"""

from dataclasses import dataclass
from typing import Any

from prefect.assets import Asset
from prefect.assets.core import AssetProperties
from prefect.context import AssetContext
from prefect.states import Completed

from flows.server import slug
from flows.stages import Outcome
from tasks.contracts.dvc_files import tracked
from tasks.contracts.workspace import Workspace
from tasks.register.registry import Version

_MADE_BY = "graft"


@dataclass(frozen=True)
class Made:
    """What a stage makes of what: places relative to the workspace, `what` for people."""

    place: str
    what: str
    of: tuple[str, ...] = ()


RAW = Made("data/raw", "the images as they came, a folder for each class")
VERSIONS = Made("models/registry", "registered versions of the model", ("models/bundle",))
OF_STAGE = {
    "ingest": (RAW, Made("data/manifest.parquet", "every image file with its label", (RAW.place,))),
    "quality": (
        Made("data/checked.parquet", "images by content: measures, verdicts and splits", ("data/manifest.parquet",)),
    ),
    "train": (Made("models/candidate", "the network that was trained", ("data/checked.parquet",)),),
    "register": (Made("models/bundle", "a model that is complete in itself", ("models/candidate",)),),
}


def show_assets(ws: Workspace, outcome: Outcome) -> None:
    """Tell the server of what a stage made anew or brought back; what was fresh is what it was."""
    if outcome.action in ("ran", "restored"):
        for made in OF_STAGE.get(outcome.stage, ()):
            _tell(ws, made, tracked(ws, outcome.stage, made.place))


def show_version(ws: Workspace, version: Version) -> None:
    """Tell the server of a registered version."""
    facts: dict[str, Any] = {"version": version.name, "champion": version.champion, "commit": version.commit}
    noted = {key: version.note[key] for key in ("bundle", "data", "test_accuracy")}
    _tell(ws, VERSIONS, facts | noted)


def key_of(ws: Workspace, place: str) -> str:
    """The asset's key; an unattended run works in a place of its own, on the assets of its workspace."""
    home = Workspace(ws.root.parents[2]) if ws.root.match(".graft/worktrees/*") else ws
    return f"graft://{slug(home)}/{place}"


def _tell(ws: Workspace, made: Made, facts: dict[str, Any]) -> None:
    key = key_of(ws, made.place)
    asset = Asset(key=key, properties=AssetProperties(name=made.place, description=made.what))
    AssetContext(
        direct_asset_dependencies={Asset(key=key_of(ws, place)) for place in made.of},
        downstream_assets={asset},
        materialized_by=_MADE_BY,
        materialization_metadata={key: facts},
    ).emit_events(Completed())
