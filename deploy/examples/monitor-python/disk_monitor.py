#!/usr/bin/env python3
"""A monitor of a kind of its own, `disk`: is there room where a service writes?"""
import asyncio, shutil, sereno_monitor

def probe(target):
    """Looks once: whether all is well, and what was seen."""
    options = target.options.values
    usage = shutil.disk_usage(options.get("path", "/"))
    free = 100 * usage.free / max(usage.total, 1)
    return free >= float(options.get("free_percent", "5")), f"{free:.1f} % free of {usage.total / 1e9:.1f} GB"

asyncio.run(sereno_monitor.serve("disk", probe))
