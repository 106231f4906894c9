"""Every bound of the engine, named, units last; the relations between them hold at import."""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

# ---- what an event and a message may be
EVENT_BYTES_MAX: Final = 1 * MIB
FRAME_BYTES_MAX: Final = 16 * MIB
BATCH_ROWS_MAX: Final = 65_536
BATCHES_PER_MESSAGE_MAX: Final = 1_024
ERROR_TEXT_CHARS_MAX: Final = 4_000

# ---- the cache of `flowc check`
CACHE_FROM_BYTES: Final = 64 * KIB  # of a program; a smaller one is checked as quickly without
CACHE_FILE_BYTES_MAX: Final = 128 * MIB
CACHE_FILES_MAX: Final = 16  # two a program

# ---- coalescing at the sender: a lone event is sent at once; under load, batches grow to these
COALESCE_ROWS_MAX: Final = 2_000
COALESCE_BYTES_MAX: Final = 1 * MIB

# ---- flow control
CREDIT_BYTES_MAX: Final = 4 * MIB  # delivered to a slot and not answered
DELIVER_BYTES_MAX: Final = 1 * MIB
SOURCE_WINDOW_BYTES_MAX: Final = 4 * MIB  # published by a source and not acknowledged
SOURCE_WINDOW_MESSAGES_MAX: Final = 64
SOURCE_NAMES_MAX: Final = 10_000  # of a state, by name: each is in memory, and in snapshots
DEFERRED_PER_SLOT_MAX: Final = 1_024
PARKED_PER_SLOT_MAX: Final = 1_000_000  # neither retried nor dropped: in memory, and in snapshots
OPEN_EVENTS_PER_SLOT_MAX: Final = (
    200_000  # deadlines that are set, or events that wait for a partner
)
DUE_ROWS_MAX: Final = 500  # deadlines that are emitted at once
UNPARK_OFFSETS_MAX: Final = 10_000  # of one message

# ---- journal
PREPARE_BYTES: Final = 512 * KIB  # of the next segment, written and synced at a time
SEGMENT_BYTES_MIN: Final = 2 * MIB  # the first; each next is twice as large, up to
SEGMENT_BYTES: Final = 64 * MIB
GROUP_BYTES_MAX: Final = 8 * MIB  # one fdatasync covers at most this much
OPEN_SEGMENTS_MAX: Final = 8
SCAN_BYTES_MAX: Final = 4 * MIB  # read for one delivery, so that others get their turn
INDEX_EVERY_BYTES: Final = 1 * MIB
HOT_BYTES_MAX: Final = 24 * MIB  # of the newest records, kept in memory for those who keep up
PACK_FRAME_BYTES: Final = 1 * MIB  # of a packed segment, compressed by itself
PLAIN_SEGMENTS_MIN: Final = 2  # the newest are not packed
MARK_AFTER_MS: Final = 200  # of silence: a mark proves that the last record was durable

# ---- time
HEARTBEAT_MS: Final = 1_000
HEARTBEAT_LOST_MS: Final = 10_000
ASSIGN_REPEAT_MS: Final = 250
RECONNECT_MIN_MS: Final = 50
RECONNECT_MAX_MS: Final = 200  # so long a restarted broker may wait for its clients
ZMTP_HEARTBEAT_MS: Final = 1_000
ZMTP_HEARTBEAT_TIMEOUT_MS: Final = 10_000
HANDSHAKE_MS: Final = 5_000
CONNECT_MS: Final = 3_000  # over TCP, then it is tried anew

TICK_MS: Final = 50
LAZY_SYNC_MS: Final = 5  # a moved cursor waits this long for an fdatasync that others need
CLOSE_LINGER_MS: Final = 200
FRAME_COST_BYTES: Final = 512  # what a message counts besides its bytes

# ---- keys
KEYS_BYTES_MAX: Final = 4 * MIB  # of one file
SELF_TEST_MS_MAX: Final = 10_000  # for the broker to see that strangers don't get in

# ---- log process
LOG_TELL_MS: Final = 500  # the broker tells the log how far it may read this often, or when asked
LOG_LINGER_MS: Final = 1_000  # a transaction costs ms however few its rows are
LOG_LINGER_MAX_MS: Final = 2_000  # where many types make each transaction slow
LOG_DUTY: Final = 10  # a transaction is followed by a pause of ten times its duration
LOG_ROWS_PER_TRANSACTION: Final = 20_000  # as many are applied at once, without lingering
LOG_BYTES_PER_TRANSACTION: Final = 8 * MIB
LOG_CHECKPOINT_BYTES: Final = 64 * MIB  # of the journal, applied since the last checkpoint
LOG_CHECKPOINT_MS: Final = 10_000
LOG_ROW_GROUP_ROWS: Final = 16_384  # larger transactions are written as whole groups, once
LOG_MEMORY_MIB: Final = 1_024  # of the log process's DuckDB, queries included
LOG_SPILL_MIB: Final = 2_048  # on disk, of queries that don't fit in memory
LOG_RETRY_MIN_MS: Final = 500  # after the disk failed
LOG_RETRY_MAX_MS: Final = 30_000
LOG_LOCK_WAIT_MS: Final = 10_000  # for an earlier log process, or a query, to end
RETAIN_FILE_ROWS_MAX: Final = 250_000  # of one exported file
TIDY_EVERY_MS: Final = 60_000  # looked for what is to be exported or packed; and after checkpoints
RETAIN_SLACK_PERCENT: Final = 10  # of `retain`: so long rows wait for others to go with; at most
RETAIN_SLACK_MS_MAX: Final = 86_400_000
TIDY_DUTY: Final = 2  # a file is followed by a pause of twice its duration
RETAIN_FILES_AT_OPEN_MAX: Final = 8  # of a log without a run
QUERY_MEMORY_MIB: Final = 512  # of one query's sorts and hash tables
QUERY_TIMEOUT_MS: Final = 60_000
QUERY_STOP_MS: Final = 5_000  # after its time is up; then its process ends
LOG_PROCESS_MIB: Final = 4_096  # of its data, whatever DuckDB counts
QUERY_AS_OF_MS: Final = 10_000  # a query waits for the log to catch up at most this long
QUERIES_AT_ONCE: Final = 2
QUERIES_WAITING_MAX: Final = 32
QUERY_SQL_CHARS_MAX: Final = 256 * KIB
DRIFT_CHECKS_MAX: Final = 50  # of the fields of one event, in one pass over its table
QUERY_RESULT_BYTES_MAX: Final = 256 * MIB
HISTORY_ROWS_MAX: Final = 65_536

# ---- supervisor
RESTART_BACKOFF_MIN_MS: Final = 100
RESTART_BACKOFF_MAX_MS: Final = 5_000
RESTARTS_MAX: Final = 5
RESTARTS_WINDOW_MS: Final = 60_000
DRAIN_MS_MAX: Final = 30_000
START_MS_MAX: Final = 30_000  # for all services to be ready before the sources start anyway
STATUS_EVERY_MS: Final = 200
KILL_AFTER_MS: Final = 3_000  # from SIGTERM to SIGKILL
LOG_LAST_EVENTS_MAX: Final = 100_000  # that the log process may be behind when told to stop
LAST_STATUS_MS_MAX: Final = 1_000
LOG_STALL_MS_MAX: Final = 15_000  # without progress of the log process while stopping
DRAINED_PAUSE_MS: Final = 1_000  # until a service that its broker drained asks for another
PLAIN_EVERY_MS: Final = 5_000  # between progress lines where there is no terminal
LOG_TAIL_LINES: Final = 25
PROCESS_LOG_BYTES_MAX: Final = 16 * MIB  # then it is moved to `.old` at the next start
EMIT_BYTES_MAX: Final = 64 * MIB  # on stdin
EMIT_MS_MAX: Final = 10_000
HOLD_MS_MAX: Final = 3_000  # to wait for a command that holds the state for a moment
STORE_LOCK_MS_MAX: Final = 5_000  # to wait for another process that has a store
STORE_BUSY_MS_MAX: Final = 5_000  # and for somebody who writes to its file
STORE_CACHE_BYTES: Final = 16 * MIB  # of a replica's files together
CONFIG_BYTES_MAX: Final = 1 * MIB
NAMES_LISTED_MAX: Final = 8  # in a message, of what there is
OLDER_BYTES_MAX: Final = 64 * MIB  # of the .flow files of a git revision
FAULTS_LISTED_MAX: Final = 5  # in a message, of an older text
GIT_MS_MAX: Final = 60_000

# ---- replicas that follow the lag
SCALE_LOOK_MS: Final = 3_000  # a service is judged by its pace over so long
SCALE_BEHIND_MS: Final = 2_000  # behind by so much, at its pace, it gets more replicas,
SCALE_DRAIN_MS: Final = 10_000  # unless it is about to have caught up
SCALE_CALM_MS: Final = 500  # behind by less, it keeps up
SCALE_DOWN_AFTER_MS: Final = 30_000  # of keeping up it gets fewer
SCALE_EVERY_MS: Final = 10_000  # there is one change at most, and
SCALE_DUTY: Final = 10  # the pause that a change makes is a tenth of the time at most
SCALE_REPLAY_MS_MAX: Final = 30_000  # a past that takes longer to be seen again is not, for lag
SCALE_GAIN_PERCENT_MIN: Final = 110  # of the rate before: less is no reason for still more
SCALE_BUSY_PERCENT_MAX: Final = 60  # of what it can do, for a replica that is left
SCALE_REPEAT_MS: Final = 500  # a rescale that is not answered is asked for again
SCALE_WAIT_MS_MAX: Final = 60_000  # for a wish to come true, by `flowc scale`

# ---- drawing
DOT_BUDGET_MS: Final = 10_000  # Graphviz is killed after this, and flowc draws by itself

assert EVENT_BYTES_MAX < DELIVER_BYTES_MAX * 2 <= FRAME_BYTES_MAX
assert COALESCE_BYTES_MAX <= DELIVER_BYTES_MAX <= CREDIT_BYTES_MAX
assert COALESCE_BYTES_MAX <= SOURCE_WINDOW_BYTES_MAX <= FRAME_BYTES_MAX
assert FRAME_BYTES_MAX < SEGMENT_BYTES
assert GROUP_BYTES_MAX < SEGMENT_BYTES
assert HEARTBEAT_MS * 3 < HEARTBEAT_LOST_MS
assert RESTART_BACKOFF_MIN_MS <= RESTART_BACKOFF_MAX_MS < RESTARTS_WINDOW_MS
assert STATUS_EVERY_MS < HEARTBEAT_MS
assert SCALE_CALM_MS < SCALE_BEHIND_MS < SCALE_DRAIN_MS
assert STATUS_EVERY_MS * 5 <= SCALE_LOOK_MS < SCALE_EVERY_MS < SCALE_DOWN_AFTER_MS
assert STORE_LOCK_MS_MAX < HEARTBEAT_LOST_MS
assert RECONNECT_MIN_MS < RECONNECT_MAX_MS < HEARTBEAT_LOST_MS
assert LOG_BYTES_PER_TRANSACTION < LOG_CHECKPOINT_BYTES <= SEGMENT_BYTES
assert LOG_ROW_GROUP_ROWS < LOG_ROWS_PER_TRANSACTION
assert LOG_ROW_GROUP_ROWS % 2_048 == 0  # DuckDB's vectors
assert QUERY_MEMORY_MIB * QUERIES_AT_ONCE <= LOG_MEMORY_MIB
assert LOG_TELL_MS < LOG_LINGER_MS < LOG_LINGER_MAX_MS < QUERY_AS_OF_MS < QUERY_TIMEOUT_MS
