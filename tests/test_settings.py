"""Settings: what is right is read, what is wrong is named with key, line and what is expected."""


from pathlib import Path
from typing import Any

import pytest

from homeserver import folder, reference, typed_yaml
from homeserver.events.identifiers import ServerName
from homeserver.settings import BadSettings, Settings, load
from homeserver.units import Duration, Rate, Size

ROOT = Path(__file__).parent.parent


def read(text: str) -> Settings:
    return typed_yaml.read_text(text, Settings, "a.yaml", Path("/etc/hs"))


def test_a_name_suffices() -> None:
    settings = read("server_name: example.org")
    assert settings.server_name == "example.org" and settings.registration.mode == "token"


def test_values_of_every_kind() -> None:
    settings = read(
        """
server_name: example.org:8448
data_dir: data
database: {postgres: "postgresql://u:p@h/d"}
workers: 2
listeners:
  - {port: 80}
  - {port: 443, host: "::", tls_certificate: c.pem, tls_key: /k.pem, resources: [client]}
rate_limits: {enabled: off, rates: {login: "0.5, 3"}}
media: {max_upload: 2G, url_previews: true}
rooms: {delayed_event_max: 14d, default_version: 10}
email: {host: mail, sender: a@b, password: hidden}
federation: {allowed_servers: [a, b]}
"""
    )
    assert settings.data_dir == Path("/etc/hs/data") and settings.signing_key_file == Path("/etc/hs/data/signing.key")
    assert [one.scheme for one in settings.listeners] == ["http", "https"] and settings.listeners[1].tls_key == Path("/k.pem")
    assert settings.rate_limits.all_rates["login"] == Rate(0.5, 3) and not settings.rate_limits.enabled
    assert settings.media.max_upload == 2 * 1024**3 and settings.rooms.delayed_event_max == 14 * 86_400_000
    assert settings.rooms.default_version == "10" and settings.federation.allowed_servers == ("a", "b")
    assert settings.email and settings.email.password and settings.email.password.reveal() == "hidden"


@pytest.mark.parametrize(
    "text, problem",
    [
        ("", "line 1: server_name: is missing; expected a server name such as example.org"),
        ("servername: a", "line 1: servername: is not a setting; did you mean server_name?"),
        ("server_name: a\nserver_name: b", "line 2: server_name: is given twice"),
        ("server_name: a b", "line 1: server_name: expected a server name"),
        ("server_name: a\nmedia:\n  max_upload: much", "line 3: media.max_upload: expected a size such as 64K, 50M or 2G, got 'much'"),
        ("server_name: a\nregistration: {mode: opne}", "line 2: registration.mode: expected closed, token or open, got 'opne'"),
        ("server_name: a\nlisteners:\n- prot: 1\n  port: x", "line 4: listeners[0].port: expected a whole number, got 'x'"),
        ("server_name: a\nlisteners: 8008", "line 2: listeners: expected a list, got '8008'"),
        ("server_name: a\nlisteners:\n- {port: 99999}", "line 3: listeners[0].port: expected 0 to 65535, got 99999"),
        ("server_name: a\npresence: yes", "line 2: presence: expected keys and values (enabled, over_federation), got 'yes'"),
        ("server_name: a\npresence: {enabled: maybe}", "line 2: presence.enabled: expected true or false, got 'maybe'"),
        ("server_name: a\nworkers: 2", "line 2: workers: several processes need PostgreSQL"),
        ("server_name: a\nrate_limits: {rates: {logins: '1, 1'}}", "line 2: rate_limits.rates: there is no rate logins"),
        ("server_name: a\nrooms: {delayed_event_max: soon}", "line 2: rooms.delayed_event_max: expected a duration such as 30s"),
        ("server_name: a\nrooms: {default_version: 99}", "line 2: rooms.default_version: expected one of 1, 2, "),
        ("server_name: a\nrooms: {default_version: org.homeserver.swarm.1}", "line 2: rooms.default_version: expected one of 1, 2, "),
        ("server_name: a\n  x: [", "is not YAML"),
        ("- a", "line 1: expected keys and values"),
    ],
)
def test_a_mistake_is_named(text: str, problem: str) -> None:
    with pytest.raises(BadSettings) as caught:
        read(text)
    assert any(line.startswith("a.yaml, ") and problem in line for line in caught.value.problems), caught.value.problems


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(BadSettings) as caught:
        read("server_name: a b\nworkers: many\nmedia: {path: []}\nturns: {}")
    assert len(caught.value.problems) == 4


def test_secrets_do_not_print() -> None:
    settings = read("server_name: a\nregistration: {shared_secret: hush}\ndatabase: {postgres: 'postgresql://u:hush@h/d'}")
    assert "hush" not in repr(settings) and "hush" not in f"{settings.registration.shared_secret}"
    for wrong in ("{shared_secret: [hush]}", "{shared_secret: {hush: 1}}"):
        with pytest.raises(BadSettings) as caught:
            read(f"server_name: a\nregistration: {wrong}")
        assert "hush" not in str(caught.value)


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="there is no such file"):
        load(tmp_path / "none.yaml")


def test_the_units_write_what_they_read() -> None:
    assert [str(Duration.parse(text)) for text in ("500ms", "90s", "60m", "14d")] == ["500ms", "90s", "1h", "14d"]
    assert [str(Size.parse(text)) for text in ("0", "512", "64K", "2048M")] == ["0", "512", "64K", "2G"]
    assert str(Rate.parse("0.5,10")) == "0.5, 10"


def test_generated_documents_are_those_in_the_checkout() -> None:
    """After a change of settings or endpoints: homeserver reference ."""
    for path, text in reference.documents().items():
        assert (ROOT / path).read_text() == text, f"{path} is old: run `homeserver reference .`"


def test_the_full_sample_says_the_defaults() -> None:
    settings = typed_yaml.read_text(reference.full_yaml(), Settings, "full.yaml", Path("."))
    assert settings == Settings(server_name=ServerName("example.org"))


def test_the_small_sample_is_small_and_right() -> None:
    text = folder.settings_text(ServerName("example.org"))
    assert len(text.splitlines()) == 6 and read(text).public_baseurl == "https://example.org"


def test_every_setting_is_documented() -> None:
    def check(kind: Any) -> None:
        for setting in reference._members(kind):
            group = reference._group(setting.kind)
            assert setting.words or (group and group.__doc__), f"{kind.__name__}.{setting.path} has no text under it"
            if group:
                check(group)

    check(Settings)
