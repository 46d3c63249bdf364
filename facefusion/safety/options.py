"""Options of consent: what a user states, and what an operator demands."""

from __future__ import annotations

from dataclasses import dataclass

from facefusion.options import option


@dataclass(frozen=True, slots=True)
class ConsentOptions:
    """What says that the people shown agree."""

    consent: str | None = option(
        'text',
        None,
        'who of the people shown agreed to what, or a text file that says so; kept with the step',
        section='policy',
    )


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """What the operator of this machine demands of every step."""

    require_consent: bool = option(
        'flag',
        False,
        'refuse every step that states no consent; only an ini file sets it',
        section='policy',
        stored='job',
        is_policy=True,
    )
    licences: str = option(
        'text',
        'any',
        'models that auto may choose: any, or only those whose licence allows commercial use; only an ini file sets it',
        section='policy',
        stored='job',
        is_policy=True,
        choices=('any', 'commercial'),
    )
    require_unchanged: bool = option(
        'flag',
        False,
        'refuse every step of which a file was changed since it was added to its job; only an ini file sets it',
        section='policy',
        stored='job',
        is_policy=True,
    )
