import numpy as np
import pytest

from tasks.augment.policy import Policy, make_policy
from tasks.augment.probes import WHOLE_POLICY, probes_of
from tasks.contracts.params import AugmentParams

GREY_RAMP = np.repeat(np.arange(0, 256, 8, dtype=np.uint8)[:, None, None], 32, axis=1).repeat(3, axis=2)


def settings(*transforms: dict) -> list[tuple[str, str]]:
    """(rule, setting) of every probe."""
    return [(probe.rule, probe.setting) for probe in probes_of(transforms)]


def test_a_range_is_tried_at_both_ends_and_nothing_where_nothing_changes() -> None:
    assert settings({"transform": "Affine", "rotate": (-10, 20), "scale": (0.9, 1.0), "p": 0.1}) == [
        ("Affine.scale", "scale 0.9"),
        ("Affine.rotate", "rotate -10"),
        ("Affine.rotate", "rotate 20"),
        (WHOLE_POLICY, "as drawn in training"),
    ]


def test_a_long_turn_is_also_tried_on_the_way() -> None:
    found = settings({"transform": "Affine", "rotate": (0, 180), "p": 1.0})
    assert found[:2] == [("Affine.rotate", "rotate 90"), ("Affine.rotate", "rotate 180")]
    hues = settings({"transform": "ColorJitter", "hue": 0.5, "p": 1.0})
    assert [setting for _, setting in hues if "-" not in setting][:3] == ["hue 0.166667", "hue 0.333333", "hue 0.5"]


def test_parts_that_make_one_change_are_tried_at_their_strongest_together() -> None:
    assert settings({"transform": "ImageCompression", "quality_range": (20, 80), "p": 0.5}) == [
        ("ImageCompression", "quality 20")
    ]
    assert settings({"transform": "RandomResizedCrop", "scale": (0.5, 1), "ratio": (0.8, 1), "p": 0.5}) == [
        ("RandomResizedCrop", "scale 0.5, ratio 0.8")
    ]


def test_two_mirrors_are_a_half_turn_wherever_they_stand() -> None:
    flips = ({"transform": "VerticalFlip", "p": 0.1}, {"transform": "OneOf", "of": ({"transform": "HorizontalFlip"},)})
    half_turn = next(probe for probe in probes_of(flips) if "+" in probe.rule)
    turned = Policy("x", half_turn.transforms, 32)(GREY_RAMP, 0)
    assert np.array_equal(turned, GREY_RAMP[::-1, ::-1])


@pytest.mark.parametrize("name", ["light", "medium", "strong"])
def test_every_part_of_a_built_in_policy_is_tried_and_does_the_same_each_time(name: str) -> None:
    policy = make_policy(AugmentParams.model_validate({"policy": name, "horizontal_flip": True}), 32)
    probes = probes_of(policy.transforms)
    flat = [one for given in policy.transforms for one in given.get("of", (given,))]
    assert {str(one["transform"]) for one in flat} | {WHOLE_POLICY} == {probe.rule.split(".")[0] for probe in probes}
    picture = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for probe in probes:
        if probe.rule != WHOLE_POLICY:
            alone = Policy("x", probe.transforms, 32)
            assert all(not np.array_equal(alone(picture, seed), picture) for seed in range(4)), probe


def test_a_pinned_hue_changes_no_brightness() -> None:
    probe = probes_of(({"transform": "ColorJitter", "hue": 0.1, "p": 0.5},))[0]
    assert np.abs(Policy("x", probe.transforms, 32)(GREY_RAMP, 1).astype(int) - GREY_RAMP).max() <= 1


def test_nothing_is_tried_of_no_policy() -> None:
    assert probes_of(()) == ()
