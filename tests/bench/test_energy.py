from pathlib import Path

import pytest

from sightline.bench.energy import EnergyMeter
from sightline.core.errors import Conflict


def add_zone(root: Path, zone: str, name: str, energy_uj: int, range_uj: int | None = None) -> Path:
    folder = root / "class" / "powercap" / zone
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{name}\n")
    (folder / "energy_uj").write_text(f"{energy_uj}\n")
    if range_uj is not None:
        (folder / "max_energy_range_uj").write_text(f"{range_uj}\n")
    return folder / "energy_uj"


def test_a_machine_without_counters_gives_none_and_a_reason(tmp_path: Path) -> None:
    meter = EnergyMeter(tmp_path)
    meter.start()
    assert meter.stop() is None
    assert "no energy counter" in meter.reason
    assert meter.source is None


def test_packages_are_summed_and_their_parts_are_not_counted_twice(tmp_path: Path) -> None:
    first = add_zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    second = add_zone(tmp_path, "intel-rapl:1", "package-1", 5_000_000)
    core = add_zone(tmp_path, "intel-rapl:0:0", "core", 0)
    platform = add_zone(tmp_path, "intel-rapl:2", "psys", 0)
    meter = EnergyMeter(tmp_path)
    meter.start()
    for path, value in ((first, 3_500_000), (second, 5_500_000), (core, 900_000_000), (platform, 900_000_000)):
        path.write_text(str(value))
    assert meter.stop() == pytest.approx(3.0)  # 2.5 J + 0.5 J, by hand
    assert meter.reason == ""
    assert meter.source is not None
    assert "RAPL" in meter.source


def test_a_counter_that_wrapped_round_is_continued(tmp_path: Path) -> None:
    counter = add_zone(tmp_path, "intel-rapl:0", "package-0", 9_000_000, range_uj=10_000_000)
    meter = EnergyMeter(tmp_path)
    meter.start()
    counter.write_text("500000")
    assert meter.stop() == pytest.approx(1.5)


def test_a_wrap_without_a_known_range_is_not_guessed(tmp_path: Path) -> None:
    counter = add_zone(tmp_path, "intel-rapl:0", "package-0", 9_000_000)
    meter = EnergyMeter(tmp_path)
    meter.start()
    counter.write_text("500000")
    assert meter.stop() is None


def test_amd_energy_counts_sockets_only(tmp_path: Path) -> None:
    chip = tmp_path / "class" / "hwmon" / "hwmon3"
    chip.mkdir(parents=True)
    (chip / "name").write_text("amd_energy\n")
    for number, label in ((1, "Ecore000"), (2, "Esocket0")):
        (chip / f"energy{number}_label").write_text(f"{label}\n")
        (chip / f"energy{number}_input").write_text("0\n")
    meter = EnergyMeter(tmp_path)
    meter.start()
    (chip / "energy1_input").write_text("7000000")
    (chip / "energy2_input").write_text("2000000")
    assert meter.stop() == pytest.approx(2.0)


def test_a_counter_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    counter = add_zone(tmp_path, "intel-rapl:0", "package-0", 1)
    counter.unlink()
    counter.mkdir()  # reading a folder fails for root too
    meter = EnergyMeter(tmp_path)
    meter.start()
    assert meter.stop() is None
    assert "may not be read" in meter.reason


def test_stop_without_start_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="start it first"):
        EnergyMeter(tmp_path).stop()
