"""``verify``: whether a file is what its Content Credentials say, and whether it carries the invisible mark."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facefusion.cli.invocation import Invocation
from facefusion.cli.parser import path_argument
from facefusion.cli.signals import stop_on_signals
from facefusion.jobs.options import StoreOptions
from facefusion.provenance.options import ProvenanceOptions
from facefusion.services.options import ConsoleOptions
from facefusion.services.process import tune_process
from facefusion.stopping import StopFlag

if TYPE_CHECKING:
    from facefusion.provenance.chain import Claim
    from facefusion.provenance.verify import Verdict

GROUPS: tuple[type, ...] = (ProvenanceOptions, StoreOptions, ConsoleOptions)

_WORDS = {
    'intact': 'it is as it was signed, and the signer is trusted',
    'unknown-signer': 'it is as it was signed, but no trusted root vouches for the signer',
    'expired': 'it is as it was signed, but the certificate has expired, and no time stamp shows when it was signed',
    'tampered': 'it is not as it was signed',
    'unreadable': 'its credentials cannot be read',
    'mark-only': 'no credentials were found, but it carries the invisible mark of this program',
    'nothing-found': 'neither credentials nor the invisible mark were found; that says nothing of how it was made',
}
_DAMAGED = 'the file is damaged; whether it has credentials cannot be told'


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the file, its side-car and the output format."""
    parser.add_argument('verified_file', metavar='FILE', type=path_argument, help='any picture or clip')
    parser.add_argument(
        '--sidecar',
        metavar='PATH',
        type=path_argument,
        help='file with its credentials; unset: FILE.c2pa, if it is there',
    )
    parser.add_argument('--format', dest='verify_format', choices=('text', 'json'), default='text')


def run(invocation: Invocation) -> int:
    """Prints what was found; 0 for what is intact and of a trusted signer, 1 for all else."""
    tune_process()
    from facefusion.jobs.claim import CERTIFICATE_FOLDER
    from facefusion.provenance.trust import trusted_roots
    from facefusion.provenance.verify import verify

    arguments, flag = invocation.arguments, StopFlag()
    fallback = invocation.jobs_path() / CERTIFICATE_FOLDER
    roots = trusted_roots(invocation.settings[ProvenanceOptions], invocation.environ, fallback)
    with stop_on_signals(flag):
        sidecar = Path(arguments.sidecar) if arguments.sidecar else None
        verdict = verify(Path(arguments.verified_file), roots, sidecar, flag, job_ids(invocation.jobs_path()))
    if arguments.verify_format == 'json':
        print(json.dumps(verdict.as_record(), indent=1))
    else:
        for line in verdict_lines(verdict):
            # Names that are not UTF-8 arrive with surrogates, which a terminal cannot print.
            print(line.encode('utf-8', 'backslashreplace').decode('utf-8'))
    return 0 if verdict.is_good else 1


def job_ids(folder: Path) -> Iterator[str]:
    """The jobs of a store, which need not be there: a file is examined without them, too."""
    from facefusion.errors import FaceFusionError
    from facefusion.jobs.store import JobStore

    if folder.is_dir():
        with suppress(FaceFusionError, OSError):
            yield from JobStore(folder).job_files()


def verdict_lines(verdict: Verdict) -> Iterator[str]:
    """What was found, for people."""
    credentials = verdict.credentials
    is_damaged = verdict.word == 'unreadable' and credentials.place == 'none'
    yield _line('verdict', f'{verdict.word}: {_DAMAGED if is_damaged else _WORDS[verdict.word]}')
    for problem in credentials.problems:
        yield _line('', problem)
    if credentials.detail:
        yield _line('', credentials.detail)
    if credentials.place != 'none':
        yield _line('credentials', 'in the file' if credentials.place == 'embedded' else 'in a side-car')
    if credentials.signer:
        yield _line('signed by', ', '.join(dict.fromkeys((credentials.signer, credentials.organisation))).strip(', '))
    if credentials.root:
        whose = 'this machine itself' if credentials.is_own_root else 'a root of [provenance] trusted_roots'
        yield _line('trusted by', f'{credentials.root} ({whose})')
    if credentials.chain:
        stamp = {'none': 'no time stamp', 'trusted': 'time stamp', 'untrusted': 'time stamp of an unknown authority'}
        when = f'{credentials.signed_at}, ' if credentials.signed_at else ''
        yield _line('signed at', when + stamp[credentials.time_stamp])
    for claim in credentials.chain:
        yield from _claim_lines(claim)
    yield from _mark_lines(verdict)
    for remark in verdict.remarks():
        yield _line('remark', remark)


def _claim_lines(claim: Claim) -> Iterator[str]:
    part = {'parentOf': 'worked on', 'componentOf': 'a part', 'inputTo': 'an input'}.get(
        claim.relationship, 'this file'
    )
    yield _line('what was done', f'{claim.title or "(no name)"} ({part}), by {claim.generator or "unknown software"}')
    if claim.signer:
        yield _line('', f'  signed by {_signer(claim)}')
    for action in claim.actions:
        said = ': '.join(text for text in (action.action, action.description) if text)
        yield _line('', '  ' + ', '.join(text for text in (said, action.source_type, action.when) if text))
    if claim.processing is not None:
        for name, text in _processing_lines(claim.processing):
            yield _line('', f'  {name}: {text}')


def _signer(claim: Claim) -> str:
    worth = {'trusted': 'trusted', 'expired': 'the certificate has expired', 'tampered': 'changed after it was signed'}
    return f'{claim.signer} ({worth.get(claim.trust, "nobody who is trusted vouches for that")})'


def _processing_lines(told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What our own assertion says, as far as it has the shape that it should have."""
    if told.get('job_id'):
        yield 'job', str(told['job_id'])
    for name, key in (('target', 'targets'), ('source', 'sources')):
        for entry in _mappings(told.get(key)):
            yield name, f'{entry.get("name")}, sha256 {entry.get("sha256")}'
    for use in _mappings(told.get('processors')):
        models = [f'{model.get("id")} {str(model.get("sha256"))[:12]}' for model in _mappings(use.get('models'))]
        yield (
            'processor',
            f'{use.get("name")} ({use.get("effect")})' + (f', models {", ".join(models)}' if models else ''),
        )
    consent = told.get('consent')
    for text in consent if isinstance(consent, list) else ():
        yield 'consent', ' '.join(str(text).split())


def _mark_lines(verdict: Verdict) -> Iterator[str]:
    marks = verdict.marks
    looked = f'{marks.frames} {"frame" if marks.frames == 1 else "frames"} looked at'
    for entry in verdict.as_record()['mark']['found']:
        payload = f'payload {entry["payload"]}' if entry['payload'] else 'its payload cannot be read'
        whose = f', of job {entry["job_id"]}' if entry['job_id'] else ''
        chance = f'chance of an error below 1 in 10^{int(entry["confidence"])}'
        yield _line('mark', f'found: {payload}{whose}; {chance}, {looked}')
    if not marks.findings:
        yield _line('mark', _no_mark(marks.problem, marks.frames, looked))


def _no_mark(problem: str, frames: int, looked: str) -> str:
    if not problem:
        return f'none found, {looked}'
    return f'none found, {looked}; then {problem}' if frames else f'not looked for: {problem}'


def _mappings(value: object) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []


def _line(name: str, text: str) -> str:
    return f'{name + ":" if name else "":<15}{text}'
