"""`vitrine erase --now` on a real broker with a real worker: who is forgotten is gone, who is not stays."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import build
from consumers.dead_letters import DeadLetterBox
from contracts.erasures import visitor_digest
from contracts.keys import message_key
from contracts.settings import Settings
from contracts.topics import ERASURES, EVENTS, PAGES
from nemesis.topic import read_topic
from producers.publisher import EventPublisher
from stack.addresses import free_address
from stack.environment import overridden, variables
from tests.conftest import ProcessFactory
from tests.fakes import event_bytes

pytestmark = pytest.mark.stack


def until(condition: Callable[[], Any], what: str, patience: float = 30.0) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {patience} s: {what}")
        time.sleep(0.1)


def newest(settings: Settings, topic: str, key: bytes) -> bytes | None:
    return {record.key: record.value for record in read_topic(settings.kafka, topic)}.get(key)


def visit(settings: Settings, tenant: str) -> None:
    """A good event and a broken one of two visitors, and one of a third who does not consent."""
    now = int(time.time() * 1000)
    with EventPublisher(settings.kafka) as publisher:
        for visitor in ("v-1", "v-10"):
            key = message_key(tenant, visitor)
            publisher.send(EVENTS, key, event_bytes(visitor, 1, now, tenant_id=tenant)[1])
            publisher.send(EVENTS, key, f'{{"visitor_id":"{visitor}", broken'.encode())
        refused = {"personalization": False, "ads": False}
        key = message_key(tenant, "r")
        publisher.send(EVENTS, key, event_bytes("r", 1, now, tenant_id=tenant, consent=refused)[1])


def test_who_is_erased_is_gone_from_table_pages_events_and_dead_letters_and_others_stay(
    shared_settings: Settings, worker_process: ProcessFactory, tmp_path: Path
) -> None:
    tenant = f"erasure-{tmp_path.name}"
    own = {"worker": {"metrics_address": free_address(), "data_dir": tmp_path / "worker"}}
    settings = overridden(shared_settings, own)
    worker_process(settings)
    gone, stays = (message_key(tenant, visitor) for visitor in ("v-1", "v-10"))
    refuses = message_key(tenant, "r")
    visit(settings, tenant)
    until(lambda: all(newest(settings, PAGES, key) for key in (gone, stays, refuses)), "all have a page")

    def letters() -> list[bytes | None]:
        with DeadLetterBox(settings.kafka) as box:
            return [letter.key for letter in box.letters() if letter.key in (gone, stays)]

    until(lambda: sorted(letters(), key=str) == sorted([gone, stays], key=str), "both have a dead letter")
    changelog = f"{settings.worker.group}-sessions-changelog"
    assert newest(settings, changelog, gone)
    assert refuses not in {record.key for record in read_topic(settings.kafka, changelog)}  # consent off: nothing stored

    done = CliRunner().invoke(build(), ["erase", "v-1", "--tenant", tenant, "--now"], env=variables(settings))
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["receipt"]["visitor_digest"] == visitor_digest(gone)
    assert "v-1" not in json.dumps(told["receipt"])
    assert told["scrubbed"]["events"] == 2
    assert newest(settings, changelog, gone) is None
    assert newest(settings, PAGES, gone) is None
    assert newest(settings, ERASURES, gone) is None
    assert gone not in {record.key for record in read_topic(settings.kafka, EVENTS)}
    assert letters() == [stays]
    assert newest(settings, changelog, stays)
    assert newest(settings, PAGES, stays)
