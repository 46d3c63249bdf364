from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from fakes.tiny_clip import make_tiny_clip
from hypothesis import given
from hypothesis import strategies as st

from facefusion.cli.headless_run import GROUPS
from facefusion.errors import MediaError, OutputError, UsageError
from facefusion.events import silent
from facefusion.faces import measurement_table
from facefusion.faces.embed import MODEL_ID as EMBEDDER
from facefusion.faces.measurement_types import FaceMeasurement, Measurements, TrackMeasurement, weighted_mean
from facefusion.faces.options import ARCFACE, FaceDetectorOptions, FaceRecognizerOptions, ReferenceFaceOptions
from facefusion.media.frame import PixelFrame
from facefusion.media.image import write_image
from facefusion.media.options import TrimOptions
from facefusion.pipeline.estimates import SOURCE_BYTES
from facefusion.pipeline.options import PathOptions, WorkflowOptions
from facefusion.pipeline.plan import CHUNK_FRAMES, grid
from facefusion.pipeline.planning import make_plan
from facefusion.processors.face_debugger.options import FaceDebuggerOptions
from facefusion.processors.registration import Requirements
from facefusion.processors.registry import ProcessorsOptions
from facefusion.safety.voters import Voters
from facefusion.settings import resolve

MB = 1_000_000


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp('plan')
    make_tiny_clip(folder / 'clip.mp4', 600, (64, 48))
    write_image(PixelFrame(np.full((48, 64, 3), 90, np.uint8)), folder / 'face.png', 'png', 100, silent)
    return folder


def settings(files, output='out.mp4', target='clip.mp4', sources=('face.png',)):
    given = resolve(GROUPS, {}, None, {})
    return given.replace(
        PathOptions(
            tuple(str(files / source) for source in sources),
            str(files / target) if target else None,
            str(files / output) if output else None,
        )
    )


@given(st.integers(0, 2000), st.integers(0, 2000), st.integers(1, 300))
def test_a_grid_covers_the_range_and_is_cut_at_multiples(start, length_of_all, length):
    stop = start + length_of_all
    spans = grid(start, stop, length)
    assert [frame for span in spans for frame in range(*span)] == list(range(start, stop))
    for span in spans:
        assert 0 < span.stop - span.start <= length
        assert span.start == start or span.start % length == 0
        assert span.start // length == (span.stop - 1) // length


def test_a_video_is_cut_into_chunks_of_source_frames_and_segments_of_output_frames(files):
    chosen = settings(files).replace(TrimOptions(trim_frame_start=240, trim_frame_end=520))
    video = make_plan(chosen, 2, segment_frames=100).video
    assert CHUNK_FRAMES == 250
    assert [tuple(span) for span in video.chunks] == [(240, 250), (250, 500), (500, 520)]
    assert [tuple(span) for span in video.segments] == [(0, 100), (100, 200), (200, 280)]


def test_segment_length_and_workers_change_neither_chunks_nor_encoder(files):
    one, other = make_plan(settings(files), 1, 25), make_plan(settings(files), 8, 600)
    assert one.video.chunks == other.video.chunks and len(one.video.segments) == 24
    assert one.video.encoder == other.video.encoder and one.models == other.models


def test_a_plan_is_plain_json_and_the_same_every_time(files):
    for output, target, kind in (('out.mp4', 'clip.mp4', 'video'), ('out.png', 'face.png', 'image')):
        sources = ('other.png',) if kind == 'image' else ('face.png',)
        if kind == 'image':
            (files / 'other.png').write_bytes((files / 'face.png').read_bytes())
        chosen = settings(files, output, target, sources)
        record = make_plan(chosen, 2).summary()
        assert json.loads(json.dumps(record)) == record == make_plan(chosen, 2).summary()
        assert (record['version'], record['kind'], record['processors']) == (1, kind, ['face_swapper'])
        assert record['memory_bytes'] > 1 << 20
        assert (record['work_bytes'] > 0) == (kind == 'video')


WEIGHTS = {'nsfw_1': 80 * MB, 'nsfw_3': 360 * MB, 'scrfd_2.5g': 300 * MB}


def weight_bytes(model_id):
    return WEIGHTS.get(model_id, 0)


def test_the_classifiers_of_the_content_gate_are_models_of_the_plan_and_need_memory(files):
    alone = make_plan(settings(files), 2, weight_bytes=weight_bytes)
    assert alone.gate_models == ('open_nsfw',) and 'published models' not in alone.memory_parts
    voters = Voters(('nsfw_1', 'nsfw_3'), ('nsfw_2',))
    both = make_plan(settings(files), 2, voters=voters, weight_bytes=weight_bytes)
    assert both.gate_models == ('open_nsfw', 'nsfw_1', 'nsfw_3')
    assert set(both.models) - set(alone.models) == {'nsfw_1', 'nsfw_3'}
    assert both.memory == sum(both.memory_parts.values())
    assert both.memory - alone.memory == both.memory_parts['published models'] >= 1.7 * 440 * MB
    assert both.summary()['models'] == list(both.models)


def test_a_published_detector_needs_memory_too(files):
    chosen = settings(files).replace(FaceDetectorOptions('scrfd'))
    without, plan = make_plan(chosen, 1), make_plan(chosen, 1, weight_bytes=weight_bytes)
    assert 'scrfd_2.5g' in plan.models
    assert plan.memory - without.memory == plan.memory_parts['published models'] >= 1.7 * 300 * MB


def test_the_classifiers_of_the_content_gate_reduce_the_workers(files):
    known = {'voters': Voters(('nsfw_3',)), 'weight_bytes': weight_bytes}
    one, four = (make_plan(settings(files), workers, **known).memory for workers in (1, 4))
    plan = make_plan(settings(files), 4, memory_limit=four - 1, **known)
    assert plan.workers < 4 and plan.memory < four
    assert make_plan(settings(files), 4, memory_limit=one, **known).workers == 1
    # An image is scored by one worker at a time.
    (files / 'target.png').write_bytes((files / 'face.png').read_bytes())
    chosen = settings(files, 'out.png', 'target.png')
    assert make_plan(chosen, 4, **known).memory == make_plan(chosen, 1, **known).memory


def test_planning_writes_nothing(files):
    before = sorted(files.rglob('*'))
    make_plan(settings(files, 'new/folder/out.mp4'), 2)
    assert sorted(files.rglob('*')) == before


def test_skin_is_measured_when_a_processor_needs_it(files):
    assert make_plan(settings(files), 2).measurements.names == ('skin',)
    chosen = settings(files, sources=()).replace(ProcessorsOptions(('face_debugger',)))
    assert make_plan(chosen, 2).measurements.names == ('skin',)
    chosen = chosen.replace(FaceDebuggerOptions(('bounding-box',)))
    assert make_plan(chosen, 2).measurements.names == ()


def test_any_measurement_of_the_table_is_made_when_a_processor_needs_it(files, monkeypatch):
    mood = FaceMeasurement('mood', (), lambda tools: None)
    build = TrackMeasurement('build', (), 'float32', lambda tools: None, weighted_mean)
    table = Measurements((*measurement_table.ALL.of_faces, mood), (*measurement_table.ALL.of_tracks, build))
    monkeypatch.setattr(measurement_table, 'ALL', table)
    plan = make_plan(settings(files), 2)
    (swapper,) = plan.processors
    one, other = (
        replace(swapper, requirements=Requirements(measurements=frozenset(names)))
        for names in (('build',), ('skin', 'mood'))
    )
    assert plan.measurements.names == ('skin',)
    assert replace(plan, processors=(one, other)).measurements.names == ('skin', 'mood', 'build')
    assert replace(plan, processors=(one,)).measurements == Measurements((), (build,))


@pytest.mark.parametrize(
    ('changed', 'reference'),
    [
        ({'target': None}, 'target-missing'),
        ({'output': None}, 'output-missing'),
        ({'sources': ()}, 'source-missing'),
    ],
)
def test_a_missing_setting_is_named(files, changed, reference):
    with pytest.raises(UsageError) as caught:
        make_plan(settings(files, **changed), 2)
    assert caught.value.reference == reference and caught.value.hint


def test_a_chain_needs_a_processor(files):
    with pytest.raises(UsageError) as caught:
        make_plan(settings(files).replace(ProcessorsOptions(())), 2)
    assert caught.value.reference == 'processors-missing'


@pytest.mark.parametrize(('mode', 'passes'), [('auto', True), ('image-to-video', True), ('image-to-image', False)])
def test_the_workflow_mode_limits_the_kind_of_the_target(files, mode, passes):
    chosen = settings(files).replace(WorkflowOptions(mode))
    if passes:
        assert make_plan(chosen, 2).video is not None
    else:
        with pytest.raises(UsageError, match='of the kind video') as caught:
            make_plan(chosen, 2)
        assert caught.value.reference == 'workflow-mode'


def test_inputs_and_output_are_checked_before_any_work(files):
    with pytest.raises(MediaError) as missing:
        make_plan(settings(files, sources=('none.png',)), 2)
    assert missing.value.reference == 'media-missing'
    with pytest.raises(OutputError) as kind:
        make_plan(settings(files, output='out.png'), 2)
    assert kind.value.reference == 'output-extension'
    with pytest.raises(OutputError) as same:
        make_plan(settings(files, output='clip.mp4'), 2)
    assert same.value.reference == 'output-is-input'


def test_an_image_too_large_for_its_format_is_refused(files):
    chosen = settings(files, 'out.webp', 'face.png', ())
    chosen = chosen.replace(ProcessorsOptions(('face_debugger',)))
    wide = PixelFrame(np.zeros((4, 5000, 3), np.uint8))
    write_image(wide, files / 'wide.png', 'png', 100, silent)
    chosen = chosen.replace(replace(chosen[PathOptions], target_path=str(files / 'wide.png')))
    assert make_plan(chosen, 2).video is None
    from facefusion.media.options import OutputOptions

    with pytest.raises(OutputError) as caught:
        make_plan(chosen.replace(OutputOptions(output_image_scale=4.0)), 2)
    assert caught.value.reference == 'output-too-large'


def mapped(files, text, *groups):
    chosen = settings(files, sources=())
    for group in groups:
        chosen = chosen.replace(group)
    text = ','.join(f'{files}/{entry}'.replace('+', f'+{files}/') for entry in text.split())
    return make_plan(chosen.replace(ReferenceFaceOptions(face_map=text)), 1)


def test_the_images_of_a_face_map_are_compared_within_each_source_and_counted_in_the_memory(files):
    write_image(PixelFrame(np.full((48, 64, 3), 91, np.uint8)), files / 'other.png', 'png', 100, silent)
    one, two = mapped(files, 'face.png+other.png=0'), mapped(files, 'face.png=0 other.png=1')
    arcface = FaceRecognizerOptions(ARCFACE)
    assert EMBEDDER in mapped(files, 'face.png+other.png=0', arcface).models
    assert EMBEDDER not in mapped(files, 'face.png=0 other.png=1', arcface).models
    assert 'further source faces' not in one.memory_parts
    assert two.memory_parts['further source faces'] == SOURCE_BYTES
    assert sum(two.memory_parts.values()) == two.memory == one.memory + SOURCE_BYTES
    assert one.cast.images == ((files / 'face.png', files / 'other.png'),)


def test_the_files_of_a_face_map_are_the_sources_of_the_plan(files):
    """Only sources of the plan are screened and hashed."""
    write_image(PixelFrame(np.full((48, 64, 3), 91, np.uint8)), files / 'other.png', 'png', 100, silent)
    assert mapped(files, 'other.png=0 face.png=2 other.png=5').sources == (files / 'other.png', files / 'face.png')
