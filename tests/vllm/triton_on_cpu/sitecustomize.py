"""Registers a stand-in for a CPU backend of Triton, so that vLLM's second model runner runs under Triton's interpreter
(TRITON_INTERPRET=1) where there is no GPU. It compiles nothing: under the interpreter nobody asks it to.

Python imports a module of this name at its start from PYTHONPATH, in every process that vLLM starts too.
"""

from __future__ import annotations

from triton.backends import Backend, backends
from triton.backends.compiler import BaseBackend
from triton.backends.driver import DriverBase


class _Active(DriverBase):
    """Says that it is active, which is all that vLLM asks."""

    @classmethod
    def is_active(cls) -> bool:
        return True


backends["cpu"] = Backend(BaseBackend, _Active)
