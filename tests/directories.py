"""Settings, connectors and authenticators for the bed's servers."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
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
from testbed.samba import DomainController

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
