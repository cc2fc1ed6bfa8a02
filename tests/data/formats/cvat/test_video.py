"""CVAT for video: tracks as frames, whose pictures lie there or come from the video."""

from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import av
import numpy as np
import pytest
from tests.data.formats.format_samples import read, write_picture, write_text

from sightline.core.errors import UnreadableDataset
from sightline.core.workspace import Workspace
from sightline.data.conversion import ConversionReport
from sightline.data.formats.cvat.format import CvatFormat
from sightline.data.formats.cvat.video import GAP, LABELLED_ONLY, NO_FRAMES, SAME_PICTURE
from sightline.data.formats.format import NONE_KEPT
from sightline.data.importing import FEW_VIDEOS, UNSAID, import_dataset
from sightline.imaging.masks import decode_mask

LABELS = "<labels><label><name>car</name></label></labels>"
SIZE = "<original_size><width>32</width><height>16</height></original_size>"


def head(more: str = "", source: str = "clip.mp4", subset: str = "") -> str:
    task = f"<task><mode>interpolation</mode><subset>{subset}</subset>{more}{SIZE}{LABELS}</task>"
    return f"<meta>{task}<source>{source}</source></meta>"


def box(frame: int, outside: int = 0, more: str = "") -> str:
    corners = f'xtl="{frame}" ytl="1" xbr="{frame + 2}" ybr="4"'
    return f'<box frame="{frame}" outside="{outside}" occluded="0" keyframe="0" {corners} {more}/>'


def track(*shapes: str, number: int = 0, more: str = "") -> str:
    return f'<track id="{number}" label="car" source="manual" {more}>{"".join(shapes)}</track>'


def put(folder: Path, *tracks: str, meta: str | None = None) -> Path:
    text = f"<annotations><version>1.1</version>{head() if meta is None else meta}{''.join(tracks)}</annotations>"
    return write_text(folder / "annotations.xml", text)


def put_frames(folder: Path, *numbers: int) -> None:
    for number in numbers:
        write_picture(folder / f"frame_{number:06d}.PNG", 32, 16)


def put_video(path: Path, frames: int) -> Path:
    """A video of which frame n is of gray 20 * n, shown at 40 * n ms."""
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
        stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(np.full((16, 32, 3), 20 * number, np.uint8), format="rgb24")
            frame.pts, frame.time_base = 40 * number, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_every_frame_has_the_shapes_that_are_not_outside_in_it(tmp_path: Path) -> None:
    put_frames(tmp_path / "images", 0, 1, 2, 3)
    put(tmp_path, track(box(0), box(1), box(2, outside=1)), track(box(1), box(2), number=1))
    _, items, report = read("cvat", tmp_path)
    found = {name: [(one.box_xyxy, one.attributes["track_id"]) for one in item.annotations] for name, item in items.items()}
    assert found == {
        "frame_000000.PNG": [((0, 1, 2, 4), "0")],
        "frame_000001.PNG": [((1, 1, 3, 4), "0"), ((1, 1, 3, 4), "1")],
        "frame_000002.PNG": [((2, 1, 4, 4), "1")],
        "frame_000003.PNG": [],
    }
    assert {(item.source_video, item.declared_size, item.seen_by) for item in items.values()} == {("clip.mp4", (32, 16), None)}
    assert report.is_clean
    assert not list(report.findings())


def test_shapes_of_a_frame_come_in_the_order_of_painting(tmp_path: Path) -> None:
    put_frames(tmp_path / "images", 0)
    put(tmp_path, *(track(box(0, more=f'z_order="{order}"'), number=n) for n, order in enumerate((2, 0, 1))))
    _, items, _ = read("cvat", tmp_path)
    assert [one.attributes["track_id"] for one in items["frame_000000.PNG"].annotations] == ["1", "2", "0"]


def test_key_frames_alone_are_read_as_they_are_and_told(tmp_path: Path) -> None:
    put_frames(tmp_path / "images", *range(10, 30, 3))
    meta = head("<frame_filter>step=3</frame_filter>")
    put(tmp_path, track(box(10), box(13), box(22), box(25, outside=1)), track(box(10, outside=1), box(28)), meta=meta)
    _, items, report = read("cvat", tmp_path)
    assert [number for number, item in enumerate(items.values()) if item.annotations] == [0, 1, 4, 6]
    assert report.count("annotation", "warned", GAP) == 2  # frames 16 and 19


def test_masks_and_skeletons_of_tracks(tmp_path: Path) -> None:
    put_frames(tmp_path / "images", 0)
    mask = '<mask frame="0" outside="0" rle="0, 6" left="1" top="1" width="3" height="2"/>'
    point = '<points label="1" outside="0" points="1,1"/>'
    skeleton = f'<skeleton frame="0" keyframe="1">{point}</skeleton>'
    inner = f'<track id="0" label="1">{point.replace("<points", "<points frame=" + chr(34) + "0" + chr(34))}</track>'
    put(tmp_path, track(mask), track(skeleton, inner), track('<box outside="0"/>'))
    _, items, report = read("cvat", tmp_path)
    (found,) = items["frame_000000.PNG"].annotations
    assert found.mask is not None
    assert (found.mask.width, found.mask.height) == (32, 16)
    assert {finding.reason: finding.count for finding in report.findings()} == {
        "skeletons are not kept": 1,
        "shape of a track without the number of its frame": 1,
    }


def test_labelled_frames_are_taken_from_the_video(tmp_path: Path) -> None:
    put_video(tmp_path / "clip.mp4", 10)
    put(tmp_path, track(box(2), box(5), box(12)))
    version, report = import_dataset(tmp_path, Workspace(tmp_path / "w"), "x")
    items = {item.file_name: item for item in version.items()}
    assert {name: (item.source_video, item.frame_pts is not None) for name, item in items.items()} == {
        "frame_000002.png": ("clip.mp4", True), "frame_000005.png": ("clip.mp4", True),
    }  # fmt: skip
    assert items["frame_000005.png"].frame_pts == items["frame_000002.png"].frame_pts / 2 * 5
    for number in (2, 5):
        item = items[f"frame_{number:06d}.png"]
        assert item.annotations[0].box_xyxy == (number, 1, number + 2, 4)
        assert version.read_image(item).mean() == pytest.approx(20 * number, abs=4)
    assert report.count("image", "dropped", "picture is missing") == 1  # frame 12
    assert report.count("file", "warned", LABELLED_ONLY) == 1
    assert len({item.split for item in items.values()}) == 1  # frames of a video stay together


@pytest.mark.parametrize("source", ["clip.mp4", "C:\\videos\\clip.mp4", "/home/ann/clip.mp4", "other.mp4"])
def test_the_video_is_the_named_one_or_the_only_one(tmp_path: Path, source: str) -> None:
    put_video(tmp_path / "clip.mp4", 2)
    if source != "other.mp4":
        put_video(tmp_path / "another.mp4", 1)
    put(tmp_path, track(box(1)), meta=head(source=source))
    _, items, _ = read("cvat", tmp_path)
    assert [(name, item.source_video) for name, item in items.items()] == [("frame_000001.png", "clip.mp4")]


def test_a_video_that_breaks_off_gives_the_frames_before(tmp_path: Path) -> None:
    write_text(tmp_path / "clip.mp4", "no video at all")
    put(tmp_path, track(box(0), box(1)))
    _, items, report = read("cvat", tmp_path)
    assert [(item.path, item.content, len(item.annotations)) for item in items.values()] == [(None, None, 1)] * 2
    assert report.count("file", "dropped", "video that cannot be read up to its last labelled frame") == 1
    with pytest.raises(UnreadableDataset, match=r"got none that can be kept.*cannot be read"):
        import_dataset(tmp_path, Workspace(tmp_path / "w"), "x")


def test_without_frames_and_video_it_says_what_to_do(tmp_path: Path) -> None:
    put(tmp_path, track(box(0)))
    for number in range(2):
        put_video(tmp_path / f"{number}.mp4", 1)  # neither is the one
    with pytest.raises(UnreadableDataset, match=r"images/frame_000000\.PNG or clip\.mp4 itself.*'save images'"):
        import_dataset(tmp_path, Workspace(tmp_path / "w"), "x")


def test_a_project_of_two_videos(tmp_path: Path) -> None:
    put_frames(tmp_path / "images/Train", 0, 1)
    put_frames(tmp_path / "images/default", 0)
    task = "<task><id>{}</id><mode>interpolation</mode><subset>{}</subset><source>{}</source></task>"
    tasks = f"<tasks>{task.format(7, 'Train', 'a.mp4')}{task.format(8, '', 'b.mp4')}</tasks>"
    put(
        tmp_path,
        track(box(1), more='task_id="7" subset="Train"'),
        track(box(0), box(0), number=1, more='task_id="8" subset="default"'),
        meta=f"<meta><project>{LABELS}{tasks}<subsets>Train</subsets></project></meta>",
    )
    items = list(CvatFormat().read(tmp_path, ConversionReport(), {}).items)
    assert [(item.file_name, item.split, item.source_video, len(item.annotations)) for item in items] == [
        ("frame_000000.PNG", "train", "a.mp4", 0),
        ("frame_000001.PNG", "train", "a.mp4", 1),
        ("frame_000000.PNG", None, "b.mp4", 2),
    ]


def image(number: int, *labels: str, more: str = "") -> str:
    boxes = "".join(f'<box label="{label}" xtl="1" ytl="1" xbr="5" ybr="4"/>' for label in labels)
    return f'<image id="{number}" name="frame_{number:06d}" width="32" height="16" {more}>{boxes}</image>'


def test_frames_that_an_export_for_images_lists_without_pictures_are_taken_from_the_video(tmp_path: Path) -> None:
    put_video(tmp_path / "clip.mp4", 10)
    put_frames(tmp_path / "images", 8)
    point = '<image id="4" name="frame_000004" width="32" height="16"><points label="car" points="1,1"/></image>'
    put(tmp_path, image(2, "car", "car"), image(3), point, image(6, "car"), image(8, "car"), image(12, "car"))
    version, report = import_dataset(tmp_path, Workspace(tmp_path / "w"), "x")
    found = {item.file_name: (item.source_video, len(item.annotations)) for item in version.items()}
    assert found == {
        "frame_000008.PNG": ("clip.mp4", 1),
        "frame_000002.png": ("clip.mp4", 2),
        "frame_000006.png": ("clip.mp4", 1),
    }
    means = [round(version.read_image(item).mean()) for item in version.items()]
    assert means[1:] == pytest.approx([40, 120], abs=4)
    assert report.count("image", "dropped", "picture is missing") == 1  # frame 12, which the video does not have
    assert report.count("file", "warned", LABELLED_ONLY) == 1


def test_frames_listed_of_a_projects_videos_are_those_of_their_own_video(tmp_path: Path) -> None:
    put_video(tmp_path / "b.mp4", 8)
    images = (image(1, "car", more='task_id="7" subset="default"'), image(6, "car", more='task_id="8" subset="default"'))
    put(tmp_path, *images, meta=number_tasks((7, "default", "a.mp4", 4), (8, "default", "b.mp4", 8)))
    version, report = import_dataset(tmp_path, Workspace(tmp_path / "w"), "x")
    (item,) = version.items()
    assert (item.file_name, item.source_video) == ("frame_000006.png", "b.mp4")
    assert round(version.read_image(item).mean()) == pytest.approx(40, abs=4)  # its frame 2
    assert report.count("file", "dropped", NO_FRAMES) == report.count("image", "dropped", "picture is missing") == 1


def test_frames_listed_without_pictures_and_video_are_told_with_what_to_do(tmp_path: Path) -> None:
    put(tmp_path, image(2, "car"), image(3))
    with pytest.raises(UnreadableDataset, match=r"export with 'save images', or put the video beside it.*clip\.mp4"):
        import_dataset(tmp_path, Workspace(tmp_path / "w"), "x")


def test_two_videos_of_one_subset_whose_frames_share_names_are_not_mixed(tmp_path: Path) -> None:
    put_frames(tmp_path / "images/Train", 0, 1)
    tasks = "".join(f"<task><id>{n}</id><mode>interpolation</mode><subset>Train</subset></task>" for n in (7, 8))
    put(
        tmp_path,
        track(box(1), more='task_id="7"'),
        track(box(0), number=1, more='task_id="8"'),
        meta=f"<meta><project>{LABELS}<tasks>{tasks}</tasks></project></meta>",
    )
    _, items, report = read("cvat", tmp_path)
    assert [len(item.annotations) for item in items.values()] == [0, 1]
    assert report.count("image", "dropped", SAME_PICTURE) == 1
    assert report.count("annotation", "dropped", "its picture was dropped") == 1


def number_tasks(*tasks: tuple[int, str, str, int], mode: str = "interpolation") -> str:
    """The head of a project, as CVAT writes it. Args: tasks: id, subset, source and count of frames of each."""
    one = (
        "<task><id>{0}</id><name>t{0}</name><size>{3}</size><mode>{4}</mode><subset>{1}</subset><start_frame>{5}</start_frame>"
        "<frame_filter>{6}</frame_filter>{7}<source>{2}</source></task>"
    )
    texts = "".join(one.format(*task, mode, 0, "", SIZE) for task in tasks)
    return f"<meta><project>{LABELS}<tasks>{texts}</tasks></project></meta>"


def test_frames_of_a_subsets_tasks_are_numbered_on(tmp_path: Path) -> None:
    put_frames(tmp_path / "images/default", *range(5))
    put_frames(tmp_path / "images/Test", 0)
    put(
        tmp_path,
        track(box(1), more='task_id="7" subset="default"'),
        track(box(2), box(4), number=1, more='task_id="8" subset="default"'),  # frames 0 and 2 of b.mp4
        track(box(0), number=2, more='task_id="9" subset="Test"'),
        meta=number_tasks((7, "default", "a.mp4", 2), (8, "default", "b.mp4", 3), (9, "Test", "c.mp4", 1)),
    )
    report = ConversionReport()
    items = list(CvatFormat().read(tmp_path, report, {}).items)
    assert [(item.file_name, item.source_video, len(item.annotations)) for item in items] == [
        ("frame_000000.PNG", "a.mp4", 0),
        ("frame_000001.PNG", "a.mp4", 1),
        ("frame_000002.PNG", "b.mp4", 1),
        ("frame_000003.PNG", "b.mp4", 0),
        ("frame_000004.PNG", "b.mp4", 1),
        ("frame_000000.PNG", "c.mp4", 1),
    ]
    assert report.count("image", "dropped", SAME_PICTURE) == 0


def test_numbers_go_on_behind_the_start_and_the_steps_of_a_task(tmp_path: Path) -> None:
    put_frames(tmp_path / "images/default", 10, 15, 20)
    meta = number_tasks((7, "default", "a.mp4", 2), (8, "default", "b.mp4", 1))
    cut = meta.replace("<start_frame>0</start_frame><frame_filter>", "<start_frame>10</start_frame><frame_filter>step=5", 1)
    put(tmp_path, track(box(15), more='task_id="7"'), track(box(20), number=1, more='task_id="8"'), meta=cut)
    _, items, _ = read("cvat", tmp_path)
    assert [(item.source_video, len(item.annotations)) for item in items.values()] == [("a.mp4", 0), ("a.mp4", 1), ("b.mp4", 1)]


def test_a_number_that_goes_on_is_that_of_the_tasks_own_video(tmp_path: Path) -> None:
    put_video(tmp_path / "b.mp4", 8)
    tracks = (track(box(1), more='task_id="7"'), track(box(4), box(6), number=1, more='task_id="8"'))
    put(tmp_path, *tracks, meta=number_tasks((7, "default", "a.mp4", 4), (8, "default", "b.mp4", 8)))
    version, report = import_dataset(tmp_path, Workspace(tmp_path / "w"), "x")
    items = list(version.items())
    assert [item.file_name for item in items] == ["frame_000004.png", "frame_000006.png"]
    assert [round(version.read_image(item).mean()) for item in items] == pytest.approx([0, 40], abs=4)  # its frames 0 and 2
    assert report.count("image", "dropped", "picture is missing") == 1  # of a.mp4, for which b.mp4 must not stand


def test_pictures_that_have_names_are_not_taken_for_frames_by_their_numbers(tmp_path: Path) -> None:
    for number in (1, 2):  # CVAT's frames 0 and 1
        write_picture(tmp_path / f"images/frame_{number:06d}.png", 32, 16)
    task = f"<task><mode>annotation</mode>{LABELS}</task>"
    put(tmp_path, track(box(1)), meta=f"<meta>{task}</meta>")
    with pytest.raises(UnreadableDataset, match="a task of pictures 'for images'"):
        import_dataset(tmp_path, Workspace(tmp_path / "w"), "x")


def test_a_jobs_size_stands_beside_it(tmp_path: Path) -> None:
    put_frames(tmp_path / "images", 3)
    mask = '<mask frame="3" outside="0" rle="0, 4" left="30" top="2" width="2" height="2"/>'
    job = f"<job><id>12</id><mode>interpolation</mode>{LABELS}</job>"
    put(tmp_path, track(mask), meta=f"<meta>{job}{SIZE}</meta>")
    _, items, report = read("cvat", tmp_path)
    (item,) = items.values()
    assert item.source_video == "job 12"  # which keeps its frames together where a split is drawn
    assert decode_mask(item.annotations[0].mask).nonzero()[1].tolist() == [30, 31] * 2
    assert report.is_clean


def test_a_frame_of_which_no_shape_is_kept_counts_as_one_that_nobody_looked_at(tmp_path: Path) -> None:
    put_frames(tmp_path / "images", 0, 1, 2)
    put(tmp_path, track('<points frame="1" outside="0" points="1,2"/><points frame="2" outside="1" points="1,2"/>'))
    version, report = import_dataset(tmp_path, Workspace(tmp_path / "w"), "x")
    assert [item.seen_by for item in version.items()] == [None, "nobody", None]
    assert report.count("image", "warned", NONE_KEPT) == 1


def test_a_video_without_a_track_is_its_frames(tmp_path: Path) -> None:
    put_frames(tmp_path / "images", 0, 1)
    put(tmp_path)
    version, report = import_dataset(tmp_path, Workspace(tmp_path / "w"), "x")
    assert [len(item.annotations) for item in version.items()] == [0, 0]
    assert report.count("image", "warned", UNSAID) == 2
    assert report.count("image", "warned", FEW_VIDEOS) == 1  # both are in one split


def test_the_sample_export_is_read_as_counted_by_a_plain_parser(shared_data: Path) -> None:
    source = shared_data / "label-formats/datumaro-test-assets/cvat_dataset/for_video"
    shown = [
        (label.get("label"), box)
        for label in ElementTree.parse(source / "annotations.xml").getroot().findall("track")
        for box in label.findall("box")
        if box.get("outside") == "0"
    ]
    dataset, items, report = read("cvat", source)
    assert dataset.categories.names == ("klhg", "z U k", "II")
    assert list(items) == ["frame_000010.png", "frame_000013.png"]
    (found,) = [one for item in items.values() for one in item.annotations]
    assert [(label, float(box.get("xtl", "")), int(box.get("frame", ""))) for label, box in shown] == [("II", 3.0, 10)]
    assert (found.category, found.box_xyxy) == ("II", (3.0, 4.0, 10.0, 5.0))
    assert found.attributes == {"occluded": "1", "track_id": "0"}
    assert report.count("annotation", "dropped", "skeletons are not kept") == 3
