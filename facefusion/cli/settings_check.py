"""Check the settings of a command: report all errors at once, and all settings without an effect."""

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
# Variables of the program that are not options.
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
    """An ini key or a variable that is refused or ignored.

    In a message, ``place`` names the setting and ``verdict`` states the problem. ``reference`` is empty for an ignored
    setting.
    """

    place: str
    verdict: str
    reference: str = ''
    cause: str = ''
    hint: str = ''

    def as_text(self) -> str:
        """Return the finding as a sentence."""
        reasons = ((': ', self.cause), ('; ', self.hint))
        return f'{self.place} {self.verdict}' + ''.join(f'{sign}{text}' for sign, text in reasons if text)

    def as_record(self) -> dict[str, str]:
        """Return the finding as JSON for programs."""
        fate = 'refused' if self.reference else 'ignored'
        return {'place': self.place, 'fate': fate, 'reference': self.reference, 'text': self.as_text()}


def check_settings(
    groups: Sequence[type], flags: Mapping[str, Any], ini: IniFile | None, environ: Mapping[str, str], is_run: bool
) -> list[Message]:
    """Return messages about settings without an effect. Raises UsageError that names all invalid settings.

    Only commands that run steps (``is_run``) report ini keys and variables without an effect, because scripts run the
    other commands every few seconds.
    """
    remarks: list[Message] = []
    # The options of all commands are only needed for values: the shipped ini file has none.
    has_variables = any(key.startswith(_PREFIX) and key not in _OTHER_VARIABLES for key in environ)
    if (is_run and has_variables) or (ini is not None and ini.values):
        known = [group for module in OPTION_MODULES for group in import_module(module).GROUPS]
        remarks += [Message('info', _ORIGIN, text) for text in (check_ini(ini, known) if ini is not None else ())]
        remarks += [Message('warn', _ORIGIN, text) for text in unknown_variables(environ, known)]
    check_variables(environ, groups)
    idle = [info for group in groups for info in describe(group) if info.no_effect]
    for info in idle:
        if environ.get(info.variable, '').strip():
            text = f'the environment variable {info.variable} has no effect here: {info.no_effect}'
            remarks.append(Message('info', _ORIGIN, text))
    texts = (f'{info.flag} has no effect here: {info.no_effect}' for info in idle if info.key in flags)
    return [*(remarks if is_run else ()), *(Message('warn', _ORIGIN, text) for text in texts)]


def check_ini(ini: IniFile, known: Iterable[type]) -> list[str]:
    """Return sentences about the keys in an ini file that have no effect.

    Raises UsageError option-refused, config-key or config-value, which lists every refused key that has a value. With
    several findings it also lists the ignored keys.
    """
    infos = {(info.section, info.key): info for group in known for info in describe(group)}
    findings = [found for place in ini.values if (found := _judge(ini, place, infos)) is not None]
    message = f'{ini.path} has {{}} key{{}} that cannot be used'
    return _raise_or_remark(findings, message, 'correct or remove these lines', f'{ini.path}, ')


def check_variables(environ: Mapping[str, str], groups: Iterable[type]) -> None:
    """Raise UsageError environment-value or option-refused, which names every variable with an invalid value."""
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
    _raise_or_remark(findings, message, 'correct them, or unset them', 'the environment variable ')


def unknown_variables(environ: Mapping[str, str], known: Iterable[type]) -> Iterator[str]:
    """Yield sentences about variables with our prefix that are not options."""
    infos = {info.variable: info for group in known for info in describe(group)}
    names = (name for name in environ if name.startswith(_PREFIX) and name not in _OTHER_VARIABLES)
    for name in sorted(names):
        if name not in infos:
            close = get_close_matches(name, infos, n=1)
            advice = f'; did you mean {close[0]}?' if close else ''
            yield f'the environment variable {name} is not an option of this version and is ignored{advice}'
        elif infos[name].is_policy:
            yield f'the environment variable {name} is ignored: only an ini file sets this option'


def _raise_or_remark(findings: Sequence[Finding], message: str, hint: str, common: str = '') -> list[str]:
    """Return sentences about ignored settings. Raises UsageError when a setting is refused.

    ``common`` is the prefix of all places; a list of several settings omits it.
    """
    refused = [found for found in findings if found.reference]
    if not refused:
        return [found.as_text() for found in findings]
    if len(findings) == 1:
        (only,) = refused
        raise UsageError(only.reference, f'{only.place} {only.verdict}', cause=only.cause, hint=only.hint)
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
    """Return the finding about a key; None for a valid one."""
    section, key = place
    where, info = ini.where(place), infos.get(place)
    if info is None:
        return _judge_unknown(where, section, key, {known: known_section for known_section, known in infos})
    try:
        parse_ini(ini, info)
    except UsageError as error:
        return _of_error(where, value_refusal(f'{where} =', key, ini.values[place].split()) or error)
    return Finding(where, 'has no effect here', cause=info.no_effect) if info.no_effect else None


def _judge_unknown(where: str, section: str, key: str, sections: Mapping[str, str]) -> Finding:
    """Return the finding about a key that is not an option of its section; ``sections`` maps options to sections."""
    if key in REFUSED_OPTIONS:
        return _of_error(where, refusal(where, REFUSED_OPTIONS[key]))
    unknown = 'is not an option of this version'
    if key in sections:
        right = sections[key]
        return Finding(where, unknown, 'config-key', f'{key} belongs to [{right}]', f'move it below [{right}]')
    plain = key.replace('-', '_').replace(' ', '_')
    name = OLDER_NAMES.get(plain, plain)
    if name in sections:
        return Finding(where, unknown, 'config-key', f'it is called {name} here', f'write it below [{sections[name]}]')
    part = next((part for start, part in MISSING_PARTS.items() if key.startswith(start)), '')
    if part and key in PEER_KEYS:
        return Finding(where, 'is ignored', cause=f'it belongs to {part}, which this version does not have')
    close = get_close_matches(key, sections, n=1)
    hint = f'did you mean {close[0]}?' if close else 'remove the line, or leave its value blank'
    return Finding(where, unknown, 'config-key', f'there is no option [{section}] {key}', hint)


def _of_error(where: str, error: UsageError) -> Finding:
    return Finding(where, error.message.removeprefix(where).strip(), error.reference, error.cause, error.hint)
