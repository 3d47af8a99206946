"""What may stand in `operate.schedule`: a cron line or an interval, and a time zone. Nothing here runs anything."""

import re
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

SHORTEST = timedelta(seconds=10)  # a worker looks for due runs every few seconds, no oftener
LONGEST = timedelta(days=366)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_INTERVAL = re.compile(r"(\d{1,9})([smhd])")


def interval(text: str) -> timedelta:
    """The time of `90s`, `30m`, `6h` or `1d`. Raises ValueError that says what is expected."""
    found = _INTERVAL.fullmatch(text)
    if not found:
        raise ValueError("expected a whole number with its unit, as in 30m, 6h or 1d")
    length = timedelta(**{_UNITS[found[2]]: int(found[1])})
    if not SHORTEST <= length <= LONGEST:
        raise ValueError(f"must be from {SHORTEST.seconds}s to {LONGEST.days}d")
    return length


def cron(text: str) -> str:
    """The line itself, one space between its five fields. Raises ValueError where it never fires or is no cron line."""
    fields = text.split()
    if len(fields) != 5:
        raise ValueError(f"expected five fields (minute hour day month weekday), as in '0 3 * * *', not {len(fields)}")
    try:
        next(CronSim(" ".join(fields), datetime.now(UTC)))
    except CronSimError as error:
        raise ValueError(f"is no cron line ({error}); five fields as in '0 3 * * *'") from None
    except StopIteration:
        raise ValueError("names a day that never comes") from None
    return " ".join(fields)


def zone(name: str) -> str:
    """The name itself. Raises ValueError where this machine knows no such time zone."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("is no time zone; expected a name such as UTC or Europe/Berlin") from None
    return name
