"""The full state of a training in one file, from which a killed run goes on to the same bytes.

Written whole or not at all, so a kill leaves the last checkpoint or the one before it. How often it is written
changes nothing in the result.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from tasks.contracts.files import replacing
from tasks.contracts.model_records import Epoch
from tasks.contracts.progress import say
from tasks.train.clock import Clock
from tasks.train.ranks import current

LAYOUT = 2  # raised when the file's layout changes; another one is not read
SECONDS_BETWEEN = 15.0
_MOST_SHARE = 0.02  # of the time that writing may take


@dataclass(frozen=True)
class Position:
    """Where a training stands: `step` batches of `epoch` are done, with the sum of their losses over `seen` images.

    `best` is the epoch (from 0) of least loss on val so far. `at_once` images go through the network at a time; 0 is
    the whole batch. `group_weights` are those of group DRO.
    """

    epoch: int = 0
    step: int = 0
    loss: float = 0.0
    seen: int = 0
    history: tuple[Epoch, ...] = ()
    best: int = 0
    at_once: int = 0
    group_weights: tuple[float, ...] = ()


@dataclass
class Run:
    """The live state of one training: all that a checkpoint must hold."""

    module: nn.Module
    average: nn.Module | None
    optimizer: torch.optim.Optimizer
    best: dict[str, Tensor]
    position: Position


Watch = Callable[[Position], None]  # told of every step and of every epoch (`step` is 0 then); may raise to stop


class Checkpoint:
    """The checkpoint of one training in a file; `key` says what decides the result, and another's is never read.

    `watch` is told where the training stands. What it raises leaves the training, and the last checkpoint in its file.
    With infinite `seconds_between` nothing is written, at the end neither: for trainings shorter than a write.
    """

    def __init__(
        self, path: Path, key: dict[str, Any], seconds_between: float = SECONDS_BETWEEN, watch: Watch | None = None
    ) -> None:
        self.path = path
        self._watch = watch
        self._key = hashlib.sha256(json.dumps([LAYOUT, torch.__version__, key], sort_keys=True).encode()).hexdigest()
        self._seconds_between = seconds_between
        self._started, self._before = time.monotonic(), 0.0
        self._next = time.monotonic() + seconds_between

    @property
    def seconds(self) -> float:
        """Wall time of this training so far; of runs that were killed, until their last write."""
        return self._before + time.monotonic() - self._started

    def restore(self, run: Run) -> None:
        """Bring a run that has just started to where the file left it; without a file of this key it stays.

        A damaged file is removed, and said.
        """
        try:
            with safe_open(self.path, "pt") as stored:
                facts = stored.metadata() or {}
                if facts.get("key") != self._key:
                    say(f"{self.path} is of other data, params or versions; training starts anew")
                    return
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - no mapping
        except FileNotFoundError:
            return
        except (SafetensorError, OSError):
            tensors, facts = {}, {}
        if facts.get("content") != _content(tensors):
            say(f"{self.path} is damaged; training starts anew")
            self.path.unlink(missing_ok=True)
            return
        _fill(run, tensors)
        run.position = _position(json.loads(facts["position"]))
        self._before = float(facts["seconds"])
        say(f"going on from epoch {run.position.epoch + 1}, batch {run.position.step + 1}")

    def write_if_due(self, run: Run, clock: Clock) -> None:
        """Write where the last one is old enough for the time that writing takes; then tell who watches."""
        if time.monotonic() >= self._next:
            self.write(run, clock)
        if self._watch:
            self._watch(run.position)

    def write(self, run: Run, clock: Clock) -> None:
        """Write the state of now.

        Of several processes only the first writes. Raises OSError where the disk is full; the last one then stays.
        """
        if math.isinf(self._seconds_between) or not current().is_first:
            return
        started = time.monotonic()
        with clock.of("write"), replacing(self.path) as part:
            tensors = {name: value.detach().cpu().contiguous() for name, value in _tensors(run)}
            facts = {"key": self._key, "position": json.dumps(asdict(run.position)), "content": _content(tensors)}
            facts["seconds"] = repr(self.seconds)
            save_file(tensors, part, facts)
        ended = time.monotonic()
        self._next = ended + max(self._seconds_between, (ended - started) / _MOST_SHARE * bool(self._seconds_between))


def _tensors(run: Run) -> list[tuple[str, Tensor]]:
    """Every tensor of the live state by name; of a module whose weights are shared, once."""
    named = [(f"module.{name}", value) for name, value in run.module.state_dict().items()]
    if run.average is not None:
        named += [(f"average.{name}", value) for name, value in run.average.state_dict().items()]
    named += [(f"best.{name}", value.clone()) for name, value in run.best.items()]
    for number, parameter in enumerate(_optimized(run)):
        named += [(f"optimizer.{number}.{key}", value) for key, value in run.optimizer.state[parameter].items()]
    return named


def _fill(run: Run, tensors: dict[str, Tensor]) -> None:
    def of(prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

    run.module.load_state_dict(of("module."))
    if run.average is not None:
        run.average.load_state_dict(of("average."))
    device = next(run.module.parameters()).device
    run.best = {name: value.to(device) for name, value in of("best.").items()}
    for number, parameter in enumerate(_optimized(run)):
        if state := of(f"optimizer.{number}."):
            run.optimizer.state[parameter] = {key: value.to(parameter.device) for key, value in state.items()}


def _optimized(run: Run) -> list[nn.Parameter]:
    return [parameter for group in run.optimizer.param_groups for parameter in group["params"]]


def _position(data: dict[str, Any]) -> Position:
    history = tuple(Epoch(**{field.name: epoch[field.name] for field in fields(Epoch)}) for epoch in data["history"])
    return Position(**{**data, "history": history, "group_weights": tuple(data["group_weights"])})


def _content(tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
