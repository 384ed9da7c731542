"""Map entries in a second process, while this one reads and decodes the next ones.

Mapping takes as long as everything else of a read. A read of which much is to be
mapped, such as the first one, starts a second interpreter for it, which gets entries
in batches and gives back portions for a `Spool`: nothing is unpacked here. It is not
forked, as that would give it our database connections and locks; it ends when its
input does, however this process ends. Where it fails, the batch that it had is mapped
here, and so is all that follows.
"""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import IO, NamedTuple

from dirbridge.mapping.rules import Mapper
from dirbridge.model.entry import Entry
from dirbridge.model.mapping import Elsewhere, Mapped, MappingResult, Unmapped
from dirbridge.model.quick import remaker
from dirbridge.sync.spool import Packed, pack_mapped, unpickled

Mapping = Callable[[Entry], MappingResult]
"""What maps one entry."""

BATCH = 500
"""Entries that are handed over at once."""

_TWO = 2
_WAIT = 10.0
"""Seconds until a second process that does not end is killed."""

_entry = remaker(Entry)


class Answer(NamedTuple):
    """What became of a batch.

    Attributes:
        size: How many entries became values.
        portion: Those, packed, as `Spool.append` takes them.
        others: What became of the others, by their place in the batch.
        notes: Per entry's DN, what mapping dropped and why.
    """

    size: int
    portion: bytes
    others: dict[int, Unmapped | Elsewhere]
    notes: list[tuple[str, str]]


def answer_to(mapping: Mapping, entries: Sequence[Entry]) -> Answer:
    """Map a batch."""
    portion: list[Packed] = []
    others: dict[int, Unmapped | Elsewhere] = {}
    notes: list[tuple[str, str]] = []
    for place, entry in enumerate(entries):
        result = mapping(entry)
        if isinstance(result, Mapped):
            portion.append(pack_mapped(result))
            notes += ((entry.dn, note) for note in result.notes)
        else:
            others[place] = result
    packed = pickle.dumps(portion, pickle.HIGHEST_PROTOCOL)
    return Answer(len(portion), packed, others, notes)


@dataclass(slots=True)
class Second:
    """A second process that maps; it has one batch at a time.

    Attributes:
        mapping: What it maps by.
        process: The process, None before the first batch and where it has failed.
    """

    mapping: Mapping
    _started: bool = False
    process: subprocess.Popen[bytes] | None = None
    _out: Sequence[Entry] = field(default_factory=list)

    def _start(self) -> None:
        """Start the process; without one, everything is mapped here."""
        self._started = True
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "dirbridge.sync.second"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # ^C is for the one who waits for it
            )
            self._send(pickle.dumps(self.mapping))
        except OSError:
            self.close()

    def exchange(self, entries: Sequence[Entry]) -> tuple[Sequence[Entry], Answer]:
        """Hand a batch over, and take what became of the one before.

        Args:
            entries: What is to be mapped; nothing to get the last answer.

        Returns:
            The batch before, and its answer.
        """
        if entries and not self._started:
            self._start()
        # Nobody has to wait for this while it has nothing to do.
        packed = pickle.dumps([_packed(each) for each in entries]) if entries else b""
        before, self._out = self._out, entries
        answer = self._answer() if before else None
        self._send(packed)
        return before, answer or answer_to(self.mapping, before)

    def close(self) -> None:
        """End the process."""
        process, self.process = self.process, None
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                _close(stream)
        try:
            process.wait(_WAIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _send(self, packed: bytes) -> None:
        try:
            if self.process is not None and self.process.stdin is not None:
                self.process.stdin.write(packed)
                self.process.stdin.flush()
        except OSError:
            self.close()

    def _answer(self) -> Answer | None:
        """Wait for the answer; None where the process has failed."""
        if self.process is None or self.process.stdout is None:
            return None
        try:
            return Answer(*unpickled(self.process.stdout))
        except (OSError, EOFError, pickle.UnpicklingError):
            self.close()
            return None


def second_for(mapping: Mapping) -> Second | None:
    """Return what maps aside where there is a processor for it.

    Args:
        mapping: What maps one entry; only a profile's rules can go to another process.
    """
    if not isinstance(mapping, Mapper) or len(os.sched_getaffinity(0)) < _TWO:
        return None
    return Second(mapping)


def _packed(entry: Entry) -> Packed:
    return (entry.id, entry.dn, dict(entry.attributes), entry.kind, entry.digest)


def _close(stream: IO[bytes]) -> None:
    try:
        stream.close()
    except OSError:  # what was not sent yet is of no use any more
        return


def main(source: IO[bytes], target: IO[bytes]) -> None:
    """Map batches until there are no more, or nobody wants to know.

    Where the one who asks ends in the middle of a batch, so does this one.
    """
    try:
        mapping: Mapping = unpickled(source)
        while True:
            entries = [_entry(*packed) for packed in unpickled(source)]
            pickle.dump(tuple(answer_to(mapping, entries)), target)
            target.flush()
    except (EOFError, pickle.UnpicklingError, BrokenPipeError):
        return


if __name__ == "__main__":
    gc.freeze()
    main(sys.stdin.buffer, sys.stdout.buffer)
    os._exit(0)  # what a broken pipe left in a buffer is not to be told
