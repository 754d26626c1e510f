"""The consoles' live events: one feed a process, which runs only while a console is connected.

It learns of every commit (ConsoleStore.watch), loads what is new once, writes it once, and pushes the same bytes to all
consoles that are to see it. Rounds pace themselves: the more a round costs, the longer the next one waits, so that a
busy service sees fewer and fuller events instead of a busier feed. A console gets the next event only when its reader
has taken the last one, so none takes more than one event's memory; what it has missed it gets afterwards, messages by
their sequence and the list as the advice to load it anew.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from webchat_soap.domain.agents import AgentSession
from webchat_soap.domain.chat import ChatStatus
from webchat_soap.domain.console import ConsoleStore, OpenCounts, Watch
from webchat_soap.domain.errors import Busy, WebchatError
from webchat_soap.web import console_json as shapes
from webchat_soap.web.console_stream import HEADERS, HEARTBEAT, EventStream, Sink, event

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

MAX_STREAMS: Final = 500
MAX_STREAMS_OF_AGENT: Final = 20
MAX_HELD_STREAMS: Final = 64
"""Under a server that holds a thread for each."""

HEARTBEAT_SECONDS: Final = 15.0
SESSION_SECONDS: Final = 5.0
"""Between two looks whether a session holds still."""

_CHATS_SECONDS: Final = 0.15
_CHATS_AT_ONCE: Final = 50
_MESSAGES_AT_ONCE: Final = 100
_EVENT_BYTES: Final = 128 * 1024
"""Of messages in one event, about."""

_BYTES_PER_SECOND: Final = 1_000_000
"""Of `chats` events to all consoles together: they tell what the next one tells again."""

_REST_TIMES: Final = 9
"""What looks at all open chats rests so many times as long as it took: it never takes more than a tenth of a core."""

_OWN_SCAN_SECONDS: Final = 0.5
"""Between two looks at all open chats while this process writes, of whose chats the feed is told."""

_REST_TIMES_OF_ROUND: Final = 12
_MAX_REST_SECONDS: Final = 0.15
"""After a round: together the rounds take a twelfth of a core, unless events would come late (300 ms are promised)."""

_TICK_SECONDS: Final = 0.25
_PAUSE_SECONDS: Final = 0.5

log = logging.getLogger(__name__)


class _Console:
    """A connected console. The feed's thread alone touches it after it has joined."""

    __slots__ = ("beat_at", "chat_id", "has_missed", "is_new", "position", "session", "sink", "status")

    def __init__(self, session: AgentSession, chat_id: str | None, after: int | None) -> None:
        self.session = session
        self.chat_id = chat_id
        self.position = after
        """The last sequence that was sent."""
        self.status = ChatStatus.OPEN
        self.sink: Sink | None = None
        self.is_new = True
        self.has_missed = False
        self.beat_at = 0.0


class Live:
    """Gives consoles their events. Nothing runs before the first one has come, and until the last one has left."""

    def __init__(
        self,
        *,
        chats: ConsoleStore,
        prefix: str,
        is_current: Callable[[AgentSession], bool],
    ) -> None:
        self._chats = chats
        self._shapes = shapes.Shapes(prefix)
        self._is_current = is_current
        self._lock = threading.Lock()
        self._consoles: dict[_Console, bool] = {}
        self._held = 0
        self._thread: threading.Thread | None = None
        self._watch: Watch | None = None
        self._is_failing = False
        self._stopped = False

    @property
    def connected(self) -> int:
        """Consoles now."""
        return len(self._consoles)

    @property
    def is_waiting_for_store(self) -> bool:
        """Whether consoles are connected and get nothing, since the store does not answer."""
        return self._is_failing

    def subscribe(
        self, session: AgentSession, *, chat_id: str | None, after: int | None, environ: WSGIEnvironment
    ) -> EventStream:
        """A stream for this session, with the messages of `chat_id` beyond `after` (None: only new ones). Busy."""
        is_held = "webchat.exchange" not in environ
        with self._lock:
            full = len(self._consoles) >= MAX_STREAMS or (is_held and self._held >= MAX_HELD_STREAMS)
            if full or self._stopped:
                raise Busy("Too many consoles are open; close one, or try again in a moment.", retry_after_seconds=5)
        console = _Console(session, chat_id, after)
        return EventStream(
            join=lambda sink: self._join(console, sink, is_held=is_held),
            leave=lambda: self._leave(console, is_held=is_held),
        )

    def respond(self, stream: EventStream, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Begin the answer."""
        start_response("200 OK", list(HEADERS))
        return [] if environ["REQUEST_METHOD"] == "HEAD" else stream

    def stop(self) -> None:
        """Tell all consoles that the process stops, and end their streams. Idempotent."""
        with self._lock:
            self._stopped = True
            consoles, self._consoles = list(self._consoles), {}
            watch = self._watch
        for console in consoles:
            self._dismiss(console, "stopping")
        if watch is not None:
            watch.interrupt()

    # -- who is connected

    def _join(self, console: _Console, sink: Sink, *, is_held: bool) -> None:
        console.sink = sink
        console.beat_at = time.monotonic() + HEARTBEAT_SECONDS
        agent_id = console.session.agent_id
        oldest: _Console | None = None
        with self._lock:
            if not self._stopped:
                same = [each for each in self._consoles if each.session.agent_id == agent_id]
                if len(same) >= MAX_STREAMS_OF_AGENT:
                    oldest = same[0]
                    del self._consoles[oldest]
                self._consoles[console] = is_held
                self._held += is_held
                if self._thread is None:
                    self._start()
                elif self._watch is not None:
                    self._watch.interrupt()
            is_late = self._stopped
        if is_late:
            self._dismiss(console, "stopping")
        if oldest is not None:
            self._dismiss(oldest, "replaced")

    def _leave(self, console: _Console, *, is_held: bool) -> None:
        with self._lock:
            if self._consoles.pop(console, None) is not None:
                self._held -= is_held

    def _dismiss(self, console: _Console, reason: str) -> None:
        """Bye, and the end. It is in the table no more."""
        sink = console.sink
        assert sink is not None
        sink.send(event("bye", {"reason": reason}))
        sink.end()

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="console-feed", daemon=True)
        try:
            thread.start()
        except (RuntimeError, MemoryError):
            log.warning("the consoles' feed could not be started (out of memory?); the next console tries again")
            return
        self._thread = thread

    # -- the feed

    def _run(self) -> None:
        while True:
            try:
                watch = self._chats.watch()
                with self._lock:
                    self._watch = watch
                watch.interrupt()  # for the console that this began for
                try:
                    feed = _Feed(self, self._chats, self._shapes)
                    self._is_failing = False
                    while feed.round(watch):
                        pass
                    return
                finally:
                    with self._lock:
                        if self._watch is watch:  # else the next feed has begun already
                            self._watch = None
                    watch.close()
            except Exception as error:
                for console in self.consoles():
                    console.has_missed = True
                if not self._is_failing:
                    self._is_failing = True
                    log.warning("the consoles' feed has to begin anew: %s: %s", type(error).__name__, error)
                    if not isinstance(error, WebchatError):
                        log.exception("unforeseen in the consoles' feed")
            if self.is_done():
                return
            time.sleep(_PAUSE_SECONDS)

    def is_done(self) -> bool:
        """For the feed: nobody is connected (any more); then it must end, as the next console starts another one."""
        with self._lock:
            if self._consoles:
                return False
            self._thread = None
            return True

    def consoles(self) -> list[_Console]:
        """For the feed: who is connected."""
        with self._lock:
            return list(self._consoles)

    def drop(self, console: _Console, reason: str) -> None:
        """For the feed: end a stream."""
        with self._lock:
            is_held = self._consoles.pop(console, None)
            if is_held:
                self._held -= 1
        if is_held is not None:
            self._dismiss(console, reason)

    def holds(self, session: AgentSession) -> bool:
        """For the feed: whether the session is not over."""
        if session.expires_at <= datetime.now(UTC):
            return False
        try:
            return self._is_current(session)
        except WebchatError:
            return True  # nobody can tell now; it is asked again


class _Feed:
    """What one thread knows while it feeds."""

    def __init__(self, live: Live, chats: ConsoleStore, shapes_: shapes.Shapes) -> None:
        self._live = live
        self._chats = chats
        self._shapes = shapes_
        self._marks = dict(chats.open_chats())
        self._unread = {chat_id for chat_id, mark in self._marks.items() if _is_unread(mark)}
        self._changed: dict[str, bool] = {}
        self._to_scan = False
        self._scan_at = self._chats_at = 0.0
        self._to_look: set[str] = set()
        self._sessions_at = time.monotonic() + SESSION_SECONDS
        self._has_laggards = False

    def round(self, watch: Watch) -> bool:
        """Wait for something to tell, and tell it. False when nobody is there to be told."""
        told, others = watch.wait(self._patience())
        began = time.monotonic()
        if self._live.is_done():
            return False
        consoles = self._live.consoles()
        looked_at = defaultdict(list)
        for console in consoles:
            if console.is_new:
                self._greet(console)
            if console.chat_id is not None:
                looked_at[console.chat_id].append(console)
        self._to_look |= looked_at.keys() if others or self._has_laggards else looked_at.keys() & told
        self._to_look |= {console.chat_id for console in consoles if console.is_new and console.chat_id is not None}
        for console in consoles:
            console.is_new = False
        if self._to_look:
            self._tell_messages(looked_at)
        self._changed.update(dict.fromkeys(told, True))
        self._scan(others=others, own=bool(told))
        if self._changed and time.monotonic() >= self._chats_at:
            self._tell_chats(consoles)
        self._keep_alive(consoles)
        time.sleep(min(_MAX_REST_SECONDS, _REST_TIMES_OF_ROUND * (time.monotonic() - began)))
        return True

    def _patience(self) -> float:
        now = time.monotonic()
        moments = [now + _TICK_SECONDS]
        if self._has_laggards:
            moments.append(now + _MAX_REST_SECONDS)
        if self._changed:
            moments.append(self._chats_at)
        if self._to_scan:
            moments.append(self._scan_at)
        return max(0.0, min(moments) - now)

    def _greet(self, console: _Console) -> None:
        hello = {"serverTime": shapes.time_of(datetime.now(UTC)), "counts": shapes.counts(self._counts())}
        assert console.sink is not None
        console.sink.send(event("hello", hello))

    # -- messages

    def _tell_messages(self, looked_at: dict[str, list[_Console]]) -> None:
        chat_ids, self._to_look = self._to_look & looked_at.keys(), set()
        self._has_laggards = False
        states = self._chats.last_sequences(chat_ids)
        for chat_id, (last_sequence, is_open) in states.items():
            status = ChatStatus.OPEN if is_open else ChatStatus.ENDED
            behind: dict[int, list[_Console]] = defaultdict(list)
            for console in looked_at[chat_id]:
                if console.position is None or console.position > last_sequence:
                    console.position = last_sequence
                if console.position < last_sequence or console.status is not status:
                    behind[console.position].append(console)
            for position, those in behind.items():
                self._tell_from(chat_id, position, those)

    def _tell_from(self, chat_id: str, position: int, consoles: list[_Console]) -> None:
        free = [console for console in consoles if console.sink is not None and console.sink.is_free]
        self._has_laggards |= len(free) < len(consoles)
        if not free:
            return
        page = self._chats.read_messages(chat_id, after_sequence=position, max_messages=_MESSAGES_AT_ONCE)
        told, size = 0, 0
        for message in page.messages:
            size += 400 + 2 * len(message.text or "") + 600 * len(message.files)
            told += 1
            if size > _EVENT_BYTES:
                break
        data = self._shapes.page(page)
        data["message"] = data["message"][:told]
        last = position + told
        data.pop("firstSequence")
        data_bytes = event("messages", data, event_id=last)
        has_all = last >= page.last_sequence
        for console in free:
            assert console.sink is not None
            if console.sink.send(data_bytes):
                console.position = last
                # Told with the last of the messages: who sees the end sees that nothing is missing.
                console.status = page.status if has_all else console.status
                console.beat_at = time.monotonic() + HEARTBEAT_SECONDS
        self._has_laggards |= not has_all

    # -- the list

    def _scan(self, *, others: bool, own: bool) -> None:
        """Look for what others have changed."""
        now = time.monotonic()
        if others:
            self._to_scan = True
            if own:  # most likely nobody else has written
                self._scan_at = max(self._scan_at, now + _OWN_SCAN_SECONDS)
        if not self._to_scan or now < self._scan_at:
            return
        self._to_scan = False
        marks = dict(self._chats.open_chats())
        changed = {chat_id for chat_id, _ in marks.items() - self._marks.items()}
        changed |= self._marks.keys() - marks.keys()
        self._marks = marks
        for chat_id in changed:
            self._count(chat_id, marks.get(chat_id))
        self._changed.update(dict.fromkeys(changed, True))
        after = time.monotonic()
        self._scan_at = after + _REST_TIMES * (after - now)

    def _tell_chats(self, consoles: Collection[_Console]) -> None:
        # The last to change first: who reads on sees these at the top.
        chat_ids = list(self._changed)[-_CHATS_AT_ONCE:]
        more = len(self._changed) > len(chat_ids)
        self._changed.clear()
        summaries = self._chats.summaries(chat_ids)
        for summary in summaries:
            chat = summary.chat
            mark = summary.mark if chat.status is ChatStatus.OPEN else None
            if mark is None:
                self._marks.pop(chat.chat_id, None)
            else:
                self._marks[chat.chat_id] = mark
            self._count(chat.chat_id, mark)
        counts = shapes.counts(self._counts())
        data = event(
            "chats", {"chat": shapes.summaries(summaries), "counts": counts, **({"more": True} if more else {})}
        )
        reload = event("chats", {"chat": [], "counts": counts, "more": True})
        for console in consoles:
            assert console.sink is not None
            if console.sink.send(reload if console.has_missed else data):
                console.has_missed = False
                console.beat_at = time.monotonic() + HEARTBEAT_SECONDS
            else:
                console.has_missed = True
        pause = len(data) * len(consoles) / _BYTES_PER_SECOND
        self._chats_at = time.monotonic() + max(_CHATS_SECONDS, pause)

    def _count(self, chat_id: str, mark: str | None) -> None:
        if mark is not None and _is_unread(mark):
            self._unread.add(chat_id)
        else:
            self._unread.discard(chat_id)

    def _counts(self) -> OpenCounts:
        return OpenCounts(open=len(self._marks), unread=len(self._unread))

    # -- who is still there

    def _keep_alive(self, consoles: Collection[_Console]) -> None:
        now = time.monotonic()
        missed: list[_Console] = []
        for console in consoles:
            sink = console.sink
            assert sink is not None
            if now >= console.beat_at and sink.send(HEARTBEAT):
                console.beat_at = now + HEARTBEAT_SECONDS
            if console.has_missed and sink.is_free:
                missed.append(console)
        if missed and not self._changed:
            counts = shapes.counts(self._counts())
            reload = event("chats", {"chat": [], "counts": counts, "more": True})
            for console in missed:
                assert console.sink is not None
                console.has_missed = not console.sink.send(reload)
        if now >= self._sessions_at:
            self._sessions_at = now + SESSION_SECONDS
            sessions = {console.session.session_id: console.session for console in consoles}
            over = {session_id for session_id, session in sessions.items() if not self._live.holds(session)}
            for console in consoles:
                if console.session.session_id in over:
                    self._live.drop(console, "session")


def _is_unread(mark: str) -> bool:
    """See ChatSummary.mark."""
    return mark.split(",", 2)[1] != "0"
