"""The lines that a mail server needs to ask dirbridge: text, nothing is changed."""

from __future__ import annotations

from pathlib import PurePath

from dirbridge.config.settings import HookSettings, HookType, Settings
from dirbridge.errors import ConfigError, Problem

POSTFIX_QUEUE = PurePath("/var/spool/postfix")
"""Where Postfix keeps its queue, unless its `queue_directory` says otherwise."""

_POSTFIX = """\
# main.cf: Postfix asks dirbridge who may log in.
# Start dirbridge before Postfix: an smtpd that meets no socket at its start ends,
# and takes no mail either. Enable SASL for the submission services in master.cf
# (-o smtpd_sasl_auth_enable=yes) rather than for port 25, if you can.
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
{path}
smtpd_sasl_security_options = noanonymous
smtpd_sasl_tls_security_options = noanonymous
# Passwords only over TLS.
smtpd_tls_auth_only = yes
"""

_TICKETS = """\
# Kerberos tickets of people in many groups are long.
smtpd_sasl_response_limit = 16000
"""

_IN_QUEUE = """\
# Relative to the queue directory, {queue}: smtpd may be chrooted there.
smtpd_sasl_path = {path}"""

_ELSEWHERE = """\
# Outside the queue directory, {queue}: works only where master.cf has "n" in
# the chroot column of smtpd. Better put the hook's socket below {queue}/private.
smtpd_sasl_path = {path}"""

_TCP = """\
# In clear text, and the first login after a restart of dirbridge fails for a
# moment: better give the hook a socket below {queue}/private.
smtpd_sasl_path = inet:{path}"""


def postfix_lines(settings: Settings) -> str:
    """Give the lines of main.cf for the first Dovecot auth hook.

    Raises:
        ConfigError: No such hook is configured.
    """
    hooks = [hook for hook in settings.hooks if hook.type is HookType.DOVECOT_AUTH]
    if not hooks:
        raise ConfigError((_NO_HOOK,))
    by_ticket = any(domain.login.sso for domain in settings.domains.values())
    return _POSTFIX.format(path=_path(hooks[0])) + (_TICKETS if by_ticket else "")


def _path(hook: HookSettings) -> str:
    if hook.socket is None:
        return _TCP.format(queue=POSTFIX_QUEUE, path=hook.listen)
    if hook.socket.is_relative_to(POSTFIX_QUEUE):
        inside = hook.socket.relative_to(POSTFIX_QUEUE)
        return _IN_QUEUE.format(queue=POSTFIX_QUEUE, path=inside)
    return _ELSEWHERE.format(queue=POSTFIX_QUEUE, path=hook.socket)


_NO_HOOK = Problem(
    "no-dovecot-auth-hook",
    "[[hooks]]",
    "No hook of the type that Postfix asks is configured.",
    'Add a [[hooks]] table with type = "dovecot-auth", '
    f'socket = "{POSTFIX_QUEUE}/private/dirbridge", owner = "postfix" and '
    'group = "postfix".',
)
