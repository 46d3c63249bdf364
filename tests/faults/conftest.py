from __future__ import annotations

from fakes.program import program

__all__ = ['program']
