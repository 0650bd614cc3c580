%% Runs scenarios of a file (see scenarios.py) on real OTP and prints, a line each, what happened.
-module(differential).
-behaviour(supervisor).
-export([main/1, init/1, start_sup/1, start_worker/2]).
-export([handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

main([File]) ->
    logger:set_primary_config(level, none),
    {ok, Scenarios} = file:consult(File),
    lists:foreach(fun run/1, Scenarios),
    halt().

run({scenario, N, Root, Ops}) ->
    process_flag(trap_exit, true),
    ets:new(attempts, [named_table, public]),
    put(log, []),
    register(log, self()),
    io:format("scenario ~p~n", [N]),
    {ok, Sup} = start_sup(Root),
    show(settle(Sup)),
    lists:foreach(fun(Op) ->
        io:format("~p ~p~n", [Op, op(Op)]),
        show(settle(Sup))
    end, Ops),
    case is_process_alive(Sup) of
        true -> exit(Sup, shutdown), receive {'EXIT', Sup, R} -> io:format("end ~p~n", [R]) end;
        false -> receive {'EXIT', Sup, R} -> io:format("ended ~p~n", [R]) end
    end,
    show(none),
    unregister(log),
    ets:delete(attempts),
    flush().

flush() -> receive _ -> flush() after 0 -> ok end.

op({Verb, Id, Reason}) when Verb =:= exit ->
    case whereis(Id) of
        undefined -> down;
        Pid ->
            Ref = monitor(process, Pid),
            case Reason of
                kill -> exit(Pid, kill);
                _ -> gen_server:cast(Pid, {stop, Reason})
            end,
            receive {'DOWN', Ref, _, _, _} -> ok end
    end;
op({terminate, Sup, Id}) -> api(Sup, fun(S) -> supervisor:terminate_child(S, Id) end);
op({restart, Sup, Id}) -> api(Sup, fun(S) -> supervisor:restart_child(S, Id) end);
op({delete, Sup, Id}) -> api(Sup, fun(S) -> supervisor:delete_child(S, Id) end);
op({start, Sup, Spec}) -> api(Sup, fun(S) -> supervisor:start_child(S, spec(Spec)) end).

api(Sup, Fun) ->
    case whereis(Sup) of
        undefined -> noproc;
        Pid ->
            try Fun(Pid) of
                ok -> ok;
                {ok, undefined} -> ignored;
                {ok, P} when is_pid(P) -> started;
                {error, already_present} -> already_present;
                {error, {already_started, _}} -> already_started;
                {error, running} -> running;
                {error, restarting} -> restarting;
                {error, not_found} -> not_found;
                {error, {bad_combination, _}} -> bad_spec;
                {error, _} -> failed
            catch exit:_ -> down
            end
    end.

%% Wait until nothing moves, then return the state of the tree.
settle(Sup) -> settle(Sup, tree(Sup), 3).

settle(_, Tree, 0) -> Tree;
settle(Sup, Tree, Rounds) ->
    [catch gen_server:call(Id, ping) || Id <- registered(), is_ours(Id)],
    case tree(Sup) of
        Tree -> case is_restarting(Tree) of true -> settle(Sup, Tree, 3); false -> settle(Sup, Tree, Rounds - 1) end;
        Moved -> settle(Sup, Moved, 3)
    end.

is_restarting(Tree) when is_list(Tree) -> lists:any(fun({_, T}) -> T =:= restarting orelse is_restarting(T) end, Tree);
is_restarting(_) -> false.

is_ours(Id) ->
    case atom_to_list(Id) of
        [$c, Digit | _] -> Digit >= $0 andalso Digit =< $9 andalso is_worker(whereis(Id));
        _ -> false
    end.

is_worker(undefined) -> false;
is_worker(Pid) ->
    {dictionary, D} = case process_info(Pid, dictionary) of undefined -> {dictionary, []}; I -> I end,
    proplists:get_value(worker, D, false).

tree(Sup) ->
    case is_process_alive(Sup) of
        false -> dead;
        true -> try
            [case {Type, P} of
                {supervisor, Pid} when is_pid(Pid) -> {Id, tree(Pid)};
                {_, Pid} when is_pid(Pid) -> {Id, up};
                _ -> {Id, P}
             end || {Id, P, Type, _} <- lists:reverse(supervisor:which_children(Sup))]
            catch exit:_ -> dead end
    end.

show(Tree) ->
    io:format("  log ~p~n", [events([])]),
    Tree =/= none andalso io:format("  tree ~p~n", [Tree]).

events(Acc) ->
    receive {event, E} -> events([E | Acc]) after 0 -> lists:reverse(Acc) end.

%% {sup, Id, Strategy, Intensity, Auto, Children}
start_sup({sup, Id, Strategy, Intensity, Auto, Children}) ->
    supervisor:start_link({local, Id}, ?MODULE, {sup, Strategy, Intensity, Auto, Children}).

init({sup, Strategy, Intensity, Auto, Children}) ->
    {ok, {#{strategy => Strategy, intensity => Intensity, period => 3600, auto_shutdown => Auto},
          [spec(C) || C <- Children]}};
init({worker, Id, Fails}) ->
    process_flag(trap_exit, true),
    put(worker, true),
    N = ets:update_counter(attempts, Id, 1, {Id, 0}),
    case lists:keyfind(N, 1, Fails) of
        false -> log ! {event, {start, Id}}, {ok, Id};
        {N, ignore} -> log ! {event, {ignore, Id}}, ignore;
        {N, fail} -> log ! {event, {fail, Id}}, {stop, bad};
        {N, once} -> log ! {event, {once, Id}}, gen_server:cast(self(), {stop, boom}), {ok, Id}
    end.

spec({worker, Id, Restart, Significant, Fails}) ->
    #{id => Id, start => {?MODULE, start_worker, [Id, Fails]}, restart => Restart, significant => Significant};
spec({Sup, Restart, Significant}) ->
    #{id => element(2, Sup), start => {?MODULE, start_sup, [Sup]}, restart => Restart,
      significant => Significant, type => supervisor}.

start_worker(Id, Fails) -> gen_server:start_link({local, Id}, ?MODULE, {worker, Id, Fails}, []).

handle_call(_, _, S) -> {reply, ok, S}.
handle_cast({stop, Reason}, S) -> {stop, Reason, S}.
handle_info(_, S) -> {noreply, S}.
terminate(R, Id) when is_atom(Id) -> log ! {event, {stop, Id, R}}.
