"""The promises of the port AgentStore, over every backend, with two stores on one database where that matters."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.older_database import make_older
from tests.serving import wait_until
from webchat_soap.domain.agent_ports import AgentStore
from webchat_soap.domain.agents import NewSession, Pace, Turnstile
from webchat_soap.domain.errors import Conflict
from webchat_soap.stores import open_chat_store

NOW = datetime(2026, 3, 4, 5, 6, 7, 891000, tzinfo=UTC)
HOUR = timedelta(hours=1)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


@pytest.fixture
def opener(tmp_path: Path) -> Iterator[Callable[[], AgentStore]]:
    """Opens the same database as often as it is called, each time as a process of its own would."""
    with ExitStack() as opened:

        def open_one() -> AgentStore:
            database = open_chat_store(f"sqlite:///{tmp_path}/chats.db", lock_folder=tmp_path / "locks")
            opened.callback(database.close)
            return database.agents

        yield open_one


@pytest.fixture
def agents(opener: Callable[[], AgentStore]) -> AgentStore:
    return opener()


def new_session(session_id: str = "s1", *, at: datetime = NOW) -> NewSession:
    return NewSession(session_id=session_id, made_at=at, expires_at=at + 12 * HOUR)


def signed_in(
    agents: AgentStore,
    session_id: str = "s1",
    *,
    name: str = "ayşe",
    at: datetime = NOW,
    replaced: str | None = None,
    browser_id: str = "b1",
    new_hash: str | None = None,
    forgiven: tuple[Turnstile, ...] = (),
    verified_hash: str = "h1",
) -> bool:
    secret = agents.find_secret(name)
    assert secret is not None
    return agents.sign_in(
        secret.agent_id,
        new_session(session_id, at=at),
        verified_hash=verified_hash,
        new_hash=new_hash,
        replaced=replaced,
        browser_id=browser_id,
        forgiven=forgiven,
    )


def test_an_agent_is_found_by_its_name_in_any_case_and_made_once(agents: AgentStore) -> None:
    assert not agents.has_agents()
    made = agents.add_agent("Ayşe", password_hash="h1", at=NOW)
    with pytest.raises(Conflict, match="AYŞE"):
        agents.add_agent("AYŞE", password_hash="h2", at=NOW)
    secret = agents.find_secret("ayşe")
    assert secret is not None
    assert (secret.agent_id, secret.password_hash, secret.is_disabled) == (made.agent_id, "h1", False)
    assert agents.find_secret("ayse") is None
    assert agents.list_agents(at=NOW, idle=HOUR) == (made,)
    assert agents.has_agents()


def test_agents_are_listed_by_name_with_their_living_sessions(agents: AgentStore) -> None:
    for name in ("Zoë", "Ayşe", "mehmet"):
        agents.add_agent(name, password_hash="h1", at=NOW)
    signed_in(agents, "old", at=NOW - 13 * HOUR)
    signed_in(agents, "idle", at=NOW - 2 * HOUR)
    signed_in(agents, "s1", at=NOW - seconds(30))
    signed_in(agents, "s2", at=NOW - seconds(20))
    listed = agents.list_agents(at=NOW, idle=HOUR)
    assert [(agent.name, agent.sessions) for agent in listed] == [("Ayşe", 2), ("mehmet", 0), ("Zoë", 0)]
    assert listed[0].last_seen_at == NOW - seconds(20)
    assert listed[1].last_seen_at is None


def test_a_session_is_found_with_its_agent_and_ends(agents: AgentStore) -> None:
    made = agents.add_agent("Ayşe", password_hash="h1", at=NOW)
    assert signed_in(agents)
    row = agents.find_session("s1")
    assert row is not None
    assert (row.agent_id, row.agent_name, row.last_seen_at, row.expires_at, row.is_trial) == (
        made.agent_id,
        "Ayşe",
        NOW,
        NOW + 12 * HOUR,
        False,
    )
    agents.end_session("s1")
    agents.end_session("s1")
    assert agents.find_session("s1") is None


def test_that_a_session_is_used_is_written_once_within_the_time(agents: AgentStore) -> None:
    agents.add_agent("Ayşe", password_hash="h1", at=NOW)
    signed_in(agents)

    def last_seen() -> datetime:
        row = agents.find_session("s1")
        assert row is not None
        return row.last_seen_at

    agents.see_session("s1", at=NOW + seconds(61), unless_since=NOW + seconds(31))
    wait_until(lambda: last_seen() == NOW + seconds(61))
    agents.see_session("s1", at=NOW + seconds(70), unless_since=NOW + seconds(40))
    agents.end_session("none")  # comes after it, so it is decided by now
    assert last_seen() == NOW + seconds(61)


@pytest.mark.parametrize(
    ("end", "may_sign_in"),
    [
        (lambda agents: agents.set_disabled("AYŞE", at=NOW), False),
        (lambda agents: agents.set_password("AYŞE", password_hash="h2"), False),
        (lambda agents: agents.end_sessions_of("AYŞE"), True),
    ],
)
def test_sessions_end_at_once_also_for_another_process(
    opener: Callable[[], AgentStore], end: Callable[[AgentStore], object], may_sign_in: bool
) -> None:
    here, there = opener(), opener()
    for name in ("Ayşe", "Zoë"):
        here.add_agent(name, password_hash="h1", at=NOW)
    signed_in(here, "s1")
    signed_in(here, "s2")
    signed_in(here, "other", name="zoë")
    assert there.find_session("s1") is not None
    assert end(there)
    assert here.find_session("s1") is None
    assert here.find_session("s2") is None
    assert here.find_session("other") is not None
    assert signed_in(here, "s3") is may_sign_in


def test_who_is_disabled_or_gets_another_password_while_signing_in_does_not_get_in(agents: AgentStore) -> None:
    agents.add_agent("Ayşe", password_hash="h1", at=NOW)
    agents.set_password("Ayşe", password_hash="h2")
    assert not signed_in(agents, verified_hash="h1")
    agents.set_disabled("Ayşe", at=NOW)
    assert not signed_in(agents, verified_hash="h2")
    agents.set_disabled("Ayşe", at=None)
    assert signed_in(agents, verified_hash="h2", new_hash="h3")
    assert agents.find_secret("ayşe").password_hash == "h3"  # type: ignore[union-attr]


def test_what_names_nobody_says_so(agents: AgentStore) -> None:
    assert agents.set_disabled("Nobody", at=NOW) is False
    assert agents.set_password("Nobody", password_hash="h") is False
    assert agents.end_sessions_of("Nobody") is None


def test_signing_in_ends_the_browsers_old_session_and_takes_those_that_are_over_away(
    agents: AgentStore, tmp_path: Path
) -> None:
    agents.add_agent("Ayşe", password_hash="h1", at=NOW)
    signed_in(agents, "expired", at=NOW - 13 * HOUR)
    signed_in(agents, "old")
    signed_in(agents, "new", replaced="old")
    assert agents.find_session("old") is None
    assert agents.find_session("expired") is None
    assert agents.find_session("new") is not None


def test_a_browser_is_known_to_the_agent_who_used_it_until_the_password_changes(agents: AgentStore) -> None:
    ayse = agents.add_agent("Ayşe", password_hash="h1", at=NOW)
    zoe = agents.add_agent("Zoë", password_hash="h1", at=NOW)
    assert not agents.knows_browser("b1", agent_id=ayse.agent_id)
    signed_in(agents)
    assert agents.knows_browser("b1", agent_id=ayse.agent_id)
    assert not agents.knows_browser("b1", agent_id=zoe.agent_id)
    for number in range(50):
        signed_in(agents, f"n{number}", browser_id=f"n{number}", at=NOW + seconds(number + 1))
    assert not agents.knows_browser("b1", agent_id=ayse.agent_id)
    assert agents.knows_browser("n49", agent_id=ayse.agent_id)
    agents.set_password("Ayşe", password_hash="h2")
    assert not agents.knows_browser("n49", agent_id=ayse.agent_id)


NAME = Turnstile(key="name", pace=Pace(at_once=3, seconds=60))
ADDRESS = Turnstile(key="address", pace=Pace(at_once=5, seconds=10))


def test_attempts_pass_as_fast_as_the_pace_allows(agents: AgentStore) -> None:
    assert [agents.count_attempt((NAME,), at=NOW) for _ in range(4)] == [0, 0, 0, 60]
    assert agents.count_attempt((NAME,), at=NOW + seconds(50)) == 10
    assert agents.count_attempt((NAME,), at=NOW + seconds(60)) == 0
    assert agents.count_attempt((NAME,), at=NOW + seconds(60)) == 60
    assert [agents.count_attempt((NAME,), at=NOW + seconds(1000)) for _ in range(4)] == [0, 0, 0, 60]


def test_an_attempt_that_may_not_be_made_counts_nowhere(agents: AgentStore) -> None:
    for _ in range(3):
        agents.count_attempt((NAME, ADDRESS), at=NOW)
    for _ in range(10):
        assert agents.count_attempt((NAME, ADDRESS), at=NOW) == 60
    other = Turnstile(key="other", pace=NAME.pace)
    assert [agents.count_attempt((other, ADDRESS), at=NOW) for _ in range(3)] == [0, 0, 10]


def test_attempts_of_two_processes_and_after_a_restart_are_counted_together(opener: Callable[[], AgentStore]) -> None:
    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(lambda store: store.count_attempt((ADDRESS,), at=NOW), [opener() for _ in range(4)] * 4))
    assert sorted(waits) == [0] * 5 + [10] * 11
    assert opener().count_attempt((ADDRESS,), at=NOW) == 10


def test_a_clock_that_was_set_back_keeps_nobody_out_for_longer(agents: AgentStore) -> None:
    for _ in range(3):
        agents.count_attempt((NAME,), at=NOW + 1000 * HOUR)
    assert agents.count_attempt((NAME,), at=NOW) == 60
    assert agents.count_attempt((NAME,), at=NOW + seconds(59)) == 1
    assert agents.count_attempt((NAME,), at=NOW + seconds(60)) == 0


def test_a_right_password_does_not_count(agents: AgentStore) -> None:
    agents.add_agent("Ayşe", password_hash="h1", at=NOW)
    for number in range(10):
        assert agents.count_attempt((NAME,), at=NOW) == 0
        assert signed_in(agents, f"s{number}", forgiven=(NAME,))
    assert [agents.count_attempt((NAME,), at=NOW) for _ in range(4)] == [0, 0, 0, 60]


def test_what_was_counted_is_forgotten_in_time(agents: AgentStore, tmp_path: Path) -> None:
    for number in range(20):
        agents.count_attempt((Turnstile(key=f"n{number}", pace=NAME.pace),), at=NOW)
    agents.count_attempt((ADDRESS,), at=NOW + seconds(61))
    with sqlite3.connect(tmp_path / "chats.db") as connection:
        assert connection.execute("SELECT turnstile FROM sign_in_pace").fetchall() == [("address",)]
    connection.close()


def test_the_trial_works_once_in_time_and_with_its_key(agents: AgentStore) -> None:
    assert agents.offer_trial("k1", until=NOW + seconds(900))
    assert agents.has_trial("k1", at=NOW)
    assert not agents.has_trial("k2", at=NOW)
    assert not agents.has_trial("k1", at=NOW + seconds(900))
    assert not agents.take_trial("k2", new_session(), name="Try", agent_id="t1")
    assert not agents.take_trial("k1", new_session(at=NOW + seconds(900)), name="Try", agent_id="t1")
    assert agents.take_trial("k1", new_session(), name="Try", agent_id="t1")
    assert not agents.take_trial("k1", new_session("s2"), name="Try", agent_id="t2")
    row = agents.find_session("s1")
    assert row is not None
    assert (row.agent_name, row.is_trial) == ("Try", True)
    assert agents.list_agents(at=NOW, idle=HOUR) == ()
    assert agents.find_secret("try") is None
    assert not agents.has_agents()


def test_one_of_many_who_take_the_trial_at_once_gets_it(opener: Callable[[], AgentStore]) -> None:
    stores = [opener() for _ in range(3)]
    stores[0].offer_trial("k1", until=NOW + HOUR)

    def take(number: int) -> bool:
        return stores[number % 3].take_trial("k1", new_session(f"s{number}"), name="Try", agent_id=f"t{number}")

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(take, range(12))) == 1


@pytest.mark.parametrize("name", ["Ayşe", "Try"])
def test_the_first_agent_ends_the_trial_and_its_sessions(agents: AgentStore, name: str) -> None:
    agents.offer_trial("k1", until=NOW + HOUR)
    agents.take_trial("k1", new_session(), name="Try", agent_id="t1")
    agents.offer_trial("k2", until=NOW + HOUR)
    assert agents.find_session("s1") is None, "a new offer ends what an earlier one gave"
    agents.take_trial("k2", new_session("s2"), name="Try", agent_id="t2")
    agents.add_agent(name, password_hash="h1", at=NOW)
    assert agents.find_session("s2") is None
    assert not agents.offer_trial("k3", until=NOW + HOUR)
    assert not agents.take_trial("k3", new_session("s3"), name="Try", agent_id="t3")


def test_the_trial_can_be_taken_back(agents: AgentStore) -> None:
    agents.end_trial()
    agents.offer_trial("k1", until=NOW + HOUR)
    agents.take_trial("k1", new_session(), name="Try", agent_id="t1")
    agents.end_trial()
    assert agents.find_session("s1") is None


def test_a_session_is_looked_up_by_indexes_alone(agents: AgentStore, tmp_path: Path) -> None:
    from webchat_soap.stores.agents import _SELECT_SESSION

    agents.has_agents()
    with sqlite3.connect(tmp_path / "chats.db") as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {_SELECT_SESSION}", ("s1",))]
    connection.close()
    assert len(plan) == 2
    assert all(line.startswith("SEARCH ") and "PRIMARY KEY" in line for line in plan)


def test_an_older_database_takes_agents_and_keeps_its_chats(tmp_path: Path) -> None:
    database = open_chat_store(f"sqlite:///{tmp_path}/chats.db", lock_folder=tmp_path / "locks")
    database.start_chat(chat_id="c1", customer_name="Ayşe", token=None, account=None).result()
    database.close()
    make_older(tmp_path / "chats.db", version=3)
    database = open_chat_store(f"sqlite:///{tmp_path}/chats.db", lock_folder=tmp_path / "locks")
    database.agents.add_agent("Ayşe", password_hash="h1", at=NOW)
    assert database.agents.has_agents()
    assert database.find_chat("c1") is not None
    database.close()


def test_what_another_process_did_is_seen_by_this_one(agents: AgentStore, tmp_path: Path) -> None:
    agents.add_agent("Ayşe", password_hash="h1", at=NOW)
    signed_in(agents)
    code = (
        "import sys; from datetime import UTC, datetime; from pathlib import Path; "
        "from webchat_soap.stores import open_chat_store; folder = Path(sys.argv[1]); "
        "database = open_chat_store(f'sqlite:///{folder}/chats.db', lock_folder=folder / 'locks'); "
        "database.agents.set_disabled('ayşe', at=datetime.now(UTC)); database.close()"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=30)
    assert agents.find_session("s1") is None
    assert agents.list_agents(at=NOW, idle=HOUR)[0].disabled_at is not None
