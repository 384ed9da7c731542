"""A private network and mount namespace, in which the bed's names resolve.

Several beds can so run at the same time on one machine with the same
addresses, certificates are verified against real host names, and nothing of
the host is changed.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import subprocess
import tempfile
import threading
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18

HOSTS = """\
127.0.0.1 localhost
::1 localhost
127.0.0.10 dc1.corp.example.com dc1 corp.example.com
127.0.0.11 dc2.corp.example.com dc2 corp.example.com
127.0.0.20 od.example.com alias.example.com
127.0.0.21 od2.example.com
127.0.0.22 scale.example.com
127.0.0.30 kdc.od.example.com
127.0.0.40 db.example.com db
127.0.1.10 mail.example.com
127.0.1.20 mail.example.org
"""
RESOLVER = """\
search corp.example.com
nameserver 127.0.0.10
nameserver 127.0.0.11
options timeout:1 attempts:1
"""

# A process inside names its namespace here, so that children know it as well.
MARK = "TESTBED_NAMESPACE"
# Packets for a server that is cut off are routed here, where nobody listens.
SINK = "sink"
ORDINARY_ADDRESS = "198.51.100.1"

_libc = ctypes.CDLL(None, use_errno=True)


class NamespaceError(Exception):
    """A private namespace cannot be had here."""


def enter(*, fresh: bool = False, threads: int = 1) -> None:
    """Put this process into a bed's namespace; once inside it does nothing.

    Args:
        fresh: Make a new one although this process is in one already.
        threads: How many it may have; those besides ours stay outside.

    Raises:
        NamespaceError: We are not allowed to, or threads exist already.
    """
    if inside() and not fresh:
        return
    if threading.active_count() > threads:
        raise NamespaceError(
            "A namespace is entered by one thread only and this process has more: "
            "call testbed.namespace.enter() before threads are started."
        )
    outer = {kind: os.open(f"/proc/self/ns/{kind}", os.O_RDONLY) for kind in _KINDS}
    _unshare()
    os.environ[MARK] = f"{_inode()} {os.getpid()} {outer['net']} {outer['mnt']}"
    _mount("none", "/", MS_REC | MS_PRIVATE)
    for path, text in (
        (Path("/etc/hosts"), HOSTS),
        (Path("/etc/resolv.conf"), RESOLVER),
    ):
        _cover(path.resolve(), text)
    _bring_up_network()


def inside() -> bool:
    """Whether this process is in a bed's namespace."""
    return os.environ.get(MARK, "").split(" ")[0] == _inode()


def outside(argv: list[str]) -> list[str]:
    """The command that runs `argv` in the namespaces we came from (for pip)."""
    if not inside():
        return argv
    _, pid, net, mnt = os.environ[MARK].split(" ")
    descriptors = f"/proc/{pid}/fd"
    return [
        "nsenter",
        f"--net={descriptors}/{net}",
        f"--mount={descriptors}/{mnt}",
        f"--wdns={Path.cwd()}",
        *argv,
    ]


def inside_command(pid: int) -> list[str]:
    """The prefix by which another shell of this machine joins process `pid`."""
    return ["nsenter", f"--target={pid}", "--net", "--mount", f"--wdns={Path.cwd()}"]


def lose_packets(address: str) -> None:
    """From now on packets to this address are lost, without any answer."""
    _ip("route", "replace", f"{address}/32", "dev", SINK, "scope", "link", *_LOCAL)


def deliver_packets(address: str) -> None:
    """Undo `lose_packets`."""
    _ip("route", "del", f"{address}/32", "dev", SINK, "scope", "link", *_LOCAL)


_KINDS = ("net", "mnt")
_LOCAL = ("table", "local")


def _unshare() -> None:
    if _libc.unshare(CLONE_NEWNS | CLONE_NEWNET) == 0:
        return
    reason = os.strerror(ctypes.get_errno())
    raise NamespaceError(
        f"No private network and mount namespace here ({reason}): run as root, and in "
        "a container with the capabilities SYS_ADMIN and NET_ADMIN."
    )


def _mount(source: str, target: str, flags: int) -> None:
    if _libc.mount(source.encode(), target.encode(), b"none", flags, None) != 0:
        reason = os.strerror(ctypes.get_errno())
        raise NamespaceError(
            f"Cannot mount over {target} ({reason}): run as root, and in a container "
            "with the capability SYS_ADMIN."
        )


def _cover(path: Path, text: str) -> None:
    """Lay a file with this text over `path`, for our mount namespace only."""
    if path.exists() and path.read_text() == text:
        return  # inherited from the namespace that we come from
    if not path.exists():
        path.touch(mode=0o644)
        atexit.register(_uncover, path, os.getpid())
    with tempfile.NamedTemporaryFile("w") as private:
        private.write(text)
        private.flush()
        Path(private.name).chmod(0o644)
        # The mount outlives the name of what is mounted.
        _mount(private.name, str(path), MS_BIND)


def _uncover(path: Path, owner: int) -> None:
    if os.getpid() == owner:
        _libc.umount2(str(path).encode(), 2)
        path.unlink(missing_ok=True)


def _bring_up_network() -> None:
    _ip("link", "set", "lo", "up")
    end = f"{SINK}-end"
    _ip("link", "add", SINK, "type", "veth", "peer", "name", end)
    for link in (SINK, end):
        _ip("link", "set", link, "arp", "off", "up")
    # A resolver with AI_ADDRCONFIG (libkrb5's) takes a machine with nothing but
    # loopback addresses for one without IPv4 and finds no name at all.
    _ip("address", "add", f"{ORDINARY_ADDRESS}/32", "dev", end)
    # Without it the kernel refuses at once to send 127/8 out of a real device.
    Path(f"/proc/sys/net/ipv4/conf/{SINK}/route_localnet").write_text("1")


def _ip(*arguments: str) -> None:
    done = subprocess.run(
        ["ip", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise NamespaceError(
            f"`ip {' '.join(arguments)}` failed: {done.stderr.strip()}. "
            "Install the package iproute2, and load the kernel module veth."
        )


def _inode() -> str:
    return str(Path("/proc/self/ns/net").stat().st_ino)
