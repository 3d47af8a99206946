"""The difference of two versions for people."""

from typing import TYPE_CHECKING, Any

from tasks.contracts.errors import one_line
from tasks.contracts.records import Statistic

if TYPE_CHECKING:
    from tasks.register.differences import Change, Differences

SHOWN = 10


def changed(found: "Differences") -> str:
    """A screen: settings, samples, figures, findings, answers; at most SHOWN of each."""
    data, answers = found.data, found.answers
    lines = [
        f"{found.before} -> {found.after}",
        (
            f"samples   {data.before:,} -> {data.after:,}: {len(data.added):,} added, {len(data.removed):,} removed, "
            f"{len(data.relabelled):,} relabelled, {len(data.moved):,} in another split"
        ),
        *_some("settings", [_said(one) for one in found.params]),
        *_some("relabelled", [_said(one) for one in data.relabelled]),
        *(f"{one.name:<18} {_number(one.before)} -> {_number(one.after)}" for one in found.figures),
        *_some("new findings", list(found.new_findings)),
        *_some("gone findings", list(found.gone_findings)),
        f"answers   {len(answers.changed):,} of {answers.compared:,} images in {answers.split} are called otherwise"
        + (f"; {answers.absent:,} are no longer in data/raw" if answers.absent else ""),
        *(f"  {_said(one)}" for one in answers.changed[:SHOWN]),
    ]
    return "\n".join(one_line(line) if not line.startswith("  ") else f"  {one_line(line)}" for line in lines)


def cost_line(cost: dict[str, Any]) -> str:
    """What a model costs where it was registered."""
    single, large = (
        f"{one['p50_ms']:.1f} ms (90 % within {one['p90_ms']:.1f})" for one in (cost["single"], cost["large"])
    )
    return one_line(
        f"cost: {single} for a single image, {large} for one of a batch of {cost['large']['batch']}, "
        f"at most {cost['peak_mb']:,.0f} MB of memory, {cost['parameters'] / 1e6:.1f} M parameters, "
        f"{cost['disk_mb']:.1f} MB on disk; {cost['device']}, {cost['threads']} threads{_measured(cost)}"
    )


def _measured(cost: dict[str, Any]) -> str:
    """The days on which that was; notes of an earlier graft have none."""
    days = sorted({pace["measured"][:10] for pace in (cost["single"], cost["large"]) if pace.get("measured")})
    return f", measured on {' and '.join(days)}" if days else ""


def remade_lines(figures: list[dict[str, Any]]) -> list[str]:
    """The figures that were made again, each as it was recorded and as it came out."""

    def said(value: float | None) -> str:
        return "not measurable" if value is None else f"{value:.10g}"

    return [f"  {one['name']:<18} recorded {said(one['recorded'])}, made again {said(one['made'])}" for one in figures]


def _some(name: str, lines: list[str]) -> list[str]:
    more = [f"  ... {len(lines) - SHOWN:,} more with --json"] if len(lines) > SHOWN else []
    return [f"{name}: {len(lines)}", *(f"  {line}" for line in lines[:SHOWN]), *more] if lines else []


def _said(one: "Change") -> str:
    what = one.what[:16] if len(one.what) == 64 else one.what  # a SHA-256 is long
    return f"{what}: {one.before} -> {one.after}"


def _number(one: Statistic) -> str:
    if one.value is None:
        return "not measured"
    interval = f" ({one.low:.3f} to {one.high:.3f})" if one.low is not None and one.high is not None else ""
    return f"{one.value:.3f}{interval}"
