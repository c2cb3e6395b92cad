"""Which faults there are: for a stack with one broker under the supervisor, and for three replicated brokers."""

from __future__ import annotations

from nemesis.faults import Fault, kill, kill_stub, pause, pause_stub
from nemesis.network import brokers, cut, delay, ranker, reset, slices
from nemesis.nodes import fill_disk, kill_node, pause_node
from nemesis.pressure import burst, clock_step, poison, swap_catalogue

_EVERYWHERE: tuple[Fault, ...] = (
    Fault("kill -9 worker-0", kill("worker-0"), "worker-0"),
    Fault("kill -9 worker-1", kill("worker-1"), "worker-1"),
    Fault("kill -9 triton", kill("triton"), "triton"),
    Fault("kill -9 stub of page_ranker", kill_stub, "triton"),
    Fault("kill -9 gateway", kill("gateway"), "gateway"),
    Fault("pause worker-0 for 1 s", pause("worker-0", 1.0)),
    Fault("pause worker-0 for 5 s, longer than its session", pause("worker-0", 5.0)),
    Fault("pause worker-1 for 10 s, longer than the supervisor's patience", pause("worker-1", 10.0), "worker-1"),
    Fault("pause triton for 1 s", pause("triton", 1.0)),
    Fault("pause triton for 10 s", pause("triton", 10.0), "triton"),
    Fault("pause stub of page_ranker for 10 s", pause_stub(10.0), "triton"),
    Fault("ranker slow by 50 ms", delay(ranker, 0.05, 4.0)),
    Fault("ranker slow by 500 ms", delay(ranker, 0.5, 4.0)),
    Fault("ranker connection cut for 3 s", cut(ranker, 3.0)),
    Fault("ranker connections reset", reset(ranker)),
    Fault("ranker bytes in slices", slices(ranker, 64, 3.0)),
    Fault("10x burst for 5 s", burst(10.0, 5.0)),
    Fault("half of the values poisoned", poison(0.5, 3.0)),
    Fault("shop's clock 5 min ahead", clock_step(300.0, 3.0)),
    Fault("shop's clock 5 min behind", clock_step(-300.0, 3.0)),
    Fault("every product published again", swap_catalogue),
)

FAULTS_OF_ONE: tuple[Fault, ...] = (
    *_EVERYWHERE,
    Fault("kill -9 broker", kill("kafka"), "kafka"),
    Fault("pause broker for 1 s", pause("kafka", 1.0)),
    Fault("pause broker for 10 s", pause("kafka", 10.0), "kafka"),
)

FAULTS_OF_THREE: tuple[Fault, ...] = (
    *_EVERYWHERE,
    Fault("kill -9 one of three brokers", kill_node),
    Fault("pause one of three brokers for 1 s", pause_node(1.0)),
    Fault("pause one of three brokers for 10 s, longer than its session", pause_node(10.0)),
    Fault("full disk of one of three brokers", fill_disk),
    Fault("brokers slow by 50 ms", delay(brokers, 0.05, 4.0)),
    Fault("broker connections cut for 3 s", cut(brokers, 3.0)),
    Fault("broker connections cut for 8 s, longer than the workers' sessions", cut(brokers, 8.0)),
    Fault("broker connections reset", reset(brokers)),
    Fault("broker bytes in slices", slices(brokers, 512, 3.0)),
)
