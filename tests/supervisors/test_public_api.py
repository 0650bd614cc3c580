"""The public surface of the package, spelled out: programs rely on it."""

import types
from importlib.resources import files

import supervisors

NAMES = """
Agent AlreadyPresentError AlreadyRegisteredError AlreadyStarted AlreadyStartedError AutoShutdown BRUTAL_KILL
BadReturnValueError BlockingCallError CallError CallTimeoutError CallbackFailedError CallingSelfError Cast Child
ChildCounts ChildRestartingError ChildRunningError ChildSpec ChildSpecError ChildType Continue Crashed Down
DynamicSupFlags DynamicSupervisor Enter EventTimeout Exit ExitReason Exited FailedToStartChild From GenServer
GenStatem GenericTimeout INFINITY Ignore KeepState Keys Kill Killed MaxChildrenError MonitorRef NextEvent NextState
NoCurrentProcessError NoProcess NoReply Normal NotFoundError Ok OnTimeout Outcome OverloadedError Partition
PartitionSupervisor Postpone ProcessExit RESTARTING Ref Refuse Registry RegistryName RepeatState Reply RequestId
RequestIds Response Restart Server ServerDownError Shutdown SimpleOneForOneError StartError State StateTimeout Stop
Strategy SupFlags Supervisor SupervisorsError System SystemStoppedError Table TableAccessError TableGiven
TableHeldError TableOwner Task TaskDone TaskOwnerError TaskSupervisor Timeout TimerFired TimerRef TreeNode
UnexpectedRequestError Via abcast ancestors call cancel_timer cast check_childspecs check_response child_spec close_port
count_children current delete_child demonitor exit_signal forward get_callback_module get_childspec get_state get_status
is_abnormal link monitor multi_call open_port partition_of peek print_tree receive_response register registered
render_tree replace_state reply
restart_child resume send send_after send_request start_child start_timer statistics stop suspend
terminate_child trace unlink unregister wait_response whereis which_children
""".split()  # noqa: SIM905


def test_the_names_that_programs_import_are_these():
    public = {
        name
        for name, value in vars(supervisors).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }

    assert public - {"logger"} == set(NAMES)


def test_the_verbs_of_a_ref_are_these():
    verbs = [name for name in vars(supervisors.Ref) if not name.startswith("_")]

    assert {"call", "cast", "send", "wait_exit", "is_alive", "exit_reason"} <= set(verbs)


def test_the_package_is_typed():
    assert files(supervisors).joinpath("py.typed").is_file()
