"""Token mixers and the sequence models built from them."""

from hybrids import errors, mixers
from hybrids.backbone import Backbone
from hybrids.families import FAMILIES
from hybrids.layout import parse
from hybrids.mixer import Mixer, MixerConfig
from hybrids.model import ModelConfig, SequenceModel, load, save

__all__ = [
    "FAMILIES",
    "Backbone",
    "Mixer",
    "MixerConfig",
    "ModelConfig",
    "SequenceModel",
    "errors",
    "load",
    "mixers",
    "parse",
    "save",
]
