"""The notification blocks that `operate.notify` names: found on the server, found fit for it, and tried."""

from difflib import get_close_matches
from typing import Any
from uuid import UUID

import httpx
from prefect.blocks.abstract import NotificationBlock, NotificationError
from prefect.blocks.core import Block
from prefect.client.orchestration import PrefectClient
from prefect.exceptions import ObjectNotFound

from flows.logs import MASK, masked
from tasks.contracts.errors import one_line
from tasks.contracts.params import OperateParams

_CAPABILITY = "notify"
_WHERE = "make it on the server's page under Blocks, then `graft deploy`"


async def fit_blocks(client: PrefectClient, params: OperateParams) -> dict[str, UUID]:
    """The ids of those of `operate.notify` that the server has and that can tell people something."""
    found = {name: await _block(client, name) for name in params.notify}
    return {name: block.id for name, block in found.items() if block is not None and _tells(block)}


async def unfit_blocks(client: PrefectClient, params: OperateParams) -> list[str]:
    """A line for each of `operate.notify` that the server cannot use: what is wrong, and what to do."""
    lines = []
    for name in params.notify:
        block = await _block(client, name)
        if block is None:
            lines.append(f"operate.notify: {name}: {await _why_missing(client, name)}")
        elif not _tells(block):
            lines.append(f"operate.notify: {name} is no notification block; name one of those under Notifications")
    return lines


async def send_test(client: PrefectClient, name: str, subject: str, body: str) -> str:
    """Send a message through a block, from this machine; returns why it failed, without secrets, or nothing."""
    import prefect.blocks.notifications  # noqa: F401  (registers the types that ship with Prefect)

    try:
        block: Any = await Block.aload(name, client=client)
    except (ValueError, KeyError, RuntimeError) as error:
        return f"the block cannot be used as it is ({type(error).__name__})"
    if not isinstance(block, NotificationBlock):
        return "it is no notification block"
    try:
        with block.raise_on_failure():
            await block.notify(body, subject)
    except NotificationError as error:
        return _clean(block, error.log) or "it was not taken"
    except httpx.HTTPStatusError as error:  # its text holds the whole address, which is often the secret
        return f"the answer was {error.response.status_code} {error.response.reason_phrase}".rstrip()
    except httpx.HTTPError as error:
        return _clean(block, f"{type(error).__name__}: {error}")
    except (ValueError, httpx.InvalidURL) as error:  # an address that Prefect or httpx refuses, in full
        return _clean(block, f"the address is refused: {error}")
    return ""


async def _block(client: PrefectClient, name: str) -> Any:
    kind, _, own = name.partition("/")
    try:
        return await client.read_block_document_by_name(own, kind, include_secrets=False)
    except ObjectNotFound:
        return None


def _tells(block: Any) -> bool:
    return _CAPABILITY in (block.block_schema.capabilities if block.block_schema else ())


async def _why_missing(client: PrefectClient, name: str) -> str:
    kind, _, _own = name.partition("/")
    kinds = {one.slug for one in await client.read_block_types()}
    if kind not in kinds:
        near = get_close_matches(kind, kinds, n=1, cutoff=0.4)
        return f"the server knows no blocks of the type {kind}" + (f"; did you mean {near[0]}?" if near else "")
    there = [str(one.name) for one in await client.read_block_documents_by_type(kind, include_secrets=False)]
    known = f" (of this type it has {', '.join(sorted(there))})" if there else ""
    return f"the server has no such block{known}; {_WHERE}"


def _clean(block: Block, text: str) -> str:
    """In one line, without what the block keeps secret."""
    for value in vars(block).values():
        secret = value.get_secret_value() if hasattr(value, "get_secret_value") else None
        for part in secret.values() if isinstance(secret, dict) else [secret]:
            for form in (str(part), repr(str(part))[1:-1]) if part else ():
                text = text.replace(form, MASK)
    return masked(one_line(text))
