"""Every codec and every value decoder raises nothing but its own error.

Whatever comes out of a directory or over a socket was written by others. One table
names them all, and a function that is missing from it fails a test.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import plistlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dirbridge.directory
import dirbridge.protocols
from dirbridge.directory import (
    account_control,
    account_facts,
    account_state,
    address,
    auth_authority,
    bind_codes,
    dn,
    errors,
    exchange,
    extended_dn,
    filetime,
    generalized_time,
    group_type,
    guid,
    kerberos_client,
    lockout,
    logon_hours,
    mit_kerberos,
    open_directory_config,
    open_directory_state,
    pac,
    password_age,
    password_server_record,
    plain_ldap_state,
    plists,
    proxy_addresses,
    realm,
    sid,
    workstations,
)
from dirbridge.directory import filter as filters
from dirbridge.directory.errors import Undecodable
from dirbridge.errors import LocalProtocolError, RemoteProtocolError
from dirbridge.model.entry import Entry
from dirbridge.model.names import DirectoryId
from dirbridge.protocols import (
    ber,
    dovecot_auth,
    ldap_controls,
    ldap_entry,
    ldap_filter,
    ldap_messages,
    netlogon_ping,
    sasl,
    sasl_gssapi,
    sasl_layer,
    saslauthd,
)
from tests.ldap_responder import entry, result
from tests.tickets import SAMBA
from tests.wire.feeding import DATA, Codec, events
from tests.wire.fuzzing import FOUND, Fed
from tests.wire.password_server_feeds import FEEDS

BOTH = (bytes, str)
NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)


def remote(name: str, read: Callable[[bytes], object], *samples: bytes) -> Fed:
    """A codec of octets that a peer sent."""
    return Fed(name, read, samples, RemoteProtocolError)


def value(name: str, read: Callable[[bytes], object], *samples: bytes) -> Fed:
    """A decoder of octets."""
    return Fed(name, read, samples, Undecodable)


def text(name: str, read: Callable[[str], object], *samples: str) -> Fed:
    """A decoder of text."""
    octets = tuple(sample.encode() for sample in samples)
    return Fed(name, read, octets, Undecodable, (str,))


def either(name: str, read: Callable[[bytes | str], object], *samples: str) -> Fed:
    """A decoder that takes both."""
    octets = tuple(sample.encode() for sample in samples)
    return Fed(name, read, octets, Undecodable, BOTH)


def in_pieces(data: bytes) -> Iterator[bytes]:
    """A stream as it may come: one octet, a piece, the rest, the end."""
    yield from filter(None, (data[:1], data[1:9], data[9:]))


def served(codec: Codec, data: bytes) -> None:
    for piece in (*in_pieces(data), b""):
        codec.receive_data(piece)
        for _ in events(codec):
            pass


def dovecot(data: bytes) -> None:
    codec = dovecot_auth.ServerConnection(max_line=500)
    codec.send(dovecot_auth.Greeting(["PLAIN", "LOGIN"], 11, 7, bytes(16)))
    for piece in (*in_pieces(data), b""):
        codec.receive_data(piece)
        for event in events(codec):
            if isinstance(event, dovecot_auth.Auth | dovecot_auth.Continue):
                codec.send(dovecot_auth.Challenge(event.id, b""))
            elif isinstance(event, dovecot_auth.Unanswerable):
                codec.send(dovecot_auth.Fail(event.id))


def framed(data: bytes) -> None:
    frames = ldap_entry.Frames(limit=1000)
    for piece in in_pieces(data):
        frames.receive_data(piece)
        while frames.messages():
            pass


def decoded(data: bytes) -> None:
    decoder = ldap_entry.EntryDecoder()
    decoder.decode(ENTRY)  # names that it knows take another way
    decoder.decode(data)


def unsealed(data: bytes) -> None:
    frames = sasl_layer.Frames(limit=100)
    for piece in in_pieces(data):
        frames.receive_data(piece)
        while frames.take():
            pass


def stepped(machine: sasl.Machine, data: bytes) -> None:
    machine.step(data[:4])
    machine.step(data)


class Echo:
    """A context that gives back what it gets, and is complete after an odd octet."""

    complete = False

    def step(self, token: bytes) -> bytes:
        self.complete = bool(token) and bool(token[-1] & 1)
        return token[1:]

    def wrap(self, data: bytes) -> bytes:
        return data

    def unwrap(self, token: bytes) -> bytes:
        if token[:1] == b"x":
            raise sasl_gssapi.NotAccepted("not wrapped")
        return token

    def client(self) -> sasl.Proven:
        return sasl.Proven("anna@REALM")


def exchanged(machine: sasl.Machine, data: bytes) -> None:
    """Go on until the exchange ends, which it does however long the client talks."""
    outcome: sasl.Outcome = sasl.Challenge(b"")
    rounds = 0
    while isinstance(outcome, sasl.Challenge):
        outcome = machine.step(data[rounds:])
        rounds += 1
        assert rounds <= sasl_gssapi.MOST_TOKENS + 4


ENTRY = entry(5, {"objectSid": [b"x" * 28], "mail": [b"a@b.c", b""], "cn": [b"y"]})
RESULT = result(5, 0x61, 49, "80090308: LdapErr: DSID-0C0903A9, data 52e, v1db1\0")
UUID = bytes(range(16))
PING = bytes.fromhex(
    "307a020107647504003071306f04086e65746c6f676f6e3163046117000000bd110000caaa0550867b"
    "4d4ab9df92e84f5e95ac04636f7270076578616d706c6503636f6d00c01803646331c01804434f5250"
    "000344433100001744656661756c742d46697273742d536974652d4e616d6500c03e05000000ffffff"
    "ff300c02010765070a010004000400"
)

CODECS = [
    remote("ber.header", lambda data: ber.header(data, 0), ENTRY, b"\x04\x82\1\0"),
    remote("ber.take", lambda data: ber.take(data, data[0] if data else 4), ENTRY),
    remote("ber.take_integer", ber.take_integer, ber.integer(-129), ber.integer(9**9)),
    remote("ber.each", lambda data: list(ber.each(data, 4)), b"\4\1a\4\2bc\4\0"),
    remote("ber.only", lambda data: ber.only(data, 0x30), ENTRY),
    remote(
        "ldap_controls.parse",
        ldap_controls.parse,
        ldap_controls.encode([ldap_controls.SHOW_DELETED, ldap_controls.paged(9, b"")]),
    ),
    remote(
        "ldap_controls.parse_paged",
        ldap_controls.parse_paged,
        bytes.fromhex("30090201000404DEADBEEF"),
    ),
    remote(
        "ldap_controls.parse_dirsync",
        ldap_controls.parse_dirsync,
        bytes.fromhex("300b02010102010004034d5344"),
    ),
    remote(
        "ldap_controls.parse_sync_state",
        ldap_controls.parse_sync_state,
        ber.sequence(ber.enumerated(1), ber.octets(UUID), ber.octets(b"rid=001")),
    ),
    remote(
        "ldap_controls.parse_sync_done",
        ldap_controls.parse_sync_done,
        bytes.fromhex("30080403726964010100"),
    ),
    remote(
        "ldap_controls.parse_sync_info",
        ldap_controls.parse_sync_info,
        bytes.fromhex("8003726964"),
        bytes.fromhex("a10804037269640101ff"),
        bytes.fromhex("a31a04037269640101ff31120410") + UUID,
    ),
    Fed(
        "ldap_filter.encode",
        ldap_filter.encode,
        (
            rb"(&(objectClass=user)(!(cn=a\2ab*c*d)))",
            b"(|(a>=1)(b<=2)(c~=3)(d=*)(memberOf:1.2.840.113556.1.4.1941:=x))",
            b"(cn:dn:2.4.6:=x)",
        ),
        LocalProtocolError,
        (str,),
    ),
    remote("ldap_messages.message_size", ldap_messages.message_size, ENTRY, RESULT),
    remote("ldap_messages.kind_of", ldap_messages.kind_of, ENTRY, RESULT),
    remote("ldap_messages.opened", ldap_messages.opened, ENTRY, RESULT),
    remote(
        "ldap_messages.result_of",
        lambda data: ldap_messages.result_of(1, data),
        ldap_messages.opened(RESULT)[1],
    ),
    remote(
        "ldap_messages.entry_of",
        ldap_messages.entry_of,
        ldap_messages.opened(ENTRY)[1],
    ),
    remote("ldap_messages.parse_result", ldap_messages.parse_result, RESULT),
    remote(
        "ldap_messages.parse_intermediate",
        ldap_messages.parse_intermediate,
        ber.sequence(
            ber.integer(5), ber.tlv(0x79, ber.tlv(0x80, b"1.2"), ber.tlv(0x81, b"v"))
        ),
    ),
    remote(
        "ldap_messages.parse_reference",
        ldap_messages.parse_reference,
        ber.tlv(ldap_messages.SEARCH_REFERENCE, ber.octets(b"ldap://b/dc=x")),
    ),
    remote("ldap_messages.parse_entry", ldap_messages.parse_entry, ENTRY),
    remote(
        "ldap_messages.parse_attributes",
        ldap_messages.parse_attributes,
        ber.sequence(ber.octets(b"uid"), ber.tlv(ber.SET, ber.octets(b"anna"))),
    ),
    remote("ldap_entry.opened", ldap_entry.opened, ENTRY, RESULT),
    remote("ldap_entry.EntryDecoder", decoded, ENTRY),
    remote("ldap_entry.Frames", framed, ENTRY + RESULT, ENTRY + b"HTTP/1.1 400 Bad"),
    remote(
        "netlogon_ping.parse_pong", lambda data: netlogon_ping.parse_pong(data, 7), PING
    ),
    remote("netlogon_ping.parse_response", netlogon_ping.parse_response, PING[25:122]),
    remote("sasl.Plain", lambda data: stepped(sasl.Plain(), data), b"\0anna\0secret"),
    remote("sasl.Login", lambda data: stepped(sasl.Login(), data), b"anna", b""),
    remote(
        "sasl_gssapi.Gssapi",
        lambda data: exchanged(sasl_gssapi.Gssapi(Echo()), data),
        b"a\x01\0\0\0",
        b"",
    ),
    remote(
        "sasl_gssapi.GssSpnego",
        lambda data: exchanged(sasl_gssapi.GssSpnego(Echo()), data),
        b"abc",
        b"",
    ),
    Fed("sasl_layer.frame", sasl_layer.frame, (b"token",), LocalProtocolError),
    remote("sasl_layer.Frames", unsealed, b"\0\0\0\3abc\0\0\0\1x"),
    remote(
        "saslauthd.ServerConnection",
        lambda data: served(saslauthd.ServerConnection(max_string=64), data),
        *(file.read_bytes() for file in sorted(DATA.glob("saslauthd-*.bin"))),
    ),
    remote(
        "dovecot_auth.ServerConnection",
        dovecot,
        *(file.read_bytes() for file in sorted(DATA.glob("dovecot-*.bin"))),
    ),
]

SID = bytes.fromhex("010500000000000515000000010000000200000003000000" + "01020000")
SID_TEXT = "S-1-5-21-1-2-3-513"
GUID = "8d2ea1f6-1b57-4a54-9a51-0b7ad5ee3b1c"
DN = r"CN=Gro\C3\9F\, J+uid=\#x,OU=Staff ,DC=corp,DC=example,DC=com"
SLOT = "0xdb945916625111e39e62000c2928b48d"
KEY = "1024 65537 1234567890 root@mail1.company.com"
AUTHORITIES = (
    f";ApplePasswordServer;{SLOT},{KEY}:10.0.0.5",
    f";ApplePasswordServer;{SLOT},{KEY}:ipv6/2001:db8::1",
    ";Kerberosv5;;jdoe@MAIL1.COMPANY.COM;MAIL1.COMPANY.COM;",
    "1.0.0;ShadowHash;HASHLIST:<SALTED-SHA1>",
    ";LocalCachedUser;/LDAPv3/od.example.com:jdoe:AFE453BF",
    ";DisabledUser;<;ApplePasswordServer;0x1>",
)
KRB5_CONF = """\
# autogenerated from : /LDAPv3/mail1.company.com
# generation_id : 1234567890
[libdefaults]
\tdefault_realm = COMPANY.COM
[realms]
\tCOMPANY.COM = {
\t\tkdc = mail1.company.com.:88
\t}
\tLKDC:SHA1.AB = { kdc = mac.local }
[domain_realm]
\t.Company.com = COMPANY.COM
"""


def authority(
    read: Callable[[auth_authority.AuthAuthority], object],
) -> Callable[[bytes | str], object]:
    """A reader of what stands behind a value's tag."""
    return lambda raw: read(auth_authority.decode(raw))


def as_account(raw: bytes) -> object:
    """An entry whose every attribute of an account's state is this."""
    attributes = {name.lower(): (raw, raw[1:]) for name in STATE}
    account = Entry(DirectoryId("1"), "cn=x", attributes)
    return (
        plain_ldap_state.reasons(account, NOW),
        account_state.barriers(account, NOW),
        account_facts.facts(account, NOW),
        open_directory_state.signs(account),
    )


STATE = (
    *("userAccountControl", "msDS-User-Account-Control-Computed", "lockoutTime"),
    *("accountExpires", "pwdLastSet", "logonHours", "userWorkstations"),
    *("msDS-UserPasswordExpiryTimeComputed", "msExchRecipientTypeDetails"),
    *("authAuthority", "apple-authenticationAllowed", *plain_ldap_state.ATTRIBUTES),
)

VALUES = [
    either("account_control.decode", account_control.decode, "514", "-2147483136"),
    value("account_state.barriers", as_account, b"514", b"133536816000000000"),
    text("address.decode", address.decode, "anna@müller.de", "o'x+y@example.com."),
    either("auth_authority.decode", auth_authority.decode, *AUTHORITIES),
    *(
        either(f"auth_authority.{read.__name__}", authority(read), *AUTHORITIES)
        for read in (
            auth_authority.decode_kerberos,
            auth_authority.decode_password_server,
            auth_authority.decode_cached_user,
            auth_authority.decode_hashes,
            auth_authority.former,
        )
    ),
    either("auth_authority.ways", lambda raw: auth_authority.ways([raw]), *AUTHORITIES),
    text(
        "bind_codes.decode_active_directory",
        bind_codes.decode_active_directory,
        "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext, data 52e",
    ),
    text(
        "bind_codes.decode_open_directory",
        lambda raw: bind_codes.decode_open_directory(19, raw),
        "1 account is disabled",
        "5: new password required",
    ),
    text("dn.parse", dn.parse, DN, "cn=#04024869,2.5.4.3=x"),
    text("dn.parent", dn.parent, DN),
    text("dn.rdn_value", lambda raw: dn.rdn_value(raw, "uid"), DN),
    text("dn.comparable", dn.comparable, DN),
    text("dn.is_below", lambda raw: dn.is_below(DN, raw), DN, "DC=example,DC=com"),
    text("dn.dns_name", dn.dns_name, DN),
    text("dn.from_dns_name", dn.from_dns_name, "mail1.company.com."),
    either("errors.as_text", errors.as_text, "jürgen"),
    either("exchange.decode_recipient_type", exchange.decode_recipient_type, "128"),
    either("exchange.decode_flag", exchange.decode_flag, "TRUE", "FALSE"),
    either(
        "extended_dn.decode",
        extended_dn.decode,
        f"<GUID={GUID}>;<SID={SID_TEXT}>;{DN}",
        f"<GUID={UUID.hex()}>;<SID={SID.hex()}>;{DN}",
    ),
    either("filetime.decode", filetime.decode, "133536816000000000", "0"),
    text("filter.check", filters.check, r"(&(a=b)(!(c>=\2a*d)))", "(a:1.2:=b)"),
    text("filter.attributes_of", filters.attributes_of, r"(&(a=b)(!(c>=\2a)))"),
    either(
        "generalized_time.decode",
        generalized_time.decode,
        "20240229120000.0Z",
        "2024022912,5+0130",
    ),
    either("group_type.decode", group_type.decode, "-2147483646", "8"),
    value("guid.decode_object_guid", guid.decode_object_guid, UUID),
    value("guid.decode_generated_uid", guid.decode_generated_uid, GUID.encode()),
    value("guid.decode_entry_uuid", guid.decode_entry_uuid, GUID.encode()),
    value(
        "guid.decode_ns_unique_id",
        guid.decode_ns_unique_id,
        b"66446001-1dd211b2-66225011-2ee211db",
    ),
    value("guid.decode_id", lambda raw: guid.decode_id("entryUUID", raw), UUID),
    text(
        "guid.encode_id",
        lambda raw: guid.encode_id("objectGUID", DirectoryId(raw)),
        GUID,
    ),
    value(
        "logon_hours.decode", lambda raw: logon_hours.decode(raw).allow(NOW), bytes(21)
    ),
    either("mit_kerberos.decode", mit_kerberos.decode, KRB5_CONF),
    value(
        "open_directory_config.decode_replicas",
        lambda raw: open_directory_config.decode_replicas([raw]),
        b"ldap://mail1.company.com:389/dc=x",
        b"ldap://[2001:db8::1]",
    ),
    value(
        "open_directory_config.decode_mechanisms",
        lambda raw: open_directory_config.decode_mechanisms([raw]),
        b"CRAM-MD5",
    ),
    either(
        "open_directory_state.decode_allowed",
        open_directory_state.decode_allowed,
        "5301",
        "1",
    ),
    either(
        "password_age.decode_last_set",
        password_age.decode_last_set,
        "133536816000000000",
    ),
    either(
        "password_age.decode_expiry", password_age.decode_expiry, "9223372036854775807"
    ),
    text(
        "password_server_record.parse_address",
        password_server_record.parse_address,
        "10.0.0.5:3659",
        "ipv6/[2001:db8::1]:3659",
        "dns/od.company.com",
    ),
    text(
        "password_server_record.id_of_record",
        password_server_record.id_of_record,
        "passwordserver_FC7786CAF5A6556973D23E6373C06801",
    ),
    text("password_server_record.identity", password_server_record.identity, KEY),
    either("proxy_addresses.decode", proxy_addresses.decode, "SMTP:a@b.c", "X500:/o=x"),
    value(
        "proxy_addresses.decode_all",
        lambda raw: proxy_addresses.decode_all([raw, b"SMTP:a@b.c"]),
        b"smtp:a@b.c",
    ),
    either(
        "proxy_addresses.decode_target", proxy_addresses.decode_target, "SMTP:a@b.c"
    ),
    text("plain_ldap_state.is_locked", plain_ldap_state.is_locked, "TRUE", "false"),
    text("realm.decode", realm.decode, "COMPANY.COM", "LKDC:SHA1.AB"),
    value("lockout.decode", lambda raw: lockout.decode(raw, b"-18000000000"), b"5"),
    value("pac.user_sid", pac.user_sid, SAMBA),
    value("sid.decode", sid.decode, SID),
    text("sid.encode", sid.encode, SID_TEXT),
    text("sid.rid", sid.rid, SID_TEXT),
    text("sid.domain", sid.domain, SID_TEXT),
    either(
        "sid.primary_group", lambda raw: sid.primary_group(SID_TEXT, raw), "513", "4294"
    ),
    either("workstations.decode", workstations.decode, "pc-anna,PC-BOB, mac"),
]

PLIST = plistlib.dumps(
    {
        "kAttributeVersion": "Apple Mail 1.0",
        "kMailAccountState": "Forward",
        "kAutoForwardValue": "anna@example.net",
        "kUserDiskQuota": "500",
        "edu.mit.kerberos": {
            "libdefaults": {"default_realm": "COMPANY.COM"},
            "realms": {"COMPANY.COM": {"KDC_List": ["mail1.company.com."]}},
            "domain_realm": {".local": "LKDC:SHA1.AB"},
        },
        "Record Type Map": [1],
        "Configured Security Level": {"Binding Required": True},
        "isDisabled": 1,
        "ID": "FC7786CAF5A6556973D23E6373C06801",
        "Parent": {"IP": "10.0.0.5"},
        "Replicas": [{"IP": ["10.0.0.6:3659", 7], "Replicas": [{"IP": "10.0.1.1"}]}],
        "DecommissionedReplicas": [{"IP": "10.0.0.8"}],
    }
)

PLISTS = [
    either("plists.decode", plists.decode, PLIST.decode()),
    *(
        value(name, read, PLIST)
        for name, read in {
            "plists.decode_mail_attribute": plists.decode_mail_attribute,
            "kerberos_client.decode": kerberos_client.decode,
            "open_directory_config.decode_policy": open_directory_config.decode_policy,
            "open_directory_state.decode_policy": open_directory_state.decode_policy,
            "password_server_record.decode": password_server_record.decode,
        }.items()
    ),
]

TABLES = {
    "codecs": CODECS,
    "password server": FEEDS,
    "values": VALUES,
    "property lists": PLISTS,
}
ALL = {fed.name: fed for table in TABLES.values() for fed in table}


@pytest.mark.parametrize("fed", ALL.values(), ids=ALL)
def test_samples_and_what_failed_once(fed: Fed) -> None:
    for sample in fed.all_samples:
        fed.take(sample)


@pytest.mark.fuzz
@pytest.mark.parametrize("table", TABLES)
@given(tape=st.binary(min_size=4, max_size=31))
def test_anything_gives_a_value_or_the_own_error(table: str, tape: bytes) -> None:
    for fed in TABLES[table]:
        fed.feed(tape)


def test_what_failed_once_belongs_to_somebody() -> None:
    assert {path.name for path in FOUND.iterdir() if path.is_dir()} <= set(ALL)


@pytest.mark.parametrize("package", [dirbridge.protocols, dirbridge.directory])
def test_the_table_names_every_decoder(package: ModuleType) -> None:
    modules = [
        importlib.import_module(f"{package.__name__}.{info.name}")
        for info in pkgutil.iter_modules(package.__path__)
    ]
    wanted = {name for module in modules for name in _decoders(module)}
    missing = sorted(wanted - set(ALL))
    assert not missing, f"give {missing} a line in the table above"


def _decoders(module: ModuleType) -> Iterator[str]:
    """What takes octets or text and may refuse them, and what is called a decoder."""
    short = module.__name__.rpartition(".")[2]
    for name, each in vars(module).items():
        if name.startswith("_") or getattr(each, "__module__", "") != module.__name__:
            continue
        if inspect.isfunction(each):
            wanted = name.startswith(("decode", "parse")) or (
                _takes_octets_or_text(each) and "Raises:" in (each.__doc__ or "")
            )
        else:
            wanted = inspect.isclass(each) and (
                # A Protocol only says what its classes do.
                not getattr(each, "_is_protocol", False)
                and any(hasattr(each, verb) for verb in _FED)
            )
        if wanted:
            yield f"{short}.{name}"


_FED = ("receive_data", "feed", "step", "decode")


def _takes_octets_or_text(function: Callable[..., object]) -> bool:
    first = next(iter(inspect.signature(function).parameters.values()), None)
    return first is not None and any(
        kind in str(first.annotation) for kind in ("bytes", "str")
    )
