"""The forecasting sets: which columns, which season, and where the series are cut.

Training data end at the first cut. At each cut every series is asked for its next `horizon` steps, from what was known
until then. Where the file has no dates (m4_hourly, exchange_rate) all tools get the same made-up ones.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

MOST_CONTEXT = 3000  # last steps before a cut that a tool is given; the season of a year in hours would be 8760


@dataclass(frozen=True)
class Forecast:
    """A panel `unique_id, ds, y, covariates`, equally long before each series' end, and its cuts.

    Attributes:
        panel: Series one below the other, each in order of time.
        horizon: Steps asked at each cut.
        season: Steps a season, the lag of the scaled error.
        freq: pandas offset of the stamps.
        cuts: How many; the last is `horizon` steps before the end.
        stride: Steps between cuts; the horizon if 0.
    """

    panel: pd.DataFrame
    horizon: int
    season: int
    freq: str
    cuts: int
    stride: int = 0

    def parts(self) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
        """Return training data, contexts and truth, long panels all; ids of the latter two are SERIES@CUT."""
        stride = self.stride or self.horizon
        train, contexts, truth = [], [], []
        for name, series in self.panel.groupby("unique_id", sort=False):
            first = len(series) - self.horizon - (self.cuts - 1) * stride
            train.append(series.iloc[:first])
            for k in range(self.cuts):
                at = first + k * stride
                own = series.assign(unique_id=f"{name}@{k}")
                contexts.append(own.iloc[max(0, at - MOST_CONTEXT) : at])
                truth.append(own.iloc[at : at + self.horizon][["unique_id", "ds", "y"]])
        return pd.concat(train), pd.concat(contexts), pd.concat(truth)


def stacked(wide: pd.DataFrame, stamps: pd.DatetimeIndex) -> pd.DataFrame:
    """Return a long panel of the columns."""
    parts = [pd.DataFrame({"unique_id": str(name), "ds": stamps, "y": wide[name].to_numpy()}) for name in wide]
    return pd.concat(parts, ignore_index=True)


def etth1(data: Path) -> Forecast:
    """Seven hourly channels of a transformer, a day ahead on each of the last 12 days."""
    wide = pd.read_csv(data / "etth1/ETTh1.csv", parse_dates=["date"], index_col="date")
    return Forecast(stacked(wide, pd.DatetimeIndex(wide.index)), 24, 24, "h", 12)


def exchange_rate(data: Path) -> Forecast:
    """Eight daily exchange rates, 30 days ahead at 12 cuts; no season: the scale is the error of the last value."""
    wide = pd.read_csv(data / "exchange_rate/exchange_rate.txt", header=None)
    wide.columns = pd.Index(["AU", "GB", "CA", "CH", "CN", "JP", "NZ", "SG"])
    return Forecast(stacked(wide, pd.date_range("1990-01-01", periods=len(wide), freq="D")), 30, 1, "D", 12)


def m4_hourly(data: Path) -> Forecast:
    """414 series, the official 48 hours; every series is given dates from 2000-01-01 00:00."""
    both = [pd.read_csv(data / f"m4_hourly/Hourly-{part}.csv").set_index("V1") for part in ("train", "test")]
    parts = []
    for name in both[0].index:
        values = pd.concat([part.loc[name].dropna() for part in both]).to_numpy(dtype=float)
        stamps = pd.date_range("2000-01-01", periods=len(values), freq="h")
        parts.append(pd.DataFrame({"unique_id": name, "ds": stamps, "y": values}))
    return Forecast(pd.concat(parts, ignore_index=True), 48, 24, "h", 1)


def nab_taxi(data: Path) -> Forecast:
    """Taxi passengers of New York in half-hours, a day ahead on each of the last 36 days."""
    frame = pd.read_csv(data / "nab_nyc_taxi_machine_temp/nyc_taxi.csv", parse_dates=["timestamp"])
    panel = pd.DataFrame({"unique_id": "taxi", "ds": frame["timestamp"], "y": frame["value"]})
    return Forecast(panel, 48, 48, "30min", 36)


def beijing_pm25(data: Path) -> Forecast:
    """Fine dust, a day ahead at 36 cuts 61 hours apart, so that they lie at all hours; weather known to the cut.

    Missing values stay missing; the first day, without any, is left out. Wind directions are one column each but the
    last, so that every tool can read them.
    """
    raw = pd.read_csv(data / "beijing_pm25/pollution.csv").iloc[24:]
    stamps = pd.to_datetime(raw[["year", "month", "day", "hour"]])
    panel = pd.DataFrame({"unique_id": "beijing", "ds": stamps, "y": raw["pm2.5"]})
    panel = panel.join(raw[["DEWP", "TEMP", "PRES", "Iws", "Is", "Ir"]])
    for name in sorted(set(raw["cbwd"]))[:-1]:
        panel[f"wind_{name}"] = (raw["cbwd"] == name).astype(int)
    return Forecast(panel, 24, 24, "h", 36, stride=61)


def classic(file: str, freq: str, horizon: int, season: int, cuts: int, start: str) -> Callable[[Path], Forecast]:
    """Return the reader of one of the textbook series; dates are counted from `start`, for shampoo's have no year."""

    def read(data: Path) -> Forecast:
        values = pd.read_csv(data / f"classic_univariate/{file}.csv").iloc[:, 1].to_numpy(dtype=float)
        stamps = pd.date_range(start, periods=len(values), freq=freq)
        return Forecast(pd.DataFrame({"unique_id": file, "ds": stamps, "y": values}), horizon, season, freq, cuts)

    return read


FORECAST_SETS: dict[str, Callable[[Path], Forecast]] = {
    "etth1": etth1,
    "exchange_rate": exchange_rate,
    "m4_hourly": m4_hourly,
    "nab_taxi": nab_taxi,
    "beijing_pm25": beijing_pm25,
    "classic_univariate/airline": classic("airline-passengers", "MS", 12, 12, 2, "1949-01-01"),
    "classic_univariate/sunspots": classic("monthly-sunspots", "MS", 24, 12, 12, "1749-01-01"),
    "classic_univariate/births": classic("daily-total-female-births", "D", 14, 7, 4, "1959-01-01"),
    "classic_univariate/temperatures": classic("daily-min-temperatures", "D", 14, 7, 12, "1981-01-01"),
    "classic_univariate/shampoo": classic("shampoo", "MS", 6, 12, 1, "2001-01-01"),
}
