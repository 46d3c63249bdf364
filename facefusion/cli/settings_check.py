"""What is wrong with the settings of a call, all of it at once, and what is given without an effect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from facefusion.cli.commands import OPTION_MODULES
from facefusion.cli.peer import MISSING_PARTS, OLDER_NAMES, PEER_KEYS
from facefusion.errors import UsageError
from facefusion.events import Message
from facefusion.options import OptionInfo, describe
from facefusion.safety.refused import REFUSED_OPTIONS, refusal, value_refusal
from facefusion.settings import HOME_VARIABLE, IniFile, parse_ini, parse_variable

_PREFIX = 'FACEFUSION_'
# Variables of the program that are no options.
_OTHER_VARIABLES = frozenset(
    (
        HOME_VARIABLE,
        'FACEFUSION_DEBUG',
        'FACEFUSION_PRIVATE_KEY_PASSWORD',
        # A command that --notify runs may call the program.
        'FACEFUSION_JOB_ID',
        'FACEFUSION_JOB_STATE',
    )
)
_ORIGIN = 'settings'


@dataclass(frozen=True, slots=True)
class Finding:
    """One key of an ini file, or one variable, that is not taken as it stands.

    ``place`` is what it is called in a message, ``what`` what becomes of it; ``reference`` is empty when it is ignored.
    """

    place: str
    what: str
    reference: str = ''
    cause: str = ''
    hint: str = ''

    def as_text(self) -> str:
        """The finding in a sentence."""
        return f'{self.place} {self.what}' + ''.join(f'{sign}{text}' for sign, text in self._reasons() if text)

    def as_record(self) -> dict[str, str]:
        """The finding for programs."""
        is_refused = 'refused' if self.reference else 'ignored'
        return {'place': self.place, 'fate': is_refused, 'reference': self.reference, 'text': self.as_text()}

    def _reasons(self) -> Iterable[tuple[str, str]]:
        return (': ', self.cause), ('; ', self.hint)


def check_settings(
    groups: Sequence[type], flags: Mapping[str, Any], ini: IniFile | None, environ: Mapping[str, str], is_run: bool
) -> list[Message]:
    """What is to be said of the settings of a call. Raises UsageError that names all that is wrong with them.

    What ini file and environment hold without an effect is said by commands that run something (``is_run``): others
    are called every few seconds.
    """
    said: list[Message] = []
    # An ini file that sets nothing, such as the one that is shipped, needs no look at the options of all commands.
    if is_run or (ini is not None and ini.values):
        known = [group for module in OPTION_MODULES for group in import_module(module).GROUPS]
        said += [Message('info', _ORIGIN, text) for text in (check_ini(ini, known) if ini is not None else ())]
        said += [Message('warn', _ORIGIN, text) for text in unknown_variables(environ, known)]
    check_variables(environ, groups)
    said += [Message('info', _ORIGIN, text) for text in idle_variables(environ, groups)]
    return [*(said if is_run else ()), *(Message('warn', _ORIGIN, text) for text in idle_flags(flags, groups))]


def check_ini(ini: IniFile, known: Iterable[type]) -> list[str]:
    """What in an ini file has no effect, as sentences.

    Raises UsageError option-refused, config-key or config-value, which names every non-blank key that is refused, and
    of several all that are ignored, too.
    """
    infos = {(info.section, info.key): info for group in known for info in describe(group)}
    findings = [found for place in ini.values if (found := _judge(ini, place, infos)) is not None]
    message = f'{ini.path} has {{}} key{{}} that cannot be used'
    return _sort_out(findings, message, 'correct or remove these lines', f'{ini.path}, ')


def check_variables(environ: Mapping[str, str], groups: Iterable[type]) -> None:
    """Raises UsageError environment-value or option-refused, which names every variable with a wrong value."""
    findings = []
    for info in (info for group in groups for info in describe(group)):
        text = environ.get(info.variable, '').strip()
        if text and not info.is_policy:
            where = f'the environment variable {info.variable}'
            try:
                parse_variable(info, text)
            except UsageError as error:
                findings.append(_of_error(where, value_refusal(f'{where} =', info.key, text.split()) or error))
    message = '{} environment variable{} cannot be used'
    _sort_out(findings, message, 'correct them, or unset them', 'the environment variable ')


def unknown_variables(environ: Mapping[str, str], known: Iterable[type]) -> Iterator[str]:
    """Sentences about variables that look like ours and are none."""
    infos = {info.variable: info for group in known for info in describe(group)}
    names = (name for name in environ if name.startswith(_PREFIX) and name not in _OTHER_VARIABLES)
    for name in sorted(names):
        if name not in infos:
            close = get_close_matches(name, infos, n=1)
            advice = f'; did you mean {close[0]}?' if close else ''
            yield f'the environment variable {name} is no option of this version, and is ignored{advice}'
        elif infos[name].is_policy:
            yield f'the environment variable {name} is ignored: only an ini file sets that'


def idle_variables(environ: Mapping[str, str], groups: Iterable[type]) -> Iterator[str]:
    """Sentences about variables of options that have no effect."""
    for info in (info for group in groups for info in describe(group)):
        if info.no_effect and environ.get(info.variable, '').strip():
            yield f'the environment variable {info.variable} has no effect here: {info.no_effect}'


def idle_flags(flags: Mapping[str, Any], groups: Iterable[type]) -> Iterator[str]:
    """Sentences about given flags that have no effect."""
    for info in (info for group in groups for info in describe(group)):
        if info.no_effect and info.key in flags:
            yield f'{info.flag} has no effect here: {info.no_effect}'


def _sort_out(findings: Sequence[Finding], message: str, hint: str, common: str = '') -> list[str]:
    """The sentences of what is ignored. Raises UsageError when anything is refused.

    ``common`` is how all places begin, which is not said for each of several.
    """
    refused = [found for found in findings if found.reference]
    if not refused:
        return [found.as_text() for found in findings]
    if len(findings) == 1:
        (only,) = refused
        raise UsageError(only.reference, f'{only.place} {only.what}', cause=only.cause, hint=only.hint)
    references = [found.reference for found in refused]
    ranked = ('option-refused', 'config-key', 'config-value', 'environment-value')
    raise UsageError(
        min(references, key=ranked.index),
        message.format(len(refused), 's' * (len(refused) > 1)),
        cause='\n    '.join(found.as_text().removeprefix(common) for found in findings),
        hint=hint,
        facts={'findings': [found.as_record() for found in findings]},
    )


def _judge(ini: IniFile, place: tuple[str, str], infos: Mapping[tuple[str, str], OptionInfo]) -> Finding | None:
    """What is to be said of a key; None where it is as it should be."""
    section, key = place
    where, info = ini.where(place), infos.get(place)
    if info is None:
        return _judge_unknown(where, section, key, {known: home for home, known in infos})
    try:
        parse_ini(ini, info)
    except UsageError as error:
        return _of_error(where, value_refusal(f'{where} =', key, ini.values[place].split()) or error)
    return Finding(where, 'has no effect here', cause=info.no_effect) if info.no_effect else None


def _judge_unknown(where: str, section: str, key: str, sections: Mapping[str, str]) -> Finding:
    """What becomes of a key that no option has in this section; ``sections`` are those of the options."""
    if key in REFUSED_OPTIONS:
        return _of_error(where, refusal(where, REFUSED_OPTIONS[key]))
    unknown = 'is not an option of this version'
    if key in sections:
        home = sections[key]
        return Finding(where, unknown, 'config-key', f'{key} belongs into [{home}]', f'move it below [{home}]')
    plain = key.replace('-', '_').replace(' ', '_')
    name = OLDER_NAMES.get(plain, plain)
    if name in sections:
        return Finding(where, unknown, 'config-key', f'it is called {name} here', f'write it below [{sections[name]}]')
    part = next((part for start, part in MISSING_PARTS.items() if key.startswith(start)), '')
    if part and key in PEER_KEYS:
        return Finding(where, 'is ignored', cause=f'it belongs to {part}, which this version does not have')
    if key in PEER_KEYS:
        cause = 'it is one of FaceFusion 3.8, and this version does not have it yet'
        return Finding(where, unknown, 'config-key', cause, 'remove the line, or leave its value blank')
    close = get_close_matches(key, sections, n=1)
    hint = f'did you mean {close[0]}?' if close else 'remove the line, or leave its value blank'
    return Finding(where, unknown, 'config-key', f'no [{section}] {key} is known', hint)


def _of_error(where: str, error: UsageError) -> Finding:
    return Finding(where, error.message.removeprefix(where).strip(), error.reference, error.cause, error.hint)
