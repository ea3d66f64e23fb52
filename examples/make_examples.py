"""Write the example files again: `make examples`, or run this file where scikit-learn and statsmodels are installed."""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.datasets import load_digits
from statsmodels.datasets import sunspots

HERE = Path(__file__).parent


def digits_rows() -> pd.DataFrame:
    """Return 1797 images of digits, one a row: the label, then 64 pixels (0 to 16) line by line from the top left."""
    pixels, labels = load_digits(return_X_y=True)
    columns = [f"p{i}" for i in range(pixels.shape[1])]
    rows = pd.DataFrame(pixels.astype(np.int64), columns=columns)
    rows.insert(0, "label", labels)
    return rows


def sunspots_yearly() -> pd.DataFrame:
    """Return the mean number of sunspots of each year, 1700 to 2008; a year is written as its first day."""
    table = sunspots.load_pandas().data
    return pd.DataFrame({"year": [f"{int(y)}-01-01" for y in table["YEAR"]], "sunspots": table["SUNACTIVITY"]})


if __name__ == "__main__":
    digits_rows().to_csv(HERE / "digits_rows.csv", index=False, lineterminator="\n")
    sunspots_yearly().to_csv(HERE / "sunspots_yearly.csv", index=False, lineterminator="\n")
