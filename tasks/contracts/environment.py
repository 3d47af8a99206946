"""The process environment, set before any dependency is imported: nobody phones home, no thread spins in vain."""

import os

TELEMETRY_OFF = {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "NO_ALBUMENTATIONS_UPDATE": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
}
# threads that wait for each other sleep: spinning would cost most of the speed where others use the cores too
THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}


def prepare_environment() -> None:
    """Set every switch; what a user has set already wins."""
    for name, value in (TELEMETRY_OFF | THREADS).items():
        os.environ.setdefault(name, value)
