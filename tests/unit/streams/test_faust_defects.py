"""What Faust 0.15.3 does that the worker works around; each fails when a workaround, or the reason for it, goes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import faust
import pytest
from faust.transport.consumer import Consumer
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread

from contracts.errors import ConfigurationError
from contracts.settings import Settings
from streams.faust_consumer import FETCH_WAIT_MS, PassingConsumer
from streams.membership import check_faust, faust_app

PARTITION = faust.types.TP("events", 0)


def commit_of_faust(committed: int, acked: list[int]) -> int | None:
    """The offset that Faust would commit."""
    consumer = SimpleNamespace(
        _acked={PARTITION: acked},
        _acked_index={PARTITION: set(acked)},
        _gap={PARTITION: []},
        _committed_offset={PARTITION: committed},
    )
    return cast("int | None", cast("Any", Consumer)._new_offset(consumer, PARTITION))


def test_faust_commits_past_an_event_that_is_not_done_so_the_worker_acknowledges_in_order() -> None:
    # 2585 is the next to be done: whoever commits 2590 loses it at a crash.
    assert commit_of_faust(2585, [2586, 2587, 2588, 2589]) == 2590


def made(tmp_path: Path) -> faust.App:
    settings = Settings()
    worker = settings.worker.model_copy(update={"data_dir": tmp_path})
    return faust_app(settings.model_copy(update={"worker": worker}), "group")


def test_the_settings_that_avoid_known_defects_are_set(tmp_path: Path) -> None:
    conf: Any = made(tmp_path).conf
    assert conf.processing_guarantee == faust.types.enums.ProcessingGuarantee.AT_LEAST_ONCE  # its exactly-once duplicates
    assert not conf.web_enabled  # /table would serve session data
    assert (conf.key_serializer, conf.value_serializer) == ("raw", "raw")  # it acknowledges what it cannot decode; no pickle
    assert conf.table_standby_replicas == 0
    assert conf.consumer_group_instance_id == "group-0"  # a restart within the session timeout is no rebalance
    assert conf.topic_disable_leader


def test_a_seek_back_is_not_undone_by_the_read_mark(tmp_path: Path) -> None:
    app = made(tmp_path)
    assert cast("Any", app.transport).Consumer is PassingConsumer
    consumer = cast("Any", app).consumer
    consumer._read_offset[PARTITION] = 9  # what a batch on its way does after the seek to 5
    assert consumer._read_offset[PARTITION] is None  # 5 to 9 are passed on again


def test_the_first_event_after_a_start_does_not_wait_for_a_fetch_of_other_partitions(tmp_path: Path) -> None:
    async def waits() -> tuple[int, int]:
        app = cast("Any", made(tmp_path))
        thread = app.consumer._new_consumer_thread()
        ours = thread._create_worker_consumer(app.transport)
        fausts = AIOKafkaConsumerThread._create_worker_consumer(thread, app.transport)
        return ours._fetch_max_wait_ms, fausts._fetch_max_wait_ms

    assert asyncio.run(waits()) == (FETCH_WAIT_MS, 1500)  # without the second the workaround may go
    assert FETCH_WAIT_MS <= 100


def test_another_faust_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faust, "__version__", "0.16.0")
    with pytest.raises(ConfigurationError, match=r"0\.16\.0"):
        check_faust()


def test_a_rebalance_is_told_with_its_partitions_and_its_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    app = made(tmp_path)
    app.consumer_generation_id = 7
    partitions = {faust.types.TP("events", 2), faust.types.TP("events", 0), faust.types.TP("changelog", 2)}

    async def rebalance() -> None:
        await app.on_partitions_assigned.send(partitions)
        await app.on_rebalance_complete.send()

    with caplog.at_level("INFO", logger="streams.membership"):
        asyncio.run(rebalance())
    told = [cast("Any", record) for record in caplog.records if record.name == "streams.membership"]
    assert told[0].partitions == {"changelog": [2], "events": [0, 2]}
    assert [record.generation for record in told] == [7, 7]
