#!/usr/bin/env python3
"""From a killed service to a person and back, with the real Prometheus and Alertmanager.

    deploy/tests/alerts.py                what is shipped in deploy/prometheus and deploy/grafana, at work: a service is
                                          killed, a rule fires, a webhook receives it; every query of the dashboard has an
                                          answer meanwhile; the service is healed, and the webhook receives the end of it
    deploy/tests/alerts.py --scrape 1000  how long a scrape of so many services takes; nothing but Sereno is needed

SERENO_BIN: the folder with the four programs [default: target/debug]. Debian has the others in the packages prometheus
and prometheus-alertmanager. All ports are free ones, and everything lies in a folder that is deleted at the end.
"""

import argparse, contextlib, http.server, json, os, pathlib, re, shutil, signal, socket, statistics, subprocess, sys
import tempfile, threading, time, urllib.parse, urllib.request

TREE = pathlib.Path(__file__).resolve().parents[2]
CEILING = 60  # seconds; conditions are polled, so that a slow machine makes this slow and not red
BEGAN = time.monotonic()
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Failed(Exception):
    """What did not hold, in words."""


def say(text):
    print(f"[{time.monotonic() - BEGAN:5.1f} s] {text}", flush=True)


def get(url):
    with OPENER.open(url, timeout=20) as answer:
        return answer.read().decode()


def until(what, holds):
    """Polls until the condition gives something; returns that."""
    give_up = time.monotonic() + CEILING
    while True:
        with contextlib.suppress(OSError):
            if found := holds():
                return found
        if time.monotonic() > give_up:
            raise Failed(f"waited {CEILING} s until {what}")
        time.sleep(0.1)


def free_ports(count):
    """Ports that were free just now, all different."""
    with contextlib.ExitStack() as open_ones:
        sockets = [open_ones.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def program(*names):
    """The first of these programs that is installed."""
    for name in names:
        if found := shutil.which(name):
            return found
    raise Failed(f"{names[0]} is not installed: apt-get install prometheus prometheus-alertmanager")


class Stack:
    """A supervisor with its folder, and the programs beside it."""

    def __init__(self, folder):
        self.folder = folder
        self.bin = pathlib.Path(os.environ.get("SERENO_BIN", TREE / "target/debug")).resolve()
        # Of another Sereno that this may run under.
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("SERENO_")}
        self.children = {}

    def run(self, *command, stdin=""):
        done = subprocess.run(
            command, cwd=self.folder, env=self.env, input=stdin, text=True, capture_output=True, check=False
        )
        if done.returncode != 0:
            raise Failed(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def ctl(self, *arguments):
        return self.run(self.bin / "ctl", "-f", self.folder / "sereno.toml", *arguments)

    def service(self, name):
        """What status says of a service; its exit code is 1 while something is not well."""
        command = [self.bin / "ctl", "-f", self.folder / "sereno.toml", "--json", "status"]
        done = subprocess.run(command, env=self.env, text=True, capture_output=True, check=False)
        return next(one for one in json.loads(done.stdout)["services"] if one["name"] == name)

    def begin(self, name, *command):
        log = open(self.folder / f"{name}.log", "w", encoding="utf-8")
        with log:
            self.children[name] = subprocess.Popen(command, cwd=self.folder, env=self.env, stdout=log, stderr=log)

    def end(self):
        for child in self.children.values():
            child.kill()
            child.wait()
        subprocess.run(
            [self.bin / "ctl", "-f", self.folder / "sereno.toml", "down"], env=self.env, capture_output=True, check=False
        )

    def logs(self):
        for log in sorted(self.folder.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()[-20:]
            print(f"--- {log.name}", *lines, sep="\n", file=sys.stderr)


class Webhook:
    """The person whom Alertmanager tells."""

    def __init__(self):
        told = self.told = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                told.extend(json.loads(body)["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def got(self, status, alert, **labels):
        """The message of this alert in this state, if it has arrived."""
        wanted = {"alertname": alert, **labels}
        is_it = lambda one: one["status"] == status and wanted.items() <= one["labels"].items()
        return next(filter(is_it, self.told), None)


def edited(file, *edits):
    """The shipped file with what must differ here; each edit must hit, so that this file and that one agree."""
    text = (TREE / "deploy/prometheus" / file).read_text(encoding="utf-8")
    for pattern, replacement in edits:
        text, count = re.subn(pattern, replacement, text)
        if count == 0:
            raise Failed(f"{file} has nothing like {pattern}")
    return text


def alerts(stack):
    prometheus, promtool = program("prometheus"), program("promtool")
    alertmanager, amtool = program("prometheus-alertmanager", "alertmanager"), program("amtool")
    shipped = TREE / "deploy/prometheus"
    stack.run(promtool, "check", "config", shipped / "prometheus.yml")
    stack.run(promtool, "test", "rules", shipped / "alerts_test.yml")
    stack.run(amtool, "check-config", shipped / "alertmanager.yml")
    say("promtool and amtool take the files; each rule fires when it must, and is silent when it need not fire")

    metrics, listen, web, neighbour, prom, manager = free_ports(6)
    webhook, at = Webhook(), "127.0.0.1:"
    folder = stack.folder
    (folder / "sereno.toml").write_text(
        f"""
[supervisor]
metrics = "{at}{metrics}"
listen = ["https://{at}{listen}"]
tls = {{ ca = "pki/ca.pem", cert = "pki/here.pem", key = "pki/here.key" }}
[services.web]
command = ["sh", "-c", "test ! -e broken && exec '{sys.executable}' -m http.server --bind 127.0.0.1 {web}"]
restart = {{ initial = "200ms", max_wait = "500ms", max = 10000 }}
health = {{ url = "http://{at}{web}/", interval = "1s" }}
[services.neighbour]
command = ["{sys.executable}", "-m", "http.server", "--bind", "127.0.0.1", "{neighbour}"]
health = {{ url = "http://{at}{neighbour}/", interval = "1s" }}
""",
        encoding="utf-8",
    )
    stack.ctl("pki", "init")
    stack.ctl("pki", "issue", "here", "--role", "viewer", "--host", "127.0.0.1")
    (folder / "alerts.yml").write_text(edited("alerts.yml", (r"for: \w+", "for: 2s")))
    (folder / "prometheus.yml").write_text(
        edited(
            "prometheus.yml",
            (r"scrape_interval: 15s", "scrape_interval: 1s\n  evaluation_interval: 1s"),
            (r"127\.0\.0\.1:9093", f"{at}{manager}"),
            (r"127\.0\.0\.1:7611", f"{at}{metrics}"),
        )
    )
    (folder / "alertmanager.yml").write_text(
        edited(
            "alertmanager.yml",
            (r"group_wait: \w+", "group_wait: 1s"),
            (r"group_interval: \w+", "group_interval: 1s"),
            (r"http://127\.0\.0\.1:9094/", f"http://{at}{webhook.port}/"),
        )
    )
    stack.ctl("up", "-d", "--wait")
    if said := stack.run(promtool, "check", "metrics", stdin=get(f"http://{at}{metrics}/metrics")):
        raise Failed(f"promtool says of the page: {said}")
    stack.begin(
        "alertmanager", alertmanager, "--config.file=alertmanager.yml", "--storage.path=am",
        f"--web.listen-address={at}{manager}", "--cluster.listen-address=",
    )
    stack.begin(
        "prometheus", prometheus, "--config.file=prometheus.yml", "--storage.tsdb.path=tsdb",
        f"--web.listen-address={at}{prom}",
    )

    def query(text):
        asked = urllib.parse.urlencode({"query": text})
        return json.loads(get(f"http://{at}{prom}/api/v1/query?{asked}"))["data"]["result"]

    until("Alertmanager is ready", lambda: get(f"http://{at}{manager}/-/ready"))
    until("Prometheus has scraped the supervisor", lambda: query('up{job="sereno"} == 1'))
    until("web is up at Prometheus", lambda: query('sereno_service_up{service="web"} == 1'))
    known = lambda: json.loads(get(f"http://{at}{prom}/api/v1/alertmanagers"))["data"]["activeAlertmanagers"]
    until("Prometheus knows Alertmanager", known)
    time.sleep(3)  # longer than any `for`
    if webhook.told:
        raise Failed(f"nothing is wrong yet, and an alert has arrived: {webhook.told}")
    say("the supervisor is scraped, and nothing fires")

    # ---- the incident ----
    (folder / "broken").touch()
    os.kill(stack.service("web")["pid"], signal.SIGKILL)
    killed = time.monotonic()
    fired = until("the webhook is told that web is down", lambda: webhook.got("firing", "SerenoServiceDown", service="web"))
    say(f"fired, and told {time.monotonic() - killed:.1f} s after the kill: {fired['annotations']}")
    if fired["annotations"] != {"summary": "web is down", "do": "ctl why web"}:
        raise Failed(f"it is told what to do: {fired}")
    dashboard = json.loads((TREE / "deploy/grafana/sereno.json").read_text(encoding="utf-8"))
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    for text in queries:
        asked = text.replace("$instance", ".*")
        series = until(f"Prometheus answers {asked}", lambda asked=asked: query(asked))
        if len(series) > 100:
            raise Failed(f"{asked} has {len(series)} series for one service")
    if stack.service("web")["state"] == "running" or not query("sereno_incidents_open == 1"):
        raise Failed("the incident was over before the dashboard was asked")
    say(f"every query of the dashboard has an answer meanwhile: {len(queries)}")

    # ---- healed ----
    (folder / "broken").unlink()
    healed = time.monotonic()
    until("the webhook is told that web is up", lambda: webhook.got("resolved", "SerenoServiceDown", service="web"))
    say(f"resolved, and told {time.monotonic() - healed:.1f} s after the fault was mended")
    until("its recovery is counted", lambda: query("sereno_recovery_seconds_count == 1 and sereno_incidents_open == 0"))
    if strangers := [one["labels"] for one in webhook.told if one["labels"].get("service", "web") != "web"]:
        raise Failed(f"nothing was wrong with its neighbour: {strangers}")
    crashes = query('sereno_restarts_total{service="web",cause="exit"} > 0')
    say(f"{crashes[0]['value'][1]} restarts after an exit, one recovery, no open incident")


def scrape(stack, count):
    (port,) = free_ports(1)
    target = socket.create_server(("127.0.0.1", 0), backlog=512)

    def take():
        while True:
            target.accept()[0].close()

    threading.Thread(target=take, daemon=True).start()
    service = f"""
command = "sleep 100000"
checks.port = {{ kind = "tcp", port = {target.getsockname()[1]}, owner = false, interval = "60s" }}
"""
    services = "".join(f"[services.idle-{number}]{service}" for number in range(count))
    (stack.folder / "sereno.toml").write_text(f'[supervisor]\nmetrics = "127.0.0.1:{port}"\n{services}')
    stack.ctl("up", "-d", "--wait", "--timeout", "5m")
    page = f"http://127.0.0.1:{port}/metrics"
    times = []
    for _ in range(20):
        time.sleep(0.5)
        began = time.monotonic()
        text = get(page)
        times.append(1000 * (time.monotonic() - began))
    up = text.count("sereno_service_up{")
    if up != count:
        raise Failed(f"{up} services are on the page")
    samples = sum(not line.startswith("#") for line in text.splitlines())
    say(f"{count} services, {samples} samples, {len(text) // 1024} KiB: "
        f"median {statistics.median(times):.1f} ms, least {min(times):.1f} ms, most {max(times):.1f} ms of {len(times)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scrape", type=int, metavar="SERVICES", help="only measure a scrape of so many services")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="sereno-alerts-") as folder:
        stack = Stack(pathlib.Path(folder))
        try:
            scrape(stack, wanted.scrape) if wanted.scrape else alerts(stack)
        except Failed as why:
            stack.logs()
            print(f"[{time.monotonic() - BEGAN:5.1f} s] FAILED: {why}", file=sys.stderr)
            return 1
        finally:
            stack.end()
    say("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
