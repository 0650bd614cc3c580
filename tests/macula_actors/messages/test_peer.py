from macula_actors.errors import ConnectionLostError, OverloadedError
from macula_actors.messages.peer import outcome_in
from supervisors import GenServer, Refuse, send_request
from supervisors.testing import wait_until_idle


class Full(GenServer):
    def handle_call(self, request, from_):
        return Refuse(OverloadedError("x", 1))


async def test_an_outcome_that_is_an_error_keeps_no_frame_alive(system):
    asked = send_request(await system.start(Full), "ping")
    await wait_until_idle(system)

    outcome = outcome_in(asked)

    assert (type(outcome), outcome.__traceback__) == (OverloadedError, None)


async def test_without_who_carries_it_the_connection_is_lost(system):
    asked = send_request("nobody", "ping")
    await wait_until_idle(system)

    assert isinstance(outcome_in(asked), ConnectionLostError)
