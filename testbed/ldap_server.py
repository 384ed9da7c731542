"""What both kinds of LDAP servers have in common."""

from __future__ import annotations

import tempfile

from testbed import ldif
from testbed.process import run
from testbed.server import Server


class LdapServer(Server):
    """A server that the bed itself changes and reads as its administrator.

    Attributes:
        base: The suffix under which `search` looks.
        admin: The bind name of the administrator.
        admin_key: Under which key the bed keeps the administrator's password.
    """

    port = 636
    base: str
    admin: str
    admin_key: str

    def modify(self, records: str) -> None:
        """Apply LDIF (adds, changes, deletions), over LDAPS.

        Raises:
            BedError: The server refused; records before the refused one stay.
        """
        self._ldap("ldapmodify", "-a", stdin=records)

    def delete(self, dn: str) -> None:
        """Delete an entry."""
        self.modify(ldif.delete(dn))

    def search(self, flt: str, *attributes: str) -> str:
        """Search below the base; gives LDIF, without line breaks."""
        quiet = ("-LLL", "-o", "ldif-wrap=no")
        return self._ldap("ldapsearch", *quiet, "-b", self.base, flt, *attributes)

    def has(self, flt: str) -> bool:
        """Whether this server has an entry that matches."""
        return "dn:" in self.search(flt, "1.1")

    def _ldap(self, tool: str, *arguments: str, stdin: str | None = None) -> str:
        with tempfile.NamedTemporaryFile("w") as secret:
            secret.write(self.password(self.admin_key))
            secret.flush()
            bind = ("-x", "-D", self.admin, "-y", secret.name)
            # It must work while the server shows a wrong certificate for a test.
            return run(
                [tool, "-H", f"ldaps://{self.host}", *bind, *arguments],
                stdin=stdin,
                env={"LDAPTLS_REQCERT": "never"},
            )
