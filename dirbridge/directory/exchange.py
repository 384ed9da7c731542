"""What Exchange keeps in Active Directory beside addresses.

Names and numbers: Microsoft's list of RecipientTypeDetails values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from dirbridge.directory.errors import Undecodable, as_text

_NUMBER = re.compile(r"\d{1,19}\Z", re.ASCII)
_BOOLEANS = {"TRUE": True, "FALSE": False}

RECIPIENT_TYPES: Mapping[int, str] = {
    2**0: "user mailbox",
    2**1: "linked mailbox",
    2**2: "shared mailbox",
    2**3: "legacy mailbox",
    2**4: "room mailbox",
    2**5: "equipment mailbox",
    2**6: "mail contact",
    2**7: "mail user",
    2**8: "mail-enabled universal distribution group",
    2**9: "mail-enabled non-universal group",
    2**10: "mail-enabled universal security group",
    2**11: "dynamic distribution group",
    2**12: "public folder",
    2**13: "system attendant mailbox",
    2**14: "system mailbox",
    2**15: "mail forest contact",
    2**16: "user",
    2**17: "contact",
    2**18: "universal distribution group",
    2**19: "universal security group",
    2**20: "non-universal group",
    2**21: "disabled user",
    2**22: "Microsoft Exchange",
    2**23: "arbitration mailbox",
    2**24: "mailbox plan",
    2**25: "linked user",
    2**28: "room list",
    2**29: "discovery mailbox",
    2**30: "role group",
    2**31: "remote user mailbox",
    2**33: "remote room mailbox",
    2**34: "remote equipment mailbox",
    2**35: "remote shared mailbox",
    2**36: "public folder mailbox",
    2**37: "team mailbox",
    2**38: "remote team mailbox",
    2**39: "monitoring mailbox",
    2**40: "group mailbox",
    2**41: "linked room mailbox",
    2**42: "audit log mailbox",
    2**43: "remote group mailbox",
    2**44: "scheduling mailbox",
    2**45: "guest mail user",
}
"""msExchRecipientTypeDetails: each kind is one bit."""

_SYSTEM = frozenset((2**13, 2**14, 2**22, 2**23, 2**24, 2**29, 2**39, 2**42))


@dataclass(frozen=True, slots=True)
class RecipientType:
    """What Exchange takes a recipient for.

    Attributes:
        number: The value of msExchRecipientTypeDetails.
        name: Its name for people, or the number where we do not know it.
        system: Whether it belongs to Exchange itself and to no person.
    """

    number: int
    name: str
    system: bool = False


def decode_recipient_type(raw: bytes | str) -> RecipientType:
    """Read msExchRecipientTypeDetails.

    Raises:
        Undecodable: It is no positive 64-bit number.
    """
    text = as_text(raw).strip()
    if not _NUMBER.match(text) or not 0 < int(text) < 2**63:
        raise Undecodable("is not a kind of recipient, a positive number")
    number = int(text)
    name = RECIPIENT_TYPES.get(number, str(number))
    return RecipientType(number, name, number in _SYSTEM)


def decode_flag(raw: bytes | str) -> bool:
    """Read a Boolean (RFC 4517 3.3.3) such as msExchHideFromAddressLists.

    deliverAndRedirect is one too: whether the mailbox keeps a copy of what
    altRecipient gets.

    Raises:
        Undecodable: It is neither TRUE nor FALSE.
    """
    try:
        return _BOOLEANS[as_text(raw).strip().upper()]
    except KeyError:
        raise Undecodable("is neither TRUE nor FALSE") from None
