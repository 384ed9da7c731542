"""Loading dirbridge.toml: every problem at once, with place and mend."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest

from dirbridge.config.loading import find, load, load_settings
from dirbridge.config.settings import DirectoryType, Security
from dirbridge.config.types import HostPort
from dirbridge.errors import ConfigError, Problem

EXAMPLE = Path(__file__).parents[2] / "examples" / "dirbridge.toml"

AD = """
[domains."company.com".directory]
type = "active-directory"
server = "dc1.corp.company.com"
username = "dirbridge@corp.company.com"
password = { file = "secrets/company" }
"""


def problems_of(tmp_path: Path, text: str | bytes) -> list[Problem]:
    path = tmp_path / "dirbridge.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load(path)
    return list(caught.value.problems)


def settings_of(tmp_path: Path, text: str):
    path = tmp_path / "dirbridge.toml"
    path.write_text(text)
    return load(path).settings


def only(problems: list[Problem]) -> Problem:
    assert len(problems) == 1, problems
    return problems[0]


DIRECTORY = 'dirbridge.toml: domains."company.com".directory'


DOMAIN = '[domains."company.com"]\n'


def directory(header: str, lines: str) -> str:
    """A directory's table; a key in the lines replaces the one in AD."""
    keys = {line.split(" = ")[0] for line in lines.splitlines()}
    kept = [line for line in AD.splitlines()[2:] if line.split(" = ")[0] not in keys]
    return "\n".join([header, *kept, lines, ""])


def two_directories(one: str, other: str) -> str:
    header = '[[domains."company.com".directory]]'
    return DOMAIN + directory(header, one) + directory(header, other)


def two_domains(one: str, other: str) -> str:
    return (
        DOMAIN
        + "primary = true\n"
        + directory('[domains."company.com".directory]', one)
        + directory('[domains."b.com".directory]', other)
    )


# The text of the file; code, place, a part of the sentence, a part of the mend.
ONE_PROBLEM = {
    "unknown key": (
        DOMAIN + AD + 'kerberos_relm = "X"',
        "unknown-key",
        f"{DIRECTORY}: kerberos_relm",
        'The key "kerberos_relm" is not known here.',
        "Choose one of these:",
    ),
    "unknown key with a near one": (
        DOMAIN + AD + 'backup_servr = "x"',
        "unknown-key",
        f"{DIRECTORY}: backup_servr",
        'The key "backup_servr" is not known here.',
        'Write "backup_server", if that is meant.',
    ),
    "unknown table": (
        DOMAIN + "[serv]\n",
        "unknown-key",
        "dirbridge.toml: serv",
        'The key "serv" is not known here.',
        'Write "serve", if that is meant.',
    ),
    "number in quotation marks": (
        DOMAIN + 'user_limit = "500"',
        "wrong-type",
        'dirbridge.toml: domains."company.com": user_limit',
        'user_limit = "500" must be a whole number.',
        "Write digits, unquoted.",
    ),
    "text for true": (
        DOMAIN + 'primary = "yes"',
        "wrong-type",
        'dirbridge.toml: domains."company.com": primary',
        'primary = "yes" must be true or false.',
        "Write true or false.",
    ),
    "number for text": (
        DOMAIN + "description = 7",
        "wrong-type",
        'dirbridge.toml: domains."company.com": description',
        "description = 7 must be text.",
        "Write it in quotation marks.",
    ),
    "table for a list": (
        "hooks = 3\n" + DOMAIN,
        "wrong-type",
        "dirbridge.toml: hooks",
        "hooks = 3 must be a list.",
        "Write it like",
    ),
    "share above one": (
        DOMAIN + '[domains."company.com".limits]\nshare = 30',
        "wrong-value",
        'dirbridge.toml: domains."company.com".limits: share',
        "share = 30 must be at most 1.0.",
        "Lower it.",
    ),
    "duration": (
        DOMAIN + '[serve]\ndeadline = "9 parsecs"',
        "wrong-value",
        "dirbridge.toml: serve: deadline",
        'deadline = "9 parsecs" is not a duration.',
        'Write it like "30s"',
    ),
    "duration without unit": (
        DOMAIN + "[serve]\ndeadline = 9",
        "wrong-value",
        "dirbridge.toml: serve: deadline",
        "deadline = 9 is not a duration.",
        'Write it like "30s"',
    ),
    "directory's name": (
        DOMAIN + AD + 'name = "head office"',
        "wrong-value",
        f"{DIRECTORY}: name",
        'name = "head office" is not a directory\'s name.',
        "Use 1 to 64 letters, digits, dots and hyphens.",
    ),
    "two directories of one name": (
        two_directories("", 'server = "dc.branch.com"'),
        "directory-name-twice",
        f"{DIRECTORY} #2: name",
        'Two directories of company.com are named "directory".',
        "Give this one a name of its own",
    ),
    "two directories of one name in other letters": (
        two_directories('name = "HQ"', 'name = "hq"\nserver = "dc.branch.com"'),
        "directory-name-twice",
        f"{DIRECTORY} #2: name",
        'Two directories of company.com are named "hq".',
        "Give this one a name of its own",
    ),
    "one directory in two tables": (
        two_directories("", 'name = "branch"'),
        "directory-twice",
        'dirbridge.toml: domains."company.com": directory #2',
        "Two directories of company.com read the same entries.",
        'Write another "base" or "filter" in one of them',
    ),
    "one directory in two domains": (
        two_domains("", ""),
        "directory-twice",
        'dirbridge.toml: domains."b.com": directory',
        "company.com and b.com read the same entries of one directory.",
        'or make b.com an alias: aliases = ["b.com"] in company.com.',
    ),
    "one directory by two of its servers": (
        two_domains(
            'directory_domain = "Corp.company.com"\nbase = "ou=Staff, dc=x"',
            'server = "dc2"\ndirectory_domain = "corp.company.com"\n'
            'base = "OU=staff,DC=x"',
        ),
        "directory-twice",
        'dirbridge.toml: domains."b.com": directory',
        "read the same entries of one directory.",
        "alias",
    ),
    "size": (
        DOMAIN + '[domains."company.com".mailbox]\nquota = "2 big"',
        "wrong-value",
        'dirbridge.toml: domains."company.com".mailbox: quota',
        'quota = "2 big" is not a size.',
        'Write it like "2G"',
    ),
    "mode as a number": (
        DOMAIN + '[[hooks]]\ntype = "saslauthd"\nsocket = "/s"\nmode = 0o660',
        "wrong-value",
        "dirbridge.toml: hooks #1: mode",
        "mode = 432 is not a file mode.",
        'Write it like "0660", quoted.',
    ),
    "home for everybody the same": (
        DOMAIN + '[domains."company.com".mailbox]\nhome = "/var/vmail/{domain}"',
        "wrong-value",
        'dirbridge.toml: domains."company.com".mailbox: home',
        'home = "/var/vmail/{domain}" is not a mailbox folder for everybody.',
        "{domain}/{mailbox}",
    ),
    "address": (
        DOMAIN + 'bound_ip = ["192.0.2.10", "192.0.2.256"]',
        "wrong-value",
        'dirbridge.toml: domains."company.com": bound_ip #2',
        'bound_ip = "192.0.2.256" is not an IP address.',
        'Write it like "192.0.2.10".',
    ),
    "domain name": (
        '[domains."com pany.com"]',
        "wrong-value",
        'dirbridge.toml: domains: "com pany.com"',
        '"com pany.com" is not a domain name.',
        "Use letters, digits, dots and hyphens.",
    ),
    "IDN domain": (
        '[domains."müller.de"]',
        "wrong-value",
        'dirbridge.toml: domains: "müller.de"',
        "is not ASCII.",
        'Write its ASCII form "xn--mller-kva.de".',
    ),
    "server": (
        DOMAIN + AD.replace('"dc1.corp.company.com"', '"ldaps://dc1"'),
        "wrong-value",
        f"{DIRECTORY}: server",
        'server = "ldaps://dc1" is not a server.',
        'Write it like "dc1.company.com"',
    ),
    "port": (
        DOMAIN + AD.replace('"dc1.corp.company.com"', '"dc1:70000"'),
        "wrong-value",
        f"{DIRECTORY}: server",
        "is not a server.",
        "dc1.company.com:12345",
    ),
    "base": (
        DOMAIN + AD + 'base = "Staff"',
        "wrong-value",
        f"{DIRECTORY}: base",
        'base = "Staff" is not a DN, it has no "attribute=value" at character 1.',
        "OU=Staff,DC=company,DC=com",
    ),
    "filter": (
        DOMAIN + AD + 'filter = "(a=b"',
        "wrong-value",
        f"{DIRECTORY}: filter",
        'filter = "(a=b" is not a filter, it lacks a ")" at character 5.',
        "(department=Sales)",
    ),
    "choice": (
        DOMAIN + AD + 'security = "ldap"',
        "wrong-value",
        f"{DIRECTORY}: security",
        'security = "ldap" must be "ldaps", "starttls", "sealed" or "none".',
        'Write "ldaps", if that is meant.',
    ),
    "missing key": (
        DOMAIN + AD.replace('server = "dc1.corp.company.com"\n', ""),
        "missing-key",
        f"{DIRECTORY}: server",
        'The key "server" is missing.',
        'discover = "dns"',
    ),
    "no password for a simple bind": (
        DOMAIN + AD.replace('password = { file = "secrets/company" }\n', ""),
        "missing-key",
        f"{DIRECTORY}: password",
        'The key "password" is missing; bind = "simple" needs it.',
        "{ file = ",
    ),
    "secret of two kinds": (
        DOMAIN + AD.replace('" }', '", env = "X" }'),
        "wrong-value",
        f"{DIRECTORY}: password",
        'The key "password" needs exactly one of "file", "env" and "credential".',
        "",
    ),
    "no domain": (
        "[store]\n",
        "missing-key",
        "dirbridge.toml: domains",
        'The key "domains" is missing.',
        "",
    ),
    "empty domains": (
        "[domains]\n",
        "missing-key",
        "dirbridge.toml: domains",
        "There is no domain.",
        'Add a table [domains."company.com"]',
    ),
    "two primary domains": (
        DOMAIN + 'primary = true\n[domains."b.com"]\nprimary = true',
        "two-primary-domains",
        'dirbridge.toml: domains."b.com": primary',
        "Two domains are primary: company.com and b.com.",
        "Keep primary = true in one of them only.",
    ),
    "no primary domain": (
        DOMAIN + '[domains."b.com"]',
        "no-primary-domain",
        "dirbridge.toml: domains",
        "No domain is primary.",
        'Write primary = true in one of them, such as "company.com".',
    ),
    "one domain, two spellings": (
        DOMAIN + 'primary = true\n[domains."Company.COM."]',
        "domain-twice",
        'dirbridge.toml: domains: "Company.COM."',
        '"Company.COM." and "company.com" are the same domain.',
        "Join both tables.",
    ),
    "alias that is a domain": (
        DOMAIN + 'primary = true\n[domains."b.com"]\naliases = ["company.com"]',
        "alias-twice",
        'dirbridge.toml: domains."b.com": aliases #1',
        'The alias "company.com" is a domain itself.',
        "Keep each name in one place.",
    ),
    "alias of two domains": (
        DOMAIN
        + 'primary = true\naliases = ["c.com"]\n[domains."b.com"]\naliases=["C.com"]',
        "alias-twice",
        'dirbridge.toml: domains."b.com": aliases #1',
        'The alias "c.com" is company.com\'s too.',
        "Keep each name in one place.",
    ),
    "address bound twice": (
        DOMAIN
        + 'primary = true\nbound_ip = "192.0.2.1"\n'
        + '[domains."b.com"]\nbound_ip = "::ffff:192.0.2.1"',
        "bound-ip-twice",
        'dirbridge.toml: domains."b.com": bound_ip',
        "192.0.2.1 is bound to company.com as well.",
        "Bind each address to one domain only.",
    ),
    "two IPv6 addresses": (
        DOMAIN + 'bound_ip = ["2001:db8::1", "192.0.2.1", "2001:db8::2"]',
        "bound-ip-count",
        'dirbridge.toml: domains."company.com": bound_ip',
        "company.com is bound to more than one IPv6 address.",
        "Keep one IPv4 and one IPv6 address at most.",
    ),
    "hook without address": (
        DOMAIN + '[[hooks]]\ntype = "saslauthd"',
        "hook-address",
        "dirbridge.toml: hooks #1",
        "The hook has no address to listen on.",
        'Write either socket = "/path" or listen',
    ),
    "hook with two addresses": (
        DOMAIN + '[[hooks]]\ntype = "saslauthd"\nsocket = "/s"\nlisten = "[::1]:9"',
        "hook-address",
        "dirbridge.toml: hooks #1",
        "The hook has both a socket and a listen address.",
        'Write either socket = "/path" or listen',
    ),
    "listen without port": (
        DOMAIN + '[[hooks]]\ntype = "saslauthd"\nlisten = "127.0.0.1"',
        "wrong-value",
        "dirbridge.toml: hooks #1: listen",
        'listen = "127.0.0.1" has no port.',
        'Write it like "127.0.0.1:1234".',
    ),
    "two hooks on one socket": (
        DOMAIN
        + '[[hooks]]\ntype = "saslauthd"\nsocket = "/s"\n'
        + '[[hooks]]\ntype = "dovecot-auth"\nsocket = "/s"',
        "socket-twice",
        "dirbridge.toml: hooks #2: socket",
        "/s is hook #1's as well.",
        "Give each hook a socket of its own.",
    ),
    "clear text not admitted": (
        DOMAIN + AD + 'security = "none"',
        "cleartext",
        f"{DIRECTORY}: security",
        'security = "none" sends passwords over the network in clear text.',
        "allow_cleartext_passwords = true",
    ),
    "store of another kind": (
        DOMAIN + '[store]\nurl = "mysql://host/db"',
        "wrong-value",
        "dirbridge.toml: store: url",
        'The key "url" is of a kind that is not known.',
        '"sqlite:////var/lib/dirbridge/dirbridge.db"',
    ),
    "store at a relative path": (
        DOMAIN + '[store]\nurl = "sqlite:///dirbridge.db"',
        "wrong-value",
        "dirbridge.toml: store: url",
        'The key "url" has no absolute path.',
        "(four slashes)",
    ),
    "local realm of a Mac": (
        DOMAIN + '[domains."company.com".login]\nkerberos_realm = "LKDC:SHA1.AB"',
        "wrong-value",
        'dirbridge.toml: domains."company.com".login: kerberos_realm',
        "is a Mac's local realm.",
        "Write the directory's own realm.",
    ),
    "hook of a later release": (
        DOMAIN + '[[hooks]]\ntype = "socketmap"\nsocket = "/s"',
        "not-yet",
        "dirbridge.toml: hooks #1: type",
        'type = "socketmap" is not in this release yet.',
        'Write "dovecot-auth" or "saslauthd".',
    ),
    "broken TOML": (
        DOMAIN + "primary = = true",
        "toml-syntax",
        "line 2",
        "The line is not TOML: invalid value.",
        "quotation marks",
    ),
    "TOML without end": (
        DOMAIN + 'description = "x',
        "toml-syntax",
        "line 2",
        "The line is not TOML: unterminated string.",
        "quotation marks",
    ),
    "invalid UTF-8": (
        DOMAIN.encode() + b'description = "\xff"',
        "not-utf-8",
        "line 2",
        "The file is not UTF-8.",
        "Save it as UTF-8",
    ),
}


@pytest.mark.parametrize("case", ONE_PROBLEM)
def test_one_problem(case: str, tmp_path: Path) -> None:
    text, code, where, wrong, mend = ONE_PROBLEM[case]
    problem = only(problems_of(tmp_path, text))
    assert problem.code == code
    assert problem.where.endswith(where)
    assert wrong in problem.text
    assert mend in problem.next
    assert problem.text.endswith(".")
    assert problem.next.endswith(".")


def test_servers_may_be_found_by_dns(tmp_path: Path) -> None:
    alone = AD.replace('server = "dc1.corp.company.com"', 'discover = "dns"')
    for text, servers in ((alone, 0), (AD + 'discover = "dns"\n', 1)):
        path = tmp_path / "dirbridge.toml"
        path.write_text(DOMAIN + text)
        (directory,) = load(path).settings.domains["company.com"].directory
        assert directory.discover == "dns"
        assert len(directory.servers) == servers
    problem = only(problems_of(tmp_path, DOMAIN + AD + 'discover = "wins"\n'))
    assert '"dns"' in problem.next or '"dns"' in problem.text


def test_who_gets_a_mailbox_may_be_narrowed(tmp_path: Path) -> None:
    lines = 'require_group = "CN=Mail,DC=x"\ntake = "by-address"\n'
    settings = settings_of(tmp_path, DOMAIN + AD + lines)
    (directory,) = settings.domains["company.com"].directory
    assert directory.require_group == "CN=Mail,DC=x"
    assert directory.take == "by-address"
    problem = only(problems_of(tmp_path, DOMAIN + AD + 'require_group = "Mail"\n'))
    assert problem.where == f"{DIRECTORY}: require_group"


@pytest.mark.parametrize(
    ("table", "line"),
    [
        (".mailbox", 'home = "/var/vmail/{domain}/{mailbox}"'),
        (".mailbox", "uid = 5000"),
        (".mailbox", "gid = 5000"),
        (".mailbox", 'quota = "500M"'),
        ("", "deliver_disabled = false"),
    ],
)
def test_domain_keys_of_a_later_release(table: str, line: str, tmp_path: Path) -> None:
    text = f'[domains."company.com"{table}]\n{line}'
    problem = only(problems_of(tmp_path, text))
    assert problem.code == "not-yet"
    assert problem.where.endswith(
        f'domains."company.com"{table}: {line.split(maxsplit=1)[0]}'
    )


def test_how_long_the_store_remembers(tmp_path: Path) -> None:
    path = tmp_path / "dirbridge.toml"
    path.write_text(DOMAIN)
    kept = load(path).settings.retention
    assert (kept.attempts.days, kept.changes.days) == (30, 400)
    path.write_text(DOMAIN + '[retention]\nattempts = "7d"\nchanges = "3650d"')
    kept = load(path).settings.retention
    assert (kept.attempts.days, kept.changes.days) == (7, 3650)


@pytest.mark.parametrize("line", ['attempts = "30m"', 'changes = "23h"'])
def test_nothing_is_forgotten_within_a_day(line: str, tmp_path: Path) -> None:
    problem = only(problems_of(tmp_path, DOMAIN + f"[retention]\n{line}"))
    assert problem.where == f"dirbridge.toml: retention: {line.split(maxsplit=1)[0]}"
    assert problem.next == 'Write a day at least, such as "30d".'


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.company.com/dirbridge?x=1",
        "https://[2001:db8::1]:8443/",
        "http://127.0.0.1:9000/hook",
        "http://[::1]/hook",
        "http://localhost/",
    ],
)
def test_webhooks_that_are_taken(url: str, tmp_path: Path) -> None:
    path = tmp_path / "dirbridge.toml"
    path.write_text(DOMAIN + f'[notices]\nwebhook = "{url}"')
    assert load(path).settings.notices.webhook == url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://hooks.company.com/hunter2", "in clear text"),
        ("http://127.0.0.1.company.com/hunter2", "in clear text"),
        ("ftp://company.com/hunter2", "in clear text"),
        ("https://hunter2:hunter2@company.com/", "holds a name or password"),
        ("https:///hunter2", "is not a URL"),
        ("hunter2", "is not a URL"),
        ("https://company.com:99999/hunter2", "is not a URL"),
        ("https://company.com/hunter2 x", "is not a URL"),
        ("https://[::1/hunter2", "is not a URL"),
        ("https://hooks..company.com/hunter2", "is not a URL"),
        ("https://" + "a" * 64 + ".com/hunter2", "is not a URL"),
    ],
)
def test_webhooks_that_are_not(url: str, said: str, tmp_path: Path) -> None:
    problem = only(problems_of(tmp_path, DOMAIN + f'[notices]\nwebhook = "{url}"'))
    assert problem.where == "dirbridge.toml: notices: webhook"
    assert said in problem.text
    assert "hunter2" not in problem.text + problem.next


@pytest.mark.parametrize(
    ("lines", "key"),
    [
        ('webhook_token = { env = "X" }', "webhook_token"),
        ('mail_from = "a@company.com"', "mail_from"),
        ('mail_to = "postmaster"', "mail_to"),
        ('mail_to = "grün@company.com"', "mail_to"),
        ('mail_to = ["a@company.com", "b@@"]', "mail_to #2"),
        ('mail_to = "jo..hn@docomo.ne.jp"', "mail_to"),
        ('mail_to = ["a@company.com", ".b@company.com"]', "mail_to #2"),
        ('mail_to = "b.@company.com"', "mail_to"),
        ('mail_to = "a@b.de"\nmail_from = "a..b@company.com"', "mail_from"),
        ('mail_to = "a@b.de"\nsmtp = "mail..company.com"', "smtp"),
        ("failures = 0", "failures"),
        ('smtp = "http://x"', "smtp"),
    ],
)
def test_notices_that_reach_nobody(lines: str, key: str, tmp_path: Path) -> None:
    problem = only(problems_of(tmp_path, DOMAIN + f"[notices]\n{lines}"))
    assert problem.where == f"dirbridge.toml: notices: {key}"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('base = "OU=A,DC=x"', 'base = "OU=B,DC=x"'),
        ('filter = "(o=a)"', ""),
        ('directory_domain = "a.com"', 'directory_domain = "b.com"'),
        ("", 'server = "dc1.b.com"'),
        ("", 'server = "dc1.corp.company.com:12345"'),
        ("", 'type = "ldap"'),
        ('suffix = "dc=a"\ntype = "ldap"', 'suffix = "dc=b"\ntype = "ldap"'),
    ],
)
def test_two_domains_with_entries_of_their_own(
    one: str, other: str, tmp_path: Path
) -> None:
    settings_of(tmp_path, two_domains(one, other))


def test_a_broken_name_is_not_told_as_a_double_one(tmp_path: Path) -> None:
    text = two_directories('name = "a b"', 'server = "dc.branch.com"')
    assert only(problems_of(tmp_path, text)).code == "wrong-value"


def test_directories_keep_their_names_wherever_they_stand(tmp_path: Path) -> None:
    one, other = 'name = "directory"', 'name = "Branch"\nserver = "dc.branch.com"'
    for text in (two_directories(one, other), two_directories(other, one)):
        settings = settings_of(tmp_path, text)
        by_name = {
            each.name: each.server.host
            for each in settings.domains["company.com"].directory
        }
        assert by_name == {
            "directory": "dc1.corp.company.com",
            "branch": "dc.branch.com",
        }


def test_keys_of_a_later_release_with_their_defaults(tmp_path: Path) -> None:
    text = DOMAIN + "deliver_disabled = true\n" + AD + 'take = "all"\ntls_legacy=false'
    settings_of(tmp_path, text)


def test_every_problem_at_once(tmp_path: Path) -> None:
    (tmp_path / "realms").mkdir()
    (tmp_path / "realms" / "broken.toml").write_text("kdc = 1")
    text = (
        'strange = 1\n[serve]\ndeadline = "x"\n'
        '[domains."a.com"]\nprimary = true\nbound_ip = "192.0.2.1"\n'
        '[domains."b.com"]\nprimary = true\nbound_ip = "192.0.2.1"\nuser_limit = -1\n'
    )
    found = [(each.code, each.where) for each in problems_of(tmp_path, text)]
    assert sorted(found) == sorted(
        [
            ("wrong-value", "dirbridge.toml: serve: deadline"),
            ("wrong-value", 'dirbridge.toml: domains."b.com": user_limit'),
            ("unknown-key", "dirbridge.toml: strange"),
            ("two-primary-domains", 'dirbridge.toml: domains."b.com": primary'),
            ("bound-ip-twice", 'dirbridge.toml: domains."b.com": bound_ip'),
            ("missing-key", "realms/broken.toml: name"),
            ("unknown-key", "realms/broken.toml: kdc"),
        ]
    )


def test_a_broken_key_is_not_told_as_missing_too(tmp_path: Path) -> None:
    text = '[domains."a.com"]\nprimary = "yes"\n[domains."b.com"]\n'
    assert only(problems_of(tmp_path, text)).code == "wrong-type"


@pytest.mark.parametrize(
    "line",
    [
        '[store]\nurl = "postgresql+psycopg://dirbridge:hunter2@host/db"',
        '[store]\nurl = "postgresql+psycopg://host/db?password=hunter2"',
        '[store]\nurl = "hunter2://x"',
        '[store]\npassword = "hunter2"',
        '[store]\npassword = ["hunter2"]',
        '[store]\npaswd = "hunter2"',
        AD.replace('{ file = "secrets/company" }', '"hunter2"'),
        '[store]\nurl = "hunter2',
    ],
)
def test_no_secret_is_repeated(line: str, tmp_path: Path) -> None:
    for problem in problems_of(tmp_path, DOMAIN + line):
        assert "hunter2" not in str(problem)


def test_a_password_in_the_url_says_where_it_belongs(tmp_path: Path) -> None:
    text = DOMAIN + '[store]\nurl = "postgresql+psycopg://u:p@host/db"'
    problem = only(problems_of(tmp_path, text))
    assert problem.where == "dirbridge.toml: store: url"
    assert "holds a password" in problem.text
    assert "password = { file = " in problem.next


def test_the_example_loads() -> None:
    configuration = load(EXAMPLE)
    settings = configuration.settings
    assert settings.primary == "company.com"
    company = settings.domains["company.com"]
    assert company.directory[0].type is DirectoryType.ACTIVE_DIRECTORY
    assert company.directory[0].servers[1] == HostPort("dc2.corp.company.com")
    assert company.directory[0].profile == "active-directory"
    assert settings.domains["school.example"].bound_ip == (
        ip_address("192.0.2.10"),
        ip_address("2001:db8::10"),
    )
    assert configuration.beside == EXAMPLE.parent


def test_defaults(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, DOMAIN + AD)
    domain = settings.domains["company.com"]
    assert settings.primary == "company.com"
    assert settings.store.url == "sqlite:////var/lib/dirbridge/dirbridge.db"
    assert settings.serve.deadline == timedelta(seconds=9)
    assert domain.directory[0].security is Security.LDAPS
    assert domain.limits.share == 0.1
    assert domain.login.methods is None


def test_forms_of_values(tmp_path: Path) -> None:
    text = (
        "[domains.'COMPANY.com.']\nbound_ip = '::ffff:192.0.2.1'\n"
        "[domains.'COMPANY.com.'.login]\nmethods = ['nt-domain', 'password-server']\n"
        "kerberos_realm = 'corp.company.com'\nnt_domain = 'corp'\n"
        "[[domains.'COMPANY.com.'.directory]]\n"
        "type = 'active-directory'\nserver = '[2001:db8::1]:636'\n"
        "backup_server = ['dc2:12345', '2001:db8::2']\nusername = 'u'\n"
        "password = { env = 'X' }\nca_file = 'ca.pem'\nmapping = 'mine'\n"
        "security = 'none'\nallow_cleartext_passwords = true\n"
    )
    settings = settings_of(tmp_path, text)
    domain = settings.domains["company.com"]
    directory = domain.directory[0]
    assert domain.bound_ip == (ip_address("192.0.2.1"),)
    assert domain.login.kerberos_realm == "CORP.COMPANY.COM"
    assert domain.login.nt_domain == "CORP"
    assert [str(server) for server in directory.servers] == [
        "[2001:db8::1]:636",
        "dc2:12345",
        "[2001:db8::2]",
    ]
    assert directory.ca_file == tmp_path / "ca.pem"
    assert directory.profile == "mine"


def test_where_the_file_is_looked_for(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    here = tmp_path / "dirbridge.toml"
    other = tmp_path / "other.toml"
    with pytest.raises(ConfigError) as caught:
        find(None, {})
    assert "dirbridge init" in only(list(caught.value.problems)).next
    here.write_text(DOMAIN)
    assert find(None, {}) == here
    assert find(None, {"DIRBRIDGE_CONFIG": "other.toml"}) == other
    assert (
        find(Path("named.toml"), {"DIRBRIDGE_CONFIG": "x"}) == tmp_path / "named.toml"
    )


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path / "none.toml")
    problem = only(list(caught.value.problems))
    assert problem.code == "missing-file"
    assert problem.where == str(tmp_path / "none.toml")
    assert "--config" in problem.next


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(tmp_path)
    assert only(list(caught.value.problems)).code == "unreadable-file"


def test_tables_nested_without_end(tmp_path: Path) -> None:
    assert only(problems_of(tmp_path, "a = " + "[" * 50000)).code == "toml-syntax"
