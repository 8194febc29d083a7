//! Wrong files and what is said about each: for the exact words, and as seeds of the random walk.

/// Every wrong line by itself, in a service whose table begins in line 1.
pub(crate) const LINES: &[(&str, &str)] = &[
    // Keys.
    ("restrat = 1", "3:1: services.web.restrat: is not a known key (did you mean \"restart\"?)"),
    ("restart.maxx = 1", "3:9: services.web.restart.maxx: is not a known key (did you mean \"max\"?)"),
    ("zzz = 1", "3:1: services.web.zzz: is not a known key"),
    ("depends-on = []", "3:1: services.web.depends-on: is not a known key (did you mean \"depends_on\"?)"),
    ("\"a b\" = 1", "3:1: services.web.\"a b\": is not a known key"),
    ("memory_max = \"1KB\"", "3:14: services.web.memory_max = \"1KB\": must be at least 1MB"),
    ("memory_max = 0.5", "3:14: services.web.memory_max = 0.5: must be a size such as \"50MB\" or \"64KiB\""),
    ("watchdog = {}", "3:12: services.web.watchdog: needs cpu_idle or notify"),
    (
        "watchdog.cpu_idle = \"5m\"",
        "3:21: services.web.watchdog.cpu_idle = \"5m\": has no effect without a check as its evidence: give one, \
         or evidence = \"none\"",
    ),
    ("watchdog.notify = \"5ms\"", "3:19: services.web.watchdog.notify = \"5ms\": must be at least 1s"),
    (
        "watchdog = { notify = \"5s\", action = \"kill\" }",
        "3:38: services.web.watchdog.action = \"kill\": must be \"restart\" or \"report\"",
    ),
    ("watch = 3", "3:9: services.web.watch = 3: must be a table"),
    (
        "watch = { path = \".\" }",
        "3:11: services.web.watch.path: is not a known key (did you mean \"paths\"?)",
    ),
    (
        "watch.ignore = [\"a[\"]",
        "3:17: services.web.watch.ignore[0] = \"a[\": must be a pattern such as \"*.log\": unclosed character class; \
         missing ']'",
    ),
    ("watch.debounce = \"1ms\"", "3:18: services.web.watch.debounce = \"1ms\": must be at least 10ms"),
    (
        "sockets = 3",
        "3:11: services.web.sockets = 3: must be a list of tables such as { name = \"http\", listen = \"127.0.0.1:8000\" }",
    ),
    ("sockets = [{ name = \"a\" }]", "3:12: services.web.sockets[0]: needs a name and listen"),
    (
        "sockets = [{ name = \"a\", listen = \"8000\" }]",
        "3:35: services.web.sockets[0].listen = \"8000\": must be an address and a port, such as 127.0.0.1:8000 or [::]:8000",
    ),
    ("schedule = {}", "3:12: services.web.schedule: needs cron: when it runs, such as \"0 3 * * *\""),
    (
        "schedule = \"0 0 30 2 *\"",
        "3:12: services.web.schedule = \"0 0 30 2 *\": names a day that never comes",
    ),
    (
        "schedule = { cron = \"@daily\", overlap = \"wait\" }",
        "3:41: services.web.schedule.overlap = \"wait\": must be \"skip\", \"queue\" or \"kill\"",
    ),
    (
        "schedule = \"@daily\"\nrestart = \"always\"",
        "4:11: services.web.restart = \"always\": can not be \"always\" beside schedule: a job runs and ends",
    ),
    (
        "schedule = \"@daily\"\nrestart.cron = \"@daily\"",
        "4:16: services.web.restart.cron = \"@daily\": can not stand beside schedule: a job runs at its own times",
    ),
    (
        "restart.timezone = \"UTC\"",
        "3:20: services.web.restart.timezone = \"UTC\": has no effect without cron",
    ),
    ("instances = 0", "3:13: services.web.instances = 0: must be a whole number from 1 to 100"),
    ("instances = \"2\"", "3:13: services.web.instances = \"2\": must be a whole number from 1 to 100"),
    // Once, however many instances have it.
    ("instances = 3\nnice = 20", "4:8: services.web.nice = 20: must be a whole number from -20 to 19"),
    (
        "instances = 2\nlog.stdout = \"web.log\"",
        "4:14: services.web.log.stdout = \"/srv/web.log\": must be a file of its own, this is also \
         services.web:0.log.stdout",
    ),
    ("log.timestamps = true", "3:18: services.web.log.timestamps = true: is not in this version"),
    // Numbers.
    ("restart.max = -1", "3:15: services.web.restart.max = -1: must be a whole number from 0 to 1000000000"),
    (
        "restart.max = 1.5",
        "3:15: services.web.restart.max = 1.5: must be a whole number from 0 to 1000000000",
    ),
    (
        "restart.max = 99999999999999999999",
        "3:15: services.web.restart.max = 99999999999999999999: must be a whole number from 0 to 1000000000",
    ),
    ("restart.factor = 0.5", "3:18: services.web.restart.factor = 0.5: must be a number from 1 to 100"),
    ("restart.jitter = 1", "3:18: services.web.restart.jitter = 1: must be a number from 0 to 0.99"),
    ("restart.jitter = nan", "3:18: services.web.restart.jitter = nan: must be a number from 0 to 0.99"),
    ("nice = 20", "3:8: services.web.nice = 20: must be a whole number from -20 to 19"),
    ("autostart = \"yes\"", "3:13: services.web.autostart = \"yes\": must be true or false"),
    (
        "umask = \"888\"",
        "3:9: services.web.umask = \"888\": must be an octal string from \"000\" to \"777\", such as \"022\"",
    ),
    (
        "umask = 22",
        "3:9: services.web.umask = 22: must be an octal string from \"000\" to \"777\", such as \"022\"",
    ),
    // Durations and sizes.
    (
        "stop.timeout = 10",
        "3:16: services.web.stop.timeout = 10: must be a duration such as \"500ms\", \"5s\" or \"1h30m\"",
    ),
    (
        "stop.timeout = \"10\"",
        "3:16: services.web.stop.timeout = \"10\": must be a duration such as \"500ms\", \"5s\" or \"1h30m\"",
    ),
    (
        "stop.timeout = \"-1s\"",
        "3:16: services.web.stop.timeout = \"-1s\": must be a duration such as \"500ms\", \"5s\" or \"1h30m\"",
    ),
    (
        "stop.timeout = \"100years\"",
        "3:16: services.web.stop.timeout = \"100years\": must be at most 3650 days",
    ),
    (
        "restart.initial = \"2m\"",
        "3:19: services.web.restart.initial = \"2m\": must be at most max_wait (1m)",
    ),
    (
        "restart.retry_every = \"1m\"",
        "3:23: services.web.restart.retry_every = \"1m\": has no effect without give_up = \"retry\"",
    ),
    (
        "log.max_size = \"50 apples\"",
        "3:16: services.web.log.max_size = \"50 apples\": must be a size such as \"50MB\" or \"64KiB\"",
    ),
    ("log.max_size = 10", "3:16: services.web.log.max_size = 10: must be at least 1KB"),
    (
        "limits.nofile = \"many\"",
        "3:17: services.web.limits.nofile = \"many\": must be a whole number, a size or \"unlimited\"",
    ),
    ("limits.nofiles = 1", "3:8: services.web.limits.nofiles: is not a known key (did you mean \"nofile\"?)"),
    // Words.
    (
        "restart = \"on_failure\"",
        "3:11: services.web.restart = \"on_failure\": must be \"always\", \"on-failure\" or \"never\" \
         (did you mean \"on-failure\"?)",
    ),
    ("stop.to = \"all\"", "3:11: services.web.stop.to = \"all\": must be \"group\" or \"main\""),
    (
        "stop.signal = \"SIGTREM\"",
        "3:15: services.web.stop.signal = \"SIGTREM\": must be the name of a signal, such as \"SIGTERM\" \
         (did you mean \"SIGTERM\"?)",
    ),
    (
        "restart.success_codes = 0",
        "3:25: services.web.restart.success_codes = 0: must be a list of exit codes and names of signals",
    ),
    (
        "restart.success_codes = [0, true]",
        "3:29: services.web.restart.success_codes[1] = true: must be an exit code or the name of a signal",
    ),
    (
        "tags = [\"a b\"]",
        "3:9: services.web.tags[0] = \"a b\": a name has only letters, digits, '.', '_' and '-', not ' '",
    ),
    (
        "env_inherit = \"PATH\"",
        "3:15: services.web.env_inherit = \"PATH\": must be true, false or a list of names",
    ),
    // Secrets stay out of messages.
    ("env.TOKEN = [1]", "3:13: services.web.env.TOKEN: must be a string, a number or a boolean"),
    (
        "env.SERENO_UNIT = \"x\"",
        "3:19: services.web.env.SERENO_UNIT: can not be set: names that begin with SERENO_ are Sereno's own",
    ),
    // Commands.
    ("shell = \"x\"", "3:9: services.web.shell = \"x\": can not stand beside command: give one of them"),
    (
        "stop.command = \"kill 'x\"",
        "3:16: services.web.stop.command = \"kill 'x\": has a quote that is not closed",
    ),
    ("stop.command = []", "3:16: services.web.stop.command = []: must name a program"),
    ("stop.command = \"\"", "3:16: services.web.stop.command = \"\": must name a program"),
    ("cwd = \"\"", "3:7: services.web.cwd = \"\": must not be empty"),
    ("cwd = \"a\\u0000b\"", "3:7: services.web.cwd = \"/srv/a\\0b\": must not hold a NUL"),
    // Variables.
    (
        "cwd = \"${NOPE}\"",
        "3:7: services.web.cwd = \"${NOPE}\": needs NOPE, which is not set here; ${NOPE:-default} would do without, $$ is a dollar",
    ),
    ("cwd = \"${NOPE\"", "3:7: services.web.cwd = \"${NOPE\": has a ${ without its }"),
    (
        "cwd = \"${A-b}\"",
        "3:7: services.web.cwd = \"${A-b}\": has ${A-b}, which is neither ${NAME} nor ${NAME:-default}",
    ),
    (
        "cwd = \"${A:-${B}}\"",
        "3:7: services.web.cwd = \"${A:-${B}}\": has a ${…} inside the default of ${A:-…}, which can not be",
    ),
    // Checks.
    ("port = 0", "3:8: services.web.port = 0: must be a port from 1 to 65535"),
    (
        "port = \"localhost:x\"",
        "3:8: services.web.port = \"localhost:x\": must be host:port, such as \"127.0.0.1:8000\" or \"[::1]:8000\"",
    ),
    ("port = { interval = \"1s\" }", "3:8: services.web.port: needs a port (or address = \"host:port\")"),
    (
        "port = { port = 1, address = \"a:1\" }",
        "3:30: services.web.port.address = \"a:1\": can not stand beside port: give one of them",
    ),
    ("port = true", "3:8: services.web.port = true: must be a table"),
    (
        "health = \"127.0.0.1:80\"",
        "3:10: services.web.health = \"127.0.0.1:80\": must be a URL such as \"http://127.0.0.1:8000/health\"",
    ),
    ("health = { interval = \"1s\" }", "3:10: services.web.health: needs a url"),
    (
        "health = { url = \"http://a\", interval = \"4s\", timeout = \"4s\" }",
        "3:57: services.web.health.timeout = \"4s\": must be less than the interval (4s)",
    ),
    (
        "health = { url = \"http://a\", method = \"get\" }",
        "3:39: services.web.health.method = \"get\": must be an HTTP method in capitals, such as \"GET\" or \"HEAD\"",
    ),
    (
        "health = { url = \"http://a\", headers = { \"a b\" = \"x\" } }",
        "3:50: services.web.health.headers.\"a b\": must be the name of an HTTP header",
    ),
    (
        "health = { url = \"http://a\", expect.status = \"399-200\" }",
        "3:46: services.web.health.expect.status = \"399-200\": must be a status from 100 to 599, \
         a range such as \"200-399\", or a list of these",
    ),
    (
        "health = { url = \"http://a\", expect.body = \"(\" }",
        "3:44: services.web.health.expect.body = \"(\": must be a regular expression: unclosed group",
    ),
    (
        "health = { url = \"http://a\", expect.json = { at = 2020-01-01 } }",
        "3:44: services.web.health.expect.json = {…}: must be what JSON can say: a date is a string there",
    ),
    (
        "port = { port = 1, failures = 0 }",
        "3:31: services.web.port.failures = 0: must be a whole number from 1 to 1000, or \"5/10\" for five of the last ten",
    ),
    (
        "port = { port = 1, failures = \"11/10\" }",
        "3:31: services.web.port.failures = \"11/10\": must be a whole number from 1 to 1000, or \"5/10\" for five of the last ten",
    ),
    (
        "ready_timeout = \"5s\"\nport = { port = 1, start_period = \"6s\" }",
        "4:35: services.web.port.start_period = \"6s\": must be at most ready_timeout (5s)",
    ),
    ("checks.x = {}", "3:12: services.web.checks.x: needs a kind, such as \"http\", \"tcp\" or \"exec\""),
    ("checks.x = { kind = \"exec\" }", "3:12: services.web.checks.x: needs a command"),
    (
        "checks.x = { kind = \"tcp\", port = 1, url = \"x\" }",
        "3:38: services.web.checks.x.url: is not a known key",
    ),
    (
        "checks.x = { kind = \"htpp\" }",
        "3:21: services.web.checks.x.kind: is of kind \"htpp\", which no monitor here serves; they serve \
         \"exec\", \"http\" or \"tcp\" (did you mean \"http\"?)",
    ),
    (
        "checks.notify = { kind = \"tcp\", port = 1 }",
        "3:8: services.web.checks.notify: is a word of ready: give the check another id",
    ),
    (
        "port = 1\nchecks.port = { kind = \"tcp\", port = 1 }",
        "4:8: services.web.checks.port: is the same as services.web.port: give one of them",
    ),
    // Ready.
    ("ready = \"port\"", "3:9: services.web.ready = \"port\": needs a port check, and this service has none"),
    ("ready = []", "3:9: services.web.ready = []: must not be empty"),
    (
        "ready = [\"started\", \"notfy\"]",
        "3:21: services.web.ready[1] = \"notfy\": must be \"started\", \"port\", \"health\", \"notify\", \
         the id of a check, { log = \"regex\" }, { delay = \"5s\" }, or a list of these (did you mean \"notify\"?)",
    ),
    (
        "ready = { log = \"x\", delay = \"1s\" }",
        "3:9: services.web.ready = {…}: must have either log or delay; for both, give a list",
    ),
    // Dependencies.
    (
        "depends_on = \"db\"",
        "3:14: services.web.depends_on = \"db\": must be a list of services, or a table such as { db = \"ready\" }",
    ),
    ("depends_on = [\"db\"]", "3:15: services.web.depends_on[0]: needs a service that is not there: db"),
    ("depends_on = [\"web\"]", "3:14: services.web.depends_on: must not go round in a circle: web -> web"),
];

/// Whole files.
pub(crate) const FILES: &[(&str, &str)] = &[
    (
        "service.web.command = \"x\"",
        "sereno.toml:1:1: service: is not a known key (did you mean \"services\"?)",
    ),
    ("[alerts.me]\nto = \"mailto:x\"", "sereno.toml:1:2: alerts: is not in this version"),
    (
        "[supervisor]\nmetrics = \"localhost:7611\"",
        "sereno.toml:2:11: supervisor.metrics = \"localhost:7611\": must be an address of this machine with a port, such as \"127.0.0.1:7611\" or \"[::1]:7611\"",
    ),
    (
        "[supervisor]\nmetrics = \"0.0.0.0:7611\"",
        "sereno.toml:2:11: supervisor.metrics = \"0.0.0.0:7611\": must be 127.0.0.1 or [::1], as whoever reads metrics shows no token: scrape from this machine, or through a tunnel (ssh -L)",
    ),
    (
        "[supervisor]\nmetrics = \"127.0.0.1:0\"",
        "sereno.toml:2:11: supervisor.metrics = \"127.0.0.1:0\": must have a port from 1 to 65535",
    ),
    (
        "[supervisor]\nlisten = \"http://127.0.0.1:1\"\nmetrics = \"127.0.0.1:1\"",
        "sereno.toml:3:11: supervisor.metrics = \"127.0.0.1:1\": must not be one of those in listen: give it a port of its own",
    ),
    (
        "[supervisor]\nlog = \"debgu\"",
        "sereno.toml:2:7: supervisor.log = \"debgu\": must be a level (trace, debug, info, warn, error, off), or target=level,… (did you mean \"debug\"?)",
    ),
    (
        "[supervisor]\nguard = 1",
        "sereno.toml:2:9: supervisor.guard = 1: must be true, false or { enabled, hang }",
    ),
    (
        "[supervisor]\nbrake.share = 2",
        "sereno.toml:2:15: supervisor.brake.share = 2: must be a number from 0 to 1",
    ),
    ("[health-monitor]\nintervall = 1", "sereno.toml:2:1: health-monitor.intervall: is not a known key"),
    (
        "[port-monitor]\nlisten = \"ftp://x\"",
        "sereno.toml:2:10: port-monitor.listen = \"ftp://x\": must be an endpoint: \"ftp://x\": \"ftp\" is no endpoint: use unix:///path, http://127.0.0.1:PORT or https://host:PORT",
    ),
    (
        "[supervisor]\nlisten = [\"http://10.0.0.1:1\"]",
        "sereno.toml:2:11: supervisor.listen[0] = \"http://10.0.0.1:1\": must be an endpoint: \"http://10.0.0.1:1\": without TLS only this machine is spoken to (127.0.0.1, [::1]); use https:// for others",
    ),
    (
        "[supervisor]\nlisten = \"https://a:1\"",
        "sereno.toml:2:10: supervisor.listen = \"https://a:1\": needs tls = { ca, cert, key } beside it for https:// (\"ctl pki\" makes them)",
    ),
    (
        "[supervisor]\nlisten = \"unix:///x\"",
        "sereno.toml:2:10: supervisor.listen = \"unix:///x\": is for http:// and https://: its own socket in home/run is always there",
    ),
    (
        "[supervisor]\ntls = { ca = \"x\" }",
        "sereno.toml:2:7: supervisor.tls: needs ca, cert and key: both sides show who they are",
    ),
    ("[monitors.ctl]", "sereno.toml:1:11: monitors.ctl: is a reserved name: give the monitor another one"),
    (
        "[monitors.x]\nmanaged = false\nprogram = \"x\"",
        "sereno.toml:3:11: monitors.x.program = \"x\": has no effect with managed = false",
    ),
    ("services = 1", "sereno.toml:1:12: services = 1: must be a table"),
    ("[services]\nweb = 1", "sereno.toml:2:7: services.web = 1: must be a table"),
    ("[services.web]", "sereno.toml:1:1: services.web: needs a command (or shell = \"…\")"),
    (
        "[services.\"web:0\"]\ncommand = \"x\"",
        "sereno.toml:1:11: services.\"web:0\": must not have a ':' in it",
    ),
    (
        "[services.\"ñ\"]\ncommand = \"x\"",
        "sereno.toml:1:11: services.\"ñ\": a name begins with a letter or a digit, not with 'ñ'",
    ),
    (
        "[services.port-monitor]\ncommand = \"x\"",
        "sereno.toml:1:11: services.port-monitor: is a reserved name: give the service another one",
    ),
    (
        "[defaults]\nrestart.max = -1",
        "sereno.toml:2:15: defaults.restart.max = -1: must be a whole number from 0 to 1000000000",
    ),
    ("[defaults]\nlinux = 1", "sereno.toml:2:9: defaults.linux = 1: must be a table"),
    (
        "[services.a]\ncommand = \"x\"\nwindows = { comand = \"x\" }",
        "sereno.toml:3:13: services.a.windows.comand: is not a known key (did you mean \"command\"?)",
    ),
    (
        "[services.a]\ncommand = \"x\"\ndepends_on = { dbb = \"ready\" }\n[services.db]\ncommand = \"x\"",
        "sereno.toml:3:22: services.a.depends_on.dbb: needs a service that is not there: dbb (did you mean \"db\"?)",
    ),
    (
        "[services.a]\ncommand = \"x\"\ndepends_on = { b = \"completed\" }\n[services.b]\ncommand = \"x\"",
        "sereno.toml:3:20: services.a.depends_on.b = \"completed\": waits for ever: b has restart.policy = \"always\", so it never completes",
    ),
    (
        "[services.c]\ncommand = \"x\"\ndepends_on = [\"b\"]\n[services.b]\ncommand = \"x\"\ndepends_on = [\"a\"]\n\
         [services.a]\ncommand = \"x\"\ndepends_on = [\"c\"]",
        "sereno.toml:9:14: services.a.depends_on: must not go round in a circle: a -> c -> b -> a",
    ),
    (
        "[services.a]\ncommand = \"x\"\nlog.stdout = \"x.log\"\n[services.b]\ncommand = \"x\"\nlog.stderr = \"./x.log\"",
        "sereno.toml:6:14: services.b.log.stderr = \"/srv/x.log\": must be a file of its own, this is also services.a.log.stdout",
    ),
    (
        "[monitors.health-monitor]\nmanaged = false\n[services.a]\ncommand = \"x\"\nchecks.x = { kind = \"exec\", command = \"y\" }",
        "sereno.toml:5:21: services.a.checks.x.kind: needs a managed health-monitor, and there is none",
    ),
    // Syntax.
    ("[services.web\ncommand = 1", "sereno.toml:1:14: unclosed table, expected `]`"),
    ("a = ", "sereno.toml:1:5: string values must be quoted, expected literal string"),
    ("a = 1\na = 2", "sereno.toml:2:1: duplicate key"),
];
