"""The patterns of a batch: they select its sources and targets and name its outputs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Formatter

from facefusion.errors import InputError, UsageError
from facefusion.jobs.naming import comparable
from facefusion.jobs.record import MAX_STEPS
from facefusion.jobs.wildcards import find_files, fixed_folder

SOURCE_FIELD = 'source_name'
FIELDS = ('index', SOURCE_FIELD, 'target_name', 'target_extension')
# File names are limited to this length, so no field needs to be wider.
_WIDEST = 255
_DIGITS = re.compile(r'\d+')
_ALL_FIELDS = ', '.join(f'{{{name}}}' for name in FIELDS)


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One step of a batch; ``index`` counts from 0, ``source`` is None in a batch without sources."""

    source: str | None
    target: str
    output: str
    index: int


def expand(source_pattern: str | None, target_pattern: str | None, output_pattern: str | None) -> tuple[BatchItem, ...]:
    """Return a step for every combination of source and target, ordered by source, then by target; open no file.

    ``find_files`` expands the input patterns. The output is a format string with the fields {index}, {source_name},
    {target_name} (both without folder and extension) and {target_extension} (with its dot, in lower case).

    Raises UsageError 'target-pattern-missing', 'output-pattern-missing', 'pattern-field', 'pattern-format',
    'pattern-output-twice', 'pattern-output-is-input' and 'pattern-too-many', and InputError 'pattern-no-match' when an
    input pattern matches no file, so that a typo does not start a batch without sources.
    """
    if not target_pattern:
        raise _missing('target', 'clips/*.mp4')
    if not output_pattern:
        raise _missing('output', 'done/{target_name}{target_extension}')
    _check_format(output_pattern, with_sources=bool(source_pattern))
    sources: tuple[str | None, ...] = _find('source', source_pattern) if source_pattern else (None,)
    targets = _find('target', target_pattern)
    count = len(sources) * len(targets)
    if count > MAX_STEPS:
        raise UsageError(
            'pattern-too-many',
            f'the patterns select {count} steps, but a batch has at most {MAX_STEPS}',
            cause=f'{len(sources)} sources and {len(targets)} targets match, and each source is used with each target',
            hint='narrow the patterns, and run several batches',
        )
    items = tuple(_items(sources, targets, output_pattern))
    _check_outputs(items, output_pattern, several_sources=len(sources) > 1)
    _check_inputs(items, output_pattern, {source for source in sources if source is not None}.union(targets))
    return items


def _items(sources: Sequence[str | None], targets: Sequence[str], output_pattern: str) -> Iterator[BatchItem]:
    pairs = ((source, target) for source in sources for target in targets)
    for index, (source, target) in enumerate(pairs):
        path = Path(target)
        fields: dict[str, str | int] = {'index': index, 'target_name': path.stem}
        fields['target_extension'] = path.suffix.lower()
        if source is not None:
            fields[SOURCE_FIELD] = Path(source).stem
        yield BatchItem(source, target, _format(output_pattern, fields), index)


def _find(side: str, pattern: str) -> tuple[str, ...]:
    """Return the files that match a pattern, sorted by path."""
    path = Path(pattern)
    try:
        found = find_files(path)
        folder = fixed_folder(path)
        is_there, is_folder = folder.is_dir(), path.is_dir()
    except (OSError, ValueError) as error:
        cause = f'{error.filename}: {error.strerror}' if isinstance(error, OSError) else str(error)
        raise _no_match(side, pattern, cause, 'check the permissions of the folders in the pattern') from None
    if is_folder:
        raise _no_match(side, pattern, f'{path} is a folder', f'use {path / "*"} for all files in it')
    if not is_there:
        raise _no_match(side, pattern, f'there is no folder {folder.absolute()}', 'check the folder')
    if not found:
        cause = f'no file in {folder.absolute()} has a name like {path.relative_to(folder)}'
        raise _no_match(side, pattern, cause, 'check the pattern, and put it in quotes: the shell must not expand it')
    return tuple(map(str, found))


def _check_format(pattern: str, *, with_sources: bool) -> None:
    """Raise UsageError for an unknown field, a nested format or conversion, or too great a width."""
    try:
        parts = list(Formatter().parse(pattern))
    except ValueError as error:
        raise _bad_format(pattern, str(error)) from None
    for _, name, form, conversion in parts:
        if name is None:
            continue
        if name == SOURCE_FIELD and not with_sources:
            raise UsageError(
                'pattern-field',
                f'the output pattern {pattern} has {{{SOURCE_FIELD}}}, but the batch has no sources',
                hint=f'add --source-pattern, or remove {{{SOURCE_FIELD}}}',
            )
        if name not in FIELDS:
            raise UsageError(
                'pattern-field',
                f'the output pattern {pattern} has the unknown field {{{name}}}',
                hint=f'the fields are {_ALL_FIELDS}; write a literal brace twice',
            )
        if conversion or '{' in (form or ''):
            raise _bad_format(pattern, f'{{{name}}} allows only a plain format after a colon')
        if any(len(digits) > 9 or int(digits) > _WIDEST for digits in _DIGITS.findall(form or '')):
            raise _bad_format(pattern, f'{{{name}:{form}}} is wider than {_WIDEST}, the limit of file names')


def _format(pattern: str, fields: Mapping[str, str | int]) -> str:
    try:
        output = pattern.format_map(fields)
    except (ValueError, OverflowError) as error:
        raise _bad_format(pattern, str(error)) from None
    if '\0' in output:
        raise _bad_format(pattern, 'it produces a name with a null character')
    return output


def _check_outputs(items: Sequence[BatchItem], pattern: str, *, several_sources: bool) -> None:
    """Raise UsageError when two items have the same output."""
    seen: dict[str, BatchItem] = {}
    for item in items:
        first = seen.setdefault(comparable(item.output), item)
        if first is not item:
            fields = [f'{{{SOURCE_FIELD}}}', '{target_name}'] if several_sources else ['{target_name}']
            wanted = ' and '.join(field for field in fields if field not in pattern)
            advice = '{index} makes every output unique'
            raise UsageError(
                'pattern-output-twice',
                f'the output pattern {pattern} names {item.output} for more than one step',
                cause=f'{_inputs(first)} and {_inputs(item)} share it',
                hint=f'add {wanted} to the pattern; {advice}' if wanted else f'add {{index}} to the pattern: {advice}',
            )


def _check_inputs(items: Sequence[BatchItem], pattern: str, inputs: Iterable[str]) -> None:
    """Raise UsageError when the output of an item is an input of any item."""
    compared = {comparable(path) for path in inputs}
    for item in items:
        if comparable(item.output) in compared:
            raise UsageError(
                'pattern-output-is-input',
                f'the output pattern {pattern} names {item.output}, which is an input of this batch',
                cause='inputs are never overwritten',
                hint='write the outputs to a separate folder',
            )


def _inputs(item: BatchItem) -> str:
    return item.target if item.source is None else f'{item.source} in {item.target}'


def _missing(side: str, example: str) -> UsageError:
    return UsageError(
        f'{side}-pattern-missing', f'a batch needs --{side}-pattern', hint=f"such as --{side}-pattern '{example}'"
    )


def _no_match(side: str, pattern: str, cause: str, hint: str) -> InputError:
    return InputError('pattern-no-match', f'--{side}-pattern {pattern} matches no file', cause=cause, hint=hint)


def _bad_format(pattern: str, cause: str) -> UsageError:
    return UsageError(
        'pattern-format',
        f'the output pattern {pattern} cannot be used',
        cause=cause,
        hint=f'write fields as {{index}} or {{index:03d}}, from {_ALL_FIELDS}; write a literal brace twice',
    )
