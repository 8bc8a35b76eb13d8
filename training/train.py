"""Train an embedded model.

    python training/train.py --data DATA --scenes SCENES.npz... --out training/runs/nano --minutes 120
    python training/train.py --model nano-vit --teacher nano --data DATA ... --out training/runs/nano-vit --minutes 50

    python training/train.py --teacher nano --imitation 1 --epsilon 0.0157 --lr 3e-4 ... --out training/runs/nano-robust

With a teacher, the prompt encoder and decoder start from the teacher's, and during the first part of the time the
encoder learns to give the teacher's embedding (as MobileSAM was made); then everything is trained by the one recipe.
With an epsilon, what imitates is under attack: the same embedding is asked for whatever PGD does to the photo.

Resumable: run the same command again after an interruption; it continues from OUT/state.pt.
Writes OUT/model.safetensors (averaged weights, float16), OUT/config.json, OUT/log.jsonl.
"""

import argparse
import copy
import json
import math
import time
import zipfile
from pathlib import Path

import cv2
import numpy as np
import torch
from adversarial import farthest
from batches import Batch, Sampler
from dense import ConvFamily
from families import FAMILIES, adopt
from losses import affinity_loss
from muon import MuonAdam
from photos import training_photos
from safetensors.torch import load_file
from score import quick_score
from torch import Tensor, nn

from segrobust.models import load
from segrobust.models.nano import NanoConfig

IMAGES, PROMPTS = 8, 8
EMBEDDED = Path(__file__).resolve().parent.parent / "src/segrobust/models/embedded"
KINDS = {**FAMILIES, "nano-conv": ConvFamily()}
ENCODERS_OWN = ("embed", "token", "stem.0", "position", "rel_pos", "patch_embed")


class Trainer:
    """Model, averaged model, optimiser and clock; saves and restores all of them."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        torch.manual_seed(args.seed)
        self.family = KINDS[args.model]
        self.model = self.family.build()
        self.teacher = load(args.teacher) if args.teacher else None
        start = args.init or (EMBEDDED / args.teacher / "model.safetensors" if args.teacher else None)
        if start:
            adopt(self.model, load_file(start))
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
            elif any(part in name for part in ENCODERS_OWN):
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
        self.family.export(self.average, self.args.out)

    def progress(self) -> float:
        """How much of the processor time is used, 0 to 1; the schedule follows it."""
        return min(1.0, self.seconds / (60 * self.args.minutes))

    def learn(self, batch: Batch) -> dict[str, float]:
        """One optimiser step."""
        progress = self.progress()
        rate = (
            self.args.lr
            * min(1.0, (self.step + 1) / self.args.warmup)
            * (0.5 * (1 + math.cos(math.pi * progress)) + 0.003)
        )
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        imitate = self.teacher is not None and progress < self.args.imitation
        loss, values = self._imitation(batch) if imitate else self._recipe(batch)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        self._average()
        return {k: float(torch.as_tensor(v).detach()) for k, v in {"loss": loss, **values, "norm": norm}.items()}

    def _imitation(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The squared distance to the teacher's embedding, as a share of its squared length."""
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                goal = self.teacher.encode(batch.pixels)
            if self.args.epsilon:
                return self._under_attack(batch, goal)
            features = self.family.embed(self.model, batch.pixels).features.float()
        distance = _distance(features, goal)
        return distance, {"imitation": distance, "cosine": between_photos(features)}

    def _under_attack(self, batch: Batch, goal: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The same for photos that are attacked against it, and for the photos themselves.

        Source: FARE (Schlarmann et al., ICML 2024), with SAM's anatomy instead of CLIP's. Batch norm keeps the
        statistics it was trained with: those of attacked photos are other ones.
        """
        self.model.eval()

        def encode(pixels: Tensor) -> Tensor:
            return self.family.embed(self.model, pixels).features

        trained = [p for p in self.model.parameters() if p.requires_grad]
        for parameter in trained:  # the attack needs the gradient of the pixels alone
            parameter.requires_grad_(False)
        attacked = farthest(encode, batch.pixels, goal, self.args.epsilon, self.args.attack_steps)
        for parameter in trained:
            parameter.requires_grad_(True)
        features = encode(torch.cat([attacked, batch.pixels])).float()
        robust, clean = (_distance(part, goal) for part in features.chunk(2))
        return robust + self.args.clean_weight * clean, {
            "robust": robust, "imitation": clean, "cosine": between_photos(features)
        }  # fmt: skip

    def _recipe(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.autocast("cpu", torch.bfloat16):
            image = self.family.embed(self.model, batch.pixels)
            masks, values = self.family.mask_loss(self.model, image, batch)
        affinity = affinity_loss(self.family.affine(image.features), batch.tokens, self.affinity)
        values |= {"affinity": affinity, "cosine": between_photos(image.features)}
        return masks + 0.5 * affinity, values

    @torch.no_grad()
    def _average(self) -> None:
        keep = min(0.9993, (1 + self.step) / (10 + self.step))
        for slow, fast in zip(self.average.state_dict().values(), self.model.state_dict().values(), strict=True):
            if slow.is_floating_point():
                slow.lerp_(fast, 1 - keep)
            else:
                slow.copy_(fast)


def _distance(features: Tensor, goal: Tensor) -> Tensor:
    return (features - goal).square().sum() / goal.square().sum()


def between_photos(features: Tensor) -> Tensor:
    """Mean cosine between the embeddings of neighbouring photos of a batch."""
    flat = features.detach().float().flatten(1)
    return nn.functional.cosine_similarity(flat, flat.roll(1, 0)).mean()


def read_scenes(paths: list[Path]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Images and region maps of the scene files, one array a file, left on disk until they are used."""
    parts: dict[str, list[np.ndarray]] = {"images": [], "regions": []}
    for path in paths:
        folder = path.with_suffix("")
        if not folder.exists():
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder.with_suffix(".part"))
            folder.with_suffix(".part").rename(folder)
        for key, arrays in parts.items():
            arrays.append(np.load(folder / f"{key}.npy", mmap_mode="r"))
    return parts["images"], parts["regions"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scenes", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=120, help="processor time to train for")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--warmup", type=int, default=300, help="steps until the learning rate is reached")
    parser.add_argument("--decay", type=float, default=0.05)
    parser.add_argument("--scene-share", type=float, nargs=2, default=(0.5, 0.15), help="at the start and at the end")
    parser.add_argument("--model", choices=KINDS, default="nano")
    parser.add_argument("--init", type=Path, help="start from these weights, where name and shape are the same")
    parser.add_argument("--teacher", help="a trained model to imitate first")
    parser.add_argument("--imitation", type=float, default=0.5, help="for this share of the time")
    parser.add_argument("--epsilon", type=float, default=0.0, help="imitate under attack, share of the pixel range")
    parser.add_argument("--attack-steps", type=int, default=3)
    parser.add_argument("--clean-weight", type=float, default=0.5, help="of the photos that are not attacked")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    trainer = Trainer(args)
    photos = training_photos(args.data)
    sampler = Sampler(photos, read_scenes(args.scenes), NanoConfig().image_size, args.seed + trainer.step)
    sums: dict[str, tuple[float, int]] = {}
    last_save = time.monotonic()
    while trainer.progress() < 1:
        begin = time.process_time()
        start, end = args.scene_share
        share = start + (end - start) * trainer.progress()
        batch = sampler.batch(IMAGES, PROMPTS, share, several_points=trainer.step % 6 == 5)
        for key, value in trainer.learn(batch).items():
            total, count = sums.get(key, (0.0, 0))
            sums[key] = (total + value, count + 1)
        trainer.seconds += time.process_time() - begin
        if trainer.step % 100 == 0:
            line = {"step": trainer.step, "minutes": round(trainer.seconds / 60, 2)}
            line.update({k: round(total / count, 4) for k, (total, count) in sums.items()})
            sums = {}
            report(args.out, line)
        if time.monotonic() - last_save > 300:
            trainer.save()
            last_save = time.monotonic()
    trainer.save()
    report(args.out, {"step": trainer.step, "score": quick_score(args.out, args.data)})


def report(folder: Path, line: dict) -> None:
    """Print one line and append it to the log."""
    print(json.dumps(line), flush=True)
    with (folder / "log.jsonl").open("a") as log:
        log.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
