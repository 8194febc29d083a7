"""Everything of a monitor but its probe, by the rules of the wire. Needs grpcio and grpcio-tools."""
import asyncio, collections, grpc, grpc_tools, os, pathlib, random, signal, sys, time
UP = pathlib.Path(__file__).resolve().parents  # a folder proto beside this file, or the source tree
sys.path += [*(str(up / at) for up in UP for at in ("proto", "proto/proto")), grpc_tools.__path__[0] + "/_proto"]
(pb, rpc), (api, api_rpc) = (grpc.protos_and_services(f"sereno/v1/{name}.proto") for name in ("arbiter", "monitor"))
FAILING, SETTLED = pb.CHECK_STATE_FAILING, {pb.DECISION_ACCEPTED, pb.DECISION_MERGED, pb.DECISION_STALE}
now, seconds = time.monotonic, lambda duration: duration.ToTimedelta().total_seconds()

class Check:
    """One target of one incarnation: what was counted is thrown away with it."""
    def __init__(self, monitor, target):
        self.monitor, self.target, self.received, self.ended, self.passes = monitor, target, now(), None, 0
        self.whom = dict(service=target.service, incarnation=target.incarnation, check=target.check)
        self.seen = pb.CheckResult(state=pb.CHECK_STATE_UNKNOWN, detail="not checked yet", **self.whom)
        self.window = collections.deque(maxlen=target.window or target.failures or 1)
        self.ever, self.asks, self.not_before = False, False, 0.0
        self.task = asyncio.create_task(self.run()) if target.incarnation else None

    async def run(self):
        pace, wait = 0.25, 0 if self.target.starting else random.random() * seconds(self.target.interval)
        while True:
            await asyncio.sleep(wait)
            await self.look()
            wait = (self.seen.failures and seconds(self.target.retry_interval)) or seconds(self.target.interval)
            if self.target.starting:
                wait, pace = min(pace, wait), pace * 2

    async def look(self):
        begun, limit, seen = now(), seconds(self.target.timeout), self.seen
        try:  # a file system that hangs keeps its thread, one of a pool
            good, said = await asyncio.wait_for(asyncio.to_thread(self.monitor.probe, self.target), limit)
        except Exception as error:
            good, said = False, str(error) or f"timed out after {limit} s"
        before = self.ended and (seen.state, seen.failures > 0)
        self.ended, self.ever, self.passes = now(), self.ever or good, self.passes + 1 if good else 0
        seen.detail, seen.failures = said.encode()[:300].decode(errors="ignore"), 0 if good else seen.failures + 1
        seen.passed, seen.failed = seen.passed + good, seen.failed + (not good)
        seen.latency.FromNanoseconds(int((self.ended - begun) * 1e9))
        self.window.append(not good and (self.ever or begun >= self.received + seconds(self.target.start_period)))
        if not good and sum(self.window) >= self.target.failures:
            seen.state = FAILING
        elif good and (seen.state != FAILING or self.passes >= self.target.successes):
            seen.state == FAILING and self.window.clear()
            seen.state = pb.CHECK_STATE_PASSING
        self.asks = not good and seen.state == FAILING
        self.monitor.tell(before != (seen.state, seen.failures > 0))

class Monitor(api_rpc.MonitorServicer):
    def __init__(self, kind, probe):
        self.probe, self.begun, self.task = probe, now(), asyncio.create_task(self.attach())
        self.checks, self.generation, self.news, self.turn, self.every = {}, 0, 0, asyncio.Future(), None
        self.me = dict(monitor=os.environ.get("SERENO_MONITOR", kind), session=f"{random.getrandbits(64):016x}")
        self.program = dict(monitor=self.me["monitor"], kind=kind, version="1", pid=os.getpid())
        self.link = dict(supervisor=os.environ["SERENO_SUPERVISOR"], attached=False, last_error="")

    def tell(self, news=True):
        self.news += news
        self.turn.set_result(None)
        self.turn = asyncio.Future()

    def take(self, wire):
        """A new set of targets: the same check of the same run goes on counting, all else begins anew."""
        known, self.checks, self.generation = self.checks, {}, wire.generation
        self.every = max(1, seconds(wire.report_every)) if wire.HasField("report_every") else None
        for target in wire.targets:
            same = pb.Target.FromString(target.SerializeToString())
            same.pid, same.starting, same.report_only = 0, False, False
            key = same.SerializeToString(deterministic=True)
            self.checks[key] = known.pop(key, None) or Check(self, target)
            self.checks[key].target = target
        [gone.task.cancel() for gone in known.values() if gone.task]

    def results(self):
        for check in self.checks.values():
            check.ended and check.seen.age.FromNanoseconds(int((now() - check.ended) * 1e9))
        return [check.seen for check in self.checks.values()]

    async def attach(self):
        wait, options = 0.05, [("grpc.default_authority", "localhost"), ("grpc.use_local_subchannel_pool", 1)]
        while True:
            try:
                async with grpc.aio.insecure_channel(self.link["supervisor"], options) as channel:
                    await self.talk(rpc.ArbiterStub(channel))
            except Exception as error:  # whatever it was: probing goes on, and we come back
                wait = 0.1 if self.link["attached"] else min(wait * 2, 5)
                self.link.update(attached=False, last_error=(getattr(error, "details", error.__str__)() or "it ended")[:250])
            self.tell(False)
            await asyncio.sleep(wait)

    async def talk(self, arbiter):
        hello = pb.WatchTargetsRequest(endpoint=os.environ["SERENO_LISTEN"], session=self.me["session"], **self.program)
        told, at, sets = None, 0, arbiter.WatchTargets(hello).__aiter__()
        while True:
            if told is None or coming.done():
                self.take(await (sets.__anext__() if told is None else coming))
                self.link["attached"], coming = True, asyncio.ensure_future(sets.__anext__())
            turn, starting = self.turn, any(check.target.starting for check in self.checks.values())
            every = 2 if starting else self.every
            if told != self.news or every and now() - at >= every:
                told, at = self.news, now()
                report = pb.ReportHealthRequest(generation=self.generation, results=self.results(), **self.me)
                await arbiter.ReportHealth(report, timeout=5)
            for check in list(self.checks.values()):
                if check.asks and not check.target.report_only and now() >= check.not_before:
                    evidence = pb.Evidence(summary=check.seen.detail, failures=check.seen.failures)
                    ask = pb.RequestRestartRequest(evidence=evidence, **check.whom, **self.me)
                    answer = await arbiter.RequestRestart(ask, timeout=5)
                    check.not_before = now() + (1e9 if answer.decision in SETTLED else seconds(answer.retry_after))
                check.asks = False
            left = max(0, at + every - now()) if every else None
            await asyncio.wait([turn, coming], timeout=left, return_when="FIRST_COMPLETED")

    async def GetMonitorStatus(self, request, context):
        return api.MonitorStatus(uptime_seconds=now() - self.begun, results=self.results(), **self.program, **self.link)

    async def WatchMonitorStatus(self, request, context):
        while True:
            turn = self.turn
            yield await self.GetMonitorStatus(request, context)
            await asyncio.wait([turn])

    async def CheckNow(self, request, context):
        wanted = lambda target: target.service == request.service and request.check in ("", target.check)
        found = [check for check in self.checks.values() if wanted(check.target)]
        found or await context.abort(grpc.StatusCode.NOT_FOUND, f"no target {request.service}/{request.check}")
        await asyncio.gather(*(check.look() for check in found if check.target.incarnation))
        return api.CheckNowResponse(results=[result for result in self.results() if wanted(result)])

async def serve(kind, probe):
    """Serves a kind until it is told to go; `probe(target)` looks once, and says (all is well, what it saw)."""
    os.umask(0o177)  # the socket is its owner's only
    server = grpc.aio.server()
    api_rpc.add_MonitorServicer_to_server(Monitor(kind, probe), server)
    serving = grpc.unary_unary_rpc_method_handler(lambda request, context: b"\x08\x01")  # grpc.health.v1: SERVING
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": serving})])
    server.add_insecure_port(os.environ["SERENO_LISTEN"])
    await server.start()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: asyncio.create_task(server.stop(0)))
    await server.wait_for_termination()
    os._exit(0)  # a look that hangs holds nobody
