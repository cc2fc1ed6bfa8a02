from pathlib import Path

import pytest
from cli_fixtures import Run
from scripted_server import HANG_UP, Asked, serve_script, write_answer

QUICK = ("--duration-s", "0.3", "--warm-up-s", "0.1")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.jpg").write_bytes(b"picture")
    return tmp_path / "pictures"


def test_load_on_a_server_ends_in_a_page_and_one_object(
    run: Run, pictures: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_KEY", "k3y")
    with serve_script(lambda _: write_answer()) as server:
        options = (
            "--clients",
            "1,2",
            "--rate",
            "50",
            "--rate",
            "10%",
            "--max-in-flight",
            "7",
            "--api-key-env",
            "A_KEY",
            "--json",
        )
        ran = run("measure", "parts", "--url", server.url, "--data", pictures, *QUICK, *options)
    assert ran.code == 0, ran.err
    points = ran.json["content"]["points"]
    assert ran.json["content"]["plan"]["max_in_flight"] == 7
    assert [point["clients"] for point in points] == [1, 2, None, None]
    assert points[2]["planned"] == pytest.approx(15, abs=5 * 15**0.5)
    assert Path(ran.json["page"]).is_file() and Path(ran.json["folder"]).parent == workspace / "loads" / "parts"
    assert len(ran.out.splitlines()) == 1 and "answers/s" in ran.err
    assert {asked.headers["authorization"] for asked in server.asked} == {"Bearer k3y"}
    assert {asked.path for asked in server.asked if asked.method == "POST"} == {"/predict/parts"}


@pytest.mark.parametrize("options", [("--clients", "1,2"), ("--rate", "50", "--json")])
def test_load_without_any_answer_is_kept_and_fails(run: Run, pictures: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    answered: list[Asked] = []

    def answer_once(asked: Asked) -> bytes:
        if asked.method == "POST":
            answered.append(asked)
        return write_answer() if len(answered) <= 1 else HANG_UP

    out = tmp_path / "out"
    with serve_script(answer_once) as server:
        ran = run("measure", "parts", "--url", server.url, "--data", pictures, *QUICK, *options, "--out", out)
    assert ran.code == 6
    assert "answered no request under load" in ran.err.splitlines()[-1] and str(out / "load.html") in ran.err.splitlines()[-1]
    assert (out / "load.html").is_file() and (out / "load.json").is_file()
    if "--json" in options:
        assert ran.json["error"]["exit_code"] == 6


def test_what_cannot_be_measured_is_one_line(run: Run, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with serve_script(lambda _: write_answer(404, b'{"detail":"no deployment"}')) as server:
        known = ("measure", "parts", "--url", server.url, "--data", pictures)
        for arguments, code, words in (
            ((*known, "--clients", "1"), 3, "no deployment"),
            (("measure", "parts", "--url", "http://127.0.0.1:9", "--data", pictures, "--clients", "1"), 6, "sightline serve"),
            (("measure", "parts", "--url", "nonsense", "--data", pictures, "--clients", "1"), 2, "expected a URL"),
            (("measure", "parts", "--data", pictures, "--clients", "1"), 2, "--url"),
            ((*known, "--clients", "0"), 2, "--clients"),
            ((*known, "--rate", "80%"), 2, "--clients"),
            ((*known, "--clients", "1", "--max-in-flight", "9"), 2, "--clients without --rate, got --max-in-flight"),
            ((*known, "--rate", "fast"), 2, "share such as 80%"),
            ((*known, "--clients", "1", "--protocol", "soap"), 2, "predict, v2"),
            ((*known, "--clients", "1", "--api-key-env", "NOT_SET_ANYWHERE"), 3, "NOT_SET_ANYWHERE"),
            ((*known, "--clients", "1", "--server-pid", "999999999"), 3, "999999999"),
            ((*known, "--clients", "1", "--out", tmp_path / "taken"), 4, "exists already"),
            ((*known, "--clients", "1", "--data", tmp_path / "absent"), 3, "folder of pictures"),
        ):
            ran = run(*arguments)
            assert ran.code == code, (arguments, ran.err)
            assert words in ran.err.splitlines()[-1] and "Traceback" not in ran.err, (arguments, ran.err)


def test_options_of_another_mode_are_refused_and_not_ignored(run: Run, pictures: Path) -> None:
    for options, named in (
        (("--clients", "1", "--streams", "2"), "--streams"),
        (("--max-in-flight", "9"), "--max-in-flight"),
        (("--clients", "1", "--iterations", "1"), "--iterations"),
        (("--rate", "5", "--batch", "4"), "--batch"),
        (("--duration-s", "3"), "--duration-s"),
        (("--iterations", "1", "--protocol", "v2"), "--protocol"),
        (("--compare", "a", "b", "--clients", "1"), "--clients"),
    ):
        ran = run("measure", "parts", "--data", pictures, *options)
        assert ran.code == 2 and named in ran.err, (options, ran.err)
