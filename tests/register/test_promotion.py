"""The promotion rule: its tests against published and hand-made numbers, its level, and what it never does."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from tasks.register.decision import Gate
from tasks.register.gates import groups, nobody_worse_off
from tasks.register.promotion import LOOKS, Paired, Rule, better, decide, not_worse, tango

RULE = Rule(margin=0.01, level=0.05)


def paired(won: int, lost: int, both: int, new: tuple[int, int, int] = (0, 0, 0)) -> Paired:
    """Images that the candidate alone, the champion alone and both get right; `new` the same for new images."""
    counts = [*zip(("won", "lost", "both"), (won, lost, both), strict=True)]
    counts += [*zip(("won", "lost", "both"), new, strict=True)]
    names = np.repeat([name for name, _ in counts], [count for _, count in counts])
    is_new = np.arange(len(names)) >= won + lost + both
    champion = names != "won"
    return Paired(names != "lost", champion, champion, ~is_new, is_new)


def test_clearly_better_is_promoted_and_the_figures_say_why():
    decision = decide(paired(70, 30, 900), RULE)
    assert (decision.promote, decision.by, decision.look, decision.images) == (True, "better", 1, 1000)
    everywhere, safe = decision.figures
    assert everywhere.value == pytest.approx(0.04)
    assert everywhere.low < 0.04 < everywhere.high
    assert everywhere.p_value == pytest.approx(binom.sf(69, 100, 0.5))
    assert safe.p_value < 0.0008


@pytest.mark.parametrize(("won", "lost"), [(50, 50), (52, 48), (30, 70)])
def test_what_chance_explains_is_not(won, lost):
    assert "not shown to be better" in decide(paired(won, lost, 900), RULE).why


def test_better_by_chance_alone_is_not_enough_to_be_safe():
    decision = decide(paired(115, 85, 800), RULE)  # p 0.02, but it may as well be worse by the margin
    assert not decision.promote
    assert "within 0.01 of the anchor on all images" in decision.why


def test_better_on_new_images_and_safe_on_the_old_is_promoted_and_does_not_become_the_anchor():
    decision = decide(paired(5, 15, 7980, new=(30, 10, 60)), RULE)
    assert (decision.promote, decision.by, decision.new_images) == (True, "new data", 100)
    worse_on_old = decide(paired(5, 75, 920, new=(80, 10, 10)), RULE)
    assert not worse_on_old.promote
    assert "on the old images" in worse_on_old.why


def test_many_small_losses_do_not_add_up():
    """Each is half a margin worse than the one before, which passes; against the anchor the third does not."""
    n = 20_000
    right = np.ones(n, bool)
    is_new = np.zeros(n, bool)
    is_new[-800:] = True
    anchor = champion = np.where(is_new, np.arange(n) < n - 400, right)
    kept = []
    for step in range(1, 4):
        candidate = champion.copy()
        candidate[: step * 98] = False
        candidate[-800:] = np.arange(800) < 400 + 98 * step
        decision = decide(Paired(candidate, champion, anchor, ~is_new, is_new), RULE)
        kept.append(decision.promote)
        champion = candidate if decision.promote else champion
    assert kept == [True, False, False]


def test_a_gate_holds_back_what_is_better():
    decision = decide(paired(70, 30, 900), RULE, [Gate("size", False, "too heavy"), Gate("groups", True, "fine")])
    assert not decision.promote
    assert decision.why.startswith("too heavy")


def test_the_level_that_looks_spend_never_adds_up_to_more_than_the_level():
    spent = [Rule(0.01, 0.05, look).spent for look in range(1, 20_000)]
    assert sum(spent) <= 0.05
    assert spent[0] == spent[LOOKS - 1] > spent[LOOKS]


def test_tango_by_hand():
    """Without a margin it is McNemar's test without correction: (40 - 20) / sqrt(60) = 2.582."""
    assert tango(40, 20, 100, 0.0) == pytest.approx(0.00491, rel=0.01)
    assert tango(0, 0, 100, 0.0) == 1.0


def test_tangos_level_holds_at_the_margin():
    """20,000 pairs of models, truly apart by just the margin: how often would the rule call them safe?"""
    drawn = np.random.default_rng(0).multinomial(1000, [0.045, 0.055, 0.9], size=20_000)
    p = np.array([tango(int(won), int(lost), 1000, 0.01) for won, lost, _ in drawn])
    for level in (0.05, 0.01):
        assert (p <= level).mean() <= level + 3 * np.sqrt(level * (1 - level) / len(p))


def test_nothing_is_said_of_no_images():
    nothing = np.zeros(0, bool)
    assert better("x", nothing, nothing).status == "not_measurable"
    assert not_worse("x", nothing, nothing, 0.01).status == "not_measurable"
    everything_new = Paired(*(np.ones(50, bool), np.zeros(50, bool), np.zeros(50, bool)), *(np.arange(50) < 0,) * 2)
    assert decide(everything_new, RULE).by == "better"  # on all images, which is all there is to ask


@given(
    st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=60),
    st.integers(1, 200),
)
def test_a_version_never_replaces_itself_and_two_never_replace_each_other(rows, look):
    ours, theirs, new = (np.array(column) for column in zip(*rows, strict=True))
    rule = Rule(0.05, 0.4, look)
    assert not decide(Paired(ours, ours, ours, ~new, new), rule).promote
    both = [decide(Paired(a, b, b, ~new, new), rule) for a, b in ((ours, theirs), (theirs, ours))]
    assert not all(one.promote for one in both)


def test_what_is_worse_on_all_images_is_not_crowned_for_the_new_ones():
    """8,000 old images of which it loses 40 more than it wins, and 100 new ones of which it wins 18 more."""
    one = paired(5, 45, 7950, new=(20, 2, 78))
    assert not decide(one, RULE).promote
    back = one._replace(candidate=one.champion, champion=one.candidate, anchor=one.champion)
    assert decide(back, RULE).by == "better"


def test_a_group_that_is_clearly_worse_off_closes_the_gate():
    rows = pd.DataFrame({"label": ["a", "b"] * 100, "meta_site": ["north"] * 160 + ["south"] * 40})
    theirs = np.ones(200, bool)
    ours = theirs.copy()
    assert nobody_worse_off(ours, theirs, groups(rows), 0.05).passed
    ours[160:180] = False
    closed = nobody_worse_off(ours, theirs, groups(rows), 0.05)
    assert not closed.passed
    assert closed.message.startswith("site south is worse off than under the champion by 50.0 points on 40 images")
