"""A loopback server of weights files, and the embedded backbone that every machine has."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.backbone.catalog import Entry, find_entry
from tasks.backbone.network import Backbone
from tasks.backbone.weights import open_entry
from tasks.contracts.model_records import BackboneRef


@dataclass
class Served:
    """What the server has: bytes by path, the answers it forces instead, and the paths it was asked for."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    status: int = 200
    cut_after: int | None = None
    asked: list[str] = field(default_factory=list)

    def path_of(self, entry: Entry) -> str:
        return f"/models/{entry.file.name}"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other on small tensors take ten times as long on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def server() -> Iterator[Served]:
    served = Served()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(self.path)
            content = served.files.get(self.path)
            if content is None or served.status != 200:
                self.send_error(404 if content is None else served.status)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: served.cut_after])

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        served.address = f"http://127.0.0.1:{httpd.server_address[1]}"
        yield served
        httpd.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The weights folder, of this test alone; downloads are allowed."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("GRAFT_WEIGHTS_MIRROR", raising=False)
    monkeypatch.delenv("GRAFT_OFFLINE", raising=False)
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def offer(server: Served, folder: Path) -> Callable[..., Entry]:
    """Make an entry of torchvision's whose published file is `content`, named by its hash and served."""

    def make(content: bytes, network: str = "shufflenet_v2_x0_5") -> Entry:
        name = f"{network}-{hashlib.sha256(content).hexdigest()[:8]}.pth"
        served = f"/models/{name}"
        server.files[served] = content
        return replace(find_entry(network, folder), file=folder / name, url=server.address + served)

    return make


@pytest.fixture
def embedded(folder: Path) -> tuple[Backbone, BackboneRef]:
    return open_entry(find_entry("formula_resnet18", folder), prepared_px=48)


@pytest.fixture
def pictures() -> Callable[..., tuple[np.ndarray, list[str]]]:
    """Make random images and their content hashes."""

    def make(count: int, side_px: int = 48, seed: int = 0) -> tuple[np.ndarray, list[str]]:
        pixels = np.random.default_rng(seed).integers(0, 256, (count, side_px, side_px, 3), dtype=np.uint8)
        return pixels, [hashlib.sha256(image.tobytes()).hexdigest() for image in pixels]

    return make
