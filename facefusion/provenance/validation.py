"""Manifest stores: side-car files, and what a validation says in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from facefusion.provenance.library import plain

_MOST_FAILURES = 20
TRUSTED = 'signingCredential.trusted'
UNTRUSTED = 'signingCredential.untrusted'
EXPIRED = ('signingCredential.expired', 'claimSignature.outsideValidity')
# Codes of the C2PA specification 2.x, 15.2.
_WORDS = {
    'assertion.dataHash.mismatch': 'the file was changed after it was signed',
    'assertion.bmffHash.mismatch': 'the file was changed after it was signed',
    'assertion.boxesHash.mismatch': 'the file was changed after it was signed',
    'assertion.collectionHash.mismatch': 'the file was changed after it was signed',
    'assertion.boxesHash.unknownBox': 'something was added to the file after it was signed',
    'assertion.hashedURI.mismatch': 'a statement was changed after it was signed',
    'hashedURI.mismatch': 'a statement was changed after it was signed',
    'assertion.missing': 'a statement is missing',
    'assertion.undeclared': 'a statement was added after it was signed',
    'claim.missing': 'the claim is missing',
    'claim.multiple': 'there is more than one claim',
    'claim.malformed': 'the claim is malformed',
    'claim.hardBindings.missing': 'nothing binds the credentials to the file',
    'claimSignature.mismatch': 'the signature does not fit what is signed',
    'claimSignature.missing': 'the signature is missing',
    'claimSignature.outsideValidity': 'the certificate was not valid at the time of signing',
    'signingCredential.expired': 'the certificate has expired, and no time stamp shows that it was signed before',
    'signingCredential.invalid': 'the certificate may not sign Content Credentials',
    'signingCredential.untrusted': 'no trusted root vouches for the signer',
    'signingCredential.ocsp.revoked': 'the certificate was revoked',
    'manifest.inaccessible': 'its credentials lie elsewhere, and were not looked for',
    'ingredient.manifest.mismatch': 'the credentials of an ingredient were changed',
    'ingredient.manifest.missing': 'the credentials of an ingredient are missing',
    'ingredient.claimSignature.mismatch': 'the signature of an ingredient does not fit',
    'algorithm.unsupported': 'it is signed by a method that is not known',
    'timeStamp.mismatch': 'the time stamp belongs to another signature',
    'timeStamp.malformed': 'the time stamp is malformed',
    'timeStamp.outsideValidity': 'the time stamp is of a time at which its certificate was not valid',
}


def failure_codes(results: Mapping[str, Any]) -> tuple[str, ...]:
    """The codes by which a manifest fails, without repetition.

    Of its ingredients those count that their own signer had not seen: what was changed in the store since.
    """
    deltas = results.get('ingredientDeltas')
    parts = [delta.get('validationDeltas') for delta in deltas or () if isinstance(delta, Mapping)]
    found = []
    for part in (results.get('activeManifest'), *parts):
        entries = part.get('failure') if isinstance(part, Mapping) else None
        found += [str(entry.get('code', '')) for entry in entries or () if isinstance(entry, Mapping)]
    return tuple(dict.fromkeys(found))


def failures_of(results: Mapping[str, Any]) -> tuple[str, ...]:
    """What shows that credentials do not fit, in plain words; an unknown signer alone is none of it."""
    codes = [code for code in failure_codes(results) if code != UNTRUSTED]
    return tuple(dict.fromkeys(words_for(code) for code in codes))[:_MOST_FAILURES]


def words_for(code: str) -> str:
    """A validation code in plain words, with the code itself behind them."""
    known = _WORDS.get(code)
    return f'{known} ({code})' if known else plain(code, 100)
