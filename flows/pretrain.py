"""A backbone of one's own as a Prefect flow: read the source, pre-train, and give the weights to DVC."""

from dataclasses import replace
from pathlib import Path
from shutil import rmtree

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.stages import track
from tasks.contracts.workspace import Workspace
from tasks.pretrain.own import open_own, read_own
from tasks.pretrain.plan import Place, Plan
from tasks.pretrain.pretrain import train


@task(name="read source", task_run_name="read source", cache_policy=NO_CACHE, persist_result=False)
def read_source(root: Path, name: str, plan: Plan) -> Plan:
    """Read one's own set; the side of the plan becomes that of the images."""
    place = Place(Workspace(root), name)
    read_own(place.ws, Path(plan.data), place.private, plan.input_px, labelled=plan.source == "labelled")
    return replace(plan, input_px=open_own(place.private).pixels.shape[1])


@task(name="train", task_run_name="train", cache_policy=NO_CACHE, persist_result=False)
def pretrain_backbone(root: Path, name: str, plan: Plan) -> None:
    """Train from random weights and write weights and card."""
    train(Place(Workspace(root), name), plan)


@task(name="keep", task_run_name="keep", cache_policy=NO_CACHE, persist_result=False)
def keep(root: Path, name: str) -> None:
    """Version the weights with DVC, and drop what was needed to make them."""
    place = Place(Workspace(root), name)
    track(place.ws, place.weights)
    rmtree(place.private, ignore_errors=True)


@flow(name="pretrain", log_prints=False)
def pretrain(workspace: Path, name: str, plan: Plan) -> None:
    """Make `models/backbones/NAME.safetensors` and its card; a killed flow goes on where it was."""
    if plan.data:
        plan = read_source(workspace, name, plan)
    pretrain_backbone(workspace, name, plan)
    keep(workspace, name)
