"""The measured facts of a dataset."""

from advisor.data.dataset import Dataset
from profiles.data import DataProfile, profile_data


def profile_of(dataset: Dataset, seen: float = 1.0) -> DataProfile:
    """Return the measured facts of a dataset, without the dependence; `seen` is that of `profile_data`."""
    labels, classes = dataset.labels, dataset.classes
    return profile_data(dataset.series, dataset.task, labels, classes, dataset.freq, dataset.missing, seen)
