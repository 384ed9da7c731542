"""Failover: who is asked, and when one that failed is asked again."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.errors import BindRefused, DirectoryError, Unreachable, Unsupported
from dirbridge.ldap.failover import (
    ALL_DOWN_PAUSE,
    BEHIND,
    COOL_DOWN,
    HURRY,
    LONGEST_REST,
    STEADY,
    WAITING,
    Failover,
)
from dirbridge.ldap.transport import Endpoint, Unanswered
from dirbridge.model.deadline import Deadline

ONE, TWO, THREE = (Endpoint(f"dc{n}.example.com", 636) for n in (1, 2, 3))
NOW = datetime(2026, 11, 22, tzinfo=UTC)


class World:
    """Servers that are up or down, and a clock that a test turns."""

    def __init__(self, *servers: Endpoint) -> None:
        self.down: dict[Endpoint, str] = {}
        self.kind: type[DirectoryError] = Unreachable
        self.asked: list[Endpoint] = []
        self.time = 1000.0
        self.failover = Failover(
            "example.com",
            servers or (ONE, TWO),
            clock=lambda: self.time,
            now=lambda: NOW,
        )

    def call(self, server: Endpoint, _limit: Deadline) -> Endpoint:
        self.asked.append(server)
        if server in self.down:
            raise unreachable(server, self.down[server], self.kind)
        return server

    def ask(self) -> Endpoint:
        return self.failover.run(self.call, Deadline.after(9))


def unreachable(
    server: Endpoint, code: str = "timeout", kind: type[DirectoryError] = Unreachable
) -> DirectoryError:
    return kind(
        domain="example.com", server=str(server), operation="connect", code=code
    )


def test_the_primary_serves() -> None:
    world = World()
    assert [world.ask(), world.ask()] == [ONE, ONE]
    assert [state.up for state in world.failover.states()] == [True, None]


def test_an_outage_moves_on_within_the_call() -> None:
    world = World()
    world.down[ONE] = "refused"
    assert world.ask() == TWO
    assert world.asked == [ONE, TWO]
    first, second = world.failover.states()
    assert (first.up, first.error, first.since) == (False, "refused", NOW)
    assert second.up


def test_one_that_failed_rests_then_the_primary_comes_back() -> None:
    world = World()
    world.down[ONE] = "timeout"
    world.ask()
    world.time += 29
    world.asked.clear()
    assert world.ask() == TWO
    assert world.asked == [TWO]
    world.down.clear()
    world.time += 2
    assert world.ask() == ONE
    assert world.failover.states()[0].error == ""


def test_all_resting_are_tried_all_the_same_in_order() -> None:
    world = World()
    world.down = {ONE: "refused", TWO: "refused"}
    with pytest.raises(Unreachable):
        world.ask()
    world.asked.clear()
    world.down.clear()
    assert world.ask() == ONE


def test_a_refused_password_is_an_answer() -> None:
    world = World()

    def refuse(server: Endpoint, _limit: Deadline) -> None:
        world.asked.append(server)
        raise BindRefused(
            domain="example.com",
            server=str(server),
            operation="bind",
            code="credentials",
        )

    with pytest.raises(BindRefused):
        world.failover.run(refuse, Deadline.after(9))
    assert world.asked == [ONE]


def test_the_error_names_every_server_and_what_it_did() -> None:
    world = World()
    world.down = {ONE: "timeout", TWO: "refused"}
    with pytest.raises(Unreachable) as caught:
        world.ask()
    error = caught.value
    assert (error.server, error.code) == (f"{ONE}, {TWO}", "all-down")
    assert f"{ONE}: timeout" in error.detail
    assert f"{TWO}: refused" in error.detail
    world.down = {ONE: "refused", TWO: "refused"}
    with pytest.raises(Unreachable) as caught:
        world.ask()
    assert caught.value.code == "refused"


def test_each_server_gets_its_share_of_the_time() -> None:
    world = World(ONE, TWO, THREE)
    shares: list[float] = []

    def fail(server: Endpoint, limit: Deadline) -> None:
        shares.append(limit.left())
        raise unreachable(server)

    with pytest.raises(Unreachable):
        world.failover.run(fail, Deadline.after(9), each=2)
    assert shares == pytest.approx([2, 2, 9], abs=0.1)
    shares.clear()
    with pytest.raises(Unreachable):
        world.failover.run(fail, Deadline.after(3), each=2)
    assert shares == pytest.approx([1, 1.5, 3], abs=0.1)


def test_no_time_asks_nobody() -> None:
    world = World()
    with pytest.raises(Unreachable) as caught:
        world.failover.run(world.call, Deadline.after(0))
    assert caught.value.code == "timeout"
    assert not world.asked
    assert [state.up for state in world.failover.states()] == [None, None]


def test_a_server_that_had_no_time_is_not_taken_for_dead() -> None:
    world = World(ONE)
    world.down[ONE] = "timeout"
    with pytest.raises(Unreachable):
        world.failover.run(world.call, Deadline.after(0.2))
    assert world.failover.states()[0].up is None
    world.down[ONE] = "refused"
    with pytest.raises(Unreachable):
        world.failover.run(world.call, Deadline.after(0.2))
    assert world.failover.states()[0].up is False


def test_a_wait_for_another_thread_is_not_noted_against_the_server() -> None:
    world = World()
    world.down[ONE] = WAITING
    assert world.ask() == TWO
    assert [state.up for state in world.failover.states()] == [None, True]
    world.down.clear()
    assert world.ask() == ONE


def test_only_one_caller_tries_a_server_that_was_down() -> None:
    world = World()
    world.down[ONE] = "timeout"
    world.ask()
    world.time += 31
    inside, go_on = threading.Event(), threading.Event()

    def slow(server: Endpoint, limit: Deadline) -> Endpoint:
        if server == ONE:
            inside.set()
            go_on.wait(5)
        return world.call(server, limit)

    probe = threading.Thread(target=lambda: world.failover.run(slow, Deadline.after(9)))
    probe.start()
    assert inside.wait(5)
    world.asked.clear()
    assert world.ask() == TWO
    assert world.asked == [TWO]
    go_on.set()
    probe.join()


def test_while_all_are_down_one_caller_asks_and_the_others_fail_at_once() -> None:
    world = World()
    world.down = {ONE: "timeout", TWO: "timeout"}

    def slow(server: Endpoint, limit: Deadline) -> Endpoint:
        world.time += 3
        return world.call(server, limit)

    with pytest.raises(Unreachable):
        world.failover.run(slow, Deadline.after(9))
    inside, go_on = threading.Event(), threading.Event()

    def frozen(server: Endpoint, limit: Deadline) -> Endpoint:
        inside.set()
        go_on.wait(5)
        world.time += 3
        return world.call(server, limit)

    def probe() -> None:
        with pytest.raises(Unreachable):
            world.failover.run(frozen, Deadline.after(9))

    probing = threading.Thread(target=probe)
    probing.start()
    assert inside.wait(5)
    world.asked.clear()
    for _ in range(20):
        with pytest.raises(Unreachable) as caught:
            world.ask()
    assert not world.asked
    assert (caught.value.code, caught.value.server) == ("timeout", f"{ONE}, {TWO}")
    go_on.set()
    probing.join()
    # Then they rest for a short while, and the next caller asks again.
    world.asked.clear()
    world.down.clear()
    with pytest.raises(Unreachable):
        world.ask()
    world.time += ALL_DOWN_PAUSE
    assert world.ask() == ONE
    assert world.ask() == ONE
    assert world.asked == [ONE, ONE]


def test_a_server_that_comes_up_meanwhile_is_not_told_as_silent() -> None:
    world = World(ONE)
    world.down[ONE] = "refused"
    with pytest.raises(Unreachable):
        world.ask()
    world.down.clear()
    inside, go_on = threading.Event(), threading.Event()

    def slow(server: Endpoint, limit: Deadline) -> Endpoint:
        inside.set()
        go_on.wait(5)
        world.time += 1
        return world.call(server, limit)

    probe = threading.Thread(target=lambda: world.failover.run(slow, Deadline.after(9)))
    probe.start()
    assert inside.wait(5)

    class LetsTheProbeEnd:
        """The lock; as soon as the main thread leaves it, the probe succeeds."""

        def __init__(self) -> None:
            self._lock = threading.Lock()

        def __enter__(self) -> None:
            self._lock.acquire()

        def __exit__(self, *_: object) -> None:
            self._lock.release()
            if threading.current_thread() is not probe and not go_on.is_set():
                go_on.set()
                probe.join()

    world.failover._lock = LetsTheProbeEnd()  # type: ignore[assignment]
    with pytest.raises(Unreachable) as caught:
        world.ask()
    assert (caught.value.code, caught.value.server) == ("refused", str(ONE))
    assert world.ask() == ONE


def test_refused_connections_are_asked_again_at_once() -> None:
    world = World()
    world.down = {ONE: "refused", TWO: "refused"}
    for _ in range(3):
        world.asked.clear()
        with pytest.raises(Unreachable):
            world.ask()
        assert world.asked == [ONE, TWO]
    world.down.clear()
    assert world.ask() == ONE


def test_a_probe_that_breaks_lets_the_next_one_ask() -> None:
    world = World(ONE)
    world.down[ONE] = "timeout"
    with pytest.raises(Unreachable):
        world.ask()

    def broken(_server: Endpoint, _limit: Deadline) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        world.failover.run(broken, Deadline.after(9))
    world.down.clear()
    assert world.ask() == ONE


def test_a_server_named_twice_is_one() -> None:
    assert World(ONE, ONE, TWO).failover.servers == (ONE, TWO)


def test_a_replica_that_is_behind_is_passed_by_and_serves_on() -> None:
    world = World()
    world.down[ONE] = BEHIND
    assert world.ask() == TWO
    assert [state.up for state in world.failover.states()] == [None, True]
    error = unreachable(ONE, BEHIND)
    assert isinstance(error, Unreachable)
    world.failover.note_failure(ONE, error)
    world.down.clear()
    assert world.ask() == ONE
    world.down = {ONE: BEHIND, TWO: BEHIND}
    with pytest.raises(Unreachable) as caught:
        world.ask()
    assert caught.value.code == BEHIND
    assert [state.up for state in world.failover.states()] == [True, True]


def test_one_that_flaps_rests_longer_each_time() -> None:
    world = World()
    world.ask()
    rests = []
    for _ in range(6):
        world.down[ONE] = "closed"
        assert world.ask() == TWO
        failed_at = world.time
        world.down.clear()
        while world.ask() == TWO:
            world.time += 1
        rests.append(world.time - failed_at)
    assert rests[0] == COOL_DOWN
    assert rests[-1] == LONGEST_REST
    assert rests == sorted(rests)
    assert rests[2] > 1.5 * rests[1]


def test_one_that_served_steadily_again_is_forgiven() -> None:
    world = World()
    world.ask()
    for _ in range(4):
        world.down[ONE] = "closed"
        world.ask()
        failed_at = world.time
        world.down.clear()
        while world.ask() == TWO:
            world.time += 1
        assert world.time - failed_at == COOL_DOWN
        world.time += STEADY


def test_one_that_stays_down_is_asked_at_each_cool_down() -> None:
    world = World()
    world.ask()
    world.down[ONE] = "timeout"
    world.ask()
    for _ in range(10):
        world.time += COOL_DOWN
        world.asked.clear()
        assert world.ask() == TWO
        assert world.asked == [ONE, TWO]
    world.down.clear()
    world.time += COOL_DOWN
    assert world.ask() == ONE


def test_only_where_another_is_left_a_server_is_hurried() -> None:
    world = World(ONE, TWO)
    hurries: list[float] = []

    def fail(server: Endpoint, limit: Deadline) -> None:
        hurries.append(limit.soon(3).left())
        raise unreachable(server)

    with pytest.raises(Unreachable):
        world.failover.run(fail, Deadline.after(9))
    assert hurries == pytest.approx([HURRY, 3], abs=0.1)


def test_what_is_seen_of_a_server_is_kept() -> None:
    world = World()
    world.failover.note_seen(ONE, certificate_days=30, round_trip=0.01)
    world.failover.note_seen(ONE, clock_offset=-2.0)
    world.failover.note_seen(THREE, clock_offset=1.0)
    world.down[ONE] = "refused"
    world.ask()
    state, other = world.failover.states()
    seen = (state.certificate_days, state.clock_offset, state.round_trip)
    assert seen == (30, -2.0, 0.01)
    assert state.up is False
    assert other.round_trip is None


class Changing:
    """A list of servers that changes under way."""

    def __init__(self, *servers: Endpoint) -> None:
        self.servers = servers
        self.foreign: tuple[str, ...] = ()
        self.renewed = 0

    def current(
        self, deadline: Deadline, *, whole: bool = False
    ) -> tuple[Endpoint, ...]:
        return self.servers

    def renew(self) -> None:
        self.renewed += 1


def test_servers_may_come_and_go_and_keep_their_health() -> None:
    world = World()
    source = Changing(ONE, TWO)
    world.failover = Failover("example.com", source, clock=lambda: world.time)
    world.down[ONE] = "refused"
    assert world.ask() == TWO
    source.servers = (THREE, ONE)
    assert world.failover.lists(TWO)
    world.asked.clear()
    world.down[THREE] = "refused"
    world.down.pop(ONE)
    assert world.ask() == ONE
    assert world.asked == [THREE, ONE]
    assert [world.failover.lists(one) for one in (ONE, TWO, THREE)] == [
        True,
        False,
        True,
    ]
    assert [state.up for state in world.failover.states()] == [False, True]
    source.servers = ()
    world.time += COOL_DOWN
    world.down.clear()
    assert world.ask() == THREE
    assert not source.renewed


def test_when_all_are_down_others_are_looked_for() -> None:
    world = World()
    source = Changing(ONE)
    world.failover = Failover("example.com", source)
    world.down[ONE] = "refused"
    with pytest.raises(Unreachable):
        world.ask()
    assert source.renewed == 1


def test_without_any_server_nobody_is_reached() -> None:
    world = World()
    world.failover = Failover("example.com", Changing())
    for _ in range(2):
        with pytest.raises(Unreachable) as caught:
            world.ask()
        assert caught.value.code == "no-servers"
        assert caught.value.server == "of example.com"


@pytest.mark.parametrize("code", ["kdc-unreachable", "range"])
@pytest.mark.parametrize("kind", [Unreachable, Unanswered])
def test_what_is_not_the_servers_doing_takes_none_down(
    code: str, kind: type[Unreachable]
) -> None:
    world = World()
    world.down, world.kind = {ONE: code, TWO: code}, kind
    for _ in range(3):
        with pytest.raises(kind) as caught:
            world.ask()
        assert caught.value.code == code
    assert [state.up for state in world.failover.states()] == [None, None]
    world.down.clear()
    assert world.ask() == ONE


def test_a_server_that_is_back_is_not_held_back_by_its_kdc() -> None:
    world = World()
    world.down = {ONE: "refused"}
    world.ask()
    world.time += COOL_DOWN
    world.down = {ONE: "kdc-unreachable"}
    assert world.ask() == TWO
    world.down.clear()
    assert world.ask() == ONE


LACKS = (
    "no-starttls",
    "spn-unknown",
    "server-not-proven",
    "not-sealed",
    "no-rootdse",
)


@pytest.mark.parametrize("code", LACKS)
def test_what_one_server_lacks_the_next_one_may_have(code: str) -> None:
    world = World()
    world.down, world.kind = {ONE: code}, Unsupported
    assert world.ask() == TWO
    first, second = world.failover.states()
    assert (first.up, first.error, second.up) == (False, code, True)
    world.asked.clear()
    assert world.ask() == TWO
    assert world.asked == [TWO]


@pytest.mark.parametrize("code", LACKS)
def test_what_all_servers_lack_is_said_as_it_is(code: str) -> None:
    world = World()
    world.down, world.kind = {ONE: code, TWO: code}, Unsupported
    for _ in range(2):
        with pytest.raises(Unsupported) as caught:
            world.ask()
        assert (caught.value.code, caught.value.server) == (code, str(ONE))
    assert world.asked == [ONE, TWO] * 2
    # It may be the service account's set-up alone: others still find all of them.
    down = code == "no-starttls"
    assert [s.up is False for s in world.failover.states()] == [down, down]


def test_what_one_lacks_and_an_outage_of_the_other_is_told_of_both() -> None:
    world = World()

    def call(server: Endpoint, _limit: Deadline) -> None:
        if server == ONE:
            raise unreachable(server, "not-sealed", Unsupported)
        raise unreachable(server, "refused")

    with pytest.raises(Unreachable) as caught:
        world.failover.run(call, Deadline.after(9))
    assert caught.value.code == "all-down"
    assert f"{ONE}: not-sealed; {TWO}: refused" == caught.value.detail
    assert [state.up for state in world.failover.states()] == [None, False]


@pytest.mark.parametrize(
    ("kind", "code", "up"),
    [
        (BindRefused, "credentials", True),
        (Unsupported, "base-mismatch", True),
        (Unsupported, "ca-file", False),
    ],
)
def test_a_server_that_says_no_is_up(
    kind: type[DirectoryError], code: str, up: bool
) -> None:
    world = World(ONE)
    world.down[ONE] = "refused"
    with pytest.raises(Unreachable):
        world.ask()
    world.down[ONE], world.kind = code, kind
    for _ in range(2):
        with pytest.raises(kind):
            world.ask()
    assert world.failover.states()[0].up is up


@given(
    st.lists(
        st.tuples(st.sets(st.sampled_from((ONE, TWO, THREE))), st.integers(0, 40)),
        max_size=30,
    )
)
def test_somebody_who_is_up_always_answers(
    history: list[tuple[set[Endpoint], int]],
) -> None:
    world = World(ONE, TWO, THREE)
    for down, seconds in history:
        world.down = dict.fromkeys(down, "timeout")
        world.time += seconds
        world.asked.clear()
        if len(down) == 3:
            with pytest.raises(Unreachable):
                world.ask()
            assert sorted(world.asked, key=str) == [ONE, TWO, THREE]
        else:
            assert world.ask() not in down
        assert len(set(world.asked)) == len(world.asked)
