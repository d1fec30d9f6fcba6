"""A picture on its way between two whole servers."""

from pathlib import Path

from homeserver.settings import Media
from tests.media.rig import picture
from tests.world import Network, good, story

DOWNLOAD = "/_matrix/client/v1/media/download/"


@story
async def test_a_picture_goes_from_one_server_to_another(network: Network, tmp_path: Path) -> None:
    a, b = (network.server(name, media=Media(path=tmp_path / name)) for name in ("a", "b"))
    alice, bob = await a.user("alice"), await b.user("bob")
    image = picture(300, 200)
    uploaded = await alice.request("POST", "/_matrix/media/v3/upload", image, {"content-type": "image/png"}, filename="cat ☕.png")
    uri = good(uploaded)["content_uri"].removeprefix("mxc://")

    got = await bob.get(DOWNLOAD + uri)
    assert got.raw == image
    assert got.headers["content-disposition"] == "inline; filename*=utf-8''cat%20%E2%98%95.png"

    small = await bob.get(f"/_matrix/client/v1/media/thumbnail/{uri}?method=crop", width=96, height=96)
    assert small.status == 200 and small.headers["content-type"] == "image/png" and len(small.raw) < len(image)

    network.down.add("a")
    assert (await bob.get(DOWNLOAD + uri)).raw == image
    assert (await bob.get(f"{DOWNLOAD}a/unknown")).status == 502


@story
async def test_content_still_to_come_does_not_make_a_server_count_as_down(network: Network, tmp_path: Path) -> None:
    a, b = (network.server(name, media=Media(path=tmp_path / name)) for name in ("a", "b"))
    alice, bob = await a.user("alice"), await b.user("bob")
    uri = good(await alice.post("/_matrix/media/v1/create"))["content_uri"].removeprefix("mxc://")
    assert (await bob.get(DOWNLOAD + uri, timeout_ms=1000)).json["errcode"] == "M_NOT_YET_UPLOADED"
    good(await alice.request("PUT", f"/_matrix/media/v3/upload/{uri}", b"here"))
    assert (await bob.get(DOWNLOAD + uri)).raw == b"here"
    assert (await bob.get(f"/profile/{alice.user_id}")).status != 502
