"""The routes of models."""

from __future__ import annotations

import pytest
from fakes.page_server import page_server


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    """A server whose folder of models contains only a damaged file."""
    folder = tmp_path_factory.mktemp('models')
    (folder / 'weights').mkdir()
    (folder / 'weights' / 'span_x2.onnx').write_bytes(b'damaged')
    with page_server(folder, environ={'FACEFUSION_MODELS_PATH': str(folder / 'weights')}) as started:
        yield started


def test_models_are_listed_with_licence_and_state(server):
    reply = server.get('/models')
    assert reply['offline'] is True
    models = {model['id']: model for model in reply['models']}
    assert models['span_x2']['state'] == 'damaged'
    assert models['face_mesh']['state'] == 'missing'
    assert models['face_mesh']['licence'] and isinstance(models['face_mesh']['commercial'], bool)
    assert not [name for name in models if name.startswith('example_')]


def test_a_verification_is_told_by_an_event(server):
    with server.events() as events:
        events.until('workers')
        server.post('/models/verify', {}, 202)
        event = events.until('model', lambda model: model['id'] == 'span_x2')
        assert event['state'] == 'damaged' and event['error']['reference'] == 'model-damaged'
        server.post('/models/verify', {'ids': ['face_mesh']}, 202)
        assert events.until('model', lambda model: model['id'] == 'face_mesh')['state'] == 'missing'


def test_an_offline_machine_and_unknown_models_are_named_at_once(server):
    for path, body, status, reference in (
        ('/models/face_mesh/fetch', {}, 424, 'model-missing-offline'),
        ('/models/nothing/fetch', {}, 404, 'model-unknown'),
        ('/models/verify', {'ids': ['nothing']}, 404, 'model-unknown'),
        ('/models/verify', {'ids': 'face_mesh'}, 422, 'request-argument'),
    ):
        reply = server.call('POST', path, body)
        assert (reply.status, reply.json['reference']) == (status, reference)
    assert {model['state'] for model in server.get('/models')['models']} == {'missing', 'damaged'}
