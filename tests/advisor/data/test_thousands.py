"""Commas in numbers of tab and semicolon files: decimals, thousands, or refused where they could be either."""

import pandas as pd
import pytest

from advisor.data import read, streamed
from advisor.errors import InputError


def table(values, separator="\t"):
    days = pd.date_range("2024-01-01", periods=len(values))
    return "\n".join(
        [f"day{separator}sales", *(f"{d.date()}{separator}{v}" for d, v in zip(days, values, strict=True))]
    )


@pytest.mark.parametrize("separator", ["\t", ";"])
def test_numbers_that_could_be_decimals_or_thousands_are_refused_with_both_readings(write, separator):
    with pytest.raises(InputError, match="column 'sales' holds '1,234' beside '998'") as caught:
        read(write(table(["998", "1,234", "1,105"] * 4, separator)))
    assert "1.234 (decimal comma) or 1234 (thousands separator)" in caught.value.message
    assert "without thousands separators" in caught.value.hint


@pytest.mark.parametrize("other", ["1,234,567", "998.25", "-2,500.5"])
def test_numbers_that_can_only_be_thousands_are_read_so(write, other, monkeypatch):
    path = write(table(["998", "1,234", other] * 4))
    for whole in (False, True):
        data = read(path)
        assert data.series[0][:3, 0].tolist() == [998, 1234, float(other.replace(",", ""))]
        assert any("read as thousands separators" in note for note in data.notes), whole
        monkeypatch.setattr(streamed, "FROM_BYTES", 0)


@pytest.mark.parametrize("values", [["998", "1,234", "1,5"], ["998", "0,125", "1,105"], ["50,002", "49,998", "1234"]])
def test_numbers_of_which_some_are_no_thousands_are_decimals(write, values):
    data = read(write(table(values * 4)))
    assert data.series[0][:3, 0].tolist() == pytest.approx([float(v.replace(",", ".")) for v in values])
    assert "Numbers are written with a decimal comma." in data.notes


def test_a_decimal_far_down_decides_for_the_whole_file(write):
    data = read(write(table([*["998", "1,234"] * 150, "0,5"])))
    assert data.series[0][1, 0] == pytest.approx(1.234)


def test_a_point_in_another_column_does_not_make_thousands(write):
    text = table(["50,002", "49,998"] * 6).replace("\n2024", "\n17.30\t2024")
    notes = read(write(text.replace("day", "clock\tday", 1))).notes
    assert "1 columns of text were left out: 'sales'." in notes
    assert not any("thousands" in note for note in notes)
