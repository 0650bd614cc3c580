%% Runs random links, monitors and exit signals (see signals.py) on real Erlang and prints, a line each, what came of it.
-module(signals).
-behaviour(gen_server).
-export([main/1, init/1, handle_call/3, handle_cast/2, handle_info/2]).

main([File]) ->
    logger:set_primary_config(level, none),
    {ok, Scenarios} = file:consult(File),
    lists:foreach(fun run/1, Scenarios),
    halt().

run({scenario, N, Procs, Ops}) ->
    io:format("scenario ~p~n", [N]),
    Pids = start(Procs),
    lists:foreach(fun(Op) ->
        io:format("~p ~p~n", [Op, op(Op, Pids)]),
        [catch gen_server:call(P, ping) || _ <- Procs, P <- maps:values(Pids)], % as often as a chain of deaths is long
        show(Pids)
    end, Ops),
    [exit(P, kill) || P <- maps:values(Pids)].

%% By a parent that is nobody else: a server without one takes itself for its parent.
start(Procs) ->
    Me = self(),
    spawn(fun() ->
        process_flag(trap_exit, true),
        Me ! {started, [begin {ok, P} = gen_server:start_link(?MODULE, Trap, []), {Id, P} end || {Id, Trap} <- Procs]},
        receive stop -> ok end
    end),
    receive {started, Pids} -> maps:from_list(Pids) end.

op({signal, outside, To, R}, Pids) -> exit(maps:get(To, Pids), R), sent;
op({_, From, _, _} = Op, Pids) ->
    Me = maps:get(From, Pids),
    case is_process_alive(Me) of
        false -> dead;
        true ->
            try gen_server:call(Me, {do, Op, Pids}, 1000) catch exit:{R, _} -> {exited, name(R)} end
    end.

show(Pids) ->
    [case is_process_alive(P) of
        false -> io:format("  ~p dead~n", [Id]);
        true ->
            Names = maps:from_list([{V, K} || {K, V} <- maps:to_list(Pids)]),
            io:format("  ~p ~p~n", [Id, lists:sort([message(M, Names) || M <- gen_server:call(P, take)])])
     end || {Id, P} <- lists:sort(maps:to_list(Pids))].

message({'EXIT', P, R}, Names) -> {exit, maps:get(P, Names, outside), name(R)};
message({'DOWN', _, process, P, R}, Names) -> {down, maps:get(P, Names), name(R)}.

name({R, Stack}) when is_list(Stack) -> name(R);
name(R) -> R.

init(Trap) -> process_flag(trap_exit, Trap), {ok, {[], #{}}}.

handle_call(ping, _, S) -> {reply, ok, S};
handle_call(take, _, {Ms, Refs}) -> {reply, lists:reverse(Ms), {[], Refs}};
handle_call({do, Op, Pids}, _, S) -> do(Op, Pids, S).

do({link, _, To, _}, Pids, S) -> link(maps:get(To, Pids)), {reply, ok, S};
do({unlink, _, To, _}, Pids, S) -> unlink(maps:get(To, Pids)), {reply, ok, S};
do({monitor, _, To, _}, Pids, {Ms, Refs}) -> {reply, ok, {Ms, Refs#{To => monitor(process, maps:get(To, Pids))}}};
do({demonitor, _, To, _}, _, {Ms, Refs} = S) ->
    case Refs of
        #{To := Ref} -> {reply, demonitor(Ref, [info]), {Ms, maps:remove(To, Refs)}};
        _ -> {reply, none, S}
    end;
do({signal, _, To, R}, Pids, S) -> exit(maps:get(To, Pids), R), {reply, sent, S};
do({stop, _, _, R}, _, S) -> {stop, R, S};
do({trap, _, _, Flag}, _, S) -> {reply, process_flag(trap_exit, Flag), S}.

handle_cast(_, S) -> {noreply, S}.
handle_info(M, {Ms, Refs}) -> {noreply, {[M | Ms], Refs}}.
