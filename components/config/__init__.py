"""The configuration of a run: frozen dataclasses, read from YAML, overridden by ``key=value``.

    control    the section of what steers sampling
    settings   the sections, one dataclass each, and RunConfig, which holds them
    document   YAML and overrides into dataclasses; unknown keys are errors with a suggestion
    variants   named sets of overrides, each resolved to a whole configuration
    profiles   named sets of ordinary settings, such as `fast`
    load       a whole configuration, with its paths resolved on this machine

Values are validated strictly enough that a typo never becomes a default.
"""

from components.config.control import MAPS, ControlsConfig, check_nets
from components.config.document import parse, to_document
from components.config.load import load_run_config, parse_run, run_config
from components.config.profiles import PROFILES
from components.config.settings import (
    FPS_RANGE,
    GIB,
    KEYED_UNLESS_DEFAULT,
    NOT_KEYED,
    STRICT,
    CaptionConfig,
    JudgeConfig,
    OutputConfig,
    RayConfig,
    RunConfig,
    ScoreConfig,
    VideoConfig,
    VideoLimits,
)
from components.config.variants import narrowed, variant_configs

__all__ = [
    "FPS_RANGE",
    "GIB",
    "KEYED_UNLESS_DEFAULT",
    "MAPS",
    "NOT_KEYED",
    "PROFILES",
    "STRICT",
    "CaptionConfig",
    "ControlsConfig",
    "JudgeConfig",
    "OutputConfig",
    "RayConfig",
    "RunConfig",
    "ScoreConfig",
    "VideoConfig",
    "VideoLimits",
    "check_nets",
    "load_run_config",
    "narrowed",
    "parse",
    "parse_run",
    "run_config",
    "to_document",
    "variant_configs",
]
