"""Connections that send without delay.  Knows not what."""

from twisted.internet.tcp import Server


class Prompt(Server):
    """A connection that sends at once what the socket takes, where Twisted's asks for leave and sends in the next turn of the loop."""

    _waits = False

    def startWriting(self) -> None:
        """There is something left to send."""
        self._waits = True
        super().startWriting()  # type: ignore[no-untyped-call]

    def stopWriting(self) -> None:
        """Everything is sent."""
        self._waits = False
        super().stopWriting()  # type: ignore[no-untyped-call]

    def write(self, data: bytes) -> None:
        """Send; what the socket does not take now follows when it does."""
        if self.connected and not self._waits and not self.disconnecting:
            data = self._send(data)
        if data:
            super().write(data)  # type: ignore[no-untyped-call]

    def _send(self, data: bytes) -> bytes:
        """What the socket did not take."""
        left = memoryview(data)
        while left:
            sent = self.writeSomeData(left)  # type: ignore[arg-type]
            if not isinstance(sent, int) or sent <= 0:  # full, or lost, which Twisted finds out by itself
                return bytes(left)
            left = left[sent:]
        return b""
