from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from facefusion.options import describe
from facefusion.provenance.options import ProvenanceOptions
from facefusion.settings import read_ini, resolve

ROOT = Path(__file__).resolve().parents[3]


def marked(*files, flags=None, environ=None):
    ini, *house = files or (None,)
    return resolve([ProvenanceOptions], flags or {}, ini, environ or {}, house)[ProvenanceOptions].invisible_mark


@pytest.fixture
def ini(tmp_path):
    def write(name, value):
        path = tmp_path / f'{name}.ini'
        path.write_text(f'[provenance]\n{value}\n')
        return read_ini(path, required=True)

    return write


def test_the_mark_is_on_unless_an_ini_file_disables_it(ini):
    off, on, silent = ini('off', 'invisible_mark = no'), ini('on', 'invisible_mark = yes'), ini('silent', '')
    assert marked() and marked(on) and marked(silent)
    assert not marked(off)
    # The operator's file applies even if another one is named.
    assert not marked(on, off) and not marked(silent, off)
    assert marked(silent, on)


def test_neither_flags_nor_environment_disable_the_mark(ini):
    assert marked(flags={'invisible_mark': False}, environ={'FACEFUSION_INVISIBLE_MARK': 'no'})


def test_no_option_is_stored_in_a_job_and_none_is_a_password():
    infos = describe(ProvenanceOptions)
    assert all((info.section, info.stored) == ('provenance', 'job') for info in infos)
    assert not [info.key for info in infos if 'password' in info.key]


def test_declaring_options_loads_no_library():
    code = 'import sys, facefusion.provenance.options; print({"c2pa", "cryptography"} & set(sys.modules))'
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == 'set()'
