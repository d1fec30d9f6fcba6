"""Free TCP ports for tests with real sockets."""

import random
import socket

# Below those that the kernel gives to outgoing connections: a server that is stopped finds its port free when it comes back.
PORTS = range(11_000, 32_000)
_chance = random.SystemRandom()


def free_port() -> int:
    """A port nobody listens on now."""
    while True:
        port = _chance.choice(PORTS)
        with socket.socket() as found:
            try:
                found.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
