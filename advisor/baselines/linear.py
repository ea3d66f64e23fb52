"""Ridge regression on the values of a row."""

from typing import Self

from torch import Tensor

from advisor.baselines.base import Training, channel_stats, fill, resample
from advisor.baselines.ridge import RidgeBaseline
from hybrids.shapes import Lengths, Series


class Linear(RidgeBaseline):
    """Ridge on the values of each row, stretched to a fixed number of points."""

    def features(self, x: Series, lengths: Lengths) -> Tensor:
        """Return the points of all channels, (B, points C)."""
        return resample(x, lengths, self.config.sizes["points"]).flatten(1)

    @classmethod
    def fit(cls, data: Training) -> Self:
        """Fit on at most 5000 rows and about 2048 features."""
        data.check_classes()
        data = data.capped(5000)
        channels = data.config.channels_in
        points = max(2, min(data.config.length, 128, 2048 // channels))
        sizes = {"points": points, "features": points * channels}
        model = cls(data.config.model_copy(update={"sizes": sizes}))
        for buffer, value in zip((model.channel_mean, model.channel_scale), channel_stats(data), strict=True):
            fill(buffer, value)
        model.fit_head(data)
        return model
