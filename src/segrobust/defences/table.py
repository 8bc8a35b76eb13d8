"""The table of defences: plain data, so that listing it imports no torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of defence.

    Attributes:
        form: how a name is written, e.g. ``jpeg-q<quality>``.
        names: those that are listed and used in plans; any other value in the range is a name too.
        does: what is done to the photo.
        values: the range of each parameter; empty if there is none.
        gradient: how an adaptive attack sees it.
        random: it draws.
        source: where it is from.
    """

    form: str
    names: tuple[str, ...]
    does: str
    values: str
    gradient: str
    random: bool
    source: str


KINDS = {
    "jpeg": Kind(
        form="jpeg-q<quality>",
        names=("jpeg-q95", "jpeg-q75", "jpeg-q50", "jpeg-q30"),
        does="saved as JPEG (4:2:0) and read again",
        values="quality 1 to 100",
        gradient="differentiable codec, rounding straight-through",
        random=False,
        source="Guo et al., ICLR 2018",
    ),
    "blur": Kind(
        form="blur-s<sigma>",
        names=("blur-s0.5", "blur-s1", "blur-s2"),
        does="Gaussian blur, kernel 2 ceil(3 sigma) + 1",
        values="sigma above 0, to 50 pixels",
        gradient="exact",
        random=False,
        source="",
    ),
    "median": Kind(
        form="median-<side>",
        names=("median-3", "median-5"),
        does="median of a square window, channel by channel",
        values="side 3, 5 ... 15 pixels",
        gradient="straight-through (BPDA): that of the window's mean",
        random=False,
        source="Xu et al., NDSS 2018",
    ),
    "bits": Kind(
        form="bits-<bits>",
        names=("bits-3", "bits-4", "bits-5"),
        does="fewer levels per channel",
        values="bits 1 to 7",
        gradient="straight-through (BPDA)",
        random=False,
        source="Xu et al., NDSS 2018",
    ),
    "downup": Kind(
        form="downup-<share>",
        names=("downup-0.5", "downup-0.75"),
        does="resized to a share of its sides, and back",
        values="share above 0, below 1",
        gradient="exact",
        random=False,
        source="",
    ),
    "resize-pad": Kind(
        form="resize-pad",
        names=("resize-pad",),
        does="random size (0.9 to 1.1), at a random place of a grey canvas",
        values="",
        gradient="exact, mean over draws",
        random=True,
        source="Xie et al., ICLR 2018",
    ),
    "noise": Kind(
        form="noise-s<sigma>",
        names=("noise-s0.02", "noise-s0.05", "noise-s0.1"),
        does="Gaussian noise",
        values="sigma above 0, to 1 (of the pixel range)",
        gradient="exact, mean over draws",
        random=True,
        source="",
    ),
    "smooth": Kind(
        form="smooth-s<sigma>-n<draws>",
        names=("smooth-s0.05-n8",),
        does="majority vote, pixel by pixel, of the answers under Gaussian noise",
        values="sigma as of noise; 2 to 1000 draws",
        gradient="that of the noise, mean over draws",
        random=True,
        source="Cohen et al., ICML 2019; Fischer et al., ICML 2021",
    ),
    "tv": Kind(
        form="tv-w<weight>",
        names=("tv-w0.03", "tv-w0.05", "tv-w0.1"),
        does="total variation denoising, 30 iterations",
        values="weight above 0, to 1",
        gradient="exact, through all iterations",
        random=False,
        source="Rudin et al. 1992; Chambolle 2004",
    ),
}

NONE = "none"
NAMES = (NONE, *(name for kind in KINDS.values() for name in kind.names))
