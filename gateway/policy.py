"""The addresses of the gateway: who may call each, and the label that it has in metrics."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum


class Access(IntEnum):
    """What a key opens; each level includes those before."""

    OPEN = 0
    BROWSER = 1
    SHOP = 2
    OPERATOR = 3


@dataclass(frozen=True, slots=True)
class Rule:
    """One address: method, template with `{name}` for a segment, and the access it needs."""

    method: str
    template: str
    access: Access


RULES: tuple[Rule, ...] = (
    Rule("POST", "/v1/events", Access.BROWSER),
    Rule("POST", "/v1/adapters/ga4/datalayer", Access.BROWSER),
    Rule("POST", "/v1/adapters/ga4/mp", Access.BROWSER),
    Rule("POST", "/v1/adapters/segment", Access.BROWSER),
    Rule("POST", "/v1/adapters/snowplow", Access.BROWSER),
    Rule("POST", "/v1/adapters/retail", Access.BROWSER),
    Rule("POST", "/v1/catalog", Access.SHOP),
    Rule("POST", "/v1/images", Access.SHOP),
    Rule("GET", "/v1/pages/{visitor}/stream", Access.BROWSER),
    Rule("GET", "/v1/pages/{visitor}", Access.BROWSER),
    Rule("DELETE", "/v1/visitors/{visitor}", Access.SHOP),
    Rule("GET", "/v1/items", Access.BROWSER),
    Rule("GET", "/v1/items/{item}/status", Access.BROWSER),
    Rule("GET", "/v1/items/{item}", Access.BROWSER),
    Rule("DELETE", "/v1/items/{item}", Access.SHOP),
    Rule("GET", "/v1/categories", Access.BROWSER),
    Rule("GET", "/v1/ops/summary", Access.OPERATOR),
    Rule("GET", "/v1/ops/series", Access.OPERATOR),
    Rule("GET", "/v1/ops/health", Access.OPERATOR),
    Rule("GET", "/v1/ops/dead-letters", Access.OPERATOR),
    Rule("POST", "/v1/ops/dead-letters/{partition}/{offset}/replay", Access.OPERATOR),
    Rule("GET", "/healthz", Access.OPEN),
    Rule("GET", "/metrics", Access.OPEN),
    Rule("GET", "/openapi.json", Access.OPEN),
    Rule("GET", "/vitrine.js", Access.OPEN),
)
_EXACT = {(rule.method, rule.template): rule for rule in RULES if "{" not in rule.template}
# The ids of shops may hold slashes, so the longer address of two stands first above and in the routes.
_PATTERNS = [(rule, re.compile(re.sub(r"\{\w+\}", ".+", rule.template))) for rule in RULES if "{" in rule.template]
# The routes may read an address in ways that the patterns here do not (a line break at its end, an empty id): whatever is
# not plainly one of the rules needs the highest access, so no key ever opens more than it should.
_UNKNOWN_API = Rule("GET", "/v1/…", Access.OPERATOR)
_FILES = Rule("GET", "/static", Access.OPEN)


def rule_of(method: str, path: str) -> Rule:
    """The rule of a request; what no rule names is a file of the shop, or an unknown address below `/v1/`."""
    method = "GET" if method == "HEAD" else method
    rule = _EXACT.get((method, path))
    if rule is not None:
        return rule
    if not path.startswith("/v1/"):
        return _FILES
    for candidate, pattern in _PATTERNS:
        if candidate.method == method and pattern.fullmatch(path):
            return candidate
    return _UNKNOWN_API
