"""A monitor in Python, from the .proto files alone: lists, watches, reports, asks."""
import os
import subprocess
import sys
import tempfile

contract, socket = sys.argv[1], sys.argv[2]
out = tempfile.mkdtemp()
files = ["arbiter", "monitor", "supervisor"]
subprocess.run(
    [sys.executable, "-m", "grpc_tools.protoc", "-I", contract, f"--python_out={out}", f"--grpc_python_out={out}"]
    + [os.path.join(contract, "sereno", "v1", f"{name}.proto") for name in files],
    check=True,
)
sys.path.insert(0, out)
import grpc  # noqa: E402
from sereno.v1 import arbiter_pb2, arbiter_pb2_grpc, supervisor_pb2, supervisor_pb2_grpc  # noqa: E402

# On a Unix socket clients send the authority `localhost`.
channel = grpc.insecure_channel(f"unix:{socket}", options=[("grpc.default_authority", "localhost")])
operator = supervisor_pb2_grpc.SupervisorStub(channel)
arbiter = arbiter_pb2_grpc.ArbiterStub(channel)

status = operator.GetStatus(supervisor_pb2.GetStatusRequest(), timeout=5).status
assert [service.name for service in status.services] == ["web"], status
first = status.services[0].incarnation

watch = arbiter.WatchTargets(
    arbiter_pb2.WatchTargetsRequest(monitor="disk", kind="disk", session="s1", version="1", pid=os.getpid())
)
targets = next(watch)
(target,) = targets.targets
assert (target.service, target.check, target.incarnation) == ("web", "space", first), target
assert target.options.values["path"] == "/", target

result = arbiter_pb2.CheckResult(
    service="web", incarnation=first, check="space", state=arbiter_pb2.CHECK_STATE_PASSING, detail="99 GB free"
)
report = arbiter_pb2.ReportHealthRequest(monitor="disk", session="s1", generation=targets.generation, results=[result])
arbiter.ReportHealth(report, timeout=5)
result.state = arbiter_pb2.CHECK_STATE_FAILING
result.failures = 3
report.results[0].CopyFrom(result)
arbiter.ReportHealth(report, timeout=5)

ask = arbiter_pb2.RequestRestartRequest(
    monitor="disk", session="s1", service="web", incarnation=first, check="space",
    evidence=arbiter_pb2.Evidence(summary="1 MB free", failures=3),
)
answers = [arbiter.RequestRestart(ask, timeout=5) for _ in range(2)]
names = [arbiter_pb2.Decision.Name(answer.decision) for answer in answers]
assert names[0] == "DECISION_ACCEPTED", answers
assert names[1] in ("DECISION_MERGED", "DECISION_STALE"), answers
for targets in watch:
    if targets.targets[0].incarnation > first:
        break
ask.service = "nobody"
assert arbiter.RequestRestart(ask, timeout=5).decision == arbiter_pb2.DECISION_UNKNOWN_SERVICE
try:
    operator.Signal(supervisor_pb2.SignalRequest(signal="NOPE", selection={"all": True}), timeout=5)
    raise SystemExit("a signal that is none was taken")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
    assert "signal" in error.details(), error
# Without that authority the call is malformed, and is told so in words.
try:
    plain = supervisor_pb2_grpc.SupervisorStub(grpc.insecure_channel(f"unix:{socket}"))
    plain.GetStatus(supervisor_pb2.GetStatusRequest(), timeout=5)
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
    assert "authority must be localhost" in error.details(), error
print("all well")
