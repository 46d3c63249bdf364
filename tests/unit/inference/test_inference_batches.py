from __future__ import annotations

import numpy as np
import pytest

from facefusion.inference.batches import ACCELERATOR_BATCH, batch_size, run_batched


class Doubler:
    """A network that gives twice its first input, and the sum of both; it notes the shapes that it was given."""

    def __init__(self):
        self.shapes = []

    def run(self, names, feeds):
        first, second = feeds['first'], feeds['second']
        self.shapes.append(first.shape)
        return [first * 2, first.sum(1) + second]


@pytest.mark.parametrize(('count', 'calls'), [(1, 1), (3, 1), (4, 2), (7, 3)])
def test_every_call_has_one_shape_and_the_results_are_those_of_single_calls(count, calls):
    first = np.arange(count * 2, dtype=np.float32).reshape(count, 2)
    second = np.arange(count, dtype=np.float32) * 100
    network = Doubler()
    doubled, added = run_batched(network, {'first': first, 'second': second}, 3)
    assert network.shapes == [(3, 2)] * calls
    assert np.array_equal(doubled, first * 2) and np.array_equal(added, first.sum(1) + second)


def test_a_cpu_gets_one_crop_at_once_and_an_accelerator_several():
    assert batch_size(('cpu',)) == 1
    assert batch_size(('cuda', 'cpu')) == batch_size(('tensorrt',)) == ACCELERATOR_BATCH
