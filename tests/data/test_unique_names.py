from sightline.data.unique_names import UniqueNames


def test_a_name_that_is_taken_gets_its_split_then_a_number() -> None:
    names = UniqueNames()
    taken = [names.take("a.png", split) for split in ("train", "val", "val", None)]
    assert taken == ["a.png", "val/a.png", "a~2.png", "a~3.png"]
    assert [names.take("plain", None) for _ in range(2)] == ["plain", "plain~2"]
