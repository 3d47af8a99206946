"""Work on a remote tried again where its failure may pass by itself, and at once given up where a person has to act.

What may pass is a connection that broke or was refused, a time limit, a server that says that it is busy or ill. What
does not is a refused key, a bucket or repository that is not there, a full disk, data that are wrong.
"""

import errno
import random
import re
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from tasks.contracts.errors import one_line
from tasks.contracts.progress import say

T = TypeVar("T")
TRIES = 3
FIRST_PAUSE_S = 1.0  # twice as long each time; at random half of it or more, so that many machines do not come at once

_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})  # statuses of HTTP
_ERRNOS = frozenset({errno.EAGAIN, errno.ETIMEDOUT, errno.ESTALE, errno.ENETUNREACH, errno.EHOSTUNREACH})
# by name, as the drivers of most kinds of remotes are not installed: builtins and requests, aiohttp, botocore, httpx
_PASSING = frozenset(
    {"ConnectionError", "TimeoutError", "ClientConnectionError", "ClientPayloadError", "HTTPClientError"}
    | {"TransportError"}
)
_LASTING = frozenset({"SSLCertVerificationError", "ClientSSLError", "SSLError", "CertificateError"})
_GIT_PASSING = re.compile(
    r"timed out|connection (refused|reset|closed)|could not resolve host|hung up unexpectedly|early EOF|RPC failed"
    r"|network is unreachable|temporary failure|returned error: (408|429|5\d\d)",
    re.IGNORECASE,
)
_GIT_LASTING = re.compile(
    r"authentication failed|permission denied|access denied|rejected|not found|could not read username|certificate"
    r"|does not appear to be a git repository|returned error: 4(?!08|29)\d\d",
    re.IGNORECASE,
)
_RANDOM = random.SystemRandom()


def may_pass(error: BaseException) -> bool:
    """Whether the same work may succeed a moment later, judged by the error or what it came from."""
    return next((said for one in _causes(error) if (said := _judged(one)) is not None), False)


def git_may_pass(error: BaseException) -> bool:
    """The same by git's words, in English: its exit codes do not tell."""
    return bool(_GIT_PASSING.search(str(error))) and not _GIT_LASTING.search(str(error))


def tried(what: str, work: Callable[[], T], passing: Callable[[BaseException], bool] = may_pass) -> T:
    """What `work` gives, which is done up to `TRIES` times while what it fails of is `passing`. Each failure is said.

    Raises what the last try raised. `work` must be such that a part of it may be done twice.
    """
    for number in range(1, TRIES):
        try:
            return work()
        except Exception as error:
            if not passing(error):
                raise
            seconds = FIRST_PAUSE_S * 2 ** (number - 1) * _RANDOM.uniform(0.5, 1)
            said = one_line(str(error)) or type(error).__name__
            say(f"{what}: {said}; try {number + 1} of {TRIES} in {seconds:.1f} s")
            time.sleep(seconds)
    return work()


def _judged(error: BaseException) -> bool | None:
    """Whether it may pass; None where this error alone does not tell."""
    if (status := _status(error)) is not None:
        return status in _BUSY
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & _LASTING or isinstance(
        error, FileNotFoundError | FileExistsError | PermissionError | NotADirectoryError
    ):
        return False
    if names & _PASSING:
        return True
    return error.errno in _ERRNOS if isinstance(error, OSError) and error.errno else None


def _status(error: BaseException) -> int | None:
    """The status of HTTP that an error bears: aiohttp's own, that of an answer, or botocore's."""
    answer = getattr(error, "response", None)
    if isinstance(answer, dict):
        found = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        found = getattr(error, "status", None) or getattr(answer, "status_code", None)
    return found if isinstance(found, int) else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, what it was raised from, and so on; an error that comes back ends it."""
    seen: set[int] = set()
    following: BaseException | None = error
    while following is not None and id(following) not in seen:
        seen.add(id(following))
        yield following
        following = following.__cause__ or following.__context__
