"""Those who tell pushers: one calls push gateways, one writes mail.  Neither decides what is to be told."""

from dataclasses import dataclass
from typing import Protocol

from homeserver.clock import Clock
from homeserver.federation.failures import PeerError
from homeserver.federation.transport import Outgoing, Transport
from homeserver.push import gateway, news
from homeserver.push.gateway import GIVE_UP_MS, News
from homeserver.storage import pushers
from homeserver.storage.database import Database
from homeserver.storage.pushers import BADGE, Due, Pusher

TIMEOUT_SECONDS = 20.0
MAX_ANSWER = 64 * 1024
MAIL_DELAY_MS = 10 * 60_000  # time to read it without mail
MAIL_PAUSE_MS = 60 * 60_000  # between two mails
MAIL_EVENTS = 20


@dataclass(frozen=True)
class GatewayCourier:
    """Calls push gateways."""

    database: Database
    clock: Clock
    transport: Transport

    async def serve(self, due: Due) -> None:
        """Tell a gateway what waits, oldest first, until it fails."""
        found = await self.database.read(news.prepare, due, self.clock.now() - GIVE_UP_MS)
        if found.void:
            await self.database.write(pushers.told, due.pusher.id, found.void)
        for num, one in found.news.items():
            if not await self._call(due.pusher, gateway.about(due.pusher, one), [num]):
                return
        if found.news:
            await self.database.write(pushers.told, due.pusher.id, [BADGE])
        elif any(what.num == BADGE for what in due.waiting) or found.void:
            await self._call(due.pusher, gateway.badge(due.pusher, found.unread), [BADGE])

    async def _call(self, pusher: Pusher, body: bytes, nums: list[int]) -> bool:
        """Whether the gateway took it; what became of it is written down."""
        headers = {"content-type": "application/json"}
        outgoing = Outgoing(
            "POST", url=pusher.data["url"], headers=headers, body=body, timeout=TIMEOUT_SECONDS, max_bytes=MAX_ANSWER
        )  # fmt: skip
        try:
            answer = await self.transport.request(outgoing)
        except PeerError:
            answer = None
        if answer is None or not 200 <= answer.status < 300:
            retry = self.clock.now() + gateway.retry_delay_ms(pusher.failures)
            await self.database.write(pushers.failed, pusher.id, retry)
            return False
        if gateway.rejects(pusher, answer.body):
            await self.database.write(pushers.remove, pusher.user_id, pusher.app_id, pusher.pushkey)
            return False
        await self.database.write(pushers.told, pusher.id, nums)
        return True


class Post(Protocol):
    """Delivers mail."""

    async def send(self, to: str, subject: str, text: str) -> None:
        """Hand one mail over; raises when nobody takes it."""


@dataclass(frozen=True)
class MailCourier:
    """Writes mail about what somebody has not read for a while."""

    database: Database
    clock: Clock
    post: Post
    client_url: str

    async def serve(self, due: Due) -> None:
        """Write one mail about all that waits, unless it came only just now."""
        now, pusher = self.clock.now(), due.pusher
        since = min(what.ts for what in due.waiting)
        if now - since < MAIL_DELAY_MS:
            await self.database.write(pushers.hold, pusher.id, since + MAIL_DELAY_MS)
            return
        found = await self.database.read(news.prepare, due, now - GIVE_UP_MS)
        if found.news:
            try:
                unread = list(found.news.values())
                await self.post.send(pusher.pushkey, subject(unread), text(unread, self.client_url))
            except Exception:  # whatever the mail server's reasons are, we try again
                await self.database.write(pushers.failed, pusher.id, now + gateway.retry_delay_ms(pusher.failures + 6))
                return
        await self.database.write(pushers.told, pusher.id, [what.num for what in due.waiting])
        if found.news:
            await self.database.write(pushers.hold, pusher.id, now + MAIL_PAUSE_MS)


def subject(found: list[News]) -> str:
    """The subject of a mail: how many messages, and where."""
    where = {place(one) for one in found}
    return f"{len(found)} unread message{'s' if len(found) > 1 else ''} in {where.pop() if len(where) == 1 else f'{len(where)} rooms'}"


def text(found: list[News], client_url: str) -> str:
    """The text of a mail."""
    lines = [f"{place(one)}: {who(one)}: {said(one)}" for one in found[:MAIL_EVENTS]]
    more = [f"... and {len(found) - MAIL_EVENTS} more"] if len(found) > MAIL_EVENTS else []
    return "\n".join(["You have unread messages:", "", *lines, *more, "", f"Your server: {client_url}", ""])


def place(one: News) -> str:
    """The room by the best name there is."""
    return _line(one.around.room_name or one.around.room_alias or one.event.room_id)


def who(one: News) -> str:
    """The sender by the best name there is."""
    return _line(one.around.sender_display_name or one.event.sender)


def said(one: News) -> str:
    """The message, where it can be read."""
    body = one.event.content.get("body")
    if isinstance(body, str):
        return _line(body)[:500]
    return "(an encrypted message)" if one.event.type == "m.room.encrypted" else one.event.type


def _line(text: str) -> str:
    return " ".join(text.split())
