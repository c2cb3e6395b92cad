"""Simulated shoppers on the real topics: they publish events, get pages, and react to the pages that they get."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

from consumers.pages import PageSubscriber
from contracts.recommendations import PageRecommendation
from contracts.settings import KafkaSettings
from producers.publisher import EventPublisher
from shop.catalog import products
from shop.shoppers import Shopper
from shop.taste import shelf_of


class Crowd:
    """Shoppers who act at random moments, together `rate` events per second (a Poisson process).

    Args:
        settings: the cluster.
        rate: events per second of all together.
        count: shoppers.
        seed: of tastes, decisions and moments; what they do also depends on the pages that come in time.
    """

    def __init__(self, settings: KafkaSettings, *, rate: float, count: int, seed: int) -> None:
        shelf = shelf_of(products())
        self._settings = settings
        self._rate = rate
        self._rng = random.Random(seed)
        self._shoppers = [Shopper(f"shopper-{seed}-{number}", shelf, seed * 100_003 + number) for number in range(count)]
        self._pages: dict[str, PageRecommendation] = {}
        self.events = 0

    def run(self, until: Callable[[], bool]) -> None:
        """Publish until told to end.

        Raises:
            BrokerUnavailable: if no broker answers.
        """
        is_over = threading.Event()
        with PageSubscriber(self._settings, until=is_over.is_set) as pages:
            reader = threading.Thread(target=self._read, args=(pages,), daemon=True)
            reader.start()
            try:
                self._act(until)
            finally:
                is_over.set()
                reader.join()

    def _read(self, pages: PageSubscriber) -> None:
        for page in pages:
            self._pages[page.visitor_id] = page

    def _act(self, until: Callable[[], bool]) -> None:
        with EventPublisher(self._settings) as publisher:
            due = time.monotonic()
            while not until():
                due += self._rng.expovariate(self._rate)
                time.sleep(max(0.0, due - time.monotonic()))
                shopper = self._rng.choice(self._shoppers)
                event = shopper.next_event(self._pages.get(shopper.visitor_id), time.time_ns() // 1_000_000)
                if event is not None:
                    publisher.publish(event)
                    self.events += 1
