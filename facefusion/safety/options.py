"""Options of consent, and rules that the operator of this machine sets."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option


@dataclass(frozen=True, slots=True)
class ConsentOptions:
    """Statement that the people shown agree."""

    consent: str | None = option(
        'text',
        None,
        'statement of consent by the people shown, or a text file with it; stored with the step',
        section='policy',
        metavar='TEXT',
    )


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """Rules of the operator of this machine for every step; only ini files set them."""

    require_consent: bool = option(
        'flag',
        False,
        'refuse every step without a statement of consent; only an ini file sets it',
        section='policy',
        stored='job',
        is_policy=True,
    )
    licences: str = option(
        'text',
        'any',
        'models that auto may select: any, or only those with a licence for commercial use; only an ini file sets it',
        section='policy',
        stored='job',
        is_policy=True,
        choices=('any', 'commercial'),
    )
    require_unchanged: bool = option(
        'flag',
        False,
        'refuse every step with a file that changed since the step was added; only an ini file sets it',
        section='policy',
        stored='job',
        is_policy=True,
    )
