"""What models cost on this machine, remembered by what decides it: the architecture and the machine, not the weights.

So two versions of one architecture have equal figures, and a retrain does not time the same network again.
"""

import hashlib
import json
from importlib import metadata
from pathlib import Path

import torch

from tasks.backbone.features import best_device
from tasks.backbone.network import TransferNet
from tasks.backbone.rows import device_kind, library_versions
from tasks.backbone.timm_zoo import PREFIX
from tasks.contracts.files import write_record
from tasks.contracts.model_records import BackboneRef
from tasks.contracts.progress import say
from tasks.evaluate.latency import LARGE, Latency, Pace, measure_latency, name_of

FOLDER = "latency"  # in the cache of a workspace
_CODE = 1  # raised when it is measured otherwise


def timed(net: TransferNet, ref: BackboneRef, cache: Path, large: int = LARGE) -> Latency:
    """As `measure_latency`, with what `cache` knows of networks that cost the same; the quickest is remembered.

    A figure of a moment when others used the machine is put right by the next model that is timed.
    """
    path = cache / FOLDER / f"{key_of(net, ref, large)}.json"
    known = _read(path)
    found = measure_latency(net, ref, large, known)
    try:
        write_record(path, found)
    except OSError as error:
        say(f"what the model costs is not remembered: {error}")
    return found


def key_of(net: TransferNet, ref: BackboneRef, large: int = LARGE) -> str:
    """The hash of all that decides what `net` costs here."""
    device = best_device()
    state = net.state_dict()
    parts = {
        "code": [_CODE, large],
        "network": [ref.network, ref.input_px, [tap.end for tap in net.backbone.taps], net.backbone.with_last],
        "layers": [[name, str(state[name].dtype), *state[name].shape] for name in sorted(state)],
        "machine": [name_of(device), device_kind(), torch.get_num_threads()],
        "versions": [*library_versions(), metadata.version("timm") if ref.network.startswith(PREFIX) else ""],
    }
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _read(path: Path) -> Latency | None:
    """What is remembered; None, and said, where the file is damaged."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        known = Latency(**{**told, "single": Pace(**told["single"]), "large": Pace(**told["large"])})
        return known if min(known.single.p50_ms, known.large.p50_ms) > 0 else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError):
        say(f"{path} is damaged; the model is timed anew")
        return None
