"""Checks the audits of a graft workspace with Python's standard library alone, for those who do not trust graft.

`python verifier.py FOLDER [--head RECEIPT] [--key PUBLIC.pem]`: FOLDER is the workspace, as cloned. Exit 0: nothing
that is here is wrong. Exit 5: each problem is a line. A line of the ledger follows from its document and pins the line
before it, so no byte can change alone; the receipt or the signature pins the last line.
"""

import argparse
import base64
import gzip
import hashlib
import json
import os
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

AUDITS, LEDGER, SIGNATURE = "reports/audits", "ledger.jsonl", "ledger.sig"
NOTHING, SIGNED = "0" * 64, "graft audit ledger\n{}:{}\n"  # what the first entry follows; what a signature is over
P, ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493  # ed25519, RFC 8032
D, BASE = -121665 * pow(121666, -1, P) % P, (4 * pow(5, -1, P) % P).to_bytes(32, "little")
DER = bytes.fromhex("302a300506032b6570032100")  # what a PEM file says before the 32 bytes of such a key
MALFORMED = (OSError, EOFError, ValueError, LookupError, TypeError, AttributeError, RecursionError, zlib.error)


@dataclass
class Verdict:
    """The entries, the hash of each line, what is wrong, and what is not here and so was not looked at."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)


def sha256(data: bytes) -> str:
    """The hex digest."""
    return hashlib.sha256(data).hexdigest()


def canonical(record: Any) -> bytes:
    """The one way to write a record in a line: ASCII, keys in order."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def line_of(document: dict[str, Any], digest: str) -> bytes:
    """The ledger's line about a document whose bytes have this hash."""
    name = f"{document['entry']['number']:04}-{digest[:12]}.json"
    return canonical({**document["entry"], "document": name, "sha256": digest})


def marks(raw: Path) -> Iterator[tuple[str, str, str]]:
    """Each file below a folder, the hash of its bytes, and one of name and bytes, which tells nobody the name."""
    for folder, _, names in os.walk(raw):
        for path in (Path(folder, name) for name in names if not (name[0] == "." and name.endswith(".part"))):
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            place = path.relative_to(raw).as_posix()
            yield place, content, sha256(os.fsencode(place) + b"\0" + content.encode())


def check(root: Path, head: str | None = None, key: Path | None = None) -> Verdict:
    """Everything in the workspace that its audits pin; a receipt and a public key's file where they are given."""
    found, audits = Verdict(), root / AUDITS
    check_chain(audits, found)
    if head is not None and head not in {f"{number}:{digest}" for number, digest in enumerate(found.heads, 1)}:
        problem = f"has not the entry {head.partition(':')[0]} of the receipt; it was cut or rewritten"
        found.problems.append(f"{LEDGER}: {problem}")
    if key is not None or (audits / SIGNATURE).is_file():
        _check_signature(audits / SIGNATURE, found, key)
    if latest := [entry for entry in found.entries if entry["kind"] == "audit"][-1:]:
        _check_data(root, latest[0], found)
    return found


def check_chain(audits: Path, found: Verdict) -> None:
    """The ledger, each document and list that it pins, and that nothing else lies in the folder."""
    data = (audits / LEDGER).read_bytes() if (audits / LEDGER).is_file() else b""
    if not data.endswith(b"\n"):
        found.problems.append(f"{LEDGER}: the last line is cut short" if data else f"{LEDGER}: is missing or empty")
    known = {LEDGER, SIGNATURE}
    for line in data.split(b"\n")[:-1]:
        follows = found.heads[-1] if found.heads else NOTHING
        found.heads.append(sha256(line))
        where = f"{LEDGER} line {len(found.heads)}:"
        try:
            entry = json.loads(line)
            files = {entry["document"]: entry["sha256"], **entry.get("lists", {})}
            known |= set(files)
            if entry["previous"] != follows or (entry["number"] != len(found.heads) and not found.problems):
                found.problems.append(f"{where} entry {entry['number']} does not follow here; cut, added or swapped")
            found.entries.append({**entry, "kind": str(entry["kind"])})
            _check_entry(audits, line, entry, files)
        except MALFORMED as error:
            found.problems.append(f"{where} {error}")
    found.problems += [f"{AUDITS}/{p.name}: no entry names it" for p in sorted(audits.glob("*")) if p.name not in known]


def _check_entry(audits: Path, line: bytes, entry: dict[str, Any], files: dict[str, str]) -> None:
    for name, digest in files.items():
        data = (audits / name).read_bytes() if "/" not in name and (audits / name).is_file() else b""
        if sha256(data) != digest:
            raise ValueError(f"{name} {'has other bytes than were entered' if data else 'is missing or empty'}")
        if name == entry["document"] and line_of(json.loads(data), digest) != line:
            raise ValueError(f"does not say what {name} says")
        if name.startswith("samples") and sha256(gzip.decompress(data)) != entry["root_sha256"]:
            raise ValueError(f"the root hash is not that of {name}")


def _check_data(root: Path, entry: dict[str, Any], found: Verdict) -> None:
    """The files that the latest audit rests on, as far as they are here."""
    audit, raw = f"audit {entry['number']}", root / "data/raw"
    try:
        artifacts = json.loads((root / AUDITS / entry["document"]).read_bytes())["subject"]["artifacts"]
        (files,) = (name for name in entry["lists"] if name.startswith("files"))
        listed = set(gzip.decompress((root / AUDITS / files).read_bytes()).decode().split() if raw.is_dir() else ())
        for place, digest in artifacts.items():
            if place.startswith("/") or ".." in place.split("/") or not (root / place).is_file():
                found.absent.append(place)
            elif sha256((root / place).read_bytes()) != digest:
                found.problems.append(f"{place}: has other bytes than {audit} rests on")
        seen = {place: mark for place, _, mark in marks(raw)}
    except MALFORMED as error:
        found.problems.append(f"what {audit} rests on cannot be read ({type(error).__name__})")
        return
    found.absent += [] if raw.is_dir() else ["data/raw"]
    other = sorted(place for place, mark in seen.items() if mark not in listed)
    found.problems += [f"data/raw/{place}: changed or added since {audit}" for place in other]
    gone = len(listed.difference(seen.values())) - len(other)
    found.problems += [f"data/raw: files of {audit} that are gone: {gone}"] if gone > 0 else []


def public_key(pem: bytes) -> bytes:
    """The 32 bytes in a PEM file. Raises ValueError where it holds no ed25519 public key."""
    der = base64.b64decode(b"".join(line for line in pem.split(b"\n") if line[:1] != b"-"), validate=True)
    if b"BEGIN PUBLIC KEY" not in pem or der[:-32] != DER:
        raise ValueError("the given key is no ed25519 public key in PEM")
    return der[-32:]


def _check_signature(path: Path, found: Verdict, key: Path | None) -> None:
    try:
        said = json.loads(data := path.read_bytes())
        signer, number, head = bytes.fromhex(said["public_key"]), said["number"], said["head"]
        whole = canonical({**said, "algorithm": "ed25519"}) + b"\n" == data and len(said) == 5
        if not (whole and is_signed(signer, SIGNED.format(number, head).encode(), bytes.fromhex(said["signature"]))):
            raise ValueError("is no valid signature")
        if key is not None and signer != public_key(key.read_bytes()):
            raise ValueError("is by another key")
        if found.heads[number - 1 : number] != [head] or (key is not None and number != len(found.heads)):
            raise ValueError(f"ends at an entry {number} that is not the last here: cut, rewritten, or not signed yet")
    except MALFORMED as error:
        found.problems.append(f"{SIGNATURE}: {error}")


def is_signed(public: bytes, text: bytes, signature: bytes) -> bool:
    """Whether an ed25519 signature over `text` is valid."""
    s, a, r = int.from_bytes(signature[32:], "little"), _point(public), _point(signature[:32])
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + text).digest(), "little") % ORDER
    return len(signature) == 64 and s < ORDER and _times(s, _point(BASE)) == _add(r, _times(h, a))


def _point(data: bytes) -> tuple[int, int]:
    y, odd = int.from_bytes(data, "little") % 2**255, data[31] >> 7
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if (x * x - square) % P == 0 else x * pow(2, (P - 1) // 4, P) % P
    if y >= P or len(data) != 32 or (x * x - square) % P or (x == 0 and odd):
        raise ValueError("is no valid signature")
    return (x if x % 2 == odd else P - x), y


def _add(p: tuple[int, int], q: tuple[int, int]) -> tuple[int, int]:
    t = D * p[0] * p[1] * q[0] * q[1]
    return (p[0] * q[1] + p[1] * q[0]) * pow(1 + t, -1, P) % P, (p[1] * q[1] + p[0] * q[0]) * pow(1 - t, -1, P) % P


def _times(n: int, p: tuple[int, int]) -> tuple[int, int]:
    return _add(_times(n // 2, _add(p, p)), p if n % 2 else (0, 1)) if n else (0, 1)


def main(argv: list[str] | None = None) -> int:
    """The command line: every problem, then what is not here, then the head."""
    parser = argparse.ArgumentParser(description="Checks the audits of a graft workspace.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--head", metavar="RECEIPT", help="NUMBER:SHA256, as an audit printed it")
    parser.add_argument("--key", type=Path, metavar="PUBLIC.pem", help="whose signature the ledger must bear")
    given = parser.parse_args(argv)
    found = check(given.folder, given.head, given.key)
    lines = [*(f"wrong: {one}" for one in found.problems), *(f"not here: {one}" for one in found.absent)]
    for line in [*lines, f"{len(found.heads)} entries, the last {len(found.heads)}:{[NOTHING, *found.heads][-1]}"]:
        sys.stdout.write("".join(c if c.isprintable() else "?" for c in line) + "\n")
    return 5 if found.problems else 0


if __name__ == "__main__":
    sys.exit(main())
