"""Dates as files write them, and the grid of months under days that vary."""

import pandas as pd
import pytest

from advisor.audit import audit
from advisor.data import read
from advisor.data.grid import like_grid
from advisor.predict import next_stamps


def table(cells):
    """Return a file of one column and its times."""
    return "ds,y\n" + "\n".join(f'"{cell}",{(7 * k) % 11}' for k, cell in enumerate(cells))


def dates(*args, **kwargs):
    return pd.date_range(*args, **kwargs)


def says(data, words):
    return any(words in note for note in data.notes)


@pytest.mark.parametrize("day_first", [True, False])
@pytest.mark.parametrize(("months", "freq"), [(1, "MS"), (3, "3MS")])
@pytest.mark.parametrize("day", [1, 5])
def test_months_with_slashes_are_no_days_in_a_row(write, day_first, months, freq, day):
    firsts = dates("1985-01-01", periods=30, freq="MS")[::months]
    cells = [f"{day}/{t.month}/{t.year}" if day_first else f"{t.month}/{day}/{t.year}" for t in firsts]
    data = read(write(table(cells)))
    assert data.freq == freq and (data.stamps[0] == firsts).all()
    assert says(data, "%d/%m/%Y" if day_first else "%m/%d/%Y")


def test_thirteen_months_with_slashes_and_months_with_a_gap_are_months(write):
    firsts = dates("1985-01-01", periods=30, freq="MS")
    for rows in (firsts[:13], firsts.delete(7)):
        data = read(write(table([f"{t.month}/1/{t.year}" for t in rows])))
        assert data.freq == "MS" and data.stamps[0][-1] == rows[-1]


@pytest.mark.parametrize("form", ["%d/%m/%Y", "%m/%d/%Y"])
@pytest.mark.parametrize(("start", "periods"), [("2020-01-01", 400), ("2024-03-01", 10), ("2023-12-28", 20)])
def test_days_with_slashes_stay_days(write, form, start, periods):
    index = dates(start, periods=periods)
    data = read(write(table(index.strftime(form))))
    assert data.freq == "D" and (data.stamps[0] == index).all()


def test_hours_of_few_days_do_not_count_as_months(write):
    index = dates("2024-01-01", "2024-01-05 23:00", freq="h").delete([3, 10, 30, 31, 40, 60, 70, 90, 100])
    data = read(write(table(index.strftime("%d/%m/%Y %H:%M"))))
    assert data.freq == "h" and data.stamps[0][-1] == index[-1]


def test_a_day_and_month_that_are_the_same_number_are_no_doubt(write):
    data = read(write(table([f"01/01/{year}" for year in range(2000, 2015)])))
    assert data.freq == "YS-JAN" and data.stamps[0][0] == pd.Timestamp("2000-01-01")


@pytest.mark.parametrize(
    "form",
    [
        "%m/%d/%Y %I:%M:%S %p",
        "%m/%d/%Y %I:%M %p",
        "%Y-%m-%d %I:%M %p",
        "%Y-%m-%d %I:%M:%S %p",
        "%d/%m/%Y %H:%M:%S.000",
        "%Y-%m-%d %H:%M:%S UTC",
        "%Y-%m-%d %H:%M:%S GMT",
        "%Y-%m-%dT%H:%M UTC",
    ],
)
def test_common_forms_of_date_and_clock_are_read(write, form):
    index = dates("2024-01-25", periods=40, freq="h")
    data = read(write(table(index.strftime(form))))
    assert data.freq == "h" and (data.stamps[0] == index).all() and data.stamps[0].tz is None
    assert says(data, "converted to UTC") == form.endswith(("UTC", "GMT"))


def test_days_written_with_midnight_are_days(write):
    index = dates("2024-01-25", periods=40)
    for form in ("%m/%d/%Y 12:00:00 AM", "%m/%d/%Y 12:00 AM", "%Y-%m-%d 00:00:00 UTC"):
        data = read(write(table(index.strftime(form))))
        assert data.freq == "D" and (data.stamps[0] == index).all()


@pytest.mark.parametrize(
    ("freq", "found"),
    [("BME", "ME"), ("BMS", "MS"), ("WOM-3FRI", "MS"), ("BQE-DEC", "3ME"), ("BQS-JAN", "3MS"), ("BYE-DEC", "YE-DEC")],
)
def test_business_days_once_a_month_a_quarter_or_a_year_are_months(write, freq, found):
    index = dates("2000-01-01", periods=40, freq=freq)
    data = read(write(table(index.strftime("%Y-%m-%d"))))
    assert data.freq == found and len(data.stamps[0]) == 40
    assert (data.stamps[0].to_period("M") == index.to_period("M")).all()
    assert data.sampling.moved == data.sampling.shift == 0
    assert not says(data, "irregular") and "irregular_sampling" not in [one.code for one in audit(data)]
    assert like_grid(data.freq, data.stamps[0]).month_end == found.startswith(("ME", "3ME", "YE"))


def test_the_same_day_of_each_month_is_not_off_the_grid(write):
    for day, found in ((15, "MS"), (28, "ME")):
        cells = [
            f"{t:%Y-%m}-{day}" for t in dates("1985-01-01", periods=30, freq="MS") if t != pd.Timestamp("1986-02-01")
        ]
        data = read(write(table(cells)))
        assert data.freq == found and len(data.stamps[0]) == 30 and data.sampling.gaps == 1
        assert data.sampling.moved == 0 and not says(data, "irregular")
        assert says(
            data, f"29 of 29 dates were set to the {'last' if found == 'ME' else 'first'} day of their month."
        ) == (day == 15)


def test_forecasts_of_last_trading_days_go_on_by_months(write):
    data = read(write(table(dates("2020-01-01", periods=12, freq="BME").strftime("%Y-%m-%d"))))
    assert list(next_stamps(data.stamps[0], 2, data.freq)) == list(pd.DatetimeIndex(["2021-01-31", "2021-02-28"]))


@pytest.mark.parametrize("freq", ["28D", "30D", "31D", "91D"])
def test_a_fixed_number_of_days_about_a_month_long_is_kept(write, freq):
    index = dates("2020-01-28", periods=14, freq=freq)
    for rows in (index[:8], index.delete(3)):
        data = read(write(table(rows.strftime("%Y-%m-%d"))))
        assert data.freq == freq and data.sampling.moved == 0


def test_two_rows_in_one_month_are_no_months(write):
    index = dates("2020-01-01", periods=20, freq="BME").append(pd.DatetimeIndex(["2020-05-04"])).sort_values()
    data = read(write(table(index.strftime("%Y-%m-%d"))))
    assert data.freq.endswith("D") and data.sampling.moved > 0


def test_years_that_begin_in_different_months_step_by_twelve_months(write):
    rows = [
        f"{name},{year}-{month:02d}-01,{year % 7}" for name, month in (("a", 1), ("b", 7)) for year in range(2000, 2012)
    ]
    data = read(write("unique_id,ds,y\n" + "\n".join(rows)))
    assert data.freq == "12MS" and [len(index) for index in data.stamps] == [12, 12]
    assert like_grid(data.freq, data.stamps[0]).step == 12


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo", "UTC"])
def test_midnights_with_offsets_are_the_dates_of_their_own_clock(write, zone):
    index = dates("2024-02-20", periods=40, freq="B")
    data = read(write(table(map(str, index.tz_localize(zone)))))
    assert data.freq == "B" and (data.stamps[0] == index).all() and data.stamps[0].tz is None
    assert says(data, "midnight by their own clock: their dates were kept and the offsets dropped")


def test_hours_with_offsets_are_utc_though_some_are_midnight(write):
    index = dates("2024-03-08", periods=60, freq="h", tz="America/New_York")
    data = read(write(table(map(str, index))))
    assert data.freq == "h" and (data.stamps[0] == index.tz_convert("UTC").tz_localize(None)).all()
    assert says(data, "converted to UTC")
