"""A gen_server and its port. Atoms become strings, clauses cases, milliseconds seconds; the rest is this table.

    {local, sessions}, {ok, Pid}         name="sessions"; the ref is returned, a failed start raised as StartError
    {ok, State}, {noreply, NewState}     set attributes of self, return nothing
    {reply, Value, NewState}             set attributes of self, return Reply(value)
    no clause matches: a crash           raise UnexpectedRequestError: the same crash, said plainly

-module(sessions).
-behaviour(gen_server).
-export([main/0, init/1, handle_call/3, handle_cast/2, handle_info/2]).

init(Ttl) -> {ok, #{ttl => Ttl, last => 0, users => #{}}}.
handle_call({login, User}, _From, #{ttl := Ttl, last := Last, users := Users} = State) ->
    erlang:send_after(Ttl, self(), {expire, Last + 1}),
    {reply, Last + 1, State#{last := Last + 1, users := Users#{Last + 1 => User}}};
handle_call({user, Id}, _From, #{users := Users} = State) ->
    {reply, maps:get(Id, Users, none), State}.
handle_cast({logout, Id}, #{users := Users} = State) -> {noreply, State#{users := maps:remove(Id, Users)}}.
handle_info({expire, Id}, State) -> handle_cast({logout, Id}, State).
main() ->
    {ok, _} = gen_server:start({local, sessions}, ?MODULE, 200, []),
    Ids = [gen_server:call(sessions, {login, User}) || User <- [ann, bob]],
    gen_server:cast(sessions, {logout, hd(Ids)}),
    io:format("~p~n", [[gen_server:call(sessions, {user, Id}) || Id <- Ids]]),
    timer:sleep(400),
    io:format("~p~n", [[gen_server:call(sessions, {user, Id}) || Id <- Ids]]),
    gen_server:stop(sessions).
"""

import asyncio
from typing import Any

from typing_extensions import override

from supervisors import From, GenServer, Reply, System, UnexpectedRequestError, call, cast, current, send_after, stop


class Sessions(GenServer):
    """Who is logged in; each for ``ttl`` seconds."""

    @override
    def init(self, ttl: float) -> None:
        self.ttl, self.last, self.users = ttl, 0, dict[int, str]()

    @override
    def handle_call(self, request: Any, from_: From) -> Reply:
        match request:
            case "login", user:
                self.last += 1
                self.users[self.last] = user
                send_after(self.ttl, current(), ("expire", self.last))
                return Reply(self.last)
            case "user", session:
                return Reply(self.users.get(session, "none"))
        raise UnexpectedRequestError(request)

    @override
    def handle_cast(self, request: Any) -> None:
        _, session = request
        self.users.pop(session, None)

    @override
    def handle_info(self, info: Any) -> None:
        self.handle_cast(info)


async def main() -> None:
    """Do what the Erlang ``main`` does, and print the same."""
    async with System() as system:
        await system.start(Sessions, 0.2, name="sessions")
        sessions = [await call("sessions", ("login", user)) for user in ("ann", "bob")]
        cast("sessions", ("logout", sessions[0]))
        print(f"[{','.join([await call('sessions', ('user', session)) for session in sessions])}]")
        await asyncio.sleep(0.4)
        print(f"[{','.join([await call('sessions', ('user', session)) for session in sessions])}]")
        await stop("sessions")


if __name__ == "__main__":
    asyncio.run(main())
