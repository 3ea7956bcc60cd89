"""
The listening socket of the viewer, and the addresses at which a browser reaches it.
"""

from __future__ import annotations

import ipaddress
import socket
from contextlib import suppress

__all__ = ["authority_of", "is_loopback", "is_wildcard", "listen", "local_address", "reachable_hosts"]

_BACKLOG = 128
_HTTP_PORT = 80
_MAPPED = "::ffff:"
# Addresses for documentation (RFC 5737, RFC 3849). Connecting a UDP socket to one of them sends nothing, and sets the
# socket's own address to the address of this machine on the network.
_OUTSIDE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}


def listen(host: str, port: int) -> socket.socket:
    """
    Return a listening socket. Blocks while a host name is looked up.

    Args:
        host: An address of this machine, a name that resolves to one, ``0.0.0.0`` for all IPv4 addresses, or ``::`` for
            all addresses, IPv4 and IPv6.
        port: Port number; 0 for any free port.

    Raises:
        OSError: The name is unknown, the address is not one of this machine, or the port is in use. The *filename* of
            the error is the host, or the host and port.
        ValueError: *host* cannot be a host name.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        error.filename = host or repr(host)
        raise
    except UnicodeError as error:
        raise ValueError(f"{host!r} is not a host name: {error}") from error
    family, _, _, _, address = found[0]
    try:
        return _bind(family, address)
    except OSError as error:
        error.filename = authority_of(host, port)
        raise


def _bind(family: int, address: tuple[object, ...]) -> socket.socket:
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
    Return the local address and port of a socket, in the form of a URL: without a zone, and IPv4 not mapped to IPv6.
    """
    host, port = connection.getsockname()[:2]
    return host.partition("%")[0].removeprefix(_MAPPED), port


def authority_of(host: str, port: int) -> str:
    """
    Return host and port in the form of a URL and of the Host header.
    """
    name = f"[{host}]" if ":" in host else host
    return name if port == _HTTP_PORT else f"{name}:{port}"


def is_loopback(host: str) -> bool:
    """
    Return whether only this machine can reach an address.
    """
    return ipaddress.ip_address(host).is_loopback


def is_wildcard(host: str) -> bool:
    """
    Return whether an address means all addresses of this machine.
    """
    return ipaddress.ip_address(host).is_unspecified


def reachable_hosts(host: str) -> list[str]:
    """
    Return the addresses at which a listening address can be reached: the address itself; or, for a wildcard, the
    addresses of this machine, loopback first. Of several networks, only the one of the default route is known.
    """
    if not is_wildcard(host):
        return [host]
    families = [socket.AF_INET, socket.AF_INET6] if ":" in host else [socket.AF_INET]
    loopback = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
    network = [address for family in families if (address := _network_address(family))]
    return [*(loopback[family] for family in families), *network]


def _network_address(family: socket.AddressFamily) -> str | None:
    # Without a route, the machine has no such address.
    with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((_OUTSIDE[family], 9))
        return local_address(probe)[0]
    return None
