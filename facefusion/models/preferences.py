"""The models of each task in order of preference, and the companion models that a model needs."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from facefusion.models.catalog import Catalog

_RECOGNISER = 'arcface_w600k_r50'
_LIVE_PORTRAIT = ('eye_retargeter', 'feature_extractor', 'lip_retargeter', 'motion_extractor', 'stitcher')
# Best first; the other models of a task follow in the order of the catalogue.
PREFERENCES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        'background_remover': ('modnet',),
        'face_detector': ('yoloface_8n',),
        'face_enhancer': ('gfpgan_1.4', 'codeformer', 'gpen_bfr_512'),
        'face_landmarker': ('2dfan4',),
        'face_occluder': ('xseg_1',),
        'face_parser': ('bisenet_resnet_34',),
        'face_recognizer': (_RECOGNISER,),
        'face_swapper': ('hyperswap_1a_256', 'inswapper_128_fp16', 'ghost_2_256', 'simswap_256'),
        'frame_colorizer': ('ddcolor', 'ddcolor_artistic', 'deoldify_stable', 'deoldify', 'deoldify_artistic'),
        'frame_enhancer': ('span_x4',),
        'lip_syncer': ('wav2lip_gan_96', 'edtalk_256', 'wav2lip_96'),
        'live_portrait': ('live_portrait_generator',),
        'voice_extractor': ('kim_vocal_2', 'kim_vocal_1', 'uvr_mdxnet'),
    }
)
COMPANIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        '2dfan4': ('fan_68_5',),
        'ghost_1_256': ('crossface_ghost', _RECOGNISER),
        'ghost_2_256': ('crossface_ghost', _RECOGNISER),
        'ghost_3_256': ('crossface_ghost', _RECOGNISER),
        'hififace_unofficial_256': ('crossface_hififace', _RECOGNISER),
        'hyperswap_1a_256': (_RECOGNISER,),
        'hyperswap_1b_256': (_RECOGNISER,),
        'hyperswap_1c_256': (_RECOGNISER,),
        'inswapper_128': (_RECOGNISER,),
        'inswapper_128_fp16': (_RECOGNISER,),
        'live_portrait_generator': tuple(f'live_portrait_{part}' for part in _LIVE_PORTRAIT),
        'peppa_wutz': ('fan_68_5',),
        'simswap_256': ('crossface_simswap', _RECOGNISER),
        'simswap_unofficial_512': ('crossface_simswap', _RECOGNISER),
    }
)


# Tasks whose models all work together, instead of one of them.
JOINT_TASKS = frozenset({'content_analyser'})


def models_of_task(catalog: Catalog, task: str) -> list[str]:
    """Return the models of a task, best first, without companions, which cannot perform the task alone."""
    members = [entry.id for entry in catalog if entry.task == task]
    companions = {needed for model_id in members for needed in COMPANIONS.get(model_id, ())}
    preferred = [model_id for model_id in PREFERENCES.get(task, ()) if model_id in members]
    return [*preferred, *(each for each in members if each not in preferred and each not in companions)]
