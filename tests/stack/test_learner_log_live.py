"""The learner's log on a real broker: its own group, only its tenant, and a restart behind what was committed."""

from __future__ import annotations

import pytest

from contracts.events import Consent, Event, EventItem
from contracts.settings import Settings
from producers.publisher import EventPublisher
from training.continual.clicks import Click, KafkaLog

pytestmark = pytest.mark.stack


def look(number: int, *, tenant: str = "default", personal: bool = True) -> Event:
    return Event(
        event_id=f"e-{tenant}-{number}",
        event_name="view_item",
        event_time=1_800_000_000_000 + number,
        visitor_id="v",
        tenant_id=tenant,
        items=(EventItem(item_id=f"i{number}"),),
        consent=Consent(personalization=personal),
    )


def publish(settings: Settings, *events: Event) -> None:
    with EventPublisher(settings.kafka) as publisher:
        for event in events:
            publisher.publish(event)


def everything(log: KafkaLog) -> list[Click]:
    found: list[Click] = []
    while (clicks := log.poll()) is not None:
        found.extend(clicks)
    return found


def test_a_restarted_learner_goes_on_behind_what_it_committed(settings: Settings) -> None:
    publish(settings, look(1), look(2, tenant="other"), look(3, personal=False), look(4))
    with KafkaLog(settings.kafka, "default", follow=False) as log:
        assert [click.item for click in everything(log)] == ["i1", "i4"]
        log.commit()
    publish(settings, look(5))
    with KafkaLog(settings.kafka, "other", follow=False) as theirs, KafkaLog(settings.kafka, "default", follow=False) as log:
        assert [click.item for click in everything(theirs)] == ["i2"], "every shop's learner reads every partition"
        assert [click.item for click in everything(log)] == ["i5"]  # and no commit: a kill
    with KafkaLog(settings.kafka, "default", follow=False) as log:
        assert [click.item for click in everything(log)] == ["i5"]
