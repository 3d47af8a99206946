"""A pre-trained backbone as a small file: weights in half precision, batch-norm statistics in full, and a card."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tasks.contracts.files import replacing

_HEADER_LENGTH = 8  # bytes in front of a safetensors header
_COUNTER = "num_batches_tracked"  # of no use once training is over


@dataclass(frozen=True)
class Saved:
    """What was written."""

    parameters: int
    bytes: int
    sha256: str


def restate_norms(module: nn.Module, batches: Iterable[Tensor]) -> None:
    """Estimate batch-norm statistics anew, in float32, as the mean over batches; the module ends in evaluation mode.

    Averaged weights never saw a batch: the statistics that were averaged with them are those of other weights.
    """
    norms = [part for part in module.modules() if isinstance(part, _BatchNorm)]
    usual = [norm.momentum for norm in norms]
    module.train()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's way to ask for a plain mean
    with torch.no_grad():
        for batch in batches if norms else ():
            module(batch)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
    module.eval()


def save_weights(network: nn.Module, path: Path, header: dict[str, object]) -> Saved:
    """Write a network without its head; equal weights give equal bytes.

    What belongs to a batch norm stays float32: small variances are no half-precision numbers.
    """
    exact = {name for name, part in network.named_modules() if isinstance(part, _BatchNorm)}
    tensors = {
        name: (value.half() if value.is_floating_point() and name.rpartition(".")[0] not in exact else value)
        .cpu()
        .contiguous()
        for name, value in network.state_dict().items()
        if not name.endswith(_COUNTER)
    }
    content = _ordered(save(tensors, {key: json.dumps(value) for key, value in header.items()}))
    with replacing(path) as part:
        part.write_bytes(content)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Saved(parameters, len(content), hashlib.sha256(content).hexdigest())


def _ordered(content: bytes) -> bytes:
    """The library writes its header in a random order, which would give equal weights unequal hashes."""
    end = _HEADER_LENGTH + int.from_bytes(content[:_HEADER_LENGTH], "little")
    header = json.dumps(json.loads(content[_HEADER_LENGTH:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % _HEADER_LENGTH)
    return len(header).to_bytes(_HEADER_LENGTH, "little") + header + content[end:]
