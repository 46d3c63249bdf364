"""``verify``: check the Content Credentials and the invisible mark of a file."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefusion.cli.invocation import Invocation
from facefusion.cli.parser import path_argument
from facefusion.cli.signals import stop_on_signals
from facefusion.jobs.options import StoreOptions
from facefusion.provenance.options import ProvenanceOptions
from facefusion.services.options import ConsoleOptions
from facefusion.services.verification import verified
from facefusion.stopping import StopFlag

if TYPE_CHECKING:
    from facefusion.provenance.chain import Claim
    from facefusion.provenance.verify import Verdict

GROUPS: tuple[type, ...] = (ProvenanceOptions, StoreOptions, ConsoleOptions)
UNREAD = frozenset({'certificate_path', 'private_key_path', 'progress', 'require_timestamp', 'timestamp_url'})

_WORDS = {
    'intact': 'the file is unchanged since it was signed, and this machine trusts the signer',
    'unknown-signer': 'the file is unchanged since it was signed, but no trusted root certifies the signer',
    'expired': 'the file is unchanged, but the certificate has expired, and no timestamp proves when it was signed',
    'tampered': 'the file was changed after it was signed',
    'unreadable': 'the Content Credentials cannot be read',
    'mark-only': 'the file has no Content Credentials, but contains the invisible mark of this program',
    'nothing-found': 'no Content Credentials and no invisible mark found: the origin of the file is unknown',
}
_DAMAGED = 'the file is damaged, so its Content Credentials cannot be found'


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for the file, its sidecar and the output format."""
    parser.add_argument('verified_file', metavar='FILE', type=path_argument, help='image or video')
    parser.add_argument(
        '--sidecar',
        metavar='FILE',
        type=path_argument,
        help='file with the Content Credentials; default: the checked file plus .c2pa, if it exists',
    )
    parser.add_argument(
        '--format', dest='verify_format', choices=('text', 'json'), default='text', help='output format'
    )


def run(invocation: Invocation) -> int:
    """Print the verdict; return 0 for an intact file of a trusted signer, otherwise 1."""
    arguments, flag = invocation.arguments, StopFlag()
    sidecar = Path(arguments.sidecar) if arguments.sidecar else None
    with stop_on_signals(flag):
        verdict = verified(invocation, Path(arguments.verified_file), sidecar, flag)
    if arguments.verify_format == 'json':
        print(json.dumps(verdict.as_record(), indent=1))
    else:
        for line in verdict_lines(verdict):
            # File names that are not UTF-8 contain surrogates, which a terminal cannot print.
            print(line.encode('utf-8', 'backslashreplace').decode('utf-8'))
    return 0 if verdict.is_good else 1


def verdict_lines(verdict: Verdict) -> Iterator[str]:
    """Yield the verdict as lines of text."""
    credentials = verdict.credentials
    is_damaged = verdict.word == 'unreadable' and credentials.place == 'none'
    yield _line('verdict', f'{verdict.word}: {_DAMAGED if is_damaged else _WORDS[verdict.word]}')
    for problem in credentials.problems:
        yield _line('', problem)
    if credentials.detail:
        yield _line('', credentials.detail)
    if credentials.place != 'none':
        yield _line('credentials', 'in the file' if credentials.place == 'embedded' else 'in a sidecar')
    if credentials.signer:
        yield _line('signed by', ', '.join(dict.fromkeys((credentials.signer, credentials.organisation))).strip(', '))
    if credentials.root:
        whose = 'this machine itself' if credentials.is_own_root else 'a root of [provenance] trusted_roots'
        yield _line('trusted by', f'{credentials.root} ({whose})')
    if credentials.chain:
        stamp = {'none': 'no timestamp', 'trusted': 'timestamp', 'untrusted': 'timestamp of an unknown authority'}
        when = f'{credentials.signed_at}, ' if credentials.signed_at else ''
        yield _line('signed at', when + stamp[credentials.time_stamp])
    for claim in credentials.chain:
        yield from _claim_lines(claim)
    yield from _mark_lines(verdict)
    for remark in verdict.remarks():
        yield _line('remark', remark)


def _claim_lines(claim: Claim) -> Iterator[str]:
    part = {'parentOf': 'the processed file', 'componentOf': 'a part', 'inputTo': 'an input'}.get(
        claim.relationship, 'this file'
    )
    yield _line('history', f'{claim.title or "(no name)"} ({part}), by {claim.generator or "unknown software"}')
    if claim.signer:
        yield _line('', f'  signed by {_signer(claim)}')
    for action in claim.actions:
        text = ': '.join(part for part in (action.action, action.description) if part)
        yield _line('', '  ' + ', '.join(part for part in (text, action.source_type, action.when) if part))
    if claim.processing is not None:
        for name, text in _processing_lines(claim.processing):
            yield _line('', f'  {name}: {text}')


def _signer(claim: Claim) -> str:
    trust = {'trusted': 'trusted', 'expired': 'the certificate has expired', 'tampered': 'changed after it was signed'}
    return f'{claim.signer} ({trust.get(claim.trust, "no trusted root certifies this")})'


def _processing_lines(assertion: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the content of this program's own assertion; values of an unexpected shape are skipped."""
    if assertion.get('job_id'):
        yield 'job', str(assertion['job_id'])
    for name, key in (('target', 'targets'), ('source', 'sources')):
        for entry in _mappings(assertion.get(key)):
            yield name, f'{entry.get("name")}, sha256 {entry.get("sha256")}'
    for use in _mappings(assertion.get('processors')):
        models = [f'{model.get("id")} {str(model.get("sha256"))[:12]}' for model in _mappings(use.get('models'))]
        yield (
            'processor',
            f'{use.get("name")} ({use.get("effect")})' + (f', models {", ".join(models)}' if models else ''),
        )
    consent = assertion.get('consent')
    for text in consent if isinstance(consent, list) else ():
        yield 'consent', ' '.join(str(text).split())


def _mark_lines(verdict: Verdict) -> Iterator[str]:
    marks = verdict.marks
    checked = f'{marks.frames} {"frame" if marks.frames == 1 else "frames"} checked'
    for entry in verdict.as_record()['mark']['found']:
        payload = f'payload {entry["payload"]}' if entry['payload'] else 'its payload cannot be read'
        job = f', of job {entry["job_id"]}' if entry['job_id'] else ''
        chance = f'chance of an error below 1 in 10^{int(entry["confidence"])}'
        yield _line('mark', f'found: {payload}{job}; {chance}, {checked}')
    if not marks.findings:
        yield _line('mark', _no_mark(marks.problem, marks.frames, checked))


def _no_mark(problem: str, frames: int, checked: str) -> str:
    if not problem:
        return f'none found, {checked}'
    return f'none found, {checked}; then {problem}' if frames else f'not checked: {problem}'


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []


def _line(name: str, text: str) -> str:
    return f'{name + ":" if name else "":<15}{text}'
