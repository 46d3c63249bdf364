"""Option names of FaceFusion 3.8, which distinguish options that this version lacks from typing errors."""

from __future__ import annotations

from types import MappingProxyType

_PROCESSORS = """
age_modifier expression_restorer face_editor
"""
# Prefixes of options that belong to parts that this version lacks; without these parts the options have no effect.
MISSING_PARTS = MappingProxyType({f'{name}_': f'the processor {name}' for name in _PROCESSORS.split()})
# Option names before FaceFusion 3.8.
OLDER_NAMES = MappingProxyType(
    {
        'execution_device_id': 'execution_device_ids',
        'face_analyser_order': 'face_selector_order',
        'frame_processors': 'processors',
        'output_image_resolution': 'output_image_scale',
        'output_video_resolution': 'output_video_scale',
    }
)
_NAMES = """
age-modifier-direction age-modifier-model background-remover-despill-color background-remover-fill-color
background-remover-model benchmark-cycle-count benchmark-mode benchmark-resolutions config-path deep-swapper-model
deep-swapper-morph download-providers download-scope execution-device-ids execution-providers execution-thread-count
expression-restorer-areas expression-restorer-factor expression-restorer-model face-debugger-items
face-detector-angles face-detector-margin face-detector-model face-detector-score face-detector-size
face-editor-eye-gaze-horizontal face-editor-eye-gaze-vertical face-editor-eye-open-ratio face-editor-eyebrow-direction
face-editor-head-pitch face-editor-head-roll face-editor-head-yaw face-editor-lip-open-ratio face-editor-model
face-editor-mouth-grim face-editor-mouth-position-horizontal face-editor-mouth-position-vertical
face-editor-mouth-pout face-editor-mouth-purse face-editor-mouth-smile face-enhancer-blend face-enhancer-model
face-enhancer-weight face-landmarker-model face-landmarker-score face-mask-areas face-mask-blur face-mask-padding
face-mask-regions face-mask-types face-occluder-model face-parser-model face-selector-age-end face-selector-age-start
face-selector-gender face-selector-mode face-selector-order face-selector-race face-swapper-model
face-swapper-pixel-boost face-swapper-weight face-tracker-score frame-colorizer-blend frame-colorizer-model
frame-colorizer-size frame-enhancer-blend frame-enhancer-model halt-on-error jobs-path lip-syncer-model
lip-syncer-weight log-level open-browser output-audio-encoder output-audio-quality output-audio-volume
output-image-quality output-image-scale output-path output-pattern output-video-encoder output-video-fps
output-video-preset output-video-quality output-video-scale processors reference-face-distance reference-face-position
reference-frame-number source-paths source-pattern target-frame-amount target-path target-pattern temp-frame-format
temp-path temp-pixel-format trim-frame-end trim-frame-start ui-layouts ui-workflow video-memory-strategy
voice-extractor-model workflow-mode workflow-strategy
"""
PEER_KEYS = frozenset(_NAMES.replace('-', '_').split())
