"""How far back the past matters, measured on the data before anything is trained.

>>> import numpy as np
>>> noise = np.random.default_rng(0).normal(size=(2000, 1))
>>> measure_dependence([noise], "forecast").reach_steps
0
"""

from profiles.dependence.measure import measure_dependence
from profiles.dependence.model import Dependence, DependenceCurve

__all__ = ["Dependence", "DependenceCurve", "measure_dependence"]
