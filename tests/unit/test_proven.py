"""For how long it is believed who bound with a password."""

from __future__ import annotations

from dirbridge.authenticators.proven import BELIEVED, LookedAt, Proven
from dirbridge.model.secret import Secret


def test_who_was_let_in_is_believed_for_a_moment() -> None:
    now = [100.0]
    looked_at = LookedAt(lambda: now[0])
    digest = Proven().digest("uid=anna", Secret("right"))
    assert not looked_at.has(digest, "one")
    looked_at.note(digest, "one", looked_at.now())
    now[0] += BELIEVED / 2
    assert looked_at.has(digest, "one")
    assert not looked_at.has(digest, "another")
    now[0] += BELIEVED / 2
    assert not looked_at.has(digest, "one")


def test_another_password_or_name_is_looked_at_anew() -> None:
    proven, looked_at = Proven(), LookedAt()
    right = proven.digest("uid=anna", Secret("right"))
    looked_at.note(right, "one", looked_at.now())
    assert looked_at.has(right, "one")
    for name, password in (("uid=anna", "other"), ("uid=ann", "aright")):
        assert not looked_at.has(proven.digest(name, Secret(password)), "one")


def test_only_so_many_are_remembered() -> None:
    proven, looked_at = Proven(), LookedAt(limit=2)
    digests = [proven.digest("uid=anna", Secret(str(one))) for one in range(3)]
    for digest in digests:
        looked_at.note(digest, "one", looked_at.now())
    assert [looked_at.has(digest, "one") for digest in digests] == [False, False, True]
