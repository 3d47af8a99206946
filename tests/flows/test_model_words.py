"""What a version costs is said in full: time at both batches, memory, size, and where it was measured."""

from flows.model_words import cost_line

DAYS = (("single", "20"), ("large", "03"))


def test_the_cost_of_a_model_names_time_memory_and_size():
    cost = {
        "device": "a processor",
        "threads": 2,
        "input_px": 64,
        "single": {"batch": 1, "p50_ms": 4.21, "p90_ms": 5.04, "repeats": 200},
        "large": {"batch": 32, "p50_ms": 1.27, "p90_ms": 1.5, "repeats": 40},
        "peak_mb": 1234.4,
        "parameters": 11_200_000,
        "disk_mb": 44.8,
    }
    assert cost_line(cost) == (
        "cost: 4.2 ms (90 % within 5.0) for a single image, 1.3 ms (90 % within 1.5) for one of a batch of 32, "
        "at most 1,234 MB of memory, 11.2 M parameters, 44.8 MB on disk; a processor, 2 threads"
    )
    single, large = ({**cost[which], "measured": f"2026-11-{day}T08:00:00+00:00"} for which, day in DAYS)
    assert cost_line({**cost, "single": single, "large": large}).endswith(
        "; a processor, 2 threads, measured on 2026-11-03 and 2026-11-20"
    )
