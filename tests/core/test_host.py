import json
import re
from datetime import datetime, timedelta
from pathlib import Path

import sightline
from sightline.core.host import describe_host, now_utc, read_cpu_facts, read_package_versions


def test_the_host_is_described_and_fits_into_json():
    host = describe_host()
    assert json.loads(json.dumps(host)) == host
    assert host["cores"] >= 1 and host["memory_bytes"] > 1 << 20
    assert {"cpu", "cpu_flags", "system", "python", "packages"} <= set(host)


def test_cores_are_counted_in_one_place():
    source = Path(sightline.__file__).parent
    counting = re.compile(r"sched_getaffinity|cpu_count\(")
    assert [path.name for path in source.rglob("*.py") if counting.search(path.read_text())] == ["host.py"]


def test_cpu_facts_are_read_from_the_file(tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text(
        "processor\t: 0\nmodel name\t: Fast: 3000\nflags\t\t: fpu avx2 amx_int8 sse\n\nprocessor\t: 1\nmodel name\t: Other\n"
    )
    assert read_cpu_facts(path) == {"model": "Fast: 3000", "flags": ["avx2", "amx_int8"]}


def test_without_the_file_the_machine_still_has_a_name(tmp_path):
    facts = read_cpu_facts(tmp_path / "absent")
    assert isinstance(facts["model"], str)
    assert facts["flags"] == []


def test_versions_name_only_what_is_installed():
    versions = read_package_versions()
    assert "numpy" in versions
    assert all(versions.values())


def test_the_time_is_utc_to_the_second():
    moment = datetime.fromisoformat(now_utc())
    assert moment.utcoffset() == timedelta(0)
    assert moment.microsecond == 0
