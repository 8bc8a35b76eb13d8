"""What one RGA gradient costs beside the encoder's bare forward and backward pass over the same batch.

    python benchmarks/gradient_cost.py [--model nano] [--size 400x600] [--copies 3] [--out runs/gradient_cost.txt]

The bare pass: three prepared inputs through the encoder, a scalar, and its gradient at the inputs. RGA's: resize the
photo, three scale copies, normalise, warp, encode, loss, and back to the photo's own pixels. Both are repeated
alternately; the medians and their ratio are printed.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from segrobust.attacks.loop import Trace, gradient_of
from segrobust.attacks.objectives import AwayAndToward
from segrobust.attacks.views import RandomSimilarity, ScaleCopies
from segrobust.models import load
from segrobust.models.base import WhiteBox


def passes(model: WhiteBox, size: tuple[int, int], copies: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """The bare pass and RGA's, as functions without arguments."""
    draw = torch.Generator().manual_seed(0)
    image = torch.rand((1, 3, *size), generator=draw).to(model.device)
    with torch.no_grad():
        objective = AwayAndToward(model.embed(image).features, model.embed(image.flip(-1)).features, 1.0)
        inputs = model.prepare(model.resize(image)).expand(copies, -1, -1, -1).contiguous()
        direction = torch.randn(model.encode(inputs).shape, generator=draw).to(model.device)
    moved = (image + 0.01).clamp(0, 1)

    def bare() -> None:
        leaf = inputs.detach().requires_grad_(True)
        torch.autograd.grad((model.encode(leaf) * direction).sum(), leaf)

    def rga() -> None:
        gradient_of(model, moved, objective, (ScaleCopies(copies),), (RandomSimilarity(0.01),), draw, Trace())

    return bare, rga


def seconds(function: Callable[[], None]) -> float:
    begin = time.perf_counter()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--size", nargs="+", default=["400x600", "1500x2250"], help="photo sizes, height x width")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--copies", type=int, default=3, help="scale copies; fewer need less memory")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--out", type=Path, help="write the lines here too")
    args = parser.parse_args()
    model = load(args.model, device=args.device)
    threads = torch.get_num_threads()
    lines = [f"model {args.model}, {args.copies} views, {model.device}, {threads} threads, median of {args.repeats}"]
    for text in args.size:
        height, width = (int(part) for part in text.split("x"))
        bare, rga = passes(model, (height, width), args.copies)
        bare()
        rga()  # both once to warm up
        pairs = [(seconds(bare), seconds(rga)) for _ in range(args.repeats)]
        plain, full = (statistics.median(column) for column in zip(*pairs, strict=True))
        lines.append(
            f"photo {text}: encoder {1000 * plain:.1f} ms, RGA gradient {1000 * full:.1f} ms, ratio {full / plain:.3f}"
        )
    print("\n".join(lines))
    if args.out:
        args.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
