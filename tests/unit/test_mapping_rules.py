"""Mapping entries: the cast's people, hard values, provenance, notes."""

from __future__ import annotations

import plistlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dirbridge.mapping.profile import Profile, load_profile, load_profile_file
from dirbridge.mapping.rules import Context, Mapper, map_entry
from dirbridge.model.account import AccountState, AccountValues
from dirbridge.model.entry import Entry, EntryKind
from dirbridge.model.mapping import Mapped, Provenance, Rule, Unmapped
from dirbridge.model.names import Address, DirectoryId, DomainName
from dirbridge.model.recipient import By, Reference
from testbed.cast import AD_PEOPLE, OD_PEOPLE, OD_REALM, AdPerson, Condition, OdPerson

AD = load_profile("active-directory")
OD = load_profile("open-directory")
LDAP = load_profile("openldap")

COMPANY = Context(
    domain=DomainName("example.com"),
    served=frozenset({DomainName("example.com"), DomainName("example.org")}),
)
ORCHARD = Context(
    domain=DomainName("example.org"), served=frozenset({DomainName("example.org")})
)


def entry(
    dn: str,
    kind: EntryKind = EntryKind.ACCOUNT,
    **attributes: str | bytes | list[str | bytes],
) -> Entry:
    values = {
        name.replace("_", "-").lower(): tuple(
            each.encode() if isinstance(each, str) else each
            for each in (given if isinstance(given, list) else [given])
        )
        for name, given in attributes.items()
    }
    return Entry(DirectoryId("id-1"), dn, values, kind)


def group(dn: str, **attributes: str | bytes | list[str | bytes]) -> Entry:
    return entry(dn, EntryKind.GROUP, **attributes)


def contact(dn: str, **attributes: str | bytes | list[str | bytes]) -> Entry:
    return entry(dn, EntryKind.CONTACT, **attributes)


def ad_entry(person: AdPerson) -> Entry:
    given = {
        "sAMAccountName": person.sam,
        "cn": person.cn,
        "displayName": person.display,
        "givenName": person.given,
        "sn": person.surname,
        "userPrincipalName": person.upn or "",
        "mail": person.mail or "",
        "proxyAddresses": list(person.proxies),
        "userAccountControl": "514"
        if person.condition is Condition.DISABLED
        else "512",
        **dict(person.extra),
    }
    return entry(person.dn, **{name: each for name, each in given.items() if each})


def od_entry(person: OdPerson) -> Entry:
    authority = [f";Kerberosv5;;{person.principal};{OD_REALM};"]
    if person.condition is Condition.DISABLED_USER:
        authority = [";DisabledUser;;ShadowHash;"]
    mail_attribute: list[str | bytes] = []
    if person.mail_state is not None:
        plist = {"kMailAccountState": str(person.mail_state)}
        if person.forward:
            plist["kAutoForwardValue"] = person.forward
        mail_attribute = [plistlib.dumps(plist)]
    return entry(
        person.dn,
        uid=list(reversed(person.uids)),
        cn=person.cn,
        sn=person.surname,
        mail=list(person.mails),
        authAuthority=list(authority),
        apple_user_mailattribute=mail_attribute,
    )


def mapped(profile, given: Entry, context: Context = COMPANY) -> Mapped:
    result = map_entry(profile, given, context)
    assert isinstance(result, Mapped), result
    return result


def provenance(profile, given: Entry, context: Context = COMPANY) -> Provenance:
    return Mapper(profile, context).provenance(given)


def cast(people, name: str):
    found = (
        p for p in people if name in (getattr(p, "sam", ""), getattr(p, "uid", ""))
    )
    return next(found)


def ad(name: str) -> Mapped:
    return mapped(AD, ad_entry(cast(AD_PEOPLE, name)))


def od(name: str) -> Mapped:
    return mapped(OD, od_entry(cast(OD_PEOPLE, name)), ORCHARD)


def plain(**attributes) -> AccountValues:
    whole = {"sAMAccountName": "anna", "userAccountControl": "512", **attributes}
    return mapped(AD, entry("CN=Anna,DC=x", **whole)).values


def ad_plain(**attributes) -> Entry:
    return entry("CN=a,DC=x", **{"userAccountControl": "512", **attributes})


class TestActiveDirectory:
    @pytest.mark.parametrize("person", AD_PEOPLE, ids=lambda p: p.sam)
    def test_everybody_of_the_cast(self, person: AdPerson) -> None:
        values = mapped(AD, ad_entry(person)).values
        assert values.login_names == (person.sam,)
        assert values.upn == person.upn
        assert values.display_name == (person.display or person.cn)
        assert values.dn == person.dn

    def test_a_whole_person(self) -> None:
        result = ad("anna")
        values = result.values
        assert values.primary_address == "anna@example.com"
        assert values.aliases == ("a.mueller@example.com",)
        assert (values.title, values.department) == ("Head of Sales", "Sales")
        assert values.phone == "+49 30 123456"
        assert values.state is AccountState.ACTIVE
        assert result.notes == ()

    def test_provenance(self) -> None:
        found = provenance(AD, ad_entry(cast(AD_PEOPLE, "anna")))
        assert found["primary_address"].attribute == "proxyAddresses"
        assert found["primary_address"].transforms == ("smtp-primary", "address")
        assert '"SMTP:anna@example.com"' in found["primary_address"].raw
        assert found["title"] == Rule("title", (), ('"Head of Sales"',))
        assert "forward" not in found
        assert provenance(AD, ad_plain(sAMAccountName=b"\xff")) == {}

    def test_names_with_umlaut_quotes_and_blanks(self) -> None:
        assert ad("jürgen").values.display_name == "Groß, Jürgen"
        assert ad("jürgen").values.primary_address == "j.gross@example.com"
        assert ad("zoe vdb").values.primary_address == "zoe@example.com"
        assert ad("emoji").values.display_name == "Mia ☀️ Sunshine 🦊"
        assert ad("o'brien").values.primary_address == "o'brien@example.com"

    def test_no_mail_gives_the_default(self) -> None:
        given = ad_entry(cast(AD_PEOPLE, "nomail"))
        assert mapped(AD, given).values.primary_address == "nomail@example.com"
        assert provenance(AD, given)["primary_address"] == Rule("default")

    def test_an_address_elsewhere_is_dropped_and_told(self) -> None:
        result = ad("foreign")
        assert result.values.primary_address == "foreign@example.com"
        (note,) = result.notes
        assert 'mail "fred@partner.example.net" was left out' in note
        assert "dirbridge.toml" in note

    def test_disabled(self) -> None:
        values = ad("office").values
        assert values.state is AccountState.DISABLED
        assert "disabled in the directory" in (values.state_reason or "")

    def test_only_the_bit_counts(self) -> None:
        assert plain(userAccountControl="66050").state is AccountState.DISABLED
        assert plain(userAccountControl="66048").state is AccountState.ACTIVE

    @pytest.mark.parametrize(
        ("given", "reason"),
        [
            ({}, "userAccountControl is not there, or may not be read"),
            ({"userAccountControl": b"\xff"}, "userAccountControl 0xff is not"),
            ({"userAccountControl": "disabled"}, 'userAccountControl "disabled" is'),
        ],
    )
    def test_whoever_hides_the_state_is_not_taken_for_active(
        self, given, reason: str
    ) -> None:
        """A service account that lost the right would re-activate everybody."""
        result = map_entry(AD, entry("CN=a,DC=x", sAMAccountName="a", **given), COMPANY)
        assert isinstance(result, Unmapped)
        assert result.field == "state"
        assert result.reason.startswith(reason)
        assert result.reason.endswith("the service account the right to read it.")

    def test_expiry(self) -> None:
        expected = datetime(2024, 2, 29, 12, tzinfo=UTC)
        assert plain(accountExpires="133536816000000000").expires_at == expected
        assert plain(accountExpires="0").expires_at is None
        assert plain(accountExpires="9223372036854775807").expires_at is None

    def test_created(self) -> None:
        values = plain(whenCreated="20240229120000.0Z")
        assert values.created_at == datetime(2024, 2, 29, 12, tzinfo=UTC)

    def test_mail_that_disagrees_becomes_an_alias(self) -> None:
        values = plain(proxyAddresses="SMTP:a@example.com", mail="b@example.com")
        assert (values.primary_address, values.aliases) == (
            "a@example.com",
            ("b@example.com",),
        )

    def test_prefixes_of_proxy_addresses(self) -> None:
        values = plain(
            proxyAddresses=["sip:s@example.com", "X500:/o=x", "Smtp:b@example.com",
                            "smtp:C@Example.COM", "smtp:c@example.com",
                            "SMTP:a@example.com", "EUM:1", "smtp:"],
        )  # fmt: skip
        assert values.primary_address == "a@example.com"
        assert values.aliases == ("b@example.com", "C@example.com")

    def test_two_primary_addresses_are_told(self) -> None:
        result = mapped(
            AD,
            ad_plain(
                sAMAccountName="a",
                proxyAddresses=["SMTP:a@example.com", "SMTP:b@example.com"],
            ),
        )
        assert result.values.primary_address == "a@example.com"
        assert "gives 2 values for primary_address" in result.notes[0]

    def test_an_alias_domain_is_served(self) -> None:
        values = plain(mail="anna@EXAMPLE.org")
        assert values.primary_address == "anna@example.org"

    def test_the_digest_goes_along(self) -> None:
        given = replace(ad_plain(sAMAccountName="a"), digest=b"octets")
        assert mapped(AD, given).digest == b"octets"


class TestOpenDirectory:
    @pytest.mark.parametrize("person", OD_PEOPLE, ids=lambda p: p.uid)
    def test_everybody_of_the_cast(self, person: OdPerson) -> None:
        values = mapped(OD, od_entry(person), ORCHARD).values
        assert values.login_names[0] == person.uid
        assert set(values.login_names) == set(person.uids)
        assert values.display_name == person.cn

    def test_the_record_name_comes_first(self) -> None:
        result = od("maximilian")
        assert result.values.login_names == ("maximilian", "m.berg", "max")
        assert result.values.principal == f"maximilian@{OD_REALM}"
        found = provenance(OD, od_entry(cast(OD_PEOPLE, "maximilian")), ORCHARD)
        assert found["login_names"].transforms == ("rdn",)

    def test_further_addresses_are_aliases(self) -> None:
        values = od("carla").values
        assert values.primary_address == "carla@example.org"
        assert values.aliases == ("c.cherry@example.org",)
        anna = od_entry(cast(OD_PEOPLE, "anna"))
        assert "aliases" not in provenance(OD, anna, ORCHARD)

    def test_forward_may_lead_elsewhere(self) -> None:
        assert od("fiona").values.forward == "fiona@partner.example.net"

    def test_mail_switched_off(self) -> None:
        values = od("oscar").values
        assert values.state is AccountState.DISABLED
        assert "Mail is switched off" in (values.state_reason or "")

    def test_disabled_user(self) -> None:
        values = od("dora").values
        assert values.state is AccountState.DISABLED
        assert "DisabledUser" in (values.state_reason or "")
        assert values.principal is None

    def test_no_mail_attribute_is_no_word(self) -> None:
        assert od("nomail").values.state is AccountState.ACTIVE

    def test_principal_without_a_name(self) -> None:
        given = entry(
            "uid=max,cn=users,dc=x", uid="max", authAuthority=";Kerberosv5;;;R;"
        )
        assert mapped(OD, given, ORCHARD).values.principal == "max@R"

    def test_a_mac_s_local_realm_is_refused(self) -> None:
        authority = ";Kerberosv5;;max@LKDC:SHA1.AB;LKDC:SHA1.AB;"
        given = entry("uid=max,cn=users,dc=x", uid="max", authAuthority=authority)
        result = mapped(OD, given, ORCHARD)
        assert result.values.principal is None
        assert "LKDC" in result.notes[0]

    def test_a_broken_plist_harms_nothing_else(self) -> None:
        given = entry(
            "uid=max,cn=users,dc=x",
            uid="max",
            apple_user_mailattribute="<dict>",
            mail="max@example.org",
        )
        result = mapped(OD, given, ORCHARD)
        assert result.values.primary_address == "max@example.org"
        assert result.values.state is AccountState.ACTIVE
        (note,) = result.notes
        assert note == (
            'apple-user-mailattribute "<dict>" is not a property list; '
            "it was left out. Mend it in the directory."
        )

    def test_quota(self) -> None:
        plist = plistlib.dumps({"kUserDiskQuota": "500"})
        given = entry("uid=a,dc=x", uid="a", apple_user_mailattribute=plist)
        assert mapped(OD, given, ORCHARD).values.quota == 500 * 2**20


class TestHardValues:
    def test_invalid_utf_8_is_dropped(self) -> None:
        given = ad_plain(sAMAccountName="a", displayName=b"\xff\xfe", cn="A")
        result = mapped(AD, given)
        assert result.values.display_name == "A"
        assert result.notes == (
            "displayName 0xfffe is not UTF-8 from octet 1 on; it was left out. "
            "Mend it in the directory.",
        )

    def test_invalid_utf_8_in_a_required_field(self) -> None:
        result = map_entry(AD, ad_plain(sAMAccountName=b"\xff"), COMPANY)
        assert isinstance(result, Unmapped)
        assert result.field == "login_names"
        assert "sAMAccountName 0xff is not UTF-8" in result.reason
        assert result.reason.endswith(
            "Mend the entry in the directory, or the rule [account.login_names] of "
            'the mapping "active-directory".'
        )

    def test_no_login_name(self) -> None:
        result = map_entry(AD, ad_plain(mail="a@example.com"), COMPANY)
        assert isinstance(result, Unmapped)
        assert (result.id, result.dn) == ("id-1", "CN=a,DC=x")

    def test_a_default_that_is_no_address(self) -> None:
        result = map_entry(AD, ad_plain(sAMAccountName="a b"), COMPANY)
        assert isinstance(result, Unmapped)
        assert result.field == "primary_address"
        assert '"a b@example.com"' in result.reason

    @pytest.mark.parametrize(
        ("attribute", "raw"),
        [("accountExpires", b"soon"), ("mail", b"nobody"),
         ("whenCreated", b"20249999000000.0Z"),
         ("title", b"a\nlogin verdict=accepted"), ("title", b"x" * 5000)],
    )  # fmt: skip
    def test_a_value_that_is_not_what_its_syntax_says(
        self, attribute: str, raw: bytes
    ) -> None:
        given = ad_plain(sAMAccountName="a", **{attribute: raw})
        result = mapped(AD, given)
        (note,) = result.notes
        assert note.startswith(attribute)
        assert note.endswith("; it was left out. Mend it in the directory.")
        assert "\n" not in note
        assert result.values.state is AccountState.ACTIVE

    def test_raw_values_are_shortened(self) -> None:
        given = ad_plain(sAMAccountName="a", title="t" * 4000)
        assert len(provenance(AD, given)["title"].raw[0]) < 200

    def test_a_dn_that_is_none(self) -> None:
        given = entry("garbage", uid="a", mail="a@example.com")
        assert mapped(LDAP, given).values.login_names == ("a",)

    def test_names_are_compared_after_folding(self) -> None:
        given = entry("uid=straße,dc=x", uid=["STRASSE", "straße", "s"])
        values = mapped(LDAP, given, COMPANY).values
        assert values.login_names == ("STRASSE", "s")


_TEXTS = st.text(max_size=20).map(lambda text: text.encode("utf-8", "replace"))
_TYPICAL = st.sampled_from(
    [b"512", b"SMTP:a@example.com", b"smtp:b@x.com", b";Kerberosv5;;;R;"]
)
_VALUES = st.lists(st.binary(max_size=30) | _TEXTS | _TYPICAL, max_size=3).map(tuple)


@pytest.mark.parametrize("profile", [AD, OD, LDAP], ids=lambda p: p.name)
@given(data=st.data())
def test_whatever_an_entry_holds(profile, data) -> None:
    names = [name.lower() for name in profile.attributes]
    attributes = data.draw(st.dictionaries(st.sampled_from(names), _VALUES))
    dn = data.draw(st.text(max_size=20) | st.just("uid=a,dc=x"))
    given = Entry(DirectoryId("x"), dn, attributes)
    result = map_entry(profile, given, COMPANY)
    assert result == map_entry(profile, given, COMPANY)
    match result:
        case Mapped(values=values):
            assert values.login_names
            assert values.primary_address not in values.aliases
            filled = provenance(profile, given)
            assert set(filled) <= {rule.name for rule in profile.account}
            assert {"login_names", "primary_address"} <= set(filled)
        case Unmapped():
            assert result.reason.endswith(".")


class TestOwnProfiles:
    def profile(self, tmp_path: Path, text: str):
        path = tmp_path / "mine.toml"
        path.write_text(
            'name = "mine"\nformat = 1\nid = "entryUUID"\nbase_filter = "(uid=*)"\n'
            '[account.login_names]\nsources = [{ attribute = "uid" }]\n' + text
        )
        return load_profile_file(path)

    def test_defaults_with_words(self, tmp_path: Path) -> None:
        profile = self.profile(
            tmp_path, '[account.upn]\ndefault = "{login}@{directory_domain}"'
        )
        given = entry("uid=a,dc=x", uid="a")
        assert mapped(profile, given).values.upn is None
        context = Context(COMPANY.domain, COMPANY.served, "corp.example.com", "CORP")
        assert mapped(profile, given, context).values.upn == "a@corp.example.com"

    def test_transforms(self, tmp_path: Path) -> None:
        profile = self.profile(
            tmp_path,
            '[account.display_name]\nsources = [{ attribute = "upn", '
            'transforms = ["upn-local", "lower"] }]\n'
            '[account.aliases]\nmany = true\nsources = [{ attribute = "alias", '
            'transforms = ["first"] }]\n'
            '[account.quota]\nsources = [{ attribute = "mailQuota", '
            'transforms = ["quota-mb"] }]\n'
            '[account.title]\nsources = [{ attribute = "title", '
            'transforms = ["trim"] }]\n',
        )
        given = entry(
            "uid=a,dc=x",
            uid="a",
            upn="Anna@X.org",
            alias=["b@example.com", "c@example.com"],
            mailQuota="2",
            title="  Head   of Sales ",
        )
        values = mapped(profile, given).values
        assert values.display_name == "anna"
        assert values.aliases == ("b@example.com",)
        assert values.quota == 2 * 2**20
        assert values.title == "Head of Sales"

    def test_a_quota_that_is_none(self, tmp_path: Path) -> None:
        text = (
            '[account.quota]\nsources = [{ attribute = "q", '
            'transforms = ["quota-mb"] }]'
        )
        profile = self.profile(tmp_path, text)
        result = mapped(profile, entry("uid=a,dc=x", uid="a", q="2G"))
        assert result.values.quota is None
        assert 'q "2G" is not a number of megabytes' in result.notes[0]


def with_recipients(tmp_path: Path) -> Profile:
    path = tmp_path / "mine.toml"
    path.write_text(
        """
name = "mine"
format = 1
id = "entryUUID"
base_filter = "(uid=*)"
group_filter = "(objectClass=group)"
contact_filter = "(objectClass=contact)"
[account.login_names]
sources = [{ attribute = "uid" }]
[group.name]
sources = [{ attribute = "cn" }]
required = true
[group.primary_address]
sources = [{ attribute = "mail" }]
[group.members]
sources = [{ attribute = "member" }]
many = true
[group.member_names]
sources = [{ attribute = "memberUid" }]
many = true
[group.member_ids]
sources = [{ attribute = "memberGuid" }]
many = true
[group.nested]
sources = [{ attribute = "nestedGroup" }]
many = true
[group.number]
sources = [{ attribute = "gidNumber" }]
[contact.target]
sources = [
  { attribute = "targetAddress", transforms = ["target-address"] },
  { attribute = "mail" },
]
required = true
"""
    )
    return load_profile_file(path)


class TestRecipients:
    def test_a_group_names_its_members_in_every_way(self, tmp_path: Path) -> None:
        profile = with_recipients(tmp_path)
        given_group = group(
            "cn=sales,dc=x",
            cn="sales",
            mail="sales@example.com",
            member=["cn=a,dc=x", "cn=b,dc=x"],
            memberUid=["anna"],
            memberGuid=["A-1"],
            nestedGroup=["G-1"],
            gidNumber="20",
        )
        assert mapped(profile, given_group).values == AccountValues(
            directory_id=DirectoryId("id-1"),
            kind=EntryKind.GROUP,
            dn="cn=sales,dc=x",
            name="sales",
            primary_address=Address("sales@example.com"),
            members=(
                Reference(By.DN, "cn=a,dc=x"),
                Reference(By.DN, "cn=b,dc=x"),
                Reference(By.ID, "A-1"),
                Reference(By.ID, "G-1"),
                Reference(By.NAME, "anna"),
            ),
            number="20",
        )
        assert provenance(profile, given_group)["members"].attribute == "member"

    def test_a_group_that_lacks_what_is_required(self, tmp_path: Path) -> None:
        result = map_entry(with_recipients(tmp_path), group("cn=x"), COMPANY)
        assert isinstance(result, Unmapped)
        assert result.field == "name"
        assert "[group.name]" in result.reason

    def test_a_groups_address_must_be_served(self, tmp_path: Path) -> None:
        foreign = group("cn=x", cn="x", mail="x@elsewhere.net")
        result = mapped(with_recipients(tmp_path), foreign)
        assert result.values.primary_address is None
        assert "elsewhere.net" in result.notes[0]

    def test_a_contact_is_anywhere(self, tmp_path: Path) -> None:
        profile = with_recipients(tmp_path)
        given_contact = contact(
            "cn=k", mail="karl@example.com", targetAddress="SMTP:Karl@Partner.net"
        )
        result = mapped(profile, given_contact)
        assert result.values.kind is EntryKind.CONTACT
        assert result.values.forward == "Karl@partner.net"
        assert result.notes == ()
        assert provenance(profile, given_contact)["target"].raw == (
            '"SMTP:Karl@Partner.net"',
        )
        plain = mapped(profile, contact("cn=k", mail="k@partner.net"))
        assert plain.values.forward == "k@partner.net"

    def test_a_group_of_active_directory(self) -> None:
        sales = group(
            "CN=Sales,DC=x",
            cn="Sales",
            sAMAccountName="Sales",
            mail="sales@example.com",
            proxyAddresses=["smtp:s@example.com", "SMTP:sales@example.com"],
            member=["CN=Anna,DC=x"],
            objectSid=SID,
        )
        result = mapped(AD, sales)
        assert result.values.number == "513"
        assert result.values.aliases == ("s@example.com",)
        assert result.values.members == (Reference(By.DN, "CN=Anna,DC=x"),)
        assert result.notes == ()

    def test_a_contact_of_active_directory(self) -> None:
        """Its own address elsewhere is none of ours, and goes without saying."""
        karl = contact(
            "CN=Karl,DC=x",
            cn="Karl",
            displayName="Karl Contact",
            mail="karl@partner.example.net",
            targetAddress="SMTP:karl@partner.example.net",
            proxyAddresses=["SMTP:karl@partner.example.net", "smtp:k@example.com"],
        )
        result = mapped(AD, karl)
        assert result.notes == ()
        assert result.values == AccountValues(
            directory_id=DirectoryId("id-1"),
            kind=EntryKind.CONTACT,
            dn="CN=Karl,DC=x",
            display_name="Karl Contact",
            aliases=(Address("k@example.com"),),
            forward=Address("karl@partner.example.net"),
        )

    def test_a_contact_claims_no_address_that_is_its_target(self) -> None:
        """Else mail would go round, or be kept from the account that has it."""
        given_contact = contact(
            "CN=Anna,DC=x",
            cn="Anna",
            mail="Anna@example.com",
            proxyAddresses=["SMTP:anna@example.com", "smtp:a@example.com"],
            targetAddress="SMTP:anna@example.com",
        )
        values = mapped(AD, given_contact).values
        assert values.forward == "anna@example.com"
        assert values.primary_address is None
        assert values.aliases == ("a@example.com",)

    def test_forwards_of_active_directory(self) -> None:
        boss = "CN=Boss,DC=x"
        given_user = ad_plain(
            sAMAccountName="anna",
            primaryGroupID="513",
            altRecipient=boss,
            deliverAndRedirect="TRUE",
        )
        values = mapped(AD, given_user).values
        assert values.primary_group == "513"
        assert (values.forward, values.forward_dn) == (None, boss)
        assert values.forward_keep
        away = ad_plain(sAMAccountName="a", targetAddress="SMTP:a@partner.net")
        assert mapped(AD, away).values.forward == "a@partner.net"
        none = mapped(AD, ad_plain(sAMAccountName="a")).values
        assert (none.forward, none.forward_dn, none.forward_keep) == (None, None, False)

    def test_a_group_of_open_directory(self) -> None:
        staff = group(
            "cn=staff,cn=groups,dc=x",
            cn="staff",
            apple_group_realname="All Staff",
            gidNumber="20",
            memberUid=["anna"],
            apple_group_memberguid=["AAAA"],
            apple_group_nestedgroup=["BBBB"],
            mail="staff@example.org",
        )
        values = mapped(OD, staff, ORCHARD).values
        assert values.display_name == "All Staff"
        assert values.number == "20"
        assert set(values.members) == {
            Reference(By.NAME, "anna"),
            Reference(By.ID, "AAAA"),
            Reference(By.ID, "BBBB"),
        }
        anna = mapped(OD, entry("uid=anna,dc=x", uid="anna", gidNumber="20"), ORCHARD)
        assert anna.values.primary_group == "20"

    def test_groups_of_openldap(self) -> None:
        both = group(
            "cn=g,dc=x", cn="g", member=["uid=a,dc=x"], memberUid=["b"], gidNumber="5"
        )
        assert mapped(LDAP, both, ORCHARD).values.members == (
            Reference(By.DN, "uid=a,dc=x"),
            Reference(By.NAME, "b"),
        )

    def test_groups_and_contacts_have_nothing_to_log_in_with(self) -> None:
        for given_entry in (
            group("CN=g,DC=x", cn="g", sAMAccountName="g"),
            contact("CN=c,DC=x", cn="c", mail="c@partner.net"),
        ):
            values = mapped(AD, given_entry).values
            assert (values.login_names, values.upn, values.principal) == (
                (),
                None,
                None,
            )


SID = bytes.fromhex("01050000000000051500000001000000020000000300000001020000")


@given(st.dictionaries(st.sampled_from(
    ("cn", "mail", "member", "objectsid", "grouptype", "targetaddress",
     "proxyaddresses", "samaccountname", "altrecipient", "deliverandredirect")),
    st.lists(st.binary(max_size=20), max_size=3).map(tuple), max_size=6))  # fmt: skip
def test_any_recipient_is_mapped_or_told(attributes) -> None:
    for kind in EntryKind:
        given_entry = Entry(DirectoryId("id-1"), "CN=x", attributes, kind)
        match map_entry(AD, given_entry, COMPANY):
            case Mapped(values=values):
                assert values.kind is kind
            case Unmapped() as told:
                assert told.reason.endswith(".")
