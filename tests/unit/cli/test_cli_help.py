"""Tests that the help of a command lists the options that it reads, and that the reference pages list all options."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

import pytest

from facefusion.cli.commands import COMMANDS
from facefusion.cli.main import main
from facefusion.options import describe

ROOT = Path(__file__).resolve().parents[3]
STORE = {'--jobs-path', '--progress', '--log-level'}
DEVICES = {'--execution-providers', '--execution-device-ids', '--allow-cpu-fallback'}
MODELS = {'--models-path', '--download-providers', '--offline'}
QUEUE = {'--priority', '--retries', '--retry-delay', '--notify'}
RUNS = {
    *('--execution-thread-count', '--execution-engine', '--temp-path', '--cache-size', '--system-memory-limit'),
    *('--video-memory-strategy', '--video-memory-limit', '--execution-batch-size'),
    '--claim-timeout',
    *('--certificate-path', '--private-key-path', '--timestamp-url', '--require-timestamp'),
    *('--trusted-roots', '--provenance-path', '--profile'),
} | (STORE | DEVICES | MODELS)
BENCHMARK = {
    *('--benchmark-mode', '--benchmark-resolutions', '--benchmark-cycle-count', '--benchmark-models'),
    *('--benchmark-frames', '--format', '--plot', '--compare', '--compare-threshold', '--estimate'),
}
PAGE = {
    *('--host', '--port', '--token', '--media-roots', '--upload-limit', '--open-browser', '--halt-on-error'),
    *(BENCHMARK - {'--format', '--plot', '--compare', '--compare-threshold', '--estimate'}),
} | QUEUE
# The flags in the help of each command, in addition to --help and --config-path.
LISTED = {
    'verify': {'--sidecar', '--format', '--trusted-roots', '--provenance-path', '--jobs-path', '--log-level'},
    'check': {'--format', *STORE, *DEVICES, *MODELS},
    'faces': {
        *('--output', '--format', '--face-recognizer-model', '--face-tracker-score', '--max-faces'),
        *(f'--face-detector-{name}' for name in ('model', 'size', 'margin', 'angles', 'score')),
        *('--face-landmarker-model', '--face-landmarker-score', '--trim-frame-start', '--trim-frame-end'),
        *('--execution-thread-count', '--temp-path', '--cache-size', '--system-memory-limit'),
        *(STORE | DEVICES | MODELS),
    },
    'doctor': {
        *('--format', '--temp-path', '--jobs-path', '--log-level', '--execution-thread-count', '--execution-engine'),
        *(DEVICES | MODELS),
    },
    'models': {'--progress', '--log-level', *MODELS},
    'force-download': {'--progress', '--log-level', *MODELS},
    'job-list': {'--job-status', '--format', *STORE},
    'job-show': {'--job-id', '--format', '--jobs-path', '--log-level'},
    'job-submit': {'--job-id', *STORE, *QUEUE},
    'job-submit-all': {'--halt-on-error', *STORE, *QUEUE},
    'job-delete': {'--job-id', *STORE},
    'job-delete-all': {'--halt-on-error', *STORE},
    'job-remove-step': {'--job-id', *STORE},
    'job-run': {'--job-id', *RUNS},
    'job-run-all': {'--watch', '--max-jobs', '--stop-after-current', '--halt-on-error', *RUNS},
    'job-retry': {'--job-id', '--queue', '--from-scratch', *RUNS},
    'job-retry-all': {'--queue', '--from-scratch', '--halt-on-error', *RUNS},
    'job-cancel': {'--job-id', *STORE},
}
# Commands that accept the options of a step, with the other flags in their help.
STEPS = {
    'job-create': {'--job-id', '--if-missing', '--models-path', *QUEUE, *STORE},
    'job-add-step': {'--job-id', '--models-path', *STORE},
    'job-insert-step': {'--job-id', '--models-path', *STORE},
    'job-remix-step': {'--job-id', '--models-path', *STORE},
    'headless-run': {'--notify', '--dry-run', *RUNS},
    'batch-run': {'--notify', '--dry-run', '--halt-on-error', '--report', *RUNS},
    'benchmark': {*BENCHMARK, *RUNS} - {'--cache-size'},
    'gui': {*PAGE, *RUNS},
    'run': {*PAGE, *RUNS},
}


def listed_flags(name: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    assert main([name, '--help'], {}) == 0
    _, _, options = capsys.readouterr().out.partition('options:')
    flags = set(re.findall(r'^  (?:-\w(?: [^-\n]*?)?, )?(--[a-z-]+)', options, re.MULTILINE))
    return flags - {'--help', '--config-path'}


def step_flags() -> set[str]:
    from facefusion.steps.arguments import STEP_GROUPS

    return {info.flag for group in STEP_GROUPS for info in describe(group) if not info.no_effect}


def test_every_command_is_expected():
    assert LISTED.keys() | STEPS.keys() == COMMANDS.keys()


@pytest.mark.parametrize('name', LISTED)
def test_help_lists_what_the_command_reads(name, capsys):
    assert listed_flags(name, capsys) == LISTED[name]


@pytest.mark.parametrize('name', STEPS)
def test_help_of_a_step_command_adds_the_options_of_steps(name, capsys):
    steps = step_flags()
    if name == 'batch-run':
        steps -= {'--source-paths', '--target-path', '--output-path'}
        steps |= {'--source-pattern', '--target-pattern', '--output-pattern'}
    if name == 'benchmark':
        steps -= {'--source-paths', '--target-path', '--output-path', '--trim-frame-start', '--trim-frame-end'}
    if name == 'job-remix-step':
        steps -= {'--target-path'}
    assert {flag.replace('--report-path', '--report') for flag in listed_flags(name, capsys)} == steps | STEPS[name]


@pytest.mark.parametrize('name', COMMANDS)
def test_unread_options_are_options_of_the_command(name):
    spec = COMMANDS[name].load()
    assert spec.unread <= {info.key for group in spec.groups for info in describe(group)}


def test_every_option_with_an_effect_is_read_somewhere():
    names = set()
    for path in (ROOT / 'facefusion').rglob('*.py'):
        if not path.name.endswith('options.py'):
            names |= {
                node.attr
                for node in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
                if isinstance(node, ast.Attribute)
            }
    infos = {info for command in COMMANDS.values() for group in command.load().groups for info in describe(group)}
    # Their modules of options read the masks' and the voice's models, and steps look up the swapper's model by its key.
    names |= {'face_occluder_model', 'face_parser_model', 'face_swapper_model', 'voice_extractor_model'}
    assert {info.key for info in infos if not info.no_effect} <= names


def test_help_shows_a_word_for_each_kind_of_value(capsys):
    assert main(['headless-run', '--help'], {}) == 0
    text = ' '.join(capsys.readouterr().out.split())
    for words in (
        '--consent TEXT',
        '--notify COMMAND',
        '--timestamp-url URL',
        '--jobs-path FOLDER',
        '--claim-timeout SECONDS',
        '--cache-size GIGABYTES',
        '--trim-frame-start FRAME',
        '--face-selector-mode MODE',
        '--processors PROCESSOR [PROCESSOR ...]',
        '--config-path FILE',
        '--max-faces N',
    ):
        assert words in text, words


@pytest.mark.parametrize(('file', 'function'), [('facefusion.ini', 'ini_text'), ('docs/options.md', 'options_page')])
def test_the_reference_is_up_to_date(file, function):
    generated = runpy.run_path(str(ROOT / 'scripts' / 'make_reference.py'))[function]()
    assert (ROOT / file).read_text(encoding='utf-8') == generated, 'run scripts/make_reference.py'
