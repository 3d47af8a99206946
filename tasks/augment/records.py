"""What the augment stage leaves on record."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.contracts.records import SCHEMA_VERSION, Finding, Statistic

Transform = Mapping[str, Any]  # {"transform": name, argument: value ...}; "OneOf" holds a list under "of"


@dataclass(frozen=True)
class LabelChange:
    """What one change at one setting does to one class.

    `becomes` is the class that most of its pictures pass for, empty where none passes for another. `share`: of the
    pictures that are recognised unchanged, those that then pass for `becomes`. `changes_label`: it is too many.
    """

    rule: str
    setting: str
    label: str
    becomes: str
    share: Statistic
    changes_label: bool


@dataclass(frozen=True)
class LabelSafety:
    """What the policy does to labels. `unknown` has a statistic for each class that could not be judged, named by it.

    `images` of `classes` classes were changed and looked at; `left_out` classes were not, for there were too many.
    `offered`: of the recognised pictures of all classes, those that still are after a horizontal flip; None where the
    flip is on or a class could not be judged.
    """

    changes: tuple[LabelChange, ...]
    unknown: tuple[Statistic, ...]
    classes: int
    left_out: int
    images: int
    offered: Statistic | None = None


@dataclass(frozen=True)
class Streams:
    """The views of some images over the first epochs, by what they are to the views before them of equal pixels.

    `unchanged` are the image itself: transforms that are applied with a chance leave some out. `repeated` are changed
    and have come before.
    """

    images: int
    epochs: int
    views: int
    unchanged: int
    repeated: int
    digest: str


@dataclass(frozen=True)
class Augmentation:
    """`models/augmentation.json`: the transforms, in order, what they do to labels, and a digest of what they make.

    The first `mitigating` of them are aimed at a bias that was found, and are not tested: that what they take away is
    not the class, a person said. `refused` holds the rules of the changes that turn one class into another and that
    nobody waived; no training starts while there is one.
    """

    policy: str
    side_px: int
    transforms: tuple[Transform, ...]
    digest: str
    mitigating: int = 0
    refused: tuple[str, ...] = ()
    safety: LabelSafety | None = None
    streams: Streams | None = None
    findings: tuple[Finding, ...] = ()
    report: str = "augmentation"
    schema_version: int = SCHEMA_VERSION
