"""The figures of a run in words: what is counted, how fast, how long the rest takes."""

from __future__ import annotations

from stepkit.runner.console import duration
from stepkit.runner.run_status import WorkFigures, WorkStatus

NOTHING = WorkFigures(
    records=0,
    of_records=10,
    draws=0,
    of_draws=80,
    in_flight=32,
    tokens=0,
    read=0,
    ended=0,
    most_tokens=500,
)


def after(*figures: tuple[float, WorkFigures]) -> list[str]:
    """What is said last, after looks at these times."""
    status, start = WorkStatus(lambda: NOTHING), 1000.0
    parts: list[str] = []
    for at, seen in ((0.0, NOTHING), *figures):
        parts = status.parts_at(start + at, seen)
    return parts


def test_nothing_is_said_of_a_speed_at_first() -> None:
    assert after() == ["0 of 80 draws (32 in flight)", "0 of 10 records"]


def test_before_a_draw_has_ended_the_rest_is_a_bound() -> None:
    # 80 draws of 500 tokens are 40,000, of which 1000 were made in 10 s: 39,000 at 100 a second
    parts = after((10.0, NOTHING._replace(tokens=1000)))
    assert parts[1:] == ["100 tokens/s", "at most 6:30 min left", "0 of 10 records"]


def test_then_it_is_the_mean_length_of_what_ended() -> None:
    # 20 ended with 2000 tokens: 60 more of 100 tokens take 30 s at 200 a second
    now = NOTHING._replace(tokens=2000, draws=20, ended=20, records=2)
    parts = after((10.0, now))
    assert parts == [
        "20 of 80 draws (32 in flight)",
        "200 tokens/s",
        "30 s left",
        "2 of 10 records",
    ]


def test_draws_of_the_journal_tell_nothing_of_the_speed() -> None:
    # 40 came from the journal; 4 were made, of 250 tokens each; 36 more take 90 s at 100 a second
    now = NOTHING._replace(tokens=1000, draws=44, ended=4)
    assert after((10.0, now))[2] == "1:30 min left"


def test_without_expected_draws_the_records_tell() -> None:
    begun = NOTHING._replace(of_draws=None)
    now = begun._replace(tokens=1000, draws=20, ended=20, records=4)
    # 4 records took 8 s, 6 are left
    parts = after((0.0, begun), (8.0, now))
    assert parts == ["20 draws (32 in flight)", "125 tokens/s", "12 s left", "4 of 10 records"]


def test_reading_alone_counts_what_is_read() -> None:
    begun = NOTHING._replace(draws=None, of_draws=None, in_flight=0)
    parts = after((0.0, begun), (5.0, begun._replace(read=500, records=1)))
    assert parts == ["1 of 10 records", "reads 100 tokens/s", "45 s left"]


def test_a_stream_has_no_end_that_is_known() -> None:
    begun = NOTHING._replace(draws=None, of_draws=None, of_records=None)
    assert after((5.0, begun._replace(records=1))) == ["1 record of a stream"]


def test_a_speed_is_that_of_the_last_seconds() -> None:
    slow = [(float(at), NOTHING._replace(tokens=10 * at)) for at in range(1, 61)]
    fast = [(60.0 + at, NOTHING._replace(tokens=600 + 100 * at)) for at in range(1, 31)]
    assert after(*slow)[1] == "10 tokens/s"
    assert after(*slow, *fast)[1] == "100 tokens/s"


def test_times_as_people_read_them() -> None:
    said = [duration(seconds) for seconds in (0, 59.4, 60, 754, 3600, 7445)]
    assert said == ["0 s", "59 s", "1:00 min", "12:34 min", "1:00:00 h", "2:04:05 h"]
