"""What may stand in `operate`: whatever is accepted, Prefect takes too; the rest is refused with its key."""

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.client.schemas.schedules import CronSchedule

from tasks.contracts import schedules
from tasks.contracts.errors import BadUsage
from tasks.contracts.params_file import load_params, require_whole

FIELDS = st.sampled_from(
    ["*", "0", "5", "*/7", "1-5", "1,3", "31", "60", "L", "MON", "FEB", "x", "5-1", "*/0", "#", ""]
)


def params(tmp_path, operate: str):
    path = tmp_path / "params.yaml"
    path.write_text(f"operate: {operate}\n", encoding="utf-8")
    return load_params(path).operate


@given(st.lists(FIELDS, min_size=4, max_size=6).map(" ".join))
def test_a_cron_line_that_is_accepted_is_one_for_prefect(line):
    try:
        accepted = schedules.cron(line)
    except ValueError:
        return
    assert CronSchedule(cron=accepted, timezone="UTC").cron == accepted


@given(st.integers(1, 400), st.sampled_from("smhd"))
def test_an_interval_is_as_long_as_it_says_or_refused(count, unit):
    length = timedelta(seconds=count * {"s": 1, "m": 60, "h": 3600, "d": 86400}[unit])
    if schedules.SHORTEST <= length <= schedules.LONGEST:
        assert schedules.interval(f"{count}{unit}") == length
    else:
        with pytest.raises(ValueError, match="from 10s to 366d"):
            schedules.interval(f"{count}{unit}")


@pytest.mark.parametrize(
    ("operate", "key", "why"),
    [
        ("{schedule: {cron: '61 * * * *'}}", "operate.schedule.cron", "no cron line"),
        ("{schedule: {cron: '0 0 30 2 *'}}", "operate.schedule.cron", "no cron line"),
        ("{schedule: {cron: '@daily'}}", "operate.schedule.cron", "five fields"),
        ("{schedule: {interval: 6 hours}}", "operate.schedule.interval", "as in 30m, 6h or 1d"),
        ("{schedule: {interval: 6}}", "operate.schedule.interval", "as in 30m, 6h or 1d"),
        ("{schedule: {interval: 1s}}", "operate.schedule.interval", "from 10s"),
        ("{schedule: {interval: 99999999d}}", "operate.schedule.interval", "to 366d"),
        ("{schedule: {timezone: Mars/Olympus}}", "operate.schedule.timezone", "no time zone"),
        ("{schedule: {timezone: ../../etc/passwd}}", "operate.schedule.timezone", "no time zone"),
        ("{schedule: {timezone: Europe}}", "operate.schedule.timezone", "no time zone"),
        ("{schedule: {cron: '0 3 * * *', interval: 6h}}", "operate.schedule", "two schedules"),
        ("{schedule: {flow: deploy}}", "operate.schedule.flow", "retrain"),
        ("{database: 'mysql://host/name'}", "operate.database", "postgresql://"),
        ("{database: 'postgresql://'}", "operate.database", "postgresql://"),
        ("{port: 80}", "operate.port", "1024"),
        ("{overlap: both}", "operate.overlap", "drop"),
        ("{notify: [slack]}", "operate.notify.0", "pattern"),
    ],
)
def test_what_is_wrong_is_refused_in_one_line_with_its_key(tmp_path, operate, key, why):
    with pytest.raises(BadUsage, match=re.escape(key)) as refused:
        params(tmp_path, operate)
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_database_is_spoken_to_through_the_driver_that_is_installed(tmp_path):
    for scheme in ("postgresql", "postgresql+asyncpg"):
        said = params(tmp_path, f"{{database: '{scheme}://prefect@db.example/runs'}}")
        assert said.database == "postgresql+asyncpg://prefect@db.example/runs"


def test_an_empty_value_is_none_asked_for(tmp_path):
    assert params(tmp_path, "{schedule: {interval: , cron: }, database: }") == params(tmp_path, "{}")


def test_params_of_before_are_whole_without_the_section(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("".join(f"{key}: {{}}\n" for key in ("ingest", "quality", "bias", "augment", "select", "train")))
    with pytest.raises(BadUsage, match="seed, evaluate, register missing"):
        require_whole(path)
