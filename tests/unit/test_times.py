"""Times on their way between the database, the domain and an answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webchat_soap.soap.writers import write_time
from webchat_soap.stores.rows import to_milliseconds, to_moment

LAST = to_milliseconds(datetime.max.replace(tzinfo=UTC))
FIRST = to_milliseconds(datetime.min.replace(tzinfo=UTC))

moments = st.datetimes(timezones=st.just(UTC))


@given(st.integers(FIRST, LAST))
def test_a_row_gives_back_the_millisecond_that_went_in(milliseconds: int) -> None:
    moment = to_moment(milliseconds)
    assert moment.tzinfo is UTC
    assert to_milliseconds(moment) == milliseconds


@given(moments)
def test_a_time_is_written_as_python_reads_it(moment: datetime) -> None:
    written = write_time(moment)
    assert written.endswith("Z")
    assert datetime.fromisoformat(written) == moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@pytest.mark.parametrize(
    ("moment", "written"),
    [
        (datetime(2026, 11, 22, 9, 5, 7, 45_999, tzinfo=UTC), "2026-11-22T09:05:07.045Z"),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01T00:00:00.000Z"),
        (datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC), "2026-12-31T23:59:59.999Z"),
        (datetime(2026, 11, 23, 1, 30, tzinfo=timezone(timedelta(hours=3))), "2026-11-22T22:30:00.000Z"),
        (datetime(7, 2, 3, tzinfo=UTC), "0007-02-03T00:00:00.000Z"),
    ],
)
def test_times_are_written_to_the_millisecond_in_utc(moment: datetime, written: str) -> None:
    assert write_time(moment) == written
