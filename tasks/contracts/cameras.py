"""What a camera is called, from what a file's EXIF block says of it: nothing that could name a person or one device."""

import re

_MOST_CHARACTERS = 60
_MOST_READ = 1000
_PRIVATE = re.compile(r"[0-9]{6}|@")  # some devices write a serial number or an address of their owner there


def camera_named(make: str, model: str) -> str | None:
    """Make and model on one line of at most 60 printable characters; None where both are empty.

    Words with six or more digits in a row and those with an @ are left out; the make is not said twice, as in
    "NIKON CORPORATION" and "NIKON D90".
    """
    makers, models = _words(make), _words(model)
    if makers and models and makers[0].casefold() == models[0].casefold():
        makers = []
    return " ".join([*makers, *models])[:_MOST_CHARACTERS].strip() or None


def _words(text: str) -> list[str]:
    before_end = text.partition("\0")[0][:_MOST_READ]
    printable = "".join(one if one.isprintable() else " " for one in before_end)
    return [word for word in printable.split() if not _PRIVATE.search(word)]
