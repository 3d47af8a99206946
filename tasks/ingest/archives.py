"""Archives are read where they lie and never unpacked; one member that is not fair refuses the whole archive."""

import re
from itertools import islice
from pathlib import Path, PurePosixPath

from tasks.contracts.errors import BadData
from tasks.ingest.members import MAX_MEMBERS, Member, broken, refuse_bad_company
from tasks.ingest.names import is_compressed_tar
from tasks.ingest.tars import tar_members
from tasks.ingest.zips import zip_members


def list_archive(path: Path) -> tuple[Member, ...]:
    """Every member of a tar or zip file, told apart by the ending, after all were checked.

    Raises BadData that names archive and member.
    """
    reader = zip_members if path.name.lower().endswith(".zip") else tar_members
    try:
        members = tuple(islice(reader(path), MAX_MEMBERS + 1))
    except OSError as error:
        raise broken(path, f"it cannot be read ({error.strerror})") from None
    refuse_bad_company(path, members)
    return members


def refuse_compressed_tar(root: Path, path: str) -> None:
    """Raise BadData for an archive whose members have no place of their own in the file."""
    if is_compressed_tar(path):
        raise BadData(
            f"{root / path} is a compressed tar, whose members cannot be read where they lie; decompress it to "
            f"{plain_name(PurePosixPath(path).name)} (`graft init --data` does so), or unpack it"
        )


def plain_name(name: str) -> str:
    """What a compressed tar is called once it is decompressed."""
    return re.sub(r"\.(tar\.\w+|t\w+)$", ".tar", name, flags=re.IGNORECASE)
