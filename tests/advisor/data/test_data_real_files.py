"""Public files: what their papers and READMEs say about them is what is read."""

import time

import numpy as np
import pandas as pd
import pytest

from advisor.data import ReadOptions, read

LABELLED = [
    # file, series, shortest, longest, channels, classes
    ("ucr_uea/ItalyPowerDemand/ItalyPowerDemand_TRAIN.ts", 67, 24, 24, 1, 2),
    ("ucr_uea/ItalyPowerDemand/ItalyPowerDemand_TEST.ts", 1029, 24, 24, 1, 2),
    ("ucr_uea/JapaneseVowels/JapaneseVowels_TRAIN.ts", 270, 7, 26, 12, 9),
    ("ucr_uea/JapaneseVowels/JapaneseVowels_TEST.ts", 370, 7, 29, 12, 9),
    ("ucr_uea/BasicMotions/BasicMotions_TRAIN.ts", 40, 100, 100, 6, 4),
    ("ucr_uea/PickupGestureWiimoteZ/PickupGestureWiimoteZ_TRAIN.ts", 50, 29, 361, 1, 10),
    ("ecg_ucr/ECG200/ECG200_TRAIN.tsv", 100, 96, 96, 1, 2),
    ("covid3month_regression/Covid3Month_TRAIN.ts", 140, 84, 84, 1, 0),
    ("acsf1_long/ACSF1_TRAIN.ts", 100, 1460, 1460, 1, 10),
]
FORECASTS = [
    # file, series, shortest, longest, freq
    ("etth1/ETTh1.csv", 7, 17420, 17420, "h"),
    ("m4_hourly/Hourly-train.csv", 414, 700, 960, None),
    ("m4_hourly/Hourly-test.csv", 414, 48, 48, None),
    ("exchange_rate/exchange_rate.txt", 8, 7588, 7588, None),
    ("classic_univariate/airline-passengers.csv", 1, 144, 144, "MS"),
    ("classic_univariate/monthly-sunspots.csv", 1, 2820, 2820, "MS"),
    ("classic_univariate/shampoo.csv", 1, 36, 36, None),
    ("nab_nyc_taxi_machine_temp/nyc_taxi.csv", 1, 10320, 10320, "30min"),
    ("beijing_pm25/pollution.csv", 7, 43824, 43824, "h"),
    ("timemmd_energy/Energy.csv", 9, 1622, 1622, "W-MON"),
    ("stocknet_tweets_prices/prices.csv", 60, 555, 555, "B"),
]


def check(data):
    """Hold the promises of `Dataset`."""
    assert len(set(data.ids)) == len(data.ids) == len(data.series)
    assert all(s.dtype == np.float32 and np.isfinite(s).all() for s in data.series)
    assert all(s.shape[1] == len(data.channels) for s in data.series)
    assert len(data.sha256) == 64
    assert data.format
    assert 0 <= data.missing < 1
    if data.task == "forecast":
        assert data.channels == ("y",)
        for values, stamps in zip(data.series, data.stamps, strict=True):
            assert len(values) == len(stamps)
            assert stamps.is_monotonic_increasing and stamps.is_unique
            if data.freq is None:
                assert isinstance(stamps, pd.RangeIndex)
            else:
                expected = pd.date_range(stamps[0], periods=len(stamps), freq=data.freq, unit="us")
                assert (stamps == expected).all()


@pytest.mark.parametrize(("file", "shape"), [(row[0], row[1:]) for row in LABELLED])
def test_labelled_files_have_their_published_shape(shared, file, shape):
    data = read(shared / file)
    lengths = [len(s) for s in data.series]
    assert (len(data), min(lengths), max(lengths), len(data.channels), len(data.classes)) == shape
    assert data.task == ("classify" if data.classes else "regress")
    assert data.labels.dtype == (np.int64 if data.classes else np.float64)
    assert data.missing == 0
    check(data)


@pytest.mark.parametrize(("file", "shape"), [(row[0], row[1:]) for row in FORECASTS])
def test_files_to_forecast_have_their_published_shape(shared, file, shape):
    start = time.perf_counter()
    data = read(shared / file)
    assert time.perf_counter() - start < 5  # on a quiet computer ETTh1 and M4 take a third of a second
    lengths = [len(s) for s in data.series]
    assert (len(data), min(lengths), max(lengths), data.freq) == shape
    assert data.task == "forecast"
    check(data)


def test_values_and_ids_of_ett_are_those_of_the_file(shared):
    path = shared / "etth1" / "ETTh1.csv"
    data, frame = read(path), pd.read_csv(path, parse_dates=["date"])
    assert data.ids == tuple(frame.columns[1:])
    for name, values in zip(data.ids, data.series, strict=True):
        np.testing.assert_array_equal(values[:, 0], frame[name].to_numpy(np.float32))
    assert (data.stamps[0] == pd.DatetimeIndex(frame["date"])).all()


def test_the_other_columns_are_the_covariates_of_a_named_target(shared):
    path = shared / "etth1" / "ETTh1.csv"
    data = read(path, ReadOptions(target=("OT",)))
    assert (data.ids, data.channels) == (("OT",), ("y", "HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL"))
    frame = pd.read_csv(path)
    np.testing.assert_array_equal(data.series[0], frame[["OT", *data.channels[1:]]].to_numpy(np.float32))
    assert "covariates HUFL" in data.format


def test_m4_rows_equal_the_file_and_end_at_trailing_blanks(shared):
    data = read(shared / "m4_hourly" / "Hourly-train.csv")
    frame = pd.read_csv(shared / "m4_hourly" / "Hourly-train.csv", index_col=0)
    for name, values in list(zip(data.ids, data.series, strict=True))[::50]:
        np.testing.assert_array_equal(values[:, 0], frame.loc[name].dropna().to_numpy(np.float32))


def test_beijing_pm25_counts_its_2067_missing_values(shared):
    data = read(shared / "beijing_pm25" / "pollution.csv")
    assert data.missing == pytest.approx(2067 / (7 * 43824))
    assert any(note.startswith("2067 missing of 306768 values") for note in data.notes)
    assert any("'cbwd'" in note for note in data.notes)


def test_a_uea_test_file_keeps_the_class_order_of_its_training_file(shared):
    folder = shared / "ucr_uea" / "BasicMotions"
    train = read(folder / "BasicMotions_TRAIN.ts")
    test = read(folder / "BasicMotions_TEST.ts", like=train)
    assert test.classes == train.classes == ("Standing", "Running", "Walking", "Badminton")
    assert np.bincount(test.labels).tolist() == [10, 10, 10, 10]


def test_an_m4_test_file_is_read_like_its_training_file(shared):
    train = read(shared / "m4_hourly" / "Hourly-train.csv")
    test = read(shared / "m4_hourly" / "Hourly-test.csv", like=train)
    assert test.ids == train.ids
