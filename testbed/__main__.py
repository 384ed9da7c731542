"""`python -m testbed provision|up`: the bed for a person at a terminal."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import tempfile
import threading
from pathlib import Path

from testbed import namespace, provision
from testbed.bed import SERVERS, Bed
from testbed.process import BedError


def main() -> int:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(prog="python -m testbed", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("provision", help="build all parts that the cache lacks")
    up = verbs.add_parser("up", help="start servers and wait for Ctrl-C")
    up.add_argument("servers", nargs="*", metavar="SERVER", help=", ".join(SERVERS))
    up.add_argument("--directory", type=Path, help="default: a new temporary one")
    build = verbs.add_parser("build", help="(used by provision) build one part")
    build.add_argument("part", choices=provision.PARTS)
    build.add_argument("target", type=Path)
    options = parser.parse_args()
    try:
        return _do(options)
    except (BedError, namespace.NamespaceError) as error:
        print(error, file=sys.stderr)
        return 1


def _do(options: argparse.Namespace) -> int:
    if options.verb == "provision":
        for part in provision.PARTS:
            print(f"{part}: {provision.ensure(part)}", flush=True)
    elif options.verb == "build":
        namespace.enter(fresh=True)
        provision.build(options.part, options.target)
    elif options.directory:
        _up(options.directory, options.servers)
    else:
        with tempfile.TemporaryDirectory(prefix="bed-") as name:
            Path(name).chmod(0o711)
            _up(Path(name), options.servers)
    return 0


def _up(directory: Path, servers: list[str]) -> None:
    namespace.enter()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with Bed(directory) as bed:
            bed.start(*servers)
            _describe(bed)
            threading.Event().wait()
    except KeyboardInterrupt:
        print("stopped")


def _describe(bed: Bed) -> None:
    for server in bed.servers.values():
        if server.running:
            print(f"{server.name:<11} {server.host}:{server.port} ({server.address})")
    print(f"directory   {bed.directory}")
    print(f"passwords   {bed.directory / 'passwords.json'}")
    print(f"authority   {bed.ca_file}")
    print(f"krb5.conf   {bed.krb5_conf}")
    print(f"enter       {shlex.join(namespace.inside_command(os.getpid()))} bash")
    print("Ctrl-C stops everything.", flush=True)


if __name__ == "__main__":
    sys.exit(main())
