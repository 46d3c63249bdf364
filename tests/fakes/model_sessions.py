"""Stand-ins for onnxruntime sessions that return prepared tensors and record their inputs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np


class TensorSession:
    """A session that returns the same tensors in every run; ``fed`` records the inputs."""

    def __init__(self, *outputs: np.ndarray) -> None:
        self.outputs = list(outputs)
        self.fed: list[np.ndarray] = []

    def get_inputs(self) -> list[Any]:
        return [SimpleNamespace(name='input')]

    def run(self, names: None, feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
        (tensor,) = feeds.values()
        self.fed.append(tensor)
        return self.outputs


class NamedSessions:
    """A pool of prepared sessions by model id."""

    def __init__(self, **sessions: Any) -> None:
        self._sessions = sessions

    def session(self, model_id: str) -> Any:
        return self._sessions[model_id]

    batched = session

    def at(self, threads: int) -> NamedSessions:
        return self
