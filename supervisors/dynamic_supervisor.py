"""A supervisor that starts with no children and gets them one by one, each with a spec of its own.

Elixir: DynamicSupervisor.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

from typing_extensions import override

from supervisors.child_specs import ChildSpec, check_childspecs
from supervisors.dynamic_children import DynamicChildren
from supervisors.errors import ChildSpecError
from supervisors.process import Process
from supervisors.restart import RestartWindow, check_intensity
from supervisors.supervisor import BaseSupervisor

__all__ = ["DynamicSupFlags", "DynamicSupervisor"]


@dataclass(frozen=True, slots=True)
class DynamicSupFlags:
    """How a `DynamicSupervisor` treats its children: always one_for_one.

    More than ``intensity`` restarts within ``period`` seconds end it. ``max_children``: at once, None without bound.
    ``extra_arguments`` come before those of each child's ``start``.

    Raises:
        ChildSpecError: a flag has a value that it cannot have.
    """

    max_children: int | None = None
    intensity: int = 3
    period: float = 5.0
    extra_arguments: Sequence[object] = ()

    def __post_init__(self) -> None:
        check_intensity(self.intensity, self.period)
        bound = self.max_children
        if bound is not None and (not isinstance(bound, int) or isinstance(bound, bool) or bound < 0):
            raise ChildSpecError("max_children", bound, "must be an integer >= 0, or None")


class _Children(DynamicChildren):
    def __init__(self, supervisor: Process, flags: DynamicSupFlags) -> None:
        super().__init__(supervisor, RestartWindow(flags.intensity, flags.period), flags.max_children)
        self._extra_arguments = tuple(flags.extra_arguments)

    @override
    async def start_child(self, spec: ChildSpec) -> Any:
        check_childspecs([spec])
        if spec.significant:
            raise ChildSpecError("significant", True, "means nothing here: there is no auto_shutdown")  # noqa: FBT003
        if self._extra_arguments:
            start, extra = spec.start, self._extra_arguments
            spec = replace(spec, start=lambda *args: start(*extra, *args))
        return await super().start_child(spec)


class DynamicSupervisor(BaseSupervisor):
    """Supervises children that come and go, known by ref; stops them all at the same time.

    Start it with the fields of `DynamicSupFlags`, or subclass it with an ``init`` that returns those.
    """

    __slots__ = ()

    @override
    def init(self, *args: Any, **kwargs: Any) -> Any:
        """Return the `DynamicSupFlags`."""
        return DynamicSupFlags(*args, **kwargs)

    @final
    @override
    def _actor_family(self, process: Process, init: Any) -> tuple[DynamicChildren, tuple[()]]:
        if not isinstance(init, DynamicSupFlags):
            raise ChildSpecError("init", init, "must return DynamicSupFlags or Ignore()")
        return _Children(process, init), ()
