"""The manual and the program say the same."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from dirbridge.cli import output
from dirbridge.cli.main import main
from tests import schema

ROOT = Path(__file__).resolve().parents[2]
MANUAL = (ROOT / "docs/commands.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
SHARED = {"--config", "--json", "--help", "--version"}


def leaves(
    command: click.Command, words: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """All commands that can be run, with their words."""
    if not isinstance(command, click.Group):
        yield words, command
        return
    default = getattr(command, "default", None)
    if default is not None:
        yield words, default
    context = click.Context(command)
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from leaves(inner, (*words, name))


COMMANDS = dict(leaves(main))


def options(command: click.Command) -> set[str]:
    return {
        name
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for name in parameter.opts
    }


def section(words: tuple[str, ...]) -> str:
    """What the manual says of a command."""
    heading = rf"^### `dirbridge {' '.join(words)}(?: [^`]*)?`$"
    found = re.search(heading, MANUAL, re.MULTILINE)
    assert found, f"docs/commands.md has no heading for {' '.join(words)}"
    return re.split(r"^##", MANUAL[found.end() :], maxsplit=1, flags=re.MULTILINE)[0]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_each_command_has_help_and_stands_in_the_manual(
    words: tuple[str, ...],
) -> None:
    command = COMMANDS[words]
    assert command.help
    assert len(section(words)) > 40
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.opts
    text = section(words)
    missing = {o for o in options(command) - SHARED if f"`{o}" not in text}
    assert not missing


def test_the_manual_has_no_command_that_is_not_there() -> None:
    headings = re.findall(
        r"^### `dirbridge ([a-z0-9 -]+?)(?: \[?[A-Z].*)?`$", MANUAL, re.MULTILINE
    )
    assert {tuple(heading.split()) for heading in headings} == set(COMMANDS)


def test_the_manual_has_no_option_that_is_not_there() -> None:
    for words, command in COMMANDS.items():
        named = set(re.findall(r"`(--[a-z-]+)", section(words)))
        assert named <= options(command) | SHARED, words


FENCED = re.compile(r"^ *```[a-z]*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
CALL = re.compile(r"\s*(?:[#$] )?(?:/\S*/)?dirbridge ((?:[a-z]|--).*)")


def calls() -> Iterator[tuple[str, str]]:
    """Every call of dirbridge in the documentation, with its page."""
    for page in PAGES:
        text = page.read_text().replace("\\\n", " ")
        lines = [line for block in FENCED.findall(text) for line in block.splitlines()]
        spans = re.findall(r"`([^`]+)`", FENCED.sub("", text))
        for line in (*lines, *(" ".join(span.split()) for span in spans)):
            if found := CALL.match(line):
                yield page.name, found[1]


@pytest.mark.parametrize(("page", "call"), sorted(set(calls())))
def test_each_call_in_the_documentation_works(page: str, call: str) -> None:
    words = shlex.split(call.split("#", maxsplit=1)[0].rstrip(" &|;…."), posix=True)
    if words[0].startswith("--"):
        assert words[0] in SHARED
        return
    if words[0] == "COMMAND":
        return
    known = [path for path in COMMANDS if tuple(words[: len(path)]) == path]
    groups = {path[: len(words)] for path in COMMANDS}
    assert known or tuple(words) in groups, call
    for path in known and [max(known, key=len)]:
        used = {word.split("=")[0] for word in words if word.startswith("--")}
        assert used <= options(COMMANDS[path]) | SHARED, call


def test_readme_calls_are_looked_at() -> None:
    found = {call.split(" ")[0] for page, call in calls() if page == "README.md"}
    assert {"init", "check", "sync", "login", "explain", "serve", "connect"} <= found


def test_exit_codes_are_those_of_the_program() -> None:
    codes = {
        *(output.DONE, output.PROBLEMS, output.USAGE, output.STOPPED),
        *(output.UNAVAILABLE, output.STORE, output.INTERRUPTED),
    }
    rows = re.findall(r"^\| (\d+) \|", MANUAL, re.MULTILINE)
    assert {int(row) for row in rows} == codes
    readme = (ROOT / "README.md").read_text()
    (sentence,) = re.findall(r"Exit codes: (.*?)\.", readme, re.DOTALL)
    assert {int(n) for n in re.findall(r"\b(\d+) [a-z]", sentence)} == codes


def test_each_schema_stands_in_the_manual_and_each_command_has_one() -> None:
    linked = set(re.findall(r"\(json/([a-z0-9-]+\.json)\)", MANUAL))
    assert linked == {path.name for path in schema.FOLDER.glob("*.json")}
    for words, command in COMMANDS.items():
        if "--json" in options(command):
            assert f"{'-'.join(words)}.json" in linked


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target
