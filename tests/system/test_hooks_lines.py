"""The lines for mail servers, and what a real Postfix says about them."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest

from dirbridge.config.settings import HookSettings, Settings
from dirbridge.errors import ConfigError
from dirbridge.hooks.lines import postfix_lines

ROOT = Path(__file__).parents[2]


def settings(**hook: str) -> Settings:
    return Settings.model_validate({"domains": {}, "hooks": [hook] if hook else []})


def value_of(lines: str, name: str) -> str:
    (line,) = [line for line in lines.splitlines() if line.startswith(f"{name} =")]
    return line.partition("= ")[2]


@pytest.mark.parametrize(
    ("hook", "path"),
    [
        ({"socket": "/var/spool/postfix/private/dirbridge"}, "private/dirbridge"),
        ({"socket": "/run/dirbridge/auth"}, "/run/dirbridge/auth"),
        ({"listen": "127.0.0.1:1234"}, "inet:127.0.0.1:1234"),
        ({"listen": "[::1]:1234"}, "inet:[::1]:1234"),
    ],
)
def test_the_path(hook, path):
    lines = postfix_lines(settings(type="dovecot-auth", **hook))
    assert value_of(lines, "smtpd_sasl_path") == path


@pytest.mark.parametrize("hook", [{}, {"type": "saslauthd", "socket": "/run/mux"}])
def test_no_hook_that_postfix_could_ask(hook):
    with pytest.raises(ConfigError) as caught:
        postfix_lines(settings(**hook))
    assert "[[hooks]]" in caught.value.problems[0].next


def test_the_examples_are_what_is_printed():
    hooks = tomllib.loads((ROOT / "examples/dirbridge.toml").read_text())["hooks"]
    printed = postfix_lines(Settings.model_validate({"domains": {}, "hooks": hooks}))
    assert (ROOT / "examples/postfix-main.cf").read_text() == printed


def test_the_hooks_in_the_guide_load():
    guide = (ROOT / "docs/mail-servers.md").read_text()
    blocks = [part.split("```")[0] for part in guide.split("```toml\n")[1:]]
    assert blocks
    for block in blocks:
        for hook in tomllib.loads(block)["hooks"]:
            HookSettings.model_validate(hook)


@pytest.mark.needs_postfix
def test_postfix_knows_every_line(tmp_path):
    (tmp_path / "main.cf").write_text((ROOT / "examples/postfix-main.cf").read_text())
    (tmp_path / "master.cf").write_text("")
    done = subprocess.run(
        ["postconf", "-c", tmp_path, "-n"], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert "smtpd_sasl_path = private/dirbridge" in done.stdout


def test_tickets_need_room():
    hook = {"type": "dovecot-auth", "socket": "/var/spool/postfix/private/dirbridge"}
    for sso in (True, False):
        domains = {"company.com": {"login": {"sso": sso}}}
        whole = Settings.model_validate({"domains": domains, "hooks": [hook]})
        assert ("smtpd_sasl_response_limit" in postfix_lines(whole)) is sso
