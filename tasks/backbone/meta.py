"""A network that has shapes and no numbers: what is found out by tracing it costs no arithmetic and no memory."""

import copy
from typing import Any

from torch import nn


def without_numbers(module: nn.Module) -> nn.Module:
    """A copy of `module` on the meta device; its numbers are not copied on the way, as `deepcopy` alone would."""
    copies: dict[int, Any] = {id(one): one.to("meta") for one in module.buffers()}
    copies |= {id(one): nn.Parameter(one.detach().to("meta"), one.requires_grad) for one in module.parameters()}
    return copy.deepcopy(module, copies)
