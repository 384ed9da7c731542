"""The one error of all decoders."""

from __future__ import annotations


class Undecodable(ValueError):
    """A value is not what its syntax says.

    The text is half a sentence that follows the value's name, such as `is not a
    GUID: 15 octets instead of 16`. It never repeats the value itself.
    """


def as_text(raw: bytes | str) -> str:
    """Return the UTF-8 text of a value.

    Raises:
        Undecodable: It is not UTF-8.
    """
    if isinstance(raw, str):
        return raw
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise Undecodable(f"is not UTF-8 from octet {error.start + 1} on") from None
