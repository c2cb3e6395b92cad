"""What events tell of earlier pages and ads, as metrics: clicks that a page earned, and what campaigns have spent.

A click, cart or purchase counts as earned when it carries the attribution token of one of our pages (signed, so it cannot be
made up), at the event or at one of its items. Ads are those that the shop reports as `ad_impression` and `ad_click`: the
campaign, its bid and its daily budget are the catalogue's; a click costs the bid (cost per click), an impression nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from contracts.catalog import Sponsored
from contracts.events import Event, EventItem
from contracts.keys import item_key
from monitoring.metrics import FeedbackMetrics
from streams.items import ItemView
from streams.page import read_token

ACTIONS = {"select_item": "click", "view_item": "click", "add_to_cart": "cart", "purchase": "purchase"}
ADS = {"ad_impression": "impression", "ad_click": "click"}
OTHER = "other"


def tells(event: Event) -> bool:
    """Whether an event may tell of a page or an ad; nearly all do not, so this is looked at first."""
    if event.event_name in ADS:
        return True
    return event.event_name in ACTIONS and (
        event.attribution_token is not None or any(item.attribution_token for item in event.items)
    )


@dataclass
class Feedback:
    """Counts what folded events tell.

    Args:
        view: the live items, for their campaigns.
        metrics: where it is counted.
        secret: signs attribution tokens.
        campaigns_max: campaigns with a label of their own; further ones share `other`, so that labels stay bounded.
    """

    view: ItemView
    metrics: FeedbackMetrics
    secret: bytes
    campaigns_max: int = 50
    _named: set[str] = field(default_factory=set)

    def observe(self, events: Sequence[Event]) -> None:
        """Count events for which :func:`tells` holds; call once for each event that was folded."""
        for event in events:
            if event.event_name in ADS:
                self._ad(event)
            else:
                self._earned(event)

    def _earned(self, event: Event) -> None:
        action = ACTIONS[event.event_name]
        for item in event.items:
            token = item.attribution_token or event.attribution_token
            if token is None:
                continue
            if read_token(token, self.secret) is None:
                self.metrics.foreign_tokens.inc()
                continue
            self.metrics.attributed.labels(action).inc()
            if action == "click" and item.index is not None:
                self.metrics.clicked_position.observe(item.index)

    def _ad(self, event: Event) -> None:
        for item in event.items:
            campaign = self._campaign(event, item)
            if campaign is None:
                self.metrics.ads.labels("none", ADS[event.event_name]).inc()
                continue
            name = self._name(campaign.campaign_id)
            self.metrics.ads.labels(name, ADS[event.event_name]).inc()
            if event.event_name == "ad_click":
                self.metrics.ad_spend.labels(name).inc(campaign.bid)
            if name != OTHER:
                self.metrics.ad_budget.labels(name).set(campaign.budget)

    def _campaign(self, event: Event, item: EventItem) -> Sponsored | None:
        card = self.view.cards.get(item_key(event.tenant_id, item.item_id))
        return card.sponsored if card is not None else None

    def _name(self, campaign_id: str) -> str:
        if campaign_id not in self._named and len(self._named) >= self.campaigns_max:
            return OTHER
        self._named.add(campaign_id)
        return campaign_id
