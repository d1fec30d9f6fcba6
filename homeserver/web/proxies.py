"""Whose address a request really comes from.  Believes only the proxies it is told to."""

import ipaddress
from collections.abc import Iterable

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Proxies:
    """The trusted reverse proxies."""

    def __init__(self, trusted: Iterable[str]) -> None:
        self._networks: list[Network] = [ipaddress.ip_network(text, strict=False) for text in trusted]

    def client(self, peer: str, forwarded_for: str) -> str:
        """The address of the client: the last one in X-Forwarded-For that is not itself a trusted proxy."""
        if not forwarded_for or not self._networks or not self._trusts(peer):
            return peer
        for text in reversed(forwarded_for.split(",")):
            address = _address(text)
            if address is None:
                return peer
            peer = address
            if not self._trusts(address):
                break
        return peer

    def is_close(self, host: str) -> bool:
        """Whether `host` is this machine or a trusted proxy: many may be behind it."""
        return self._trusts(host) or ipaddress.ip_address(host).is_loopback

    def _trusts(self, host: str) -> bool:
        if not self._networks:
            return False
        address = ipaddress.ip_address(host)
        return any(address in network for network in self._networks)


def _address(text: str) -> str | None:
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ipaddress.ip_address(text.removeprefix("::ffff:")))
    except ValueError:
        return None
