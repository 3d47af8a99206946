"""No dependency phones home: telemetry and update checks are off before anything is imported."""

import os

SETTINGS = {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
}


def turn_telemetry_off() -> None:
    """Set every dependency's switch in the environment; what a user has set already wins."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
