import zipfile
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from format_samples import write_picture, write_text

from sightline.core.errors import InvalidInput, UnreadableDataset, Unsupported
from sightline.core.workspace import Workspace
from sightline.data.conversion import ConversionReport
from sightline.data.exporting import export_version
from sightline.data.formats.table import detect_format, load_format
from sightline.data.formats.video import DAMAGED, SHORT, SMEARED, STILL, VideoFormat, write_time
from sightline.data.importing import FEW_VIDEOS, import_dataset
from sightline.data.video.frames import read_video_frames
from sightline.imaging.files.reading import decode_image

UNEVEN = [0, 40, 100, 500, 540, 1000, 1960, 2000, 2040]  # ms
BRIGHT = [20, 60, 100, 140, 180, 220, 60, 140, 220]


def write_video(path: Path, pts: list[int] = UNEVEN, grays: list[int] = BRIGHT, codec: str = "mpeg4") -> Path:
    """A video on a clock of 1/1000 s; each frame is one gray with a white corner."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for moment, gray in zip(pts, grays, strict=True):
            image = np.full((64, 96, 3), gray, np.uint8)
            image[:8, :8] = 255
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = moment, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def import_video(source: Path, **options: object):
    return import_dataset(source, Workspace(source.parent / f"w-{len(options)}"), "x", format_options=options)


def name_frames(version) -> list[str]:
    return [item.file_name for item in version.items()]


def test_a_frame_every_so_many_seconds_is_the_first_at_or_after_each_of_them(tmp_path):
    version, report = import_video(write_video(tmp_path / "line.mp4"), every_s="0.5")
    # 0 -> 0; 0.5 -> 500; 1 -> 1000; 1.5 -> 1960; 2 -> 2000: by hand
    assert name_frames(version) == [
        "line.mp4/000000_00h00m00s000.png",
        "line.mp4/000003_00h00m00s500.png",
        "line.mp4/000005_00h00m01s000.png",
        "line.mp4/000006_00h00m01s960.png",
        "line.mp4/000007_00h00m02s000.png",
    ]
    assert {item.source_video for item in version.items()} == {"line.mp4"}
    assert {item.seen_by for item in version.items()} == {"nobody"}
    assert report.is_clean


def test_without_options_it_is_a_frame_every_second(tmp_path):
    version, _ = import_video(write_video(tmp_path / "line.mp4"))
    assert name_frames(version) == [
        "line.mp4/000000_00h00m00s000.png",
        "line.mp4/000005_00h00m01s000.png",
        "line.mp4/000007_00h00m02s000.png",
    ]


def test_every_frame_is_kept_with_its_time_stamp_and_the_pixels_that_were_decoded(tmp_path):
    path = write_video(tmp_path / "line.mp4")
    version, _ = import_video(path, frames="all")
    items, frames = list(version.items()), list(read_video_frames(path))
    assert [item.frame_pts for item in items] == [frame.pts for frame in frames]
    for item, frame in zip(items, frames, strict=True):
        assert np.array_equal(decode_image(version.read_bytes(item)), frame.image)


def test_an_exported_frame_has_the_bytes_of_the_labelled_one(tmp_path):
    version, _ = import_video(write_video(tmp_path / "line.mp4"), frames="all")
    export_version(version, tmp_path / "coco", "coco", allow_loss=True)
    exported = {path.read_bytes() for path in (tmp_path / "coco").rglob("*.png")}
    assert exported == {version.read_bytes(item) for item in version.items()}


def test_a_folder_of_videos_and_pictures_in_splits(tmp_path):
    folder = tmp_path / "recordings"
    write_video(folder / "train" / "line.mp4")
    write_video(folder / "train" / "line.avi", list(range(0, 360, 40)))  # of the same stem
    write_video(folder / "val" / "Line.MP4")
    write_picture(folder / "val" / "part.jpg")
    version, report = import_video(folder)
    assert {(item.source_video, item.split) for item in version.items()} == {
        ("train/line.mp4", "train"),
        ("train/line.avi", "train"),
        ("val/Line.MP4", "val"),
        (None, "val"),
    }
    assert version.count() == 3 + 1 + 3 + 1
    assert report.is_clean


def test_an_archive_of_videos_is_read_too(tmp_path):
    path = write_video(tmp_path / "line.mp4")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.write(path, "day 1/line.mp4")
    version, _ = import_dataset(tmp_path / "set.zip", Workspace(tmp_path / "w"), "x")
    assert version.count() == 3


def test_frames_of_one_video_are_never_divided_between_splits(tmp_path):
    for number in range(4):
        write_video(tmp_path / "set" / f"{number}.mp4", grays=[value + number * 7 for value in BRIGHT])
    version, report = import_dataset(
        tmp_path / "set", Workspace(tmp_path / "w"), "x", split="0.5/0.5", format_options={"frames": "all"}
    )
    places = {(item.source_video, item.split) for item in version.items()}
    assert len(places) == 4
    assert version.splits == {"train": 18, "val": 18}
    assert report.count("image", "warned", FEW_VIDEOS) == 0
    _, report = import_video(tmp_path / "set" / "0.mp4")
    assert report.count("image", "warned", FEW_VIDEOS) == 1


def test_frames_that_hardly_differ_are_left_out_where_asked(tmp_path):
    path = write_video(tmp_path / "line.mp4", [0, 40, 80, 120, 160], [100, 101, 101, 140, 141])
    version, report = import_video(path, frames="all", min_change=0.05)
    assert [name[9:15] for name in name_frames(version)] == ["000000", "000003"]
    assert report.count("frame", "warned", STILL) == 3
    assert report.is_clean


def cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def test_of_a_cut_off_video_the_frames_before_are_kept_and_the_loss_is_told(tmp_path):
    steps = list(range(0, 40_000, 40))
    path = cut(write_video(tmp_path / "line.mkv", steps, [step // 40 % 200 for step in steps]), 0.5)
    version, report = import_video(path)
    assert 5 < version.count() < 35
    assert report.count("file", "warned", SHORT) + report.count("file", "dropped", DAMAGED) == 1
    (finding,) = [one for one in report.findings() if one.kind == "file"]
    assert finding.examples[0].startswith("line.mkv")


def test_damaged_videos_do_not_keep_whole_ones_from_coming(tmp_path):
    folder = tmp_path / "set"
    write_video(folder / "a.mp4")
    cut(write_video(folder / "b.mp4"), 0.5)  # its index, which stands at the end, is gone
    write_text(folder / "c.avi", "no video")
    version, report = import_video(folder)
    assert {item.source_video for item in version.items()} == {"a.mp4"}
    assert report.count("file", "dropped", DAMAGED) == 2
    assert not any(str(tmp_path) in line for line in report.lines())
    (folder / "a.mp4").unlink()
    with pytest.raises(UnreadableDataset, match="got none that can be kept: dropped 2 files"):
        import_dataset(folder, Workspace(tmp_path / "other"), "x")


def test_frames_that_the_decoder_mended_are_told(tmp_path, monkeypatch):
    from sightline.data.video import frames

    damaged = [frames.VideoFrame(index=0, pts=0, pts_s=0.0, image=np.zeros((4, 4, 3), np.uint8), is_damaged=True)]
    monkeypatch.setattr(frames, "read_video_frames", lambda path, every_s: iter(damaged))
    _, report = import_video(write_video(tmp_path / "line.mp4", [0], [9]))
    assert report.count("frame", "warned", SMEARED) == 1


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"every_s": "0"}, "above 0"),
        ({"every_s": "-1"}, "above 0"),
        ({"every_s": "nan"}, "above 0"),
        ({"every_s": "often"}, "a number as every_s, got 'often'"),
        ({"frames": "some"}, "frames=all"),
        ({"frames": "all", "every_s": "1"}, "one of the two"),
        ({"min_change": "1"}, "min_change"),
        ({"fps": "1"}, "the options every_s, frames, min_change"),
    ],
)
def test_options_that_cannot_be_are_refused(tmp_path, options, told):
    with pytest.raises(InvalidInput, match=told):
        import_video(write_video(tmp_path / "line.mp4"), **options)


def test_it_is_found_where_other_formats_know_more_only_as_the_last(tmp_path):
    write_video(tmp_path / "videos" / "line.mp4")
    assert detect_format(tmp_path / "videos").name == "video"
    assert detect_format(tmp_path / "videos" / "line.mp4").name == "video"
    write_picture(tmp_path / "videos" / "part.png")
    assert detect_format(tmp_path / "videos").name == "video"
    for name in ("good/1.png", "bad/2.png"):
        write_picture(tmp_path / "classes" / name)
    write_video(tmp_path / "classes" / "good" / "line.mp4")
    assert detect_format(tmp_path / "classes").name == "class_folders"
    _, report = import_dataset(tmp_path / "classes", Workspace(tmp_path / "w"), "x")
    assert report.dropped("file") == 1
    write_text(tmp_path / "videos" / "part.json", '{"label": "scratch"}')
    with pytest.raises(UnreadableDataset, match="goes by the videos alone"):
        detect_format(tmp_path / "videos")


def test_a_folder_without_a_video_is_refused_and_nothing_is_written(tmp_path):
    write_picture(tmp_path / "set" / "part.png")
    with pytest.raises(UnreadableDataset, match="expected videos"):
        import_dataset(tmp_path / "set", Workspace(tmp_path / "w"), "x", format="video")
    version, _ = import_video(write_video(tmp_path / "line.mp4"))
    assert load_format("video").check(version).dropped("image") == version.count()
    with pytest.raises(Unsupported, match="videos are read, not written"):
        VideoFormat().write(version, tmp_path / "out", ConversionReport())


def test_times_are_written_as_names_that_sort():
    assert write_time(0) == "00h00m00s000"
    assert write_time(3723.4804) == "01h02m03s480"
    assert write_time(59.9996) == "00h01m00s000"
    assert write_time(-0.1) == "00h00m00s000"


def test_real_videos_come_in(shared_data, tmp_path):
    version, report = import_dataset(shared_data / "video" / "intel-sample-videos", Workspace(tmp_path), "x")
    counts = {item.source_video: 0 for item in version.items()}
    for item in version.items():
        counts[item.source_video] += 1
    # 39.85 s at 29.83 frames/s, 2.1 s and 1.7 s: README.md of the shared data counts 1189, 63 and 51 frames
    assert counts == {"bottle-detection.mp4": 40, "asl_gestures/bird.mkv": 3, "asl_gestures/milk.mkv": 2}
    assert report.is_clean
