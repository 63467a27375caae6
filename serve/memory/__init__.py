"""Tagged listings that are remembered: found again by likeness, and what they say about the tags of a new one."""

from serve.memory.fitting import fit
from serve.memory.memory import Estimate, Memory, Neighbour, TaggedListing

__all__ = ["Estimate", "Memory", "Neighbour", "TaggedListing", "fit"]
