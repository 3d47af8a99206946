from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.augment.policy import Policy, describe, load_policy, make_policy
from tasks.contracts.errors import BadUsage
from tasks.contracts.files import write_record
from tasks.contracts.params import AugmentParams
from tasks.contracts.params_file import load_params
from tasks.contracts.transforms import ALLOWED, Argument, problem_of

PICTURE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
TURN = "{transform: Affine, rotate: [-20, 20], p: 0.5}"


def own(*transforms: str) -> str:
    """A params file with a policy of one's own."""
    return "augment:\n  policy: own\n  transforms:\n" + "".join(f"    - {one}\n" for one in transforms)


def loaded(tmp_path: Path, text: str) -> AugmentParams:
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    return load_params(path).augment


def written(argument: Argument, *, most: bool) -> Any:
    """A value at one end of what is allowed."""
    end = argument.most if most else argument.least
    number = int(end) if argument.whole else end
    return (number, number) if argument.form == "range" else number


def test_a_policy_of_ones_own_is_what_the_stage_applies_and_training_loads(tmp_path: Path) -> None:
    choice = "{transform: OneOf, p: 1.0, of: [{transform: ToGray, p: 1.0}, {transform: RandomRotate90, p: 1.0}]}"
    policy = make_policy(loaded(tmp_path, own(TURN, choice)), 32)
    assert [one["transform"] for one in policy.transforms] == ["Affine", "OneOf"]
    write_record(tmp_path / "augmentation.json", describe(policy, "d"))
    again = load_policy(tmp_path / "augmentation.json")
    assert again == policy
    assert all(np.array_equal(again(PICTURE, seed), policy(PICTURE, seed)) for seed in range(10))


@pytest.mark.parametrize(
    ("transform", "told"),
    [
        ("{transform: Afine, p: 1.0}", "unknown transform 'Afine', did you mean Affine?"),
        ("{transform: horizontalflip, p: 1.0}", "did you mean HorizontalFlip?"),
        ("{transform: os.system, p: 1.0}", "known here: Affine, "),
        ("{rotate: [0, 1], p: 1.0}", "unknown transform None"),
        ("{transform: Affine, rotat: [-5, 5], p: 1.0}", "Affine has no argument rotat, did you mean rotate?"),
        ("{transform: Affine, rotate: [-5, 500], p: 1.0}", "Affine.rotate must lie within -180 and 180"),
        ("{transform: Affine, rotate: [5, -5], p: 1.0}", "low <= high"),
        ("{transform: Affine, rotate: 5, p: 1.0}", r"Affine.rotate must be a range \[low, high\]"),
        ("{transform: Affine, rotate: [-.inf, 5], p: 1.0}", "Affine.rotate must lie within"),
        ("{transform: ColorJitter, hue: yes, p: 1.0}", "ColorJitter.hue must lie within 0 and 0.5"),
        ("{transform: ImageCompression, quality_range: [1.5, 80], p: 1.0}", "must be whole"),
        ("{transform: GaussNoise, p: 1.0}", "GaussNoise needs std_range"),
        ("{transform: HorizontalFlip}", "HorizontalFlip needs p"),
        ("{transform: HorizontalFlip, p: 0}", "HorizontalFlip.p must be above 0"),
        ("{transform: OneOf, of: [], p: 1.0}", "OneOf needs of"),
        ("{transform: OneOf, of: [{transform: Blur, p: 1.0}], p: 1.0}", "unknown transform 'Blur'"),
    ],
)
def test_a_mistake_is_one_line_with_file_place_and_what_is_right(tmp_path: Path, transform: str, told: str) -> None:
    with pytest.raises(BadUsage, match=told) as caught:
        loaded(tmp_path, own(TURN, transform))
    assert "params.yaml: augment.transforms.1: " in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["augment: {policy: own}", f"augment: {{policy: light, transforms: [{TURN}]}}"])
def test_own_and_a_list_of_transforms_go_together(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadUsage, match="go together"):
        loaded(tmp_path, text)


@pytest.mark.parametrize("name", ALLOWED)
@pytest.mark.parametrize("most", [True, False])
def test_whatever_is_allowed_can_be_applied(name: str, most: bool) -> None:
    arguments = {key: written(argument, most=most) for key, argument in ALLOWED[name].items()}
    transform = {"transform": name, "p": 1.0, **arguments}
    assert problem_of(transform) == ""
    view = Policy("own", (transform,), 32)(PICTURE, 0)
    assert (view.shape, view.dtype) == ((32, 32, 3), np.uint8)


@pytest.mark.parametrize("name", ["light", "medium", "strong"])
def test_the_built_in_policies_keep_to_the_table_and_can_be_written_as_ones_own(name: str) -> None:
    built_in = make_policy(AugmentParams.model_validate({"policy": name}), 32).transforms
    with_chance = tuple(
        {**one, "of": tuple({"p": 0.5, **inner} for inner in one["of"])} if "of" in one else one for one in built_in
    )
    assert [problem_of(one) for one in with_chance] == [""] * len(built_in)


def test_what_is_not_set_changes_nothing() -> None:
    grey = np.full((32, 32, 3), 90, np.uint8)
    for seed in range(8):
        assert np.array_equal(
            Policy("own", ({"transform": "ColorJitter", "hue": 0.3, "p": 1.0},), 32)(grey, seed), grey
        )
        assert np.array_equal(Policy("own", ({"transform": "Affine", "p": 1.0},), 32)(PICTURE, seed), PICTURE)
