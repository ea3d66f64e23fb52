"""Calendar channels: where a step lies in its day, week and year, by the definition."""

import math

import numpy as np
import pandas as pd
import pytest

from advisor.data.calendar import calendar_channels, calendar_words, choose_calendar


def dates(periods, freq, start="2023-01-02"):
    return pd.date_range(start, periods=periods, freq=freq)


@pytest.mark.parametrize(
    ("stamps", "cycles"),
    [
        (dates(24 * 800, "h"), "hour of day, day of week, day of year"),
        (dates(24 * 20, "h"), "hour of day, day of week"),
        (dates(24 * 3, "h"), "hour of day"),
        (dates(20, "h"), ""),
        (dates(800, "D"), "day of week, day of year"),
        (dates(800, "B"), "day of week, day of year"),
        (dates(120, "W-MON"), "day of year"),
        (dates(48, "MS"), "day of year"),
        (dates(30, "YS"), ""),
        (pd.RangeIndex(1000), ""),
    ],
)
def test_the_cycles_follow_from_the_step_and_the_span(stamps, cycles):
    assert calendar_words(choose_calendar([stamps])) == cycles


def test_each_channel_is_a_sine_or_cosine_of_the_share_that_has_passed():
    stamps = pd.DatetimeIndex(["2023-01-02 06:00", "2023-01-04 12:00", "2024-07-02 00:00", "1960-02-29 18:00"])
    names = choose_calendar([dates(24 * 800, "h")])
    shares = []
    for one in stamps:
        day = (one - one.normalize()) / pd.Timedelta("1D")
        begin, end = pd.Timestamp(one.year, 1, 1), pd.Timestamp(one.year + 1, 1, 1)
        shares.append((day, (one.dayofweek + day) / 7, (one - begin) / (end - begin)))
    expected = [[wave(2 * math.pi * p) for p in row for wave in (math.sin, math.cos)] for row in shares]
    np.testing.assert_allclose(calendar_channels(stamps, names), expected, atol=1e-6)


def test_the_calendar_of_a_part_is_a_part_of_the_calendar():
    stamps = dates(2000, "h")
    names = choose_calendar([stamps])
    np.testing.assert_array_equal(calendar_channels(stamps, names)[700:900], calendar_channels(stamps[700:900], names))


def test_what_is_no_calendar_is_refused():
    with pytest.raises(ValueError, match="needs dates"):
        calendar_channels(pd.RangeIndex(3), ("hour of day, sine",))
    with pytest.raises(ValueError, match="not a calendar channel"):
        calendar_channels(dates(3, "h"), ("hour of moon, sine",))
    assert calendar_channels(pd.RangeIndex(3), ()).shape == (3, 0)
