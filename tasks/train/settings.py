"""What the section `train` of the params asks for, as strategies and a recipe."""

from tasks.contracts.params import TrainParams
from tasks.train.forward import choose_device
from tasks.train.loop import Recipe
from tasks.train.strategies import FeatureExtraction, FineTuning, Scratch, Strategy


def strategies_of(params: TrainParams) -> tuple[Strategy, ...]:
    """The strategies that are to be tried; of several, the best on val becomes the candidate."""
    tuned = params.fine_tuning.model_dump(exclude={"batch_norm"})
    of_name: dict[str, Strategy] = {
        "feature_extraction": FeatureExtraction(),
        "fine_tuning": FineTuning(**tuned, norms_adapt=params.fine_tuning.batch_norm == "adapt"),
        "scratch": Scratch(),
    }
    return tuple(of_name.values()) if params.strategy == "auto" else (of_name[params.strategy],)


def recipe_of(params: TrainParams, seed: int) -> Recipe:
    """How the params say to train."""
    shared = Recipe.__dataclass_fields__.keys() & TrainParams.model_fields.keys() - {"device"}
    chosen = {name: getattr(params, name) for name in shared}
    return Recipe(**chosen, seed=seed, device=choose_device(params.device))
