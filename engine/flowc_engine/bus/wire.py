"""The wire protocol: what travels between the broker and its clients.

A message is a ZeroMQ multipart: frame 0 is one of the structs below as msgpack (tagged,
array-like), and the frames after it are *bodies*, one for each `Batch` of the message in order:
an Arrow IPC record batch message (`RecordBatch.serialize()`, no schema) whose schema
`flowc_engine.schema.wire_schema` derives from the plan.

Clients are DEALER sockets, the broker is a ROUTER. A client says `Hello` first, and `Heartbeat`
every `HEARTBEAT_MS`; the broker answers a stranger with `Who`, and the client says `Hello` again
(that is how a restarted broker is noticed). All names are strings of the plan. Offsets and
record numbers count from 0.
"""

from __future__ import annotations

from typing import Literal, TypeVar

import msgspec

PROTOCOL_VERSION = 3
T = TypeVar("T")


class Message(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """The base of all messages; the tag is the class's name."""


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """What a body holds: `rows` events of one type.

    The batches of a message follow each other: the first event of one comes right behind the last
    of the one before. Where types alternate, that would make batches of one; so a message may say
    in `places` where each row stands among all events of the message: little-endian u32, ascending.
    Either all batches of a message have places, or none.
    """

    event: str
    rows: int
    places: bytes = b""


class Delivered(msgspec.Struct, frozen=True, array_like=True):
    """A body as it is delivered. Row `i` of the body has the offset `first + i`, or with `places`
    the offset `first + places[i]`; then deliveries with the same `first` interleave.

    Only the rows with `begin <= offset < end` of the `Deliver` are to be handled.
    """

    event: str
    rows: int
    first: int
    source: str  # the service or source that emitted it
    places: bytes = b""


class Parked(msgspec.Struct, frozen=True, array_like=True):
    """An event that a handler gave up on. `partition` is the event's."""

    offset: int
    event: str
    handler: str
    error: str
    attempts: int
    time_us: int
    partition: int = 0


# ---- said by clients


class Hello(Message, frozen=True):
    """`name`: of the service or source, "log" or "control". `slot`: the replica, from 0."""

    role: Literal["service", "source", "log", "control"]
    name: str
    slot: int
    incarnation: str  # unique to this process
    plan_hash: str
    pid: int
    version: int = PROTOCOL_VERSION


class Heartbeat(Message, frozen=True):
    pass


class Resume(Message, frozen=True):
    """A service accepts an `Assign`. `replay`: it wants all before its cursor first, marked as
    replay.

    A process that lived on while the broker was away says in `position` how far it has handled (at
    or over the assigned cursor), sends its steps that were never confirmed again with the new epoch
    (the first of them with `before` set to the assigned cursor), and is delivered from `position`
    on. A new process says -1, and so does one whose replay was cut short, or whose new epoch does
    not follow its last (another process may have had the slot): it begins with an empty memory.
    `open`: see `Step`.
    """

    service: str
    slot: int
    epoch: int
    replay: bool
    position: int = -1
    open: int = 0


class Step(Message, frozen=True):
    """One transaction of a service: it moves its cursor from `before` to `after` and emits
    `batches`.

    `deferred` are offsets below `after` that failed and are to be retried later, `partitions` those
    of each; `resolved` are formerly deferred ones that are done (their outputs are among `batches`)
    or parked. `handled` counts the events that were handled. `number` is the step's own, dense over
    the slot's life: `Assign` says which comes next, so a process knows which of its steps were
    taken. `open`: the deadlines that are set and the events that wait for a partner behind it.
    `late`: by handler, how many were handled later than `within`; `passed`: those that `delivery
    latest` passes over.
    Bodies follow.
    """

    service: str
    slot: int
    epoch: int
    before: int
    after: int
    batches: list[Batch] = []
    parked: list[Parked] = []
    deferred: list[int] = []
    resolved: list[int] = []
    handled: int = 0
    number: int = 0
    open: int = 0
    late: dict[str, int] = {}
    passed: int = 0
    partitions: list[int] = []


class Replayed(Message, frozen=True):
    """Replay progress, for flow control: all below `through` was seen. `open`: see `Step`."""

    service: str
    slot: int
    epoch: int
    through: int
    open: int = 0


class Held(Message, frozen=True):
    """The events of a `Deliver` of mode "deferred" have arrived: the next ones may come."""

    service: str
    slot: int
    epoch: int


class Publish(Message, frozen=True):
    """Events of a source: the first of them is its `seq`-th (dense, from 0). Bodies follow."""

    source: str
    epoch: int
    seq: int
    batches: list[Batch]


class SourceDone(Message, frozen=True):
    """The source is exhausted after `seq` events."""

    source: str
    epoch: int
    seq: int


class Applied(Message, frozen=True):
    """From the log process: all below `offset` and record `record` is in DuckDB."""

    offset: int
    record: int
    checkpointed: int  # records below this one survive without the journal


class Bye(Message, frozen=True):
    """This client leaves; nothing more comes from it."""


class SchemasRequest(Message, frozen=True):
    """From a machine that does not have the state: how were the stored events written? May come
    before `Hello`; the answer is `Schemas`."""

    plan_hash: str
    version: int = PROTOCOL_VERSION


class StatusRequest(Message, frozen=True):
    """From control, or the log process."""


class Drain(Message, frozen=True):
    """From control: stop delivering; services finish what they hold."""


class Unpark(Message, frozen=True):
    """From control: parked events of a service are to be handled again (`retry`), or never.

    The answer is `Unparked`.
    """

    service: str
    offsets: list[int]
    retry: bool


class Rescale(Message, frozen=True):
    """From control: deal a service's partitions out to so many replicas, now. Its processes are
    fenced.

    The answer is `Rescaled`, or `Refused` with code "replicas". Said again, it changes nothing.
    """

    service: str
    replicas: int


class WantReplicas(Message, frozen=True):
    """From control: somebody wants a service to have so many replicas. `Status` says so to whoever
    runs its processes, who stops them in good order before a `Rescale`.

    The answer is a `Status`, or `Refused` with code "replicas".
    """

    service: str
    replicas: int


# ---- said by the broker


class Who(Message, frozen=True):
    """The broker does not know this connection: say `Hello`."""


class Schemas(Message, frozen=True):
    """`text` is the `schemas.json` of the state ("": all was written with the plan in force), which
    holds for the offsets of this journal alone."""

    journal: int
    text: str


class Assign(Message, frozen=True):
    """A slot's partitions. Repeated until `Resume`.

    Rows whose partition is not in `partitions`, or whose offset is below `floors[partition]` (other
    partitions: below nothing), are not the slot's. `deferred` are retried by the slot: it gets
    them in `Deliver`s with `deferred` set. `parked` are no part of its past. `number` is the next
    step's. Handlers that wait do so for events from the offset `since[event]` on, and nothing is
    due before all below `end` was seen: a `Deliver` ends there, or behind it. For handlers of
    `delivery latest`, what is below `end` is what was there before.
    """

    service: str
    slot: int
    epoch: int
    partitions: list[int]  # empty: all
    cursor: int
    floors: dict[int, int] = {}
    deferred: list[int] = []
    parked: list[int] = []
    number: int = 0
    since: dict[str, int] = {}
    end: int = 0


class Deliver(Message, frozen=True):
    """The events of a slot's types with offsets in [begin, end). Bodies follow, in offset order.

    `mode`: "live"; "replay", for rebuilding memory, emits nothing, and is over with the delivery
    whose `end` is the assigned cursor (it may be empty); "deferred", the single rows at the
    deferred offsets given in `offsets`, whatever the cursor. A process that lived on gets those
    again too, and ignores what it knows: what it holds, and what its unconfirmed steps resolve.
    They come in parts that fit a message: ahead of what is live, and each after the `Held` that
    answers the one before.
    """

    service: str
    slot: int
    epoch: int
    begin: int
    end: int
    mode: Literal["live", "replay", "deferred"]
    batches: list[Delivered]
    offsets: list[int] = []


class Stepped(Message, frozen=True):
    """The slot's steps are durable up to this cursor."""

    service: str
    slot: int
    epoch: int
    cursor: int


class Opened(Message, frozen=True):
    """A source may publish from `seq` on, with this epoch.

    `done`: it was exhausted in an earlier run.
    """

    source: str
    epoch: int
    seq: int
    done: bool


class Published(Message, frozen=True):
    """All events of the source below `seq` are durable.

    `first`: the offset of the first event of the `Publish` that this answers; -1 for one that was
    sent again.
    """

    source: str
    epoch: int
    seq: int
    first: int = -1


class Unparked(Message, frozen=True):
    """This became of an `Unpark`, durably: `done` are parked no more. `later` have no room among
    the slot's deferred events yet; all others were not parked."""

    done: list[int]
    later: list[int]


class Rescaled(Message, frozen=True):
    """The service has so many replicas, durably."""

    service: str
    replicas: int


class Fenced(Message, frozen=True):
    """Another process has taken over: stop at once, emit nothing more."""

    why: str


class Refused(Message, frozen=True):
    """A message was not accepted, and changed nothing."""

    code: str
    why: str


class Durable(Message, frozen=True):
    """To the log process: what may be read. Byte `position` of segment `segment` is the end."""

    segment: int
    position: int
    record: int
    offset: int


class SlotStatus(msgspec.Struct, frozen=True, array_like=True):
    service: str
    slot: int
    connected: bool
    ready: bool  # has said Resume, and has finished its replay
    cursor: int
    lag: int  # events of its types not handled yet, 0 when idle; offsets, so an upper bound
    handled: int  # events since the broker started
    emitted: int
    parked: int  # now, neither retried nor dropped
    deferred: int
    open: int = 0  # deadlines that are set, events that wait for a partner
    late: dict[str, int] = {}  # since the broker started, as `handled`; see `Step`
    passed: int = 0


class SourceStatus(msgspec.Struct, frozen=True, array_like=True):
    source: str
    connected: bool
    seq: int
    done: bool


class Status(Message, frozen=True):
    """`idle`: every source that said Hello is done, nothing is in flight, deferred or
    undelivered. `wanted`: see `WantReplicas`; what was done is not in it any more."""

    offset: int
    record: int
    applied: int
    idle: bool
    draining: bool
    slots: list[SlotStatus]
    sources: list[SourceStatus]
    log_bytes: int
    uptime_ms: int
    began: int = 0  # the offset at which this broker began
    wanted: dict[str, int] = {}


class Drained(Message, frozen=True):
    """To a service or source while draining: finish what you hold, then leave with exit code 0."""


ClientMessage = (
    Hello
    | Heartbeat
    | Resume
    | Step
    | Replayed
    | Held
    | Publish
    | SourceDone
    | Applied
    | Bye
    | SchemasRequest
    | StatusRequest
    | Drain
    | Unpark
    | Rescale
    | WantReplicas
)
BrokerMessage = (
    Who
    | Schemas
    | Assign
    | Deliver
    | Stepped
    | Opened
    | Published
    | Unparked
    | Rescaled
    | Fenced
    | Refused
    | Durable
    | Status
    | Drained
)

_encoder = msgspec.msgpack.Encoder()
_client_decoder: msgspec.msgpack.Decoder[ClientMessage] = msgspec.msgpack.Decoder(ClientMessage)
_broker_decoder: msgspec.msgpack.Decoder[BrokerMessage] = msgspec.msgpack.Decoder(BrokerMessage)


def decode(decoder: msgspec.msgpack.Decoder[T], frame: bytes) -> T:
    """What a frame from anybody says. Raises `msgspec.DecodeError` (or its `ValidationError`) for
    whatever the decoder can't make sense of: by itself it raises others for text that is not UTF-8,
    and for what is nested too deeply."""
    try:
        return decoder.decode(frame)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from None


def encode(message: Message) -> bytes:
    """Frame 0 of a message."""
    return _encoder.encode(message)


def decode_client(frame: bytes) -> ClientMessage:
    """What a client said.

    Raises `msgspec.DecodeError` (or its `ValidationError`) for anything else.
    """
    return decode(_client_decoder, frame)


def decode_broker(frame: bytes) -> BrokerMessage:
    """What the broker said.

    Raises `msgspec.DecodeError` (or its `ValidationError`) for anything else.
    """
    return decode(_broker_decoder, frame)
