"""The end of a pre-training, with Prefect or without: the weights are given to DVC."""

from shutil import rmtree

from flows.stages import track
from tasks.pretrain.plan import Place


def finish(place: Place) -> None:
    """Version the weights with DVC, and drop what was needed to make them. Nothing happens where that is done."""
    if not place.weights.with_suffix(".safetensors.dvc").exists():
        track(place.ws, place.weights)
    rmtree(place.private, ignore_errors=True)
