import numpy as np
import pandas as pd
import pytest

from tasks.bias.attributes import columns_of, examine
from tasks.bias.flaws import flaws


def look(verdict: list[str], site: list[str], suspects: list[int] = (), label: list[str] | None = None):
    """Statistics by name, in their order, and findings; suspects by row."""
    images = pd.DataFrame(
        {
            "path": [f"{i}.png" for i in range(len(verdict))],
            "sha256": [f"{i:064x}" for i in range(len(verdict))],
            "label": label or ["cat", "dog"] * (len(verdict) // 2),
            "verdict": verdict,
            "meta_site": site,
        }
    )
    kept = (images["verdict"] != "quarantine").to_numpy()
    levels, _ = examine(columns_of(images), (), 5, kept)
    section, found = flaws(images, levels, images["sha256"].iloc[list(suspects)], np.random.default_rng(0))
    return {one.name: one for one in section.statistics}, found


SITES = ["north"] * 100 + ["south"] * 100


def test_a_group_that_loses_more_images_is_found_with_its_share():
    verdict = ["quarantine"] * 4 + ["keep"] * 96 + ["quarantine"] * 30 + ["keep"] * 70
    said, found = look(verdict, SITES)
    assert next(iter(said)) == "taken out, most in site = south: difference"
    first = said["taken out, most in site = south: difference"]
    assert first.value == pytest.approx(0.26)
    assert first.low < 0.26 < first.high
    assert first.p_value < 0.001
    assert (said["taken out, site = south: share"].value, said["taken out, site = south: share"].n) == (0.3, 100)
    assert [(one.check, one.subject, one.severity) for one in found] == [("flaws_by_group", "site = south", "warn")]
    assert "taken out: 26.0 points more of site = south than of all others" in found[0].message


def test_warnings_and_suspects_are_shares_of_what_was_kept():
    verdict = ["quarantine"] * 20 + ["keep"] * 80 + ["warn"] * 25 + ["keep"] * 75
    said, found = look(verdict, SITES, suspects=list(range(20, 60)))
    assert said["warned of, site = north: share"].n == 80
    assert said["suspect label, site = north: share"].value == 0.5
    assert {(one.subject, one.message.split(":")[0]) for one in found} == {
        ("site = north", "taken out"),
        ("site = north", "suspect label"),
        ("site = south", "warned of"),
    }


def test_a_class_with_more_suspects_is_found():
    said, found = look(["keep"] * 200, SITES, suspects=list(range(0, 60, 2)))
    assert ("class = cat", "suspect label") in {(one.subject, one.message.split(":")[0]) for one in found}
    assert said["taken out, by site"].status == "not_measurable"


def test_flaws_that_fall_evenly_give_no_finding():
    verdict = ["warn" if i % 10 < 2 else "keep" for i in range(200)]
    assert look(verdict, SITES)[1] == []


def test_alarms_are_within_their_level():
    alarms = 0
    for seed in range(200):
        rng = np.random.default_rng([2, seed])
        verdict = rng.choice(["keep", "warn", "quarantine"], 160, p=[0.8, 0.12, 0.08]).tolist()
        site, label = rng.choice(list("xyz"), 160).tolist(), rng.choice(["cat", "dog"], 160).tolist()
        alarms += bool(look(verdict, site, rng.permutation(160)[:12].tolist(), label)[1])
    assert alarms <= 5  # an eighth of 5 % is this family's share: more than 5 of 200 has a chance below 1 %


def test_the_order_of_rows_changes_nothing():
    rng = np.random.default_rng(3)
    verdict = rng.choice(["keep", "warn", "quarantine"], 120).tolist()
    site, label = rng.choice(list("xy"), 120).tolist(), rng.choice(["cat", "dog"], 120).tolist()
    order = rng.permutation(120).tolist()
    moved = [[column[i] for i in order] for column in (verdict, site, label)]
    assert look(verdict, site, label=label) == look(moved[0], moved[1], label=moved[2])
