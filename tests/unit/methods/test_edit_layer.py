import pytest
import torch

from methods.edit_layer import Box, Generator, box_of_mask, box_of_places, compose, sample


def pictured(height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand((3, height, width), generator=generator)


@pytest.mark.parametrize(("height", "width"), [(9, 9), (3, 3), (1, 20), (33, 14)])
def test_the_generator_takes_any_size_and_gives_colours_and_coverage(
    height: int, width: int
) -> None:
    torch.manual_seed(0)
    generator = Generator(4, 2, 3)
    assert generator.smallest == 9
    made = generator(pictured(height, width)[None]).detach()
    assert made.shape == (1, 4, height, width)
    assert 0 <= float(made.min()) <= float(made.max()) <= 1


def test_the_official_generator_has_its_size() -> None:
    # Counted by hand: scales of 128 channels, of which the first reads 3.
    def convolution(inputs: int, outputs: int, kernel: int) -> int:
        return outputs * (inputs * kernel**2 + 1) + 2 * outputs  # weights, bias, norm

    def scale(inputs: int) -> int:
        down = convolution(inputs, 128, 3) + convolution(128, 128, 3)
        up = 2 * 132 + convolution(132, 128, 3) + convolution(128, 128, 1)
        return convolution(inputs, 4, 1) + down + up

    count = sum(p.numel() for p in Generator(128, 4, 7).parameters())
    assert count == scale(3) + 6 * scale(128) + 4 * (128 + 1)


def test_places_at_its_pixels_give_an_atlas_back_whole_or_in_part() -> None:
    atlas = pictured(10, 10)
    rows, columns = torch.meshgrid(torch.arange(2, 6), torch.arange(3, 9), indexing="ij")
    places = torch.stack([columns, rows], dim=-1) / 10
    for box in (Box(top=0, left=0, height=10, width=10), Box(top=2, left=1, height=7, width=8)):
        looked = sample(box.of(atlas)[None], box, places, 10)
        torch.testing.assert_close(looked, atlas[:, 2:6, 3:9])
    between = sample(atlas[None], box := Box(top=0, left=0, height=10, width=10), places + 0.05, 10)
    corners = [atlas[:, 2 + i : 6 + i, 3 + j : 9 + j] for i in (0, 1) for j in (0, 1)]
    torch.testing.assert_close(between, torch.stack(corners).mean(0))
    assert box.bottom == box.right == 10


def test_the_box_of_places_holds_the_pixels_around_all_of_them() -> None:
    places = torch.tensor([[0.25, 0.5], [0.31, 0.77]])
    assert box_of_places(places, 10) == Box(top=5, left=2, height=4, width=3)
    assert box_of_places(torch.tensor([[0.0, 1.0]]), 10) == Box(top=8, left=0, height=2, width=2)


def test_the_box_of_a_mask_has_a_border_within_the_frame() -> None:
    mask = torch.zeros(20, 30, dtype=torch.bool)
    mask[4:7, 10:12] = True
    assert box_of_mask(mask, 0) == Box(top=4, left=10, height=3, width=2)
    assert box_of_mask(mask, 3) == Box(top=1, left=7, height=9, width=8)
    assert box_of_mask(mask, 99) == Box(top=0, left=0, height=20, width=30)


def test_an_edit_is_laid_on_as_far_as_it_covers_and_its_layer_is_seen() -> None:
    ground, edit = pictured(2, 2), torch.ones(4, 2, 2)
    edit[3] = torch.tensor([[0, 1], [0.5, 1]])
    weight = torch.tensor([[[1, 1], [1, 0.25]]])
    out = compose(edit, weight, ground)
    assert torch.equal(out[:, 0, 0], ground[:, 0, 0])
    assert torch.equal(out[:, 0, 1], torch.ones(3))
    torch.testing.assert_close(out[:, 1, 0], (1 + ground[:, 1, 0]) / 2)
    torch.testing.assert_close(out[:, 1, 1], 0.25 + 0.75 * ground[:, 1, 1])
