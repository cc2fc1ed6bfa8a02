"""The conversion report: what an import or export kept, changed and dropped, and why, with a few examples of each.

Readers and writers tell it every loss where it happens. What arrived (`keep`) is counted by `import_dataset` on import and by
the format's `write` on export. Memory does not grow with the data: only counts and the first examples of each reason are kept.
"""

import re
from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from sightline.core.errors import InvalidInput

# What is counted: "image" and "annotation" everywhere; the others where a format holds such things.
Kind = Literal["image", "annotation", "category", "attribute", "file", "frame"]
Outcome = Literal["changed", "dropped", "warned"]
MAX_EXAMPLES = 5
PLURALS: dict[str, str] = {"category": "categories"}
SURROGATES = re.compile("[\ud800-\udfff]")


def replace_surrogates(text: str) -> str:
    """Text that UTF-8 can hold: halves of characters become U+FFFD.

    File names that are no UTF-8 and JSON escapes hold such halves; Parquet, JSON and terminals cannot.
    """
    return SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text)


def clean_name(text: str) -> str:
    """A category's name as one line of UTF-8 without spaces at its ends: what `Categories` takes."""
    return " ".join(replace_surrogates(text.replace("\0", "")).splitlines()).strip()


class Finding(msgspec.Struct, kw_only=True):
    """How often one thing happened for one reason, and the first few places."""

    kind: Kind
    outcome: Outcome
    reason: str
    count: int = 0
    examples: list[str] = []


class ConversionReport:
    """What was kept, changed and dropped, counted by kind, with the reason of each change and drop.

    `kept` counts what arrived, changed or not. A warning is a fact worth knowing that lost nothing. `print(*report.lines(),
    sep="\\n")` shows it all.

    Attributes:
        kept: how many things of each kind arrived: "image", "annotation", ...
    """

    def __init__(self) -> None:
        self.kept: dict[Kind, int] = {}
        self._findings: dict[tuple[Kind, Outcome, str], Finding] = {}

    def __repr__(self) -> str:
        counts = {"kept": self.kept, "changed": self._totals("changed"), "dropped": self._totals("dropped")}
        return f"ConversionReport({', '.join(f'{name}={count}' for name, count in counts.items())})"

    def keep(self, kind: Kind, count: int = 1) -> None:
        """Count things that arrived."""
        self.kept[kind] = self.kept.get(kind, 0) + count

    def change(self, kind: Kind, reason: str, example: str = "", count: int = 1) -> None:
        """Count things that arrive altered (a box clipped, a file renamed)."""
        self._add(kind, "changed", reason, example, count)

    def drop(self, kind: Kind, reason: str, example: str = "", count: int = 1) -> None:
        """Count things that do not arrive."""
        self._add(kind, "dropped", reason, example, count)

    def warn(self, kind: Kind, reason: str, example: str = "", count: int = 1) -> None:
        """Count a fact worth knowing that loses nothing (the same picture in two splits)."""
        self._add(kind, "warned", reason, example, count)

    def leave_out(self, kind: Kind, reason: str, example: str = "", count: int = 1) -> None:
        """Count things that had arrived, and that are dropped after all."""
        self.kept[kind] = self.kept.get(kind, 0) - count
        self.drop(kind, reason, example, count)

    @property
    def is_clean(self) -> bool:
        """True when nothing was changed or dropped; warnings do not count."""
        return all(finding.outcome == "warned" for finding in self._findings.values())

    def changed(self, kind: Kind) -> int:
        """How many changes of this kind were reported, over all reasons."""
        return self._total(kind, "changed")

    def dropped(self, kind: Kind) -> int:
        """How many things of this kind were dropped, over all reasons."""
        return self._total(kind, "dropped")

    def warned(self, kind: Kind) -> int:
        """How many warnings of this kind there are, over all reasons."""
        return self._total(kind, "warned")

    def count(self, kind: Kind, outcome: Outcome, reason: str) -> int:
        """How often one reason was reported; 0 when never."""
        finding = self._findings.get((kind, outcome, reason))
        return finding.count if finding else 0

    def findings(self) -> Iterator[Finding]:
        """All findings: dropped first, then changed, then warned; in the order they first came."""
        for outcome in ("dropped", "changed", "warned"):
            yield from (finding for finding in self._findings.values() if finding.outcome == outcome)

    def lines(self) -> list[str]:
        """The report for a terminal: one line of counts, then one line per reason with its examples."""
        told = (finding.kind for finding in self._findings.values() if finding.outcome != "warned")
        kinds = list(dict.fromkeys([*self.kept, *told]))
        lines = [
            f"{_plural(kind)}: {self.kept.get(kind, 0):,} kept, {self.changed(kind):,} changed, {self.dropped(kind):,} dropped"
            for kind in kinds
        ]
        return [*lines, *(_describe(finding, MAX_EXAMPLES) for finding in self.findings())]

    def reasons(self, outcome: Outcome, most: int = 3) -> str:
        """The first reasons of one outcome in one line, an example of each, for a message; empty without any."""
        told = [_describe(finding, 1) for finding in self.findings() if finding.outcome == outcome]
        return "; ".join(told[:most]) + ("; ..." if len(told) > most else "")

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-ready builtins: kept, changed, dropped by kind, and the findings."""
        return {
            "clean": self.is_clean,
            "kept": dict(self.kept),
            "changed": self._totals("changed"),
            "dropped": self._totals("dropped"),
            "findings": [msgspec.to_builtins(finding) for finding in self.findings()],
        }

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> "ConversionReport":
        """The report that `to_dict` wrote, perhaps in another process."""
        report = cls()
        report.kept = dict(record["kept"])
        findings = msgspec.convert(record["findings"], list[Finding])
        report._findings = {(one.kind, one.outcome, one.reason): one for one in findings}
        return report

    def _add(self, kind: Kind, outcome: Outcome, reason: str, example: str, count: int) -> None:
        if count < 0:
            raise InvalidInput(f"a count is 0 or more, got {count}; report what happened, not a difference")
        key = (kind, outcome, reason)
        finding = self._findings.setdefault(key, Finding(kind=kind, outcome=outcome, reason=reason))
        finding.count += count
        example = replace_surrogates(example)
        if example and len(finding.examples) < MAX_EXAMPLES and example not in finding.examples:
            finding.examples.append(example)

    def _total(self, kind: Kind, outcome: Outcome) -> int:
        return sum(f.count for f in self._findings.values() if f.kind == kind and f.outcome == outcome)

    def _totals(self, outcome: Outcome) -> dict[str, int]:
        kinds = dict.fromkeys(finding.kind for finding in self._findings.values() if finding.outcome == outcome)
        return {kind: self._total(kind, outcome) for kind in kinds}


def _plural(kind: str) -> str:
    return PLURALS.get(kind, kind + "s")


def _describe(finding: Finding, most: int) -> str:
    shown = finding.examples[:most]
    more = ", ..." if finding.count > len(shown) else ""
    examples = f" ({'; '.join(shown)}{more})" if shown else ""
    noun = finding.kind if finding.count == 1 else _plural(finding.kind)
    return f"{finding.outcome} {finding.count:,} {noun}: {finding.reason}{examples}"
