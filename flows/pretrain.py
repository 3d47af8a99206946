"""A backbone of one's own as a Prefect flow: read the source, pre-train, and give the weights to DVC."""

from dataclasses import replace
from pathlib import Path

from prefect import flow, task
from prefect.cache_policies import NO_CACHE

from flows.pretrained import finish
from tasks.contracts.progress import say
from tasks.contracts.workspace import Workspace
from tasks.pretrain.own import open_own, read_own
from tasks.pretrain.plan import Place, Plan
from tasks.pretrain.pretrain import train


@task(name="read source", task_run_name="read source", cache_policy=NO_CACHE, persist_result=False)
def read_source(root: Path, name: str, plan: Plan) -> tuple[Plan, str]:
    """Read one's own set, whose hash comes back; the side of the plan becomes that of its images."""
    place = Place(Workspace(root), name)
    read_own(place.ws, Path(plan.data), place.private, plan.input_px, labelled=plan.source == "labelled")
    own = open_own(place.private)
    if (side_px := own.pixels.shape[1]) != plan.input_px:
        say(f"the typical image has {side_px} px or less a side: --px {plan.input_px} would only enlarge it")
    return replace(plan, input_px=side_px), own.sha256


@task(name="train", task_run_name="train", cache_policy=NO_CACHE, persist_result=False)
def pretrain_backbone(root: Path, name: str, plan: Plan) -> None:
    """Train from random weights and write weights and card."""
    train(Place(Workspace(root), name), plan)


@task(name="keep", task_run_name="keep", cache_policy=NO_CACHE, persist_result=False)
def keep(root: Path, name: str) -> None:
    """Version the weights, and drop what was needed to make them."""
    finish(Place(Workspace(root), name))


@flow(name="pretrain", log_prints=False)
def pretrain(workspace: Path, name: str, plan: Plan) -> None:
    """Make `models/backbones/NAME.safetensors` and its card; a killed flow goes on where it was."""
    data = ""
    if plan.data:
        plan, data = read_source(workspace, name, plan)
    if not Place(Workspace(workspace), name).has(plan, data):
        pretrain_backbone(workspace, name, plan)
    keep(workspace, name)
