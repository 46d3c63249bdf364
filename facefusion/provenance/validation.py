"""Describe the failure codes of a validation by the C2PA library in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
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
    'claimSignature.mismatch': 'the signature does not match the signed data',
    'claimSignature.missing': 'the signature is missing',
    'claimSignature.outsideValidity': 'the certificate was not valid at the time of signing',
    'signingCredential.expired': 'the certificate has expired, and no timestamp proves that it signed earlier',
    'signingCredential.invalid': 'the certificate may not sign Content Credentials',
    'signingCredential.untrusted': 'no trusted root certifies the signer',
    'signingCredential.ocsp.revoked': 'the certificate was revoked',
    'manifest.inaccessible': 'its credentials are stored at another address, which was not contacted',
    'ingredient.manifest.mismatch': 'the credentials of an ingredient were changed',
    'ingredient.manifest.missing': 'the credentials of an ingredient are missing',
    'ingredient.claimSignature.mismatch': 'the signature of an ingredient does not match',
    'algorithm.unsupported': 'the signature algorithm is not supported',
    'timeStamp.mismatch': 'the timestamp belongs to another signature',
    'timeStamp.malformed': 'the timestamp is malformed',
    'timeStamp.outsideValidity': 'the timestamp was created when its certificate was not valid',
}


def entries(results: Mapping[str, Any], kind: str) -> Iterator[Mapping[str, Any]]:
    """Yield the entries of a kind, 'success' or 'failure', for a manifest and its ingredients.

    For ingredients the library reports only failures that their own signers did not record, such as later changes.
    """
    deltas = [delta.get('validationDeltas') for delta in _mappings(results.get('ingredientDeltas'))]
    for part in _mappings([results.get('activeManifest'), *deltas]):
        yield from _mappings(part.get(kind))


def _mappings(values: Any) -> list[Mapping[str, Any]]:
    return [value for value in values if isinstance(value, Mapping)] if isinstance(values, list) else []


def failure_codes(results: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the distinct failure codes of a manifest and its ingredients."""
    return tuple(dict.fromkeys(str(entry.get('code', '')) for entry in entries(results, 'failure')))


def failures_of(results: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the failures in plain words, each with its code; an unknown signer alone is not a failure."""
    codes = [code for code in failure_codes(results) if code != UNTRUSTED]
    words = (f'{_WORDS[code]} ({code})' if code in _WORDS else plain(code, 100) for code in codes)
    return tuple(dict.fromkeys(words))[:_MOST_FAILURES]
