"""Audits before training: what in the data would make training meaningless or a score misleading.

Each finding is counted and says what to do. Files that cannot be read at all are refused by `advisor.data` before.
"""

from advisor.audit.ahead import told_ahead
from advisor.audit.codes import missing_codes
from advisor.audit.columns import shifted_series
from advisor.audit.copies import contradictions, cuts_of_one, in_both, repeated, shared_ids, together
from advisor.audit.equal import same_shape
from advisor.audit.finding import SEVERITIES, Finding, Severity, lines
from advisor.audit.leaks import label_in_series
from advisor.audit.target import amounts, classes, constants
from advisor.audit.timing import irregular, joins
from advisor.data.dataset import Dataset

__all__ = ["Finding", "Severity", "audit", "lines", "together"]


def audit(dataset: Dataset, test: Dataset | None = None, horizon: int | None = None) -> tuple[Finding, ...]:
    """Return what is to be known of the data before training, the most severe first.

    Args:
        dataset: What would be learnt from.
        test: The user's test file, read like `dataset`.
        horizon: Steps to forecast; None: not checked against the lengths.
    """
    every_channel, covariates = dataset.apart(), len(dataset.channels) > 1 and dataset.task == "forecast"
    ahead = told_ahead(dataset, horizon)
    dataset, test = dataset.targets(), None if test is None else test.targets()
    shapes = same_shape(dataset.series)
    found = [*constants(dataset), *classes(dataset, test), *amounts(dataset, test, horizon), *irregular(dataset)]
    found += missing_codes(every_channel)
    found += [*contradictions(dataset), *repeated(dataset, shapes), *cuts_of_one(dataset, shapes), *shared_ids(dataset)]
    found += label_in_series(dataset)
    if covariates:  # one that moves as the target does is welcome, one that knows its future is not
        shifted = shifted_series(every_channel, same_shape(every_channel.series))
        found += [one for one in shifted if one.code == "series_knows_the_future"]
        found += ahead
    else:
        found += shifted_series(dataset, shapes)
    if test is not None:
        found += joins(dataset, test) if dataset.task == "forecast" else in_both(dataset, test)
    return tuple(sorted(found, key=lambda one: SEVERITIES.index(one.severity)))
