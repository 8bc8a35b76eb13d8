"""A segmenter that answers a limited number of times."""

from segrobust.errors import UsageError
from segrobust.models.base import Segmenter
from segrobust.types import Image, Masks, Prompts


class Counted(Segmenter):
    """Counts what a segmenter is asked, and asks nothing beyond a limit.

    A query is one photo shown with prompts: one call of a function, one request to an endpoint. An endpoint that takes
    fewer prompts in a request is sent several, and each is a query. A request that the server did not answer and that
    is made again is none: how often that happens must not change a photo.

    Args:
        segmenter: is asked.
        queries: how often at most.
    """

    def __init__(self, segmenter: Segmenter, queries: int) -> None:
        self.name = segmenter.name
        self.capabilities = segmenter.capabilities
        self.everything = segmenter.everything
        self.queries = queries
        self.asked = 0
        self._segmenter = segmenter

    def cost(self, prompts: Prompts) -> int:
        """How many queries prompts on one photo are."""
        settings = getattr(self._segmenter, "settings", None)
        at_a_time = settings.get("prompts_per_request") if isinstance(settings, dict) else None
        return -(-len(prompts) // at_a_time) if at_a_time else 1

    @property
    def left(self) -> int:
        """Queries that may still be made."""
        return self.queries - self.asked

    def answer(self, image: Image, prompts: Prompts, rule: str = "single") -> Masks:
        """See ``Segmenter.answer``.

        Raises:
            UsageError: the queries are spent.
        """
        cost = self.cost(prompts)
        if cost > self.left:
            raise UsageError(
                f"model {self.name!r} was asked {self.asked} times and may be asked {self.queries} times, which leaves "
                f"none for {cost} more; allow more with --set queries=N"
            )
        self.asked += cost  # before asking: what fails was asked too
        return self._segmenter.answer(image, prompts, rule)
