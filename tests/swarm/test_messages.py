"""The messages of swarms and the events that they are: there and back, and every one is what the rules of the room allow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeserver.errors import BadJSON
from homeserver.events import canonical, drafts
from homeserver.events import event as events
from homeserver.events.drafts import Draft
from homeserver.events.errors import OutOfDate
from homeserver.events.event import Event
from homeserver.events.identifiers import EventID
from homeserver.events.swarm import kinds, names
from homeserver.swarm import messages
from tests.events.swarm.replicas import ALICE, BOB, PHONE, SWARM, create

ID = "$" + "a" * 43
SHA = "0" * 128
texts = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), min_size=1, max_size=60)
numbers = st.integers(0, 2**50).map(str)
ids = st.text("abcXYZ-_019", min_size=43, max_size=43).map("$".__add__)
users = st.sampled_from([ALICE, BOB])


def message(kind, more=None, **fields):
    return st.fixed_dictionaries({"type": st.just(kind), **fields}, optional=more or {})


EVERY = st.one_of(
    message("text/plain", {"reply-to": ids}, body=texts),
    message("text/plain", **{"body": texts, "react-to": ids}),
    message("application/edited-message", body=texts | st.just(""), edit=ids),
    message("application/call-history+json", to=users, duration=numbers),
    message("application/call-history+json", {"duration": numbers}, uri=texts, device=texts, confId=texts),
    message(
        "application/data-transfer+json", {"mimetype": texts}, tid=texts, displayName=texts, totalSize=numbers, sha3sum=st.just(SHA)
    ),
    message("application/update-profile", {"title": texts, "description": texts, "avatar": texts, "call": texts}),
    message("member", uri=users, action=st.sampled_from(["add", "join", "remove", "ban"])),
    message("vote", {"device": texts}, uri=users, action=st.sampled_from(["ban", "unban"])),
)


def event(said: messages.Said, room=create()) -> Event:
    redacts = None if said.redacts is None else EventID(said.redacts)
    draft = Draft(said.type, ALICE, said.content, said.state_key, redacts, device=PHONE)
    data = drafts.complete(SWARM, draft, room.room_id, [room.event_id], [], 2, 0)
    return events.read(SWARM, {**data, "signatures": {}})


@given(EVERY)
def test_what_is_said_comes_back_as_it_was_said_and_is_what_the_table_allows(spoken):
    became = event(messages.said(spoken, ALICE))
    kinds.check_kind(became)
    shown = messages.message(became)
    assert {name: shown[name] for name in shown if name not in ("id", "author", "deviceId", "timestamp")} == spoken
    assert (shown["id"], shown["author"], shown["deviceId"]) == (became.event_id, ALICE, PHONE)


@given(EVERY, st.data())
def test_whatever_stands_in_a_message_it_is_refused_or_becomes_an_event(spoken, data):
    name = data.draw(st.sampled_from(sorted(spoken)))
    strange = {**spoken, name: data.draw(st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()))}
    try:
        said = messages.said(strange, ALICE)
    except (BadJSON, OutOfDate):
        return
    canonical.encode(said.content, strict=True)


@pytest.mark.parametrize("kind", ["text/html", "initial", "", None, 5, ["text/plain"]])
def test_a_message_of_a_type_that_is_not_known_is_out_of_date(kind):
    with pytest.raises(OutOfDate):
        messages.said({"type": kind, "body": "x"}, ALICE)


def test_an_edit_to_nothing_takes_the_message_back():
    said = messages.said({"type": "application/edited-message", "body": "", "edit": ID}, ALICE)
    assert said == messages.Said("m.room.redaction", {}, None, ID)


@pytest.mark.parametrize("kind", ["m.room.message", "m.reaction", names.CALL, names.FILE])
def test_what_was_redacted_is_still_shown(kind):
    bare = event(messages.Said(kind, {}))
    assert messages.message(bare)["id"] == bare.event_id


def test_the_beginning_tells_the_mode_and_what_has_no_form_keeps_its_own():
    shown = messages.message(create(mode=0, invited=BOB))
    assert {name: shown[name] for name in ("type", "mode", "invited")} == {"type": "initial", "mode": 0, "invited": BOB}
    other = messages.message(event(messages.Said("m.room.encrypted", {"algorithm": "m.megolm.v1.aes-sha2"})))
    assert (other["type"], other["content"]) == ("m.room.encrypted", {"algorithm": "m.megolm.v1.aes-sha2"})
