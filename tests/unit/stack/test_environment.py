from pathlib import Path

import pytest
from pydantic import SecretStr

from contracts.settings import Settings
from stack.environment import child_environment, overridden, variables, without_secrets

UNUSUAL = overridden(
    Settings(),
    {
        "kafka": {
            "bootstrap_servers": "a:1,b:2",
            "topic_prefix": "x.",
            "sasl_username": "u",
            "sasl_password": SecretStr("p w"),
        },
        "catalog": {"image_hosts": ("h1", "h2"), "image_roots": (Path("/pictures"),)},
        "gateway": {"api_keys": {"shop": (SecretStr("k1"), SecretStr("k2"))}, "open_access": True},
        "worker": {"role": "events", "session_timeout_seconds": 3.5},
    },
)


@pytest.mark.parametrize("settings", [Settings(), UNUSUAL], ids=["defaults", "unusual"])
def test_a_child_reads_exactly_the_settings_that_its_parent_had(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in variables(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_a_variable_of_the_parent_does_not_leak_past_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_WORKER__ROLE", "catalog")
    monkeypatch.setenv("VITRINE_CONFIG", "/elsewhere.toml")
    environment = child_environment(UNUSUAL, EXTRA="1")
    assert environment["VITRINE_WORKER__ROLE"] == "events"
    assert environment["EXTRA"] == "1"
    assert "VITRINE_CONFIG" not in environment


def test_secrets_of_other_groups_are_taken_out() -> None:
    signing = overridden(UNUSUAL, {"page": {"signing_secret": SecretStr("s1")}})
    for but, left in ((None, set()), ("page", {"s1"}), ("gateway", {"k1", "k2"})):
        text = " ".join(variables(without_secrets(signing, but=but)).values())
        assert {word for word in ("s1", "k1", "k2") if word in text} == left
