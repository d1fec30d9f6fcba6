"""What the pure core raises.  Knows no status codes and no protocol answers; one table above translates these."""


class Malformed(ValueError):
    """An event, identifier or JSON text that has not the form the specification asks for."""


class TooBig(Malformed):
    """An event of more bytes than one may have."""


class UnknownVersion(ValueError):
    """A room version this server does not know."""

    def __init__(self, version: str) -> None:
        self.version = str(version)[:80]
        super().__init__(f"Room version {self.version!r} is not known to this server")


class Denied(Exception):
    """The authorisation rules say no; the sentence says why."""


class Impossible(Denied):
    """No state of any room would allow such an event: its content is wrong, not its sender."""


class NoDevice(Impossible):
    """An event that must name its sender's device, of a sender who has none."""


class OutOfDate(Impossible):
    """An event of a type that its room version does not have: its sender, or this server, may be out of date."""


class BadSignature(Exception):
    """A signature is missing or does not fit."""
