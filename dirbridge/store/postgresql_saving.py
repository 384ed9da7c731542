"""Saving a PostgreSQL database with its own programs, and restoring it whole."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sqlalchemy import URL

from dirbridge.errors import StoreError
from dirbridge.model.secret import Secret
from dirbridge.store.base import RESTORED
from dirbridge.store.schema import VERSION_TABLE, Base

_NEW_FILE = os.O_CREAT | os.O_EXCL | os.O_WRONLY
_VERSION_ROW = re.compile(
    rf"^COPY \S*\b{VERSION_TABLE} .*\n(\d+)$".encode(), re.MULTILINE
)
_MOST_SAID = 4096


@dataclass(frozen=True, slots=True)
class Programs:
    """PostgreSQL's client programs for one database.

    Attributes:
        url: The database, without its password.
        password: The password, which they get by their environment.
        where: The database for people.
    """

    url: URL
    password: Secret | None
    where: str

    def save(self, target: Path) -> None:
        """Save the database with pg_dump, while it is in use.

        Raises:
            StoreError: `no-program`, or `backup`; there is no copy.
        """
        program = self._found("pg_dump")
        try:
            handle = os.open(target, _NEW_FILE, 0o600)
        except OSError as error:
            words = f"no copy at {target}: {error.strerror}"
            raise StoreError("backup", self.where, words) from error
        with os.fdopen(handle, "wb") as dump:
            said = self._run([program, "--format=custom", self._database], dump)
        if said is not None:
            target.unlink(missing_ok=True)
            raise StoreError("backup", self.where, f"pg_dump: {said}")

    def restore(self, source: Path, newest: int) -> None:
        """Put what pg_dump saved in the place of what is there, all or nothing.

        Args:
            source: What to restore.
            newest: The newest schema that will do.

        Raises:
            StoreError: `no-program`, `no-backup` or `newer-schema`; nothing was
                changed.
        """
        reader, writer = self._found("pg_restore"), self._found("psql")
        self._check(reader, source, newest)
        with tempfile.TemporaryFile() as said, self._writing(writer, said) as psql:
            if psql.stdin is None:
                raise AssertionError("it was asked for a pipe")
            try:
                psql.stdin.write(_BEFORE.encode())
                psql.stdin.flush()
                script = [reader, "--no-owner", "--no-privileges", "--file=-"]
                read = self._run([*script, str(source)], psql.stdin)
                if read is None:
                    psql.stdin.write(_AFTER.encode())
                psql.stdin.close()
            except BrokenPipeError:
                read = "psql ended early"
            if psql.wait() or read is not None:
                said.seek(0)
                words = _first_line(said.read(_MOST_SAID)) or read
                raise StoreError("no-backup", self.where, f"{source}: {words}")

    def _check(self, reader: str, source: Path, newest: int) -> None:
        """Look at the schema's number before anything is touched."""
        with tempfile.TemporaryFile() as rows:
            only = ["--data-only", f"--table={VERSION_TABLE}", "--file=-"]
            said = self._run([reader, *only, str(source)], rows)
            rows.seek(0)
            found = _VERSION_ROW.search(rows.read())
        if said is not None or found is None:
            words = f"{source}: {said or 'it holds something else'}"
            raise StoreError("no-backup", self.where, words)
        if int(found[1]) > newest:
            words = f"{source} has schema {int(found[1])}, this release knows {newest}"
            raise StoreError("newer-schema", self.where, words)

    def _writing(self, writer: str, said: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - the url is the configuration's
            [
                *(writer, "--no-psqlrc", "--quiet", self._database),
                # Of an error only its code: the words hold values.
                *("--set=ON_ERROR_STOP=1", "--set=VERBOSITY=sqlstate"),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=said,
            env=self._environment,
        )

    def _run(self, command: list[str], output: IO[bytes]) -> str | None:
        """Run a program to its end; returns what it says when it fails."""
        done = subprocess.run(  # noqa: S603 - the url is the configuration's
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            env=self._environment,
            check=False,
        )
        if not done.returncode:
            return None
        return _first_line(done.stderr) or f"exit code {done.returncode}"

    def _found(self, name: str) -> str:
        program = shutil.which(name)
        if program is None:
            raise StoreError("no-program", self.where, name)
        return program

    @property
    def _database(self) -> str:
        plain = self.url.set(drivername="postgresql").render_as_string()
        return f"--dbname={plain}"

    @property
    def _environment(self) -> Mapping[str, str]:
        secret = {"PGPASSWORD": self.password.reveal()} if self.password else {}
        return {**os.environ, **secret}


def _first_line(said: bytes) -> str:
    return said.decode("utf-8", "replace").strip().partition("\n")[0]


_TABLES = ", ".join(f'"{name}"' for name in (*Base.metadata.tables, VERSION_TABLE))
_BEFORE = f"""
BEGIN;
SET client_min_messages = warning;
DROP TABLE IF EXISTS {_TABLES} CASCADE;
"""
_AFTER = f"""
RESET search_path;
UPDATE cursors SET kind = '{RESTORED.kind}', value = '';
DO $$ BEGIN
    IF to_regclass('offers') IS NOT NULL THEN DELETE FROM offers; END IF;
END $$;
COMMIT;
"""  # noqa: S608 - a word of this program
