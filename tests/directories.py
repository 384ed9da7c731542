"""Settings, connectors and authenticators for the bed's servers."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dirbridge.config.settings import DirectorySettings, LoginSettings
from dirbridge.connectors.active_directory import active_directory
from dirbridge.connectors.ldap_directory import LdapDirectory
from dirbridge.connectors.open_directory import open_directory
from dirbridge.directory.guid import decode_object_guid
from dirbridge.mapping.profile import load_profile
from dirbridge.model.account import Account, AccountValues, Origin
from dirbridge.model.names import DirectoryId, DomainName, RealmName
from dirbridge.model.secret import Secret
from testbed import cast
from testbed.bed import Bed
from testbed.cast import AdPerson, OdPerson
from testbed.process import Daemon, copy_folder, wait_for_port
from testbed.samba import DomainController
from testbed.slapd import Od1

Change = Callable[[str], str]

AD_MAIL, OD_MAIL = DomainName(cast.AD_MAIL_DOMAIN), DomainName(cast.OD_MAIL_DOMAIN)


def ad_settings(bed: Bed, **changes: Any) -> DirectorySettings:
    values = {
        "type": "active-directory",
        "server": "dc1.corp.example.com",
        "backup_server": "dc2.corp.example.com",
        "ca_file": bed.ca_file,
        "username": "svc-dirbridge@corp.example.com",
        "directory_domain": cast.AD_DOMAIN,
    }
    return DirectorySettings(**(values | changes))


def od_settings(bed: Bed, **changes: Any) -> DirectorySettings:
    values = {
        "type": "open-directory-kerberos",
        "server": "od.example.com",
        "ca_file": bed.ca_file,
        "username": cast.od("diradmin").dn,
    }
    return DirectorySettings(**(values | changes))


AD_LOGIN = LoginSettings(kerberos_realm=RealmName(cast.AD_REALM), nt_domain="CORP")


def ad_connector(
    bed: Bed, password: str = "", login: LoginSettings = AD_LOGIN, **changes: Any
) -> LdapDirectory:
    secret = Secret(password or bed.password("svc-dirbridge", "ad"))
    return active_directory(
        AD_MAIL,
        ad_settings(bed, **changes),
        load_profile("active-directory"),
        lambda: secret,
        login=login,
    )


def od_connector(bed: Bed, password: str = "", **changes: Any) -> LdapDirectory:
    secret = Secret(password or bed.password("diradmin", "od"))
    return open_directory(
        OD_MAIL,
        od_settings(bed, **changes),
        load_profile("open-directory"),
        lambda: secret,
        login=LoginSettings(kerberos_realm=RealmName(cast.OD_REALM)),
    )


@contextmanager
def second_slapd(od1: Od1, place: Path, port: int) -> Iterator[Callable[[Change], str]]:
    """Lets a second slapd start over a copy of the data, otherwise configured.

    What is given takes what changes its slapd.conf, and gives the server's name.
    """
    daemon = Daemon("second", place / "second.log")

    def start(change: Change) -> str:
        folder = place / "second"
        copy_folder(od1.folder, folder)
        text = od1.conf.read_text().replace(str(od1.folder), str(folder))
        (folder / "slapd.conf").write_text(change(text))
        url = f"ldaps://{od1.address}:{port}"
        daemon.start(["slapd", "-d", "0", "-f", folder / "slapd.conf", "-h", url])
        wait_for_port(od1.address, port, daemon)
        return f"{cast.OD_HOST}:{port}"

    yield start
    daemon.stop()


def ad_ids(dc: DomainController) -> dict[str, DirectoryId]:
    """The ids of all people of a domain controller, by sAMAccountName."""
    ids, name, octets = {}, "", b""
    text = dc.search("(objectCategory=person)", "sAMAccountName", "objectGUID")
    for line in text.splitlines():
        key, _, value = line.partition(": ")
        match key:
            case "sAMAccountName":
                name = value
            case "sAMAccountName:":
                name = base64.b64decode(value).decode()
            case "objectGUID:":
                octets = base64.b64decode(value)
            case "objectGUID":
                octets = value.encode()
            case "":
                if name:
                    ids[name] = decode_object_guid(octets)
                name = ""
    return ids


def ad_account(dc: DomainController, person: AdPerson) -> Account:
    """The account that a sync with this server would have made of a person."""
    return account(person, ad_ids(dc)[person.sam])


def account(person: AdPerson | OdPerson, directory_id: str = "") -> Account:
    """The account that a sync would have made of a person.

    Args:
        person: Of the cast.
        directory_id: The id; without it, Active Directory's is made up.
    """
    if isinstance(person, AdPerson):
        names, domain, made_up = (person.sam,), AD_MAIL, person.sam
    else:
        names, domain, made_up = person.uids, OD_MAIL, person.guid
    values = AccountValues(
        directory_id=DirectoryId(directory_id or made_up),
        dn=person.dn,
        login_names=names,
    )
    return Account(
        number=1,
        domain=domain,
        mailbox=names[0],
        origin=Origin.MAPPED,
        state_since=datetime.now(UTC),
        values=values,
    )
