"""Keys and signatures: ed25519, so that who holds the private key alone can make a ledger that passes for signed."""

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from tasks.audit.ledger import alone
from tasks.audit.verifier import AUDITS, SIGNATURE, SIGNED, Verdict, canonical, check_chain
from tasks.contracts.errors import BadUsage, BrokenArtifact
from tasks.contracts.files import replacing
from tasks.contracts.workspace import Workspace


def make_keys(path: Path) -> Path:
    """Write a private key, which its owner alone may read, and beside it the public one; return the public one's place.

    Raises BadUsage where a file is there already, or where git could take the private key with it.
    """
    public = path.with_name(f"{path.name}.pub")
    folder = path.resolve().parent
    if any((above / ".git").exists() for above in (folder, *folder.parents)):
        raise BadUsage(f"{path} lies in a git repository, where it could be committed; keep it outside")
    if path.exists() or public.exists():
        raise BadUsage(f"{path} or {public} is there already; a key is never overwritten")
    key = Ed25519PrivateKey.generate()
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return public


def sign(ws: Workspace, key: Path) -> str:
    """Sign the ledger as it stands and return the receipt of what was signed.

    Raises BadUsage without a usable key or an entry, BrokenArtifact where the ledger is broken.
    """
    private, audits = _load(key), ws.root / AUDITS
    with alone(ws):
        found = Verdict()
        check_chain(audits, found)
        if not found.heads:
            raise BadUsage(f"{ws.root} has nothing to sign; make an audit with `graft audit`")
        if found.problems:
            raise BrokenArtifact(f"{found.problems[0]}; a broken ledger is not signed")
        number, head = len(found.heads), found.heads[-1]
        record = {
            "algorithm": "ed25519",
            "number": number,
            "head": head,
            "public_key": private.public_key().public_bytes_raw().hex(),
            "signature": private.sign(SIGNED.format(number, head).encode()).hex(),
        }
        with replacing(audits / SIGNATURE) as part:
            part.write_bytes(canonical(record) + b"\n")
    return f"{number}:{head}"


def _load(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise BadUsage(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadUsage(f"{path} is no private key in PEM without a password; `graft audit keygen` makes one") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadUsage(f"{path} is no ed25519 key; `graft audit keygen` makes one")
    return key
