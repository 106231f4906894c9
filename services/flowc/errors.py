"""What can go wrong, as exceptions.

FlowcError
├── CodeError            the user's code can't be used: missing, raises on import, lacks a function
├── NoPlanError          asked for event classes outside of a service process
├── ContractError        a handler did what its declaration does not allow; never retried
│   ├── SchemaError      an event that does not fit its declared type
│   └── StoreUseError    a handler did with its store what is not its own to do
├── KilledError          a handler has killed its process, again and again; never retried
├── HaltedError          a handler gave up, and its declaration says `then halt`
├── StoreError           a store can't be used as it is: somebody has to look
│   └── StoreFailedError what may mend itself: a full disk, another process that has it
├── FencedError          another process has taken over
└── RefusedError         the broker does not accept this process or what it said
"""

from __future__ import annotations


class FlowcError(Exception):
    """The base of all that flowc raises in a service process."""


class CodeError(FlowcError):
    """The user's code can't be used. The message says what was looked for, and where."""


class NoPlanError(FlowcError):
    """There is no plan in this process, so there are no event classes made from it."""


class ContractError(FlowcError):
    """A handler emitted what it did not declare, or too few, or too many."""


class SchemaError(ContractError):
    """An event does not fit its declared type: names the event, the field and both types."""


class StoreUseError(ContractError):
    """A handler did with its store what is not its own to do."""


class KilledError(FlowcError):
    """The processes that handled an event died: what a handler did before, it would do again."""

    def __init__(self, handler: str) -> None:
        super().__init__(
            f"the process died each time that {handler} handled this event; it is not tried again"
        )


class HaltedError(FlowcError):
    """A handler gave up on an event, and its declaration says `then halt`."""


class StoreError(FlowcError):
    """A store can't be used as it is. The message names the file, and what to do."""


class StoreFailedError(StoreError):
    """A store could not be read or written just now: nothing is lost, and another start may go."""


class FencedError(FlowcError):
    """Another process serves this replica or source now."""


class RefusedError(FlowcError):
    """The broker refused this process. `code` is the wire's."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(f"{why} ({code})")
        self.code = code
