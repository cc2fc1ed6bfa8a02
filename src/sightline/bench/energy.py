"""Joules a stretch of work took, from the CPU's own counters: Linux powercap (RAPL) or hwmon (amd_energy).

The counters speak of the whole package: other programs and the idle part are in the number. Where no counter is there or it
may not be read, the meter gives None and says why; energy is never estimated from a data sheet.
"""

from pathlib import Path

import msgspec

from sightline.core.errors import Conflict

MICROJOULE = 1e-6


class EnergyCounter(msgspec.Struct, frozen=True, kw_only=True):
    """One counter file: microjoules that only rise, back to 0 beyond `range_uj`; `range_uj` None when it does not say."""

    path: Path
    range_uj: int | None = None

    def read(self) -> int:
        """Microjoules since some moment in the past. Raises: OSError when it may not be read."""
        return int(self.path.read_text())

    def elapsed_uj(self, before: int, after: int) -> int | None:
        """Microjoules between two readings, at most one wrap apart (40 minutes at 100 W); None when that is not known."""
        if after >= before:
            return after - before
        return after - before + self.range_uj if self.range_uj is not None else None


class EnergyMeter:
    """Measures stretches of work: `start()`, then `stop()` gives joules or None.

    Attributes:
        source: which counters are read, None when there are none.
        reason: why there are none, empty when there are.
    """

    def __init__(self, root: Path = Path("/sys")) -> None:
        self.counters, self.source = find_counters(root)
        self.reason = (
            "" if self.counters else "this machine shows no energy counter (neither RAPL powercap nor amd_energy hwmon)"
        )
        self._before: list[int] | None = None
        try:
            self._read()
        except OSError as error:
            self.reason = f"{error.filename} may not be read ({error.strerror}); run as root or allow reading it"
            self.counters = []
        if not self.counters:
            self.source = None

    def start(self) -> None:
        """Remember the counters' present readings."""
        self._before = self._read()

    def stop(self) -> float | None:
        """Joules since `start`, or None. Raises: Conflict when it was not started."""
        if self._before is None:
            raise Conflict("expected EnergyMeter.start before stop, got stop alone; start it first")
        pairs = zip(self.counters, self._before, self._read(), strict=True)
        parts = [counter.elapsed_uj(before, after) for counter, before, after in pairs]
        self._before = None
        known = [part for part in parts if part is not None]
        return sum(known) * MICROJOULE if known and len(known) == len(parts) else None

    def _read(self) -> list[int]:
        return [counter.read() for counter in self.counters]


def find_counters(root: Path) -> tuple[list[EnergyCounter], str | None]:
    """The package counters below `root` (`/sys`) and their name, or an empty list; RAPL first, never both."""
    found = _find_powercap(root)
    if found:
        return found, "RAPL powercap, CPU package"
    found = _find_amd_energy(root)
    return (found, "amd_energy hwmon, CPU socket") if found else ([], None)


def _find_powercap(root: Path) -> list[EnergyCounter]:
    # One zone per package is `intel-rapl:N` (AMD's too); its parts `intel-rapl:N:M` and "psys" would count the same joules
    # twice.
    counters = []
    for zone in sorted((root / "class" / "powercap").glob("intel-rapl:*")):
        name = zone / "name"
        if zone.name.count(":") == 1 and name.is_file() and name.read_text().strip().startswith("package"):
            limit = zone / "max_energy_range_uj"
            range_uj = int(limit.read_text()) if limit.is_file() else None
            counters.append(EnergyCounter(path=zone / "energy_uj", range_uj=range_uj))
    return counters


def _find_amd_energy(root: Path) -> list[EnergyCounter]:
    counters = []
    for chip in sorted((root / "class" / "hwmon").glob("hwmon*")):
        name = chip / "name"
        if not name.is_file() or name.read_text().strip() != "amd_energy":
            continue
        sockets = [path for path in sorted(chip.glob("energy*_label")) if path.read_text().startswith("Esocket")]
        counters += [EnergyCounter(path=chip / path.name.replace("_label", "_input")) for path in sockets]
    return counters
