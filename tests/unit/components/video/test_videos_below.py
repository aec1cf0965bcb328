from pathlib import Path

import pytest

from components.errors import UserError
from components.video.videos_below import list_videos
from tests.sample_videos import write_folder


def test_videos_are_listed_with_frame_folders_and_without_hidden_ones(tmp_path: Path) -> None:
    for name in ["v10.mp4", "v2.MOV", "deep/er/x.webm", "a b.gif", ".hidden.mp4", ".git/x.mp4"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "readme.txt").touch()
    write_folder(tmp_path / "deep" / "frames", ["1.png", "2.jpg"])
    names = ["a b.gif", "deep/er/x.webm", "deep/frames", "v2.MOV", "v10.mp4"]
    expected = [f"{tmp_path}/{name}" for name in names]
    told = ("1 file(s) that are no videos are left out (readme.txt): 1 .txt",)
    assert list_videos(str(tmp_path)) == (expected, told)
    assert list_videos(tmp_path.as_uri()) == (expected, told)
    assert list_videos(f"{tmp_path}/deep/frames/") == ([f"{tmp_path}/deep/frames"], ())
    with pytest.raises(UserError, match="does not exist"):
        list_videos(f"{tmp_path}/gone")
