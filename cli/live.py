"""`vitrine run`: the stack, a crowd of simulated shoppers, and one shopper's page live in the terminal."""

from __future__ import annotations

import signal
import sys
import time
from types import TracebackType
from typing import Any, Self

from kafka import KafkaConsumer, TopicPartition
from rich.console import Console
from rich.live import Live

from cli.demo_shop import ensure_demo_shop
from cli.live_story import Story
from cli.live_view import draw
from cli.stack_commands import start
from consumers.newest import NewestPages
from contracts.catalog import decode_item
from contracts.errors import ContractError
from contracts.events import decode_event
from contracts.kafka_client import kafka_python_options
from contracts.recommendations import decode_page
from contracts.settings import ROOT, KafkaSettings, Settings, resolve
from contracts.topics import CATALOG, EVENTS, PAGES
from stack import control
from stack.environment import child_environment
from stack.principals import Role
from stack.process import Child
from stack.security import as_role

_FRAMES_PER_SECOND = 5
_POLL_MS = 100
_SHOPPERS = 24  # few enough that the one who is followed acts about every second


class Feed:
    """Events, pages and products of the topics, told to a story as they come.

    Args:
        settings: the cluster.
        story: who is told.
    """

    def __init__(self, settings: KafkaSettings, story: Story) -> None:
        self._settings = settings
        self._story = story
        self._newest = NewestPages()
        self._consumer: Any = None

    def __enter__(self) -> Self:
        """Connect: products from the beginning, events and pages from now on."""
        self._consumer = KafkaConsumer(
            **kafka_python_options(self._settings), enable_auto_commit=False, group_id=None, fetch_max_wait_ms=50
        )
        places = {topic: self._partitions(topic) for topic in (CATALOG, EVENTS, PAGES)}
        self._consumer.assign([place for partitions in places.values() for place in partitions])
        self._consumer.seek_to_beginning(*places[CATALOG])
        self._consumer.seek_to_end(*places[EVENTS], *places[PAGES])
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._consumer.close()

    def poll(self) -> None:
        """Take in what is there; waits a moment if nothing is."""
        for place, records in self._consumer.poll(timeout_ms=_POLL_MS).items():
            topic = place.topic.removeprefix(self._settings.topic_prefix)
            for record in records:
                if record.value is not None:
                    self._tell(topic, record)

    def _tell(self, topic: str, record: Any) -> None:
        try:
            if topic == CATALOG:
                self._story.saw_item(decode_item(record.value))
            elif topic == EVENTS:
                self._story.saw_event(decode_event(record.value))
            else:
                page = decode_page(record.value)
                if self._newest.accepts(record.key, page.source.partition, page.source.offset):
                    self._story.saw_page(page)
        except ContractError:  # what breaks the contract is the worker's business: it becomes a dead letter
            return

    def _partitions(self, topic: str) -> list[TopicPartition]:
        return [TopicPartition(self._settings.topic_prefix + topic, number) for number in range(self._settings.partitions)]


class LiveDemo:
    """Everything at once, until Ctrl-C or the given time.

    Args:
        settings: of the stack.
        rate: events per second of all shoppers.
        seconds: when to end, counted from the first frame; None never ends.
        seed: of the shoppers.
    """

    def __init__(self, settings: Settings, *, rate: float, seconds: float | None, seed: int) -> None:
        self._settings = settings
        self._own = as_role(settings, Role.OPERATOR)  # reads all topics and publishes, but is no administrator
        self._rate = rate
        self._seconds = seconds if seconds is not None else float("inf")
        self._seed = seed
        self._console = Console()

    def run(self) -> None:
        """Start, show, stop.

        Raises:
            VitrineError: something did not start; everything is stopped again.
        """
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C, so that nothing is left
        was_up = control.status(self._settings).up
        try:
            self._show(self._addresses(was_up=was_up))
        except KeyboardInterrupt:
            self._console.print("stopping")
        finally:
            if not was_up:
                control.stop(self._settings)
                self._console.print("Everything is stopped.")

    def _addresses(self, *, was_up: bool) -> dict[str, str]:
        if was_up:
            self._console.print("The stack is up already; it stays up when this ends.")
            return control.status(self._settings).addresses
        return start(self._settings, self._console).addresses

    def _show(self, addresses: dict[str, str]) -> None:
        count = ensure_demo_shop(self._own, self._console)
        self._console.print(f"{count} products are recommendable; the shoppers come in")
        story = Story(time.monotonic)
        crowd = self._crowd()
        with Feed(self._own.kafka, story) as feed:
            crowd.start()
            try:
                self._watch(feed, story, addresses)
            finally:
                crowd.stop(5)

    def _watch(self, feed: Feed, story: Story, addresses: dict[str, str]) -> None:
        begun = drawn = time.monotonic()
        with Live(draw(story, addresses, begun), console=self._console, auto_refresh=False) as live:
            while time.monotonic() - begun < self._seconds:
                feed.poll()
                now = time.monotonic()
                if now - drawn > 1 / _FRAMES_PER_SECOND:
                    live.update(draw(story, addresses, now), refresh=True)
                    drawn = now

    def _crowd(self) -> Child:
        rate, count, seed = str(self._rate), str(_SHOPPERS), str(self._seed)
        command = [sys.executable, "-m", "cli", "shop", "--rate", rate, "--count", count, "--seed", seed, "--no-catalog"]
        log_file = resolve(self._settings.stack.var) / "log" / "shoppers.log"
        return Child("shoppers", command, child_environment(self._own), log_file, ROOT)
