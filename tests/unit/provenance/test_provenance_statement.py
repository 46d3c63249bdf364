from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
from fakes.statements import DEBUGGER, ENHANCER, SWAPPER

from facefusion.provenance.statement import (
    COMPOSITE,
    ENHANCED,
    JOINED,
    PROCESSING_LABEL,
    LabelFacts,
    Statement,
    TargetFacts,
    manifest,
)
from facefusion.version import VERSION

CLIP = TargetFacts('clip.mp4', '11' * 32, 10)
SWAP = Statement('job-1', 'video', 'out.mp4', (CLIP,), (SWAPPER,))


def actions_of(statement):
    states = ('read',) * len(statement.targets)
    assertions = manifest(statement, 'video/mp4', states)['assertions']
    (found,) = (entry['data']['actions'] for entry in assertions if entry['label'] == 'c2pa.actions.v2')
    assert all(action['softwareAgent'] == {'name': 'FaceFusion', 'version': VERSION} for action in found)
    return [(action['action'], action.get('digitalSourceType')) for action in found]


@pytest.mark.parametrize(
    ('changes', 'actions'),
    [
        ({}, [('c2pa.opened', None), ('c2pa.edited', COMPOSITE)]),
        ({'processors': (ENHANCER,)}, [('c2pa.opened', None), ('c2pa.edited', ENHANCED)]),
        ({'processors': (DEBUGGER,)}, [('c2pa.opened', None), ('c2pa.edited', None)]),
        (
            {'processors': (SWAPPER, ENHANCER)},
            [('c2pa.opened', None), ('c2pa.edited', COMPOSITE), ('c2pa.edited', ENHANCED)],
        ),
        ({'changed': False}, [('c2pa.opened', None), ('c2pa.transcoded', None)]),
        (
            {'targets': (replace(CLIP, trim_start=5),)},
            [('c2pa.opened', None), ('c2pa.trimmed', None), ('c2pa.edited', COMPOSITE)],
        ),
        (
            {'targets': (CLIP, CLIP)},
            [('c2pa.created', COMPOSITE), ('c2pa.placed', None), ('c2pa.placed', None)],
        ),
        (
            {'targets': (CLIP, CLIP), 'changed': False},
            [('c2pa.created', JOINED), ('c2pa.placed', None), ('c2pa.placed', None), ('c2pa.transcoded', None)],
        ),
        (
            {'label': LabelFacts('bar', 'AI'), 'mark_payload': '00'},
            [
                ('c2pa.opened', None),
                ('c2pa.edited', COMPOSITE),
                ('c2pa.edited', None),
                ('c2pa.watermarked.unbound', None),
            ],
        ),
    ],
    ids=str,
)
def test_the_actions_match_the_changes(changes, actions):
    assert actions_of(replace(SWAP, **changes)) == actions


def test_our_assertion_contains_all_statements_and_no_path():
    names = ('targets', 'processors', 'sources', 'changed', 'consent', 'mark_payload', 'label', 'job_id', 'kind')
    statement = replace(SWAP, consent=('a',), mark_payload='00', label=LabelFacts('bar', 'AI'))
    (record,) = (
        entry['data']
        for entry in manifest(statement, 'video/mp4', ('unreadable',))['assertions']
        if entry['label'] == PROCESSING_LABEL
    )
    assert set(record) == {*names, 'version', 'software'}
    assert record['targets'] == [{'name': 'clip.mp4', 'sha256': '11' * 32, 'size': 10, 'credentials': 'unreadable'}]
    assert record['processors'][0]['models'] == [{'id': 'face_mesh', 'sha256': 'ab' * 32}]


def test_names_that_are_not_utf8_become_text():
    name = os.fsdecode(b'no\xff\xfeutf.mp4') if os.name == 'posix' else 'no\udcff\udcfeutf.mp4'
    statement = replace(SWAP, title=name, targets=(replace(CLIP, name=name),), label=LabelFacts('bar', '\ud800'))
    text = json.dumps(manifest(statement, 'video/mp4', ('read',)), ensure_ascii=False)
    assert text.encode('utf-8') and 'no??utf.mp4' in text
