"""A judge behind an API: one ask, one call, without the options that the server does not know."""

from __future__ import annotations

import json

from a2cli.evaluation.judge.apis import Api, find_refused_options
from a2cli.evaluation.judge.model import Words
from a2cli.evaluation.judge.questions import Ask
from a2cli.remote.calls import Place, Reply, fail, get_error, get_message, post

MOST_BYTES = 4 << 20  # of an answer
COMPLAINTS = (400, 422)


class ServedModel:
    """A model at a place. `without` grows by what the server complains about; it is never asked with that again."""

    def __init__(self, api: Api, model: str, place: Place) -> None:
        self.api = api
        self.model = model
        self.place = place
        self.without: frozenset[str] = frozenset()
        self.name = f"{model} at {place.host}"
        self.identity = f"{place.url.rstrip('/')} {model}"

    def answer(self, ask: Ask, nudge: int) -> Words:
        """Ask once. A complaint about an option costs nothing and is answered by asking without it."""
        while True:
            without = self.without
            body = self.api.build(self.model, ask, nudge, without)
            reply = post(self.place, self.api.path(self.model), json=body)
            if reply.status == 200:
                return self._read(reply)
            error = get_error(self.place, reply)
            refused = find_refused_options(error.fault.detail) - without
            if reply.status not in COMPLAINTS or not refused:
                raise error
            self.without |= refused

    def _read(self, reply: Reply) -> Words:
        try:
            words = self.api.read(json.loads(reply.body))
        except (ValueError, RecursionError):
            raise fail("an answer that is not JSON") from None
        if words is None:  # some gateways give their errors a status of 200
            raise fail(f"{self.place.host} answers no message: {get_message(reply.body, self.place.key)}")
        return words
