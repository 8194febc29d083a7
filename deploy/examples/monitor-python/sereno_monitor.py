"""Everything of a monitor but its probe, by the rules of the wire. Needs grpcio and grpcio-tools."""
import asyncio, collections, os, random, signal, sys, time
from pathlib import Path
import grpc, grpc_tools

HERE = Path(__file__).resolve().parent
PROTO = next(p for p in (HERE / "proto", *(up / "proto/proto" for up in HERE.parents)) if (p / "sereno").is_dir())
sys.path += [str(PROTO), grpc_tools.__path__[0] + "/_proto"]
pb, rpc = grpc.protos_and_services("sereno/v1/arbiter.proto")
api, api_rpc = grpc.protos_and_services("sereno/v1/monitor.proto")
SUSPENDED = 5.0  # seconds that a look may come late before it is we who were away
SETTLED = {pb.DECISION_ACCEPTED, pb.DECISION_MERGED, pb.DECISION_STALE}
now, seconds = time.monotonic, lambda duration: duration.ToTimedelta().total_seconds()


class Check:
    """One target of one incarnation: what was counted is thrown away with it."""
    def __init__(self, monitor, target):
        self.monitor, self.target, self.received = monitor, target, now()
        self.state, self.failures, self.passes, self.ever = pb.CHECK_STATE_UNKNOWN, 0, 0, False
        self.window = collections.deque(maxlen=target.window or target.failures or 1)
        self.ended, self.latency, self.detail, self.thread = None, 0.0, "not checked yet", None
        self.asks, self.settled, self.not_before = False, False, 0.0
        self.due, self.waiting = asyncio.Future(), []
        self.task = asyncio.create_task(self.run()) if target.incarnation else None

    async def run(self):
        pace, wait = 0.25, 0 if self.target.starting else random.random() * seconds(self.target.interval)
        while True:
            wake = now() + wait
            await asyncio.wait([self.due], timeout=wait)
            self.due = asyncio.Future()
            if now() - wake > SUSPENDED:  # we were asleep, not the service
                self.window.clear()
                self.failures = 0
            good = await self.look()
            wait = seconds(self.target.interval)
            wait = wait if good else seconds(self.target.retry_interval) or wait
            if self.target.starting:
                wait, pace = min(pace, wait), pace * 2

    async def look(self):
        begun, limit, before = now(), seconds(self.target.timeout), self.state
        # A file system that hangs holds its thread; there is never a second look beside it.
        self.thread = self.thread or asyncio.ensure_future(
            asyncio.to_thread(self.monitor.probe, dict(self.target.options.values)))
        done, _ = await asyncio.wait([self.thread], timeout=limit)
        good, self.detail = False, f"timed out after {limit} s"
        if done:
            error, self.thread = self.thread.exception(), None
            good, self.detail = (False, str(error)) if error else done.pop().result()
        turned = self.ended is None or good != (self.failures == 0)
        self.ended, self.latency, self.ever = now(), now() - begun, self.ever or good
        self.failures, self.passes = (0, self.passes + 1) if good else (self.failures + 1, 0)
        if self.ever or begun >= self.received + seconds(self.target.start_period):
            self.window.append(not good)
        if good and (before != pb.CHECK_STATE_FAILING or self.passes >= self.target.successes):
            self.state = pb.CHECK_STATE_PASSING
            self.window.clear() if before == pb.CHECK_STATE_FAILING else None
        elif not good and (before == pb.CHECK_STATE_FAILING or sum(self.window) >= self.target.failures):
            self.state, self.asks = pb.CHECK_STATE_FAILING, True
        self.wake()
        self.monitor.tell(turned or self.state != before)
        return good

    def wake(self):
        [waiter.done() or waiter.set_result(None) for waiter in self.waiting]
        self.waiting = []

    def result(self):
        result = pb.CheckResult(state=self.state, failures=self.failures, detail=self.detail, **self.whom())
        if self.ended is not None:
            result.latency.FromNanoseconds(int(self.latency * 1e9))
            result.age.FromNanoseconds(int((now() - self.ended) * 1e9))
        return result

    def whom(self):
        return dict(service=self.target.service, incarnation=self.target.incarnation, check=self.target.check)


class Monitor(api_rpc.MonitorServicer):
    def __init__(self, kind, probe, supervisor, listen):
        self.probe, self.supervisor, self.started = probe, supervisor, now()
        self.checks, self.generation, self.news = {}, 0, 0
        self.attached, self.last_error, self.ending, self.turn = False, "", False, asyncio.Future()
        self.me = dict(monitor=os.environ.get("SERENO_MONITOR", kind), session=f"{random.getrandbits(64):016x}")
        self.who = dict(self.me, kind=kind, endpoint=listen, version="1", pid=os.getpid())

    def tell(self, news=True):
        self.news += news
        self.turn.set_result(None)
        self.turn = asyncio.Future()

    def take(self, wire):
        """A new set of targets: the same check of the same run goes on counting, all else begins anew."""
        known, self.checks, self.generation = self.checks, {}, wire.generation
        for target in wire.targets:
            key, old = (target.service, target.check), pb.Target()
            if key in known:
                old.CopyFrom(known[key].target)
                old.pid, old.starting, old.report_only = target.pid, target.starting, target.report_only
            self.checks[key] = known.pop(key) if old == target else Check(self, target)
            self.checks[key].target = target
        for gone in known.values():
            gone.task and gone.task.cancel()
            gone.wake()
        self.tell(False)

    async def attach(self):
        wait, options = 0.1, [("grpc.default_authority", "localhost"), ("grpc.use_local_subchannel_pool", 1)]
        while True:
            async with grpc.aio.insecure_channel(self.supervisor, options) as channel:
                try:
                    arbiter = rpc.ArbiterStub(channel)
                    sets = arbiter.WatchTargets(pb.WatchTargetsRequest(**self.who)).__aiter__()
                    self.take(await asyncio.wait_for(sets.__anext__(), 5))
                    self.attached, wait = True, 0.1
                    parts = [asyncio.ensure_future(part) for part in (self.listen_to(sets), self.speak(arbiter))]
                    done, rest = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
                    [part.cancel() for part in rest]
                    done.pop().result()
                except Exception as error:  # whatever it was: probing goes on, and we come back
                    self.last_error = getattr(error, "details", error.__str__)() or "the stream of targets ended"
                    wait = 5 if getattr(error, "code", str)() == grpc.StatusCode.ABORTED else wait
            self.attached = False
            self.tell(False)
            await asyncio.sleep(wait)
            wait = min(wait * 2, 5)

    async def listen_to(self, sets):
        async for wire in sets:
            self.take(wire)

    async def speak(self, arbiter):
        told, at = None, 0
        while True:
            turn, starting = self.turn, any(check.target.starting for check in self.checks.values())
            if told != self.news or starting and now() - at >= 2:
                told, at, results = self.news, now(), [check.result() for check in self.checks.values()]
                report = pb.ReportHealthRequest(generation=self.generation, results=results, **self.me)
                await arbiter.ReportHealth(report, timeout=5)
            for check in list(self.checks.values()):
                due, check.asks = check.asks and check.failures and not check.settled, False
                if due and not check.target.report_only and now() >= check.not_before:
                    evidence = pb.Evidence(summary=check.detail, failures=check.failures)
                    ask = pb.RequestRestartRequest(evidence=evidence, **check.whom(), **self.me)
                    answer = await arbiter.RequestRestart(ask, timeout=5)
                    check.settled, check.not_before = answer.decision in SETTLED, now() + seconds(answer.retry_after)
            await asyncio.wait([turn], timeout=max(0, at + 2 - now()) if starting else None)

    async def GetMonitorStatus(self, request, context):
        who = {key: self.who[key] for key in ("monitor", "kind", "version", "pid")}
        link = dict(attached=self.attached, supervisor=self.supervisor, last_error=self.last_error)
        results = [check.result() for check in self.checks.values()]
        return api.MonitorStatus(uptime_seconds=now() - self.started, results=results, **who, **link)

    async def WatchMonitorStatus(self, request, context):
        while not self.ending:
            turn = self.turn
            yield await self.GetMonitorStatus(request, context)
            await asyncio.wait([turn])
        await context.abort(grpc.StatusCode.UNAVAILABLE, "shutting down")

    async def CheckNow(self, request, context):
        wanted = lambda target: target.service == request.service and request.check in ("", target.check)
        found = [check for check in self.checks.values() if wanted(check.target)]
        if not found:
            code = grpc.StatusCode.NOT_FOUND if request.service else grpc.StatusCode.INVALID_ARGUMENT
            await context.abort(code, f"service: no target {request.service}/{request.check}")
        for check in found:
            if check.task:
                check.waiting.append(asyncio.Future())
                check.due.done() or check.due.set_result(None)
        await asyncio.gather(*(waiter for check in found for waiter in check.waiting))
        if self.ending:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "shutting down")
        return api.CheckNowResponse(results=[check.result() for check in found])


async def health(request, context):
    return b"\x08\x01"  # status: SERVING


async def serve(kind, probe):
    names = ("SERENO_SUPERVISOR", "SERENO_LISTEN")
    told = [os.environ.get(name) or sys.exit(f"{kind}: set {name}, as a URI") for name in names]
    os.umask(0o177)  # the socket is its owner's only
    monitor, server, stop = Monitor(kind, probe, *told), grpc.aio.server(), asyncio.Event()
    api_rpc.add_MonitorServicer_to_server(monitor, server)
    serving = grpc.unary_unary_rpc_method_handler(health)  # grpc.health.v1, without a package for it
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": serving})])
    server.add_insecure_port(told[1])
    await server.start()
    [asyncio.get_running_loop().add_signal_handler(each, stop.set) for each in (signal.SIGTERM, signal.SIGINT)]
    link = asyncio.create_task(monitor.attach())
    await stop.wait()
    link.cancel()
    monitor.ending = True
    monitor.tell()
    [check.wake() for check in monitor.checks.values()]
    await server.stop(1)
    os._exit(0)  # a look that hangs holds nobody


def run(kind, probe):
    """Serves a kind until it is told to go; `probe(options)` looks once, and says (all is well, what it saw)."""
    asyncio.run(serve(kind, probe))
