"""Joining by itself after a knock, for users who asked for that.  Others are offered the invite, as after no knock.

Somebody who reads "Bob has joined" takes it that Bob did so just now: the join says that he did not.  docs/flows/joining.md#knocking
"""

from dataclasses import dataclass

from homeserver.events.vendor import named
from homeserver.membership import pending
from homeserver.membership.invites import Invites
from homeserver.membership.joins import Joins
from homeserver.storage import accounts, members
from homeserver.storage.pending_members import Pending
from homeserver.storage.transactions import Transaction

MARK = named("auto_join")
"""The field of a join that its user has not made by hand."""


@dataclass(frozen=True)
class Accepting:
    """Accepts invites in the name of those who knocked."""

    joins: Joins
    invites: Invites

    async def accept(self, one: Pending) -> None:
        """Join the room of an invite, if the user still wants that.  Raises what the join raises."""
        if await self.joins.timeline.database.read(_is_wanted, one):
            content = {**await self.invites.profile(one.user_id), MARK: True}
            await self.joins.join(one.user_id, one.room_id, [], content)


def _is_wanted(txn: Transaction, one: Pending) -> bool:
    member, account = members.get(txn, one.room_id, one.user_id), accounts.get(txn, one.user_id)
    able = account is not None and not (account.deactivated or account.suspended or account.locked)
    return able and member is not None and member.event_id == one.event_id and pending.wants_to_join(txn, one.user_id)
