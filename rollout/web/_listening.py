"""
Where the viewer listens, and under which addresses a browser reaches it.
"""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress

__all__ = ["authority_of", "is_loopback", "is_wildcard", "listen", "local_address", "reachable_hosts"]

_BACKLOG = 128
_HTTP_PORT = 80
_MAPPED = "::ffff:"
# Addresses for documentation (RFC 5737, RFC 3849): connecting a UDP socket sends nothing, and tells which own address
# leads to other machines.
_OUTSIDE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}


def listen(host: str, port: int) -> socket.socket:
    """
    Return a socket that listens. Blocks while a host name is looked up.

    Args:
        host: An address of this machine, a name that leads to one, or ``0.0.0.0`` or ``::`` for all; ``::`` takes
            IPv4, too.
        port: 0 for any that is free.

    Raises:
        OSError: The name is not known, the address is not this machine's, or the port is taken; *filename* is which.
        ValueError: *host* cannot be a name.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        error.filename = host or repr(host)
        raise
    except UnicodeError as error:
        raise ValueError(f"{host!r} is no host name: {error}") from error
    family, _, _, _, address = found[0]
    try:
        return _bound(family, address)
    except OSError as error:
        error.filename = authority_of(host, port)
        raise


def _bound(family: int, address: tuple[object, ...]) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not is_wildcard(str(address[0])))
        listener.bind(address)
        listener.listen(_BACKLOG)
    except BaseException:
        listener.close()
        raise
    return listener


def local_address(connection: socket.socket) -> tuple[str, int]:
    """
    Return the own address and port of a socket, as they stand in a URL: without a zone, IPv4 as IPv4.
    """
    host, port = connection.getsockname()[:2]
    return host.partition("%")[0].removeprefix(_MAPPED), port


def authority_of(host: str, port: int) -> str:
    """
    Return host and port as a URL and the Host header have them.
    """
    name = f"[{host}]" if ":" in host else host
    return name if port == _HTTP_PORT else f"{name}:{port}"


def is_loopback(host: str) -> bool:
    """
    Whether only this machine reaches an address.
    """
    return ipaddress.ip_address(host).is_loopback


def is_wildcard(host: str) -> bool:
    """
    Whether an address stands for all of this machine.
    """
    return ipaddress.ip_address(host).is_unspecified


def reachable_hosts(host: str) -> list[str]:
    """
    Return the addresses to open for one that is listened on: itself, or for a wildcard this machine's own, loopback
    first; of several networks only that of the default route is known.
    """
    if not is_wildcard(host):
        return [host]
    families = [socket.AF_INET, socket.AF_INET6] if ":" in host else [socket.AF_INET]
    loopback = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
    outside = [address for family in families if (address := _address_outside(family))]
    return [*(loopback[family] for family in families), *outside]


def _address_outside(family: socket.AddressFamily) -> str | None:
    # Without a route there is none.
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((_OUTSIDE[family], 9))
        return local_address(probe)[0]
    return None
