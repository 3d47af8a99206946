"""A door for those who push: a signed POST has the watch look at once. It says nothing and takes no orders.

The signature is that of GitHub's webhooks: `X-Hub-Signature-256: sha256=` and the HMAC-SHA256 of the body in hex. A
request names no path and no data, so one that is repeated does no more than one more look.
"""

import hashlib
import hmac
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tasks.contracts.errors import BadEnvironment, BadUsage

SIGNATURE = "X-Hub-Signature-256"
MOST_BYTES = 65536
LEAST_SECRET = 16  # characters
_SECONDS_TO_SPEAK = 10.0
_MOST_AT_ONCE = 16
_BURST, _EACH_SECONDS = 20, 1.0  # signed or not: so many at once, then one in so many seconds

Look = Callable[[str], None]


def secret_of(variable: str | None) -> bytes:
    """The secret that an environment variable holds. Raises BadUsage where there is none worth the name."""
    if not variable:
        raise BadUsage("--listen needs --secret-env NAME, the environment variable that holds the webhook's secret")
    secret = os.environ.get(variable, "")
    if len(secret) < LEAST_SECRET:
        raise BadUsage(f"{variable} holds {len(secret)} characters; a secret has {LEAST_SECRET} or more")
    return secret.encode()


def sign(body: bytes, secret: bytes) -> str:
    """What the signature header of a body must hold."""
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


class Allowance:
    """A token bucket: how many requests may be answered, whoever sends them."""

    def __init__(self, burst: int, each_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst, self._each, self._clock = burst, each_seconds, clock
        self._left, self._at = float(burst), clock()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Whether one more is allowed now."""
        with self._lock:
            now = self._clock()
            self._left = min(self._burst, self._left + (now - self._at) / self._each)
            self._at = now
            if self._left < 1:
                return False
            self._left -= 1
            return True


@contextmanager
def serving(place: tuple[str, int], secret: bytes, look: Look) -> Iterator[str]:
    """Answer at `place` (host, port; 0: any free one) in the background; gives the address.

    Raises BadEnvironment where the place cannot be had.
    """
    try:
        server = _Server(place, _handler(secret, look, Allowance(_BURST, _EACH_SECONDS)))
    except OSError as error:
        raise BadEnvironment(f"cannot listen on {place[0]}:{place[1]} ({error.strerror or error})") from None
    thread = threading.Thread(target=server.serve_forever, name="webhook", daemon=True)
    thread.start()
    try:
        yield f"http://{place[0]}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    """A thread for each request, and so many of them at most: who only connects takes none from the others."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, place: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._places = threading.BoundedSemaphore(_MOST_AT_ONCE)
        super().__init__(place, handler)

    def process_request(self, request: object, client_address: object) -> None:
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)  # type: ignore[arg-type]
        else:
            self.shutdown_request(request)  # type: ignore[arg-type]

    def process_request_thread(self, request: object, client_address: object) -> None:
        try:
            super().process_request_thread(request, client_address)  # type: ignore[arg-type]
        finally:
            self._places.release()

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever breaks off a connection is no news, and no traceback."""


def _handler(secret: bytes, look: Look, allowance: Allowance) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _SECONDS_TO_SPEAK
        server_version, sys_version = "graft", ""

        def do_POST(self) -> None:
            self._answer(self._judge())

        def _judge(self) -> HTTPStatus:
            if not allowance.take():
                return HTTPStatus.TOO_MANY_REQUESTS
            length = self.headers.get("Content-Length", "")
            if not (length.isascii() and length.isdigit()):
                return HTTPStatus.LENGTH_REQUIRED
            if len(length) > 12 or int(length) > MOST_BYTES:
                return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            body = _all_of(self, int(length))
            given = self.headers.get(SIGNATURE, "").encode(errors="replace")
            if body is None or not hmac.compare_digest(given, sign(body, secret).encode()):
                return HTTPStatus.UNAUTHORIZED
            look("a signed request came in")
            return HTTPStatus.ACCEPTED

        def _answer(self, status: HTTPStatus) -> None:
            self.close_connection = True
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.send_header("Connection", "close")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing that a stranger sends reaches the terminal."""

    return Handler


def _all_of(request: BaseHTTPRequestHandler, length: int) -> bytes | None:
    """The body; None where it does not come whole within the time, however slowly its bytes drop in."""
    end, body = time.monotonic() + _SECONDS_TO_SPEAK, b""
    while len(body) < length:
        piece = request.rfile.read1(length - len(body))  # type: ignore[attr-defined]
        if not piece or time.monotonic() > end:
            return None
        body += piece
    return body
