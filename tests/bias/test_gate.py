import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tasks.bias import gate
from tasks.contracts.errors import BadUsage, BrokenArtifact, GateRefused
from tasks.contracts.files import write_record
from tasks.contracts.params import GateParams, WaiverParams
from tasks.contracts.records import GateReport, Statistic

SIZES = {"cat": {"train": 100, "test": 10}, "dog": {"train": 20, "test": 4}}
FINE = {"findings": [{"severity": "warn", "message": "two dark images"}]}
ASSOCIATIONS = (Statistic("V of a", None, 0, status="not_measurable"), Statistic("V of site", 0.7, 120))


def judge(params: GateParams, **changes: object) -> GateReport:
    """The verdict on healthy data, but for the changes."""
    given = {"quality": FINE, "sizes": SIZES, "imbalance": Statistic("imbalance", 5.0, 120)}
    given |= {"associations": ASSOCIATIONS} | changes
    return gate.judge(params, **given)  # type: ignore[arg-type]


def failing(report: GateReport) -> dict[str, float | None]:
    """Value by name of the rules that do not pass."""
    return {rule.rule: rule.value for rule in report.rules if not rule.passed}


def test_healthy_data_passes_every_rule_and_leaves_no_finding() -> None:
    report = judge(GateParams())
    assert report.passed
    assert tuple(rule.rule for rule in report.rules) == gate.RULES
    assert report.findings == ()
    assert report.set_by == "graft's defaults"


@pytest.mark.parametrize(
    ("params", "changes", "expected"),
    [
        (GateParams(max_imbalance=4.9), {}, {"max_imbalance": 5.0}),
        (GateParams(), {"imbalance": Statistic("i", None, 0, status="not_measurable")}, {"max_imbalance": None}),
        (GateParams(min_train_images=21), {}, {"min_train_images": 20.0}),
        (GateParams(min_test_images=5), {}, {"min_test_images": 4.0}),
        (GateParams(max_association=0.69), {}, {"max_association": 0.7}),
        (GateParams(), {"quality": {"findings": [{"severity": "error", "message": "m"}] * 3}}, {"contract": 3.0}),
        (
            GateParams(),
            {"sizes": SIZES | {"emu": {"train": 0, "test": 0}}},
            {"min_train_images": 0.0, "min_test_images": 0.0},
        ),
    ],
)
def test_each_rule_fails_beyond_its_limit(
    params: GateParams, changes: dict[str, object], expected: dict[str, float | None]
) -> None:
    report = judge(params, **changes)
    assert not report.passed
    assert failing(report) == expected
    assert [one.severity for one in report.findings] == ["error"] * len(expected)


def test_a_value_at_its_limit_passes() -> None:
    limits = GateParams(max_imbalance=5.0, min_train_images=20, min_test_images=4, max_association=0.7)
    assert judge(limits).passed


def test_no_metadata_is_nothing_to_measure_and_no_failure() -> None:
    report = judge(GateParams(max_association=0.0), associations=())
    assert report.passed
    assert report.rules[-1].value is None


def test_a_waiver_lets_its_rule_pass_and_stays_on_the_record() -> None:
    waiver = WaiverParams(rule="min_train_images", reason="more come in May", by="Ada")
    report = judge(GateParams(min_train_images=50, waivers=(waiver,)))
    rule = next(rule for rule in report.rules if rule.rule == "min_train_images")
    assert report.passed
    assert rule.waiver is not None
    assert (rule.value, rule.waiver.by, rule.waiver.reason) == (20.0, "Ada", "more come in May")
    assert [(one.severity, one.subject) for one in report.findings] == [("warn", "min_train_images")]


def test_a_waiver_opens_no_other_rule() -> None:
    waiver = WaiverParams(rule="max_imbalance", reason="r", by="b")
    assert failing(judge(GateParams(min_train_images=50, waivers=(waiver,)))) == {"min_train_images": 20.0}


def test_a_waiver_for_an_unknown_rule_names_the_rules() -> None:
    waiver = WaiverParams(rule="min_trian_images", reason="r", by="b")
    with pytest.raises(BadUsage, match=r"min_trian_images.*min_train_images"):
        judge(GateParams(waivers=(waiver,)))


def test_the_door_is_open_after_a_pass_and_after_a_waiver(tmp_path: Path) -> None:
    path = tmp_path / "gate.json"
    write_record(path, judge(GateParams()))
    gate.require_open(path)
    write_record(path, judge(GateParams(min_train_images=50)))
    with pytest.raises(GateRefused):
        gate.require_open(path)
    waiver = WaiverParams(rule="min_train_images", reason="more come in May", by="Ada")
    write_record(path, judge(GateParams(min_train_images=50, waivers=(waiver,))))
    gate.require_open(path)


@pytest.mark.parametrize(("days", "open_still"), [(2, True), (0, False), (-30, False)])
def test_a_waiver_is_over_on_its_day(tmp_path: Path, days: int, open_still: bool) -> None:
    expires = (datetime.now(UTC).date() + timedelta(days)).isoformat()
    waiver = WaiverParams(rule="min_train_images", reason="more come in May", by="Ada", expires=expires)
    write_record(tmp_path / "gate.json", judge(GateParams(min_train_images=50, waivers=(waiver,))))
    if open_still:
        gate.require_open(tmp_path / "gate.json")
    else:
        with pytest.raises(GateRefused, match=f"a waiver has expired.*min_train_images, by Ada, until {expires}"):
            gate.require_open(tmp_path / "gate.json")


def test_a_day_is_a_day() -> None:
    with pytest.raises(ValueError, match="must be a day such as"):
        WaiverParams(rule="min_train_images", reason="r", by="b", expires="next May")
    assert GateParams(set_on="2026-11-25").set_on == "2026-11-25"


def test_the_closed_door_says_in_one_line_what_fails_and_how_to_waive(tmp_path: Path) -> None:
    sizes = SIZES | {"e\x1b[31m\nmu": {"train": 2, "test": 4}}
    write_record(tmp_path / "gate.json", judge(GateParams(max_imbalance=3.0), sizes=sizes))
    with pytest.raises(GateRefused) as refused:
        gate.require_open(tmp_path / "gate.json")
    text = str(refused.value)
    assert text.isprintable()
    for part in ("max_imbalance", "5 > 3", "min_train_images", "2 < 5", "mu", "bias.gate.waivers", "params.yaml"):
        assert part in text
    assert refused.value.exit_code == 1


def test_a_broken_contract_says_what_and_what_to_do_and_a_warning_closes_nothing(tmp_path: Path) -> None:
    broken = {"severity": "error", "message": "a new class: 'emu'", "remedy": "relabel it, or edit contract.json"}
    write_record(tmp_path / "gate.json", judge(GateParams(), quality={"findings": [broken]}))
    with pytest.raises(GateRefused, match=r"a new class: 'emu'; relabel it, or edit contract\.json"):
        gate.require_open(tmp_path / "gate.json")
    assert judge(GateParams(), quality={"findings": [broken | {"severity": "warn"}]}).passed


def test_a_missing_report_is_no_open_door(tmp_path: Path) -> None:
    with pytest.raises(BrokenArtifact, match="graft run"):
        gate.require_open(tmp_path / "gate.json")


def test_rules_know_nothing_of_the_order_of_classes() -> None:
    backwards = dict(reversed(SIZES.items()))
    params = GateParams(min_train_images=500)
    assert dataclasses.asdict(judge(params)) == dataclasses.asdict(judge(params, sizes=backwards))
