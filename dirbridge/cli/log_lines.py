"""The log of `serve`: lines on standard error, none ever mixed with another one.

Several processes may write to one pipe. The kernel keeps apart what is written at once
and is no longer than `PIPE_BUF` (pipe(7)): so lines are written whole, several at once
if they fit, and what is longer is cut.
"""

from __future__ import annotations

import logging
import os
import select
import sys
from collections.abc import Iterator

from dirbridge.errors import harmless

_MOST_OCTETS = select.PIPE_BUF
_CUT = "…\n".encode()


def write_lines(lines: str) -> None:
    """Write lines of the log.

    Args:
        lines: Text; each line ends with a line feed.

    Raises:
        OSError: They cannot be written.
    """
    for octets in _pieces(lines.encode("utf-8", "backslashreplace")):
        os.write(sys.stderr.fileno(), octets)


def _pieces(octets: bytes) -> Iterator[bytes]:
    """Yield whole lines, as many at once as may be."""
    piece = b""
    for line in octets.splitlines(keepends=True):
        if len(piece) + len(line) > _MOST_OCTETS and piece:
            yield piece
            piece = b""
        piece += _cut(line)
    if piece:
        yield piece


def _cut(line: bytes) -> bytes:
    if len(line) <= _MOST_OCTETS:
        return line
    # A letter that is cut in two would be none.
    kept = line[: _MOST_OCTETS - len(_CUT)].decode("utf-8", "ignore")
    return kept.encode() + _CUT


class LogLines(logging.Handler):
    """Writes one line for each event; the journal adds the time by itself.

    It is one line whatever is in it: whoever writes a second one lets it lie.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write an event, unless that is impossible."""
        try:
            write_lines(harmless(self.format(record), _MOST_OCTETS) + "\n")
        except OSError:
            self.handleError(record)


def log_to_stderr() -> None:
    """Log what is worth a line for an admin."""
    log = logging.getLogger("dirbridge")
    log.addHandler(LogLines())
    log.setLevel(logging.INFO)
