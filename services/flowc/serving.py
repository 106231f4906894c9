"""A service's code, loaded, and how it is called."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from flowc.calls import Call, Who, make_call
from flowc.classes import Classes
from flowc.codec import Codecs
from flowc.errors import CodeError
from flowc.load import Handler, load_handlers
from flowc.mock import mock_handlers
from flowc_dsl.plan import HandlerPlan, ServicePlan
from flowc_engine.generations import History
from flowc_engine.partition import KeyTypeError


class Serving:
    """`handlers` by event. `history`: how what is stored was written. Raises `CodeError` for user
    code that can't be used."""

    def __init__(
        self, classes: Classes, service: ServicePlan, slot: int, history: History | None = None
    ) -> None:
        self.service = service
        found = mock_handlers(classes, service) if service.run == "mock" else None
        if found is None:
            found = load_handlers(service)
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

    def calls(self, wanted: Callable[[HandlerPlan], bool] = lambda _: True) -> dict[str, Call]:
        """By event, how the handlers that are wanted are called."""
        return {name: self._call(own, wanted) for name, own in self.handlers.items()}

    def _call(self, handlers: list[Handler], wanted: Callable[[HandlerPlan], bool]) -> Call:
        own = [h for h in handlers if wanted(h.declared)]
        return make_call(own, self.codecs, self._who, self._loop)

    def close(self) -> None:
        """End what runs beside the handlers."""
        if self._loop is not None:
            self._loop.close()
