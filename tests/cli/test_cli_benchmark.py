"""Tests of the command ``benchmark`` on short clips, with a processor whose times are known."""

from __future__ import annotations

import json
import os
import signal
import time

import jsonschema
import pytest
from fakes.program import ROOT, Program
from fakes.sleepers import MODEL, NETWORK, POST, PRE, install_sleeper

pytestmark = pytest.mark.network
FRAMES = 12
SHORT = ('--benchmark-frames', FRAMES, '--benchmark-cycle-count', 2)
SLEEPER = ('--processors', 'sleeper', '--execution-thread-count', 1)
SCHEMA = json.loads((ROOT / 'docs' / 'benchmark.schema.json').read_text(encoding='utf-8'))


def run_benchmark(program, *words, code=0):
    """Run the command on clips in an empty folder, and check its JSON and that the folder is empty again."""
    folder = program.folder / 'temp'
    folder.mkdir(exist_ok=True)
    result = program('benchmark', *SHORT, '--temp-path', folder, *words)
    assert result.code == code, result.err
    report = json.loads(result.out)
    jsonschema.validate(report, SCHEMA)
    assert list(folder.iterdir()) == []
    return result, report


@pytest.fixture
def bench(program):
    return lambda *words, **more: run_benchmark(program, *words, **more)


@pytest.fixture(scope='module')
def measured(store, face_clip, tmp_path_factory):
    """The program, result and report of a benchmark of the sleeper with an estimate and a trace."""
    program = Program(tmp_path_factory.mktemp('measured'))
    words = ('--estimate', face_clip, '--profile', program.folder / 'trace.json')
    with pytest.MonkeyPatch.context() as patch:
        install_sleeper(patch)
        return program, *run_benchmark(program, *SLEEPER, *words)


@pytest.fixture
def case(measured):
    (case,) = measured[2]['cases']
    return case


def stage_of(case, name):
    (found,) = [stage for stage in (*case['stages'], *case['fixed_stages']) if stage['name'] == name]
    return found


def test_known_times_show_up_in_the_right_stages(case):
    assert (case['resolution'], case['width'], case['height'], case['frames']) == ('240p', 426, 240, FRAMES)
    assert case['processors'] == ['sleeper'] and case['models'] == [''] and case['cycles'] == 2
    parts = stage_of(case, 'sleeper')['parts']
    for part, seconds in (('pre', PRE), ('network', NETWORK), ('post', POST)):
        # The upper limit allows for a busy machine.
        assert seconds * 1e3 <= parts[part] < seconds * 1e3 * 4, part
    whole = (PRE + NETWORK + POST) * 1e3
    assert case['frame_ms']['p50'] >= whole and case['frame_ms']['p95'] >= case['frame_ms']['p50']
    # Sleeping takes wall time and no CPU time.
    assert stage_of(case, 'sleeper')['cpu_ms'] < whole / 3
    assert case['seconds']['processing'] >= FRAMES * whole / 1e3
    assert case['seconds']['fastest'] <= case['seconds']['mean'] <= case['seconds']['slowest']
    assert {'decode', 'encode', 'mark', 'content gate', 'join'} <= {stage['name'] for stage in case['stages']}


def test_the_stages_add_up_to_the_wall_time(case):
    # With one worker the phases follow each other; the worker sleeps in one, so decoder and encoder wait for it.
    of_frames = sum(stage['ms'] for stage in case['stages']) * FRAMES
    fixed = sum(stage['ms'] for stage in case['fixed_stages'])
    wall = case['seconds']['mean'] * 1e3
    assert 0.6 * wall <= of_frames + fixed <= 2 * wall


def test_rates_and_the_columns_of_the_peer_agree(case):
    mean = case['seconds']['mean']
    assert case['frames_per_second'] == pytest.approx(FRAMES / mean, rel=0.01)
    assert case['ms_per_frame'] == pytest.approx(mean * 1e3 / FRAMES, rel=0.01)
    assert case['peer']['relative_fps'] == pytest.approx(case['frames_per_second'], abs=0.01)
    assert case['peer']['average_run'] == pytest.approx(mean, abs=0.01)
    assert case['peer']['cycle_count'] == 2


def test_the_process_and_its_providers_are_measured(measured, case):
    assert 0 < case['cpu_seconds'] < 20
    assert case['peak_memory_bytes'] > 50_000_000
    assert case['networks'][MODEL] == ['SleepExecutionProvider', 'CPUExecutionProvider']
    _, result, report = measured
    assert sorted(report['machine']['providers']) == ['CPUExecutionProvider', 'SleepExecutionProvider']
    assert report['complete'] and report['left_out'] == []
    assert '[FACEFUSION.RUN]' not in result.err


def test_cases_are_jobs_of_the_store(measured, case):
    (job,) = json.loads(measured[0]('job-list', '--format', 'json').out)
    assert job['id'] == case['job_id'] and job['origin'] == 'benchmark' and job['state'] == 'completed'
    # The untimed run is a step, too.
    assert job['steps'] == job['steps_completed'] == 3


def test_an_estimate_is_close_to_the_case_itself(measured, face_clip):
    estimate = measured[2]['estimate']
    (chain,) = estimate['chains']
    assert estimate['target'] == str(face_clip)
    assert chain['frames'] == 60 and chain['memory_bytes'] > 10_000_000
    assert chain['seconds'] > 60 * (PRE + NETWORK + POST)
    # One case cannot tell the error of a model that was fitted to it.
    assert chain['error'] == {'method': 'unknown', 'percent': [], 'largest_percent': None}
    assert chain['within_measured_sizes'] is False


def test_an_estimate_is_close_to_a_run_on_the_clip(measured, program, face_clip, tmp_path, monkeypatch):
    install_sleeper(monkeypatch)
    done = program.run(*SLEEPER, '-t', face_clip, '-o', tmp_path / 'out.mp4', '--cache-size', 0)
    (chain,) = measured[2]['estimate']['chains']
    # Most of the time is sleep; the rest depends on the load of the machine, which may change between the two.
    assert 0.2 < chain['seconds'] / done.report['seconds'] < 5


def test_a_trace_of_all_runs_is_written(measured):
    events = json.loads((measured[0].folder / 'trace.json').read_text())['traceEvents']
    sleeps = [event for event in events if event['name'] == 'sleeper']
    assert len(sleeps) == 3 * FRAMES
    for part, seconds in (('pre', PRE), (f'network {MODEL}', NETWORK), ('post', POST)):
        lengths = [event['dur'] for event in events if event['name'] == part]
        assert len(lengths) == 3 * FRAMES and min(lengths) >= seconds * 1e6


def test_a_cold_benchmark_has_no_untimed_run(bench, program, monkeypatch):
    install_sleeper(monkeypatch)
    _, report = bench(*SLEEPER, '--benchmark-mode', 'cold', '--benchmark-cycle-count', 1)
    assert report['settings']['mode'] == 'cold' and report['cases'][0]['cycles'] == 1
    assert json.loads(program('job-list', '--format', 'json').out)[0]['steps'] == 1


def test_every_run_analyses_the_clip_and_scores_it_again(bench, face_clip):
    """Nothing that an earlier run stored is used; otherwise its stages would be missing in the timed runs."""
    words = ('--processors', 'face_debugger', '--benchmark-cycle-count', 1, '--estimate', face_clip)
    _, report = bench(*words)
    (case,) = report['cases']
    assert stage_of(case, 'content gate')['network_ms'] > 0
    assert case['faces'] == 1
    assert stage_of(case, 'analyse')['parts'].keys() >= {'detect', 'mesh'}
    (chain,) = report['estimate']['chains']
    # Two or three faces of the clip are in view.
    assert 1.5 <= chain['faces_per_frame'] <= 3.2 and 1_000 < chain['pixels_per_face'] < 20_000


def test_an_interrupted_benchmark_prints_the_measured_cases(bench, monkeypatch):
    rendered = []

    def interrupt(number):
        rendered.append(number)
        # One untimed and two timed runs at 240p, then the first run at 360p.
        if len(rendered) == 3 * FRAMES + 3:
            os.kill(os.getpid(), signal.SIGINT)

    install_sleeper(monkeypatch, interrupt)
    result, report = bench(*SLEEPER, '--benchmark-resolutions', '240p', '360p', code=4)
    assert [case['resolution'] for case in report['cases']] == ['240p']
    assert report['complete'] is False
    assert '[interrupted]' in result.err


def test_the_timed_runs_of_an_interrupted_case_count(bench, monkeypatch):
    rendered = []

    def interrupt(number):
        rendered.append(number)
        if len(rendered) == 2 * FRAMES + 3:
            os.kill(os.getpid(), signal.SIGINT)

    install_sleeper(monkeypatch, interrupt)
    _, report = bench(*SLEEPER, code=4)
    assert [case['cycles'] for case in report['cases']] == [1]


def test_a_cancelled_job_stops_the_benchmark(bench, program, monkeypatch):
    rendered, started = [], []

    def cancel(number):
        rendered.append(number)
        if len(rendered) == 2 * FRAMES + 1:
            (running,) = (program.folder / 'jobs' / 'running').iterdir()
            started.append(program.start('job-cancel', running.name.split('@')[0]))
        if started:
            # The command and the heartbeat need time.
            time.sleep(0.5)

    install_sleeper(monkeypatch, cancel)
    result, report = bench(*SLEEPER, '--claim-timeout', 1, code=4)
    assert started[0].wait(30) == 0
    for stream in (started[0].stdout, started[0].stderr):
        stream.close()
    assert report['complete'] is False and [case['cycles'] for case in report['cases']] == [1]
    assert 'cancelled' in result.err


def test_a_missing_model_fails_only_if_it_was_named(bench, monkeypatch):
    result, report = bench('--benchmark-models', 'inswapper_128', code=6)
    assert report['cases'] == [] and '[model-missing-offline]' in result.err
    (left,) = report['left_out']
    assert left['models'] == ['inswapper_128'] and left['resolution'] is None


def test_all_measures_the_models_that_are_present_and_names_the_others(bench):
    _, report = bench('--processors', 'face_swapper', '--benchmark-models', 'all', '--benchmark-cycle-count', 1)
    assert [case['models'] for case in report['cases']] == [['mesh_warp']]
    assert stage_of(report['cases'][0], 'face_swapper')['parts']['pre'] > 0
    left = {model for each in report['left_out'] for model in each['models']}
    assert 'inswapper_128' in left and 'mesh_warp' not in left
    assert {each['error']['exit_code'] for each in report['left_out']} == {6}


def test_a_case_that_fails_is_left_out_and_decides_the_exit_code(bench, monkeypatch):
    install_sleeper(monkeypatch)
    result, report = bench(*SLEEPER, '--system-memory-limit', 0.01, code=5)
    assert report['cases'] == []
    (left,) = report['left_out']
    assert left['resolution'] == '240p' and left['error']['exit_code'] == 5
    assert f'[{left["error"]["reference"]}]' in result.err


def test_clips_without_room_are_refused(program, tmp_path, monkeypatch):
    from facefusion.benchmark import bench as module

    monkeypatch.setattr(module, 'needed_space', lambda *facts: 10**18)
    result = program('benchmark', *SHORT, '--temp-path', tmp_path)
    assert result.code == 5 and '[disk-short]' in result.err and result.out == ''


@pytest.mark.parametrize(
    ('words', 'reference'),
    [
        (('--benchmark-models', 'nope'), 'benchmark-model'),
        (('--benchmark-resolutions', '100p'), 'usage'),
        (('--benchmark-cycle-count', 11), 'usage'),
        (('--benchmark-mode', 'hot'), 'usage'),
        (('--compare-threshold', 'x'), 'usage'),
        (('--compare', 'none.json'), 'benchmark-file'),
        (('--plot', 'plot.gif'), 'plot-format'),
    ],
)
def test_wrong_words_are_refused_before_anything_runs(program, words, reference):
    program.fails(2, reference, 'benchmark', *words)


def test_the_changes_decide_the_exit_code(bench, measured, monkeypatch, tmp_path):
    install_sleeper(monkeypatch)
    report, old = json.loads(measured[1].out), tmp_path / 'old.json'
    once = (*SLEEPER, '--benchmark-cycle-count', 1, '--compare', old)
    old.write_text(json.dumps(report))
    same = bench(*once, '--compare-threshold', 500)[1]['comparison']
    assert same['cases'][0]['worse'] == [] and same['is_worse'] is False
    assert same['cases'][0]['stages_ms']['sleeper'][0] >= (PRE + NETWORK + POST) * 1e3
    report['cases'][0]['frames_per_second'] *= 100
    old.write_text(json.dumps(report))
    result, slower = bench(*once, '--compare-threshold', 90, code=1)
    assert 'frames_per_second' in slower['comparison']['cases'][0]['worse']
    assert 'is worse than before: frames_per_second -' in result.err
    # A gate must not pass because a setting has changed.
    report['cases'][0]['frames'], report['settings']['frames'] = 99, 99
    old.write_text(json.dumps(report))
    result, nothing = bench(*once, code=1)
    assert nothing['comparison']['cases'] == [] and 'frames' in nothing['comparison']['settings']
    assert 'nothing was compared' in result.err and 'other settings than before: ' in result.err


def test_a_missing_or_wrong_clip_is_refused_before_anything_runs(program, tmp_path, example_portrait):
    words = ('--processors', 'face_debugger', '--temp-path', tmp_path)
    assert '[media-missing]' in program('benchmark', *words, '--estimate', tmp_path / 'none.mp4').err
    assert '[estimate-target]' in program('benchmark', *words, '--estimate', example_portrait).err
    (tmp_path / 'file').write_bytes(b'')
    blocked = program('benchmark', '--processors', 'face_debugger', '--temp-path', tmp_path / 'file' / 'x')
    assert '[work-unwritable]' in blocked.err and '--temp-path' in blocked.err
    # With a voice an image becomes a video, whose time the benchmark does not estimate.
    words = ('--processors', 'lip_syncer', '--temp-path', tmp_path)
    assert '[estimate-target]' in program('benchmark', *words, '--estimate', example_portrait).err


def test_tables_are_for_people(program, tmp_path, monkeypatch):
    install_sleeper(monkeypatch)
    words = (*SHORT, *SLEEPER, '--benchmark-cycle-count', 1, '--temp-path', tmp_path, '--format', 'table')
    result = program('--mode', 'benchmark', *words)
    assert result.code == 0, result.err
    for title in ('runs:', 'milliseconds a frame', 'relative_fps', 'p95 ms', 'decode', 'encode', 'network'):
        assert title in result.out
    assert '{' not in result.out


def test_events_show_the_progress_and_end_with_the_report(program, tmp_path, monkeypatch):
    install_sleeper(monkeypatch)
    words = (*SHORT, *SLEEPER, '--benchmark-cycle-count', 1, '--temp-path', tmp_path, '--progress', 'json')
    result = program('benchmark', *words)
    assert result.code == 0, result.err
    *events, last = result.events
    jsonschema.validate(last['report'], SCHEMA)
    assert last['event'] == 'benchmark'
    shown = [event for event in events if event['event'] == 'stage_progress']
    assert {event['stage'] for event in shown} == {'benchmark'}
    assert shown[0]['done'] == 0 and shown[-1]['done'] == shown[-1]['total'] == 2 * FRAMES


def test_a_lip_syncer_gets_a_voice_with_speech(bench):
    words = ('--processors', 'lip_syncer', '--benchmark-cycle-count', 1, '--benchmark-mode', 'cold')
    result, report = bench(*words)
    assert stage_of(report['cases'][0], 'lip_syncer')['ms'] > 0
    assert 'no speech was found' not in result.err
