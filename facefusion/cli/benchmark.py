"""``benchmark``: measure the speed of processors and models on this machine."""

from __future__ import annotations

import argparse
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefusion.benchmark.options import DEFAULT_THRESHOLD, BenchmarkOptions
from facefusion.cli.invocation import Invocation
from facefusion.cli.parser import path_argument
from facefusion.cli.reporting import reported
from facefusion.cli.signals import stop_on_signals
from facefusion.cli.tables import print_table
from facefusion.engines.process_settings import tune_process
from facefusion.errors import ModelError
from facefusion.events import EVENT_VERSION, Emit, Message
from facefusion.inference.options import ExecutionOptions
from facefusion.media.options import TrimOptions
from facefusion.pipeline.options import PathOptions, ProfileOptions
from facefusion.services.option_groups import PROCESS_GROUPS
from facefusion.services.options import ConsoleOptions
from facefusion.services.profile_file import check_writable, save_profile
from facefusion.steps.arguments import STEP_GROUPS
from facefusion.stopping import StopFlag

if TYPE_CHECKING:
    from facefusion.benchmark.bench import Results
    from facefusion.benchmark.gpu import Gpu

# The benchmark makes its clips, so it has no options of paths and ranges.
GROUPS: tuple[type, ...] = (
    BenchmarkOptions,
    *(group for group in STEP_GROUPS if group not in (PathOptions, TrimOptions)),
    *PROCESS_GROUPS,
)
UNREAD = frozenset({'cache_size'})
LARGEST_THRESHOLD = 1000.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the outputs, the comparison and the estimate."""
    parser.add_argument(
        '--format', dest='benchmark_format', choices=('json', 'table'), default='json', help='output format'
    )
    parser.add_argument(
        '--plot', dest='plot_path', metavar='FILE', type=path_argument, help='write bars of the stages as png or svg'
    )
    parser.add_argument(
        '--compare',
        dest='compare_path',
        metavar='FILE',
        type=path_argument,
        help='compare with the JSON of an earlier benchmark, and exit with 1 if a case is worse or none is comparable',
    )
    parser.add_argument(
        '--compare-threshold',
        dest='compare_threshold',
        metavar='PERCENT',
        type=_percent,
        default=DEFAULT_THRESHOLD,
        help=f'change from which a case is worse; default: {DEFAULT_THRESHOLD:g}',
    )
    parser.add_argument(
        '--estimate',
        dest='estimate_path',
        metavar='CLIP',
        type=path_argument,
        help='estimate the time and memory of a run on this video',
    )


def run(invocation: Invocation) -> int:
    """Measure and print the report; return 1 if the comparison shows a worse case, or no case could be compared.

    Raises Interrupted after the report of an interrupted benchmark, and the error of a case that was left out.
    """
    emit, flag = invocation.emit(), StopFlag()
    with reported(emit):
        tune_process()
        with stop_on_signals(flag):
            return _run(invocation, emit, flag)


def _run(invocation: Invocation, emit: Emit, flag: StopFlag) -> int:
    from facefusion.benchmark.bench import Bench, Results
    from facefusion.benchmark.cases import choose_chains, sorted_resolutions
    from facefusion.benchmark.clip_content import check_target
    from facefusion.benchmark.compare import read_report
    from facefusion.benchmark.cycle import FrameProfile
    from facefusion.benchmark.gpu import find_gpu
    from facefusion.benchmark.plot import check_plot, write_plot
    from facefusion.benchmark.progress import without_repeats

    arguments, settings = invocation.arguments, invocation.settings
    if arguments.plot_path is not None:
        check_plot(Path(arguments.plot_path))
    earlier = read_report(Path(arguments.compare_path)) if arguments.compare_path is not None else None
    target = Path(arguments.estimate_path) if arguments.estimate_path is not None else None
    if target is not None:
        check_target(target)
    traced = settings[ProfileOptions].profile
    if traced is not None:
        check_writable(Path(traced))
    emit = without_repeats(emit)
    chains = choose_chains(settings.replace(PathOptions()).replace(TrimOptions()), invocation.local_models(), emit)
    gpu, profile, results = find_gpu(settings[ExecutionOptions].execution_device_ids[0]), FrameProfile(), Results()
    try:
        Bench(invocation, gpu, profile, emit, flag).measure(chains, sorted_resolutions(settings), results, target)
    finally:
        if traced is not None:
            save_profile(profile, Path(traced), emit)
    report = _report(invocation, results, gpu, target)
    is_worse = earlier is not None and _compare(report, earlier, arguments.compare_threshold, emit)
    _print(invocation, report)
    if not results.cases:
        emit(Message('warn', 'benchmark', 'nothing was measured'))
    elif arguments.plot_path is not None:
        write_plot(report, Path(arguments.plot_path))
    _raise_failure(results)
    return 1 if is_worse else 0


def _report(invocation: Invocation, results: Results, gpu: Gpu | None, target: Path | None) -> dict[str, Any]:
    from facefusion.benchmark.machine import describe_machine
    from facefusion.benchmark.report import make_report, providers_used

    device = invocation.settings[ExecutionOptions].execution_device_ids[0]
    report = make_report(invocation.settings, describe_machine(gpu, device, providers_used(results)), results)
    if target is not None and results.estimates:
        report['estimate'] = {'target': str(target), 'chains': results.estimates}
    return report


def _compare(report: dict[str, Any], earlier: dict[str, Any], threshold: float, emit: Emit) -> bool:
    """Add the comparison to the report, and return whether a case is worse, or no case could be compared."""
    from facefusion.benchmark.compare import compare

    report['comparison'] = comparison = compare(earlier, report, threshold)
    for text in comparison['machine']:
        emit(Message('warn', 'benchmark', f'another machine or version: {text}'))
    if comparison['settings']:
        emit(Message('warn', 'benchmark', f'other settings than before: {", ".join(comparison["settings"])}'))
    for words, names in (('only in this', comparison['only_new']), ('only in the earlier', comparison['only_old'])):
        if names:
            emit(Message('warn', 'benchmark', f'not compared, because {words} benchmark: {"; ".join(names)}'))
    if not comparison['cases']:
        emit(Message('error', 'benchmark', 'nothing was compared: no case of the earlier benchmark was measured again'))
        return True
    for case in comparison['cases']:
        if case['worse']:
            changes = ', '.join(f'{name} {case["change_percent"][name]:+.1f} %' for name in case['worse'])
            label = ' '.join((*case['processors'], *case['models'], case['resolution']))
            emit(Message('error', 'benchmark', f'{label} is worse than before: {changes}'))
    return bool(comparison['is_worse'])


def _print(invocation: Invocation, report: dict[str, Any]) -> None:
    """Print the report: tables, JSON, or one line of JSON after the events."""
    if invocation.settings[ConsoleOptions].progress == 'json':
        print(json.dumps({'version': EVENT_VERSION, 'event': 'benchmark', 'report': report}))
    elif invocation.arguments.benchmark_format == 'json':
        print(json.dumps(report, indent=2))
    else:
        from facefusion.benchmark.table import tables_of

        for title, rows in tables_of(report):
            print(f'{title}:')
            print_table(rows)
            print()


def _raise_failure(results: Results) -> None:
    """Raise the reason of an early end, or the error of a case that was left out although it was asked for."""
    if results.stopped is not None:
        raise results.stopped
    # Models that the user did not name are left out without a failure.
    errors = [left.error for left in results.left_out if left.chain.is_named or not isinstance(left.error, ModelError)]
    missing = [error for error in errors if isinstance(error, ModelError)]
    if errors:
        raise (missing or errors)[0]


def _percent(text: str) -> float:
    with suppress(ValueError):
        if 0 <= (value := float(text)) <= LARGEST_THRESHOLD:
            return value
    raise argparse.ArgumentTypeError(f'{text!r} is not a number from 0 to {LARGEST_THRESHOLD:g}')
