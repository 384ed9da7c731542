"""What Active Directory keeps of an account: hours, computers, password, state."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.directory import (
    account_facts,
    exchange,
    filetime,
    logon_hours,
    password_age,
    workstations,
)
from dirbridge.directory.account_state import COMPUTED, barriers
from dirbridge.directory.errors import Undecodable
from dirbridge.directory.logon_hours import LogonHours
from dirbridge.directory.password_age import PasswordExpiry
from dirbridge.model.entry import Entry
from dirbridge.model.login import Reason
from dirbridge.model.names import DirectoryId

NOW = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)  # a Sunday
HOUR = timedelta(hours=1)
# hypothesis takes its bounds without a zone and adds that of `timezones`.
FIRST, LAST = map(datetime.fromisoformat, ("1990-01-01", "2100-01-01"))
TIMES = st.datetimes(FIRST, LAST, timezones=st.just(UTC))


def hours(*allowed: int) -> LogonHours:
    return LogonHours(sum(1 << hour for hour in allowed))


class TestLogonHours:
    def test_the_first_bit_is_sunday_midnight_in_utc(self) -> None:
        read = logon_hours.decode(b"\1" + bytes(20))
        assert read.allow(datetime(2026, 11, 22, 0, 59, tzinfo=UTC))
        assert not read.allow(datetime(2026, 11, 22, 1, 0, tzinfo=UTC))
        assert not read.allow(datetime(2026, 11, 23, 0, 0, tzinfo=UTC))
        east = timezone(timedelta(hours=9))
        assert read.allow(datetime(2026, 11, 22, 9, 30, tzinfo=east))

    def test_working_hours(self) -> None:
        """Monday to Friday, 8 to 18 UTC, as the dialogue of Windows writes it."""
        weekday = bytes([0x00, 0xFF, 0x03])
        read = logon_hours.decode(bytes(3) + weekday * 5 + bytes(3))
        monday = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
        assert not read.allow(NOW)
        assert read.next_allowed(NOW) == monday
        assert read.allow(monday)
        assert read.next_allowed(monday) == monday
        assert read.allowed_until(monday) == monday.replace(hour=18)
        friday_evening = datetime(2026, 11, 27, 18, 0, tzinfo=UTC)
        assert read.next_allowed(friday_evening) == monday + timedelta(days=7)

    def test_none_and_all(self) -> None:
        nothing, everything = (logon_hours.decode(b * 21) for b in (b"\0", b"\xff"))
        assert nothing.next_allowed(NOW) is None
        assert nothing.allowed_until(NOW) == NOW
        assert everything.always
        assert everything.allowed_until(NOW) is None
        assert everything.next_allowed(NOW) == NOW

    @pytest.mark.parametrize("raw", [b"", bytes(20), bytes(22)])
    def test_no_week(self, raw: bytes) -> None:
        with pytest.raises(Undecodable):
            logon_hours.decode(raw)

    @given(st.integers(0, 2**168 - 1), TIMES)
    def test_next_is_the_first_that_is_allowed(self, bits: int, at: datetime) -> None:
        week = LogonHours(bits)
        start, end = week.next_allowed(at), week.allowed_until(at)
        if start is not None:
            assert week.allow(start)
            assert at <= start < at + timedelta(days=7)
            assert start == at or not week.allow(start - HOUR)
        if end is not None:
            assert not week.allow(end)
            assert end == at or week.allow(end - HOUR)
        assert week.allow(at) is (start == at)

    @given(st.binary(max_size=24))
    def test_garbage(self, raw: bytes) -> None:
        with contextlib.suppress(Undecodable):
            assert logon_hours.decode(raw).bits.to_bytes(21, "little") == raw


class TestWorkstations:
    def test_a_list(self) -> None:
        read = workstations.decode(b"PC1, mail.example.com,pc1,,B\xc3\xbcro")
        assert read == ("pc1", "mail.example.com", "Büro")
        assert workstations.allow(read, "PC1")
        assert workstations.allow(read, "BÜRO")
        assert not workstations.allow(read, "pc2")

    def test_an_empty_list_restricts_nothing(self) -> None:
        assert workstations.decode(b" , ") == ()
        assert workstations.allow((), "any")

    @pytest.mark.parametrize("raw", [b"\xff", b"a\0b", b"x" * 1025])
    def test_no_list(self, raw: bytes) -> None:
        with pytest.raises(Undecodable):
            workstations.decode(raw)

    @given(st.binary(max_size=40))
    def test_garbage(self, raw: bytes) -> None:
        with contextlib.suppress(Undecodable):
            read = workstations.decode(raw)
            assert workstations.decode(",".join(read)) == read


class TestPasswordAge:
    def test_last_set(self) -> None:
        assert password_age.decode_last_set(b"0") is None
        noon = datetime(2024, 2, 29, 12, tzinfo=UTC)
        assert password_age.decode_last_set(b"133536816000000000") == noon

    def test_expiry(self) -> None:
        noon = datetime(2024, 2, 29, 12, tzinfo=UTC)
        read = password_age.decode_expiry
        assert read(b"0") == PasswordExpiry(must_change=True)
        assert read(b"9223372036854775807").never
        assert read(b"133536816000000000") == PasswordExpiry(at=noon)
        assert not read(b"133536816000000000").never
        assert not read("0").never

    @pytest.mark.parametrize("raw", [b"", b"-1", b"soon", b"\xff"])
    def test_no_time(self, raw: bytes) -> None:
        for read in (password_age.decode_expiry, password_age.decode_last_set):
            with pytest.raises(Undecodable):
                read(raw)

    @given(
        st.binary(max_size=20) | st.integers(-1, 2**64).map(lambda n: str(n).encode())
    )
    def test_garbage(self, raw: bytes) -> None:
        with contextlib.suppress(Undecodable):
            read = password_age.decode_expiry(raw)
            assert read.must_change is (int(raw.decode().strip()) == 0)
        with contextlib.suppress(Undecodable):
            password_age.decode_last_set(raw)


class TestExchange:
    def test_kinds_of_recipients(self) -> None:
        shared = exchange.decode_recipient_type(b"4")
        assert (shared.name, shared.system) == ("shared mailbox", False)
        health = exchange.decode_recipient_type(b"549755813888")
        assert (health.name, health.system) == ("monitoring mailbox", True)
        assert exchange.decode_recipient_type(b"3").name == "3"

    def test_flags(self) -> None:
        assert exchange.decode_flag(b"TRUE")
        assert not exchange.decode_flag(b"FALSE")

    @given(
        st.binary(max_size=24) | st.integers(0, 2**64).map(lambda n: str(n).encode())
    )
    def test_garbage(self, raw: bytes) -> None:
        with contextlib.suppress(Undecodable):
            assert exchange.decode_recipient_type(raw).name
        with contextlib.suppress(Undecodable):
            assert exchange.decode_flag(raw) in {True, False}


def account(**attributes: bytes) -> Entry:
    values = {name.lower(): (value,) for name, value in attributes.items()}
    return Entry(DirectoryId("1"), "CN=a", values)


def at(time: datetime) -> bytes:
    return filetime.encode(time).encode()


class TestState:
    def test_the_computed_bit_wins_over_an_old_lock(self) -> None:
        yesterday = at(NOW - timedelta(days=1))
        stale = account(lockoutTime=yesterday, **{COMPUTED: b"0"})
        assert barriers(stale, NOW) == ()
        assert ("lock", "was locked on Sat 2026-11-21 12:30 UTC; that lock has run out"
                ) in account_facts.facts(stale, NOW)  # fmt: skip
        locked = account(lockoutTime=yesterday, **{COMPUTED: b"16"})
        assert barriers(locked, NOW) == (Reason.LOCKED,)
        assert ("lock", "locked since Sat 2026-11-21 12:30 UTC"
                ) in account_facts.facts(locked, NOW)  # fmt: skip
        # Where the server does not compute it, the time is all there is.
        assert barriers(account(lockoutTime=yesterday), NOW) == (Reason.LOCKED,)
        assert barriers(account(lockoutTime=b"0"), NOW) == ()

    def test_the_end_of_the_account(self) -> None:
        for raw in (b"0", b"9223372036854775807", b"x"):
            assert barriers(account(accountExpires=raw), NOW) == ()
            assert account_facts.facts(account(accountExpires=raw), NOW) == ()
        ended = account(accountExpires=at(NOW - HOUR))
        assert barriers(ended, NOW) == (Reason.EXPIRED,)
        assert account_facts.facts(ended, NOW) == (
            ("account", "ended on Sun 2026-11-22 11:30 UTC"),
        )

    def test_the_password(self) -> None:
        soon = account(
            pwdLastSet=at(NOW - timedelta(days=40)),
            **{"msDS-UserPasswordExpiryTimeComputed": at(NOW + timedelta(days=2))},
        )
        assert account_facts.facts(soon, NOW) == (
            ("password", "set on Tue 2026-10-13 12:30 UTC"),
            ("password", "expires on Tue 2026-11-24 12:30 UTC"),
        )
        must = {"pwdLastSet": b"0", "msDS-UserPasswordExpiryTimeComputed": b"0"}
        assert account_facts.facts(account(**must), NOW) == (
            ("password", "must be changed at the next login"),
        )
        entry = account(**must, **{COMPUTED: b"8388608"})
        assert barriers(entry, NOW) == (Reason.MUST_CHANGE,)
        entry = account(pwdLastSet=at(NOW), **{COMPUTED: b"8388608"})
        assert barriers(entry, NOW) == (Reason.PASSWORD_EXPIRED,)

    def test_hours(self) -> None:
        later = account(logonHours=hours(14, 15).bits.to_bytes(21, "little"))
        assert barriers(later, NOW) == (Reason.LOGON_HOURS,)
        assert account_facts.facts(later, NOW) == (
            ("logon hours", "not now; from Sun 2026-11-22 14:00 UTC on"),
        )
        now = account(logonHours=hours(12, 13).bits.to_bytes(21, "little"))
        assert barriers(now, NOW) == ()
        assert account_facts.facts(now, NOW) == (
            ("logon hours", "now, until Sun 2026-11-22 14:00 UTC"),
        )
        never = account(logonHours=bytes(21))
        assert account_facts.facts(never, NOW) == (
            ("logon hours", "no hour of the week is allowed"),
        )
        assert barriers(account(logonHours=b"short"), NOW) == ()

    def test_computers(self) -> None:
        one = account(userWorkstations=b"PC1,PC2")
        assert barriers(one, NOW) == (Reason.WORKSTATION,)
        assert account_facts.facts(one, NOW) == (("workstations", "only PC1, PC2"),)
        assert barriers(account(userWorkstations=b" "), NOW) == ()

    def test_what_exchange_says(self) -> None:
        entry = account(
            msExchRecipientTypeDetails=b"16", msExchHideFromAddressLists=b"TRUE"
        )
        assert account_facts.facts(entry, NOW) == (
            ("Exchange", "a room mailbox"),
            ("Exchange", "hidden from address lists"),
        )

    @given(
        st.sampled_from(
            ("lockoutTime", "accountExpires", "pwdLastSet", "logonHours", COMPUTED,
             "userWorkstations", "msDS-UserPasswordExpiryTimeComputed",
             "msExchRecipientTypeDetails", "msExchHideFromAddressLists")
        ),
        st.binary(max_size=22),
    )  # fmt: skip
    def test_garbage_says_nothing_and_breaks_nothing(
        self, attribute: str, raw: bytes
    ) -> None:
        entry = account(**{attribute: raw})
        barriers(entry, NOW)
        account_facts.facts(entry, NOW)
