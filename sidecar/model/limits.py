"""Every limit and default of the product, once.

Sources: the public interface for what clients see; measurements named beside a value for the rest.
"""

# Workers -----------------------------------------------------------------------------------------
K_READ = 8
"""How many read-only workers run at once."""
K_WRITE = 2
"""How many workers that may write run at once."""
PROMPT_CHARS = 1_048_576
"""Longest prompt, in characters: the Codex CLI refuses longer input."""
TITLE_CHARS = 120
"""Longest title that a client may give."""
DERIVED_TITLE_CHARS = 32
"""Longest title that is made from the first line of a prompt."""
SPAWN_TIMEOUT_MINUTES = 60
"""How long a worker may run when neither the spawn nor a setting says otherwise."""
TIMEOUT_MS_MIN = 1_000
TIMEOUT_MS_MAX = 7 * 24 * 3600 * 1000
GRACE_SECONDS = 10.0
"""Between SIGTERM and SIGKILL when a worker is cancelled."""
STALLED_AFTER_SECONDS = 180
"""Silence after which a running worker is called stalled."""
START_SPACING_SECONDS = 2.0
"""The longest that one start waits for the first output line of the start before it.

Simultaneous Codex starts over one CODEX_HOME lost the sandbox helper in 5 of 204 tries, spaced ones in 0 of 84.
"""
LIST_ITEMS = 256
"""Most entries of a list argument (jobIds, expectedFiles, dependsOn)."""
PATTERN_CHARS = 1_024
"""Longest glob, path or model name."""
GROUP_JOBS = 64
"""Most entries of one codex_spawn_group: each is made durable before the answer, at some 20 ms each."""
RUN_TOKENS_MAX = 10**12
RUN_JOBS_MAX = 10**9
RUN_MINUTES_MAX = 10**9
"""Largest values of the limits that codex_baseline sets for a run; each stands for "as good as none"."""
CONFIG_KEYS = 64
"""Most keys of `config`."""

# Answers -----------------------------------------------------------------------------------------
WAIT_DEFAULT_MS = 25_000
WAIT_MAX_MS = 50_000
"""Clients cut a tool call after 60 s at the earliest; this stays below with a margin."""
WAIT_PROGRESS_SECONDS = 5.0
"""How often a waiting call reports progress."""
EVENTS_DEFAULT = 50
EVENTS_MAX = 200
EVENT_BYTES_DEFAULT = 8_192
EVENT_BYTES_MIN = 1_024
EVENT_BYTES_MAX = 16 * 1024 * 1024
RESULT_CHARS_DEFAULT = 8_000
RESULT_CHARS_MAX = 1_048_576
STATUS_JOBS = 100
"""Most finished jobs in a status answer; unfinished ones are always all there."""

# Sidecar process ---------------------------------------------------------------------------------
IDLE_SECONDS = 600.0
"""The sidecar ends after this long without a client and without a queued or running worker."""
SOCKET_PATH_BYTES = 107
"""Longest path of a Unix socket on Linux (108 bytes with the final NUL)."""
MESSAGE_BYTES_MAX = 16 * 1024 * 1024
"""Largest single message a client may send; the longest prompt fits three times over."""
NESTING_MAX = 200
"""Deepest JSON nesting a client may send."""
CLIENT_QUEUE_BYTES = 64 * 1024 * 1024
"""A client that leaves this much unread is disconnected."""
CLIENT_CONGESTED_BYTES = 256 * 1024
"""Above this, notifications to a client are held back and merged until it reads again."""
SPOOL_LINE_BYTES = 16 * 1024 * 1024
"""A line of a worker's stream above this size is kept, shown by its start, and not parsed."""
LOOP_BUDGET_BYTES = 256 * 1024
"""How much of one worker's stream is read before other work gets its turn."""

# Notifications -----------------------------------------------------------------------------------
STATE_INTERVAL_SECONDS = 0.5
"""`codexSidecar/state` goes out at most twice a second."""
EVENTS_INTERVAL_SECONDS = 0.1
"""`codexSidecar/events` goes out at most ten times a second for each job."""
