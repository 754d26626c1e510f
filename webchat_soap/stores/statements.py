"""The store's SQL: declared in SQLAlchemy Core, compiled once, run on the driver's own cursor.

Why not by Core's own execution: an insert of three values costs 13.6 µs by `Connection.execute`, 6.8 µs by
`exec_driver_sql` and 1.5 µs on the driver (SQLAlchemy 2.1, Python 3.11), and a whole batch waits for each of them.
All columns are whole numbers and text, so nothing is lost by going round Core's result processing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Dialect, bindparam, delete, func, insert, literal_column, select, tuple_, update
from sqlalchemy.sql import ClauseElement

from webchat_soap.stores.schema import CHATS, FILES, IDENTITY, MESSAGES, SWEPT_DAYS, TOKENS

NAMES_AT_ONCE: Final = 10_000
"""File names per query: a sweep over 100,000 files asks ten times and holds no transaction open between."""

CHAT_COLUMNS: Final = (
    CHATS.c.chat_id,
    CHATS.c.status,
    CHATS.c.started_at,
    CHATS.c.last_sequence,
    CHATS.c.customer_name,
    CHATS.c.ended_at,
    CHATS.c.agent_name,
    CHATS.c.ended_by,
)
MESSAGE_COLUMNS: Final = (
    MESSAGES.c.sequence,
    MESSAGES.c.message_id,
    MESSAGES.c.sender,
    MESSAGES.c.sent_at,
    MESSAGES.c.text,
    MESSAGES.c.file_count,
    MESSAGES.c.agent_name,
    MESSAGES.c.client_token,
)
FILE_COLUMNS: Final = (
    FILES.c.file_id,
    FILES.c.name,
    FILES.c.original_name,
    FILES.c.file_type,
    FILES.c.content_type,
    FILES.c.size,
    FILES.c.sha256,
    FILES.c.width,
    FILES.c.height,
    FILES.c.duration_milliseconds,
    FILES.c.removed_at,
)


class Statements:
    """The statements of one dialect as SQL text, each made with the names of its parameters in their order."""

    def __init__(self, dialect: Dialect) -> None:
        def compiled(parameters: str, statement: ClauseElement, columns: list[str] | None = None) -> str:
            made: Any = statement.compile(dialect=dialect, column_keys=columns)
            if made.positiontup != parameters.split():
                raise AssertionError(f"parameters are {made.positiontup}, not {parameters}: {made}")
            return str(made)

        is_the_chat = CHATS.c.chat_id == bindparam("the_id")
        is_open = CHATS.c.status == literal_column("'OPEN'")
        not_before_the_last = func.max(CHATS.c.last_sent_at, bindparam("now"))

        opened = (
            "chat_id status customer_name started_at account last_sequence last_sent_at file_count file_bytes "
            "unread_count read_sequence"
        )
        self.insert_chat = compiled(opened, insert(CHATS), opened.split())
        self.name_customer = compiled(
            "name the_id", update(CHATS).where(is_the_chat).values(customer_name=bindparam("name"))
        )
        self.end_chat = compiled(
            "now by the_id",
            update(CHATS)
            .where(is_the_chat, is_open)
            .values(status=literal_column("'ENDED'"), ended_at=not_before_the_last, ended_by=bindparam("by")),
        )
        # Lists in JSON: chat_key, last_sequence, last_sent_at, file_count, file_bytes, unread_count, and who of the
        # agents has answered, or null.
        counters = func.json_each(bindparam("counters")).table_valued("value", name="counters")
        counter = [func.json_extract(counters.c.value, literal_column(f"'$[{place}]'")) for place in range(7)]
        self.update_counters = compiled(
            "counters",
            update(CHATS)
            .where(CHATS.c.chat_key == counter[0])
            .values(
                last_sequence=counter[1],
                last_sent_at=counter[2],
                file_count=counter[3],
                file_bytes=counter[4],
                unread_count=counter[5],
                agent_name=func.ifnull(counter[6], CHATS.c.agent_name),
            ),
        )
        one_message = compiled(" ".join(MESSAGES.c.keys()), insert(MESSAGES))
        values = one_message[one_message.index("VALUES ") + len("VALUES ") :]
        self.insert_messages = lru_cache(maxsize=None)(lambda rows: one_message + f", {values}" * (rows - 1))
        """The statement for so many rows."""
        self.select_read_mark = compiled(
            "the_id",
            select(CHATS.c.chat_key, CHATS.c.last_sequence, CHATS.c.unread_count, CHATS.c.read_sequence).where(
                is_the_chat
            ),
        )
        self.count_customers = compiled(
            "the_key after last",
            select(func.count()).where(
                MESSAGES.c.chat_key == bindparam("the_key"),
                MESSAGES.c.sequence > bindparam("after"),
                MESSAGES.c.sequence <= bindparam("last"),
                MESSAGES.c.sender == literal_column("'CUSTOMER'"),
            ),
        )
        self.mark_read = compiled(
            "unread up_to the_key",
            update(CHATS)
            .where(CHATS.c.chat_key == bindparam("the_key"))
            .values(unread_count=bindparam("unread"), read_sequence=bindparam("up_to")),
        )
        self.insert_file = compiled(" ".join(FILES.c.keys()), insert(FILES))
        self.insert_token = compiled(" ".join(TOKENS.c.keys()), insert(TOKENS))

        self.select_chat = compiled("the_id", select(CHATS.c.chat_key, *CHAT_COLUMNS).where(is_the_chat))
        self.select_chat_by_key = compiled(
            "the_key", select(CHATS.c.chat_key, *CHAT_COLUMNS).where(CHATS.c.chat_key == bindparam("the_key"))
        )
        self.select_usage = compiled(
            "the_id", select(CHATS.c.status, CHATS.c.file_count, CHATS.c.file_bytes).where(is_the_chat)
        )
        self.select_state = compiled("the_id", select(CHATS.c.last_sequence, CHATS.c.status).where(is_the_chat))
        waited_for = select(func.json_each(bindparam("chat_ids")).table_valued("value").c.value)
        self.select_states = compiled(
            "chat_ids",
            select(CHATS.c.chat_id, CHATS.c.last_sequence, CHATS.c.status).where(CHATS.c.chat_id.in_(waited_for)),
        )
        # One row of JSON: a row of its own for each chat would let the interpreter's lock go as often.
        asked = func.json_each(bindparam("chat_ids")).table_valued("value", name="asked")
        self.select_chat_states = compiled(
            "chat_ids",
            select(
                func.json_group_array(
                    func.json_array(
                        CHATS.c.chat_id,
                        CHATS.c.chat_key,
                        CHATS.c.status,
                        CHATS.c.last_sequence,
                        CHATS.c.last_sent_at,
                        CHATS.c.file_count,
                        CHATS.c.file_bytes,
                        CHATS.c.unread_count,
                    )
                )
            ).where(CHATS.c.chat_id.in_(select(asked.c.value))),
        )
        named = func.json_each(bindparam("tokens")).table_valued("value", name="named")
        self.select_used_tokens = compiled(
            "tokens",
            select(func.json_group_array(func.json_array(TOKENS.c.scope, TOKENS.c.token))).where(
                tuple_(TOKENS.c.scope, TOKENS.c.token).in_(
                    select(
                        func.json_extract(named.c.value, literal_column("'$[0]'")),
                        func.json_extract(named.c.value, literal_column("'$[1]'")),
                    )
                )
            ),
        )
        self.select_token = compiled(
            "scope token",
            select(TOKENS.c.fingerprint, TOKENS.c.chat_key, TOKENS.c.sequence).where(
                TOKENS.c.scope == bindparam("scope"), TOKENS.c.token == bindparam("token")
            ),
        )
        self.select_receipt = compiled(
            "the_key sequence",
            select(MESSAGES.c.message_id, CHATS.c.chat_id, MESSAGES.c.sent_at, MESSAGES.c.file_count)
            .join_from(MESSAGES, CHATS)
            .where(MESSAGES.c.chat_key == bindparam("the_key"), MESSAGES.c.sequence == bindparam("sequence")),
        )
        self.select_messages = compiled(
            "the_key after last",
            select(*MESSAGE_COLUMNS)
            .where(
                MESSAGES.c.chat_key == bindparam("the_key"),
                MESSAGES.c.sequence > bindparam("after"),
                MESSAGES.c.sequence <= bindparam("last"),
            )
            .order_by(MESSAGES.c.sequence),
        )
        self.select_files = compiled(
            "the_key first last",
            select(FILES.c.sequence, *FILE_COLUMNS)
            .where(
                FILES.c.chat_key == bindparam("the_key"),
                FILES.c.sequence >= bindparam("first"),
                FILES.c.sequence <= bindparam("last"),
            )
            .order_by(FILES.c.sequence, FILES.c.position),
        )
        self.select_file = compiled("name", select(*FILE_COLUMNS).where(FILES.c.name == bindparam("name")))
        self.select_file_names = compiled(
            "after",
            select(FILES.c.name)
            .where(FILES.c.name > bindparam("after"), FILES.c.removed_at.is_(None))
            .order_by(FILES.c.name)
            .limit(literal_column(str(NAMES_AT_ONCE)))
            .offset(literal_column("0")),  # else the dialect makes a parameter of it
        )
        of_day = (FILES.c.name > bindparam("first"), FILES.c.name < bindparam("last"))
        self.select_next_file_name = compiled(
            "after", select(func.min(FILES.c.name)).where(FILES.c.name > bindparam("after"))
        )
        self.select_names_of_day = compiled("first last", select(FILES.c.name).where(*of_day))
        self.select_removed_of_day = compiled(
            "first last", select(FILES.c.name).where(*of_day, FILES.c.removed_at.is_not(None))
        )
        self.select_swept = compiled("", select(SWEPT_DAYS.c.day, SWEPT_DAYS.c.stamp))
        self.replace_swept = compiled("day stamp", insert(SWEPT_DAYS).prefix_with("OR REPLACE"))
        self.delete_swept = compiled("the_day", delete(SWEPT_DAYS).where(SWEPT_DAYS.c.day == bindparam("the_day")))
        self.select_store_id = compiled("", select(IDENTITY.c.store_id))
        self.select_nothing = compiled("", select(func.max(CHATS.c.chat_key)))
