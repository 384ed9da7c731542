"""Mapping in a second process gives what mapping here gives, whatever happens to it."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from types import MappingProxyType

import pytest

from dirbridge.connectors.memory import MemoryConnector
from dirbridge.mapping.profile import load_profile
from dirbridge.mapping.rules import Context, Mapper
from dirbridge.model.entry import Entry, EntryKind
from dirbridge.model.mapping import Elsewhere, Mapped, MappingResult
from dirbridge.model.names import DirectoryId, DomainName
from dirbridge.store.memory import MemoryStore
from dirbridge.sync.reading import MANY, Reader, Told
from dirbridge.sync.second import BATCH, Second, answer_to, main, second_for
from dirbridge.sync.spool import mapped_spool, pick

DOMAIN = DomainName("example.org")
MAPPER = Mapper(load_profile("open-directory"), Context(DOMAIN, frozenset({DOMAIN})))
OF_TWO = replace(
    Context(DOMAIN, frozenset({DOMAIN, DomainName("example.net")})),
    own=frozenset({DOMAIN}),
)


def person(number: int, **more: bytes) -> Entry:
    uid = f"u{number}"
    attributes = {
        "uid": (uid.encode(),),
        "mail": (f"{uid}@example.org".encode(), f"{uid}@example.com".encode()),
        "createtimestamp": (b"20260301120000Z",),
        **{name: (value,) for name, value in more.items()},
    }
    dn = f"uid={uid},cn=users,dc=od,dc=example,dc=com"
    digest = number.to_bytes(16, "big")
    return Entry(DirectoryId(f"ID-{number}"), dn, attributes, digest=digest)


def group(number: int) -> Entry:
    attributes = {"cn": (b"team",), "memberuid": (b"u1", b"u2")}
    dn = f"cn=team{number},cn=groups,dc=od,dc=example,dc=com"
    return Entry(DirectoryId(f"G-{number}"), dn, attributes, EntryKind.GROUP)


def nameless(number: int) -> Entry:
    return replace(person(number), attributes={"sn": (b"Nameless",)})


SOME = [person(1), nameless(2), group(3), person(4, mail=b"broken")]


def unpacked(size: int, portion: bytes) -> list[Mapped]:
    spool = mapped_spool()
    spool.append(size, portion)
    return list(spool)


def test_a_batch_is_answered_as_each_entry_is_mapped():
    answer = answer_to(MAPPER, SOME)
    results = [MAPPER(entry) for entry in SOME]
    mapped = [one for one in results if isinstance(one, Mapped)]
    assert unpacked(answer.size, answer.portion) == mapped
    assert answer.others == {1: results[1]}
    assert answer.notes == [
        (entry.dn, note)
        for entry, one in zip(SOME, results, strict=True)
        if isinstance(one, Mapped)
        for note in one.notes
    ]
    assert answer.notes


@pytest.fixture
def second() -> Iterator[Second]:
    made = second_for(MAPPER) or Second(MAPPER)
    yield made
    made.close()


def test_the_second_process_answers_each_batch_when_it_gets_the_next(second: Second):
    assert second.exchange(SOME) == ([], answer_to(MAPPER, []))
    first = second.process
    assert first is not None
    assert second.exchange([person(5)]) == (SOME, answer_to(MAPPER, SOME))
    assert second.exchange([]) == ([person(5)], answer_to(MAPPER, [person(5)]))
    assert second.process is first
    second.close()
    assert first.returncode == 0


def test_the_attributes_may_be_any_mapping(second: Second):
    entry = replace(person(1), attributes=MappingProxyType(person(1).attributes))
    second.exchange([entry])
    assert second.exchange([])[1] == answer_to(MAPPER, [person(1)])


def test_what_a_killed_process_had_is_mapped_here(second: Second):
    second.exchange(SOME)
    assert second.process is not None
    second.process.kill()
    second.process.wait()
    assert second.exchange([person(5)]) == (SOME, answer_to(MAPPER, SOME))
    assert second.process is None
    assert second.exchange([]) == ([person(5)], answer_to(MAPPER, [person(5)]))


def test_where_no_process_can_be_started_everything_is_mapped_here(
    second: Second, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    second.exchange(SOME)
    assert second.process is None
    assert second.exchange([])[1] == answer_to(MAPPER, SOME)


def test_an_end_in_the_middle_of_work_waits_for_nobody(second: Second):
    second.exchange([person(number) for number in range(2000)])
    process = second.process
    second.close()
    assert process is not None
    assert process.poll() is not None


def test_it_ends_with_its_input():
    argv = [sys.executable, "-P", "-m", "dirbridge.sync.second"]
    packed = pickle.dumps(MAPPER)
    for some in (b"", packed[:100], packed, packed + pickle.dumps(["x" * 99])[:50]):
        done = subprocess.run(argv, input=some, capture_output=True, check=True)
        assert (done.stdout, done.stderr) == (b"", b"")


def test_it_ends_where_nobody_reads_its_answers():
    source = io.BytesIO(
        pickle.dumps(MAPPER)
        + pickle.dumps([(e.id, e.dn, e.attributes, e.kind, e.digest) for e in SOME])
    )
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb", buffering=0) as target:
        main(source, target)
    assert source.read() == b""


def test_rules_mean_the_same_in_another_process():
    by_address = Mapper(load_profile("open-directory"), OF_TWO)
    again = pickle.loads(pickle.dumps(by_address))
    entry = person(1, mail=b"u1@example.net")
    assert isinstance(again(entry), Elsewhere)
    assert again(entry) == by_address(entry)


def test_only_a_profile_s_rules_are_taken_aside():
    assert second_for(partial(MAPPER)) is None


def everything(entries: list[Entry], mapping: Callable[[Entry], MappingResult]) -> Told:
    reader = Reader(
        connector=MemoryConnector(entries),
        domain=DOMAIN,
        mapping=mapping,
        source="directory",
        views=MemoryStore().view,
        waiting=frozenset(),
        progress=lambda _phase, _done, _total: None,
    )
    return reader.everything(None, knows=False)


def mixed(number: int) -> Entry:
    if number % 700 == 0:
        return nameless(number)
    if number % 900 == 0:
        return person(number, mail=b"x@example.net")
    return group(number) if number % 300 == 0 else person(number)


@pytest.mark.parametrize("more", [0, 1, BATCH - 1, BATCH, 2 * BATCH + 7])
def test_a_long_read_yields_the_same_wherever_it_is_mapped(more: int):
    entries = [mixed(number) for number in range(1, MANY + more + 1)]
    by_address = Mapper(load_profile("open-directory"), OF_TWO)
    aside = everything(entries, by_address)
    here = everything(entries, partial(by_address))
    assert list(aside.read.mapped) == list(here.read.mapped)
    assert replace(aside.read, mapped=()) == replace(here.read, mapped=())
    assert (aside.notes, aside.ids) == (here.notes, here.ids)
    places = range(0, len(here.read.mapped), 333)
    assert list(pick(aside.read.mapped, places)) == list(pick(here.read.mapped, places))
    assert aside.read.unmapped
    assert aside.read.outside
