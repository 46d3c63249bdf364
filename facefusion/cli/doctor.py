"""``doctor``: check this machine and suggest fixes."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from facefusion.cli.invocation import Invocation
from facefusion.doctor.findings import GROUPS as GROUPS
from facefusion.doctor.findings import findings

UNREAD = frozenset(
    (
        *('cache_size', 'execution_batch_size', 'progress', 'system_memory_limit'),
        *('video_memory_limit', 'video_memory_strategy'),
    )
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the output format."""
    parser.add_argument(
        '--format', dest='doctor_format', choices=('text', 'json'), default='text', help='output format'
    )


def run(invocation: Invocation) -> int:
    """Print every finding. Return 0 if no check failed, otherwise 1."""
    from facefusion.pipeline.resources import check_start

    check_start()
    found = findings(invocation)
    if invocation.arguments.doctor_format == 'json':
        print(json.dumps({'version': 1, 'findings': [asdict(finding) for finding in found]}, indent=2))
    else:
        width = max(len(finding.check) for finding in found)
        for finding in found:
            print(f'{finding.state:<4}  {finding.check:<{width}}  {finding.fact}')
            if finding.advice:
                print(f'{"":<4}  {"":<{width}}  -> {finding.advice}')
    return 1 if any(finding.state == 'fail' for finding in found) else 0
