"""Language codes: ISO 639-2 has two for some languages, of which FFmpeg's QuickTime muxer supports only one."""

from __future__ import annotations

# The codes in movenc's table (mov_mdhd_language_map); the muxer drops all others.
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
# Spellings in that table that are not codes of ISO 639-2.
_OWN = {'fao': 'fo ', 'gle': 'iri', 'hrv': 'hr ', 'pan': 'pa ', 'srp': 'sr ', 'swe': 'sve'}
_ISO = {own: code for code, own in _OWN.items()}


def language_for(muxer: str, code: str) -> str:
    """Return a code for an FFmpeg muxer: QuickTime's spelling in mov, else that of ISO 639-2."""
    code = _ISO.get(code, code)
    return _OWN.get(code, _QUICKTIME.get(code, code)) if muxer == 'mov' else code


def same_language(code: str, other: str) -> bool:
    """Whether two codes mean the same language."""
    return language_for('mov', code) == language_for('mov', other)
