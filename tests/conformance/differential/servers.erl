%% Runs random gen_servers (see servers.py) on real Erlang and prints, a line each, what came of it.
-module(servers).
-behaviour(gen_server).
-export([main/1, init/1, handle_call/3, handle_cast/2, handle_info/2, handle_continue/2, terminate/2]).

-define(AT_ONCE, 100). % scenarios: they sleep most of the time
-define(LATE, 8).     % ms that a timer may be late; less than half of servers.py's GAP
-define(TRIES, 20).

main([File]) ->
    logger:set_primary_config(level, none),
    application:load(stdlib),
    {ok, Modules} = application:get_key(stdlib, modules),
    ok = code:ensure_modules_loaded(Modules), % who loads one for its first call waits, as if it were idle
    {ok, Scenarios} = file:consult(File),
    Lates = counters:new(1, []),
    spawn_link(fun() -> watch(Lates) end),
    batches(Scenarios, Lates),
    halt().

batches([], _) -> ok;
batches(Scenarios, Lates) ->
    {Batch, Rest} = lists:split(min(?AT_ONCE, length(Scenarios)), Scenarios),
    Runs = [spawn_monitor(fun() -> exit({lines, calm(S, Lates, ?TRIES)}) end) || S <- Batch],
    [receive {'DOWN', Ref, process, _, {lines, Lines}} -> io:put_chars(Lines) end || {_, Ref} <- Runs],
    batches(Rest, Lates).

%% A machine that had no time for us mixes up timers: then play the scenario again.
calm(Scenario, Lates, Tries) ->
    Before = counters:get(Lates, 1),
    Lines = play(Scenario),
    case counters:get(Lates, 1) of
        Now when Now > Before, Tries > 1 -> calm(Scenario, Lates, Tries - 1);
        _ -> Lines
    end.

watch(Lates) ->
    Start = erlang:monotonic_time(millisecond),
    timer:sleep(2),
    erlang:monotonic_time(millisecond) - Start > 2 + ?LATE andalso counters:add(Lates, 1, 1),
    watch(Lates).

play({scenario, N, Ops}) ->
    World = ets:new(world, [public, duplicate_bag]),
    put(world, World),
    Driver = self(),
    Parent = spawn_link(fun() -> process_flag(trap_exit, true), parent(Driver, World) end),
    {Ghost, Ref} = spawn_monitor(fun() -> ok end),
    receive {'DOWN', Ref, _, _, _} -> ok end,
    ets:insert(World, [{ghost, Ghost}, {process, Parent}]),
    Lines = [show({element(1, Op), op(Op, Parent, World)}, World) || Op <- Ops],
    unlink(Parent),
    [exit(P, kill) || P <- ets:lookup_element(World, process, 2)],
    ets:delete(World),
    [io_lib:format("scenario ~w~n", [N]), Lines].

%% Quiet: it starts servers, sends them exit signals, and does nothing about theirs.
parent(Driver, World) ->
    receive
        {start, Args, T} -> Driver ! {started, gen_server:start_link(?MODULE, Args, [{timeout, T}])};
        {signal, P, R} -> exit(P, R);
        {'EXIT', Driver, _} -> exit(normal);
        {'EXIT', P, R} -> ets:insert(World, {{ended, P}, name(R)})
    end,
    parent(Driver, World).

show(Said, World) ->
    settle(World, 2),
    Known = [Id || Id <- [s1, s2, s3], ets:member(World, Id)],
    [io_lib:format("~w~n", [Said]),
     [io_lib:format("  ~w ~w~n", [Id, take(Id, World)]) || Id <- Known],
     io_lib:format("  clients ~w~n", [lists:sort(take(client, World))]),
     [io_lib:format("  ~w ~w~n", [Id, state(P, World)]) || Id <- Known, {_, P} <- ets:lookup(World, {started, Id})]].

take(Id, World) -> [Event || {_, Event} <- ets:take(World, {log, Id})].

state(P, World) ->
    case ets:lookup(World, {ended, P}) of
        [{_, R}] -> R;
        [] -> alive
    end.

%% Until all wait, and still do when all had their turn.
settle(_, 0) -> ok;
settle(World, Rounds) ->
    erlang:yield(),
    case lists:all(fun waits/1, ets:lookup_element(World, process, 2)) of
        true -> settle(World, Rounds - 1);
        false -> settle(World, 2)
    end.

waits(P) -> lists:member(process_info(P, status), [undefined, {status, waiting}]).

op({start, Id, Trap, Script, Last, T}, Parent, World) ->
    case is_process_alive(pid(Id)) of
        true -> already_started;
        false ->
            Parent ! {start, {World, Id, Trap, Script, Last}, T},
            receive
                {started, {ok, P}} -> replace({started, Id}, P), started;
                {started, ignore} -> ok;
                {started, {error, R}} -> {error, name(R)}
            end
    end;
op({wait, T}, _, _) -> timer:sleep(T);
op({ask, To, {N, _, _} = Script, T}, _, World) ->
    join(spawn(fun() -> put(world, World), log(client, {N, outcome({call, To, Script, T})}) end)), ok;
op({burst, Messages}, _, _) ->
    erlang:yield(), % all of them in one turn
    [case How of cast -> gen_server:cast(pid(To), Script); info -> pid(To) ! Script end || {How, To, Script} <- Messages],
    ok;
op({signal, To, R}, _, _) -> exit(pid(To), R), ok;
op({order, To, R}, Parent, _) -> Parent ! {signal, pid(To), R}, ok;
op(Request, _, _) -> outcome(Request).

outcome({_, To, _, _} = Request) -> outcome(Request, pid(To));
outcome({_, To, _} = Request) -> outcome(Request, pid(To)).

outcome(Request, P) ->
    try ask(Request, P) catch _:R -> {error, name(R)} end.

ask({call, _, Script, T}, P) -> gen_server:call(P, Script, T);
ask({stop, _, R, T}, P) ->
    try gen_server:stop(P, R, T) catch
        exit:{R, {sys, terminate, _}} -> ok % it ended as asked before it was told to: S16, where we differ
    end;
ask({terminate, _, R, T}, P) -> sys:terminate(P, R, T);
ask({suspend, _, T}, P) -> sys:suspend(P, T);
ask({resume, _, T}, P) -> sys:resume(P, T);
ask({get_state, _, T}, P) -> sys:get_state(P, T);
ask({replace, _, bad, T}, P) -> sys:replace_state(P, fun(_) -> error(bad) end, T);
ask({replace, _, V, T}, P) -> sys:replace_state(P, fun(_) -> V end, T).

name({shutdown, x}) -> {shutdown, x};
name({bad_return_value, _}) -> bad_return_value;
name({callback_failed, _, _}) -> callback_failed;
name({R, {_, _, Args}}) when is_list(Args) -> name(R); % of a call that failed
name({R, Stack}) when is_list(Stack) -> R;
name(R) -> R.

world() -> get(world).

pid(Id) ->
    case ets:lookup(world(), Id) of
        [{_, P}] -> P;
        [] -> pid(ghost)
    end.

replace(Key, P) -> ets:delete(world(), Key), ets:insert(world(), {Key, P}).
join(P) -> ets:insert(world(), {process, P}).
log(Who, Event) -> ets:insert(world(), {{log, Who}, Event}).
event(What, Which) -> log(get(id), {What, Which}).

init({World, Id, Trap, Script, Last}) ->
    process_flag(trap_exit, Trap),
    put(world, World), put(id, Id), put(last, Last), put(pending, []),
    replace(Id, self()),
    join(self()),
    case perform(init, Script, none, a) of
        {noreply, S} -> {ok, S};
        {noreply, S, Then} -> {ok, S, Then};
        {stop, R, _} -> {stop, R};
        Other -> Other
    end.

handle_call(Script, From, S) -> perform(call, Script, From, S).
handle_cast(Script, S) -> perform(cast, Script, none, S).
handle_continue(Script, S) -> perform(continue, Script, none, S).
handle_info(timeout, S) -> perform(timeout, get(on_timeout), none, S);
handle_info({'EXIT', _, R}, S) -> event(exit, name(R)), {noreply, S};
handle_info(Script, S) -> perform(info, Script, none, S).
terminate(R, S) -> event(terminate, name(R)), perform(last, get(last), none, S).

perform(Callback, {N, Actions, Result}, From, S) ->
    event(Callback, N),
    finish(Result, From, lists:foldl(fun(Action, S1) -> act(Action, From, S1) end, S, Actions)).

act({set, V}, _, _) -> V;
act({cast, To, Script}, _, S) -> gen_server:cast(pid(To), Script), S;
act({info, To, Script}, _, S) -> pid(To) ! Script, S;
act({answer, V}, _, S) ->
    case get(pending) of
        [] -> ok;
        [From | Rest] -> put(pending, Rest), gen_server:reply(From, V)
    end,
    S;
act({early, V}, From, S) -> gen_server:reply(From, V), S;
act({signal, To, R}, _, S) -> exit(pid(To), R), S;
act({sleep, T}, _, S) -> timer:sleep(T), S;
act({must, To, Script, T}, _, S) -> event(must, gen_server:call(pid(To), Script, T)), S;
act(Request, _, S) -> event(element(1, Request), outcome(Request)), S.

finish({reply, V, Then}, _, S) -> then({reply, V, S}, Then);
finish({noreply, Then}, none, S) -> then({noreply, S}, Then);
finish({noreply, Then}, From, S) -> put(pending, get(pending) ++ [From]), then({noreply, S}, Then);
finish({ok, Then}, _, S) -> then({noreply, S}, Then);
finish({ignore}, _, _) -> ignore;
finish({stop, R}, _, S) -> {stop, R, S};
finish({stop_reply, R, V}, _, S) -> {stop, R, V, S};
finish({error}, _, _) -> error(oops);
finish({exit, R}, _, _) -> exit(R);
finish({suicide, R}, _, S) -> exit(self(), R), {noreply, S};
finish({bad}, _, _) -> bad.

then(Result, none) -> Result;
then(Result, {timeout, T, Script}) -> put(on_timeout, Script), erlang:append_element(Result, T);
then(Result, Continue) -> erlang:append_element(Result, Continue).
