"""The NT domain's name: the directory's word, a guess until then."""

from __future__ import annotations

from dirbridge.connectors.nt_domain import AGAIN, KEPT, NtDomainName
from dirbridge.errors import DirectoryError, Unreachable
from dirbridge.model.deadline import Deadline


class Directory:
    """Says a name, or fails; the clock stands still unless it is moved."""

    def __init__(self, *answers: str | DirectoryError) -> None:
        self.answers = list(answers)
        self.now = 0.0
        self.name = NtDomainName(self.ask, "GUESS", clock=lambda: self.now)

    def ask(self, _deadline: Deadline) -> str:
        answer = self.answers.pop(0)
        if isinstance(answer, DirectoryError):
            raise answer
        return answer


AWAY = Unreachable(domain="d", server="s", operation="connect", code="timeout")


def test_the_directory_is_asked_once_an_hour():
    directory = Directory("CORP", "GROUP")
    assert [directory.name(), directory.name()] == ["CORP", "CORP"]
    directory.now = KEPT
    assert directory.name() == "GROUP"


def test_an_outage_leaves_the_guess_and_is_not_waited_for_each_time():
    directory = Directory(AWAY, "CORP")
    assert [directory.name(), directory.name()] == ["GUESS", "GUESS"]
    directory.now = AGAIN
    assert directory.name() == "CORP"


def test_what_was_known_outlives_an_outage():
    directory = Directory("CORP", AWAY, "")
    assert directory.name() == "CORP"
    directory.now = KEPT
    assert directory.name() == "CORP"
    directory.now = KEPT + AGAIN
    assert directory.name() == "CORP"
    assert not directory.answers


def test_who_comes_while_another_asks_does_not_wait():
    seen = []

    def ask(_deadline: Deadline) -> str:
        seen.append(name())
        return "CORP"

    name = NtDomainName(ask, "GUESS")
    assert name() == "CORP"
    assert seen == ["GUESS"]
