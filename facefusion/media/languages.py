"""Codes of languages: ISO 639-2 has two for some, and FFmpeg's QuickTime muxer knows one code of each language."""

from __future__ import annotations

# As movenc's table (mov_mdhd_language_map) spells them; it drops what is spelled otherwise.
_QUICKTIME = {
    'bod': 'tib',
    'cym': 'wel',
    'cze': 'ces',
    'deu': 'ger',
    'ell': 'gre',
    'eus': 'baq',
    'fas': 'per',
    'fre': 'fra',
    'hye': 'arm',
    'isl': 'ice',
    'kat': 'geo',
    'mkd': 'mac',
    'mri': 'mao',
    'msa': 'may',
    'mya': 'bur',
    'nld': 'dut',
    'rum': 'ron',
    'slo': 'slk',
    'sqi': 'alb',
    'zho': 'chi',
}
# Spellings of that table that are no codes of ISO 639-2.
_OWN = {'fao': 'fo ', 'gle': 'iri', 'hrv': 'hr ', 'pan': 'pa ', 'srp': 'sr ', 'swe': 'sve'}
_ISO = {own: code for code, own in _OWN.items()}


def language_for(muxer: str, code: str) -> str:
    """A code as a muxer of FFmpeg takes it: in mov as QuickTime spells it, else as ISO 639-2 does."""
    code = _ISO.get(code, code)
    return _OWN.get(code, _QUICKTIME.get(code, code)) if muxer == 'mov' else code


def same_language(code: str, other: str) -> bool:
    """Whether two codes name one language."""
    return language_for('mov', code) == language_for('mov', other)
