"""Checks that look for a lying evaluation. The table below is all of them; docs/checks.md is made from it."""

from collections.abc import Iterable

from segrobust.benchmark.cells import tabulate
from segrobust.benchmark.checks import attacks, references
from segrobust.benchmark.checks.base import Check, Finding, Level, Look
from segrobust.benchmark.facts import Facts
from segrobust.benchmark.rows import Row

LEVELS: tuple[Level, ...] = ("error", "warning", "info")


def _check(id: str, level: Level, look: Look, advice: str) -> Check:
    return Check(id, level, " ".join((look.__doc__ or "").split()), advice, look)


CHECKS = (
    _check("budget-on-disk", "error", attacks.budget_on_disk,
           "round onto the budget before saving, and measure the file; the row is not comparable with any other"),
    _check("gradient-zero", "error", attacks.gradient,
           "look for rounding, clipping or a detached tensor between photo and embedding; use a random start, float32, "
           "or a straight-through step"),
    _check("loss-not-falling", "warning", attacks.loss_falls,
           "try a smaller step, more steps, or the objective's sign; an attack that does not optimise proves nothing"),
    _check("no-better-than-noise", "warning", attacks.better_than_noise,
           "do not call it an attack: raise steps or epsilon, add photos, or look for masked gradients"),
    _check("clean-score-low", "warning", references.clean_score,
           "report the conditional ASR, and look whether prompts, annotation and model belong together"),
    _check("larger-epsilon-helps", "warning", attacks.epsilon_order,
           "the larger budget contains the smaller: give the attack more steps or restarts until the order holds"),
    _check("black-box-stronger", "warning", attacks.white_box_stronger,
           "the target's own gradients mislead (masking): attack it adaptively, or report the stronger number"),
    _check("clean-passes-differ", "error", references.two_clean_passes,
           "fix what is random in the model, or its precision, before differences are read as effects"),
    _check("float-to-8bit", "warning", attacks.float_to_8bit,
           "optimise with the rounding in the loop, or take larger steps; only the saved photo counts"),
    _check("no-adaptive-attack", "warning", references.adaptive_missing,
           "add the adaptive version (adaptive: true); a defence that nobody tried to get around is not one yet"),
    _check("reference-mixed-up", "error", references.reference_mixed_up,
           "references come from the original photo, once, and are shared by all rows; find out where they were made"),
    _check("rows-failed", "warning", references.failed_rows,
           "run again (what is done is kept), or compare by the paired differences, which use common photos only"),
    _check("paper-space", "info", attacks.paper_space,
           "compare only with numbers of the same space, and quote the measured difference beside epsilon"),
    _check("few-photos", "info", references.few_photos,
           "use 20 photos or more before an interval is quoted"),
)  # fmt: skip


def run_checks(rows: Iterable[Row], facts: Facts) -> list[Finding]:
    """Look at a whole run.

    Args:
        rows: all of them, in any order.
        facts: what the run knows about itself.

    Returns:
        What was found, errors first, in the order of :data:`CHECKS`.
    """
    table = tabulate(rows, facts)
    found = [
        Finding(check.id, check.level, message, check.advice, where)
        for check in CHECKS
        for message, where in check.look(table, facts)
    ]
    return sorted(found, key=lambda finding: LEVELS.index(finding.level))


def failing(findings: Iterable[Finding], level: Level) -> list[Finding]:
    """What a gate stops at: findings of a level or a graver one."""
    return [finding for finding in findings if LEVELS.index(finding.level) <= LEVELS.index(level)]


__all__ = ["CHECKS", "LEVELS", "Check", "Finding", "Level", "failing", "run_checks"]
