"""The rooms for long work: bounded as a whole, and no party takes them from the others."""

from __future__ import annotations

import threading

import pytest

from webchat_soap.domain.chat import Caller
from webchat_soap.domain.rooms import Place, Room, parties_of


def fill(room: Room, *parties: str) -> list[Place]:
    """All the places that the parties get."""
    places = []
    while (place := room.enter(*parties)) is not None:
        places.append(place)
    return places


def test_a_room_has_so_many_places_and_each_comes_back() -> None:
    room = Room(3)
    places = [room.enter() for _ in range(3)]
    assert all(places)
    assert room.enter() is None
    assert not room.has_place()
    places[0].leave()
    places[0].leave()
    assert room.free == 1
    with room.enter():
        assert room.enter() is None
    assert room.free == 1


def test_a_room_without_places_takes_nobody() -> None:
    assert Room(0).enter("a") is None


def test_a_place_is_given_back_whatever_happens_in_it() -> None:
    room = Room(1)
    with pytest.raises(KeyboardInterrupt), room.enter("a"):
        raise KeyboardInterrupt
    assert room.enter("a") is not None


@pytest.mark.parametrize(("places", "alone"), [(1, 1), (2, 1), (8, 6), (64, 51), (500, 400)])
def test_one_party_alone_gets_four_fifths_and_leaves_the_rest(places: int, alone: int) -> None:
    room = Room(places)
    assert len(fill(room, "host slow")) == alone
    assert room.free == places - alone
    if room.free:
        assert room.enter("host other") is not None


def test_beside_several_that_never_leave_somebody_new_finds_a_place() -> None:
    room = Room(64)
    for number in range(3):
        assert fill(room, f"host slow-{number}")
    assert room.free
    assert room.enter("host new") is not None


def test_a_place_is_refused_when_one_of_its_parties_has_too_many() -> None:
    room = Room(64)
    fill(room, "host slow", "chat a")
    assert room.enter("host slow", "chat b") is None
    assert room.enter("host other", "chat a") is None
    assert room.has_place("host other", "chat b")
    assert room.enter("host other", "chat b") is not None


def test_a_place_that_moves_is_counted_where_it_is_now() -> None:
    room = Room(64)
    slow = fill(room, "host slow")
    elsewhere = room.enter("host short", "chat a")
    assert not elsewhere.move("host short", "host slow")
    slow[0].leave()
    slow[1].leave()
    assert elsewhere.move("host short", "host slow")
    assert elsewhere.move("host slow", "host slow")
    elsewhere.leave()
    for place in slow:
        place.leave()
    assert room.free == 64
    assert len(fill(room, "host slow")) == 51  # nothing is left counted


def test_a_full_room_lets_a_place_move_on() -> None:
    room = Room(2)
    first = room.enter("host a")
    room.enter("host b")
    assert first.move("host a", "host c")


def test_from_many_threads_no_place_is_given_twice_or_lost() -> None:
    room = Room(8)
    most = [0]

    def visit() -> None:
        for number in range(1000):
            place = room.enter(f"host {number % 3}")
            if place is not None:
                with place:
                    most[0] = max(most[0], 8 - room.free)
                    place.move(f"host {number % 3}", "host x")

    visitors = [threading.Thread(target=visit) for _ in range(8)]
    for visitor in visitors:
        visitor.start()
    for visitor in visitors:
        visitor.join()
    assert room.free == 8
    assert most[0] <= 8
    assert len(fill(room, "host 0")) == 6


def test_a_call_takes_its_place_in_the_names_of_its_chat_and_its_account() -> None:
    def caller(account: str | None) -> Caller:
        return Caller(account=account, request_id="1", base_url="http://h", own_base_urls=(), deadline=0.0)

    assert parties_of(caller(None), "a") == ("chat a",)
    assert parties_of(caller("erp"), "a") == ("chat a", "account erp")
