"""Notices by mail, through the mail server of this machine or site.

TLS is used where the server offers it, as mail servers do among themselves (RFC 7435):
without `ca_file` it keeps readers out, not impostors. There is no password to lose.
"""

from __future__ import annotations

import logging
import smtplib
import ssl
from dataclasses import dataclass
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from pathlib import Path

from dirbridge.errors import harmless
from dirbridge.model.finding import Finding, Outcome
from dirbridge.notices.base import TIMEOUT, Message

LOG = logging.getLogger("dirbridge.notices")

# A host's or person's name that the libraries cannot write is a ValueError.
_ERRORS = (OSError, smtplib.SMTPException, ValueError, MessageError)

_MEND = "mend `mail_to` below [notices]"


@dataclass(frozen=True, slots=True)
class Mail:
    """Sends notices by SMTP.

    Attributes:
        host: The mail server.
        port: Its port.
        sender: Address of the sender.
        recipients: Who gets them.
        ca_file: Whose certificates the server's must be of; any will do where None.
        timeout: Seconds for each step.
    """

    host: str
    port: int
    sender: str
    recipients: tuple[str, ...]
    ca_file: Path | None = None
    timeout: float = TIMEOUT

    @property
    def name(self) -> str:
        """The channel's word."""
        return "mail"

    def send(self, message: Message) -> str:
        """Send a message; see `Channel.send`."""
        try:
            with self._session() as session:
                refused = session.send_message(
                    self._written(message), self.sender, list(self.recipients)
                )
        except _ERRORS as error:
            return harmless(_words(error))
        if refused:
            # The others have it: sent again, they would get it again.
            who = harmless(", ".join(refused))
            LOG.warning("notices: %s takes no mail for %s; %s", self.host, who, _MEND)
        return ""

    def check(self) -> Finding:
        """Greet the server, with TLS where it offers it; see `Channel.check`."""
        where = f"notices: {self.host}:{self.port}"
        try:
            with self._session():
                pass
        except _ERRORS as error:
            text = f"The mail server cannot be used: {harmless(_words(error))}."
            mend = "Mend `smtp` below [notices], the server, or `ca_file`."
            code = "smtp-unreachable"
            return Finding(where, "mail", Outcome.FAILED, text, mend, code)
        text = "The mail server answers; nothing was sent."
        return Finding(where, "mail", Outcome.OK, text)

    def _session(self) -> smtplib.SMTP:
        session = smtplib.SMTP(self.host, self.port, timeout=self.timeout)
        try:
            session.ehlo_or_helo_if_needed()
            if session.has_extn("starttls"):
                session.starttls(context=self._tls())
                session.ehlo_or_helo_if_needed()
        except BaseException:
            session.close()
            raise
        return session

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.ca_file is None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _written(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["Subject"] = message.subject
        mail["From"] = Address("dirbridge", addr_spec=self.sender)
        mail["To"] = tuple(Address(addr_spec=one) for one in self.recipients)
        mail["Date"] = format_datetime(datetime.now().astimezone())
        mail["Message-ID"] = make_msgid(domain=self.sender.rpartition("@")[2])
        # Who is away shall not answer (RFC 3834).
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text())
        return mail


def _words(error: Exception) -> str:
    match error:
        case smtplib.SMTPResponseException():
            said = error.smtp_error
            text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
            words = f"{error.smtp_code} {text}"
        case smtplib.SMTPRecipientsRefused():
            words = f"it takes no mail for {', '.join(error.recipients)}"
        case TimeoutError():
            words = "it did not answer in time"
        case ssl.SSLCertVerificationError():
            words = f"its certificate is not trusted ({error.verify_message})"
        case OSError():
            words = error.strerror or str(error) or type(error).__name__
        case UnicodeError():
            words = "its name cannot be resolved"
        case ValueError() | MessageError():
            words = "an address is none that mail can name"
        case _:
            words = str(error) or type(error).__name__
    return words
