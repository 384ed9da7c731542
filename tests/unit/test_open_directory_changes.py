"""Change numbers, cookies and times of OpenLDAP; the rest is tested on real servers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.connectors import change_numbers as numbers
from dirbridge.connectors import open_directory_changes as changes
from dirbridge.ldap.session import RawEntry

ONE = "20261122131723.090876Z#000000#001#000000"
TWO = "20261122131724.000001Z#000000#00a#000000"


def test_numbers_are_kept_by_server() -> None:
    assert numbers.parsed([TWO, ONE]) == {"001": ONE, "00a": TWO}
    assert numbers.written({"00a": TWO, "001": ONE}) == f"{ONE};{TWO}"
    assert numbers.cookie({"001": ONE}) == f"rid=000,csn={ONE}".encode()


@pytest.mark.parametrize("broken", ["", "20261122", ONE.upper() + " ", "csn"])
def test_one_broken_number_makes_all_worthless(broken: str) -> None:
    assert numbers.parsed([ONE, broken]) == {}


@pytest.mark.parametrize(
    ("cookie", "found"),
    [
        (f"rid=000,csn={ONE}", {"001": ONE}),
        (f"rid=000,sid=00a,csn={ONE};{TWO}", {"001": ONE, "00a": TWO}),
        (f"rid=000,csn={ONE},delcsn={TWO}", {"001": ONE}),
        ("rid=000", {}),
        ("", {}),
    ],
)
def test_a_cookie_names_the_numbers(cookie: str, found: dict[str, str]) -> None:
    assert numbers.csns_in(cookie.encode()) == found


@given(st.binary(max_size=80))
def test_any_cookie_can_be_looked_at(cookie: bytes) -> None:
    assert isinstance(numbers.csns_in(cookie), dict)


def test_the_overlap_is_taken_off_in_the_same_form() -> None:
    assert numbers.earlier(ONE) == "20261122131223.000000Z#000000#000#000000"
    assert numbers.earlier("20261122130200Z") == "20261122125700Z"
    assert numbers.earlier("nonsense") == "nonsense"


def test_what_is_older_than_the_overlap_need_not_be_remembered() -> None:
    server = "ds.example.com:636"
    times = ("20261122120000Z", "20261122130000Z", "20261122130100Z")
    keys = [
        RawEntry(
            f"uid={number}",
            {"nsuniqueid": (b"%d" % number,), "modifytimestamp": (time.encode(),)},
        )
        for number, time in enumerate(times)
    ]
    state = changes._times_state("nsUniqueId", "modifyTimestamp", "", keys, server)
    assert state["newest"] == times[-1]
    assert state["server"] == server
    assert len(state["seen"].split()) == 2
