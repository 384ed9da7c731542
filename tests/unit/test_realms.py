"""Realm files, and the one krb5.conf that is made of them."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from dirbridge.config.krb5_conf import (
    install,
    needs_tickets,
    realm_of_directory,
    realms_in_use,
    render,
)
from dirbridge.config.loading import Configuration, load, load_realms
from dirbridge.errors import ConfigError

EXAMPLES = Path(__file__).parents[2] / "examples"

HEAD = '[domains."company.com".directory]\nusername = "u"\npassword = { env = "X" }\n'
AD = HEAD + 'type = "active-directory"\nserver = "dc1.corp.company.com"\n'
OD = HEAD + 'type = "open-directory-kerberos"\n'


def configured(tmp_path: Path, text: str, **realms: str) -> Configuration:
    (tmp_path / "realms").mkdir(exist_ok=True)
    for name, content in realms.items():
        (tmp_path / "realms" / f"{name}.toml").write_text(content)
    path = tmp_path / "dirbridge.toml"
    path.write_text(text)
    return load(path)


def test_the_example_is_what_is_written() -> None:
    text = render(realms_in_use(load(EXAMPLES / "dirbridge.toml")))
    assert text == (EXAMPLES / "krb5.conf").read_text()


def test_shipped_realms_load() -> None:
    assert set(load_realms()) >= {"CORP.COMPANY.COM", "MAIL1.COMPANY.COM"}


def test_active_directory_without_a_realm_file(tmp_path: Path) -> None:
    text = AD + (
        'directory_domain = "ad.company.org"\nbackup_server = ["dc2:636", "10.0.0.2"]\n'
    )
    (realm,) = realms_in_use(configured(tmp_path, text))
    assert realm.name == "AD.COMPANY.ORG"
    assert [str(kdc) for kdc in realm.kdcs] == [
        "dc1.corp.company.com:88",
        "dc2:88",
        "10.0.0.2:88",
    ]
    assert realm.domain_realm == (".ad.company.org", "ad.company.org")
    assert realm.domains == ("company.com",)
    assert realm.keytab is None


def test_active_directory_named_as_the_mail_domain(tmp_path: Path) -> None:
    (realm,) = realms_in_use(configured(tmp_path, AD))
    assert realm.name == "COMPANY.COM"


def test_open_directory_is_named_after_its_server(tmp_path: Path) -> None:
    (realm,) = realms_in_use(configured(tmp_path, OD + 'server = "Mail1.company.com"'))
    assert realm.name == "MAIL1.COMPANY.COM"


def test_open_directory_by_address(tmp_path: Path) -> None:
    text = OD + 'server = "10.0.0.1:636"\nsuffix = "dc=od,dc=company,dc=com"'
    (realm,) = realms_in_use(configured(tmp_path, text))
    assert realm.name == "OD.COMPANY.COM"
    assert realms_in_use(configured(tmp_path, OD + 'server = "10.0.0.1"')) == ()


def test_a_realm_file_describes_it_further(tmp_path: Path) -> None:
    mine = (
        'name = "other.realm"\nkdcs = ["kdc1:8888", "[2001:db8::1]"]\n'
        'domain_realm = [".x.org"]\nkeytab = { file = "k" }\nservice = "smtp/mx.x"\n'
    )
    text = AD + '[domains."company.com".login]\nkerberos_realm = "Other.Realm"\n'
    configuration = configured(tmp_path, text, mine=mine)
    (realm,) = realms_in_use(configuration)
    assert realm.service == "smtp/mx.x"
    assert realm.keytab is not None
    assert realm.keytab.file == tmp_path / "realms" / "k"
    rendered = render((realm,))
    assert "default_realm = OTHER.REALM\n" in rendered
    assert "kdc = kdc1:8888\n        kdc = [2001:db8::1]:88\n" in rendered
    assert rendered.endswith("[domain_realm]\n    .x.org = OTHER.REALM\n")


def test_a_realm_that_is_named_is_there_to_switch_to(tmp_path: Path) -> None:
    """`accounts switch --method kerberos` works beside other methods then."""
    login = AD + '[domains."company.com".login]\nmethods = ["ldap-bind"]\n'
    assert realms_in_use(configured(tmp_path, login)) == ()
    login += 'kerberos_realm = "Named.org"\n'
    (realm,) = realms_in_use(configured(tmp_path, login))
    assert realm.name == "NAMED.ORG"


def test_libkrb5_asks_no_dns_for_kdcs(tmp_path: Path) -> None:
    text = "\n".join(
        'discover = "dns"' if line.startswith("server") else line
        for line in AD.splitlines()
    )
    (realm,) = realms_in_use(configured(tmp_path, text + "\n"))
    assert realm.kdcs == ()
    assert "dns_lookup_kdc = false\n" in render((realm,))


def test_a_local_file_wins_over_a_shipped_one(tmp_path: Path) -> None:
    text = AD + 'directory_domain = "corp.company.com"'
    same_realm = 'name = "CORP.company.com"\nkdcs = ["mine"]'
    (realm,) = realms_in_use(configured(tmp_path, text, anything=same_realm))
    assert [str(kdc) for kdc in realm.kdcs] == ["mine:88"]
    same_file = {"corp.company.com": 'name = "X.ORG"'}
    assert "CORP.COMPANY.COM" not in load_realms_beside(tmp_path / "b", same_file)


def load_realms_beside(folder: Path, files: dict[str, str]):
    (folder / "realms").mkdir(parents=True)
    for name, content in files.items():
        (folder / "realms" / f"{name}.toml").write_text(content)
    return load_realms(folder)


@pytest.mark.parametrize(
    ("files", "code", "where", "mend"),
    [
        (
            {"a": 'name = "X.ORG"', "b": 'name = "x.org"'},
            "realm-twice",
            "realms/b.toml: name",
            "Keep one of the two files.",
        ),
        (
            {"a": 'name = "LKDC:SHA1"'},
            "wrong-value",
            "realms/a.toml: name",
            "Write the directory's own realm.",
        ),
        (
            {"a": 'name = "X"\nservice = "smtp"'},
            "wrong-value",
            "realms/a.toml: service",
            'Write it like "smtp/mail.company.com".',
        ),
        (
            {"a": 'name = "X"\nkdcs = ["a b"]'},
            "wrong-value",
            "realms/a.toml: kdcs #1",
            "Write it like",
        ),
        (
            {"a": 'name = "X"\ndomain_realm = ["x = {"]'},
            "wrong-value",
            "realms/a.toml: domain_realm #1",
            'Write it like ".corp.company.com".',
        ),
        (
            {"a": 'name = "X"\nkeytab = { env = "K" }'},
            "wrong-value",
            "realms/a.toml: keytab",
            "{ file = ",
        ),
        ({"a": "kdcs = []"}, "missing-key", "realms/a.toml: name", "Add it"),
        ({"a": 'name = "X'}, "toml-syntax", "realms/a.toml: line 1", "Mend the line"),
    ],
)
def test_bad_files(
    tmp_path: Path, files: dict[str, str], code: str, where: str, mend: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_realms_beside(tmp_path, files)
    (problem,) = caught.value.problems
    assert problem.code == code
    assert problem.where.endswith(where)
    assert mend in problem.next


def test_the_primary_domain_s_realm_is_the_default(tmp_path: Path) -> None:
    text = AD + (
        '[domains."b.com"]\nprimary = true\n[domains."b.com".directory]\n'
        'type = "active-directory"\nserver = "dcb"\nusername = "u"\n'
        'password = { env = "X" }\n'
    )
    realms = realms_in_use(configured(tmp_path, text))
    assert [realm.name for realm in realms] == ["B.COM", "COMPANY.COM"]
    assert "default_realm = B.COM\n" in render(realms)


def test_domains_may_share_a_realm(tmp_path: Path) -> None:
    text = AD + (
        '[domains."company.com"]\nprimary = true\n'
        '[domains."company.com".login]\nkerberos_realm = "R.ORG"\n'
        '[domains."b.com".login]\nkerberos_realm = "r.org"\n'
    )
    (realm,) = realms_in_use(configured(tmp_path, text))
    assert realm.domains == ("company.com", "b.com")


FOREST = (
    '[[domains."company.com".directory]]\nusername = "u"\npassword = { env = "X" }\n'
)
FIRST = FOREST + 'type = "active-directory"\nserver = "dc1"\n'
SECOND = FOREST.replace("]]\n", ']]\nname = "other"\n') + (
    'type = "active-directory"\nserver = "dc2"\ndirectory_domain = "other.org"\n'
)


def test_each_directory_has_its_own_realm(tmp_path: Path) -> None:
    login = '[domains."company.com".login]\nkerberos_realm = "Named.org"\n'
    configuration = configured(tmp_path, FIRST + SECOND + login)
    first, second = realms_in_use(configuration)
    assert (first.name, second.name) == ("NAMED.ORG", "OTHER.ORG")
    assert first.domains == second.domains == ("company.com",)
    assert [str(kdc) for kdc in (*first.kdcs, *second.kdcs)] == ["dc1:88", "dc2:88"]
    text = render((first, second))
    assert "NAMED.ORG = {\n        kdc = dc1:88\n    }\n    OTHER.ORG = {" in text
    assert text.endswith("    .other.org = OTHER.ORG\n    other.org = OTHER.ORG\n")
    settings = configuration.settings
    (domain,) = settings.domains.values()
    name = next(iter(settings.domains))
    found = [realm_of_directory(name, domain, one) for one in domain.directory]
    assert found == ["NAMED.ORG", "OTHER.ORG"]


def test_two_readings_of_one_directory_have_one_realm(tmp_path: Path) -> None:
    """Two directories may be two parts of one Active Directory."""
    again = SECOND.replace('directory_domain = "other.org"\n', "")
    login = '[domains."company.com".login]\nkerberos_realm = "Named.org"\n'
    (realm,) = realms_in_use(configured(tmp_path, FIRST + again + login))
    assert [str(kdc) for kdc in realm.kdcs] == ["dc1:88", "dc2:88"]


def test_a_plain_directory_beside_another_has_no_realm(tmp_path: Path) -> None:
    plain = SECOND.replace("active-directory", "ldap").replace(
        'directory_domain = "other.org"', 'suffix = "dc=other"'
    )
    login = '[domains."company.com".login]\nkerberos_realm = "Named.org"\n'
    configuration = configured(tmp_path, FIRST + plain + login)
    (realm,) = realms_in_use(configuration)
    assert [str(kdc) for kdc in realm.kdcs] == ["dc1:88"]


def test_domains_that_do_not_use_kerberos(tmp_path: Path) -> None:
    text = AD + '[domains."company.com".login]\nmethods = ["ldap-bind"]\n'
    assert realms_in_use(configured(tmp_path, text)) == ()
    text = AD.replace("active-directory", "open-directory-password-server")
    assert realms_in_use(configured(tmp_path, text)) == ()


def test_install(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("KRB5_CONFIG", "before")
    run_dir = tmp_path / "run" / "dirbridge"
    path = install("[libdefaults]\n", run_dir)
    assert path.read_text() == "[libdefaults]\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.environ["KRB5_CONFIG"] == str(path)
    install("[realms]\n", run_dir)
    assert list(run_dir.iterdir()) == [path]


def test_install_where_nothing_can_be_written(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("KRB5_CONFIG", "before")
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError) as caught:
        install("", tmp_path / "file" / "run")
    (problem,) = caught.value.problems
    assert problem.code == "run-dir"
    assert "run_dir" in problem.next
    assert os.environ["KRB5_CONFIG"] == "before"


ACCOUNT = (
    '[domains."company.com".directory]\ntype = "active-directory"\n'
    'server = "dc1.corp.company.com"\ndirectory_domain = "corp.company.com"\n'
)
BY_BIND = '[domains."company.com".login]\nmethods = ["nt-domain"]\n'


def test_the_realm_of_a_service_account_alone(tmp_path: Path) -> None:
    text = (
        ACCOUNT
        + 'bind = "kerberos"\nusername = "bridge@other.company.com"\n'
        + 'keytab = { file = "k" }\nbackup_server = "dc2.corp.company.com:389"\n'
    )
    login, account = realms_in_use(configured(tmp_path, text))
    assert (login.name, login.domains) == ("CORP.COMPANY.COM", ("company.com",))
    assert (account.name, account.domains) == ("OTHER.COMPANY.COM", ())
    assert account.kdcs == login.kdcs
    assert [str(kdc) for kdc in account.kdcs] == [
        "dc1.corp.company.com:88",
        "dc2.corp.company.com:88",
    ]
    (account,) = realms_in_use(configured(tmp_path, text + BY_BIND))
    assert account.name == "OTHER.COMPANY.COM"
    assert needs_tickets(configured(tmp_path, text).settings)


@pytest.mark.parametrize(
    ("lines", "realm"),
    [
        ('security = "sealed"\nusername = "b@corp.company.com"', "CORP.COMPANY.COM"),
        ('security = "sealed"\nusername = "CORP\\\\b"', None),
        ('username = "b@corp.company.com"', None),
    ],
)
def test_which_service_accounts_get_tickets(
    lines: str, realm: str | None, tmp_path: Path
) -> None:
    text = ACCOUNT + lines + '\npassword = { env = "X" }\n' + BY_BIND
    configuration = configured(tmp_path, text)
    assert needs_tickets(configuration.settings) == (realm is not None)
    assert [r.name for r in realms_in_use(configuration)] == ([realm] if realm else [])


def test_single_sign_on_uses_the_realm_whatever_the_methods_are(
    tmp_path: Path,
) -> None:
    assert realms_in_use(configured(tmp_path, AD + BY_BIND)) == ()
    (realm,) = realms_in_use(configured(tmp_path, AD + BY_BIND + "sso = true\n"))
    assert (realm.name, realm.domains) == ("COMPANY.COM", ("company.com",))
