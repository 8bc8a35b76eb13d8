"""The photos of a plan that are shown to its targets: the original, the controls, and every attack."""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from segrobust.attacks.recipes import Recipe, make_recipe
from segrobust.benchmark.plans.parts import CONTROLS, PlaceError, ours
from segrobust.benchmark.plans.plan import Plan
from segrobust.benchmark.rows import CLEAN, NO_DEFENCE


@dataclass(frozen=True)
class Variant:
    """An attack with everything that a plan says about it.

    Attributes:
        label: in tables, unique in a plan.
        recipe: its name.
        epsilon: the budget; ``0`` for the original photo.
        parameters: what is changed of the recipe.
        surrogates: what it is made on; of noise, nothing.
    """

    label: str
    recipe: str
    epsilon: str
    parameters: dict[str, Any] = field(default_factory=dict)
    surrogates: tuple[str, ...] = ()

    def also_on(self, other: "Variant") -> "Variant":
        """The same attack, made on the other's surrogates too.

        Raises:
            ValueError: the other is another attack, or is made on one of the same surrogates.
        """
        if replace(other, surrogates=self.surrogates) != self:
            raise ValueError(f"two attacks are called {self.label!r}; give one a 'label'")
        if twice := [name for name in other.surrogates if name in self.surrogates]:
            raise ValueError(f"{self.label!r} is made on {twice[0]!r} twice; leave one out, or give one a 'label'")
        return replace(self, surrogates=(*self.surrogates, *other.surrogates))

    @property
    def control(self) -> bool:
        """Noise: it looks into no model."""
        return self.recipe in CONTROLS

    def make(self) -> Recipe:
        """The recipe."""
        return make_recipe(self.recipe, **self.parameters)


ORIGINAL = Variant(CLEAN, CLEAN, "0")


@dataclass(frozen=True)
class Shot:
    """A photo that targets are shown.

    Attributes:
        variant: the attack.
        surrogate: the model that it looked into; None for the original and for noise.
        adaptive: the defence that it was adapted to; ``none`` for none.
    """

    variant: Variant
    surrogate: str | None = None
    adaptive: str = NO_DEFENCE

    def faces(self, defence: str) -> bool:
        """Whether it is shown to targets behind a defence: an adaptive one only behind its own."""
        return self.adaptive in (NO_DEFENCE, defence)

    @property
    def name(self) -> tuple[str, str, str]:
        """What tells it from the other shots of a plan."""
        return self.variant.label, self.surrogate or "", self.adaptive


def variants(plan: Plan) -> tuple[Variant, ...]:
    """The controls of every budget, then the attacks, in the order of the plan.

    Raises:
        PlaceError: two of them would be the same row of tables.
    """
    attacks: dict[str, Variant] = {}
    for place, entry in enumerate(plan.attacks):
        for changed in entry.combinations():
            shown = {key: value for key, value in changed.items() if entry.label is None or key in entry.sweep}
            for epsilon in entry.epsilons or plan.epsilons:
                label = _label(plan, entry.label or entry.attack, shown, epsilon)
                found = Variant(label, entry.attack, epsilon, changed, entry.surrogates or plan.surrogates)
                before = attacks.get(label)
                attacks[label] = found if before is None else ours(partial(before.also_on, found), "attacks", place)
    budgets = dict.fromkeys([*plan.epsilons, *(variant.epsilon for variant in attacks.values())])
    controls = [Variant(_label(plan, name, {}, epsilon), name, epsilon) for epsilon in budgets for name in CONTROLS]
    for control in controls:
        if control.label in attacks:
            raise PlaceError(f"an attack may not be called {control.label!r}", "attacks")
    if CLEAN in attacks:
        raise PlaceError(f"an attack may not be called {CLEAN!r}", "attacks")
    return (*controls, *attacks.values())


def shots(plan: Plan) -> tuple[Shot, ...]:
    """The original, the controls, then for each surrogate its attacks, oblivious of defences and adapted to them."""
    every = variants(plan)
    attacks = [variant for variant in every if not variant.control]
    adapted = (NO_DEFENCE, *plan.adaptive_defences)
    return (
        Shot(ORIGINAL),
        *(Shot(variant) for variant in every if variant.control),
        *(
            Shot(variant, surrogate, defence)
            for surrogate in plan.white_boxes
            for defence in adapted
            for variant in attacks
            if surrogate in variant.surrogates
        ),
    )


def _label(plan: Plan, name: str, shown: dict[str, Any], epsilon: str) -> str:
    """The name, and what it differs by; the budget where it is not the plan's first."""
    parts = [f"{key}={_short(value)}" for key, value in shown.items()]
    if epsilon != plan.epsilons[0]:
        parts.append(f"eps={epsilon}")
    return f"{name}[{', '.join(parts)}]" if parts else name


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
