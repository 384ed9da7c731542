from __future__ import annotations

from dataclasses import FrozenInstanceError, astuple, dataclass, field, replace

import pytest

from dirbridge.model.account import AccountValues
from dirbridge.model.names import DirectoryId
from dirbridge.model.quick import maker, remaker


@dataclass(frozen=True, slots=True)
class Held:
    name: str
    size: int = 1
    marks: dict[str, int] = field(default_factory=dict)
    secret: str = field(default="", repr=False)


def test_a_made_value_is_the_very_value():
    made = maker(Held)(name="anna", size=2)
    assert made == Held("anna", 2)
    assert type(made) is Held
    assert repr(made) == repr(Held("anna", 2))


def test_defaults_are_made_for_each_value():
    make = maker(Held)
    one, other = make(name="anna"), make(name="otto")
    one.marks["seen"] = 1
    assert other.marks == {}


def test_a_made_value_is_frozen_and_can_be_replaced():
    made = maker(Held)(name="anna", secret="hush")
    with pytest.raises(FrozenInstanceError):
        made.name = "otto"
    assert replace(made, name="otto") == Held("otto", secret="hush")


def test_a_field_that_must_be_given_is_asked_for():
    with pytest.raises(TypeError):
        maker(Held)(size=1)
    with pytest.raises(TypeError):
        maker(Held)(name="anna", colour="red")


def test_all_fields_in_their_order_make_the_value_again():
    value = AccountValues(directory_id=DirectoryId("1"), login_names=("anna",))
    assert remaker(AccountValues)(*astuple(value)) == value
    assert hash(remaker(AccountValues)(*astuple(value))) == hash(value)
    with pytest.raises(TypeError):
        remaker(Held)("anna", 1)
