"""The item vectors that the running shop ranks by, out of `shop.item_embeddings.v1`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from consumers.topic_reader import TopicReader
from contracts.catalog import decode_embedding
from contracts.errors import ContractError
from contracts.keys import item_key, split_key
from contracts.settings import KafkaSettings
from contracts.topics import ITEM_EMBEDDINGS


def live_vectors(settings: KafkaSettings, tenant: str) -> dict[int, NDArray[np.float32]]:
    """Fused vectors [D] of a tenant's live items by item key; records that break the contract are left out.

    Raises:
        BrokerUnavailable: if no broker answers.
    """
    found: dict[int, NDArray[np.float32]] = {}
    with TopicReader(settings, ITEM_EMBEDDINGS) as reader:
        reader.rewind()
        for record in reader.until_now():
            owner, item = split_key(record.key)
            if owner != tenant:
                continue
            found.pop(item_key(tenant, item), None)
            try:
                if record.value is not None:
                    found[item_key(tenant, item)] = np.array(decode_embedding(record.value).fused, dtype=np.float32)
            except ContractError:
                continue
    return found
