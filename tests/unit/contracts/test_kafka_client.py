"""What people read when the broker cannot be used."""

from __future__ import annotations

from kafka import errors

from contracts.kafka_client import why_not
from contracts.settings import KafkaSettings

SIGNED_IN = KafkaSettings(security_protocol="SASL_SSL", sasl_username="consumer")


def test_a_refusal_names_who_was_refused_and_is_not_called_silence() -> None:
    said = why_not(SIGNED_IN, errors.TopicAuthorizationFailedError("shop.events.dlq"))
    assert said.startswith("the broker at 127.0.0.1:9092 does not allow this to consumer:")
    assert "a client that does not say who it is" in why_not(KafkaSettings(), errors.GroupAuthorizationFailedError("g"))


def test_silence_names_the_way_that_was_tried() -> None:
    assert "over SASL_SSL as consumer" in why_not(SIGNED_IN, errors.KafkaTimeoutError("bootstrap"))
    assert "over PLAINTEXT: " in why_not(KafkaSettings(), errors.KafkaTimeoutError("bootstrap"))
