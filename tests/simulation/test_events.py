"""The event loop and its server, against queues whose answers are known."""

from __future__ import annotations

import random

import pytest

from harness.simulation.events import Events, FifoServer
from tests.simulation.queueing_laws import closed_network, interactive_response_s, mg1_wait_s


def test_events_happen_in_order_and_at_once_in_the_order_they_were_asked_for():
    """Time decides; of one moment, who asked first."""
    events, seen = Events(), []
    for name, delay_s in [("late", 2.0), ("first", 1.0), ("second", 1.0), ("never", 9.0)]:
        events.after(delay_s, seen.append, name)
    events.run(until_s=5.0)
    assert seen == ["first", "second", "late"]
    assert (events.now_s, events.count) == (5.0, 3)


def queue(rate_s: float, service: list[float]) -> tuple[float, float]:
    """Mean wait and utilisation of one server with a Poisson stream of these jobs."""
    numbers, events = random.Random(7), Events()
    server, waits, came = FifoServer(events), [], {}

    def arrive(job: int) -> None:
        came[job] = events.now_s
        server.serve(begin, lambda _: None, job)
        if job + 1 < len(service):
            events.after(numbers.expovariate(rate_s), arrive, job + 1)

    def begin(job: int) -> float:
        waits.append(events.now_s - came.pop(job))
        return service[job]

    events.after(0.0, arrive, 0)
    events.run(until_s=1e12)
    return sum(waits) / len(waits), server.busy_s


@pytest.mark.parametrize(("squared_variation", "name"), [(1.0, "M/M/1"), (0.0, "M/D/1")])
def test_a_server_waits_as_pollaczek_and_khinchine_say(squared_variation: float, name: str):
    """The mean wait of a long run at 70% utilisation is that of the formula."""
    numbers, jobs = random.Random(3), 150_000
    service = [numbers.expovariate(1.0) if squared_variation else 1.0 for _ in range(jobs)]
    wait_s, busy_s = queue(0.7, service)
    assert wait_s == pytest.approx(mg1_wait_s(0.7, 1.0, squared_variation), rel=0.08), name
    assert busy_s == pytest.approx(sum(service))


@pytest.mark.parametrize("users", [1, 4, 16])
def test_a_closed_system_is_as_fast_as_mean_value_analysis_says(users: int):
    """Two exponential servers and terminals: throughput, and the interactive response time law."""
    demands_s, think_time_s, until_s = (0.05, 0.03), 0.4, 4_000.0
    numbers, events = random.Random(users), Events()
    servers = [FifoServer(events) for _ in demands_s]
    done, responses_s, asked = [0], [0.0], {}

    def think(user: int) -> None:
        events.after(numbers.expovariate(1 / think_time_s), ask, user)

    def ask(user: int) -> None:
        asked[user] = events.now_s
        visit(0, user)

    def visit(station: int, user: int) -> None:
        if station == len(servers):
            done[0] += 1
            responses_s[0] += events.now_s - asked[user]
            think(user)
            return
        servers[station].serve(
            lambda _: numbers.expovariate(1 / demands_s[station]),
            lambda job: visit(station + 1, job),
            user,
        )

    for user in range(users):
        think(user)
    events.run(until_s)
    throughput_s, response_s = closed_network(users, demands_s, think_time_s)
    assert done[0] / until_s == pytest.approx(throughput_s, rel=0.03)
    assert responses_s[0] / done[0] == pytest.approx(response_s, rel=0.05)
    by_law_s = interactive_response_s(users, done[0] / until_s, think_time_s)
    assert by_law_s == pytest.approx(response_s, rel=0.12)


def test_what_a_job_takes_is_asked_for_when_it_begins():
    """So a batch takes with it what has gathered while it waited."""
    events, seen = Events(), []
    server = FifoServer(events)
    for job in ("one", "two"):
        server.serve(lambda job: seen.append((job, events.now_s)) or 3.0, lambda _: None, job)
    events.run(until_s=10.0)
    assert seen == [("one", 0.0), ("two", 3.0)]
