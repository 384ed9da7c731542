"""The plan file: a plan that a person looks at before it is applied.

Theory. A plan file is no list of orders: what is applied is always a new plan, from a
new read, checked anew. The file only says which of the new plan's changes a person has
seen. A change counts as seen when operation, account and both fingerprints are the
same: the entry says what it said then, and the stored account is what it was then.

Leaving a change out can take from others what they need: an address that becomes free
only by it, or a place below the user limit. Those are left out as well.

The file is JSON with one change on each line, so that it can be compared, searched, and
read line by line however long it is. A person may delete lines from it.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dirbridge.errors import ConfigError, Problem, UnsafePlan
from dirbridge.model.names import fold
from dirbridge.model.plan import APPLY_ORDER, Change, Changes, Op, Plan
from dirbridge.sync.mailboxes import age

FORMAT = 1

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class PlanFile:
    """A plan file, as far as it is needed without its changes.

    Attributes:
        path: Where it lies.
        id: Its name: a hash of the changes that were written into it.
        domain: The mail domain.
        source: The directory within the domain.
        server: `host:port` that was read.
        kind: `full` or `delta`.
        base: The DN that was read below.
        rules: Fingerprint of base, filter, mapping and all else that decides how
            entries are read.
        made_at: When the plan was made (UTC), ISO 8601.
        tripped: The limits that stopped it, as the file says it.
    """

    path: Path
    id: str
    domain: str
    source: str
    server: str
    kind: str
    base: str
    rules: str
    made_at: str
    tripped: tuple[Json, ...] = ()

    def changes(self) -> Iterator[Json]:
        """Stream the changes in the file's order.

        Raises:
            ConfigError: The file cannot be read, or holds something else.
        """
        for change in _read_changes(self.path):
            if not _is_change(change):
                raise _unusable(self.path, "one of its changes has another form")
            yield change


@dataclass(frozen=True, slots=True)
class Choice:
    """What of a new plan a plan file lets pass.

    Attributes:
        plan: The plan with only these changes.
        missing: Changes of the file that are not in the plan as they were.
        held_back: Changes of the file that need one that is left out.
        waiting: How many changes of the plan are not in the file.
    """

    plan: Plan
    missing: tuple[Json, ...] = ()
    held_back: tuple[Json, ...] = ()
    waiting: int = 0


def as_json(change: Change) -> Json:
    """Return a change as plan files and `--json` show it."""
    return {
        "op": str(change.op),
        "account": change.account,
        "name": change.name,
        "before": dict(change.before),
        "after": dict(change.after),
        "entry": change.entry,
        "row": change.row,
        "why": change.why,
    }


def write(path: Path, plan: Plan, rules: str, stopped: UnsafePlan | None = None) -> str:
    """Write a plan file, whole or not at all, readable by its owner alone.

    Args:
        path: Where to; a file that is there is replaced.
        plan: The plan.
        rules: See `PlanFile.rules`.
        stopped: The limit that it trips, or None.

    Returns:
        The file's id.

    Raises:
        ConfigError: The file cannot be written.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # Never through a link that somebody laid there.
        handle = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            # Octets that were no UTF-8 became lone surrogates; JSON escapes look so.
            with os.fdopen(
                handle, "w", encoding="utf-8", errors="backslashreplace"
            ) as out:
                name = _write(out, plan, rules, stopped)
                out.flush()
                os.fsync(out.fileno())
            new.replace(path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _unwritable(path, error) from error
    return name


def _write(out: Any, plan: Plan, rules: str, stopped: UnsafePlan | None) -> str:
    head = json.dumps(_head(plan, rules, stopped), ensure_ascii=False, indent=1)
    before, after = head.split(f'"{_NO_ID}"')
    out.write(f'{before}"')
    place = out.tell()
    out.write(f'{_NO_ID}"{after.removesuffix("}").rstrip()},\n "changes": [')
    told = hashlib.blake2b(digest_size=_ID_SIZE)
    for number, change in enumerate(plan.changes):
        out.write(",\n" if number else "\n")
        out.write(json.dumps(as_json(change), ensure_ascii=False))
        told.update(_key(str(change.op), change.account, change.entry, change.row))
    out.write("\n]}\n")
    out.seek(place)
    out.write(told.hexdigest())
    return told.hexdigest()


_ID_SIZE = 8
_NO_ID = "0" * 2 * _ID_SIZE


def _head(plan: Plan, rules: str, stopped: UnsafePlan | None) -> Json:
    tripped = [] if stopped is None else list(_tripped(stopped))
    return {
        "format": FORMAT,
        "id": _NO_ID,
        "domain": plan.domain,
        "made_at": plan.made_at.isoformat(),
        "source": {
            "directory": plan.source,
            "server": plan.server,
            "kind": str(plan.kind),
            "base": plan.base,
            "rules": rules,
        },
        "limits": {"tripped": tripped},
    }


def _tripped(stopped: UnsafePlan) -> Iterator[Json]:
    for one in stopped.above:
        yield {
            "limit": one.limit,
            "where": one.where,
            "counts": dict(one.counts),
            "approval": stopped.approval or None,
        }


def load(path: Path) -> PlanFile:
    """Read a plan file without its changes.

    Raises:
        ConfigError: It cannot be read, or is no plan file of this format.
    """
    head = _read_head(path)
    source, limits = head.get("source"), head.get("limits")
    if head.get("format") != FORMAT:
        raise _unusable(path, f"its format is not {FORMAT}")
    if not isinstance(source, dict) or not isinstance(limits, dict):
        raise _unusable(path, "it says neither where it is from nor what stopped it")
    texts = {
        "id": head.get("id"),
        "domain": head.get("domain"),
        "made_at": head.get("made_at"),
        "source": source.get("directory"),
        **{name: source.get(name) for name in ("server", "kind", "base", "rules")},
    }
    wrong = [name for name, value in texts.items() if not isinstance(value, str)]
    if wrong:
        raise _unusable(path, f"it lacks {', '.join(wrong)}")
    return PlanFile(path=path, tripped=tuple(limits.get("tripped", ())), **texts)  # type: ignore[arg-type]


_CHANGES = ' "changes": ['


def _read_head(path: Path) -> Json:
    """Read what stands before the changes; all of a file that was formatted anew."""
    lines: list[str] = []
    for line in _lines(path):
        if line.rstrip("\n") == _CHANGES:
            return _parsed(path, "".join((*lines, f"{_CHANGES}]}}")))
        lines.append(line)
    return _parsed(path, "".join(lines))


def _read_changes(path: Path) -> Iterator[Any]:
    lines = _lines(path)
    whole: list[str] = []
    for line in lines:
        whole.append(line)
        if line.rstrip("\n") == _CHANGES:
            yield from _own_lines(path, lines)
            return
    changes = _parsed(path, "".join(whole)).get("changes")
    if not isinstance(changes, list):
        raise _unusable(path, "it has no changes")
    yield from changes


def _own_lines(path: Path, lines: Iterator[str]) -> Iterator[Any]:
    for line in lines:
        text = line.strip().removesuffix(",")
        if text == "]}":
            return
        if text:
            yield _value(path, text)
    raise _unusable(path, "its end is missing")


def _lines(path: Path) -> Iterator[str]:
    try:
        with path.open(encoding="utf-8") as file:
            yield from file
    except (OSError, UnicodeDecodeError) as error:
        raise _unusable(path, f"it cannot be read ({type(error).__name__})") from error


def _value(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise _unusable(path, "it is no JSON") from error


def _parsed(path: Path, text: str) -> Json:
    found = _value(path, text)
    if not isinstance(found, dict):
        raise _unusable(path, "it is no JSON object")
    return found


_TEXTS = ("op", "account", "name", "entry", "row", "why")
_OPS = frozenset(map(str, Op))


def _is_change(change: Any) -> bool:
    return (
        isinstance(change, dict)
        and all(isinstance(change.get(name), str) for name in _TEXTS)
        and all(isinstance(change.get(name), dict) for name in ("before", "after"))
        and change["op"] in _OPS
    )


def check_rules(file: PlanFile, rules: str, base: str | None = None) -> None:
    """Refuse a file whose plan was made by other rules.

    Args:
        file: The plan file.
        rules: As they are now.
        base: The base of the new plan, None where it is not read yet.

    Raises:
        ConfigError: Filter, mapping or base are others by now.
    """
    if file.rules != rules or base not in (None, file.base):
        raise _moved(file)


def choose(plan: Plan, file: PlanFile, room: int | None = None) -> Choice:
    """Keep those changes of a new plan that are in the file as they are.

    Conflicts change nothing and always stay. Where something is left out, neither
    cursor nor digests are stored: the next run looks at it again.

    Args:
        plan: The new plan.
        file: The plan file.
        room: How many more accounts the user limit lets live before the plan is
            applied, None without a limit.
    """
    seen = frozenset(_key_of(c) for c in file.changes() if c["op"] != Op.CONFLICT)
    new = {key for change, key in _keyed(plan.changes) if change.op is not Op.CONFLICT}
    possible = seen & new
    kept = _standing(plan.changes, possible, room)
    waiting = len(new) - len(possible)
    changes = Changes({op: _Part(plan, op, kept) for op in APPLY_ORDER})
    told = [c for c in _told(file) if _key_of(c) not in kept]
    if len(kept) < len(new):
        plan = replace(plan, cursor=None, remembered={})
    return Choice(
        plan=replace(plan, changes=changes),
        missing=tuple(c for c in told if _key_of(c) not in possible),
        held_back=tuple(c for c in told if _key_of(c) in possible),
        waiting=waiting,
    )


def _told(file: PlanFile) -> Iterator[Json]:
    return (change for change in file.changes() if change["op"] != Op.CONFLICT)


class _Part(Collection[Change]):
    """Those changes of one operation that are kept; none is held in memory."""

    def __init__(self, plan: Plan, op: Op, kept: Collection[bytes]) -> None:
        self._plan = plan
        self._op = op
        self._kept = kept
        self._count = sum(1 for _ in self)

    def __iter__(self) -> Iterator[Change]:
        for change, key in _keyed(self._plan.walk(self._op)):
            if change.op is Op.CONFLICT or key in self._kept:
                yield change

    def __len__(self) -> int:
        return self._count

    def __contains__(self, change: object) -> bool:
        return any(one == change for one in self)


def _standing(
    changes: Collection[Change], possible: frozenset[bytes], room: int | None
) -> frozenset[bytes]:
    """Take out what needs something that is left out, until nothing does."""
    kept = possible
    while True:
        freed = {
            name
            for change, key in _keyed(changes)
            if key not in kept and change.op is not Op.CONFLICT
            for name in _names(change.before) - _names(change.after)
        }
        needing = (
            frozenset(
                key
                for change, key in _keyed(changes)
                if key in kept and (_names(change.after) & freed)
            )
            if freed
            else frozenset[bytes]()
        )
        needing = needing or _beyond(changes, kept, room)
        if not needing:
            return kept
        kept -= needing


_HELD = ("login_names", "upn", "primary_address", "aliases", "kept_addresses")


def _names(fields: Mapping[str, Any]) -> set[tuple[bool, str]]:
    """Return the names and addresses in a change, folded; login names apart."""
    found = set()
    for field in _HELD:
        value = fields.get(field) or ()
        for name in (value,) if isinstance(value, str) else value:
            found.add((field == "login_names", fold(str(name))))
    return found


def _beyond(
    changes: Iterable[Change], kept: frozenset[bytes], room: int | None
) -> frozenset[bytes]:
    """Return the newest of those who come for whom the user limit has no room."""
    if room is None:
        return frozenset()
    coming = []
    for change, key in _keyed(changes):
        if key not in kept:
            continue
        if change.places > 0 and change.result is not None:
            coming.append((age(change.result), key))
        room -= min(0, change.places)
    over = len(coming) - max(0, room)
    return frozenset(key for _, key in heapq.nlargest(over, coming))


def _keyed(changes: Iterable[Change]) -> Iterator[tuple[Change, bytes]]:
    for change in changes:
        yield (
            change,
            _key(str(change.op), change.account, change.entry, change.row),
        )


def _key_of(change: Json) -> bytes:
    return _key(change["op"], change["account"], change["entry"], change["row"])


def _key(*parts: str) -> bytes:
    text = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).digest()


def _unusable(path: Path, why: str) -> ConfigError:
    return _error(
        "plan-file",
        path,
        f"The file is no plan that can be applied: {why}.",
        "Make it anew with `dirbridge sync --dry-run --out FILE`.",
    )


def _moved(file: PlanFile) -> ConfigError:
    return _error(
        "plan-moved",
        file.path,
        "Base, filter or mapping are others than when the plan was made; nothing was "
        "written.",
        "Make the plan anew with `dirbridge sync --dry-run --out FILE`.",
    )


def _unwritable(path: Path, error: OSError) -> ConfigError:
    return _error(
        "plan-unwritten",
        path,
        f"The plan could not be written there ({error.strerror}).",
        "Name a file in a folder that is there, and that this user may write to.",
    )


def _error(code: str, path: Path, text: str, then: str) -> ConfigError:
    return ConfigError((Problem(code, str(path), text, then),))


Only = Callable[[Plan], Plan]
"""What `SyncJob.run` takes to leave changes out of its plan."""
