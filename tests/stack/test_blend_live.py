"""A training of sessions, from its checkpoints to a Triton whose pages are scored by the blend."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
import torch
from kafka import KafkaProducer

from contracts.catalog import CatalogItem, ItemEmbedding, encode
from contracts.kafka_client import kafka_python_options
from contracts.keys import item_key, message_key, tenant_key
from contracts.settings import Settings
from contracts.tensors import RING, Candidate, Context, EventKind, Voice
from contracts.topics import ITEM_EMBEDDINGS
from fusion import artefact as artefacts
from stack.addresses import free_address
from stack.probe import infers
from stack.triton import ensure_exported
from streams.inference import InferenceClient
from streams.ports import Answer
from streams.triton import TritonRanker
from tests.conftest import ProcessFactory, SettingsFactory
from training.sessions.data import Dataset, prefixes_of
from training.sessions.encoder import EncoderRecipe, SessionModel
from training.sessions.serving import serve

pytestmark = pytest.mark.stack
ITEMS, TENANT = 30, "default"


def trained(folder: Path) -> Path:
    """An artefact of an untrained encoder and a log in which every item is followed by the next one."""
    rng = np.random.default_rng(1)
    sessions = [(start + np.arange(4)) % ITEMS for start in rng.integers(0, ITEMS, 60)]
    queries = prefixes_of(sessions[-10:])
    data = Dataset("log", np.arange(ITEMS), sessions[:-10], sessions, queries, queries, mask_seen=False)
    recipe = EncoderRecipe(dim=16)
    model = SessionModel(ITEMS, recipe).state_dict()
    for name in ("fit.pt", "final.pt"):
        torch.save(model, folder / name)
    serve(data, folder, recipe, TENANT, folder / "blended")
    return folder / "blended"


def publish_items(settings: Settings, artefact: Path) -> None:
    made = artefacts.load(artefact)
    producer = KafkaProducer(**kafka_python_options(settings.kafka), acks="all")
    for number, vector in enumerate(made.vectors):
        item = CatalogItem(item_id=str(number), title=f"item {number}")
        record = ItemEmbedding(item.item_id, TENANT, made.version, len(vector), tuple(map(float, vector)), item=item)
        topic = settings.kafka.topic_prefix + ITEM_EMBEDDINGS
        producer.send(topic, encode(record), key=message_key(TENANT, item.item_id))
    producer.flush()
    producer.close()


async def asked(settings: Settings, *items: int) -> Answer:
    """The answer for a new visitor of home who touched these items."""
    context = np.zeros((1, len(Context)), np.int64)
    context[0, Context.TENANT_KEY] = tenant_key(TENANT)
    events = np.array([[item_key(TENANT, str(item)) for item in items]])
    async with InferenceClient(settings.triton.grpc_address) as client:
        return await TritonRanker(client, settings.triton).rank(
            {
                "state": np.zeros((1, 0), np.float32),
                "ring": np.zeros((1, RING), np.int64),
                "events": events,
                "kinds": np.full(events.shape, EventKind.VIEW, np.int32),
                "exclude": np.zeros((1, 1), np.int64),
                "context": context,
            }
        )


def test_a_training_of_sessions_is_served_with_its_blend_and_what_its_log_taught(
    tmp_path: Path, make_settings: SettingsFactory, start_triton: ProcessFactory
) -> None:
    settings = make_settings(
        model={"path": trained(tmp_path)},
        stack={"var": tmp_path / "var"},
        triton={"grpc_address": free_address(), "metrics_address": free_address(), "ranker_deadline_ms": 20_000.0},
        monitoring={"model_metrics_address": free_address()},
    )
    publish_items(settings, settings.model.path)
    start_triton(settings)
    assert asyncio.run(infers(settings.triton.grpc_address, ensure_exported(settings)))
    answer = asyncio.run(asked(settings, 5, 6))
    places = {key: place for place, key in enumerate(answer.items[0].tolist()) if key}
    assert len(places) == ITEMS
    assert float(answer.scores[0].sum()) == pytest.approx(1.0, abs=1e-4)
    assert answer.voices is not None
    follower = places[item_key(TENANT, "7")]
    assert follower < 3
    assert answer.sources[0, follower] == Candidate.SESSION_NEIGHBOURS
    assert answer.voices[0, follower, Voice.NEIGHBOURS] > answer.voices[0, follower, Voice.ENCODER]
