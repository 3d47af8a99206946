"""The end of a pre-training, with Prefect or without: the weights are given to DVC."""

from shutil import rmtree

from flows.stages import track
from tasks.pretrain.plan import Place


def finish(place: Place) -> None:
    """Version the weights with DVC, and drop what was needed to make them. Once more changes nothing."""
    track(place.ws, place.weights)
    rmtree(place.private, ignore_errors=True)
