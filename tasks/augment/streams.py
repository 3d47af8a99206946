"""Whether the random streams of samples and epochs give new pictures, and a digest of what they give."""

import hashlib
from collections.abc import Sequence
from itertools import product

from tasks.augment.policy import Policy, seed_for
from tasks.augment.records import Streams, Transform
from tasks.contracts.prepared import Pixels
from tasks.contracts.records import Finding, Statistic
from tasks.contracts.transforms import ALLOWED, ONE_OF, ends

EPOCHS = 6
IMAGES = 24
MOST_REPEATED = 0.1  # of the views


def follow(policy: Policy, images: Sequence[Pixels], sha256s: Sequence[str], seed: int) -> Streams:
    """The views of `images` (side, side, 3) with their content hashes over the first EPOCHS, compared byte for byte.

    Two images of equal pixels (a picture saved twice) have streams of their own, and are compared with each other too.
    """
    joined = hashlib.sha256()
    seen: dict[bytes, set[bytes]] = {}
    unchanged = repeated = 0
    for (image, sha256), epoch in product(zip(images, sha256s, strict=True), range(EPOCHS)):
        original, view = _digest(image), _digest(policy(image, seed_for(seed, epoch, sha256)))
        joined.update(view)
        before = seen.setdefault(original, set())
        unchanged += view == original
        repeated += view != original and view in before
        before.add(view)
    return Streams(len(images), EPOCHS, len(images) * EPOCHS, unchanged, repeated, joined.hexdigest())


def is_continuous(transforms: Sequence[Transform]) -> bool:
    """Whether a policy draws a number from a range, so that two draws all but never give the same picture."""
    flat = [one for given in transforms for one in (given["of"] if given["transform"] == ONE_OF else (given,))]
    return any(_varies(one) for one in flat)


def stream_findings(streams: Streams, transforms: Sequence[Transform]) -> list[Finding]:
    """Says that many views came twice although the policy draws from ranges; of a few mirrors nothing else can come.

    A few are to be expected beside a mirror: the views that only it has changed.
    """
    if streams.repeated <= MOST_REPEATED * streams.views or not is_continuous(transforms):
        return []
    share = Statistic("repeated_views", streams.repeated / streams.views, streams.views, estimator="byte for byte")
    message = (
        f"{streams.repeated} of {streams.views} augmented views of {streams.images} images in {streams.epochs} epochs "
        "are the same as an earlier one"
    )
    remedy = "raise p of the changes that draw from a range; pictures of one colour repeat whatever is done"
    return [Finding("repeated_views", "info", "augmentation", share, message, remedy)]


def _varies(transform: Transform) -> bool:
    known = ALLOWED[transform["transform"]]
    ranges = [ends(known[key], value) for key, value in transform.items() if key in known]
    return any(low < high for low, high in ranges)


def _digest(image: Pixels) -> bytes:
    return hashlib.sha256(image.tobytes()).digest()
