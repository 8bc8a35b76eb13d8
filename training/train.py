"""Train an embedded model.

    python training/train.py --data DATA --scenes SCENES.npz... --out training/runs/nano --minutes 120

Resumable: run the same command again after an interruption; it continues from OUT/state.pt.
Writes OUT/model.safetensors (averaged weights, float16), OUT/config.json, OUT/log.jsonl.
"""

import argparse
import copy
import json
import math
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from batches import Batch, Sampler
from losses import affinity_loss, mask_losses
from muon import MuonAdam
from photos import training_photos
from score import quick_score
from torch import Tensor, nn

from segrobust.models.loading import NANO_FORMAT
from segrobust.models.nano import NanoConfig, NanoSam

IMAGES, PROMPTS = 8, 8


def decode_all(model: NanoSam, embedding: Tensor, sparse: Tensor, dense: Tensor) -> tuple[Tensor, Tensor]:
    """All four masks (single-mask token first) and predicted IoUs of every prompt.

    transformers' decoder computes the four and returns either the first or the other three; training needs all.

    Returns:
        Low-resolution logits ``(B, P, 4, h, w)`` and predicted IoUs ``(B, P, 4)``.
    """
    decoder = model.mask_decoder
    batch, channels, height, width = embedding.shape
    prompts = sparse.shape[1]
    tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([tokens.expand(batch, prompts, -1, -1), sparse], dim=2)
    position = wide_position(model, height).expand(batch, -1, -1, -1)
    out, image = decoder.transformer(
        point_embeddings=tokens,
        image_embeddings=(embedding + dense).repeat_interleave(prompts, 0),
        image_positional_embeddings=position.repeat_interleave(prompts, 0),
        attention_similarity=None,
    )
    image = image.transpose(2, 3).reshape(batch * prompts, channels, height, width)
    image = decoder.activation(decoder.upscale_layer_norm(decoder.upscale_conv1(image)))
    image = decoder.activation(decoder.upscale_conv2(image))
    hyper = torch.stack([mlp(out[:, :, 1 + i]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps)], dim=2)
    masks = hyper @ image.reshape(batch, prompts, image.shape[1], -1)
    iou = decoder.iou_prediction_head(out[:, :, 0])
    return masks.reshape(batch, prompts, -1, 4 * height, 4 * width), iou


def wide_position(model: NanoSam, side: int) -> Tensor:
    """The positional encoding of every embedding token, ``(1, C, side, side)``."""
    centres = (torch.arange(side) + 0.5) / side
    grid = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), dim=-1)
    encoded: Tensor = model.shared_image_embedding(grid)
    return encoded.permute(2, 0, 1)[None]


class Trainer:
    """Model, averaged model, optimiser and clock; saves and restores all of them."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        torch.manual_seed(args.seed)
        self.model = NanoSam(NanoConfig())
        if args.init:
            from safetensors.torch import load_file

            self.model.load_state_dict({k: v.float() for k, v in load_file(args.init).items()}, strict=False)
        self.model.vision_encoder.to(memory_format=torch.channels_last)
        self.affinity = nn.Parameter(torch.tensor([6.0, -2.0]))  # scale and offset of the cosine
        self.optimiser = MuonAdam(self._groups(), lr=args.lr)
        self.average = copy.deepcopy(self.model)
        self.step, self.seconds = 0, 0.0
        self.state = args.out / "state.pt"
        if self.state.exists():
            self._restore()

    def _groups(self) -> list[dict]:
        """Muon for the matrices inside the network; Adam for embeddings, the stem, norms and biases."""
        matrices, others, plain = [], [], [self.affinity]
        for name, parameter in self.model.named_parameters():
            if parameter.ndim < 2:
                plain.append(parameter)
            elif any(part in name for part in ("embed", "token", "stem.0", "position")):
                others.append(parameter)
            else:
                matrices.append(parameter)
        decay = self.args.decay
        return [
            {"params": matrices, "weight_decay": decay, "muon": True},
            {"params": others, "weight_decay": decay, "muon": False},
            {"params": plain, "weight_decay": 0.0, "muon": False},
        ]

    def _restore(self) -> None:
        saved = torch.load(self.state, weights_only=True)
        self.model.load_state_dict(saved["model"])
        self.average.load_state_dict(saved["average"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.affinity.data.copy_(saved["affinity"])
        self.step, self.seconds = saved["step"], saved["seconds"]

    def save(self) -> None:
        """Write everything needed to continue, and the averaged weights as they would ship."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "affinity": self.affinity.data,
            "step": self.step,
            "seconds": self.seconds,
        }
        torch.save(state, self.state.with_suffix(".part"))
        self.state.with_suffix(".part").replace(self.state)
        export(self.average, self.args.out)

    def progress(self) -> float:
        """How much of the budget is used, 0 to 1. The schedule follows the clock: a shared machine still finishes."""
        return min(1.0, self.seconds / (60 * self.args.minutes))

    def learn(self, batch: Batch) -> dict[str, float]:
        """One optimiser step."""
        rate = (
            self.args.lr * min(1.0, (self.step + 1) / 300) * (0.5 * (1 + math.cos(math.pi * self.progress())) + 0.003)
        )
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        with torch.autocast("cpu", torch.bfloat16):
            embedding = self.model.vision_encoder(batch.pixels.contiguous(memory_format=torch.channels_last))
            points, dense = self.model.prompt_encoder(batch.points, batch.labels, None, None)
            sparse = [points]
            if batch.boxes is not None:
                sparse.append(self.model.prompt_encoder(None, None, batch.boxes, None)[0])
            logits, iou = decode_all(self.model, embedding, torch.cat(sparse, dim=1), dense)
        multi, single, quality, best = mask_losses(logits.float(), iou.float(), batch.targets)
        affinity = affinity_loss(embedding, batch.tokens, self.affinity)
        loss = multi + 0.5 * single + quality + 0.5 * affinity
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        self._average()
        flat = embedding.detach().float().flatten(1)
        cosine = nn.functional.cosine_similarity(flat, flat.roll(1, 0)).mean()
        values = {"loss": loss, "multi": multi, "single": single, "quality": quality, "affinity": affinity}
        values.update(best=best, cosine=cosine, norm=norm)
        return {k: float(torch.as_tensor(v).detach()) for k, v in values.items()}

    @torch.no_grad()
    def _average(self) -> None:
        keep = min(0.9993, (1 + self.step) / (10 + self.step))
        for slow, fast in zip(self.average.state_dict().values(), self.model.state_dict().values(), strict=True):
            if slow.is_floating_point():
                slow.lerp_(fast, 1 - keep)
            else:
                slow.copy_(fast)


def export(model: NanoSam, folder: Path) -> None:
    """Write the weights (float16 safetensors) and the configuration."""
    from safetensors.torch import save_file

    tensors = {k: v.half().contiguous() for k, v in model.state_dict().items() if "num_batches" not in k}
    tensors.pop("shared_image_embedding.positional_embedding", None)  # the prompt encoder's own, under a second name
    save_file(tensors, folder / "model.safetensors.part")
    (folder / "model.safetensors.part").replace(folder / "model.safetensors")
    config = {"format": NANO_FORMAT, "architecture": model.nano_config.to_dict(), "everything": {}}
    if not (folder / "config.json").exists():  # the thresholds are chosen by hand and stay
        (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scenes", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=120, help="training time, interruptions not counted")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--decay", type=float, default=0.05)
    parser.add_argument("--scene-share", type=float, nargs=2, default=(0.5, 0.15), help="at the start and at the end")
    parser.add_argument("--init", type=Path, help="start from these weights")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    trainer = Trainer(args)
    scenes = [np.load(path) for path in args.scenes]
    drawn = tuple(np.concatenate([s[key] for s in scenes]) for key in ("images", "regions"))
    sampler = Sampler(training_photos(args.data), drawn, trainer.model.nano_config.image_size, args.seed + trainer.step)
    sums: dict[str, float] = {}
    last_save = time.monotonic()
    while trainer.progress() < 1:
        begin = time.monotonic()
        start, end = args.scene_share
        share = start + (end - start) * trainer.progress()
        batch = sampler.batch(IMAGES, PROMPTS, share, several_points=trainer.step % 6 == 5)
        for key, value in trainer.learn(batch).items():
            sums[key] = sums.get(key, 0.0) + value
        trainer.seconds += time.monotonic() - begin
        if trainer.step % 100 == 0:
            line = {"step": trainer.step, "minutes": round(trainer.seconds / 60, 2)}
            line.update({k: round(v / 100, 4) for k, v in sums.items()})
            sums = {}
            report(args.out, line)
        if time.monotonic() - last_save > 300:
            trainer.save()
            last_save = time.monotonic()
    trainer.save()
    report(args.out, {"step": trainer.step, "score": quick_score(trainer.average, args.data)})


def report(folder: Path, line: dict) -> None:
    """Print one line and append it to the log."""
    print(json.dumps(line), flush=True)
    with (folder / "log.jsonl").open("a") as log:
        log.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
