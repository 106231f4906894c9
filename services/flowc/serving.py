"""A service's code, loaded, and how it is called."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from flowc.calls import Call, Who, make_call
from flowc.classes import Classes
from flowc.codec import Codecs
from flowc.errors import CodeError
from flowc.load import Handler, handlers_of, service_target, setup_of
from flowc.mock import mock_handlers
from flowc_dsl.plan import HandlerPlan, ServicePlan
from flowc_engine.generations import History
from flowc_engine.partition import KeyTypeError

if TYPE_CHECKING:
    from flowc.stores import Stores


class Serving:
    """`handlers` by event. `history`: how what is stored was written. Raises `CodeError` for user
    code that can't be used."""

    def __init__(
        self, classes: Classes, service: ServicePlan, slot: int, history: History | None = None
    ) -> None:
        self.service = service
        self.stores: Stores | None = None
        self._setup: Callable[..., object] | None = None
        if service.run == "mock":
            found = mock_handlers(classes, service)
        else:
            target = service_target(service)
            found = handlers_of(service, target)
            self._setup = setup_of(service, target) if service.stores else None
            classes.adopt_imported()
        self.handlers = {n: [h for h in found if h.trigger == n] for n in service.subscribes}
        self.codecs = Codecs(classes, history)
        has_async = any(h.function.shape != "plain" for h in found)
        self._loop = asyncio.new_event_loop() if has_async else None
        self._who = Who(service.name, slot)
        try:
            for name in (*service.subscribes, *service.emits):
                self.codecs[name]  # a key that can't be one is met now
        except KeyTypeError as error:
            raise CodeError(str(error)) from error

    def open_stores(self, folder: Path, journal: int) -> None:
        """Handlers write to the service's store from now on. `folder` is that of all stores."""
        from flowc.stores import Stores

        own, partitions = folder / self.service.name, self.codecs.classes.plan.partitions
        self.stores = Stores(own, self.service, partitions, journal, self.codecs, self._setup)
        self._who = self._who._replace(stores=self.stores)

    def calls(self, wanted: Callable[[HandlerPlan], bool] = lambda _: True) -> dict[str, Call]:
        """By event, how the handlers that are wanted are called."""
        return {name: self._call(own, wanted) for name, own in self.handlers.items()}

    def _call(self, handlers: list[Handler], wanted: Callable[[HandlerPlan], bool]) -> Call:
        own = [h for h in handlers if wanted(h.declared)]
        return make_call(own, self.codecs, self._who, self._loop)

    def close(self) -> None:
        """End what runs beside the handlers, and close what they write to."""
        if self.stores is not None:
            self.stores.close()
        if self._loop is not None:
            self._loop.close()
