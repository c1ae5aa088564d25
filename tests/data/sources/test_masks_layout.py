import pytest

from tfdl import errors
from tfdl.data.sources import masks_layout


@pytest.fixture
def lay_out(tmp_path):
    """Return a function that makes empty files, and gives the folder."""

    def make(*names, **texts):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        for name, text in texts.items():
            (tmp_path / name.replace("__", "/")).write_text(text)
        return tmp_path

    return make


def pairs_of(folder):
    """Return {split: [(picture, label map)]} with paths below the root."""
    layout = masks_layout.find(folder)
    return {
        split: [
            (
                pair.image.relative_to(layout.root).as_posix(),
                pair.label.relative_to(layout.root).as_posix(),
            )
            for pair in pairs
        ]
        for split, pairs in layout.splits.items()
    }


@pytest.mark.parametrize(
    ("pictures", "labels"),
    [
        ("images", "masks"),
        ("images", "labels"),
        ("image", "label"),
        ("images", "annotations"),
        ("image", "mask"),
    ],
)
def test_folders_without_splits_are_train(lay_out, pictures, labels):
    folder = lay_out(
        *(f"set/{pictures}/{name}" for name in ("b.jpg", "a.png", "deep/c.d.jpg")),
        *(f"set/{labels}/{name}" for name in ("a.png", "b.PNG", "deep/c.d.png")),
    )
    expected = [
        (f"{pictures}/a.png", f"{labels}/a.png"),
        (f"{pictures}/b.jpg", f"{labels}/b.PNG"),
        (f"{pictures}/deep/c.d.jpg", f"{labels}/deep/c.d.png"),
    ]
    assert pairs_of(folder) == {"train": expected}
    assert masks_layout.find(folder).root == folder / "set"


@pytest.mark.parametrize("is_inside", [False, True])
def test_splits_are_above_the_folders_or_below(lay_out, is_inside):
    names = []
    for split in ("valid", "test", "training"):
        for kind, name in (("images", "a.jpg"), ("masks", "a.png")):
            place = f"{kind}/{split}" if is_inside else f"{split}/{kind}"
            names.append(f"{place}/{name}")
    found = pairs_of(lay_out(*names))
    assert list(found) == ["train", "validation", "test"]
    place = "images/training" if is_inside else "training/images"
    assert found["train"][0][0] == f"{place}/a.jpg"


def test_what_has_no_partner_is_a_pair_all_the_same(lay_out):
    folder = lay_out("images/a.jpg", "images/b.jpg", "masks/b.png", "masks/c.png")
    first, second, third = masks_layout.find(folder).splits["train"]
    assert first.label == folder / "masks" / "a.png"
    assert not first.fault
    assert not second.fault
    assert "no picture c" in third.fault


def test_a_split_without_label_maps_is_left_out(lay_out):
    folder = lay_out(
        "train/image/0.png", "train/label/0.png", "test/0.png", "test/0_predict.png"
    )
    layout = masks_layout.find(folder)
    assert list(layout.splits) == ["train"]
    assert layout.without_labels == [folder / "test"]


def test_camvid_s_lists_choose_and_order_its_pictures(lay_out):
    names = [
        f"x/CamVid/{split}{kind}/{number}.png"
        for split in ("train", "val", "test")
        for kind in ("", "annot")
        for number in range(3)
    ]
    folder = lay_out("x/README", "x/Models/a", *names)
    (folder / "x/CamVid/train.txt").write_text(
        "/SegNet/CamVid/train/2.png /SegNet/CamVid/trainannot/2.png\n\n"
        "CamVid/train/0.png CamVid/trainannot/0.png\n"
    )
    found = pairs_of(folder)
    assert {split: len(pairs) for split, pairs in found.items()} == {
        "train": 2,
        "validation": 3,
        "test": 3,
    }
    assert found["train"] == [
        ("train/2.png", "trainannot/2.png"),
        ("train/0.png", "trainannot/0.png"),
    ]
    assert pairs_of(folder / "x" / "CamVid") == found


@pytest.fixture
def voc(lay_out):
    """Return a folder of VOC's layout with five pictures and four label maps."""
    names = [f"VOCdevkit/VOC2012/JPEGImages/{number}.jpg" for number in range(5)]
    names += [
        f"VOCdevkit/VOC2012/SegmentationClass/{number}.png" for number in range(4)
    ]
    return lay_out(*names) / "VOCdevkit" / "VOC2012"


def numbers(folder):
    return {
        split: "".join(pair.label.stem for pair in pairs)
        for split, pairs in masks_layout.find(folder).splits.items()
    }


def test_voc_without_lists_is_what_has_label_maps(voc):
    assert numbers(voc.parent.parent) == {"train": "0123"}


def test_voc_s_lists_are_its_splits(voc):
    lists = voc / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "trainval.txt").write_text("3\n2\n1\n")
    assert numbers(voc) == {"train": "321"}
    (lists / "val.txt").write_text("1\n")
    assert numbers(voc) == {"train": "32", "validation": "1"}
    (lists / "train.txt").write_text("3\n9\n")
    assert numbers(voc) == {"train": "39", "validation": "1"}
    assert "no picture 9" in masks_layout.find(voc).splits["train"][1].fault


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["pictures/a.jpg"], "holds no folders of pictures and label maps"),
        (["images/a.jpg"], "holds no folders of pictures and label maps"),
        (["val/images/a.jpg", "val/masks/a.png"], "has validation and no train"),
        (["images/a.jpg", "masks/a.jpg"], "is no PNG, nor is any other"),
        (["images/a.jpg", "images/a.png", "masks/a.png"], "have the same name"),
        (
            [f"{s}/{k}" for s in ("val", "valid") for k in ("image/a.png", "label/b")],
            "both for validation",
        ),
    ],
)
def test_other_folders_are_refused(lay_out, names, words):
    with pytest.raises(errors.DataError, match=words):
        masks_layout.find(lay_out(*names))


def test_a_file_is_no_folder(lay_out):
    with pytest.raises(errors.DataError, match="is no folder"):
        masks_layout.find(lay_out("a.png") / "a.png")
