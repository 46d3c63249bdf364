from __future__ import annotations

from facefusion.options import describe
from facefusion.safety.options import ConsentOptions, PolicyOptions


def test_consent_is_stored_with_the_step_and_its_requirement_is_not():
    (consent,) = describe(ConsentOptions)
    (demand, licences, unchanged) = describe(PolicyOptions)
    assert (consent.key, consent.section, consent.stored, consent.default) == ('consent', 'policy', 'step', None)
    assert (demand.key, demand.section, demand.stored, demand.default) == ('require_consent', 'policy', 'job', False)
    assert (unchanged.key, unchanged.stored, unchanged.default) == ('require_unchanged', 'job', False)
    assert (licences.key, licences.stored, licences.default) == ('licences', 'job', 'any')
    assert demand.is_policy and licences.is_policy and unchanged.is_policy
