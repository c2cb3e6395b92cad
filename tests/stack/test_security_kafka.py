"""The secure stack: an event becomes a page, and everybody who does what is not theirs is refused by the real broker."""

from __future__ import annotations

import os
import re
import socket
import ssl
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition, errors
from kafka.admin import (
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePatternFilter,
    ResourceType,
)
from pydantic import SecretStr

from consumers.pages import PageSubscriber
from contracts.catalog import CatalogItem
from contracts.events import Event, EventItem
from contracts.kafka_client import kafka_python_options
from contracts.settings import KafkaSettings, Settings, resolve
from contracts.topics import CATALOG, DEAD_LETTERS, ERASURES, EVENTS, ITEM_EMBEDDINGS, MODELS, PAGES, SESSIONS, TOPICS
from nemesis.workload import publish_items
from producers.publisher import CatalogPublisher, EventPublisher
from stack import control
from stack.addresses import free_address, free_port
from stack.declaration import declare
from stack.environment import overridden
from stack.grants import declare_grants
from stack.principals import Grant, Role, grants
from stack.security import as_role, client_settings, keys_of
from training.continual.clicks import KafkaLog

pytestmark = pytest.mark.stack

SHOP_KEY = "shop-key-of-the-secure-stack"
SIGNING_SECRET = "signing-secret-of-the-secure-stack"
CORRELATION = b"VTRN"
CLIENTS = [role for role in Role if role not in (Role.BROKER, Role.ADMIN)]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A whole secure stack as `vitrine up --secure` starts it; what tests publish as themselves they do by `as_role`."""
    made = overridden(
        Settings(),
        {
            "kafka": {"bootstrap_servers": free_address(), "partitions": 2},
            "triton": {"grpc_address": free_address(), "metrics_address": free_address()},
            "worker": {"metrics_address": free_address()},
            "page": {"signing_secret": SecretStr(SIGNING_SECRET)},
            "gateway": {"port": free_port(), "api_keys": {"default": (SecretStr(SHOP_KEY),)}},
            "monitoring": {"model_metrics_address": free_address(), "prometheus_address": free_address()},
            "stack": {
                "var": tmp_path_factory.mktemp("secure"),
                "controller_port": free_port(),
                "prometheus": False,
                "secure": True,
            },
        },
    )
    control.start(made, patience_seconds=180, progress=lambda _: None)
    try:
        publish_items(as_role(made, Role.CATALOG), 40)
        yield made
    finally:
        control.stop(made)


def kafka(stack: Settings, role: Role) -> KafkaSettings:
    return as_role(stack, role).kafka


def test_an_event_becomes_a_page_and_everyone_on_the_way_signed_in(stack: Settings) -> None:
    deadline = time.monotonic() + 30
    with (
        PageSubscriber(kafka(stack, Role.CONSUMER), until=lambda: time.monotonic() > deadline) as pages,
        EventPublisher(kafka(stack, Role.PRODUCER)) as publisher,
    ):
        event = Event(
            event_id="e1",
            event_name="view_item",
            visitor_id="v1",
            items=(EventItem(item_id="i3"),),
            event_time=int(time.time() * 1000),
        )
        publisher.publish(event)
        page = next(page for page in pages if page.visitor_id == "v1")
    assert page.trigger_event_id == "e1"
    assert not page.degraded
    assert any(placement.items for placement in page.placements)


def test_the_gateway_takes_events_and_gives_the_page_back(stack: Settings) -> None:
    headers = {"Authorization": f"Bearer {SHOP_KEY}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{stack.gateway.port}", headers=headers, trust_env=False) as web:
        event: dict[str, object] = {
            "event_id": "g1",
            "event_name": "view_item",
            "visitor_id": "v2",
            "items": [{"item_id": "i5"}],
        }
        event["event_time"] = int(time.time() * 1000)
        assert web.post("/v1/events", json=event).status_code == 202
        deadline = time.monotonic() + 20
        while (answer := web.get("/v1/pages/v2")).status_code != 200:
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.05)
    assert answer.json()["trigger_event_id"] == "g1"


def test_a_learner_reads_the_clicks_in_its_own_group(stack: Settings) -> None:
    event = Event(
        event_id="l1", event_name="view_item", visitor_id="v3", items=(EventItem("i7"),), event_time=int(time.time() * 1000)
    )
    with EventPublisher(kafka(stack, Role.PRODUCER)) as publisher:
        publisher.publish(event).wait()
    found: list[str] = []
    with KafkaLog(kafka(stack, Role.LEARNER), "default", follow=False) as log:
        while (clicks := log.poll()) is not None:
            found += [click.item for click in clicks]
        log.commit()
    assert "i7" in found


def test_a_product_of_the_shop_is_encoded_by_the_catalogue_worker(stack: Settings) -> None:
    item = CatalogItem(item_id="new-1", title="A new shoe", categories=("Shoes",), price=20.0)
    with CatalogPublisher(kafka(stack, Role.PRODUCER)) as publisher:
        publisher.upsert(item)
    consumer = client(stack, Role.OPERATOR, KafkaConsumer)
    places = [TopicPartition(ITEM_EMBEDDINGS, number) for number in range(2)]
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    deadline = time.monotonic() + 40
    found: set[bytes] = set()
    while b"default|new-1" not in found:
        assert time.monotonic() < deadline, found
        found |= {record.key for records in consumer.poll(timeout_ms=200).values() for record in records}


@cache
def _client(kind: Callable[..., Any], servers: str, settings: KafkaSettings) -> Any:
    assert servers
    limits = {"bootstrap_timeout_ms": 10_000, "request_timeout_ms": 10_000}
    # An idempotent producer asks for a number first, and is refused with another error by whoever may write nothing at all.
    own: dict[str, Any] = {"max_block_ms": 10_000, "enable_idempotence": False} if kind is KafkaProducer else {}
    if kind is KafkaConsumer:
        own = {"group_id": None, "enable_auto_commit": False, "fetch_max_wait_ms": 50}
    return kind(**kafka_python_options(settings), **limits, **own)


def client(stack: Settings, role: Role, kind: Callable[..., Any]) -> Any:
    """One client of each kind and role for the whole module: signing in is what takes time."""
    return _client(kind, stack.kafka.bootstrap_servers, kafka(stack, role))


def write(stack: Settings, role: Role, topic: str) -> None:
    client(stack, role, KafkaProducer).send(topic, b"{}", key=b"k", partition=0).get(10)


def read(stack: Settings, role: Role, topic: str) -> None:
    """Fetch until it is refused; who may write a topic may see where it ends, but not what is in it."""
    consumer, place = client(stack, role, KafkaConsumer), TopicPartition(topic, 0)
    consumer.assign([place])
    consumer.seek(place, consumer.end_offsets([place])[place])
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        consumer.poll(timeout_ms=100)


def join(stack: Settings, role: Role, group: str) -> None:
    consumer = KafkaConsumer(**kafka_python_options(kafka(stack, role)), group_id=group, enable_auto_commit=False)
    with closing(consumer):
        consumer.committed(TopicPartition(PAGES, 0))


def create_topic(stack: Settings, role: Role, topic: str) -> None:
    client(stack, role, KafkaAdminClient).create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})


def delete_topic(stack: Settings, role: Role, topic: str) -> None:
    client(stack, role, KafkaAdminClient).delete_topics([topic])


def delete_records(stack: Settings, role: Role, topic: str) -> None:
    client(stack, role, KafkaAdminClient).delete_records({TopicPartition(topic, 0): 0})


def add_partitions(stack: Settings, role: Role, topic: str) -> None:
    client(stack, role, KafkaAdminClient).create_partitions({topic: 9})


REFUSED = (errors.TopicAuthorizationFailedError, errors.ClusterAuthorizationFailedError, errors.GroupAuthorizationFailedError)
# By hand, not from the table that the rules are made from: what must never be possible.
FORBIDDEN: tuple[tuple[Role, Callable[[Settings, Role, str], None], str], ...] = (
    (Role.PRODUCER, read, PAGES),
    (Role.PRODUCER, read, EVENTS),
    (Role.PRODUCER, read, DEAD_LETTERS),
    (Role.PRODUCER, write, PAGES),
    (Role.PRODUCER, write, ITEM_EMBEDDINGS),
    (Role.PRODUCER, write, ERASURES),
    (Role.CONSUMER, read, EVENTS),
    (Role.CONSUMER, read, DEAD_LETTERS),
    (Role.CONSUMER, write, PAGES),
    (Role.CONSUMER, write, EVENTS),
    (Role.LEARNER, read, PAGES),
    (Role.LEARNER, read, DEAD_LETTERS),
    (Role.LEARNER, write, EVENTS),
    (Role.LEARNER, write, MODELS),
    (Role.LEARNER, join, "vitrine-worker"),
    (Role.CONSUMER, join, "vitrine-learner-default"),
    (Role.RANKER, read, EVENTS),
    (Role.RANKER, read, PAGES),
    *((Role.RANKER, write, topic.name) for topic in TOPICS),
    (Role.GATEWAY, read, EVENTS),
    (Role.GATEWAY, read, ERASURES),
    (Role.GATEWAY, read, "vitrine-worker-sessions-changelog"),
    (Role.GATEWAY, write, PAGES),
    (Role.GATEWAY, write, ITEM_EMBEDDINGS),
    (Role.GATEWAY, write, DEAD_LETTERS),
    (Role.WORKER, write, EVENTS),
    (Role.WORKER, write, CATALOG),
    (Role.WORKER, write, ITEM_EMBEDDINGS),
    (Role.WORKER, write, ERASURES),
    (Role.WORKER, write, MODELS),
    (Role.CATALOG, read, EVENTS),
    (Role.CATALOG, read, PAGES),
    (Role.CATALOG, write, PAGES),
    (Role.OPERATOR, write, PAGES),
    (Role.OPERATOR, write, ITEM_EMBEDDINGS),
    (Role.OPERATOR, write, SESSIONS),
    (Role.OPERATOR, delete_records, PAGES),
    (Role.CONSUMER, join, "vitrine-worker"),
    (Role.PRODUCER, join, "vitrine-worker"),
    (Role.GATEWAY, join, "vitrine-worker"),
    (Role.CATALOG, join, "vitrine-worker"),
    (Role.WORKER, join, "vitrine-catalog"),
    *((role, create_topic, "theirs") for role in CLIENTS),
    *((role, delete_topic, PAGES) for role in CLIENTS),
    *((role, add_partitions, EVENTS) for role in CLIENTS),
)


@pytest.mark.parametrize(
    ("role", "operation", "name"), FORBIDDEN, ids=[f"{role}-{how.__name__}-{name}" for role, how, name in FORBIDDEN]
)
def test_a_principal_is_refused(
    stack: Settings, role: Role, operation: Callable[[Settings, Role, str], None], name: str
) -> None:
    with pytest.raises(REFUSED):
        operation(stack, role, name)


def test_the_broker_holds_exactly_the_rules_of_the_table(stack: Settings) -> None:
    anything = ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY)
    everything = ACLFilter(None, None, ACLOperation.ANY, ACLPermissionType.ANY, anything)
    held, _ = client(stack, Role.ADMIN, KafkaAdminClient).describe_acls(everything)
    kinds = {False: "LITERAL", True: "PREFIXED"}
    wanted = {(f"User:{one.role}", one.operation, one.kind, one.name, kinds[one.is_prefix]) for one in grants(stack)}
    patterns = [(one, one.resource_pattern) for one in held]
    found = {
        (one.principal, one.operation.name, pattern.resource_type.name, pattern.resource_name, pattern.pattern_type.name)
        for one, pattern in patterns
    }
    assert found == wanted
    assert {one.permission_type.name for one in held} == {"ALLOW"}
    assert [one.name for one in grants(stack) if one.is_prefix] == ["vitrine-learner-"], "a prefix opens what nobody thought of"
    assert declare(stack) == []  # a second declaration finds nothing to do


def test_a_rule_that_is_not_in_the_table_any_more_is_taken_back(stack: Settings) -> None:
    admin = kafka(stack, Role.ADMIN)
    surplus = Grant(Role.CONSUMER, "TOPIC", EVENTS, "READ")
    assert declare_grants(admin, {*grants(stack), surplus}) == 1
    assert declare_grants(admin, grants(stack)) == 1
    assert declare_grants(admin, grants(stack)) == 0


@pytest.mark.parametrize("wrong", [{"sasl.password": "wrong"}, {"sasl.username": "nobody"}], ids=["password", "name"])
def test_a_wrong_password_or_name_is_refused_as_such(stack: Settings, wrong: dict[str, str]) -> None:
    told: list[KafkaError] = []
    right: dict[str, Any] = {
        "bootstrap.servers": stack.kafka.bootstrap_servers,
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": str(Role.CONSUMER),
        "sasl.password": keys_of(stack).password(Role.CONSUMER),
        "ssl.ca.location": str(keys_of(stack).authority),
        "error_cb": told.append,
    }
    assert PAGES in AdminClient(right).list_topics(timeout=10).topics
    assert told == []
    stranger = AdminClient({**right, **wrong})
    with pytest.raises(KafkaException):
        stranger.list_topics(timeout=2)
    deadline = time.monotonic() + 15
    while not told and time.monotonic() < deadline:
        stranger.poll(0.2)  # the reasons are told here
    assert KafkaError._AUTHENTICATION in {error.code() for error in told}


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL", "SASL_PLAINTEXT"])
def test_nobody_comes_in_without_signing_in_over_tls(stack: Settings, protocol: str) -> None:
    right = kafka(stack, Role.ADMIN)
    KafkaAdminClient(**kafka_python_options(right), bootstrap_timeout_ms=1500, request_timeout_ms=1500).list_topics()
    settings = right.model_copy(update={"security_protocol": protocol})
    with pytest.raises(errors.KafkaError):
        KafkaAdminClient(**kafka_python_options(settings), bootstrap_timeout_ms=1500, request_timeout_ms=1500).list_topics()


def test_a_client_that_does_not_know_the_authority_does_not_talk_to_the_broker(stack: Settings) -> None:
    host, _, port = stack.kafka.bootstrap_servers.partition(":")
    strangers = ssl.create_default_context()
    with (
        socket.create_connection((host, int(port)), 5) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        strangers.wrap_socket(plain, server_hostname=host)


def test_the_controller_takes_only_the_brokers_own_certificate(stack: Settings) -> None:
    context = ssl.create_default_context(cafile=keys_of(stack).authority)
    assert _controller_answers(stack, None) is False
    assert _controller_answers(stack, context) is False
    context.load_cert_chain(keys_of(stack).broker)
    assert _controller_answers(stack, context) is True


def _controller_answers(stack: Settings, context: ssl.SSLContext | None) -> bool:
    """Whether the controller's listener answers ApiVersions, over TLS where a context is given."""
    request = bytes.fromhex("0000000a00120000") + CORRELATION + bytes.fromhex("ffff")
    try:
        with socket.create_connection(("127.0.0.1", stack.stack.controller_port), 5) as plain:
            plain.settimeout(5)
            connection = plain if context is None else context.wrap_socket(plain, server_hostname="127.0.0.1")
            with closing(connection):
                connection.sendall(request)
                answer = connection.recv(64)
                return answer[4:8] == CORRELATION  # a refusal by TLS is bytes too, but no answer of Kafka's
    except OSError:
        return False


def secrets_of(stack: Settings) -> dict[str, str]:
    """Every secret of the stack, by what it is."""
    keys = keys_of(stack)
    found = {f"password of {role}": keys.password(role) for role in Role}
    key = re.search(r"BEGIN PRIVATE KEY-----\n(.+?)\n", keys.broker.read_text())
    assert key is not None
    return {**found, "key of the broker": key[1], "signing secret": SIGNING_SECRET, "key of the shop": SHOP_KEY}


def test_no_secret_is_in_a_log_or_in_the_arguments_of_a_process(stack: Settings) -> None:
    secrets = secrets_of(stack)
    places = {str(log): log.read_text(errors="replace") for log in (resolve(stack.stack.var) / "log").iterdir()}
    assert len(places) >= 6
    ours = 0
    for process in psutil.process_iter():
        try:
            arguments = "\n".join(process.cmdline())
        except psutil.Error:
            continue
        ours += str(stack.stack.var) in arguments
        places[f"arguments of process {process.pid}"] = arguments
    assert ours > 0  # at least the broker, which is given the path of its settings
    assert [f"{what} in {place}" for place, text in places.items() for what, secret in secrets.items() if secret in text] == []


def test_a_process_is_given_only_the_secrets_that_it_needs(stack: Settings) -> None:
    secrets = secrets_of(stack)
    needed = {"worker-0": {"signing secret"}, "gateway": {"key of the shop"}}
    held = {}
    for process in control.status(stack).processes:
        assert process.pid is not None
        everyone = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        text = "\n".join(value for one in everyone for value in one.environ().values())
        held[process.name] = {what for what, secret in secrets.items() if secret in text}
    assert {"kafka", "triton", "catalog-0"} <= set(held)
    assert held == {name: needed.get(name, set()) for name in held}


def test_only_the_owner_may_read_what_is_secret(stack: Settings) -> None:
    var = resolve(stack.stack.var)
    folder = var / "security"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = [*folder.iterdir(), var / "kafka" / "server.properties"]
    assert len(files) > 2 * len(CLIENTS)
    assert {
        str(file): oct(stat.S_IMODE(file.stat().st_mode)) for file in files if stat.S_IMODE(file.stat().st_mode) != 0o600
    } == {}
    assert not (var / "kafka" / ".format").exists()


def test_a_role_file_lets_the_command_line_sign_in(stack: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VITRINE_CONFIG", str(keys_of(stack).config_file(Role.OPERATOR)))
    assert Settings().kafka == client_settings(stack.kafka, keys_of(stack), Role.OPERATOR)
    assert os.environ["VITRINE_CONFIG"] not in Path("/proc/self/cmdline").read_text()
