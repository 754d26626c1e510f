"""Signing in, sessions and their ends: access.gate over a real store and real hashes, with a clock that is set."""

from __future__ import annotations

import sqlite3
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from tests.serving import wait_until
from webchat_soap.access.gate import AgentGate, SessionRules
from webchat_soap.access.passwords import _NOBODYS, Passwords
from webchat_soap.access.tokens import new_token, token_id
from webchat_soap.domain.agents import SignedIn
from webchat_soap.domain.errors import Busy, TooManyRequests, Unauthorized
from webchat_soap.stores import open_chat_store

PASSWORD = "correct horse battery"
HASH = PasswordHasher(time_cost=3, memory_cost=19 * 1024, parallelism=1).hash(PASSWORD)


class House:
    """A gate on a database of its own, with the agent Ayşe."""

    def __init__(self, folder: Path, passwords: Passwords | None = None) -> None:
        self.now = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
        self.folder = folder
        self.database = open_chat_store(f"sqlite:///{folder}/chats.db", lock_folder=folder / "locks")
        self.agents = self.database.agents
        self.agents.add_agent("Ayşe", password_hash=HASH, at=self.now)
        self.passwords = passwords or Passwords()
        self.gate = AgentGate(
            agents=self.agents,
            passwords=self.passwords,
            rules=SessionRules(idle_seconds=3600, most_seconds=12 * 3600),
            clock=lambda: self.now,
        )

    def sign_in(
        self,
        password: str = PASSWORD,
        *,
        name: str = "Ayşe",
        address: str = "192.0.2.1",
        known_browser: str | None = None,
        replaced_token: str | None = None,
    ) -> SignedIn:
        return self.gate.sign_in(
            name=name,
            password=password,
            address=address,
            known_browser=known_browser,
            replaced_token=replaced_token,
        )

    def fail(self, count: int, **what: str) -> None:
        for _ in range(count):
            with pytest.raises(Unauthorized):
                self.sign_in("wrong password", **what)

    def pass_time(self, **span: float) -> None:
        self.now += timedelta(**span)

    def holds(self, token: str, *, is_activity: bool = False) -> bool:
        return self.gate.find(token, is_activity=is_activity) is not None

    def last_seen(self, token: str) -> datetime:
        row = self.agents.find_session(token_id(token))
        assert row is not None
        return row.last_seen_at


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.database.close()


def test_the_right_password_gives_a_session_with_a_token_that_only_its_hash_is_kept_of(house: House) -> None:
    made = house.sign_in(name=" AYŞE ")
    assert made.session.agent_name == "Ayşe"
    assert made.session.expires_at == house.now + timedelta(hours=12)
    assert house.gate.find(made.token, is_activity=True) == made.session
    house.database.close()
    kept = b"".join(path.read_bytes() for path in house.folder.glob("chats.db*"))
    for secret in (made.token, made.session.csrf_token, made.known_browser or "", PASSWORD):
        assert secret.encode() not in kept
    assert token_id(made.token).encode() in kept


def test_a_password_may_be_typed_in_another_form_of_unicode(house: House) -> None:
    house.agents.set_password("Ayşe", password_hash=Passwords().hash("şifrem-çok-uzun"))
    assert house.sign_in("s\u0327ifrem-c\u0327ok-uzun")


@pytest.mark.parametrize(
    ("name", "password"),
    [
        ("Ayşe", "correct horse batterY"),
        ("Ayşe", ""),
        ("Ayşe", PASSWORD + "\x00"),
        ("Ayşe", "\ud800"),
        ("Ayşe", "x" * 1_000_000),
        ("Nobody", PASSWORD),
        ("", PASSWORD),
        ("Ayşe\x00", PASSWORD),
        ("'; DROP TABLE agents; --", PASSWORD),
        ("x" * 1_000_000, PASSWORD),
    ],
)
def test_whatever_is_wrong_the_answer_is_the_same(house: House, name: str, password: str) -> None:
    with pytest.raises(Unauthorized) as caught:
        house.sign_in(password, name=name)
    assert caught.value.message.startswith("The name or the password is wrong")
    assert house.sign_in()


def test_a_huge_password_is_refused_before_anything_is_computed(house: House) -> None:
    began = time.process_time()
    for _ in range(200):
        with pytest.raises(Unauthorized):
            house.sign_in("x" * 1001)
    assert time.process_time() - began < 1  # a hash of each would be ten seconds


def test_a_disabled_agent_is_told_the_same_as_one_with_a_wrong_password(house: House) -> None:
    token = house.sign_in().token
    house.agents.set_disabled("Ayşe", at=house.now)
    assert not house.holds(token)
    house.fail(1)
    with pytest.raises(Unauthorized):
        house.sign_in()
    house.agents.set_disabled("Ayşe", at=None)
    assert not house.holds(token)
    assert house.sign_in()


def test_an_unknown_name_takes_as_long_as_a_wrong_password(house: House) -> None:
    def took(name: str, address: str) -> float:
        began = time.thread_time()
        with pytest.raises(Unauthorized):
            house.sign_in("wrong password", name=name, address=address)
        return time.thread_time() - began

    known, unknown = [], []
    for number in range(5):
        house.pass_time(hours=1)
        known.append(took("Ayşe", f"192.0.2.{number}"))
        unknown.append(took(f"nobody {number}", f"198.51.100.{number}"))
    # Of the fastest, which nothing disturbed: without a hash the unknown would take a hundredth.
    assert 0.5 < min(unknown) / min(known) < 2, (statistics.median(unknown), statistics.median(known))


def test_nobodys_hash_is_made_like_those_of_agents() -> None:
    assert not Passwords().is_outdated(_NOBODYS)
    assert not Passwords().is_outdated(HASH)
    assert not Passwords().matches(None, PASSWORD)


def test_a_hash_of_older_parameters_is_replaced_when_its_owner_signs_in(house: House) -> None:
    weak = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    house.agents.set_password("Ayşe", password_hash=weak)
    house.fail(1)
    house.sign_in()
    secret = house.agents.find_secret("ayşe")
    assert secret is not None
    assert not house.passwords.is_outdated(secret.password_hash)
    assert house.sign_in()


def test_a_damaged_hash_lets_nobody_in_and_breaks_nothing(house: House) -> None:
    house.agents.set_password("Ayşe", password_hash="damaged")
    house.fail(2)
    house.agents.set_password("Ayşe", password_hash=HASH)
    assert house.sign_in()


# -- slow-down


def test_wrong_passwords_for_a_name_slow_it_down_from_wherever_they_come(house: House) -> None:
    for number in range(5):
        house.fail(1, address=f"192.0.2.{number}")
    with pytest.raises(TooManyRequests) as caught:
        house.sign_in(address="198.51.100.1")
    assert caught.value.retry_after_seconds == 60
    house.pass_time(seconds=60)
    assert house.sign_in(address="198.51.100.1")


def test_unknown_names_are_slowed_down_like_known_ones(house: House) -> None:
    house.fail(5, name="Nobody")
    with pytest.raises(TooManyRequests):
        house.sign_in("wrong password", name="NOBODY")


@pytest.mark.parametrize(
    "addresses",
    [("192.0.2.1", "::ffff:192.0.2.1"), ("2001:db8::1", "2001:db8::2", "2001:db8:0:0:ffff::1")],
)
def test_wrong_passwords_from_an_address_slow_it_down_whatever_names_they_are_for(
    house: House, addresses: tuple[str, ...]
) -> None:
    for number in range(50):
        house.fail(1, name=f"name {number}", address=addresses[number % len(addresses)])
    for address in addresses:
        with pytest.raises(TooManyRequests) as caught:
            house.sign_in(address=address)
        assert caught.value.retry_after_seconds == 5
    assert house.sign_in(address="2001:db8:1::1")


def test_right_passwords_slow_nobody_down(house: House) -> None:
    for _ in range(8):
        house.sign_in()
    house.fail(5)


def test_a_browser_that_the_agent_uses_is_not_slowed_down_by_others(house: House) -> None:
    browser = house.sign_in().known_browser
    house.fail(5, address="198.51.100.1")
    with pytest.raises(TooManyRequests):
        house.sign_in()
    again = house.sign_in(known_browser=browser)
    assert again.known_browser == browser
    house.fail(5, known_browser=browser)  # type: ignore[arg-type]
    with pytest.raises(TooManyRequests):
        house.sign_in(known_browser=browser)


@pytest.mark.parametrize("planted", ["x" * 43, "", "x" * 10_000])
def test_a_browser_cookie_that_somebody_planted_is_not_taken_over(house: House, planted: str) -> None:
    assert house.sign_in(known_browser=planted).known_browser not in (planted, None)
    house.fail(5, known_browser=planted)
    with pytest.raises(TooManyRequests):
        house.sign_in(known_browser=planted)


def test_a_known_browser_of_one_agent_helps_with_no_other(house: House) -> None:
    house.agents.add_agent("Zoë", password_hash=HASH, at=house.now)
    browser = house.sign_in(name="Zoë").known_browser
    house.fail(5, known_browser=browser)  # type: ignore[arg-type]
    with pytest.raises(TooManyRequests):
        house.sign_in(known_browser=browser)


def test_a_password_tried_by_many_at_once_gets_no_more_attempts(tmp_path: Path) -> None:
    house = House(tmp_path, Passwords(max_at_once=2, max_in_line=100))

    def attempt(_: int) -> type[Exception]:
        with pytest.raises((Unauthorized, TooManyRequests)) as caught:
            house.sign_in("wrong password")
        return caught.type

    with ThreadPoolExecutor(12) as pool:
        met = list(pool.map(attempt, range(24)))
    assert met.count(Unauthorized) == 5
    house.database.close()


def test_no_more_than_a_few_hashes_are_computed_at_once_and_few_wait() -> None:
    passwords = Passwords(max_at_once=2, max_in_line=3)
    inside, peak, refused = 0, 0, 0
    lock, go = threading.Lock(), threading.Event()

    def work() -> None:
        nonlocal inside, peak, refused
        try:
            with passwords.room():
                with lock:
                    inside += 1
                    peak = max(peak, inside)
                go.wait(20)
                with lock:
                    inside -= 1
        except Busy:
            with lock:
                refused += 1

    threads = [threading.Thread(target=work) for _ in range(9)]
    for thread in threads:
        thread.start()
    wait_until(lambda: refused == 4)
    assert inside == 2
    go.set()
    for thread in threads:
        thread.join()
    assert peak == 2
    with passwords.room():
        pass


# -- sessions


def test_a_session_becomes_idle_and_is_kept_awake_by_requests(house: House) -> None:
    token = house.sign_in().token
    for _ in range(3):
        house.pass_time(minutes=59)
        assert house.holds(token, is_activity=True)
        wait_until(lambda: house.last_seen(token) == house.now)
    house.pass_time(minutes=59)
    assert house.holds(token, is_activity=False), "which does not keep it awake"
    house.pass_time(minutes=1)
    assert not house.holds(token, is_activity=True)


def test_that_a_session_is_used_is_written_at_most_once_a_minute(house: House) -> None:
    token = house.sign_in().token
    began = house.now
    house.pass_time(seconds=59)
    assert house.holds(token, is_activity=True)
    house.agents.end_session("none")  # comes after whatever was begun
    assert house.last_seen(token) == began
    house.pass_time(seconds=1)
    assert house.holds(token, is_activity=True)
    wait_until(lambda: house.last_seen(token) == house.now)


def test_a_session_ends_after_its_longest_time_however_it_is_used(house: House) -> None:
    token = house.sign_in().token
    for _ in range(23):
        house.pass_time(minutes=30)
        assert house.holds(token, is_activity=True)
        wait_until(lambda: house.last_seen(token) == house.now)
    house.pass_time(minutes=30)
    assert not house.holds(token, is_activity=True)


def test_signing_out_ends_one_session_or_all_of_the_agents(house: House) -> None:
    house.agents.add_agent("Zoë", password_hash=HASH, at=house.now)
    first, second, third, other = (house.sign_in(name=name) for name in ("Ayşe", "Ayşe", "Ayşe", "Zoë"))
    house.gate.sign_out(first.session)
    assert not house.holds(first.token)
    assert house.holds(second.token)
    assert house.gate.is_current(second.session)
    house.gate.sign_out_everywhere(third.session)
    assert not house.gate.is_current(second.session)
    assert not house.holds(third.token)
    assert house.holds(other.token)


def test_a_new_session_never_takes_over_a_token_and_ends_the_old_one(house: House) -> None:
    planted = new_token()
    first = house.sign_in(replaced_token=planted)
    assert first.token != planted
    assert not house.holds(planted)
    second = house.sign_in(replaced_token=first.token)
    assert not house.holds(first.token)
    assert house.holds(second.token)
    assert second.session.csrf_token != first.session.csrf_token


@pytest.mark.parametrize("token", ["", "x", "x" * 43, "x" * 1_000_000, "\x00", "\ud800", "%", "'"])
def test_a_token_that_is_none_finds_nothing(house: House, token: str) -> None:
    house.sign_in()
    assert not house.holds(token)


def test_the_id_of_a_session_is_no_token(house: House) -> None:
    assert not house.holds(house.sign_in().session.session_id)


def test_a_database_that_cannot_be_written_still_tells_who_is_signed_in(house: House) -> None:
    token = house.sign_in().token
    house.pass_time(minutes=5)
    with sqlite3.connect(house.folder / "chats.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        assert house.holds(token, is_activity=True)
        assert time.monotonic() - began < 1
        other.execute("ROLLBACK")
    other.close()


def test_the_trial_gives_one_session(house: House, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    database = open_chat_store(f"sqlite:///{tmp_path}/other/chats.db", lock_folder=tmp_path / "other" / "locks")
    gate = AgentGate(
        agents=database.agents,
        passwords=house.passwords,
        rules=SessionRules(idle_seconds=3600, most_seconds=12 * 3600),
        clock=lambda: house.now,
    )
    key = new_token()
    database.agents.offer_trial(token_id(key), until=house.now + timedelta(minutes=15))
    assert gate.has_trial(key)
    assert gate.take_trial("x" * 43) is None
    made = gate.take_trial(key)
    assert made is not None
    assert (made.session.agent_name, made.session.is_trial, made.known_browser) == ("Try", True, None)
    assert gate.find(made.token, is_activity=True) == made.session
    assert gate.take_trial(key) is None
    assert not gate.has_trial(key)
    database.close()
