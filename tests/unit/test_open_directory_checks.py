"""What `check` says of an Open Directory's records."""

from __future__ import annotations

from typing import Any

import pytest

from dirbridge.config.settings import DirectorySettings
from dirbridge.connectors import open_directory as od
from dirbridge.connectors.ldap_directory import Naming
from dirbridge.connectors.open_directory_checks import compare
from dirbridge.connectors.open_directory_records import (
    ConfigRecords,
    contexts,
    decode_records,
)
from dirbridge.directory.errors import Undecodable
from dirbridge.directory.password_server_record import (
    Address,
    PasswordServer,
    PasswordServerRecord,
    identity,
)
from dirbridge.ldap.client import RootDse
from dirbridge.model.finding import Finding, Outcome
from dirbridge.model.names import DirectoryId, RealmName
from dirbridge.protocols.ldap_entry import RawEntry

KEY = "1024 65537 1234567890 root@mail1.company.com"
SERVER = PasswordServer((Address("10.0.0.5"),), "mail1.company.com")


def root(**attributes: tuple[str, ...]) -> RootDse:
    return RootDse("s:636", {name.lower(): value for name, value in attributes.items()})


def settings(**changes: Any) -> DirectorySettings:
    values = {
        "type": "open-directory-kerberos",
        "server": "127.0.0.1",
        "username": "uid=x",
    }
    return DirectorySettings(**(values | changes))


def told(
    records: ConfigRecords,
    realm: str | None = None,
    authorities: tuple[bytes, ...] = (),
    dse: RootDse | None = None,
    **changes: Any,
) -> dict[str, Finding]:
    sample = [RawEntry("uid=a", {"authauthority": authorities})] if authorities else []
    found = compare(
        dse or root(),
        settings(**changes),
        records,
        RealmName(realm) if realm else None,
        sample,
    )
    return {each.what: each for each in found}


def test_the_vendor_is_named() -> None:
    dse = root(vendorName=("Apple",), vendorVersion=("10.9",))
    kind = told(ConfigRecords(recognised=True), dse=dse)["kind"]
    assert (kind.outcome, "Apple 10.9" in kind.text) == (Outcome.OK, True)


def test_the_realm_of_the_people_is_the_last_resort() -> None:
    people = (b";Kerberosv5;;a@PEOPLE.COM;PEOPLE.COM;",)
    assert told(ConfigRecords(), "OURS.COM", people)["realm"].code == "realm-mismatch"
    kdc = ConfigRecords(realm=RealmName("OURS.COM"))
    assert told(kdc, "OURS.COM", people)["realm"].outcome is Outcome.OK
    assert told(ConfigRecords())["realm"].outcome is Outcome.UNKNOWN
    assert told(ConfigRecords(), "OURS.COM")["realm"].outcome is Outcome.OK


@pytest.mark.parametrize(
    ("replicas", "changes", "names"),
    [
        (("127.0.0.1",), {}, None),
        (("127.0.0.1", "127.0.0.9"), {}, "127.0.0.9"),
        (("127.0.0.9",), {"backup_server": "127.0.0.9:3389"}, None),
        (("127.0.0.9",), {"server": None, "discover": "dns"}, None),
        ((), {}, None),
    ],
)
def test_replicas_that_are_not_named(
    replicas: tuple[str, ...], changes: dict[str, Any], names: str | None
) -> None:
    found = told(ConfigRecords(replicas=replicas), **changes).get("replicas")
    assert (found is None) == (names is None)
    assert found is None or (names or "") in found.text


def password_servers(record: PasswordServerRecord, *mechanisms: str) -> Finding:
    records = ConfigRecords(password_servers=(record,), mechanisms=mechanisms)
    authority = f";ApplePasswordServer;0x1,{KEY}:10.0.0.5".encode()
    kind = "open-directory-password-server"
    return told(records, authorities=(authority,), type=kind)["password-server"]


def test_password_servers() -> None:
    right = PasswordServerRecord(identity(KEY), SERVER)
    assert "mail1.company.com" in password_servers(right, "CRAM-MD5").text
    assert password_servers(right).outcome is Outcome.OK
    assert password_servers(right, "APOP").code == "no-mechanism"
    other = PasswordServerRecord("0" * 32, SERVER)
    assert password_servers(other).code == "password-server-mismatch"
    assert password_servers(PasswordServerRecord("")).code == "no-password-server"


def test_records_that_are_broken_hide_no_other() -> None:
    found = decode_records(
        {
            "macosxodpolicy": {"apple-xmlplist": (b"no plist",)},
            "kerberoskdc": {"apple-config-realname": (b"LKDC:SHA1.AB",)},
            "passwordserver": {"apple-password-server-list": (b"<dict>",)},
            "passwordserver_" + "a" * 32: {
                "apple-password-server-location": (b"10.0.0.5",)
            },
            "ldapreplicas": {"apple-ldap-replica": (b"ldap://a", b"\xff")},
        },
        recognised=True,
    )
    assert {name for name, _ in found.broken} == {
        "macosxodpolicy",
        "kerberoskdc",
        "passwordserver",
    }
    assert found.replicas == ("a",)
    assert [one.id for one in found.password_servers] == ["A" * 32]


def test_private_contexts_are_left_out() -> None:
    dse = root(
        namingContexts=("dc=a", "cn=authdata", "CN=x, cn=AuthData", "no dn", "o=b")
    )
    assert contexts(dse) == ("dc=a", "o=b")


@pytest.mark.parametrize(
    ("default", "contexts", "suffix"),
    [
        ("dc=b", ("dc=a", "dc=b"), "dc=b"),
        ("dc=gone", ("cn=config", "dc=a"), "dc=a"),
        ("", ("cn=config", "dc=a"), "dc=a"),
        ("cn=authdata", ("cn=authdata", "o=a"), "o=a"),
    ],
)
def test_the_suffix_that_the_server_proposes(
    default: str, contexts: tuple[str, ...], suffix: str
) -> None:
    dse = root(namingContexts=contexts, defaultNamingContext=(default,))
    assert od._naming(None, None, False, dse) == Naming(suffix, suffix)


def test_an_id_is_searched_as_what_it_can_be() -> None:
    naming = Naming("dc=a", "dc=a")
    uuid, unique = (
        "727143b5-d199-4a97-82b7-fb7e562abb66",
        "727143b5-d1994a97-82b7fb7e-562abb66",
    )
    ids = od._identities("entryUUID")
    assert od._find(ids, DirectoryId(uuid), naming).filter == f"(entryUUID={uuid})"
    assert od._find(ids, DirectoryId(unique), naming).filter == f"(nsUniqueId={unique})"
    assert od._identities("apple-generateduid")[1] == "entryUUID"
    with pytest.raises(Undecodable):
        od._find(ids, DirectoryId("local:1"), naming)
