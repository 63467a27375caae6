"""Tagged listings that are remembered: found again by likeness, and what they say about the tags of a new one."""

from serve.memory.fitting import FEWEST_LISTINGS, fit
from serve.memory.memory import Estimates, Memory, Neighbour, TaggedListing

__all__ = ["FEWEST_LISTINGS", "Estimates", "Memory", "Neighbour", "TaggedListing", "fit"]
