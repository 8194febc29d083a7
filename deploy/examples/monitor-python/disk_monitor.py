#!/usr/bin/env python3
"""A monitor of a kind of its own, `disk`: is there room where a service writes?"""
import shutil

import sereno_monitor


def probe(options):
    """Looks once: whether all is well, and what was seen."""
    usage = shutil.disk_usage(options.get("path", "/"))
    free = 100 * usage.free / max(usage.total, 1)
    return free >= float(options.get("free_percent", "5")), f"{free:.1f} % free of {usage.total / 1e9:.1f} GB"


if __name__ == "__main__":
    sereno_monitor.run("disk", probe)
