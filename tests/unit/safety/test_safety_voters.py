from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from fakes.gate_networks import BLUE, GREEN, RED, WHITE, YELLOW, plain, store_with

from facefusion.errors import ContentRefused, ModelError
from facefusion.inference.pool import SessionPool
from facefusion.models.catalog import Catalog
from facefusion.models.store import ModelStore
from facefusion.safety.content_gate import Sample, prepare_gate, votes_needed
from facefusion.safety.voters import EMBEDDED, GATE_MODELS, ONLY_EMBEDDED, PUBLISHED, find_voters

SETS = [names for count in range(4) for names in itertools.combinations(PUBLISHED, count)]


def gate_of(store: ModelStore):
    return prepare_gate(SessionPool(store, ('cpu',), 0), find_voters(store).models)


def refuses(gate, colour) -> bool:
    scores = gate.classify_still(plain(colour))
    try:
        gate.refuse_if_unsafe(Path('x.png'), [Sample(0, 0.0, scores)], 1)
    except ContentRefused:
        return True
    return False


@pytest.mark.parametrize('present', SETS, ids=str)
def test_the_embedded_classifier_and_those_with_weights_vote(present, tmp_path):
    store = store_with(tmp_path, (EMBEDDED, *present))
    voters = find_voters(store)
    assert voters.models == (EMBEDDED, *present) and set(voters.missing) == set(PUBLISHED) - set(present)
    gate = gate_of(store)
    assert gate.model_ids == voters.models and gate.votes == {1: 1, 2: 1, 3: 2, 4: 2}[len(voters.models)]
    thresholds = {'open_nsfw': 0.8, 'nsfw_1': 0.2, 'nsfw_2': 0.25, 'nsfw_3': 10.5}
    assert gate.thresholds == tuple(thresholds[name] for name in voters.models)


def test_a_missing_embedded_classifier_still_votes(tmp_path):
    voters = find_voters(store_with(tmp_path, ('nsfw_2',)))
    assert voters.models == (EMBEDDED, 'nsfw_2') and voters.missing == ('nsfw_1', 'nsfw_3')


def test_the_message_names_the_voters_and_the_missing_ones(tmp_path):
    assert find_voters(store_with(tmp_path, (EMBEDDED, 'nsfw_2'))).words == (
        'the content gate uses open_nsfw, nsfw_2; not on this machine: nsfw_1, nsfw_3'
    )
    assert find_voters(store_with(tmp_path, PUBLISHED)).words == (
        'the content gate uses open_nsfw, nsfw_1, nsfw_2, nsfw_3'
    )


def test_a_catalogue_without_published_classifiers_has_one_voter(tmp_path):
    store = store_with(tmp_path, GATE_MODELS)
    alone = ModelStore(Catalog((store.catalog.entry(EMBEDDED),)), tmp_path, offline=True, emit=store._emit)
    assert find_voters(alone) == ONLY_EMBEDDED and find_voters(alone).models == (EMBEDDED,)


@pytest.mark.parametrize('content', [b'', b'half a network'], ids=len)
def test_a_damaged_classifier_does_not_lose_its_vote(content, tmp_path):
    store = store_with(tmp_path, (EMBEDDED, 'nsfw_1', 'nsfw_2'))
    (tmp_path / 'nsfw_2.onnx').write_bytes(content)
    voters = find_voters(store)
    assert voters.models == (EMBEDDED, 'nsfw_1', 'nsfw_2')
    for use in (lambda: store.fetch(voters.models), lambda: gate_of(store)):
        with pytest.raises(ModelError) as error:
            use()
        assert (error.value.reference, error.value.exit_code) == ('model-damaged', 6)
        assert 'nsfw_2' in error.value.message


def test_the_weights_of_another_classifier_are_damaged(tmp_path):
    store = store_with(tmp_path, GATE_MODELS)
    (tmp_path / 'nsfw_3.onnx').write_bytes((tmp_path / 'nsfw_1.onnx').read_bytes())
    with pytest.raises(ModelError, match='nsfw_3'):
        gate_of(store)


@pytest.mark.parametrize('count', range(1, 9))
def test_at_least_half_of_the_votes_make_an_image_positive(count):
    needed = votes_needed(count)
    assert 2 * needed >= count and 2 * (needed - 1) < count


@pytest.mark.parametrize(
    ('present', 'refused', 'passed'),
    [
        ((), [WHITE], [RED, GREEN, BLUE, YELLOW]),
        # One of two votes is a tie, which is refused.
        (('nsfw_1',), [RED, YELLOW, WHITE], [GREEN, BLUE]),
        (('nsfw_1', 'nsfw_2'), [YELLOW, WHITE], [RED, GREEN, BLUE]),
        (PUBLISHED, [YELLOW, (255, 0, 255), (255, 255, 0), WHITE], [RED, GREEN, BLUE]),
    ],
    ids=['1 voter', '2 voters', '3 voters', '4 voters'],
)
def test_the_vote_of_networks_in_onnx_runtime(present, refused, passed, tmp_path):
    gate = gate_of(store_with(tmp_path, (EMBEDDED, *present)))
    assert [refuses(gate, colour) for colour in refused] == [True] * len(refused)
    assert [refuses(gate, colour) for colour in passed] == [False] * len(passed)


def test_with_all_weights_each_image_that_facefusion_refuses_is_refused(tmp_path):
    """FaceFusion 3.8 refuses an image when two of the three published classifiers vote against it."""
    gate = gate_of(store_with(tmp_path, GATE_MODELS))
    for votes in itertools.product((False, True), repeat=3):
        scores = [threshold if vote else -1.0 for vote, threshold in zip(votes, gate.thresholds[1:], strict=True)]
        assert gate.is_positive((0.0, *scores)) == (sum(votes) >= 2)
        assert gate.is_positive((1.0, *scores)) == (sum(votes) >= 1)
