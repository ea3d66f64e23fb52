"""The section of the report on what more data would change."""

from pydantic import ValidationError

from advisor.data_size import DataSizeCurve, DataSizePoint
from advisor.report import Records, clean, number
from advisor.report.parts import table


def more_data(r: Records) -> str:
    """Return the measured and the extrapolated quality of the two best against the amount of data."""
    try:
        curve = DataSizeCurve.model_validate(r.facts["data_size.json"])
    except ValidationError:
        return "<p>It was not measured: that takes a limit of five minutes or more.</p>"
    heads = [("Family", "name")]
    first = curve.curves[0]
    heads += [(_words(point), "n") for point in (*first.measured, *first.extrapolated)]
    rows = [
        ("", [clean(one.family), *(_cell(point) for point in (*one.measured, *one.extrapolated))])
        for one in curve.curves
    ]
    said = (
        f"{clean(curve.metric)} after short trainings of equal length, with the middle 90 % of draws over folds and "
        "seeds; beyond all the data it is extrapolated by a power law."
    )
    return f'<p>{clean(curve.says, 1000)}</p><p class="soft">{said}</p>{table(heads, rows, "data_size.json")}'


def _words(point: DataSizePoint) -> str:
    return "all data" if point.multiple == 1 else f"{point.multiple:g} x"


def _cell(point: DataSizePoint) -> str:
    return f"{number(point.quality)}<br><small>{number(point.low)} to {number(point.high)}</small>"
