"""What is said of fixed overlays: a statistic for each class, and a finding for each that is suspicious."""

from collections.abc import Sequence

from tasks.bias.overlay import GRID, Overlay, place_of
from tasks.bias.significance import correction
from tasks.contracts.records import Finding, Severity, Statistic

_STRONGEST = 10
_CORRECTION = correction("classes and tiles")


def overlay_statistic(overlay: Overlay, classes: Sequence[str]) -> Statistic:
    """A class's most suspicious tile as a statistic."""
    name = f"fixed pattern in {classes[overlay.label]}, {place_of(overlay.tile)}"
    estimator = "agreement of edge directions in the best tile less elsewhere; permutation p"
    return Statistic(
        name, overlay.excess, overlay.images, estimator=estimator, p_value=overlay.p_value, correction=_CORRECTION
    )


def overlay_findings(overlays: Sequence[Overlay], classes: Sequence[str], paths: Sequence[str]) -> list[Finding]:
    """A finding for each suspicious overlay, the strongest first; `paths` are those of the images that were scanned."""
    found = []
    for overlay in (one for one in overlays if one.suspicious):
        label, place = classes[overlay.label], place_of(overlay.tile)
        # objects are often centred, so in the middle a fixed pattern may well be the object itself
        central = all(GRID // 4 <= index < GRID - GRID // 4 for index in overlay.tile)
        severity: Severity = "info" if central else "warn"
        message = f"images of {label} share a fixed pattern at the {place}: a watermark, logo or caption?"
        remedy = "crop it away or paint it over, or add images of this class without it"
        evidence = tuple(paths[i] for i in overlay.strongest[:_STRONGEST])
        statistic = overlay_statistic(overlay, classes)
        found.append(Finding("fixed_overlay", severity, label, statistic, message, remedy, evidence))
    return found
